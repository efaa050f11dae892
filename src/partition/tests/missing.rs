//! Offsets without records: what is known of a partition decides whether they are a loss.

use std::fs;

use super::fixture::{ANY, Fixture, POSITIONED, append_numbered, batches_of, read};
use crate::partition::settings::Compaction;
use crate::partition::{Checkpointed, Leader, MissingRecords};

/// What may show that a partition was compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    None,
    Policy,
    History,
    Checkpoint,
    Cleaned,
    Swap,
    GapBetweenBatches,
    RecordsTakenOutOfABatch,
}

const COMPACTION: Compaction =
    Compaction { min_dirty_ratio: 0.5, min_lag_ms: 0, max_lag_ms: i64::MAX, delete_retention_ms: 0 };

/// Several segments, the second of them empty, with this evidence of a compaction.
fn emptied(evidence: Evidence) -> (Fixture, Vec<u64>, std::sync::Arc<Leader>) {
    let mut fixture = Fixture::new(POSITIONED, 1500);
    let log = fixture.open_new();
    for _ in 0..16 {
        append_numbered(&log, 3, 100).unwrap();
    }
    log.close().unwrap();
    let bases = fixture.bases();
    assert!(bases.len() > 4);
    fs::write(fixture.log_file(bases[1]), []).unwrap();
    let third = fixture.log_file(bases[3]);
    let bytes = fs::read(&third).unwrap();
    let batches = batches_of(&bytes, bases[3]);
    let mut checkpointed = Checkpointed { recovery_point: Some(0), ..Checkpointed::default() };
    match evidence {
        Evidence::None | Evidence::History => {}
        Evidence::Policy => fixture.settings.compaction = Some(COMPACTION),
        Evidence::Checkpoint => checkpointed.cleaned = Some(1),
        // Of a base offset that no segment has, so that it changes nothing else.
        Evidence::Cleaned => fs::write(fixture.log_file(1).with_extension("log.cleaned"), []).unwrap(),
        Evidence::Swap => fs::write(fixture.log_file(1).with_extension("index.swap"), []).unwrap(),
        Evidence::GapBetweenBatches => {
            let (front, gone) = (batches[1].position, batches[2].position);
            fs::write(&third, [&bytes[..front], &bytes[gone..]].concat()).unwrap();
        }
        Evidence::RecordsTakenOutOfABatch => {
            // A batch without records that covers the offsets of three, as a compaction leaves the last of a producer.
            let mut empty = bytes[batches[1].position..batches[1].position + 61].to_vec();
            empty[8..12].copy_from_slice(&49_i32.to_be_bytes());
            empty[57..61].copy_from_slice(&0_i32.to_be_bytes());
            let crc = crc32c::crc32c(&empty[21..]);
            empty[17..21].copy_from_slice(&crc.to_be_bytes());
            let (front, after) = (batches[1].position, batches[2].position);
            fs::write(&third, [&bytes[..front], &empty[..], &bytes[after..]].concat()).unwrap();
        }
    }
    let log = fixture.open(checkpointed);
    if evidence == Evidence::History {
        log.record_compacted();
    }
    (fixture, bases, log)
}

#[test]
fn each_evidence_of_a_compaction_keeps_what_follows_a_gap() {
    for evidence in [
        Evidence::Policy,
        Evidence::History,
        Evidence::Checkpoint,
        Evidence::Cleaned,
        Evidence::Swap,
        Evidence::GapBetweenBatches,
        Evidence::RecordsTakenOutOfABatch,
    ] {
        let (_fixture, bases, log) = emptied(evidence);
        let report = log.load().unwrap().unwrap();
        assert_eq!((report.log_end, report.bytes_truncated), (48, 0), "{evidence:?}");
        let missing = MissingRecords { offsets: bases[1]..bases[2], maybe_compacted: true };
        assert_eq!(report.missing, [missing], "{evidence:?}");
        let offsets: Vec<_> = read(&log, 0, ANY).unwrap().into_iter().map(|(offset, _)| offset).collect();
        assert!(offsets.contains(&47) && !offsets.contains(&bases[1]), "{evidence:?}");
    }
    let (_fixture, bases, log) = emptied(Evidence::None);
    let report = log.load().unwrap().unwrap();
    assert_eq!((report.log_end, report.kept.len()), (bases[1], bases.len() - 2));
}
