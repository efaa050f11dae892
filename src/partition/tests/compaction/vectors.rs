//! Batches that others have compacted, gone over once more.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::fixture::{At, TestRecord, append, batches_of};
use super::super::transactions::bytes_at;
use super::{Bench, NOW, keyed, seen};
use crate::partition::{Checkpointed, Leader};
use crate::sys::faults::Faults;

fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/batches").join(name);
    fs::read(path).unwrap()
}

/// A partition with these bytes from offset `base` on in a sealed segment, followed by records with these keys.
fn holding(bench: &Bench, base: u64, bytes: &[u8], newer: &[&str]) -> Arc<Leader> {
    // Made by us, so that the id and the epochs are there.
    let log = bench.open_new();
    append(&log, &[TestRecord::of("first")]).unwrap();
    log.close().unwrap();
    bench.work.catalog.set_partitions(Vec::new());
    let names = bench.fixture.files().into_keys().filter(|name| name.starts_with("0000"));
    names.for_each(|name| fs::remove_file(bench.fixture.directory().join(name)).unwrap());
    let mut end = base;
    if let Some(last) = batches_of(bytes, base).last() {
        end = u64::try_from(last.header.last_offset()).unwrap() + 1;
    }
    fs::write(bench.fixture.log_file(base), bytes).unwrap();
    let newer: Vec<_> = newer.iter().map(|key| keyed(key, Some("newer"))).collect();
    let after = bytes_at(end, &newer, |_| ());
    fs::write(bench.fixture.log_file(end), after).unwrap();
    let active = end + newer.len() as u64;
    fs::write(bench.fixture.log_file(active), bytes_at(active, &[keyed("active", Some("it"))], |_| ()))
        .unwrap();
    let clean = Checkpointed {
        clean: true,
        recovery_point: Some(active + 1),
        log_start: base,
        ..Checkpointed::default()
    };
    bench.open(&Faults::default(), clean)
}

/// What is left at the start of the segment.
fn left(bench: &Bench, base: u64) -> (Vec<u8>, Vec<At>) {
    let bytes = fs::read(bench.fixture.log_file(base)).unwrap();
    let batches = batches_of(&bytes, base);
    (bytes, batches)
}

fn offsets(log: &Arc<Leader>, below: u64) -> Vec<u64> {
    seen(log).into_iter().map(|(at, _)| at).filter(|at| *at < below).collect()
}

#[test]
fn nothing_is_changed_that_needs_no_change() {
    for (name, base, records) in [
        ("kp_compact_gaps.bin", 200, vec![200, 203, 207]),
        ("kp_compact_first_gone.bin", 300, vec![305]),
        ("gen_delete_horizon.bin", 500, vec![500, 502]),
    ] {
        let (bench, bytes) = (Bench::new(2000), vector(name));
        let log = holding(&bench, base, &bytes, &["other"]);
        assert_eq!(bench.run().unwrap().partitions_compacted, 1, "{name}");
        let (left, _) = left(&bench, base);
        assert_eq!(left.get(..bytes.len()), Some(&bytes[..]), "{name}: byte for byte");
        assert_eq!(offsets(&log, base + 100)[..records.len()], records, "{name}");
        assert_eq!(log.bounds().unwrap().log_start, base);
    }
}

#[test]
fn gaps_stay_where_they_are_when_more_is_taken_out() {
    let (bench, bytes) = (Bench::new(2000), vector("kp_compact_gaps.bin"));
    let log = holding(&bench, 200, &bytes, &["k0", "k7"]);
    bench.run().unwrap();
    let (_, batches) = left(&bench, 200);
    let header = batches[0].header;
    assert_eq!((header.base_offset, header.last_offset_delta, header.record_count), (200, 9, 1));
    assert_eq!((header.base_timestamp, header.max_timestamp), (NOW + 9, NOW + 9));
    assert_eq!(offsets(&log, 210), [203]);
    log.close().unwrap();

    // Its sequence is that of its first record, which went long ago.
    let (bench, bytes) = (Bench::new(2000), vector("kp_compact_first_gone.bin"));
    let log = holding(&bench, 300, &bytes, &["k5"]);
    bench.run().unwrap();
    let (_, batches) = left(&bench, 300);
    let header = batches[0].header;
    assert_eq!((header.base_offset, header.last_offset_delta, header.record_count), (300, 5, 0));
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 1, 100));
    assert_eq!((batches[0].bytes, header.base_timestamp), (61, -1));
    assert_eq!(offsets(&log, 306), [0; 0]);
}

#[test]
fn a_tombstone_goes_at_the_time_that_another_has_given_it() {
    for (late, left_over) in [(86_399_999, vec![500, 502]), (86_400_000, vec![502])] {
        let (bench, bytes) = (Bench::new(2000), vector("gen_delete_horizon.bin"));
        bench.clock.advance(std::time::Duration::from_millis(late));
        let log = holding(&bench, 500, &bytes, &["other"]);
        bench.run().unwrap();
        assert_eq!(offsets(&log, 504), left_over);
        let (_, batches) = left(&bench, 500);
        let header = batches[0].header;
        assert!(header.has_delete_horizon());
        assert_eq!((header.base_timestamp, header.max_timestamp), (NOW + 86_400_000, NOW + 9), "it stays");
        assert_eq!(header.last_offset_delta, 3);
    }
}

/// A batch without records keeps its producer known as long as that has no later one.
#[test]
fn the_header_of_a_producer_stays_as_long_as_it_is_the_last() {
    let (bench, bytes) = (Bench::new(2000), vector("gen_empty_batch.bin"));
    holding(&bench, 600, &bytes, &["other"]);
    bench.run().unwrap();
    let (left_over, _) = left(&bench, 600);
    assert_eq!(left_over.get(..bytes.len()), Some(&bytes[..]));

    let bench = Bench::new(2000);
    let mut both = bytes.clone();
    both.extend(bytes_at(605, &[keyed("k", Some("v"))], |header| {
        (header.producer_id, header.producer_epoch, header.base_sequence) = (4000, 3, 25);
    }));
    let log = holding(&bench, 600, &both, &["other"]);
    bench.run().unwrap();
    let (_, batches) = left(&bench, 600);
    assert_eq!(batches[0].header.base_offset, 605, "the later one reports the same");
    assert_eq!(log.bounds().unwrap().log_start, 600);
}
