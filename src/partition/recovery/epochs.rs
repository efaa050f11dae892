//! The directory of a partition and what is in it beside segments: topic id and leader epochs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Damage, Error, Result};
use crate::events::Event;
use crate::format::Malformed;
use crate::format::checkpoint::{EpochStart, encode_epochs, parse_epochs};
use crate::format::file_names::{LEADER_EPOCHS, PARTITION_METADATA, UNFINISHED};
use crate::format::header::BatchHeader;
use crate::format::partition_metadata;
use crate::partition::{Appender, Leader, PartitionCore};
use crate::segment::{Batches, Segment};
use crate::sys::PlainDirectory;

/// Far more than either text ever holds.
const MAX_BYTES: u64 = 16 << 20;

/// The log starts at `start`: of the epochs that began before it, the latest begins there now.
pub(in crate::partition) fn begin_at(epochs: &mut Vec<EpochStart>, start: u64) {
    let begun = epochs.partition_point(|known| known.start <= start);
    if let Some(gone) = begun.checked_sub(1) {
        epochs.drain(..gone);
        epochs.first_mut().into_iter().for_each(|first| first.start = start);
    }
}

/// Remembers where an epoch begins.
pub(crate) fn record_epoch(epochs: &mut Vec<EpochStart>, header: &BatchHeader) {
    let (Ok(epoch), Ok(start)) = (u32::try_from(header.leader_epoch), u64::try_from(header.base_offset))
    else {
        return;
    };
    if epochs.last().is_none_or(|last| last.epoch < epoch) {
        epochs.push(EpochStart { epoch, start });
    }
}

/// Where leader epochs begin, as the batches of segments have it.
pub(in crate::partition) fn epochs_of(segments: &[Arc<Segment>]) -> Result<Vec<EpochStart>> {
    let mut epochs = Vec::new();
    for segment in segments {
        let (file, length) = (segment.open()?, segment.end().position);
        let mut batches = Batches::new(&file, length, 0, segment.base());
        // After damage nothing is known of the segment; readers come to the damage themselves.
        while batches.position < length
            && batches.pass(&mut |header, _| record_epoch(&mut epochs, header))?.is_none()
        {}
    }
    Ok(epochs)
}

impl PartitionCore {
    /// What ties the directory to its topic.
    pub(in crate::partition) fn metadata_file(&self) -> PathBuf {
        self.directory.join(PARTITION_METADATA)
    }

    /// Where the entry of the directory itself is, open for a sync.
    pub(in crate::partition) fn opened_root(&self) -> Result<Option<PlainDirectory>> {
        self.directory.parent().map(|root| self.disk.open_directory(root)).transpose()
    }

    /// Whether making the directory was interrupted before it got its id: then nothing else is in it.
    pub(in crate::partition) fn is_only_begun(&self) -> Result<bool> {
        let names = self.disk.list(&self.directory)?;
        Ok(names.iter().all(|(name, _)| name.strip_suffix(UNFINISHED) == Some(PARTITION_METADATA)))
    }

    /// Whether the directory belongs to this topic and not to one that had its name before.
    pub(super) fn check_topic_id(&self) -> Result<()> {
        let path = self.metadata_file();
        let damaged = |reason: String| Error::Corrupt(Box::new(Damage::new(&path, 0, reason)));
        let Some(bytes) = self.disk.read_small(&path, MAX_BYTES)? else {
            return Err(damaged(
                "the file is missing, so it is not known which topic the directory belongs to".into(),
            ));
        };
        let id = partition_metadata::parse(&bytes).map_err(|reason| damaged(reason.to_string()))?;
        if id == self.topic_id {
            return Ok(());
        }
        Err(damaged(format!("the directory belongs to topic id {id}, but {} has {}", self.id, self.topic_id)))
    }

    /// Where leader epochs begin, by the checkpoint. `Err` in the result: it is invalid.
    pub(in crate::partition) fn stored_epochs(
        &self,
    ) -> Result<std::result::Result<Vec<EpochStart>, Malformed>> {
        let bytes = self.disk.read_small(&self.directory.join(LEADER_EPOCHS), MAX_BYTES)?;
        Ok(parse_epochs(&bytes.unwrap_or_default()))
    }

    /// The same. `None`: it is invalid, which is reported.
    pub(super) fn read_epochs(&self) -> Result<Option<Vec<EpochStart>>> {
        Ok(match self.stored_epochs()? {
            Ok(epochs) => Some(epochs),
            Err(reason) => {
                let path = self.directory.join(LEADER_EPOCHS);
                self.context.events.emit(|| Event::CheckpointUnreadable { path, reason: reason.0.into() });
                None
            }
        })
    }

    pub(in crate::partition) fn write_epochs(&self, epochs: &[EpochStart]) -> Result<()> {
        self.disk.replace(&self.directory.join(LEADER_EPOCHS), encode_epochs(epochs).as_bytes())
    }
}

impl Leader {
    /// Has the checkpoint of leader epochs say where the log starts now, before the files of what lies below are gone. If the
    /// checkpoint of log starts is lost, this one shows that the records below were deleted, not lost.
    pub(in crate::partition) fn begin_epochs_at(&self, start: u64) -> Result<()> {
        let mut beginning = self.epochs.lock();
        let Ok(mut epochs) = self.stored_epochs()? else { return Ok(()) };
        let before = epochs.clone();
        epochs.extend(beginning.epoch);
        begin_at(&mut epochs, start);
        if epochs != before {
            self.write_epochs(&epochs)?;
            beginning.epoch = None;
        }
        Ok(())
    }

    /// Before the first append: batches of `epoch` begin at `start`, unless they began before.
    pub(in crate::partition) fn begin_epoch(&self, epoch: u32, start: u64) -> Result<()> {
        let mut beginning = self.epochs.lock();
        let mut epochs = self.read_epochs()?.unwrap_or_default();
        epochs.extend(beginning.epoch);
        if epochs.last().is_some_and(|last| last.epoch >= epoch) {
            return Ok(());
        }
        epochs.retain(|known| known.start < start);
        epochs.push(EpochStart { epoch, start });
        self.write_epochs(&epochs)?;
        beginning.epoch = None;
        Ok(())
    }

    /// The leader epoch of the next batch, of a partition that is loaded.
    pub(crate) fn leader_epoch(&self) -> u32 {
        match &*self.writer.appender() {
            Appender::Idle { epoch, .. } | Appender::Active { epoch, .. } => *epoch,
            _ => 0,
        }
    }

    /// Has the next batch be of this leader epoch, unless it would be of a later one: an epoch never goes back. Of a partition
    /// that is loaded.
    pub(crate) fn bump_leader_epoch(&self, to: u32) -> Result<()> {
        match &mut *self.writer.appender() {
            Appender::Idle { epoch, .. } => *epoch = to.max(*epoch),
            Appender::Active { writer, epoch } if *epoch < to => {
                self.begin_epoch(to, writer.next_offset())?;
                *epoch = to;
            }
            _ => {}
        }
        Ok(())
    }
}
