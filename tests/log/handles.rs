//! Which handles threads may share and pass on.

use std::time::Duration;

use stratalog::{
    BufferedProducer, Consumer, ConsumerWaker, Error, EventLog, OwnedRecord, Partition, Position, Producer,
    Record, RecordView, Records, Topic, TopicConfig, TopicPartition,
};

fn shared<T: Send + Sync>() {}
fn passed_on<T: Send>() {}
fn cloned<T: Clone>() {}
fn kept<T: 'static>() {}

#[test]
fn handles_go_where_they_are_promised_to_go() {
    shared::<EventLog>();
    shared::<Topic>();
    shared::<Partition>();
    shared::<Producer>();
    shared::<ConsumerWaker>();
    shared::<Records>();
    shared::<RecordView<'_>>();
    shared::<OwnedRecord>();
    shared::<Record<'_>>();
    shared::<Position>();
    shared::<TopicPartition>();
    shared::<Error>();
    passed_on::<Consumer>();
    passed_on::<BufferedProducer>();
    cloned::<(EventLog, Topic, Partition, Producer, ConsumerWaker, OwnedRecord, Error)>();
    kept::<(Records, OwnedRecord, Error, Consumer, BufferedProducer)>();
    assert!(size_of::<Error>() <= 40);
}

/// They end up in logs and in failed assertions: what a handle is of, and no more.
#[test]
fn handles_print_what_they_are_of() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new(&[7; 10_000]).partition(1)).unwrap();
    let mut consumer = log.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut records = consumer.poll(Duration::ZERO).unwrap();
    while records.is_empty() {
        records = consumer.poll(Duration::from_secs(1)).unwrap();
    }
    let group = log.group("billing").unwrap();
    let shown = [
        (format!("{log:?}"), "EventLog"),
        (format!("{topic:?}"), "orders"),
        (format!("{:?}", topic.partition(1).unwrap()), "orders-1"),
        (format!("{producer:?}"), "Producer"),
        (format!("{:?}", producer.clone().buffered()), "Producer"),
        (format!("{consumer:?}"), "billing"),
        (format!("{records:?}"), "orders-1"),
        (format!("{group:?}"), "billing"),
    ];
    for (text, name) in shown {
        assert!(text.contains(name) && text.len() < 600, "{} bytes: {text}", text.len());
    }
}
