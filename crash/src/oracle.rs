//! What must be in a log, by what its calls have said. Every driver writes down here what it asks for and what it was
//! answered, and `comparison` compares a log with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::interpose::unseen;
use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Plain,
    Compacted,
    /// Old records are deleted by time or size.
    Retained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its creation has begun: a crash decides.
    Creating,
    Live,
    /// Its deletion has begun: a crash decides.
    Deleting,
    Gone,
    /// Creation or deletion has failed with an unknown outcome: the next open decides.
    Unknown,
}

/// One record. `number: None` is a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub key: u32,
    pub number: Option<u64>,
    pub length: usize,
}

impl Sent {
    pub fn value(&self) -> Option<Vec<u8>> {
        self.number.map(|number| value_of(number, self.length))
    }
}

/// Bytes that show which record they are, at every place.
pub fn value_of(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    let mut random = Random::new(number);
    while bytes.len() < length {
        bytes.extend(random.number().to_be_bytes().iter().skip(2));
    }
    bytes.truncate(length.max(8));
    bytes
}

/// The number in a value, if the rest of the value is what goes with it.
pub fn number_in(value: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(value.get(..8)?.try_into().ok()?);
    (value_of(number, value.len()) == value).then_some(number)
}

#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// What was sent, by offset: up to `acked` it was acknowledged, from there on the outcome is unknown. `None`: something
    /// was sent, and what it was is learnt from the log.
    pub values: Vec<Option<Sent>>,
    pub acked: usize,
    /// Survives a power cut.
    pub durable: usize,
    /// The log begins at one of these.
    pub start_least: u64,
    pub start_most: u64,
    /// More may have been sent than is written down here.
    pub open_ended: bool,
    /// A write or sync has failed: no record is taken until the log is opened anew.
    pub poisoned: bool,
}

impl Partition {
    /// What was acknowledged at `offset` while what lies before it may be unknown.
    pub fn acknowledge(&mut self, offset: usize, sent: Sent) {
        if self.values.len() <= offset {
            self.values.resize(offset + 1, None);
        }
        self.values[offset] = Some(sent);
        self.acked = self.acked.max(offset + 1);
    }
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub id: Option<String>,
    pub sort: Sort,
    pub stage: Stage,
    pub partitions: Vec<Partition>,
    /// So many are there; the others may be.
    pub partitions_acked: usize,
}

impl Topic {
    pub fn new(name: &str, sort: Sort, partitions: usize) -> Self {
        Self {
            name: name.into(),
            id: None,
            sort,
            stage: Stage::Creating,
            partitions: vec![Partition::default(); partitions],
            partitions_acked: partitions,
        }
    }
}

/// What one group has committed for one partition, in turn. `None`: the position was forgotten.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    pub history: Vec<Option<u64>>,
    /// So many were acknowledged, and so many survive a power cut.
    pub acked: usize,
    pub durable: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub topics: Vec<Topic>,
    /// By group, number of the topic in `topics`, partition.
    pub commits: BTreeMap<(String, usize, u32), Commits>,
    pub next_number: u64,
    /// A change of topics has had an unknown outcome: none is taken until the log is opened anew.
    pub catalog_poisoned: bool,
    /// What was asked for, in words.
    pub trace: Vec<String>,
}

impl Oracle {
    pub const fn new() -> Self {
        Self {
            topics: Vec::new(),
            commits: BTreeMap::new(),
            next_number: 0,
            catalog_poisoned: false,
            trace: Vec::new(),
        }
    }

    /// The topic that has the name, or may have it.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.topics.iter().rposition(|topic| topic.name == name && topic.stage != Stage::Gone)
    }

    pub fn in_stage(&self, stage: Stage) -> Vec<usize> {
        (0..self.topics.len()).filter(|number| self.topics[*number].stage == stage).collect()
    }

    pub fn partition(&mut self, topic: usize, partition: u32) -> &mut Partition {
        &mut self.topics[topic].partitions[partition as usize]
    }

    pub fn trace_end(&self, lines: usize) -> String {
        self.trace[self.trace.len().saturating_sub(lines)..].join("\n  ")
    }

    /// The log is opened anew: what was unknown is known, and nothing is refused any more.
    pub fn reopened(&mut self) {
        self.catalog_poisoned = false;
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.poisoned = false;
        }
    }

    /// A sync of everything, or a close, has succeeded.
    pub fn all_durable(&mut self) {
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.durable = partition.acked;
        }
        for commits in self.commits.values_mut() {
            commits.durable = commits.acked;
        }
    }
}

static ORACLE: Mutex<Oracle> = Mutex::new(Oracle::new());

/// The oracle of the run. States are recorded in the middle of calls, so it is where they can be taken together.
pub fn oracle<T>(act: impl FnOnce(&mut Oracle) -> T) -> T {
    let mut oracle: MutexGuard<'_, Oracle> = ORACLE.lock().unwrap_or_else(PoisonError::into_inner);
    unseen(|| act(&mut oracle))
}

pub fn trace(line: String) {
    oracle(|oracle| oracle.trace.push(line));
}
