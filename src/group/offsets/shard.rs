//! One partition of `__consumer_offsets`: what of it is about groups. Reading and appending are [`crate::keyed`]'s.

use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, MutexGuard};

use super::replay::ReplayedGroups;
use crate::error::{Damage, Error, Result};
use crate::events::{Announcer, Event};
use crate::format::Malformed;
use crate::format::control::EndMarker;
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::group_metadata::GroupMetadata;
use crate::format::offset_commit::OffsetCommit;
use crate::keyed::{Entry, KeyedLog, Skipped, WriteOptions, Writer};
use crate::partition::PartitionLog;
use crate::position::TopicPartition;

#[derive(Debug)]
pub(super) struct Shard {
    keyed: KeyedLog<ReplayedGroups>,
}

/// One record to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) group: &'c str,
    pub(super) to: To<'c>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum To<'c> {
    Commit(&'c TopicPartition, OffsetCommit<'c>),
    NoCommit(&'c TopicPartition),
    Record(&'c GroupMetadata),
    NoRecord,
    /// A tombstone for a record of another kind, by its encoded key.
    Nothing(&'c [u8]),
}

impl Shard {
    pub(super) fn new(log: &Arc<PartitionLog>) -> Self {
        Self { keyed: KeyedLog::new(log) }
    }

    pub(super) fn log(&self) -> &Arc<PartitionLog> {
        self.keyed.log()
    }

    /// The groups at the end of the log.
    pub(super) fn present(&self, events: &Announcer) -> Result<MappedRwLockReadGuard<'_, ReplayedGroups>> {
        self.keyed.state(&|skipped| self.report(skipped, events))
    }

    /// The right to write. The log has been replayed when it returns.
    pub(super) fn writer(&self, events: &Announcer) -> Result<MutexGuard<'_, Writer>> {
        self.keyed.writer(&|skipped| self.report(skipped, events))
    }

    /// See [`KeyedLog::write`].
    pub(super) fn write<'c>(
        &self,
        writer: &mut Writer,
        changes: impl IntoIterator<Item = Change<'c>>,
        options: WriteOptions,
    ) -> Result<Option<u64>> {
        self.keyed.write(writer, changes, options)
    }

    /// See [`KeyedLog::end_transaction`].
    pub(super) fn end_transaction(
        &self,
        writer: &mut Writer,
        marker: EndMarker,
        options: WriteOptions,
    ) -> Result<u64> {
        self.keyed.end_transaction(writer, marker, options)
    }

    /// See [`KeyedLog::tombstones_end`].
    pub(super) fn tombstones_end(&self, writer: &mut Writer) -> Result<u64> {
        self.keyed.tombstones_end(writer)
    }

    /// Refuses an answer that needs the record at an offset, which only a newer version can decode.
    pub(super) fn refuse_newer(&self, at: Option<u64>) -> Result<()> {
        let Some(offset) = at else { return Ok(()) };
        let reason = Malformed::NEWER_COMMIT;
        let damage = Damage::new(self.log().directory(), 0, reason.0).at_offset(self.log().id(), offset);
        Err(reason.error(Box::new(damage)))
    }

    fn report(&self, Skipped { offset, reason }: Skipped, events: &Announcer) {
        let partition = self.log().id().clone();
        events.emit(|| Event::CommitSkipped { partition, offset, reason });
    }
}

impl Entry for Change<'_> {
    fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<bool> {
        let Change { group, to } = *self;
        let name = match to {
            To::Commit(of, _) | To::NoCommit(of) => {
                CoordinatorKey::Offset { group, topic: of.topic(), partition: of.partition() }
            }
            To::Record(_) | To::NoRecord => CoordinatorKey::Group { group },
            To::Nothing(encoded) => {
                key.extend_from_slice(encoded);
                return Ok(false);
            }
        };
        name.encode(key).map_err(|reason| Error::invalid("group id or topic", reason.0))?;
        match to {
            To::Commit(_, commit) => commit
                .encode(value)
                .map_err(|reason| Error::invalid("committed offset", reason.0))
                .map(|()| true),
            To::Record(record) => record
                .encode(value)
                .map_err(|reason| Error::invalid("group metadata", reason.0))
                .map(|()| true),
            To::NoCommit(_) | To::NoRecord | To::Nothing(_) => Ok(false),
        }
    }
}
