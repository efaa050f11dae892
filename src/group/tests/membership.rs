//! The members of a group against what they themselves believe, in any order of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::config::Assignor;
use crate::format::uuid::Uuid;
use crate::group::assignor::{self, Claimant};
use crate::group::membership::{Known, Membership};
use crate::position::TopicPartition;

const MEMBERS: usize = 5;
const TOPICS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Join(usize, u8),
    Leave(usize),
    Subscribe(usize, u8),
    Poll(usize),
    /// Makes, grows or, with 0, deletes a topic.
    Topic(usize, u32),
    /// Deletes it and makes another one of the same name.
    Again(usize, u32),
    Quiet,
}

fn step() -> impl Strategy<Value = Step> {
    let (member, topics) = (0..MEMBERS, 0..1_u8 << TOPICS);
    prop_oneof![
        3 => (member.clone(), topics.clone()).prop_map(|(m, t)| Step::Join(m, t)),
        2 => member.clone().prop_map(Step::Leave),
        2 => (member.clone(), topics).prop_map(|(m, t)| Step::Subscribe(m, t)),
        8 => member.prop_map(Step::Poll),
        2 => (0..TOPICS, 0..7_u32).prop_map(|(t, n)| Step::Topic(t, n)),
        1 => (0..TOPICS, 1..5_u32).prop_map(|(t, n)| Step::Again(t, n)),
        1 => Just(Step::Quiet),
    ]
}

/// A consumer, as far as it knows.
#[derive(Debug, Default)]
struct Believer {
    id: Arc<str>,
    topics: Vec<Arc<str>>,
    held: BTreeSet<TopicPartition>,
    reported: Vec<TopicPartition>,
    /// By what its polls announced.
    announced: BTreeSet<TopicPartition>,
}

#[derive(Debug)]
struct World {
    membership: Membership,
    assignor: Assignor,
    topics: BTreeMap<Arc<str>, Known>,
    members: BTreeMap<usize, Believer>,
    joined: u32,
    made: u8,
}

fn name(topic: usize) -> Arc<str> {
    format!("t{topic}").into()
}

fn names(bits: u8) -> Vec<Arc<str>> {
    (0..TOPICS).filter(|topic| bits & (1 << topic) != 0).map(name).collect()
}

impl World {
    fn new(assignor: Assignor) -> Self {
        let (topics, members) = (BTreeMap::new(), BTreeMap::new());
        Self { membership: Membership::default(), assignor, topics, members, joined: 0, made: 0 }
    }

    fn make(&mut self, topic: usize, partitions: u32) {
        self.made += 1;
        let known = Known { id: Uuid::from_bytes([self.made; 16]), partitions };
        self.topics.insert(name(topic), known);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join(member, bits) if !self.members.contains_key(&member) => {
                let id: Arc<str> = format!("m{:04}", self.joined).into();
                self.joined += 1;
                let topics = self.topics.clone();
                let known = |name: &str| topics.get(name).copied();
                self.membership.join(Arc::clone(&id), names(bits), self.assignor, known);
                let topics = names(bits);
                self.members.insert(member, Believer { id, topics, ..Believer::default() });
            }
            Step::Leave(member) => {
                if let Some(gone) = self.members.remove(&member) {
                    self.membership.leave(&gone.id);
                }
            }
            Step::Subscribe(member, bits) => {
                if let Some(believer) = self.members.get_mut(&member) {
                    believer.topics = names(bits);
                }
                self.look(member);
            }
            Step::Poll(member) => self.poll(member),
            Step::Topic(topic, 0) => {
                self.topics.remove(&name(topic));
            }
            Step::Topic(topic, partitions) => match self.topics.get_mut(&name(topic)) {
                Some(known) => known.partitions = known.partitions.max(partitions),
                None => self.make(topic, partitions),
            },
            Step::Again(topic, partitions) => self.make(topic, partitions),
            Step::Quiet => self.reconcile_all(),
            Step::Join(..) => {}
        }
    }

    fn look(&mut self, member: usize) {
        if let Some(believer) = self.members.get(&member) {
            let known = |name: &str| self.topics.get(name).copied();
            self.membership.subscribe(&believer.id, believer.topics.clone(), known);
        }
    }

    fn poll(&mut self, member: usize) {
        self.look(member);
        let Some(believer) = self.members.get_mut(&member) else { return };
        let held: Vec<_> = believer.held.iter().cloned().collect();
        let change = self.membership.reconcile(&believer.id, &held, &believer.reported).unwrap();
        for gone in change.lost.iter().chain(&change.released) {
            assert!(believer.held.remove(gone), "{gone} was not held");
            believer.announced.remove(gone);
        }
        for kept in change.kept {
            assert!(believer.held.contains(&kept), "{kept} was not held");
            assert!(believer.announced.insert(kept.clone()), "{kept} was announced already");
        }
        for new in change.claimed {
            assert!(believer.held.insert(new.clone()), "{new} was held");
            assert!(believer.announced.insert(new.clone()), "{new} was announced already");
        }
        assert!(change.revoked.iter().all(|leaving| believer.held.contains(leaving)));
        change.revoked.iter().for_each(|leaving| assert!(believer.announced.remove(leaving), "{leaving}"));
        believer.reported = change.revoked;
        let reads = believer.held.iter().filter(|of| !believer.reported.contains(of));
        assert!(reads.eq(&believer.announced), "it reads what was announced to it");
    }

    /// Everybody polls until nothing moves any more.
    fn reconcile_all(&mut self) {
        for round in 0.. {
            assert!(round < 8, "the group does not come to rest");
            let before: Vec<_> = self.members.values().map(|member| member.held.clone()).collect();
            let members: Vec<_> = self.members.keys().copied().collect();
            for member in &members {
                self.poll(*member);
            }
            let same = self.members.values().map(|member| &member.held).eq(&before);
            if same && self.members.values().all(|member| member.reported.is_empty()) {
                break;
            }
        }
        self.check_rest();
    }

    fn check_rest(&self) {
        assert!(self.membership.is_stable());
        assert!(!self.membership.members().any(|(_, member)| self.membership.has_pending_change(member)));
        let mut wanted = BTreeSet::new();
        for (name, known) in &self.topics {
            if self.members.values().any(|member| member.topics.contains(name)) {
                wanted.extend((0..known.partitions).map(|n| TopicPartition::new(Arc::clone(name), n)));
            }
        }
        let held: BTreeSet<_> =
            self.members.values().flat_map(|member| member.held.iter().cloned()).collect();
        assert_eq!(held, wanted, "exactly what is subscribed has an owner");
        for member in self.members.values() {
            assert!(member.held.iter().all(|of| member.topics.iter().any(|topic| **topic == *of.topic())));
        }
        let mut alike = self.members.values().map(|member| &member.topics);
        let first = alike.next();
        if alike.all(|topics| Some(topics) == first) && self.assignor != Assignor::Range {
            let counts = || self.members.values().map(|member| member.held.len());
            assert!(counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= 1, "balanced");
        }
    }

    /// No member believes to have what another one has, whatever is under way. What was deleted has no owner, though some
    /// have not heard of it.
    fn check_always(&self) {
        let mut owners: BTreeMap<&TopicPartition, &str> = BTreeMap::new();
        for member in self.members.values() {
            for of in &member.held {
                if self.membership.owner(of).is_some_and(|owner| *owner == member.id) {
                    assert_eq!(owners.insert(of, &member.id), None, "{of} has two owners");
                }
            }
        }
        for (id, member) in self.membership.members() {
            for of in member.owned() {
                assert_eq!(self.membership.owner(of), Some(id));
            }
        }
    }
}

fn assignor() -> impl Strategy<Value = Assignor> {
    proptest::sample::select(Assignor::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_partition_has_one_owner_at_most_and_one_at_rest(
        assignor in assignor(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(assignor);
        for step in steps {
            world.take(step);
            world.check_always();
        }
        world.reconcile_all();
    }

    /// What members read after their first polls, before anybody has released anything, is what Kafka's cooperative
    /// assignor answers for the first round.
    #[test]
    fn the_first_turns_are_the_first_round_of_the_cooperative_protocol(
        before in proptest::collection::vec(step(), 1..40),
        then in step(),
    ) {
        let mut world = World::new(Assignor::CooperativeSticky);
        for step in before { world.take(step); }
        world.reconcile_all();
        // A member comes, goes, or wants something else, or a topic grows; none reconciles.
        if !matches!(then, Step::Poll(_) | Step::Quiet | Step::Again(..) | Step::Topic(_, 0)) {
            world.take(then);
        }
        let members: Vec<_> = world.members.keys().copied().collect();
        for member in &members { world.look(*member); }
        let still = |world: &World, of: &TopicPartition| {
            world.topics.get(of.topic()).is_some_and(|known| of.partition() < known.partitions)
        };
        let claims: BTreeMap<_, Vec<_>> = world
            .members
            .values()
            .map(|one| (Arc::clone(&one.id), one.held.iter().filter(|of| still(&world, of)).cloned().collect()))
            .collect();
        let claimants = claims.iter().map(|(id, owned)| {
            let member = world.members.values().find(|member| member.id == *id).unwrap();
            Claimant { id, topics: &member.topics, owned, generation: 0 }
        });
        let counts = world.topics.iter().map(|(name, known)| (Arc::clone(name), known.partitions)).collect();
        let answer =
            assignor::assign(Assignor::CooperativeSticky, &claimants.collect::<Vec<_>>(), &counts);
        let answer: BTreeMap<_, _> = claims.keys().cloned().zip(answer).collect();
        for member in &members { world.poll(*member); }
        for member in world.members.values() {
            let read = member.held.iter().filter(|of| !member.reported.contains(of)).cloned();
            prop_assert_eq!(read.collect::<Vec<_>>(), answer[&member.id].clone());
        }
    }

    /// Of equal members that share partitions evenly, one that comes or goes moves no more than it must.
    #[test]
    fn sticky_moves_the_least(partitions in 1..30_u32, members in 1..6_usize, leaves in any::<bool>()) {
        let mut world = World::new(Assignor::CooperativeSticky);
        world.make(0, partitions);
        (0..members).for_each(|member| world.take(Step::Join(member, 1)));
        world.reconcile_all();
        let before: BTreeMap<usize, _> = world.members.iter().map(|(at, m)| (*at, m.held.clone())).collect();
        if leaves && members > 1 {
            world.take(Step::Leave(0));
        } else {
            world.take(Step::Join(members, 1));
        }
        world.reconcile_all();
        let (partitions, now) = (partitions as usize, world.members.len());
        let (least, more) = (partitions / now, partitions % now);
        // A member that stays keeps what it had, up to a share; as many shares are larger as the division leaves over.
        let mut counts: Vec<_> = before.iter().filter(|(at, _)| world.members.contains_key(at)).map(|(_, held)| held.len()).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let quota = |at: usize| if at < more { least + 1 } else { least };
        let could: usize = counts.iter().enumerate().map(|(at, count)| (*count).min(quota(at))).sum();
        let kept: usize = world
            .members
            .iter()
            .filter_map(|(at, member)| Some(before.get(at)?.intersection(&member.held).count()))
            .sum();
        prop_assert_eq!(kept, could);
    }
}

#[test]
fn a_partition_goes_from_hand_to_hand_in_three_turns() {
    let mut world = World::new(Assignor::CooperativeSticky);
    world.make(0, 2);
    world.take(Step::Join(0, 1));
    world.poll(0);
    assert_eq!(world.members[&0].held.len(), 2);
    world.take(Step::Join(1, 1));
    world.poll(1);
    assert!(world.members[&1].held.is_empty(), "the first member has not released them");
    world.poll(0);
    assert_eq!(
        (world.members[&0].held.len(), world.members[&0].reported.len()),
        (2, 1),
        "reported, but still its own"
    );
    world.poll(1);
    assert!(world.members[&1].held.is_empty());
    world.poll(0);
    assert_eq!(world.members[&0].held.len(), 1);
    world.poll(1);
    assert_eq!(world.members[&1].held.len(), 1);
    world.check_rest();
}

#[test]
fn a_partition_that_comes_back_before_it_was_released_stays() {
    let mut world = World::new(Assignor::CooperativeSticky);
    world.make(0, 2);
    world.take(Step::Join(0, 1));
    world.poll(0);
    world.take(Step::Join(1, 1));
    world.poll(0);
    world.take(Step::Leave(1));
    world.poll(0);
    assert_eq!((world.members[&0].held.len(), world.members[&0].reported.len()), (2, 0));
    world.check_rest();
}
