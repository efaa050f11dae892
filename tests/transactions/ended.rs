//! Transactions that others end: by time, by taking the id, from outside, with the log.

use std::time::{Duration, Instant};

use stratalog::{
    AbortCause, Error, Event, EventLog, ProducerConfig, Record, Remedy, TopicConfig, TransactionState,
};

use crate::{all, committed, open, options};

/// A producer whose transactions are in the log from the first records on.
fn spilling() -> ProducerConfig {
    ProducerConfig::new().batch_bytes(100).buffer_bytes(100)
}

#[test]
fn a_producer_that_takes_the_id_fences_the_one_before() {
    for config in [ProducerConfig::new(), spilling()] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let topic = log.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
        let events = log.events();
        let mut old = log.transactional_producer_with("x", config.clone()).unwrap();
        let mut open = old.begin().unwrap();
        for value in ["old 1", "old 2"] {
            open.send(&topic, Record::new(&value.repeat(20)).partition(0)).unwrap();
        }
        let mut new = log.transactional_producer_with("x", config).unwrap();
        let fenced = open.send(&topic, Record::new("old")).unwrap_err();
        assert!(matches!(&fenced, Error::ProducerFenced { id } if &**id == "x"), "{fenced}");
        assert_eq!(fenced.remedy(), Remedy::Renew);
        assert!(matches!(open.commit(), Err(Error::ProducerFenced { .. })));
        assert!(matches!(old.begin(), Err(Error::ProducerFenced { .. })));
        let mut transaction = new.begin().unwrap();
        transaction.send(&topic, Record::new("new").partition(0)).unwrap();
        transaction.send(&topic, Record::new("new").partition(1)).unwrap();
        transaction.commit().unwrap();
        assert_eq!(committed(&log, "a"), ["new", "new"]);
        let aborted = Event::TransactionAborted { id: "x".into(), cause: AbortCause::Fenced };
        assert!(std::iter::from_fn(|| events.try_next()).any(|event| event == aborted));
    }
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted() {
    for config in [ProducerConfig::new(), spilling()] {
        let dir = tempfile::tempdir().unwrap();
        let (options, clock) = options();
        let log = options.open(dir.path()).unwrap();
        let topic = log.create_topic("a", TopicConfig::new()).unwrap();
        let config = config.transaction_timeout(Duration::from_secs(5));
        let mut producer = log.transactional_producer_with("x", config).unwrap();
        let mut transaction = producer.begin().unwrap();
        for _ in 0..3 {
            transaction.send(&topic, Record::new(&"late".repeat(20))).unwrap();
        }
        clock.advance(Duration::from_millis(4999));
        assert_eq!(log.run_maintenance().unwrap().transactions_aborted, 0);
        transaction.send(&topic, Record::new("in time")).unwrap();
        clock.advance(Duration::from_millis(1));
        assert_eq!(log.run_maintenance().unwrap().transactions_aborted, 1);
        let late = transaction.send(&topic, Record::new("x")).unwrap_err();
        assert!(matches!(late, Error::Aborted { cause: AbortCause::Timeout, .. }), "{late}");
        assert_eq!(late.remedy(), Remedy::Retry);
        assert!(matches!(transaction.commit(), Err(Error::Aborted { cause: AbortCause::Timeout, .. })));
        assert_eq!(committed(&log, "a"), [""; 0]);
        let mut transaction = producer.begin().unwrap();
        transaction.send(&topic, Record::new("anew")).unwrap();
        transaction.commit().unwrap();
        assert_eq!(committed(&log, "a"), ["anew"]);
    }
}

/// By the thread, which looks when the first of them is due, whichever was begun first.
#[test]
fn the_shorter_of_two_timeouts_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("a", TopicConfig::new()).unwrap();
    let mut patient = log.transactional_producer("long").unwrap();
    let config = ProducerConfig::new().transaction_timeout(Duration::from_millis(20));
    let mut hasty = log.transactional_producer_with("short", config).unwrap();
    let mut first = patient.begin().unwrap();
    let mut second = hasty.begin().unwrap();
    // With the deadline of the other one it would be a minute.
    let until = Instant::now() + Duration::from_secs(30);
    let late = loop {
        match second.send(&topic, Record::new("x")) {
            Err(late) => break late,
            Ok(()) => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < until, "it was not aborted");
    };
    assert!(matches!(late, Error::Aborted { cause: AbortCause::Timeout, .. }), "{late}");
    first.send(&topic, Record::new("long")).unwrap();
    first.commit().unwrap();
    assert_eq!(committed(&log, "a"), ["long"]);
}

#[test]
fn one_is_aborted_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = log.create_topic("a", TopicConfig::new()).unwrap();
    assert!(!log.abort_transaction("x").unwrap());
    let mut producer = log.transactional_producer_with("x", spilling()).unwrap();
    assert!(!log.abort_transaction("x").unwrap());
    let mut transaction = producer.begin().unwrap();
    for _ in 0..3 {
        transaction.send(&topic, Record::new(&"x".repeat(80))).unwrap();
    }
    assert!(!all(&log, "a").is_empty());
    let stable = || topic.partition(0).unwrap().offsets().unwrap();
    assert_eq!(stable().last_stable, 0);
    assert!(log.abort_transaction("x").unwrap());
    assert_eq!(stable().last_stable, stable().log_end);
    assert!(matches!(transaction.abort(), Err(Error::Aborted { cause: AbortCause::Outside, .. })));
    assert!(!log.abort_transaction("x").unwrap());
    producer.begin().unwrap().abort().unwrap();
}

/// A directory that was closed in order has no open transaction.
#[test]
fn a_close_ends_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = log.create_topic("a", TopicConfig::new()).unwrap();
    let mut producer = log.transactional_producer_with("x", spilling()).unwrap();
    let mut transaction = producer.begin().unwrap();
    for _ in 0..3 {
        transaction.send(&topic, Record::new(&"x".repeat(80))).unwrap();
    }
    log.close().unwrap();
    assert!(matches!(transaction.commit(), Err(Error::Closed)));
    let log = open(dir.path());
    let events = log.events();
    assert!(log.recovery().clean);
    assert_eq!(std::iter::from_fn(|| events.try_next()).count(), 0, "there was nothing to decide");
    assert_eq!(log.transactional_ids().unwrap()[0].state, TransactionState::CompleteAbort);
    let offsets = log.topic("a").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!(offsets.last_stable, offsets.log_end);
    assert_eq!(committed(&log, "a"), [""; 0]);
}

/// As with Kafka, a week after the last transaction; not while a producer has the id.
#[test]
fn ids_that_are_not_used_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = options();
    let log = options.open(dir.path()).unwrap();
    let kept = log.transactional_producer("kept").unwrap();
    drop(log.transactional_producer("gone").unwrap());
    clock.advance(Duration::from_millis(7 * 24 * 3_600_000 - 1));
    assert_eq!(log.run_maintenance().unwrap().transactional_ids_expired, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.run_maintenance().unwrap().transactional_ids_expired, 1);
    let names = || log.transactional_ids().unwrap().iter().map(|id| id.id.to_string()).collect::<Vec<_>>();
    assert_eq!(names(), ["kept"]);
    drop(kept);
    assert_eq!(log.run_maintenance().unwrap().transactional_ids_expired, 1);
    assert_eq!(names(), [""; 0]);
    // Its producer id is another one then.
    let again = log.transactional_producer("gone").unwrap();
    assert_eq!(again.id(), "gone");
    assert_eq!(
        (log.transactional_ids().unwrap()[0].producer_id, log.transactional_ids().unwrap()[0].epoch),
        (2, 0)
    );
}
