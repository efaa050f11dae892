//! Consumers: where they read, how much at once, and in which turn.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{self, Dice, STRIDE, at, in_every_mode};
use stratalog::{
    Compression, Consumer, ConsumerConfig, EventLog, Position, Record, Records, StartFrom, Timestamp, Topic,
    TopicConfig, TopicPartition,
};

fn topic(log: &EventLog, partitions: u32) -> Topic {
    log.create_topic("t", TopicConfig::new().partitions(partitions).segment_bytes(1 << 20)).unwrap()
}

/// Batches of these sizes, values counted from 0, each record's timestamp ten times its number.
fn fill(log: &EventLog, topic: &Topic, partition: u32, batches: &[u32]) {
    let (producer, to) = (log.producer().unwrap(), topic.partition(partition).unwrap());
    let mut number = u32::try_from(common::end(topic, partition)).unwrap();
    for size in batches {
        let values: Vec<_> = (number..number + size).map(u32::to_be_bytes).collect();
        let time = |n: u32| Timestamp::from_millis(i64::from(n) * 10);
        let records = (number..).zip(&values).map(|(n, value)| Record::new(value).timestamp(time(n)));
        producer.send_batch(&to, records).unwrap();
        number += size;
    }
}

fn poll(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

/// Offsets returned, after checking that values are what was written there.
fn offsets(records: &Records) -> Vec<u64> {
    let found: Vec<_> = records
        .iter()
        .map(|record| {
            let value = u32::from_be_bytes(record.value().unwrap().try_into().unwrap());
            assert_eq!(u64::from(value), record.offset());
            assert_eq!(record.timestamp().as_millis(), i64::from(value) * 10);
            record.offset()
        })
        .collect();
    assert_eq!(found.len(), records.len());
    let mut left = records.iter();
    for more in (0..=found.len()).rev() {
        assert_eq!((left.len(), left.clone().count()), (more, more));
        assert_eq!(left.next().is_some(), more > 0);
    }
    assert!(left.next().is_none());
    let by_partition = records.partitions();
    let by_partition: Vec<_> = by_partition.flat_map(|of| of.iter().map(|record| record.offset())).collect();
    assert_eq!(by_partition, found);
    found
}

/// As [`offsets`], of the records that they are as owned ones too.
fn all_offsets(records: Records) -> Vec<u64> {
    let found = offsets(&records);
    let owned: Vec<_> = records
        .into_iter()
        .map(|record| {
            assert_eq!(
                record.view().value(),
                Some(&u32::try_from(record.view().offset()).unwrap().to_be_bytes()[..])
            );
            record.view().offset()
        })
        .collect();
    assert_eq!(owned, found);
    found
}

fn range(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn positions_lag_and_seeks() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 3);
        fill(&log, &topic, 0, &[1, 5, 10, 4]);
        fill(&log, &topic, 2, &[7]);
        let mut reader = log.standalone_consumer().unwrap();
        reader.assign(topic.partitions()).unwrap();
        let all: Vec<TopicPartition> = (0..3).map(|number| ("t", number).into()).collect();
        assert_eq!(reader.assignment(), all);
        let places =
            |reader: &Consumer| -> Vec<_> { reader.positions().iter().map(Position::offset).collect() };
        assert_eq!(places(&reader), [0, 0, 0]);
        let lags = |reader: &Consumer| -> Vec<_> { all.iter().map(|of| reader.lag(of).unwrap()).collect() };
        assert_eq!(lags(&reader), [20, 0, 7]);

        let mut count = 0;
        while !{
            let records = poll(&mut reader);
            count += records.len();
            records
        }
        .is_empty()
        {}
        assert_eq!((count, places(&reader), lags(&reader)), (27, vec![20, 0, 7], vec![0, 0, 0]));

        // Into the middle of a batch, from the end and back again; other partitions stay.
        for offset in [3, 0, 19, 20, 6, 5, 20, 12] {
            reader.seek(at(&topic, 0, offset)).unwrap();
            assert_eq!(reader.position(("t", 0)).unwrap().offset(), offset);
            assert_eq!(offsets(&poll(&mut reader)), range(offset..20));
            assert_eq!(places(&reader), [20, 0, 7]);
        }
        reader.seek_to_beginning().unwrap();
        assert_eq!(places(&reader), [0, 0, 0]);
        assert_eq!(poll(&mut reader).len() + poll(&mut reader).len(), 27);
        reader.seek_to_beginning().unwrap();
        reader.seek_to_end().unwrap();
        assert_eq!(places(&reader), [20, 0, 7]);
        assert!(poll(&mut reader).is_empty());
        // What comes later is seen, in a partition that was empty too.
        fill(&log, &topic, 1, &[2]);
        assert_eq!(offsets(&poll(&mut reader)), [0, 1]);
        fill(&log, &topic, 0, &[1]);
        assert_eq!(offsets(&poll(&mut reader)), [20]);

        // Assigning again keeps positions of what stays.
        reader.seek(at(&topic, 0, 18)).unwrap();
        reader.assign([("t", 2), ("t", 0), ("t", 2)]).unwrap();
        assert_eq!(reader.assignment(), [("t", 2).into(), ("t", 0).into()]);
        assert_eq!(places(&reader), [7, 18]);
        reader.assign([("t", 1)]).unwrap();
        reader.assign([("t", 0)]).unwrap();
        assert_eq!(places(&reader), [0]);
        log.close().unwrap();
    });
}

#[test]
fn begins_where_it_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = topic(&log, 1);
    fill(&log, &topic, 0, &[3]);
    let start = |config: ConsumerConfig| {
        let mut consumer = log.consumer_with(config).unwrap();
        consumer.assign(topic.partitions()).unwrap();
        consumer.positions()[0].offset()
    };
    assert_eq!(start(ConsumerConfig::new()), 0);
    assert_eq!(start(ConsumerConfig::new().start_from(StartFrom::Beginning)), 0);
    assert_eq!(start(ConsumerConfig::new().start_from(StartFrom::End)), 3);
    assert_eq!(start(ConsumerConfig::new().set("auto.offset.reset", "latest")), 3);
    assert_eq!(start(ConsumerConfig::new().set("auto.offset.reset", "earliest")), 0);
}

#[test]
fn paused_partitions_are_passed_over() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 2);
        (0..2).for_each(|partition| fill(&log, &topic, partition, &[4]));
        let mut reader = log.consumer_with(ConsumerConfig::new().start_paused(true)).unwrap();
        reader.assign(topic.partitions()).unwrap();
        assert!(poll(&mut reader).is_empty());
        reader.resume([("t", 1)]).unwrap();
        let records = poll(&mut reader);
        assert_eq!((offsets(&records), records.iter().next().unwrap().partition()), (range(0..4), 1));
        reader.pause([("t", 1), ("t", 1)]).unwrap();
        reader.resume([("t", 0)]).unwrap();
        fill(&log, &topic, 1, &[2]);
        assert_eq!(poll(&mut reader).iter().map(|r| r.partition()).collect::<Vec<_>>(), [0; 4]);
        // Positions can be moved meanwhile, and a new assignment keeps the pause.
        reader.seek(at(&topic, 1, 5)).unwrap();
        reader.assign([("t", 1)]).unwrap();
        assert!(poll(&mut reader).is_empty());
        reader.resume([("t", 1)]).unwrap();
        assert_eq!(offsets(&poll(&mut reader)), [5]);
    });
}

#[test]
fn polls_return_exactly_as_many_records_as_are_wanted() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 2);
        fill(&log, &topic, 0, &[10, 1, 1, 25, 3]);
        fill(&log, &topic, 1, &[30]);
        for most in [1, 2, 3, 7, 10, 11, 39, 69, 70, 71] {
            let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_records(most)).unwrap();
            reader.assign(topic.partitions()).unwrap();
            let (mut left, mut seen) = (70, BTreeMap::<u32, Vec<u64>>::new());
            while left > 0 {
                let records = poll(&mut reader);
                assert!(records.len() <= most, "{} instead of {most}", records.len());
                assert!(!records.is_empty());
                offsets(&records);
                records.iter().for_each(|r| seen.entry(r.partition()).or_default().push(r.offset()));
                left -= records.len();
                for position in reader.positions() {
                    let known = seen.get(&position.topic_partition().partition()).map_or(0, Vec::len);
                    assert_eq!(position.offset(), known as u64, "position and records returned differ");
                }
                // Only the last polls may have less to give.
                assert!(records.len() == most || left < most, "{} of {most} with {left} left", records.len());
            }
            assert_eq!((&seen[&0], &seen[&1]), (&range(0..40), &range(0..30)));
            assert!(poll(&mut reader).is_empty());
        }
    });
}

#[test]
fn every_record_comes_once_wherever_reading_begins_and_however_much_is_wanted() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let lz4 = if cfg!(feature = "lz4") { Compression::Lz4 } else { Compression::None };
        let plain = topic(&log, 2);
        let compressed = TopicConfig::new().partitions(2).compression(lz4);
        let compressed = log.create_topic("compressed", compressed).unwrap();
        for topic in [&plain, &compressed] {
            fill(&log, topic, 0, &[3, 1, 70, 2, 9]);
            fill(&log, topic, 1, &[20]);
        }
        let reads = [0, 1, 2, 3, 4, 5, 40, 73, 74, 80, 84].map(|from| [(&plain, from), (&compressed, from)]);
        for (topic, from) in reads.into_iter().flatten() {
            for most in [1, 2, 3, 20, 69, 70, 71, usize::MAX] {
                let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_records(most)).unwrap();
                reader.assign(topic.partitions()).unwrap();
                reader.seek(at(topic, 0, from)).unwrap();
                reader.seek(at(topic, 1, 20.min(from))).unwrap();
                let mut seen = Vec::new();
                loop {
                    let records = poll(&mut reader);
                    if records.is_empty() {
                        break;
                    }
                    seen.extend(all_offsets(records));
                }
                let mut wanted = [range(from..85), range(20.min(from)..20)].concat();
                seen.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(seen, wanted, "from {from}, {most} at a time");
            }
        }
    });
}

#[test]
fn polls_are_bounded_by_bytes() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 2);
        let producer = log.producer().unwrap();
        let value = [0; 1000];
        for number in 0..200 {
            producer.send(&topic, Record::new(&value).partition(number % 2)).unwrap();
        }
        let batch = topic.partition(0).unwrap().size().unwrap() / 100;
        for limit in [0, 1, 60, 61, 999, 1000, 2000, 5000, 100 * 1071 - 30, 100_000, usize::MAX] {
            let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_bytes(limit)).unwrap();
            reader.assign(topic.partitions()).unwrap();
            let mut seen = 0;
            while seen < 200 {
                let records = poll(&mut reader);
                assert!(!records.is_empty(), "a poll returned nothing with a limit of {limit}");
                // At most one batch above the limit.
                let most = (limit as u64).saturating_add(batch) / batch;
                assert!(records.len() as u64 <= most.max(1), "{} records for {limit} bytes", records.len());
                seen += records.len();
            }
            assert_eq!(seen, 200);
        }
    });
}

#[test]
fn a_batch_larger_than_the_limit_is_returned_whole() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 1);
        fill(&log, &topic, 0, &[500, 2]);
        let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_bytes(100)).unwrap();
        reader.assign(topic.partitions()).unwrap();
        assert_eq!(offsets(&poll(&mut reader)), range(0..500));
        assert_eq!(offsets(&poll(&mut reader)), [500, 501]);
    });
}

#[test]
fn much_data_in_one_partition_does_not_starve_the_others() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = topic(&log, 4);
        fill(&log, &topic, 1, &[100; 50]);
        for partition in [0, 2, 3] {
            fill(&log, &topic, partition, &[1; 20]);
        }
        let limits = [ConsumerConfig::new().max_poll_bytes(1000), ConsumerConfig::new().max_poll_records(10)];
        for config in limits {
            let mut reader = log.consumer_with(config).unwrap();
            reader.assign(topic.partitions()).unwrap();
            let mut gap = [0; 4];
            for _ in 0..60 {
                let records = poll(&mut reader);
                for partition in 0..4_u32 {
                    let served = records.iter().any(|record| record.partition() == partition);
                    let done = reader.lag(("t", partition)).unwrap() == 0;
                    let gap = &mut gap[partition as usize];
                    *gap = if served || done { 0 } else { *gap + 1 };
                    assert!(*gap <= 4, "partition {partition} had to wait for {gap} polls");
                }
            }
            assert!([0, 2, 3].into_iter().all(|small| reader.lag(("t", small)).unwrap() == 0));
        }
    });
}

/// Times go up and down, segments roll: the first record at or after a time is found as a walk finds it.
#[test]
fn times_are_found_as_a_walk_over_all_records_finds_them() {
    in_every_mode(|mode, dir| {
        let mut dice = Dice(77);
        let config = TopicConfig::new().segment_bytes(1 << 20).set("index.interval.bytes", "1000");
        let mut times = Vec::new();
        let open = || {
            let log = mode.open(dir);
            let topic = log.ensure_topic("t", config.clone()).unwrap();
            (log, topic)
        };
        for _ in 0..2 {
            let (log, topic) = open();
            let (producer, to) = (log.producer().unwrap(), topic.partition(0).unwrap());
            let value = [0; 3000];
            for _ in 0..200 {
                let around = times.len() as u64 * 2;
                let batch: Vec<_> = (0..=dice.below(5)).map(|_| around + dice.below(60)).collect();
                let time = |millis: &u64| Timestamp::from_millis(i64::try_from(*millis).unwrap());
                producer
                    .send_batch(&to, batch.iter().map(|t| Record::new(&value).timestamp(time(t))))
                    .unwrap();
                times.extend(batch);
            }
            assert!(to.size().unwrap() > 1 << 20);
            let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_records(1)).unwrap();
            reader.assign([&to]).unwrap();
            for wanted in (0..times.len() as u64 * 2 + 100).step_by(3 * STRIDE) {
                let first = times.iter().position(|time| *time >= wanted).map(|offset| offset as u64);
                let moment = Timestamp::from_millis(i64::try_from(wanted).unwrap());
                assert_eq!(to.offset_for_time(moment).unwrap(), first, "{wanted}");
                reader.seek_to_time(moment).unwrap();
                assert_eq!(reader.positions()[0].offset(), first.unwrap_or(times.len() as u64));
                assert_eq!(poll(&mut reader).iter().next().map(|record| record.offset()), first);
            }
            log.close().unwrap();
        }
        let (_log, topic) = open();
        assert_eq!(
            topic.partition(0).unwrap().offset_for_time(Timestamp::from_millis(i64::MIN)).unwrap(),
            Some(0)
        );
        assert_eq!(
            topic.partition(0).unwrap().offset_for_time(Timestamp::from_millis(i64::MAX)).unwrap(),
            None
        );
    });
}
