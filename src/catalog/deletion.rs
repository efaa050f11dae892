//! What follows from the deletion of a topic.
//!
//! The record in the metadata log is the deletion. Everything else follows from it, can be done again, and has to be
//! done before the name is another topic's: the directories leave their place, the checkpoints forget the topic, the
//! files go. What groups have committed in the topic goes too; groups are not known here.
//!
//! | what is found at an open | it is |
//! |---|---|
//! | a directory with the id of a deleted topic | moved away and removed |
//! | a directory without an id, in the place of a deleted topic, without a record in it | the same |
//! | a line of a checkpoint about a partition that is not there | taken out |
//! | anything else that belongs to no topic | left alone |

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoints;
use super::directories::{self, Removal};
use super::log_dir::LogDir;
use super::metadata_log::MetadataLog;
use super::state::{State, likeness};
use super::{Catalog, Changes, TopicEntry};
use crate::error::{Error, Result};
use crate::partition::{Leader, holds_no_record};
use crate::sys::EntryKind;
use crate::sys::disk::kind_of;

/// What is still to be done.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    removals: Vec<Removal>,
    /// Checkpoints may have entries of partitions that are not there.
    has_stale_checkpoints: bool,
    /// They do not any more, but may again after a power failure.
    has_unsynced_checkpoints: bool,
    /// Directories that have left their place, and that a snapshot needs yet.
    kept: Vec<(PathBuf, Arc<Leader>)>,
}

impl Unfinished {
    /// What an open has found.
    pub(super) fn found(removals: Vec<Removal>) -> Self {
        Self { removals, has_stale_checkpoints: true, ..Self::default() }
    }

    /// A topic was deleted.
    pub(super) fn add(&mut self, topic: &TopicEntry) {
        // Another directory that was put in the place of one is not the topic's to remove. One that cannot be checked now
        // is tried again.
        let placed = topic.partitions().iter().filter(|partition| !partition.has_lost_its_place());
        let directories = placed.map(|partition| partition.directory().to_owned());
        let forget = Some(topic.name().to_string());
        let logs = topic.partitions().iter().filter_map(|log| log.leader().ok());
        let logs = logs.map(|log| (log.directory().to_owned(), Arc::clone(log))).collect();
        self.removals.push(Removal { id: topic.id(), forget, directories: directories.collect(), logs });
    }
}

impl Catalog {
    /// Does what follows from deletions and was not done yet. An error is the first of what went wrong; all else was done.
    pub(crate) fn finish_deletions(&self) -> Result<()> {
        self.changes.lock().finish_deletions(&self.dir)
    }

    /// Sees to it that nothing is left of an earlier topic where partitions of this one are to be.
    pub(super) fn make_way(&self, changes: &mut Changes, name: &str, partitions: Range<u32>) -> Result<()> {
        let Changes { state, unfinished, .. } = changes;
        unfinished.finish_checkpoints(state, &self.dir)?;
        let is_like = |removal: &Removal| {
            removal.forget.as_deref().is_some_and(|gone| likeness(gone, true) == likeness(name, true))
        };
        unfinished.finish_removals(&self.dir, is_like)?;
        partitions
            .into_iter()
            .try_for_each(|partition| self.clear(&self.dir.path(format!("{name}-{partition}"))))
    }

    /// Removes a directory that belongs to no topic and never held a record. Anything else that is there is in the way.
    fn clear(&self, path: &Path) -> Result<()> {
        match kind_of(path)? {
            None => Ok(()),
            Some(EntryKind::Directory)
                if directories::stored_id(path, self.dir.disk())?.is_none()
                    && holds_no_record(self.dir.disk(), path)? =>
            {
                self.dir.disk().remove_directory(path)?;
                self.dir.sync()
            }
            Some(_) => Err(Error::invalid(
                "topic name",
                format!("{} is in the way and belongs to no topic; move it elsewhere", path.display()),
            )),
        }
    }
}

impl Changes {
    pub(super) fn finish_deletions(&mut self, dir: &LogDir) -> Result<()> {
        let checkpoints = self.unfinished.finish_checkpoints(&self.state, dir);
        self.unfinished.finish_removals(dir, |_| true).and(checkpoints)
    }
}

impl Unfinished {
    /// Carries out those that `which` chooses. One that fails stays.
    fn finish_removals(&mut self, dir: &LogDir, which: impl Fn(&Removal) -> bool) -> Result<()> {
        let mut outcome = Ok(());
        self.kept
            .retain(|(directory, log)| log.is_kept() || directories::remove(directory, dir.disk()).is_err());
        self.removals.retain(|removal| {
            if !which(removal) {
                return true;
            }
            // What has left its place and could not be removed is not in the way, and goes with the next open.
            let carried_out = removal.carry_out(dir, &mut self.kept).map(drop);
            let has_failed = carried_out.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(carried_out);
            has_failed
        });
        outcome
    }

    /// Takes out of the checkpoints what is about no partition that is there: a topic that is made later must not be
    /// measured by what another one was.
    fn finish_checkpoints(&mut self, state: &State, dir: &LogDir) -> Result<()> {
        if self.has_stale_checkpoints {
            let is_there = |topic: &str, partition| {
                MetadataLog::is_partition(topic, partition) || state.has_partition(topic, partition)
            };
            let _writing = dir.lock_checkpoints();
            self.has_unsynced_checkpoints |= checkpoints::retain_entries(dir, is_there)?;
            if self.has_unsynced_checkpoints {
                dir.sync()?;
            }
            (self.has_stale_checkpoints, self.has_unsynced_checkpoints) = (false, false);
        }
        Ok(())
    }
}
