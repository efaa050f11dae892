//! Segments that are complete: those of a log that was closed cleanly, and those that a compaction wrote. Only what lies after
//! the last index entry is gone through.

use super::{Loader, RecoveredLog};
use crate::error::Result;
use crate::format::frame::InvalidBatch;
use crate::partition::LastSegment;
use crate::segment::{self, Batches, FileState, IndexEntries};
use crate::sys::PlainFile;

impl Loader<'_> {
    /// After an orderly close: lengths are exact, every segment but the last ends where the next begins.
    pub(super) fn clean(&self, bases: &[u64], begun: RecoveredLog) -> Result<RecoveredLog> {
        let mut segments = Vec::with_capacity(bases.len());
        for (base, next) in bases.iter().zip(bases.iter().skip(1)) {
            segments.push(self.segment(*base, self.length_of(*base)?, *next, true)?);
        }
        let last_base = *bases.last().unwrap_or(&0);
        let (file, length) = self.open(last_base)?;
        let (next_offset, epoch) = self.end_of_closed(&file, last_base, length)?;
        segments.push(self.segment(last_base, length, next_offset, false)?);
        let last = Some(LastSegment { base: last_base, position: length });
        let mut found = RecoveredLog { segments, last, next_offset, epoch, ..begun };
        self.producers_of_closed(&mut found)?;
        Ok(found)
    }

    /// Offset after the last record of a file that was closed cleanly, and the epoch it was written in, or 0.
    fn end_of_closed(&self, file: &PlainFile, base: u64, length: u64) -> Result<(u64, u32)> {
        let mut end = self.walk_to_end(file, base, length)?;
        if end.position < length && end.from > 0 {
            // Perhaps only the index is wrong.
            end = walk(Batches::new(file, length, 0, base))?;
        }
        let SegmentWalk { next_offset, position, reason, epoch, .. } = end;
        match self.log.evidence.checkpointed.recovery_point {
            _ if position < length => {
                let why = "the log was closed cleanly, but does not end in a complete batch: ";
                Err(self.invalid_batch(file.path(), position, why, reason, next_offset))
            }
            Some(point) if point > next_offset => {
                let reason = format!("the log was closed at offset {point}, but the file ends before it");
                Err(self.corrupt(file.path(), position, reason, next_offset))
            }
            _ => Ok((next_offset, epoch.unwrap_or(0))),
        }
    }

    /// Checks the batches after the last index entry.
    fn walk_to_end(&self, file: &PlainFile, base: u64, length: u64) -> Result<SegmentWalk> {
        let entries = segment::stored_entries(&self.log.disk, file.path(), length)?;
        let from = entries.as_ref().and_then(IndexEntries::last).map_or(0, |entry| u64::from(entry.position));
        walk(Batches::new(file, length, from, base))
    }

    /// Whether a segment got its final form: exact length, and indexes that know of its end.
    pub(in crate::partition) fn is_finished(
        &self,
        file: &PlainFile,
        base: u64,
        length: u64,
        next: u64,
    ) -> Result<bool> {
        let Some(entries) = segment::stored_entries(&self.log.disk, file.path(), length)? else {
            return Ok(false);
        };
        let end = self.walk_to_end(file, base, length)?;
        let times_fit = end.timestamp < 0 || entries.largest().is_some_and(|known| known >= end.timestamp);
        Ok(end.position == length && end.next_offset == next && times_fit)
    }

    /// After the last offset of a segment that is being swapped in. It was on disk before it got its name.
    pub(in crate::partition) fn end_of_swapped(&self, base: u64) -> Result<u64> {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        let file = self.log.disk.open(&FileState::Swap.of(&path), false)?;
        let length = file.len()?;
        let mut end = self.walk_to_end(&file, base, length)?;
        if end.position < length && end.from > 0 {
            // Perhaps only the index is wrong.
            end = walk(Batches::new(&file, length, 0, base))?;
        }
        if end.position < length {
            let why = "a compaction wrote this segment, but it is incomplete: ";
            return Err(self.invalid_batch(file.path(), end.position, why, end.reason, end.next_offset));
        }
        Ok(end.next_offset)
    }
}

/// What lies at the end of a file.
struct SegmentWalk {
    from: u64,
    position: u64,
    next_offset: u64,
    reason: InvalidBatch,
    /// Largest ones of the batches that were passed, −1 if there is none.
    timestamp: i64,
    epoch: Option<u32>,
}

fn walk(mut batches: Batches<'_>) -> Result<SegmentWalk> {
    let (from, mut timestamp, mut epoch) = (batches.position, -1, None);
    loop {
        match batches.next()? {
            Ok((_, frame)) => {
                timestamp = timestamp.max(frame.indexed_timestamp());
                epoch = epoch.max(u32::try_from(frame.leader_epoch()).ok());
            }
            Err(stop) => {
                let (position, next_offset) = (batches.position, batches.expected);
                return Ok(SegmentWalk {
                    from,
                    position,
                    next_offset,
                    reason: stop.reason,
                    timestamp,
                    epoch,
                });
            }
        }
    }
}
