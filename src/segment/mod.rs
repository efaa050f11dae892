//! One segment: the log file that begins at a base offset, and its two indexes.
//!
//! A segment grows at its end through its one [`SegmentWriter`] and is sealed once. Readers hold a [`SegmentView`];
//! what it returns lies below the published [`SegmentEnd`] and never changes. Other segments are not known here.
//!
//! # The end of its life
//!
//! | step | said by | set by |
//! |---|---|---|
//! | it grows | [`Owner::Writer`], its [`SegmentWriter`] | made or reopened |
//! | sealed: no more records come | [`SegmentEnd::sealed`], in the word that publishes the end | [`SegmentWriter::seal`], which takes the writer and gives the only [`UnfinishedSegment`] that is queued |
//! | trimmed: exact length, on disk | `UnfinishedSegment::is_trimmed`, after the file's `Growth` refuses to grow | [`UnfinishedSegment::trim_and_sync`] |
//! | indexed: the index files are written | [`Index::Stored`] in place of the entries | [`UnfinishedSegment::write_indexes`], or found so |
//! | finished | the recovery point has passed it | `partition`, once the directory is synced |
//!
//! Each step is recorded in one place, which only the function in its row changes. The steps come in this order, so no two
//! records contradict each other: a trimmed segment was sealed, because only `seal` returns the value that trims for good;
//! the entries in memory are dropped when the index files that replace them are written. The close of a partition trims and
//! indexes a segment that is not sealed; nothing is appended to it any more. Retention may take a segment out of the log after any
//! of these steps but the first; those after it are left out then. A segment found on disk has no writer and no
//! entries in memory ([`Owner::Log`]) until a writer takes it over; one of another process keeps an index of its own, if
//! any, in memory ([`Owner::AnotherProcess`]).
//!
//! # Locks
//!
//! `file_state` is read while a file is opened by name, and written while files are renamed. `index` is held for one lookup or
//! one new index; a writer that finds it locked leaves an entry out. `doubt`, `opened`, a writer's `rewrite` and the maps that
//! the log keeps guard themselves. Under `index` and `opened` only `file_state`, `doubt` and the kept maps are taken, under
//! `index` also `opened`, under the others nothing, so no thread waits in a circle; no lock of a partition is taken under any of them.

mod cleaned;
mod ends;
mod entries;
mod headers;
mod kept;
mod names;
mod review;
mod scan;
mod search;
mod stored_index;
#[cfg(test)]
mod tests;
mod times;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

pub(crate) use cleaned::{CleanedSegment, CleanedWriter, admit_swapped, remove_cleaned};
pub(crate) use ends::{BatchesEnd, LogBytes, end_of_batches, knows_more, whole_to_the_end};
pub(crate) use entries::IndexEntries;
pub(crate) use names::{FileState, beside};
pub(crate) use review::Review;
pub(crate) use scan::{
    Batches, Checked, Indexing, Note, check_batches, index_anew, is_dense, relative_in_segment, skip_batches,
};
pub(crate) use stored_index::{load as stored_entries, start_before};
pub(crate) use view::SegmentView;
pub(crate) use writer::{FinishFailure, SegmentWriter, UnfinishedSegment};

use crate::error::Result;
pub(crate) use crate::format::file_names::{
    LOG, OFFSET_INDEX, PRODUCER_SNAPSHOT, TIME_INDEX, TRANSACTION_INDEX, segment_file as file_name,
};
use crate::sys::tail::TailWord;
use crate::sys::{Disk, Identity, PlainFile, Tail};
use kept::{KnownOffsets, Opened};
use stored_index::TimePair;

/// Offsets of a segment stay within this distance of its base.
pub(crate) const MAX_OFFSETS: u64 = 1 << 31;
/// Largest offset there can be.
pub(crate) const MAX_OFFSET: u64 = i64::MAX.unsigned_abs();

/// The base offset in the name of a segment's file. One above 2⁶³−1 is no offset, and the file not a segment.
pub(crate) fn base_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?.strip_suffix('.')?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?.filter(|base| *base <= MAX_OFFSET)
}

/// How far a segment reaches: one word, published at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    pub(crate) position: u64,
    /// Offset after the last record, relative to the base; at most 2³¹.
    pub(crate) relative_next: u32,
    /// No more will come; the segment list has the next segment.
    pub(crate) sealed: bool,
}

impl SegmentEnd {
    fn mark(self) -> u64 {
        (u64::from(self.relative_next) << 1) | u64::from(self.sealed)
    }

    #[inline]
    pub(crate) fn of(word: TailWord) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a mark has 33 bits")]
        let relative_next = (word.mark >> 1) as u32;
        Self { position: word.position, relative_next, sealed: word.mark & 1 != 0 }
    }
}

/// A segment, shared by its writer, its readers and the segment list.
// One type: writer, readers and recovery ask one file with its indexes, and most of the methods are one line.
#[derive(Debug)]
pub(crate) struct Segment {
    base: u64,
    /// The log file's own name, in its directory.
    path: PathBuf,
    /// What is appended to the names of all its files at present. Code that opens one by name holds this for as long, so
    /// that it opens no file that has taken the place of this segment's.
    file_state: RwLock<FileState>,
    disk: Disk,
    tail: Arc<Tail>,
    owner: Owner,
    opened: Mutex<Opened>,
    index: Mutex<Index>,
    /// Largest timestamp of a sealed segment by its index, once it was needed.
    largest_timestamp: AtomicI64,
    /// The same, where the batches bear it out.
    known_largest: AtomicI64,
    doubt: Mutex<Doubt>,
}

/// Who may add to a segment's files, as long as it is not sealed, and replaces its indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Its writer, which makes the map while the segment grows.
    Writer,
    /// This process, but it has no writer.
    Log,
    /// Another process, which does not say when another file takes this one's name. Identifies the file of this segment.
    AnotherProcess(Identity),
}

/// Not asked for yet.
const UNKNOWN_TIMESTAMP: i64 = i64::MIN;

/// Whether an index turned out to disagree with the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// It did, in these words.
    Raised(&'static str),
    /// It did, and what can be done about it was done.
    Settled,
    /// And the segment, to which nothing is added, has another index now.
    Adopted,
}

/// What is wrong with an index.
pub(crate) const MISSING: &str = "the file is missing";
pub(crate) const POSITIONS_DIFFER: &str = "an entry leads to no batch that it speaks of";
pub(crate) const TIMES_DIFFER: &str = "an entry has another timestamp than the batches up to it";

/// Where the index entries are. Readers lock it to look; a writer that finds it locked leaves an entry out.
#[derive(Debug)]
enum Index {
    Growing(IndexEntries),
    Stored(KnownOffsets),
}

impl Index {
    fn stored() -> Self {
        Self::Stored(KnownOffsets::default())
    }
}

impl Segment {
    /// A segment as found on disk, without a writer, whose batches end there. The last one of
    /// a partition is not sealed: a writer may take its place.
    pub(crate) fn found(
        disk: &Disk,
        directory: &Path,
        base: u64,
        end: BatchesEnd,
        sealed: bool,
    ) -> Option<Self> {
        let BatchesEnd { position, next_offset: next } = end;
        // Between two segments any number of offsets may be missing.
        let distance = next.checked_sub(base)?;
        let distance = if sealed { distance.min(MAX_OFFSETS) } else { distance };
        let relative_next = u32::try_from(distance).ok()?;
        let end = SegmentEnd { position, relative_next, sealed };
        let tail = Arc::new(Tail::new(position, end.mark()));
        let path = directory.join(file_name(base, LOG));
        Some(Self { owner: Owner::Log, ..Self::over(disk, path, base, tail, Index::stored()) })
    }

    fn over(disk: &Disk, path: PathBuf, base: u64, tail: Arc<Tail>, index: Index) -> Self {
        Self {
            base,
            path,
            file_state: RwLock::default(),
            disk: disk.clone(),
            tail,
            owner: Owner::Writer,
            opened: Mutex::default(),
            index: Mutex::new(index),
            largest_timestamp: AtomicI64::new(UNKNOWN_TIMESTAMP),
            known_largest: AtomicI64::new(UNKNOWN_TIMESTAMP),
            doubt: Mutex::new(Doubt::None),
        }
    }

    /// The same, found under the names of a swap that is under way.
    pub(crate) fn in_swap(self) -> Self {
        Self { file_state: RwLock::new(FileState::Swap), ..self }
    }

    /// The same, but it opens its file only as long as the name means this very file.
    pub(crate) fn only_of(self, file: &PlainFile) -> Self {
        Self { owner: Owner::AnotherProcess(file.identity()), ..self }
    }

    /// The same, with an index made by going through it.
    pub(crate) fn indexed(self, entries: IndexEntries) -> Self {
        Self { index: Mutex::new(Index::Growing(entries)), ..self }
    }

    /// For a reader that tails a segment that another process writes: publishes the complete batches found past the end.
    /// One caller at a time; the end of a segment never goes back.
    pub(crate) fn follow_to(&self, position: u64, relative_next: u32, sealed: bool) {
        let end = SegmentEnd { position, relative_next, sealed };
        self.tail.publish(position, end.mark());
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Where the log file is, or was a moment ago: to be named, not to be opened.
    pub(crate) fn path(&self) -> PathBuf {
        self.file_state.read().of(&self.path)
    }

    #[inline]
    pub(crate) fn end(&self) -> SegmentEnd {
        SegmentEnd::of(self.tail.load())
    }

    /// Where its end is published.
    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// What [`end`](Self::end) returns, as one number to be compared.
    #[inline]
    pub(crate) fn end_word(&self) -> u64 {
        self.tail.word()
    }

    /// Offset after the segment's last record.
    #[inline]
    pub(crate) fn next_offset(&self) -> u64 {
        self.base + u64::from(self.end().relative_next)
    }

    /// To be called when its files were deleted. Returns how many bytes its readers keep on the device.
    pub(crate) fn pinned(&self) -> u64 {
        self.opened.lock().mapping.upgrade().map_or(0, |mapping| mapping.pin())
    }

    /// Starts of batches after `position`, as far as the index knows them.
    pub(crate) fn positions_after(&self, position: u64) -> Vec<u64> {
        match &*self.index.lock() {
            Index::Growing(entries) => entries.positions_after(position),
            Index::Stored(_) => self
                .by_name(|path| stored_index::load(&self.disk, path, self.end().position))
                .ok()
                .flatten()
                .map(|entries| entries.positions_after(position))
                .unwrap_or_default(),
        }
    }

    /// The last time index entry with a timestamp below `at`, as it was found.
    fn times_before(&self, at: i64) -> Result<Option<TimePair>> {
        match &*self.index.lock() {
            Index::Growing(entries) => Ok(entries.times_before(at)),
            Index::Stored(_) => self.by_name(|path| stored_index::times_before(&self.disk, path, at)),
        }
    }

    /// The last time index entry of a segment that is not written to, as it was found.
    fn last_times(&self) -> Result<Option<TimePair>> {
        match &*self.index.lock() {
            Index::Growing(_) => Ok(None),
            Index::Stored(_) => self.by_name(|path| stored_index::last_times(&self.disk, path)),
        }
    }

    /// Largest timestamp of a sealed segment, if the batches were asked about it.
    fn known_largest(&self) -> Option<i64> {
        Some(self.known_largest.load(Ordering::Relaxed)).filter(|known| *known != UNKNOWN_TIMESTAMP)
    }

    /// A timestamp that no record of a sealed segment is after, if the batches were asked about it.
    pub(crate) fn latest(&self) -> Option<i64> {
        // Where another process writes, the index may not have its final form yet.
        self.known_largest().filter(|_| self.end().sealed && !self.is_anothers())
    }

    fn know_largest(&self, timestamp: i64) {
        self.known_largest.store(timestamp, Ordering::Relaxed);
    }

    /// Largest timestamp of a segment that is not written to, if it is known and any record has one. By the index alone:
    /// nothing may be deleted for it.
    pub(crate) fn claimed_largest(&self) -> Result<Option<i64>> {
        let largest = self.largest_timestamp.load(Ordering::Relaxed);
        if largest != UNKNOWN_TIMESTAMP {
            return Ok(Some(largest));
        }
        let known = match &*self.index.lock() {
            Index::Growing(entries) => entries.largest(),
            Index::Stored(_) => {
                let last = self.by_name(|path| stored_index::last_times(&self.disk, path))?;
                last.map(|last| last.entry.timestamp)
            }
        };
        if let Some(known) = known.filter(|_| self.end().sealed) {
            self.largest_timestamp.store(known, Ordering::Relaxed);
        }
        Ok(known)
    }

    /// Whether another process may add to its file, and writes its indexes.
    fn is_anothers(&self) -> bool {
        matches!(self.owner, Owner::AnotherProcess(_))
    }

    /// Notes that an index does not agree with the batches, and how.
    pub(crate) fn doubt(&self, reason: &'static str) {
        let mut doubt = self.doubt.lock();
        if *doubt == Doubt::None {
            *doubt = Doubt::Raised(reason);
        }
    }

    /// The same of files that a segment has instead of an index in memory.
    fn doubt_files(&self, reason: &'static str) {
        if self.has_index_files() {
            self.doubt(reason);
        }
    }

    /// Whether its index is in files, which a segment gets in its final form.
    pub(crate) fn has_index_files(&self) -> bool {
        matches!(*self.index.lock(), Index::Stored(_))
    }

    /// Why the index is to be rebuilt, if it is. Only the first caller gets the reason, and does what can be done about it.
    pub(crate) fn take_doubt(&self) -> Option<&'static str> {
        let mut doubt = self.doubt.lock();
        let Doubt::Raised(reason) = *doubt else { return None };
        *doubt = Doubt::Settled;
        Some(reason)
    }

    /// Replaces the index of a segment, to which nothing is added, by one that was made from all of its batches: in its
    /// files, or in memory where the files are another process's or not written yet.
    pub(crate) fn adopt(&self, entries: IndexEntries) -> Result<()> {
        let mut index = self.index.lock();
        *self.doubt.lock() = Doubt::Adopted;
        self.largest_timestamp.store(entries.largest().unwrap_or(UNKNOWN_TIMESTAMP), Ordering::Relaxed);
        self.know_largest(entries.largest().unwrap_or(UNKNOWN_TIMESTAMP));
        if matches!(*index, Index::Growing(_)) || self.is_anothers() {
            *index = Index::Growing(entries.thinned());
            return Ok(());
        }
        *index = Index::stored();
        self.by_name(|path| {
            self.disk.replace(&beside(path, OFFSET_INDEX), &entries.offset_file())?;
            self.disk.replace(&beside(path, TIME_INDEX), &entries.time_file())
        })
    }

    /// Whether its index was rebuilt from all of its batches, the last one included.
    fn has_adopted(&self) -> bool {
        *self.doubt.lock() == Doubt::Adopted
    }

    /// Whether the files of the index hold just this.
    pub(crate) fn is_stored_as(&self, entries: &IndexEntries) -> bool {
        let stored = |suffix, bytes: Vec<u8>| {
            let found = self.by_name(|path| self.disk.read_small(&beside(path, suffix), bytes.len() as u64));
            found.is_ok_and(|found| found.is_some_and(|found| found == bytes))
        };
        stored(OFFSET_INDEX, entries.offset_file()) && stored(TIME_INDEX, entries.time_file())
    }

    /// The time from which the age of a segment counts that is not written to, as its index has it: its largest timestamp
    /// or, if no record has one, when its file was last changed.
    pub(crate) fn newest(&self) -> Result<i64> {
        match self.claimed_largest()? {
            Some(largest) => Ok(largest),
            None => self.open()?.changed_at(),
        }
    }
}
