//! Kafka's log, inside your process.
mod clock;
mod error;
mod format;
mod position;
mod sys;
mod wait;

pub use clock::Timestamp;
pub use error::{Damage, Error, IoFailure, PoisonCause, Remedy, Result};
pub use format::record::Header;
pub use position::{Position, TopicPartition};
