//! The n-th write, sync, allocation, creation or rename fails: what was acknowledged stays, nothing passes for durable
//! that is not, and a full disk is no reason to stop.

use std::io::ErrorKind;
use std::sync::Arc;

use super::fixture::{
    ANY, Fixture, MAPPED, Modes, POSITIONED, STRIDE, append_numbered, assert_numbered, read, work_ahead,
};
use crate::error::{Error, Result};
use crate::partition::PartitionLog;
use crate::sys::faults::{Faults, Operation};

const BYTES: usize = 100;
const OPERATIONS: [Operation; 5] =
    [Operation::Write, Operation::Sync, Operation::Allocate, Operation::Create, Operation::Rename];

/// One log on a disk that fails, and what is known of it.
struct Run {
    fixture: Fixture,
    log: Arc<PartitionLog>,
    faults: Faults,
    /// Offsets below were acknowledged.
    acknowledged: u64,
    /// Offsets below were acknowledged as durable.
    durable: u64,
    /// The recovery point when the partition refused to go on.
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
                    assert_eq!(offset, base, "offsets go on where they were");
                    self.acknowledged += 2;
                    assert!(self.poisoned_at.is_none(), "poisoned once, poisoned for good");
                }
                Err(failure) => self.note(failure),
            }
            assert_numbered(&self.log, 0..self.acknowledged, BYTES);
            let synced = match step % 5 {
                1 => {
                    work_ahead(&self.log);
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
    for operation in OPERATIONS {
        each(operation, ErrorKind::Other, |run, n| {
            for failure in &run.failures {
                assert!(matches!(failure, Error::Io(_) | Error::Poisoned(_)), "{operation:?} {n}: {failure}");
            }
        });
    }
}

#[test]
fn only_failed_writes_and_syncs_poison() {
    for operation in [Operation::Allocate, Operation::Create, Operation::Rename] {
        each(operation, ErrorKind::Other, |run, n| {
            assert!(run.poisoned_at.is_none(), "{operation:?} {n}: {:?}", run.failures);
        });
    }
    let poisoned = std::cell::Cell::new(0);
    for operation in [Operation::Write, Operation::Sync] {
        each(operation, ErrorKind::Other, |run, _| {
            poisoned.set(poisoned.get() + usize::from(run.poisoned_at.is_some()));
        });
    }
    assert!(poisoned.get() > 40 / STRIDE, "{}", poisoned.get());
}

#[test]
fn a_full_disk_never_poisons() {
    for operation in [Operation::Write, Operation::Allocate, Operation::Create] {
        each(operation, ErrorKind::StorageFull, |run, n| {
            for failure in &run.failures {
                assert!(matches!(failure, Error::StorageFull { .. }), "{operation:?} {n}: {failure}");
            }
        });
    }
}

#[test]
fn appending_goes_on_when_there_is_space_again() {
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
fn after_a_failed_sync_reading_goes_on_and_nothing_else() {
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
        std::fs::remove_file(fixture.directory().join("leader-epoch-checkpoint")).unwrap();
        let files = fixture.files();
        for operation in OPERATIONS {
            for n in 0..4 {
                fixture.restore(&files);
                let faults = Faults::after(operation, n, ErrorKind::Other, false);
                let unclean =
                    crate::partition::Checkpointed { recovery_point: Some(3), ..Default::default() };
                let log = fixture.open_with(&faults, unclean);
                if log.load().is_err() {
                    assert!(faults.have_struck());
                    let report = log.load().unwrap().unwrap();
                    assert_eq!((report.log_end, report.bytes_cut), (40, 0));
                }
                assert_numbered(&log, 0..40, BYTES);
                assert_eq!(log.recovery_point(), Some(3));
            }
        }
    }
}
