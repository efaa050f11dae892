//! Handles to topics and partitions.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use super::OpenDirectory;
use crate::background::retention::kept_by_future;
use crate::catalog::{TopicDescription, TopicEntry};
use crate::clock::Timestamp;
use crate::config::TopicConfig;
use crate::error::{Error, Result};
use crate::format::murmur2::partition_for_key;
use crate::format::uuid::Uuid;
use crate::partition::{Cursor, PartitionLog, SegmentFacts};
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
#[derive(Clone)]
pub struct Topic {
    directory: Arc<OpenDirectory>,
    entry: Arc<TopicEntry>,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("partitions", &self.entry.partitions().len())
            .finish_non_exhaustive()
    }
}

/// A partition of a topic: one append-only sequence of records. Cheap to clone, shared by any number of threads.
#[derive(Clone)]
pub struct Partition {
    directory: Arc<OpenDirectory>,
    entry: Arc<TopicEntry>,
    log: Arc<PartitionLog>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({})", self.log.id())
    }
}

/// A consistent snapshot of where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionOffsets {
    /// Offset of the first record that can be read.
    pub log_start: u64,
    /// Offset after the last record that is on disk.
    pub durable: u64,
    /// Offset before which every transaction has ended: up to here a consumer reads that wants
    /// [committed](crate::IsolationLevel::ReadCommitted) records only. The high watermark while no transaction is open.
    pub last_stable: u64,
    /// Offset after the last record that a consumer may read. With one replica this is the log end.
    pub high_watermark: u64,
    /// Offset after the last record; the next one gets it.
    pub log_end: u64,
}

/// A part of a partition: a log file and its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// From its base offset, the name of its files, to after its last record.
    pub offsets: Range<u64>,
    /// Bytes of records.
    pub bytes: u64,
    /// The largest timestamp of its records, as the index of the segment has it; without any, when the file was last
    /// changed. Retention asks the batches themselves before it deletes a segment that is old by this.
    pub max_timestamp: Timestamp,
    /// Whether it is complete. The last one grows.
    pub sealed: bool,
}

impl SegmentInfo {
    fn of(facts: SegmentFacts) -> Self {
        Self {
            offsets: facts.base..facts.next_offset,
            bytes: facts.bytes,
            max_timestamp: Timestamp::from_millis(facts.newest),
            sealed: facts.sealed,
        }
    }
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
        Ok(self.handle(self.entry.partitions().get(number).ok_or_else(missing)?))
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

    /// The topic's configuration: its number of partitions, and what was set when it was created or altered.
    pub fn config(&self) -> TopicConfig {
        self.entry.config()
    }

    /// Alters the topic's configuration: `change` gets the present one and returns the one to come. Several threads
    /// may do this at once without one undoing what another did. Returns when the change is on disk; it is in
    /// effect then for records sent from now on, also through producers and handles that exist. What is in the log
    /// stays as it is.
    ///
    /// Entries that a broker made and this version does not know stay unless `change` takes them away.
    /// Kafka's counterpart is `incrementalAlterConfigs`, and `kafka-configs --alter`.
    ///
    /// A smaller `segment.bytes` counts at once, a larger one from the next segment on. With a smaller
    /// `max.message.bytes` a batch that is still pending in a buffered producer may turn out to be too large.
    ///
    /// # Errors
    /// `InvalidInput` for what Kafka would refuse, for another number of partitions, and when called by `change`
    /// itself for the same topic; `NotFound` once the topic is deleted; `Unsupported` if a newer Kafka wrote the
    /// catalog. After an error nothing is changed, unless it is [`Error::Poisoned`]: then the topic takes no records until
    /// the log is opened anew, with the old settings or the new ones.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stratalog::{EventLog, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new().retention_bytes(1 << 30))?;
    /// orders.alter_config(|now| now.retention(Duration::from_secs(3600)).unset("retention.bytes"))?;
    /// assert!(orders.config().entries().eq([("retention.ms", "3600000")]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alter_config(&self, change: impl FnOnce(TopicConfig) -> TopicConfig) -> Result<()> {
        self.directory.check_writable()?;
        self.directory.catalog()?.alter(&self.entry, change, self.directory.now().as_millis())
    }

    /// Adds partitions until there are `total`. Returns when that is on disk. Handles and producers that exist
    /// see the new partitions at once; a consumer reads those it was assigned.
    ///
    /// From then on records of a key may go to another partition than before. Kafka's counterpart is
    /// `createPartitions`, and `kafka-topics --alter --partitions`.
    ///
    /// # Errors
    /// `InvalidInput` unless `total` is more than there are and no more than Kafka takes; `NotFound` once the topic is
    /// deleted; `Unsupported` if a newer Kafka wrote the catalog. After an error no partition is added, unless it is
    /// [`Error::Poisoned`]: then the topic takes no records until the log is opened anew.
    ///
    /// ```
    /// # use stratalog::{EventLog, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// orders.add_partitions(3)?;
    /// assert_eq!(orders.partitions().len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_partitions(&self, total: u32) -> Result<()> {
        self.directory.check_writable()?;
        self.directory.catalog()?.add_partitions(&self.entry, total, self.directory.now().as_millis())
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

    #[inline]
    pub(crate) fn partition_count(&self) -> NonZeroU32 {
        NonZeroU32::new(self.entry.partitions().len()).unwrap_or(NonZeroU32::MIN)
    }

    #[inline]
    pub(crate) fn log_of(&self, number: u32) -> Option<&Arc<PartitionLog>> {
        self.entry.partitions().get(number)
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Arc<TopicEntry> {
        &self.entry
    }

    #[inline]
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
        self.directory.refresh()?;
        self.log.bounds()?;
        self.log.refresh_transactions()?;
        let bounds = self.log.bounds()?;
        Ok(PartitionOffsets {
            log_start: bounds.log_start,
            durable: bounds.durable,
            last_stable: bounds.last_stable,
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
        Cursor::offset_for_time(&self.log, at.as_millis(), start).map_err(|failure| {
            match self.directory.refresh() {
                Ok(()) => self.log.refuse_ended().err().unwrap_or(failure),
                Err(_) => failure,
            }
        })
    }

    /// Deletes all records below an offset and returns where the partition begins now.
    ///
    /// They cannot be read from then on, also after a crash or a power failure: when this returns, the new log start is
    /// fsynced, and so are the records below it. Segments that hold nothing else are removed from the disk after
    /// `file.delete.delay.ms`; what shares a segment with records that stay is removed with it. A consumer whose position is
    /// below the new log start gets [`Error::OffsetOutOfRange`]. An offset at or below the present log start changes nothing.
    /// Kafka's counterpart has the same name.
    ///
    /// # Errors
    /// `OffsetOutOfRange` past the high watermark, `StorageFull`, `Poisoned` if the partition takes no more writes; then
    /// nothing is deleted. After `Io` the records can still be read, and may be deleted when the log is opened anew.
    /// A file that cannot be removed is an [event](crate::Event::MaintenanceFailed) and no error; it is tried again.
    ///
    /// ```
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// log.producer()?.send_batch(&orders, ["a", "b", "c"].map(|value| Record::new(value)))?;
    /// assert_eq!(orders.delete_records(2)?, 2);
    /// assert_eq!(orders.offsets()?.log_start, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_records(&self, before: u64) -> Result<u64> {
        self.directory.check_writable()?;
        let _spending = self.directory.spend_for_freeing();
        let leader = self.log.leader()?;
        leader.prepare_start(before)?;
        self.directory.advance_log_start(leader, before)?;
        let dropped = leader.delete_head_segments(self.directory.now().as_millis());
        if let Err(failure) = dropped {
            self.directory.emit_failed("deleting old segments", &failure);
        }
        self.directory.schedule_retention();
        Ok(self.log.log_start())
    }

    /// The segments, oldest first: the files that retention deletes as a whole.
    ///
    /// ```
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// # let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    /// let segments = orders.partition(0)?.segments()?;
    /// assert_eq!(segments.len(), 1);
    /// assert_eq!(segments[0].offsets, 0..1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        self.directory.check_open()?;
        Ok(self.log.facts()?.into_iter().map(SegmentInfo::of).collect())
    }

    /// The oldest segment that retention by age would delete if none of its records had a timestamp in the future. With
    /// it all later segments stay. `None` if there is none such, and where time is no limit.
    ///
    /// The log's clock says what is the future; [`Event::KeptByFutureTimestamp`](crate::Event::KeptByFutureTimestamp) reports
    /// it once. A broker writes a warning.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stratalog::{EventLog, Record, Timestamp, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let config = TopicConfig::new().retention(Duration::from_secs(3600));
    /// let topic = log.create_topic("orders", config.set("message.timestamp.after.max.ms", i64::MAX.to_string()))?;
    /// let far = Timestamp::from_millis(253_402_300_800_000); // the year 10000
    /// log.producer()?.send(&topic, Record::new("paid").timestamp(far))?;
    /// let kept = topic.partition(0)?.kept_by_future_timestamp()?;
    /// assert_eq!(kept.map(|segment| segment.max_timestamp), Some(far));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kept_by_future_timestamp(&self) -> Result<Option<SegmentInfo>> {
        self.directory.check_open()?;
        Ok(kept_by_future(&self.log, self.directory.now().as_millis())?.map(SegmentInfo::of))
    }

    /// Bytes of records on disk, those that are hidden by [`delete_records`](Self::delete_records) included.
    pub fn size(&self) -> Result<u64> {
        self.directory.check_open()?;
        self.log.bounds()?;
        Ok(self.log.segments().iter().map(|segment| segment.end().position).sum())
    }

    /// Returns when everything appended to this partition before the call is on disk. Appends continue meanwhile.
    ///
    /// # Errors
    /// `Poisoned` if a write or sync failed: the partition takes no more records until the log is opened anew. After `Io`
    /// nothing more is durable than before, and the same call can succeed once the reason is gone.
    pub fn sync(&self) -> Result<()> {
        self.directory.check_writable()?;
        self.log.check_place()?;
        self.log.leader()?.sync()
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
