//! A producer that collects records into batches.
//!
//! The batches belong to the owner and, for those that have waited long enough, to the thread ahead: one lock, which
//! nobody else ever takes. A batch that cannot be written stays where it is, so no record is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::record::Record;
use super::{Producer, check_size, hand_over};
use crate::catalog::TopicEntry;
use crate::clock::{Clock, Moment, Timestamp};
use crate::config::{Compression, Durability};
use crate::directory::{OpenDirectory, Topic};
use crate::error::{Remedy, Result};
use crate::events::Event;
use crate::format::batch::BatchBuilder;
use crate::format::compression::Encoding;
use crate::partition::PartitionLog;
use crate::upkeep::Lingering;

/// Collects records into batches and writes each when it is full, when it has lingered, or at
/// [`flush`](Self::flush).
///
/// For one thread, which gets every error of its records. A record counts as written when `flush` has returned `Ok`;
/// records that are only enqueued die with the process. Dropping flushes; close with `flush` to see errors.
///
/// ```
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let clicks = log.create_topic("clicks", TopicConfig::new())?;
/// let mut producer = log.producer()?.buffered();
/// for n in 0..1000u32 {
///     producer.enqueue(&clicks, Record::new(&n.to_be_bytes()))?;
/// }
/// producer.flush()?;
/// assert_eq!(clicks.partition(0)?.offsets()?.log_end, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BufferedProducer {
    producer: Producer,
    shared: Arc<Shared>,
}

/// What the owner shares with the thread ahead.
#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    linger: Duration,
    /// For the thread ahead, which must not keep the directory. None: the system's.
    clock: Option<Arc<dyn Clock>>,
    durability: Durability,
}

/// Batches that are not written yet.
#[derive(Debug)]
struct Pending {
    topics: Vec<TopicBatches>,
    /// Bytes and records in all batches.
    bytes: usize,
    records: usize,
    stamp: Stamp,
    /// The producer's own setting.
    compression: Compression,
    /// Whether the thread ahead will look after these.
    registered: bool,
}

/// The batches of one topic, by partition.
#[derive(Debug)]
struct TopicBatches {
    entry: Arc<TopicEntry>,
    batches: Vec<PendingBatch>,
}

#[derive(Debug, Default)]
struct PendingBatch {
    builder: BatchBuilder,
    /// When to write it if nothing else does.
    due: Option<Moment>,
    /// The end of what was written and has to be on the medium before a flush returns.
    unsynced: Option<u64>,
}

impl BufferedProducer {
    pub(super) fn new(producer: Producer) -> Self {
        let (linger, durability) = (producer.config.linger, producer.config.durability);
        let stamp = Stamp::new(linger);
        let compression = producer.config.compression;
        let pending =
            Pending { topics: Vec::new(), bytes: 0, records: 0, stamp, compression, registered: false };
        let clock = producer.directory.clock();
        let pending = Mutex::new(pending);
        Self { producer, shared: Arc::new(Shared { pending, linger, clock, durability }) }
    }

    /// Takes a record into its partition's batch, writing that batch first if it is full. On an error the record was
    /// not taken, and no other was lost.
    #[inline]
    pub fn enqueue(&mut self, topic: &Topic, record: Record<'_>) -> Result<()> {
        let producer = &self.producer;
        producer.check_topic(topic)?;
        record.check(topic.entry().rules().compacts())?;
        let (partition, log) = producer.choose(topic, &record)?;
        let pending = &mut *self.shared.pending.lock();
        if pending.bytes > producer.config.buffer_bytes {
            pending.write_all(producer.terms())?;
        }
        let timestamp = pending.timestamp_of(&record, topic.entry(), &producer.directory)?.as_millis();
        let fields = record.fields();
        let batch = batch_of(&mut pending.topics, topic.entry(), partition);
        let encoding = topic.entry().rules().encoding(producer.config.compression)?;
        let limit = producer.config.batch_bytes.min(log.max_batch_bytes() as usize);
        let mut measured = batch.builder.measure(&fields, timestamp);
        if batch.builder.bytes_with(&measured) > limit && !batch.builder.is_empty() {
            let written = batch.write(topic.entry(), log, (encoding, producer.terms()))?;
            pending.bytes -= written.bytes;
            pending.records -= written.records;
            pending.stamp.forget();
            measured = batch.builder.measure(&fields, timestamp);
        }
        check_size(batch.builder.bytes_with(&measured), encoding, log)?;
        let before = if batch.builder.is_empty() { 0 } else { batch.builder.bytes() };
        batch.builder.push(&fields, measured, timestamp);
        pending.bytes += batch.builder.bytes() - before;
        pending.records += 1;
        if before == 0 {
            batch.due = producer.directory.moment().after(self.shared.linger);
            if let Some(due) = batch.due.filter(|_| !pending.registered) {
                let shared = Arc::downgrade(&self.shared);
                // Without the thread the log is being closed, and a flush will say so.
                pending.registered = producer.directory.linger().send((due, shared)).is_ok();
            }
        }
        if pending.bytes > producer.config.buffer_bytes {
            // This record was taken; if something cannot be written, the next call says so.
            let _ = pending.write_all(producer.terms());
        }
        Ok(())
    }

    /// Writes all batches; with [`Durability::Synced`] returns when all that was enqueued is on the medium. On an error
    /// those that could not be written stay pending; the others are in the log.
    pub fn flush(&mut self) -> Result<()> {
        self.producer.directory.check_process()?;
        let terms = self.producer.terms();
        let (written, unsynced) = {
            let pending = &mut *self.shared.pending.lock();
            (pending.write_all(terms), pending.take_unsynced())
        };
        // Every partition is brought as far as it goes; the first failure is told.
        unsynced.into_iter().fold(written, |outcome, (log, end)| outcome.and(log.await_durable(end)))
    }

    /// Records that are enqueued and not in the log yet.
    pub fn pending(&self) -> usize {
        if self.producer.directory.check_process().is_err() {
            // They are the parent's.
            return 0;
        }
        self.shared.pending.lock().records
    }

    /// Drops the records that are not in the log yet and tells how many they were.
    pub fn discard(&mut self) -> usize {
        if self.producer.directory.check_process().is_err() {
            return 0;
        }
        let mut pending = self.shared.pending.lock();
        for batch in pending.topics.iter_mut().flat_map(|topic| &mut topic.batches) {
            *batch = PendingBatch { unsynced: batch.unsynced, ..PendingBatch::default() };
        }
        pending.stamp.forget();
        pending.bytes = 0;
        std::mem::take(&mut pending.records)
    }
}

impl Drop for BufferedProducer {
    fn drop(&mut self) {
        if let Err(failure) = self.flush() {
            let (records, failure) = (self.pending(), failure.to_string().into());
            if records > 0 {
                self.producer.directory.tell(|| Event::RecordsDropped { records, failure });
            }
        }
    }
}

/// How batches are written.
#[derive(Debug, Clone, Copy)]
struct Terms {
    level: Durability,
    /// The time of appending.
    now: Timestamp,
}

impl Producer {
    fn terms(&self) -> Terms {
        Terms { level: self.config.durability, now: self.directory.now() }
    }
}

impl Shared {
    fn terms(&self) -> Terms {
        Terms { level: self.durability, now: OpenDirectory::time_of(self.clock.as_deref()) }
    }
}

impl Lingering for Shared {
    fn write_overdue(&self, now: Moment) -> Option<Moment> {
        /// A batch that could not be written is tried again, but not all the time.
        const SOONEST_RETRY: Duration = Duration::from_millis(10);
        let pending = &mut *self.pending.lock();
        pending.stamp.forget();
        let overdue = |batch: &PendingBatch| batch.due.is_some_and(|due| due <= now);
        let failed = pending.write_where(self.terms(), overdue).is_err();
        let next = pending.topics.iter().flat_map(|topic| &topic.batches).filter_map(|batch| batch.due).min();
        pending.registered = next.is_some();
        let soonest = if failed { now.after(SOONEST_RETRY) } else { None };
        next.map(|next| soonest.map_or(next, |soonest| next.max(soonest)))
    }
}

/// What a written batch held.
struct Written {
    bytes: usize,
    records: usize,
}

impl Pending {
    /// The record's own time, which its topic must take, or the time now.
    #[inline]
    fn timestamp_of(
        &mut self,
        record: &Record<'_>,
        topic: &TopicEntry,
        clock: &OpenDirectory,
    ) -> Result<Timestamp> {
        let now = self.stamp.take(clock);
        match record.wanted_timestamp() {
            None => Ok(now),
            Some(at) if topic.rules().takes_timestamp(at, now) => Ok(at),
            // By the clock itself: what was read before may be a little old.
            Some(at) => topic.rules().check_timestamp(at, clock.now(), topic.name()).map(|()| at),
        }
    }

    fn write_all(&mut self, terms: Terms) -> Result<()> {
        self.stamp.forget();
        self.write_where(terms, |_| true)
    }

    /// What was written and is to be synced before a flush returns.
    fn take_unsynced(&mut self) -> Vec<(Arc<PartitionLog>, u64)> {
        let topics = self.topics.iter_mut();
        let batches = topics.flat_map(|topic| topic.batches.iter_mut().zip(topic.entry.partitions().iter()));
        batches.filter_map(|(batch, log)| Some((Arc::clone(log), batch.unsynced.take()?))).collect()
    }

    /// Writes the batches that are wanted, each as far as it goes; the first failure is told.
    fn write_where(&mut self, terms: Terms, wanted: impl Fn(&PendingBatch) -> bool) -> Result<()> {
        let mut outcome = Ok(());
        for topic in &mut self.topics {
            let logs = topic.entry.partitions().iter();
            for (batch, log) in topic.batches.iter_mut().zip(logs) {
                if batch.builder.is_empty() || !wanted(batch) {
                    continue;
                }
                let encoding = topic.entry.rules().encoding(self.compression);
                match encoding.and_then(|encoding| batch.write(&topic.entry, log, (encoding, terms))) {
                    Ok(written) => {
                        self.bytes -= written.bytes;
                        self.records -= written.records;
                    }
                    Err(failure) => {
                        if failure.remedy() != Remedy::Retry {
                            // Trying again by itself is of no use: the owner is told by the next flush.
                            batch.due = None;
                        }
                        outcome = outcome.and(Err(failure));
                    }
                }
            }
        }
        outcome
    }
}

/// The batch of a partition, empty if it has none yet.
#[inline]
fn batch_of<'b>(
    topics: &'b mut Vec<TopicBatches>,
    entry: &Arc<TopicEntry>,
    partition: u32,
) -> &'b mut PendingBatch {
    // Few topics per producer: a walk beats a map, and the last one used is first.
    let known = topics.iter().position(|topic| Arc::ptr_eq(&topic.entry, entry));
    let at = known.unwrap_or_else(|| {
        topics.push(TopicBatches { entry: Arc::clone(entry), batches: Vec::new() });
        topics.len() - 1
    });
    if at > 0 {
        topics.swap(0, at);
    }
    let (batches, at) = (&mut topics[0].batches, partition as usize);
    if at >= batches.len() {
        // Also when partitions were added since.
        batches.resize_with(at + 1, PendingBatch::default);
    }
    &mut batches[at]
}

impl PendingBatch {
    /// In the log, but no sync is waited for: a lingering batch is written by a thread that must not.
    fn write(
        &mut self,
        topic: &TopicEntry,
        log: &Arc<PartitionLog>,
        (encoding, terms): (Encoding, Terms),
    ) -> Result<Written> {
        let written = Written { bytes: self.builder.bytes(), records: self.builder.records() as usize };
        let append_time = topic.rules().log_append_time().then(|| terms.now.as_millis());
        self.builder.set_append_time(append_time);
        let offsets = hand_over(&mut self.builder, log, None, (encoding, terms.level))?;
        if matches!(terms.level, Durability::Synced) {
            self.unsynced = Some(offsets.end);
        }
        self.builder.clear(written.bytes);
        self.due = None;
        Ok(written)
    }
}

/// The time of records in a row. The clock is read for the first record of a batch and then as often as the time
/// changes by a millisecond, at least every 64th record; a clock of the user's is read for every record. When a batch
/// is written the time is forgotten, so that no record's is older than the linger; if that is long, the clock is read
/// for every record too.
#[derive(Debug)]
struct Stamp {
    now: Timestamp,
    left: u32,
    stride: u32,
    longest_stride: u32,
}

impl Stamp {
    const LONGEST_STRIDE: u32 = 64;
    const LONG_LINGER: Duration = Duration::from_millis(20);

    fn new(linger: Duration) -> Self {
        let longest_stride = if linger > Self::LONG_LINGER { 1 } else { Self::LONGEST_STRIDE };
        Self { now: Timestamp::from_millis(-1), left: 0, stride: 1, longest_stride }
    }

    /// The next record's time is read from the clock.
    fn forget(&mut self) {
        self.left = 0;
        self.stride = 1;
    }

    #[inline]
    fn take(&mut self, clock: &OpenDirectory) -> Timestamp {
        if self.left == 0 {
            let now = clock.now();
            let slow = now != self.now || !clock.has_system_clock();
            self.stride = if slow { 1 } else { (self.stride * 2).min(self.longest_stride) };
            self.now = now;
            self.left = self.stride;
        }
        self.left -= 1;
        self.now
    }
}
