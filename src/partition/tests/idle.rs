//! The partitions that are appended to: which of them are known, and whose files are closed.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::fixture::{Fixture, POSITIONED, append_numbered};
use crate::partition::{Appender, Checkpointed, Leader, MaintenanceRequest, OpenFiles};
use crate::sys::gate::{Gate, OpenedAtLast};

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
        let known = stays.context.open_files.known();
        assert!((1..=40).contains(&known), "{known}");
    }
}

/// Fixtures of one log that should have the files of so many partitions open.
fn fixtures(count: usize, most: usize) -> (Vec<Fixture>, crossbeam_channel::Receiver<MaintenanceRequest>) {
    let (maintenance, asked) = crossbeam_channel::unbounded();
    let open_files = Arc::new(OpenFiles::of(most));
    let fixtures = (0..count).map(|_| {
        let mut fixture = Fixture::new(POSITIONED, 1000);
        (fixture.context.open_files, fixture.context.maintenance) =
            (Arc::clone(&open_files), Some(maintenance.clone()));
        fixture
    });
    (fixtures.collect(), asked)
}

#[test]
fn partitions_begin_while_the_file_of_an_idle_one_is_synced() {
    let (fixtures, asked) = fixtures(4, 2);
    let gate = Arc::new(Gate::default());
    let slow = fixtures[0].open_with(&gate.before_syncs(), Checkpointed::default());
    append_numbered(&slow, 1, 10).unwrap();
    let others: Vec<_> = fixtures[1..].iter().map(Fixture::open_new).collect();
    append_numbered(&others[0], 1, 10).unwrap();
    let is_asked =
        || asked.try_iter().filter(|request| matches!(request, MaintenanceRequest::CloseSurplus(_))).count();
    assert_eq!(is_asked(), 0);
    append_numbered(&others[1], 1, 10).unwrap();
    assert_eq!(is_asked(), 1, "three are too many");
    thread::scope(|scope| {
        let _opened = OpenedAtLast(&gate);
        gate.shut_syncs();
        let closes = scope.spawn(|| slow.context.open_files.close_surplus());
        gate.await_one_inside();
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
            let known = log.context.open_files.known();
            assert!(known <= 6, "{known} in round {round}");
        }
    }
    let is_open = |log: &&Arc<Leader>| matches!(&*log.writer.appender(), Appender::Active { .. });
    assert!(logs.iter().filter(is_open).count() <= 6);
}
