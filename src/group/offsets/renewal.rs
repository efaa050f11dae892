//! Committing again what a broker would take for forgotten.
//!
//! Offsets do not expire here unless that is asked for: a program may be off for a month. A broker forgets those of groups
//! without members after `offsets.retention.minutes`, within minutes of its start.

use std::time::Duration;

use super::CommittedOffsets;
use super::expiry::Expiry;
use super::fold::{Fold, Group};
use super::sweep::Sweep;
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
    pub(crate) fn forgettable(&self, then: i64, retention: Duration) -> Result<Vec<Commit>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for shard in &shards.all {
            let fold = shard.present(&self.events)?;
            for (name, group) in fold.groups() {
                let renewals = self.renewals(&fold, name, group, then, retention, then);
                found.extend(renewals.into_iter().filter_map(|change| match change {
                    Sweep::Renewed { of, .. } => Some(Commit { group: name.into(), partition: of }),
                    _ => None,
                }));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Writes those commits again as of `now`, and with them the records by whose time a broker would judge them. On the
    /// disk when it returns.
    pub(crate) fn renew(&self, then: i64, retention: Duration, now: i64) -> Result<()> {
        let renewed = self.sweep(now, Durability::Synced, |fold, name, group| {
            self.renewals(fold, name, group, then, retention, now)
        });
        renewed.map(drop)
    }

    fn renewals(
        &self,
        fold: &Fold,
        name: &str,
        group: &Group,
        then: i64,
        retention: Duration,
        now: i64,
    ) -> Vec<Sweep> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        // What was committed with a time of its own, or of a topic that is gone, is to go.
        let is_kept = |of: &TopicPartition| {
            let stored = group.offsets.get(of);
            fold.is_pending(name, of)
                || stored.is_none_or(|stored| stored.expires_at.is_some() || !self.counts(of, stored))
        };
        let due = Expiry { now: then, retention }.due(group, is_kept).into_iter();
        let commits = due.filter_map(|change| match change {
            Sweep::NoCommit(of) => {
                let stored = group.offsets.get(&of)?.clone();
                Some(Sweep::Renewed { of, stored })
            }
            _ => None,
        });
        let mut renewals: Vec<_> = commits.collect();
        if let Some(mut record) = group.record.clone()
            && record.members.is_empty()
            && record.state_since.is_some()
            && !renewals.is_empty()
        {
            record.state_since = Some(now);
            renewals.push(Sweep::RenewedRecord(Box::new(record)));
        }
        renewals
    }
}
