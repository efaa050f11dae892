//! The topics that a buffered producer has batches of. Of one that was deleted nothing is kept.

use std::collections::HashMap;
use std::sync::Arc;

use super::pending::PendingBatch;
use crate::catalog::TopicEntry;

/// With fewer topics nothing is looked for among them when one more comes.
const FEW_TOPICS: usize = 16;

/// Batches by topic.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub(super) all: Vec<TopicBatches>,
    /// Where each topic is, by the [`address`] of its entry.
    places: HashMap<usize, usize>,
    /// Where the topic is that was used last.
    latest: usize,
    /// With so many, deleted topics are looked for before one more is taken in.
    look_for_deleted_at: usize,
}

/// The batches of one topic, by partition.
#[derive(Debug)]
pub(super) struct TopicBatches {
    pub(super) entry: Arc<TopicEntry>,
    pub(super) batches: Vec<PendingBatch>,
}

impl Topics {
    /// The batch of a partition, empty if it has none yet.
    #[inline]
    pub(super) fn batch_of(&mut self, entry: &Arc<TopicEntry>, partition: u32) -> &mut PendingBatch {
        if self.all.get(self.latest).is_none_or(|latest| !Arc::ptr_eq(&latest.entry, entry)) {
            self.latest = self.place_of(entry);
        }
        let (batches, at) = (&mut self.all[self.latest].batches, partition as usize);
        if at >= batches.len() {
            // Also when partitions were added since.
            batches.resize_with(at + 1, PendingBatch::default);
        }
        &mut batches[at]
    }

    /// The batch of a partition of the topic that was used last, if this is that topic.
    #[inline(always)]
    pub(super) fn latest_batch(
        &mut self,
        entry: &Arc<TopicEntry>,
        partition: u32,
    ) -> Option<&mut PendingBatch> {
        let latest = self.all.get_mut(self.latest).filter(|latest| Arc::ptr_eq(&latest.entry, entry))?;
        latest.batches.get_mut(partition as usize)
    }

    #[inline(never)]
    fn place_of(&mut self, entry: &Arc<TopicEntry>) -> usize {
        if let Some(known) = self.places.get(&address(entry)) {
            return *known;
        }
        if self.all.len() >= self.look_for_deleted_at {
            self.forget_deleted();
        }
        self.places.insert(address(entry), self.all.len());
        self.all.push(TopicBatches { entry: Arc::clone(entry), batches: Vec::new() });
        self.all.len() - 1
    }

    /// Keeps nothing of topics that were deleted but records that no write has dropped yet.
    pub(super) fn forget_deleted(&mut self) {
        let before = self.all.len();
        self.all.retain(|topic| !topic.is_over());
        if self.all.len() < before {
            let places = self.all.iter().zip(0..).map(|(topic, at)| (address(&topic.entry), at));
            self.places = places.collect();
            self.latest = 0;
        }
        // Each look goes through twice as many at most as have come since the last one.
        self.look_for_deleted_at = (2 * self.all.len()).max(FEW_TOPICS);
    }
}

#[cfg(test)]
impl Topics {
    pub(super) fn count(&self) -> usize {
        self.all.len().max(self.places.len())
    }
}

/// What distinguishes entries: each is kept, so no other one comes to lie there.
fn address(entry: &Arc<TopicEntry>) -> usize {
    Arc::as_ptr(entry).addr()
}

impl TopicBatches {
    fn is_over(&self) -> bool {
        let has_ended = self.entry.partitions().iter().all(|log| log.has_ended());
        has_ended && self.batches.iter().all(PendingBatch::is_idle)
    }
}
