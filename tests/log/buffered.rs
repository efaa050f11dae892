//! Buffered producers: when records are written, and what becomes of those that are not.

use std::time::{Duration, SystemTime};

use crate::common::{end, in_every_mode, read, texts, until};
use stratalog::{
    BufferedProducer, Error, Event, EventLog, Maintenance, ManualClock, ProducerConfig, Record, Remedy,
    Timestamp, Topic, TopicConfig,
};

/// Writes only when it is asked to or full.
fn patient() -> ProducerConfig {
    ProducerConfig::new().linger(Duration::MAX)
}

fn buffered(log: &EventLog, config: ProducerConfig) -> BufferedProducer {
    log.producer_with(config).unwrap().buffered()
}

fn topic(log: &EventLog) -> Topic {
    log.create_topic("t", TopicConfig::new().partitions(3)).unwrap()
}

#[test]
fn records_are_written_at_flush() {
    in_every_mode(|mode, dir| {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let options = mode.options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.open(dir).unwrap();
        let topic = topic(&log);
        let other = log.create_topic("other", TopicConfig::new()).unwrap();
        let mut producer = buffered(&log, patient());
        producer.flush().unwrap();
        for number in 0..30_u32 {
            producer.enqueue(&topic, Record::new(&number.to_string()).partition(number % 3)).unwrap();
            producer.enqueue(&other, Record::new("other")).unwrap();
            assert_eq!(producer.pending(), 2 * (number as usize + 1));
        }
        clock.advance(Duration::from_secs(365 * 24 * 3600));
        log.run_maintenance().unwrap();
        assert_eq!((end(&topic, 0), end(&other, 0)), (0, 0), "as patient as it was asked to be");
        producer.flush().unwrap();
        assert_eq!((producer.pending(), end(&topic, 0), end(&other, 0)), (0, 10, 30));
        let mut wanted: Vec<_> = (0..30).map(|number| number.to_string()).collect();
        wanted.sort_by_key(|text| text.parse::<u32>().unwrap() % 3);
        assert_eq!(texts(&log, &topic), wanted);
        producer.flush().unwrap();
        assert_eq!((producer.discard(), end(&other, 0)), (0, 30));
    });
}

#[test]
fn records_are_written_when_a_batch_is_full() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log);
        let mut producer = buffered(&log, patient().batch_bytes(1000));
        let value = [0; 90];
        for number in 1..=100_u64 {
            producer.enqueue(&topic, Record::new(&value).partition(1)).unwrap();
            assert_eq!(end(&topic, 1) + producer.pending() as u64, number);
            // (1000 - 61) / 99 bytes of record
            assert!(producer.pending() <= 9, "{} pending", producer.pending());
        }
        assert_eq!(end(&topic, 1), 99);
        // Larger than a batch: goes alone, and nothing overtakes.
        producer.enqueue(&topic, Record::new(&[1; 5000]).partition(1)).unwrap();
        producer.enqueue(&topic, Record::new(&value).partition(1)).unwrap();
        producer.flush().unwrap();
        let lengths: Vec<_> =
            read(&log, [("t", 1)]).iter().map(|record| record.value().unwrap().len()).collect();
        assert_eq!(lengths.len(), 102);
        assert_eq!(lengths.iter().position(|length| *length == 5000), Some(100));
        assert!(topic.partition(1).unwrap().size().unwrap() < 102 * 99 + 5000 + 13 * 61 + 10);
    });
}

#[test]
fn no_more_is_held_than_the_buffer_takes() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topics: Vec<_> = (0..4)
            .map(|n| log.create_topic(&format!("t{n}"), TopicConfig::new().partitions(5)).unwrap())
            .collect();
        let mut producer = buffered(&log, patient().batch_bytes(10_000).buffer_bytes(50_000));
        let value = [0; 900];
        let mut most = 0;
        for number in 0..500_u32 {
            let topic = &topics[number as usize % 4];
            producer.enqueue(topic, Record::new(&value).partition(number / 4 % 5)).unwrap();
            most = most.max(producer.pending());
        }
        assert!(most * 900 <= 50_000, "{most} records of 900 bytes were held");
        assert!(most > 40, "the buffer is not used");
        producer.flush().unwrap();
        assert_eq!(topics.iter().map(|t| read(&log, t.partitions()).len()).sum::<usize>(), 500);
        // A large record does not go beyond it either.
        let value = vec![0; 20_000];
        for number in 0..20_u32 {
            producer.enqueue(&topics[0], Record::new(&value).partition(number % 5)).unwrap();
            assert!(producer.pending() <= 2, "{} records of 20,000 bytes were held", producer.pending());
        }
    });
}

#[test]
fn records_do_not_linger_longer_than_they_may() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log);
        let linger = Duration::from_millis(15);
        let mut producer = buffered(&log, ProducerConfig::new().linger(linger));
        for round in 1..=3 {
            for partition in 0..3 {
                producer.enqueue(&topic, Record::new("x").partition(partition)).unwrap();
            }
            // Without another call of the owner's.
            until("lingering records are written", || {
                (0..3).all(|partition| end(&topic, partition) == round)
            });
            until("they are not pending", || producer.pending() == 0);
        }
        let mut eager = buffered(&log, ProducerConfig::new().linger(Duration::ZERO));
        eager.enqueue(&topic, Record::new("x").partition(0)).unwrap();
        until("records that may not linger are written", || end(&topic, 0) == 4);
        producer.flush().unwrap();
        assert_eq!(texts(&log, &topic).len(), 10);
    });
}

#[test]
fn records_linger_as_long_as_they_may() {
    in_every_mode(|mode, dir| {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let options = mode.options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.open(dir).unwrap();
        let topic = topic(&log);
        let mut producer = buffered(&log, ProducerConfig::new().linger(Duration::from_millis(15)));
        for round in 1..=3 {
            // The batch of each partition is due by its own first record.
            for partition in 0..3 {
                producer.enqueue(&topic, Record::new("x").partition(partition)).unwrap();
                clock.advance(Duration::from_millis(5));
            }
            let ends = || [0, 1, 2].map(|partition| end(&topic, partition));
            for written in [1, 2, 3] {
                log.run_maintenance().unwrap();
                let expected = [0, 1, 2].map(|partition| round - u64::from(partition >= written));
                assert_eq!((ends(), producer.pending()), (expected, 3 - written));
                clock.advance(Duration::from_millis(4));
                log.run_maintenance().unwrap();
                assert_eq!(ends(), expected, "a millisecond before the next");
                clock.advance(Duration::from_millis(1));
            }
        }
    });
}

/// Records come with the time at which they were enqueued, however many came at once before.
#[test]
fn timestamps_are_those_of_the_enqueuing() {
    for linger in
        [Duration::from_millis(1), Duration::from_millis(5), Duration::from_secs(3600), Duration::MAX]
    {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        let topic = topic(&log);
        let mut producer = buffered(&log, ProducerConfig::new().linger(linger));
        let mut times = Vec::new();
        for pause in 0..3 {
            for _ in 0..3000 {
                producer.enqueue(&topic, Record::new("x").partition(0)).unwrap();
            }
            let enqueued = Timestamp::from(SystemTime::now());
            until("the clock shows a later time", || Timestamp::from(SystemTime::now()) > enqueued);
            if linger < Duration::from_secs(1) {
                until("lingering records are written", || producer.pending() == 0);
            }
            let before = Timestamp::from(SystemTime::now());
            producer.enqueue(&topic, Record::new("after a pause").partition(pause % 2)).unwrap();
            times.push(before);
        }
        producer.flush().unwrap();
        let mut records = read(&log, topic.partitions());
        records.retain(|record| record.value().unwrap() == "after a pause");
        let mut found: Vec<_> = records.iter().map(|record| record.view().timestamp()).collect();
        found.sort_unstable();
        assert_eq!(found.len(), times.len());
        for (found, before) in found.iter().zip(&times) {
            assert!(
                found >= before,
                "{found:?} is older than the enqueuing at {before:?} (linger {linger:?})"
            );
        }
    }
}

#[test]
fn dropping_flushes_and_discarding_does_not() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log);
        let mut producer = buffered(&log, patient());
        (0..5).for_each(|_| producer.enqueue(&topic, Record::new("unwanted").partition(0)).unwrap());
        assert_eq!((producer.discard(), producer.pending()), (5, 0));
        producer.flush().unwrap();
        producer.enqueue(&topic, Record::new("kept").partition(0)).unwrap();
        drop(producer);
        assert_eq!(texts(&log, &topic), ["kept"]);

        // As the last handle of all.
        let mut producer = buffered(&log, patient());
        producer.enqueue(&topic, Record::new("last").partition(1)).unwrap();
        drop((log, topic));
        drop(producer);
        let log = mode.open(dir);
        assert!(log.recovery().clean);
        assert_eq!(texts(&log, &log.topic("t").unwrap()), ["kept", "last"]);
    });
}

#[test]
fn what_cannot_be_written_does_not_keep_the_rest() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let (topic, gone) = (topic(&log), log.create_topic("gone", TopicConfig::new()).unwrap());
        let mut producer = buffered(&log, patient());
        for _ in 0..3 {
            producer.enqueue(&gone, Record::new("late")).unwrap();
            producer.enqueue(&topic, Record::new("x").partition(0)).unwrap();
        }
        log.delete_topic("gone").unwrap();
        let error = producer.flush().unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert_eq!(error.remedy(), Remedy::FixTheCall);
        assert_eq!((producer.pending(), end(&topic, 0)), (0, 3));
        producer.enqueue(&topic, Record::new("x").partition(0)).unwrap();
        producer.flush().unwrap();
        assert_eq!((end(&topic, 0), producer.discard()), (4, 0));
    });
}

#[test]
fn records_that_a_closed_log_takes_no_more_are_reported_once_with_the_close() {
    for linger in [Duration::ZERO, Duration::from_secs(3600), Duration::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let events = log.events();
        let config = ProducerConfig::new().linger(linger);
        let mut first = log.producer_with(config.clone()).unwrap().buffered();
        let mut flushed = log.producer_with(config.clone()).unwrap().buffered();
        drop(log.producer_with(config).unwrap().buffered());
        for _ in 0..3 {
            first.enqueue(&topic, Record::new("lost")).unwrap();
            flushed.enqueue(&topic, Record::new("kept")).unwrap();
        }
        flushed.flush().unwrap();
        log.close().unwrap();
        let reported: Vec<_> = events.collect();
        let [Event::RecordsDropped { records: 3, failure }] = &reported[..] else { panic!("{reported:?}") };
        assert_eq!(&**failure, "the log is closed");
        assert!(matches!(first.enqueue(&topic, Record::new("late")), Err(Error::Closed)));
        assert!(matches!(first.flush(), Err(Error::Closed)));
        assert_eq!((first.pending(), first.discard()), (3, 3));
        drop((first, flushed));
        let log = EventLog::open(dir.path()).unwrap();
        assert_eq!(log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap().log_end, 3);
    }
}
