//! What ends a poll that sleeps: it happens once the poll is registered as a sleeper, and never before.

use std::thread;
use std::time::{Duration, Instant};

use super::ConsumerWaker;
use crate::config::{Compression, ConsumerConfig, IsolationLevel, TopicConfig, WaitStrategy};
use crate::directory::{ReadMode, Topic, WriteMode};
use crate::error::{Error, Result};
use crate::event_log::EventLog;
use crate::format::work;
use crate::position::TopicPartition;
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

/// Bytes checked, read and gone through while `count` records of one batch are polled so many at a time.
fn work_of_polls(count: usize, most: usize, how: (Compression, ReadMode, IsolationLevel)) -> u64 {
    let (compression, mode, isolation) = how;
    let dir = tempfile::tempdir().unwrap();
    let options = EventLog::options().read_mode(mode).write_mode(WriteMode::Positioned);
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().compression(compression)).unwrap();
    let values: Vec<_> = (0..count).map(|n| format!("{n:>50}")).collect();
    let records = values.iter().map(Record::new);
    log.producer().unwrap().send_batch(&topic.partition(0).unwrap(), records).unwrap();
    let config = ConsumerConfig::new().max_poll_records(most).isolation(isolation);
    let mut consumer = log.consumer_with(config).unwrap();
    consumer.assign(topic.partitions()).unwrap();
    work::take();
    let mut next = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            break;
        }
        for record in &records {
            assert_eq!((record.offset(), record.value()), (next as u64, Some(values[next].as_bytes())));
            next += 1;
        }
        // Owned, they are the same.
        let owned = records.into_iter().last().unwrap();
        assert_eq!(owned.view().offset(), next as u64 - 1);
    }
    assert_eq!(next, count);
    work::take()
}

#[test]
fn a_batch_that_is_polled_record_by_record_is_gone_through_once() {
    let codecs = [Compression::None, Compression::Lz4];
    for compression in codecs.into_iter().filter(|one| cfg!(feature = "lz4") || *one == Compression::None) {
        for mode in [ReadMode::Auto, ReadMode::Copy] {
            for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
                for most in [1, 3] {
                    let how = (compression, mode, isolation);
                    let (few, many) = (work_of_polls(200, most, how), work_of_polls(2_000, most, how));
                    // Some 60 bytes a record, read and checked, once more by the poll that reaches beyond the batch.
                    assert!(many < 2_000 * 400, "{how:?}: {many}");
                    assert!(many < 12 * few + 10_000, "{how:?}: {few} and {many}: ten times the records");
                }
            }
        }
    }
}

/// Comparisons of partitions while a consumer is given, and reads, so many.
fn comparisons(partitions: u32, subscribes: bool) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(partitions)).unwrap();
    let mut consumer = log.consumer("g").unwrap();
    let all = || (0..partitions).rev().map(|n| TopicPartition::from(("t", n)));
    TopicPartition::take_comparisons();
    if subscribes {
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().assigned().len(), partitions as usize);
        let mut other = log.consumer("g").unwrap();
        other.subscribe(["t"]).unwrap();
        for _ in 0..3 {
            let _ = consumer.poll(Duration::ZERO).unwrap();
            let _ = other.poll(Duration::ZERO).unwrap();
        }
        assert_eq!(other.assignment().len(), partitions as usize / 2);
    } else {
        consumer.assign(all()).unwrap();
        consumer.assign(all()).unwrap();
        consumer.pause(all()).unwrap();
        consumer.resume(all()).unwrap();
        consumer.commit_to(consumer.positions()).unwrap();
        assert!(all().all(|of| consumer.position(of).is_ok()));
    }
    drop(topic);
    TopicPartition::take_comparisons()
}

#[test]
fn assigning_and_the_first_polls_take_no_more_than_sorting_does() {
    for subscribes in [false, true] {
        let (few, many) = (comparisons(250, subscribes), comparisons(2_000, subscribes));
        assert!(
            few > 0 && many < 8 * few * 3 / 2,
            "{subscribes}: {few} and {many}: eight times the partitions"
        );
    }
}
