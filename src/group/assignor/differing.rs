//! Kafka's `sticky` where members subscribe to different topics.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::claims::Claims;
use super::deal::{Deal, DealtTopic, Owners};

/// Everybody keeps what it owns and still subscribes to; what has no owner goes to the subscriber with the fewest
/// partitions; then partitions move from members that have at least two more than another subscriber: first those that
/// were just assigned, then any.
///
/// In the end no member has two more than another that could take one of its partitions. That there is an end: a move
/// from a member with `a` partitions to one with `b` ≤ `a` − 2 lowers the sum of the squares of all counts by
/// 2(`a` − `b` − 1) ≥ 2, and levelling does nothing but such moves. Each also lowers Kafka's balance score, the sum of the
/// differences of all pairs: that of the two members by 2, and those of the two from any third together do not rise. So
/// Kafka's last step, to undo the moves if the score has not improved, has no work here.
pub(super) fn owners(deal: &Deal<'_>, claims: &Claims) -> Owners {
    let mut topics: Vec<_> = deal.topics().iter().collect();
    // Those first that the fewest members can take; they are in the order of their names.
    topics.sort_by_key(|topic| topic.subscribers().len());

    let mut balance = Balance::of_what_is_kept(deal, claims, &topics);
    balance.assign(&topics);
    balance.level(&topics, claims, Scope::JustDealt);
    balance.level(&topics, claims, Scope::All);
    balance.owners
}

/// Which partitions may move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those that no member has kept from before.
    JustDealt,
    All,
}

struct Balance {
    owners: Owners,
    /// How many partitions each member has.
    counts: Vec<usize>,
    /// Who had the partition before and may keep it, as far as balance permits.
    homes: Owners,
    /// Partitions that have moved away from home, by who has them and whose they were.
    strays: BTreeMap<(usize, usize), BTreeSet<usize>>,
}

impl Balance {
    fn of_what_is_kept(deal: &Deal<'_>, claims: &Claims, topics: &[&DealtTopic<'_>]) -> Self {
        let (mut homes, mut counts) = (deal.no_owners(), vec![0; deal.members().len()]);
        for topic in topics {
            for (partition, _) in topic.partitions() {
                if let Some(owner) = claims.owner(partition).filter(|&owner| topic.has_subscriber(owner)) {
                    homes[partition] = Some(owner);
                    counts[owner] += 1;
                }
            }
        }
        Self { owners: homes.clone(), counts, homes, strays: BTreeMap::new() }
    }

    /// Gives each partition that has no owner to the subscriber with the fewest.
    fn assign(&mut self, topics: &[&DealtTopic<'_>]) {
        for topic in topics {
            let subscribers = topic.subscribers().iter();
            let mut fewest_first: BinaryHeap<_> =
                subscribers.map(|&member| Reverse((self.counts[member], member))).collect();
            for (partition, _) in topic.partitions() {
                let Some(mut fewest) = fewest_first.peek_mut() else { break };
                if self.owners[partition].is_none() {
                    let Reverse((count, member)) = &mut *fewest;
                    self.owners[partition] = Some(*member);
                    *count += 1;
                    self.counts[*member] = *count;
                }
            }
        }
    }

    /// Moves partitions of the scope until none of them has an owner with two more than another subscriber.
    fn level(&mut self, topics: &[&DealtTopic<'_>], claims: &Claims, scope: Scope) {
        loop {
            let mut moved = false;
            for topic in topics {
                moved |= self.level_topic(topic, claims, scope);
            }
            if !moved {
                return;
            }
        }
    }

    fn level_topic(&mut self, topic: &DealtTopic<'_>, claims: &Claims, scope: Scope) -> bool {
        let mut moved = false;
        let mut fewest = self.fewest(topic);
        for (partition, _) in topic.partitions() {
            let Some(owner) = self.owners[partition] else { continue };
            if scope == Scope::JustDealt && self.homes[partition].is_some() {
                continue;
            }
            let former = claims.former_owner(partition).filter(|&former| topic.has_subscriber(former));
            if let Some(former) = former.filter(|&former| self.counts[owner] > self.counts[former] + 1) {
                self.give(partition, owner, former);
            } else if self.counts[owner] > self.counts[fewest] + 1 {
                self.move_one(partition, owner, fewest);
            } else {
                continue;
            }
            fewest = self.fewest(topic);
            moved = true;
        }
        moved
    }

    /// The subscriber with the fewest partitions; the first of them.
    fn fewest(&self, topic: &DealtTopic<'_>) -> usize {
        let subscribers = topic.subscribers().iter().copied();
        // A topic that is assigned has subscribers.
        subscribers.min_by_key(|&member| self.counts[member]).unwrap_or_default()
    }

    /// Moves this partition, or in its place one that thereby comes home.
    fn move_one(&mut self, partition: usize, from: usize, to: usize) {
        let homecoming = self.strays.get(&(from, to)).and_then(|strays| strays.first().copied());
        self.give(homecoming.unwrap_or(partition), from, to);
    }

    fn give(&mut self, partition: usize, from: usize, to: usize) {
        self.owners[partition] = Some(to);
        self.counts[from] -= 1;
        self.counts[to] += 1;
        let Some(home) = self.homes[partition] else { return };
        if let Some(strays) = self.strays.get_mut(&(from, home)) {
            strays.remove(&partition);
        }
        if to != home {
            self.strays.entry((to, home)).or_default().insert(partition);
        }
    }
}
