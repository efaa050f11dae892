//! When a partition is compacted, and what the settings of a topic mean.

use std::time::Duration;

use stratalog::{CleanupPolicy, Event, EventLog, Maintenance, Position, Record, Records, Topic};

use super::{NOW, SECOND, clock, config, fill, filled, in_memory, manual};
use crate::common::{names, read};

/// Offsets of what is there.
fn offsets(log: &EventLog, topic: &Topic) -> Vec<u64> {
    read(log, topic.partitions()).iter().map(|record| record.view().offset()).collect()
}

/// Sends one record that fills half a segment.
fn send(log: &EventLog, topic: &Topic, key: &str, value: Option<usize>) {
    let value = value.map(|bytes| vec![b'v'; bytes]);
    let record = match &value {
        Some(value) => Record::new(value).key(key),
        None => Record::tombstone(key),
    };
    log.producer().unwrap().send(topic, record).unwrap();
}

/// Begins a new segment, so that everything before is sealed.
fn roll(log: &EventLog, topic: &Topic) {
    send(log, topic, "roll", Some(1700));
    send(log, topic, "roll", Some(1700));
}

#[test]
fn a_pass_is_reported_and_counted_and_written_down() {
    let (dir, clock) = (in_memory(), clock());
    let (log, topic) = filled(dir.path(), &clock);
    let events = log.events();
    let size = topic.partition(0).unwrap().size().unwrap();
    let report = log.run_maintenance().unwrap();
    assert_eq!(report.partitions_compacted, 1);
    assert!(report.bytes_after_compaction < report.bytes_before_compaction / 2);
    assert!(report.bytes_before_compaction < size);
    let now = topic.partition(0).unwrap().size().unwrap();
    assert_eq!(size - now, report.bytes_before_compaction - report.bytes_after_compaction);
    let reported = std::iter::from_fn(|| events.try_next());
    let reported: Vec<_> =
        reported.filter(|event| matches!(event, Event::PartitionCompacted { .. })).collect();
    let segments = topic.partition(0).unwrap().segments().unwrap();
    let active = segments.last().unwrap().offsets.start;
    assert_eq!(reported.len(), 1);
    assert!(
        matches!(&reported[0], Event::PartitionCompacted { partition, end, bytes_before, segments_after, .. }
            if partition.topic() == "t" && *end == active && *bytes_before == report.bytes_before_compaction
                && *segments_after + 1 == segments.len())
    );
    let checkpoint = std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, format!("0\n1\nt 0 {active}\n"));
    log.close().unwrap();
    // A checkpoint that is invalid is none: everything is gone through again, and nothing changes.
    std::fs::write(dir.path().join("cleaner-offset-checkpoint"), "nonsense").unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.topic("t").unwrap();
    let before = offsets(&log, &topic);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
    assert_eq!(offsets(&log, &topic), before);
    log.delete_topic("t").unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap(), "0\n0\n");
}

#[test]
fn tombstones_go_when_their_time_has_come_and_not_before() {
    let (dir, clock) = (in_memory(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", config().set("delete.retention.ms", "60000")).unwrap();
    send(&log, &topic, "a", Some(300));
    send(&log, &topic, "a", None);
    roll(&log, &topic);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
    assert_eq!(offsets(&log, &topic)[..1], [1], "the value has gone, the tombstone has not");
    // Nothing is gone through before there is something new.
    clock.advance(Duration::from_millis(59_999));
    roll(&log, &topic);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
    assert_eq!(offsets(&log, &topic)[..1], [1], "a moment too early");
    clock.advance(Duration::from_millis(1));
    roll(&log, &topic);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
    assert!(!offsets(&log, &topic).contains(&1), "it has gone");
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_start, 0);
}

#[test]
fn records_younger_than_the_least_lag_are_left_alone() {
    let (dir, clock) = (in_memory(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", config().set("min.compaction.lag.ms", "10000")).unwrap();
    fill(&log, &topic, &clock, 24);
    // Four and five to a segment, a second each: the segments up to ten seconds ago.
    log.run_maintenance().unwrap();
    let segments = topic.partition(0).unwrap().segments().unwrap();
    let cleaned = std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap();
    let cleaned: u64 = cleaned.lines().last().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let newest = i64::try_from(cleaned).unwrap() - 1;
    assert!(cleaned > 0 && newest * 1000 <= 24_000 - 10_000, "{cleaned}");
    let next = segments.iter().find(|segment| segment.offsets.start == cleaned).unwrap();
    let newest = i64::try_from(next.offsets.end).unwrap() - 1;
    assert!(newest * 1000 > 24_000 - 10_000, "one more would have been too young: {next:?}");
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0);
    clock.advance(10 * SECOND);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
}

#[test]
fn a_small_dirty_range_waits_unless_it_waits_for_too_long() {
    let (dir, clock) = (in_memory(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let config = config().set("min.cleanable.dirty.ratio", "0.5").set("max.compaction.lag.ms", "60000");
    let topic = log.create_topic("t", config).unwrap();
    let keys = |from: usize, to: usize| {
        for key in from..to {
            send(&log, &topic, &format!("{key:02}"), Some(1200));
        }
    };
    keys(0, 10);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1, "all of it is dirty");
    keys(10, 19);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0, "half of it is");
    keys(19, 20);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1, "more than half");
    keys(20, 22);
    clock.advance(60 * SECOND);
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0, "not longer than that");
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
}

#[test]
fn without_compact_nothing_is_compacted() {
    let (dir, clock) = (in_memory(), clock());
    let (log, topic) = filled(dir.path(), &clock);
    topic.alter_config(|config| config.cleanup(CleanupPolicy::Delete).retention(None)).unwrap();
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0);
    assert_eq!(offsets(&log, &topic).len(), 100);
}

#[test]
fn what_is_compacted_can_be_deleted_too() {
    let (dir, clock) = (in_memory(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", config()).unwrap();
    // A segment without any record is as old as the time of its file.
    for key in ["first", "second"] {
        send(&log, &topic, key, Some(900));
    }
    fill(&log, &topic, &clock, 98);
    topic
        .alter_config(|config| {
            config.cleanup(CleanupPolicy::CompactAndDelete).retention(Duration::from_secs(200))
        })
        .unwrap();
    let report = log.run_maintenance().unwrap();
    assert_eq!((report.partitions_compacted, report.segments_deleted), (1, 0));
    let oldest = topic.partition(0).unwrap().segments().unwrap().remove(0);
    let first = oldest.offsets;
    assert!(first.end < 100 && oldest.max_timestamp.as_millis() >= NOW);
    clock.set(stratalog::Timestamp::from_millis(oldest.max_timestamp.as_millis() + 200_000));
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.run_maintenance().unwrap().segments_deleted, 1);
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_start, first.end);

    // Records that are deleted go with their segments, also without `delete`.
    topic.alter_config(|config| config.cleanup(CleanupPolicy::Compact)).unwrap();
    let second = topic.partition(0).unwrap().segments().unwrap()[0].offsets.clone();
    topic.partition(0).unwrap().delete_records(second.end).unwrap();
    log.run_maintenance().unwrap();
    assert_eq!(topic.partition(0).unwrap().segments().unwrap()[0].offsets.start, second.end);
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.topic("t").unwrap();
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_start, second.end);
    assert!(offsets(&log, &topic).iter().all(|at| *at >= second.end));
}

#[test]
fn with_little_memory_several_passes_do_the_same_as_one() {
    let clock = clock();
    let mut left = Vec::new();
    for memory in [0, 16 << 20] {
        let dir = in_memory();
        let log = manual(&clock).compaction_memory(memory).open(dir.path()).unwrap();
        let topic = log.create_topic("t", config()).unwrap();
        fill(&log, &topic, &clock, 200);
        let runs = log.run_maintenance().unwrap().partitions_compacted;
        assert!(if memory == 0 { runs > 3 } else { runs == 1 }, "{runs}");
        left.push(offsets(&log, &topic));
    }
    assert_eq!(left[0], left[1]);
}

/// A reader is anywhere while segments become others under it, in every way to read.
#[test]
fn readers_find_their_place_again() {
    crate::common::in_every_mode(|mode, dir| {
        let clock = clock();
        let options =
            mode.options().clock(clock.clone()).maintenance(Maintenance::Manual).max_segment_bytes(2000);
        let log = options.open(dir).unwrap();
        let topic = log.create_topic("t", config().set("file.delete.delay.ms", "0")).unwrap();
        fill(&log, &topic, &clock, 60);
        let mut readers: Vec<_> = (0..60_u64)
            .map(|from| {
                let mut reader = log.standalone_consumer().unwrap();
                reader.assign([("t", 0)]).unwrap();
                reader.seek(Position::new(("t", 0), from)).unwrap();
                // Some are in the middle of a segment, some have only been sent there.
                let read =
                    if from % 3 == 0 { reader.poll(Duration::ZERO).unwrap() } else { Records::default() };
                let seen: Vec<_> = read.iter().map(|record| record.offset()).collect();
                (reader, from, seen)
            })
            .collect();
        log.run_maintenance().unwrap();
        log.run_maintenance().unwrap();
        let left = offsets(&log, &topic);
        assert!(left.len() < 40);
        for (reader, from, seen) in &mut readers {
            loop {
                let records = reader.poll(Duration::ZERO).unwrap();
                if records.is_empty() {
                    break;
                }
                seen.extend(records.iter().map(|record| record.offset()));
            }
            assert!(seen.is_sorted_by(|a, b| a < b));
            assert!(
                left.iter().filter(|at| **at >= *from).all(|at| seen.contains(at)),
                "from {from}: {seen:?}"
            );
        }
    });
}

#[test]
fn deleting_a_topic_ends_its_compaction() {
    let (dir, clock) = (in_memory(), clock());
    let (log, _) = filled(dir.path(), &clock);
    log.delete_topic("t").unwrap();
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0);
    log.close().unwrap();
    assert!(!names(dir.path()).iter().any(|name| name.starts_with("t-")));
}

/// With threads nothing is asked for: a look comes some time after a segment was sealed, or after the open.
#[test]
fn damage_ends_a_pass_and_is_reported() {
    let (dir, clock) = (in_memory(), clock());
    let (log, topic) = filled(dir.path(), &clock);
    topic.alter_config(|config| config.cleanup(CleanupPolicy::Delete).retention(None)).unwrap();
    log.run_maintenance().unwrap();
    let third = topic.partition(0).unwrap().segments().unwrap()[2].offsets.start;
    let path = dir.path().join("t-0").join(format!("{third:020}.log"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    topic.alter_config(|config| config.cleanup(CleanupPolicy::Compact)).unwrap();
    let before = names(&dir.path().join("t-0"));
    let events = log.events();
    assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 0);
    let refused = |events: &stratalog::Events| {
        let reported = std::iter::from_fn(|| events.try_next());
        reported.filter(
            |event| matches!(event, Event::CompactionRefused { reason, .. } if reason.contains("checksum")),
        )
        .count()
    };
    assert_eq!(refused(&events), 1);
    assert_eq!(names(&dir.path().join("t-0")), before);
    log.run_maintenance().unwrap();
    assert_eq!(refused(&events), 0, "once is enough");
    fill(&log, &topic, &clock, 20);
    log.run_maintenance().unwrap();
    assert_eq!(refused(&events), 1, "the segments have changed");
}
