//! What the published package shows of itself, without the files of the repository: the main path, a group, compaction,
//! a reopen and a snapshot, each in a few lines.

use std::time::Duration;

use stratalog::{
    CleanupPolicy, Durability, Error, EventLog, Maintenance, ProducerConfig, Record, Timestamp, Topic,
    TopicConfig,
};

fn open(dir: &tempfile::TempDir) -> EventLog {
    EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap()
}

/// Keys and values of a topic, by partition and offset.
fn all(log: &EventLog, topic: &Topic) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign(topic.partitions()).unwrap();
    let mut found = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        found.extend(records.iter().map(|record| (bytes(record.key()), bytes(record.value()))));
    }
}

#[test]
fn records_come_back_in_order_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let topic = log.create_topic("orders", TopicConfig::new()).unwrap();
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Synced)).unwrap();
    let sent: Vec<_> = (0..100_u32).map(|n| (n.to_be_bytes().to_vec(), vec![7; n as usize])).collect();
    for (key, value) in &sent {
        producer.send(&topic, Record::new(value).key(key)).unwrap();
    }
    assert_eq!(all(&log, &topic), sent);
    log.close().unwrap();

    let log = open(&dir);
    assert!(log.recovery().clean);
    assert_eq!(all(&log, &log.topic("orders").unwrap()), sent);
    assert!(matches!(EventLog::open(dir.path()), Err(Error::Locked { .. })));
}

#[test]
fn a_group_continues_where_it_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let topic = log.create_topic("orders", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    let mut read = Vec::new();
    for round in 0..3_u8 {
        producer.send(&topic, Record::new(&[round])).unwrap();
        let mut member = log.consumer("workers").unwrap();
        member.subscribe(["orders"]).unwrap();
        while read.len() <= usize::from(round) {
            let records = member.poll(Duration::from_secs(1)).unwrap();
            read.extend(records.iter().map(|record| record.value().unwrap()[0]));
        }
        member.commit().unwrap();
    }
    assert_eq!(read, [0, 1, 2]);
}

#[test]
fn compaction_keeps_the_last_record_of_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let config = TopicConfig::new().cleanup(CleanupPolicy::Compact).set("segment.ms", "1");
    let topic = log.create_topic("prices", config.set("min.cleanable.dirty.ratio", "0")).unwrap();
    let producer = log.producer().unwrap();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")] {
        producer.send(&topic, Record::new(value).key(key).timestamp(Timestamp::from_millis(1))).unwrap();
    }
    // A later segment: the last one is never compacted.
    producer.send(&topic, Record::new("1").key("c").timestamp(Timestamp::from_millis(60_000))).unwrap();
    log.run_maintenance().unwrap();
    let found = all(&log, &topic);
    let keys: Vec<_> = found.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    assert_eq!(keys, [(&b"a"[..], &b"2"[..]), (b"b", b"2"), (b"c", b"1")]);
}

#[test]
fn a_snapshot_is_a_log() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(&dir);
    let topic = log.create_topic("orders", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("paid").key("order-17")).unwrap();
    let target = copy.path().join("snapshot");
    log.snapshot_to(&target).unwrap();
    let snapshot = EventLog::open(&target).unwrap();
    let found = all(&snapshot, &snapshot.topic("orders").unwrap());
    assert_eq!(found, [(b"order-17".to_vec(), b"paid".to_vec())]);
}
