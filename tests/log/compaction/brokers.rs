//! What brokers have compacted, compacted again; and what one of them had before, compacted as it did.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::{
    ConsumerConfig, Event, EventLog, IsolationLevel, Maintenance, ManualClock, OpenOptions, Timestamp,
};

use super::in_memory;
use crate::common::{copy, names};

fn vectors(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/broker").join(path)
}

fn options(now: i64) -> OpenOptions {
    let clock = ManualClock::new(Timestamp::from_millis(now));
    EventLog::options().clock(clock).maintenance(Maintenance::Manual)
}

/// The last value of each key of each partition of a topic, by what counts for readers of committed records.
fn state(log: &EventLog, topic: &str) -> BTreeMap<(u32, Vec<u8>), Vec<u8>> {
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(config).unwrap();
    reader.assign(log.topic(topic).unwrap().partitions()).unwrap();
    let mut state = BTreeMap::new();
    loop {
        let records = reader.poll(std::time::Duration::ZERO).unwrap();
        if records.is_empty() {
            return state;
        }
        for record in &records {
            let key = (record.partition(), record.key().unwrap_or_default().to_vec());
            match record.value() {
                Some(value) => state.insert(key, value.to_vec()),
                None => state.remove(&key),
            };
        }
    }
}

/// All topics of a broker that it compacts, with transactions in some of them.
#[test]
fn topics_of_brokers_stand_for_the_same_afterwards() {
    for folder in ["clean-4.1", "killed-4.1"] {
        let dir = in_memory();
        copy(&vectors(folder).join("logdir"), dir.path());
        // A year after the broker, so that every tombstone may go.
        let log = options(1_900_000_000_000).open(dir.path()).unwrap();
        // Not `__transaction_state`: ids that were not used for a week are forgotten.
        let topics = ["compacted", "tombless", "tx", "codecs", "__consumer_offsets"];
        let topics: Vec<_> = topics.into_iter().filter(|topic| log.topic(topic).is_ok()).collect();
        assert!(topics.len() > 3);
        let before: Vec<_> = topics.iter().map(|topic| state(&log, topic)).collect();
        let events = log.events();
        let alter = |topic: &str| {
            let topic = log.topic(topic).unwrap();
            topic.alter_config(|config| {
                config.set("cleanup.policy", "compact").set("min.cleanable.dirty.ratio", "0")
            })
        };
        for topic in topics.iter().filter(|topic| !topic.starts_with("__")) {
            alter(topic).unwrap();
        }
        for _ in 0..3 {
            log.run_maintenance().unwrap();
        }
        let reported = std::iter::from_fn(|| events.try_next());
        let wrong = |event: &Event| {
            matches!(event, Event::CompactionRefused { .. } | Event::MaintenanceFailed { .. })
        };
        assert_eq!(reported.filter(wrong).collect::<Vec<_>>(), []);
        for (topic, before) in topics.iter().zip(before) {
            assert_eq!(state(&log, topic), before, "{topic}");
        }
        log.close().unwrap();
        let log = options(1_900_000_000_000).open(dir.path()).unwrap();
        assert!(log.recovery().clean);
    }
}

/// The broker renamed what it had compacted, and was stopped before it removed that.
#[test]
fn what_a_broker_compacted_comes_out_byte_for_byte() {
    for (topic, retention) in [("compacted", 86_400_000), ("tombless", 0)] {
        let dir = in_memory();
        copy(&vectors("clean-4.1/logdir"), dir.path());
        let partition = dir.path().join(format!("{topic}-0"));
        let theirs = fs::read(partition.join("00000000000000000000.log")).unwrap();
        for name in names(&partition) {
            if let Some(plain) = name.strip_suffix(".deleted") {
                fs::rename(partition.join(&name), partition.join(plain)).unwrap();
            }
        }
        // By what it kept the time of the broker's cleaner run is known.
        let now = horizon_of(&theirs).unwrap() - retention;
        fs::write(dir.path().join("cleaner-offset-checkpoint"), "").unwrap();
        let log = options(now).open(dir.path()).unwrap();
        let opened = log.topic(topic).unwrap();
        opened.alter_config(|config| config.set("min.cleanable.dirty.ratio", "0")).unwrap();
        log.run_maintenance().unwrap();
        let ours = fs::read(partition.join("00000000000000000000.log")).unwrap();
        assert_eq!(ours.len(), theirs.len(), "{topic}");
        // A batch of each was compressed anew: our gzip names another system in its header, and the batch's checksum
        // covers that.
        let header = 61 * usize::from(topic == "tombless");
        let may_differ: Vec<_> = (17..21).chain([61 + 9]).map(|at| header + at).collect();
        let differs: Vec<_> = (0..ours.len()).filter(|at| ours[*at] != theirs[*at]).collect();
        assert_eq!(differs, may_differ, "{topic}");
        log.close().unwrap();
    }
}

/// The delete horizon of the first batch that has one.
fn horizon_of(file: &[u8]) -> Option<i64> {
    let mut rest = file;
    while rest.len() > 61 {
        let length = 12 + u32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
        if rest[22] & 0x40 != 0 {
            return Some(i64::from_be_bytes(rest[27..35].try_into().unwrap()));
        }
        rest = &rest[length..];
    }
    None
}
