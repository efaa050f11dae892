//! Kafka's log, inside your process.
//!
//! Topics, partitions, producers and consumers over memory-mapped segment files. No broker, no network; the directory
//! is a Kafka log directory, byte for byte: Kafka's own tools read it, and a stock broker takes it over.
//!
//! ```
//! use std::time::Duration;
//! use stratalog::{EventLog, Record, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//!
//! let log = EventLog::open(path)?;
//! let orders = log.ensure_topic("orders", TopicConfig::new().partitions(3))?;
//!
//! let producer = log.producer()?;
//! producer.send(&orders, Record::new("paid").key("order-17"))?; // in the log when it returns
//!
//! let mut reader = log.standalone_consumer()?;
//! reader.assign(orders.partitions())?;
//! for record in &reader.poll(Duration::from_secs(1))? {
//!     println!("{}-{}@{}: {:?}", record.topic(), record.partition(), record.offset(), record.value());
//! }
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! * [`guide`]: everything in turn, from the first record to operations
//! * [`durability`]: what survives which failure, call by call, with the test for each sentence
//! * [`kafka`]: to a broker and back
//! * [`file_format`]: what each file of a directory holds
//! * [`EventLog`]: open, topics, close
//! * [`Producer`], [`BufferedProducer`], [`Record`]: writing
//! * [`TransactionalProducer`], [`Transaction`]: all or nothing
//! * [`Consumer`], [`Records`], [`RecordView`]: reading
//! * [`Topic`], [`Partition`], [`TopicConfig`]: what there is
//! * [`inspect`]: looking into files
//! * [`Error`], [`Remedy`]: what can go wrong, and what to do
//!
//! # Features
//!
//! All are on by default. Without one, batches of its codec are neither written nor read, and the error names the feature.
//!
//! | feature | codec | needs |
//! |---|---|---|
//! | `gzip` | [`Compression::Gzip`] | Rust |
//! | `snappy` | [`Compression::Snappy`] | Rust |
//! | `lz4` | [`Compression::Lz4`] | Rust |
//! | `zstd` | [`Compression::Zstd`] | a C compiler |

// The published package has no unit tests, and under `cfg(test)` there is nothing then: see `build.rs`. In two attributes, because
// rustdoc takes a crate with one `cfg` that names `unit_tests` for one without doc tests.
#![cfg_attr(not(unit_tests), cfg(not(test)))]
#![cfg_attr(docsrs, feature(doc_cfg), doc(auto_cfg = false))]

mod background;
mod catalog;
mod clock;
mod compaction;
mod config;
mod consumer;
mod directory;
mod error;
mod event_log;
mod events;
mod format;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod handover;
pub mod inspect;
mod keyed;
mod partition;
mod position;
mod producer;
mod segment;
mod snapshot;
mod sys;
mod transaction;
mod wait;

#[doc = include_str!("guide.md")]
pub mod guide {}

#[allow(rustdoc::broken_intra_doc_links, reason = "brackets hold names of tests")]
#[doc = include_str!("../docs/durability.md")]
pub mod durability {}

#[allow(rustdoc::broken_intra_doc_links, reason = "brackets hold names of tests")]
#[doc = include_str!("../docs/kafka.md")]
pub mod kafka {}

#[doc = include_str!("../docs/format.md")]
pub mod file_format {}

pub use background::MaintenanceReport;
pub use catalog::{PartitionDescription, TopicDescription};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use config::{
    Assignor, CleanupPolicy, Compression, ConfigEntries, ConsumerConfig, Durability, IsolationLevel,
    KafkaVersion, Mismatch, ReadUpTo, StartFrom, TimestampType, TopicConfig, UnknownTopics, WaitStrategy,
};
pub use consumer::{
    Consumer, ConsumerWaker, Headers, OwnedRecord, OwnedRecordIter, PartitionIter, PartitionRecords,
    RecordIter, RecordView, Records, WhyEmpty,
};
pub use directory::{
    Group, Maintenance, Metrics, OpenOptions, Partition, PartitionOffsets, Progress, ReadMode,
    RecoveryReport, SegmentInfo, Topic, WriteMode,
};
pub use error::{
    AbortCause, Damage, DroppedRecords, Error, IoFailure, PoisonCause, Remedy, Result, SettingMismatch,
    StorageFailure, TopicMismatch,
};
pub use event_log::EventLog;
pub use events::{Event, Events};
pub use format::record::Header;
pub use format::uuid::Uuid as TopicId;
pub use group::{GroupDescription, GroupPartition, GroupState, MemberDescription};
pub use handover::{
    HandoverObstacle, HandoverOptions, HandoverReport, HandoverWarning, OngoingTransaction, RecommittedOffset,
};
pub use partition::{MissingRecords, PartitionRecovery};
pub use position::{Position, TopicPartition};
pub use producer::{
    BatchMetadata, BufferedProducer, Committed, Partitioner, Processed, Producer, ProducerConfig, Record,
    RecordCopy, RecordMetadata, Transaction, TransactionalProducer,
};
pub use snapshot::Snapshot;
pub use sys::ignore_file_size_signal;
pub use transaction::{TransactionState, TransactionalId};

/// The examples of README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
