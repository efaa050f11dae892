//! The file of the next segment, made before it is needed: a roll is a rename then.
//!
//! It has a name of its own that no broker looks at, holds nothing, and is made anew after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::PartitionLog;
use crate::error::Result;
use crate::format::file_names::PREPARED;
use crate::segment::SegmentWriter;
use crate::sys::PlainFile;

/// The last part of a segment, during which the next one is made: one of so many.
const LAST_PART: u64 = 8;

#[derive(Debug)]
pub(super) struct Prepared {
    file: Mutex<Option<PlainFile>>,
    /// No segment grows, so none will follow. Written under `file`, or before the first append to a segment.
    is_unwanted: AtomicBool,
    /// Position in the active segment from which on a file is asked for. Written under `appender`.
    wanted_from: AtomicU64,
}

impl Default for Prepared {
    fn default() -> Self {
        Self {
            file: Mutex::default(),
            is_unwanted: AtomicBool::new(false),
            wanted_from: AtomicU64::new(u64::MAX),
        }
    }
}

impl PartitionLog {
    /// A segment begins that may grow to `capacity`.
    pub(super) fn expect_roll_at(&self, capacity: u32) {
        let capacity = u64::from(capacity);
        self.prepared.is_unwanted.store(false, Ordering::Relaxed);
        self.prepared.wanted_from.store(capacity - capacity / LAST_PART, Ordering::Relaxed);
    }

    /// Asks for the next segment's file once the active one has come to `position`.
    #[inline]
    pub(super) fn ask_for_next(self: &Arc<Self>, position: u64) {
        if position >= self.prepared.wanted_from.load(Ordering::Relaxed) {
            self.prepared.wanted_from.store(u64::MAX, Ordering::Relaxed);
            self.chores.prepare_segment(self);
        }
    }

    /// Makes the file, unless it is there, or the partition rests or has ended. What fails here the roll does for itself.
    pub(crate) fn prepare_segment(&self) -> Result<()> {
        let mut file = self.prepared.file.lock();
        let is_wanted = !self.has_ended() && !self.prepared.is_unwanted.load(Ordering::Relaxed);
        if file.is_none() && is_wanted {
            let path = self.directory.join(PREPARED);
            self.disk.remove_file(&path)?;
            *file = Some(SegmentWriter::prepare(&self.disk, &path, self.settings.segment_bytes())?);
        }
        Ok(())
    }

    /// Begins a segment, with the file for it if that was made. Nobody makes the next file meanwhile: it would take the
    /// name from this one, which then would never be where the segment is looked for.
    pub(super) fn with_prepared<T>(&self, begin: impl FnOnce(Option<PlainFile>) -> T) -> T {
        let mut file = self.prepared.file.lock();
        begin(file.take())
    }

    /// Removes the file, of this life of the partition or of one before. The partition has ended, rests, or has no writer
    /// yet; a chore that comes late makes none.
    pub(super) fn remove_prepared(&self) {
        let mut file = self.prepared.file.lock();
        self.prepared.is_unwanted.store(true, Ordering::Relaxed);
        *file = None;
        // One that stays is in nobody's way, and is removed before the next is made.
        let _ = self.disk.remove_file(&self.directory.join(PREPARED));
    }
}
