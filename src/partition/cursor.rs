//! A place in a partition to read on from.
//!
//! A cursor is an offset. Segment, map and byte position are kept beside it while they last, and found again by the
//! offset when they do not. Nothing here waits and no lock of a writer is taken.

use std::sync::Arc;

use super::{PartitionLog, SegmentList};
use crate::error::{Damage, Error, Result};
use crate::format::batch::{Batch, Unreadable};
use crate::format::frame::{Frame, FrameKind, NotWhole, frame_length, whole_batch_at};
use crate::format::record::RawRecord;
use crate::position::Position;
use crate::segment::SegmentView;
use crate::sys::Confirmed;

/// Reads one partition in order.
#[derive(Debug)]
pub(crate) struct Cursor {
    log: Arc<PartitionLog>,
    offset: u64,
    /// Version of the segment list that was looked at last.
    version: u64,
    at: Option<Place>,
}

/// Where the batch with the cursor's offset begins, or will begin.
#[derive(Debug)]
struct Place {
    view: SegmentView,
    position: u64,
}

/// Whole batches, checked, from one segment.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Confirmed,
    /// Records below and from these offsets on are not meant.
    pub(crate) from: u64,
    pub(crate) upto: u64,
    pub(crate) records: usize,
}

/// How much one fetch may bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
}

/// What was found at the front of a window.
struct Taken {
    bytes: usize,
    records: usize,
    next_offset: u64,
    /// The last batch was not taken to its end.
    split_at: Option<usize>,
    problem: Option<Problem>,
}

enum Problem {
    NotWhole(NotWhole),
    Unreadable(Unreadable),
    Legacy,
}

impl Cursor {
    pub(crate) fn new(log: Arc<PartitionLog>, offset: u64) -> Self {
        Self { log, offset, version: 0, at: None }
    }

    pub(crate) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn seek(&mut self, offset: u64) {
        if offset != self.offset {
            self.offset = offset;
            self.at = None;
        }
    }

    /// Whether a fetch may find something: one load if the cursor stands at the end of a growing segment.
    #[inline]
    pub(crate) fn may_have_data(&self) -> bool {
        match &self.at {
            Some(place) => {
                let end = place.view.segment().end();
                end.position > place.position || end.sealed || self.list_changed()
            }
            None => self.list_changed(),
        }
    }

    fn list_changed(&self) -> bool {
        self.version != self.log.segments.version() || self.log.has_ended()
    }

    /// The next batches, at least one if there is one, or `None` at the end of the log.
    pub(crate) fn fetch(&mut self, limits: FetchLimits) -> Result<Option<Fetched>> {
        loop {
            if self.log.has_ended() {
                self.log.refuse_ended()?;
            }
            let Some(place) = self.place()? else { return Ok(None) };
            let end = place.view.segment().end();
            if place.position >= end.position {
                // A sealed segment has a successor; one that only stands still may have got a writer.
                if (end.sealed && self.next_segment()?) || self.look_again() {
                    continue;
                }
                return Ok(None);
            }
            if let Some(fetched) = self.fetch_here(end.position, limits)? {
                return Ok(Some(fetched));
            }
        }
    }

    /// Finds the segment and the position for the offset, if they are not known.
    fn place(&mut self) -> Result<Option<&mut Place>> {
        if self.at.is_none() {
            let bounds = self.log.bounds()?;
            if self.offset < bounds.log_start || self.offset > bounds.log_end {
                let at = Position::new(self.log.id(), self.offset);
                return Err(Error::OffsetOutOfRange {
                    at: Box::new(at),
                    valid: bounds.log_start..bounds.log_end,
                });
            }
            // First the version: a change in between is then seen as one.
            self.version = self.log.segments.version();
            let list = self.log.segments();
            if let Some(segment) = list.holding(self.offset) {
                let view = segment.view()?;
                let position = view.position_of(self.offset)?;
                self.at = Some(Place { view, position });
            }
        }
        Ok(self.at.as_mut())
    }

    /// Moves behind a sealed segment that was read to its end.
    fn next_segment(&mut self) -> Result<bool> {
        let Some(place) = &self.at else { return Ok(false) };
        let list: Arc<SegmentList> = self.log.segments();
        let Some(next) = list.after(place.view.segment().base()) else { return Ok(false) };
        self.offset = self.offset.max(next.base());
        self.at = Some(Place { view: next.view()?, position: 0 });
        Ok(true)
    }

    /// Forgets the place if the segment list changed since it was found.
    fn look_again(&mut self) -> bool {
        let changed = self.version != self.log.segments.version();
        if changed {
            self.at = None;
        }
        changed
    }

    /// Takes batches at the present place. `None`: there was nothing for users among them; the cursor went past.
    fn fetch_here(&mut self, end: u64, limits: FetchLimits) -> Result<Option<Fetched>> {
        let offset = self.offset;
        let Some(place) = &mut self.at else { return Ok(None) };
        let position = place.position;
        let mut window = place.view.read(position..end.min(position.saturating_add(limits.bytes as u64)))?;
        if let Ok(needs) = frame_length(window.as_ref())
            && needs > window.as_ref().len() as u64
            && position + needs <= end
        {
            window = place.view.read(position..position + needs)?;
        } else if window.as_ref().len() < crate::format::header::HEADER_BYTES && position + 61 <= end {
            window = place.view.read(position..end)?;
        }
        let taken = take(window.as_ref(), offset, limits.records);
        if taken.bytes == 0
            && let Some(problem) = taken.problem
        {
            return Err(self.damage(&problem, window.as_ref()));
        }
        place.position = position + taken.split_at.unwrap_or(taken.bytes) as u64;
        self.offset = self.offset.max(taken.next_offset);
        if taken.records == 0 {
            return Ok(None);
        }
        let bytes = window.truncated(taken.bytes);
        Ok(Some(Fetched { bytes, from: offset, upto: self.offset, records: taken.records }))
    }

    fn damage(&self, problem: &Problem, window: &[u8]) -> Error {
        let Some(place) = &self.at else { return Error::Closed };
        let segment = place.view.segment();
        let damage = |reason: String| {
            let mut damage =
                Damage::new(segment.path(), place.position, reason).at_offset(self.log.id(), self.offset);
            damage.resume_at = self.resume_at(window).map(|offset| Position::new(self.log.id(), offset));
            Box::new(damage)
        };
        match problem {
            Problem::NotWhole(reason) => Error::Corrupt(damage(reason.to_string())),
            Problem::Unreadable(Unreadable::Malformed(reason)) => Error::Corrupt(damage(reason.to_string())),
            Problem::Unreadable(codec) => Error::Unsupported(damage(codec.to_string())),
            Problem::Legacy => Error::Unsupported(damage(
                "a message of a format before 2, which this version does not read".into(),
            )),
        }
    }

    /// The first offset behind unreadable bytes from which reading can go on.
    fn resume_at(&self, window: &[u8]) -> Option<u64> {
        let place = self.at.as_ref()?;
        let segment = place.view.segment();
        let (position, end) = (place.position, segment.end());
        let next = self.offset + 1;
        let readable = |at: u64| -> Option<u64> {
            let bytes = place.view.read(at..end.position).ok()?;
            let frame = whole_batch_at(bytes.as_ref(), next).ok()?;
            match frame.kind {
                FrameKind::Batch(header) => u64::try_from(header.base_offset).ok(),
                FrameKind::Legacy { offset, .. } => u64::try_from(offset).ok(),
            }
        };
        // The damage may have left the length alone; else the index knows where a later batch begins.
        if let Some(behind) =
            frame_length(window).ok().map(|length| position + length).filter(|at| *at < end.position)
            && let Some(offset) = readable(behind)
        {
            return Some(offset);
        }
        if let Ok(length) = frame_length(window)
            && position + length == end.position
        {
            return Some(segment.next_offset());
        }
        segment
            .positions_behind(position)
            .into_iter()
            .find_map(readable)
            .or_else(|| Some(segment.next_offset()).filter(|next| *next > self.offset))
    }

    /// The offset of the first record at or behind `from` with a timestamp of `at` or later.
    pub(crate) fn offset_for_time(log: &Arc<PartitionLog>, at: i64, from: u64) -> Result<Option<u64>> {
        log.bounds()?;
        for segment in log.segments().iter() {
            if segment.next_offset() <= from {
                continue;
            }
            let view = segment.view()?;
            let Some(mut position) = view.position_of_time(at, from.max(segment.base()))? else { continue };
            let end = segment.end().position;
            while position < end {
                let header = view.read(position..end.min(position + 61))?;
                let Ok(length) = frame_length(header.as_ref()) else { break };
                let bytes = view.read(position..end.min(position.saturating_add(length)))?;
                if let Some(offset) = first_at(bytes.as_ref(), at, from) {
                    return Ok(Some(offset));
                }
                position += length;
            }
        }
        Ok(None)
    }
}

/// Offset of the first record in a batch at or behind `from` with a timestamp of `at` or later.
fn first_at(batch: &[u8], at: i64, from: u64) -> Option<u64> {
    let batch = Batch::of_frame(batch)?;
    if batch.header.max_timestamp < at || batch.header.is_control() || batch.check_records().is_err() {
        return None;
    }
    let base = u64::try_from(batch.header.base_offset).ok()?;
    let mut records = batch.records();
    for _ in 0..batch.header.record_count {
        let record = RawRecord::take(&mut records).ok()?;
        let offset = base + u64::from(record.offset_delta.unsigned_abs());
        if offset >= from && batch.timestamp_of(&record) >= at {
            return Some(offset);
        }
    }
    None
}

/// Takes whole, readable batches off the front of `window`, up to `most` records at or behind `from`.
fn take(window: &[u8], from: u64, most: usize) -> Taken {
    let mut taken = Taken { bytes: 0, records: 0, next_offset: from, split_at: None, problem: None };
    // Inside a log offsets only grow, so the first batch may begin before `from`, but not end there.
    let mut expected = 0;
    while let Some(rest) = window.get(taken.bytes..).filter(|rest| !rest.is_empty()) {
        let frame = match whole_batch_at(rest, expected) {
            Ok(frame) => frame,
            Err(NotWhole::Incomplete { .. } | NotWhole::End) if taken.bytes > 0 => break,
            Err(reason) => {
                taken.problem = Some(Problem::NotWhole(reason));
                break;
            }
        };
        let Frame { bytes, kind: FrameKind::Batch(header) } = frame else {
            taken.problem = Some(Problem::Legacy);
            break;
        };
        let Some(batch) = rest.get(..bytes).and_then(Batch::of_frame) else { break };
        expected = frame.last_offset() + 1;
        if header.is_control() {
            taken.next_offset = taken.next_offset.max(expected);
            taken.bytes += bytes;
            continue;
        }
        if let Err(reason) = batch.check_records() {
            taken.problem = Some(Problem::Unreadable(reason));
            break;
        }
        let (count, next) = count_from(&batch, from, most - taken.records);
        taken.records += count;
        if let Some(next) = next {
            taken.split_at = Some(taken.bytes);
            taken.bytes += bytes;
            taken.next_offset = taken.next_offset.max(next);
            break;
        }
        taken.bytes += bytes;
        taken.next_offset = taken.next_offset.max(expected);
        if taken.records >= most {
            break;
        }
    }
    taken
}

/// Records of a batch at or behind `from`, at most `most`; with the offset of the first one left out, if any is.
fn count_from(batch: &Batch<'_>, from: u64, most: usize) -> (usize, Option<u64>) {
    let count = usize::try_from(batch.header.record_count).unwrap_or(0);
    let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
    if base >= from && count <= most {
        return (count, None);
    }
    let mut records = batch.records();
    let mut counted = 0;
    for _ in 0..count {
        let Ok(record) = RawRecord::take(&mut records) else { break };
        let offset = base + u64::from(record.offset_delta.unsigned_abs());
        if offset < from {
            continue;
        }
        if counted == most {
            return (counted, Some(offset));
        }
        counted += 1;
    }
    (counted, None)
}
