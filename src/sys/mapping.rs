//! Memory maps of log files, and the slices of them that may be read.
//!
//! A slice of a map is only sound while the bytes under it do not change. The [`Tail`] makes that checkable: its one
//! writer stores at or after the published position only, and files are never cut below it. So [`Confirmed`]
//! bytes, which end at or below the position, never change and never vanish. Where another process is the writer, the
//! position is that of batches found whole, and the same rules bind that process. What the directory lock cannot keep
//! away (another program that cuts the file) is outside the promise, as for any mapped program.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

use super::faults::Operation;
use super::plain_file::PlainFile;
use super::platform;
use super::tail::Tail;
use crate::error::{Error, Result};

/// Most maps one log holds at a time; the kernel's own limit is 65,530 a process. Over it, reads copy.
const MAP_LIMIT: usize = 8192;
/// Most by which cold pages are brought in at a time, before they are touched.
const WINDOW: u64 = 2 << 20;

/// How many maps of a log live.
#[derive(Debug)]
pub(crate) struct MapBudget {
    used: AtomicUsize,
    /// Most maps there may be.
    limit: usize,
    /// Bytes of files that were deleted and are still mapped.
    pinned: AtomicU64,
}

impl Default for MapBudget {
    /// None at all where a map would keep its file from being trimmed or removed: whatever ways are asked for, what is
    /// held there are copies.
    fn default() -> Self {
        Self::of(if platform::MAPS_PIN_FILES { 0 } else { MAP_LIMIT })
    }
}

impl MapBudget {
    pub(crate) fn of(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit, pinned: AtomicU64::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn pinned(&self) -> u64 {
        self.pinned.load(Ordering::Relaxed)
    }

    fn take(self: &Arc<Self>) -> Option<MapTicket> {
        let ticket = MapTicket { budget: Arc::clone(self), pinned: AtomicU64::new(0) };
        (self.used.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(ticket)
    }
}

/// One map's share of the budget.
#[derive(Debug)]
struct MapTicket {
    budget: Arc<MapBudget>,
    /// Bytes that this map keeps on the device although their file was deleted.
    pinned: AtomicU64,
}

impl Drop for MapTicket {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(1, Ordering::Relaxed);
        self.budget.pinned.fetch_sub(*self.pinned.get_mut(), Ordering::Relaxed);
    }
}

/// A map of a log file, from its first byte.
#[derive(Debug)]
pub(crate) struct Mapping {
    raw: MmapRaw,
    tail: Arc<Tail>,
    /// Pages below may be cold: they were not written by this process, or were taken out of the map for a sync.
    cold_below: AtomicU64,
    ticket: MapTicket,
}

impl Mapping {
    /// Maps a finished file for reading. `None` over budget or when the system has no more maps: read by copy then.
    pub(crate) fn of_sealed(
        file: &PlainFile,
        tail: &Arc<Tail>,
        budget: &Arc<MapBudget>,
    ) -> Option<Arc<Self>> {
        let ticket = budget.take()?;
        let length = usize::try_from(tail.load().position).ok()?;
        file.check(Operation::Map).ok()?;
        let raw = MmapOptions::new().len(length).map_raw_read_only(&file.file).ok()?;
        Some(Arc::new(Self {
            raw,
            tail: Arc::clone(tail),
            cold_below: AtomicU64::new(length as u64),
            ticket,
        }))
    }

    /// Maps a growing file for its writer and all readers, `capacity` bytes of it whether they exist yet or not.
    pub(super) fn of_growing(
        file: &PlainFile,
        tail: &Arc<Tail>,
        capacity: u64,
        budget: &Arc<MapBudget>,
    ) -> Option<Arc<Self>> {
        let ticket = budget.take()?;
        let length = usize::try_from(capacity).ok()?;
        file.check(Operation::Map).ok()?;
        let raw = MmapOptions::new().len(length).map_raw(&file.file).ok()?;
        let cold_below = AtomicU64::new(tail.load().position);
        Some(Arc::new(Self { raw, tail: Arc::clone(tail), cold_below, ticket }))
    }

    /// The file was deleted: what it takes on the device goes when this map goes. Reports how much that is.
    pub(crate) fn pin(&self) -> u64 {
        let bytes = self.tail.load().position;
        let before = self.ticket.pinned.swap(bytes, Ordering::Relaxed);
        self.ticket.budget.pinned.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        bytes
    }

    /// Whether more than half of the maps are in use that there may be.
    pub(super) fn is_budget_short(&self) -> bool {
        self.ticket.budget.used() > self.ticket.budget.limit / 2
    }

    /// Bytes of the file that the map covers.
    pub(crate) fn len(&self) -> u64 {
        self.raw.len() as u64
    }

    /// The bytes of `range`, if all of it is published. `warmed` is what the reader has had brought in last.
    pub(crate) fn confirmed(
        self: &Arc<Self>,
        range: Range<u64>,
        path: &Path,
        warmed: &mut Range<u64>,
    ) -> Result<Option<Confirmed>> {
        if range.start > range.end
            || range.end > self.tail.load().position
            || range.end > self.raw.len() as u64
        {
            return Ok(None);
        }
        let is_warm = warmed.start <= range.start && range.end <= warmed.end;
        if range.start < self.cold_below.load(Ordering::Relaxed) && !is_warm {
            *warmed = self.warm(&range, warmed).map_err(|e| Error::io("read", path, e))?;
        }
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return Ok(None);
        };
        Ok(Some(Confirmed(Source::Mapped { mapping: Arc::clone(self), start, length: end - start })))
    }

    /// Brings pages in where a failure is an error; touching them could only be a signal. Of a reader that reads on more and more.
    fn warm(&self, range: &Range<u64>, before: &Range<u64>) -> io::Result<Range<u64>> {
        let reads_on = before.start <= range.start && range.start <= before.end;
        let ahead = if reads_on { WINDOW.min(2 * (before.end - before.start)) } else { 0 };
        let end = self.tail.load().position.min(range.end.max(range.start + ahead));
        platform::populate_for_reading(&self.raw, range.start, end)?;
        Ok(range.start..end)
    }

    /// Makes the pages of `range`, which must be allocated, present and writable, so that stores do not fault.
    pub(super) fn populate(&self, range: Range<u64>) -> io::Result<()> {
        platform::populate_for_writing(&self.raw, range.start, range.end)
    }

    /// Takes the pages below `position` out of the map that this process has written, and that are in it still.
    pub(super) fn unmap_below(&self, position: u64) -> io::Result<()> {
        let cold_below = self.cold_below.load(Ordering::Relaxed);
        let end = platform::unmap_pages(&self.raw, cold_below, position)?;
        self.cold_below.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }

    /// Where a byte lies, for the writer.
    pub(super) fn pointer_at(&self, position: u64, length: usize) -> Option<*mut u8> {
        let start = usize::try_from(position).ok()?;
        if start.checked_add(length)? > self.raw.len() {
            return None;
        }
        // SAFETY: `start` lies inside the map, as was just checked.
        Some(unsafe { self.raw.as_mut_ptr().add(start) })
    }
}

/// Bytes of a log file that are whole and stay as they are, mapped or copied. Holds what it needs alive.
#[derive(Debug, Clone)]
pub(crate) struct Confirmed(Source);

#[derive(Debug, Clone)]
enum Source {
    Mapped { mapping: Arc<Mapping>, start: usize, length: usize },
    Copied(Bytes),
}

impl Confirmed {
    pub(crate) fn copied(bytes: impl Into<Bytes>) -> Self {
        Self(Source::Copied(bytes.into()))
    }

    /// These bytes without those after `length`.
    pub(crate) fn truncated(self, length: usize) -> Self {
        Self(match self.0 {
            Source::Mapped { mapping, start, length: had } => {
                Source::Mapped { mapping, start, length: had.min(length) }
            }
            Source::Copied(mut bytes) => {
                bytes.truncate(length);
                Source::Copied(bytes)
            }
        })
    }

    /// How many bytes there are, if at least as many follow in the map and are published. 0 if not: beyond the published end
    /// are the lines of the cache that the writer stores to.
    pub(crate) fn followed_by(&self) -> usize {
        let Source::Mapped { mapping, start, length } = &self.0 else { return 0 };
        let end = start.saturating_add(*length).saturating_add(*length) as u64;
        if end <= mapping.tail.load().position.min(mapping.len()) { *length } else { 0 }
    }

    /// A part of these bytes, as far as there are so many.
    pub(crate) fn part(&self, part: Range<usize>) -> Self {
        let length = self.as_ref().len();
        let (from, end) = (part.start.min(length), part.end.min(length));
        let end = end.max(from);
        Self(match &self.0 {
            Source::Mapped { mapping, start, .. } => {
                let mapping = Arc::clone(mapping);
                Source::Mapped { mapping, start: start + from, length: end - from }
            }
            Source::Copied(bytes) => Source::Copied(bytes.slice(from..end)),
        })
    }

    /// A part of these bytes that keeps them alive. `part` must be a slice of [`as_ref`](AsRef::as_ref).
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        match &self.0 {
            Source::Copied(bytes) => bytes.slice_ref(part),
            Source::Mapped { mapping, .. } => {
                let whole = self.as_ref().as_ptr_range();
                let range = part.as_ptr_range();
                if part.is_empty() || range.start < whole.start || range.end > whole.end {
                    return Bytes::copy_from_slice(part);
                }
                let start = range.start.addr() - mapping.raw.as_ptr().addr();
                let source = Source::Mapped { mapping: Arc::clone(mapping), start, length: part.len() };
                Bytes::from_owner(Self(source))
            }
        }
    }
}

impl AsRef<[u8]> for Confirmed {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Source::Copied(bytes) => bytes,
            Source::Mapped { mapping, start, length } => {
                // SAFETY: `Mapping::confirmed` made the range, which lies inside the map and below the position its
                // tail had published. The tail's one writer stores at or after that position only and no file is
                // cut below it (`LogWriter` keeps both), so the bytes are initialised and never change while the
                // map lives, which this value sees to.
                unsafe { std::slice::from_raw_parts(mapping.raw.as_ptr().add(*start), *length) }
            }
        }
    }
}
