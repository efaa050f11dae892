//! A directory of 3,000 partitions, there and back, with what opening it takes before and after.
//!
//! Takes minutes, and is run by hand: `STRATALOG_KAFKA=large cargo test --release --test kafka large -- --nocapture`.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common;
use crate::reference::{Adoption, is_left_out_but_for};
use stratalog::{EventLog, HandoverOptions, Record, TopicConfig};

const TOPICS: usize = 1_000;

/// The shortest of a few opens, each closed again.
fn opening(path: &Path) -> Duration {
    let opens = (0..5).map(|_| {
        let start = Instant::now();
        let log = EventLog::open(path).unwrap();
        let took = start.elapsed();
        assert!(log.recovery().clean);
        assert_eq!(log.topics().unwrap().len(), TOPICS);
        log.close().unwrap();
        took
    });
    opens.min().unwrap()
}

#[test]
fn a_thousand_topics_there_and_back() {
    if is_left_out_but_for(&["large"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, back) = (dir.path().join("log"), dir.path().join("back"));
    let log = EventLog::open(&path).unwrap();
    let names: Vec<_> = (0..TOPICS).map(|number| format!("topic-{number}")).collect();
    let config = TopicConfig::new().partitions(3).retention(None);
    let topics = log.create_topics(names.iter().map(|name| (name.as_str(), config.clone()))).unwrap();
    let producer = log.producer().unwrap();
    for topic in &topics {
        for partition in topic.partitions() {
            producer.send_batch(&partition, [Record::new("one"), Record::new("two")]).unwrap();
        }
    }
    log.handover(&HandoverOptions::new()).unwrap();
    let before = opening(&path);

    let start = Instant::now();
    let served = Adoption::new().keep(&back).of(&path);
    let adopted = start.elapsed();
    assert_eq!((served.topics.len(), served.records.len()), (TOPICS, 6 * TOPICS));
    assert_eq!(served.produced.len(), 3 * TOPICS);

    let start = Instant::now();
    let log = EventLog::open(&back).unwrap();
    let first = start.elapsed();
    assert!(log.recovery().clean);
    let read = common::read(&log, topics.iter().map(|topic| (topic.name(), 2)));
    assert_eq!(read.len(), 3 * TOPICS);
    log.close().unwrap();
    let after = opening(&back);
    println!(
        "a broker served it within {adopted:?}; opening took {before:?} before, {first:?} at first and {after:?} after"
    );
}
