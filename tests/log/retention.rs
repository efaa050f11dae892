//! What is deleted and what is kept, by hand and by a clock that is moved.

use std::path::Path;
use std::time::Duration;

use crate::common::{self, expected::Expected};
use crate::common::{copy, in_every_mode, names, read, recorded, texts};
use stratalog::{
    CleanupPolicy, Error, Event, EventLog, Maintenance, ManualClock, OpenOptions, Partition, Record,
    RecordCopy, Timestamp, Topic, TopicConfig,
};

const NOW: i64 = 1_700_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn manual(clock: &ManualClock) -> OpenOptions {
    EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).max_segment_bytes(1024)
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
        EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
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
fn by_age_old_segments_go_and_a_lagging_consumer_gets_an_error() {
    in_every_mode(|mode, dir| {
        let clock = clock();
        let options = || {
            let options = mode.options().clock(clock.clone()).max_segment_bytes(1024);
            options.maintenance(Maintenance::Manual)
        };
        let log = options().open(dir).unwrap();
        let topic = log.create_topic("t", TopicConfig::new().retention(MINUTE)).unwrap();
        let partition = topic.partition(0).unwrap();
        let events = log.events();
        fill(&log, &topic, &clock, 10);
        let mut lagging = log.standalone_consumer().unwrap();
        lagging.assign([&partition]).unwrap();
        let held = lagging.poll(Duration::ZERO).unwrap();
        lagging.seek(common::at(&topic, 0, 1)).unwrap();
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        let segments: Vec<_> = partition.segments().unwrap().into_iter().map(|one| one.offsets).collect();
        assert_eq!(segments, [0..2, 2..4, 4..6, 6..8, 8..10]);
        assert_eq!(bases(dir), [0, 2, 4, 6, 8]);
        let size = partition.size().unwrap();

        // The newest record of the second segment is one of four seconds' age then.
        clock.advance(54 * SECOND);
        let report = log.run_maintenance().unwrap();
        assert_eq!((report.segments_deleted, report.bytes_deleted), (2, size * 2 / 5));
        let reported = std::iter::from_fn(|| events.try_next());
        let reported: Vec<_> =
            reported.filter(|event| matches!(event, Event::SegmentsDeleted { .. })).collect();
        let (partition_id, bytes) = (partition.id().clone(), size * 2 / 5);
        assert_eq!(reported.len(), 1);
        assert!(
            matches!(&reported[0], Event::SegmentsDeleted { partition, segments: 2, bytes: gone, log_start: 4, .. }
            if *partition == partition_id && *gone == bytes)
        );
        assert_eq!(partition.offsets().unwrap().log_start, 4);
        assert_eq!((partition.size().unwrap(), bases(dir)), (size * 3 / 5, vec![4, 6, 8]));
        let refused = lagging.poll(Duration::ZERO).unwrap_err();
        assert!(
            matches!(&refused, Error::OffsetOutOfRange { at, valid } if at.offset() == 1 && *valid == (4..10))
        );
        let zeros = |record: stratalog::RecordView<'_>| record.value().unwrap().starts_with(b"000");
        assert!(held.len() == 2 && held.iter().all(zeros), "what was returned stays");
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
        // The last one was appended to until then, and goes without having got indexes.
        assert_eq!((deleted(), bases(dir)), (7, vec![10]));
        assert_eq!(partition.size().unwrap(), 0);
        drop(log.close());
        let log = options().open(dir).unwrap();
        let topic = log.topic("t").unwrap();
        let offsets = topic.partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_start, offsets.log_end), (10, 10));
        assert_eq!(deleted(), 0, "removed when the partition was checked");
        fill(&log, &topic, &clock, 1);
        assert_eq!(texts(&log, &topic).len(), 1);
    });
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// README's first program: whatever was sent is there a year later.
#[test]
fn a_topic_that_does_not_say_keeps_everything() {
    in_every_mode(|mode, dir| {
        let clock = clock();
        let options = || mode.options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options().open(dir).unwrap();
        let orders = log.ensure_topic("orders", TopicConfig::new().partitions(3)).unwrap();
        assert!(orders.config().entries().eq([("retention.ms", "-1")]));
        let producer = log.producer().unwrap();
        // Segments roll on the way, after seven days.
        for day in 0..30 {
            producer.send(&orders, Record::new("paid").key(&format!("order-{day}"))).unwrap();
            clock.advance(DAY);
            assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        }
        clock.advance(365 * DAY);
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        log.close().unwrap();
        let log = options().open(dir).unwrap();
        clock.advance(365 * DAY);
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        let orders = log.ensure_topic("orders", TopicConfig::new().partitions(3)).unwrap();
        assert_eq!(texts(&log, &orders).len(), 30);
        assert!(orders.partitions().iter().any(|partition| partition.segments().unwrap().len() > 2));
    });
}

#[test]
fn records_that_are_imported_with_old_timestamps_stay() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(Timestamp::from_millis(NOW)));
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let old = Record::new(&[0; 500]).timestamp(Timestamp::from_millis(1_672_531_200_000));
    let partition = topic.partition(0).unwrap();
    for n in 0..10 {
        log.producer().unwrap().send_copies(&partition, [RecordCopy::new(n, old.clone())]).unwrap();
    }
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    for _ in 0..3 {
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        clock.advance(DAY);
    }
    assert_eq!(read(&log, log.topic("t").unwrap().partitions()).len(), 10);
}

/// The broker's `server.properties` said what it keeps, and they are not in the directory.
#[test]
fn the_directory_of_a_broker_stays_whole() {
    let expected = Expected::of_broker("clean-4.1");
    let dir = expected.copy();
    let clock = ManualClock::new(Timestamp::from_millis(1_900_000_000_000));
    let log = EventLog::options().clock(clock).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    // None of these records a retention but -1; what does would be deleted rightly.
    let topics = log.topics().unwrap();
    for topic in topics.iter().filter(|topic| !topic.name().starts_with("__")) {
        topic.alter_config(|now| now.unset("retention.ms").unset("retention.bytes")).unwrap();
    }
    let events = log.events();
    log.run_maintenance().unwrap();
    let deleted = std::iter::from_fn(|| events.try_next()).filter_map(|event| match event {
        Event::SegmentsDeleted { partition, log_start, .. } => Some((partition.to_string(), log_start)),
        _ => None,
    });
    // The broker had deleted these records, and was stopped before it removed their segments.
    assert_eq!(deleted.collect::<Vec<_>>(), [("trimmed-0".to_owned(), 37)]);
    log.close().unwrap();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let starts = |topic: &Topic| {
        let of = |partition: &Partition| partition.offsets().unwrap().log_start;
        topic.partitions().iter().map(of).collect::<Vec<_>>()
    };
    let other = expected.copy();
    let untouched = recorded().open(other.path()).unwrap();
    for topic in topics {
        let name = topic.name();
        assert_eq!(starts(&log.topic(name).unwrap()), starts(&untouched.topic(name).unwrap()), "{name}");
    }
}

#[test]
fn defaults_of_the_log_limit_topics_that_do_not_say() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let kept = log.create_topic("kept", TopicConfig::new().retention_bytes(None)).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    // As a broker leaves a topic.
    topic.alter_config(|now| now.unset("retention.ms")).unwrap();
    for topic in [&kept, &topic] {
        fill(&log, topic, &clock, 10);
    }
    let size = topic.partition(0).unwrap().size().unwrap();
    log.close().unwrap();
    let deleted = |defaults: TopicConfig| {
        let log = manual(&clock).topic_defaults(defaults).open(dir.path()).unwrap();
        let deleted = log.run_maintenance().unwrap().segments_deleted;
        log.close().unwrap();
        deleted
    };
    clock.advance(365 * DAY);
    assert_eq!(deleted(TopicConfig::new().retention(None).retention_bytes(None)), 0);
    assert_eq!(deleted(TopicConfig::new().retention_bytes(size / 2)), 2);
    assert_eq!(deleted(TopicConfig::new().retention(366 * DAY)), 0);
    assert_eq!(deleted(TopicConfig::new().retention(DAY)), 3);
    let log = manual(&clock).open(dir.path()).unwrap();
    assert_eq!(texts(&log, &log.topic("kept").unwrap()).len(), 10, "it says itself");
    assert!(
        log.topic("t").unwrap().config().entries().next().is_none(),
        "nothing is recorded of the log's defaults"
    );
}

/// Made before records were kept by default.
#[test]
fn a_recorded_retention_of_seven_days_stays() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().set("retention.ms", "604800000")).unwrap();
    fill(&log, &topic, &clock, 10);
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    clock.advance(6 * DAY);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
    clock.advance(2 * DAY);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 5);
    assert!(log.topic("t").unwrap().config().entries().eq([("retention.ms", "604800000")]));
}

#[test]
fn altered_retention_counts_at_the_next_round() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
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
    assert_eq!(deleted(), 0, "without a limit all is kept");
    topic.alter_config(|now| now.retention(DAY)).unwrap();
    assert_eq!(deleted(), 3);
}

#[test]
fn deleted_records_stay_deleted_after_close_and_crash() {
    for crash in [false, true] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
        let log = manual(&clock).open(dir.path()).unwrap();
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
        let log = manual(&clock).open(after.path()).unwrap();
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
        let log = manual(&clock).open(after.path()).unwrap();
        assert_eq!(texts(&log, &log.topic("t").unwrap()).len(), 1);
    }
}

#[test]
fn a_checkpoint_without_its_deletions_is_followed_at_the_open() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    fill(&log, &topic, &clock, 10);
    log.close().unwrap();
    drop((log, topic));
    // As if it had been stopped after the checkpoint, some renames done in any order.
    std::fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n1\nt 0 6\n").unwrap();
    let file = |name: &str| dir.path().join("t-0").join(name);
    std::fs::rename(file("00000000000000000002.log"), file("00000000000000000002.log.deleted")).unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    let events = log.events();
    let offsets = log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!((offsets.log_start, offsets.log_end), (6, 10));
    assert!(names(&dir.path().join("t-0")).iter().all(|name| !name.ends_with(".deleted")));
    // The checkpoint is a number in a text: what it hides goes as retention deletes, with a word and a delay.
    assert_eq!(bases(dir.path()), [0, 4, 6, 8]);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 2);
    assert_eq!(bases(dir.path()), [6, 8]);
    let reported =
        std::iter::from_fn(|| events.try_next()).find(|event| matches!(event, Event::SegmentsDeleted { .. }));
    assert!(
        matches!(reported, Some(Event::SegmentsDeleted { segments: 2, log_start: 6, .. })),
        "{reported:?}"
    );
    clock.advance(MINUTE);
    log.run_maintenance().unwrap();
    assert!(names(&dir.path().join("t-0")).iter().all(|name| !name.ends_with(".deleted")));
}

#[test]
fn a_topic_deleted_with_files_waiting_is_gone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
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

/// All events so far.
fn reported(events: &stratalog::Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// The time indexes of a topic that were rebuilt, by these events.
fn rebuilt(events: &[Event]) -> Vec<String> {
    let names = events.iter().filter_map(|event| match event {
        Event::IndexRebuilt { path, .. } => Some(path.file_name()?.to_str()?.to_owned()),
        _ => None,
    });
    names.collect()
}

type Damage = fn(&mut Vec<u8>);

#[test]
fn no_time_index_has_young_records_deleted() {
    let week = 7 * 24 * 60 * MINUTE;
    let (whole, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(whole.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().retention(week)).unwrap();
    fill(&log, &topic, &clock, 10);
    let killed = tempfile::tempdir().unwrap();
    copy(whole.path(), killed.path());
    log.close().unwrap();
    let time_indexes = |dir: &Path| {
        let names = names(&dir.join("t-0")).into_iter().filter(|name| name.ends_with(".timeindex"));
        names.map(|name| dir.join("t-0").join(name)).collect::<Vec<_>>()
    };
    let flip: Damage = |bytes| {
        // The highest bit that is set in the timestamp of the last entry: a time long gone.
        let last = bytes.len() - 12;
        let at = (last..bytes.len()).find(|at| bytes[*at] != 0).unwrap();
        bytes[at] ^= 1 << bytes[at].ilog2();
    };
    let of_1970: Damage = |bytes| bytes.splice(..8, 1_i64.to_be_bytes()).for_each(drop);
    let damages: [Damage; 5] =
        [flip, |bytes| bytes.fill(0), |bytes| bytes.fill(0xff), |bytes| bytes.clear(), of_1970];
    for (number, damage) in damages.into_iter().enumerate() {
        for stop in [whole.path(), killed.path()] {
            let dir = tempfile::tempdir().unwrap();
            copy(stop, dir.path());
            let right: Vec<_> =
                time_indexes(whole.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
            for path in time_indexes(dir.path()) {
                let mut bytes = std::fs::read(&path).unwrap();
                damage(&mut bytes);
                std::fs::write(&path, bytes).unwrap();
            }
            let log = manual(&clock).open(dir.path()).unwrap();
            let events = log.events();
            let topic = log.topic("t").unwrap();
            clock.advance(30 * SECOND);
            assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0, "{number}");
            assert_eq!(texts(&log, &topic).len(), 10, "{number}");
            let partition = topic.partition(0).unwrap();
            for (offset, seconds) in (0_u64..10).zip(0..) {
                let at = Timestamp::from_millis(NOW + seconds * 1000);
                assert_eq!(partition.offset_for_time(at).unwrap(), Some(offset), "{number}");
            }
            let reported = rebuilt(&reported(&events));
            assert!(reported.len() <= 5, "{number}: each once, but {reported:?}");
            log.close().unwrap();
            if stop == whole.path() {
                // Those of all segments that were checked are right again, and reported.
                assert!(reported.len() >= 4, "{number}: {reported:?}");
                let after: Vec<_> =
                    time_indexes(dir.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
                assert_eq!(after[..4], right[..4], "{number}");
            }
        }
    }
}

#[test]
fn a_time_index_that_says_too_much_keeps_nothing_that_is_old() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().retention(MINUTE)).unwrap();
    fill(&log, &topic, &clock, 6);
    log.close().unwrap();
    let index = dir.path().join("t-0/00000000000000000000.timeindex");
    let right = std::fs::read(&index).unwrap();
    let mut wrong = right.clone();
    wrong[1] ^= 0x40;
    std::fs::write(&index, &wrong).unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    let events = log.events();
    clock.advance(10 * SECOND);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
    assert_eq!(rebuilt(&reported(&events)), ["00000000000000000000.timeindex"]);
    assert_eq!(std::fs::read(&index).unwrap(), right);
    clock.advance(MINUTE);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 3);
    assert!(!reported(&events).iter().any(|event| matches!(event, Event::KeptByFutureTimestamp { .. })));
}

#[test]
fn a_segment_kept_by_a_timestamp_in_the_future_is_reported_once() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().retention(MINUTE)).unwrap();
    let partition = topic.partition(0).unwrap();
    fill(&log, &topic, &clock, 3);
    let far = Timestamp::from_millis(NOW + 3_000_000);
    log.producer().unwrap().send(&topic, Record::new(&format!("{:0300}", 3)).timestamp(far)).unwrap();
    fill(&log, &topic, &clock, 4);
    let events = log.events();
    let kept = |events: &stratalog::Events| {
        let kept = reported(events).into_iter().filter_map(|event| match event {
            Event::KeptByFutureTimestamp { base_offset, timestamp, .. } => Some((base_offset, timestamp)),
            _ => None,
        });
        kept.collect::<Vec<_>>()
    };
    log.run_maintenance().unwrap();
    assert_eq!(kept(&events), [], "it is young as well");
    assert_eq!(partition.kept_by_future_timestamp().unwrap(), None);
    clock.advance(55 * SECOND);
    // The first segment goes; the next one has a record of three seconds later, and one of much later.
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 1);
    assert_eq!(kept(&events), [], "its other record is as old as the limit, not older");
    clock.advance(10 * SECOND);
    for _ in 0..3 {
        assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
        clock.advance(MINUTE);
    }
    assert_eq!(kept(&events), [(2, far)], "once");
    let found = partition.kept_by_future_timestamp().unwrap().unwrap();
    assert_eq!((found.offsets, found.max_timestamp), (2..4, far));
    assert_eq!(partition.offsets().unwrap().log_start, 2);
    // The future comes, and then it is old.
    clock.set(far);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
    assert_eq!(partition.kept_by_future_timestamp().unwrap(), None);
    clock.advance(MINUTE + SECOND);
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 3);
}

/// Ten records, the first five deleted, and what the checkpoint of log starts holds then.
fn with_deleted_records(dir: &Path, clock: &ManualClock) -> String {
    let log = manual(clock).open(dir).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    fill(&log, &topic, clock, 10);
    topic.partition(0).unwrap().delete_records(5).unwrap();
    log.close().unwrap();
    std::fs::read_to_string(dir.join("log-start-offset-checkpoint")).unwrap()
}

#[test]
fn a_log_start_checkpoint_that_is_missing_wrong_or_no_text_loses_nothing() {
    for killed in [false, true] {
        for (text, start) in [
            // Nothing else knows of records that were deleted beside others that stay: they are back.
            (None, Some(4)),
            (Some(""), Some(4)),
            (Some("0\n1\nt 0 five\n"), Some(4)),
            (Some("0\n1\nt 0 5"), Some(4)),
            (Some("\0\0\0\0\0\0"), Some(4)),
            // Too low: where the first segment begins.
            (Some("0\n1\nt 0 1\n"), Some(4)),
            (Some("0\n1\nt 0 5\n"), Some(5)),
            // Too high, but in the log: no different from a deletion.
            (Some("0\n1\nt 0 8\n"), Some(8)),
            (Some("0\n1\nt 0 10\n"), Some(10)),
            // Above the end: one of the two must be wrong.
            (Some("0\n1\nt 0 11\n"), None),
            (Some("0\n1\nt 0 9223372036854775807\n"), None),
        ] {
            let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
            assert_eq!(with_deleted_records(dir.path(), &clock), "0\n1\nt 0 5\n");
            let checkpoint = dir.path().join("log-start-offset-checkpoint");
            match text {
                Some(text) => std::fs::write(&checkpoint, text).unwrap(),
                None => std::fs::remove_file(&checkpoint).unwrap(),
            }
            if killed {
                std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
            }
            let before = bases(dir.path());
            let log = manual(&clock).open(dir.path()).unwrap();
            let events = log.events();
            let unreadable = reported(&events).into_iter().find_map(|event| match event {
                Event::CheckpointUnreadable { path, reason } => Some((path, reason)),
                _ => None,
            });
            let parses =
                text.is_none_or(|text| text.is_empty() || start != Some(4) || text.ends_with(" 1\n"));
            assert_eq!(unreadable.is_none(), parses, "{text:?}: {unreadable:?}");
            assert!(unreadable.is_none_or(|(path, _)| path.ends_with("log-start-offset-checkpoint")));
            let partition = log.topic("t").unwrap().partition(0).unwrap();
            match (partition.offsets(), start) {
                (Ok(offsets), Some(start)) => {
                    assert_eq!((offsets.log_start, offsets.log_end), (start, 10), "{text:?}");
                    let found = read(&log, [&partition]);
                    assert_eq!(
                        found.first().map(|record| record.view().offset()),
                        Some(start).filter(|at| *at < 10)
                    );
                }
                (Err(Error::Corrupt(damage)), None) => {
                    assert!(damage.reason.contains("log-start-offset-checkpoint"), "{damage}");
                    log.run_maintenance().unwrap();
                }
                (found, _) => panic!("{text:?}: {found:?}"),
            }
            assert_eq!(bases(dir.path()), before, "{text:?}: no file is gone");
        }
    }
}

#[test]
fn an_interval_of_the_check_that_is_no_time_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let open = |interval| EventLog::options().retention_check_interval(interval).open(&path);
    for interval in [Duration::ZERO, Duration::from_nanos(999_999)] {
        let refused = open(interval).unwrap_err();
        assert!(matches!(refused, Error::InvalidInput { what: "retention_check_interval", .. }), "{refused}");
        assert!(refused.to_string().contains("at least 1 ms"), "{refused}");
        assert!(!path.exists());
    }
    for interval in [Duration::from_millis(1), Duration::MAX] {
        open(interval).unwrap().close().unwrap();
    }
}
