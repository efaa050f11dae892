//! What may be committed: positions that exist, of the topics that are meant. And what a lag counts.

use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, Maintenance, ManualClock, Position, ReadUpTo, Record,
    Timestamp, Topic, TopicConfig,
};

/// Nothing is synced unless it is asked for. Each of the partitions holds one record.
fn open(partitions: u32) -> (tempfile::TempDir, EventLog, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log = EventLog::options().clock(clock).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(partitions)).unwrap();
    send_round(&log, &topic);
    (dir, log, topic)
}

fn send_round(log: &EventLog, topic: &Topic) {
    for partition in topic.partitions() {
        log.producer().unwrap().send_batch(&partition, [Record::new("x")]).unwrap();
    }
}

fn group() -> ConsumerConfig {
    ConsumerConfig::new().group("g")
}

/// A consumer that has read what there is: a member of its group, or one that was assigned all partitions.
fn reader(log: &EventLog, config: ConsumerConfig, is_member: bool) -> Consumer {
    let mut consumer = log.consumer_with(config).unwrap();
    if is_member {
        consumer.subscribe(["t"]).unwrap();
    } else {
        consumer.assign(log.topic("t").unwrap().partitions()).unwrap();
    }
    assert!(!consumer.poll(Duration::ZERO).unwrap().is_empty());
    consumer
}

fn committed(log: &EventLog) -> Vec<Position> {
    log.group("g").unwrap().committed().unwrap()
}

#[test]
fn no_call_commits_a_position_past_the_end() {
    fn out_of_range(call: impl FnOnce() -> stratalog::Result<()>) {
        let failure = call().unwrap_err();
        assert!(
            matches!(&failure, Error::OffsetOutOfRange { at, valid } if at.offset() == 5 && *valid == (0..1)),
            "{failure:?}"
        );
    }
    fn refused(log: &EventLog, call: impl FnOnce() -> stratalog::Result<()>) {
        let before = committed(log);
        out_of_range(call);
        assert_eq!(committed(log), before, "nor anything else");
    }
    /// A poll commits what it can: one partition does not keep the others from being committed.
    fn left_out(log: &EventLog, call: impl FnOnce() -> stratalog::Result<()>) {
        let of = |log: &EventLog| committed(log).iter().map(Position::offset).nth(1);
        let before = of(log);
        out_of_range(call);
        assert_eq!((of(log), committed(log)[0].offset()), (before, 1));
    }
    for is_member in [false, true] {
        let (dir, log, _topic) = open(2);
        let beyond = Position::new(("t", 1), 5);
        let sent_there = |config: ConsumerConfig| {
            let mut consumer = reader(&log, config, is_member);
            consumer.seek(beyond.clone()).unwrap();
            consumer
        };
        let mut consumer = sent_there(group());
        refused(&log, || consumer.commit());
        refused(&log, || consumer.commit_to([Position::new(("t", 0), 1), beyond.clone()]));
        drop(consumer);
        let by_polls = || group().commit_on_poll(true);
        let mut consumer = sent_there(by_polls());
        left_out(&log, || consumer.poll(Duration::ZERO).map(drop));
        left_out(&log, || consumer.unsubscribe());
        log.group("g").unwrap().set_committed([("t", 0), ("t", 1)].map(|of| Position::new(of, 0))).unwrap();
        let consumer = sent_there(by_polls());
        left_out(&log, || consumer.close());
        let to = [Position::new(("t", 0), 1), beyond.clone()];
        refused(&log, || log.group("g").unwrap().set_committed(to));

        // It continues from where there is something.
        let mut consumer = sent_there(group());
        consumer.seek_to_end().unwrap();
        consumer.commit().unwrap();
        drop(consumer);
        log.close().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 1), Position::new(("t", 1), 1)]);
    }
}

#[test]
fn who_reads_only_what_is_durable_commits_no_more() {
    let config = || group().read_up_to(ReadUpTo::Durable);
    let positioned = |log: &EventLog, topic: &Topic, config, is_member| {
        topic.partition(0).unwrap().sync().unwrap();
        let mut consumer = reader(log, config, is_member);
        send_round(log, topic);
        consumer.seek(Position::new(("t", 0), 2)).unwrap();
        consumer
    };
    for is_member in [false, true] {
        let (_dir, log, topic) = open(1);
        let mut consumer = positioned(&log, &topic, config(), is_member);
        consumer.commit().unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 1)]);
        topic.partition(0).unwrap().sync().unwrap();
        consumer.commit().unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 2)], "once it is durable");

        let (_dir, log, topic) = open(1);
        let mut consumer = positioned(&log, &topic, config().commit_on_poll(true), is_member);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(committed(&log), [Position::new(("t", 0), 1)]);
        consumer.close().unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 1)]);
    }
}

#[test]
fn records_that_were_deleted_are_no_lag() {
    let (_dir, log, topic) = open(1);
    let partition = topic.partition(0).unwrap();
    let mut all = reader(&log, ConsumerConfig::new(), false);
    let mut durable = log.consumer_with(ConsumerConfig::new().read_up_to(ReadUpTo::Durable)).unwrap();
    durable.assign([&partition]).unwrap();
    let billing = log.group("g").unwrap();
    billing.set_committed([Position::new(("t", 0), 1)]).unwrap();
    (0..9).for_each(|_| send_round(&log, &topic));
    let lags = |all: &Consumer, durable: &Consumer| {
        let described = billing.describe().unwrap().partitions.remove(0);
        let of_group = billing.lag().unwrap();
        assert_eq!(of_group, [(("t", 0).into(), described.lag.unwrap())]);
        let ends = (described.log_start.unwrap(), described.log_end.unwrap());
        (ends, of_group[0].1, all.lag(("t", 0)).unwrap(), durable.lag(("t", 0)).unwrap())
    };
    assert_eq!(lags(&all, &durable), ((0, 10), 9, 9, 0));
    partition.delete_records(4).unwrap();
    assert_eq!(lags(&all, &durable), ((4, 10), 6, 6, 6), "what was deleted is durable, as all before is");
    send_round(&log, &topic);
    assert_eq!(lags(&all, &durable), ((4, 11), 7, 7, 6));
    partition.delete_records(11).unwrap();
    assert_eq!(lags(&all, &durable), ((11, 11), 0, 0, 0), "where nothing is left nothing is to be read");
    all.seek_to_end().unwrap();
    assert_eq!(lags(&all, &durable), ((11, 11), 0, 0, 0));
}

/// Calls that are given something of a topic that was deleted say so.
#[track_caller]
fn not_found<T: std::fmt::Debug>(outcome: stratalog::Result<T>) {
    let failure = outcome.unwrap_err();
    assert!(matches!(&failure, Error::NotFound { what: "topic", .. }), "{failure:?}");
}

/// The topic deleted and made again, with other records in it.
fn made_anew(log: &EventLog) -> Topic {
    log.delete_topic("t").unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    (0..3).for_each(|_| send_round(log, &topic));
    topic
}

#[test]
fn positions_of_a_deleted_topic_are_not_committed_in_a_new_one_of_its_name() {
    for is_member in [false, true] {
        let (_dir, log, topic) = open(2);
        let group_of_all = log.group("g").unwrap();
        let mut consumer = log.consumer_with(group()).unwrap();
        if is_member {
            consumer.subscribe(["t"]).unwrap();
        } else {
            consumer.assign(topic.partitions()).unwrap();
        }
        let records = consumer.poll(Duration::ZERO).unwrap();
        let mut old: Vec<Position> = records.iter().map(|record| record.next_position()).collect();
        old.extend(consumer.positions());
        old.push(consumer.position(("t", 0)).unwrap());
        old.extend(topic.partitions().iter().map(|partition| Position::new(partition, 1)));
        old.extend(records.assigned().iter().map(|of| Position::new(of, 1)));
        old.extend(records.into_iter().map(|record| record.view().next_position()));
        consumer.commit().unwrap();
        old.push(consumer.committed(("t", 1)).unwrap().unwrap());
        old.extend(committed(&log));
        let lag = group_of_all.lag().unwrap();
        old.extend(lag.into_iter().map(|(of, _)| Position::new(of, 1)));

        let new = made_anew(&log);
        for has_noticed in [false, true] {
            for position in &old {
                not_found(consumer.commit_to([position.clone()]));
                not_found(consumer.committed(position.topic_partition()));
                if !has_noticed {
                    continue;
                }
                not_found(consumer.seek(position.clone()));
                not_found(consumer.pause([position.topic_partition()]));
                not_found(consumer.resume([position.topic_partition()]));
                not_found(consumer.position(position.topic_partition()));
                not_found(consumer.lag(position.topic_partition()));
            }
            assert_eq!(committed(&log), []);
            if has_noticed {
                continue;
            }
            not_found(consumer.commit());
            if is_member {
                let _ = consumer.poll(Duration::ZERO).unwrap();
                let _ = consumer.poll(Duration::ZERO).unwrap();
            } else {
                not_found(consumer.poll(Duration::ZERO));
                consumer.assign(new.partitions()).unwrap();
                not_found(consumer.assign(topic.partitions()));
            }
        }
        consumer.commit_to([Position::new(("t", 0), 2)]).unwrap();
        drop(consumer);
        for position in &old {
            // One that would do is not stored either.
            not_found(group_of_all.set_committed([Position::new(("t", 1), 2), position.clone()]));
            not_found(group_of_all.remove_committed([position.topic_partition()]));
        }
        assert_eq!(committed(&log), [Position::new(("t", 0), 2)]);
        group_of_all.set_committed([Position::new(new.partition(1).unwrap(), 1)]).unwrap();
        log.delete_topic("t").unwrap();
        old.extend(committed(&log));
        for position in old {
            not_found(group_of_all.set_committed([position]));
        }
        assert_eq!(committed(&log), []);
    }
}

/// What a consumer ends with.
type End = fn(Consumer) -> stratalog::Result<()>;

#[test]
fn what_commits_by_itself_commits_nothing_of_a_deleted_topic() {
    let by_polls = || group().commit_on_poll(true);
    for is_member in [false, true] {
        let ended: [(&str, End); 3] = [
            ("commit", |mut consumer| consumer.commit()),
            ("unsubscribe", |mut consumer| consumer.unsubscribe()),
            ("close", Consumer::close),
        ];
        for (name, end) in ended {
            let (_dir, log, _topic) = open(1);
            let consumer = reader(&log, by_polls(), is_member);
            made_anew(&log);
            eprintln!("{name}, {is_member}");
            not_found(end(consumer));
            assert_eq!(committed(&log), []);
        }
        let (_dir, log, _topic) = open(1);
        let mut consumer = reader(&log, by_polls(), is_member);
        made_anew(&log);
        if is_member {
            let records = consumer.poll(Duration::ZERO).unwrap();
            assert_eq!((records.lost().len(), records.assigned().len()), (1, 2));
        } else {
            not_found(consumer.poll(Duration::ZERO));
        }
        assert_eq!(committed(&log), []);
    }
}

#[test]
fn a_deleted_topic_keeps_others_from_being_committed_only_where_all_or_none_are() {
    for is_member in [false, true] {
        let (_dir, log, topic) = open(1);
        let other = log.create_topic("other", TopicConfig::new()).unwrap();
        send_round(&log, &other);
        let read_both = |config| {
            let mut consumer = log.consumer_with(config).unwrap();
            if is_member {
                consumer.subscribe(["t", "other"]).unwrap();
            } else {
                let all = [&topic, &other].map(|topic| topic.partition(0).unwrap());
                consumer.assign(&all).unwrap();
            }
            assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 2);
            consumer
        };
        let (mut manual, by_close) = (read_both(group()), read_both(group().group("h").commit_on_poll(true)));
        made_anew(&log);
        not_found(manual.commit());
        assert_eq!(committed(&log), []);
        not_found(by_close.close());
        let left = log.group("h").unwrap().committed().unwrap();
        assert_eq!(left, [Position::new(("other", 0), 1)]);
    }
}

#[test]
fn a_commit_beside_a_deletion_is_never_found_in_the_next_topic() {
    let (_dir, log, mut topic) = open(2);
    for _ in 0..20 {
        let old = topic.partitions().iter().map(|partition| Position::new(partition, 1)).collect::<Vec<_>>();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for name in ["g", "h"] {
                let (log, old, ended) = (&log, &old, &ended);
                scope.spawn(move || {
                    let group = log.group(name).unwrap();
                    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                        match group.set_committed(old.iter().cloned()) {
                            Ok(()) | Err(Error::NotFound { .. }) => {}
                            Err(failure) => panic!("{failure:?}"),
                        }
                    }
                });
            }
            topic = made_anew(&log);
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        for name in ["g", "h"] {
            assert_eq!(log.group(name).unwrap().committed().unwrap(), []);
        }
    }
}
