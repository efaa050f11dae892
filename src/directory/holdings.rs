//! What background work sees of a directory. Not the directory itself: that would keep it open.

use std::sync::Arc;
use std::time::Duration;

use super::deletions::Deletions;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::group::Coordinator;
use crate::partition::PartitionLog;
use crate::sys::Spending;
use crate::upkeep::Holdings;

#[derive(Debug)]
pub(super) struct Held {
    catalog: Arc<Catalog>,
    groups: Arc<Coordinator>,
    deletions: Arc<Deletions>,
    offsets_retention: Option<Duration>,
}

impl Held {
    pub(super) fn new(
        catalog: &Arc<Catalog>,
        groups: &Arc<Coordinator>,
        deletions: &Arc<Deletions>,
        offsets_retention: Option<Duration>,
    ) -> Self {
        let (catalog, groups, deletions) = (Arc::clone(catalog), Arc::clone(groups), Arc::clone(deletions));
        Self { catalog, groups, deletions, offsets_retention }
    }
}

impl Holdings for Held {
    fn write_checkpoints(&self) -> Result<()> {
        Holdings::write_checkpoints(&*self.catalog)
    }

    fn raise_log_starts(&self, raised: &[(Arc<PartitionLog>, u64)]) -> Result<()> {
        self.catalog.raise_log_starts(raised)
    }

    fn write_cleaned(&self) -> Result<()> {
        Holdings::write_cleaned(&*self.catalog)
    }

    fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        Holdings::partitions(&*self.catalog)
    }

    fn spend_for_freeing(&self) -> Option<Spending> {
        self.catalog.spend_for_freeing()
    }

    fn fill_reserve(&self) -> bool {
        self.catalog.fill_reserve()
    }

    fn finish_deletions(&self, now: i64) -> Result<()> {
        self.deletions.finish(now)
    }

    fn forgets_offsets(&self) -> bool {
        self.offsets_retention.is_some()
    }

    fn expire_offsets(&self, now: i64) -> Result<usize> {
        self.offsets_retention.map_or(Ok(0), |retention| self.groups.expire_committed(now, retention))
    }
}
