//! The assignors against the sample files, against what each must hold whatever the input, and against Kafka's own.

mod against_kafka;
mod properties;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Claimant, assign, target};
use crate::config::Assignor;
use crate::position::TopicPartition;

const ALL: [Assignor; 4] =
    [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

/// A member that owns its fields.
#[derive(Debug, Clone, Default)]
struct Member {
    id: String,
    topics: Vec<Arc<str>>,
    owned: Vec<TopicPartition>,
    generation: i32,
}

/// A group and the topics that exist.
#[derive(Debug, Clone, Default)]
struct Group {
    members: Vec<Member>,
    topics: BTreeMap<Arc<str>, u32>,
}

type Lists = Vec<Vec<TopicPartition>>;

impl Member {
    fn new(id: impl Into<String>, topics: &[&str]) -> Self {
        let topics: BTreeSet<Arc<str>> = topics.iter().map(|&name| name.into()).collect();
        Self { id: id.into(), topics: topics.into_iter().collect(), owned: Vec::new(), generation: -1 }
    }

    fn claimant(&self) -> Claimant<'_> {
        let Self { id, topics, owned, generation } = self;
        Claimant { id, topics, owned, generation: *generation }
    }

    fn subscribes(&self, topic: &str) -> bool {
        self.topics.iter().any(|one| **one == *topic)
    }
}

impl Group {
    fn assign(&self, assignor: Assignor) -> Lists {
        assign(assignor, &self.claimants(), &self.topics)
    }

    fn target(&self, assignor: Assignor) -> Lists {
        target(assignor, &self.claimants(), &self.topics)
    }

    fn claimants(&self) -> Vec<Claimant<'_>> {
        self.members.iter().map(Member::claimant).collect()
    }

    /// The members as they come to the next round.
    fn after(&self, lists: &Lists) -> Self {
        let generation = self.members.iter().map(|member| member.generation).max().unwrap_or(-1) + 1;
        let members = self.members.iter().zip(lists).map(|(member, list)| Member {
            owned: list.clone(),
            generation,
            ..member.clone()
        });
        Self { members: members.collect(), topics: self.topics.clone() }
    }

    /// All partitions of existing topics that a member subscribes to.
    fn partitions(&self) -> Vec<TopicPartition> {
        let wanted = self.topics.iter().filter(|(name, _)| self.members.iter().any(|m| m.subscribes(name)));
        wanted
            .flat_map(|(name, &count)| (0..count).map(|number| TopicPartition::new(name.clone(), number)))
            .collect()
    }

    /// Who may keep each partition: the only member with the latest claim to it, if it subscribes.
    fn keepers(&self) -> BTreeMap<TopicPartition, usize> {
        let mut keepers = BTreeMap::new();
        for partition in self.partitions() {
            let claim = |place: &usize| self.members[*place].owned.contains(&partition);
            let claims: Vec<_> = (0..self.members.len()).filter(claim).collect();
            let latest = claims.iter().map(|&place| self.members[place].generation).max();
            let mut of_latest =
                claims.into_iter().filter(|&place| Some(self.members[place].generation) == latest);
            if let (Some(one), None) = (of_latest.next(), of_latest.next())
                && self.members[one].subscribes(partition.topic())
            {
                keepers.insert(partition, one);
            }
        }
        keepers
    }

    /// How many partitions stay with who may keep them.
    fn kept(&self, lists: &Lists) -> usize {
        self.keepers().iter().filter(|(partition, owner)| lists[**owner].contains(partition)).count()
    }
}

/// Small and fast random numbers, the same every time.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// How claims of earlier generations come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claims {
    /// None, or what an earlier round of other members and topics left: nothing is claimed twice.
    Orderly,
    /// Anything at all.
    Wild,
}

/// Some group with its history. Members are named by single letters, whose order in a hash map of the JVM is their
/// alphabetical order, as is that of the topics.
fn some_group(dice: &mut Dice, members: usize, equal: bool, claims: Claims) -> Group {
    let names: Vec<Arc<str>> = (b'a'..b'g').map(|letter| char::from(letter).to_string().into()).collect();
    let topics = 1 + dice.below(5);
    let mut group = Group::default();
    for name in &names[..topics] {
        let count = 1 + dice.below(7);
        group.topics.insert(name.clone(), u32::try_from(count).unwrap());
    }
    // Most name one topic that does not exist, too.
    let subscribable = &names[..=topics];
    for place in 0..members {
        let mut topics: Vec<_> =
            subscribable.iter().filter(|_| !dice.once_in(if equal { 6 } else { 2 })).cloned().collect();
        if let Some(first) = group.members.first().filter(|_| equal) {
            topics.clone_from(&first.topics);
        }
        let id = char::from(b'a' + u8::try_from(place).unwrap()).to_string();
        group.members.push(Member { id, topics, ..Member::default() });
    }
    give_history(&mut group, dice, claims);
    group
}

fn give_history(group: &mut Group, dice: &mut Dice, claims: Claims) {
    if dice.once_in(5) {
        group.members.iter_mut().for_each(|member| member.generation = -1);
        return;
    }
    for member in &mut group.members {
        member.generation =
            if claims == Claims::Wild { 4 + i32::try_from(dice.below(3)).unwrap() } else { 6 };
    }
    let count = group.members.len();
    // Some members are new; those that are not tend to the ones at the start.
    let (old, skew) = (1 + dice.below(count), 1 + dice.below(3));
    for (name, &partitions) in &group.topics {
        for number in 0..=partitions {
            let times = if claims == Claims::Wild { 1 + usize::from(dice.once_in(6)) } else { 1 };
            for _ in 0..times {
                let owner = &mut group.members[dice.below(old) / skew];
                let wild = claims == Claims::Wild && dice.once_in(8);
                let there = number < partitions && owner.topics.contains(name);
                if (there || wild) && !dice.once_in(6) {
                    owner.owned.push(TopicPartition::new(name.clone(), number));
                }
            }
        }
    }
    for member in &mut group.members {
        let turn = dice.below(member.owned.len());
        member.owned.rotate_left(turn);
    }
}
