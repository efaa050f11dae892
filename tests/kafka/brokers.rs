//! Kafka is the reference: a real broker serves what we wrote, and we read what a broker left.
//!
//! `KAFKA_VERSION` chooses the Kafka: see `README.md`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::expected::Expected;
use crate::common::{self, Dice, test_path};
use crate::ours;
use crate::topics;
use serde_json::{Value, json};
use stratalog::{
    CleanupPolicy, Compression, ConsumerConfig, EventLog, HandoverOptions, IsolationLevel, Maintenance,
    ProducerConfig, Record, Timestamp, TopicConfig,
};

use crate::reference::{self, Adoption, adopt, assert_equal, check, is_left_out_but_for, kafka_is_not_asked};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Nothing is compacted or deleted between what is read and what is closed.
fn open(dir: &Path) -> EventLog {
    EventLog::options().maintenance(Maintenance::Manual).open(dir).unwrap()
}

/// What a broker serves of a snapshot is what the log held when it was made; and it needs no recovery.
#[test]
fn a_snapshot_of_a_running_log_is_served() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let log = open(&data);
    topics::write(&log);
    let expected = ours::everything(&log);
    log.snapshot_to(&copy).unwrap();
    topics::write_more(&log);
    log.close().unwrap();
    check(&copy);
    Adoption::new().of(&copy).assert_same(&expected);
}

/// A directory with a bit of everything, there and back: we write, a broker serves and writes, we continue, and a broker
/// once more.
#[test]
fn directory_passes_between_us_and_a_broker() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (written, from_broker) = (dir.path().join("written"), dir.path().join("from-broker"));

    let log = open(&written);
    topics::write(&log);
    assert!(log.run_maintenance().unwrap().partitions_compacted > 0);
    let expected = ours::everything(&log);
    let times = times(&log, &dir.path().join("times"));
    log.close().unwrap();
    check(&written);
    let served = Adoption::new().times(&dir.path().join("times")).keep(&from_broker).of(&written);
    served.assert_same(&expected);
    assert_equal(&served.times, &times);

    let log = open(&from_broker);
    assert!(log.recovery().clean, "{:?}", log.recovery());
    let now = ours::everything(&log);
    assert_eq!(now.records.len(), expected.records.len() + served.produced.len());
    for produced in &served.produced {
        let ours = now.records.iter().find(|ours| {
            ["topic", "partition", "offset"].iter().all(|field| ours[*field] == produced[*field])
        });
        let ours = ours.unwrap_or_else(|| panic!("the broker's record is missing: {produced}"));
        assert_eq!((&ours["key"], &ours["value"]), (&"70726f6265".into(), &"70726f6265".into()));
    }
    let old: Vec<_> = now.records.iter().filter(|record| !is_probe(record)).collect();
    assert!(old.into_iter().eq(&expected.records), "the broker's copy holds other records than it served");

    topics::write_more(&log);
    assert!(log.run_maintenance().unwrap().partitions_compacted > 0, "of the broker's as of ours");
    let expected = ours::everything(&log);
    assert!(expected.records.len() > now.records.len());
    log.close().unwrap();
    check(&from_broker);
    adopt(&from_broker, None).assert_same(&expected);
}

/// Where we find times that are drawn; `lines` gets the questions.
fn times(log: &EventLog, lines: &Path) -> Vec<Value> {
    let (mut dice, mut text, mut answers) = (Dice(11), String::new(), Vec::new());
    for topic in ["times", "shapes", "altered"] {
        for _ in 0..40 {
            for partition in log.topic(topic).unwrap().partitions() {
                // From before the first record to after the last one.
                let at = topics::first_time(0) - 1_000_000 + dice.below(170_000_000);
                let of = partition.id();
                writeln!(text, "{topic} {} {at}", of.partition()).unwrap();
                let found =
                    partition.offset_for_time(Timestamp::from_millis(at.try_into().unwrap())).unwrap();
                answers.push(json!({
                    "type": "time", "topic": topic, "partition": of.partition(), "at": at, "offset": found,
                }));
            }
        }
    }
    std::fs::write(lines, text).unwrap();
    assert!(
        answers.iter().any(|one| one["offset"].is_null()) && answers.iter().any(|one| one["offset"] == 0)
    );
    // The client is asked round after round, one question for each partition in each.
    let key = |one: &Value| (one["topic"].to_string(), one["partition"].as_u64());
    let mut rounds: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
    answers.sort_by_cached_key(|one| {
        let round = rounds.entry(key(one)).or_default();
        *round += 1;
        *round
    });
    answers
}

/// A broker's own directory, read while the broker runs: what it appends appears.
#[test]
fn a_live_broker_is_read_beside_it() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (closed, work) = (dir.path().join("closed"), dir.path().join("work"));
    std::fs::create_dir(&work).unwrap();
    let log = EventLog::open(&closed).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    for _ in 0..10 {
        log.producer().unwrap().send(&topic, Record::new("ours")).unwrap();
    }
    log.close().unwrap();

    let mut broker = reference::start(&closed, &work);
    let live = || std::fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().path().join("data")).next();
    // Before that the directory is still being copied.
    let has_begun = || live().is_some_and(|data| data.with_file_name("broker.log").exists());
    common::until("the broker has begun", has_begun);
    // It takes the lock before it takes the marker away.
    common::until("the broker loads", || !live().unwrap().join(".kafka_cleanshutdown").exists());
    let held = EventLog::open(live().unwrap()).unwrap_err().to_string();
    assert!(held.contains("is in use by process") && held.contains("close the log that holds it"), "{held}");
    let log = EventLog::open_read_only(live().unwrap()).unwrap();
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(config).unwrap();
    reader.assign([("t", 0)]).unwrap();
    let mut values = Vec::new();
    while values.len() < 11 {
        let records = reader.poll(Duration::from_secs(1)).unwrap();
        values.extend(records.iter().map(|record| record.value().unwrap().to_vec()));
        let ended = broker.script.try_wait().unwrap();
        assert!(values.len() == 11 || ended.is_none(), "the broker has ended: {ended:?}");
    }
    assert!(values[..10].iter().all(|value| value == b"ours"));
    assert_eq!(values[10], b"probe");
    assert!(broker.script.wait().unwrap().success(), "it was not disturbed");
}

/// What compaction leaves is what Kafka's tool finds in order and a broker serves: tombstones with a time, batches
/// without records, and each codec.
#[test]
fn broker_serves_what_was_compacted() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("compacted");
    let options = EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(20_000);
    let log = options.open(&path).unwrap();
    let config = TopicConfig::new().cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.0");
    let state = log.create_topic("state", config).unwrap();
    for codec in CODECS.into_iter().cycle().take(40) {
        let producer = log.producer_with(ProducerConfig::new().compression(codec)).unwrap();
        for round in 0..6 {
            let rows =
                (0..20).map(|n| (format!("key {}", (n * 7 + round) % 31), format!("{codec:?} {n:0200}")));
            let rows: Vec<_> = rows.collect();
            let records = rows.iter().enumerate().map(|(n, (key, value))| match n % 9 {
                0 => Record::tombstone(key),
                _ => Record::new(value).key(key),
            });
            producer.send_batch(&state.partition(0).unwrap(), records).unwrap();
        }
    }
    let report = log.run_maintenance().unwrap();
    assert!(report.partitions_compacted > 0);
    assert!(report.bytes_after_compaction < report.bytes_before_compaction / 5);
    let expected = ours::everything(&log);
    assert!(expected.records.len() < 1000);
    log.close().unwrap();
    check(&path);
    adopt(&path, None).assert_same(&expected);
}

/// The directory that the main example leaves with `--dir`.
#[test]
fn broker_serves_what_the_main_example_wrote() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example");
    run_main_example(&path);
    check(&path);
    let served = adopt(&path, None);
    let log = open(&path);
    assert!(log.recovery().clean);
    served.assert_same(&ours::everything(&log));
    assert_eq!(served.topics.len(), 2);
    assert!(served.records.len() > 30_000);
}

/// A program stops without closing, another continues: what a broker gets then is whole again.
#[test]
fn broker_takes_a_directory_that_was_recovered() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recovered");
    let log = open(&path);
    topics::write(&log);
    log.close().unwrap();
    let torn = path.join("singles-0").join("00000000000000000000.log");
    let length = std::fs::metadata(&torn).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(length - 1).unwrap();
    std::fs::remove_file(path.join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(path.join("recovery-point-offset-checkpoint")).unwrap();

    let log = open(&path);
    assert!(!log.recovery().clean);
    assert!(log.recovery().bytes_truncated() > 0);
    let singles = log.topic("singles").unwrap();
    log.producer().unwrap().send(&singles, Record::new("after the recovery").partition(0)).unwrap();
    let expected = ours::everything(&log);
    log.close().unwrap();
    check(&path);
    adopt(&path, None).assert_same(&expected);
}

/// A program is killed in the middle of its work: a broker recovers what we recover.
#[test]
fn a_broker_recovers_a_killed_program_as_we_do() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (killed, recovered) = (dir.path().join("killed"), dir.path().join("recovered"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test_path!(child), "--exact", "--nocapture"])
        .env(CHILD, &killed)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).find(|line| line == "written").expect("the child writes");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join(".kafka_cleanshutdown").exists());
    // Where space is preallocated a kill leaves it: nothing for a clean marker to be beside.
    let log = std::fs::read(killed.join("singles-0/00000000000000000000.log")).unwrap();
    if log.ends_with(&[0; 100]) {
        let said = reference::check_finds(&killed);
        assert!(
            said.contains("singles-0/00000000000000000000.log: ") && said.contains("record size 0"),
            "{said}"
        );
    }

    common::copy(&killed, &recovered);
    let log = open(&recovered);
    assert!(!log.recovery().clean);
    let expected = ours::everything(&log);
    log.handover(&HandoverOptions::new()).unwrap();
    check(&recovered);
    Adoption::new().quiet().of(&killed).assert_same(&expected);
    adopt(&recovered, None).assert_same(&expected);
}

const CHILD: &str = "STRATALOG_KAFKA_CHILD";

/// Writes until it is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let log = EventLog::open(path).unwrap();
    topics::write(&log);
    println!("\nwritten");
    loop {
        std::thread::park();
    }
}

/// Transactions, snapshots and indexes of a broker, as we leave them: the broker serves what it served before.
#[test]
fn broker_takes_back_what_a_broker_wrote() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    for name in ["clean-4.1", "killed-4.1"] {
        let expected = Expected::of_broker(name);
        // The open ends the transaction that is open in the directory that was killed.
        let expected = if name == "killed-4.1" { expected.decided() } else { expected };
        let dir = expected.copy();
        let log = common::recorded().open(dir.path()).unwrap();
        let topic = log.topic("tx").unwrap();
        let ends = [0, 1].map(|partition| common::end(&topic, partition));
        let producer = log.producer().unwrap();
        for partition in [0, 1] {
            producer.send(&topic, Record::new("ours").partition(partition)).unwrap();
        }
        log.close().unwrap();
        let served = adopt(dir.path(), None);
        let (ours, theirs): (Vec<_>, Vec<_>) = served
            .records
            .into_iter()
            .map(common::expected::untyped)
            .partition(|record| record["topic"] == "tx" && record["value"] == "6f757273");
        assert!(theirs.iter().eq(&expected.records), "{name}");
        let found: Vec<_> = ours.iter().map(|record| (&record["offset"], &record["committed"])).collect();
        let (ends, committed) = (ends.map(|end| json!(end)), json!(true));
        assert_eq!(found, [(&ends[0], &committed), (&ends[1], &committed)], "{name}");
    }
}

fn run_main_example(dir: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--example", "produce_consume"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.args(["--", "--records", "30000", "--dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The record that `kafka-adopt` produces to every partition.
fn is_probe(record: &Value) -> bool {
    record["key"] == "70726f6265"
}
