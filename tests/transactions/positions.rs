//! Positions of groups that are committed with records.

use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Durability, Error, EventLog, IsolationLevel, Position, Processed,
    ProducerConfig, Record, TopicConfig,
};

use crate::{committed, killed, open, rest_of};

fn reading(group: &str) -> ConsumerConfig {
    ConsumerConfig::new().group(group).isolation(IsolationLevel::ReadCommitted)
}

/// A topic `in` with so many records, a topic `out`, and a consumer of the group `g`.
fn scene(log: &EventLog, records: usize) -> Consumer {
    let input = log.create_topic("in", TopicConfig::new()).unwrap();
    log.create_topic("out", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for number in 0..records {
        producer.send(&input, Record::new(&number.to_string())).unwrap();
    }
    let mut consumer = log.consumer_with(reading("g")).unwrap();
    consumer.subscribe(["in"]).unwrap();
    consumer
}

fn position(log: &EventLog) -> Option<u64> {
    let consumer = log.consumer_with(reading("g")).unwrap();
    consumer.committed(("in", 0)).unwrap().map(|at| at.offset())
}

/// Polls until there are records: the first poll of a member says what it was assigned.
fn copy(
    log: &EventLog,
    producer: &mut stratalog::TransactionalProducer,
    consumer: &mut Consumer,
) -> Processed {
    let out = log.topic("out").unwrap();
    producer
        .process(consumer, Duration::ZERO, |records, transaction| {
            for record in records {
                transaction.send(&out, Record::from(record))?;
            }
            Ok::<_, Error>(())
        })
        .unwrap()
}

#[test]
fn records_and_positions_are_one() {
    for durability in [Durability::Buffered, Durability::Synced] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let mut consumer = scene(&log, 3);
        let config = ProducerConfig::new().durability(durability);
        let mut producer = log.transactional_producer_with("x", config).unwrap();
        let mut outcomes: Vec<_> = (0..3).map(|_| copy(&log, &mut producer, &mut consumer)).collect();
        outcomes.retain(|outcome| *outcome != Processed::Nothing);
        assert_eq!(outcomes, [Processed::Committed(3)]);
        assert_eq!(
            (committed(&log, "out"), position(&log)),
            (vec!["0".into(), "1".into(), "2".into()], Some(3))
        );
        log.close().unwrap();
        let log = open(dir.path());
        assert_eq!(position(&log), Some(3));
        let mut consumer = log.consumer_with(reading("g")).unwrap();
        consumer.subscribe(["in"]).unwrap();
        assert_eq!(rest_of(&mut consumer), [""; 0]);
    }
}

/// What fails or panics leaves neither, and the same records come again; also where nothing was committed before and the group
/// begins at the end.
#[test]
fn what_fails_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut consumer = scene(&log, 2);
    let out = log.topic("out").unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    while consumer.assignment().is_empty() {
        drop(consumer.poll(Duration::ZERO).unwrap());
        consumer.seek_to_beginning().unwrap();
    }
    let mut seen = Vec::new();
    for round in 0..3 {
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            producer.process(&mut consumer, Duration::ZERO, |records, transaction| {
                seen.push(records.len());
                transaction.send(&out, Record::new("a"))?;
                match round {
                    0 => Err(Error::InvalidInput { what: "test", reason: "on purpose".into() }),
                    1 => panic!("on purpose"),
                    _ => Ok(()),
                }
            })
        }));
        match round {
            0 => assert!(matches!(worked, Ok(Err(Error::InvalidInput { .. })))),
            1 => assert!(worked.is_err()),
            _ => assert!(matches!(worked, Ok(Ok(Processed::Committed(2)))), "{worked:?}"),
        }
    }
    assert_eq!(seen, [2, 2, 2]);
    assert_eq!((committed(&log, "out"), position(&log)), (vec!["a".to_owned()], Some(2)));
}

#[test]
fn with_a_start_at_the_end_nothing_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    drop(scene(&log, 2));
    let mut consumer = log.consumer_with(reading("end").start_from(stratalog::StartFrom::End)).unwrap();
    consumer.subscribe(["in"]).unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    drop(consumer.poll(Duration::ZERO).unwrap());
    let input = log.topic("in").unwrap();
    log.producer().unwrap().send(&input, Record::new("2")).unwrap();
    let failed = producer.process(&mut consumer, Duration::ZERO, |records, _| {
        assert_eq!(records.len(), 1);
        Err::<(), _>(Error::InvalidInput { what: "test", reason: "on purpose".into() })
    });
    assert!(failed.is_err());
    log.producer().unwrap().send(&input, Record::new("3")).unwrap();
    consumer.seek_to_committed().unwrap();
    assert_eq!(rest_of(&mut consumer), ["2", "3"]);
}

/// A partition that was another member's in between is not this one's to commit: neither its records nor its position count.
#[test]
fn the_generation_is_checked_when_it_is_decided() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut first = scene(&log, 4);
    let out = log.topic("out").unwrap();
    let mut old = log.transactional_producer("old").unwrap();
    while rest_of(&mut first).is_empty() {}
    let mut transaction = old.begin().unwrap();
    transaction.send(&out, Record::new("old")).unwrap();
    transaction.commit_consumed(&first).unwrap();
    // The first one leaves, another takes the partition, commits, and leaves in turn.
    first.unsubscribe().unwrap();
    let mut second = log.consumer_with(reading("g")).unwrap();
    second.subscribe(["in"]).unwrap();
    let mut new = log.transactional_producer("new").unwrap();
    while copy(&log, &mut new, &mut second) == Processed::Nothing {}
    assert_eq!(position(&log), Some(4));
    second.close().unwrap();
    first.subscribe(["in"]).unwrap();
    drop(first.poll(Duration::ZERO).unwrap());
    let refused = transaction.commit().unwrap_err();
    assert!(matches!(refused, Error::FencedGeneration { .. }), "{refused}");
    assert_eq!((committed(&log, "out").len(), position(&log)), (4, Some(4)));
    // Through `process` it is no error.
    let mut rebalanced = false;
    log.producer().unwrap().send(&log.topic("in").unwrap(), Record::new("4")).unwrap();
    loop {
        let outcome = old
            .process(&mut first, Duration::ZERO, |_, transaction| {
                transaction.send(&out, Record::new("fenced"))?;
                let mut third = log.consumer_with(reading("g"))?;
                third.subscribe(["in"])?;
                rebalanced = true;
                std::mem::forget(third);
                Ok::<_, Error>(())
            })
            .unwrap();
        if outcome != Processed::Nothing {
            // It owns the partition until its next poll, whatever the others want.
            assert_eq!(outcome, Processed::Committed(1));
            break;
        }
    }
    assert!(rebalanced);
}

#[test]
fn consumers_that_would_lose_exactly_once_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    drop(scene(&log, 1));
    let other_dir = tempfile::tempdir().unwrap();
    let other = open(other_dir.path());
    drop(scene(&other, 1));
    let mut producer = log.transactional_producer("x").unwrap();
    let subscribed = |log: &EventLog, config: ConsumerConfig| {
        let mut consumer = log.consumer_with(config).unwrap();
        consumer.subscribe(["in"]).unwrap();
        consumer
    };
    let mut standalone =
        log.consumer_with(ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted)).unwrap();
    standalone.assign([("in", 0)]).unwrap();
    let refused = [
        standalone,
        subscribed(&log, reading("g").commit_on_poll(true)),
        subscribed(&log, reading("h").isolation(IsolationLevel::ReadUncommitted)),
        subscribed(&other, reading("g")),
    ];
    let mut transaction = producer.begin().unwrap();
    for consumer in &refused {
        let refused = transaction.commit_consumed(consumer).unwrap_err();
        assert!(matches!(refused, Error::InvalidInput { .. }), "{refused}");
        let refused = transaction.commit_to(consumer, [Position::new(("in", 0), 1)]).unwrap_err();
        assert!(matches!(refused, Error::InvalidInput { .. }), "{refused}");
    }
    transaction.abort().unwrap();
    for mut consumer in refused {
        assert!(producer.process(&mut consumer, Duration::ZERO, |_, _| Ok::<_, Error>(())).is_err());
    }
}

/// A consumer that was assigned its partitions commits for a group that has no members.
#[test]
fn an_assigned_consumer_commits_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    drop(scene(&log, 3));
    let mut consumer = log.consumer_with(reading("g")).unwrap();
    consumer.assign([("in", 0)]).unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    assert_eq!(copy(&log, &mut producer, &mut consumer), Processed::Committed(3));
    assert_eq!(position(&log), Some(3));
    let mut other = log.consumer_with(reading("h")).unwrap();
    other.assign([("in", 0)]).unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.commit_to(&consumer, [Position::new(("in", 0), 2).with_metadata("two")]).unwrap();
    assert!(matches!(transaction.commit_consumed(&other), Err(Error::InvalidInput { .. })));
    transaction.commit().unwrap();
    let found = consumer.committed(("in", 0)).unwrap().unwrap();
    assert_eq!((found.offset(), found.metadata()), (2, "two"));
    // While the group has members it is theirs.
    let mut member = log.consumer_with(reading("g")).unwrap();
    member.subscribe(["in"]).unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.commit_to(&consumer, [Position::new(("in", 0), 3)]).unwrap();
    assert!(matches!(transaction.commit(), Err(Error::GroupNotEmpty { .. })));
    assert_eq!(position(&log), Some(2));
}

/// Several members and groups commit in one transaction.
#[test]
fn several_consumers_commit_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut first = scene(&log, 3);
    let mut second = log.consumer_with(reading("h")).unwrap();
    second.subscribe(["in"]).unwrap();
    while rest_of(&mut first).is_empty() {}
    while rest_of(&mut second).is_empty() {}
    let mut producer = log.transactional_producer("x").unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.commit_to(&first, [Position::new(("in", 0), 1)]).unwrap();
    transaction.commit_consumed(&second).unwrap();
    transaction.commit_to(&first, [Position::new(("in", 0), 2)]).unwrap();
    let read_only = EventLog::open_read_only(dir.path()).unwrap();
    transaction.commit().unwrap();
    assert_eq!(first.committed(("in", 0)).unwrap().map(|at| at.offset()), Some(2));
    assert_eq!(second.committed(("in", 0)).unwrap().map(|at| at.offset()), Some(3));
    assert_eq!(position(&read_only), Some(2));
}

/// As the death of the process leaves them, after each round: what is in the one topic follows from the position in the other.
#[test]
fn after_the_death_of_the_process_positions_and_records_agree() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let log = open(&path);
    let mut consumer = scene(&log, 0);
    let (input, producer) = (log.topic("in").unwrap(), log.producer().unwrap());
    let mut transactional = log.transactional_producer("x").unwrap();
    let mut processed = 0;
    for round in 0..6 {
        for _ in 0..=round {
            producer.send(&input, Record::new("x")).unwrap();
        }
        while let Processed::Committed(records) = copy(&log, &mut transactional, &mut consumer) {
            processed += records;
        }
        let copy = root.path().join(format!("copy {round}"));
        killed(&path, &copy);
        let copied = open(&copy);
        assert_eq!(committed(&copied, "out").len(), processed);
        assert_eq!(position(&copied).unwrap_or(0), processed as u64);
    }
    assert!(processed > 10, "{processed}");
}

/// An open transaction's position is not seen and not changed, and a topic that is deleted takes it along.
#[test]
fn pending_positions_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut consumer = scene(&log, 3);
    while rest_of(&mut consumer).is_empty() {}
    let mut producer = log.transactional_producer("x").unwrap();
    let mut transaction = producer.begin().unwrap();
    transaction.commit_consumed(&consumer).unwrap();
    assert_eq!(position(&log), None);
    transaction.abort().unwrap();
    assert_eq!(position(&log), None);
    consumer.seek_to_committed().unwrap();
    assert_eq!(rest_of(&mut consumer).len(), 3);
    let mut transaction = producer.begin().unwrap();
    transaction.commit_consumed(&consumer).unwrap();
    log.delete_topic("in").unwrap();
    let input = log.create_topic("in", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&input, Record::new("of another topic")).unwrap();
    assert!(transaction.commit().is_err());
    assert_eq!(position(&log), None);
}
