//! `ulimit -f`: no file of a log becomes longer than the process may write, and no signal ends the process.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use crate::common::{self, MODES, names, read, test_path};
use stratalog::{Error, EventLog, Record, Remedy, TopicConfig};

const DIRECTORY: &str = "STRATALOG_LIMITED_DIRECTORY";
const MODE: &str = "STRATALOG_LIMITED_MODE";
const WHAT: &str = "STRATALOG_LIMITED_WHAT";
const LIMIT: u64 = 2 << 20;
const RECORDS: usize = 3000;

fn value(number: usize) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(2000, 7);
    value
}

fn open(path: &Path, mode: usize) -> EventLog {
    MODES[mode].open(path)
}

fn large_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(64 << 20).set("max.message.bytes", "16777216")
}

/// The child: in it no file may become longer than [`LIMIT`].
#[test]
fn child() {
    let (Ok(path), Ok(mode)) = (std::env::var(DIRECTORY), std::env::var(MODE)) else { return };
    let (path, mode) = (Path::new(&path), mode.parse().unwrap());
    match &*std::env::var(WHAT).unwrap() {
        "fill" => write_below_the_limit(path, mode),
        "recover" => recover_above_the_limit(path, mode),
        other => panic!("{other}"),
    }
}

fn is_refused<T: std::fmt::Debug>(outcome: stratalog::Result<T>) {
    let failure = outcome.unwrap_err();
    assert!(matches!(failure, Error::StorageFull { .. }), "{failure:?}");
    assert_eq!(failure.remedy(), Remedy::Retry);
    assert!(failure.to_string().contains("ulimit -f"), "{failure}");
}

fn write_below_the_limit(path: &Path, mode: usize) {
    let log = open(path, mode);
    let topic = log.create_topic("t", large_segments()).unwrap();
    let producer = log.producer().unwrap();
    let large = vec![1; 3 << 20];
    is_refused(producer.send(&topic, Record::new(&large)));
    for number in 0..RECORDS {
        producer.send(&topic, Record::new(&value(number))).unwrap();
        if number % 1000 == 0 {
            is_refused(producer.send(&topic, Record::new(&large)));
            is_refused(producer.send_batch(&topic.partition(0).unwrap(), vec![Record::new(&value(0)); 1500]));
        }
    }
    producer.send(&topic, Record::new(&vec![1; 1 << 20])).unwrap();
    assert!(topic.partition(0).unwrap().segments().unwrap().len() > 2);
    log.sync().unwrap();
    log.close().unwrap();
}

/// A log that another process left when it was killed, with a segment longer than this one may write.
fn recover_above_the_limit(path: &Path, mode: usize) {
    let log = open(path, mode);
    assert!(log.recovery().failed.is_empty(), "{:?}", log.recovery().failed);
    let topic = log.topic("t").unwrap();
    assert_eq!(read(&log, topic.partitions()).len(), RECORDS);
    let producer = log.producer().unwrap();
    for number in 0..10 {
        producer.send(&topic, Record::new(&value(number))).unwrap();
    }
    assert_eq!(read(&log, topic.partitions()).len(), RECORDS + 10);
    assert!(topic.partition(0).unwrap().segments().unwrap().len() > 1, "the long one takes no more");
}

/// Runs the child with a limit, and without a handler for the signal.
fn limited(path: &Path, mode: usize, what: &str) {
    let program = std::env::current_exe().unwrap();
    // In blocks of 512 bytes.
    let script = format!("ulimit -f {}; exec \"$0\" --exact {} --nocapture", LIMIT / 512, test_path!(child));
    let mut child = Command::new("sh");
    child.args(["-c", &script]).arg(program);
    child.env(DIRECTORY, path).env(MODE, mode.to_string()).env(WHAT, what);
    let status = child.status().unwrap();
    assert!(status.success(), "{what} in {:?}: {status}", MODES[mode]);
}

#[test]
fn files_stay_below_the_limit_and_no_signal_comes() {
    for mode in 0..MODES.len() {
        let dir = tempfile::tempdir().unwrap();
        limited(dir.path(), mode, "fill");
        for name in names(&dir.path().join("t-0")) {
            let length = std::fs::metadata(dir.path().join("t-0").join(&name)).unwrap().len();
            assert!(length <= LIMIT, "{name}: {length}");
        }
        let log = open(dir.path(), mode);
        assert!(log.recovery().clean);
        let found = read(&log, log.topic("t").unwrap().partitions());
        assert_eq!(found.len(), RECORDS + 1);
        assert!(
            found.iter().take(RECORDS).enumerate().all(|(at, one)| one.value().unwrap()[..] == value(at))
        );
    }
}

#[test]
fn a_log_with_longer_files_is_recovered_and_continues_in_shorter_ones() {
    for mode in [0, 3] {
        let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = open(dir.path(), mode);
        let topic = log.create_topic("t", large_segments()).unwrap();
        let producer = log.producer().unwrap();
        for number in 0..RECORDS {
            producer.send(&topic, Record::new(&value(number))).unwrap();
        }
        // As a kill would leave it.
        common::copy(dir.path(), killed.path());
        let path = killed.path();
        for name in ["stratalog.live", ".kafka_cleanshutdown"] {
            let _ = std::fs::remove_file(path.join(name));
        }
        limited(path, mode, "recover");
    }
}
