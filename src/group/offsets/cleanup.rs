//! Changes to the commits of any group, in all partitions of the topic: topics that go, ends that were lost, age.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::expiry::Expiry;
use super::replay::{Group, ReplayedGroups, Stored};
use super::shard::{Change, To};
use super::{CommittedOffsets, await_durable};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::group_metadata::GroupMetadata;
use crate::format::offset_commit::OffsetCommit;
use crate::format::uuid::Uuid;
use crate::keyed::WriteOptions;
use crate::position::TopicPartition;

/// What is to be written of a group.
#[derive(Debug)]
pub(super) enum CommitChange {
    NoCommit(TopicPartition),
    NoRecord,
    /// Another commit in place of the one that is there.
    Lowered {
        of: TopicPartition,
        from: u64,
        to: u64,
        metadata: Box<str>,
    },
    /// The same commit as of now.
    Renewed {
        of: TopicPartition,
        stored: Stored,
    },
    /// The group's record, with another time in it.
    RenewedRecord(Box<GroupMetadata>),
}

impl CommittedOffsets {
    /// Takes back what any group has committed of a topic that is not there, on disk when it returns: no group is to
    /// begin there in a later topic of the same name.
    pub(crate) fn forget_topic(&self, topic: &str, now: i64) -> Result<()> {
        let first = TopicPartition::from((topic, 0));
        let rewritten = self.change_commits(now, Durability::Synced, |_, _, group| {
            let of_topic = group.offsets.range(&first..).map(|(of, _)| of);
            let of_topic = of_topic.take_while(|of| of.topic() == topic);
            of_topic.map(|of| CommitChange::NoCommit(of.clone())).collect()
        });
        rewritten.and_then(ChangedCommits::of_all)
    }

    /// The same for all partitions that are not there, and for commits about a topic that had the name before. No topic
    /// may be made meanwhile.
    pub(crate) fn forget_absent(&self, now: i64) -> Result<()> {
        let rewritten = self.change_commits(now, Durability::Synced, |_, _, group| {
            let is_there = |of: &TopicPartition, stored: &Stored| {
                let topic = self.catalog.topic(of.topic());
                topic.is_some_and(|topic| topic.partitions().get(of.partition()).is_some())
                    && self.counts(of, stored)
            };
            let absent = group.offsets.iter().filter(|(of, stored)| !is_there(of, stored));
            absent.map(|(of, _)| CommitChange::NoCommit(of.clone())).collect()
        });
        rewritten.and_then(ChangedCommits::of_all)
    }

    /// Lowers commits beyond the ends of partitions to those ends, on disk when it returns, and reports each: for
    /// after a stop that was not clean, before anything is appended. `ends`: `None` where there is no such partition;
    /// it is asked under locks of this room, and may ask partitions. Returns how many were lowered.
    pub(crate) fn clamp(&self, ends: impl Fn(&TopicPartition) -> Option<u64>, now: i64) -> Result<usize> {
        let lowered = self.change_commits(now, Durability::Synced, |_, _, group| {
            let counting = group.offsets.iter().filter(|(of, stored)| self.counts(of, stored));
            let beyond = counting.filter_map(|(of, stored)| {
                let to = ends(of).filter(|end| stored.offset > *end)?;
                let (from, metadata) = (stored.offset, stored.metadata.clone());
                Some(CommitChange::Lowered { of: of.clone(), from, to, metadata })
            });
            beyond.collect()
        })?;
        let lowered = lowered.written;
        for (group, change) in &lowered {
            if let CommitChange::Lowered { of, from, to, .. } = change {
                let (group, partition, from, to) = (group.clone(), of.clone(), *from, *to);
                self.events.emit(|| Event::CommitLowered { group, partition, from, to });
            }
        }
        Ok(lowered.len())
    }

    /// Takes back commits that are older than `retention`, by Kafka's rules for `offsets.retention.minutes`, and then the
    /// records of groups of which nothing else is left. `in_use`: whether a member that lives in this process reads the
    /// topic for the group; it is asked while nothing here is locked. Returns how many commits there were.
    pub(crate) fn expire(
        &self,
        now: i64,
        retention: Duration,
        in_use: impl Fn(&str, &str) -> bool,
    ) -> Result<usize> {
        let expiry = Expiry { now, retention: i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) };
        let mut old = self.old(expiry)?;
        for (group, of) in &mut old {
            of.retain(|of| !in_use(group, of.topic()));
        }
        // What was committed meanwhile is checked once more.
        let expired = self.change_commits(now, Durability::Buffered, |replay, name, group| {
            let old = old.get(name);
            let is_kept =
                |of: &TopicPartition| old.is_none_or(|old| !old.contains(of)) || replay.is_pending(name, of);
            expiry.due(group, is_kept)
        })?;
        Ok(expired.written.iter().filter(|(_, change)| matches!(change, CommitChange::NoCommit(_))).count())
    }

    /// Commits that are old enough to go, by group.
    fn old(&self, expiry: Expiry) -> Result<BTreeMap<Box<str>, BTreeSet<TopicPartition>>> {
        let mut old = BTreeMap::new();
        let Some(shards) = self.shards()? else { return Ok(old) };
        for shard in &shards.all {
            let replay = shard.present(&self.events)?;
            for (name, group) in replay.groups() {
                let due = expiry.due(group, |_| false).into_iter().filter_map(|change| match change {
                    CommitChange::NoCommit(of) => Some(of),
                    _ => None,
                });
                let due: BTreeSet<_> = due.collect();
                if !due.is_empty() {
                    old.insert(name.into(), due);
                }
            }
        }
        Ok(old)
    }

    /// Writes what `find` finds to change in each group, partition by partition, but for partitions that cannot be read.
    pub(super) fn change_commits(
        &self,
        now: i64,
        level: Durability,
        find: impl Fn(&ReplayedGroups, &str, &Group) -> Vec<CommitChange>,
    ) -> Result<ChangedCommits> {
        let Some(shards) = self.shards()? else { return Ok(ChangedCommits::default()) };
        // One that is stopped in the middle is done again.
        let how = WriteOptions { atomic: false, ..shards.how(now, level) };
        let (mut rewritten, mut ends) = (ChangedCommits::default(), Vec::new());
        for shard in &shards.all {
            let mut writer = match shard.writer(&self.events) {
                // No group continues from what cannot be read; its reader gets the error.
                Err(Error::Corrupt(_) | Error::Unsupported(_)) => continue,
                Err(failure @ Error::Io(_)) => {
                    rewritten.unreachable = rewritten.unreachable.or(Some(failure));
                    continue;
                }
                writer => writer?,
            };
            let found: Vec<(Box<str>, CommitChange)> = {
                let replay = shard.present(&self.events)?;
                let changes = |(name, group)| {
                    find(&replay, name, group).into_iter().map(move |change| (Box::from(name), change))
                };
                replay.groups().flat_map(changes).collect()
            };
            let changes = found.iter().map(|(group, change)| change.of(group, how));
            let written = shard.write(&mut writer, changes, how)?;
            rewritten.written.extend(found);
            // What an earlier call has taken back is not found any more, and is waited for all the same.
            let end = shard.tombstones_end(&mut writer)?.max(written.unwrap_or(0));
            ends.push((shard, Some(end)));
        }
        // One after the other was appended to; none waited for the one before.
        ends.into_iter().try_for_each(|(shard, end)| await_durable(shard, end, level))?;
        Ok(rewritten)
    }
}

/// What became of changes to the commits of any group.
#[derive(Debug, Default)]
pub(super) struct ChangedCommits {
    written: Vec<(Box<str>, CommitChange)>,
    /// Why a partition could not be reached, which another time it may be. What is in it was left as it is.
    unreachable: Option<Error>,
}

impl ChangedCommits {
    /// For what has to be done everywhere.
    fn of_all(self) -> Result<()> {
        self.unreachable.map_or(Ok(()), Err)
    }
}

impl CommitChange {
    fn of<'c>(&'c self, group: &'c str, how: WriteOptions) -> Change<'c> {
        let to = match self {
            Self::NoCommit(of) => To::NoCommit(of),
            Self::NoRecord => To::NoRecord,
            Self::Lowered { of, to, metadata, .. } => {
                let commit = OffsetCommit {
                    offset: *to,
                    // Whatever it was, the record before is another one now.
                    leader_epoch: None,
                    metadata,
                    committed_at: how.now,
                    expires_at: None,
                    topic_id: Uuid::ZERO,
                };
                To::Commit(of, commit)
            }
            Self::Renewed { of, stored } => {
                let commit = OffsetCommit {
                    offset: stored.offset,
                    leader_epoch: stored.leader_epoch,
                    metadata: &stored.metadata,
                    committed_at: how.now,
                    expires_at: None,
                    topic_id: Uuid::ZERO,
                };
                To::Commit(of, commit)
            }
            Self::RenewedRecord(record) => To::Record(record),
        };
        Change { group, to }
    }
}
