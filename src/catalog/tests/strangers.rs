//! A disk that does not answer for a checkpoint: changes that touch none do not wait for it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::format::file_names::{LOG_STARTS, RECOVERY_POINTS, unfinished};
use crate::sys::gate::{Gate, OpenedAtLast};

const PATIENCE: Duration = Duration::from_secs(60);

/// A catalog with the topics `a` and `b`, each with a record, on a disk with a gate.
fn gated() -> (TempDir, Arc<Gate>, Catalog) {
    let (dir, catalog) = fresh(&["a", "b"]);
    drop(catalog);
    let gate = Arc::new(Gate::default());
    let disk = Disk { faults: gate.before_opens(), ..Disk::of(dir.path(), true, true) };
    let catalog = open_on(dir.path(), &disk).unwrap();
    for topic in ["a", "b"] {
        fill(&catalog.topic(topic).unwrap());
        for partition in catalog.topic(topic).unwrap().partitions().iter() {
            partition.leader().unwrap().sync().unwrap();
        }
    }
    (dir, gate, catalog)
}

/// Does `slow`, which comes to a checkpoint for which the disk does not answer, and meanwhile `other`, which must come to its
/// end.
fn does_not_wait(checkpoint: &str, slow: impl Fn(&Catalog) + Sync, other: impl Fn(&Catalog) + Sync) {
    let (dir, gate, catalog) = gated();
    thread::scope(|scope| {
        let (catalog, slow, other) = (&catalog, &slow, &other);
        let _opened = OpenedAtLast(&gate);
        gate.shut_opens_in(unfinished(&dir.path().join(checkpoint)));
        let slow = scope.spawn(move || slow(catalog));
        gate.await_one_inside();
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || {
            other(catalog);
            done.send(()).unwrap();
        });
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(()), "it waits for a checkpoint");
        assert!(!slow.is_finished());
    });
}

fn raise_a(catalog: &Catalog) {
    let a = catalog.topic("a").unwrap();
    catalog.advance_log_starts(&[(Arc::clone(a.partitions()[0].leader().unwrap()), 1)]).unwrap();
    assert_eq!(a.partitions()[0].log_start(), 1);
}

#[test]
fn topics_are_made_altered_and_deleted_while_a_checkpoint_is_written() {
    let changes = |catalog: &Catalog| {
        catalog.check_new(&[("c", TopicConfig::new())]).unwrap();
        catalog.create(&[("c", TopicConfig::new())], NOW).unwrap();
        let b = catalog.topic("b").unwrap();
        catalog.alter(&b, |now| now.set("segment.ms", "5"), NOW).unwrap();
        catalog.add_partitions(&b, 3, NOW).unwrap();
        catalog.delete("b", NOW).unwrap();
    };
    does_not_wait(RECOVERY_POINTS, |catalog| catalog.write_recovery_points().unwrap(), changes);
    does_not_wait(LOG_STARTS, raise_a, changes);
}

#[test]
fn a_topic_that_is_deleted_while_a_checkpoint_is_written_is_in_none() {
    let (dir, gate, catalog) = gated();
    thread::scope(|scope| {
        let catalog = &catalog;
        let _opened = OpenedAtLast(&gate);
        gate.shut_opens_in(unfinished(&dir.path().join(RECOVERY_POINTS)));
        scope.spawn(|| catalog.write_recovery_points().unwrap());
        gate.await_one_inside();
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || done.send(catalog.delete("a", NOW).map(drop)).unwrap());
        is_done.recv_timeout(PATIENCE).expect("it waits for a checkpoint").unwrap();
        // Its name is free only once it is in no checkpoint.
        let again = scope.spawn(|| catalog.create(&[("a", TopicConfig::new())], NOW).map(drop));
        gate.open();
        again.join().unwrap().unwrap();
    });
    let points = fs::read_to_string(dir.path().join(RECOVERY_POINTS)).unwrap();
    assert!(points.contains("\nb 0 1") && !points.contains("\na 0"), "{points}");
    catalog.write_recovery_points().unwrap();
    let again = fs::read_to_string(dir.path().join(RECOVERY_POINTS)).unwrap();
    assert!(!again.contains("\na 0"), "{again}");
}
