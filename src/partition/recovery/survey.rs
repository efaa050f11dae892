//! Finds missing records by the names, lengths and ends of files, without loading the partition or reading what lies in the
//! middle of segments.
//!
//! | found by | what is missing |
//! |---|---|
//! | lengths of log files | a segment without bytes, of the last 64 |
//! | ends of log files, where the offset index leads | a segment that ends before the next one begins, of the last 8; a last one that ends before the log was closed |
//! | indexes without a log file, snapshots of producers | a segment of which something is left, in a log that was closed cleanly |
//! | the log start by its checkpoint, the first leader epoch | segments at the start |
//!
//! What is older is found by reading, and by `verify`. Segments that are not finished are left to recovery.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::partition::cleanup::Swapped;
use crate::partition::recovery::missing::MissingRecords;
use crate::partition::recovery::{Loader, Names};
use crate::partition::{Leader, PartitionCore, Tailing};
use crate::segment::{
    self, FileState, LogBytes, OFFSET_INDEX, PRODUCER_SNAPSHOT, TIME_INDEX, TRANSACTION_INDEX,
    end_of_batches, knows_more,
};
use crate::sys::disk::kind_of;

/// Segments whose length is checked, and those whose end is, from the last one back: what an open costs has a limit.
const MAX_LENGTHS: usize = 64;
const MAX_ENDS: usize = 8;
/// Bytes that are gone through for an end where there is no index.
const MAX_BYTES: u64 = 64 << 10;

impl Leader {
    /// Looks for missing records before the partition is loaded, which then reports them. Returns whether loading has
    /// something to report: missing records, or why it fails.
    pub(crate) fn survey(&self) -> Result<bool> {
        self.survey_by(|loader| loader.survey(loader.known_start()?))
    }
}

impl Tailing {
    /// The same of a partition that another process may be changing.
    pub(crate) fn survey(&self) -> Result<bool> {
        self.survey_by(|loader| {
            let survey = || loader.survey(loader.known_start_along()?);
            let found = survey()?;
            // What is just being renamed is there when the directory is listed again.
            if found.is_empty() { Ok(found) } else { survey() }
        })
    }
}

impl PartitionCore {
    fn survey_by(&self, survey: impl FnOnce(&Loader<'_>) -> Result<Vec<MissingRecords>>) -> Result<bool> {
        let known = &self.evidence.checkpointed;
        if kind_of(&self.directory)?.is_none() {
            return Ok(known.recovery_point.is_some_and(|point| point > 0));
        }
        let found = survey(&Loader::of(self))?;
        let is_found = !found.is_empty();
        *self.evidence.surveyed.lock() = found;
        Ok(is_found)
    }
}

impl Loader<'_> {
    fn survey(&self, known_start: Option<u64>) -> Result<Vec<MissingRecords>> {
        let names = self.log.disk.list(&self.log.directory)?;
        let swaps = Swapped::among(&names);
        if !swaps.is_empty() {
            // Loading finishes or undoes the swap; until then the directory is half of two logs.
            self.log.record_compacted();
            return Ok(Vec::new());
        }
        let bases = self.bases(&names)?;
        let mut missing = self.missing_front(&names, &bases, known_start)?;
        missing.extend(self.missing_after(&names, &bases)?);
        Ok(missing)
    }

    /// Records that are missing because the log starts before its first segment does. `known_start`: where the log starts by
    /// what is written of it.
    pub(super) fn missing_front(
        &self,
        names: &Names,
        bases: &[u64],
        known_start: Option<u64>,
    ) -> Result<Vec<MissingRecords>> {
        let start = self.log.evidence.checkpointed.log_start;
        let Some(first) = bases.first().copied().filter(|first| *first > start) else {
            return Ok(Vec::new());
        };
        let known = known_start.filter(|known| *known < first);
        let has_index = |base: &u64| {
            let index = segment::file_name(*base, OFFSET_INDEX);
            names.iter().any(|(name, _)| *name == index)
        };
        let left = || {
            let remains = self.remains(names, bases).into_iter();
            remains.filter(|base| (start..first).contains(base) && has_index(base)).min()
        };
        let Some(known) = known.or_else(left) else { return Ok(Vec::new()) };
        // This is rare, so all batches are checked for what a compaction leaves.
        let maybe_compacted = self.may_have_been_compacted(bases)?;
        Ok(vec![MissingRecords { offsets: known..first, maybe_compacted }])
    }

    /// Where the log starts by its checkpoint or its first leader epoch.
    pub(super) fn known_start(&self) -> Result<Option<u64>> {
        // A checkpoint has no line for a log that starts at offset 0, and a broker writes none for one that starts where
        // its first segment does.
        let start = Some(self.log.evidence.checkpointed.log_start).filter(|start| *start > 0);
        Ok(self.log.stored_epochs()?.unwrap_or_default().first().map(|first| first.start).max(start))
    }

    /// The same while another process may be deleting segments, which it writes down some time later.
    pub(super) fn known_start_along(&self) -> Result<Option<u64>> {
        if self.log.evidence.checkpointed.clean { self.known_start() } else { Ok(None) }
    }

    /// What is missing between segments that are finished, and after the last one of a log that was closed cleanly.
    pub(super) fn missing_after(&self, names: &Names, bases: &[u64]) -> Result<Vec<MissingRecords>> {
        let known = &self.log.evidence.checkpointed;
        let point = if known.clean { u64::MAX } else { known.recovery_point.unwrap_or(0) };
        let remains = self.remains(names, bases);
        let mut missing = Vec::new();
        let first_length = bases.len().saturating_sub(MAX_LENGTHS);
        let first_end = bases.len().saturating_sub(MAX_ENDS);
        for (at, &base) in bases.iter().enumerate() {
            let next = bases.get(at + 1).copied();
            let remains = remains.iter().filter(|of| **of > base && next.is_none_or(|next| **of < next));
            let remains = remains.max().copied();
            let end_offset = match next {
                // After the recovery point the batches are checked one by one.
                Some(next) if next > point && remains.is_none() => continue,
                Some(next) => Some(next),
                None if known.clean => known.recovery_point.max(remains),
                None => break,
            };
            if at < first_length && remains.is_none() {
                continue;
            }
            if let Some(end_offset) = end_offset
                && let Some(end) = self.end_of(base, end_offset, at >= first_end || remains.is_some())?
            {
                let offsets = end.offset..end_offset;
                if end.is_cut || remains.is_some() {
                    // A compaction leaves indexes that fit, and none of what it has taken away.
                    let maybe_compacted = self.log.may_have_been_compacted();
                    missing.push(MissingRecords { offsets, maybe_compacted });
                } else {
                    missing.extend(self.log.missing(offsets));
                }
            }
        }
        Ok(missing)
    }

    /// Where the batches of a segment end, if that is before `end_offset` and can be found with little reading.
    fn end_of(&self, base: u64, end_offset: u64, reads: bool) -> Result<Option<End>> {
        if !reads {
            let is_empty = self.length_of(base).is_ok_and(|length| length == 0);
            return Ok((is_empty && base < end_offset).then_some(End { offset: base, is_cut: false }));
        }
        let (file, length) = match self.open(base) {
            // Reading comes to it. What is known of the rest of the log is enough to continue with.
            Err(Error::Io(_)) => return Ok(None),
            opened => opened?,
        };
        let end = end_of_batches(&self.log.disk, &file, LogBytes { base, length }, MAX_BYTES)?;
        let Some(offset) = end.map(|end| end.next_offset).filter(|end| *end < end_offset) else {
            return Ok(None);
        };
        let is_cut = knows_more(&self.log.disk, &file, LogBytes { base, length }, offset)?;
        Ok(Some(End { offset, is_cut }))
    }

    /// Offsets at which something is left of a segment that is not there, or of the log's end.
    fn remains(&self, names: &Names, bases: &[u64]) -> Vec<u64> {
        let kinds = [OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, PRODUCER_SNAPSHOT];
        // Where segments were put together, a snapshot that belonged to one of them may be left, and a stop may leave one
        // that is ahead of the log.
        let are_snapshots_reported =
            self.log.evidence.checkpointed.clean && !self.log.may_have_been_compacted();
        let kinds = if are_snapshots_reported { &kinds[..] } else { &kinds[..3] };
        let is_deleted = |base: u64, suffix: &str| {
            let plain = segment::file_name(base, suffix);
            names.iter().any(|(name, _)| FileState::split(name) == (plain.as_str(), FileState::Deleted))
        };
        // A broker that is stopped while it takes a segment out leaves its indexes after its log file.
        let of = |name: &str| {
            let (base, suffix) =
                kinds.iter().find_map(|suffix| Some((segment::base_of(name, suffix)?, suffix)))?;
            let is_left = bases.binary_search(&base).is_err();
            let is_leaving = || is_deleted(base, segment::LOG) && !is_deleted(base, suffix);
            (is_left && !is_leaving()).then_some(base)
        };
        names.iter().filter_map(|(name, _)| of(name)).collect()
    }

    /// Where the log starts: where the first segment does, unless there is one missing before it.
    pub(super) fn start_of(&self, first: u64, front: &[MissingRecords]) -> u64 {
        let lost = front.first().filter(|lost| !lost.maybe_compacted);
        let first = lost.map_or(first, |lost| lost.offsets.start);
        self.log.evidence.checkpointed.log_start.max(first)
    }
}

/// Where the batches of a segment end.
struct End {
    offset: u64,
    /// Its indexes know of more.
    is_cut: bool,
}

/// Puts together what is missing, in ascending order and each range once.
pub(super) fn in_order(mut missing: Vec<MissingRecords>) -> Vec<MissingRecords> {
    missing.sort_by_key(|one| (one.offsets.start, one.offsets.end));
    missing.dedup();
    missing
}

/// The whole of what is missing in words, for messages.
pub(in crate::partition) fn words(lost: &Range<u64>) -> String {
    format!("the records from offset {} to {} are missing", lost.start, lost.end.saturating_sub(1))
}
