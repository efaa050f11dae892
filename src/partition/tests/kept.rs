//! Maps that lookups leave for the next ones: what is opened once, and what of a segment is left when it leaves the log.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{
    ANY, Fixture, MAPPED, append_numbered, assert_numbered, delete_records, numbered, raise, records_of,
};
use crate::background::retention::{Stint, retain};
use crate::config::ReadUpTo;
use crate::error::Error;
use crate::format::index::{OFFSET_ENTRY, OffsetEntry};
use crate::partition::{Checkpointed, Cursor, Leader, Retention};
use crate::segment::{OFFSET_INDEX, POSITIONS_DIFFER};
use crate::sys::faults::{Faults, NameKeeper};
use crate::sys::mapping::MapBudget;

const BYTES: usize = 100;
const RECORDS: u64 = 60;
/// Most maps that a log keeps.
const MOST: usize = 16;

/// The names of files that were opened.
#[derive(Debug, Default)]
struct Opened(Mutex<Vec<String>>);

impl NameKeeper for Opened {
    fn before_open(&self, path: &Path) -> io::Result<()> {
        self.0.lock().push(path.file_name().unwrap().to_str().unwrap().to_owned());
        Ok(())
    }

    fn before_rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn before_remove(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn before_list(&self, _directory: &Path) {}
}

impl Opened {
    /// How many files with this ending were opened since the last call.
    fn take(&self, ending: &str) -> usize {
        std::mem::take(&mut *self.0.lock()).iter().filter(|name| name.ends_with(ending)).count()
    }
}

/// A log of closed segments with a batch for each record, and what it opens.
fn closed(fixture: &Fixture, records: u64) -> (Arc<Leader>, Arc<Opened>) {
    let log = fixture.open_new();
    (0..records).for_each(|_| _ = append_numbered(&log, 1, BYTES).unwrap());
    log.close().unwrap();
    reopened(fixture, records)
}

fn reopened(fixture: &Fixture, records: u64) -> (Arc<Leader>, Arc<Opened>) {
    let opened = Arc::new(Opened::default());
    let faults = Faults::by_names(Arc::clone(&opened) as Arc<dyn NameKeeper>);
    let known = Checkpointed { clean: true, recovery_point: Some(records), ..Checkpointed::default() };
    let log = fixture.open_with(&faults, known);
    log.load().unwrap();
    opened.take("");
    (log, opened)
}

fn fixture(segment_bytes: u32) -> Fixture {
    let mut fixture = Fixture::new(MAPPED, segment_bytes);
    (fixture.disk.map_writes, fixture.disk.map_reads) = (true, true);
    fixture
}

/// What a consumer does that seeks and polls.
fn look_up(log: &Arc<Leader>, offset: u64) {
    let mut cursor = Cursor::new(Arc::clone(log), offset, ReadUpTo::Visible);
    let found = records_of(&cursor.fetch(ANY).unwrap().unwrap());
    assert_eq!(found.first(), Some(&(offset, numbered(offset, BYTES))));
}

/// How many maps there are of log files of the partition, as the system has it. Not that of a writer.
pub(super) fn mapped(fixture: &Fixture) -> usize {
    let directory = fixture.directory();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains(directory.to_str().unwrap()));
    ours.filter(|line| !line.contains(" rw-s ")).count()
}

#[test]
fn a_segment_is_opened_once_for_all_lookups() {
    let fixture = fixture(2500);
    let (log, opened) = closed(&fixture, RECORDS);
    look_up(&log, 7);
    // The log, and the index for the lookup and to be kept.
    assert_eq!((mapped(&fixture), opened.take("")), (1, 3));
    for offset in (0..fixture.bases()[1]).rev() {
        look_up(&log, offset);
    }
    assert_eq!((mapped(&fixture), opened.take("")), (1, 0));
    log.close().unwrap();
}

#[test]
fn readers_that_read_on_leave_no_maps() {
    let fixture = fixture(1000);
    let (log, _) = closed(&fixture, RECORDS);
    assert!(fixture.bases().len() > 5);
    assert_numbered(&log, 0..RECORDS, BYTES);
    // The first segment was looked up.
    assert_eq!(mapped(&fixture), 1);
    log.close().unwrap();
}

#[test]
fn no_more_are_kept_than_a_few_and_none_where_the_budget_runs_short() {
    let mut fixture = fixture(300);
    let (log, _) = closed(&fixture, RECORDS);
    assert!(fixture.bases().len() > MOST + 1);
    (0..RECORDS - 2).for_each(|offset| look_up(&log, offset));
    assert_eq!((mapped(&fixture), fixture.disk.budget.used()), (MOST, MOST));
    log.close().unwrap();
    assert_eq!((mapped(&fixture), fixture.disk.budget.used()), (0, 0));

    fixture.disk.budget = Arc::new(MapBudget::of(4));
    let (log, _) = reopened(&fixture, RECORDS);
    for offset in 0..RECORDS {
        look_up(&log, offset);
        assert!(fixture.disk.budget.used() <= 2, "{offset}");
        assert_eq!(mapped(&fixture), fixture.disk.budget.used());
    }
    log.close().unwrap();
}

#[test]
fn what_leaves_the_log_is_given_up() {
    type Way = fn(&Arc<Leader>);
    let ways: [(&str, Way); 4] = [
        ("records are deleted", |log| {
            delete_records(log, RECORDS).unwrap();
            log.delete_head_segments(0).unwrap();
        }),
        ("retention", |log| {
            let outcome = retain(std::slice::from_ref(log), i64::MAX / 2, Stint::Whole, raise);
            outcome.1.unwrap();
            assert!(log.log_start() > 0);
        }),
        ("the log is closed", |log| log.close().unwrap()),
        ("the topic is deleted", |log| log.delete()),
    ];
    for (name, leave) in ways {
        let mut fixture = fixture(1000);
        fixture.settings.retention =
            Retention { deletes: true, bytes: None, ms: Some(1), file_delete_delay_ms: 0 };
        let (log, _) = closed(&fixture, RECORDS);
        let first = Arc::clone(log.segments().first().unwrap());
        let before = Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible);
        (0..RECORDS - 10).for_each(|offset| look_up(&log, offset));
        assert!(mapped(&fixture) > 3, "{name}");
        leave(&log);
        assert_eq!(mapped(&fixture), 0, "{name}");
        if !log.has_ended() {
            log.remove_due_files(i64::MAX).unwrap();
        }
        assert_eq!(fixture.disk.budget.pinned(), 0, "{name}");

        // One that has the segment yet keeps it for itself alone.
        if let Ok(view) = first.view_for_lookup() {
            assert_eq!(mapped(&fixture), 1, "{name}");
            drop(view);
        }
        assert_eq!(mapped(&fixture), 0, "{name}");
        drop((before, first));
    }
}

#[test]
fn what_readers_hold_of_a_deleted_segment_is_reported_and_nothing_else() {
    let mut fixture = fixture(1000);
    fixture.settings.retention.file_delete_delay_ms = 0;
    let (log, _) = closed(&fixture, RECORDS);
    let mut reader = Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible);
    let held = reader.fetch(ANY).unwrap().unwrap();
    (0..RECORDS - 10).for_each(|offset| look_up(&log, offset));
    let first = log.segments().first().unwrap().end().position;
    delete_records(&log, RECORDS).unwrap();
    log.delete_head_segments(0).unwrap();
    log.remove_due_files(0).unwrap();
    assert_eq!((mapped(&fixture), fixture.disk.budget.pinned()), (1, first));
    drop((reader, held));
    assert_eq!((mapped(&fixture), fixture.disk.budget.pinned()), (0, 0));
    log.close().unwrap();
}

#[test]
fn a_doubted_index_is_read_again_and_what_replaces_it_is_used() {
    let fixture = fixture(1 << 20);
    let (log, _) = closed(&fixture, RECORDS);
    append_numbered(&log, 1, BYTES).unwrap();
    log.roll_at(RECORDS + 1).unwrap();
    log.close().unwrap();
    let index = fixture.log_file(0).with_extension(OFFSET_INDEX);
    let mut wrong = fs::read(&index).unwrap();

    // Wrong, and not seen to be wrong where it was read first.
    let last = wrong.last_chunk_mut::<OFFSET_ENTRY>().unwrap();
    let OffsetEntry { relative_offset, position } = OffsetEntry::decode(last);
    *last = OffsetEntry { relative_offset, position: position + 1 }.encode();
    fs::write(&index, &wrong).unwrap();
    let (log, opened) = reopened(&fixture, RECORDS + 1);
    (0..3).for_each(|_| look_up(&log, 20));
    assert_eq!(opened.take(OFFSET_INDEX), 2);
    look_up(&log, RECORDS - 1);
    assert_ne!(fs::read(&index).unwrap(), wrong, "the index was not made anew");
    opened.take("");
    (0..3).for_each(|_| look_up(&log, RECORDS - 1));
    assert_eq!(opened.take(OFFSET_INDEX), 2, "the entries that were wrong are used yet");
    log.close().unwrap();

    // Without a reason, and the files are right: they are read each time.
    let (log, opened) = reopened(&fixture, RECORDS + 1);
    let segment = Arc::clone(log.segments().first().unwrap());
    (0..3).for_each(|_| look_up(&log, 40));
    assert_eq!(opened.take(OFFSET_INDEX), 2);
    segment.doubt(POSITIONS_DIFFER);
    (0..3).for_each(|_| look_up(&log, 40));
    assert!(opened.take(OFFSET_INDEX) >= 3);
    log.close().unwrap();
}

#[test]
fn a_file_that_was_cut_is_found_to_be() {
    let fixture = fixture(1000);
    let (log, _) = closed(&fixture, RECORDS);
    look_up(&log, 0);
    assert_eq!(mapped(&fixture), 1);
    File::options().write(true).open(fixture.log_file(0)).unwrap().set_len(0).unwrap();
    let mut cursor = Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible);
    let refused = cursor.fetch(ANY).unwrap_err();
    assert!(matches!(&refused, Error::Corrupt(_)), "{refused}");
}
