//! Consumers of many partitions: idle ones have no turn, and whatever happens to one gives it a turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::FEW;
use crate::config::{ConsumerConfig, Durability, IsolationLevel, ReadUpTo, TopicConfig, WaitStrategy};
use crate::consumer::{Consumer, WhyEmpty};
use crate::directory::Topic;
use crate::error::Error;
use crate::event_log::EventLog;
use crate::position::Position;
use crate::producer::Record;

const PARTITIONS: u32 = 40;
const _: () = assert!(PARTITIONS as usize > FEW);
/// A poll that waits so long has missed something.
const PATIENCE: Duration = Duration::from_secs(60);

fn opened() -> (TempDir, EventLog, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(PARTITIONS)).unwrap();
    (dir, log, topic)
}

/// Polls until all partitions are known to be idle.
fn idle(log: &EventLog, topic: &Topic, config: ConsumerConfig) -> Consumer {
    let mut consumer = log.consumer_with(config).unwrap();
    consumer.assign(topic.partitions()).unwrap();
    assert!(has_turns(&consumer));
    poll_all(&mut consumer);
    consumer
}

fn has_turns(consumer: &Consumer) -> bool {
    consumer.assigned.turns.as_ref().unwrap().are_there()
}

/// What there is, in records. Then no partition has a turn.
fn poll_all(consumer: &mut Consumer) -> usize {
    let mut found = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            assert!(!has_turns(consumer));
            return found;
        }
        found += records.len();
    }
}

fn send(log: &EventLog, topic: &Topic, partition: u32, durability: Durability) {
    let config = crate::producer::ProducerConfig::new().durability(durability);
    log.producer_with(config).unwrap().send(topic, Record::new("x").partition(partition)).unwrap();
}

#[test]
fn whatever_happens_to_an_idle_partition_gives_it_a_turn() {
    let (_dir, log, topic) = opened();
    let mut consumer = idle(&log, &topic, ConsumerConfig::new());
    let mut committed = idle(&log, &topic, ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted));
    let mut durable = idle(&log, &topic, ConsumerConfig::new().read_up_to(ReadUpTo::Durable));
    for partition in [7, 7, PARTITIONS - 1, 0] {
        send(&log, &topic, partition, Durability::Buffered);
        assert!(has_turns(&consumer));
        assert_eq!((poll_all(&mut consumer), poll_all(&mut committed), poll_all(&mut durable)), (1, 1, 0));
        topic.log_of(partition).unwrap().leader().unwrap().sync().unwrap();
        assert_eq!((poll_all(&mut consumer), poll_all(&mut committed), poll_all(&mut durable)), (0, 0, 1));
    }

    consumer.seek(Position::new(("t", 7), 1)).unwrap();
    assert_eq!(poll_all(&mut consumer), 1);
    consumer.seek_to_beginning().unwrap();
    assert_eq!(poll_all(&mut consumer), 4);

    // What comes while it is paused has its turn when it is resumed.
    consumer.pause([("t", 7)]).unwrap();
    send(&log, &topic, 7, Durability::Buffered);
    assert_eq!(poll_all(&mut consumer), 0);
    consumer.resume([("t", 7)]).unwrap();
    assert_eq!(poll_all(&mut consumer), 1);
    consumer.pause(topic.partitions()).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().why_empty(), Some(WhyEmpty::Paused));
    consumer.resume(topic.partitions()).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().why_empty(), Some(WhyEmpty::CaughtUp));

    // A new assignment knows nothing of the marks of the one before.
    send(&log, &topic, 3, Durability::Buffered);
    consumer.assign(topic.partitions().into_iter().skip(1)).unwrap();
    assert_eq!(poll_all(&mut consumer), 1);

    // Once all is durable a deletion does no more than replace the view.
    topic.log_of(3).unwrap().leader().unwrap().sync().unwrap();
    assert_eq!(poll_all(&mut consumer), 0);
    topic.partition(3).unwrap().delete_records(1).unwrap();
    assert!(has_turns(&consumer), "the view was replaced");
    assert_eq!(poll_all(&mut consumer), 0);
    consumer.seek(Position::new(("t", 7), 0)).unwrap();
    topic.partition(7).unwrap().delete_records(2).unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::OffsetOutOfRange { .. })));
    for _ in 0..2 * PARTITIONS {
        // As long as it fails, some polls say so and the others bring the rest.
        send(&log, &topic, 9, Durability::Buffered);
        match consumer.poll(Duration::ZERO) {
            Ok(records) => assert!(!records.is_empty()),
            Err(failure) => assert!(matches!(failure, Error::OffsetOutOfRange { .. })),
        }
    }
    consumer.seek(Position::new(("t", 7), 2)).unwrap();
    poll_all(&mut consumer);

    log.delete_topic("t").unwrap();
    assert!(has_turns(&committed));
    assert!(matches!(committed.poll(Duration::ZERO), Err(Error::NotFound { .. })));
}

#[test]
fn one_that_fails_says_so_every_nth_poll_however_much_others_bring() {
    let (_dir, log, topic) = opened();
    let mut consumer = idle(&log, &topic, ConsumerConfig::new().max_poll_records(1));
    consumer.seek(Position::new(("t", 7), 99)).unwrap();
    let mut errors = Vec::new();
    for poll in 0..3 * PARTITIONS {
        for partition in [9, 11] {
            send(&log, &topic, partition, Durability::Buffered);
        }
        match consumer.poll(Duration::ZERO) {
            Ok(records) => assert_eq!(records.len(), 1),
            Err(failure) => {
                assert!(matches!(failure, Error::OffsetOutOfRange { .. }));
                errors.push(poll);
            }
        }
    }
    assert_eq!(errors, [0, PARTITIONS, 2 * PARTITIONS]);
}

#[test]
fn a_log_that_is_closed_ends_a_poll_that_sleeps() {
    let (_dir, log, topic) = opened();
    let mut consumer = idle(&log, &topic, ConsumerConfig::new().wait(WaitStrategy::Park));
    let polling = thread::spawn(move || consumer.poll(Duration::MAX));
    log.close().unwrap();
    assert!(matches!(polling.join().unwrap(), Err(Error::Closed)));
}

#[test]
fn consumers_that_are_gone_are_not_marked() {
    let (_dir, log, topic) = opened();
    let mut consumer = idle(&log, &topic, ConsumerConfig::new());
    let sleepers = |partition| topic.log_of(partition).unwrap().sleepers().are_there();
    assert!((0..PARTITIONS).all(sleepers));
    consumer.assign(topic.partitions().into_iter().take(5)).unwrap();
    assert!(!(0..PARTITIONS).any(sleepers));
    consumer.assign(topic.partitions()).unwrap();
    poll_all(&mut consumer);
    drop(consumer);
    assert!(!(0..PARTITIONS).any(sleepers));
}

#[test]
fn nothing_is_missed_beside_writers_that_write_and_consumers_that_sleep() {
    const EACH: u64 = 4000;
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark, WaitStrategy::Spin] {
        let (_dir, log, topic) = opened();
        let written = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..2u32 {
                let (log, topic, written) = (&log, &topic, &written);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let partition = u32::try_from(n * 7 % u64::from(PARTITIONS)).unwrap();
                        send(log, topic, partition, Durability::Buffered);
                        if (n + u64::from(writer)) % 64 == 0 {
                            // Those who read come to sleep.
                            thread::sleep(Duration::from_micros(200));
                        }
                    }
                    written.store(true, Ordering::Relaxed);
                });
            }
            for most in [1, 50, usize::MAX] {
                let (log, topic) = (&log, &topic);
                scope.spawn(move || {
                    let config = ConsumerConfig::new().wait(wait).max_poll_records(most);
                    let mut consumer = log.consumer_with(config).unwrap();
                    consumer.assign(topic.partitions()).unwrap();
                    let (mut found, mut next) = (0, vec![0; PARTITIONS as usize]);
                    while found < 2 * EACH {
                        let records = consumer.poll(PATIENCE).unwrap();
                        assert!(!records.is_empty(), "a mark was missed");
                        for record in &records {
                            let next = &mut next[record.partition() as usize];
                            assert_eq!(record.offset(), *next);
                            *next += 1;
                            found += 1;
                        }
                    }
                    assert_eq!(poll_all(&mut consumer), 0);
                });
            }
        });
        assert!(written.load(Ordering::Relaxed));
    }
}
