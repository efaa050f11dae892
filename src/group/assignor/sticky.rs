//! Kafka's `sticky` where all members subscribe to the same topics.

use std::collections::VecDeque;

use super::claims::Claims;
use super::deal::{Deal, Owners};

/// P partitions among M members: P div M for each, one more for P mod M of them, and no member gives up more than that
/// demands.
pub(super) fn owners(deal: &Deal<'_>, claims: &Claims) -> Owners {
    let mut owners: Owners = (0..deal.partitions()).map(|partition| claims.owner(partition)).collect();
    let mut circle = release(deal, &mut owners);
    for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
        *owner = circle.next();
    }
    owners
}

/// Takes from members what is beyond their share; who may receive how much is the result.
///
/// The first P mod M members that have more than P div M keep one more.
fn release(deal: &Deal<'_>, owners: &mut Owners) -> Circle {
    let members = deal.members().len().max(1);
    let (share, extra) = (owners.len() / members, owners.len() % members);
    let mut owned = vec![0; deal.members().len()];
    for &owner in owners.iter().flatten() {
        owned[owner] += 1;
    }

    let mut with_extra = 0;
    let mut circle = Circle { below: VecDeque::new(), at_share: VecDeque::new() };
    let mut room = Vec::with_capacity(owned.len());
    for (member, &owned) in owned.iter().enumerate() {
        room.push(if owned < share {
            circle.below.push_back((member, share - owned));
            owned
        } else if owned > share && with_extra < extra {
            with_extra += 1;
            share + 1
        } else {
            circle.at_share.push_back(member);
            share
        });
    }

    // What stays is what comes first by number, then topic.
    let mut crowded = Vec::new();
    for topic in deal.topics() {
        for (partition, number) in topic.partitions() {
            if let Some(owner) = owners[partition].filter(|&owner| owned[owner] > room[owner]) {
                crowded.push((number, partition, owner));
            }
        }
    }
    crowded.sort_unstable();
    for (_, partition, owner) in crowded {
        if room[owner] > 0 {
            room[owner] -= 1;
        } else {
            owners[partition] = None;
        }
    }
    circle
}

/// Who gets the next partition that has no owner.
struct Circle {
    /// Members below their share with what they lack, those first whose turn it is.
    below: VecDeque<(usize, usize)>,
    /// Members with just their share, each of which may get one more: only when no member is below.
    at_share: VecDeque<usize>,
}

impl Circle {
    /// There is a member for each partition without an owner: as many partitions are left as members lack up to their
    /// shares, and one for each of the P mod M that has not kept one more already.
    fn next(&mut self) -> Option<usize> {
        let Some((member, lacks)) = self.below.pop_front() else { return self.at_share.pop_front() };
        if lacks > 1 {
            self.below.push_back((member, lacks - 1));
        } else {
            self.at_share.push_back(member);
        }
        Some(member)
    }
}
