//! Memory does not grow with the log.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use crate::common::{self, started, test_path};
use stratalog::{EventLog, Record, TopicConfig};

const CHILD: &str = "STRATALOG_MEMORY_CHILD";
const VALUE: usize = 64 << 10;
const RECORDS: u64 = 300 * 16;

/// Memory of this process that belongs to no file, in KiB.
fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux 4.5 and later tell");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The child: it counts what the process holds.
#[test]
fn write_and_replay() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    for mode in [common::MODES[0], common::MODES[3]] {
        let dir = tempfile::tempdir().unwrap();
        let config = TopicConfig::new().partitions(2).segment_bytes(32 << 20);
        let value = vec![7; VALUE];
        let check = |what: &str, before: u64| {
            let grown = anonymous_kib().saturating_sub(before);
            assert!(grown < 16 << 10, "{what} took {grown} KiB ({mode:?})");
        };
        let before = anonymous_kib();
        let log = mode.open(dir.path());
        let topic = log.create_topic("t", config).unwrap();
        let (producer, mut buffered) = (log.producer().unwrap(), log.producer().unwrap().buffered());
        for number in 0..RECORDS / 2 {
            producer.send(&topic, Record::new(&value)).unwrap();
            buffered.enqueue(&topic, Record::new(&value)).unwrap();
            if number % 64 == 0 {
                check("writing", before);
            }
        }
        buffered.flush().unwrap();
        let replay = |log: &EventLog| {
            let mut reader = log.standalone_consumer().unwrap();
            reader.assign([("t", 0), ("t", 1)]).unwrap();
            let mut seen = 0;
            loop {
                let records = reader.poll(Duration::ZERO).unwrap();
                if records.is_empty() {
                    break;
                }
                seen += records.len() as u64;
                assert!(records.iter().all(|record| record.value().unwrap().len() == VALUE));
                check("replaying", before);
            }
            assert_eq!(seen, RECORDS);
        };
        replay(&log);
        log.close().unwrap();
        let log = mode.open(dir.path());
        replay(&log);
        // An unclean stop: everything is scanned.
        log.close().unwrap();
        std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
        let log = mode.open(dir.path());
        assert!(log.recovery().bytes_scanned() > 300 << 20);
        check("recovering", before);
    }
}

#[test]
fn writing_and_replaying_a_large_log_takes_little_memory() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test_path!(write_and_replay), "--nocapture"]).env(CHILD, "yes");
    assert!(started(|| child.status()).success());
}
