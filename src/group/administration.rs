//! What is done to groups from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::{Coordinator, check_name};
use super::describe::{GroupDescription, GroupPartition, GroupState, MemberDescription};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::partition::{Bounds, PartitionLog};
use crate::position::{Position, TopicPartition};

impl Coordinator {
    /// Names of all groups that have members, committed positions or a record of their own, sorted.
    pub(crate) fn group_names(&self) -> Result<Vec<String>> {
        let mut names = self.offsets().groups()?;
        let live = self.registry.all().into_values().filter(|group| group.has_members());
        names.extend(live.map(|group| group.name.to_string()));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Whether there is anything of this group.
    pub(crate) fn exists(&self, group: &str) -> Result<bool> {
        check_name(group)?;
        let live = self.registry.get(group).is_some_and(|group| group.has_members());
        Ok(live
            || self.offsets().group_record(group)?.is_some()
            || !self.offsets().of_group(group)?.is_empty())
    }

    pub(crate) fn describe(&self, group: &str) -> Result<GroupDescription> {
        if !self.exists(group)? {
            return Err(Error::not_found("group", group));
        }
        let mut described = self.describe_members(group);
        let mut partitions: BTreeMap<TopicPartition, GroupPartition> = BTreeMap::new();
        let committed = self.offsets().of_group(group)?;
        let committed = committed.into_iter().map(|(of, found)| (of.clone(), Some(found.position(of)), None));
        let owned = described.members.iter().flat_map(|member| {
            member.assignment.iter().map(|of| (of.clone(), None, Some(member.id.clone())))
        });
        for (of, committed, member) in committed.chain(owned) {
            let bounds = self.bounds(&of)?;
            let known = partitions.entry(of.clone()).or_insert(GroupPartition {
                partition: of,
                committed: None,
                log_start: bounds.map(|bounds| bounds.log_start),
                log_end: bounds.map(|bounds| bounds.log_end),
                lag: None,
                member: None,
            });
            known.committed = known.committed.take().or(committed);
            known.member = known.member.take().or(member);
            let lag = |(at, bounds): (&Position, Bounds)| bounds.lag(at.offset(), bounds.log_end);
            known.lag = known.committed.as_ref().zip(bounds).map(lag);
        }
        described.partitions = partitions.into_values().collect();
        Ok(described)
    }

    fn describe_members(&self, group: &str) -> GroupDescription {
        let empty = GroupDescription {
            name: group.to_owned(),
            state: GroupState::Empty,
            assignor: None,
            generation: 0,
            members: Vec::new(),
            partitions: Vec::new(),
        };
        let Some(live) = self.registry.get(group) else { return empty };
        let state = live.state.lock();
        let membership = &state.membership;
        if membership.is_empty() {
            return empty;
        }
        let members = membership.members().map(|(id, member)| MemberDescription {
            id: id.to_string(),
            topics: member.topics().iter().map(ToString::to_string).collect(),
            assignment: member.owned().cloned().collect(),
            target: member.target().cloned().collect(),
        });
        GroupDescription {
            state: if membership.is_stable() { GroupState::Stable } else { GroupState::Rebalancing },
            assignor: Some(membership.assignor()),
            generation: membership.generation(),
            members: members.collect(),
            ..empty
        }
    }

    /// Where a partition begins and ends; `None` if there is no such partition.
    fn bounds(&self, of: &TopicPartition) -> Result<Option<Bounds>> {
        match self.log_of(of).and_then(|log| log.bounds()) {
            Ok(bounds) => Ok(Some(bounds)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn log_of(&self, of: &TopicPartition) -> Result<Arc<PartitionLog>> {
        let topic = self.catalog().topic_of(of)?;
        let log = topic.partitions().get(of.partition()).cloned();
        log.ok_or_else(|| Error::not_found("partition", of))
    }

    /// Sets committed positions of a group without members.
    pub(crate) fn set_committed(&self, group: &str, to: &[Position], now: i64) -> Result<()> {
        check_name(group)?;
        let in_log = |position: &Position| {
            let log = self.log_of(position.topic_partition())?;
            refuse_beyond_end(&log, position)?;
            Ok(position.clone().in_partition(log.id().clone()))
        };
        let to = to.iter().map(in_log).collect::<Result<Vec<_>>>()?;
        self.offsets().refuse_pending(group)?;
        self.commit_standalone(group, &to, self.stored_since(group)?, now, Durability::Buffered)
    }

    /// Forgets committed positions of a group without members.
    pub(crate) fn remove_committed(&self, group: &str, of: &[TopicPartition], now: i64) -> Result<()> {
        check_name(group)?;
        self.while_empty(group, || {
            self.offsets().refuse_pending(group)?;
            self.offsets().remove(group, of, now)
        })
    }

    /// After an unclean stop: lowers committed positions that lie past the end of what survived.
    pub(crate) fn clamp_committed(&self, now: i64) -> Result<usize> {
        // What cannot be read is reported by its next reader.
        self.offsets().clamp(|of| self.bounds(of).ok().flatten().map(|bounds| bounds.log_end), now)
    }

    /// Forgets positions that were committed too long ago.
    pub(crate) fn expire_committed(&self, now: i64, retention: Duration) -> Result<usize> {
        let live = self.registry.all();
        let in_use = |group: &str, topic: &str| {
            live.get(group).is_some_and(|live| {
                let state = live.state.lock();
                state
                    .membership
                    .members()
                    .any(|(_, member)| member.topics().iter().any(|name| **name == *topic))
            })
        };
        self.offsets().expire(now, retention, in_use)
    }

    /// Forgets a group without members.
    pub(crate) fn delete(&self, group: &str, now: i64) -> Result<()> {
        if !self.exists(group)? {
            return Err(Error::not_found("group", group));
        }
        self.while_empty(group, || {
            self.offsets().refuse_pending(group)?;
            self.offsets().delete_group(group, now)
        })
    }
}

/// Refuses to commit a position past the end of its partition.
pub(crate) fn refuse_beyond_end(log: &PartitionLog, position: &Position) -> Result<Bounds> {
    let bounds = log.bounds()?;
    if position.offset() > bounds.log_end {
        let valid = bounds.log_start..bounds.log_end;
        return Err(Error::OffsetOutOfRange { at: Box::new(position.clone()), valid });
    }
    Ok(bounds)
}
