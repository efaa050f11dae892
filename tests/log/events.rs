//! What a log reports its background: events and counters.

use std::time::Duration;

use stratalog::{Event, EventLog, Maintenance, ManualClock, OpenOptions, Record, Timestamp, TopicConfig};

fn manual() -> (OpenOptions, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    (EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual), clock)
}

#[test]
fn rolls_are_reported_to_all_who_listened_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
    let producer = log.producer().unwrap();
    let (first, second) = (log.events(), log.events());
    let value = vec![7; 300_000];
    for _ in 0..7 {
        producer.send(&topic, Record::new(&value)).unwrap();
    }
    let late = log.events();
    log.close().unwrap();
    let rolls = |events: stratalog::Events| -> Vec<u64> {
        events
            .map(|event| match event {
                Event::SegmentRolled { partition, base_offset } => {
                    assert_eq!(partition, ("t", 0).into());
                    base_offset
                }
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(rolls(first), [3, 6]);
    assert_eq!(rolls(second), [3, 6]);
    assert_eq!(rolls(late), [0; 0]);
}

#[test]
fn records_that_a_dropped_producer_could_not_write_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().0.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let mut producer = log.producer().unwrap().buffered();
    for _ in 0..5 {
        producer.enqueue(&topic, Record::new("lost")).unwrap();
    }
    let events = log.events();
    log.delete_topic("t").unwrap();
    drop(producer);
    match events.try_next() {
        Some(Event::RecordsDropped { records: 5, failure }) => {
            assert!(failure.contains("does not exist"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn counters_tell_what_was_done_and_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let topics =
        log.create_topics([("a", TopicConfig::new().partitions(3)), ("b", TopicConfig::new())]).unwrap();
    let producer = log.producer().unwrap();
    for n in 0..10 {
        producer.send(&topics[0], Record::new("x").partition(n % 2)).unwrap();
    }
    producer.send_batch(&topics[1].partition(0).unwrap(), vec![Record::new("y"); 7]).unwrap();
    let metrics = log.metrics();
    assert_eq!((metrics.topics, metrics.partitions, metrics.segments), (2, 4, 3));
    assert_eq!((metrics.records_appended, metrics.batches_appended), (17, 11));
    assert_eq!(metrics.bytes_appended, metrics.log_bytes);
    let sizes =
        topics.iter().flat_map(stratalog::Topic::partitions).map(|partition| partition.size().unwrap());
    assert_eq!(metrics.log_bytes, sizes.sum::<u64>());
    assert_eq!((metrics.records_unsynced, metrics.syncs), (17, 0));
    clock.advance(Duration::from_secs(5));
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 3);
    assert_eq!((log.metrics().records_unsynced, log.metrics().syncs), (0, 3));
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 0, "nothing new");
    assert_eq!(log.metrics().poisoned_partitions, 0);
}

#[test]
fn nothing_is_done_to_a_directory_once_its_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
    std::thread::scope(|scope| {
        let maintained = scope.spawn(|| while log.run_maintenance().is_ok() {});
        clock.advance(Duration::from_secs(100));
        log.close().unwrap();
        maintained.join().unwrap();
    });
    let names =
        || -> Vec<_> { std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let before = names();
    assert!(matches!(log.run_maintenance(), Err(stratalog::Error::Closed)));
    assert_eq!(names(), before);
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_held_records_keep_of_a_deleted_topic_is_counted_until_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new("held")).unwrap();
    log.close().unwrap();
    // Sealed by the close: what is read now is read through a map.
    let log = EventLog::open(dir.path()).unwrap();
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    let records = reader.poll(Duration::ZERO).unwrap();
    let size = log.topic("t").unwrap().partition(0).unwrap().size().unwrap();
    if log.metrics().maps == 0 {
        // A file system whose files are not mapped.
        return;
    }
    let events = log.events();
    log.delete_topic("t").unwrap();
    drop(reader);
    assert_eq!(log.metrics().pinned_bytes, size);
    match events.try_next() {
        Some(Event::SegmentPinned { base_offset: 0, bytes, .. }) => assert_eq!(bytes, size),
        other => panic!("{other:?}"),
    }
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"held"[..]));
    drop(records);
    assert_eq!(log.metrics().pinned_bytes, 0);
    assert_eq!(log.metrics().maps, 0);
}
