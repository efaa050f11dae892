//! Who belongs to one group and who reads what: a pure value, events in, decisions out.
//!
//! | event | what changes |
//! |---|---|
//! | [`Membership::join`], [`Membership::leave`], [`Membership::subscribe`] | the target: generation + 1, computed at once |
//! | [`Membership::reconcile`], a member's poll | ownership, towards the target |
//!
//! Ownership moves only when a member reconciles, in a poll. A member learns in one poll that a partition is revoked,
//! still owns it until its next one, and releases it then; the member that the target gives it to takes it in a poll after
//! that. So a partition never has two owners, and partitions that stay are not touched. Who leaves releases everything
//! at once; partitions of deleted topics have no owner from then on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::assignor::{self, Claimant};
use crate::config::Assignor;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;

/// The members of one group.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    generation: u32,
    assignor: Assignor,
    /// Topics that any member subscribes to or still reads, as far as they exist.
    topics: BTreeMap<Arc<str>, Known>,
    members: BTreeMap<Arc<str>, Member>,
    owners: HashMap<TopicPartition, Owner>,
    /// How often partitions were claimed.
    claims: u64,
}

/// Who owns a partition.
#[derive(Debug, Clone)]
struct Owner {
    member: Arc<str>,
    /// Its number among all claims of the group: another one if the partition was another's in between.
    claim: u64,
}

/// What is known of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) partitions: u32,
}

/// One member.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// Sorted; topics that do not exist among them.
    topics: Vec<Arc<str>>,
    target: BTreeSet<TopicPartition>,
    owned: BTreeSet<TopicPartition>,
}

/// What reconciling came to. Each list is sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OwnershipChange {
    /// It holds these, but they are not its own any more, nor were they asked back: their topic is gone.
    pub(crate) lost: Vec<TopicPartition>,
    /// They were reported to it before, and it has released them now.
    pub(crate) released: Vec<TopicPartition>,
    /// They were reported as revoked before, and it keeps them after all.
    pub(crate) kept: Vec<TopicPartition>,
    /// They are its own from now on. Each knows its topic.
    pub(crate) claimed: Vec<TopicPartition>,
    /// It releases these with its next poll.
    pub(crate) revoked: Vec<TopicPartition>,
}

impl Membership {
    /// A group without members that counts on from a generation.
    pub(crate) fn after(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// How partitions are assigned; of an empty group, how they were.
    pub(crate) fn assignor(&self) -> Assignor {
        self.assignor
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.members.iter()
    }

    pub(crate) fn owner(&self, of: &TopicPartition) -> Option<&Arc<str>> {
        self.owners.get(of).map(|owner| &owner.member)
    }

    /// The claim by which a member owns a partition. `None`: it does not.
    pub(crate) fn claim_of(&self, member: &str, of: &TopicPartition) -> Option<u64> {
        self.owners.get(of).filter(|owner| *owner.member == *member).map(|owner| owner.claim)
    }

    /// Takes a member in. The first one's assignor is the group's. `topics` is sorted; `known` looks a topic up by name.
    pub(crate) fn join(
        &mut self,
        id: Arc<str>,
        topics: Vec<Arc<str>>,
        assignor: Assignor,
        known: impl Fn(&str) -> Option<Known>,
    ) {
        if self.members.is_empty() {
            self.assignor = assignor;
        }
        self.members.insert(id, Member { topics, ..Member::default() });
        self.learn(known);
        self.rebalance();
    }

    /// Removes a member that leaves or is evicted.
    pub(crate) fn leave(&mut self, id: &str) {
        if let Some(gone) = self.members.remove(id) {
            for partition in &gone.owned {
                self.owners.remove(partition);
            }
            self.rebalance();
        }
    }

    /// Says what a member wants to read and, whether that is new or not, which topics there are. `topics` is sorted.
    pub(crate) fn subscribe(
        &mut self,
        id: &str,
        topics: Vec<Arc<str>>,
        known: impl Fn(&str) -> Option<Known>,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        let changed = member.topics != topics;
        member.topics = topics;
        if self.learn(known) || changed {
            self.rebalance();
        }
    }

    /// Checks the topics that a member subscribes to or still reads, and returns whether they changed. Partitions of a
    /// topic that is gone, or is another one of the same name, have no owner.
    fn learn(&mut self, known: impl Fn(&str) -> Option<Known>) -> bool {
        let subscribed = self.members.values().flat_map(|member| member.topics.iter().map(|name| &**name));
        let names: BTreeSet<_> = subscribed.chain(self.owners.keys().map(TopicPartition::topic)).collect();
        let topics = names.into_iter().filter_map(|name| Some((Arc::from(name), known(name)?)));
        let topics: BTreeMap<Arc<str>, Known> = topics.collect();
        if self.topics == topics {
            return false;
        }
        let is_left = |of: &TopicPartition| {
            let (before, now) = (self.topics.get(of.topic()), topics.get(of.topic()));
            before
                .zip(now)
                .is_some_and(|(before, now)| before.id == now.id && of.partition() < now.partitions)
        };
        self.owners.retain(|partition, _| is_left(partition));
        for member in self.members.values_mut() {
            member.owned.retain(is_left);
        }
        self.topics = topics;
        true
    }

    /// A member reconciles. It holds the partitions `held`; `reported` were reported as revoked by the poll before. `None`: it
    /// is no member (any more).
    pub(crate) fn reconcile(
        &mut self,
        id: &Arc<str>,
        held: &[TopicPartition],
        reported: &[TopicPartition],
    ) -> Option<OwnershipChange> {
        let member = self.members.get_mut(id)?;
        let mut change = OwnershipChange::default();
        change.lost.extend(held.iter().filter(|partition| !member.owned.contains(*partition)).cloned());
        change.lost.sort_unstable();
        for partition in reported {
            if member.target.contains(partition) {
                change.kept.extend(member.owned.get(partition).cloned());
            } else if member.owned.remove(partition) {
                self.owners.remove(partition);
                change.released.push(partition.clone());
            }
        }
        change.released.sort_unstable();
        change.kept.sort_unstable();
        for partition in member.target.difference(&member.owned) {
            if !self.owners.contains_key(partition) {
                self.claims += 1;
                self.owners.insert(partition.clone(), Owner { member: Arc::clone(id), claim: self.claims });
                let known = self.topics.get(partition.topic());
                let topic_id = known.map_or(Uuid::ZERO, |known| known.id);
                change.claimed.push(partition.clone().of_topic(*topic_id.as_bytes()));
            }
        }
        member.owned.extend(change.claimed.iter().cloned());
        change.revoked.extend(member.owned.difference(&member.target).cloned());
        Some(change)
    }

    /// Whether reconciling would change something for this member.
    pub(crate) fn has_pending_change(&self, member: &Member) -> bool {
        !member.owned.is_subset(&member.target)
            || member.target.difference(&member.owned).any(|wanted| !self.owners.contains_key(wanted))
    }

    /// Others that partitions wait for: to be released, or to be read by them.
    pub(crate) fn waited_for(&self, id: &str) -> Vec<&Arc<str>> {
        let others = self.members.iter().filter(|(other, _)| ***other != *id);
        others.filter(|(_, member)| self.has_pending_change(member)).map(|(other, _)| other).collect()
    }

    /// Whether everything is where it belongs.
    pub(crate) fn is_stable(&self) -> bool {
        self.members.values().all(|member| member.owned == member.target)
    }

    /// What a member owns, and what the target gives to it before anybody else has it, counts as its own.
    fn rebalance(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        let claims = |member: &Member| -> Vec<TopicPartition> {
            let promised = member.target.difference(&member.owned);
            let promised = promised.filter(|partition| !self.owners.contains_key(*partition));
            member.owned.iter().chain(promised).cloned().collect()
        };
        let claims: Vec<_> = self.members.values().map(claims).collect();
        let claimants = self.members.iter().zip(&claims).map(|((id, member), owned)| Claimant {
            id,
            topics: &member.topics,
            owned,
            generation: 0,
        });
        let counts = self.topics.iter().map(|(name, known)| (Arc::clone(name), known.partitions)).collect();
        let targets = assignor::target(self.assignor, &claimants.collect::<Vec<_>>(), &counts);
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target.into_iter().collect();
        }
    }
}

impl Member {
    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    pub(crate) fn owned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.owned.iter()
    }

    pub(crate) fn target(&self) -> impl Iterator<Item = &TopicPartition> {
        self.target.iter()
    }
}
