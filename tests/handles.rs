//! Which handles threads may share and pass on.

use stratalog::{
    BufferedProducer, Consumer, ConsumerWaker, Error, EventLog, OwnedRecord, Partition, Position, Producer,
    Record, RecordView, Records, Topic, TopicPartition,
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
    cloned::<(EventLog, Topic, Partition, Producer, ConsumerWaker, OwnedRecord)>();
    kept::<(Records, OwnedRecord, Error, Consumer, BufferedProducer)>();
    assert!(size_of::<Error>() <= 40);
}
