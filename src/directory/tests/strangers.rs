//! A disk that does not answer for one group: members of other groups do not wait for it.

use std::sync::mpsc;
use std::thread;

use super::*;
use crate::format::coordinator_record::group_partition;
use crate::group::OFFSETS_PARTITIONS;
use crate::sys::gate::{Gate, OpenedAtLast};

const PATIENCE: Duration = Duration::from_secs(60);

fn member(log: &EventLog, group: &str) -> crate::consumer::Consumer {
    let mut consumer = log.consumer_with(ConsumerConfig::new().group(group)).unwrap();
    consumer.subscribe(["t"]).unwrap();
    drop(consumer.poll(Duration::ZERO).unwrap());
    consumer
}

/// Two groups have committed to different partitions. `before` is done with the group `slow`; then the disk does not answer
/// for its partition while `slow` is done, and another group does all it may.
fn others_do_not_wait<S: Send>(before: impl FnOnce(&EventLog) -> S, slow: impl FnOnce(&EventLog, S) + Send) {
    let dir = tempfile::tempdir().unwrap();
    let partition = |group: &str| group_partition(group, OFFSETS_PARTITIONS);
    let other =
        (0..100).map(|n| format!("other {n}")).find(|other| partition(other) != partition("slow")).unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    let at = |offset| [Position::new(("t", 0), offset)];
    for group in ["slow", &other] {
        log.group(group).unwrap().set_committed(at(0)).unwrap();
    }
    log.close().unwrap();

    let gate = Arc::new(Gate::default());
    let mut options = EventLog::options();
    options.faults = gate.before_opens();
    let log = options.open(dir.path()).unwrap();
    let begun = before(&log);
    thread::scope(|scope| {
        let (log, other) = (&log, &*other);
        let _opened = OpenedAtLast(&gate);
        gate.shut_opens_in(dir.path().join(format!("__consumer_offsets-{}", partition("slow"))));
        let slow = scope.spawn(move || slow(log, begun));
        gate.await_one_inside();
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || {
            let mut consumer = member(log, other);
            consumer.commit().unwrap();
            drop(consumer);
            log.group(other).unwrap().set_committed(at(1)).unwrap();
            done.send(()).unwrap();
        });
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(()), "it waits for what is done for another group");
        assert!(!slow.is_finished());
    });
    assert_eq!(log.group(&other).unwrap().committed().unwrap()[0].offset(), 1);
    log.close().unwrap();
}

#[test]
fn no_group_waits_while_committed_positions_of_another_are_read() {
    others_do_not_wait(|_| (), |log, ()| drop(member(log, "slow")));
}

#[test]
fn no_group_waits_while_positions_of_another_are_set() {
    let set = |log: &EventLog| {
        log.group("slow").unwrap().set_committed([Position::new(("t", 0), 1)]).unwrap();
    };
    // What is there has been read, and the file is opened for the append.
    let read = |log: &EventLog| drop(log.group("slow").unwrap().committed().unwrap());
    others_do_not_wait(read, |log, ()| set(log));
}

#[test]
fn no_group_waits_while_another_notes_that_its_last_member_has_left() {
    others_do_not_wait(|log| member(log, "slow"), |_, member| drop(member));
}
