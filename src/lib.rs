//! Kafka's log, inside your process.
mod clock;
mod error;
mod format;
mod position;

pub use clock::Timestamp;
pub use error::{Damage, Error, IoFailure, PoisonCause, Remedy, Result};
pub use position::{Position, TopicPartition};
