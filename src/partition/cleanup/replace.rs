//! Cleaned segments take the place of those they were made of.
//!
//! In this order, each step safe to stop after:
//!
//! | step | the next open has |
//! |---|---|
//! | `.cleaned` files, written and synced | the old segments; the new files go |
//! | renamed to `.swap`, the highest base offset first; directory synced | the old ones, if any is still `.cleaned`; else the new |
//! | the segment list holds the new ones | the new |
//! | the old ones renamed to `.deleted`; `.swap` stripped; directory synced | the new |
//! | the checkpoint of how far compaction has come | the new |
//!
//! These are Kafka's names and Kafka's rule at the start: what is `.cleaned` goes, and what is `.swap` at or above it;
//! what then is `.swap` replaces every segment in the offsets that it reaches over, so its last batch always stays. From
//! the swap of the list on nothing is undone; what fails is tried again, and until then the new segments are read under
//! the names they have.
//!
//! What is `.swap` was whole and on disk before it got that name. Should it be empty, cut or damaged all the same, it
//! never replaces segments that are still there: as long as none of them is `.deleted`, and what is left of the `.swap`
//! files is in them, they are all of the log.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::partition::Leader;
use crate::partition::cleanup::delete::{Front, PendingDeletion};
use crate::partition::recovery::Loader;
use crate::segment::{
    self, Batches, CleanedSegment, FileState, LogBytes, PRODUCER_SNAPSHOT, Segment, admit_swapped,
    end_of_batches, remove_cleaned, whole_to_the_end,
};
use crate::sys::disk::kind_of;
use crate::sys::{EntryKind, PlainFile};

/// Segments that have been exchanged in the list and not yet in the directory.
#[derive(Debug)]
pub(in crate::partition) struct Swap {
    old: Vec<Arc<Segment>>,
    new: Vec<Arc<Segment>>,
}

impl Leader {
    /// Puts cleaned segments in the place of those that they were made of. `false`: those are not in the log any more,
    /// and nothing was done. On an error the log has either; the files get their names later if it has the new ones.
    pub(crate) fn replace(&self, old: &[Arc<Segment>], new: Vec<CleanedSegment>, now: i64) -> Result<bool> {
        // Dropped after the lock.
        let _kept: Vec<_>;
        let mut front = self.cleanup.front.lock();
        if self.has_ended() {
            // The directory may be another's.
            return Ok(false);
        }
        // A second file of the same base offset that is `.deleted` would take the place of one that a snapshot needs yet.
        let is_there = self.segments().contains_run(old) && !self.is_kept();
        let swapped = if is_there { self.name_swap(&new) } else { Ok(()) };
        if !is_there || swapped.is_err() {
            for one in &new {
                let base = one.segment.base();
                if remove_cleaned(&self.disk, &self.directory, base).is_err() {
                    front.unremoved.push(base);
                }
            }
            return swapped.map(|()| false);
        }
        let new: Vec<_> = new.into_iter().map(|one| one.segment).collect();
        self.view.replace_if(|view| {
            (view.segments().exchanged(old, &new).map(|segments| view.with_segments(segments)), ())
        });
        self.sleepers.wake_all();
        _kept = old.iter().filter_map(|segment| segment.leave()).collect();
        front.swaps.push_back(Swap { old: old.to_vec(), new });
        self.finish_swaps_of(&mut front, now)?;
        Ok(true)
    }

    fn name_swap(&self, new: &[CleanedSegment]) -> Result<()> {
        new.iter().rev().try_for_each(|one| one.segment.set_file_state(FileState::Swap))?;
        self.disk.sync_directory(&self.directory)
    }

    /// Gives files the names that they could not be given before.
    pub(super) fn finish_swaps(&self, now: i64) -> Result<()> {
        let mut front = self.cleanup.front.lock();
        if self.has_ended() { Ok(()) } else { self.finish_swaps_of(&mut front, now) }
    }

    pub(super) fn finish_swaps_of(&self, front: &mut Front, now: i64) -> Result<()> {
        while let Some(base) = front.unremoved.last() {
            remove_cleaned(&self.disk, &self.directory, *base)?;
            front.unremoved.pop();
        }
        while let Some(swap) = front.swaps.front() {
            for old in &swap.old {
                if swap.new.iter().all(|new| new.base() != old.base()) {
                    self.doom_snapshot(old.base())?;
                }
                old.set_file_state(FileState::Deleted)?;
            }
            // The old names are gone before the new ones are there, whatever order a power cut leaves of renames: a `.swap` says
            // what to do about old segments that are still there, a plain segment does not.
            self.disk.sync_directory(&self.directory)?;
            swap.new.iter().try_for_each(|new| new.set_file_state(FileState::Plain))?;
            self.disk.sync_directory(&self.directory)?;
            let Some(swap) = front.swaps.pop_front() else { return Ok(()) };
            let due = now.saturating_add(self.retention().file_delete_delay_ms);
            let expiring =
                swap.old.into_iter().map(|segment| PendingDeletion { segment, due, renamed: true });
            front.expiring.extend(expiring);
        }
        Ok(())
    }

    /// Marks for deletion the snapshot of producers at an offset where no segment begins any more.
    pub(super) fn doom_snapshot(&self, base: u64) -> Result<()> {
        let path = self.directory.join(segment::file_name(base, PRODUCER_SNAPSHOT));
        if kind_of(&path)?.is_none() {
            return Ok(());
        }
        self.disk.rename(&path, &FileState::Deleted.of(&path))
    }
}

/// Runs of offsets that are kept in mind to see whether nothing is missing: a limit on memory.
const MAX_HELD: usize = 1 << 20;

/// The segments that are in a directory, and under which names.
#[derive(Debug, Default)]
pub(in crate::partition) struct Swapped {
    /// Base offsets of segments that are `.swap` and count.
    logs: BTreeSet<u64>,
    /// The same of files of any kind.
    files: BTreeSet<u64>,
    /// Those that do not count.
    void: BTreeSet<u64>,
    cleaned: BTreeSet<u64>,
}

impl Swapped {
    pub(in crate::partition) fn among(names: &[(String, EntryKind)]) -> Self {
        let mut found = Self::default();
        let suffixes = [segment::LOG, segment::OFFSET_INDEX, segment::TIME_INDEX, segment::TRANSACTION_INDEX];
        for (name, _) in names.iter().filter(|(_, kind)| *kind == EntryKind::File) {
            let (plain, file_state) = FileState::split(name);
            let base = suffixes.iter().find_map(|suffix| segment::base_of(plain, suffix));
            match (file_state, base) {
                (FileState::Cleaned, Some(base)) => drop(found.cleaned.insert(base)),
                (FileState::Swap, Some(base)) => {
                    found.files.insert(base);
                    found.logs.extend(segment::base_of(plain, segment::LOG));
                }
                _ => {}
            }
        }
        if let Some(unfinished) = found.cleaned.first().copied() {
            found.void = found.files.split_off(&unfinished);
            found.logs.retain(|base| *base < unfinished);
        }
        found
    }

    pub(in crate::partition) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.void.is_empty() && self.cleaned.is_empty()
    }

    pub(in crate::partition) fn holds(&self, base: u64) -> bool {
        self.logs.contains(&base)
    }
}

impl Loader<'_> {
    /// Finishes or undoes a swap that was interrupted. Returns whether there was one.
    pub(in crate::partition) fn settle_swap(
        &self,
        names: &[(String, EntryKind)],
        bases: &[u64],
    ) -> Result<bool> {
        let found = Swapped::among(names);
        if found.is_empty() {
            return Ok(false);
        }
        let (disk, directory) = (&self.log.disk, &self.log.directory);
        // While any file is `.cleaned` the others do not count: it is removed last.
        found.void.iter().try_for_each(|base| remove_cleaned_as(self, *base, FileState::Swap))?;
        if !found.void.is_empty() {
            disk.sync_directory(directory)?;
        }
        found.cleaned.iter().try_for_each(|base| remove_cleaned_as(self, *base, FileState::Cleaned))?;
        if self.is_to_be_undone(&found, names, bases)? {
            self.undo(&found)?;
            disk.sync_directory(directory)?;
            return Ok(true);
        }
        let replaced = self.replaced(&found)?;
        for base in bases.iter().filter(|base| replaced.contains(base)) {
            remove_cleaned_as(self, *base, FileState::Plain)?;
        }
        disk.sync_directory(directory)?;
        found.files.iter().try_for_each(|base| admit_swapped(disk, directory, *base))?;
        disk.sync_directory(directory)?;
        Ok(true)
    }

    /// Whether the log is the segments that were to be replaced, and what was to replace them is incomplete.
    fn is_to_be_undone(&self, found: &Swapped, names: &[(String, EntryKind)], bases: &[u64]) -> Result<bool> {
        let Some(&first) = found.logs.first() else { return Ok(false) };
        if bases.binary_search(&first).is_err() {
            return Ok(false);
        }
        let (mut end, mut is_whole, mut is_empty) = (first, true, true);
        for &base in &found.logs {
            let (file, length) = self.open_swapped(base)?;
            let whole = whole_to_the_end(&self.log.disk, &file, LogBytes { base, length })?;
            (is_whole, is_empty) = (is_whole && whole.is_some() && length > 0, is_empty && length == 0);
            end = end.max(whole.unwrap_or(base));
        }
        if is_empty {
            return Ok(true);
        }
        if is_whole && !self.reaches_after(bases, end)? {
            return Ok(false);
        }
        let is_expiring = |name: &str| match FileState::split(name) {
            (plain, FileState::Deleted) => {
                segment::base_of(plain, segment::LOG).is_some_and(|base| base >= first)
            }
            _ => false,
        };
        Ok(!names.iter().any(|(name, _)| is_expiring(name)) && self.holds_all_of(found, bases)?)
    }

    fn open_swapped(&self, base: u64) -> Result<(PlainFile, u64)> {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        let file = self.log.disk.open(&FileState::Swap.of(&path), false)?;
        let length = file.len()?;
        Ok((file, length))
    }

    /// Whether the last segment that begins before `end` has batches from there on: a compaction of ours keeps the last
    /// batch of what it goes through, so something was cut off its work. One of a broker may have dropped it.
    fn reaches_after(&self, bases: &[u64], end: u64) -> Result<bool> {
        let Some(last) = bases.iter().rfind(|base| **base < end) else { return Ok(false) };
        let (file, length) = self.open(*last)?;
        let known = end_of_batches(&self.log.disk, &file, LogBytes { base: *last, length }, u64::MAX)?;
        Ok(known.is_some_and(|known| known.next_offset > end))
    }

    /// Whether each complete batch of the swapped segments lies within one of the segments that are to be replaced.
    fn holds_all_of(&self, found: &Swapped, bases: &[u64]) -> Result<bool> {
        let mut held: Vec<Range<u64>> = Vec::new();
        for &base in bases {
            let (file, length) = self.open(base)?;
            let mut batches = Batches::new(&file, length, 0, base);
            while let Ok((_, frame)) = batches.next()? {
                let offsets = frame.known_first_offset()..frame.last_offset() + 1;
                let is_full = held.len() == MAX_HELD;
                match held.last_mut() {
                    Some(last) if last.end == offsets.start => last.end = offsets.end,
                    _ if is_full => return Ok(false),
                    _ => held.push(offsets),
                }
            }
        }
        let is_held = |batch: &Range<u64>| {
            let after = held.partition_point(|known| known.start <= batch.start);
            after.checked_sub(1).and_then(|at| held.get(at)).is_some_and(|known| batch.end <= known.end)
        };
        for &base in &found.logs {
            let (file, length) = self.open_swapped(base)?;
            let mut batches = Batches::new(&file, length, 0, base);
            while let Ok((_, frame)) = batches.next()? {
                if !is_held(&(frame.known_first_offset()..frame.last_offset() + 1)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Keeps the log as it is, and what was to be swapped in beside it.
    fn undo(&self, found: &Swapped) -> Result<()> {
        for base in &found.logs {
            let plain = self.log.directory.join(segment::file_name(*base, segment::LOG));
            let (file, length) = self.open_swapped(*base)?;
            if length > 0 {
                self.log.keep_whole(file.path(), &plain)?;
            }
        }
        found.files.iter().try_for_each(|base| remove_cleaned_as(self, *base, FileState::Swap))
    }

    /// The offsets that swapped segments reach over.
    fn replaced(&self, found: &Swapped) -> Result<Range<u64>> {
        let first = found.logs.first().copied().unwrap_or(0);
        let mut end = first;
        for base in &found.logs {
            end = end.max(self.end_of_swapped(*base)?);
        }
        Ok(first..end)
    }

    /// What a tailing reader takes for the segments of the log.
    pub(in crate::partition) fn with_swapped(
        &mut self,
        names: &[(String, EntryKind)],
        bases: &mut Vec<u64>,
    ) -> Result<()> {
        if self.swapped.logs.is_empty() {
            return Ok(());
        }
        // Later looks meet a swap that is under way, not what a stop has left.
        if !self.log.is_loaded() && self.is_to_be_undone(&self.swapped, names, bases)? {
            self.swapped = Swapped::default();
            return Ok(());
        }
        let replaced = self.replaced(&self.swapped)?;
        bases.retain(|base| !replaced.contains(base) && !self.swapped.holds(*base));
        bases.extend(&self.swapped.logs);
        bases.sort_unstable();
        Ok(())
    }
}

/// Removes the files in one state, the log last: while it is there the others are known.
fn remove_cleaned_as(loader: &Loader<'_>, base: u64, file_state: FileState) -> Result<()> {
    let suffixes = [segment::OFFSET_INDEX, segment::TIME_INDEX, segment::TRANSACTION_INDEX, segment::LOG];
    suffixes.iter().try_for_each(|suffix| {
        let name = loader.log.directory.join(segment::file_name(base, suffix));
        loader.log.disk.remove_file(&file_state.of(&name)).map(drop)
    })
}
