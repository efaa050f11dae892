//! What ends a poll that sleeps: it happens once the poll is registered as a sleeper, and never before.

use std::thread;
use std::time::{Duration, Instant};

use super::ConsumerWaker;
use crate::config::{ConsumerConfig, TopicConfig, WaitStrategy};
use crate::directory::Topic;
use crate::error::{Error, Result};
use crate::event_log::EventLog;
use crate::producer::Record;

/// Those that sleep. A consumer that spins is at work all the time.
const STRATEGIES: [WaitStrategy; 2] = [WaitStrategy::SpinThenPark, WaitStrategy::Park];
/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::yield_now();
    }
}

/// What a poll gives that has no timeout and sleeps when `act` is called; in records.
fn polled(
    strategy: WaitStrategy,
    all_paused: bool,
    act: impl FnOnce(&EventLog, &Topic, &ConsumerWaker),
) -> Result<usize> {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let mut consumer = log.consumer_with(ConsumerConfig::new().wait(strategy)).unwrap();
    consumer.assign(topic.partitions()).unwrap();
    if all_paused {
        consumer.pause(topic.partitions()).unwrap();
    }
    let waker = consumer.waker();
    // A wake that has ended a poll does not end the next one: it would not come to sleep.
    waker.wake();
    assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
    let directory = consumer.directory.clone();
    let polling = thread::spawn(move || consumer.poll(Duration::MAX).map(|records| records.len()));
    // It registers with the partitions in order.
    let last = topic.log_of(1).unwrap();
    let place = if all_paused { directory.idlers() } else { last.sleepers() };
    until("the poll sleeps", || place.are_there());
    act(&log, &topic, &waker);
    until("the poll ends", || polling.is_finished());
    polling.join().unwrap()
}

#[test]
fn a_sleeping_poll_ends_with_the_first_record() {
    for strategy in STRATEGIES {
        for partition in [0, 1] {
            let send = |log: &EventLog, topic: &Topic, _: &ConsumerWaker| {
                log.producer().unwrap().send(topic, Record::new("x").partition(partition)).unwrap();
            };
            assert_eq!(polled(strategy, false, send).unwrap(), 1);
        }
    }
}

#[test]
fn a_sleeping_poll_ends_when_it_is_woken_the_log_closed_or_the_topic_deleted() {
    for strategy in STRATEGIES {
        for all_paused in [false, true] {
            assert_eq!(polled(strategy, all_paused, |_, _, waker| waker.wake()).unwrap(), 0);
            let closed = polled(strategy, all_paused, |log, _, _| log.close().unwrap());
            assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
        }
        let deleted = polled(strategy, false, |log, _, _| log.delete_topic("t").unwrap());
        assert!(matches!(deleted, Err(Error::NotFound { .. })), "{deleted:?}");
    }
}
