//! Which partition a record goes to.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use crate::common::{self, end, read, texts};
use base64::Engine as _;
use stratalog::{Error, EventLog, Producer, ProducerConfig, Record, Topic, TopicConfig};

fn log() -> (tempfile::TempDir, EventLog) {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    (dir, log)
}

#[test]
fn keys_go_where_kafka_sends_them() {
    let (_dir, log) = log();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tables/murmur2.json");
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(table).unwrap()).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.len() > 5);
    let producer = log.producer().unwrap();
    let mut buffered = producer.buffered();
    for count in [1, 3, 4, 7, 50] {
        let topic = log.create_topic(&format!("t{count}"), TopicConfig::new().partitions(count)).unwrap();
        for row in rows {
            let key = base64::prelude::BASE64_STANDARD.decode(row["key_b64"].as_str().unwrap()).unwrap();
            let wanted = row["partition"][count.to_string()].as_u64().unwrap();
            let chosen = topic.partition_for_key(&key);
            assert_eq!(u64::from(chosen.id().partition()), wanted);
            let sent = producer.send(&topic, Record::new("x").key(&key)).unwrap();
            assert_eq!(u64::from(sent.partition), wanted);
            let before = end(&topic, sent.partition);
            buffered.enqueue(&topic, Record::tombstone(&key)).unwrap();
            buffered.flush().unwrap();
            assert_eq!(end(&topic, sent.partition), before + 1);
        }
    }
}

#[test]
fn a_partition_that_is_named_counts_whatever_the_key() {
    let (_dir, log) = log();
    let topic = log.create_topic("t", TopicConfig::new().partitions(5)).unwrap();
    let asked = ProducerConfig::new().partitioner(|_: &str, _: &Record<'_>, _| panic!("asked needlessly"));
    for producer in [log.producer().unwrap(), log.producer_with(asked).unwrap()] {
        for partition in 0..5 {
            let sent = producer.send(&topic, Record::new("x").key("same").partition(partition)).unwrap();
            assert_eq!(sent.partition, partition);
        }
    }
}

#[test]
fn records_without_a_key_stick_and_spread() {
    let (_dir, log) = log();
    let topic = log.create_topic("t", TopicConfig::new().partitions(4)).unwrap();
    let producer = log.producer_with(ProducerConfig::new().batch_bytes(1000)).unwrap();
    let value = [0; 100];
    let went: Vec<_> =
        (0..4000).map(|_| producer.send(&topic, Record::new(&value)).unwrap().partition).collect();
    assert_eq!(went.iter().collect::<BTreeSet<_>>().len(), 4, "some partition gets nothing");
    let moves = went.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((200..=400).contains(&moves), "{moves} moves for 400 batches' worth");
    for partition in 0..4 {
        assert!(end(&topic, partition) > 500, "partition {partition} has {}", end(&topic, partition));
    }
    // Producers do not all begin at the same partition.
    let first = || log.producer().unwrap().send(&topic, Record::new("x")).unwrap().partition;
    assert!((0..64).map(|_| first()).collect::<BTreeSet<_>>().len() > 1);
}

#[test]
fn a_partitioner_of_ones_own_sees_the_record() {
    let (_dir, log) = log();
    let topic = log.create_topic("t", TopicConfig::new().partitions(3)).unwrap();
    let by_value = |name: &str, record: &Record<'_>, count: NonZeroU32| {
        assert_eq!((name, count.get()), ("t", 3));
        assert_eq!(record.key_bytes(), Some(&b"k"[..]));
        u32::from(record.value_bytes().unwrap()[0] - b'0')
    };
    let producer = log.producer_with(ProducerConfig::new().partitioner(by_value)).unwrap();
    let mut buffered = producer.clone().buffered();
    for value in ["0", "1", "2", "1"] {
        let sent = producer.send(&topic, Record::new(value).key("k")).unwrap();
        assert_eq!(sent.partition.to_string(), value);
        buffered.enqueue(&topic, Record::new(value).key("k")).unwrap();
    }
    buffered.flush().unwrap();
    for record in read(&log, topic.partitions()) {
        assert_eq!(common::text(&record), record.view().partition().to_string());
    }
}

#[test]
fn a_partitioner_that_is_wrong_is_an_error_of_the_send() {
    let (_dir, log) = log();
    let topic = log.create_topic("t", TopicConfig::new().partitions(3)).unwrap();
    for wrong in [3, u32::MAX] {
        let config = ProducerConfig::new().partitioner(move |_: &str, _: &Record<'_>, _| wrong);
        let producer = log.producer_with(config).unwrap();
        let mut buffered = producer.buffered();
        for error in [
            producer.send(&topic, Record::new("x")).unwrap_err(),
            buffered.enqueue(&topic, Record::new("x")).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidInput { what: "partitioner", .. }), "{error:?}");
            let message = error.to_string();
            assert!(
                message.contains(&format!("partition {wrong} of t")) && message.contains("has 3"),
                "{message}"
            );
        }
        assert_eq!(buffered.pending(), 0);
    }
    assert_eq!(texts(&log, &topic), [""; 0]);
}

#[test]
fn a_partitioner_may_send() {
    static AUDIT: OnceLock<(Producer, Topic)> = OnceLock::new();
    let (_dir, log) = log();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let audit = log.create_topic("audit", TopicConfig::new()).unwrap();
    assert!(AUDIT.set((log.producer().unwrap(), audit.clone())).is_ok());
    let auditing = |_: &str, record: &Record<'_>, _| {
        let (producer, topic) = AUDIT.get().unwrap();
        producer.send(topic, Record::new(record.value_bytes().unwrap())).unwrap();
        producer.send_batch(&topic.partition(0).unwrap(), [Record::new("batched")]).unwrap();
        1
    };
    let producer = log.producer_with(ProducerConfig::new().partitioner(auditing)).unwrap();
    let mut buffered = producer.buffered();
    producer.send(&topic, Record::new("a")).unwrap();
    buffered.enqueue(&topic, Record::new("b")).unwrap();
    buffered.flush().unwrap();
    assert_eq!(texts(&log, &topic), ["a", "b"]);
    assert_eq!(texts(&log, &audit), ["a", "batched", "b", "batched"]);
    // The static producer keeps the log open until the process ends.
    log.close().unwrap();
}
