//! What a topic may be called and how it can be set up, in Kafka's own names, texts and limits.
//!
//! Nothing here touches a file. A configuration is kept as the texts that were given, because those are what the
//! metadata log stores and what a broker reads back; it is checked once, where it is used, and read into typed
//! values once ([`TopicSettings`]). A text that passes the check passes a Kafka 4 broker's check too, which matters:
//! a broker refuses to start over a single invalid one.

mod asked;
mod choice;
mod consumer;
mod effect;
mod kafka_version;
mod setting;
mod topic;
pub(crate) mod topic_name;
mod topic_setting;

pub use choice::{Assignor, CleanupPolicy, Compression, Durability, Mismatch, TimestampType};
pub use consumer::{ConsumerConfig, IsolationLevel, ReadUpTo, StartFrom, UnknownTopics, WaitStrategy};
pub use kafka_version::KafkaVersion;
pub use topic::{ConfigEntries, TopicConfig};
pub(crate) use topic_setting::{DefaultRetention, TopicSettings};
