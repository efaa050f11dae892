//! Messages of the formats 0 and 1, as a broker before 0.11 left them: read through the public face, and written after
//! in format 2.

use std::fs;
use std::path::Path;

use stratalog::{EventLog, Header, Record, RecordView, Timestamp, TimestampType, TopicConfig};

use crate::common::read;

/// A file, whether this build reads it, and what it says of the time of an offset.
type Set<'s> = (&'s str, bool, &'s dyn Fn(u64) -> i64, TimestampType);

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/legacy").join(name)).unwrap()
}

/// A log whose topic holds these messages from offset 1000 on, and one record written after them.
fn with_messages(root: &Path, set: &str) -> EventLog {
    let log = EventLog::open(root).unwrap();
    let topic = log.create_topic("old", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("gone")).unwrap();
    log.close().unwrap();
    let partition = root.join("old-0");
    for suffix in ["log", "index", "timeindex"] {
        fs::remove_file(partition.join(format!("00000000000000000000.{suffix}"))).unwrap();
    }
    fs::write(partition.join("00000000000000001000.log"), vector(set)).unwrap();
    for checkpoint in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"] {
        fs::remove_file(root.join(checkpoint)).unwrap();
    }
    let log = EventLog::open(root).unwrap();
    log.producer().unwrap().send(&log.topic("old").unwrap(), Record::new("new").header("h", "v")).unwrap();
    log
}

fn check(view: &RecordView<'_>, timestamp: i64, timestamp_type: TimestampType) {
    assert_eq!(view.timestamp(), Timestamp::from_millis(timestamp));
    assert_eq!(view.timestamp_type(), timestamp_type);
    assert_eq!((view.leader_epoch(), view.headers().len()), (None, 0));
    let (key, value): (Option<&[u8]>, Option<&[u8]>) = match view.offset() {
        1000 => (Some(b"k0"), Some(b"v0")),
        1001 => (None, Some(b"v1")),
        1002 => (Some(b"k2"), None),
        _ => return assert_eq!(view.key(), Some(&b"k3"[..])),
    };
    assert_eq!((view.key(), view.value()), (key, value));
}

#[test]
fn messages_are_read_and_batches_follow() {
    let first = 1_700_000_000_000;
    let none = |_: u64| -1_i64;
    let each = |offset: u64| first + i64::try_from(offset).unwrap() - 1000;
    let append = |_: u64| first + 99;
    let (create, appended) = (TimestampType::CreateTime, TimestampType::LogAppendTime);
    let sets: [Set<'_>; 6] = [
        ("kp_v0_none.bin", true, &none, create),
        ("kp_v1_none.bin", true, &each, create),
        ("kp_v0_gzip.bin", cfg!(feature = "gzip"), &none, create),
        ("aio_v1_snappy.bin", cfg!(feature = "snappy"), &each, create),
        ("aio_v1_lz4.bin", cfg!(feature = "lz4"), &each, create),
        ("gen_v1_gzip_logappend.bin", cfg!(feature = "gzip"), &append, appended),
    ];
    for (set, _, timestamp, kind) in sets.into_iter().filter(|(_, built_in, ..)| *built_in) {
        eprintln!("{set}");
        let dir = tempfile::tempdir().unwrap();
        let log = with_messages(dir.path(), set);
        let records = read(&log, [("old", 0)]);
        assert_eq!(records.len(), 5);
        for record in &records[..4] {
            check(&record.view(), timestamp(record.view().offset()), kind);
        }
        let new = records[4].view();
        assert_eq!((new.offset(), new.value()), (1004, Some(&b"new"[..])));
        assert!(new.headers().eq([Header::new("h", "v")]));
        assert_eq!(new.leader_epoch(), Some(0));

        let partition = log.topic("old").unwrap().partition(0).unwrap();
        // A broker gives a wrapper the largest timestamp in it and trusts that; these came from producers, who give it none.
        let is_wrapped = kind == TimestampType::CreateTime && !set.ends_with("none.bin");
        for at in [first, first + 2, first + 50].into_iter().filter(|_| !is_wrapped) {
            let found = partition.offset_for_time(Timestamp::from_millis(at)).unwrap();
            let expected = (1000..1004).find(|offset| timestamp(*offset) >= at);
            assert_eq!(found, Some(expected.unwrap_or(1004)), "{at}");
        }
    }
}
