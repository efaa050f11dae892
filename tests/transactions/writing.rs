//! Begin, send, commit, abort.

use stratalog::{
    Error, Event, EventLog, IsolationLevel, ProducerConfig, Record, TopicConfig, TransactionState,
};

use crate::{all, committed, open};

fn two_topics(log: &EventLog) {
    log.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    log.create_topic("b", TopicConfig::new()).unwrap();
}

fn state(log: &EventLog, id: &str) -> (TransactionState, i16, usize) {
    let ids = log.transactional_ids().unwrap();
    let found = ids.iter().find(|found| &*found.id == id).unwrap();
    (found.state, found.epoch, found.partitions.len())
}

#[test]
fn records_count_once_the_transaction_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let (a, b) = (log.topic("a").unwrap(), log.topic("b").unwrap());
    let mut producer = log.transactional_producer("x").unwrap();
    assert_eq!(state(&log, "x"), (TransactionState::Empty, 0, 0));
    for round in 0..3 {
        let mut transaction = producer.begin().unwrap();
        transaction.send(&a, Record::new(&format!("{round}-1")).partition(0)).unwrap();
        transaction.send(&a, Record::new(&format!("{round}-2")).partition(1)).unwrap();
        transaction.send_batch(&b.partition(0).unwrap(), [Record::new("x"), Record::new("y")]).unwrap();
        assert_eq!(all(&log, "a").len(), 2 * round, "nothing is written before");
        let done = transaction.commit().unwrap();
        let base = 3 * round as u64;
        let batches: Vec<_> = done.batches.iter().map(|(of, at)| (of.to_string(), at.clone())).collect();
        let expected = [
            ("a-0", 2 * round as u64..2 * round as u64 + 1),
            ("a-1", 2 * round as u64..2 * round as u64 + 1),
            ("b-0", base..base + 2),
        ];
        assert_eq!(batches, expected.map(|(of, at)| (of.to_owned(), at)));
        assert_eq!(
            state(&log, "x"),
            (TransactionState::CompleteCommit, i16::try_from(round).unwrap() + 1, 0)
        );
        assert_eq!(committed(&log, "a").len(), 2 * (round + 1));
        assert_eq!(committed(&log, "b").len(), 2 * (round + 1));
    }
    let offsets = b.partition(0).unwrap().offsets().unwrap();
    assert_eq!((offsets.log_end, offsets.last_stable), (9, 9));
}

#[test]
fn aborted_dropped_and_forgotten_transactions_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let a = log.topic("a").unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.send(&a, Record::new("aborted")).unwrap();
    transaction.abort().unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.send(&a, Record::new("dropped")).unwrap();
    drop(transaction);
    let mut transaction = producer.begin().unwrap();
    transaction.send(&a, Record::new("forgotten")).unwrap();
    std::mem::forget(transaction);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut transaction = producer.begin().unwrap();
        transaction.send(&a, Record::new("unwound")).unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(all(&log, "a"), [""; 0]);
    assert_eq!(state(&log, "x"), (TransactionState::Empty, 0, 0));
    let mut transaction = producer.begin().unwrap();
    transaction.send(&a, Record::new("one").partition(0)).unwrap();
    transaction.send(&a, Record::new("two").partition(1)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&log, "a"), ["one", "two"]);
    producer.begin().unwrap().commit().unwrap();
}

/// It is atomic by itself, so it is written as any batch is.
#[test]
fn a_transaction_of_one_batch_needs_no_marker() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let b = log.topic("b").unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    for round in 0..3_u64 {
        let mut transaction = producer.begin().unwrap();
        transaction.send(&b, Record::new("1")).unwrap();
        transaction.send(&b, Record::new("2")).unwrap();
        let done = transaction.commit().unwrap();
        assert_eq!(done.batches[0].1, 2 * round..2 * round + 2);
    }
    assert_eq!(b.partition(0).unwrap().offsets().unwrap().log_end, 6);
    assert_eq!(state(&log, "x").0, TransactionState::Empty);
}

/// What is too large to be kept is written, and is not seen by readers of committed records before the commit.
#[test]
fn a_large_transaction_spills() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let a = log.topic("a").unwrap();
    let small = ProducerConfig::new().batch_bytes(2000).buffer_bytes(10_000);
    let mut producer = log.transactional_producer_with("x", small).unwrap();
    let fill = |producer: &mut stratalog::TransactionalProducer, commits: bool| {
        let mut transaction = producer.begin().unwrap();
        for n in 0..400 {
            transaction.send(&a, Record::new(&format!("{n:090}")).partition(n % 2)).unwrap();
        }
        let before = all(&log, "a").len();
        assert!(before > 200, "{before}");
        assert_eq!(state(&log, "x").0, TransactionState::Ongoing);
        if commits { drop(transaction.commit().unwrap()) } else { transaction.abort().unwrap() }
    };
    fill(&mut producer, false);
    assert_eq!(committed(&log, "a").len(), 0);
    assert_eq!(state(&log, "x"), (TransactionState::CompleteAbort, 1, 0));
    fill(&mut producer, true);
    assert_eq!(committed(&log, "a").len(), 400);
    assert_eq!(state(&log, "x"), (TransactionState::CompleteCommit, 2, 0));
    log.close().unwrap();
    let log = open(dir.path());
    assert_eq!(committed(&log, "a").len(), 400);
}

#[test]
fn a_condition_that_does_not_hold_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let (a, b) =
        (log.topic("a").unwrap().partition(0).unwrap(), log.topic("b").unwrap().partition(0).unwrap());
    let mut producer = log.transactional_producer("x").unwrap();
    let mut ends = (0, 0);
    for round in 0..3 {
        let mut transaction = producer.begin().unwrap();
        transaction.send_batch_at(&a, ends.0, [Record::new("debit")]).unwrap();
        transaction.send_batch_at(&b, ends.1, [Record::new("credit")]).unwrap();
        let again = transaction.send_batch_at(&b, ends.1, [Record::new("credit")]).unwrap_err();
        assert!(matches!(again, Error::InvalidInput { .. }), "{again}");
        let done = transaction.commit().unwrap();
        // Where the records end is what the next one expects, whatever marker follows them.
        ends = (done.batches[0].1.end, done.batches[1].1.end);
        let mut late = producer.begin().unwrap();
        let refused = late.send_batch_at(&a, ends.0 - 1, [Record::new("late")]).unwrap_err();
        assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
        late.send_batch_at(&a, ends.0, [Record::new("late")]).unwrap();
        late.send_batch(&b, [Record::new("late")]).unwrap();
        log.producer().unwrap().send_batch(&a, [Record::new("between")]).unwrap();
        let refused = late.commit().unwrap_err();
        assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
        ends.0 = a.offsets().unwrap().log_end;
        assert_eq!(committed(&log, "b").len(), round + 1);
        assert_eq!(all(&log, "b").len(), round + 1);
    }
}

#[test]
fn bad_input_is_refused_and_the_transaction_continues() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let other_dir = tempfile::tempdir().unwrap();
    let other = open(other_dir.path());
    let foreign = other.create_topic("a", TopicConfig::new()).unwrap();
    for id in ["", &"x".repeat(32_768)] {
        assert!(matches!(log.transactional_producer(id), Err(Error::InvalidInput { .. })));
    }
    log.transactional_producer(&"x".repeat(32_767)).unwrap();
    for millis in [0, 1 << 31] {
        let config = ProducerConfig::new().transaction_timeout(std::time::Duration::from_millis(millis));
        assert!(matches!(log.transactional_producer_with("x", config), Err(Error::InvalidInput { .. })));
    }
    for (name, value, is_right) in [
        ("transaction.timeout.ms", "1000", true),
        ("transaction.timeout.ms", "soon", false),
        ("enable.idempotence", "true", true),
        ("enable.idempotence", "maybe", false),
        ("max.in.flight.requests.per.connection", "5", true),
    ] {
        let config = ProducerConfig::new().set(name, value);
        assert_eq!(log.transactional_producer_with("y", config).is_ok(), is_right, "{name}={value}");
    }
    let a = log.topic("a").unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.send(&a, Record::new("1").partition(0)).unwrap();
    let invalid = |outcome: stratalog::Result<()>| {
        assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
    };
    invalid(transaction.send(&foreign, Record::new("x")));
    invalid(transaction.send(&log.topic("__transaction_state").unwrap(), Record::new("x")));
    invalid(transaction.send_batch(&a.partition(0).unwrap(), [Record::new("x").partition(1)]));
    invalid(transaction.send_batch(&foreign.partition(0).unwrap(), [Record::new("x")]));
    assert!(matches!(transaction.send(&a, Record::new("x").partition(9)), Err(Error::NotFound { .. })));
    let large = "x".repeat(2 << 20);
    assert!(matches!(transaction.send(&a, Record::new(&large)), Err(Error::TooLarge { .. })));
    transaction.send(&a, Record::new("2").partition(1)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&log, "a"), ["1", "2"]);
    let read_only = EventLog::open_read_only(dir.path()).unwrap();
    assert!(matches!(read_only.transactional_producer("x"), Err(Error::ReadOnly)));
    assert_eq!(read_only.transactional_ids().unwrap().len(), 3);
    assert_eq!(committed(&read_only, "a"), ["1", "2"]);
    log.close().unwrap();
    assert!(matches!(producer.begin(), Err(Error::Closed)));
}

/// A topic that is deleted takes its part with it; the rest is committed.
#[test]
fn a_topic_that_is_deleted_meanwhile_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    two_topics(&log);
    let (a, b) = (log.topic("a").unwrap(), log.topic("b").unwrap());
    let events = log.events();
    let small = ProducerConfig::new().batch_bytes(100).buffer_bytes(200);
    for (id, config) in [("x", ProducerConfig::new()), ("y", small)] {
        let mut producer = log.transactional_producer_with(id, config).unwrap();
        let topic = log.create_topic("gone", TopicConfig::new()).unwrap();
        let mut transaction = producer.begin().unwrap();
        for value in ["1", "2", "3", "4"] {
            transaction.send(&a, Record::new(value).partition(0)).unwrap();
            transaction.send(&topic, Record::new("gone")).unwrap();
            transaction.send(&b, Record::new(value)).unwrap();
        }
        log.delete_topic("gone").unwrap();
        let done = transaction.commit().unwrap();
        assert!(done.batches.iter().all(|(of, _)| of.topic() != "gone"));
        assert_eq!(state(&log, id).0, TransactionState::CompleteCommit);
    }
    assert_eq!(committed(&log, "a").len(), 8);
    assert_eq!(crate::values(&log, &b, IsolationLevel::ReadCommitted).len(), 8);
    let reported: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert!(!reported.iter().any(|event| matches!(event, Event::MarkersPending { .. })), "{reported:?}");
}
