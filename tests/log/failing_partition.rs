//! A partition that cannot be read keeps no other one of its consumer from being read, and is not forgotten.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, Position, Record, TopicConfig, TopicPartition, WhyEmpty,
};

const RECORDS: usize = 20;

fn open(dir: &Path) -> EventLog {
    EventLog::options().offsets_partitions(1).open(dir).unwrap()
}

/// A topic "t" with some records in each partition.
fn fill(log: &EventLog, partitions: u32) {
    let topic = log.create_topic("t", TopicConfig::new().partitions(partitions)).unwrap();
    for partition in topic.partitions() {
        for n in 0..RECORDS {
            let value = format!("{}-{n}{:>1000}", partition.id().partition(), "of so many");
            log.producer().unwrap().send_batch(&partition, [Record::new(&value)]).unwrap();
        }
    }
}

/// Polls sixty times. What was read, and the numbers of the polls that gave an error.
fn poll_sixty_times(consumer: &mut Consumer) -> (BTreeSet<(u32, u64)>, Vec<usize>) {
    let (mut read, mut errors) = (BTreeSet::new(), Vec::new());
    for n in 0..60 {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => {
                for record in &records {
                    assert!(read.insert((record.partition(), record.offset())), "twice");
                }
            }
            Err(Error::OffsetOutOfRange { .. } | Error::Corrupt(_)) => errors.push(n),
            Err(other) => panic!("{other}"),
        }
    }
    (read, errors)
}

/// Asserts that all but partition 0 of so many were read in full, with an error of every n-th poll at most.
fn check(partitions: u32, (read, errors): &(BTreeSet<(u32, u64)>, Vec<usize>), what: &str) {
    let others = (1..partitions).flat_map(|of| (0..RECORDS as u64).map(move |offset| (of, offset)));
    let others: BTreeSet<_> = others.collect();
    assert!(read.is_superset(&others), "{what}: {} of {}", read.len(), others.len());
    let n = partitions as usize;
    assert!(!errors.is_empty(), "{what}: the failure is an error");
    assert!(errors.windows(2).all(|two| two[1] - two[0] >= n), "{what}: {errors:?}");
    // And it is not forgotten.
    assert!(errors.windows(2).all(|two| two[1] - two[0] <= n + 1), "{what}: {errors:?}");
    assert!(errors.last().unwrap() + n + 1 >= 59, "{what}: {errors:?}");
}

fn sent_away(consumer: &mut Consumer) {
    consumer.seek(Position::new(("t", 0), 9_999)).unwrap();
}

#[test]
fn one_partition_out_of_range_is_the_error_of_every_nth_poll_and_the_others_are_read() {
    for partitions in [2, 3, 7] {
        for most in [1, 2, 5] {
            let dir = tempfile::tempdir().unwrap();
            let log = open(dir.path());
            fill(&log, partitions);
            // Enough for all within sixty polls.
            let most = most.max(partitions as usize);
            let config = || ConsumerConfig::new().max_poll_records(most);
            let mut reader = log.consumer_with(config()).unwrap();
            reader.assign((0..partitions).map(|n| TopicPartition::from(("t", n)))).unwrap();
            sent_away(&mut reader);
            check(partitions, &poll_sixty_times(&mut reader), &format!("assigned, {partitions}, {most}"));

            let group = config().group("g").commit_on_poll(true);
            let mut member = log.consumer_with(group).unwrap();
            member.subscribe(["t"]).unwrap();
            let first = member.poll(Duration::ZERO).unwrap();
            sent_away(&mut member);
            let (mut read, errors) = poll_sixty_times(&mut member);
            read.extend(first.iter().map(|record| (record.partition(), record.offset())));
            check(partitions, &(read, errors), &format!("subscribed, {partitions}, {most}"));
            // The others were committed all the same.
            let committed = log.group("g").unwrap().committed().unwrap();
            let others = committed.iter().filter(|at| at.topic_partition().partition() > 0);
            let ends: Vec<_> = others.map(Position::offset).collect();
            assert_eq!(ends, vec![RECORDS as u64; partitions as usize - 1]);
            assert!(matches!(member.close(), Err(Error::OffsetOutOfRange { .. })), "no poll will say it");
        }
    }
}

#[test]
fn one_corrupt_partition_is_the_error_of_every_nth_poll_of_each_reader() {
    for read_only in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        fill(&log, 3);
        log.close().unwrap();
        let path = dir.path().join("t-0").join("00000000000000000000.log");
        let mut bytes = std::fs::read(&path).unwrap();
        // Not at the end, which is checked when it is loaded.
        let value = b"0-10 ";
        let middle = bytes.windows(value.len()).position(|window| window == value).unwrap();
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();

        let log = if read_only { EventLog::open_read_only(dir.path()).unwrap() } else { open(dir.path()) };
        let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_records(4)).unwrap();
        reader.assign((0..3).map(|n| TopicPartition::from(("t", n)))).unwrap();
        let polled = poll_sixty_times(&mut reader);
        check(3, &polled, &format!("read-only: {read_only}"));
        // The good records before the damage came as well.
        let before = polled.0.iter().filter(|(of, _)| *of == 0).count();
        assert!((1..RECORDS).contains(&before), "{before}");
    }
}

#[test]
fn a_partition_that_cannot_be_begun_keeps_a_member_from_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3);
    log.close().unwrap();
    // Damage below the recovery point, after a stop that was not clean: the partition is refused as a whole.
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let path = dir.path().join("t-0").join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let log = open(dir.path());
    let mut member = log.consumer_with(ConsumerConfig::new().group("g").max_poll_records(4)).unwrap();
    member.subscribe(["t"]).unwrap();
    check(3, &poll_sixty_times(&mut member), "subscribed");
}

#[test]
fn what_can_be_read_again_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign((0..3).map(|n| TopicPartition::from(("t", n)))).unwrap();
    sent_away(&mut reader);
    reader.poll(Duration::ZERO).unwrap_err();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 2 * RECORDS);
    let nothing = reader.poll(Duration::ZERO).unwrap();
    assert_eq!(nothing.why_empty(), Some(WhyEmpty::Failing), "not caught up");
    // Sent back by its user.
    reader.seek(Position::new(("t", 0), 0)).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), RECORDS);
    // The records that were missing come.
    reader.seek(Position::new(("t", 0), RECORDS as u64 + 1)).unwrap();
    reader.poll(Duration::ZERO).unwrap_err();
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    log.producer().unwrap().send_batch(&partition, [Record::new("x"), Record::new("y")]).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn a_poll_waits_for_the_others_while_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 2);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign((0..2).map(|n| TopicPartition::from(("t", n)))).unwrap();
    reader.seek_to_end().unwrap();
    sent_away(&mut reader);
    reader.poll(Duration::ZERO).unwrap_err();
    let other = log.topic("t").unwrap().partition(1).unwrap();
    std::thread::scope(|scope| {
        let polling = scope.spawn(|| reader.poll(Duration::MAX).unwrap().len());
        log.producer().unwrap().send_batch(&other, [Record::new("x")]).unwrap();
        assert_eq!(polling.join().unwrap(), 1);
    });
    // Alone, it is the error of each poll.
    reader.pause([("t", 1)]).unwrap();
    for _ in 0..3 {
        let failed = reader.poll(Duration::MAX);
        assert!(matches!(failed, Err(Error::OffsetOutOfRange { .. })), "{failed:?}");
    }
}
