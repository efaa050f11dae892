//! What may be committed: positions that exist, of the topics that are meant. And what a lag counts.

mod common;

use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, Maintenance, ManualClock, Position, ReadUpTo, Record,
    Timestamp, Topic, TopicConfig,
};

/// Nothing is synced unless it is asked for. Each of the partitions holds one record.
fn open(partitions: u32) -> (tempfile::TempDir, EventLog, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log = EventLog::options().clock(clock).maintenance(Maintenance::ByHand).open(dir.path()).unwrap();
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
fn no_call_commits_a_position_behind_the_end() {
    fn refused(log: &EventLog, call: impl FnOnce() -> stratalog::Result<()>) {
        let before = committed(log);
        let failure = call().unwrap_err();
        assert!(
            matches!(&failure, Error::OffsetOutOfRange { at, valid } if at.offset() == 5 && *valid == (0..1)),
            "{failure:?}"
        );
        assert_eq!(committed(log), before, "nor anything else");
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
        refused(&log, || consumer.poll(Duration::ZERO).map(drop));
        refused(&log, || consumer.unsubscribe());
        let consumer = sent_there(by_polls());
        refused(&log, || consumer.close());
        let to = [Position::new(("t", 0), 1), beyond.clone()];
        refused(&log, || log.group("g").unwrap().set_committed(to));

        // It goes on from where there is something.
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
    let ahead = |log: &EventLog, topic: &Topic, config, is_member| {
        topic.partition(0).unwrap().sync().unwrap();
        let mut consumer = reader(log, config, is_member);
        send_round(log, topic);
        consumer.seek(Position::new(("t", 0), 2)).unwrap();
        consumer
    };
    for is_member in [false, true] {
        let (_dir, log, topic) = open(1);
        let mut consumer = ahead(&log, &topic, config(), is_member);
        consumer.commit().unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 1)]);
        topic.partition(0).unwrap().sync().unwrap();
        consumer.commit().unwrap();
        assert_eq!(committed(&log), [Position::new(("t", 0), 2)], "once it is durable");

        let (_dir, log, topic) = open(1);
        let mut consumer = ahead(&log, &topic, config().commit_on_poll(true), is_member);
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
