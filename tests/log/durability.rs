//! What is on disk, when, and who is reported.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{copy, until};
use stratalog::{
    Consumer, ConsumerConfig, Durability, EventLog, Maintenance, ManualClock, OpenOptions, Partition,
    Position, ProducerConfig, ReadUpTo, Record, Timestamp, Topic, TopicConfig,
};

const MILLI: Duration = Duration::from_millis(1);
const CHECKPOINT: &str = "recovery-point-offset-checkpoint";

fn manual() -> (OpenOptions, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    (EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual), clock)
}

fn topic(log: &EventLog) -> (Topic, Partition) {
    let topic = log.ensure_topic("t", TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    (topic, partition)
}

/// Durable end and log end.
fn ends(partition: &Partition) -> (u64, u64) {
    let offsets = partition.offsets().unwrap();
    (offsets.durable, offsets.log_end)
}

fn careful_reader(log: &EventLog, partition: &Partition) -> Consumer {
    let mut reader = log.consumer_with(ConsumerConfig::new().read_up_to(ReadUpTo::Durable)).unwrap();
    reader.assign([partition]).unwrap();
    reader
}

#[test]
fn synced_is_on_disk_when_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().0.open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Synced)).unwrap();
    producer.send(&topic, Record::new("one")).unwrap();
    assert_eq!(ends(&partition), (1, 1));
    producer.send_batch(&partition, [Record::new("two"), Record::new("three")]).unwrap();
    assert_eq!(ends(&partition), (3, 3));
    producer.send_batch_at(&partition, 3, [Record::new("four")]).unwrap();
    assert_eq!(ends(&partition), (4, 4));
    let mut buffered = producer.buffered();
    buffered.enqueue(&topic, Record::new("five")).unwrap();
    assert_eq!(ends(&partition), (4, 4), "only enqueued");
    buffered.flush().unwrap();
    assert_eq!(ends(&partition), (5, 5));
    // What others have left unsynced before it goes along.
    log.producer().unwrap().send(&topic, Record::new("six")).unwrap();
    assert_eq!(ends(&partition), (5, 6));
    producer.send(&topic, Record::new("seven")).unwrap();
    assert_eq!(ends(&partition), (7, 7));
}

#[test]
fn lingering_records_of_a_synced_producer_are_written_without_waiting_and_synced_by_the_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let config = ProducerConfig::new().durability(Durability::Synced).linger(5 * MILLI);
    let mut buffered = log.producer_with(config).unwrap().buffered();
    buffered.enqueue(&topic, Record::new("one")).unwrap();
    clock.advance(5 * MILLI);
    log.run_maintenance().unwrap();
    assert_eq!(ends(&partition), (0, 1));
    buffered.flush().unwrap();
    assert_eq!(ends(&partition), (1, 1));
}

#[test]
fn unsynced_records_are_synced_when_they_are_old_or_many() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new("old")).unwrap();
    clock.advance(Duration::from_millis(4999));
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 0);
    assert_eq!(ends(&partition), (0, 1));
    clock.advance(MILLI);
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 1);
    assert_eq!(ends(&partition), (1, 1));
    log.close().unwrap();

    let log = manual().0.background_sync(300_000, None).open(dir.path()).unwrap();
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    let (producer, value) = (log.producer().unwrap(), vec![7; 100_000]);
    for sent in 1..=4 {
        producer.send_batch(&partition, [Record::new(&value)]).unwrap();
        let synced = log.run_maintenance().unwrap().partitions_synced;
        assert_eq!(synced, usize::from(sent == 3), "after {sent}");
    }
    assert_eq!(ends(&partition), (4, 5));
}

#[test]
fn without_background_sync_nothing_is_synced_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.background_sync(None, None).open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    // Shorter than retention, which begins a segment in place of one that is all old.
    clock.advance(Duration::from_secs(3600));
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 0);
    assert_eq!(ends(&partition), (0, 1));
    partition.sync().unwrap();
    assert_eq!(ends(&partition), (1, 1));
}

#[test]
fn an_interval_begins_a_sync_when_it_has_passed_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer =
        log.producer_with(ProducerConfig::new().durability(Durability::Interval(10 * MILLI))).unwrap();
    for round in 1..=3 {
        producer.send(&topic, Record::new("one")).unwrap();
        clock.advance(9 * MILLI);
        producer.send(&topic, Record::new("another")).unwrap();
        assert_eq!(log.run_maintenance().unwrap().partitions_synced, 0);
        clock.advance(MILLI);
        assert_eq!(log.run_maintenance().unwrap().partitions_synced, 1);
        assert_eq!(ends(&partition), (2 * round, 2 * round));
    }
    assert_eq!(log.metrics().syncs, 3);
}

#[test]
fn an_interval_is_kept_by_the_threads_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Interval(MILLI))).unwrap();
    producer.send(&topic, Record::new("one")).unwrap();
    until("the record is durable", || ends(&partition) == (1, 1));
}

#[test]
fn a_careful_reader_is_shown_what_is_durable_and_woken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer().unwrap();
    let mut reader = careful_reader(&log, &partition);
    producer.send(&topic, Record::new("one")).unwrap();
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(reader.lag(&partition).unwrap(), 0, "of what it is shown");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.poll(Duration::from_secs(30)).unwrap().len());
        // Appending alone does not end the wait.
        producer.send(&topic, Record::new("two")).unwrap();
        partition.sync().unwrap();
        assert!(waiting.join().unwrap() > 0);
    });
    let mut reader = careful_reader(&log, &partition);
    producer.send(&topic, Record::new("three")).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 2, "not the third");
    reader.seek(Position::new(&partition, 3)).unwrap();
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
    log.sync().unwrap();
    producer.send(&topic, Record::new("four")).unwrap();
    reader.seek_to_end().unwrap();
    assert_eq!(reader.position(&partition).unwrap().offset(), 3);
}

/// The directory as a crash of the process leaves it.
fn crashed(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(from, dir.path());
    dir
}

#[test]
fn after_a_crash_all_is_served_at_once_and_synced_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new("synced")).unwrap();
    log.sync().unwrap();
    producer.send(&topic, Record::new("not synced")).unwrap();
    let after = crashed(dir.path());
    drop((partition, topic));

    let log = manual().0.open(after.path()).unwrap();
    assert!(!log.recovery().clean);
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(ends(&partition), (1, 2));
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([&partition]).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 2);
    let mut careful = careful_reader(&log, &partition);
    assert_eq!(careful.poll(Duration::ZERO).unwrap().len(), 1);
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 1);
    assert_eq!(ends(&partition), (2, 2));
    assert_eq!(careful.poll(Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn recovery_reports_its_progress() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(3)).unwrap();
    let value = vec![7; 1_000_000];
    for number in 0..100 {
        log.producer().unwrap().send(&topic, Record::new(&value).partition(number % 2)).unwrap();
    }
    let (after, reported) = (crashed(dir.path()), Arc::new(Mutex::new(Vec::new())));
    let tell = Arc::clone(&reported);
    let options = EventLog::options().on_progress(move |progress| tell.lock().unwrap().push(*progress));
    let log = options.open(after.path()).unwrap();
    let reported = reported.lock().unwrap();
    let last = reported.last().unwrap();
    assert_eq!((last.partitions_done, last.partitions), (3, 3));
    assert!(last.bytes_scanned > 99_000_000 && last.bytes_scanned <= log.recovery().bytes_scanned());
    let steps = reported.windows(2).map(|two| (two[1].bytes_scanned - two[0].bytes_scanned, two));
    for (bytes, two) in steps {
        assert!(bytes < 66 << 20 && two[1].partitions_done >= two[0].partitions_done);
    }
}

#[test]
fn the_recovery_point_is_written_at_rolls_the_close_and_each_minute_but_not_with_each_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (options, clock) = manual();
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
    let partition = topic.partition(0).unwrap();
    let point = || -> Option<u64> {
        let text = std::fs::read_to_string(dir.path().join(CHECKPOINT)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("t 0 "))?.parse().ok()
    };
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Interval(MILLI))).unwrap();
    for _ in 0..3 {
        producer.send(&topic, Record::new("one")).unwrap();
        clock.advance(MILLI);
        assert_eq!(log.run_maintenance().unwrap().partitions_synced, 1);
    }
    assert_eq!((ends(&partition), point()), ((3, 3), None), "not per sync");
    clock.advance(Duration::from_secs(60));
    assert!(log.run_maintenance().unwrap().checkpoints_written);
    assert_eq!(point(), Some(3));
    let value = vec![7; 400_000];
    for _ in 0..4 {
        producer.send(&topic, Record::new(&value)).unwrap();
    }
    log.run_maintenance().unwrap();
    assert!(point() > Some(3), "a roll is reported at once");
    log.close().unwrap();
    assert_eq!(point(), Some(7));
}

#[test]
fn records_that_are_to_be_deleted_are_on_disk_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().0.open(dir.path()).unwrap();
    let (topic, partition) = topic(&log);
    let producer = log.producer().unwrap();
    for _ in 0..3 {
        producer.send(&topic, Record::new("one")).unwrap();
    }
    assert_eq!(partition.delete_records(2).unwrap(), 2);
    let after = crashed(dir.path());
    assert!(partition.offsets().unwrap().durable >= 2);
    let log = EventLog::open(after.path()).unwrap();
    let offsets = log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!((offsets.log_start, offsets.log_end), (2, 3));
}

#[test]
fn topics_are_on_disk_when_they_are_made_and_gone_when_they_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.create_topics([("a", TopicConfig::new()), ("b", TopicConfig::new())]).unwrap();
    log.delete_topic("a").unwrap();
    let log = EventLog::open(crashed(dir.path()).path()).unwrap();
    let names: Vec<_> = log.topics().unwrap().iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn a_close_leaves_everything_on_disk_and_says_so_in_the_marker() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).open(dir.path()).unwrap();
    let (topic, _) = topic(&log);
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    let marker = dir.path().join(".kafka_cleanshutdown");
    assert!(!marker.exists(), "not while it is open");
    log.close().unwrap();
    assert!(marker.exists());
    let log = EventLog::open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(ends(&log.topic("t").unwrap().partition(0).unwrap()), (1, 1));
}

/// Without syncs that the topic does not ask for.
fn flushed(dir: &Path, name: &str, value: &str) -> (EventLog, ManualClock, Topic, Partition) {
    let (options, clock) = manual();
    let log = options.background_sync(None, None).open(dir).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().set(name, value)).unwrap();
    let partition = topic.partition(0).unwrap();
    (log, clock, topic, partition)
}

#[test]
fn a_topic_is_synced_after_as_many_records_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, topic, partition) = flushed(dir.path(), "flush.messages", "3");
    let producer = log.producer().unwrap();
    let send = || producer.send(&topic, Record::new("one")).unwrap();
    for (sent, durable) in [(1, 0), (2, 0), (3, 3), (4, 3), (5, 3), (6, 6)] {
        send();
        assert_eq!(ends(&partition), (durable, sent));
    }
    producer.send_batch(&partition, ["a", "b", "c", "d"].map(Record::new)).unwrap();
    assert_eq!(ends(&partition), (10, 10), "a batch is not cut in two");
    // Any sync begins the count anew.
    send();
    send();
    partition.sync().unwrap();
    send();
    send();
    assert_eq!(ends(&partition), (12, 14));
    // An interval that was promised is kept too, and a change counts from the next append on.
    topic.alter_config(|now| now.set("flush.messages", "5")).unwrap();
    send();
    send();
    assert_eq!(ends(&partition), (12, 16));
    topic.alter_config(|now| now.set("flush.messages", "1")).unwrap();
    send();
    assert_eq!(ends(&partition), (17, 17));
    topic.alter_config(|now| now.unset("flush.messages")).unwrap();
    for _ in 0..100 {
        send();
    }
    assert_eq!(ends(&partition), (17, 117));
    // A batch that lingered is written by maintenance and counts like any other.
    topic.alter_config(|now| now.set("flush.messages", "50")).unwrap();
    let mut buffered = producer.buffered();
    buffered.enqueue(&topic, Record::new("last")).unwrap();
    buffered.flush().unwrap();
    assert_eq!(ends(&partition), (118, 118));
}

#[test]
fn a_topic_is_synced_as_soon_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (log, clock, topic, partition) = flushed(dir.path(), "flush.ms", "200");
    let producer = log.producer().unwrap();
    let interval = producer.with_durability(Durability::Interval(50 * MILLI));
    let producer = log.producer().unwrap();
    let synced = || log.run_maintenance().unwrap().partitions_synced;
    producer.send(&topic, Record::new("one")).unwrap();
    clock.advance(199 * MILLI);
    producer.send(&topic, Record::new("two")).unwrap();
    assert_eq!((synced(), ends(&partition)), (0, (0, 2)));
    clock.advance(MILLI);
    assert_eq!((synced(), ends(&partition)), (1, (2, 2)), "counted from the first of them");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(synced(), 0, "nothing is left to be synced");
    // What a producer promises sooner is kept, and what it promises later is not waited for.
    interval.send(&topic, Record::new("three")).unwrap();
    clock.advance(50 * MILLI);
    assert_eq!((synced(), ends(&partition)), (1, (3, 3)));
    let slow = interval.with_durability(Durability::Interval(Duration::from_secs(60)));
    slow.send(&topic, Record::new("four")).unwrap();
    clock.advance(200 * MILLI);
    assert_eq!((synced(), ends(&partition)), (1, (4, 4)));
    // A change counts for what was appended before it.
    topic.alter_config(|now| now.unset("flush.ms")).unwrap();
    producer.send(&topic, Record::new("five")).unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!((synced(), ends(&partition)), (0, (4, 5)));
    topic.alter_config(|now| now.set("flush.ms", "0")).unwrap();
    assert_eq!((synced(), ends(&partition)), (1, (5, 5)));
    producer.send(&topic, Record::new("six")).unwrap();
    assert_eq!((synced(), ends(&partition)), (1, (6, 6)));
}
