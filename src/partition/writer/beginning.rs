//! The first append of a partition: what it makes, and what it leaves to the first sync.
//!
//! | made | by the first append | on disk |
//! |---|---|---|
//! | the directory, its entry in the root | yes | with the first sync |
//! | `partition.metadata` | yes, as a second name of a file that is on disk | the content at once, the name with the first sync |
//! | `leader-epoch-checkpoint` | if the log begins after offset 0, or knows of epochs | at once |
//! | the same of a log that begins at offset 0 | no: it can be made from the batches | with the first sync |
//! | the log file | yes | with the first sync |
//!
//! So a first append waits for the disk once a topic, not several times a partition. Nothing of it is promised before a sync: no
//! mark moves before all of this is on disk, and no second segment begins. Until then the directory is as after a stop in the
//! middle of a first append, which recovery knows: see [`begun`](crate::partition::recovery::begun).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::Result;
use crate::format::checkpoint::EpochStart;
use crate::format::file_names::PARTITION_METADATA;
use crate::format::partition_metadata;
use crate::format::uuid::Uuid;
use crate::partition::{Appender, Leader, PartitionCore};
use crate::segment::FinishFailure;
use crate::sys::PlainDirectory;
use crate::sys::disk::kind_of;

/// What is left to the first sync. The lock of leader epochs, which are a part of it, guards it.
#[derive(Debug, Default)]
pub(in crate::partition) struct Beginning {
    /// Names in the directory and that of the directory are not known to be on disk.
    is_unsynced: bool,
    /// The directory and the root, of an append that is to be synced.
    opened: Option<(PlainDirectory, Option<PlainDirectory>)>,
    /// Of the log's first epoch the checkpoint says nothing yet.
    pub(in crate::partition) epoch: Option<EpochStart>,
}

/// By topic, a partition that was begun here: its `partition.metadata` is on disk and holds what those of the others hold.
#[derive(Debug, Default)]
pub(crate) struct Identified(Mutex<Identities>);

#[derive(Debug, Default)]
struct Identities {
    begun: HashMap<Uuid, Weak<PartitionCore>>,
    before_cleanup: usize,
}

impl Identified {
    fn of(&self, topic: Uuid) -> Option<Arc<PartitionCore>> {
        self.0.lock().begun.get(&topic).and_then(Weak::upgrade)
    }

    /// Topics that are gone are taken out now and then, so each costs as much as a few insertions.
    fn note(&self, partition: &Arc<PartitionCore>) {
        let mut identities = self.0.lock();
        if identities.before_cleanup == 0 {
            identities.begun.retain(|_, partition| partition.strong_count() > 0);
            identities.before_cleanup = identities.begun.len().max(16);
        }
        identities.before_cleanup -= 1;
        identities.begun.insert(partition.topic_id, Arc::downgrade(partition));
    }
}

impl Leader {
    /// Makes the directory, with the id that ties it to its topic, before the first record can be in it. Durable once it
    /// and the root are synced.
    pub(in crate::partition) fn make_directory(&self) -> Result<()> {
        let metadata = self.directory.join(PARTITION_METADATA);
        if kind_of(&metadata)?.is_none() {
            self.disk.create_directory(&self.directory)?;
            if let Err(failure) = self.identify() {
                // If that fails too, the next append or the next open gets there.
                if matches!(self.is_only_begun(), Ok(true)) {
                    let _ = self.clear_begun();
                }
                return Err(failure);
            }
        }
        self.disk.know_partition()
    }

    /// Gives the directory its `partition.metadata`, which is on disk but for its name.
    fn identify(&self) -> Result<()> {
        if let Some(other) = self.context.identified.of(self.topic_id)
            && self.disk.link(&other.directory.join(PARTITION_METADATA), &self.metadata_file()).is_ok()
            && self.stored_id()? == Some(self.topic_id)
        {
            return Ok(());
        }
        self.write_id()?;
        self.context.identified.note(self.core());
        Ok(())
    }

    /// Before the first segment is made at `start`: batches of `epoch` begin there.
    pub(in crate::partition) fn begin_log(&self, epoch: u32, start: u64) -> Result<()> {
        let is_first = start == 0 && matches!(self.stored_epochs()?, Ok(known) if known.is_empty());
        if !is_first {
            return self.begin_epoch(epoch, start);
        }
        self.epochs.lock().epoch = Some(EpochStart { epoch, start });
        Ok(())
    }

    /// The first segment is made. Not before: a sync meanwhile would not cover its name.
    pub(in crate::partition) fn has_begun(&self) {
        self.epochs.lock().is_unsynced = true;
    }

    /// The same of a log that was begun by a process that is gone.
    pub(in crate::partition) fn leave_to_first_sync(&self, first: EpochStart) {
        *self.epochs.lock() = Beginning { is_unsynced: true, epoch: Some(first), opened: None };
    }

    /// Does what the first append has left. Runs under `finishing`, before any mark moves. `Ok` has the failure to write the
    /// checkpoint of leader epochs: the records need it no more than they need an index, but the recovery point does.
    pub(super) fn settle_beginning(&self) -> std::result::Result<Result<()>, FinishFailure> {
        let mut beginning = self.epochs.lock();
        let written = beginning.epoch.map_or(Ok(()), |first| self.write_epochs(&[first]));
        if beginning.epoch.is_some() && written.is_ok() {
            (beginning.is_unsynced, beginning.epoch) = (true, None);
        }
        self.sync_first_names(&mut beginning)?;
        Ok(written)
    }

    fn sync_first_names(&self, beginning: &mut Beginning) -> std::result::Result<(), FinishFailure> {
        if beginning.is_unsynced {
            let opened = beginning.opened.take().map_or_else(|| self.open_names(), Ok);
            let (directory, root) = opened.map_err(FinishFailure::Refused)?;
            let synced = directory.sync().and_then(|()| root.map_or(Ok(()), |root| root.sync()));
            synced.map_err(FinishFailure::Lost).inspect_err(|failure| self.note_lost(failure))?;
            beginning.is_unsynced = false;
        }
        Ok(())
    }

    fn open_names(&self) -> Result<(PlainDirectory, Option<PlainDirectory>)> {
        Ok((self.disk.open_directory(&self.directory)?, self.opened_root()?))
    }

    /// Nothing is left to do any more: the topic is deleted, and the directory is out of its place.
    pub(super) fn forget_beginning(&self) {
        *self.epochs.lock() = Beginning::default();
    }

    /// Opens what the first sync needs, before an append that waits for it: what is refused here has changed nothing.
    pub(super) fn prepare_first_sync(&self) -> Result<()> {
        let mut beginning = self.epochs.lock();
        let has_names_to_sync = beginning.is_unsynced || beginning.epoch.is_some();
        if has_names_to_sync && beginning.opened.is_none() {
            beginning.opened = Some(self.open_names()?);
        }
        Ok(())
    }

    /// The same before a second segment begins.
    pub(super) fn settle_beginning_at_roll(self: &Arc<Self>, appender: &mut Appender) -> Result<()> {
        if !self.epochs.lock().is_unsynced {
            return Ok(());
        }
        let settled = {
            let _order = self.writer.finishing();
            self.sync_first_names(&mut self.epochs.lock())
        };
        settled.map_err(|failure| self.after(appender, failure))
    }

    /// Has the names in the directory on disk before the topic is deleted: after a power failure a directory with records and without
    /// an id would belong to no topic, and be in the way of the next one of the name. What fails here is no reason to keep the
    /// topic.
    pub(crate) fn settle_before_deletion(&self) {
        if !self.epochs.lock().is_unsynced {
            return;
        }
        let _order = self.writer.finishing();
        let _ = self.sync_first_names(&mut self.epochs.lock());
    }
}

impl PartitionCore {
    /// Writes `partition.metadata`.
    pub(in crate::partition) fn write_id(&self) -> Result<()> {
        self.disk.replace(&self.metadata_file(), partition_metadata::encode(self.topic_id).as_bytes())
    }
}
