//! The n-th operation of a kind fails: what was acknowledged stays, nothing passes for durable that is not, only a failed
//! write or sync ends appending, and a full disk is no reason to stop.

use std::io::ErrorKind;
use std::sync::Arc;

use super::fixture::{
    ANY, Fixture, MAPPED, Modes, POSITIONED, STRIDE, append_numbered, assert_numbered, numbered,
    preallocate_now, read,
};
use crate::error::{Error, Result};
use crate::partition::Leader;
use crate::sys::faults::{Faults, Operation};

const BYTES: usize = 100;
/// What poisons when it fails.
const FATAL: [Operation; 2] = [Operation::Write, Operation::Sync];
/// What can be done again when it fails.
const REFUSABLE: [Operation; 7] = [
    Operation::Open,
    Operation::Map,
    Operation::Allocate,
    Operation::Create,
    Operation::Rename,
    Operation::Remove,
    Operation::Truncate,
];

fn operations() -> impl Iterator<Item = Operation> {
    FATAL.into_iter().chain(REFUSABLE)
}

/// One log on a disk that fails, and what is known of it.
struct Run {
    fixture: Fixture,
    log: Arc<Leader>,
    faults: Faults,
    /// Offsets below were acknowledged.
    acknowledged: u64,
    /// Offsets below were acknowledged as durable.
    durable: u64,
    /// The recovery point when the partition refused to continue.
    poisoned_at: Option<u64>,
    failures: Vec<Error>,
}

impl Run {
    fn new(modes: Modes, late: bool, faults: Faults) -> Self {
        let mut fixture = Fixture::new(modes, 2000);
        if late {
            fixture.finish_late();
        }
        let log = fixture.open_with(&faults, crate::partition::Checkpointed::default());
        let (acknowledged, durable, poisoned_at, failures) = (0, 0, None, Vec::new());
        Self { fixture, log, faults, acknowledged, durable, poisoned_at, failures }
    }

    /// Appends with rolls, syncs, work of the background and a close, whatever fails in between.
    fn script(&mut self) -> Result<()> {
        for step in 0..14 {
            let base = self.acknowledged;
            match append_numbered(&self.log, 2, BYTES) {
                Ok(offset) => {
                    assert_eq!(offset, base, "offsets continue where they were");
                    self.acknowledged += 2;
                    assert!(self.poisoned_at.is_none(), "poisoned once, poisoned for good");
                }
                Err(failure) => self.note(failure),
            }
            self.check_content();
            let synced = match step % 5 {
                1 => {
                    preallocate_now(&self.log);
                    continue;
                }
                2 => self.log.sync().map(|()| self.durable = self.acknowledged),
                4 => self.log.finish_sealed().map(drop),
                _ => continue,
            };
            match synced {
                Ok(()) => assert!(self.poisoned_at.is_none() || step % 5 == 4),
                Err(failure) => self.note(failure),
            }
            assert!(self.log.durable_end() >= self.durable);
        }
        let closed = self.log.close();
        if let Some(point) = self.poisoned_at {
            assert!(closed.is_err());
            assert_eq!(self.recovery_point(), point, "nothing more is durable");
        }
        if closed.is_err() {
            assert!(self.log.close().is_err(), "a close that failed did not succeed later");
        }
        closed
    }

    /// Whatever has failed, all that was acknowledged can be read, at the second look if the first is refused.
    fn check_content(&mut self) {
        let found = read(&self.log, 0, ANY).or_else(|failure| {
            assert!(self.faults.have_struck(), "{failure}");
            self.note(failure);
            read(&self.log, 0, ANY)
        });
        let expected = (0..self.acknowledged).map(|offset| (offset, numbered(offset, BYTES)));
        assert!(found.unwrap().into_iter().eq(expected));
    }

    fn recovery_point(&self) -> u64 {
        self.log.recovery_point().unwrap_or(0)
    }

    fn note(&mut self, failure: Error) {
        if matches!(failure, Error::Poisoned(_)) {
            let point = *self.poisoned_at.get_or_insert(self.recovery_point());
            assert_eq!(self.recovery_point(), point, "nothing more is durable");
        }
        self.failures.push(failure);
    }

    /// Opens the directory again on a disk that works.
    fn check_what_survived(&self, closed: bool) {
        let point = self.recovery_point();
        let log = if closed { self.fixture.open_clean(point) } else { self.fixture.open_unclean(point) };
        let bounds = log.bounds().unwrap();
        assert!(bounds.log_end >= self.acknowledged);
        assert_numbered(&log, 0..bounds.log_end, BYTES);
        append_numbered(&log, 3, BYTES).unwrap();
        log.close().unwrap();
        self.fixture.check_closed();
        assert_numbered(&self.fixture.open_clean(bounds.log_end + 3), 0..bounds.log_end + 3, BYTES);
    }
}

/// Runs the script with each n-th operation failing, until it has no n-th one.
fn each(operation: Operation, error: ErrorKind, check: impl Fn(&mut Run, u32)) {
    for (modes, late) in [(POSITIONED, false), (POSITIONED, true), (MAPPED, false), (MAPPED, true)] {
        for n in (0..).step_by(STRIDE) {
            let mut run = Run::new(modes, late, Faults::after(operation, n, error, false));
            let closed = run.script();
            if !run.faults.have_struck() {
                closed.unwrap();
                assert!(run.failures.is_empty());
                break;
            }
            run.check_what_survived(closed.is_ok());
            check(&mut run, u32::try_from(n).unwrap());
        }
    }
}

#[test]
fn what_was_acknowledged_survives_any_failure() {
    for operation in operations() {
        each(operation, ErrorKind::Other, |run, n| {
            for failure in &run.failures {
                assert!(matches!(failure, Error::Io(_) | Error::Poisoned(_)), "{operation:?} {n}: {failure}");
            }
        });
    }
}

#[test]
fn only_failed_writes_and_syncs_poison() {
    for operation in REFUSABLE {
        let struck = std::cell::Cell::new(0);
        each(operation, ErrorKind::Other, |run, n| {
            struck.set(struck.get() + 1);
            assert!(run.poisoned_at.is_none(), "{operation:?} {n}: {:?}", run.failures);
        });
        // Some systems map nothing.
        assert!(struck.get() > 0 || operation == Operation::Map, "{operation:?} never happens");
    }
    let poisoned = std::cell::Cell::new(0);
    for operation in FATAL {
        each(operation, ErrorKind::Other, |run, _| {
            poisoned.set(poisoned.get() + usize::from(run.poisoned_at.is_some()));
        });
    }
    assert!(poisoned.get() > 40 / STRIDE, "{}", poisoned.get());
}

#[test]
fn a_full_disk_never_poisons() {
    for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        for operation in [Operation::Write, Operation::Allocate, Operation::Create] {
            each(operation, full, |run, n| {
                for failure in &run.failures {
                    assert!(
                        matches!(failure, Error::StorageFull { .. }),
                        "{full:?} {operation:?} {n}: {failure}"
                    );
                }
            });
        }
    }
}

#[test]
fn appending_continues_when_there_is_space_again() {
    for modes in [POSITIONED, MAPPED] {
        for operation in [Operation::Write, Operation::Allocate, Operation::Create] {
            for n in 0..12 {
                let faults = Faults::after(operation, n, ErrorKind::StorageFull, true);
                let mut run = Run::new(modes, n % 2 == 0, faults);
                let fill = |run: &mut Run| {
                    for _ in 0..20 {
                        match append_numbered(&run.log, 2, BYTES) {
                            Ok(_) => run.acknowledged += 2,
                            Err(failure) => run.note(failure),
                        }
                    }
                };
                fill(&mut run);
                assert_numbered(&run.log, 0..run.acknowledged, BYTES);
                assert!(run.poisoned_at.is_none());
                run.faults.heal();
                let before = (run.acknowledged, run.failures.len());
                fill(&mut run);
                assert_eq!((run.acknowledged, run.failures.len()), (before.0 + 40, before.1));
                run.log.close().unwrap();
                run.fixture.check_closed();
                run.check_what_survived(true);
            }
        }
    }
}

#[test]
fn after_a_failed_sync_reading_continues_and_nothing_else() {
    for modes in [POSITIONED, MAPPED] {
        let fixture = Fixture::new(modes, 1 << 20);
        let log = fixture.open_new();
        append_numbered(&log, 5, BYTES).unwrap();
        log.close().unwrap();
        let faults = Faults::after(Operation::Sync, 0, ErrorKind::Other, false);
        let clean = crate::partition::Checkpointed {
            clean: true,
            recovery_point: Some(5),
            log_start: 0,
            ..crate::partition::Checkpointed::default()
        };
        let log = fixture.open_with(&faults, clean);
        append_numbered(&log, 5, BYTES).unwrap();
        assert!(matches!(log.sync(), Err(Error::Poisoned(_))));
        assert!(matches!(log.sync(), Err(Error::Poisoned(_))), "the next sync of the device would succeed");
        assert!(matches!(append_numbered(&log, 1, BYTES), Err(Error::Poisoned(_))));
        assert!(matches!(log.finish_sealed(), Err(Error::Poisoned(_))));
        assert_eq!(log.recovery_point(), Some(5));
        assert_eq!(read(&log, 3, ANY).unwrap().len(), 7);
        assert!(log.close().is_err());
        assert_numbered(&fixture.open_unclean(5), 0..10, BYTES);
    }
}

#[test]
fn an_open_that_fails_can_be_tried_again() {
    for modes in [POSITIONED, MAPPED] {
        let mut fixture = Fixture::new(modes, 2000);
        fixture.finish_late();
        let log = fixture.open_new();
        for _ in 0..20 {
            append_numbered(&log, 2, BYTES).unwrap();
        }
        drop(log);
        // The first sync would have written it.
        assert!(!fixture.directory().join("leader-epoch-checkpoint").exists());
        let files = fixture.files();
        for operation in operations() {
            for n in 0..4 {
                fixture.restore(&files);
                let faults = Faults::after(operation, n, ErrorKind::Other, false);
                let unclean =
                    crate::partition::Checkpointed { recovery_point: Some(3), ..Default::default() };
                let log = fixture.open_with(&faults, unclean);
                if log.load().is_err() {
                    assert!(faults.have_struck());
                    let report = log.load().unwrap().unwrap();
                    assert_eq!((report.log_end, report.bytes_truncated), (40, 0));
                }
                assert_numbered(&log, 0..40, BYTES);
                assert_eq!(log.recovery_point(), Some(3));
            }
        }
    }
}

/// What can be asked of a partition, each with the work that it leaves to the background.
type Call = fn(&Run) -> Result<()>;

const CALLS: [(&str, Call); 7] = [
    ("append", |run| append_numbered(&run.log, 2, BYTES).map(drop)),
    ("append, synced", |run| {
        let end = append_numbered(&run.log, 2, BYTES)? + 2;
        run.log.await_durable(end)
    }),
    ("sync", |run| run.log.sync()),
    ("finish", |run| run.log.finish_sealed().map(drop)),
    ("roll", |run| run.log.roll_at(run.log.bounds()?.log_end).map(drop)),
    ("delete records", |run| {
        let end_offset = run.log.bounds()?.log_end.min(3);
        super::fixture::delete_records(&run.log, end_offset).map(drop)
    }),
    ("read", |run| read(&run.log, run.log.log_start(), ANY).map(drop)),
];

fn fill(run: &mut Run) {
    for _ in 0..12 {
        append_numbered(&run.log, 2, BYTES).unwrap();
    }
}

type Prepare = fn(&mut Run);

/// In each state that a partition can be in: nothing in it yet, segments that wait, at rest, found after a crash.
const STATES: [(&str, Prepare); 4] = [
    ("empty", |_| ()),
    ("segments wait", fill),
    ("at rest", |run| {
        fill(run);
        assert!(run.log.rest());
    }),
    ("after a crash", |run| {
        fill(run);
        let unclean = crate::partition::Checkpointed { recovery_point: Some(3), ..Default::default() };
        run.log = run.fixture.open_with(&run.faults, unclean);
        // What is checked is what a later call finds.
        run.log.load().unwrap();
    }),
];

#[test]
fn what_is_refused_once_succeeds_the_next_time() {
    for (modes, late) in [(POSITIONED, false), (POSITIONED, true), (MAPPED, true)] {
        for operation in REFUSABLE {
            let mut refused = 0;
            for (state, prepare) in STATES {
                for (name, call) in CALLS {
                    for n in (0..).step_by(STRIDE) {
                        let faults = Faults::after(operation, i64::MAX, ErrorKind::Other, false);
                        let mut run = Run::new(modes, late, faults);
                        prepare(&mut run);
                        run.faults.arm(n);
                        let what = format!("{name}, {state}, {operation:?} {n}");
                        let outcome = call(&run);
                        let struck = run.faults.have_struck();
                        run.faults.heal();
                        if let Err(failure) = outcome {
                            assert!(struck && matches!(failure, Error::Io(_)), "{what}: {failure}");
                            refused += 1;
                            call(&run).unwrap_or_else(|failure| panic!("{what}, again: {failure}"));
                        }
                        append_numbered(&run.log, 1, BYTES)
                            .unwrap_or_else(|failure| panic!("{what}: {failure}"));
                        run.log.sync().unwrap_or_else(|failure| panic!("{what}: {failure}"));
                        let end = run.log.bounds().unwrap().log_end;
                        assert_eq!(run.log.durable_end(), end, "{what}");
                        run.log.close().unwrap_or_else(|failure| panic!("{what}: {failure}"));
                        run.fixture.check_closed();
                        if !struck {
                            break;
                        }
                    }
                }
            }
            // A map that is refused is a copy, space that is refused may be there for the write.
            let may_never = matches!(operation, Operation::Map | Operation::Truncate | Operation::Remove);
            assert!(refused > 0 || may_never, "{operation:?} is never refused");
        }
    }
}

/// An append that is in the log and cannot be made durable now would be sent a second time if the answer were an error.
#[test]
fn a_length_that_is_refused_keeps_no_record_from_being_durable() {
    for modes in [POSITIONED, MAPPED] {
        let mut fixture = Fixture::new(modes, 1 << 20);
        fixture.finish_late();
        let faults = Faults::after(Operation::Truncate, i64::MAX, ErrorKind::Other, false);
        let log = fixture.open_with(&faults, crate::partition::Checkpointed::default());
        append_numbered(&log, 12, BYTES).unwrap();
        assert!(log.roll_at(12).unwrap());
        append_numbered(&log, 1, BYTES).unwrap();
        faults.arm(0);
        log.await_durable(13).unwrap();
        assert!(faults.have_struck());
        assert_eq!(log.durable_end(), 13);
        assert!(log.recovery_point() < Some(12), "the sealed segment has not its final form");
        log.sync().unwrap();
        assert_eq!((log.durable_end(), log.recovery_point()), (13, Some(13)));
        log.close().unwrap();
        fixture.check_closed();
    }
}
