//! A whole directory on a disk that fails: what calls say of what they have written, and what is really there.

mod causes;
mod closing;
mod deletions;
#[cfg(unix)]
mod forked;
mod holding;
mod members;
mod named;
mod refused;
mod strangers;
mod transactions;
mod truth;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::config::{ConsumerConfig, Durability};
use crate::event_log::EventLog;
use crate::position::Position;
use crate::producer::Record;
use crate::sys::faults::{Faults, Operation};

/// Exhaustive tests take every n-th step only where a system call takes long, as under Wine.
const STRIDE: usize = if cfg!(windows) { 7 } else { 1 };
const OPERATIONS: [Operation; 9] = [
    Operation::Write,
    Operation::Sync,
    Operation::Open,
    Operation::Map,
    Operation::Allocate,
    Operation::Create,
    Operation::Rename,
    Operation::Remove,
    Operation::Truncate,
];

/// What users can see of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Content {
    topics: BTreeMap<String, (Settings, Vec<Partition>)>,
    /// By group, committed positions.
    committed: BTreeMap<String, BTreeMap<String, u64>>,
}

type Settings = Vec<(String, String)>;
/// Where it starts, and its values.
type Partition = (u64, Vec<String>);

impl Content {
    fn of(log: &EventLog) -> Self {
        let mut content = Self::default();
        // Kafka's own come with the first commit.
        let topics = log.topics().unwrap().into_iter().filter(|topic| !topic.name().starts_with("__"));
        for topic in topics {
            let config = topic.config();
            let settings = config.entries().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let partitions = topic.partitions().into_iter().map(|of| {
                let mut reader = log.consumer_with(ConsumerConfig::new()).unwrap();
                reader.assign([&of]).unwrap();
                let mut values = Vec::new();
                loop {
                    let records = reader.poll(Duration::ZERO).unwrap();
                    if records.is_empty() {
                        break (of.offsets().unwrap().log_start, values);
                    }
                    let texts = records.iter().map(|record| String::from_utf8_lossy(record.value().unwrap()));
                    values.extend(texts.map(std::borrow::Cow::into_owned));
                }
            });
            let of = (settings.collect(), partitions.collect());
            content.topics.insert(topic.name().to_owned(), of);
        }
        for group in log.groups().unwrap() {
            let committed = group.committed().unwrap();
            let committed =
                committed.iter().map(|at| (at.topic_partition().to_string(), at.offset())).collect();
            content.committed.insert(group.name().to_owned(), committed);
        }
        content
    }

    /// What the next process finds if this one is killed now.
    fn if_killed(root: &Path) -> Self {
        let copy = memory();
        copy_directory(root, copy.path());
        let log = options().open(copy.path()).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(log.recovery().failed.is_empty(), "{:?}", log.recovery().failed);
        Self::of(&log)
    }
}

/// In memory where there is such a place: much here is synced.
fn memory() -> TempDir {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_directory(&entry.path(), &to);
        } else if entry.file_name() != ".lock" {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every file with its bytes, but for what is shared with readers in other processes as long as the log is open.
fn bytes(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(
                bytes(&entry.path()).into_iter().map(|(below, file)| (format!("{name}/{below}"), file)),
            );
            files.insert(name, Vec::new());
        } else if name != "stratalog.live" && name != ".lock" {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

fn options() -> OpenOptions {
    options_at(clock())
}

fn options_at(clock: ManualClock) -> OpenOptions {
    EventLog::options()
        .clock(clock)
        .maintenance(Maintenance::Manual)
        .write_mode(WriteMode::Positioned)
        .offsets_partitions(1)
}

/// A directory that was closed cleanly: "t" with three records in one of two partitions, of which "g" has committed two
/// and "h" one; "u" with a record that "g" has committed; and a group "old" of its own.
fn closed() -> TempDir {
    let dir = memory();
    let log = options().open(dir.path()).unwrap();
    let t = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let u = log.create_topic("u", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    let values = ["t one", "t two", "t three"].map(Record::new);
    producer.send_batch(&t.partition(0).unwrap(), values).unwrap();
    producer.send_batch(&u.partition(0).unwrap(), [Record::new("u one")]).unwrap();
    let commit = |group: &str, of: (&str, u32), offset| {
        log.group(group).unwrap().set_committed([Position::new(of, offset)]).unwrap();
    };
    commit("g", ("t", 0), 2);
    commit("g", ("u", 0), 1);
    commit("h", ("t", 0), 1);
    commit("old", ("u", 0), 0);
    log.close().unwrap();
    dir
}

/// An open log on a disk that will fail.
struct Scene {
    dir: TempDir,
    log: EventLog,
    clock: ManualClock,
    faults: Faults,
}

impl Scene {
    /// Nothing fails before the faults are armed.
    fn of(closed: &TempDir, operation: Operation, error: ErrorKind, lasting: bool) -> Self {
        let dir = memory();
        copy_directory(closed.path(), dir.path());
        let faults = Faults::after(operation, i64::MAX, error, lasting);
        let clock = clock();
        let mut options = options_at(clock.clone());
        options.faults = faults.clone();
        let log = options.open(dir.path()).unwrap();
        Self { dir, log, clock, faults }
    }

    fn topic(&self, name: &str) -> Topic {
        self.log.topic(name).unwrap()
    }

    fn producer(&self, level: Durability) -> crate::producer::Producer {
        self.log.producer().unwrap().with_durability(level)
    }

    fn content(&self) -> Content {
        Content::of(&self.log)
    }

    fn if_killed(&self) -> Content {
        Content::if_killed(self.dir.path())
    }

    /// After a close, whatever comes of it.
    fn if_reopened(self) -> Content {
        self.faults.heal();
        let _ = self.log.close();
        drop(self.log);
        let log = options().open(self.dir.path()).unwrap();
        assert!(log.recovery().failed.is_empty(), "{:?}", log.recovery().failed);
        Content::of(&log)
    }
}
