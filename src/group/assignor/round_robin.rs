//! Kafka's `roundrobin`: all partitions of all topics in one circle of the members.

use super::deal::{Deal, Owners};

/// Each partition goes to the next member of the circle that subscribes to its topic; the circle continues after it.
pub(super) fn owners(deal: &Deal<'_>) -> Owners {
    let mut owners = deal.no_owners();
    let mut next = 0;
    for topic in deal.topics() {
        let subscribers = topic.subscribers();
        let mut place = subscribers.partition_point(|&member| member < next);
        for (partition, _) in topic.partitions() {
            // After the last one the circle begins anew.
            let member = *subscribers.get(place).unwrap_or(&subscribers[0]);
            place = if place < subscribers.len() { place + 1 } else { 1 };
            owners[partition] = Some(member);
            next = member + 1;
        }
    }
    owners
}
