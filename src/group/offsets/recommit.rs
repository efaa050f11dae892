//! Committing again what a broker would expire.
//!
//! Offsets do not expire here unless that is asked for: a program may be off for a month. A broker expires those of groups
//! without members after `offsets.retention.minutes`, within minutes of its start.

use std::time::Duration;

use super::CommittedOffsets;
use super::cleanup::CommitChange;
use super::expiry::Expiry;
use super::replay::{Group, ReplayedGroups};
use crate::config::Durability;
use crate::error::Result;
use crate::position::TopicPartition;

/// A commit: whose, and of what.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Commit {
    pub(crate) group: Box<str>,
    pub(crate) partition: TopicPartition,
}

impl CommittedOffsets {
    /// The commits that a broker with this retention would forget at the time `then`, sorted.
    pub(crate) fn expiring(&self, then: i64, retention: Duration) -> Result<Vec<Commit>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for shard in &shards.all {
            let replay = shard.present(&self.events)?;
            for (name, group) in replay.groups() {
                let recommits = self.recommits(&replay, name, group, then, retention, then);
                found.extend(recommits.into_iter().filter_map(|change| match change {
                    CommitChange::Renewed { of, .. } => Some(Commit { group: name.into(), partition: of }),
                    _ => None,
                }));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Writes those commits again as of `now`, and with them the records by whose time a broker would expire them. On the
    /// disk when it returns.
    pub(crate) fn recommit(&self, then: i64, retention: Duration, now: i64) -> Result<()> {
        let recommitted = self.change_commits(now, Durability::Synced, |replay, name, group| {
            self.recommits(replay, name, group, then, retention, now)
        });
        recommitted.map(drop)
    }

    fn recommits(
        &self,
        replay: &ReplayedGroups,
        name: &str,
        group: &Group,
        then: i64,
        retention: Duration,
        now: i64,
    ) -> Vec<CommitChange> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        // What was committed with a time of its own, or of a topic that is gone, is to go.
        let is_kept = |of: &TopicPartition| {
            let stored = group.offsets.get(of);
            replay.is_pending(name, of)
                || stored.is_none_or(|stored| stored.expires_at.is_some() || !self.counts(of, stored))
        };
        let due = Expiry { now: then, retention }.due(group, is_kept).into_iter();
        let commits = due.filter_map(|change| match change {
            CommitChange::NoCommit(of) => {
                let stored = group.offsets.get(&of)?.clone();
                Some(CommitChange::Renewed { of, stored })
            }
            _ => None,
        });
        let mut recommits: Vec<_> = commits.collect();
        if let Some(mut record) = group.record.clone()
            && record.members.is_empty()
            && record.state_since.is_some()
            && !recommits.is_empty()
        {
            record.state_since = Some(now);
            recommits.push(CommitChange::RenewedRecord(Box::new(record)));
        }
        recommits
    }
}
