use std::collections::BTreeSet;
use std::io;
use std::sync::Barrier;

use super::*;
use crate::sys::faults::{Faults, Operation};

fn allocate(catalog: &Catalog) -> i64 {
    catalog.allocate_producer_id(NOW).unwrap()
}

/// Bytes of the metadata log: they grow with each change.
fn log_bytes(root: &Path) -> u64 {
    fs::metadata(root.join("__cluster_metadata-0/00000000000000000000.log")).unwrap().len()
}

#[test]
fn ids_are_taken_in_blocks_and_one_by_one() {
    let (dir, catalog) = fresh(&[]);
    let before = log_bytes(dir.path());
    assert_eq!((allocate(&catalog), catalog.next_producer_id()), (0, 1000));
    let one_block = log_bytes(dir.path());
    assert!(one_block > before);
    for id in 1..1000 {
        assert_eq!(allocate(&catalog), id);
    }
    assert_eq!((log_bytes(dir.path()), catalog.next_producer_id()), (one_block, 1000));
    assert_eq!((allocate(&catalog), catalog.next_producer_id()), (1000, 2000));
    assert!(log_bytes(dir.path()) > one_block);
    // It is on disk before an id of it is given: what is left of it is lost, however the log ends.
    drop(catalog);
    let catalog = open(dir.path()).unwrap();
    assert_eq!((catalog.next_producer_id(), allocate(&catalog)), (2000, 2000));
    catalog.close().unwrap();
    drop(catalog);
    assert_eq!(allocate(&open(dir.path()).unwrap()), 3000);
}

#[test]
fn what_is_reserved_is_not_given() {
    let (dir, catalog) = fresh(&[]);
    assert_eq!(allocate(&catalog), 0);
    // Of the present block, which the log need not say again.
    assert!(!catalog.reserve_producer_ids(500, NOW).unwrap());
    assert_eq!(allocate(&catalog), 500);
    assert!(!catalog.reserve_producer_ids(7, NOW).unwrap());
    assert_eq!(allocate(&catalog), 501);
    assert!(!catalog.reserve_producer_ids(1000, NOW).unwrap());
    assert_eq!((allocate(&catalog), catalog.next_producer_id()), (1000, 2000));
    assert!(catalog.reserve_producer_ids(7777, NOW).unwrap());
    assert_eq!((allocate(&catalog), catalog.next_producer_id()), (7777, 8777));
    // Nor after one that was reserved before the first.
    drop(catalog);
    let catalog = open(dir.path()).unwrap();
    assert!(catalog.reserve_producer_ids(9000, NOW).unwrap());
    assert_eq!(allocate(&catalog), 9000);
}

#[test]
fn threads_get_different_ids() {
    const EACH: i64 = 1500;
    let (_dir, catalog) = fresh(&[]);
    let barrier = Barrier::new(2);
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| {
            scope.spawn(|| {
                barrier.wait();
                let ids: Vec<_> = (0..EACH).map(|_| allocate(&catalog)).collect();
                assert!(ids.is_sorted());
                ids
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let different: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(different, (0..2 * EACH).collect());
}

#[test]
fn ids_continue_above_those_of_a_broker() {
    for stopped in ["clean", "killed"] {
        let dir = copied(&format!("broker/{stopped}-4.1/logdir"));
        let catalog = open(dir.path()).unwrap();
        let next = catalog.next_producer_id();
        assert!(next >= 1000, "{next}");
        assert_eq!((allocate(&catalog), catalog.next_producer_id()), (next, next + 1000));
        // No batch that a broker has left has one of them.
        for log in catalog.partitions() {
            log.load().unwrap();
            assert!(log.leader().unwrap().highest_producer_id().unwrap().is_none_or(|id| id < next));
        }
        drop(catalog);
        let catalog = open(dir.path()).unwrap();
        assert_eq!(allocate(&catalog), next + 1000, "{stopped}");
    }
}

#[test]
fn a_block_that_cannot_be_written_gives_no_id() {
    let (dir, catalog) = fresh(&[]);
    drop(catalog);
    let mut disk = Disk::of(dir.path(), true, true);
    disk.faults = Faults::after(Operation::Write, i64::MAX, io::ErrorKind::StorageFull, false);
    let catalog = open_on(dir.path(), &disk).unwrap();
    for id in 0..1000 {
        assert_eq!(allocate(&catalog), id);
    }
    disk.faults.arm(0);
    catalog.allocate_producer_id(NOW).unwrap_err();
    drop(catalog);
    let next = allocate(&open(dir.path()).unwrap());
    assert!([1000, 2000].contains(&next), "{next}");

    let reader = open_to_tail(dir.path()).unwrap();
    assert!(matches!(reader.allocate_producer_id(NOW), Err(Error::ReadOnly)));
}

#[test]
fn the_last_ids_are_not_passed() {
    let (_dir, catalog) = fresh(&[]);
    catalog.reserve_producer_ids(i64::MAX - 1000, NOW).unwrap();
    assert_eq!(allocate(&catalog), i64::MAX - 1000);
    for _ in 1..1000 {
        allocate(&catalog);
    }
    let text = message(catalog.allocate_producer_id(NOW));
    assert!(text.contains("assigned up to 9223372036854775807"), "{text}");
}
