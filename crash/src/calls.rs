//! All public calls, in every order: each after each.

use std::time::Duration;

use stratalog::Durability;

use crate::oracle::{Sort, Stage, oracle};
use crate::random::Random;
use crate::session::{Look, Operation, Planned, Way};

/// So many calls there are.
pub const CALLS: usize = 36;

const LOOKS: [Look; 9] = [
    Look::Describe,
    Look::Groups,
    Look::Time,
    Look::Sizes,
    Look::Metrics,
    Look::DryRun,
    Look::SecondReader,
    Look::Enqueue,
    Look::Durable,
];
const LEVELS: [Durability; 3] =
    [Durability::Buffered, Durability::Synced, Durability::Interval(Duration::from_millis(500))];
const WAYS: [Way; 5] = [Way::Single, Way::Batch, Way::Buffered, Way::At, Way::Copies];

/// Numbers of calls in an order in which each comes once after each, itself too: a walk through all edges of the complete
/// graph.
pub fn each_after_each(random: &mut Random) -> Vec<usize> {
    let shuffled = |random: &mut Random| {
        let mut order: Vec<usize> = (0..CALLS).collect();
        (1..CALLS).for_each(|at| order.swap(at, random.index(at + 1)));
        order
    };
    let mut next: Vec<Vec<usize>> = (0..CALLS).map(|_| shuffled(random)).collect();
    let (mut path, mut walk) = (vec![random.index(CALLS)], Vec::new());
    while let Some(at) = path.last() {
        match next[*at].pop() {
            Some(to) => path.push(to),
            None => walk.extend(path.pop()),
        }
    }
    walk.reverse();
    walk
}

/// The call of this number, on something that is there.
pub fn numbered(number: usize, random: &mut Random) -> Operation {
    let there = oracle(|oracle| oracle.in_stage(Stage::Live));
    let new = || Operation::Create {
        name: format!("c{}", oracle(|oracle| oracle.topics.len())),
        sort: [Sort::Plain, Sort::Compacted, Sort::Retained][oracle(|oracle| oracle.topics.len()) % 3],
        partitions: 1,
    };
    if there.is_empty() {
        return new();
    }
    let (name, count, sort) = oracle(|oracle| {
        let topic = &oracle.topics[random.pick(&there)];
        (topic.name.clone(), topic.partitions_acked as u64, topic.sort)
    });
    let of = (name.clone(), random.below(count) as u32);
    let group = random.pick(&["g1", "g2"]);
    match number {
        0..15 => {
            let (way, level) = (WAYS[number % 5], LEVELS[number / 5]);
            let records = (0..3).map(|_| Planned {
                key: random.below(6) as u32,
                tombstone: sort == Sort::Compacted && random.one_in(6),
                length: 8 + random.below(900) as usize,
            });
            Operation::Send { to: of, level, way, records: records.collect() }
        }
        15..24 => Operation::Look(of.0, of.1, LOOKS[number - 15]),
        24 if there.len() < 4 => new(),
        24 | 25 if there.len() > 1 => Operation::Delete(name),
        24 | 25 => Operation::SyncAll,
        26 if count < 4 => Operation::AddPartition(name),
        26 | 27 => Operation::Alter(name, random.pick(&[1 << 20, 2 << 20])),
        28 => Operation::DeleteRecords(of.0, of.1, random.below(1001)),
        29 => Operation::Sync(of.0, of.1),
        30 => Operation::Maintain(random.pick(&[10, 600, 6000, 40_000])),
        31 | 32 => {
            let level = random.pick(&[Some(Durability::Buffered), Some(Durability::Synced), None]);
            Operation::Commit { group, of, share: random.below(1001), level }
        }
        33 => Operation::Forget { group, of, all: random.one_in(3) },
        34 => Operation::Member(name),
        _ => Operation::Read(of.0, of.1),
    }
}
