//! What a poll returns: complete batches, checked, and the records in them.

use std::fmt;
use std::sync::Arc;

use super::view::{Origin, OwnedRecord, RecordView};
use crate::format::batch::Batch;
use crate::format::raw_record::RawRecord;
use crate::partition::{Fetched, Rest};
use crate::position::TopicPartition;
use crate::sys::{Confirmed, prefetch};

/// Records of one poll, owned: they outlive the consumer and the log, and holding them keeps their segments mapped.
///
/// Iterating cannot fail: checksums and framing were checked by the poll.
///
/// ```
/// # use std::time::Duration;
/// # use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let log = EventLog::open(dir.path())?;
/// # let topic = log.create_topic("t", TopicConfig::new())?;
/// # log.producer()?.send(&topic, Record::new("hello"))?;
/// # let mut consumer = log.standalone_consumer()?;
/// # consumer.assign(topic.partitions())?;
/// let records = consumer.poll(Duration::ZERO)?;
/// drop((consumer, log));
/// for record in &records {
///     assert_eq!(record.value(), Some(&b"hello"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use = "polled records count as returned"]
pub struct Records {
    chunks: Vec<Chunk>,
    count: usize,
    /// Apart: most polls have none.
    pub(super) news: Option<Box<News>>,
    /// Of a poll that returned nothing.
    why_empty: Option<WhyEmpty>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = self.partitions().map(|of| (of.topic_partition().to_string(), of.len()));
        f.debug_struct("Records")
            .field("partitions", &partitions.collect::<Vec<_>>())
            .field("why_empty", &self.why_empty)
            .finish_non_exhaustive()
    }
}

const _: () = assert!(size_of::<Records>() <= 6 * size_of::<usize>());

/// Why a poll returned no records: [`Records::why_empty`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyEmpty {
    /// The poll was not to wait, and everything there is to read has been returned.
    CaughtUp,
    /// Nothing came within the poll's timeout.
    TimedOut,
    /// A [`ConsumerWaker`](crate::ConsumerWaker) was used.
    Woken,
    /// The poll announces a change: [`Records::assigned`], [`Records::revoked`] or [`Records::lost`] has partitions. The next
    /// poll reads.
    AssignmentChanged,
    /// All partitions are paused.
    Paused,
    /// There is nothing in the other partitions, and at least one cannot be read: an earlier poll gave the error, and a later
    /// one gives it again.
    Failing,
}

/// How a consumer's assignment changes.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) assigned: Vec<TopicPartition>,
    pub(super) revoked: Vec<TopicPartition>,
    pub(super) lost: Vec<TopicPartition>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.assigned.is_empty() && self.revoked.is_empty() && self.lost.is_empty()
    }
}

/// Batches of one partition.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    pub(super) bytes: Confirmed,
    from: u64,
    records: usize,
    /// Where in the first batch to begin.
    first: Option<Rest>,
}

impl Records {
    pub(super) fn push(&mut self, partition: TopicPartition, fetched: Fetched) {
        let Fetched { bytes, from, records, first, .. } = fetched;
        self.count += records;
        self.chunks.push(Chunk { partition, bytes, from, records, first });
    }

    pub(super) fn without_any(why: WhyEmpty) -> Self {
        Self { why_empty: Some(why), ..Self::default() }
    }

    /// Whether a poll has a reason to return this.
    pub(super) fn is_worth_returning(&self) -> bool {
        !self.is_empty() || self.news.is_some()
    }

    /// Where the poll began to read, in each partition that it has records of.
    pub(crate) fn starts(&self) -> Vec<(TopicPartition, u64)> {
        let mut starts: Vec<(TopicPartition, u64)> = Vec::new();
        for chunk in &self.chunks {
            if starts.last().is_none_or(|(of, _)| *of != chunk.partition)
                && starts.iter().all(|(of, _)| *of != chunk.partition)
            {
                starts.push((chunk.partition.clone(), chunk.from));
            }
        }
        starts
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none. [`why_empty`](Self::why_empty) gives the reason.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Why the poll returned no records. `None` if it returned some. Kafka's clients do not say.
    ///
    /// A loop that is to end when it is woken, and not when its first poll announces the assignment:
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stratalog::{EventLog, Record, TopicConfig, WhyEmpty};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// # let orders = log.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = log.consumer("billing")?;
    /// consumer.subscribe(["orders"])?;
    /// let waker = consumer.waker(); // for another thread
    /// # waker.wake();
    /// loop {
    ///     let records = consumer.poll(Duration::MAX)?;
    ///     if records.why_empty() == Some(WhyEmpty::Woken) {
    ///         break;
    ///     }
    ///     // ...
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn why_empty(&self) -> Option<WhyEmpty> {
        match &self.news {
            _ if !self.is_empty() => None,
            Some(_) => Some(WhyEmpty::AssignmentChanged),
            None => self.why_empty,
        }
    }

    fn news_of(&self, part: impl FnOnce(&News) -> &Vec<TopicPartition>) -> &[TopicPartition] {
        self.news.as_deref().map_or(&[], |news| part(news))
    }

    /// Partitions that the consumer got from its group with this poll. Their records begin at the committed position, or
    /// at [`ConsumerConfig::start_from`](crate::ConsumerConfig::start_from) without one.
    ///
    /// That includes partitions that an earlier poll announced in [`revoked`](Self::revoked) or [`lost`](Self::lost) and
    /// that the consumer keeps or gets back, because another member has left. Records are of partitions that were announced
    /// here, and not in one of the others since.
    ///
    /// Kafka's counterpart is the call-back `onPartitionsAssigned`.
    pub fn assigned(&self) -> &[TopicPartition] {
        self.news_of(|news| &news.assigned)
    }

    /// Partitions that are revoked with the consumer's next poll. The consumer owns them until then: it can still commit
    /// positions in them, but gets no more of their records. If one stays after all, because the other member has left before,
    /// the next poll lists it in [`assigned`](Self::assigned) again.
    ///
    /// Kafka's counterpart is the call-back `onPartitionsRevoked`.
    pub fn revoked(&self) -> &[TopicPartition] {
        self.news_of(|news| &news.revoked)
    }

    /// Partitions that the consumer no longer owns and was not asked to release: their topic was deleted, or the consumer was
    /// evicted because it did not poll in time. Nothing can be committed for them; those that it gets again are in
    /// [`assigned`](Self::assigned) too.
    ///
    /// Kafka's counterpart is the call-back `onPartitionsLost`.
    pub fn lost(&self) -> &[TopicPartition] {
        self.news_of(|news| &news.lost)
    }

    /// The records, partition by partition, in the order of their offsets.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(self.chunks.iter(), self.count)
    }

    /// The records by partition.
    pub fn partitions(&self) -> PartitionIter<'_> {
        PartitionIter { chunks: self.chunks.iter() }
    }
}

impl<'r> IntoIterator for &'r Records {
    type Item = RecordView<'r>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

impl IntoIterator for Records {
    type Item = OwnedRecord;
    type IntoIter = OwnedRecordIter;

    fn into_iter(self) -> OwnedRecordIter {
        OwnedRecordIter { chunks: self.chunks.into_iter(), present: None }
    }
}

/// Iterates over the records of a poll.
#[derive(Debug, Clone)]
pub struct RecordIter<'r> {
    /// Where it is; apart from what comes after, so that a loop has it in registers.
    here: Here<'r>,
    ahead: Ahead<'r>,
}

/// The records of the present batch that are left.
#[derive(Debug, Clone, Copy, Default)]
struct Here<'r> {
    /// `None` before the first batch.
    chunk: Option<&'r Chunk>,
    records: &'r [u8],
    batch: InBatch,
    /// How far ahead the bytes are that the next poll will read: they are brought nearer meanwhile.
    followed_by: usize,
}

/// What comes after the present batch.
#[derive(Debug, Clone)]
struct Ahead<'r> {
    /// Batches of the present chunk, and where to begin in the first of them.
    batches: &'r [u8],
    first: Option<Rest>,
    /// Records of the present chunk, and of all.
    in_chunk: usize,
    left: usize,
    chunks: std::slice::Iter<'r, Chunk>,
}

impl<'r> RecordIter<'r> {
    fn new(chunks: std::slice::Iter<'r, Chunk>, left: usize) -> Self {
        let ahead = Ahead { batches: &[], first: None, in_chunk: 0, left, chunks };
        Self { here: Here::default(), ahead }
    }
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = RecordView<'r>;

    /// The next record. What the poll checked cannot fail here; if it did, the records would end.
    #[inline(always)]
    fn next(&mut self) -> Option<RecordView<'r>> {
        if self.here.batch.left == 0 {
            (self.here, self.ahead) = self.ahead.clone().enter_batch(self.here.chunk)?;
        }
        prefetch(self.here.records, self.here.followed_by);
        let (record, rest) = RawRecord::split(self.here.records)?;
        self.here.records = rest;
        self.here.batch.left -= 1;
        Some(RecordView::new(Origin::Chunk(self.here.chunk?), &self.here.batch, &record))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.here.batch.left + self.ahead.left;
        (left, Some(left))
    }
}

impl ExactSizeIterator for RecordIter<'_> {}

impl<'r> Ahead<'r> {
    /// Moves on to the next batch with records for users. By value: the iterator that is handed over is not in memory.
    #[inline(never)]
    fn enter_batch(mut self, mut chunk: Option<&'r Chunk>) -> Option<(Here<'r>, Self)> {
        loop {
            if self.in_chunk == 0 {
                let next = self.chunks.next()?;
                (self.batches, self.first, self.in_chunk) = (next.bytes.as_ref(), next.first, next.records);
                chunk = Some(next);
                continue;
            }
            let (mut batch, records, after) = InBatch::enter(self.batches, self.first.take(), chunk?.from)?;
            batch.left = batch.left.min(self.in_chunk);
            self.batches = after;
            self.in_chunk -= batch.left;
            self.left = self.left.saturating_sub(batch.left);
            if batch.left > 0 {
                let followed_by = chunk?.bytes.followed_by();
                return Some((Here { chunk, records, batch, followed_by }, self));
            }
        }
    }
}

/// Iterates over the records of a poll, each without a copy and keeping its segment mapped.
#[derive(Debug)]
pub struct OwnedRecordIter {
    chunks: std::vec::IntoIter<Chunk>,
    present: Option<OwnedPlace>,
}

/// A place in a chunk, in positions: it owns what it walks over.
#[derive(Debug)]
struct OwnedPlace {
    chunk: Arc<Chunk>,
    /// Records of the chunk after those of the present batch.
    left: usize,
    batch: InBatch,
    /// Bytes that are left of the present batch, and of the chunk after it.
    records: usize,
    after: usize,
    first: Option<Rest>,
}

impl OwnedPlace {
    fn of(chunk: Chunk) -> Self {
        let (left, after, first) = (chunk.records, chunk.bytes.as_ref().len(), chunk.first);
        Self { chunk: Arc::new(chunk), left, batch: InBatch::default(), records: 0, after, first }
    }

    fn next(&mut self) -> Option<OwnedRecord> {
        let bytes = self.chunk.bytes.as_ref();
        while self.batch.left == 0 {
            if self.left == 0 {
                return None;
            }
            let batches = bytes.get(bytes.len() - self.after..)?;
            let (batch, records, after) = InBatch::enter(batches, self.first.take(), self.chunk.from)?;
            self.batch = InBatch { left: batch.left.min(self.left), ..batch };
            self.left -= self.batch.left;
            (self.records, self.after) = (records.len(), after.len());
        }
        let end = bytes.len() - self.after;
        let (record, rest) = RawRecord::split(bytes.get(end - self.records..end)?)?;
        self.records = rest.len();
        self.batch.left -= 1;
        Some(RecordView::new(Origin::Chunk(&self.chunk), &self.batch, &record).share())
    }
}

impl Iterator for OwnedRecordIter {
    type Item = OwnedRecord;

    fn next(&mut self) -> Option<OwnedRecord> {
        loop {
            if let Some(record) = self.present.as_mut().and_then(OwnedPlace::next) {
                return Some(record);
            }
            self.present = Some(OwnedPlace::of(self.chunks.next()?));
        }
    }
}

/// Iterates over the partitions of a poll.
#[derive(Debug, Clone)]
pub struct PartitionIter<'r> {
    chunks: std::slice::Iter<'r, Chunk>,
}

impl<'r> Iterator for PartitionIter<'r> {
    type Item = PartitionRecords<'r>;

    fn next(&mut self) -> Option<PartitionRecords<'r>> {
        self.chunks.next().map(|chunk| PartitionRecords { chunk })
    }
}

/// The records of one partition.
#[derive(Debug, Clone, Copy)]
pub struct PartitionRecords<'r> {
    chunk: &'r Chunk,
}

impl<'r> PartitionRecords<'r> {
    /// The partition.
    pub fn topic_partition(&self) -> &'r TopicPartition {
        &self.chunk.partition
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.chunk.records
    }

    /// Whether there are none, which a poll does not return.
    pub fn is_empty(&self) -> bool {
        self.chunk.records == 0
    }

    /// The records in the order of their offsets.
    pub fn iter(&self) -> RecordIter<'r> {
        RecordIter::new(std::slice::from_ref(self.chunk).iter(), self.chunk.records)
    }
}

impl<'r> IntoIterator for &PartitionRecords<'r> {
    type Item = RecordView<'r>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

/// What the records of a batch have in common, and how many are left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InBatch {
    left: usize,
    base_offset: i64,
    /// That of all records, or that of which each says how far it is away.
    timestamp: i64,
    appended_at: bool,
    leader_epoch: i32,
}

impl InBatch {
    /// The first of these batches: what its records have in common, those of them that are meant, and the batches after it.
    /// The records begin at `first`, if it is known, and at offset `from`.
    fn enter(batches: &[u8], first: Option<Rest>, from: u64) -> Option<(Self, &[u8], &[u8])> {
        let (batch, after) = Batch::take_checked(batches)?;
        let header = &batch.header;
        let whole = Rest::all(&batch);
        let Rest { position, records } = first.unwrap_or(whole);
        let appended_at = header.is_log_append_time();
        let mut here = Self {
            left: if header.is_control() { 0 } else { usize::try_from(records).ok()? },
            base_offset: header.base_offset,
            timestamp: if appended_at { header.max_timestamp } else { header.base_timestamp },
            appended_at,
            leader_epoch: header.leader_epoch,
        };
        let mut records = batch.records().rest().get(position..)?;
        if here.base_offset.cast_unsigned() < from {
            while here.left > 0 {
                let (record, rest) = RawRecord::split(records)?;
                if here.offset_of(&record) >= from {
                    break;
                }
                records = rest;
                here.left -= 1;
            }
        }
        Some((here, records, after))
    }

    #[inline(always)]
    pub(super) fn offset_of(&self, record: &RawRecord<'_>) -> u64 {
        self.base_offset.wrapping_add(i64::from(record.offset_delta)).cast_unsigned()
    }

    #[inline(always)]
    pub(super) fn timestamp_of(&self, record: &RawRecord<'_>) -> i64 {
        if self.appended_at { self.timestamp } else { self.timestamp.wrapping_add(record.timestamp_delta) }
    }

    #[inline(always)]
    pub(super) fn timestamps_are_of_appending(&self) -> bool {
        self.appended_at
    }

    #[inline(always)]
    pub(super) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }
}
