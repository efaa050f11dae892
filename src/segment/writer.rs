//! The writing end of a segment: append, then seal once.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::entries::{IndexEntries, IndexPace};
use super::scan::make_entries;
use super::{
    BatchesEnd, Index, LOG, MAX_OFFSET, MAX_OFFSETS, OFFSET_INDEX, Segment, SegmentEnd, TIME_INDEX,
    file_name, stored_index, times,
};
use crate::error::{Error, Result};
use crate::format::batch::FinishedBatch;
use crate::format::header::{BatchHeader, HEADER_BYTES};
use crate::sys::{Disk, Growth, LogWriter, PlainFile, PutFailure, Tail};

/// The one writer of a segment.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    segment: Arc<Segment>,
    log: LogWriter,
    pace: IndexPace,
    next_offset: u64,
    /// How many offsets fit after the base.
    most_offsets: u64,
    /// Bytes that can ever be in the file: as many as were asked for when it was begun, if the process may write as many.
    capacity: u64,
    /// Largest timestamp of the first batch, below 0 if there is none.
    first_timestamp: i64,
    /// By how much this segment ends earlier than its age alone would have it.
    jitter_ms: i64,
    rewrite: Arc<Mutex<Rewrite>>,
}

/// From this position on the disk may hold other bytes than the page cache, although the kernel takes the pages for clean.
/// Shared by all who may sync the segment, so that none of them counts on a sync before the bytes were written again.
type Rewrite = Option<u64>;

/// What the writer finds out as it takes a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenBatch {
    /// Space should be preallocated for this writer.
    pub(crate) wants_growth: bool,
}

impl SegmentWriter {
    /// Begins a new segment, in a file made by [`prepare`](Self::prepare) if there is one.
    pub(crate) fn create(
        disk: &Disk,
        directory: &Path,
        base: u64,
        capacity: u32,
        interval: u32,
        prepared: Option<PlainFile>,
    ) -> Result<Self> {
        let path = directory.join(file_name(base, LOG));
        let mark = SegmentEnd { position: 0, relative_next: 0, sealed: false }.mark();
        let capacity = u64::from(capacity);
        let log = match prepared {
            None => LogWriter::create(disk, &path, capacity, mark)?,
            Some(file) => {
                // First, so that a failure leaves no file with the name of a segment.
                let length = file.len()?;
                LogWriter::adopt(disk, disk.rename_new(file, &path)?, capacity, length, mark)
            }
        };
        Ok(Self::over(disk, log, base, base, IndexEntries::default(), interval))
    }

    /// Makes a file for a segment whose base offset is not known yet.
    pub(crate) fn prepare(disk: &Disk, path: &Path, capacity: u32) -> Result<PlainFile> {
        LogWriter::prepare(disk, path, u64::from(capacity))
    }

    /// Continues with a segment found on disk, whose batches end there. What lies after them is cut off.
    pub(crate) fn reopen(
        disk: &Disk,
        directory: &Path,
        base: u64,
        found: BatchesEnd,
        capacity: u32,
        interval: u32,
        entries: Option<IndexEntries>,
    ) -> Result<Self> {
        let path = directory.join(file_name(base, LOG));
        let BatchesEnd { position, next_offset } = found;
        let end = SegmentEnd { position, relative_next: relative(base, next_offset), sealed: false };
        let (entries, wrong) = match entries {
            Some(entries) => (entries, None),
            None => stored_or_made(disk, &path, base, found, interval)?,
        };
        let log = LogWriter::open(disk, &path, u64::from(capacity), position, end.mark())?;
        let first_timestamp = first_timestamp(log.file(), position)?;
        let found = Self::over(disk, log, base, next_offset, entries.thinned(), interval);
        if let Some(wrong) = wrong {
            found.segment.doubt(wrong);
        }
        Ok(Self { first_timestamp, ..found })
    }

    fn over(
        disk: &Disk,
        log: LogWriter,
        base: u64,
        next_offset: u64,
        entries: IndexEntries,
        interval: u32,
    ) -> Self {
        let pace = IndexPace::new(interval, &entries);
        let capacity = log.growth().capacity();
        let path = log.file().path().to_owned();
        let segment = Segment::over(disk, path, base, Arc::clone(log.tail()), Index::Growing(entries));
        if let Some(mapping) = log.mapping()
            && disk.map_reads
        {
            segment.opened.lock().mapping = Arc::downgrade(mapping);
        }
        let most_offsets = MAX_OFFSETS.min(MAX_OFFSET.saturating_sub(base));
        let segment = Arc::new(segment);
        Self {
            segment,
            log,
            pace,
            next_offset,
            most_offsets,
            capacity,
            first_timestamp: -1,
            jitter_ms: 0,
            rewrite: Arc::default(),
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn growth(&self) -> (&Arc<Growth>, &Arc<Tail>) {
        (self.log.growth(), self.log.tail())
    }

    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub(crate) fn position(&self) -> u64 {
        self.segment.end().position
    }

    /// After an unclean stop: the bytes after `position` must be written again before a sync means anything.
    pub(crate) fn rewrite_from(&mut self, position: u64) {
        *self.rewrite.lock() = Some(position);
    }

    /// Whether a batch of so many bytes that begins at offset `base` and takes so many offsets may go into this segment:
    /// offsets and positions must fit.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize, base: u64, offsets: u32, limit: u32) -> bool {
        let position = self.position();
        let end = position + bytes as u64;
        let last = base - self.segment.base() + u64::from(offsets);
        let fits = position == 0 || end <= u64::from(limit).min(Tail::MAX_POSITION);
        last < self.most_offsets && fits && end <= self.capacity
    }

    /// Largest timestamp so far, if any record has one.
    pub(crate) fn largest_timestamp(&self) -> Option<i64> {
        self.pace.largest().map(|largest| largest.timestamp).filter(|timestamp| *timestamp >= 0)
    }

    /// Takes an index that was made from all batches so far in place of the one it has, and continues with it.
    pub(crate) fn adopt(&mut self, entries: IndexEntries, interval: u32) {
        let entries = entries.thinned();
        self.pace = IndexPace::new(interval, &entries);
        *self.segment.index.lock() = Index::Growing(entries);
    }

    /// The segment ends by so much earlier than [`is_too_old_for`](Self::is_too_old_for) would have it.
    pub(crate) fn set_jitter(&mut self, millis: i64) {
        self.jitter_ms = millis;
    }

    /// Whether a batch with this timestamp is more than `segment_ms` later than the first one. By the records' time
    /// alone: what was written long ago and what is written late go into segments of their own.
    #[inline]
    pub(crate) fn is_too_old_for(&self, timestamp: i64, segment_ms: i64) -> bool {
        self.first_timestamp >= 0
            && timestamp.saturating_sub(self.first_timestamp) > segment_ms.saturating_sub(self.jitter_ms)
    }

    /// Puts the batch after the last one and publishes it. It begins at `base_offset`, the next offset or one after it.
    /// `positioned`: by system call, not through the map.
    #[inline(always)]
    pub(crate) fn append(
        &mut self,
        batch: &mut FinishedBatch<'_>,
        base_offset: u64,
        leader_epoch: u32,
        positioned: bool,
    ) -> std::result::Result<TakenBatch, PutFailure> {
        let next_offset = base_offset + u64::from(batch.offsets());
        let position = self.position();
        let (bytes, timestamp) = (batch.len(), batch.max_timestamp());
        let offset = i64::try_from(base_offset).unwrap_or(i64::MAX);
        let wants_growth = self.log.put(batch.placed_at(offset, leader_epoch.cast_signed()), positioned)?;

        if position == 0 {
            self.first_timestamp = timestamp;
        }
        // Fits: `has_room` looked.
        let relative_next = u32::try_from(next_offset - self.segment.base()).unwrap_or(u32::MAX);
        let relative_last = relative_next.saturating_sub(1);
        // A reader that looks something up is not waited for: its entry is left to the next batch.
        if self.pace.is_due()
            && let Some(mut index) = self.segment.index.try_lock()
            && let Index::Growing(entries) = &mut *index
        {
            self.pace.enter(relative_last, position, entries);
        }
        self.pace.note(bytes as u64, relative_last, timestamp);
        self.next_offset = next_offset;
        let end = SegmentEnd { position: position + bytes as u64, relative_next, sealed: false };
        self.log.publish(bytes, end.mark());
        Ok(TakenBatch { wants_growth })
    }

    /// A handle for syncing what was appended up to now without holding up appends.
    pub(crate) fn unsynced(&self) -> UnfinishedSegment {
        UnfinishedSegment {
            segment: Arc::clone(&self.segment),
            file: Arc::clone(self.log.file()),
            growth: Arc::clone(self.log.growth()),
            pace_largest: self.pace.largest(),
            position: self.position(),
            rewrite: Arc::clone(&self.rewrite),
            is_trimmed: AtomicBool::new(false),
        }
    }

    /// Nothing more will be appended: readers continue to the next segment, which the segment list must hold already.
    /// The files get their final form by [`UnfinishedSegment::trim_and_sync`] and
    /// [`UnfinishedSegment::write_indexes`].
    pub(crate) fn seal(mut self) -> UnfinishedSegment {
        if let Some(largest) = self.largest_timestamp() {
            self.segment.largest_timestamp.store(largest, Ordering::Relaxed);
            self.segment.know_largest(largest);
        }
        let end = SegmentEnd { sealed: true, ..self.segment.end() };
        self.log.publish_mark(end.mark());
        self.unsynced()
    }
}

/// Largest timestamp of the batch that a file begins with; −1 if there is none, or it is older than format 2.
fn first_timestamp(file: &PlainFile, position: u64) -> Result<i64> {
    let mut header = [0; HEADER_BYTES];
    if position < HEADER_BYTES as u64 || file.read_at(&mut header, 0)? < HEADER_BYTES {
        return Ok(-1);
    }
    let header = BatchHeader::read(&header);
    Ok(if header.magic == 2 { header.max_timestamp } else { -1 })
}

/// The index entries of a segment that was closed cleanly. Files that are missing or do not agree with the batches are
/// rebuilt, and the reason is returned with the entries. So is a time index without entries: without the largest timestamp
/// so far it would become wrong.
fn stored_or_made(
    disk: &Disk,
    path: &Path,
    base: u64,
    BatchesEnd { position, next_offset }: BatchesEnd,
    interval: u32,
) -> Result<(IndexEntries, Option<&'static str>)> {
    let stored = stored_index::load(disk, path, position)?;
    let file = disk.open(path, false)?;
    if let Some(entries) = stored {
        let end = SegmentEnd { position, relative_next: relative(base, next_offset), sealed: false };
        let wrong = if position == 0 { None } else { times::refute_last(&file, base, end, &entries)? };
        let Some(wrong) = wrong else { return Ok((entries, None)) };
        let made = make_entries(&file, position, base, next_offset, interval)?;
        // Records without timestamps have no entries.
        let is_same = made.largest() == entries.largest() && entries.largest().is_none();
        return Ok((made, Some(wrong).filter(|_| !is_same)));
    }
    let made = make_entries(&file, position, base, next_offset, interval)?;
    Ok((made, (position > 0).then_some("it is missing, or its entries do not ascend")))
}

fn relative(base: u64, next_offset: u64) -> u32 {
    u32::try_from(next_offset.saturating_sub(base)).unwrap_or(u32::MAX)
}

/// A segment whose appended bytes are not on disk yet. Keeps its descriptor until they are, or the system would
/// forget to report a failure.
#[derive(Debug)]
pub(crate) struct UnfinishedSegment {
    segment: Arc<Segment>,
    file: Arc<PlainFile>,
    growth: Arc<Growth>,
    pace_largest: Option<crate::format::index::TimeEntry>,
    position: u64,
    rewrite: Arc<Mutex<Rewrite>>,
    /// It has its final length, and that and its bytes are on disk.
    is_trimmed: AtomicBool,
}

/// Why a segment did not get its final form, by the system call that failed.
#[derive(Debug)]
pub(crate) enum FinishFailure {
    /// A write or a sync, or the file was cut by another program. Bytes may be lost, and no later sync reports that.
    Lost(Error),
    /// Any other call before the bytes were durable: an open, a query of a file's length, a cut. No mark moved, and all of it
    /// can be done again later.
    Refused(Error),
    /// The bytes are on disk. The indexes are not, or the file does not have its final length: that can be done again later.
    Unindexed(Error),
}

impl FinishFailure {
    /// Reading the length of a file, or cutting it, failed. `Corrupt`: the file does not have all of its bytes any more.
    fn of_length(failure: Error) -> Self {
        if matches!(failure, Error::Corrupt(_)) { Self::Lost(failure) } else { Self::Refused(failure) }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Lost(failure) | Self::Refused(failure) | Self::Unindexed(failure) => failure,
        }
    }
}

impl UnfinishedSegment {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Makes the bytes durable.
    pub(crate) fn sync(&self) -> std::result::Result<(), FinishFailure> {
        match self.growth.check_whole(self.position).map_err(FinishFailure::of_length) {
            // The records are there to be read, so this is no reason to call them unwritten. The next sync checks again.
            Err(FinishFailure::Refused(_)) => {}
            whole => whole?,
        }
        let mut rewrite = self.rewrite.lock();
        if let Some(from) = *rewrite {
            self.rewrite(from)?;
        }
        self.growth.unmap_below(self.segment.end().position);
        self.file.sync().map_err(|e| FinishFailure::Lost(Error::io_failure("sync", self.file.path(), e)))?;
        *rewrite = None;
        Ok(())
    }

    /// Bytes that a sync covers.
    pub(crate) fn bytes(&self) -> u64 {
        self.position
    }

    /// Gives a segment that nothing is appended to any more its final length, and makes its bytes durable, once. Where the
    /// length is refused the bytes are on the disk all the same, as after [`Unindexed`](FinishFailure::Unindexed).
    pub(crate) fn trim_and_sync(&self) -> std::result::Result<(), FinishFailure> {
        if self.is_trimmed.load(Ordering::Acquire) {
            return Ok(());
        }
        let length = match self.growth.seal(self.position).map_err(FinishFailure::of_length) {
            Err(FinishFailure::Refused(failure)) => Err(FinishFailure::Unindexed(failure)),
            length => Ok(length?),
        };
        self.sync()?;
        length?;
        self.is_trimmed.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes and syncs the index files of such a segment. Their names are durable once the directory is synced.
    pub(crate) fn write_indexes(&self, disk: &Disk) -> Result<()> {
        let (offsets, times) = match &mut *self.segment.index.lock() {
            Index::Stored(_) => return Ok(()),
            Index::Growing(entries) => {
                if !self.segment.has_adopted() {
                    entries.add_time(self.pace_largest);
                }
                (entries.offset_file(), entries.time_file())
            }
        };
        disk.replace(&self.file.path().with_extension(OFFSET_INDEX), &offsets)?;
        disk.replace(&self.file.path().with_extension(TIME_INDEX), &times)?;
        *self.segment.index.lock() = Index::stored();
        Ok(())
    }

    /// Writes bytes that were verified after an unclean stop once more, so that the kernel takes them for unwritten.
    fn rewrite(&self, from: u64) -> std::result::Result<(), FinishFailure> {
        const STEP: usize = 1 << 20;
        let mut buffer = vec![0; STEP];
        let mut position = from;
        while position < self.position {
            let left = usize::try_from(self.position - position).unwrap_or(STEP);
            let part = buffer.get_mut(..left.min(STEP)).unwrap_or_default();
            let read = self.file.read_at(part, position).map_err(FinishFailure::Refused)?;
            if read == 0 {
                break;
            }
            let written = self.file.write_at(part.get(..read).unwrap_or_default(), position);
            written.map_err(|e| match e.kind() {
                // Without a system call. The bytes are what they were.
                io::ErrorKind::FileTooLarge => {
                    FinishFailure::Refused(Error::io("write", self.file.path(), e))
                }
                _ => FinishFailure::Lost(Error::io_failure("write", self.file.path(), e)),
            })?;
            position += read as u64;
        }
        Ok(())
    }
}
