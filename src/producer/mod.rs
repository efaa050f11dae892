//! Producers: records in, batches out.
//!
//! A producer encodes records into a batch buffer of its own, with the checksum, and hands the finished batch to a
//! partition, which only fills in offset and epoch. No code of the user's runs while a partition is locked.

mod buffered;
mod config;
mod copies;
mod part;
mod partitioner;
mod pending;
mod record;
mod stamp;
mod topics;
mod transaction;
mod transactional;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

pub use buffered::BufferedProducer;
pub use config::ProducerConfig;
pub use copies::RecordCopy;
pub use partitioner::Partitioner;
use partitioner::{Partitioning, Sticky};
pub use record::Record;
pub use transaction::{Committed, Transaction};
pub(crate) use transactional::check_id;
pub use transactional::{Processed, TransactionalProducer};

use crate::catalog::TopicEntry;
use crate::clock::Timestamp;
use crate::config::Durability;
use crate::directory::{OpenDirectory, Partition, Topic};
use crate::error::{Error, Result};
use crate::format::batch::BatchBuilder;
use crate::format::compression::Encoding;
use crate::format::record::RecordFields;
use crate::partition::{AppendAt, AppendRequest, Appended, PartitionLog};
use crate::sys::random_bytes;

/// What a thread's buffer for unbuffered sends may keep.
const KEEP_BYTES: usize = 1 << 20;

thread_local! {
    /// The batch a thread is encoding. Taken out while code of the user's runs, which may send in turn.
    static SCRATCH: RefCell<BatchBuilder> = RefCell::default();
}

/// Writes records. Cheap to clone, shared by any number of threads; each thread's records keep their order within a
/// partition.
///
/// `Ok` means: in the log, visible to consumers, and safe from the death of the process. [`Durability`] can ask for more; the
/// default does not. With [`Durability::Synced`], or where the topic's `flush.messages` asks for a sync, an [`Error::Poisoned`]
/// means that the outcome is unknown: the records may or may not be there when the log is opened again. In one case
/// [`Error::Io`] does not mean that nothing was written: the partition was recovered after a crash, and the recovered bytes,
/// which are written again before an fsync of them counts, cannot be read. Then the records are in the log and not yet durable,
/// and the background continues trying to sync them.
///
/// ```
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let producer = log.producer()?;
/// let sent = producer.send(&orders, Record::new("paid").key("order-17"))?;
/// assert_eq!(sent.offset, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    directory: Arc<OpenDirectory>,
    config: Arc<ProducerConfig>,
    partitioning: Arc<Partitioning>,
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The partition's number.
    pub partition: u32,
    /// The record's offset.
    pub offset: u64,
    /// The record's timestamp: its own or, in a topic with [`TimestampType::LogAppendTime`], the time of appending.
    ///
    /// [`TimestampType::LogAppendTime`]: crate::TimestampType::LogAppendTime
    pub timestamp: Timestamp,
}

/// Where a batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMetadata {
    /// The partition's number.
    pub partition: u32,
    /// The records' offsets. Empty, at the log end, for a batch without records.
    pub offsets: Range<u64>,
}

impl Producer {
    pub(crate) fn new(directory: &Arc<OpenDirectory>, config: ProducerConfig) -> Result<Self> {
        directory.check_writable()?;
        config.validate()?;
        let [a, b, c, d, ..] = random_bytes()?;
        let sticky =
            || Partitioning::Kafka(Sticky::new(u32::from_le_bytes([a, b, c, d]), config.batch_bytes));
        let partitioning = Arc::new(config.partitioner.clone().map_or_else(sticky, Partitioning::Own));
        Ok(Self { directory: Arc::clone(directory), config: Arc::new(config), partitioning })
    }

    /// Writes one record, as a batch of its own. In the log when it returns, whatever the settings.
    ///
    /// A record with a timestamp of its own is refused where that is too far from the clock for the topic's
    /// `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`, by default an hour in the future.
    ///
    /// Kafka's counterpart is `send(…).get()` with `linger.ms=0`. For compact storage and fast replay write many
    /// records at once: [`send_batch`](Self::send_batch), [`buffered`](Self::buffered).
    pub fn send(&self, topic: &Topic, record: Record<'_>) -> Result<RecordMetadata> {
        self.check_topic(topic)?;
        let rules = topic.entry().rules();
        record.check(rules.compacts())?;
        let (partition, log) = self.choose(topic, &record)?;
        let now = self.directory.now();
        let timestamp = timestamp_of(&record, now, topic.entry())?;
        let append_time = rules.log_append_time().then_some(now);
        let encoding = rules.encoding(self.config.compression)?;
        SCRATCH.with_borrow_mut(|batch| {
            // Before and not after: whatever ended the last use of it, nothing of that is sent with this record.
            batch.clear(KEEP_BYTES);
            let fields = record.fields();
            push(batch, &fields, timestamp.as_millis(), encoding, log)?;
            batch.set_append_time(append_time.map(Timestamp::as_millis));
            let offset = append(batch, log, None, encoding, self.config.durability)?.start;
            Ok(RecordMetadata { partition, offset, timestamp: append_time.unwrap_or(timestamp) })
        })
    }

    /// Writes records as one batch: all of them or none are in the log, one after the other.
    ///
    /// Records that name another partition are refused. Without records nothing is written.
    ///
    /// ```
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// # let ledger = log.create_topic("ledger", TopicConfig::new())?.partition(0)?;
    /// let rows = ["debit 5", "credit 5"];
    /// let batch = log.producer()?.send_batch(&ledger, rows.iter().map(|row| Record::new(*row)))?;
    /// assert_eq!(batch.offsets, 0..2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_batch<'a>(
        &self,
        to: &Partition,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<BatchMetadata> {
        self.write_batch(to, None, &mut records.into_iter())
    }

    /// Writes records as one batch if no record lies at offset `at` or after it, else nothing, and the error is
    /// [`Error::Conflict`]: optimistic concurrency.
    ///
    /// The batch begins at `at`, or later where transactions have ended there: the end of a transaction takes an offset and is
    /// no record. An `at` past the end of the log is a conflict too.
    pub fn send_batch_at<'a>(
        &self,
        to: &Partition,
        at: u64,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<BatchMetadata> {
        self.write_batch(to, Some(at), &mut records.into_iter())
    }

    /// The same producer with another durability.
    ///
    /// ```
    /// # use stratalog::{Durability, EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// # let orders = log.create_topic("orders", TopicConfig::new())?;
    /// let producer = log.producer()?;
    /// producer.send(&orders, Record::new("seen"))?;
    /// producer.with_durability(Durability::Synced).send(&orders, Record::new("paid"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_durability(&self, level: Durability) -> Self {
        let config = ProducerConfig::clone(&self.config).durability(level);
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// A producer that collects records into batches, for one thread.
    pub fn buffered(&self) -> BufferedProducer {
        BufferedProducer::new(self.clone())
    }

    fn write_batch(
        &self,
        to: &Partition,
        at: Option<u64>,
        records: &mut dyn Iterator<Item = Record<'_>>,
    ) -> Result<BatchMetadata> {
        if !Arc::ptr_eq(to.directory(), &self.directory) {
            return Err(foreign(to.id().topic()));
        }
        self.directory.check_open()?;
        let now = self.directory.now();
        let encoding = to.entry().rules().encoding(self.config.compression)?;
        let mut batch = SCRATCH.take();
        batch.clear(KEEP_BYTES);
        let outcome = fill(&mut batch, to, now, encoding, records).and_then(|()| {
            if batch.is_empty() {
                return empty(to.log(), at);
            }
            let append_time = to.entry().rules().log_append_time().then_some(now);
            batch.set_append_time(append_time.map(Timestamp::as_millis));
            append(&mut batch, to.log(), at, encoding, self.config.durability)
        });
        SCRATCH.set(batch);
        Ok(BatchMetadata { partition: to.id().partition(), offsets: outcome? })
    }

    #[inline]
    fn check_topic(&self, topic: &Topic) -> Result<()> {
        if Arc::ptr_eq(topic.directory(), &self.directory) {
            self.directory.check_open()
        } else {
            Err(foreign(topic.name()))
        }
    }

    #[inline]
    fn choose<'t>(&self, topic: &'t Topic, record: &Record<'_>) -> Result<(u32, &'t Arc<PartitionLog>)> {
        let partition = self.partitioning.choose(topic.name(), record, topic.partition_count())?;
        let missing = || Error::not_found("partition", format_args!("{}-{partition}", topic.name()));
        Ok((partition, topic.log_of(partition).ok_or_else(missing)?))
    }
}

fn foreign(topic: &str) -> Error {
    Error::invalid(
        "topic",
        format!("{topic:?} belongs to another open log; get the topic from the producer's own"),
    )
}

/// The timestamp a record is written with: `now` unless it has one of its own, which the topic must take.
#[inline]
fn timestamp_of(record: &Record<'_>, now: Timestamp, topic: &TopicEntry) -> Result<Timestamp> {
    match record.wanted_timestamp() {
        Some(at) if !topic.rules().takes_timestamp(at, now) => {
            topic.rules().check_timestamp(at, now, topic.name()).map(|()| at)
        }
        Some(at) => Ok(at),
        None => Ok(now),
    }
}

/// Refuses what no partition takes, before it is encoded.
#[inline]
fn check_size(bytes: usize, encoding: Encoding, log: &PartitionLog) -> Result<()> {
    let limit = encoding.largest_batch(log.batch_limits());
    if bytes > limit {
        return Err(Error::TooLarge { bytes: bytes as u64, limit: limit as u64 });
    }
    Ok(())
}

fn fill(
    batch: &mut BatchBuilder,
    to: &Partition,
    now: Timestamp,
    encoding: Encoding,
    records: &mut dyn Iterator<Item = Record<'_>>,
) -> Result<()> {
    let compacted = to.entry().rules().compacts();
    for record in records {
        record.check(compacted)?;
        if record.wanted_partition().is_some_and(|wanted| wanted != to.id().partition()) {
            let reason = format!("a record names another partition than {}, where its batch goes", to.id());
            return Err(Error::invalid("record partition", reason));
        }
        let timestamp = timestamp_of(&record, now, to.entry())?.as_millis();
        push(batch, &record.fields(), timestamp, encoding, to.log())?;
    }
    Ok(())
}

/// Adds a record to a batch, unless it is refused.
#[inline(always)]
fn push(
    batch: &mut BatchBuilder,
    record: &RecordFields<'_>,
    timestamp: i64,
    encoding: Encoding,
    log: &PartitionLog,
) -> Result<()> {
    if !batch.push_usual(record, timestamp, encoding.largest_batch(log.batch_limits())) {
        let measured = batch.measure(record, timestamp);
        check_size(batch.bytes_with(&measured), encoding, log)?;
        batch.push(record, measured, timestamp);
    }
    Ok(())
}

/// Appends a batch that is not empty to its partition, and returns when it is as safe as the level says.
#[inline(always)]
fn append(
    batch: &mut BatchBuilder,
    log: &Arc<PartitionLog>,
    at: Option<u64>,
    encoding: Encoding,
    level: Durability,
) -> Result<Range<u64>> {
    let offsets = write_batch(batch, log, at, encoding, level)?;
    if matches!(level, Durability::Synced) {
        log.leader()?.await_durable(offsets.end)?;
    }
    Ok(offsets)
}

/// The same without waiting for a sync. The batch is compressed first, while nothing is locked.
#[inline(always)]
fn write_batch(
    batch: &mut BatchBuilder,
    log: &Arc<PartitionLog>,
    at: Option<u64>,
    encoding: Encoding,
    level: Durability,
) -> Result<Range<u64>> {
    let Some(mut finished) = batch.finish_with(encoding, log.batch_limits()) else { return empty(log, at) };
    let place = at.map_or(AppendAt::End, AppendAt::Exactly);
    let Appended { base_offset, next_offset } =
        log.leader()?.append(AppendRequest::new(&mut finished, place, level))?;
    Ok(base_offset..next_offset)
}

fn empty(log: &Arc<PartitionLog>, at: Option<u64>) -> Result<Range<u64>> {
    let end = log.bounds()?.log_end;
    match at {
        Some(expected) if expected != end => Err(Error::Conflict { expected, actual: end }),
        _ => Ok(end..end),
    }
}
