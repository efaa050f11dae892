//! One record, borrowed or owned.

use std::fmt;

use bytes::Bytes;

use super::records::{Chunk, InBatch};
use crate::clock::Timestamp;
use crate::config::TimestampType;
use crate::format::raw_record::{HeadersLeft, RawHeaders, RawRecord};
use crate::format::record::Header;
use crate::position::{Position, TopicPartition};
use crate::producer::{Record, RecordCopy};

/// A record, borrowed from what a poll returned: key, value and headers are slices of the log itself, or of what its
/// batch was decompressed to.
///
/// Messages of the formats 0 and 1, which old brokers wrote, have no headers and no leader epoch; those of format 0 have
/// a timestamp of −1, which means none.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    origin: Origin<'a>,
    offset: u64,
    timestamp: i64,
    leader_epoch: i32,
    appended_at: bool,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: RawHeaders<'a>,
}

/// What a view borrows from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    Chunk(&'a Chunk),
    Owned(&'a OwnedRecord),
}

/// A record that owns what it needs: [`RecordView::share`] and [`RecordView::detach`] say which is which.
#[derive(Clone)]
pub struct OwnedRecord {
    partition: TopicPartition,
    offset: u64,
    timestamp: i64,
    leader_epoch: i32,
    appended_at: bool,
    key: Option<Bytes>,
    value: Option<Bytes>,
    /// Encoded, without bytes if there are none.
    headers: Bytes,
}

/// The headers of a record, in order.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    left: HeadersLeft<'a>,
}

impl<'a> Headers<'a> {
    #[inline]
    pub(crate) fn of(raw: RawHeaders<'a>) -> Self {
        Self { left: raw.iter() }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        self.left.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len()))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl<'a> RecordView<'a> {
    #[inline(always)]
    pub(super) fn new(origin: Origin<'a>, batch: &InBatch, record: &RawRecord<'a>) -> Self {
        Self {
            origin,
            offset: batch.offset_of(record),
            timestamp: batch.timestamp_of(record),
            leader_epoch: batch.leader_epoch(),
            appended_at: batch.timestamps_are_of_appending(),
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    fn of(&self) -> &'a TopicPartition {
        match self.origin {
            Origin::Chunk(chunk) => &chunk.partition,
            Origin::Owned(record) => &record.partition,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &'a str {
        self.of().topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> u32 {
        self.of().partition()
    }

    /// The record's offset in its partition.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When the event happened, or when the record was appended: [`timestamp_type`](Self::timestamp_type) says which.
    /// −1 ms for a record without a time, which only other programs write.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp)
    }

    /// What the timestamp means.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.appended_at { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// Leader epoch of the record's batch, if it has one.
    pub fn leader_epoch(&self) -> Option<u32> {
        u32::try_from(self.leader_epoch).ok()
    }

    /// The position after this record: where to continue once it is dealt with.
    pub fn next_position(&self) -> Position {
        let position = Position::new(self.of(), self.offset + 1);
        match self.leader_epoch() {
            Some(epoch) => position.with_leader_epoch(epoch),
            None => position,
        }
    }

    /// The key, `None` if the record has none.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value, `None` for a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in order.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.headers)
    }

    /// Value of the last header of this name, as Kafka's `lastHeader`. `None` if there is none, or its value is null.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|header| header.name_bytes() == name.as_bytes()).last()?.value()
    }

    /// The record without a copy. It keeps its whole segment mapped, and on disk after the segment was deleted, or all
    /// that a poll decompressed with it in memory:
    /// [`detach`](Self::detach) what is kept for long.
    pub fn share(&self) -> OwnedRecord {
        match self.origin {
            Origin::Owned(record) => record.clone(),
            Origin::Chunk(chunk) => self.owned(|part| chunk.bytes.share(part)),
        }
    }

    /// A copy of the record, which keeps nothing else alive.
    pub fn detach(&self) -> OwnedRecord {
        let parts = [self.key.unwrap_or_default(), self.value.unwrap_or_default(), self.headers.encoded()];
        let copy = Bytes::from(parts.concat());
        let mut rest = copy;
        let mut next = |part: &[u8]| rest.split_to(part.len());
        self.owned(&mut next)
    }

    /// Makes each part owned, in the order key, value, headers.
    fn owned(&self, mut own: impl FnMut(&[u8]) -> Bytes) -> OwnedRecord {
        OwnedRecord {
            partition: self.of().clone(),
            offset: self.offset,
            timestamp: self.timestamp,
            leader_epoch: self.leader_epoch,
            appended_at: self.appended_at,
            key: self.key.map(&mut own),
            value: self.value.map(&mut own),
            headers: own(self.headers.encoded()),
        }
    }
}

impl OwnedRecord {
    /// The record as a view.
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            origin: Origin::Owned(self),
            offset: self.offset,
            timestamp: self.timestamp,
            leader_epoch: self.leader_epoch,
            appended_at: self.appended_at,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: RawHeaders::of(&self.headers),
        }
    }

    /// The key, to keep or to pass on.
    pub fn key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// The value, to keep or to pass on.
    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }
}

impl<'a> From<RecordView<'a>> for Record<'a> {
    /// The same key, value, headers and timestamp, for whatever topic it is sent to.
    fn from(view: RecordView<'a>) -> Self {
        let mut record = Record::of(view.key, view.value);
        if view.timestamp >= 0 {
            record = record.timestamp(view.timestamp());
        }
        for header in view.headers() {
            record.add_header(header);
        }
        record
    }
}

impl<'a> From<RecordView<'a>> for RecordCopy<'a> {
    /// The record as it was read, with its offset and timestamp.
    fn from(view: RecordView<'a>) -> Self {
        RecordCopy::new(view.offset, Record::from(view)).timestamp_type(view.timestamp_type())
    }
}

impl fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("at", &format_args!("{}@{}", self.of(), self.offset))
            .field("timestamp", &self.timestamp)
            .field("key", &self.key.map(<[u8]>::escape_ascii).map(|key| key.to_string()))
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}
