//! Groups of ours continue with Kafka's own consumers, and the other way round.
//!
//! What old offsets need is in `traps.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::common::Dice;
use crate::ours;
use crate::reference::{self, Adoption, assert_equal, kafka_is_not_asked};
use serde_json::json;
use stratalog::{ConsumerConfig, EventLog, Position, Record, StartFrom, TopicConfig};

fn write(log: &EventLog) {
    let topic = log.ensure_topic("work", TopicConfig::new().partitions(3).retention(None)).unwrap();
    for partition in topic.partitions() {
        let values: Vec<_> = (0..40).map(|number| format!("work {number}")).collect();
        let producer = log.producer().unwrap();
        producer.send_batch(&partition, values.iter().map(Record::new)).unwrap();
    }
}

/// Reads some as a member of the group, commits it, and leaves.
fn read_some(log: &EventLog, group: &str, most: usize) -> usize {
    let mut member = log.consumer_with(ConsumerConfig::new().group(group).max_poll_records(most)).unwrap();
    member.subscribe(["work"]).unwrap();
    let mut count = 0;
    while count < most {
        let records = member.poll(Duration::from_secs(1)).unwrap();
        count += records.len();
        if records.is_empty() {
            break;
        }
    }
    member.commit().unwrap();
    member.close().unwrap();
    count
}

#[test]
fn groups_continue_at_their_committed_offsets() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, back) = (dir.path().join("log"), dir.path().join("back"));
    let log = EventLog::open(&path).unwrap();
    write(&log);
    assert!(read_some(&log, "read-in-part", 50) >= 50);
    let manual = [Position::new(("work", 2), 17).with_leader_epoch(0), Position::new(("work", 0), 40)];
    log.group("by-hand").unwrap().set_committed(manual).unwrap();
    log.group("of a strange name: größe ☃").unwrap().set_committed([Position::new(("work", 1), 1)]).unwrap();
    log.group("gone").unwrap().set_committed([Position::new(("work", 1), 1)]).unwrap();
    log.group("gone").unwrap().delete().unwrap();
    let mut at_end =
        log.consumer_with(ConsumerConfig::new().group("at-end").start_from(StartFrom::End)).unwrap();
    at_end.subscribe(["work"]).unwrap();
    assert!(at_end.poll(Duration::ZERO).unwrap().is_empty());
    at_end.close().unwrap();
    let ours = ours::groups(&log);
    assert_eq!(ours.len(), 4);
    let was: BTreeMap<_, _> = log
        .group("read-in-part")
        .unwrap()
        .committed()
        .unwrap()
        .iter()
        .map(|position| (position.topic_partition().partition(), position.offset()))
        .collect();
    log.close().unwrap();
    reference::check(&path);

    let served = Adoption::new().continued("read-in-part", "work").keep(&back).of(&path);
    assert_equal(&ours::without_metadata(&served.groups), &ours);
    let rest = was.iter().filter(|(_, offset)| **offset < 40).map(|(partition, offset)| {
        let offsets: Vec<_> = (*offset..40).collect();
        json!({
            "type": "continued", "group": "read-in-part", "topic": "work", "partition": partition, "offsets": offsets,
        })
    });
    assert_equal(&served.continued, &rest.collect::<Vec<_>>());

    // The broker's consumer has committed nothing, and left: ours continues from the same place.
    let log = EventLog::open(&back).unwrap();
    assert_equal(&ours::groups(&log), &ours);
    let left: u64 = was.values().map(|offset| 40 - offset).sum();
    assert_eq!(read_some(&log, "read-in-part", 1000) as u64, left + 3, "and what was produced to the broker");
    log.close().unwrap();
    reference::check(&back);
}

#[test]
fn groups_are_kept_where_javas_coordinator_keeps_them() {
    if kafka_is_not_asked() {
        return;
    }
    let seed = std::env::var("STRATALOG_SEED").map_or(42, |seed| seed.parse().expect("a number"));
    eprintln!("STRATALOG_SEED={seed}");
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    write(&log);
    let (mut lines, mut ours, mut ends) = (String::new(), Vec::new(), vec![0; 50]);
    for number in 0..300_u32 {
        // Characters of every width, in UTF-8 and in UTF-16.
        let letters = ['a', 'Z', '-', '.', 'ß', 'é', 'ж', '中', '☃', '😀', '𝔘', '\u{7ff}', '\u{ffff}'];
        let length = 1 + dice.below(30);
        let letter = |dice: &mut Dice| letters[usize::try_from(dice.below(letters.len() as u64)).unwrap()];
        let name: String = (0..length).map(|_| letter(&mut dice)).chain(number.to_string().chars()).collect();
        log.group(&name).unwrap().set_committed([Position::new(("work", 0), 5)]).unwrap();
        let hex = name.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        writeln!(lines, "group {hex} 50").unwrap();
        let now: Vec<_> = log.topic("__consumer_offsets").unwrap().partitions();
        let now: Vec<_> = now.iter().map(|one| one.offsets().unwrap().log_end).collect();
        let grown = now.iter().zip(&ends).position(|(now, before)| now > before).expect("a partition grew");
        ours.push(grown.to_string());
        ends = now;
    }
    let theirs = reference::compute("Choices.java", &lines);
    assert!(theirs.lines().eq(ours.iter().map(String::as_str)));
}
