//! What Kafka's own tool prints of files, and what `dump` prints of them: the same, line by line.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::reference;
use serde_json::Value;
use stratalog::{EventLog, Maintenance, Record, RecordCopy, TopicConfig};

/// How lines of files begin, in what Kafka's tool and those who run it print.
const LINES: [&str; 11] = [
    "|",
    "baseOffset: ",
    "offset: ",
    "timestamp: ",
    "producerId: ",
    "version: ",
    "Log starting offset: ",
    "Snapshot end offset: ",
    "KRaft bootstrap snapshot",
    "Dumping ",
    "Found ",
];

fn vectors(path: &str) -> PathBuf {
    common::root().join("tests/vectors").join(path)
}

/// What Kafka's tool prints of every file in the directory: the file, and its lines.
fn dumped_by_kafka(dir: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let script = common::root().join("tests/kafka/kafka-check");
    let mut command = Command::new(script);
    if std::env::var_os("KAFKA_TIMEOUT").is_none() {
        // Kafka may have to be fetched first.
        command.env("KAFKA_TIMEOUT", "300");
    }
    let output = command.arg("--verbose").arg(dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| LINES.iter().any(|begin| line.starts_with(begin))) {
        if let Some(path) = line.strip_prefix("Dumping ") {
            files.push((path.into(), Vec::new()));
        }
        files.last_mut().unwrap().1.push(line.to_owned());
    }
    assert!(!files.is_empty(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    files
}

/// What `dump` prints of the file, asked as `kafka-check` asks.
fn dumped_by_us(path: &Path) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    command.arg("dump").arg(path);
    if path.extension().is_some_and(|suffix| suffix == "log" || suffix == "checkpoint") {
        command.arg("--deep-iteration");
        let directory = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        match directory.rsplit_once('-').map(|(topic, _)| topic) {
            Some("__consumer_offsets") => command.arg("--offsets-decoder"),
            Some("__transaction_state") => command.arg("--transaction-log-decoder"),
            Some("__cluster_metadata") => command.arg("--cluster-metadata-decoder"),
            _ if path.ends_with("bootstrap.checkpoint") => command.arg("--cluster-metadata-decoder"),
            _ => &mut command,
        };
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| LINES.iter().any(|begin| line.starts_with(begin)));
    lines.map(str::to_owned).collect()
}

/// Compares all files of the directory and reports how many lines that were. `torn`: the tool gives up with an exception at
/// what is no batch at an end, where `dump` reports how many bytes that are, and at an index of zeros beside an empty log.
fn compare(dir: &Path, torn: bool) -> usize {
    let mut lines = 0;
    for (path, theirs) in dumped_by_kafka(dir) {
        let mut ours = dumped_by_us(&path);
        let given_up = |line: &String| line.starts_with("Found ") || line.ends_with(" position: 0");
        if torn && ours.last().is_some_and(given_up) && ours.len() == theirs.len() + 1 {
            ours.pop();
        }
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{}", path.display());
        }
        assert_eq!(ours.len(), theirs.len(), "{}", path.display());
        lines += ours.len();
    }
    lines
}

#[test]
fn files_of_brokers_and_ours_are_dumped_as_kafkas_tool_does() {
    if reference::kafka_is_not_asked() {
        return;
    }
    assert!(compare(&vectors("broker/clean-4.1/logdir"), false) > 2000);
    assert!(compare(&vectors("broker/killed-4.1/logdir"), true) > 1500);
    assert!(compare(&vectors("logdir"), false) > 300);

    // Batches of other clients, and messages of old brokers, as if they were logs.
    let dir = tempfile::tempdir().unwrap();
    let mut files = 0;
    for folder in ["batches", "legacy"] {
        for name in common::names(&vectors(folder)) {
            let to = dir.path().join(format!("{folder}.{}-0", name.trim_end_matches(".bin")));
            std::fs::create_dir(&to).unwrap();
            std::fs::copy(vectors(folder).join(&name), to.join("00000000000000000000.log")).unwrap();
            files += 1;
        }
    }
    assert!(files > 70 && compare(dir.path(), false) > 900);
}

#[test]
fn what_the_program_copies_is_in_order_for_kafkas_tool() {
    if reference::kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options()
        .maintenance(Maintenance::Manual)
        .max_segment_bytes(4096)
        .open(dir.path())
        .unwrap();
    let gaps = log.create_topic("gaps", TopicConfig::new().retention(None)).unwrap().partition(0).unwrap();
    let producer = log.producer().unwrap();
    let value = [1; 300];
    for at in 0..100 {
        let copies =
            [100 + at * 50, 110 + at * 50].map(|offset| RecordCopy::new(offset, Record::new(&value)));
        producer.send_copies(&gaps, copies).unwrap();
        producer.advance_log_end(&gaps, 130 + at * 50).unwrap();
    }
    log.close().unwrap();
    let script = common::root().join("tests/kafka/kafka-check");
    let checked = Command::new(script).args(["--gaps-ok", "gaps"]).arg(dir.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(compare(dir.path(), false) > 400);

    // And a broker serves, line by line, what we say is there.
    let exported = Command::new(env!("CARGO_BIN_EXE_stratalog"))
        .args(["export", "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(exported.stdout).unwrap();
    let ours: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let served = reference::adopt(dir.path(), None);
    let theirs: Vec<_> = served.topics.iter().chain(&served.records).collect();
    assert_eq!(ours.len(), 201);
    assert_eq!(ours.iter().collect::<Vec<_>>(), theirs);
}
