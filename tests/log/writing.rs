//! Sending: one record, complete batches, and at an offset that the caller insists on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::common::{self, end, in_every_mode, text, texts};
use stratalog::{Error, EventLog, ManualClock, Record, Remedy, Timestamp, TopicConfig};

#[test]
fn a_send_returns_where_the_record_is() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        let producer = log.producer().unwrap();
        let before = Timestamp::from(SystemTime::now());
        for offset in 0..5 {
            let sent = producer.send(&topic, Record::new("x").partition(1)).unwrap();
            assert_eq!((sent.partition, sent.offset), (1, offset));
            assert!(before <= sent.timestamp && sent.timestamp <= SystemTime::now().into());
        }
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1234);
        let sent = producer.send(&topic, Record::new("x").partition(0).timestamp(moment)).unwrap();
        assert_eq!((sent.offset, sent.timestamp), (0, Timestamp::from_millis(1234)));
        let offsets = topic.partition(1).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_start, offsets.log_end, offsets.high_watermark), (0, 5, 5));
    });
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        let (producer, to) = (log.producer().unwrap(), topic.partition(1).unwrap());
        let good = || Record::new("good");
        let large = vec![0; 2 << 20];
        for bad in [good().timestamp(Timestamp::from_millis(-7)), good().partition(0), Record::new(&large)] {
            for at in 0..4 {
                let mut batch = vec![good(); 4];
                batch[at] = bad.clone();
                let error = producer.send_batch(&to, batch).unwrap_err();
                assert_eq!(error.remedy(), Remedy::FixTheCall);
                assert_eq!(end(&topic, 1), 0);
            }
        }
        let sent = producer.send_batch(&to, (0..3).map(|_| good().partition(1))).unwrap();
        assert_eq!((sent.partition, sent.offsets), (1, 0..3));
        let sent = producer.send_batch(&to, vec![good(); 1000]).unwrap();
        assert_eq!(sent.offsets, 3..1003);
        let sent = producer.send_batch(&to, []).unwrap();
        assert_eq!((sent.partition, sent.offsets), (1, 1003..1003));
        assert!(texts(&log, &topic).iter().all(|text| text == "good"));
    });
}

/// Code of the user's runs while a batch is made: it may fail, and it may send.
#[test]
fn iterators_may_panic_and_may_send() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let (producer, to) = (log.producer().unwrap(), topic.partition(0).unwrap());
        let panicking = (0..5).map(|number| {
            assert!(number < 3, "no more");
            Record::new("lost")
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| producer.send_batch(&to, panicking)));
        assert!(outcome.is_err());
        assert_eq!(end(&topic, 0), 0);
        let sending = ["outer 0", "outer 1"].iter().map(|value| {
            producer.send(&topic, Record::new(&format!("sent before {value}"))).unwrap();
            let inner = ["inner 0", "inner 1"].iter().map(|inner| {
                producer.send(&topic, Record::new(&format!("sent before {inner}"))).unwrap();
                Record::new(*inner)
            });
            producer.send_batch(&to, inner).unwrap();
            Record::new(*value)
        });
        assert_eq!(producer.send_batch(&to, sending).unwrap().offsets, 10..12);
        let once = ["sent before inner 0", "sent before inner 1", "inner 0", "inner 1"];
        let mut wanted = vec!["sent before outer 0"];
        wanted.extend(once);
        wanted.push("sent before outer 1");
        wanted.extend(once);
        wanted.extend(["outer 0", "outer 1"]);
        assert_eq!(texts(&log, &topic), wanted);
    });
}

#[test]
fn a_batch_at_an_offset_is_written_there_or_nowhere() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let (producer, to) = (log.producer().unwrap(), topic.partition(0).unwrap());
        for (at, records, conflict) in [
            (1, 1, Some(0)),
            (0, 2, None),
            (0, 1, Some(2)),
            (2, 0, None),
            (3, 0, Some(2)),
            (2, 3, None),
            (u64::MAX, 1, Some(5)),
        ] {
            let outcome = producer.send_batch_at(&to, at, vec![Record::new("x"); records]);
            match conflict {
                None => assert_eq!(outcome.unwrap().offsets, at..at + records as u64),
                Some(end) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.remedy(), Remedy::Retry);
                    assert_eq!(error.to_string(), format!("the log ends at offset {end}, not at {at}"));
                    assert!(
                        matches!(error, Error::Conflict { expected, actual } if (expected, actual) == (at, end))
                    );
                }
            }
        }
        assert_eq!(end(&topic, 0), 5);
    });
}

#[test]
fn of_two_who_want_the_same_offset_one_wins() {
    in_every_mode(|mode, dir| {
        const ROUNDS: u64 = 200;
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let to = topic.partition(0).unwrap();
        let barrier = Barrier::new(2);
        let race = |name: &'static str| {
            let producer = log.producer().unwrap();
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                barrier.wait();
                let at = round * 3;
                match producer.send_batch_at(&to, at, vec![Record::new(name); 3]) {
                    Ok(sent) => {
                        assert_eq!(sent.offsets, at..at + 3);
                        won.push(round);
                    }
                    Err(Error::Conflict { expected, actual }) => assert_eq!((expected, actual), (at, at + 3)),
                    Err(error) => panic!("{error:?}"),
                }
                barrier.wait();
            }
            won
        };
        let (left, right) = thread::scope(|scope| {
            let (left, right) = (scope.spawn(|| race("left")), scope.spawn(|| race("right")));
            (left.join().unwrap(), right.join().unwrap())
        });
        assert_eq!(left.len() + right.len(), usize::try_from(ROUNDS).unwrap());
        assert!(left.iter().all(|round| !right.contains(round)));
        for record in common::read(&log, topic.partitions()) {
            let winner = if left.contains(&(record.view().offset() / 3)) { "left" } else { "right" };
            assert_eq!(text(&record), winner);
        }
    });
}

#[test]
fn a_manual_clock_is_the_time_of_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1000));
    let log = EventLog::options().clock(clock.clone()).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let (producer, to) = (log.producer().unwrap(), topic.partition(0).unwrap());
    let mut buffered = producer.buffered();
    let mut wanted = Vec::new();
    for step in 0..300 {
        // It may be set back, too.
        if step % 7 == 3 {
            clock.set(Timestamp::from_millis(500));
        }
        let now = stratalog::Clock::now(&clock);
        match step % 3 {
            0 => assert_eq!(producer.send(&topic, Record::new("x")).unwrap().timestamp, now),
            1 => drop(producer.send_batch(&to, [Record::new("x")]).unwrap()),
            _ => {
                for _ in 0..3 {
                    buffered.enqueue(&topic, Record::new("x")).unwrap();
                    wanted.push(stratalog::Clock::now(&clock));
                    clock.advance(Duration::from_millis(1));
                }
                buffered.flush().unwrap();
                continue;
            }
        }
        wanted.push(now);
        clock.advance(Duration::from_micros(1500));
    }
    let found: Vec<_> = common::read(&log, topic.partitions()).iter().map(|r| r.view().timestamp()).collect();
    assert_eq!(found, wanted);
}
