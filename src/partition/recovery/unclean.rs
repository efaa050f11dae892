//! Recovery after an unclean stop.
//!
//! Everything after the recovery point is checked batch by batch, by reading, never by mapping. A tail that does not
//! hold together is cut; damage below the recovery point is an error and nothing is touched. Nothing may follow a cut:
//! what comes later is set aside.
//!
//! Offsets may be missing between a segment that is complete and the next one:
//!
//! | | the partition may have been compacted | it was never |
//! |---|---|---|
//! | the gap begins at or above the recovery point | it stays; reported, unless a compaction went through it | the log ends there, the rest is set aside |
//! | it begins below | the same | it stays; reported; reading stops there |
//!
//! Processes that read along may have maps of a file and have shown their users every batch that was ever whole in it.
//! So a file is cut in place only where nothing after the cut is whole; else a shorter file takes its name, and theirs
//! stays as it is. A batch at the very end that was whole and is not any more is the work of a failing device: what was
//! written stays in the page cache for as long as this boot lasts.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::frame::InvalidBatch;
use crate::format::header::BatchHeader;
use crate::format::transaction_index::AbortedTransaction;
use crate::partition::recovery::epochs::record_epoch;
use crate::partition::recovery::truncate::{LastFile, TruncateTo, Truncated};
use crate::partition::recovery::{Loader, RecoveredLog, RecoveredSegment};
use crate::partition::{LastSegment, ScanWatch};
use crate::segment::{Batches, Checked, Indexing, Segment, check_batches, skip_batches};
use crate::sys::PlainFile;

/// Bytes of batches between two reports of how far recovery has come.
const SCAN_STEP: u64 = 64 << 20;

/// Where the complete batches of a segment end, and what is after them: by these rules recovery decides about it, and `verify` says
/// what recovery would do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentEnd {
    /// The offset after the last complete batch.
    pub(crate) next_offset: u64,
    /// The file ends there.
    pub(crate) is_complete: bool,
    /// Base offset of the next segment.
    pub(crate) next_base: Option<u64>,
}

impl SegmentEnd {
    /// The base offset of the next segment, if offsets are missing before it.
    fn gap(&self) -> Option<u64> {
        self.next_base.filter(|next| self.next_offset < *next)
    }

    /// Records that were on disk are not there. A gap after a complete file is no damage of the file.
    pub(crate) fn is_damaged(&self, recovery_point: u64) -> bool {
        self.next_offset < recovery_point && !(self.is_complete && self.gap().is_some())
    }

    /// Whether segments after it leave the log, because it ends in what is neither a complete batch nor preallocated space.
    pub(crate) fn ends_log(&self, rest_is_zero: bool) -> bool {
        !self.is_complete && !rest_is_zero && self.next_base.is_some()
    }
}

/// A segment that was checked.
enum Outcome {
    /// It is part of the log, as far as it holds together.
    Recovered(RecoveredSegment),
    /// The same, and the log ends in it.
    End(RecoveredSegment, Option<LastFile>),
    /// It lies below the recovery point and is damaged. It stays as it is, for readers to come to the damage.
    Damaged(Arc<Segment>),
}

impl Loader<'_> {
    /// Checks what lies past the recovery point, cuts what does not hold together.
    pub(in crate::partition) fn unclean(&self, bases: &[u64], begun: RecoveredLog) -> Result<RecoveredLog> {
        let point = self.recovery_point();
        let mut found = RecoveredLog { epoch: 0, ..begun };
        for (at, &base) in bases.iter().enumerate() {
            let after = bases.get(at + 1..).unwrap_or_default();
            let next_base = after.first().copied();
            if let Some(next) = next_base.filter(|next| *next <= point) {
                let length = self.length_of(base)?;
                // The point may have come to the segment's very end before the segment was finished.
                if next < point || self.is_finished(&self.open(base)?.0, base, length, next)? {
                    found.segments.push(self.segment(base, length, next, true)?);
                    continue;
                }
            }
            if found.tail.is_empty() {
                self.load_producers(&mut found, base)?;
            }
            let (recovered, last) = match self.recover(base, next_base, bases, &mut found)? {
                Outcome::Recovered(recovered) => (recovered, None),
                Outcome::End(recovered, last) => (recovered, Some(last)),
                Outcome::Damaged(segment) => {
                    found.segments.push(segment);
                    continue;
                }
            };
            found.next_offset = recovered.next_offset;
            found.last = Some(LastSegment { base, position: recovered.position });
            found.tail.push(recovered);
            if let Some(last) = last {
                let Truncated { bytes, kept } = self.log.truncate_to(TruncateTo { last, after })?;
                found.report.bytes_truncated += bytes;
                found.report.kept.extend(kept);
                break;
            }
        }
        Ok(found)
    }

    /// Checks one segment.
    fn recover(
        &self,
        base: u64,
        next_base: Option<u64>,
        bases: &[u64],
        found: &mut RecoveredLog,
    ) -> Result<Outcome> {
        let point = self.recovery_point();
        let (file, length) = self.open(base)?;
        let mut batches = Batches::new(&file, length, 0, base);
        let mut aborted = Vec::new();
        let (checked, unsynced_from) = self.check_tail(&mut batches, base, found, &mut aborted)?;
        found.report.bytes_scanned += checked.position - unsynced_from;
        if !batches.dense {
            self.log.record_compacted();
        }
        self.refuse_newer(&file, &checked)?;
        let end = SegmentEnd {
            next_offset: checked.next_offset,
            is_complete: checked.position == length,
            next_base,
        };
        let gap = end.gap();
        if end.is_damaged(point) {
            if let Some(next) = gap.filter(|next| *next <= point) {
                return Ok(Outcome::Damaged(self.segment(base, length, next, true)?));
            }
            return Err(self.damage_below(point, &file, base, length)?);
        }
        if next_base.is_some_and(|next| next < checked.next_offset) {
            let reason = "the next segment begins inside this one";
            return Err(self.corrupt(file.path(), checked.position, reason, base));
        }
        let rest_is_zero = end.is_complete || batches.rest_is_zero()?;
        let is_cut = !rest_is_zero;
        let holds_more = is_cut && checked.reason != InvalidBatch::End && batches.valid_batch_follows()?;
        let is_end = match gap {
            Some(_) if end.ends_log(rest_is_zero) => true,
            Some(_) => self.is_loss(checked.next_offset, end.is_complete, bases)?,
            None => is_cut,
        };
        // What lies below the recovery point was checked before.
        if let Some(next) = gap.filter(|next| !is_end && *next > point) {
            found.report.missing.extend(self.log.missing(checked.next_offset..next));
        }
        self.settle_recovered(&mut found.producers, base, &aborted, next_base.filter(|_| !is_end))?;
        let (position, next_offset) = (checked.position, checked.next_offset);
        let recovered =
            RecoveredSegment { base, position, next_offset, entries: checked.entries, unsynced_from };
        Ok(if is_end {
            let last = is_cut.then_some(LastFile { file, length, position, holds_more });
            Outcome::End(recovered, last)
        } else {
            Outcome::Recovered(recovered)
        })
    }

    /// Goes through the batches of a segment: checks those past the recovery point, and passes over those that are known to be
    /// on disk, for which only the index is rebuilt. Returns what was found, and from which position on it was checked.
    fn check_tail(
        &self,
        batches: &mut Batches<'_>,
        base: u64,
        found: &mut RecoveredLog,
        aborted: &mut Vec<AbortedTransaction>,
    ) -> Result<(Checked, u64)> {
        let mut index = Indexing::new(base, self.log.settings.all().index_interval_bytes);
        let (epochs, producers) = (&mut found.epochs, &mut found.producers.state);
        let (watch, mut scanned) = (&self.log.context.scan_watch, 0);
        let mut note = |header: &BatchHeader, control| {
            scanned += u64::from(header.batch_length.unsigned_abs());
            if let Some(ScanWatch(watch)) = watch
                && scanned >= SCAN_STEP
            {
                watch(std::mem::take(&mut scanned));
            }
            record_epoch(epochs, header);
            aborted.extend(producers.note(header, control));
        };
        skip_batches(batches, self.recovery_point(), &mut index, &mut note)?;
        let unsynced_from = batches.position;
        let checked = check_batches(batches, index, &mut note)?;
        if let Some(ScanWatch(watch)) = watch {
            watch(scanned);
        }
        Ok((checked, unsynced_from))
    }

    fn recovery_point(&self) -> u64 {
        self.log.evidence.checkpointed.recovery_point.unwrap_or(0)
    }

    /// Whether what follows a gap between two segments must not be served as what comes next: the records in the gap were
    /// being written when the process stopped. What was on disk once is not cut because of what is missing before
    /// it, and a compaction leaves gaps, but only after files of exact length.
    fn is_loss(&self, from: u64, is_complete: bool, bases: &[u64]) -> Result<bool> {
        if !is_complete {
            return Ok(true);
        }
        Ok(from >= self.recovery_point() && !self.may_have_been_compacted(bases)?)
    }

    /// Records that were on disk are not there: looks from the beginning where the damage is.
    pub(in crate::partition) fn damage_below(
        &self,
        point: u64,
        file: &PlainFile,
        base: u64,
        length: u64,
    ) -> Result<Error> {
        let mut batches = Batches::new(file, length, 0, base);
        let index = Indexing::new(base, self.log.settings.all().index_interval_bytes);
        let checked = check_batches(&mut batches, index, &mut |_, _| ())?;
        let (position, offset) = (checked.position, checked.next_offset);
        let why = format!("records below offset {point} were on disk, but: ");
        Ok(if position < length {
            self.invalid_batch(file.path(), position, &why, checked.reason, offset)
        } else {
            self.corrupt(file.path(), position, why + "the file ends before", offset)
        })
    }

    /// A batch of a newer format was not torn: what stopped has written all of it. Nothing is cut before it.
    pub(in crate::partition) fn refuse_newer(&self, file: &PlainFile, checked: &Checked) -> Result<()> {
        let Checked { position, next_offset, reason, .. } = *checked;
        match reason {
            InvalidBatch::Newer(_) => Err(self.invalid_batch(file.path(), position, "", reason, next_offset)),
            _ => Ok(()),
        }
    }
}
