//! The partitions that are appended to: which of them are known, and whose files are closed.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::fixture::{Fixture, POSITIONED, append_numbered};
use crate::partition::{Actives, Appender, Checkpointed, Chore, PartitionLog};
use crate::sys::faults::{Faults, Observer};

const PATIENCE: Duration = Duration::from_secs(60);

/// Their memory would be kept for as long as the log is open.
#[test]
fn partitions_that_are_gone_do_not_add_up() {
    let fixture = Fixture::new(POSITIONED, 1000);
    let stays = fixture.open_new();
    append_numbered(&stays, 1, 10).unwrap();
    fixture.remove();
    for _ in 0..200 {
        let log = fixture.open_new();
        append_numbered(&log, 1, 10).unwrap();
        drop(log);
        fixture.remove();
        let known = stays.chores.actives.known();
        assert!((1..=40).contains(&known), "{known}");
    }
}

/// A disk whose syncs do not come back as long as it is shut.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.opened.notify_all();
    }
}

/// Threads are waited for, also where a test has failed: the gate is opened before.
struct OpenedAtLast<'g>(&'g Gate);

impl Drop for OpenedAtLast<'_> {
    fn drop(&mut self) {
        self.0.shut(false);
    }
}

impl Observer for Gate {
    fn file_synced(&self, _: &File) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.inside.fetch_add(1, Ordering::SeqCst);
            self.opened.wait(&mut is_shut);
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn directory_synced(&self, _: &Path) {}

    fn renamed(&self, _: &Path) {}
}

/// Fixtures of one log that should have the files of so many partitions open.
fn fixtures(count: usize, most: usize) -> (Vec<Fixture>, crossbeam_channel::Receiver<Chore>) {
    let (upkeep, asked) = crossbeam_channel::unbounded();
    let actives = Arc::new(Actives::of(most));
    let fixtures = (0..count).map(|_| {
        let mut fixture = Fixture::new(POSITIONED, 1000);
        (fixture.chores.actives, fixture.chores.upkeep) = (Arc::clone(&actives), Some(upkeep.clone()));
        fixture
    });
    (fixtures.collect(), asked)
}

#[test]
fn partitions_begin_while_the_file_of_an_idle_one_is_synced() {
    let (fixtures, asked) = fixtures(4, 2);
    let gate = Arc::new(Gate::default());
    let observed = Faults::observed(Arc::clone(&gate) as Arc<dyn Observer>);
    let slow = fixtures[0].open_with(&observed, Checkpointed::default());
    append_numbered(&slow, 1, 10).unwrap();
    let others: Vec<_> = fixtures[1..].iter().map(Fixture::open_new).collect();
    append_numbered(&others[0], 1, 10).unwrap();
    let is_asked = || asked.try_iter().filter(|chore| matches!(chore, Chore::CloseSurplus(_))).count();
    assert_eq!(is_asked(), 0);
    append_numbered(&others[1], 1, 10).unwrap();
    assert_eq!(is_asked(), 1, "three are too many");
    thread::scope(|scope| {
        let _opened = OpenedAtLast(&gate);
        gate.shut(true);
        let closes = scope.spawn(|| slow.chores.actives.close_surplus());
        let start = Instant::now();
        while gate.inside.load(Ordering::SeqCst) == 0 {
            assert!(start.elapsed() < PATIENCE, "nothing is closed");
            thread::yield_now();
        }
        let (done, is_done) = mpsc::channel();
        let other = &others[2];
        scope.spawn(move || done.send(append_numbered(other, 1, 10).is_ok()).unwrap());
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(true), "it waits for the sync of another partition");
        assert!(!closes.is_finished());
    });
}

#[test]
fn files_are_closed_where_no_background_does_it() {
    let (fixtures, _asked) = fixtures(20, 4);
    let logs: Vec<_> = fixtures.iter().map(Fixture::open_new).collect();
    for round in 0..2 {
        for log in &logs {
            append_numbered(log, 1, 10).unwrap();
            let known = log.chores.actives.known();
            assert!(known <= 6, "{known} in round {round}");
        }
    }
    let is_open = |log: &&Arc<PartitionLog>| matches!(&*log.writer.appender(), Appender::Active { .. });
    assert!(logs.iter().filter(is_open).count() <= 6);
}
