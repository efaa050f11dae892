//! Short lives, written down: each of their system calls can be tried.

use stratalog::Durability::{Buffered, Synced};

use crate::oracle::Sort;
use crate::session::{Operation, Planned, Way};

pub struct Script {
    pub name: &'static str,
    pub operations: Vec<Operation>,
}

fn create(name: &str, sort: Sort, partitions: u32) -> Operation {
    Operation::Create { name: name.into(), sort, partitions }
}

/// Records of the keys 0, 1, and so on; a segment holds three or four of 1000 bytes.
fn send(name: &str, level: stratalog::Durability, way: Way, lengths: &[usize]) -> Operation {
    let records =
        lengths.iter().zip(0..).map(|(length, key)| Planned { key, tombstone: false, length: *length });
    Operation::Send { to: (name.into(), 0), level, way, records: records.collect() }
}

fn remove(name: &str, key: u32) -> Operation {
    let records = vec![Planned { key, tombstone: true, length: 0 }];
    Operation::Send { to: (name.into(), 0), level: Buffered, way: Way::Single, records }
}

fn commit(name: &str, share: u64) -> Operation {
    Operation::Commit { group: "g1", of: (name.into(), 0), share, level: Some(Synced) }
}

fn delete(name: &str) -> Operation {
    Operation::Delete(name.into())
}

pub fn scripts() -> Vec<Script> {
    let script = |name, operations| Script { name, operations };
    let plain = || create("a", Sort::Plain, 1);
    vec![
        script(
            "append",
            vec![
                plain(),
                send("a", Buffered, Way::Single, &[100]),
                send("a", Synced, Way::Batch, &[100, 300]),
                send("a", Buffered, Way::Buffered, &[50, 60, 70]),
                Operation::Sync("a".into(), 0),
                Operation::Close,
                send("a", Buffered, Way::Single, &[100]),
            ],
        ),
        script(
            "roll",
            vec![
                plain(),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Single, &[1500]),
                Operation::Maintain(600),
                send("a", Synced, Way::Single, &[1500]),
                send("a", Buffered, Way::Batch, &[1500]),
                Operation::Maintain(6000),
                Operation::SyncAll,
                Operation::Close,
            ],
        ),
        script(
            "compact",
            vec![
                create("a", Sort::Compacted, 1),
                send("a", Buffered, Way::Batch, &[900, 900, 900]),
                send("a", Buffered, Way::Batch, &[900, 900]),
                remove("a", 2),
                send("a", Synced, Way::Batch, &[900, 900, 100]),
                Operation::Maintain(6000),
                Operation::Maintain(6000),
                send("a", Buffered, Way::Batch, &[1900, 900]),
                Operation::Maintain(6000),
                Operation::Close,
            ],
        ),
        script(
            "delete-records",
            vec![
                plain(),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                Operation::DeleteRecords("a".into(), 0, 300),
                send("a", Buffered, Way::Batch, &[1500]),
                Operation::DeleteRecords("a".into(), 0, 1000),
                Operation::Maintain(2000),
                send("a", Synced, Way::Single, &[10]),
                Operation::Close,
            ],
        ),
        script(
            "retention",
            vec![
                create("a", Sort::Retained, 1),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Synced, Way::Batch, &[1500, 1500]),
                Operation::Maintain(40_000),
                send("a", Buffered, Way::Batch, &[1500]),
                Operation::Maintain(40_000),
                Operation::Maintain(2000),
                Operation::Close,
            ],
        ),
        script(
            "retention-by-size",
            vec![
                create("a", Sort::Retained, 1),
                // Of these segments most are deleted before they are synced.
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                Operation::Maintain(1000),
                send("a", Synced, Way::Batch, &[1500, 1500]),
                send("a", Buffered, Way::Batch, &[1500, 1500]),
                Operation::Maintain(2000),
                Operation::Close,
            ],
        ),
        script(
            "delete-topic",
            vec![
                plain(),
                create("b", Sort::Plain, 1),
                send("a", Synced, Way::Single, &[500]),
                send("b", Synced, Way::Single, &[500]),
                commit("a", 1000),
                delete("a"),
                send("b", Buffered, Way::Single, &[500]),
                Operation::Maintain(2000),
                Operation::Close,
            ],
        ),
        script(
            "same-name",
            vec![
                plain(),
                send("a", Synced, Way::Batch, &[1500, 1500]),
                commit("a", 1000),
                delete("a"),
                plain(),
                send("a", Synced, Way::Single, &[500]),
                Operation::Maintain(2000),
                commit("a", 1000),
                delete("a"),
                create("a", Sort::Compacted, 1),
                send("a", Buffered, Way::Batch, &[100, 200]),
                Operation::Close,
            ],
        ),
        script(
            "change",
            vec![
                plain(),
                send("a", Buffered, Way::Single, &[500]),
                Operation::AddPartition("a".into()),
                Operation::Alter("a".into(), 2 << 20),
                send("a", Synced, Way::Single, &[500]),
                Operation::Kill,
                Operation::AddPartition("a".into()),
                send("a", Buffered, Way::Batch, &[500, 500]),
                Operation::Close,
            ],
        ),
        script(
            "commit",
            vec![
                plain(),
                send("a", Synced, Way::Batch, &[100, 100, 100, 100]),
                commit("a", 250),
                Operation::Commit { group: "g2", of: ("a".into(), 0), share: 500, level: Some(Buffered) },
                commit("a", 750),
                Operation::Kill,
                commit("a", 500),
                Operation::Read("a".into(), 0),
                Operation::Close,
            ],
        ),
    ]
}
