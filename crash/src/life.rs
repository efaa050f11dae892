//! Operations drawn by a seed. After an operation with an unknown outcome the life continues with the same log.

use std::time::Duration;

use stratalog::Durability;

use crate::oracle::{Sort, Stage, oracle};
use crate::random::Random;
use crate::session::{Operation, Planned, Way};

const LEVELS: [Durability; 4] = [
    Durability::Buffered,
    Durability::Buffered,
    Durability::Synced,
    Durability::Interval(Duration::from_millis(500)),
];

/// The next operation of a life, by what there is now.
pub fn next(random: &mut Random) -> Operation {
    let mut there = oracle(|oracle| oracle.in_stage(Stage::Live));
    let dice = random.below(100);
    if there.is_empty() || there.len() < 4 && dice < 4 {
        return create(random);
    }
    // What concerns topics that may be gone must be refused.
    there.extend(oracle(|oracle| oracle.in_stage(Stage::Unknown)));
    let number = random.pick(&there);
    let (name, sort, count) = oracle(|oracle| {
        let topic = &oracle.topics[number];
        (topic.name.clone(), topic.sort, topic.partitions_acked as u64)
    });
    let index = random.below(count) as u32;
    match dice {
        0..=54 => send(random, (name, index), sort),
        55..=60 => Operation::Sync(name, index),
        61..=63 => Operation::SyncAll,
        64..=73 => Operation::Maintain(random.pick(&[10, 600, 6000, 20_000, 40_000])),
        74..=76 => Operation::DeleteRecords(name, index, random.below(1001)),
        77 if random.one_in(2) => Operation::Member(name),
        77 if random.one_in(2) => Operation::Snapshot,
        77 => Operation::Read(name, index),
        78..=80 if there.len() > 1 => Operation::Delete(name),
        81..=82 if count < 4 => Operation::AddPartition(name),
        83..=84 => Operation::Alter(name, random.pick(&[1 << 20, 2 << 20])),
        85..=91 => Operation::Commit {
            group: random.pick(&["g1", "g2"]),
            of: (name, index),
            share: random.below(1001),
            level: random.pick(&[Some(Durability::Buffered), Some(Durability::Synced), None]),
        },
        92..=93 => {
            Operation::Forget { group: random.pick(&["g1", "g2"]), of: (name, index), all: random.one_in(3) }
        }
        94..=96 => Operation::Close,
        97..=99 => Operation::Kill,
        _ => Operation::SyncAll,
    }
}

fn create(random: &mut Random) -> Operation {
    let sort = random.pick(&[Sort::Plain, Sort::Compacted, Sort::Retained, Sort::Compacted]);
    // Few names, so that those of topics that were deleted come again.
    let mut name = format!("t{}", random.below(5));
    if oracle(|oracle| oracle.named(&name)).is_some() {
        name = format!("u{}", oracle(|oracle| oracle.topics.len()));
    }
    Operation::Create { name, sort, partitions: 1 + random.below(2) as u32 }
}

fn send(random: &mut Random, to: (String, u32), sort: Sort) -> Operation {
    let level = random.pick(&LEVELS);
    let way = random.pick(&[Way::Single, Way::Single, Way::Batch, Way::Buffered, Way::At, Way::Copies]);
    let count = if way == Way::Single { 1 } else { random.pick(&[1, 2, 4]) };
    let records = (0..count).map(|_| {
        // All of a batch fit into a segment.
        let most = if random.one_in(4) { if count == 1 { 1500 } else { 900 } } else { 200 };
        Planned {
            key: random.below(6) as u32,
            tombstone: sort == Sort::Compacted && random.one_in(6),
            length: 8 + random.below(most) as usize,
        }
    });
    Operation::Send { to, level, way, records: records.collect() }
}
