//! Readers keep files open by the strictest rules that Windows has for that, see `sys::held_names`: an open file cannot be
//! replaced, and its name stays when it is removed.

use std::fs::{self, File};
use std::io::ErrorKind;

use super::fixture::{
    ANY, Fixture, POSITIONED, TestRecord, append_numbered, assert_numbered, batches_of, numbered, raise,
    records_of,
};
use crate::background::retention::{Stint, retain};
use crate::config::ReadUpTo;
use crate::error::Error;
use crate::partition::{Checkpointed, Cursor, Fetched, PartitionSettings, Retention};
use crate::sys::faults::Faults;

const BYTES: usize = 100;

fn held_fixture(segment_bytes: u32) -> Fixture {
    let mut fixture = Fixture::new(POSITIONED, segment_bytes);
    fixture.disk.faults = Faults::default().with_held_names();
    fixture.disk.keeps_removed_names = true;
    fixture
}

/// Names that the system shows now.
fn names(fixture: &Fixture) -> Vec<String> {
    fixture.disk.list(&fixture.directory()).unwrap().into_iter().map(|(name, _)| name).collect()
}

fn check(held: &[Fetched], from: u64) {
    let found: Vec<(u64, TestRecord)> = held.iter().flat_map(records_of).collect();
    assert!(
        found.into_iter().eq((from..).map(|offset| (offset, numbered(offset, BYTES))).take(2 * held.len()))
    );
}

#[test]
fn retention_deletes_segments_that_readers_have_open() {
    let mut fixture = held_fixture(300);
    let log = fixture.open_new();
    (0..10).for_each(|_| _ = append_numbered(&log, 2, BYTES).unwrap());
    assert_eq!(fixture.bases().len(), 10);
    // One reader in each segment, with the file open.
    let mut readers: Vec<_> =
        (0..20).step_by(2).map(|at| Cursor::new(log.clone(), at, ReadUpTo::Visible)).collect();
    let held: Vec<_> = readers.iter_mut().map(|reader| reader.fetch(ANY).unwrap().unwrap()).collect();

    let delay = 50;
    fixture.settings.retention =
        Retention { deletes: true, bytes: None, ms: Some(1), file_delete_delay_ms: delay };
    log.set_settings(PartitionSettings { ..fixture.settings.clone() });
    let all_are_old = i64::MAX / 2;
    for now in [all_are_old, all_are_old + delay] {
        retain(std::slice::from_ref(&log), now, Stint::Whole, raise).1.unwrap();
    }
    assert_eq!(log.log_start(), 20);
    check(&held, 0);
    assert_eq!(append_numbered(&log, 2, BYTES).unwrap(), 20);
    assert_numbered(&log, 20..22, BYTES);
    for reader in &mut readers {
        // In the file that is open, or past it.
        assert!(matches!(reader.fetch(ANY), Ok(Some(_)) | Err(Error::OffsetOutOfRange { .. })));
    }
    log.close().unwrap();

    // Removed files that are still open do not come back, and are no hindrance.
    let again = fixture.open(Checkpointed { log_start: 20, ..clean(22) });
    assert_numbered(&again, 20..22, BYTES);
    again.close().unwrap();
    drop((readers, log, again));
    assert!(!names(&fixture).iter().any(|name| name.ends_with(".deleted")), "{:?}", names(&fixture));
    check(&held, 0);
}

fn clean(end: u64) -> Checkpointed {
    Checkpointed { clean: true, recovery_point: Some(end), ..Checkpointed::default() }
}

/// A partition of one segment in which a hole is followed by complete batches, and what is in the file.
fn with_hole(fixture: &Fixture) -> (Vec<u8>, usize) {
    let log = fixture.open_new();
    for count in [3, 1, 2, 4] {
        append_numbered(&log, count, BYTES).unwrap();
    }
    log.close().unwrap();
    let mut file = fs::read(fixture.log_file(0)).unwrap();
    let hole = batches_of(&file, 0)[1];
    file[hole.position + 61..hole.position + hole.bytes].fill(0);
    fs::write(fixture.log_file(0), &file).unwrap();
    (file, hole.position)
}

#[test]
fn recovery_has_nothing_open_that_it_replaces() {
    let fixture = held_fixture(1 << 20);
    with_hole(&fixture);
    let log = fixture.open_unclean(0);
    assert_eq!(log.load().unwrap().unwrap().log_end, 3);
    append_numbered(&log, 2, BYTES).unwrap();
    log.close().unwrap();
    assert_numbered(&fixture.open_clean(5), 0..5, BYTES);
}

#[test]
fn recovery_waits_for_others_to_close_what_it_has_to_replace_and_loses_nothing() {
    let fixture = held_fixture(1 << 20);
    let (file, cut) = with_hole(&fixture);
    let before = fixture.files();
    let other = File::open(fixture.log_file(0)).unwrap();
    for _ in 0..3 {
        let failure = fixture.open_unclean(0).load().unwrap_err();
        assert!(
            matches!(&failure, Error::Io(failure) if failure.source.kind() == ErrorKind::PermissionDenied)
        );
        assert_eq!(fs::read(fixture.log_file(0)).unwrap(), file);
        // Nor does each attempt leave a copy.
        assert_eq!(fixture.files(), before);
    }
    drop(other);
    let log = fixture.open_unclean(0);
    let report = log.load().unwrap().unwrap();
    assert_eq!(report.log_end, 3);
    assert_eq!(fs::read(&report.kept[0]).unwrap(), file[cut..]);
}
