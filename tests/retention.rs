//! What is deleted and what is kept, by hand and by a clock that is moved.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{copy, in_every_mode, names, read, texts};
use stratalog::{
    CleanupPolicy, Error, Event, EventLog, Maintenance, ManualClock, OpenOptions, Record, Timestamp, Topic,
    TopicConfig,
};

const NOW: i64 = 1_700_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn by_hand(clock: &ManualClock) -> OpenOptions {
    EventLog::options().clock(clock.clone()).maintenance(Maintenance::ByHand).most_segment_bytes(1024)
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(NOW))
}

/// Sends values of 500 bytes, two in each segment, a second apart.
fn fill(log: &EventLog, topic: &Topic, clock: &ManualClock, count: usize) {
    let producer = log.producer().unwrap();
    for n in 0..count {
        producer.send(topic, Record::new(&format!("{n:0300}"))).unwrap();
        clock.advance(SECOND);
    }
}

fn bases(dir: &Path) -> Vec<u64> {
    let names = names(&dir.join("t-0")).into_iter();
    names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect()
}

#[test]
fn retention_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log =
        EventLog::options().clock(clock.clone()).maintenance(Maintenance::ByHand).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().segment_age(MINUTE).retention(2 * MINUTE)).unwrap();
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new("old")).unwrap();
    clock.advance(2 * MINUTE);
    producer.send(&topic, Record::new("new")).unwrap();
    clock.advance(MINUTE);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 1);
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_start, 1);
    log.close().unwrap();
}

#[test]
fn by_age_old_segments_go_and_a_consumer_behind_is_told() {
    in_every_mode(|mode, dir| {
        let clock = clock();
        let options = || {
            let options = mode.options().clock(clock.clone()).most_segment_bytes(1024);
            options.maintenance(Maintenance::ByHand)
        };
        let log = options().open(dir).unwrap();
        let topic = log.create_topic("t", TopicConfig::new().retention(MINUTE)).unwrap();
        let partition = topic.partition(0).unwrap();
        let events = log.events();
        fill(&log, &topic, &clock, 10);
        let mut behind = log.reader().unwrap();
        behind.assign([&partition]).unwrap();
        let held = behind.poll(Duration::ZERO).unwrap();
        behind.seek(common::at(&topic, 0, 1)).unwrap();
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        let segments: Vec<_> = partition.segments().unwrap().into_iter().map(|one| one.offsets).collect();
        assert_eq!(segments, [0..2, 2..4, 4..6, 6..8, 8..10]);
        assert_eq!(bases(dir), [0, 2, 4, 6, 8]);
        let size = partition.size().unwrap();

        // The newest record of the second segment is one of four seconds' age then.
        clock.advance(54 * SECOND);
        let report = log.run_maintenance().unwrap();
        assert_eq!((report.segments_deleted, report.bytes_deleted), (2, size * 2 / 5));
        let told = std::iter::from_fn(|| events.try_next());
        let told: Vec<_> = told.filter(|event| matches!(event, Event::SegmentsDeleted { .. })).collect();
        let (partition_id, bytes) = (partition.id().clone(), size * 2 / 5);
        assert_eq!(told.len(), 1);
        assert!(
            matches!(&told[0], Event::SegmentsDeleted { partition, segments: 2, bytes: gone, log_start: 4, .. }
            if *partition == partition_id && *gone == bytes)
        );
        assert_eq!(partition.offsets().unwrap().log_start, 4);
        assert_eq!((partition.size().unwrap(), bases(dir)), (size * 3 / 5, vec![4, 6, 8]));
        let refused = behind.poll(Duration::ZERO).unwrap_err();
        assert!(
            matches!(&refused, Error::OffsetOutOfRange { at, valid } if at.offset() == 1 && *valid == (4..10))
        );
        let zeros = |record: stratalog::RecordView<'_>| record.value().unwrap().starts_with(b"000");
        assert!(held.len() == 2 && held.iter().all(zeros), "what was handed out stays");
        assert_eq!(partition.offset_for_time(Timestamp::from_millis(0)).unwrap(), Some(4));

        let deleted = || {
            names(&dir.join("t-0"))
                .iter()
                .filter(|name| name.ends_with("x.deleted") || name.ends_with(".log.deleted"))
                .count()
        };
        assert_eq!(deleted(), 6);
        clock.advance(MINUTE);
        // The files go, and everything else is old now: an empty segment is left.
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 3);
        assert_eq!((deleted(), bases(dir)), (9, vec![10]));
        assert_eq!(partition.size().unwrap(), 0);
        drop(log.close());
        let log = options().open(dir).unwrap();
        let topic = log.topic("t").unwrap();
        let offsets = topic.partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_start, offsets.log_end), (10, 10));
        assert_eq!(deleted(), 0, "removed when the partition was looked at");
        fill(&log, &topic, &clock, 1);
        assert_eq!(texts(&log, &topic).len(), 1);
    });
}

#[test]
fn altered_retention_counts_at_the_next_round() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = by_hand(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().cleanup(CleanupPolicy::Compact)).unwrap();
    let producer = log.producer().unwrap();
    for n in 0..10 {
        producer.send(&topic, Record::new(&[0; 300]).key(&format!("{n}"))).unwrap();
    }
    clock.advance(365 * 24 * 60 * MINUTE);
    let deleted = || log.run_maintenance().unwrap().segments_deleted;
    assert_eq!(deleted(), 0, "the policy keeps everything");
    let size = topic.partition(0).unwrap().size().unwrap();
    topic
        .alter_config(|now| {
            now.cleanup(CleanupPolicy::CompactAndDelete).retention(None).retention_bytes(size / 2)
        })
        .unwrap();
    assert_eq!(deleted(), 2);
    topic.alter_config(|now| now.unset("retention.ms").unset("retention.bytes")).unwrap();
    assert_eq!(deleted(), 3, "Kafka's seven days");
}

#[test]
fn deleted_records_stay_deleted_after_close_and_crash() {
    for crash in [false, true] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
        let log = by_hand(&clock).open(dir.path()).unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        let other = log.create_topic("other", TopicConfig::new()).unwrap();
        fill(&log, &topic, &clock, 10);
        fill(&log, &other, &clock, 3);
        let partition = topic.partition(0).unwrap();
        assert!(matches!(partition.delete_records(11), Err(Error::OffsetOutOfRange { .. })));
        assert_eq!(partition.delete_records(0).unwrap(), 0);
        assert_eq!(partition.delete_records(5).unwrap(), 5);
        assert_eq!(bases(dir.path()), [4, 6, 8]);
        assert_eq!(partition.delete_records(3).unwrap(), 5);
        assert_eq!(other.partition(0).unwrap().delete_records(3).unwrap(), 3);
        let after = tempfile::tempdir().unwrap();
        if crash {
            copy(dir.path(), after.path());
        } else {
            log.close().unwrap();
            copy(dir.path(), after.path());
        }
        drop((log, topic, other, partition));
        let log = by_hand(&clock).open(after.path()).unwrap();
        assert_eq!(log.recovery().clean, !crash);
        let (topic, other) = (log.topic("t").unwrap(), log.topic("other").unwrap());
        let offsets = topic.partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_start, offsets.log_end), (5, 10));
        assert_eq!(read(&log, topic.partitions())[0].view().offset(), 5);
        assert_eq!(texts(&log, &other).len(), 0);
        fill(&log, &other, &clock, 1);
        assert_eq!(read(&log, other.partitions())[0].view().offset(), 3);
        // A topic of the same name is another.
        log.delete_topic("t").unwrap();
        let again = log.create_topic("t", TopicConfig::new()).unwrap();
        fill(&log, &again, &clock, 1);
        log.close().unwrap();
        let log = by_hand(&clock).open(after.path()).unwrap();
        assert_eq!(texts(&log, &log.topic("t").unwrap()).len(), 1);
    }
}

#[test]
fn a_checkpoint_without_its_deletions_is_followed_at_the_open() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = by_hand(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    fill(&log, &topic, &clock, 10);
    log.close().unwrap();
    drop((log, topic));
    // As if it had been stopped behind the checkpoint, some renames done in any order.
    std::fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n1\nt 0 6\n").unwrap();
    let file = |name: &str| dir.path().join("t-0").join(name);
    std::fs::rename(file("00000000000000000002.log"), file("00000000000000000002.log.deleted")).unwrap();
    let log = by_hand(&clock).open(dir.path()).unwrap();
    let offsets = log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!((offsets.log_start, offsets.log_end, bases(dir.path())), (6, 10, vec![6, 8]));
    assert!(names(&dir.path().join("t-0")).iter().all(|name| !name.ends_with(".deleted")));
}

#[test]
fn a_topic_deleted_with_files_waiting_is_gone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = by_hand(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    fill(&log, &topic, &clock, 6);
    topic.partition(0).unwrap().delete_records(4).unwrap();
    log.delete_topic("t").unwrap();
    clock.advance(10 * MINUTE);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
    assert!(matches!(topic.partitions()[0].delete_records(5), Err(Error::NotFound { .. })));
    assert!(matches!(topic.partitions()[0].segments(), Err(Error::NotFound { .. })));
    assert!(names(dir.path()).iter().all(|name| !name.starts_with("t-")));
}
