//! Assignors: how the partitions of a group's topics are assigned among its members.
//!
//! Pure functions with the rules of Kafka's own assignors (format page, 10.6), so that a group that moves between us and
//! Kafka's clients moves no partition without need. Where Kafka's client leaves a tie to the order of a hash map, the
//! member whose id comes first wins: the same input gives the same result in any order of the members.
//!
//! [`Deal`] numbers members and partitions, [`Claims`] checks what the members say they own; each rule then says for
//! each partition which member gets it.

mod claims;
mod deal;
mod differing;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Assignor;
use crate::position::TopicPartition;

use claims::Claims;
use deal::{Deal, Owners};

/// A member as the assignors see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant<'a> {
    /// The members' order is that of their ids, compared as strings. No two are the same.
    pub(crate) id: &'a str,
    /// What it subscribes to, sorted, no topic twice. Topics that do not exist are allowed.
    pub(crate) topics: &'a [Arc<str>],
    /// What it says it owns, in any order, true or not.
    pub(crate) owned: &'a [TopicPartition],
    /// The generation of that claim; -1 if there is none.
    pub(crate) generation: i32,
}

/// One list of partitions per member, in the order of the members given; each sorted by topic, then number.
pub(crate) type Assignment = Vec<Vec<TopicPartition>>;

/// What Kafka's assignor of that name answers. Tests compare [`target`], and the rounds that lead to it, with this; `topics`
/// gives each topic's number of partitions.
///
/// [`Assignor::CooperativeSticky`] holds back, for this round, the partitions that would pass from one member to another: they
/// have no owner in the result. Once their owners have released them, the next round assigns them.
#[cfg(test)]
pub(crate) fn assign(
    assignor: Assignor,
    claimants: &[Claimant<'_>],
    topics: &BTreeMap<Arc<str>, u32>,
) -> Assignment {
    let deal = Deal::new(claimants, topics);
    let claims = Claims::new(&deal);
    let mut owners = owners(assignor, &deal, &claims);
    if assignor == Assignor::CooperativeSticky {
        withhold(&claims, &mut owners);
    }
    deal.lists(&owners)
}

/// What the members should own in the end, by Kafka's rules; `topics` gives each topic's number of partitions.
pub(crate) fn target(
    assignor: Assignor,
    claimants: &[Claimant<'_>],
    topics: &BTreeMap<Arc<str>, u32>,
) -> Assignment {
    let deal = Deal::new(claimants, topics);
    let claims = Claims::new(&deal);
    deal.lists(&owners(assignor, &deal, &claims))
}

fn owners(assignor: Assignor, deal: &Deal<'_>, claims: &Claims) -> Owners {
    match assignor {
        Assignor::Range => range::owners(deal),
        Assignor::RoundRobin => round_robin::owners(deal),
        Assignor::Sticky | Assignor::CooperativeSticky if deal.all_subscribe_to_the_same() => {
            sticky::owners(deal, claims)
        }
        Assignor::Sticky | Assignor::CooperativeSticky => differing::owners(deal, claims),
    }
}

/// Takes partitions from new owners for as long as another member may still be reading them: all that are claimed, unless
/// the claim is the new owner's and good.
#[cfg(test)]
fn withhold(claims: &Claims, owners: &mut Owners) {
    for (partition, owner) in owners.iter_mut().enumerate() {
        if claims.is_claimed(partition) && claims.owner(partition) != *owner {
            *owner = None;
        }
    }
}
