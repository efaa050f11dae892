//! Decisions that must be found at the next open, though they are on disk: the markers that follow from them may be lost yet.
//!
//! A transaction that is to survive a power cut is decided by a record in `__transaction_state`. Its markers are written after that
//! and not waited for. Until they are on disk the record is neither compacted away nor passed by the recovery point.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::partition::PartitionLog;

/// The decisions of one partition of `__transaction_state`.
#[derive(Debug)]
pub(super) struct Holds {
    shard: Arc<PartitionLog>,
    held: Mutex<HeldDecisions>,
}

#[derive(Debug, Default)]
struct HeldDecisions {
    next: u64,
    /// By number: in the order of the records.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The record lies here or after it.
    from: u64,
    /// Where the markers end. `None`: they are not all written.
    markers: Option<Vec<(Arc<PartitionLog>, u64)>>,
}

/// A decision that is held.
#[derive(Debug)]
pub(super) struct Hold {
    of: Arc<Holds>,
    number: u64,
    pub(super) markers: Vec<(Arc<PartitionLog>, u64)>,
}

impl Holds {
    pub(super) fn of(shard: &Arc<PartitionLog>) -> Arc<Self> {
        Arc::new(Self { shard: Arc::clone(shard), held: Mutex::default() })
    }

    pub(super) fn is_of(&self, shard: &Arc<PartitionLog>) -> bool {
        Arc::ptr_eq(&self.shard, shard)
    }

    /// Holds what is written to the partition from here on.
    pub(super) fn hold(self: &Arc<Self>) -> Result<Hold> {
        let mut held = self.held.lock();
        Self::release_settled(&mut held);
        // Under the lock, so that it never goes back from one to the next.
        let from = self.shard.bounds()?.log_end;
        let number = held.next;
        held.next += 1;
        held.waiting.insert(number, Waiting { from, markers: None });
        self.publish(&held);
        Ok(Hold { of: Arc::clone(self), number, markers: Vec::new() })
    }

    /// Releases those whose markers are on disk.
    pub(super) fn release(&self) {
        let mut held = self.held.lock();
        Self::release_settled(&mut held);
        self.publish(&held);
    }

    fn release_settled(held: &mut HeldDecisions) {
        let is_settled = |waiting: &Waiting| {
            let is_durable =
                |(log, end): &(Arc<PartitionLog>, u64)| log.durable_end() >= *end || log.has_ended();
            waiting.markers.as_ref().is_some_and(|markers| markers.iter().all(is_durable))
        };
        while held.waiting.first_key_value().is_some_and(|(_, first)| is_settled(first)) {
            held.waiting.pop_first();
        }
    }

    fn publish(&self, held: &HeldDecisions) {
        let first = held.waiting.first_key_value();
        self.shard.hold_from(first.map_or(u64::MAX, |(_, waiting)| waiting.from));
    }
}

impl Hold {
    /// All markers are written, or none will be.
    pub(super) fn end(self) {
        let Self { of, number, markers } = self;
        let mut held = of.held.lock();
        if let Some(waiting) = held.waiting.get_mut(&number) {
            waiting.markers = Some(markers);
        }
        Holds::release_settled(&mut held);
        of.publish(&held);
    }
}
