//! Consumers of a group share partitions, give them up and remember how far they got.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{self, PATIENCE, until};
use stratalog::{
    Assignor, Consumer, ConsumerConfig, Durability, Error, Event, EventLog, GroupState, Maintenance,
    ManualClock, Position, ReadUpTo, Record, Records, Remedy, StartFrom, Timestamp, Topic, TopicConfig,
    TopicPartition, UnknownTopics,
};

fn open(partitions: u32) -> (tempfile::TempDir, EventLog, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(partitions)).unwrap();
    (dir, log, topic)
}

/// One record into each partition.
fn send_round(log: &EventLog, topic: &Topic, value: &str) {
    for partition in topic.partitions() {
        log.producer().unwrap().send_batch(&partition, [Record::new(value)]).unwrap();
    }
}

fn member(log: &EventLog, group: &str, topics: &[&str]) -> Consumer {
    let mut consumer = log.consumer(group).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

fn poll(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

fn numbers(partitions: &[TopicPartition]) -> Vec<u32> {
    partitions.iter().map(TopicPartition::partition).collect()
}

/// Polls all until nothing moves; what they read is thrown away. Letting go shows in nothing but what follows.
fn wait_until_stable(members: &mut [&mut Consumer]) {
    let mut quiet = 0;
    while quiet < 3 {
        quiet += 1;
        for consumer in &mut *members {
            let records = poll(consumer);
            if !(records.assigned().is_empty() && records.revoked().is_empty() && records.is_empty()) {
                quiet = 0;
            }
        }
    }
}

#[test]
fn a_lone_member_reads_everything_and_continues_where_it_committed() {
    let (_dir, log, topic) = open(3);
    send_round(&log, &topic, "a");
    let mut consumer = member(&log, "g", &["t"]);
    let records = poll(&mut consumer);
    assert_eq!(numbers(records.assigned()), [0, 1, 2]);
    assert_eq!(records.len(), 3);
    consumer.commit().unwrap();
    send_round(&log, &topic, "b");
    assert_eq!(poll(&mut consumer).len(), 3);
    drop(consumer);

    let mut next = member(&log, "g", &["t"]);
    let records = poll(&mut next);
    let values: Vec<_> = records.iter().map(|record| record.value().unwrap().to_vec()).collect();
    assert_eq!(values, vec![b"b".to_vec(); 3], "what was not committed comes again");
    let mut other = member(&log, "other", &["t"]);
    assert_eq!(poll(&mut other).len(), 6, "another group has its own positions");
}

#[test]
fn partitions_move_only_when_their_owner_has_let_go() {
    let (_dir, log, topic) = open(4);
    let mut first = member(&log, "g", &["t"]);
    let _ = poll(&mut first);
    send_round(&log, &topic, "a");
    let records = poll(&mut first);
    assert_eq!(records.len(), 4);

    let mut second = member(&log, "g", &["t"]);
    assert!(poll(&mut second).assigned().is_empty());
    assert_eq!(log.group("g").unwrap().describe().unwrap().state, GroupState::Rebalancing);
    send_round(&log, &topic, "b");
    // It keeps what stays, learns what goes, and may commit that until its next poll.
    let records = poll(&mut first);
    let leaving = numbers(records.revoked());
    assert_eq!((leaving.len(), records.len()), (2, 2));
    assert!(records.iter().all(|record| !leaving.contains(&record.partition())));
    assert_eq!(first.assignment().len(), 4);
    first.commit().unwrap();
    assert!(poll(&mut second).assigned().is_empty());
    assert!(poll(&mut first).is_empty());
    assert_eq!(first.assignment().len(), 2);
    let records = poll(&mut second);
    assert_eq!(numbers(records.assigned()), leaving);
    assert_eq!(
        records.iter().map(|record| record.offset()).collect::<Vec<_>>(),
        [1, 1],
        "from what was committed"
    );
    let described = log.group("g").unwrap().describe().unwrap();
    assert_eq!((described.state, described.members.len()), (GroupState::Stable, 2));
    assert!(described.partitions.iter().all(|one| one.member.is_some() && one.log_end == Some(2)));
}

#[test]
fn a_commit_never_lets_go_and_a_late_one_is_refused() {
    let (_dir, log, topic) = open(2);
    send_round(&log, &topic, "a");
    let mut first = member(&log, "g", &["t"]);
    assert_eq!(poll(&mut first).len(), 2);
    let mut second = member(&log, "g", &["t"]);
    let leaving = poll(&mut first).revoked().to_vec();
    assert_eq!(leaving.len(), 1);
    first.commit_to([Position::new(&leaving[0], 1)]).unwrap();
    assert!(poll(&mut second).assigned().is_empty(), "committing releases nothing");
    let _ = poll(&mut first);
    let late = first.commit_to([Position::new(&leaving[0], 0)]).unwrap_err();
    assert!(matches!(&late, Error::FencedGeneration { group } if **group == *"g"), "{late}");
    assert_eq!(late.remedy(), Remedy::Rejoin);
    let _ = poll(&mut second);
    assert_eq!(second.committed(&leaving[0]).unwrap(), Some(Position::new(&leaving[0], 1)));
}

#[test]
fn dropping_and_closing_leave_at_once_and_wake_those_who_wait() {
    let (_dir, log, topic) = open(2);
    let mut stays = member(&log, "g", &["t"]);
    let mut goes = member(&log, "g", &["t"]);
    wait_until_stable(&mut [&mut stays, &mut goes]);
    assert_eq!(stays.assignment().len(), 1);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let records = stays.poll(PATIENCE).unwrap();
            assert_eq!(records.assigned().len(), 1);
        });
        drop(goes);
        waits.join().unwrap();
    });
    assert_eq!(stays.assignment().len(), topic.partitions().len());
    stays.close().unwrap();
    assert!(matches!(log.group("g").unwrap().describe(), Err(Error::NotFound { .. })));
}

#[test]
fn topics_and_partitions_that_come_later_are_picked_up() {
    let (_dir, log, topic) = open(1);
    let mut named = member(&log, "named", &["t", "later"]);
    let mut matching = log.consumer("matching").unwrap();
    matching.subscribe_matching(|name| name.starts_with('l') || name == "t").unwrap();
    assert_eq!((poll(&mut named).assigned().len(), poll(&mut matching).assigned().len()), (1, 1));
    topic.add_partitions(3).unwrap();
    assert_eq!((poll(&mut named).assigned().len(), poll(&mut matching).assigned().len()), (2, 2));
    std::thread::scope(|scope| {
        for consumer in [&mut named, &mut matching] {
            scope.spawn(move || {
                let records = consumer.poll(PATIENCE).unwrap();
                assert_eq!(records.assigned(), [("later", 0).into()]);
            });
        }
        log.create_topic("later", TopicConfig::new()).unwrap();
    });
    log.create_topic("__not_internal", TopicConfig::new()).unwrap();
    assert!(poll(&mut matching).assigned().is_empty());
}

#[test]
fn deleted_topics_are_lost_and_new_ones_of_the_name_begin_anew() {
    let (_dir, log, topic) = open(2);
    send_round(&log, &topic, "old");
    let mut consumer = member(&log, "g", &["t"]);
    assert_eq!(poll(&mut consumer).len(), 2);
    consumer.commit().unwrap();
    log.delete_topic("t").unwrap();
    let records = poll(&mut consumer);
    assert_eq!((records.lost().len(), consumer.assignment().len()), (2, 0));
    assert_eq!(log.group("g").unwrap().committed().unwrap(), []);

    let topic = log.create_topic("t", TopicConfig::new().partitions(1)).unwrap();
    send_round(&log, &topic, "new");
    let records = poll(&mut consumer);
    assert_eq!((records.assigned().len(), records.len()), (1, 1), "from its beginning");
    // All at once between two polls.
    log.delete_topic("t").unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(1)).unwrap();
    send_round(&log, &topic, "newest");
    let records = poll(&mut consumer);
    assert_eq!((records.lost().len(), records.assigned().len(), records.len()), (1, 1, 1));
}

#[test]
fn who_does_not_poll_in_time_is_evicted_and_joins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    send_round(&log, &topic, "a");
    let events = log.events();
    let config = || ConsumerConfig::new().group("g").max_poll_interval(Duration::from_secs(30));
    let mut slow = log.consumer_with(config()).unwrap();
    slow.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut slow).len(), 2);
    let mut other = log.consumer_with(config()).unwrap();
    other.subscribe(["t"]).unwrap();
    clock.advance(Duration::from_secs(10));
    assert!(poll(&mut other).assigned().is_empty());
    let reported: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert!(
        matches!(&reported[..], [Event::MemberNotPolling { group, .. }] if **group == *"g"),
        "{reported:?}"
    );
    clock.advance(Duration::from_millis(19_999));
    assert!(poll(&mut other).assigned().is_empty());
    clock.advance(Duration::from_millis(1));
    let records = poll(&mut other);
    assert_eq!((records.assigned().len(), records.len()), (2, 2), "nothing was committed");
    assert!(matches!(events.try_next(), Some(Event::MemberEvicted { .. })));
    assert!(matches!(slow.commit(), Err(Error::FencedGeneration { .. })));
    other.commit().unwrap();

    // Its next poll joins again, and reports what was lost.
    let records = poll(&mut slow);
    assert_eq!((records.lost().len(), records.is_empty()), (2, true));
    wait_until_stable(&mut [&mut slow, &mut other]);
    assert_eq!((slow.assignment().len(), other.assignment().len()), (1, 1));
}

#[test]
fn a_sleeping_member_notices_who_does_not_poll() {
    let (_dir, log, _topic) = open(1);
    let config = || ConsumerConfig::new().group("g").max_poll_interval(Duration::from_millis(30));
    let mut stuck = log.consumer_with(config()).unwrap();
    stuck.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut stuck).assigned().len(), 1);
    let mut other = member(&log, "g", &["t"]);
    let records = other.poll(PATIENCE).unwrap();
    assert_eq!(records.assigned().len(), 1);
}

#[test]
fn polls_commit_what_the_one_before_returned_if_asked_to() {
    let (_dir, log, topic) = open(1);
    send_round(&log, &topic, "a");
    let config = || ConsumerConfig::new().group("g").commit_on_poll(true).max_poll_records(1);
    let mut consumer = log.consumer_with(config()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    assert_eq!(consumer.committed(("t", 0)).unwrap().map(|at| at.offset()), None);
    send_round(&log, &topic, "b");
    assert_eq!(poll(&mut consumer).len(), 1);
    assert_eq!(consumer.committed(("t", 0)).unwrap().map(|at| at.offset()), Some(1));
    consumer.close().unwrap();
    let group = log.group("g").unwrap();
    assert_eq!(group.committed().unwrap(), [Position::new(("t", 0), 2)]);
    // Dropping commits nothing.
    send_round(&log, &topic, "c");
    let mut consumer = log.consumer_with(config()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    drop(consumer);
    assert_eq!(group.lag().unwrap(), [(("t", 0).into(), 1)]);
}

#[test]
fn a_consumer_with_assigned_partitions_commits_too() {
    let (_dir, log, topic) = open(2);
    send_round(&log, &topic, "a");
    let mut consumer = log.consumer("g").unwrap();
    consumer.assign(topic.partitions()).unwrap();
    assert_eq!(poll(&mut consumer).len(), 2);
    consumer.commit_to([Position::new(("t", 1), 1)]).unwrap();
    let mut again = log.consumer("g").unwrap();
    again.assign(topic.partitions()).unwrap();
    assert_eq!(again.positions().iter().map(Position::offset).collect::<Vec<_>>(), [0, 1]);
    // Not while members do.
    let mut subscribed = member(&log, "g", &["t"]);
    let _ = poll(&mut subscribed);
    let refused = consumer.commit().unwrap_err();
    assert!(matches!(&refused, Error::GroupNotEmpty { group } if **group == *"g"), "{refused}");
    assert_eq!(refused.remedy(), Remedy::Retry);
    drop(subscribed);
    consumer.commit().unwrap();
}

#[test]
fn only_what_is_on_disk_is_committed_by_those_who_read_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log = EventLog::options().clock(clock).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    send_round(&log, &topic, "a");
    topic.partition(0).unwrap().sync().unwrap();
    send_round(&log, &topic, "b");
    let config = ConsumerConfig::new().group("g").read_up_to(ReadUpTo::Durable);
    let mut consumer = log.consumer_with(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    consumer.commit_to([Position::new(("t", 0), 2)]).unwrap();
    assert_eq!(consumer.committed(("t", 0)).unwrap().map(|at| at.offset()), Some(1));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (dir, log, topic) = open(1);
    send_round(&log, &topic, "a");
    let says = |failure: Error, words: &str| {
        assert!(matches!(failure, Error::InvalidInput { .. }), "{failure:?}");
        assert!(failure.to_string().contains(words), "{failure}");
    };
    says(log.consumer("").map(drop).unwrap_err(), "give the group a name");
    says(log.group("").map(drop).unwrap_err(), "give the group a name");
    says(log.group(&"g".repeat(40_000)).map(drop).unwrap_err(), "at most 32767");
    says(log.standalone_consumer().unwrap().subscribe(["t"]).unwrap_err(), "has no group");
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    says(reader.commit().unwrap_err(), "has no group");
    says(reader.committed(("t", 0)).unwrap_err(), "has no group");
    let config = ConsumerConfig::new().commit_on_poll(true);
    says(log.consumer_with(config).map(drop).unwrap_err(), "name one");
    let config = ConsumerConfig::new().group("g").max_poll_interval(Duration::ZERO);
    says(log.consumer_with(config).map(drop).unwrap_err(), "evicted at once");
    says(log.consumer("g").unwrap().subscribe([""; 0]).unwrap_err(), "no topic");
    says(log.consumer("g").unwrap().subscribe(["no/name"]).unwrap_err(), "contains '/'");
    says(log.consumer("g").unwrap().poll(Duration::ZERO).map(drop).unwrap_err(), "subscribe or assign");

    let mut assigned = log.consumer("g").unwrap();
    assigned.assign([("t", 0)]).unwrap();
    says(assigned.subscribe(["t"]).unwrap_err(), "unsubscribe first");
    says(assigned.commit_to([Position::new(("t", 7), 0)]).unwrap_err(), "not assigned");
    let mut subscribed = member(&log, "g", &["t"]);
    says(subscribed.assign([("t", 0)]).unwrap_err(), "unsubscribe first");
    assert_eq!(poll(&mut subscribed).len(), 1);
    let beyond = subscribed.commit_to([Position::new(("t", 0), 2)]).unwrap_err();
    assert!(matches!(&beyond, Error::OffsetOutOfRange { valid, .. } if *valid == (0..1)), "{beyond}");
    let not_ours = subscribed.commit_to([Position::new(("t", 1), 0)]).unwrap_err();
    assert!(matches!(not_ours, Error::FencedGeneration { .. }), "{not_ours}");
    let other = ConsumerConfig::new().group("g").assignor(Assignor::Range);
    let mut other = log.consumer_with(other).unwrap();
    says(other.subscribe(["t"]).unwrap_err(), "cooperative-sticky");
    let strict = ConsumerConfig::new().group("h").unknown_topics(UnknownTopics::Refuse);
    let refused = log.consumer_with(strict).unwrap().subscribe(["t", "nowhere"]).unwrap_err();
    assert!(matches!(&refused, Error::NotFound { name, .. } if **name == *"nowhere"), "{refused}");

    // Nothing of all this was remembered.
    assert_eq!(log.group("g").unwrap().committed().unwrap(), []);
    assert_eq!(log.group("h").unwrap().describe().map(drop).unwrap_err().remedy(), Remedy::FixTheCall);
    log.close().unwrap();
    assert!(matches!(subscribed.commit(), Err(Error::Closed)));
    assert!(matches!(subscribed.poll(Duration::ZERO), Err(Error::Closed)));
    let log = EventLog::open_read_only(dir.path()).unwrap();
    assert!(matches!(log.consumer("g").unwrap().subscribe(["t"]), Err(Error::ReadOnly)));
}

#[test]
fn names_of_settings_are_those_of_kafka() {
    let (_dir, log, _topic) = open(1);
    let config = ConsumerConfig::new()
        .set("group.id", "g")
        .set("enable.auto.commit", "true")
        .set("max.poll.interval.ms", "300000")
        .set("partition.assignment.strategy", "range")
        .set("auto.offset.reset", "latest");
    let same = ConsumerConfig::new()
        .group("g")
        .commit_on_poll(true)
        .max_poll_interval(Duration::from_secs(300))
        .assignor(Assignor::Range)
        .start_from(StartFrom::End);
    assert_eq!(config, same);
    for (name, value, words) in [
        ("enable.auto.commit", "yes", "true or false"),
        ("partition.assignment.strategy", "uniform", "roundrobin"),
        ("max.poll.interval.ms", "soon", "whole number"),
        ("session.timeout.ms", "1", "not known"),
    ] {
        let failure = log.consumer_with(ConsumerConfig::new().set(name, value)).map(drop).unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
    }
}

#[test]
fn groups_are_listed_reset_and_deleted() {
    let (_dir, log, topic) = open(2);
    send_round(&log, &topic, "a");
    assert!(log.groups().unwrap().is_empty());
    let mut consumer = member(&log, "b", &["t"]);
    assert_eq!(poll(&mut consumer).len(), 2);
    consumer.commit().unwrap();
    let reset = log.group("a").unwrap();
    reset.set_committed([Position::new(("t", 1), 1), Position::new(("t", 0), 0)]).unwrap();
    let names: Vec<_> = log.groups().unwrap().iter().map(|group| group.name().to_owned()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(reset.lag().unwrap(), [(("t", 0).into(), 1), (("t", 1).into(), 0)]);

    let used = log.group("b").unwrap();
    for refused in
        [used.set_committed([Position::new(("t", 0), 0)]), used.remove_committed([("t", 0)]), used.delete()]
    {
        assert!(matches!(refused, Err(Error::GroupNotEmpty { .. })), "{refused:?}");
    }
    drop(consumer);
    used.remove_committed([("t", 0)]).unwrap();
    assert_eq!(used.committed().unwrap(), [Position::new(("t", 1), 1)]);
    used.delete().unwrap();
    assert!(matches!(used.delete(), Err(Error::NotFound { .. })));
    assert!(matches!(used.describe(), Err(Error::NotFound { .. })));
    let nowhere = reset.set_committed([Position::new(("t", 9), 0)]);
    assert!(matches!(nowhere, Err(Error::NotFound { .. })));
    let beyond = reset.set_committed([Position::new(("t", 0), 2)]);
    assert!(matches!(beyond, Err(Error::OffsetOutOfRange { .. })));
}

#[test]
fn seeking_pausing_and_subscribing_anew_work_with_what_the_group_gave() {
    let (_dir, log, topic) = open(2);
    send_round(&log, &topic, "a");
    log.create_topic("u", TopicConfig::new()).unwrap();
    let mut consumer = member(&log, "g", &["t"]);
    assert_eq!(poll(&mut consumer).len(), 2);
    consumer.seek_to_beginning().unwrap();
    consumer.pause([("t", 0)]).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    consumer.resume([("t", 0)]).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    consumer.subscribe(["u"]).unwrap();
    let records = poll(&mut consumer);
    assert_eq!((records.assigned(), records.revoked().len()), (&[("u", 0).into()][..], 2));
    assert!(poll(&mut consumer).is_empty());
    assert_eq!(consumer.assignment(), [("u", 0).into()]);
    consumer.unsubscribe().unwrap();
    assert!(consumer.assignment().is_empty());
    assert!(log.group("g").unwrap().describe().is_err());
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(consumer.position(("t", 0)).unwrap().offset(), 0, "nothing was committed");
}

#[test]
fn what_was_committed_is_there_in_the_next_life_of_the_log() {
    let (dir, log, topic) = open(2);
    send_round(&log, &topic, "a");
    let mut consumer = member(&log, "g", &["t"]);
    assert_eq!(poll(&mut consumer).len(), 2);
    consumer.commit_to([Position::new(("t", 1), 1).with_leader_epoch(0)]).unwrap();
    let generation = log.group("g").unwrap().describe().unwrap().generation;
    drop(consumer);
    log.close().unwrap();
    let committed = [Position::new(("t", 1), 1).with_leader_epoch(0)];
    let beside = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(beside.group("g").unwrap().committed().unwrap(), committed);
    drop(beside);

    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(log.group("g").unwrap().committed().unwrap(), committed);
    let mut consumer = member(&log, "g", &["t"]);
    let records = poll(&mut consumer);
    assert_eq!(records.iter().map(|record| record.partition()).collect::<Vec<_>>(), [0]);
    assert!(log.group("g").unwrap().describe().unwrap().generation > generation, "it counts on");
}

#[test]
fn a_synced_commit_is_on_disk_when_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).offsets_partitions(1).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    send_round(&log, &topic, "a");
    let durable = || log.topic("__consumer_offsets").unwrap().partition(0).unwrap().offsets().unwrap();
    for (level, is_durable) in [(Durability::Buffered, false), (Durability::Synced, true)] {
        let config = ConsumerConfig::new().group("g").commit_durability(level);
        let mut consumer = log.consumer_with(config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let _ = poll(&mut consumer);
        consumer.commit_to([Position::new(("t", 0), u64::from(is_durable))]).unwrap();
        let offsets = durable();
        assert_eq!(offsets.durable == offsets.log_end, is_durable, "{level:?}");
    }
}

/// Else a power cut brings the position back, and it is that of the topic that has the name then.
#[test]
fn what_was_forgotten_before_is_on_the_disk_before_the_name_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().background_sync(None, None).offsets_partitions(1).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    send_round(&log, &topic, "a");
    let config = ConsumerConfig::new().group("g").commit_durability(Durability::Synced);
    let mut consumer = log.consumer_with(config).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer.commit_to([Position::new(("t", 0), 1)]).unwrap();
    drop(consumer);
    let offsets = || log.topic("__consumer_offsets").unwrap().partition(0).unwrap().offsets().unwrap();
    log.group("g").unwrap().remove_committed([("t", 0)]).unwrap();
    assert_ne!(offsets().durable, offsets().log_end);
    log.delete_topic("t").unwrap();
    assert_eq!(offsets().durable, offsets().log_end);
    log.create_topic("t", TopicConfig::new()).unwrap();
}

#[test]
fn positions_of_groups_without_members_are_forgotten_if_that_is_wanted() {
    let hour = Duration::from_secs(3600);
    for (retention, kept) in [(None, 1), (Some(24 * hour), 0)] {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.offsets_retention(retention).open(dir.path()).unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        send_round(&log, &topic, "a");
        let mut consumer = member(&log, "g", &["t"]);
        assert_eq!(poll(&mut consumer).len(), 1);
        consumer.commit().unwrap();
        clock.advance(48 * hour);
        assert_eq!(log.run_maintenance().unwrap().offsets_expired, 0, "its members are there");
        drop(consumer);
        clock.advance(23 * hour);
        assert_eq!(log.run_maintenance().unwrap().offsets_expired, 0, "they have not been gone for long");
        clock.advance(2 * hour);
        assert_eq!(log.run_maintenance().unwrap().offsets_expired, 1 - kept);
        assert_eq!(log.group("g").unwrap().committed().unwrap().len(), kept);
    }
}

#[test]
fn committed_positions_that_cannot_be_read_are_not_in_the_way() {
    for unclean in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = || EventLog::options().offsets_partitions(1);
        let log = options().open(dir.path()).unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        send_round(&log, &topic, "a");
        log.group("g").unwrap().set_committed([Position::new(("t", 0), 1)]).unwrap();
        log.close().unwrap();
        if unclean {
            std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        }
        let file = dir.path().join("__consumer_offsets-0/00000000000000000000.log");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();

        let log = options().open(dir.path()).unwrap();
        log.create_topic("other", TopicConfig::new()).unwrap();
        log.delete_topic("other").unwrap();
        let failure = log.group("g").unwrap().committed().unwrap_err();
        assert_eq!(failure.remedy(), Remedy::Inspect, "{failure}");
        let mut consumer = log.consumer("g").unwrap();
        let failure =
            consumer.subscribe(["t"]).and_then(|()| consumer.poll(Duration::ZERO).map(drop)).unwrap_err();
        assert_eq!(failure.remedy(), Remedy::Inspect, "{failure}");
        assert_eq!(common::texts(&log, &log.topic("t").unwrap()), ["a"]);
    }
}

#[test]
fn a_commit_of_all_leaves_out_what_was_deleted() {
    let (_dir, log, topic) = open(1);
    let other = log.create_topic("u", TopicConfig::new()).unwrap();
    send_round(&log, &topic, "a");
    send_round(&log, &other, "b");
    let mut consumer = member(&log, "g", &["t", "u"]);
    assert_eq!(poll(&mut consumer).len(), 2);
    log.delete_topic("u").unwrap();
    consumer.commit().unwrap();
    assert_eq!(log.group("g").unwrap().committed().unwrap(), [Position::new(("t", 0), 1)]);
}

/// Many members come and go, work and forget, while others write: nothing is skipped, and what comes twice comes after
/// a change of owner.
#[test]
fn nothing_is_skipped_while_members_come_and_go() {
    const THREADS: u64 = 16;
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log =
        EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(8)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let seen = seen::Seen::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, done, seen, clock) = (&log, &done, &seen, &clock);
            scope.spawn(move || {
                let mut random = thread + 1;
                let mut draw = move |below: u64| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (random >> 33) % below
                };
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let config = ConsumerConfig::new()
                        .group("g")
                        .max_poll_records(1 + usize::try_from(draw(50)).unwrap());
                    let mut consumer = log.consumer_with(config).unwrap();
                    consumer.subscribe(["t"]).unwrap();
                    for _ in 0..draw(40) {
                        let records = consumer.poll(Duration::from_millis(draw(3))).unwrap();
                        for record in &records {
                            seen.record(record.partition(), record.offset());
                        }
                        clock.advance(Duration::from_millis(draw(10)));
                        if draw(3) > 0 {
                            consumer.commit().unwrap();
                        }
                    }
                    if draw(2) == 0 {
                        consumer.close().unwrap();
                    }
                }
            });
        }
        let producer = log.producer().unwrap();
        let start = log.group("g").unwrap();
        let mut sent = 0_u64;
        while clock_now(&clock) < 30_000 {
            for _ in 0..20 {
                producer.send(&topic, Record::new("x").partition(u32::try_from(sent % 8).unwrap())).unwrap();
                sent += 1;
            }
            std::thread::yield_now();
        }
        // All that was sent is seen and committed in the end.
        until("everything is seen", || {
            (0..8).all(|partition| seen.end(partition) == common::end(&topic, partition))
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(start);
    });
    let mut last = member(&log, "g", &["t"]);
    let ends: BTreeMap<_, _> = (0..8).map(|partition| (partition, common::end(&topic, partition))).collect();
    wait_until_stable(&mut [&mut last]);
    for position in last.positions() {
        assert_eq!(position.offset(), ends[&position.topic_partition().partition()]);
    }
    seen.check_nothing_skipped();
}

fn clock_now(clock: &ManualClock) -> i64 {
    stratalog::Clock::now(clock).as_millis()
}

/// What was seen of each partition: a run may begin anew at an earlier offset, but never further on than anybody got.
mod seen {
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    pub(crate) struct Seen(Mutex<[u64; 8]>, Mutex<Vec<(u32, u64, u64)>>);

    impl Seen {
        pub(crate) fn record(&self, partition: u32, offset: u64) {
            let next = &mut self.0.lock().unwrap()[partition as usize];
            if offset > *next {
                self.1.lock().unwrap().push((partition, *next, offset));
            }
            *next = (*next).max(offset + 1);
        }

        pub(crate) fn end(&self, partition: u32) -> u64 {
            self.0.lock().unwrap()[partition as usize]
        }

        pub(crate) fn check_nothing_skipped(&self) {
            assert_eq!(*self.1.lock().unwrap(), []);
        }
    }
}
