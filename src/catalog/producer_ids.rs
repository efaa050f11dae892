//! Producer ids, in blocks as Kafka's controller assigns them: a record of the metadata log says which block is next, and a
//! block is there for the taking once its record is on disk. What is left of it when the log is closed is lost.
//!
//! An id in a batch that no record has reserved, as in partitions that were copied from elsewhere, is not known here: that is
//! for [`Catalog::reserve_producer_ids`].

use super::{Catalog, Changes};
use crate::error::{Damage, Error, Result};
use crate::format::metadata_record::MetadataRecord;

/// Ids in a block.
const BLOCK: i64 = 1000;

impl Catalog {
    /// Producer ids from here on were never assigned, as far as the log says.
    pub(crate) fn next_producer_id(&self) -> i64 {
        self.changes.lock().state.next_producer_id()
    }

    /// Sees to it that no producer id below `next` is assigned, neither here nor by a broker. Returns whether that had to be
    /// written.
    pub(crate) fn reserve_producer_ids(&self, next: i64, now: i64) -> Result<bool> {
        let mut changes = self.changes.lock();
        changes.producer_ids.start = next.max(changes.producer_ids.start);
        // A broker that finds the number going down dies of it.
        if next <= changes.state.next_producer_id() {
            return Ok(false);
        }
        self.write_next_producer_id(&mut changes, next, now)?;
        Ok(true)
    }

    /// A producer id that was never assigned and never will be again, by no process and no broker. One in so many is a change of
    /// the metadata log, on disk before it returns.
    pub(crate) fn allocate_producer_id(&self, now: i64) -> Result<i64> {
        let mut changes = self.changes.lock();
        if let Some(id) = changes.producer_ids.next() {
            return Ok(id);
        }
        self.refuse_read_only()?;
        let first = changes.state.next_producer_id().max(0);
        let Some(end) = first.checked_add(BLOCK) else {
            let reason = format!("producer ids are assigned up to {first}, and there are not {BLOCK} more");
            return Err(Error::Unsupported(Box::new(Damage::new(changes.log.directory(), 0, reason))));
        };
        self.write_next_producer_id(&mut changes, end, now)?;
        changes.producer_ids = first + 1..end;
        Ok(first)
    }

    fn write_next_producer_id(&self, changes: &mut Changes, next: i64, now: i64) -> Result<()> {
        let broker_id = self.identity.node_id;
        let ids = MetadataRecord::ProducerIds { broker_id, broker_epoch: -1, next_producer_id: next };
        self.change(changes, vec![ids], now, "reserving producer ids", &[])
    }
}
