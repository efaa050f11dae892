//! A directory that is moved, deleted or replaced while it is open. Whatever has its name then belongs to another program: an
//! error says so, and nothing is written there. Systems without Unix's view of names keep open directories in their place.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use crate::common::{MODES, Mode, texts, tree};
use stratalog::{Error, EventLog, Maintenance, ManualClock, Record, Remedy, Timestamp, Topic, TopicConfig};

const SEGMENT: u32 = 4096;

fn open(mode: Mode, at: &Path) -> EventLog {
    let options = mode.options().maintenance(Maintenance::Manual).max_segment_bytes(SEGMENT);
    options.clock(ManualClock::new(Timestamp::from_millis(1_000_000))).open(at).unwrap()
}

/// A record of which few fill a segment.
fn large(text: &str) -> String {
    format!("{text:x<1000}")
}

/// Sends until a segment is full, and returns what the call said that needed another.
fn fill(log: &EventLog, topic: &Topic) -> (Vec<String>, Error) {
    let mut sent = Vec::new();
    for number in 0..10 {
        let value = large(&format!("{number} "));
        match log.producer().unwrap().send(topic, Record::new(&value)) {
            Ok(_) => sent.push(value),
            Err(failure) => return (sent, failure),
        }
    }
    panic!("no send failed");
}

fn assert_replaced(failure: &Error, path: &Path) {
    assert!(matches!(failure, Error::Replaced { path: named } if **named == *path), "{failure}");
    assert_eq!(failure.remedy(), Remedy::Reopen);
    assert!(failure.to_string().contains("moved, deleted or replaced"), "{failure}");
}

/// Everything that writes by name, after the place was given to another log.
fn nothing_reaches(place: &Path, log: &EventLog, topic: &Topic) {
    let before = tree(place);
    let (_, failure) = fill(log, topic);
    assert_replaced(&failure, place);
    let partition = topic.partition(0).unwrap();
    for failure in [
        log.create_topic("new", TopicConfig::new()).map(drop),
        topic.alter_config(|now| now.retention_bytes(5)),
        topic.add_partitions(3),
        log.delete_topic("t"),
        partition.sync(),
        log.sync(),
    ] {
        assert_replaced(&failure.unwrap_err(), place);
    }
    assert!(partition.delete_records(3).is_err());
    let _ = log.run_maintenance();
    let _ = log.close().unwrap_err();
    assert!(tree(place) == before, "something was changed in the place of another log");
}

#[test]
fn a_log_that_was_moved_writes_nothing_into_the_one_in_its_place() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (place, elsewhere) = (root.join("place"), root.join("elsewhere"));
        let log = open(mode, &place);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        for value in ["one", "two", "three"] {
            log.producer().unwrap().send(&topic, Record::new(&large(value))).unwrap();
        }
        fs::rename(&place, &elsewhere).unwrap();
        let other = open(mode, &place);
        let others = other.create_topic("t", TopicConfig::new()).unwrap();
        for value in 0..20 {
            other.producer().unwrap().send(&others, Record::new(&large(&value.to_string()))).unwrap();
        }
        nothing_reaches(&place, &log, &topic);
        drop((log, topic));
        assert_eq!(texts(&other, &others).len(), 20);
        other.close().unwrap();
        assert!(EventLog::open(&place).unwrap().recovery().clean);

        // What was acknowledged is where the directory is.
        let log = EventLog::open(&elsewhere).unwrap();
        let found = texts(&log, &log.topic("t").unwrap());
        assert!(
            found.len() >= 3 && found[..3].iter().zip(["one", "two", "three"]).all(|(a, b)| a.starts_with(b))
        );
    }
}

#[test]
fn a_log_that_was_moved_and_has_nothing_in_its_place_makes_nothing_there() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (place, elsewhere) = (root.join("place"), root.join("elsewhere"));
    let log = open(MODES[0], &place);
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    fs::rename(&place, &elsewhere).unwrap();
    let (_, failure) = fill(&log, &topic);
    assert_replaced(&failure, &place);
    assert_replaced(&log.close().unwrap_err(), &place);
    assert!(!place.exists());
    assert!(!elsewhere.join(".kafka_cleanshutdown").exists(), "it was not closed cleanly");
    assert!(texts(&EventLog::open(&elsewhere).unwrap(), &topic_of(&elsewhere)).len() > 1);
}

fn topic_of(place: &Path) -> Topic {
    EventLog::open_read_only(place).unwrap().topic("t").unwrap()
}

/// A directory rebuilt may well get the number of the one that was deleted.
#[test]
fn a_log_that_was_deleted_writes_nothing_into_the_one_made_in_its_place() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap().join("place");
        let log = open(mode, &place);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
        fs::remove_dir_all(&place).unwrap();
        let other = open(mode, &place);
        let others = other.create_topic("t", TopicConfig::new()).unwrap();
        other.producer().unwrap().send(&others, Record::new("theirs")).unwrap();
        nothing_reaches(&place, &log, &topic);
        drop((log, topic));
        assert_eq!(texts(&other, &others), ["theirs"]);
        other.close().unwrap();
        assert!(EventLog::open(&place).unwrap().recovery().clean);
    }
}

/// Deleted records are files that go by name: those of the log that has the name now must stay.
#[test]
fn retention_of_a_log_that_was_moved_removes_nothing_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (place, elsewhere) = (root.join("place"), root.join("elsewhere"));
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let make = || {
        let options = EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(SEGMENT);
        let log = options.clock(clock.clone()).open(&place).unwrap();
        let config = TopicConfig::new().retention_bytes(u64::from(SEGMENT)).set("file.delete.delay.ms", "0");
        let topic = log.create_topic("t", config).unwrap();
        for number in 0..30 {
            log.producer().unwrap().send(&topic, Record::new(&large(&number.to_string()))).unwrap();
        }
        (log, topic)
    };
    let (log, topic) = make();
    fs::rename(&place, &elsewhere).unwrap();
    let (other, others) = make();
    let before = tree(&place);
    for _ in 0..5 {
        clock.advance(std::time::Duration::from_secs(3600));
        let _ = log.run_maintenance();
    }
    let _ = topic.partition(0).unwrap().delete_records(20);
    assert!(tree(&place) == before);
    drop((log, topic));
    assert!(tree(&place) == before);
    assert_eq!(texts(&other, &others).len(), 30);
}

/// One partition's directory is replaced, not the log's.
#[test]
fn a_partition_that_was_moved_writes_nothing_into_the_one_in_its_place() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("log");
        let log = open(mode, &root);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let calm = log.create_topic("calm", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
        let place = root.join("t-0");
        fs::rename(&place, dir.path().join("aside")).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join("00000000000000000000.log"), "not ours").unwrap();
        let before = tree(&place);
        let (_, failure) = fill(&log, &topic);
        assert_replaced(&failure, &place);
        let _ = topic.partition(0).unwrap().delete_records(1).unwrap_err();
        let _ = log.run_maintenance();
        log.delete_topic("t").unwrap();
        // The others are in their place.
        log.producer().unwrap().send(&calm, Record::new("calm")).unwrap();
        log.close().unwrap();
        assert!(tree(&place) == before);
        let log = open(mode, &root);
        assert_eq!(log.recovery().unknown_directories, [place]);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap_err();
        assert!(topic.to_string().contains("t-0 is in the way"), "{topic}");
    }
}

/// The same with a topic that stays: what is kept of it at the close is not what is in its place.
#[test]
fn a_partition_that_was_moved_is_not_closed_cleanly() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let log = open(mode, &root);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
        fs::rename(root.join("t-0"), root.join("u-0")).unwrap();
        assert_replaced(&log.close().unwrap_err(), &root.join("t-0"));
        assert!(!root.join("t-0").exists());
        assert!(!root.join(".kafka_cleanshutdown").exists());
    }
}

/// A broker that starts after its lock was taken away makes another one, and is a second writer.
#[test]
fn a_lock_that_is_another_file_ends_writing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let log = open(MODES[0], &root);
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    // Only removed it keeps no process out, but none has come either.
    fs::remove_file(root.join(".lock")).unwrap();
    drop(log.create_topic("u", TopicConfig::new()).unwrap());
    log.sync().unwrap();
    fs::write(root.join(".lock"), "").unwrap();
    let before = tree(&root);
    let (sent, failure) = fill(&log, &topic);
    assert_replaced(&failure, &root.join(".lock"));
    assert!(sent.len() < 4);
    let _ = log.close().unwrap_err();
    let after = tree(&root);
    assert!(after.keys().eq(before.keys()), "no file came or went");
}
