//! Segments that leave a partition or are replaced in it: retention, deleted records, compaction.

mod ages;
mod delete;
mod dirty;
mod replace;

pub(super) use ages::Ages;
pub(crate) use ages::{Age, AgeQuestion};
pub(crate) use delete::SegmentFacts;
pub(super) use delete::is_deleted;
pub(crate) use dirty::{Cleanable, LastBatch};
pub(super) use replace::Swapped;

use std::sync::atomic::AtomicU64;

use super::locks::{Lock, Rank};
use delete::Front;

/// What leaves a partition, and what is known for that.
#[derive(Debug)]
pub(super) struct Cleanup {
    /// Held while files are renamed or removed by their names.
    front: Lock<Front>,
    /// Number of the view for which compaction was refused.
    refused: AtomicU64,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self { front: Lock::new(Rank::Names, Front::default()), refused: AtomicU64::new(u64::MAX) }
    }
}

impl Cleanup {
    /// Segments that were found below the log start: their base offsets, and where they end.
    pub(super) fn found_below_start(&self, segments: Vec<(u64, u64)>) {
        self.front.lock().below_start = segments;
    }

    /// Returns when no file is being renamed or removed by its name.
    pub(super) fn await_names(&self) {
        drop(self.front.lock());
    }
}
