//! Kafka's `range`: each topic by itself, in consecutive runs.

use super::deal::{Deal, Owners};

/// P partitions among M subscribers: P div M for each, and one more for the first P mod M.
///
/// Topics with as many partitions and the same subscribers are cut at the same numbers, which is what joins rely on.
pub(super) fn owners(deal: &Deal<'_>) -> Owners {
    let mut owners = deal.no_owners();
    for topic in deal.topics() {
        let (count, members) = (topic.partitions().count(), topic.subscribers().len());
        let (each, extra) = (count / members, count % members);
        let mut partitions = topic.partitions();
        for (place, &member) in topic.subscribers().iter().enumerate() {
            let run = each + usize::from(place < extra);
            for (partition, _) in partitions.by_ref().take(run) {
                owners[partition] = Some(member);
            }
        }
    }
    owners
}
