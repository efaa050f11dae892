//! Looking into single files: what is returned is what other programs wrote.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use stratalog::inspect::{
    ControlKind, CoordinatorTopic, IndexEntries, LogFile, OffsetIndexEntry, TimeIndexEntry, base_offset,
    decode_coordinator_record, decode_metadata_record, producer_snapshot, transaction_index,
};
use stratalog::{Error, TimestampType};

fn vectors(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}

fn manifest() -> Value {
    serde_json::from_slice(&fs::read(vectors("manifest.json")).unwrap()).unwrap()
}

fn offsets(file: &mut LogFile) -> Vec<i64> {
    let mut offsets = Vec::new();
    while let Some(batch) = file.next_batch().unwrap() {
        assert!(batch.is_valid());
        offsets.extend(batch.records().unwrap().iter().map(|record| record.offset()));
    }
    assert_eq!(file.bytes_left(), 0, "{:?}", file.why_stopped());
    offsets
}

/// Whether batches of every codec can be read.
const ALL_CODECS: bool =
    cfg!(feature = "gzip") && cfg!(feature = "snappy") && cfg!(feature = "lz4") && cfg!(feature = "zstd");

#[test]
fn records_are_those_that_other_programs_wrote() {
    let mut records = 0;
    for entry in manifest()["batches"].as_array().unwrap() {
        let name = entry["file"].as_str().unwrap();
        let mut file = LogFile::open(vectors(name)).unwrap();
        for expected in entry["batches"].as_array().unwrap() {
            let batch = file.next_batch().unwrap().unwrap();
            let number = |field: &str| expected[field].as_i64().unwrap();
            assert_eq!(batch.base_offset(), Some(number("baseOffset")), "{name}");
            assert_eq!(batch.bytes(), number("length").unsigned_abs() + 12, "{name}");
            if !ALL_CODECS && expected["compression"] != "none" {
                continue;
            }
            let ours = batch.records().unwrap();
            let theirs = expected["records"].as_array().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(Value::from(ours.offset()), theirs["offset"], "{name}");
                assert_eq!(Value::from(ours.timestamp()), theirs["timestamp"], "{name}");
                assert_eq!(ours.headers().len(), theirs["headers"].as_array().unwrap().len(), "{name}");
                assert_eq!(
                    ours.key().is_none(),
                    theirs["key"].get("b64").is_none_or(Value::is_null) && theirs["key"].get("len").is_none(),
                    "{name}"
                );
                records += 1;
            }
        }
        assert!(file.next_batch().unwrap().is_none());
    }
    assert!(records > if ALL_CODECS { 800 } else { 100 }, "{records}");
}

#[test]
fn messages_of_old_brokers_are_records_too() {
    let mut file = LogFile::open(vectors("legacy/kp_v1_none.bin")).unwrap();
    let batch = file.next_batch().unwrap().unwrap();
    assert_eq!((batch.magic(), batch.base_offset(), batch.record_count()), (1, None, None));
    assert_eq!((batch.producer_id(), batch.leader_epoch(), batch.is_control()), (-1, -1, false));
    assert_eq!(batch.timestamp_type(), Some(TimestampType::CreateTime));
    assert!(batch.is_valid());
    let records = batch.records().unwrap();
    assert!(records.iter().all(|record| record.crc().is_some()));
}

#[test]
fn damage_ends_a_file_or_a_batch() {
    let mut file = LogFile::open(vectors("corrupt/wrong_crc.bin")).unwrap();
    let mut valid = Vec::new();
    while let Some(batch) = file.next_batch().unwrap() {
        valid.push((batch.position(), batch.is_valid()));
    }
    assert_eq!(valid, [(0, true), (137, false), (274, true)]);

    let mut file = LogFile::open(vectors("corrupt/zero_tail.bin")).unwrap();
    while file.next_batch().unwrap().is_some() {}
    assert_eq!((file.position(), file.bytes_left()), (411, 4096));
    assert_eq!(file.why_stopped().as_deref(), Some("the length field is below 14"));
    let mut file = LogFile::open(vectors("corrupt/length_20.bin")).unwrap();
    while file.next_batch().unwrap().is_some() {}
    assert!(file.why_stopped().unwrap().contains("at least 61 bytes"));

    let mut file = LogFile::open(vectors("corrupt/record_length_lies.bin")).unwrap();
    assert!(file.next_batch().unwrap().unwrap().records().is_ok());
    let broken = file.next_batch().unwrap().unwrap().records().unwrap_err();
    assert!(matches!(&broken, Error::Corrupt(damage) if damage.position > 0), "{broken}");
}

#[test]
fn markers_say_how_transactions_ended() {
    let mut kinds = Vec::new();
    for name in
        ["batches/kp_control_abort.bin", "batches/kp_control_commit.bin", "batches/gen_kraft_bootstrap.bin"]
    {
        let mut file = LogFile::open(vectors(name)).unwrap();
        while let Some(batch) = file.next_batch().unwrap() {
            for record in &batch.records().unwrap() {
                assert_eq!(record.control().is_some(), batch.is_control());
                kinds.extend(record.control());
            }
        }
    }
    assert!(matches!(
        kinds[..],
        [
            ControlKind::Abort { .. },
            ControlKind::Commit { .. },
            ControlKind::SnapshotHeader,
            ControlKind::SnapshotFooter
        ]
    ));
}

#[test]
fn files_beside_the_log() {
    let tx = vectors("broker/clean-4.1/logdir/__consumer_offsets-4");
    let aborted = transaction_index(tx.join("00000000000000000000.txnindex")).unwrap();
    let first = (
        aborted[0].producer_id,
        aborted[0].first_offset,
        aborted[0].last_offset,
        aborted[0].last_stable_offset,
    );
    assert_eq!((aborted.len(), first), (4, (5, 2, 3, 4)));

    let codecs = vectors("broker/clean-4.1/logdir/codecs-0");
    let producers = producer_snapshot(codecs.join("00000000000000000127.snapshot")).unwrap();
    let one = producers[0];
    assert_eq!((one.producer_id, one.first_sequence(), one.last_sequence, one.last_offset), (1000, 6, 8, 71));

    let log = codecs.join("00000000000000000000.log");
    let positions = IndexEntries::<OffsetIndexEntry>::open(log.with_extension("index")).unwrap();
    let entries: Vec<_> = positions.map(Result::unwrap).collect();
    assert_eq!((entries[0].offset, entries[0].position), (15, 12279));
    let times: Vec<_> = IndexEntries::<TimeIndexEntry>::open(log.with_extension("timeindex"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!((times[0].timestamp, times[0].offset), (1_700_011_000_802, 15));
    assert_eq!(base_offset(&log), Some(0));
    if ALL_CODECS {
        assert_eq!(offsets(&mut LogFile::open(&log).unwrap()).len(), 127);
    }

    let other = IndexEntries::<TimeIndexEntry>::open(codecs.join("partition.metadata")).unwrap_err();
    assert!(matches!(other, Error::InvalidInput { .. }), "{other}");
    let missing = producer_snapshot(codecs.join("00000000000000000001.snapshot")).unwrap_err();
    assert!(matches!(missing, Error::Io(_)), "{missing}");
    let garbage = producer_snapshot(&log).unwrap_err();
    assert!(matches!(garbage, Error::Corrupt(_)), "{garbage}");
}

#[test]
fn records_of_kafkas_own_topics_are_put_into_words() {
    let mut file =
        LogFile::open(vectors("catalog/logdir/__cluster_metadata-0/00000000000000000000.log")).unwrap();
    let mut words = Vec::new();
    while let Some(batch) = file.next_batch().unwrap() {
        for record in batch.records().unwrap().iter().filter(|_| !batch.is_control()) {
            words.push(decode_metadata_record(record.value().unwrap()).unwrap());
        }
    }
    assert_eq!(
        words[0],
        r#"{"type":"FEATURE_LEVEL_RECORD","version":0,"data":{"name":"metadata.version","featureLevel":21}}"#
    );
    assert!(words.iter().any(|words| words.contains(r#""type":"REMOVE_TOPIC_RECORD""#)));

    let unknown = decode_coordinator_record(CoordinatorTopic::ConsumerOffsets, &[0, 99], None).unwrap();
    assert_eq!(unknown, None);
    let refused = decode_coordinator_record(CoordinatorTopic::TransactionState, &[0], None).unwrap_err();
    assert!(refused.to_string().contains("ends early"), "{refused}");
    assert!(decode_metadata_record(&[]).is_err());
}

proptest! {
    #[test]
    fn garbage_is_read_or_ends(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..411_usize, bit in 0..8_u8) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.log");
        let mut flipped = fs::read(vectors("corrupt/base_three_batches.bin")).unwrap();
        flipped[at] ^= 1_u8 << bit;
        for content in [&bytes, &flipped] {
            fs::write(&path, content).unwrap();
            let mut file = LogFile::open(&path).unwrap();
            let mut passed = 0;
            while let Some(batch) = file.next_batch().unwrap() {
                passed += batch.bytes();
                if let Ok(records) = batch.records() {
                    prop_assert_eq!(records.iter().count(), records.len());
                }
            }
            prop_assert_eq!(passed + file.bytes_left(), content.len() as u64);
            prop_assert_eq!(file.why_stopped().is_some(), file.bytes_left() > 0);
            for suffix in ["index", "timeindex", "txnindex", "snapshot"] {
                let path = path.with_extension(suffix);
                fs::write(&path, content).unwrap();
                let _ = transaction_index(&path);
                let _ = producer_snapshot(&path);
                let entries = IndexEntries::<TimeIndexEntry>::open(&path).unwrap();
                prop_assert_eq!(entries.count(), content.len() / 12);
            }
        }
    }
}
