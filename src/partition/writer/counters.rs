//! What a partition has done since it was opened, counted for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::partition::{Leader, PartitionCore};

/// Counted by the holder of the lock that the counted thing needs, so that plain loads and stores do.
#[derive(Debug, Default)]
pub(super) struct Counters {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
}

/// The counters, read once. Each is right, but they need not be of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) waited: u64,
    pub(crate) segments: usize,
    pub(crate) size: u64,
    /// Offsets from the durable end to the log end.
    pub(crate) unsynced: u64,
    pub(crate) poisoned: bool,
}

fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Counters {
    /// Under `appender`.
    #[inline]
    pub(in crate::partition) fn appended(&self, records: u32, bytes: usize) {
        add(&self.batches, 1);
        add(&self.records, u64::from(records));
        add(&self.bytes, bytes as u64);
    }

    /// Under `appender`, for a number that belongs to where the log ends.
    #[inline]
    pub(super) fn appended_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Under `finishing`.
    pub(in crate::partition) fn synced(&self) {
        add(&self.syncs, 1);
    }
}

impl Counted {
    /// Of a partition to which this process appends nothing.
    pub(in crate::partition) fn of(core: &PartitionCore) -> Self {
        let durable = core.durable_end();
        let list = core.segments();
        let end = list.last().map_or(0, |last| last.next_offset());
        Self {
            segments: list.iter().count(),
            size: list.iter().map(|segment| segment.end().position).sum(),
            unsynced: end.saturating_sub(durable),
            ..Self::default()
        }
    }
}

impl Leader {
    pub(crate) fn counted(&self) -> Counted {
        let Counters { batches, records, bytes, syncs } = &self.writer.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            batches: read(batches),
            records: read(records),
            bytes: read(bytes),
            syncs: read(syncs),
            waited: self.writer.appends_stalled(),
            poisoned: self.writer.has_failed(),
            ..Counted::of(self)
        }
    }
}
