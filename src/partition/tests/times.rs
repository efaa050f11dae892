//! Offsets by time, over many segments: what a list would give, and no segment is opened in vain twice.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{EXACT, Fixture, MAPPED, Modes, TestRecord, append, as_log, delete_records, raise};
use crate::background::retention::{Stint, retain};
use crate::format::index::TimeEntry;
use crate::partition::{AgeQuestion, Checkpointed, Cursor, Leader, PartitionLog, Retention};
use crate::segment::TIME_INDEX;
use crate::sys::faults::{Faults, Operation};

const SEGMENT_BYTES: u32 = 700;

fn record(timestamp: i64) -> TestRecord {
    TestRecord { timestamp, ..TestRecord::of(vec![7; 100]) }
}

#[derive(Debug, Clone)]
enum Action {
    /// A batch of records with these timestamps.
    Append(Vec<i64>),
    /// Several lookups: from a part of the log, in 255ths, and of a time.
    Look(Vec<(u8, i64)>),
    DeleteRecords(u8),
    RetainBytes(u64),
    FinishSealed,
    CloseAndReopen,
    DropAndReopen,
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0..1000_i64, 1 => Just(-1), 1 => Just(0), 1 => 5000..5010_i64]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        10 => vec(time(), 1..6).prop_map(Action::Append),
        6 => vec((prop_oneof![3 => Just(0), 1 => any::<u8>()], -2..1100_i64), 1..8).prop_map(Action::Look),
        1 => any::<u8>().prop_map(Action::DeleteRecords),
        1 => (0..8000_u64).prop_map(Action::RetainBytes),
        1 => Just(Action::FinishSealed),
        1 => Just(Action::CloseAndReopen),
        1 => Just(Action::DropAndReopen),
    ]
}

/// A partition, another process's view of it, and the timestamps of all records ever appended.
struct Trio {
    fixture: Fixture,
    log: Arc<Leader>,
    tailing: Option<Arc<PartitionLog>>,
    model: Vec<i64>,
    log_start: u64,
}

impl Trio {
    fn run(&mut self, action: Action) {
        let end = self.model.len() as u64;
        match action {
            Action::Append(timestamps) => {
                let records: Vec<_> = timestamps.iter().map(|timestamp| record(*timestamp)).collect();
                append(&self.log, &records).unwrap();
                self.model.extend(timestamps);
            }
            Action::Look(asked) => {
                for (part, at) in asked {
                    self.check(self.log_start.max(end * u64::from(part) / 255), at);
                }
            }
            Action::DeleteRecords(part) => {
                self.log_start = delete_records(&self.log, end * u64::from(part) / 255).unwrap();
                self.log.delete_head_segments(0).unwrap();
            }
            Action::RetainBytes(bytes) => {
                let retention =
                    Retention { deletes: true, bytes: Some(bytes), ms: None, file_delete_delay_ms: 0 };
                self.fixture.settings.retention = retention;
                self.log.set_settings(self.fixture.settings.clone());
                retain(std::slice::from_ref(&self.log), 0, Stint::Whole, raise).1.unwrap();
                self.log_start = self.log.log_start();
            }
            Action::FinishSealed => drop(self.log.finish_sealed().unwrap()),
            Action::CloseAndReopen => {
                self.log.bounds().unwrap();
                self.log.close().unwrap();
                self.reopen(true);
            }
            Action::DropAndReopen => self.reopen(false),
        }
    }

    fn reopen(&mut self, clean: bool) {
        let (recovery_point, log_start) = (self.log.recovery_point(), self.log_start);
        self.log =
            self.fixture.open(Checkpointed { clean, recovery_point, log_start, ..Checkpointed::default() });
        self.log.load().unwrap();
        self.tailing = None;
    }

    fn check(&mut self, from: u64, at: i64) {
        let kept = (0..).zip(&self.model).skip(usize::try_from(from).unwrap());
        let expected = kept.into_iter().find(|(_, timestamp)| **timestamp >= at).map(|(offset, _)| offset);
        assert_eq!(
            Cursor::offset_for_time(&as_log(&self.log), at, from).unwrap(),
            expected,
            "{at} from {from}"
        );
        if !self.fixture.directory().exists() {
            return;
        }
        let tailing = self.tailing.get_or_insert_with(|| self.fixture.follow_with(true));
        tailing.load().unwrap();
        tailing.refresh_end().unwrap();
        let found = Cursor::offset_for_time(tailing, at, from).unwrap();
        assert_eq!(found, expected, "{at} from {from}, in another process");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(96), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_time_leads_to_the_record_that_a_list_gives(
        modes in (0..8_usize).prop_map(|at| Modes::all().nth(at).unwrap()),
        late in any::<bool>(),
        actions in vec(action(), 1..80),
    ) {
        let mut fixture = Fixture::new(modes, SEGMENT_BYTES);
        if late {
            fixture.finish_late();
        }
        let log = fixture.open_new();
        let mut trio = Trio { fixture, log, tailing: None, model: Vec::new(), log_start: 0 };
        trio.log.load().unwrap();
        for action in actions {
            trio.run(action);
        }
        for at in [-1, 0, 1, 500, 999, 1000, 5004, 5010] {
            trio.check(trio.log_start, at);
        }
    }
}

/// A log of so many segments whose largest timestamps go up and down, and the timestamp of the last record, which is later
/// than all others.
fn up_and_down(fixture: &Fixture, log: &Arc<Leader>, segments: usize) -> i64 {
    let mut at = 0;
    while log.segments().as_slice().len() < segments {
        at = (at * 7 + 13) % 1000;
        append(log, &[record(at), record(at / 2), record(at / 3)]).unwrap();
    }
    append(log, &[record(2000)]).unwrap();
    assert!(fixture.bases().len() >= segments);
    2000
}

/// How many files a lookup opens, as far as that is at most ten.
fn opens(log: &Arc<Leader>, faults: &Faults, at: i64) -> i64 {
    for opens in 0..10 {
        faults.arm(opens);
        match Cursor::offset_for_time(&as_log(log), at, 0) {
            Ok(found) => {
                assert!(found.is_some());
                faults.heal();
                return opens;
            }
            Err(failure) => assert!(failure.to_string().contains("made to fail"), "{failure}"),
        }
    }
    panic!("ten opens are not enough");
}

#[test]
fn segments_that_end_before_the_time_are_not_opened() {
    let fixture = Fixture::new(EXACT, SEGMENT_BYTES);
    let faults = Faults::after(Operation::Open, i64::MAX, ErrorKind::Other, true);
    let log = fixture.open_with(&faults, Checkpointed::default());
    log.load().unwrap();
    let last = up_and_down(&fixture, &log, 100);
    assert!(opens(&log, &faults, last) <= 3, "what was sealed in this life is known");
    let end = log.bounds().unwrap().log_end;
    log.close().unwrap();
    let checkpointed = Checkpointed { clean: true, recovery_point: Some(end), ..Checkpointed::default() };
    let log = fixture.open_with(&faults, checkpointed);
    log.load().unwrap();
    // The first lookup asks each segment, the second none.
    assert_eq!(Cursor::offset_for_time(&as_log(&log), last, 0).unwrap(), Some(end - 1));
    assert!(opens(&log, &faults, last) <= 3);
    // What is known stays known when the list changes.
    let append_segment = || {
        while log.segments().last().unwrap().base() < end {
            append(&log, &[record(7)]).unwrap();
        }
    };
    append_segment();
    assert!(opens(&log, &faults, last) <= 3);
    delete_records(&log, 50).unwrap();
    log.delete_head_segments(0).unwrap();
    assert!(log.segments().first().unwrap().base() > 0);
    assert!(opens(&log, &faults, last) <= 3);
    log.close().unwrap();
}

/// It knows nothing of indexes that are not in their final form, but what it has searched in vain.
#[test]
fn a_tailing_reader_searches_no_finished_segment_twice() {
    let fixture = Fixture::new(MAPPED, SEGMENT_BYTES);
    let log = fixture.open_new();
    log.load().unwrap();
    let last = up_and_down(&fixture, &log, 100);
    let end = log.bounds().unwrap().log_end;
    let faults = Faults::after(Operation::Open, i64::MAX, ErrorKind::Other, true);
    let tailing = fixture.follow_on(&faults);
    tailing.load().unwrap();
    assert_eq!(Cursor::offset_for_time(&tailing, last, 0).unwrap(), Some(end - 1));
    faults.arm(5);
    assert_eq!(Cursor::offset_for_time(&tailing, last, 0).unwrap(), Some(end - 1));
    assert!(!faults.have_struck());
    log.close().unwrap();
}

/// An index that leaves out an early record with a late timestamp agrees with the batches as far as a lookup asks them. When all
/// batches were asked for retention, the record is found.
#[test]
fn what_a_new_index_knows_takes_the_place_of_what_lookups_knew() {
    let fixture = Fixture::new(EXACT, 4000);
    let log = fixture.open_new();
    for timestamp in [900, 5, 6, 7, 8, 9, 10, 20] {
        append(&log, &[record(timestamp)]).unwrap();
    }
    while log.segments().as_slice().len() < 2 {
        append(&log, &[record(20)]).unwrap();
    }
    let end = log.bounds().unwrap().log_end;
    log.close().unwrap();
    let entries =
        [(10, 6), (20, 7)].map(|(timestamp, relative_offset)| TimeEntry { timestamp, relative_offset });
    let path = fixture.log_file(0).with_extension(TIME_INDEX);
    fs::write(path, entries.map(TimeEntry::encode).concat()).unwrap();
    let log = fixture.open_clean(end);
    let look = || Cursor::offset_for_time(&as_log(&log), 500, 0).unwrap();
    assert_eq!((look(), look()), (None, None), "nothing has shown that the index is wrong");
    log.age_of(AgeQuestion { base: 0, now: 1000, whole: true, since: i64::MIN }).unwrap();
    assert_eq!(look(), Some(0));
    log.close().unwrap();
}
