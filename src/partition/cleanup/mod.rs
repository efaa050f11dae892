//! Segments that leave a partition or are replaced in it: retention, deleted records, compaction.

mod ages;
mod delete;
mod dirty;
mod replace;

pub(crate) use ages::Age;
pub(crate) use delete::SegmentFacts;
pub(crate) use dirty::{Cleanable, LastBatch};
pub(super) use replace::Swapped;

use super::locks::{Lock, Rank};
use ages::Ages;
use delete::Front;
use dirty::Cleaned;

/// What leaves a partition, and what is known for that.
#[derive(Debug)]
pub(super) struct Cleanup {
    /// Held while files are renamed or removed by their names.
    front: Lock<Front>,
    /// Taken by those who delete what is old.
    ages: Ages,
    /// How far compaction has come.
    cleaned: Cleaned,
}

impl Cleanup {
    pub(super) fn new(cleaned: Option<u64>) -> Self {
        Self {
            front: Lock::new(Rank::Names, Front::default()),
            ages: Ages::default(),
            cleaned: Cleaned::new(cleaned),
        }
    }

    /// Returns when no file is being renamed or removed by its name.
    pub(super) fn await_names(&self) {
        drop(self.front.lock());
    }
}
