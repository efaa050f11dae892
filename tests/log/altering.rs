//! Topics that change while they are used: settings, more partitions, whose time counts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{self, end, read, text};
use stratalog::{
    CleanupPolicy, Error, EventLog, ManualClock, OpenOptions, ProducerConfig, Record, Timestamp,
    TimestampType, Topic, TopicConfig,
};

const NOW: i64 = 1_700_000_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A log whose clock shows [`NOW`].
fn with_clock(dir: &tempfile::TempDir, options: OpenOptions) -> (EventLog, ManualClock) {
    let clock = ManualClock::new(at(NOW));
    (options.clock(clock.clone()).open(dir.path()).unwrap(), clock)
}

fn log_with(config: TopicConfig) -> (tempfile::TempDir, EventLog, ManualClock, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let (log, clock) = with_clock(&dir, EventLog::options());
    let topic = log.create_topic("t", config).unwrap();
    (dir, log, clock, topic)
}

/// Sizes of the log files of partition 0.
fn segments(dir: &tempfile::TempDir) -> Vec<String> {
    common::names(&dir.path().join("t-0")).into_iter().filter(|name| name.ends_with(".log")).collect()
}

#[test]
fn altered_settings_count_for_handles_that_exist() {
    let (dir, log, _clock, topic) = log_with(TopicConfig::new());
    let producer = log.producer().unwrap();
    let mut buffered = producer.buffered();
    let other = log.topic("t").unwrap();
    buffered.enqueue(&topic, Record::new("no key")).unwrap();
    buffered.flush().unwrap();

    other.alter_config(|now| now.cleanup(CleanupPolicy::Compact).max_batch_bytes(200)).unwrap();
    assert_eq!(topic.config(), other.config());
    for refused in [
        producer.send(&topic, Record::new("no key")).map(drop),
        producer.send_batch(&topic.partition(0).unwrap(), [Record::new("no key")]).map(drop),
        buffered.enqueue(&topic, Record::new("no key")),
    ] {
        assert!(refused.unwrap_err().to_string().contains("it has no key, but the topic is compacted"));
    }
    let large = [0; 200];
    let refused = producer.send(&topic, Record::new(&large).key("k")).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: 200, .. }), "{refused}");
    other.alter_config(|now| now.unset("cleanup.policy").unset("max.message.bytes")).unwrap();
    producer.send(&topic, Record::new(&large)).unwrap();
    log.close().unwrap();
    assert!(matches!(topic.alter_config(|now| now), Err(Error::Closed)));
    assert!(matches!(topic.add_partitions(5), Err(Error::Closed)));

    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(log.topic("t").unwrap().config(), TopicConfig::new().retention(None));
}

#[test]
fn segments_follow_an_altered_size_both_ways() {
    let (dir, log, _clock, topic) =
        log_with(TopicConfig::new().segment_bytes(4 << 20).max_batch_bytes(16 << 20));
    let producer = log.producer().unwrap();
    let half = vec![7; 600 << 10];
    let send = |value: &[u8]| producer.send(&topic, Record::new(value)).unwrap().offset;
    (0..3).for_each(|_| _ = send(&half));
    assert_eq!(segments(&dir).len(), 1);
    // Less counts at once.
    topic.alter_config(|now| now.segment_bytes(1 << 20)).unwrap();
    assert_eq!(send(&half), 3);
    assert_eq!(segments(&dir).len(), 2);
    // More counts from the next segment on, which is begun when this one is full by the old size.
    topic.alter_config(|now| now.segment_bytes(8 << 20)).unwrap();
    (0..3).for_each(|_| _ = send(&half));
    assert_eq!(segments(&dir).len(), 3);
    let large = vec![8; 7 << 20];
    assert_eq!(send(&large), 7);
    assert_eq!(segments(&dir).len(), 4);
    let values: Vec<_> = read(&log, topic.partitions()).iter().map(|r| r.value().unwrap().len()).collect();
    assert_eq!(values, [[half.len(); 7].as_slice(), &[large.len()]].concat());
}

#[test]
fn a_limit_of_this_open_makes_small_segments_without_telling_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    for (limit, segments_after) in [(2000, 10), (4000, 15)] {
        let log = EventLog::options().max_segment_bytes(limit).open(dir.path()).unwrap();
        let topic = log.ensure_topic("t", TopicConfig::new()).unwrap();
        let producer = log.producer().unwrap();
        (0..20).for_each(|_| _ = producer.send(&topic, Record::new(&[0; 900])).unwrap());
        assert_eq!(segments(&dir).len(), segments_after);
        let refused = producer.send(&topic, Record::new(&vec![0; 5000])).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
        assert!(topic.config().entries().all(|(name, _)| name != "segment.bytes"));
        log.close().unwrap();
    }
    let refused = EventLog::options().max_segment_bytes(1023).open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("1023 bytes were asked for; give at least 1024"), "{refused}");
    let refused = EventLog::options().topic_defaults(TopicConfig::new().partitions(0)).open(dir.path());
    assert!(matches!(refused, Err(Error::InvalidInput { .. })));
}

#[test]
fn producers_and_consumers_at_work_see_partitions_that_are_added() {
    const RECORDS: usize = 6000;
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for buffers in [false, true] {
            let (log, topic, done) = (&log, &topic, &done);
            scope.spawn(move || {
                let producer = log.producer_with(ProducerConfig::new().batch_bytes(500)).unwrap();
                let mut buffered = producer.buffered();
                for n in 0..RECORDS {
                    let value = format!("{buffers} {n}");
                    let key = n.to_string();
                    let record = if n % 2 == 0 { Record::new(&value) } else { Record::new(&value).key(&key) };
                    if buffers {
                        buffered.enqueue(topic, record).unwrap();
                    } else {
                        producer.send(topic, record).unwrap();
                    }
                    if n == RECORDS / 3 && buffers {
                        topic.add_partitions(2).unwrap();
                        topic.add_partitions(9).unwrap();
                        assert_eq!(topic.partitions().len(), 9);
                    }
                }
                buffered.flush().unwrap();
                done.store(true, Ordering::Release);
            });
        }
        let (log, topic, done) = (&log, &topic, &done);
        scope.spawn(move || {
            let mut reader = log.standalone_consumer().unwrap();
            let mut seen = 0;
            while !done.load(Ordering::Acquire) {
                reader.assign(topic.partitions()).unwrap();
                seen += reader.poll(Duration::from_millis(1)).unwrap().len();
            }
            assert!(seen > 0);
        });
    });
    let texts: BTreeSet<_> = read(&log, topic.partitions()).iter().map(text).collect();
    assert_eq!(texts.len(), 2 * RECORDS);
    assert!((0..9).all(|partition| end(&topic, partition) > 0), "{:?}", topic.partitions());
    // A key goes where Kafka's clients look for it among nine.
    let of_key = topic.partition_for_key(b"5999");
    assert!(read(&log, [&of_key]).iter().any(|record| record.key().is_some_and(|key| *key == b"5999"[..])));
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(read(&log, log.topic("t").unwrap().partitions()).len(), 2 * RECORDS);
}

#[test]
fn the_time_of_appending_counts_where_the_topic_says_so() {
    let (dir, log, clock, topic) = log_with(TopicConfig::new().timestamp_type(TimestampType::LogAppendTime));
    let producer = log.producer_with(ProducerConfig::new().linger(Duration::MAX)).unwrap();
    // Neither limit applies to timestamps that do not count.
    let sent = producer.send(&topic, Record::new("a").timestamp(at(5))).unwrap();
    assert_eq!(sent.timestamp, at(NOW));
    clock.advance(Duration::from_millis(1));
    let partition = topic.partition(0).unwrap();
    let batch = [Record::new("b").timestamp(at(i64::MAX)), Record::new("c")];
    producer.send_batch(&partition, batch).unwrap();
    let mut buffered = producer.buffered();
    buffered.enqueue(&topic, Record::new("d").timestamp(at(7))).unwrap();
    clock.advance(Duration::from_millis(1));
    buffered.flush().unwrap();
    // From here on records keep their own time.
    topic.alter_config(|now| now.timestamp_type(TimestampType::CreateTime)).unwrap();
    let sent = producer.send(&topic, Record::new("e").timestamp(at(NOW + 9))).unwrap();
    assert_eq!(sent.timestamp, at(NOW + 9));

    let check = |log: &EventLog| {
        let found: Vec<_> = read(log, [("t", 0)])
            .iter()
            .map(|r| (text(r), r.view().timestamp().as_millis() - NOW, r.view().timestamp_type()))
            .collect();
        let (append, create) = (TimestampType::LogAppendTime, TimestampType::CreateTime);
        let expected =
            [("a", 0, append), ("b", 1, append), ("c", 1, append), ("d", 2, append), ("e", 9, create)];
        assert_eq!(found, expected.map(|(value, at, kind)| (value.to_owned(), at, kind)));
        let partition = log.topic("t").unwrap().partition(0).unwrap();
        let first_at = |millis| partition.offset_for_time(at(NOW + millis)).unwrap();
        assert_eq!([0, 1, 2, 3, 10].map(first_at), [Some(0), Some(1), Some(3), Some(4), None]);
    };
    check(&log);
    log.close().unwrap();
    check(&EventLog::open(dir.path()).unwrap());
}

#[test]
fn timestamps_too_far_from_the_clock_are_refused() {
    let (_dir, log, clock, topic) = log_with(TopicConfig::new());
    let producer = log.producer().unwrap();
    let mut buffered = producer.buffered();
    let hour = 3_600_000;
    let mut refused = |millis: i64| {
        let record = || Record::new("x").timestamp(at(millis));
        let outcomes = [
            producer.send(&topic, record()).map(drop),
            producer.send_batch(&topic.partition(0).unwrap(), [Record::new("y"), record()]).map(drop),
            buffered.enqueue(&topic, record()),
        ];
        let texts: Vec<_> = outcomes.into_iter().filter_map(|r| r.err().map(|e| e.to_string())).collect();
        assert!(texts.is_empty() || texts.len() == 3, "{texts:?}");
        texts.first().cloned()
    };
    // Kafka's default: an hour in the future, and any time ago.
    assert_eq!(refused(NOW + hour), None);
    assert_eq!(refused(0), None);
    let text = refused(NOW + hour + 1).unwrap();
    assert!(
        text.contains("3600001 ms after the clock, but message.timestamp.after.max.ms of topic \"t\" is"),
        "{text}"
    );
    clock.advance(Duration::from_millis(1));
    assert_eq!(refused(NOW + hour + 1), None);
    topic
        .alter_config(|now| {
            now.set("message.timestamp.before.max.ms", "10").set("message.timestamp.after.max.ms", "0")
        })
        .unwrap();
    assert_eq!(refused(NOW + 1), None);
    assert_eq!(refused(NOW - 9), None);
    let text = refused(NOW - 10).unwrap();
    assert!(
        text.contains("11 ms before the clock, but message.timestamp.before.max.ms of topic \"t\" is 10"),
        "{text}"
    );
    assert!(refused(NOW + 2).unwrap().contains("message.timestamp.after.max.ms"));
    // What was refused left nothing.
    buffered.flush().unwrap();
    assert_eq!(end(&topic, 0), 5 * 4);
}

#[test]
fn a_segment_ends_when_records_are_too_much_later_than_its_first() {
    let (dir, log, clock, topic) = log_with(TopicConfig::new().segment_age(Duration::from_secs(60)));
    let producer = log.producer().unwrap();
    let send = || producer.send(&topic, Record::new("x")).unwrap();
    let minute = Duration::from_secs(60);
    send();
    clock.advance(minute);
    send();
    assert_eq!(segments(&dir).len(), 1, "exactly as old as allowed");
    clock.advance(Duration::from_millis(1));
    send();
    assert_eq!(segments(&dir).len(), 2);
    // Records from the past do not end a segment, and it is the first batch that counts.
    producer.send(&topic, Record::new("x").timestamp(at(5))).unwrap();
    clock.advance(minute);
    send();
    assert_eq!(segments(&dir).len(), 2);
    // By the records' own time, not by the clock.
    producer.send(&topic, Record::new("x").timestamp(at(NOW + 200_000))).unwrap();
    assert_eq!(segments(&dir).len(), 3);
    clock.advance(Duration::from_secs(1000));
    topic.alter_config(|now| now.segment_age(Duration::from_secs(3600))).unwrap();
    send();
    assert_eq!(segments(&dir).len(), 3);
    log.close().unwrap();
    // The first batch of a segment is known after a reopen too.
    let (log, clock) = with_clock(&dir, EventLog::options());
    let topic = log.topic("t").unwrap();
    topic.alter_config(|now| now.segment_age(minute)).unwrap();
    let send = || log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
    clock.set(at(NOW + 260_000));
    send();
    assert_eq!(segments(&dir).len(), 3);
    clock.set(at(NOW + 260_001));
    send();
    assert_eq!(segments(&dir).len(), 4);
    assert_eq!(read(&log, topic.partitions()).len(), 9);
}

#[test]
fn jitter_ends_segments_earlier_each_by_its_own_time() {
    let config = TopicConfig::new().segment_age(Duration::from_secs(60)).set("segment.jitter.ms", "60000");
    let (dir, log, clock, topic) = log_with(config);
    let producer = log.producer().unwrap();
    let mut ages = BTreeSet::new();
    producer.send(&topic, Record::new("x")).unwrap();
    for count in 1.. {
        let mut age = 0;
        while segments(&dir).len() < count + 1 {
            producer.send(&topic, Record::new("x")).unwrap();
            clock.advance(Duration::from_secs(2));
            age += 2;
            assert!(age <= 64, "never later than without");
        }
        ages.insert(age);
        if ages.len() == 3 {
            return;
        }
        assert!(count < 1000, "always the same age: {ages:?}");
    }
}
