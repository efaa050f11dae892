//! What background work sees of a directory. Not the directory itself: that would keep it open.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::error::Result;
use crate::group::Coordinator;
use crate::partition::PartitionLog;
use crate::upkeep::Holdings;

#[derive(Debug)]
pub(super) struct Held {
    catalog: Arc<Catalog>,
    groups: Arc<Coordinator>,
    offsets_retention: Option<Duration>,
}

impl Held {
    pub(super) fn new(
        catalog: &Arc<Catalog>,
        groups: &Arc<Coordinator>,
        offsets_retention: Option<Duration>,
    ) -> Self {
        Self { catalog: Arc::clone(catalog), groups: Arc::clone(groups), offsets_retention }
    }
}

impl Holdings for Held {
    fn write_checkpoints(&self) -> Result<()> {
        Holdings::write_checkpoints(&*self.catalog)
    }

    fn write_log_starts(&self) -> Result<()> {
        Holdings::write_log_starts(&*self.catalog)
    }

    fn write_cleaned(&self) -> Result<()> {
        Holdings::write_cleaned(&*self.catalog)
    }

    fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        Holdings::partitions(&*self.catalog)
    }

    fn forgets_offsets(&self) -> bool {
        self.offsets_retention.is_some()
    }

    fn expire_offsets(&self, now: i64) -> Result<usize> {
        self.offsets_retention.map_or(Ok(0), |retention| self.groups.expire_committed(now, retention))
    }
}
