//! Handles to topics and partitions.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::OpenDirectory;
use crate::catalog::{TopicDescription, TopicEntry};
use crate::clock::Timestamp;
use crate::config::TopicConfig;
use crate::error::{Error, Result};
use crate::format::murmur2::partition_for_key;
use crate::format::uuid::Uuid;
use crate::partition::{Cursor, PartitionLog};
use crate::position::TopicPartition;

/// A topic of an open log. Cheap to clone, shared by any number of threads.
///
/// The handle is bound to the topic's id: if the topic is deleted and made again under the same name, this handle
/// still means the deleted one.
///
/// ```
/// use stratalog::{EventLog, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new().partitions(3))?;
/// assert_eq!(orders.partitions().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Topic {
    directory: Arc<OpenDirectory>,
    entry: Arc<TopicEntry>,
}

/// A partition of a topic: one append-only sequence of records. Cheap to clone, shared by any number of threads.
#[derive(Debug, Clone)]
pub struct Partition {
    directory: Arc<OpenDirectory>,
    entry: Arc<TopicEntry>,
    log: Arc<PartitionLog>,
}

/// One consistent look at where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionOffsets {
    /// Offset of the first record that can be read.
    pub log_start: u64,
    /// Offset behind the last record that is on the medium.
    pub durable: u64,
    /// Offset behind the last record that a consumer may read. With one replica this is the log end.
    pub high_watermark: u64,
    /// Offset behind the last record; the next one gets it.
    pub log_end: u64,
}

impl Topic {
    pub(crate) fn new(directory: Arc<OpenDirectory>, entry: Arc<TopicEntry>) -> Self {
        Self { directory, entry }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.entry.name()
    }

    /// The topic's id, unique for ever. Kafka's own.
    pub fn id(&self) -> Uuid {
        self.entry.id()
    }

    /// One of the topic's partitions, counted from 0. `NotFound` if there are fewer.
    pub fn partition(&self, number: u32) -> Result<Partition> {
        let missing = || Error::not_found("partition", format_args!("{}-{number}", self.name()));
        let log = usize::try_from(number).ok().and_then(|number| self.entry.partitions().get(number));
        Ok(self.handle(log.ok_or_else(missing)?))
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        self.entry.partitions().iter().map(|log| self.handle(log)).collect()
    }

    /// The partition that records with this key go to, the same that Kafka's clients choose.
    pub fn partition_for_key(&self, key: &[u8]) -> Partition {
        let number = partition_for_key(key, self.partition_count());
        self.handle(&self.entry.partitions()[number as usize])
    }

    /// The topic's configuration: what was set when it was created.
    pub fn config(&self) -> TopicConfig {
        self.entry.config().clone()
    }

    /// The topic as Kafka's `--describe` shows it.
    pub fn describe(&self) -> Result<TopicDescription> {
        self.directory.check_open()?;
        if self.entry.is_deleted() {
            Err(Error::not_found("topic", self.name()))
        } else {
            Ok(self.entry.describe())
        }
    }

    fn handle(&self, log: &Arc<PartitionLog>) -> Partition {
        Partition {
            directory: Arc::clone(&self.directory),
            entry: Arc::clone(&self.entry),
            log: Arc::clone(log),
        }
    }

    pub(crate) fn partition_count(&self) -> NonZeroU32 {
        u32::try_from(self.entry.partitions().len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }

    pub(crate) fn log_of(&self, number: u32) -> Option<&Arc<PartitionLog>> {
        self.entry.partitions().get(usize::try_from(number).ok()?)
    }

    pub(crate) fn entry(&self) -> &Arc<TopicEntry> {
        &self.entry
    }

    pub(crate) fn directory(&self) -> &Arc<OpenDirectory> {
        &self.directory
    }
}

impl Partition {
    /// The topic's name and the partition's number.
    pub fn id(&self) -> &TopicPartition {
        self.log.id()
    }

    /// Where the partition begins and ends now.
    pub fn offsets(&self) -> Result<PartitionOffsets> {
        self.directory.check_open()?;
        let bounds = self.log.bounds()?;
        Ok(PartitionOffsets {
            log_start: bounds.log_start,
            durable: bounds.durable,
            high_watermark: bounds.log_end,
            log_end: bounds.log_end,
        })
    }

    /// Offset of the first record with a timestamp of `at` or later, `None` if there is none.
    ///
    /// Kafka's counterpart is `offsetsForTimes`.
    pub fn offset_for_time(&self, at: Timestamp) -> Result<Option<u64>> {
        self.directory.check_open()?;
        let start = self.log.bounds()?.log_start;
        Cursor::offset_for_time(&self.log, at.as_millis(), start)
            .map_err(|failure| self.log.refuse_ended().err().unwrap_or(failure))
    }

    /// Bytes of records on disk.
    pub fn size(&self) -> Result<u64> {
        self.directory.check_open()?;
        self.log.bounds()?;
        Ok(self.log.segments().iter().map(|segment| segment.end().position).sum())
    }

    /// Returns when everything appended to this partition before the call is on the medium. Appends go on meanwhile.
    ///
    /// After an error the partition takes no more records until the log is opened anew: see [`Error::Poisoned`].
    pub fn sync(&self) -> Result<()> {
        self.directory.check_open()?;
        self.log.sync()
    }

    pub(crate) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    pub(crate) fn entry(&self) -> &Arc<TopicEntry> {
        &self.entry
    }

    pub(crate) fn directory(&self) -> &Arc<OpenDirectory> {
        &self.directory
    }
}

impl From<Partition> for TopicPartition {
    fn from(partition: Partition) -> Self {
        partition.id().clone()
    }
}

impl From<&Partition> for TopicPartition {
    fn from(partition: &Partition) -> Self {
        partition.id().clone()
    }
}
