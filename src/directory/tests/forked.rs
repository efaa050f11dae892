//! A log in the hands of a child that `fork` made: the parent's files stay the parent's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::platform::in_child;
use crate::{
    BufferedProducer, Consumer, ConsumerConfig, Error, EventLog, HandoverOptions, Maintenance, OpenOptions,
    Partition, Position, Producer, ProducerConfig, Record, Result, Timestamp, Topic, TopicConfig,
};

/// Every file with its content.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                found.insert(path, content);
            }
        }
    }
    found
}

/// Everything that a program may hold of a log.
struct Handles {
    log: EventLog,
    topic: Topic,
    partition: Partition,
    producer: Producer,
    buffered: BufferedProducer,
    member: Consumer,
    reader: Consumer,
}

impl Handles {
    fn on(path: &Path, options: OpenOptions) -> Self {
        let log = options.open(path).unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let producer = log.producer().unwrap();
        for value in ["0", "1", "2"] {
            producer.send(&topic, Record::new(value)).unwrap();
        }
        let patient = ProducerConfig::new().linger(Duration::from_secs(3600));
        let mut buffered = log.producer_with(patient).unwrap().buffered();
        buffered.enqueue(&topic, Record::new("pending")).unwrap();
        let mut member = log.consumer_with(ConsumerConfig::new().group("g").commit_on_poll(true)).unwrap();
        member.subscribe(["t"]).unwrap();
        assert_eq!(member.poll(Duration::ZERO).unwrap().len(), 3);
        let mut reader = log.standalone_consumer().unwrap();
        reader.assign([("t", 0)]).unwrap();
        Self { partition: topic.partition(0).unwrap(), log, topic, producer, buffered, member, reader }
    }

    /// What each call comes to, by its name.
    fn call_all(&mut self) -> Vec<(&'static str, Result<()>)> {
        let Self { log, topic, partition, producer, buffered, member, reader } = self;
        let record = || Record::new("the child's");
        let at = || Position::new(("t", 0), 1);
        vec![
            ("send", producer.send(topic, record()).map(drop)),
            ("send_batch", producer.send_batch(partition, [record()]).map(drop)),
            ("send_batch_at", producer.send_batch_at(partition, 3, [record()]).map(drop)),
            ("enqueue", buffered.enqueue(topic, record())),
            ("flush", buffered.flush()),
            ("poll", reader.poll(Duration::ZERO).map(drop)),
            ("poll of a member", member.poll(Duration::ZERO).map(drop)),
            ("commit", member.commit()),
            ("commit_to", member.commit_to([at()])),
            ("committed", member.committed(("t", 0)).map(drop)),
            ("assign", reader.assign([("t", 0)])),
            ("subscribe", member.subscribe(["t"])),
            ("seek_to_beginning", reader.seek_to_beginning()),
            ("seek_to_end", reader.seek_to_end()),
            ("seek_to_time", reader.seek_to_time(Timestamp::from_millis(0))),
            ("lag", reader.lag(("t", 0)).map(drop)),
            ("unsubscribe", member.unsubscribe()),
            ("create_topic", log.create_topic("u", TopicConfig::new()).map(drop)),
            ("ensure_topic", log.ensure_topic("t", TopicConfig::new()).map(drop)),
            ("delete_topic", log.delete_topic("t")),
            ("topic", log.topic("t").map(drop)),
            ("topics", log.topics().map(drop)),
            ("producer", log.producer().map(drop)),
            ("reader", log.standalone_consumer().map(drop)),
            ("group", log.group("g").map(drop)),
            ("groups", log.groups().map(drop)),
            ("alter_config", topic.alter_config(|now| now.retention(None))),
            ("add_partitions", topic.add_partitions(3)),
            ("describe", topic.describe().map(drop)),
            ("offsets", partition.offsets().map(drop)),
            ("offset_for_time", partition.offset_for_time(Timestamp::from_millis(0)).map(drop)),
            ("delete_records", partition.delete_records(2).map(drop)),
            ("segments", partition.segments().map(drop)),
            ("size", partition.size().map(drop)),
            ("sync of a partition", partition.sync()),
            ("sync", log.sync()),
            ("run_maintenance", log.run_maintenance().map(drop)),
            ("handover", log.handover(&HandoverOptions::new()).map(drop)),
            ("close", log.close()),
        ]
    }
}

#[test]
fn every_call_of_a_child_is_refused_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut handles = Handles::on(dir.path(), EventLog::options().maintenance(Maintenance::Manual));
    let before = tree(dir.path());
    in_child(|| {
        for (call, outcome) in handles.call_all() {
            assert!(matches!(outcome, Err(Error::Forked)), "{call}: {outcome:?}");
        }
        assert_eq!((handles.buffered.pending(), handles.buffered.discard()), (0, 0));
        assert_eq!(handles.log.metrics().records_appended, 0);
        assert!(handles.log.events().next_timeout(Duration::MAX).is_none());
    })
    .unwrap();
    assert!(tree(dir.path()) == before, "the child has changed something");

    // The same handles are as good as ever here.
    assert_eq!(handles.producer.send(&handles.topic, Record::new("3")).unwrap().offset, 3);
    handles.buffered.flush().unwrap();
    handles.log.close().unwrap();
}

#[test]
fn a_child_that_drops_its_handles_leaves_the_log_to_the_parent() {
    for by in [Maintenance::Manual, Maintenance::Threads] {
        let dir = tempfile::tempdir().unwrap();
        let options = EventLog::options().maintenance(by).background_sync(None, None);
        let handles = Handles::on(dir.path(), options);
        let before = tree(dir.path());
        // To the child this is all there is of them: what it drops it drops as its last handle.
        let mut handles = Some(handles);
        in_child(|| {
            drop(handles.take());
            assert!(matches!(EventLog::open(dir.path()), Err(Error::Locked { .. })), "the parent has it");
        })
        .unwrap();
        if by == Maintenance::Manual {
            // Threads of the parent may have made room meanwhile.
            assert!(tree(dir.path()) == before, "the child has changed something");
        }
        assert!(!dir.path().join(".kafka_cleanshutdown").exists(), "the log was not closed");
        let second = EventLog::open(dir.path()).unwrap_err();
        assert!(matches!(second, Error::Locked { .. }), "{second}");

        let mut handles = handles.unwrap();
        assert_eq!(handles.buffered.pending(), 1);
        handles.buffered.flush().unwrap();
        assert_eq!(handles.producer.send(&handles.topic, Record::new("last")).unwrap().offset, 4);
        // Still a member, whose position is its own to commit.
        assert_eq!(handles.log.group("g").unwrap().describe().unwrap().members.len(), 1);
        assert_eq!(handles.member.poll(Duration::ZERO).unwrap().len(), 2);
        handles.member.commit().unwrap();
        handles.log.close().unwrap();
        drop(handles);
        let log = EventLog::open(dir.path()).unwrap();
        assert!(log.recovery().clean);
        assert_eq!(log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap().log_end, 5);
        assert_eq!(log.group("g").unwrap().lag().unwrap(), [(("t", 0).into(), 0)]);
    }
}

#[test]
fn a_child_opens_logs_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let parents = EventLog::open(dir.path().join("parent")).unwrap();
    in_child(|| {
        let own = EventLog::open(dir.path().join("child")).unwrap();
        let topic = own.create_topic("t", TopicConfig::new()).unwrap();
        own.producer().unwrap().send(&topic, Record::new("own")).unwrap();
        own.close().unwrap();
        let read = EventLog::open_read_only(dir.path().join("parent")).unwrap();
        assert!(read.topics().unwrap().is_empty());
    })
    .unwrap();
    assert!(EventLog::open(dir.path().join("child")).unwrap().recovery().clean);
    parents.close().unwrap();
}

#[test]
fn a_log_that_is_only_read_is_the_parents_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.create_topic("t", TopicConfig::new()).unwrap();
    let reading = EventLog::open_read_only(dir.path()).unwrap();
    let mut reader = reading.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    let mut held = Some((reading, reader));
    in_child(|| {
        let (reading, mut reader) = held.take().unwrap();
        assert!(matches!(reader.poll(Duration::ZERO), Err(Error::Forked)));
        assert!(matches!(reading.topics(), Err(Error::Forked)));
        assert!(matches!(reading.close(), Err(Error::Forked)));
    })
    .unwrap();
    assert!(held.unwrap().1.poll(Duration::ZERO).unwrap().is_empty());
}
