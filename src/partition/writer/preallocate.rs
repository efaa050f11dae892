//! The file of the next segment, made before it is needed: a roll is a rename then.
//!
//! It has a name of its own that no broker reads, holds no records, and is made anew after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::format::file_names::PREPARED;
use crate::partition::Leader;
use crate::partition::locks::{Lock, Rank};
use crate::partition::writer::Writer;
use crate::segment::SegmentWriter;
use crate::sys::PlainFile;

/// The last part of a segment, during which the next one is made: one of so many.
const LAST_PART: u64 = 8;

/// The file of the next segment.
#[derive(Debug)]
enum Next {
    /// No segment grows, so none will follow.
    Unwanted,
    /// Not there.
    Missing,
    Made(PlainFile),
}

impl Next {
    fn take(&mut self) -> Option<PlainFile> {
        match self {
            Self::Unwanted | Self::Missing => None,
            Self::Made(_) => match std::mem::replace(self, Self::Missing) {
                Self::Made(file) => Some(file),
                Self::Unwanted | Self::Missing => None,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Preallocation {
    next: Lock<Next>,
    /// The append that takes the active segment to this position asks for the file. Written under `appender`.
    asked_at: AtomicU64,
}

impl Default for Preallocation {
    fn default() -> Self {
        Self { next: Lock::new(Rank::Preallocation, Next::Unwanted), asked_at: AtomicU64::new(u64::MAX) }
    }
}

impl Preallocation {
    /// No segment will follow. The file, if there is one, keeps its name.
    pub(super) fn stop(&self) {
        *self.next.lock() = Next::Unwanted;
    }
}

impl Writer {
    /// A segment of so many bytes begins to grow, or continues, to `capacity`.
    pub(in crate::partition) fn expect_roll_at(&self, capacity: u32, position: u64) {
        let capacity = u64::from(capacity);
        let preallocation = &self.preallocation;
        let next = &mut *preallocation.next.lock();
        if matches!(next, Next::Unwanted) {
            *next = Next::Missing;
        }
        let last_part = capacity - capacity / LAST_PART;
        preallocation.asked_at.store(last_part.max(position + 1), Ordering::Relaxed);
    }

    /// Begins a segment, with the file for it if that was made. No other thread makes the next file meanwhile: it would take
    /// the name from this one, which then would never be where the segment is looked for.
    pub(super) fn with_prepared<T>(&self, begin: impl FnOnce(Option<PlainFile>) -> T) -> T {
        let mut next = self.preallocation.next.lock();
        begin(next.take())
    }
}

impl Leader {
    /// Asks for the next segment's file when an append has taken the active one from one position to another.
    #[inline]
    pub(super) fn ask_for_next(self: &Arc<Self>, from: u64, to: u64) {
        let asked_at = self.writer.preallocation.asked_at.load(Ordering::Relaxed);
        if from < asked_at && asked_at <= to {
            self.context.prepare_segment(self);
        }
    }

    /// Makes the file, unless it is there or unwanted. What fails here the roll does for itself.
    pub(crate) fn prepare_segment(&self) -> Result<()> {
        let mut next = self.writer.preallocation.next.lock();
        if matches!(*next, Next::Missing) {
            let path = self.directory.join(PREPARED);
            self.disk.remove_file(&path)?;
            *next = Next::Made(SegmentWriter::prepare(&self.disk, &path, self.settings.segment_bytes())?);
        }
        Ok(())
    }

    /// Removes the file, of this life of the partition or of one before. The partition has ended, is idle, or has no writer
    /// yet; a request that comes late makes none.
    pub(in crate::partition) fn remove_prepared(&self) {
        let mut next = self.writer.preallocation.next.lock();
        *next = Next::Unwanted;
        // One that stays is in no one's way, and is removed before the next is made.
        let _ = self.disk.remove_file(&self.directory.join(PREPARED));
    }
}
