//! A full disk: `StorageFull`, nothing acknowledged is lost, and all continues once there is space.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::common::{self, MODES, Mode, read};
use crate::small::Small;
use stratalog::{Error, EventLog, Maintenance, Position, ProducerConfig, Record, Remedy, Topic, TopicConfig};

fn is_full<T: std::fmt::Debug>(outcome: stratalog::Result<T>, below: &Path) {
    let error = outcome.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Retry);
    let message = error.to_string();
    assert!(message.contains("no space left"), "{message}");
    let Error::StorageFull(full) = error else { panic!("{error:?}") };
    assert!(full.path.starts_with(below.canonicalize().unwrap()), "{}", full.path.display());
    assert_eq!(full.source.kind(), std::io::ErrorKind::StorageFull);
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(8 + bytes, number.to_be_bytes()[7]);
    value
}

fn check(log: &EventLog, topic: &Topic, acknowledged: &[Vec<u8>]) {
    let found = read(log, topic.partitions());
    assert_eq!(found.len(), acknowledged.len());
    assert!(found.iter().zip(acknowledged).all(|(found, sent)| found.value().unwrap() == &sent[..]));
}

/// One partition in small segments.
fn open(mode: Mode, path: &Path) -> (EventLog, Topic) {
    let log = mode.open(path);
    let topic = log.ensure_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
    (log, topic)
}

fn send_until_full(bytes: usize) {
    for mode in MODES {
        let Some(small) = Small::mount() else { return };
        let filler = small.filler();
        let (log, topic) = open(mode, &small.path().join("log"));
        let producer = log.producer().unwrap();
        let mut acknowledged = Vec::new();
        let full = loop {
            let value = value(acknowledged.len() as u64, bytes);
            match producer.send(&topic, Record::new(&value)) {
                Ok(sent) => {
                    assert_eq!(sent.offset, acknowledged.len() as u64);
                    acknowledged.push(value);
                }
                Err(error) => break error,
            }
        };
        is_full::<()>(Err(full), small.path());
        assert!(acknowledged.len() * bytes > 1 << 20, "only {} records fitted", acknowledged.len());
        for _ in 0..20 {
            is_full(producer.send(&topic, Record::new(&value(0, 500_000))), small.path());
            is_full(
                producer.send_batch(&topic.partition(0).unwrap(), vec![Record::new(&vec![0; 100_000]); 5]),
                small.path(),
            );
        }
        check(&log, &topic, &acknowledged);

        std::fs::remove_file(&filler).unwrap();
        for _ in 0..200_000 / bytes {
            let value = value(acknowledged.len() as u64, bytes);
            assert_eq!(producer.send(&topic, Record::new(&value)).unwrap().offset, acknowledged.len() as u64);
            acknowledged.push(value);
        }
        check(&log, &topic, &acknowledged);
        log.close().unwrap();
        let (log, topic) = open(mode, &small.path().join("log"));
        assert!(log.recovery().clean);
        check(&log, &topic, &acknowledged);
    }
}

#[test]
fn small_records() {
    send_until_full(150);
}

#[test]
fn large_records() {
    send_until_full(50_000);
}

#[test]
fn buffered_records_stay_pending_until_there_is_space() {
    for mode in MODES {
        let Some(small) = Small::mount() else { return };
        let filler = small.filler();
        // By hand: what the background trims is space again.
        let log = mode.options().maintenance(Maintenance::Manual).open(small.path().join("log")).unwrap();
        let topic = log.ensure_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
        let config = ProducerConfig::new().linger(Duration::MAX).batch_bytes(100_000).buffer_bytes(300_000);
        let mut producer = log.producer_with(config).unwrap().buffered();
        let mut taken = Vec::new();
        let full = loop {
            let value = value(taken.len() as u64, 3000);
            match producer.enqueue(&topic, Record::new(&value)) {
                Ok(()) => taken.push(value),
                Err(error) => break error,
            }
        };
        is_full::<()>(Err(full), small.path());
        let pending = producer.pending();
        assert!(pending > 0);
        is_full(producer.flush(), small.path());
        assert_eq!(producer.pending(), pending, "a failed flush loses or doubles nothing");
        check(&log, &topic, &taken[..taken.len() - pending]);
        std::fs::remove_file(&filler).unwrap();
        producer.flush().unwrap();
        assert_eq!(producer.pending(), 0);
        check(&log, &topic, &taken);
        log.close().unwrap();
    }
}

/// Closing on a full disk may fail, but loses nothing, and catalog changes leave no half topics.
#[test]
fn closing_and_creating_topics_while_it_is_full() {
    for mode in MODES {
        let Some(small) = Small::mount() else { return };
        let (path, filler) = (small.path().join("log"), small.filler());
        let (log, topic) = open(mode, &path);
        let producer = log.producer().unwrap();
        let mut acknowledged = Vec::new();
        for bytes in [100_000, 1000, 10] {
            loop {
                let value = value(acknowledged.len() as u64, bytes);
                if producer.send(&topic, Record::new(&value)).is_err() {
                    break;
                }
                acknowledged.push(value);
            }
        }
        let made: Vec<_> = (0..100)
            .map(|number| format!("new-{number}"))
            .take_while(|name| match log.create_topic(name, TopicConfig::new().partitions(100)) {
                Ok(_) => true,
                Err(error) => {
                    is_full::<()>(Err(error), small.path());
                    assert!(matches!(log.topic(name), Err(Error::NotFound { .. })));
                    false
                }
            })
            .collect();
        assert!(made.len() < 100);
        let is_new = |topics: Vec<Topic>| topics.iter().filter(|topic| topic.name() != "t").count();
        assert_eq!(is_new(log.topics().unwrap()), made.len());
        let closed = log.close();
        std::fs::remove_file(&filler).unwrap();
        drop((log, topic, producer));
        let (log, topic) = open(mode, &path);
        assert_eq!(log.recovery().clean, closed.is_ok(), "{closed:?}");
        assert!(log.recovery().failed.is_empty(), "{:?}", log.recovery().failed);
        check(&log, &topic, &acknowledged);
        assert_eq!(is_new(log.topics().unwrap()), made.len());
        log.create_topic("after", TopicConfig::new()).unwrap();
        log.close().unwrap();
    }
}

/// Deleted altogether or not at all, and what cannot be cleaned up is cleaned up later.
#[test]
fn deleting_topics_while_it_is_full() {
    for mode in MODES {
        let Some(small) = Small::mount() else { return };
        let (path, filler) = (small.path().join("log"), small.filler());
        let open =
            || mode.options().offsets_partitions(1).maintenance(Maintenance::Manual).open(&path).unwrap();
        let log = open();
        let names: Vec<_> = (0..6).map(|number| format!("t-{number}")).collect();
        let group = log.group("g").unwrap();
        for name in &names {
            let topic = log.create_topic(name, TopicConfig::new()).unwrap();
            log.producer().unwrap().send(&topic, Record::new("value")).unwrap();
            group.set_committed([Position::new((name.as_str(), 0), 1)]).unwrap();
        }
        // What is kept for this is gone.
        std::fs::remove_file(path.join("stratalog.reserve")).unwrap();
        let more = small.path().join("more");
        let mut file = std::fs::File::create(&more).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        // What is left of the last page of the metadata log.
        while log.create_topic(&format!("x-{}", log.topics().unwrap().len()), TopicConfig::new()).is_ok() {}
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for name in &names {
            match log.delete_topic(name) {
                Ok(()) => gone.push(name),
                Err(error) => {
                    is_full::<()>(Err(error), small.path());
                    kept.push(name);
                }
            }
        }
        assert!(!kept.is_empty(), "the disk is not full");
        let committed = |log: &EventLog| {
            let committed = log.group("g").unwrap().committed().unwrap();
            committed.iter().map(|at| at.topic_partition().topic().to_owned()).collect::<Vec<_>>()
        };
        let check = |log: &EventLog| {
            for name in &kept {
                assert_eq!(common::texts(log, &log.topic(name).unwrap()), ["value"]);
                assert!(committed(log).contains(name), "{name}");
            }
            assert!(gone.iter().all(|name| matches!(log.topic(name), Err(Error::NotFound { .. }))));
        };
        check(&log);
        std::fs::remove_file(&more).unwrap();
        std::fs::remove_file(&filler).unwrap();
        log.close().unwrap();
        drop((log, group));
        let log = open();
        check(&log);
        assert_eq!(committed(&log).len(), kept.len());
        for name in gone {
            let topic = log.create_topic(name, TopicConfig::new()).unwrap();
            assert_eq!(common::texts(&log, &topic), [""; 0]);
        }
        log.close().unwrap();
    }
}
