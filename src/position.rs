//! Names of places in the log: a partition of a topic, and an offset in it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A partition, by the name of its topic and its number.
///
/// One that is made of a name means whichever topic has the name when it is used. One that comes out of a log, from a
/// record, a handle or a consumer, also knows the id of its topic, and means that topic alone: once it was deleted, calls
/// that are given such a partition fail with `NotFound`, even if another topic has the name by then. Two of the same name
/// and number are equal, whatever they know.
///
/// Cloning is cheap. Kafka's counterparts are the class of the same name and `TopicIdPartition`.
///
/// ```
/// use stratalog::TopicPartition;
/// let of: TopicPartition = ("orders", 2).into();
/// assert_eq!(of.to_string(), "orders-2");
/// ```
#[derive(Clone)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
    /// Not compared: the code that uses the partition checks it.
    topic_id: TopicId,
}

/// The bytes of a topic's id. All zero: the topic that has the name.
pub(crate) type TopicId = [u8; 16];

const BY_NAME: TopicId = [0; 16];

#[cfg(test)]
thread_local! {
    static COMPARED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl TopicPartition {
    pub(crate) fn new(topic: Arc<str>, partition: u32) -> Self {
        Self { topic, partition, topic_id: BY_NAME }
    }

    /// The same of the topic with this id alone.
    pub(crate) fn of_topic(self, topic_id: TopicId) -> Self {
        Self { topic_id, ..self }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number, counted from 0.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The id of the topic that is meant, if it is not whichever has the name.
    pub(crate) fn topic_id(&self) -> Option<TopicId> {
        Some(self.topic_id).filter(|id| *id != BY_NAME)
    }

    /// Whether the topic with this id may be meant.
    #[inline]
    pub(crate) fn may_be_of(&self, topic_id: &TopicId) -> bool {
        self.topic_id == BY_NAME || self.topic_id == *topic_id
    }

    /// Whether this other partition, which knows its topic, may be meant.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        // Numbers differ more often than names, and are compared faster.
        self.partition == other.partition && self.topic == other.topic && self.may_be_of(&other.topic_id)
    }

    fn key(&self) -> (&str, u32) {
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        (&self.topic, self.partition)
    }

    /// How often this thread has compared or hashed partitions since this was asked last.
    #[cfg(test)]
    pub(crate) fn take_comparisons() -> u64 {
        COMPARED.replace(0)
    }
}

impl PartialEq for TopicPartition {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for TopicPartition {}

impl PartialOrd for TopicPartition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicPartition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for TopicPartition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
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
        Self::new(topic.into(), partition)
    }
}

/// An offset in a partition: where to read next. What `seek` takes and what a record's
/// [`next_position`](crate::RecordView::next_position) gives.
///
/// It means the same topic as its [partition](TopicPartition): a position of a topic that was deleted, or of another log,
/// is of no use in a topic of the same name. Where that is wanted, make one with [`Position::new`] of name and number.
///
/// Kafka's counterpart is `OffsetAndMetadata`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    partition: TopicPartition,
    offset: u64,
    leader_epoch: Option<u32>,
    metadata: Box<str>,
}

impl Position {
    /// The position before the record with this `offset`.
    pub fn new(of: impl Into<TopicPartition>, offset: u64) -> Self {
        Self { partition: of.into(), offset, leader_epoch: None, metadata: Box::default() }
    }

    /// Adds the leader epoch of the record before the position, as Kafka's clients remember it.
    #[must_use]
    pub fn with_leader_epoch(mut self, epoch: u32) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }

    /// Adds what the committer wants to remember beside the offset: it comes back with the committed position. Of a text that is
    /// not empty it allocates.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Box<str>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// The same partition at another offset.
    pub(crate) fn at_offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The same offset, in a partition that may know more of its topic.
    pub(crate) fn in_partition(self, partition: TopicPartition) -> Self {
        Self { partition, ..self }
    }

    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
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

    /// What the committer wanted to remember. Empty if nothing.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }
}
