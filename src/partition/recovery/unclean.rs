//! Recovery after an unclean stop.
//!
//! Everything behind the recovery point is checked batch by batch, by reading, never by mapping. A tail that does not
//! hold together is cut; damage below the recovery point is an error and nothing is touched. Nothing may follow a cut:
//! what comes later is set aside.
//!
//! Offsets may be missing between a segment that is complete and the next one:
//!
//! | | the partition may have been compacted | it was never |
//! |---|---|---|
//! | the gap begins at or above the recovery point | it stays; told, unless a compaction went through it | the log ends there, the rest is set aside |
//! | it begins below | the same | it stays; told; reading stops there |
//!
//! Processes that read along may have maps of a file and have shown their users every batch that was ever whole in it.
//! So a file is cut in place only where nothing behind the cut is whole; else a shorter file takes its name, and theirs
//! stays as it is. A batch at the very end that was whole and is not any more is the work of a failing device: what was
//! written stays in the page cache for as long as this boot lasts.

use crate::error::{Error, Result};
use crate::format::frame::InvalidBatch;
use crate::format::header::BatchHeader;
use crate::partition::recovery::epochs::record_epoch;
use crate::partition::recovery::{Found, Loader, PartitionRecovery, RecoveredSegment};
use crate::partition::{LastSegment, ScanWatch};
use crate::segment::{self, Batches, Checked, Indexing, check_batches, skip_batches};
use crate::sys::PlainFile;

/// Bytes of batches between two words about how far recovery has come.
const SCAN_STEP: u64 = 64 << 20;

impl Loader<'_> {
    /// Checks what lies behind the recovery point, cuts what does not hold together.
    pub(in crate::partition) fn unclean(&self, bases: &[u64], begun: Found) -> Result<Found> {
        let point = self.recovery_point();
        let mut found = Found { epoch: 0, ..begun };
        let mut cut = false;
        for (at, &base) in bases.iter().enumerate() {
            let next_base = bases.get(at + 1).copied();
            if cut {
                self.set_aside(base, &mut found.report)?;
                continue;
            }
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
            let Some(recovered) = self.recover(base, next_base, bases, &mut found, &mut cut)? else {
                continue;
            };
            found.next_offset = recovered.next_offset;
            found.last = Some(LastSegment { base, position: recovered.position });
            found.tail.push(recovered);
        }
        Ok(found)
    }

    /// Checks one segment and tells how far it is whole. `None`: it lies below the recovery point and is damaged, and is
    /// found as it is, for readers to come to the damage.
    fn recover(
        &self,
        base: u64,
        next_base: Option<u64>,
        bases: &[u64],
        found: &mut Found,
        cut: &mut bool,
    ) -> Result<Option<RecoveredSegment>> {
        let point = self.recovery_point();
        let (file, length) = self.open(base)?;
        let mut batches = Batches::new(&file, length, 0, base);
        let mut index = Indexing::new(base, self.log.settings.all().index_interval_bytes);
        // What is known to be on the medium is passed over: only the index is made anew for it.
        let (epochs, producers, mut aborted) = (&mut found.epochs, &mut found.producers.state, Vec::new());
        let (watch, mut scanned) = (&self.log.chores.scan_watch, 0);
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
        skip_batches(&mut batches, point, &mut index, &mut note)?;
        let unsynced_from = batches.position;
        let checked = check_batches(&mut batches, index, &mut note)?;
        if let Some(ScanWatch(watch)) = watch {
            watch(scanned);
        }
        found.report.bytes_scanned += checked.position - unsynced_from;
        if !batches.dense {
            self.log.record_compacted();
        }
        self.refuse_newer(&file, &checked)?;
        let gap = next_base.filter(|next| checked.next_offset < *next);
        let is_complete = checked.position == length;
        if checked.next_offset < point && !(is_complete && gap.is_some()) {
            if let Some(next) = gap.filter(|next| *next <= point) {
                found.segments.push(self.segment(base, length, next, true)?);
                return Ok(None);
            }
            return Err(self.damage_below(point, &file, base, length)?);
        }
        if next_base.is_some_and(|next| next < checked.next_offset) {
            let reason = "the next segment begins inside this one";
            return Err(self.corrupt(file.path(), checked.position, reason, base));
        }
        if !is_complete && !batches.rest_is_zero()? {
            *cut = true;
            found.report.bytes_truncated += length - checked.position;
            if checked.reason != InvalidBatch::End && batches.valid_batch_follows()? {
                found.report.kept.push(self.log.cut_off(file, checked.position..length)?);
            }
        }
        if let Some(next) = gap {
            *cut |= self.is_loss(checked.next_offset, is_complete, bases)?;
            // What lies below the recovery point was looked at before.
            if !*cut && next > point {
                found.report.missing.extend(self.log.missing(checked.next_offset..next));
            }
        }
        self.settle_recovered(&mut found.producers, base, &aborted, next_base.filter(|_| !*cut))?;
        Ok(Some(RecoveredSegment {
            base,
            position: checked.position,
            next_offset: checked.next_offset,
            entries: checked.entries,
            unsynced_from,
        }))
    }

    fn recovery_point(&self) -> u64 {
        self.log.evidence.checkpointed.recovery_point.unwrap_or(0)
    }

    /// Whether what follows a gap between two segments must not be served as what comes next: the records in the gap were
    /// being written when the process stopped. What was on the medium once is not cut because of what is missing before
    /// it, and a compaction leaves gaps, but only behind files of exact length.
    fn is_loss(&self, from: u64, is_complete: bool, bases: &[u64]) -> Result<bool> {
        if !is_complete {
            return Ok(true);
        }
        Ok(from >= self.recovery_point() && !self.may_have_been_compacted(bases)?)
    }

    /// Records that were on the medium are not there: looks from the beginning where the damage is.
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
        let why = format!("records below offset {point} were on the medium, but: ");
        Ok(if position < length {
            self.not_whole(file.path(), position, &why, checked.reason, offset)
        } else {
            self.corrupt(file.path(), position, why + "the file ends before", offset)
        })
    }

    /// A batch of a newer format was not torn: what stopped has written all of it. Nothing is cut before it.
    pub(in crate::partition) fn refuse_newer(&self, file: &PlainFile, checked: &Checked) -> Result<()> {
        let Checked { position, next_offset, reason, .. } = *checked;
        match reason {
            InvalidBatch::Newer(_) => Err(self.not_whole(file.path(), position, "", reason, next_offset)),
            _ => Ok(()),
        }
    }

    /// Takes a segment behind a cut out of the log, as a broker does, but keeps its records for inspection.
    fn set_aside(&self, base: u64, report: &mut PartitionRecovery) -> Result<()> {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        let (_, length) = self.open(base)?;
        report.bytes_truncated += length;
        report.kept.push(self.log.keep_whole(&path, &path)?);
        self.log.disk.remove_file(&path.with_extension(segment::OFFSET_INDEX))?;
        self.log.disk.remove_file(&path.with_extension(segment::TIME_INDEX))?;
        self.log.disk.remove_file(&path.with_extension(segment::TRANSACTION_INDEX))?;
        Ok(())
    }
}
