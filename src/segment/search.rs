//! Finding the batch with an offset or a time along the headers of batches, which may be damaged.
//!
//! Checksums are not verified on the way, so a header may lie. What a damaged one can do is bounded: a search ends at the
//! right batch, or at a batch not after the damage, so that reading on from there reports it. It never ends after
//! records that were not read.

use super::headers::{FoundBatch, Headers};
use super::stored_index::TimePair;
use super::times::{self, Claim};
use super::{POSITIONS_DIFFER, SegmentView, TIMES_DIFFER};
use crate::error::Result;
use crate::format::frame::valid_batch_at;

impl Headers<'_, SegmentView> {
    fn is_whole(&self, position: u64) -> Result<bool> {
        let batch = self.source.batch_at(position)?;
        Ok(batch.is_some_and(|batch| valid_batch_at(batch.as_ref(), 0).is_ok()))
    }
}

impl SegmentView {
    fn headers(&self) -> Headers<'_, Self> {
        Headers::new(self, self.segment().base(), self.segment().end())
    }

    /// Position of the first batch whose last offset is `offset` or more; the segment's end if there is none.
    pub(crate) fn position_of(&self, offset: u64) -> Result<u64> {
        self.position_along(&mut self.headers(), offset)
    }

    fn position_along(&self, headers: &mut Headers<'_, Self>, offset: u64) -> Result<u64> {
        if offset >= self.segment().base() + u64::from(headers.end.relative_next) {
            return Ok(headers.end.position);
        }
        let mut from = 0;
        if let Some(entry) = self.segment().entry_before(offset)? {
            // What it says is held against the batch it leads to and the one that follows: it may have been damaged, or be
            // the index of another segment.
            let last = self.segment().base() + u64::from(entry.relative_offset);
            if headers.bear_out(u64::from(entry.position), last, offset)? {
                from = u64::from(entry.position);
            } else {
                self.segment().doubt(POSITIONS_DIFFER);
            }
        }
        search(headers, from, offset)
    }

    /// Position of the first batch at or after `offset` that has a record at `at` or later, if there is one.
    pub(crate) fn position_of_time(&self, at: i64, offset: u64) -> Result<Option<u64>> {
        // The headers that are read lie close together, in one window most often.
        let headers = &mut self.headers();
        if self.is_before(headers, at)? {
            return Ok(None);
        }
        let from = self.offset_before(headers, at)?.max(offset);
        let mut position = self.position_along(headers, from)?;
        while position < headers.end.position {
            match headers.at(position)? {
                Some(found) if found.max_timestamp < at => position = found.after,
                _ => return Ok(Some(position)),
            }
        }
        if offset <= self.segment().base()
            && self.may_know_largest()
            && self.segment().known_largest().is_none()
        {
            // Its index claims what no batch has.
            self.segment().doubt_files(TIMES_DIFFER);
        }
        Ok(None)
    }

    /// Where another process writes, the index may not have its final form yet.
    fn may_know_largest(&self) -> bool {
        self.segment().end().sealed && !self.segment().is_anothers()
    }

    /// Whether every record of this sealed segment is older than `at`, as the time index says and the batches bear out.
    fn is_before(&self, headers: &mut Headers<'_, Self>, at: i64) -> Result<bool> {
        if !self.may_know_largest() {
            return Ok(false);
        }
        if let Some(largest) = self.segment().known_largest() {
            return Ok(largest < at);
        }
        let Some(last) = self.segment().last_times()? else {
            // Right only if no record has a timestamp.
            self.segment().doubt_files(TIMES_DIFFER);
            return Ok(false);
        };
        let is_before = last.entry.timestamp < at && self.bears_out(headers, last, true)?;
        if is_before {
            self.segment().know_largest(last.entry.timestamp);
        }
        Ok(is_before)
    }

    /// Whether the batches bear out what the files of the index have as the largest timestamp, as far as the batches after
    /// the last two entries show. An index in memory was made from the batches.
    pub(crate) fn bears_out_largest(&self) -> Result<bool> {
        let segment = self.segment();
        if segment.known_largest().is_some() || segment.end().position == 0 || !segment.has_index_files() {
            return Ok(true);
        }
        let Some(last) = segment.last_times()? else { return Ok(false) };
        let holds = self.bears_out(&mut self.headers(), last, true)?;
        if holds {
            segment.know_largest(last.entry.timestamp);
        }
        Ok(holds)
    }

    /// An offset before which no record has a timestamp of `at` or later.
    fn offset_before(&self, headers: &mut Headers<'_, Self>, at: i64) -> Result<u64> {
        let relative = match self.segment().times_before(at)? {
            Some(found) if self.bears_out(headers, found, false)? => found.entry.relative_offset,
            _ => 0,
        };
        Ok(self.segment().base() + u64::from(relative))
    }

    /// Whether the batches agree with an entry of the time index, if need be as its last one.
    fn bears_out(
        &self,
        headers: &mut Headers<'_, Self>,
        TimePair { before, entry }: TimePair,
        to_end: bool,
    ) -> Result<bool> {
        let base = self.segment().base();
        let from = match before {
            Some(before) => self.position_along(headers, base + u64::from(before.relative_offset) + 1)?,
            None => 0,
        };
        let claim = times::check(headers, from, base, entry, to_end)?;
        if claim == Claim::Wrong {
            self.segment().doubt(TIMES_DIFFER);
        }
        Ok(claim == Claim::Holds)
    }
}

fn search(headers: &mut Headers<'_, SegmentView>, from: u64, offset: u64) -> Result<u64> {
    let mut position = from;
    // The last batch that made sense and ends before the offset, and where it ends.
    let mut before: Option<(u64, u64)> = None;
    // Where to read on from, so that damage that may hide the offset is reported.
    let mut hidden = None;
    while position < headers.end.position {
        let reported_at = before.map_or(position, |(before, _)| before);
        let Some(FoundBatch { header, after, .. }) = headers.at(position)? else {
            return Ok(indexed(headers, from, offset)?.unwrap_or(reported_at));
        };
        match headers.offsets_of(&header) {
            // Either this header is damaged, or the length of the batch before.
            None => {
                if !(0..=2).contains(&header.magic) && !headers.continues_at(after)? {
                    return Ok(indexed(headers, from, offset)?.unwrap_or(reported_at));
                }
                hidden.get_or_insert(reported_at);
            }
            Some(offsets) => {
                let overlaps = before.is_some_and(|(_, next)| *offsets.start() < next);
                if overlaps && headers.is_whole(reported_at)? {
                    hidden.get_or_insert(reported_at);
                } else if *offsets.end() < offset {
                    // What made no sense before this batch does not hold the offset.
                    (before, hidden) = (Some((position, *offsets.end() + 1)), None);
                } else if *offsets.start() > offset {
                    return Ok(hidden.unwrap_or(position));
                } else if !only_pretends(headers, position, after, offset)? {
                    return Ok(position);
                } else {
                    hidden.get_or_insert(position);
                }
            }
        }
        position = after;
    }
    Ok(hidden.unwrap_or(headers.end.position))
}

/// Whether the batch at a position does not reach as far as `offset`, though its header says so: the next one begins
/// before, and the checksum sides with that one.
fn only_pretends(
    headers: &mut Headers<'_, SegmentView>,
    position: u64,
    after: u64,
    offset: u64,
) -> Result<bool> {
    let next = headers.offsets_at(after)?;
    Ok(next.is_some_and(|next| *next.start() <= offset) && !headers.is_whole(position)?)
}

/// Position of the batch with `offset`, if an index entry after `from` points to it: a way past damage.
fn indexed(headers: &mut Headers<'_, SegmentView>, from: u64, offset: u64) -> Result<Option<u64>> {
    for position in headers.source.segment().positions_after(from) {
        let holds = headers.offsets_at(position)?.is_some_and(|offsets| offsets.contains(&offset));
        // The value of a record may hold the bytes of a batch, where an index that is wrong may lead.
        if holds && headers.is_whole(position)? {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
