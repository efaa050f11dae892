//! One partition of `__transaction_state`: what of it is about ids. Reading and appending are [`crate::keyed`]'s.

use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, MutexGuard};

use super::replay::ReplayedStates;
use crate::error::{Damage, Error, Result};
use crate::events::{Announcer, Event};
use crate::format::record::Header;
use crate::format::transaction_ends;
use crate::format::transaction_state::{TransactionState, push_key};
use crate::keyed::{Entry, KeyedLog, Skipped, WriteOptions, Writer};
use crate::partition::PartitionLog;

#[derive(Debug)]
pub(super) struct Shard {
    keyed: KeyedLog<ReplayedStates>,
}

/// One record to be written. Without a state the id ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) id: &'c str,
    pub(super) state: Option<&'c TransactionState>,
    /// The value of the header that says where the records of the transaction end.
    pub(super) ends: Option<&'c [u8]>,
}

impl Shard {
    pub(super) fn new(log: &Arc<PartitionLog>) -> Self {
        Self { keyed: KeyedLog::new(log) }
    }

    pub(super) fn log(&self) -> &Arc<PartitionLog> {
        self.keyed.log()
    }

    /// The ids at the end of the log.
    pub(super) fn present(&self, events: &Announcer) -> Result<MappedRwLockReadGuard<'_, ReplayedStates>> {
        self.keyed.state(&|skipped| self.report(skipped, events))
    }

    /// The right to write. The log has been replayed when it returns.
    pub(super) fn writer(&self, events: &Announcer) -> Result<MutexGuard<'_, Writer>> {
        self.keyed.writer(&|skipped| self.report(skipped, events))
    }

    /// See [`KeyedLog::write`]. Returns the offset after the record.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        change: Change<'_>,
        options: WriteOptions,
    ) -> Result<u64> {
        // One record is never none.
        self.keyed.write(writer, [change], options)?.ok_or(Error::Closed)
    }

    /// Refuses what needs the last state of an id, if that cannot be read.
    pub(super) fn refuse_unreadable(&self, replayed: &ReplayedStates, id: &str) -> Result<()> {
        let Some((offset, reason)) = replayed.why_unreadable(id) else { return Ok(()) };
        let damage = Damage::new(self.log().directory(), 0, reason.0).at_offset(self.log().id(), offset);
        Err(reason.error(Box::new(damage)))
    }

    fn report(&self, Skipped { offset, reason }: Skipped, events: &Announcer) {
        let partition = self.log().id().clone();
        events.emit(|| Event::TransactionStateSkipped { partition, offset, reason });
    }
}

impl Entry for Change<'_> {
    fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<bool> {
        push_key(self.id, key).map_err(|reason| Error::invalid("transactional id", reason.0))?;
        let Some(state) = self.state else { return Ok(false) };
        state.encode(value).map_err(|reason| Error::invalid("partition of a transaction", reason.0))?;
        Ok(true)
    }

    fn header(&self) -> Option<Header<'_>> {
        self.ends.map(|ends| Header::new(transaction_ends::HEADER, ends))
    }
}
