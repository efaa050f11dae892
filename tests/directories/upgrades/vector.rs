//! Writing the directories of a version, and what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::files_below;
use serde_json::{Map, Value, json};
use stratalog::{
    CleanupPolicy, Compression, ConsumerConfig, EventLog, Maintenance, ManualClock, OpenOptions, Position,
    Record, Result, StartFrom, Timestamp, TimestampType, TopicConfig,
};

const BEGUN: i64 = 1_700_000_000_000;
/// When all that was written had been. Nothing has expired by then.
const NOW: i64 = BEGUN + 3_600_000;

/// A directory as some version has left it.
pub(crate) struct State {
    pub(crate) path: PathBuf,
    pub(crate) expected: Value,
    /// Bytes of a batch that was being written when the program was killed.
    pub(crate) torn: u64,
}

pub(crate) fn options() -> OpenOptions {
    of(ManualClock::new(Timestamp::from_millis(NOW)))
}

fn of(clock: ManualClock) -> OpenOptions {
    let options = EventLog::options().clock(clock).maintenance(Maintenance::Manual);
    options.max_segment_bytes(4096).offsets_partitions(2)
}

/// Files are kept without the zeros at their ends: `lengths.json` says how many bytes they have.
pub(crate) fn states(version: &Path) -> Vec<State> {
    let mut found = Vec::new();
    for entry in fs::read_dir(version).unwrap() {
        let path = entry.unwrap().path();
        let kept: Value = serde_json::from_slice(&fs::read(path.join("expected.json")).unwrap()).unwrap();
        let torn = kept["torn"].as_u64().unwrap();
        found.push(State { path, expected: kept["log"].clone(), torn });
    }
    found
}

pub(crate) fn laid_out(state: &State) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let lengths = fs::read(state.path.join("lengths.json")).unwrap();
    let lengths: BTreeMap<String, u64> = serde_json::from_slice(&lengths).unwrap();
    for (name, length) in lengths {
        let to = dir.path().join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, fs::read(state.path.join("log").join(&name)).unwrap()).unwrap();
        fs::OpenOptions::new().write(true).open(&to).unwrap().set_len(length).unwrap();
    }
    dir
}

/// Everything that a program can see of a log.
pub(crate) fn described(log: &EventLog) -> Result<Value> {
    let mut topics = Map::new();
    for topic in log.topics()? {
        let settings: BTreeMap<_, _> =
            topic.config().entries().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // How often groups write there is no promise; what they have committed is.
        let partitions = if topic.name().starts_with("__") { vec![] } else { topic.partitions() };
        let partitions =
            partitions.iter().map(|partition| of_partition(log, partition)).collect::<Result<Vec<_>>>()?;
        let described = json!({"id": topic.id().to_string(), "settings": settings, "partitions": partitions});
        topics.insert(topic.name().to_owned(), described);
    }
    let mut groups = Map::new();
    for group in log.groups()? {
        let committed = group.committed()?;
        let position = |position: &Position| {
            let at = position.topic_partition();
            json!([at.topic(), at.partition(), position.offset(), position.leader_epoch()])
        };
        groups.insert(group.name().to_owned(), committed.iter().map(position).collect());
    }
    Ok(json!({"topics": topics, "groups": groups}))
}

fn of_partition(log: &EventLog, partition: &stratalog::Partition) -> Result<Value> {
    let offsets = partition.offsets()?;
    let mut reader = log.standalone_consumer()?;
    reader.assign([partition])?;
    let mut records = Vec::new();
    loop {
        let polled = reader.poll(Duration::ZERO)?;
        if polled.is_empty() {
            break;
        }
        for record in &polled {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers: Vec<Value> =
                record.headers().map(|header| json!([header.name(), header.value().map(text)])).collect();
            let at = (record.offset(), record.timestamp().as_millis(), record.leader_epoch());
            records.push(json!([at, record.key().map(text), record.value().map(text), headers]));
        }
    }
    let first = records.first().and_then(|record| record[0][1].as_i64()).map(Timestamp::from_millis);
    let by_time = first.map(|at| partition.offset_for_time(at)).transpose()?;
    let (start, end) = (offsets.log_start, offsets.log_end);
    Ok(json!({"start": start, "end": end, "by_time": by_time, "records": records}))
}

/// Writes the directories of the version that is running. Never over what is there.
pub(crate) fn write(version: &Path) {
    assert!(!version.exists(), "{} is there, and no vector is ever changed", version.display());
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("log");
    let clock = ManualClock::new(Timestamp::from_millis(BEGUN));
    let log = of(clock.clone()).open(&root).unwrap();
    make_topics(&log);
    fill(&log, &clock, 0..20);
    commit(&log, 5);
    log.run_maintenance().unwrap();
    let expected = described(&log).unwrap();
    log.close().unwrap();
    save(&version.join("closed"), &root, &expected, 0);

    let log = of(clock.clone()).open(&root).unwrap();
    fill(&log, &clock, 20..32);
    commit(&log, 9);
    log.run_maintenance().unwrap();
    log.topic("trimmed").unwrap().partition(0).unwrap().delete_records(7).unwrap();
    log.topic("altered").unwrap().alter_config(|config| config.set("segment.ms", "86400000")).unwrap();
    log.topic("altered").unwrap().add_partitions(2).unwrap();
    fill(&log, &clock, 32..36);
    let expected = described(&log).unwrap();
    save(&version.join("running"), &root, &expected, 0);

    // The last batch of a partition as it is when the program is killed while it writes.
    let killed = dir.path().join("killed");
    crate::common::copy(&root, &killed);
    drop(log);
    let torn = tear(&killed.join("plain-1"));
    save(&version.join("killed"), &killed, &expected, torn);
}

fn make_topics(log: &EventLog) {
    let plain = || TopicConfig::new().retention(None);
    let compact = plain().cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.01");
    let mut topics = vec![
        ("plain", plain().partitions(2)),
        ("compacted", compact),
        ("appended", plain().timestamp_type(TimestampType::LogAppendTime)),
        (
            "aged",
            TopicConfig::new().segment_age(Duration::from_secs(60)).retention(Duration::from_secs(86_400)),
        ),
        ("limited", TopicConfig::new().retention_bytes(3000).set("file.delete.delay.ms", "0")),
        ("trimmed", plain()),
        ("altered", plain()),
        ("empty", plain()),
    ];
    for (name, codec) in [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        topics.push((name, plain().compression(codec)));
    }
    for (name, config) in topics {
        log.create_topic(name, config).unwrap();
    }
    log.create_topic("deleted", plain()).unwrap();
    log.delete_topic("deleted").unwrap();
}

/// A batch of three records to each partition, every half minute.
fn fill(log: &EventLog, clock: &ManualClock, numbers: std::ops::Range<u32>) {
    let producer = log.producer().unwrap();
    for number in numbers {
        clock.advance(Duration::from_secs(30));
        for topic in log.topics().unwrap() {
            if topic.name().starts_with("__") || topic.name() == "empty" {
                continue;
            }
            for partition in topic.partitions() {
                let value = format!("{number} {}", "abc".repeat(20));
                let (key, other) = (format!("k{}", number % 4), format!("k{}", 4 + number % 3));
                let records = [
                    Record::new(&value).key(&key).header("h", "1").null_header("n"),
                    Record::new("").key(&other),
                    if topic.name() == "compacted" && number % 5 == 0 {
                        Record::tombstone(&key)
                    } else {
                        Record::new(&value).key("kept").header("", "")
                    },
                ];
                producer.send_batch(&partition, records).unwrap();
            }
        }
    }
}

fn commit(log: &EventLog, offset: u64) {
    let positions = [("plain", 0), ("plain", 1), ("aged", 0)].map(|at| Position::new(at, offset));
    log.group("positions").unwrap().set_committed(positions).unwrap();
    // A member, which leaves again.
    let config = ConsumerConfig::new().group("members").start_from(StartFrom::Beginning).max_poll_records(7);
    let mut member = log.consumer_with(config).unwrap();
    member.subscribe(["gzip"]).unwrap();
    assert!(!member.poll(Duration::ZERO).unwrap().is_empty());
    member.commit().unwrap();
}

/// Puts half a batch after the last one. Gives how many bytes it has.
fn tear(partition: &Path) -> u64 {
    let names = crate::common::names(partition);
    let last = names.iter().rfind(|name| name.ends_with(".log")).unwrap();
    let path = partition.join(last);
    let mut bytes = fs::read(&path).unwrap();
    let end = complete_batches(&bytes);
    let half = bytes[..100].to_vec();
    bytes.resize(bytes.len().max(end + half.len()), 0);
    bytes[end..end + half.len()].copy_from_slice(&half);
    fs::write(&path, bytes).unwrap();
    half.len() as u64
}

/// Where the batches end: after them are zeros.
fn complete_batches(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        at += 12 + length;
    }
    at
}

fn save(state: &Path, root: &Path, expected: &Value, torn: u64) {
    let mut lengths = BTreeMap::new();
    for (name, path) in files_below(root) {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let to = state.join("log").join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, &bytes[..end]).unwrap();
        lengths.insert(name, bytes.len());
    }
    let text = |value: &Value| serde_json::to_string(value).unwrap() + "\n";
    fs::write(state.join("expected.json"), text(&json!({"torn": torn, "log": expected}))).unwrap();
    fs::write(state.join("lengths.json"), text(&json!(lengths))).unwrap();
}
