//! What one round of maintenance did.

use crate::error::{Error, Result};

/// What [`EventLog::run_maintenance`](crate::EventLog::run_maintenance) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Sealed segments that got their final form: exact length, indexes, on disk.
    pub segments_finished: usize,
    /// Partitions that were synced because it was time.
    pub partitions_synced: usize,
    /// Partitions that gave up descriptor and map, because they had no append for a minute.
    pub idle_partitions_closed: usize,
    /// Segments that retention deleted.
    pub segments_deleted: usize,
    /// Bytes of records in them.
    pub bytes_deleted: u64,
    /// Committed positions that were forgotten, because they were too old.
    pub offsets_expired: usize,
    /// Transactions that were aborted, because they were open for too long.
    pub transactions_aborted: usize,
    /// Transactional ids that were forgotten, because they were not used for a week.
    pub transactional_ids_expired: usize,
    /// Compaction runs that came to their end. A partition with more keys than fit into the memory for it takes
    /// several.
    pub partitions_compacted: usize,
    /// Bytes of the segments that these went through, before they were compacted.
    pub bytes_before_compaction: u64,
    /// Bytes of the segments that took their place.
    pub bytes_after_compaction: u64,
    /// Whether the checkpoints were rewritten.
    pub checkpoints_written: bool,
}

/// A report in the making, and the first failure. What failed is tried again when it is due again.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) report: MaintenanceReport,
    failure: Option<Error>,
}

impl Round {
    /// The value, or nothing and the failure noted.
    pub(super) fn record<T>(&mut self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    pub(super) fn end(self) -> Result<MaintenanceReport> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.report),
        }
    }
}
