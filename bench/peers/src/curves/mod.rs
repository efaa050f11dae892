//! The library alone: how its figures move with what there is.

pub(crate) mod consumers;
pub(crate) mod partitions;
pub(crate) mod segments;
pub(crate) mod sizes;

use std::path::PathBuf;
use std::time::Duration;

use stratalog::{Consumer, EventLog, Record, Topic, TopicConfig};

use crate::Result;
use crate::clock::{seconds, ticks};
use crate::work::Task;

const VALUE_BYTES: usize = 100;

/// A new log with one topic.
struct Log {
    log: EventLog,
    topic: Topic,
}

impl Log {
    fn new(directory: PathBuf, config: TopicConfig) -> Result<Self> {
        let log = EventLog::open(directory)?;
        let topic = log.create_topic("records", config)?;
        Ok(Self { log, topic })
    }

    fn reader(&self) -> Result<Consumer> {
        let mut consumer = self.log.standalone_consumer()?;
        consumer.assign(self.topic.partitions())?;
        Ok(consumer)
    }

    /// Each to the partition after the one before. How many a second.
    fn enqueue(&self, value: &[u8], records: u64) -> Result<f64> {
        let partitions = self.topic.partitions().len() as u32;
        let mut producer = self.log.producer()?.buffered();
        let begin = ticks();
        for (number, partition) in (0..records).zip((0..partitions).cycle()) {
            let key = number.to_be_bytes();
            producer.enqueue(&self.topic, Record::new(value).key(&key).partition(partition))?;
        }
        producer.flush()?;
        Ok(records as f64 / seconds(ticks() - begin))
    }

    /// The same, one a call.
    fn send(&self, value: &[u8], records: u64) -> Result<f64> {
        let partitions = self.topic.partitions().len() as u32;
        let producer = self.log.producer()?;
        let begin = ticks();
        for (number, partition) in (0..records).zip((0..partitions).cycle()) {
            let key = number.to_be_bytes();
            producer.send(&self.topic, Record::new(value).key(&key).partition(partition))?;
        }
        Ok(records as f64 / seconds(ticks() - begin))
    }
}

/// How many a second.
fn replay(consumer: &mut Consumer, records: u64) -> Result<f64> {
    let begin = ticks();
    read(consumer, records)?;
    Ok(records as f64 / seconds(ticks() - begin))
}

fn read(consumer: &mut Consumer, records: u64) -> Result<()> {
    let mut seen = 0;
    while seen < records {
        for record in &consumer.poll(Duration::from_secs(5))? {
            std::hint::black_box(record.value());
            seen += 1;
        }
    }
    Ok(())
}

/// A value that no codec makes smaller.
fn value(bytes: usize) -> Vec<u8> {
    crate::records::Source::new(bytes.max(16)).one(0).value()[..bytes].to_vec()
}

/// Records that take a part of a task's time.
fn records_of(task: &Task, value_bytes: usize) -> u64 {
    (task.records(value_bytes + 18) / 4).clamp(10, 1_500_000)
}
