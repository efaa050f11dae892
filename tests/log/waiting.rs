//! How polls wait, and what ends the wait. Here the end may come before the poll has begun to wait, or after it: the tests of
//! `consumer` hold it back until the poll sleeps.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::{self, PATIENCE, until};
use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, Record, Remedy, Topic, TopicConfig, WaitStrategy,
};

const STRATEGIES: [WaitStrategy; 3] = [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park];
const A_MOMENT: Duration = Duration::from_millis(20);

/// Runs a suite with a consumer of an empty topic of two partitions, for each way to wait.
fn with_each_strategy(suite: impl Fn(&EventLog, &Topic, Consumer)) {
    for strategy in STRATEGIES {
        eprintln!("{strategy:?}");
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        let mut consumer = log.consumer_with(ConsumerConfig::new().wait(strategy)).unwrap();
        consumer.assign(topic.partitions()).unwrap();
        suite(&log, &topic, consumer);
    }
}

#[test]
fn until_the_timeout_and_no_shorter() {
    with_each_strategy(|_, _, mut consumer| {
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        for millis in [1, 10, 50] {
            let (start, timeout) = (Instant::now(), Duration::from_millis(millis));
            assert!(consumer.poll(timeout).unwrap().is_empty());
            assert!(start.elapsed() >= timeout);
        }
    });
}

#[test]
fn until_another_thread_sends() {
    with_each_strategy(|log, topic, mut consumer| {
        thread::scope(|scope| {
            for round in 0..50_u32 {
                scope.spawn(move || {
                    log.producer().unwrap().send(topic, Record::new("x").partition(round % 2)).unwrap();
                });
                let timeout = if round % 3 == 0 { Duration::MAX } else { PATIENCE };
                assert_eq!(consumer.poll(timeout).unwrap().len(), 1);
            }
        });
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    });
}

#[test]
fn until_it_is_woken() {
    with_each_strategy(|log, topic, mut consumer| {
        let waker = consumer.waker();
        // Remembered: once, however often it was used.
        (0..3).for_each(|_| waker.wake());
        assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
        // Records come first, the wake is kept for the poll that would wait.
        log.producer().unwrap().send(topic, Record::new("x")).unwrap();
        waker.clone().wake();
        assert_eq!(consumer.poll(Duration::MAX).unwrap().len(), 1);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        });
        // The old wake does not count again.
        let start = Instant::now();
        assert!(consumer.poll(A_MOMENT).unwrap().is_empty());
        assert!(start.elapsed() >= A_MOMENT);
        drop(consumer);
        waker.wake();
    });
}

#[test]
fn until_the_log_is_closed() {
    for all_paused in [false, true] {
        with_each_strategy(|log, topic, mut consumer| {
            if all_paused {
                consumer.pause(topic.partitions()).unwrap();
            }
            let polling = thread::spawn(move || {
                let error = consumer.poll(Duration::MAX).unwrap_err();
                assert!(matches!(error, Error::Closed), "{error:?}");
                assert_eq!(error.remedy(), Remedy::Reopen);
                assert!(matches!(consumer.poll(Duration::ZERO).unwrap_err(), Error::Closed));
            });
            log.close().unwrap();
            until("the close ends the poll", || polling.is_finished());
            polling.join().unwrap();
        });
    }
}

#[test]
fn until_the_topic_is_deleted() {
    with_each_strategy(|log, _, mut consumer| {
        let polling = thread::spawn(move || consumer.poll(Duration::MAX).unwrap_err());
        log.delete_topic("t").unwrap();
        until("the deletion ends the poll", || polling.is_finished());
        assert!(matches!(polling.join().unwrap(), Error::NotFound { .. }));
    });
}

#[test]
fn not_for_partitions_that_are_paused() {
    with_each_strategy(|log, topic, mut consumer| {
        consumer.pause([("t", 0)]).unwrap();
        log.producer().unwrap().send(topic, Record::new("unseen").partition(0)).unwrap();
        // Records would come before the wake, which counts where a poll would wait.
        let waker = consumer.waker();
        waker.wake();
        assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        consumer.pause([("t", 1)]).unwrap();
        waker.wake();
        assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert!(consumer.poll(Duration::MAX).unwrap().is_empty());
        });
        consumer.resume([("t", 0)]).unwrap();
        assert_eq!(consumer.poll(Duration::MAX).unwrap().len(), 1);
    });
}

/// Every handle of a closed log says so, and closing twice is fine.
#[test]
fn nothing_works_after_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let (producer, mut consumer) = (log.producer().unwrap(), log.standalone_consumer().unwrap());
    let (partition, mut buffered) = (topic.partition(0).unwrap(), producer.buffered());
    consumer.assign([&partition]).unwrap();
    producer.send(&topic, Record::new("x")).unwrap();
    let config = stratalog::ProducerConfig::new().linger(Duration::MAX);
    let mut unflushed = log.producer_with(config).unwrap().buffered();
    unflushed.enqueue(&topic, Record::new("never written")).unwrap();
    log.close().unwrap();
    log.close().unwrap();
    let closed =
        |outcome: stratalog::Result<()>| assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    closed(producer.send(&topic, Record::new("x")).map(drop));
    closed(producer.send_batch(&partition, [Record::new("x")]).map(drop));
    closed(buffered.enqueue(&topic, Record::new("x")));
    closed(unflushed.flush());
    assert_eq!(unflushed.discard(), 1);
    closed(consumer.poll(Duration::ZERO).map(drop));
    closed(consumer.lag(&partition).map(drop));
    closed(consumer.assign([&partition]));
    closed(consumer.seek_to_end());
    closed(partition.offsets().map(drop));
    closed(partition.size().map(drop));
    closed(partition.sync());
    closed(topic.describe().map(drop));
    closed(log.create_topic("u", TopicConfig::new()).map(drop));
    closed(log.delete_topic("t"));
    closed(log.topics().map(drop));
    closed(log.topic("t").map(drop));
    closed(log.producer().map(drop));
    closed(log.standalone_consumer().map(drop));
    closed(log.sync());
    let again = EventLog::open(dir.path()).unwrap();
    assert!(again.recovery().clean);
    assert_eq!(common::end(&again.topic("t").unwrap(), 0), 1);
}
