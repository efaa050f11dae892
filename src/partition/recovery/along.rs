//! What a tailing reader finds in a directory that another process may be changing. Nothing is written.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::frame::InvalidBatch;
use crate::partition::SegmentList;
use crate::partition::cleanup::Swapped;
use crate::partition::core::PartitionCore;
use crate::partition::recovery::survey::in_order;
use crate::partition::recovery::{Loader, MAX_LISTINGS, Names, RecoveredLog};
use crate::segment::{self, Batches, FileState, Indexing, LogBytes, Segment, check_batches, skip_batches};
use crate::sys::{EntryKind, PlainFile};

/// Where a followed segment ends.
struct End {
    position: u64,
    next_offset: u64,
}

/// What is in a partition's directory, for a tailing reader, which changes nothing. `known`: segments that it has found before.
pub(in crate::partition) fn find_along(log: &PartitionCore, known: &SegmentList) -> Result<RecoveredLog> {
    let mut loader = Loader::of(log);
    if !loader.is_there()? || log.is_only_begun()? {
        return loader.missing();
    }
    let may_be_begun = log.may_be_begun()?;
    match loader.tailed(known) {
        Err(Error::Corrupt(_)) if may_be_begun && log.is_begun()? => Ok(loader.empty(0)),
        Err(Error::Corrupt(_)) if log.lacks_id()? => {
            loader.may_lack_id = true;
            loader.tailed(known)
        }
        found => found,
    }
}

impl Loader<'_> {
    /// What another process has made of the directory so far.
    fn tailed(&mut self, known: &SegmentList) -> Result<RecoveredLog> {
        let (names, bases) = self.first_listed()?;
        let (names, mut bases) = self.list_again(names, bases)?;
        self.swapped = Swapped::among(&names);
        self.with_swapped(&names, &mut bases)?;
        let Some(&first) = bases.first() else { return self.without_segments(&[]) };
        let mut missing = self.missing_front(&names, &bases, self.known_start_along()?)?;
        let mut begun = self.begun(&names, first, &missing);
        missing.append(&mut self.log.evidence.surveyed.lock());
        begun.report.missing = in_order(missing);
        let found = self.complete_segments(&bases, known, begun)?;
        self.in_bounds(found)
    }

    /// What is renamed while a list is made may be missing in it, and yet a later segment be there. What another process
    /// renames comes to rest between two lists that are the same; all that came before the last segment of a list are
    /// in the next one, unless they were replaced.
    fn list_again(&self, names: Names, bases: Vec<u64>) -> Result<(Names, Vec<u64>)> {
        let logs = |names: &[(String, EntryKind)]| {
            let is_log = |name: &str| segment::base_of(FileState::split(name).0, segment::LOG).is_some();
            names.iter().map(|(name, _)| name).filter(|name| is_log(name)).cloned().collect::<Vec<_>>()
        };
        let (mut before, mut last) = (logs(&names), bases.last().copied());
        let mut listings = 0;
        loop {
            listings += 1;
            let names = self.log.disk.list(&self.log.directory)?;
            let mut bases = self.bases(&names)?;
            let now = logs(&names);
            if now == before || listings == MAX_LISTINGS {
                bases.retain(|base| Some(*base) <= last);
                return Ok((names, bases));
            }
            (before, last) = (now, bases.last().copied());
        }
    }

    /// The segments with these base offsets, each to its last complete batch.
    pub(in crate::partition) fn complete_segments(
        &self,
        bases: &[u64],
        known: &SegmentList,
        begun: RecoveredLog,
    ) -> Result<RecoveredLog> {
        let mut segments = Vec::with_capacity(bases.len());
        for (&base, &next) in bases.iter().zip(bases.iter().skip(1)) {
            let kept = known.with_base(base).filter(|segment| segment.next_offset() == next);
            segments.push(match kept {
                Some(segment) => Arc::clone(segment),
                None => self.complete(base, next)?,
            });
        }
        let last = *bases.last().unwrap_or(&0);
        let kept = known.with_base(last).filter(|segment| !segment.end().sealed);
        let last = match kept {
            Some(segment) => Arc::clone(segment),
            None => self.growing(last)?,
        };
        let next_offset = last.next_offset();
        segments.push(last);
        Ok(RecoveredLog { segments, next_offset, ..begun })
    }

    /// A segment that others follow. Below the recovery point it has its exact length; else it may still end in space
    /// that was taken in advance.
    fn complete(&self, base: u64, next: u64) -> Result<Arc<Segment>> {
        let (file, length) = self.open(base)?;
        let mut last_byte = [0];
        file.read_at(&mut last_byte, length.saturating_sub(1))?;
        let point = self.log.evidence.checkpointed().recovery_point.unwrap_or(0);
        let position = if next <= point || last_byte != [0] {
            length
        } else {
            let from = self.start_by_index(&file, base, length)?;
            let mut batches = Batches::new(&file, length, from, base);
            while batches.next()?.is_ok() {}
            if batches.position == from && from > 0 {
                // Perhaps only the index is wrong.
                batches = Batches::new(&file, length, 0, base);
                while batches.next()?.is_ok() {}
            }
            // What is not zero is for the reader to stumble over.
            if batches.rest_is_zero()? { batches.position } else { length }
        };
        Ok(Arc::new(self.found_segment(base, position, next, true)?.only_of(&file)))
    }

    /// The last segment, as far as it is whole.
    fn growing(&self, base: u64) -> Result<Arc<Segment>> {
        let (file, length) = self.open(base)?;
        let point = self.log.evidence.checkpointed().recovery_point.unwrap_or(0);
        let (end, entries) = if let Some(end) = self.end_by_index(&file, base, length)? {
            (end, None)
        } else {
            let mut batches = Batches::new(&file, length, 0, base);
            let mut index = Indexing::new(base, self.log.settings.all().index_interval_bytes);
            skip_batches(&mut batches, point, &mut index, &mut |_, _| ())?;
            let checked = check_batches(&mut batches, index, &mut |_, _| ())?;
            self.refuse_newer(&file, &checked)?;
            let end = End { position: checked.position, next_offset: checked.next_offset };
            (end, Some(checked.entries.thinned()))
        };
        // The checkpoint is of the time of the open. A file that was cut since is another matter, see `refresh`.
        if end.next_offset < point && !self.log.is_loaded() {
            return Err(self.damage_below(point, &file, base, length)?);
        }
        let segment = self.found_segment(base, end.position, end.next_offset, false)?.only_of(&file);
        Ok(Arc::new(match entries {
            Some(entries) => segment.indexed(entries),
            None => segment,
        }))
    }

    /// The last batch that the index of a segment leads to. One that is wrong leads to the first.
    fn start_by_index(&self, file: &PlainFile, base: u64, length: u64) -> Result<u64> {
        let start = segment::start_before(&self.log.disk, file, LogBytes { base, length }, u32::MAX)?;
        Ok(start.unwrap_or_else(|wrong| {
            self.log.emit_rebuilt(base, wrong);
            0
        }))
    }

    /// The end of a segment whose index leads near to it.
    fn end_by_index(&self, file: &PlainFile, base: u64, length: u64) -> Result<Option<End>> {
        let from = self.start_by_index(file, base, length)?;
        if from == 0 {
            return Ok(None);
        }
        let mut batches = Batches::new(file, length, from, base);
        let reason = loop {
            if let Err(stop) = batches.next()? {
                break stop.reason;
            }
        };
        let end = End { position: batches.position, next_offset: batches.expected };
        if let InvalidBatch::Newer(_) = reason {
            return Err(self.invalid_batch(file.path(), end.position, "", reason, end.next_offset));
        }
        Ok((end.position > from).then_some(end))
    }
}
