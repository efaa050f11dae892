//! The headers of a segment, one after another along their length fields, without the records between them.
//!
//! Checksums are not verified, so a header may lie.

use std::ops::{Range, RangeInclusive};

use super::{SegmentEnd, SegmentView};
use crate::error::Result;
use crate::format::frame::{MIN_PREFIX, frame_length, max_timestamp_of};
use crate::format::header::{BatchHeader, HEADER_BYTES};
use crate::sys::{Confirmed, PlainFile};

/// Bytes that are read first, most often enough for a lookup, and in one step.
const FIRST_WINDOW: u64 = 8 << 10;
const WINDOW: u64 = 64 << 10;
/// After a batch of this many bytes only the next header is read from the file: the one after it is most likely as far
/// away.
const FAR: u64 = 8 << 10;

/// Where headers are read.
pub(super) trait Source {
    /// The bytes of a range below the end of the segment.
    fn bytes(&self, range: Range<u64>) -> Result<Confirmed>;

    /// How many bytes to read for a header that comes after a batch of so many.
    fn window_after(&self, batch: u64) -> u64;
}

impl Source for SegmentView {
    fn bytes(&self, range: Range<u64>) -> Result<Confirmed> {
        self.read(range)
    }

    fn window_after(&self, batch: u64) -> u64 {
        if batch == 0 { FIRST_WINDOW } else { window_after(batch) }
    }
}

impl Source for PlainFile {
    fn bytes(&self, range: Range<u64>) -> Result<Confirmed> {
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
        let read = self.read_at(&mut bytes, range.start)?;
        bytes.truncate(read);
        Ok(Confirmed::copied(bytes))
    }

    fn window_after(&self, batch: u64) -> u64 {
        window_after(batch)
    }
}

fn window_after(batch: u64) -> u64 {
    if batch < FAR { WINDOW } else { HEADER_BYTES as u64 }
}

/// The headers of a segment.
pub(super) struct Headers<'s, S> {
    pub(super) source: &'s S,
    base: u64,
    pub(super) end: SegmentEnd,
    window: Option<(u64, Confirmed)>,
    /// Size of the batch whose header was read last.
    before: u64,
    /// Bytes that were read, and how often.
    pub(super) bytes_read: u64,
    pub(super) reads: u64,
}

/// A header whose length field leads to the next one or to the end of the segment.
pub(super) struct FoundBatch {
    pub(super) header: BatchHeader,
    pub(super) max_timestamp: i64,
    pub(super) after: u64,
}

impl FoundBatch {
    /// As [`Frame::indexed_timestamp`](crate::format::frame::Frame::indexed_timestamp).
    pub(super) fn indexed_timestamp(&self) -> i64 {
        if self.header.magic == 2 && self.header.record_count == 0 { -1 } else { self.max_timestamp }
    }
}

impl<'s, S: Source> Headers<'s, S> {
    pub(super) fn new(source: &'s S, base: u64, end: SegmentEnd) -> Self {
        Self { source, base, end, window: None, before: 0, bytes_read: 0, reads: 0 }
    }

    /// The header at a position, if there can be one.
    pub(super) fn at(&mut self, position: u64) -> Result<Option<FoundBatch>> {
        let left = self.end.position.saturating_sub(position);
        if left < MIN_PREFIX as u64 {
            return Ok(None);
        }
        if self.in_window(position).is_none() {
            let wanted = left.min(self.source.window_after(self.before));
            self.window = Some((position, self.source.bytes(position..position + wanted)?));
            self.bytes_read += wanted;
            self.reads += 1;
        }
        let Some(bytes) = self.in_window(position) else { return Ok(None) };
        // Messages of old formats may be smaller than a header of format 2.
        let mut header = [0; HEADER_BYTES];
        header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let header = BatchHeader::read(&header);
        let fits = |length: &u64| *length <= left && (header.magic < 2 || *length >= HEADER_BYTES as u64);
        let length = frame_length(bytes).ok().filter(fits);
        let max_timestamp = max_timestamp_of(bytes);
        self.before = length.unwrap_or(0);
        Ok(length.map(|length| FoundBatch { header, max_timestamp, after: position + length }))
    }

    /// The bytes of a header at a position, or as many as there are.
    fn in_window(&self, position: u64) -> Option<&[u8]> {
        let (from, window) = self.window.as_ref()?;
        let at = usize::try_from(position.checked_sub(*from)?).ok()?;
        let left = self.end.position.saturating_sub(position);
        window.as_ref().get(at..).filter(|bytes| bytes.len() as u64 >= left.min(HEADER_BYTES as u64))
    }

    /// First and last offset of a batch, if they can be those of a batch of this segment. A legacy message has its last
    /// offset only.
    pub(super) fn offsets_of(&self, header: &BatchHeader) -> Option<RangeInclusive<u64>> {
        let last = match header.magic {
            0 | 1 => header.base_offset,
            2 => header.last_offset(),
            _ => return None,
        };
        let (first, last) = (u64::try_from(header.base_offset).ok()?, u64::try_from(last).ok()?);
        let next = self.base + u64::from(self.end.relative_next);
        (self.base <= first && first <= last && last < next).then_some(first..=last)
    }

    pub(super) fn offsets_at(&mut self, position: u64) -> Result<Option<RangeInclusive<u64>>> {
        Ok(self.at(position)?.and_then(|found| self.offsets_of(&found.header)))
    }

    /// Whether the walk over the headers can continue at `position`: a batch of this segment, or its end, is there.
    pub(super) fn continues_at(&mut self, position: u64) -> Result<bool> {
        Ok(position == self.end.position || self.offsets_at(position)?.is_some())
    }

    /// Whether a batch begins at `position` that starts at or before offset `end_offset`, ends at or before offset `last` and is
    /// followed by another one: what an index entry claims that leads there.
    pub(super) fn bear_out(&mut self, position: u64, last: u64, end_offset: u64) -> Result<bool> {
        let Some(found) = self.at(position)? else { return Ok(false) };
        let Some(offsets) = self.offsets_of(&found.header) else { return Ok(false) };
        if *offsets.start() > end_offset || *offsets.end() > last {
            return Ok(false);
        }
        let next = if found.after == self.end.position { None } else { Some(self.offsets_at(found.after)?) };
        Ok(next.is_none_or(|next| next.is_some_and(|next| next.start() > offsets.end())))
    }
}
