//! Names of places in the log: a partition of a topic, and an offset in it.

use std::fmt;
use std::sync::Arc;

/// A partition, by the name of its topic and its number.
///
/// Cloning is cheap. Kafka's counterpart has the same name.
///
/// ```
/// use stratalog::TopicPartition;
/// let of: TopicPartition = ("orders", 2).into();
/// assert_eq!(of.to_string(), "orders-2");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    pub(crate) fn new(topic: Arc<str>, partition: u32) -> Self {
        Self { topic, partition }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number, counted from 0.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&TopicPartition> for TopicPartition {
    fn from(of: &TopicPartition) -> Self {
        of.clone()
    }
}

impl From<(&str, u32)> for TopicPartition {
    fn from((topic, partition): (&str, u32)) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// An offset in a partition: where to read next. What `seek` takes and what a record's
/// [`next_position`](crate::RecordView::next_position) gives.
///
/// Kafka's counterpart is `OffsetAndMetadata`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    partition: TopicPartition,
    offset: u64,
    leader_epoch: Option<u32>,
}

impl Position {
    /// The position before the record with this `offset`.
    pub fn new(of: impl Into<TopicPartition>, offset: u64) -> Self {
        Self { partition: of.into(), offset, leader_epoch: None }
    }

    /// Adds the leader epoch of the record before the position, as Kafka's clients remember it.
    #[must_use]
    pub fn with_leader_epoch(mut self, epoch: u32) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }

    /// The same partition at another offset.
    pub(crate) fn at_offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset of the next record to read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The leader epoch of the record before this position, if it is known.
    pub fn leader_epoch(&self) -> Option<u32> {
        self.leader_epoch
    }
}
