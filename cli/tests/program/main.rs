//! The program: what its commands print, what they refuse, with which exit code; and beside other processes, signals,
//! terminals and full disks.

#[path = "../../../tests/common/mod.rs"]
mod common;
mod consume;
mod copy;
mod cutting;
mod dump;
mod export;
mod full_disk;
mod groups;
mod handover;
mod help;
mod perf;
mod processes;
mod produce;
mod program;
mod set;
mod settings;
mod snapshot;
mod stats;
#[cfg(unix)]
mod terminal;
mod topics;
mod transactions;
mod tutorial;
mod verify;

use std::path::{Path, PathBuf};

use stratalog::{EventLog, Maintenance, Position, Record, RecordCopy, Timestamp, TimestampType, TopicConfig};

/// A text with paths as Unix writes them.
fn slashed(text: &str) -> String {
    text.replace(std::path::MAIN_SEPARATOR, "/")
}

/// A file or directory of the vectors.
fn vectors(path: &str) -> PathBuf {
    common::root().join("tests/vectors").join(path)
}

/// A directory with something of everything that the program can write.
fn fill(dir: &Path) {
    let log = EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(8192).open(dir).unwrap();
    let orders = log.create_topic("orders", TopicConfig::new().partitions(2).retention(None)).unwrap();
    let times =
        TopicConfig::new().timestamp_type(TimestampType::LogAppendTime).set("cleanup.policy", "compact");
    let times = log.create_topic("times", times).unwrap().partition(0).unwrap();
    log.create_topic("empty", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    let repeated = "long ".repeat(100);
    for n in 0..100_i64 {
        let (key, value) = (format!("key {n}"), format!("value {n} ü\"\n"));
        let record = Record::new(if n % 7 == 0 { &repeated } else { &value })
            .key(&key)
            .partition(u32::from(n % 2 == 1));
        let record = record.timestamp(Timestamp::from_millis(1_700_000_000_000 + n * 1000));
        let record = if n % 3 == 0 { record.header("hé", &key).header("by", "") } else { record };
        producer.send(&orders, record).unwrap();
    }
    producer.send_batch(&times, [Record::new("a").key("k"), Record::tombstone("k")]).unwrap();
    let gaps = log.create_topic("gaps", TopicConfig::new()).unwrap().partition(0).unwrap();
    let copies = [(40, "a"), (45, "b")].map(|(at, value)| RecordCopy::new(at, Record::new(value)));
    producer.send_copies(&gaps, copies).unwrap();
    producer.advance_log_end(&gaps, 60).unwrap();
    orders.partition(1).unwrap().delete_records(5).unwrap();
    let positions = [Position::new(("orders", 0), 7), Position::new(("gaps", 0), 60)];
    log.group("billing").unwrap().set_committed(positions).unwrap();
    log.close().unwrap();
}
