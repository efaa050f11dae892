//! Committed positions in a compacted `__consumer_offsets`: they are what they were, and groups that are gone leave
//! nothing in the topic.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use stratalog::{Event, EventLog, Position, Record, TopicConfig};

use super::{clock, in_memory, manual};
use crate::common::names;

const GROUPS: usize = 6;
const PARTITIONS: u32 = 3;
const GONE: &str = "a group that goes";

fn name_of(group: usize) -> String {
    format!("group {group}")
}

/// The partition of `__consumer_offsets` that a group's positions are in.
fn shard_of(group: &str) -> u32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.unsigned_abs() % 50
}

/// What each group has committed.
fn committed(log: &EventLog) -> BTreeMap<String, Vec<Position>> {
    log.groups()
        .unwrap()
        .into_iter()
        .map(|group| (group.name().to_owned(), group.committed().unwrap()))
        .collect()
}

/// All groups commit positions in all partitions, again and again. The last round says where they are then.
fn commit(log: &EventLog, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for group in 0..GROUPS {
            let of_group = round + group as u64;
            let positions = (0..PARTITIONS).map(|at| Position::new(("t", at), of_group + u64::from(at)));
            log.group(&name_of(group)).unwrap().set_committed(positions).unwrap();
        }
    }
}

/// Whether a text is anywhere in the log files of `__consumer_offsets` that count.
fn holds(dir: &Path, text: &str) -> bool {
    let partitions = names(dir).into_iter().filter(|name| name.starts_with("__consumer_offsets-"));
    let mut files = partitions.flat_map(|partition| {
        let partition = dir.join(partition);
        names(&partition)
            .into_iter()
            .filter(|name| name.ends_with(".log"))
            .map(move |name| partition.join(name))
    });
    files.any(|file| fs::read(file).unwrap().windows(text.len()).any(|found| found == text.as_bytes()))
}

/// Bytes of `__consumer_offsets`.
fn size(log: &EventLog) -> u64 {
    let topic = log.topic("__consumer_offsets").unwrap();
    topic.partitions().iter().map(|partition| partition.size().unwrap()).sum()
}

#[test]
fn committed_positions_survive_and_groups_that_went_vanish() {
    let (dir, clock) = (in_memory(), clock());
    let log = manual(&clock).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(PARTITIONS)).unwrap();
    for partition in topic.partitions() {
        for _ in 0..4 {
            let records = (0..50).map(|_| Record::new("something to read"));
            log.producer().unwrap().send_batch(&partition, records).unwrap();
        }
    }
    let events = log.events();
    log.group(GONE).unwrap().set_committed([Position::new(("t", 0), 7)]).unwrap();
    commit(&log, 0..40);
    log.group(GONE).unwrap().remove_committed([("t", 0)]).unwrap();
    // The partition that it was in continues, so that this is in a segment that is complete.
    let other =
        (0..9999).map(|n| format!("other {n}")).find(|name| shard_of(name) == shard_of(GONE)).unwrap();
    for offset in 0..60 {
        log.group(&other).unwrap().set_committed([Position::new(("t", 1), offset)]).unwrap();
    }
    commit(&log, 40..60);

    let (before, large) = (committed(&log), size(&log));
    assert!(before.len() > GROUPS);
    let report = log.run_maintenance().unwrap();
    assert!(report.partitions_compacted > 0);
    assert_eq!(committed(&log), before);
    assert!(size(&log) < large / 2, "{} of {large}", size(&log));
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(committed(&log), before);

    // The cleaner run has given tombstones their time. When it has come the next one takes them out.
    assert!(holds(dir.path(), GONE));
    let mate = (0..9999).map(|n| format!("mate {n}")).find(|name| shard_of(name) == shard_of(GONE)).unwrap();
    for (hours, is_left) in [(23, true), (2, false)] {
        clock.advance(Duration::from_hours(hours));
        for offset in 0..100 {
            log.group(&mate).unwrap().set_committed([Position::new(("t", 1), offset)]).unwrap();
        }
        assert!(log.run_maintenance().unwrap().partitions_compacted > 0);
        assert_eq!(holds(dir.path(), GONE), is_left, "{hours}");
        assert_eq!(log.group(GONE).unwrap().committed().unwrap(), []);
    }
    let before = committed(&log);
    assert_eq!(before.len(), GROUPS + 2, "with the two that shared its partition");
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    assert_eq!(committed(&log), before);
    let reported = std::iter::from_fn(|| events.try_next());
    let wrong =
        |event: &Event| matches!(event, Event::CompactionRefused { .. } | Event::MaintenanceFailed { .. });
    assert_eq!(reported.filter(wrong).count(), 0);
}
