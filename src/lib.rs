//! Kafka's log, inside your process.
mod clock;
mod config;
mod error;
mod format;
mod partition;
mod position;
mod segment;
mod sys;
mod upkeep;
mod wait;

pub use clock::Timestamp;
pub use config::{CleanupPolicy, Compression, ConfigEntries, TimestampType, TopicConfig};
pub use error::{Damage, Error, IoFailure, PoisonCause, Remedy, Result};
pub use format::record::Header;
pub use format::uuid::Uuid as TopicId;
pub use position::{Position, TopicPartition};
