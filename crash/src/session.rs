//! One log that is used: each operation is written down in the oracle before it is asked for, and its answer after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratalog::{
    CleanupPolicy, Durability, Error, EventLog, Maintenance, ManualClock, OpenOptions, ReadMode, Timestamp,
    TopicConfig, WriteMode,
};

use crate::comparison::{After, compare};
use crate::faults;
use crate::interpose::{draw_from, unseen};
use crate::oracle::{Oracle, Sort, Stage, oracle, trace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `send`, record by record.
    Single,
    /// `send_batch`.
    Batch,
    /// `enqueue`, then `flush`.
    Buffered,
    /// `send_batch_at` the log end.
    At,
    /// `send_copies` from the log end on.
    Copies,
}

/// Calls that change nothing, or nothing that is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Of topics.
    Describe,
    /// Of groups.
    Groups,
    /// `offset_for_time`, `seek_to_time`.
    Time,
    /// `segments`, `size` and what is kept by a timestamp in the future.
    Sizes,
    /// And events.
    Metrics,
    /// Of a handover.
    DryRun,
    /// Another log of the directory, opened to be read.
    SecondReader,
    /// Records that are discarded.
    Enqueue,
    /// A reader of what is durable.
    Durable,
}

#[derive(Clone, Debug)]
pub enum Operation {
    Create {
        name: String,
        sort: Sort,
        partitions: u32,
    },
    Send {
        to: (String, u32),
        level: Durability,
        way: Way,
        records: Vec<Planned>,
    },
    Sync(String, u32),
    SyncAll,
    /// Background work, after so many milliseconds.
    Maintain(u64),
    /// Deletes the records before so many of a thousand of the partition.
    DeleteRecords(String, u32, u64),
    Delete(String),
    AddPartition(String),
    Alter(String, u32),
    /// Commits the position after so many of a thousand of the partition. Without a level it is set from outside the group.
    Commit {
        group: &'static str,
        of: (String, u32),
        share: u64,
        level: Option<Durability>,
    },
    /// A member of a group of its own subscribes to the topic, reads it and commits.
    Member(String),
    Look(String, u32, Look),
    /// Forgets what the group has committed of the partition, or `all` that it has, and itself.
    Forget {
        group: &'static str,
        of: (String, u32),
        all: bool,
    },
    Read(String, u32),
    /// Makes a snapshot beside the log, which is compared and removed.
    Snapshot,
    Close,
    /// The process dies: what is in the page cache stays.
    Kill,
}

/// A record that is to be sent. `tombstone` only where the topic is compacted.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub key: u32,
    pub tombstone: bool,
    pub length: usize,
}

/// What came of an operation.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// There was nothing that it could be done to.
    Skipped,
    Failed(Error),
}

/// What topics keep that have a retention: two segments.
const KEPT_BYTES: u64 = 8192;

/// The four ways into and out of files, by number.
pub fn options(mode: u64, clock: &ManualClock) -> OpenOptions {
    let mut options = EventLog::options()
        .clock(clock.clone())
        .maintenance(Maintenance::Manual)
        .max_segment_bytes(4096)
        .offsets_partitions(2);
    if mode & 1 == 1 {
        options = options.write_mode(WriteMode::Positioned);
    }
    if mode & 2 == 2 {
        options = options.read_mode(ReadMode::Copy);
    }
    options
}

fn config_of(sort: Sort, partitions: u32) -> TopicConfig {
    let config = TopicConfig::new().partitions(partitions).set("file.delete.delay.ms", "1000");
    match sort {
        Sort::Plain => config.retention(None),
        Sort::Retained => config.retention(Duration::from_secs(60)).retention_bytes(KEPT_BYTES),
        Sort::Compacted => config
            .cleanup(CleanupPolicy::Compact)
            .set("min.cleanable.dirty.ratio", "0.01")
            .set("delete.retention.ms", "5000"),
    }
}

pub struct Session {
    pub root: PathBuf,
    pub log: Option<EventLog>,
    pub clock: ManualClock,
    pub mode: u64,
    /// Whether calls may fail: faults are injected, or the disk is full.
    pub may_fail: bool,
    /// Whether anything but a write or a sync has been made to fail: such failures must not poison.
    pub may_poison: bool,
    /// Whether reads fail. What was found after a crash is read for its first sync, and where it cannot be, what was
    /// appended after it is in the log although the answer is `Io`: see `Producer`.
    pub may_not_read: bool,
    pub errors: BTreeMap<String, u64>,
    pub violations: Vec<String>,
}

impl Session {
    /// A session on an empty oracle. What is drawn by the system is the same each time.
    pub fn new(root: &Path, mode: u64) -> Self {
        draw_from(mode);
        oracle(|oracle| *oracle = Oracle::default());
        Self {
            root: root.into(),
            log: None,
            clock: ManualClock::new(Timestamp::from_millis(1_700_000_000_000)),
            mode,
            may_fail: false,
            may_poison: true,
            may_not_read: false,
            errors: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Opens the log if need be, and compares what is there then.
    pub fn ensure_open(&mut self, after: After) -> Result<(), Error> {
        if self.log.is_some() {
            return Ok(());
        }
        let mut log = options(self.mode, &self.clock).open(&self.root)?;
        if self.may_fail && !log.recovery().failed.is_empty() {
            // The failure hit the recovery of some partitions. The others work; these do when the log is opened anew.
            let text = format!("{:?}", log.recovery().failed);
            trace(format!("  opened without some partitions: {text}"));
            if log
                .recovery()
                .failed
                .iter()
                .any(|failure| !matches!(failure, Error::Io(_) | Error::StorageFull { .. }))
            {
                self.violation(format!("a failing system call is reported as {text}"));
            }
            let _ = log.close();
            faults::heal();
            log = options(self.mode, &self.clock).open(&self.root)?;
            // The disk is still full.
            if let Some(failure) = log.recovery().failed.first().cloned() {
                let _ = log.close();
                return Err(failure);
            }
        }
        self.log = Some(log);
        oracle(Oracle::reopened);
        self.compare(after);
        Ok(())
    }

    /// Compares the open log with the oracle; the oracle goes by what was found.
    pub fn compare(&mut self, after: After) {
        let Some(log) = &self.log else { return };
        // A log that was closed loads its partitions now, and may write: that is recorded, but nothing fails.
        match faults::spared(|| compare(log, &oracle(|oracle| oracle.clone()), after)) {
            Ok(found) => oracle(|oracle| *oracle = found),
            Err(reason) => self.violation(format!("after {after:?}: {reason}")),
        }
    }

    pub fn violation(&mut self, reason: String) {
        self.violations.push(reason);
    }

    pub fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Close => return self.close(),
            Operation::Kill => {
                trace("kill".into());
                self.die();
                return self.opened(After::Kill);
            }
            _ => {}
        }
        if let failed @ Outcome::Failed(_) = self.opened(After::Close) {
            return failed;
        }
        let Some(log) = self.log.clone() else { return Outcome::Skipped };
        let outcome = self.change(&log, operation);
        if let Outcome::Failed(failure) = &outcome {
            self.record(operation, failure);
        }
        outcome
    }

    fn opened(&mut self, after: After) -> Outcome {
        match self.ensure_open(after) {
            Ok(()) => Outcome::Done,
            Err(failure) => {
                self.record(&"open", &failure);
                Outcome::Failed(failure)
            }
        }
    }

    /// Counts an error, and objects to one that must not be.
    fn record(&mut self, what: &dyn std::fmt::Debug, failure: &Error) {
        let what = format!("{what:?}");
        let word = |text: &str| text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        *self.errors.entry(format!("{}: {}", word(&what), word(&format!("{failure:?}")))).or_default() += 1;
        trace(format!("  {failure}"));
        let is_refusal = matches!(failure, Error::Poisoned(_));
        if !self.may_fail {
            self.violation(format!("{what}: {failure}"));
        } else if is_refusal && !self.may_poison {
            self.violation(format!("{what} is refused although no write or sync has failed: {failure}"));
        } else if !matches!(failure, Error::Poisoned(_) | Error::Io(_) | Error::StorageFull { .. }) {
            self.violation(format!("{what}: a failing system call is reported as {failure:?}: {failure}"));
        }
    }

    pub fn close(&mut self) -> Outcome {
        trace("close".into());
        let Some(log) = self.log.take() else { return Outcome::Skipped };
        match log.close() {
            Ok(()) => {
                oracle(Oracle::all_durable);
                Outcome::Done
            }
            Err(failure) => {
                self.record(&"close", &failure);
                Outcome::Failed(failure)
            }
        }
    }

    /// Ends the log as the death of the process would: its descriptors, locks and maps are gone, and nothing is written.
    pub fn die(&mut self) {
        if let Some(log) = self.log.take() {
            std::mem::forget(log);
            unseen(|| abandon(&self.root));
        }
    }

    /// What the topics are after a change that failed: nothing was changed, unless its outcome is unknown.
    pub fn change_failed(failure: &Error, topic: usize, before: Stage) {
        oracle(|oracle| {
            let is_unknown = matches!(failure, Error::Poisoned(_)) && !oracle.catalog_poisoned;
            if matches!(failure, Error::Poisoned(_)) {
                oracle.catalog_poisoned = true;
            }
            oracle.topics[topic].stage = if is_unknown { Stage::Unknown } else { before };
        });
    }

    pub fn create(&mut self, log: &EventLog, name: &str, sort: Sort, partitions: u32) -> Outcome {
        if oracle(|oracle| oracle.named(name)).is_some() {
            return Outcome::Skipped;
        }
        let number = oracle(|oracle| {
            oracle.trace.push(format!("create {name} {sort:?} {partitions}"));
            oracle.topics.push(crate::oracle::Topic::new(name, sort, partitions as usize));
            oracle.topics.len() - 1
        });
        // All ways to make one.
        let config = config_of(sort, partitions);
        let made = match number % 3 {
            0 => log.create_topic(name, config),
            1 => log.ensure_topic(name, config),
            _ => log.create_topics([(name, config)]).and_then(|_| log.topic(name)),
        };
        match made {
            Ok(topic) => oracle(|oracle| {
                oracle.topics[number].id = Some(topic.id().to_string());
                oracle.topics[number].stage = Stage::Live;
                Outcome::Done
            }),
            Err(failure) => {
                Self::change_failed(&failure, number, Stage::Gone);
                Outcome::Failed(failure)
            }
        }
    }
}

/// Takes from this process what the kernel takes from one that dies: descriptors below `root`, with their locks, and maps.
/// Nothing may use them any more.
pub fn abandon(root: &Path) {
    let below = |path: &Path| path.starts_with(root);
    let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let held: Vec<i32> = descriptors
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| below(&target)))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in held.into_iter().filter(|descriptor| !crate::disk::holds(*descriptor)) {
        // SAFETY: its owner was forgotten with the log.
        unsafe { libc::close(descriptor) };
    }
    for line in std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
        let Some(at) = line.find('/') else { continue };
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((Ok(from), Ok(to))) =
            range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)))
        else {
            continue;
        };
        if below(Path::new(&line[at..])) {
            // SAFETY: the map belongs to the log that was forgotten, and no slice of it is left.
            unsafe { libc::munmap(from as *mut libc::c_void, to - from) };
        }
    }
}
