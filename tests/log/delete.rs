//! Deleting a topic while it is read and written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{PATIENCE, end, in_every_mode, names, text, texts, until};
use stratalog::{
    Consumer, Error, OwnedRecord, Record, Records, Remedy, Result, Timestamp, Topic, TopicConfig,
};

fn config() -> TopicConfig {
    TopicConfig::new().partitions(2).segment_bytes(1 << 20)
}

fn is_gone<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.unwrap_err();
    assert!(matches!(&error, Error::NotFound { what: "topic", name } if &**name == "t"), "{error:?}");
    assert_eq!(error.remedy(), Remedy::FixTheCall);
}

/// Polls until the topic is gone and returns everything it was given.
fn read_on(mut consumer: Consumer, reading: &AtomicUsize) -> Vec<Records> {
    let mut held = Vec::new();
    loop {
        match consumer.poll(PATIENCE) {
            Ok(records) => {
                assert!(!records.is_empty(), "the deletion did not end the wait");
                reading.fetch_add(usize::from(held.is_empty()), Ordering::Relaxed);
                held.push(records);
            }
            Err(error) => {
                is_gone::<()>(Err(error));
                // Of two partitions: every second poll says it.
                let again = (0..2).find_map(|_| consumer.poll(Duration::ZERO).err());
                is_gone::<()>(Err(again.expect("the next poll or the one after it fails")));
                return held;
            }
        }
    }
}

/// Sends until the topic is gone and returns how many records were taken.
fn send_on(log: &stratalog::EventLog, topic: &Topic, sent: &AtomicBool) -> u64 {
    let (producer, mut taken) = (log.producer().unwrap(), 0);
    let padding = "x".repeat(2000);
    loop {
        match producer.send(topic, Record::new(&format!("value {taken} {padding}")).key(&[1])) {
            Ok(_) => taken += 1,
            Err(error) => {
                is_gone::<()>(Err(error));
                return taken;
            }
        }
        sent.store(taken > 1500, Ordering::Relaxed);
    }
}

#[test]
fn readers_keep_what_they_hold_and_writers_are_reported() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", config()).unwrap();
        let (sent, reading) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (taken, held) = thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let mut consumer = log.standalone_consumer().unwrap();
                    consumer.assign(topic.partitions()).unwrap();
                    let reading = &reading;
                    scope.spawn(move || read_on(consumer, reading))
                })
                .collect();
            let writer = scope.spawn(|| send_on(&log, &topic, &sent));
            until("records are sent and read", || {
                sent.load(Ordering::Relaxed) && reading.load(Ordering::Relaxed) == 2
            });
            log.delete_topic("t").unwrap();
            (writer.join().unwrap(), readers.into_iter().map(|r| r.join().unwrap()).collect::<Vec<_>>())
        });
        assert_eq!(names(dir).into_iter().filter(|name| name.starts_with('t')).count(), 0);
        let again = log.create_topic("t", config()).unwrap();
        log.producer().unwrap().send(&again, Record::new("another topic")).unwrap();
        log.close().unwrap();
        drop(log);
        for held in held {
            let values: Vec<_> = held.iter().flatten().map(|r| r.value().unwrap()).collect();
            assert!(values.len() as u64 <= taken && !values.is_empty());
            for (number, value) in values.into_iter().enumerate() {
                assert!(value.starts_with(format!("value {number} xx").as_bytes()) && value.ends_with(b"x"));
            }
        }
    });
}

#[test]
fn shared_and_detached_records_outlive_topic_and_log() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", config()).unwrap();
        let producer = log.producer().unwrap();
        for number in 0..50 {
            let value = format!("value {number}");
            producer.send(&topic, Record::new(&value).key("k").header("h", &value)).unwrap();
        }
        let mut consumer = log.standalone_consumer().unwrap();
        consumer.assign(topic.partitions()).unwrap();
        let records = consumer.poll(PATIENCE).unwrap();
        let shared: Vec<OwnedRecord> = records.iter().map(|record| record.share()).collect();
        let detached: Vec<OwnedRecord> = records.iter().map(|record| record.detach()).collect();
        let bytes: Vec<_> = shared.iter().map(|record| record.value().unwrap().clone()).collect();
        drop(records);
        log.delete_topic("t").unwrap();
        log.close().unwrap();
        drop((log, topic, producer, consumer));
        for number in 0..50 {
            let value = format!("value {number}");
            assert_eq!((text(&shared[number]), text(&detached[number])), (value.clone(), value.clone()));
            assert_eq!(bytes[number], value.as_bytes());
            for record in [&shared[number], &detached[number]] {
                assert_eq!((record.view().topic(), record.view().offset()), ("t", number as u64));
                assert_eq!(record.view().header("h"), Some(value.as_bytes()));
            }
        }
    });
}

#[test]
fn the_name_is_free_at_once_and_old_handles_mean_the_old_topic() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let producer = log.producer().unwrap();
        let mut buffered = producer.buffered();
        let mut ids = Vec::new();
        for life in 0..4 {
            let old = log.create_topic("t", config()).unwrap();
            assert!(!ids.contains(&old.id()), "an id came twice");
            ids.push(old.id());
            assert_eq!((end(&old, 0), end(&old, 1)), (0, 0), "a new topic is empty");
            producer.send(&old, Record::new(&format!("life {life}")).partition(0)).unwrap();
            buffered.enqueue(&old, Record::new("too late, most times").partition(1)).unwrap();
            let mut reader = log.standalone_consumer().unwrap();
            reader.assign(old.partitions()).unwrap();
            log.delete_topic("t").unwrap();

            let new = log.create_topic("t", config()).unwrap();
            ids.push(new.id());
            let sent = producer.send(&new, Record::new("new").partition(0)).unwrap();
            assert_eq!(sent.offset, 0);
            is_gone(producer.send(&old, Record::new("old")));
            is_gone(producer.send_batch(&old.partition(0).unwrap(), [Record::new("old")]));
            is_gone(producer.send_batch(&old.partition(1).unwrap(), []));
            is_gone(old.partition(0).unwrap().offsets());
            is_gone(old.partition(1).unwrap().offset_for_time(Timestamp::from_millis(0)));
            is_gone(old.partition(0).unwrap().size());
            is_gone(old.partition(0).unwrap().sync());
            is_gone(old.describe());
            is_gone(reader.poll(Duration::ZERO));
            is_gone(reader.lag(("t", 0)));
            assert_eq!((old.name(), old.id(), old.partitions().len()), ("t", ids[ids.len() - 2], 2));
            // The thread that looks after lingering records may have been faster than the deletion. A loss is reported once.
            if let Err(lost) = buffered.flush() {
                is_gone::<()>(Err(lost));
            }
            assert_eq!(buffered.pending(), 0);
            buffered.flush().unwrap();

            // What is assigned by name is the topic of that name.
            reader.assign(new.partitions()).unwrap();
            assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);
            assert_eq!(texts(&log, &new), ["new"]);
            log.delete_topic("t").unwrap();
        }
        is_gone(log.topic("t"));
        is_gone(log.delete_topic("t"));
        log.create_topic("t", config()).unwrap();
        log.close().unwrap();
        let log = mode.open(dir);
        assert!(log.recovery().clean && log.recovery().unknown_directories.is_empty());
        let topic = log.topic("t").unwrap();
        assert!(!ids.contains(&topic.id()));
        assert_eq!(texts(&log, &topic), [""; 0]);
    });
}

/// Readers that open segments while they are moved away get the cause as the error, not that a file is missing.
#[test]
fn readers_that_begin_meanwhile_are_reported_that_the_topic_is_gone() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let producer = log.producer().unwrap();
        let padding = "x".repeat(300_000);
        for _ in 0..8 {
            let topic = log.create_topic("t", config()).unwrap();
            for _ in 0..12 {
                producer.send(&topic, Record::new(&padding).partition(1)).unwrap();
            }
            let (reading, began) = (AtomicUsize::new(0), Timestamp::from_millis(1));
            let read_again = || {
                loop {
                    let mut consumer = log.standalone_consumer().unwrap();
                    // Between the check of the name and that of the log the topic may go.
                    let outcome = consumer.assign([("t", 1)]).and_then(|()| {
                        while !consumer.poll(Duration::ZERO)?.is_empty() {}
                        consumer.seek_to_time(began)?;
                        topic.partition(1)?.offset_for_time(began)
                    });
                    match outcome {
                        Ok(found) => assert_eq!(found, Some(0)),
                        Err(error) => return is_gone::<()>(Err(error)),
                    }
                    reading.fetch_add(1, Ordering::Relaxed);
                }
            };
            thread::scope(|scope| {
                (0..3).for_each(|_| drop(scope.spawn(read_again)));
                until("the topic is read", || reading.load(Ordering::Relaxed) > 3);
                log.delete_topic("t").unwrap();
            });
        }
    });
}
