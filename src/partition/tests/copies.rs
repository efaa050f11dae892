//! Where a map would hold its file fast, as on Windows, nothing is mapped, whatever ways are asked for.
//!
//! What no map holds can be trimmed, moved and removed; that it really can be is tried by all suites on such a system.

use std::fs;
use std::sync::Arc;

use super::fixture::{
    ANY, Fixture, MAPPED, TestRecord, append_numbered, numbered, preallocate_now, records_of,
};
use crate::config::ReadUpTo;
use crate::partition::{Cursor, Fetched, Leader};
use crate::sys::mapping::MapBudget;
use crate::sys::{Disk, platform};

const BYTES: usize = 100;

/// Both ways through maps are wanted, and there is no map to be had.
fn without_maps() -> Fixture {
    let mut fixture = Fixture::new(MAPPED, 2000);
    (fixture.disk.map_writes, fixture.disk.map_reads) = (true, true);
    if !platform::MAPS_PIN_FILES {
        fixture.disk.budget = Arc::new(MapBudget::of(0));
    }
    fixture
}

/// Everything there is, held as readers hold it: with the cursor that keeps the last segment open.
fn hold(log: &Arc<Leader>) -> (Cursor, Vec<Fetched>) {
    let mut cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
    let held = std::iter::from_fn(|| cursor.fetch(ANY).unwrap()).collect();
    (cursor, held)
}

fn check(held: &[Fetched], end: u64) {
    let found: Vec<(u64, TestRecord)> = held.iter().flat_map(records_of).collect();
    assert!(found.into_iter().eq((0..end).map(|offset| (offset, numbered(offset, BYTES)))));
}

#[test]
fn files_are_trimmed_moved_and_removed_with_no_map_of_them() {
    let fixture = without_maps();
    let log = fixture.open_new();
    for _ in 0..40 {
        append_numbered(&log, 2, BYTES).unwrap();
        preallocate_now(&log);
    }
    assert!(fixture.bases().len() > 3);
    let (cursor, held) = hold(&log);
    check(&held, 80);
    // What trims the files, those that are read among them.
    assert_eq!(fixture.disk.budget.used(), 0);
    log.close().unwrap();
    fixture.check_closed();
    check(&held, 80);
    drop(cursor);

    let log = fixture.open_clean(80);
    let (cursor, again) = hold(&log);
    append_numbered(&log, 2, BYTES).unwrap();
    assert_eq!(fixture.disk.budget.used(), 0);
    let moved = fixture.directory().with_extension("gone-delete");
    if let Err(failure) = fixture.disk.rename(&fixture.directory(), &moved) {
        assert!(!fixture.disk.moves_open_directories, "{failure}");
    } else {
        fs::rename(&moved, fixture.directory()).unwrap();
    }
    for base in fixture.bases() {
        fixture.disk.remove_file(&fixture.log_file(base)).unwrap();
    }
    check(&again, 80);
    check(&held, 80);
    drop((cursor, log));
}

#[test]
fn the_ways_of_a_system_that_holds_mapped_files_fast() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::of(dir.path(), true, true);
    assert_eq!(platform::MAPS_PIN_FILES, cfg!(any(windows, held_files)));
    assert!(!(platform::MAPS_PIN_FILES && (disk.map_reads || disk.map_writes)));
    assert_eq!(disk.moves_open_directories, !cfg!(any(windows, held_files)));
}
