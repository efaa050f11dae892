//! What a topic looks like from outside: the answer to Kafka's `--describe`.

use crate::config::TopicConfig;
use crate::format::uuid::Uuid;

/// A topic with its partitions and settings.
///
/// Kafka's counterpart has the same name; its tool for it is `kafka-topics --describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// The name.
    pub name: String,
    /// The id. A topic that is deleted and created again has another one.
    pub id: Uuid,
    /// Whether Kafka keeps the topic for itself, as it does `__consumer_offsets`.
    pub internal: bool,
    /// Copies of each partition: 1, unless a cluster of brokers made the topic.
    pub replication_factor: u16,
    /// The number of partitions, and the settings as the metadata log holds them.
    pub config: TopicConfig,
    /// The partitions, in order of their numbers.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition of a [`TopicDescription`].
///
/// Leader and in-sync replicas are what holds now, while this process keeps the log: the node of the directory
/// itself. What a broker noted of them when it stopped is out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// The number.
    pub partition: u32,
    /// The node that takes records. `None`: the partition belongs to other nodes of a cluster.
    pub leader: Option<i32>,
    /// The nodes that are to have a copy.
    pub replicas: Vec<i32>,
    /// The nodes whose copy is complete.
    pub isr: Vec<i32>,
}
