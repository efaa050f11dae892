//! Many producers and consumers on one topic at the same time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use crate::common::{PATIENCE, in_every_mode};
use stratalog::{Consumer, Record, Topic, TopicConfig};

const PRODUCERS: u32 = 4;
const CONSUMERS: usize = 3;
const PARTITIONS: u32 = 4;
const EACH: u32 = 3000;

/// Producer and number of a record; its partition is `number % PARTITIONS` where the producer chooses.
type Sent = (u32, u32);

fn payload(producer: u32, number: u32) -> Vec<u8> {
    let mut payload = [producer.to_be_bytes(), number.to_be_bytes()].concat();
    // 1 MiB segments: every partition rolls.
    payload.resize(8 + (number as usize % 7) * 150, b'.');
    payload
}

fn sent(payload: &[u8]) -> Sent {
    let field = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    (field(0), field(4))
}

fn produce(log: &stratalog::EventLog, topic: &Topic, me: u32) {
    let producer = log.producer().unwrap();
    let mut buffered = producer.buffered();
    let partitions = topic.partitions();
    let mut number = 0;
    while number < EACH {
        match (number / 100 + me) % 3 {
            0 => {
                let value = payload(me, number);
                producer.send(topic, Record::new(&value).partition(number % PARTITIONS)).unwrap();
                number += 1;
            }
            1 => {
                // Four batches, one per partition, of numbers that go there.
                let values: Vec<_> = (number..(number + 20).min(EACH)).map(|n| payload(me, n)).collect();
                for partition in &partitions {
                    let of = partition.id().partition();
                    let records = (number..).zip(&values).filter(|(n, _)| n % PARTITIONS == of);
                    producer.send_batch(partition, records.map(|(_, value)| Record::new(value))).unwrap();
                }
                number += u32::try_from(values.len()).unwrap();
            }
            _ => {
                let value = payload(me, number);
                buffered.enqueue(topic, Record::new(&value).partition(number % PARTITIONS)).unwrap();
                number += 1;
                if number % 100 == 0 || number == EACH {
                    buffered.flush().unwrap();
                }
            }
        }
    }
}

fn consume(mut consumer: Consumer, topic: &Topic) -> HashMap<u32, Vec<(u64, Sent)>> {
    consumer.assign(topic.partitions()).unwrap();
    let mut seen: HashMap<u32, Vec<(u64, Sent)>> = HashMap::new();
    let mut left = PRODUCERS * EACH;
    while left > 0 {
        let records = consumer.poll(PATIENCE).unwrap();
        assert!(!records.is_empty(), "{left} records never came");
        for record in &records {
            let found = (record.offset(), sent(record.value().unwrap()));
            seen.entry(record.partition()).or_default().push(found);
            left = left.checked_sub(1).expect("more records than were sent");
        }
    }
    assert!(consumer.poll(std::time::Duration::ZERO).unwrap().is_empty());
    assert!(topic.partitions().iter().all(|partition| consumer.lag(partition).unwrap() == 0));
    seen
}

#[test]
fn every_consumer_sees_every_record_once_and_in_order() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(1 << 20);
        let topic = log.create_topic("t", config).unwrap();
        let all = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..CONSUMERS {
                let consumer = log.standalone_consumer().unwrap();
                scope.spawn(|| all.lock().unwrap().push(consume(consumer, &topic)));
            }
            for me in 0..PRODUCERS {
                let (log, topic) = (&log, &topic);
                scope.spawn(move || produce(log, topic, me));
            }
        });
        let all = all.into_inner().unwrap();
        assert_eq!(all.len(), CONSUMERS);
        for seen in &all {
            assert_eq!(seen, &all[0], "two consumers saw different logs");
        }
        for partition in 0..PARTITIONS {
            let seen = &all[0][&partition];
            assert!(seen.iter().map(|(offset, _)| *offset).eq(0..seen.len() as u64), "offsets have gaps");
            for producer in 0..PRODUCERS {
                let numbers = seen.iter().filter(|(_, by)| by.0 == producer).map(|(_, by)| by.1);
                let wanted = (0..EACH).filter(|number| number % PARTITIONS == partition);
                assert!(numbers.eq(wanted), "records of {producer} in {partition} out of order or lost");
            }
        }
        log.close().unwrap();
    });
}
