//! Records that are deleted: none that should stay goes, none that went comes back, and each reader gets the error.

use std::io::ErrorKind;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{
    ANY, Fixture, MAPPED, Modes, TestRecord, append, append_numbered, as_log, delete_records, numbered,
    raise, read, records_of,
};
use crate::background::retention::{Retained, Stint, retain};
use crate::config::ReadUpTo;
use crate::error::{Error, Result};
use crate::partition::{Checkpointed, Cursor, FetchLimits, Fetched, Leader, Retention};
use crate::segment;
use crate::sys::faults::{Faults, Operation};

const AGE: i64 = 100;
const DELAY: i64 = 50;
const BY_AGE: Retention =
    Retention { deletes: true, bytes: None, ms: Some(AGE), file_delete_delay_ms: DELAY };

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

#[derive(Debug, Clone)]
enum Action {
    /// Records a while later than the last ones.
    Append {
        count: usize,
        later: i64,
        bytes: usize,
    },
    /// Up to this part of the log, in 255ths.
    DeleteRecords(u8),
    /// With the clock so much later than the newest record, or earlier.
    Retain {
        later: i64,
    },
    KeepBytes(Option<u64>),
    /// One fetch of a reader that is anywhere.
    Read {
        reader: usize,
        limits: FetchLimits,
    },
    Seek {
        reader: usize,
        to: u8,
    },
    CloseAndReopen,
    DropAndReopen,
}

fn action() -> impl Strategy<Value = Action> {
    let limits = (1..4000_usize, 1..30_usize).prop_map(|(bytes, records)| FetchLimits { bytes, records });
    prop_oneof![
        8 => (1..12_usize, 0..40_i64, 0..200_usize).prop_map(|(count, later, bytes)| Action::Append { count, later, bytes }),
        2 => any::<u8>().prop_map(Action::DeleteRecords),
        5 => (-30..2 * AGE).prop_map(|later| Action::Retain { later }),
        1 => prop_oneof![Just(None), (0..10_000_u64).prop_map(Some)].prop_map(Action::KeepBytes),
        5 => (0..3_usize, limits).prop_map(|(reader, limits)| Action::Read { reader, limits }),
        1 => (0..3_usize, any::<u8>()).prop_map(|(reader, to)| Action::Seek { reader, to }),
        1 => Just(Action::CloseAndReopen),
        1 => Just(Action::DropAndReopen),
    ]
}

/// A partition and what is known of it.
struct Pair {
    fixture: Fixture,
    log: Arc<Leader>,
    /// All records ever appended.
    model: Vec<TestRecord>,
    log_start: u64,
    /// What the checkpoint says.
    written: u64,
    retention: Retention,
    readers: Vec<Cursor>,
    /// What was returned, with the records that it must hold as long as it lives.
    held: Vec<(Fetched, Vec<(u64, TestRecord)>)>,
}

impl Pair {
    fn new(mut fixture: Fixture) -> Self {
        fixture.settings.retention = BY_AGE;
        let log = fixture.open_new();
        let (model, readers, held) = (Vec::new(), Vec::new(), Vec::new());
        let mut pair =
            Self { fixture, log, model, log_start: 0, written: 0, retention: BY_AGE, readers, held };
        pair.place_readers();
        pair
    }

    fn place_readers(&mut self) {
        let reader = |_| Cursor::new(Arc::clone(&self.log), self.log_start, ReadUpTo::Visible);
        self.readers = (0..3).map(reader).collect();
    }

    fn run(&mut self, action: Action) {
        let end = self.model.len() as u64;
        match action {
            Action::Append { count, later, bytes } => self.append(count, later, bytes),
            Action::DeleteRecords(part) => {
                let before = end * u64::from(part) / 255;
                let start = delete_records(&self.log, before).unwrap();
                self.log_start = self.log_start.max(before);
                assert_eq!(start, self.log_start);
                assert!(self.log.durable_end() >= start, "what is hidden is on disk");
                self.written = start;
                self.log.delete_head_segments(0).unwrap();
            }
            Action::Retain { later } => self.retain(later),
            Action::KeepBytes(bytes) => {
                self.retention.bytes = bytes;
                self.fixture.settings.retention = self.retention;
                self.log.set_settings(self.fixture.settings.clone());
            }
            Action::Read { reader, limits } => self.read(reader, limits),
            Action::Seek { reader, to } => self.readers[reader].seek(end * u64::from(to) / 255),
            Action::CloseAndReopen => {
                self.log.bounds().unwrap();
                self.log.close().unwrap();
                let recovery_point = self.log.recovery_point();
                self.reopen(Checkpointed {
                    clean: true,
                    recovery_point,
                    log_start: self.log_start,
                    ..Checkpointed::default()
                });
                self.written = self.log_start;
            }
            Action::DropAndReopen => {
                let recovery_point = self.log.recovery_point();
                self.reopen(Checkpointed {
                    clean: false,
                    recovery_point,
                    log_start: self.written,
                    ..Checkpointed::default()
                });
            }
        }
        self.check();
    }

    fn append(&mut self, count: usize, later: i64, bytes: usize) {
        let from = self.newest() + later;
        let record = |at| TestRecord { timestamp: from - at, ..TestRecord::of(vec![7; bytes]) };
        let records: Vec<_> = (0..i64::try_from(count).unwrap()).map(record).collect();
        assert_eq!(append(&self.log, &records).unwrap(), self.model.len() as u64);
        self.model.extend(records);
    }

    fn newest(&self) -> i64 {
        self.model.iter().map(|record| record.timestamp).max().unwrap_or(1000)
    }

    /// Bytes of the log files whose segments loading has found below the log start: they are not listed, and go with the
    /// next ones that retention deletes.
    fn bytes_below(&self, first: u64) -> u64 {
        let directory = self.fixture.directory();
        let names = self.fixture.disk.list(&directory).unwrap().into_iter().map(|(name, _)| name);
        let below =
            names.filter(|name| segment::base_of(name, segment::LOG).is_some_and(|base| base < first));
        below.map(|name| std::fs::metadata(directory.join(name)).unwrap().len()).sum()
    }

    fn retain(&mut self, later: i64) {
        let now = self.newest() + later;
        let before = self.log.facts().unwrap();
        let unlisted = if self.log.has_below_start() { self.bytes_below(before[0].base) } else { 0 };
        let mut wrote = None;
        let log = Arc::clone(&self.log);
        let (retained, outcome) = retain(std::slice::from_ref(&log), now, Stint::Whole, |raised| {
            raise(raised)?;
            wrote = Some(log.log_start());
            Ok(())
        });
        outcome.unwrap();
        self.written = wrote.unwrap_or(self.written);
        let start = log.log_start();
        let after = log.facts().unwrap();
        assert!(start >= self.log_start);
        let Some(first) = after.first() else { return assert!(before.is_empty()) };
        if start > self.log_start {
            assert_eq!(after[0].base, start, "whole segments go");
            assert_eq!(self.written, start, "the checkpoint was written before");
            assert!(log.durable_end() >= start, "nothing goes that what is left is not safer than");
        }
        let bytes = |facts: &[crate::partition::SegmentFacts]| facts.iter().map(|one| one.bytes).sum::<u64>();
        assert_eq!(bytes(&before) - bytes(&after) + unlisted, retained.bytes_deleted);
        let old = |offset: usize| now - self.model[offset].timestamp > AGE;
        if let Some(kept) = self.retention.bytes {
            let by_age = (at(self.log_start)..at(start)).all(old);
            assert!(by_age || bytes(&after) >= kept, "less is left than is to be kept");
            assert!(after.len() == 1 || bytes(&after) - first.bytes < kept, "a segment more could go");
        } else {
            assert!((at(self.log_start)..at(start)).all(old), "only what is old goes");
        }
        let kept = at(first.base)..at(first.next_offset);
        assert!(kept.is_empty() || !kept.clone().all(old), "{kept:?} is old and stays");
        self.log_start = start;
    }

    fn read(&mut self, reader: usize, limits: FetchLimits) {
        let cursor = &mut self.readers[reader];
        let offset = cursor.offset();
        match cursor.fetch(limits) {
            Ok(None) => assert_eq!(offset, self.model.len() as u64),
            Ok(Some(fetched)) => {
                assert!(offset >= self.log_start);
                let records = records_of(&fetched);
                let expected = (offset..).zip(self.model[at(offset)..].iter().cloned());
                assert!(records.iter().cloned().eq(expected.take(records.len())), "nothing is skipped");
                self.held.push((fetched, records));
            }
            Err(Error::OffsetOutOfRange { at, valid }) => {
                assert!(offset < self.log_start, "{offset} is not below {}", self.log_start);
                assert_eq!((at.offset(), valid), (offset, self.log_start..self.model.len() as u64));
                cursor.seek(self.log_start);
            }
            Err(failure) => panic!("{failure}"),
        }
    }

    fn reopen(&mut self, checkpointed: Checkpointed) {
        self.log = self.fixture.open(checkpointed);
        self.log.load().unwrap();
        self.place_readers();
        // The readers of before had files open that were to be removed: on some systems their names are removed now.
        self.fixture.forget_requests();
        if self.fixture.directory().exists() {
            for (name, _) in self.fixture.disk.list(&self.fixture.directory()).unwrap() {
                assert!(!name.ends_with(".deleted"), "{name} is still there");
            }
        }
    }

    fn check(&self) {
        let bounds = self.log.bounds().unwrap();
        assert_eq!((bounds.log_start, bounds.log_end), (self.log_start, self.model.len() as u64));
        for (fetched, records) in &self.held {
            assert_eq!(records_of(fetched), *records, "what was returned stays");
        }
    }

    fn check_all(&self) {
        let found = read(&self.log, self.log_start, ANY).unwrap();
        let expected = (self.log_start..).zip(self.model[at(self.log_start)..].iter().cloned());
        assert!(found.into_iter().eq(expected));
        for time in [0, 1000, self.newest() - 20, self.newest(), self.newest() + 1] {
            let found = Cursor::offset_for_time(&as_log(&self.log), time, self.log_start).unwrap();
            let kept = (self.log_start..).zip(&self.model[at(self.log_start)..]);
            let first = kept.filter(|(_, record)| record.timestamp >= time).map(|(offset, _)| offset).next();
            assert_eq!(found, first);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_what_a_list_keeps(
        modes in (0..8_usize).prop_map(|at| Modes::all().nth(at).unwrap()),
        late in any::<bool>(),
        actions in vec(action(), 1..60),
    ) {
        let mut fixture = Fixture::new(modes, 3000);
        if late {
            fixture.finish_late();
        }
        let mut pair = Pair::new(fixture);
        for action in actions {
            pair.run(action);
        }
        pair.check_all();
        pair.run(Action::CloseAndReopen);
        pair.check_all();
    }
}

/// A log of ten segments with two records each, by age.
fn ten_segments(faults: &Faults) -> (Fixture, Arc<Leader>) {
    let mut fixture = Fixture::new(MAPPED, 300);
    fixture.settings.retention = BY_AGE;
    let log = fixture.open_with(faults, Checkpointed::default());
    (0..10).for_each(|_| _ = append_numbered(&log, 2, 100).unwrap());
    (fixture, log)
}

fn retain_at(log: &Arc<Leader>, now: i64) -> (Retained, Result<()>) {
    retain(std::slice::from_ref(log), now, Stint::Whole, raise)
}

#[test]
fn files_are_renamed_and_go_when_their_time_has_come() {
    let (fixture, log) = ten_segments(&Faults::default());
    let now = 1003 + AGE + 1;
    let (retained, outcome) = retain_at(&log, now);
    outcome.unwrap();
    assert_eq!((retained.segments_deleted, log.log_start()), (2, 4));
    assert_eq!(retained.next_due, Some(now + 2), "the next segment is old then");
    let deleted =
        || fixture.files().into_keys().filter(|name| name.ends_with(".deleted")).collect::<Vec<_>>();
    assert_eq!(
        deleted(),
        [
            "00000000000000000000.index.deleted",
            "00000000000000000000.log.deleted",
            "00000000000000000000.timeindex.deleted",
            "00000000000000000002.index.deleted",
            "00000000000000000002.log.deleted",
            "00000000000000000002.snapshot.deleted",
            "00000000000000000002.timeindex.deleted",
        ]
    );
    assert_eq!(fixture.bases(), [4, 6, 8, 10, 12, 14, 16, 18]);
    retain_at(&log, now + 1).1.unwrap();
    assert_eq!(deleted().len(), 7);
    log.set_settings(crate::partition::PartitionSettings {
        retention: Retention::NEVER,
        ..fixture.settings.clone()
    });
    let (retained, outcome) = retain_at(&log, now + DELAY - 1);
    outcome.unwrap();
    assert_eq!((deleted().len(), retained.next_due), (7, Some(now + DELAY)));
    retain_at(&log, now + DELAY).1.unwrap();
    assert_eq!(deleted().len(), 0);
}

#[test]
fn if_all_is_old_an_empty_segment_is_left() {
    let (fixture, log) = ten_segments(&Faults::default());
    let (retained, outcome) = retain_at(&log, i64::MAX);
    outcome.unwrap();
    assert_eq!((retained.segments_deleted, log.log_start()), (10, 20));
    assert_eq!(fixture.bases(), [20]);
    assert_eq!(retain_at(&log, i64::MAX).0.segments_deleted, 0);
    assert_eq!(append_numbered(&log, 2, 100).unwrap(), 20);
    drop(log);
    // Neither closed nor synced since.
    for clean in [false, true] {
        let log = fixture.open(Checkpointed {
            clean,
            recovery_point: Some(20),
            log_start: 20,
            ..Checkpointed::default()
        });
        super::fixture::assert_numbered(&log, 20..22, 100);
        log.close().unwrap();
    }
}

#[test]
fn stopped_after_any_number_of_renames_the_log_begins_where_the_checkpoint_says() {
    for operation in [Operation::Rename, Operation::Remove, Operation::Sync, Operation::Create] {
        for successes in 0.. {
            let (mut fixture, log) = ten_segments(&Faults::default());
            let point = log.recovery_point().unwrap();
            drop(log);
            fixture.settings.retention.file_delete_delay_ms = 0;
            let faults = Faults::after(operation, successes, ErrorKind::Other, true);
            let before = Checkpointed {
                clean: false,
                recovery_point: Some(point),
                log_start: 0,
                ..Checkpointed::default()
            };
            let log = fixture.open_with(&faults, before);
            let mut written = 0;
            let (_, outcome) =
                retain(std::slice::from_ref(&log), 1000 + 9 + AGE + 1, Stint::Whole, |raised| {
                    raise(raised)?;
                    written = log.log_start();
                    Ok(())
                });
            if !faults.have_struck() {
                assert!(outcome.is_ok());
                assert_eq!(log.log_start(), 10);
                break;
            }
            // What was acknowledged is there, as far as it was not deleted; in this process and in the next.
            if let Ok(bounds) = log.bounds() {
                let found = read(&log, bounds.log_start, ANY).unwrap();
                assert!(found.into_iter().eq((bounds.log_start..20).map(|at| (at, numbered(at, 100)))));
            }
            drop(log);
            let reopened = fixture.open(Checkpointed {
                clean: false,
                recovery_point: Some(point.max(written)),
                log_start: written,
                ..Checkpointed::default()
            });
            super::fixture::assert_numbered(&reopened, written..20, 100);
            // What lay below goes as if retention had just deleted it.
            reopened.delete_head_segments(0).unwrap();
            reopened.remove_due_files(0).unwrap();
            assert!(fixture.bases().iter().all(|base| *base >= written));
            let left = fixture.files().into_keys().filter(|name| name.ends_with(".deleted")).count();
            assert_eq!(left, 0);
        }
    }
}

#[test]
fn files_that_wait_to_be_removed_bring_no_segment_below_the_log_start_back() {
    for clean in [false, true] {
        let (fixture, log) = ten_segments(&Faults::default());
        log.close().unwrap();
        let waits = fixture.directory().join(format!("{}.deleted", segment::file_name(2, segment::LOG)));
        std::fs::write(&waits, [0; 100]).unwrap();
        let checkpointed =
            Checkpointed { clean, recovery_point: Some(20), log_start: 8, ..Checkpointed::default() };
        let log = fixture.open(checkpointed);
        super::fixture::assert_numbered(&log, 8..20, 100);
        assert_eq!(log.facts().unwrap()[0].base, 8);
        log.delete_head_segments(0).unwrap();
        log.remove_due_files(i64::MAX).unwrap();
        assert_eq!(fixture.bases(), [8, 10, 12, 14, 16, 18]);
        assert!(!waits.exists());
    }
}

#[test]
fn what_could_not_be_renamed_or_removed_is_tried_again() {
    for operation in [Operation::Rename, Operation::Remove] {
        let (mut fixture, log) = ten_segments(&Faults::default());
        log.close().unwrap();
        fixture.settings.retention.file_delete_delay_ms = 0;
        let faults = Faults::after(operation, 1, ErrorKind::Other, true);
        let clean =
            Checkpointed { clean: true, recovery_point: Some(20), log_start: 0, ..Checkpointed::default() };
        let log = fixture.open_with(&faults, clean);
        let now = 1003 + AGE + 1;
        for _ in 0..2 {
            let failure = retain_at(&log, now).1.unwrap_err();
            assert!(matches!(failure, Error::Io(_)), "{failure}");
            super::fixture::assert_numbered(&log, 4..20, 100);
        }
        faults.heal();
        let (retained, outcome) = retain_at(&log, now);
        outcome.unwrap();
        assert_eq!(retained.segments_deleted, 0, "they were counted when they left");
        assert_eq!(fixture.bases(), [4, 6, 8, 10, 12, 14, 16, 18]);
        assert!(fixture.files().into_keys().all(|name| !name.ends_with(".deleted")));
    }
}

#[test]
fn a_reader_inside_what_is_deleted_is_reported_and_keeps_what_it_holds() {
    for modes in Modes::all() {
        let mut fixture = Fixture::new(modes, 300);
        fixture.settings.retention = BY_AGE;
        let log = fixture.open_new();
        (0..10).for_each(|_| _ = append_numbered(&log, 2, 100).unwrap());
        let cursor = |at| Cursor::new(Arc::clone(&log), at, ReadUpTo::Visible);
        // At the end of a sealed segment, inside one, and in one that was never opened.
        let (mut at_end, mut inside, mut unopened) = (cursor(0), cursor(2), cursor(5));
        let one = FetchLimits { bytes: 1, records: 1 };
        let held = at_end.fetch(FetchLimits { bytes: 1, records: 2 }).unwrap().unwrap();
        inside.fetch(one).unwrap().unwrap();
        let list = log.segments();
        assert_eq!(delete_records(&log, 13).unwrap(), 13);
        log.delete_head_segments(0).unwrap();
        log.remove_due_files(i64::MAX).unwrap();
        assert_eq!(fixture.bases(), [12, 14, 16, 18]);
        for cursor in [&mut at_end, &mut inside, &mut unopened] {
            let failure = cursor.fetch(ANY).unwrap_err();
            assert!(
                matches!(&failure, Error::OffsetOutOfRange { valid, .. } if *valid == (13..20)),
                "{failure}"
            );
            cursor.seek(13);
            assert_eq!(cursor.fetch(one).unwrap().unwrap().from, 13);
        }
        assert_eq!(records_of(&held), [(0, numbered(0, 100)), (1, numbered(1, 100))]);
        // A reader that had taken the list before finds files missing, and no more than that.
        assert!(list.holding(4).unwrap().view().is_err());
        let found = delete_records(&log, 21).unwrap_err();
        assert!(matches!(&found, Error::OffsetOutOfRange { valid, .. } if *valid == (13..20)), "{found}");
        assert_eq!(delete_records(&log, 5).unwrap(), 13);
        assert_eq!(Cursor::offset_for_time(&as_log(&log), 0, 13).unwrap(), Some(13));
    }
}
