//! What a real broker served from a directory, and whether an opened log serves the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::Digest as _;
use stratalog::{
    ConsumerConfig, Error, EventLog, IsolationLevel, Partition, Position, RecordView, TimestampType,
};

/// A directory of the vectors, and what was served from it.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) directory: PathBuf,
    topics: Vec<Value>,
    pub(crate) records: Vec<Value>,
    aborted: Vec<Value>,
}

fn vectors(path: &str) -> PathBuf {
    super::root().join("tests/vectors").join(path)
}

fn list(of: &Value) -> Vec<Value> {
    of.as_array().cloned().unwrap_or_default()
}

/// A line as `kafka-adopt` prints it, without its kind.
pub(crate) fn untyped(mut line: Value) -> Value {
    line.as_object_mut().unwrap().remove("type");
    line
}

impl Expected {
    /// `clean-4.1` or `killed-4.1`: after a clean stop, and after a kill and the recovery of a broker.
    pub(crate) fn of_broker(name: &str) -> Self {
        let folder = vectors("broker").join(name);
        let text = std::fs::read(folder.join("expected.json")).unwrap();
        let all: Value = serde_json::from_slice(&text).unwrap();
        let (topics, records, aborted) = (list(&all["topics"]), list(&all["records"]), list(&all["aborted"]));
        Self { directory: folder.join("logdir"), topics, records, aborted }
    }

    /// The directory whose catalog is the metadata log alone.
    pub(crate) fn of_catalog() -> Self {
        let text = std::fs::read_to_string(vectors("catalog/served.jsonl")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |kind: &str| {
            let lines = lines.iter().filter(|line| line["type"] == kind);
            lines.cloned().map(untyped).collect::<Vec<_>>()
        };
        let (topics, records) = (of("topic"), of("record"));
        Self { directory: vectors("catalog/logdir"), topics, records, aborted: Vec::new() }
    }

    /// The same once a log was opened on it to be written: the transaction of producer 1009 in tx-0 that was open is aborted by a
    /// marker at its end, and what comes after its beginning counts or does not, as its own markers say.
    pub(crate) fn decided(mut self) -> Self {
        let end = 67;
        for topic in &mut self.topics {
            let is_tx = topic["topic"] == "tx";
            if topic["topic"].as_str().unwrap().starts_with("__") {
                // The state of the transaction's id is written there.
                topic["partitions"] = json!([]);
            }
            for partition in topic["partitions"].as_array_mut().unwrap() {
                if is_tx && partition["partition"] == 0 {
                    assert_eq!((&partition["lso"], &partition["hw"]), (&json!(59), &json!(end)));
                    partition["lso"] = json!(end + 1);
                    partition["hw"] = json!(end + 1);
                }
            }
        }
        for record in &mut self.records {
            if record["topic"] == "tx" && record["partition"] == 0 && record["offset"] == 63 {
                record["committed"] = json!(true);
            }
        }
        let aborted = json!({"topic": "tx", "partition": 0, "producerId": 1009, "firstOffset": 59, "lastOffset": end,
            "lastStableOffset": end + 1});
        let after = self.aborted.iter().rposition(|one| one["topic"] == "tx" && one["partition"] == 0);
        self.aborted.insert(after.unwrap() + 1, aborted);
        self
    }

    /// A copy of the directory to open.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        super::copy(&self.directory, dir.path());
        dir
    }

    /// Asserts that the log serves all of it. Records that cannot be read because of their codec are left out, and
    /// counted.
    pub(crate) fn check(&self, log: &EventLog) -> usize {
        self.check_topics(log);
        self.check_records(log)
    }

    fn check_topics(&self, log: &EventLog) {
        for topic in &self.topics {
            let name = topic["topic"].as_str().unwrap();
            let ours = log.topic(name).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(topic["id"], json!(ours.id().to_string()), "{name}");
            assert_eq!(topic["partitionCount"], json!(ours.partitions().len()), "{name}");
            let config = ours.config();
            let configs: BTreeMap<_, _> = config.entries().collect();
            assert_eq!(topic["configs"], json!(configs), "{name}");
            for partition in list(&topic["partitions"]) {
                let number = u32::try_from(partition["partition"].as_u64().unwrap()).unwrap();
                let ours = ours.partition(number).unwrap().offsets().unwrap();
                let theirs = [&partition["start"], &partition["lso"], &partition["hw"]];
                let ours = [ours.log_start, ours.last_stable, ours.high_watermark].map(Value::from);
                assert_eq!(theirs, ours.each_ref(), "start, last stable, high watermark of {name}-{number}");
            }
        }
        assert_eq!(log.topics().unwrap().len(), self.topics.len());
    }

    fn check_records(&self, log: &EventLog) -> usize {
        let mut theirs: BTreeMap<(String, u64), Vec<&Value>> = BTreeMap::new();
        for record in &self.records {
            let topic = record["topic"].as_str().unwrap().to_owned();
            theirs.entry((topic, record["partition"].as_u64().unwrap())).or_default().push(record);
        }
        let mut unread = 0;
        for topic in log.topics().unwrap().iter().filter(|topic| !topic.name().starts_with("__")) {
            for partition in topic.partitions() {
                let at = (topic.name().to_owned(), u64::from(partition.id().partition()));
                let theirs = theirs.remove(&at).unwrap_or_default();
                unread += check_partition(log, &partition, &theirs);
            }
        }
        assert!(theirs.is_empty(), "partitions that are missing: {:?}", theirs.keys());
        unread
    }

    /// Asserts that the transaction indexes in a directory say what they said for the broker.
    pub(crate) fn check_aborted(&self, directory: &Path) {
        let mut theirs: BTreeMap<String, Vec<[i64; 4]>> = BTreeMap::new();
        for aborted in &self.aborted {
            let of = |field: &str| aborted[field].as_i64().unwrap();
            let partition = format!("{}-{}", aborted["topic"].as_str().unwrap(), of("partition"));
            let entry = ["producerId", "firstOffset", "lastOffset", "lastStableOffset"].map(of);
            theirs.entry(partition).or_default().push(entry);
        }
        for (partition, theirs) in theirs {
            assert_eq!(aborted_in(&directory.join(&partition)), theirs, "{partition}");
        }
    }
}

/// The entries of the transaction indexes in a partition's directory.
pub(crate) fn aborted_in(directory: &Path) -> Vec<[i64; 4]> {
    let mut entries = Vec::new();
    for name in super::names(directory).iter().filter(|name| name.ends_with(".txnindex")) {
        let bytes = std::fs::read(directory.join(name)).unwrap();
        for entry in bytes.chunks(34) {
            let number = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().unwrap());
            entries.push([number(2), number(10), number(18), number(26)]);
        }
    }
    entries
}

/// Compares all records of a partition, whether committed or not; how many cannot be read is returned.
fn check_partition(log: &EventLog, partition: &Partition, theirs: &[&Value]) -> usize {
    let all = Reading::of(log, partition, IsolationLevel::ReadUncommitted);
    let committed = Reading::of(log, partition, IsolationLevel::ReadCommitted);
    let readable = |offset: u64| !all.unread.iter().any(|unread| unread.contains(&offset));
    let offset = |record: &Value| record["offset"].as_u64().unwrap();
    let mut ours = all.records.iter();
    for theirs in theirs.iter().filter(|theirs| readable(offset(theirs))) {
        let mut ours = ours.next().unwrap_or_else(|| panic!("{theirs} is missing")).clone();
        ours["committed"] = json!(committed.offsets().contains(&offset(theirs)));
        assert_eq!(&&ours, theirs);
    }
    assert_eq!(ours.next(), None, "more than a broker served");
    let known = theirs.iter().map(|theirs| offset(theirs));
    assert!(committed.offsets().is_subset(&known.collect()), "only committed");
    assert!(committed.unread.iter().all(|unread| all.unread.contains(unread)));
    theirs.iter().filter(|theirs| !readable(offset(theirs))).count()
}

struct Reading {
    records: Vec<Value>,
    /// Offsets of batches that could not be read because of their codec.
    unread: Vec<std::ops::Range<u64>>,
}

impl Reading {
    fn of(log: &EventLog, partition: &Partition, level: IsolationLevel) -> Self {
        let mut reader = log.consumer_with(ConsumerConfig::new().isolation(level)).unwrap();
        reader.assign([partition]).unwrap();
        let mut found = Self { records: Vec::new(), unread: Vec::new() };
        loop {
            match reader.poll(Duration::ZERO) {
                Ok(records) if records.is_empty() => return found,
                Ok(records) => found.records.extend(records.iter().map(|record| as_served(&record))),
                Err(Error::Unsupported(damage)) => {
                    let from = damage.offset.as_ref().map_or(0, Position::offset);
                    let next = damage.resume_at().unwrap_or_else(|| panic!("{damage}"));
                    found.unread.push(from..next.offset());
                    reader.seek(next).unwrap();
                }
                Err(failure) => panic!("{failure}"),
            }
        }
    }

    fn offsets(&self) -> BTreeSet<u64> {
        self.records.iter().map(|record| record["offset"].as_u64().unwrap()).collect()
    }
}

/// A record in the words of the files, as a consumer of everything sees it.
fn as_served(record: &RecordView<'_>) -> Value {
    let times = match record.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        _ => "LogAppendTime",
    };
    let headers = record.headers().map(|header| json!([header.name(), bytes(header.value())]));
    json!({
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp().as_millis(),
        "timestampType": times,
        "leaderEpoch": record.leader_epoch(),
        "committed": true,
        "key": bytes(record.key()),
        "value": bytes(record.value()),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn bytes(of: Option<&[u8]>) -> Value {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    match of {
        None => Value::Null,
        Some(long) if long.len() > 256 => {
            json!(format!("sha256:{}/{}", hex(&sha2::Sha256::digest(long)), long.len()))
        }
        Some(short) => json!(hex(short)),
    }
}
