//! Finding the batch with an offset or a time along the headers of batches, which may be damaged.
//!
//! Checksums are not looked at on the way, so a header may lie. What a damaged one can do is bounded: a search ends at the
//! right batch, or at a batch not behind the damage, so that reading on from there tells of it. It never ends behind
//! records that were not looked at.

use std::ops::RangeInclusive;

use super::{SegmentEnd, SegmentView};
use crate::error::Result;
use crate::format::frame::{frame_length, max_timestamp_of, whole_batch_at};
use crate::format::header::{BatchHeader, HEADER_BYTES};
use crate::sys::Confirmed;

/// Bytes looked at in one step.
const WINDOW: u64 = 64 << 10;

/// The headers of a segment, read a window at a time.
struct Headers<'v> {
    view: &'v SegmentView,
    end: SegmentEnd,
    window: Option<(u64, Confirmed)>,
}

/// A header whose length field leads to the next one or to the end of the segment.
struct Found {
    header: BatchHeader,
    max_timestamp: i64,
    behind: u64,
}

impl Headers<'_> {
    /// The header at a position, if there can be one.
    fn at(&mut self, position: u64) -> Result<Option<Found>> {
        let left = self.end.position.saturating_sub(position);
        if left < HEADER_BYTES as u64 {
            return Ok(None);
        }
        if self.in_window(position).is_none() {
            let window = self.view.read(position..position + left.min(WINDOW))?;
            self.window = Some((position, window));
        }
        let Some(bytes) = self.in_window(position) else { return Ok(None) };
        let length = frame_length(bytes).ok().filter(|length| *length <= left);
        let header = bytes.first_chunk().map(BatchHeader::read);
        let max_timestamp = max_timestamp_of(bytes);
        Ok(header.zip(length).map(|(header, length)| Found {
            header,
            max_timestamp,
            behind: position + length,
        }))
    }

    fn in_window(&self, position: u64) -> Option<&[u8]> {
        let (from, window) = self.window.as_ref()?;
        let at = usize::try_from(position.checked_sub(*from)?).ok()?;
        window.as_ref().get(at..).filter(|bytes| bytes.len() >= HEADER_BYTES)
    }

    /// First and last offset of a batch, if they can be those of a batch of this segment. A legacy message has its last
    /// offset only.
    fn offsets_of(&self, header: &BatchHeader) -> Option<RangeInclusive<u64>> {
        let last = match header.magic {
            0 | 1 => header.base_offset,
            2 => header.last_offset(),
            _ => return None,
        };
        let (first, last) = (u64::try_from(header.base_offset).ok()?, u64::try_from(last).ok()?);
        let base = self.view.segment().base();
        let next = base + u64::from(self.end.relative_next);
        (base <= first && first <= last && last < next).then_some(first..=last)
    }

    fn offsets_at(&mut self, position: u64) -> Result<Option<RangeInclusive<u64>>> {
        Ok(self.at(position)?.and_then(|found| self.offsets_of(&found.header)))
    }

    /// Whether the way can go on behind a header that does not look like one.
    fn goes_on_at(&mut self, position: u64) -> Result<bool> {
        Ok(position == self.end.position || self.offsets_at(position)?.is_some())
    }

    fn is_whole(&self, position: u64) -> Result<bool> {
        let batch = self.view.batch_at(position)?;
        Ok(batch.is_some_and(|batch| whole_batch_at(batch.as_ref(), 0).is_ok()))
    }
}

impl SegmentView {
    fn headers(&self) -> Headers<'_> {
        Headers { view: self, end: self.segment().end(), window: None }
    }

    /// Position of the first batch whose last offset is `offset` or more; the segment's end if there is none.
    pub(crate) fn position_of(&self, offset: u64) -> Result<u64> {
        let mut headers = self.headers();
        if offset >= self.segment().base() + u64::from(headers.end.relative_next) {
            return Ok(headers.end.position);
        }
        let mut from = self.segment().scan_from_offset(offset)?;
        // An index that points anywhere else than to an earlier batch is no help.
        if from > 0 && headers.offsets_at(from)?.is_none_or(|found| *found.start() > offset) {
            from = 0;
        }
        search(&mut headers, from, offset)
    }

    /// Position of the first batch at or behind `offset` that has a record at `at` or later, if there is one.
    pub(crate) fn position_of_time(&self, at: i64, offset: u64) -> Result<Option<u64>> {
        if self.segment().is_before(at)? {
            return Ok(None);
        }
        let mut position = self.position_of(self.segment().scan_from_time(at)?.max(offset))?;
        let mut headers = self.headers();
        while position < headers.end.position {
            match headers.at(position)? {
                Some(found) if found.max_timestamp < at => position = found.behind,
                _ => return Ok(Some(position)),
            }
        }
        Ok(None)
    }
}

fn search(headers: &mut Headers<'_>, from: u64, offset: u64) -> Result<u64> {
    let mut position = from;
    // The last batch that made sense and ends before the offset, and where it ends.
    let mut before: Option<(u64, u64)> = None;
    // Where to read on from to be told of damage that may hide the offset.
    let mut hidden = None;
    while position < headers.end.position {
        let told_at = before.map_or(position, |(before, _)| before);
        let Some(Found { header, behind, .. }) = headers.at(position)? else {
            return Ok(indexed(headers, from, offset)?.unwrap_or(told_at));
        };
        match headers.offsets_of(&header) {
            // Either this header is damaged, or the length of the batch before.
            None => {
                if !(0..=2).contains(&header.magic) && !headers.goes_on_at(behind)? {
                    return Ok(indexed(headers, from, offset)?.unwrap_or(told_at));
                }
                hidden.get_or_insert(told_at);
            }
            Some(offsets) => {
                let overlaps = before.is_some_and(|(_, next)| *offsets.start() < next);
                if overlaps && headers.is_whole(told_at)? {
                    hidden.get_or_insert(told_at);
                } else if *offsets.end() < offset {
                    // What made no sense before this batch does not hold the offset.
                    (before, hidden) = (Some((position, *offsets.end() + 1)), None);
                } else if *offsets.start() > offset {
                    return Ok(hidden.unwrap_or(position));
                } else if !only_pretends(headers, position, behind, offset)? {
                    return Ok(position);
                } else {
                    hidden.get_or_insert(position);
                }
            }
        }
        position = behind;
    }
    Ok(hidden.unwrap_or(headers.end.position))
}

/// Whether the batch at a position does not reach as far as `offset`, though its header says so: the next one begins
/// before, and the checksum sides with that one.
fn only_pretends(headers: &mut Headers<'_>, position: u64, behind: u64, offset: u64) -> Result<bool> {
    let next = headers.offsets_at(behind)?;
    Ok(next.is_some_and(|next| *next.start() <= offset) && !headers.is_whole(position)?)
}

/// Position of the batch with `offset`, if an index entry behind `from` points to it: a way past damage.
fn indexed(headers: &mut Headers<'_>, from: u64, offset: u64) -> Result<Option<u64>> {
    for position in headers.view.segment().positions_behind(from) {
        if headers.offsets_at(position)?.is_some_and(|offsets| offsets.contains(&offset)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
