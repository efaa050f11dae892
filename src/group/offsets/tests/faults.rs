use std::io;

use super::*;
use crate::sys::faults::{Faults, Operation};

/// Commits that are not covered by one sync, one create, one write and so on.
fn commit_some(fixture: &Fixture, level: Durability) -> (u64, Result<()>) {
    for n in 1..=30 {
        let position = Position::new(("t", 0), n);
        if let Err(failure) = fixture.offsets.commit("g", &[position], NOW, level) {
            return (n, Err(failure));
        }
    }
    (31, Ok(()))
}

#[test]
fn whatever_fails_the_last_commit_that_succeeded_is_there() {
    for operation in [Operation::Write, Operation::Sync, Operation::Create, Operation::Allocate] {
        for level in [Durability::Buffered, Durability::Synced] {
            let mut struck = 0;
            for nth in 0..60 {
                let fixture = Fixture::new();
                fixture.offsets.shards_to_write(NOW).unwrap();
                let dir = Arc::clone(&fixture.dir);
                drop(fixture);
                let faults = Faults::after(operation, nth, io::ErrorKind::Other, false);
                // Without maps every append is an operation that can fail.
                let disk = Disk { faults: faults.clone(), ..Disk::of(dir.path(), false, true) };
                let Ok(catalog) = open_with(dir.path(), &disk, false, CatalogOptions::default()) else {
                    continue;
                };
                let fixture = Fixture::of(dir, Arc::new(catalog));
                let (failed_at, outcome) = commit_some(&fixture, level);
                if !faults.have_struck() {
                    assert!(outcome.is_ok() && failed_at == 31, "{operation:?} {nth}: {outcome:?}");
                    break;
                }
                struck += 1;
                let fixture = fixture.reopened();
                let there = fixture.offset("g", "t", 0).unwrap_or(0);
                let expected = failed_at - 1..=failed_at.min(30);
                assert!(expected.contains(&there), "{operation:?} {nth}: {there}, {outcome:?}");
            }
            assert!(struck > 0, "{operation:?} never fails");
        }
    }
}

#[test]
fn a_full_disk_says_so_and_commits_continue_when_there_is_space() {
    let fixture = Fixture::new();
    fixture.offsets.shards_to_write(NOW).unwrap();
    let dir = Arc::clone(&fixture.dir);
    drop(fixture);
    let faults = Faults::after(Operation::Create, 0, io::ErrorKind::StorageFull, true);
    let disk = Disk { faults: faults.clone(), ..Disk::of(dir.path(), true, true) };
    let fixture = Fixture::open_on(dir, &disk);
    let position = [Position::new(("t", 0), 5)];
    let commit = || fixture.offsets.commit("g", &position, NOW, Durability::Buffered);
    assert!(matches!(commit(), Err(Error::StorageFull { .. })));
    assert_eq!(fixture.offset("g", "t", 0), None);
    faults.heal();
    commit().unwrap();
    assert_eq!(fixture.offset("g", "t", 0), Some(5));
}

#[test]
fn a_poisoned_or_closed_partition_says_so() {
    let fixture = Fixture::new();
    fixture.commit("g", "t", 0, 1);
    let shards = fixture.offsets.shards().unwrap().unwrap();
    shards.of("g").unwrap().log().leader().unwrap().poison_after_panic("a test");
    let commit =
        |offset| fixture.offsets.commit("g", &[Position::new(("t", 0), offset)], NOW, Durability::Buffered);
    assert!(matches!(commit(2), Err(Error::Poisoned(_))));
    assert_eq!(fixture.offset("g", "t", 0), Some(1));
    let failure = shards.of("g").unwrap().log().close();
    assert!(failure.is_err());

    let fixture = Fixture::new();
    fixture.commit("g", "t", 0, 1);
    fixture.offsets.shards().unwrap().unwrap().of("g").unwrap().log().close().unwrap();
    let position = [Position::new(("t", 0), 2)];
    let failure = fixture.offsets.commit("g", &position, NOW, Durability::Buffered);
    assert!(matches!(failure, Err(Error::Closed)));
    assert_eq!(fixture.reopened().offset("g", "t", 0), Some(1));
}

#[test]
fn a_commit_of_more_than_a_batch_of_the_topic_takes_is_there_as_a_whole_or_not_at_all() {
    let positions: Vec<_> = (0..60_000).map(|number| Position::new(("t", number), 7)).collect();
    for nth in 0..4 {
        let fixture = Fixture::new();
        fixture.offsets.shards_to_write(NOW).unwrap();
        let dir = Arc::clone(&fixture.dir);
        drop(fixture);
        let faults = Faults::after(Operation::Write, i64::MAX, io::ErrorKind::StorageFull, false);
        let disk = Disk { faults: faults.clone(), ..Disk::of(dir.path(), false, true) };
        let fixture = Fixture::open_on(dir, &disk);
        fixture.commit("g", "t", 0, 1);
        faults.arm(nth);
        let committed = fixture.offsets.commit("g", &positions, NOW, Durability::Buffered);
        let expected = if committed.is_ok() { positions.len() } else { 1 };
        assert_eq!(committed.is_err(), faults.have_struck(), "{committed:?}");
        assert!(matches!(committed, Ok(()) | Err(Error::StorageFull { .. })), "{committed:?}");
        assert_eq!(fixture.all_of("g").len(), expected);
        assert_eq!(fixture.reopened().all_of("g").len(), expected);
        if expected > 1 {
            return;
        }
    }
    panic!("it never succeeds");
}
