//! What a poll returns: complete batches, checked, and the records in them.

use std::fmt;
use std::sync::Arc;

use super::view::{Origin, OwnedRecord, RecordView};
use crate::format::batch::Batch;
use crate::format::header::BatchHeader;
use crate::format::record::RawRecord;
use crate::format::varint::Input;
use crate::partition::{Fetched, Rest};
use crate::position::TopicPartition;
use crate::sys::Confirmed;

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
    end_offset: u64,
    records: usize,
    /// Where in the first batch to begin.
    first: Option<Rest>,
}

impl Records {
    pub(super) fn push(&mut self, partition: TopicPartition, fetched: Fetched) {
        let Fetched { bytes, from, end_offset, records, first } = fetched;
        self.count += records;
        self.chunks.push(Chunk { partition, bytes, from, end_offset, records, first });
    }

    pub(super) fn without_any(why: WhyEmpty) -> Self {
        Self { why_empty: Some(why), ..Self::default() }
    }

    /// Whether a poll has a reason to return this.
    pub(super) fn is_worth_returning(&self) -> bool {
        !self.is_empty() || self.news.is_some()
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
        RecordIter { chunks: self.chunks.iter(), present: None, left: self.count }
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
    chunks: std::slice::Iter<'r, Chunk>,
    present: Option<(&'r Chunk, &'r [u8], RecordWalk)>,
    left: usize,
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = RecordView<'r>;

    #[inline]
    fn next(&mut self) -> Option<RecordView<'r>> {
        loop {
            if let Some((chunk, bytes, walk)) = &mut self.present {
                if let Some(record) = walk.next(chunk, bytes) {
                    self.left = self.left.saturating_sub(1);
                    return Some(record);
                }
                self.present = None;
            }
            let chunk = self.chunks.next()?;
            self.present = Some((chunk, chunk.bytes.as_ref(), RecordWalk::of(chunk)));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordIter<'_> {}

/// Iterates over the records of a poll, each without a copy and keeping its segment mapped.
#[derive(Debug)]
pub struct OwnedRecordIter {
    chunks: std::vec::IntoIter<Chunk>,
    present: Option<(Arc<Chunk>, RecordWalk)>,
}

impl Iterator for OwnedRecordIter {
    type Item = OwnedRecord;

    fn next(&mut self) -> Option<OwnedRecord> {
        loop {
            if let Some((chunk, walk)) = &mut self.present {
                if let Some(record) = walk.next(chunk, chunk.bytes.as_ref()) {
                    return Some(record.share());
                }
                self.present = None;
            }
            let chunk = self.chunks.next()?;
            let walk = RecordWalk::of(&chunk);
            self.present = Some((Arc::new(chunk), walk));
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
        let chunks = std::slice::from_ref(self.chunk).iter();
        RecordIter { chunks, present: None, left: self.chunk.records }
    }
}

impl<'r> IntoIterator for &PartitionRecords<'r> {
    type Item = RecordView<'r>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

/// A place in a chunk: positions and plain numbers, so that it needs no borrow of what it walks over.
#[derive(Debug, Clone, Default)]
struct RecordWalk {
    /// Position of the next record in the chunk, and where its batch ends.
    position: usize,
    batch_end: usize,
    /// Records left in the batch.
    left: i32,
    header: Option<BatchHeader>,
    /// Where in the next batch to begin, if not at its beginning.
    first: Option<Rest>,
}

impl RecordWalk {
    fn of(chunk: &Chunk) -> Self {
        Self { first: chunk.first, ..Self::default() }
    }

    /// The next record that is meant. What the poll checked cannot fail here; if it did, the walk would end.
    #[inline]
    fn next<'r>(&mut self, chunk: &'r Chunk, bytes: &'r [u8]) -> Option<RecordView<'r>> {
        loop {
            if self.left == 0 {
                self.enter_batch(bytes)?;
                continue;
            }
            let header = self.header.as_ref()?;
            let mut input = Input::new(bytes.get(self.position..self.batch_end)?);
            let record = RawRecord::take(&mut input).ok()?;
            self.position = self.batch_end - input.remaining();
            self.left -= 1;
            let offset = (header.base_offset + i64::from(record.offset_delta)).cast_unsigned();
            if offset < chunk.from {
                continue;
            }
            if offset >= chunk.end_offset {
                return None;
            }
            return Some(RecordView::new(Origin::Chunk(chunk), header, offset, &record));
        }
    }

    /// Moves to the next batch with records for users.
    fn enter_batch(&mut self, bytes: &[u8]) -> Option<()> {
        let (batch, rest) = Batch::take_checked(bytes.get(self.batch_end..)?)?;
        self.position = self.batch_end + crate::format::header::HEADER_BYTES;
        self.batch_end = bytes.len() - rest.len();
        self.left = if batch.header.is_control() { 0 } else { batch.header.record_count };
        if let Some(rest) = self.first.take() {
            self.position += rest.position;
            self.left = rest.records;
        }
        self.header = Some(batch.header);
        Some(())
    }
}
