//! Directories of brokers that cannot be opened, or not for writing: each says why, and is left as it is.

use std::fs;
use std::path::Path;

use crate::common::expected::Expected;
use crate::common::{self, crafted};
use crate::common::{recorded, tree};
use stratalog::{Error, EventLog, Record, Remedy, TopicConfig};

/// Opening for writing and for reading, which both fail and change nothing.
fn both_say(root: &Path, words: &[&str]) {
    let content = || {
        // The lock file appears and stays; the metadata log is recovered at every open, as a broker does.
        let is_left =
            |path: &Path| !path.ends_with(".lock") && !path.starts_with(root.join("__cluster_metadata-0"));
        let files = tree(root).into_iter().filter(|(path, _)| is_left(path));
        files.map(|(path, (_, content))| (path, content)).collect::<Vec<_>>()
    };
    let before = content();
    for failure in [recorded().open(root).unwrap_err(), EventLog::open_read_only(root).unwrap_err()] {
        assert_eq!(failure.remedy(), Remedy::Inspect);
        for word in words {
            assert!(failure.to_string().contains(word), "{failure}");
        }
    }
    let after = content();
    let changed: Vec<_> = after.iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
    assert!(after == before, "{changed:?}");
}

fn replace(root: &Path, from: &str, to: &str) {
    let path = root.join("meta.properties");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

fn directory_id(root: &Path) -> String {
    let text = fs::read_to_string(root.join("meta.properties")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap().to_owned()
}

#[test]
fn one_of_two_log_directories_of_a_broker() {
    // The one in which the metadata log is not.
    let dir = Expected::of_broker("clean-4.1").copy();
    fs::write(dir.path().join(".kafka_cleanshutdown"), "{}").unwrap();
    fs::remove_dir_all(dir.path().join("__cluster_metadata-0")).unwrap();
    both_say(dir.path(), &["is the metadata log missing?", "several log directories"]);
    fs::remove_file(dir.path().join("bootstrap.checkpoint")).unwrap();
    both_say(dir.path(), &["the metadata log is missing", "several log directories"]);

    // The other one: some partitions are not there.
    let dir = Expected::of_broker("clean-4.1").copy();
    fs::write(dir.path().join(".kafka_cleanshutdown"), "{}").unwrap();
    let theirs = directory_id(dir.path());
    replace(dir.path(), &theirs, "AAAAAAAAAAAAAAAAAAfAAQ");
    recorded().open(dir.path()).unwrap().close().unwrap();
    fs::remove_dir_all(dir.path().join("codecs-1")).unwrap();
    both_say(dir.path(), &["codecs-1 lies in another log directory of this broker", &theirs]);
}

#[test]
fn the_directory_of_another_node() {
    let dir = Expected::of_broker("clean-4.1").copy();
    replace(dir.path(), "node.id=1", "node.id=7");
    both_say(dir.path(), &["meta.properties", "node.id is 7", "those of other nodes", "of [1]"]);
}

#[test]
fn metadata_of_a_newer_kafka_is_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("readable")).unwrap();
    log.close().unwrap();
    crafted::in_metadata(dir.path(), b"metadata.version\0\x15", b"metadata.version\0\x63");
    let marker = fs::read(dir.path().join(".kafka_cleanshutdown")).unwrap();

    let refused = recorded().open(dir.path()).unwrap_err();
    assert!(matches!(refused, Error::Unsupported(_)));
    let text = refused.to_string();
    assert!(text.contains("metadata.version is 99, but this version knows the levels up to 33"), "{text}");
    assert!(text.contains("open_read_only"), "{text}");
    assert_eq!(
        fs::read(dir.path().join(".kafka_cleanshutdown")).unwrap(),
        marker,
        "it is as clean as before"
    );

    let log = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(common::texts(&log, &log.topic("t").unwrap()), ["readable"]);
}

/// A partition that the metadata lists has no directory, and a directory has no partition in the metadata.
#[test]
fn partitions_without_a_directory_and_the_reverse() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(3)).unwrap();
    for partition in [0, 1] {
        log.producer().unwrap().send(&topic, Record::new("once").partition(partition)).unwrap();
    }
    log.close().unwrap();
    fs::rename(dir.path().join("t-1"), dir.path().join("t-5")).unwrap();

    let log = recorded().open(dir.path()).unwrap();
    let root = dir.path().canonicalize().unwrap();
    assert_eq!(log.recovery().unknown_directories, [root.join("t-5")]);
    let topic = log.topic("t").unwrap();
    assert_eq!(topic.partition(2).unwrap().offsets().unwrap().log_end, 0, "it never had one");
    // It had one, as the recovery points tell.
    let lost = topic.partition(1).unwrap().offsets().unwrap_err().to_string();
    assert!(lost.contains("t-1"), "{lost}");
    assert!(log.producer().unwrap().send(&topic, Record::new("again").partition(1)).is_err());
    log.producer().unwrap().send(&topic, Record::new("again").partition(0)).unwrap();
}
