//! Positions that a transaction commits: they count if the partitions are still their members' when it is decided.
//!
//! A partition that was another member's in between is claimed anew, with another number, so that a position from before is
//! refused: the other one may have committed a later one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::beginning::Since;
use super::coordinator::{Coordinator, GroupMember, LiveGroup};
use crate::error::{Error, Result};
use crate::format::group_metadata::GroupMetadata;
use crate::position::{Position, TopicPartition};

/// What a transaction commits for one consumer.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    group: Arc<str>,
    /// `None`: the consumer was assigned its partitions, and the group must have no members.
    member: Option<(Arc<LiveGroup>, Arc<str>)>,
    positions: BTreeMap<TopicPartition, Claimed>,
}

#[derive(Debug)]
struct Claimed {
    position: Position,
    claim: u64,
}

impl GroupCommit {
    /// Of a consumer that was assigned its partitions.
    pub(crate) fn alone(group: &str) -> Self {
        Self { group: group.into(), member: None, positions: BTreeMap::new() }
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.member.is_none()
    }

    /// Whether both are of the same consumer.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        let member = |of: &Self| of.member.as_ref().map(|(_, id)| Arc::clone(id));
        self.group == other.group && member(self) == member(other)
    }

    /// Of several positions of one partition the last one counts.
    pub(crate) fn add(&mut self, position: Position, claim: u64) {
        self.positions.insert(position.topic_partition().clone(), Claimed { position, claim });
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.positions.extend(other.positions);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Sorted by partition.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.positions.values().map(|claimed| claimed.position.clone()).collect()
    }
}

impl GroupMember {
    /// The number of the claim by which this member has a partition. 0: it has it no more.
    pub(crate) fn claim_of(&self, of: &TopicPartition) -> u64 {
        self.group.state.lock().membership.claim_of(self.id(), of).unwrap_or(0)
    }

    /// What a transaction commits for this member: nothing yet.
    pub(crate) fn committing(&self) -> GroupCommit {
        let member = Some((Arc::clone(&self.group), Arc::clone(self.id())));
        GroupCommit { group: Arc::clone(&self.group.name), member, positions: BTreeMap::new() }
    }
}

impl Coordinator {
    /// Does something while all positions are those of their members: no other one can take a partition over meanwhile.
    ///
    /// `FencedGeneration` if one is not, `GroupNotEmpty` if a group has members and the position is of a consumer that is none.
    pub(crate) fn while_owned<T>(
        &self,
        commits: &[GroupCommit],
        now: i64,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let [commit] = commits
            && commit.is_alone()
        {
            let since = self.since(&commit.group)?;
            return self.while_empty(&commit.group, || {
                self.note_since(&commit.group, since, None, now)?;
                work()
            });
        }
        let mut order: Vec<_> =
            commits.iter().filter_map(|commit| Some((commit, commit.member.as_ref()?))).collect();
        order.sort_by(|(one, _), (other, _)| one.group.cmp(&other.group));
        let mut held = Vec::with_capacity(order.len());
        for of_one in order.chunk_by(|(_, (one, _)), (_, (other, _))| Arc::ptr_eq(one, other)) {
            let Some((_, (group, _))) = of_one.first() else { continue };
            let mut state = group.state.lock();
            for (commit, (_, id)) in of_one {
                let is_owned = |(of, claimed): (&TopicPartition, &Claimed)| {
                    state.membership.claim_of(id, of) == Some(claimed.claim)
                };
                if !commit.positions.iter().all(is_owned) {
                    return Err(Error::FencedGeneration { group: commit.group.as_ref().into() });
                }
            }
            if let since @ Since::Fresh(at) = state.since {
                self.note_since(&group.name, since, Some(state.record()), now)?;
                state.since = Since::Noted(at);
            }
            held.push(state);
        }
        work()
    }

    /// Notes since when a group has positions, if that is not noted.
    fn note_since(&self, group: &str, since: Since, record: Option<GroupMetadata>, now: i64) -> Result<()> {
        if !matches!(since, Since::Fresh(_)) {
            return Ok(());
        }
        let record = since.record_in(record.unwrap_or_default());
        self.offsets().write_group(group, &record, now)
    }
}

impl GroupCommit {
    /// Has the members of the group begin what they could not begin before.
    pub(crate) fn wake_members(&self) {
        if let Some((group, _)) = &self.member {
            group.state.lock().mark_all_pending();
        }
    }
}
