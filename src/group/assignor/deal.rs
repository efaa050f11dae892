//! What is assigned, and among whom, numbered through.

use std::collections::BTreeMap;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

use crate::position::TopicPartition;

use super::{Assignment, Claimant};

/// Which member gets each partition of a [`Deal`], by the numbers that they have there.
pub(super) type Owners = Vec<Option<usize>>;

/// Members in the order of their ids, and all partitions of existing topics that anybody subscribes to, in the order of
/// topic and number. A member's or a partition's place in that order identifies it in the rules.
pub(super) struct Deal<'a> {
    members: Vec<&'a Claimant<'a>>,
    /// The place of each member among the claimants that were given.
    given: Vec<usize>,
    /// By name.
    topics: Vec<DealtTopic<'a>>,
    partitions: usize,
    same_subscriptions: bool,
}

/// A topic that exists and has subscribers.
pub(super) struct DealtTopic<'a> {
    name: &'a Arc<str>,
    count: u32,
    first: usize,
    subscribers: Rc<[usize]>,
}

impl DealtTopic<'_> {
    /// Its partitions in order, each with its number in the topic.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (usize, u32)> {
        (self.first..).zip(0..self.count)
    }

    /// The members that subscribe to it, in order. At least one.
    pub(super) fn subscribers(&self) -> &[usize] {
        &self.subscribers
    }

    pub(super) fn has_subscriber(&self, member: usize) -> bool {
        self.subscribers.binary_search(&member).is_ok()
    }
}

impl<'a> Deal<'a> {
    pub(super) fn new(claimants: &'a [Claimant<'a>], topics: &'a BTreeMap<Arc<str>, u32>) -> Self {
        let mut given: Vec<_> = (0..claimants.len()).collect();
        given.sort_unstable_by_key(|&place| (claimants[place].id, place));
        let members: Vec<_> = given.iter().map(|&place| &claimants[place]).collect();

        let same_subscriptions = members.windows(2).all(|two| two[0].topics == two[1].topics);
        let subscribers = match members.first() {
            Some(any) if same_subscriptions => all_or_none(members.len(), any.topics, topics),
            _ => subscribers(&members, topics),
        };
        let mut subscribers = subscribers.into_iter();
        let mut partitions = 0;
        let topics = topics.iter().filter_map(|(name, &count)| {
            let subscribers = subscribers.next().filter(|some| !some.is_empty())?;
            let topic = DealtTopic { name, count, first: partitions, subscribers };
            partitions += topic.partitions().count();
            Some(topic)
        });
        let topics = topics.collect();
        Self { members, given, topics, partitions, same_subscriptions }
    }

    pub(super) fn members(&self) -> &[&'a Claimant<'a>] {
        &self.members
    }

    pub(super) fn topics(&self) -> &[DealtTopic<'a>] {
        &self.topics
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Owners before any assignment.
    pub(super) fn no_owners(&self) -> Owners {
        vec![None; self.partitions]
    }

    /// Whether the members name the same topics, existing or not.
    pub(super) fn all_subscribe_to_the_same(&self) -> bool {
        self.same_subscriptions
    }

    /// The partitions of these that are assigned here.
    pub(super) fn places<'b>(&'b self, of: &'b [TopicPartition]) -> impl Iterator<Item = usize> + 'b {
        let mut rest = of.iter();
        // Claims mostly come topic by topic.
        let mut latest: Option<&DealtTopic<'_>> = None;
        iter::from_fn(move || {
            loop {
                let one = rest.next()?;
                if latest.is_none_or(|topic| **topic.name != *one.topic()) {
                    latest = self.topic(one.topic());
                }
                let place = |topic: &DealtTopic<'_>| {
                    let number = usize::try_from(one.partition()).ok()?;
                    (one.partition() < topic.count).then_some(topic.first + number)
                };
                if let Some(place) = latest.and_then(place) {
                    return Some(place);
                }
            }
        })
    }

    fn topic(&self, name: &str) -> Option<&DealtTopic<'a>> {
        let found = self.topics.binary_search_by(|topic| (**topic.name).cmp(name)).ok()?;
        self.topics.get(found)
    }

    /// The members' lists, in the order in which the members were given.
    pub(super) fn lists(&self, owners: &Owners) -> Assignment {
        let mut counts = vec![0; self.members.len()];
        for &owner in owners.iter().flatten() {
            counts[self.given[owner]] += 1;
        }
        let mut lists: Assignment = counts.into_iter().map(Vec::with_capacity).collect();
        for topic in &self.topics {
            for (partition, number) in topic.partitions() {
                if let Some(owner) = owners[partition] {
                    lists[self.given[owner]].push(TopicPartition::new(topic.name.clone(), number));
                }
            }
        }
        lists
    }
}

/// Who subscribes to each of the topics, if all subscribe to `wanted`: one list serves for all topics.
fn all_or_none(members: usize, wanted: &[Arc<str>], topics: &BTreeMap<Arc<str>, u32>) -> Vec<Rc<[usize]>> {
    let (all, none): (Rc<[usize]>, Rc<[usize]>) = ((0..members).collect(), Rc::new([]));
    let of_topic = |name| if wanted.binary_search(name).is_ok() { all.clone() } else { none.clone() };
    topics.keys().map(of_topic).collect()
}

/// Who subscribes to each of the topics.
fn subscribers(members: &[&Claimant<'_>], topics: &BTreeMap<Arc<str>, u32>) -> Vec<Rc<[usize]>> {
    let names: Vec<_> = topics.keys().collect();
    let mut subscribers = vec![Vec::new(); names.len()];
    // Members that subscribe to the same topics as the one before need no search.
    let (mut latest, mut found): (&[Arc<str>], Vec<usize>) = (&[], Vec::new());
    for (member, claimant) in members.iter().enumerate() {
        if claimant.topics != latest {
            latest = claimant.topics;
            found = latest.iter().filter_map(|name| names.binary_search(&name).ok()).collect();
        }
        for &topic in &found {
            subscribers[topic].push(member);
        }
    }
    subscribers.into_iter().map(Rc::from).collect()
}
