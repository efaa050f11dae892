//! Members that begin at the end miss nothing of what is made after their group has begun.

use std::path::Path;
use std::time::Duration;

use crate::common;
use stratalog::{
    Consumer, ConsumerConfig, EventLog, Maintenance, ManualClock, OpenOptions, Position, Record, Records,
    StartFrom, Timestamp, Topic, TopicConfig,
};

/// Time is stopped: what is distinguished is not distinguished by it.
fn options() -> OpenOptions {
    EventLog::options().clock(ManualClock::new(Timestamp::from_millis(0))).maintenance(Maintenance::Manual)
}

fn open(dir: &Path) -> EventLog {
    options().open(dir).unwrap()
}

fn make(log: &EventLog, name: &str, partitions: u32) -> Topic {
    log.create_topic(name, TopicConfig::new().partitions(partitions)).unwrap()
}

fn send(log: &EventLog, topic: &Topic, value: &str) {
    for partition in topic.partitions() {
        log.producer().unwrap().send_batch(&partition, [Record::new(value)]).unwrap();
    }
}

fn at_end() -> ConsumerConfig {
    ConsumerConfig::new().group("g").start_from(StartFrom::End)
}

#[derive(Debug, Clone, Copy)]
enum By {
    Name,
    Pattern,
}

/// A member of the group "g" that reads all topics whose names begin with "t".
fn member(log: &EventLog, by: By) -> Consumer {
    let mut consumer = log.consumer_with(at_end()).unwrap();
    match by {
        By::Name => consumer.subscribe(["t", "t2"]).unwrap(),
        By::Pattern => consumer.subscribe_matching(|name| name.starts_with('t')).unwrap(),
    }
    consumer
}

/// What a poll returns, sorted.
fn poll(consumer: &mut Consumer) -> Vec<String> {
    texts(&consumer.poll(Duration::ZERO).unwrap())
}

fn texts(records: &Records) -> Vec<String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    let mut texts: Vec<_> = records.iter().map(|record| text(record.value())).collect();
    texts.sort_unstable();
    texts
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn partitions_and_topics_that_come_while_a_member_runs_are_read_from_their_beginning() {
    for by in [By::Name, By::Pattern] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let topic = make(&log, "t", 1);
        send(&log, &topic, "before");
        let mut consumer = member(&log, by);
        assert_eq!(poll(&mut consumer), nothing());
        send(&log, &topic, "a");
        topic.add_partitions(3).unwrap();
        send(&log, &topic, "b");
        send(&log, &make(&log, "t2", 2), "c");
        assert_eq!(poll(&mut consumer), ["a", "b", "b", "b", "c", "c"], "{by:?}");
        // The same name, another topic.
        log.delete_topic("t").unwrap();
        send(&log, &make(&log, "t", 2), "anew");
        assert_eq!(poll(&mut consumer), ["anew", "anew"], "{by:?}");
    }
}

#[test]
fn what_comes_while_no_member_runs_is_read_from_its_beginning() {
    for by in [By::Name, By::Pattern] {
        for is_reopened in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = open(dir.path());
            let topic = make(&log, "t", 1);
            send(&log, &topic, "before");
            let mut consumer = member(&log, by);
            assert_eq!(poll(&mut consumer), nothing());
            drop(consumer);
            send(&log, &topic, "a");
            topic.add_partitions(2).unwrap();
            send(&log, &topic, "b");
            send(&log, &make(&log, "t2", 1), "c");
            if is_reopened {
                drop(topic);
                log.close().unwrap();
                log = open(dir.path());
            }
            let mut consumer = member(&log, by);
            assert_eq!(poll(&mut consumer), ["a", "b", "b", "c"], "{by:?}, {is_reopened}");
            consumer.commit().unwrap();
            assert_eq!(poll(&mut consumer), nothing());
        }
    }
}

/// The directory as a killed process leaves it.
fn killed(dir: &Path) -> (tempfile::TempDir, EventLog) {
    let left = tempfile::tempdir().unwrap();
    common::copy(dir, left.path());
    let log = open(left.path());
    (left, log)
}

#[test]
fn a_group_that_found_nothing_to_read_has_begun() {
    for by in [By::Name, By::Pattern] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let mut consumer = member(&log, by);
        assert_eq!(poll(&mut consumer), nothing());
        let (_left, after_kill) = killed(dir.path());
        drop(consumer);
        for log in [log, after_kill] {
            send(&log, &make(&log, "t", 1), "first");
            assert_eq!(poll(&mut member(&log, by)), ["first"], "{by:?}");
        }
    }
}

#[test]
fn topics_that_were_there_before_the_group_begin_at_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (topic, older) = (make(&log, "t", 1), make(&log, "older", 2));
    send(&log, &topic, "before");
    let mut consumer = member(&log, By::Name);
    assert_eq!(poll(&mut consumer), nothing());
    drop(consumer);
    send(&log, &older, "before it is subscribed to");
    log.close().unwrap();
    let log = open(dir.path());
    let (topic, older) = (log.topic("t").unwrap(), log.topic("older").unwrap());
    let mut consumer = log.consumer_with(at_end()).unwrap();
    consumer.subscribe(["t", "older"]).unwrap();
    assert_eq!(poll(&mut consumer), nothing());
    send(&log, &topic, "a");
    send(&log, &older, "b");
    assert_eq!(poll(&mut consumer), ["a", "b", "b"]);
    // A group that was forgotten begins anew.
    drop(consumer);
    log.group("g").unwrap().delete().unwrap();
    topic.add_partitions(2).unwrap();
    send(&log, &topic, "before");
    let mut consumer = member(&log, By::Name);
    assert_eq!(poll(&mut consumer), nothing());
}

#[test]
fn where_a_partition_begins_is_committed_before_its_records_are_returned() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = make(&log, "t", 2);
    send(&log, &topic, "before");
    let mut consumer = member(&log, By::Name);
    assert_eq!(poll(&mut consumer), nothing());
    topic.add_partitions(3).unwrap();
    send(&log, &topic, "a");
    assert_eq!(poll(&mut consumer), ["a", "a", "a"]);
    let begun: Vec<_> = [1, 1, 0].into_iter().zip(0..).map(|(at, n)| Position::new(("t", n), at)).collect();
    assert_eq!(log.group("g").unwrap().committed().unwrap(), begun);
    for partition in log.topic("__consumer_offsets").unwrap().partitions() {
        let offsets = partition.offsets().unwrap();
        assert_eq!(offsets.durable, offsets.log_end, "also after a power failure");
    }
    // Nothing was committed of what was returned: it comes again, and nothing is skipped.
    send(&log, &topic, "b");
    let (_left, after_kill) = killed(dir.path());
    drop(consumer);
    for log in [log, after_kill] {
        assert_eq!(poll(&mut member(&log, By::Name)), ["a", "a", "a", "b", "b", "b"]);
    }
}

#[test]
fn a_partition_that_changes_hands_before_its_first_commit_continues_where_it_began() {
    for first_begins in [StartFrom::End, StartFrom::Beginning] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let topic = make(&log, "t", 2);
        send(&log, &topic, "before");
        let mut first = log.consumer_with(at_end().start_from(first_begins)).unwrap();
        first.subscribe(["t"]).unwrap();
        let before: &[&str] = if first_begins == StartFrom::End { &[] } else { &["before"] };
        assert_eq!(poll(&mut first), before.repeat(2));
        send(&log, &topic, "a");
        // It takes one of the two over, which the first releases without a commit.
        let mut second = member(&log, By::Name);
        assert_eq!(poll(&mut second), nothing());
        assert_eq!(poll(&mut first), ["a"], "of the partition that stays");
        let _ = poll(&mut first);
        send(&log, &topic, "b");
        assert_eq!(poll(&mut second), [&["a", "b"], before].concat());
        drop(first);
        // The other one too, and what was not committed comes again.
        assert_eq!(poll(&mut second), [&["a", "b"], before].concat());
    }
}

/// Has a group take its first position.
type Begin = fn(&EventLog);

#[test]
fn groups_that_did_not_begin_at_the_end_know_what_is_newer_too() {
    let begun: [(&str, Begin); 3] = [
        ("by a member", |log| {
            let mut consumer = log.consumer("g").unwrap();
            consumer.subscribe(["t"]).unwrap();
            assert_eq!(poll(&mut consumer), ["before"]);
            // Made before the first commit, and not read.
            consumer.pause([("t", 0)]).unwrap();
            make(log, "t2", 1);
            consumer.commit().unwrap();
        }),
        ("by hand", |log| {
            log.group("g").unwrap().set_committed([Position::new(("t", 0), 1)]).unwrap();
            make(log, "t2", 1);
        }),
        ("by one that was assigned a partition", |log| {
            let mut consumer = log.consumer("g").unwrap();
            consumer.assign([("t", 0)]).unwrap();
            make(log, "t2", 1);
            assert_eq!(poll(&mut consumer), ["before"]);
            consumer.commit().unwrap();
        }),
    ];
    for (how, begin) in begun {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        send(&log, &make(&log, "t", 1), "before");
        let older = make(&log, "t0", 1);
        send(&log, &older, "before");
        begin(&log);
        send(&log, &log.topic("t2").unwrap(), "a");
        log.topic("t").unwrap().add_partitions(2).unwrap();
        send(&log, &log.topic("t").unwrap(), "b");
        let mut consumer = log.consumer_with(at_end()).unwrap();
        consumer.subscribe(["t", "t0", "t2"]).unwrap();
        assert_eq!(poll(&mut consumer), ["a", "b", "b"], "{how}");
    }
}

#[test]
fn a_consumer_that_is_assigned_partitions_for_a_group_misses_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let topic = make(&log, "t", 1);
    send(&log, &topic, "before");
    let reader = || {
        let mut consumer = log.consumer_with(at_end()).unwrap();
        consumer.assign(topic.partitions()).unwrap();
        consumer
    };
    assert_eq!(poll(&mut reader()), nothing());
    topic.add_partitions(2).unwrap();
    send(&log, &topic, "a");
    assert_eq!(poll(&mut reader()), ["a", "a"]);
    assert_eq!(log.group("g").unwrap().committed().unwrap().len(), 2);
    // Without a group it is not remembered when it began.
    let mut consumer = log.consumer_with(ConsumerConfig::new().start_from(StartFrom::End)).unwrap();
    consumer.assign(topic.partitions()).unwrap();
    assert_eq!(poll(&mut consumer), nothing());
    // One that only looks on begins where the group would, and changes nothing.
    log.close().unwrap();
    let log = EventLog::open_read_only(dir.path()).unwrap();
    let mut consumer = log.consumer_with(at_end()).unwrap();
    consumer.assign([("t", 0), ("t", 1)]).unwrap();
    assert_eq!(poll(&mut consumer), ["a", "a"]);
}

#[test]
fn in_a_group_that_a_brokers_client_has_begun_nothing_is_skipped() {
    let dir = common::expected::Expected::of_broker("clean-4.1").copy();
    let log = common::recorded().open(dir.path()).unwrap();
    let committed = log.group("g-classic").unwrap().committed().unwrap();
    let without = |topic: &Topic| {
        !topic.name().starts_with("__")
            && committed.iter().all(|at| at.topic_partition().topic() != topic.name())
    };
    let topics = log.topics().unwrap();
    let topic =
        topics.iter().find(|topic| without(topic)).expect("a topic of which it has committed nothing");
    let config = |group| ConsumerConfig::new().group(group).start_from(StartFrom::End);
    let mut consumer = log.consumer_with(config("g-classic")).unwrap();
    consumer.subscribe([topic.name()]).unwrap();
    let _ = consumer.poll(Duration::ZERO).unwrap();
    let begun = log.group("g-classic").unwrap().committed().unwrap();
    let begun: Vec<_> = begun.iter().filter(|at| at.topic_partition().topic() == topic.name()).collect();
    let starts = topic.partitions().into_iter().map(|one| one.offsets().unwrap().log_start);
    assert!(starts.eq(begun.iter().map(|at| at.offset())), "{begun:?}");
    // In one that it has not, what the broker's records tell was there before.
    let mut consumer = log.consumer_with(config("of ours")).unwrap();
    consumer.subscribe([topic.name()]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
}

#[test]
fn what_a_group_has_begun_outlives_the_expiry_of_other_commits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let day = Duration::from_secs(86_400);
    let options = || {
        let options = EventLog::options().offsets_retention(day);
        options.clock(clock.clone()).maintenance(Maintenance::Manual)
    };
    let log = options().open(dir.path()).unwrap();
    assert_eq!(poll(&mut member(&log, By::Pattern)), nothing());
    clock.advance(day / 2);
    log.run_maintenance().unwrap();
    send(&log, &make(&log, "t", 1), "first");
    let mut consumer = member(&log, By::Pattern);
    assert_eq!(poll(&mut consumer), ["first"]);
    // As long as it has members it stays what it is.
    clock.advance(day * 3);
    log.run_maintenance().unwrap();
    let group = log.group("g").unwrap();
    assert_eq!(group.committed().unwrap(), [Position::new(("t", 0), 0)]);
    drop(consumer);
    clock.advance(day * 2);
    log.run_maintenance().unwrap();
    assert!(group.describe().is_err(), "it was without members for too long");
}
