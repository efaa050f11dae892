//! Positions of a consumer that a transaction commits.

use std::sync::Arc;

use super::Consumer;
use crate::config::IsolationLevel;
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::group::GroupCommit;
use crate::position::{Position, TopicPartition};

impl Consumer {
    /// Refuses a consumer whose positions a transaction of `directory` cannot commit, or with which that would be of no use.
    pub(crate) fn check_transactional(&self, directory: &Arc<OpenDirectory>) -> Result<()> {
        let reason = if !Arc::ptr_eq(&self.directory, directory) {
            "it belongs to another open log; make it by the log of the producer"
        } else if self.config.group.is_none() {
            "it has no group; name one when it is made"
        } else if self.config.commit_on_poll {
            "its polls commit by themselves, whatever becomes of the transaction; make it without commit_on_poll"
        } else if self.config.isolation != IsolationLevel::ReadCommitted {
            "it reads uncommitted records, which may not count in the end; make it with IsolationLevel::ReadCommitted"
        } else {
            return Ok(());
        };
        Err(Error::invalid("consumer of a transaction", reason))
    }

    /// Everything that polls have returned and that was not committed yet.
    pub(crate) fn consumed(&self) -> Result<GroupCommit> {
        self.assigned.iter().try_for_each(|one| self.refuse_made_anew(one))?;
        let mut commit = self.committing()?;
        for position in self.positions_to_commit() {
            let (at, position) = position?;
            commit.add(position, self.assigned[at].claim);
        }
        Ok(commit)
    }

    /// These positions.
    pub(crate) fn consumed_to(&self, to: impl IntoIterator<Item = Position>) -> Result<GroupCommit> {
        let mut commit = self.committing()?;
        for (at, position) in self.checked_positions(to)? {
            commit.add(position, self.assigned[at].claim);
        }
        Ok(commit)
    }

    /// Whether a transaction that is decided commits a position of this consumer's group, and has not done it yet. One that is not
    /// decided will not: the partition is this consumer's now.
    pub(super) fn is_position_pending(&self, of: &TopicPartition) -> bool {
        let Some(group) = &self.config.group else { return false };
        // What cannot be read is reported where the position is read.
        let pending = self.directory.groups().offsets().pending_producers(group, of).unwrap_or_default();
        pending.into_iter().any(|producer| self.directory.transactions().is_decided(producer))
    }

    fn committing(&self) -> Result<GroupCommit> {
        if let Some(subscription) = &self.subscription {
            return Ok(subscription.member().committing());
        }
        let group = self.config.group.as_deref();
        group
            .map(GroupCommit::alone)
            .ok_or_else(|| Error::invalid("consumer of a transaction", "it has no group"))
    }
}
