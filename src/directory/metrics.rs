//! Counters of an open log.

use super::OpenDirectory;

/// What a log has done since it was opened and what it holds now: [`EventLog::metrics`](crate::EventLog::metrics).
///
/// A plain snapshot. Each number is right; they need not be of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Topics, Kafka's internal ones among them.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Partitions that take no more records, because a write or sync failed.
    pub poisoned_partitions: usize,
    /// Segments of partitions that were used since the open.
    pub segments: usize,
    /// Bytes of records in them.
    pub log_bytes: u64,
    /// Records appended since the open.
    pub records_appended: u64,
    /// Batches that they were appended in.
    pub batches_appended: u64,
    /// Bytes of these batches, headers included.
    pub bytes_appended: u64,
    /// Records that are not on disk yet.
    pub records_unsynced: u64,
    /// Syncs of growing segments, of the background and of callers.
    pub syncs: u64,
    /// Appends that had to wait because the device was slower than they were: see
    /// [`OpenOptions::background_sync`](crate::OpenOptions::background_sync).
    pub appends_stalled: u64,
    /// Memory maps of segments. At most 8,192; beyond that reads copy.
    pub maps: usize,
    /// Bytes of deleted segments that stay on the device because records of them are still held.
    pub pinned_bytes: u64,
}

impl OpenDirectory {
    pub(crate) fn metrics(&self) -> Metrics {
        if self.check_process().is_err() {
            // Nothing of what the parent does is done here.
            return Metrics::default();
        }
        let topics = self.catalog.topics();
        let (maps, pinned_bytes) = (self.dir.disk().budget.used(), self.dir.disk().budget.pinned());
        let mut metrics = Metrics { topics: topics.len(), maps, pinned_bytes, ..Metrics::default() };
        for partition in self.catalog.partitions() {
            let counted = partition.counted();
            metrics.partitions += 1;
            metrics.poisoned_partitions += usize::from(counted.poisoned);
            metrics.segments += counted.segments;
            metrics.log_bytes += counted.size;
            metrics.records_appended += counted.records;
            metrics.batches_appended += counted.batches;
            metrics.bytes_appended += counted.bytes;
            metrics.records_unsynced += counted.unsynced;
            metrics.syncs += counted.syncs;
            metrics.appends_stalled += counted.waited;
        }
        metrics
    }
}
