//! Records that keep the offsets they have elsewhere: what a copy of a log is made of.

use std::sync::Arc;

use super::record::Record;
use super::{BatchMetadata, KEEP_BYTES, Producer, SCRATCH, check_size, foreign};
use crate::clock::Timestamp;
use crate::config::{Durability, TimestampType};
use crate::directory::Partition;
use crate::error::{Error, Result};
use crate::format::batch::BatchBuilder;
use crate::format::compression::Encoding;
use crate::partition::{AppendAt, AppendRequest};

/// A record as stored in another log, to be written with the same offset and timestamp. Made of a
/// [`RecordView`](crate::RecordView), or of its parts.
///
/// ```
/// use stratalog::{Record, RecordCopy, Timestamp};
/// let copy = RecordCopy::new(41, Record::new("paid").timestamp(Timestamp::from_millis(1_700_000_000_000)));
/// assert_eq!(copy.offset(), 41);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct RecordCopy<'a> {
    offset: u64,
    record: Record<'a>,
    timestamp: i64,
    timestamp_type: TimestampType,
}

impl<'a> RecordCopy<'a> {
    /// A record with its offset. If the record has no timestamp, neither has the copy.
    pub fn new(offset: u64, record: Record<'a>) -> Self {
        let timestamp = record.wanted_timestamp().map_or(-1, Timestamp::as_millis);
        Self { offset, record, timestamp, timestamp_type: TimestampType::CreateTime }
    }

    /// Says what the timestamp means. Default: [`TimestampType::CreateTime`].
    pub fn timestamp_type(mut self, means: TimestampType) -> Self {
        self.timestamp_type = means;
        self
    }

    /// The offset.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether a batch that begins with this record can hold the other one too: a batch has one kind of timestamps and,
    /// if they are those of appending, one timestamp.
    pub fn shares_batch_with(&self, other: &RecordCopy<'_>) -> bool {
        self.timestamp_type == other.timestamp_type
            && (self.append_time().is_none() || self.timestamp == other.timestamp)
    }

    fn append_time(&self) -> Option<i64> {
        (self.timestamp_type == TimestampType::LogAppendTime).then_some(self.timestamp)
    }
}

impl Producer {
    /// Writes records with the offsets and timestamps that they have in another log, as one batch: all of them or none are in
    /// the log. Offsets ascend. They may have gaps, also before the first record, as compactions leave them. A partition that
    /// never had records begins at the first of these offsets.
    ///
    /// For copies only: what the topic demands of new records, keys and timestamps near the clock, does not apply. Kafka
    /// has no counterpart for clients; its followers copy like this.
    ///
    /// # Errors
    /// `Conflict` if the first offset lies before the log end; `InvalidInput` if offsets do not ascend or are too far apart
    /// (2³¹), if a record names another partition, or does not [go with](RecordCopy::shares_batch_with) the first one;
    /// `TooLarge`. Then nothing was written. After `StorageFull` and `Io` no record was written either, but a partition that
    /// never had records may begin at the first offset.
    ///
    /// ```
    /// use stratalog::{EventLog, Record, RecordCopy, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// let copies = [(40, "paid"), (43, "shipped")].map(|(at, value)| RecordCopy::new(at, Record::new(value)));
    /// let written = log.producer()?.send_copies(&orders, copies)?;
    /// assert_eq!(written.offsets, 40..44);
    /// assert_eq!(orders.offsets()?.log_start, 40);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_copies<'a>(
        &self,
        to: &Partition,
        records: impl IntoIterator<Item = RecordCopy<'a>>,
    ) -> Result<BatchMetadata> {
        self.check_partition(to)?;
        let encoding = to.entry().rules().encoding(self.config.compression)?;
        let mut batch = SCRATCH.take();
        batch.clear(KEEP_BYTES);
        let outcome = fill(&mut batch, to, encoding, &mut records.into_iter()).and_then(|first| {
            let limits = to.log().batch_limits();
            let (Some(base), Some(mut finished)) = (first, batch.finish_with(encoding, limits)) else {
                let end = to.log().bounds()?.log_end;
                return Ok(end..end);
            };
            let place = AppendAt::AtOrAfter(base);
            let request = AppendRequest::new(&mut finished, place, self.config.durability);
            Ok(base..to.log().leader()?.append(request)?.next_offset)
        });
        SCRATCH.set(batch);
        let offsets = outcome?;
        self.await_copied(to, offsets.end)?;
        Ok(BatchMetadata { partition: to.id().partition(), offsets })
    }

    /// Moves the log end offset of a partition forward to `offset` without records, for a mirror of a log whose tail is a gap.
    /// A partition that never had records then begins there, also if its first record has a larger offset. If the log end
    /// offset is `offset` already, nothing happens.
    ///
    /// The gap is recorded as a batch without records, as a compaction leaves it.
    ///
    /// # Errors
    /// `Conflict` if the log end offset is past `offset`. After other errors the log end may have moved a part of the way:
    /// call it again.
    ///
    /// ```
    /// use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// let producer = log.producer()?;
    /// producer.send_batch(&orders, [Record::new("paid")])?;
    /// producer.advance_log_end(&orders, 7)?;
    /// assert_eq!(producer.send_batch(&orders, [Record::new("shipped")])?.offsets, 7..8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_log_end(&self, to: &Partition, offset: u64) -> Result<()> {
        self.check_partition(to)?;
        if offset > MAX_OFFSET {
            return Err(Error::invalid("offset", format!("{offset} is larger than an offset can be")));
        }
        to.log().leader()?.advance_log_end(offset, self.config.durability)?;
        self.await_copied(to, offset)
    }

    fn await_copied(&self, to: &Partition, end: u64) -> Result<()> {
        match self.config.durability {
            Durability::Synced => to.log().leader()?.await_durable(end),
            _ => Ok(()),
        }
    }

    fn check_partition(&self, to: &Partition) -> Result<()> {
        if Arc::ptr_eq(to.directory(), &self.directory) {
            self.directory.check_open()
        } else {
            Err(foreign(to.id().topic()))
        }
    }
}

/// Offsets of a batch stay within this distance.
const MAX_OFFSETS: u64 = 1 << 31;
/// After this there is no room for a segment.
const MAX_OFFSET: u64 = i64::MAX.unsigned_abs() - MAX_OFFSETS;

/// Encodes the records and returns the first offset, `None` without records.
fn fill(
    batch: &mut BatchBuilder,
    to: &Partition,
    encoding: Encoding,
    records: &mut dyn Iterator<Item = RecordCopy<'_>>,
) -> Result<Option<u64>> {
    let mut first: Option<RecordCopy<'_>> = None;
    for copy in records {
        check(&copy, to)?;
        let base = match &first {
            None => {
                batch.set_append_time(copy.append_time());
                copy.offset
            }
            Some(first) if !first.shares_batch_with(&copy) => {
                return Err(refused(&copy, "has another kind of timestamp than the first of its batch"));
            }
            Some(first) => first.offset,
        };
        let next = base + u64::from(batch.offsets());
        let gap = copy.offset.checked_sub(next);
        let gap = gap.ok_or_else(|| refused(&copy, "does not lie after the one before it"))?;
        let gap = u32::try_from(gap).ok().filter(|_| copy.offset - base < MAX_OFFSETS - 1);
        batch.leave_out(gap.ok_or_else(|| refused(&copy, "lies too far after the first of its batch"))?);
        let fields = copy.record.fields();
        let measured = batch.measure(&fields, copy.timestamp);
        check_size(batch.bytes_with(&measured), encoding, to.log())?;
        batch.push(&fields, measured, copy.timestamp);
        first.get_or_insert(copy);
    }
    Ok(first.map(|first| first.offset))
}

fn check(copy: &RecordCopy<'_>, to: &Partition) -> Result<()> {
    if copy.offset > MAX_OFFSET {
        return Err(refused(copy, "is larger than an offset can be"));
    }
    if copy.timestamp < -1 {
        return Err(Error::invalid("record timestamp", "it lies before 1970, which Kafka does not take"));
    }
    if copy.record.wanted_partition().is_some_and(|wanted| wanted != to.id().partition()) {
        let reason = format!("a record names another partition than {}, where its batch goes", to.id());
        return Err(Error::invalid("record partition", reason));
    }
    Ok(())
}

fn refused(copy: &RecordCopy<'_>, why: &str) -> Error {
    Error::invalid("record offset", format!("{} {why}", copy.offset))
}
