//! What a broker that takes the log over must find in it.

use super::state::METADATA_VERSION;
use super::{Catalog, WRITTEN_LEVEL};
use crate::error::Result;
use crate::format::control::Voter;
use crate::format::metadata_record::MetadataRecord;

impl Catalog {
    /// The level that a broker must know to start on this log.
    pub(crate) fn metadata_level(&self) -> i16 {
        self.changes.lock().state.feature(METADATA_VERSION).unwrap_or(WRITTEN_LEVEL)
    }

    /// The members of the quorum, if the log itself notes them. A broker on it must listen where they are said to.
    pub(crate) fn voters(&self) -> Vec<Voter> {
        self.changes.lock().state.voters().to_vec()
    }

    /// Producer ids from here on were never assigned, as far as the log says.
    pub(crate) fn next_producer_id(&self) -> i64 {
        self.changes.lock().state.next_producer_id()
    }

    /// Sees to it that a broker assigns no producer id below `next`. Returns whether that had to be written.
    pub(crate) fn reserve_producer_ids(&self, next: i64, now: i64) -> Result<bool> {
        let mut changes = self.changes.lock();
        // A broker that finds the number going down dies of it.
        if next <= changes.state.next_producer_id() {
            return Ok(false);
        }
        let broker_id = self.identity.node_id;
        let ids = MetadataRecord::ProducerIds { broker_id, broker_epoch: -1, next_producer_id: next };
        self.change(&mut changes, vec![ids], now, "reserving producer ids", &[])?;
        Ok(true)
    }
}
