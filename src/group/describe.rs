//! What can be seen of a group.

use crate::config::Assignor;
use crate::position::{Position, TopicPartition};

/// How a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members. Kafka: `Empty`.
    Empty,
    /// Partitions are on their way from one member to another. Kafka: `PreparingRebalance`.
    Rebalancing,
    /// Every member has the partitions that it is to have. Kafka: `Stable`.
    Stable,
}

/// A group as Kafka's `kafka-consumer-groups --describe` shows it: [`Group::describe`](crate::Group::describe).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's name.
    pub name: String,
    /// How it is.
    pub state: GroupState,
    /// How partitions are assigned. `None` while it has no members.
    pub assignor: Option<Assignor>,
    /// Goes up with every change of members, subscriptions and topics. 0 while it has no members.
    pub generation: u32,
    /// Its members, in the order in which they came.
    pub members: Vec<MemberDescription>,
    /// The partitions that have a committed position or an owner, by topic and number.
    pub partitions: Vec<GroupPartition>,
}

/// A consumer that has subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Its id, unique while the log is open.
    pub id: String,
    /// Topics that it subscribes to, existing or not.
    pub topics: Vec<String>,
    /// Partitions that it reads.
    pub assignment: Vec<TopicPartition>,
    /// Partitions that it is to read.
    pub target: Vec<TopicPartition>,
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The committed position.
    pub committed: Option<Position>,
    /// Offset of the first record that can be read. `None` if the partition does not exist any more.
    pub log_start: Option<u64>,
    /// Offset after the last record. `None` if the partition does not exist any more.
    pub log_end: Option<u64>,
    /// Offsets from the committed position, or from the log start where that is later, to the end: records that were
    /// deleted do not count. `None` without a committed position or an end.
    pub lag: Option<u64>,
    /// The member that reads it.
    pub member: Option<String>,
}
