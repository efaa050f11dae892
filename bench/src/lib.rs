//! Paths of the library over many records, for what is counted beside them: allocations and system calls.

use std::time::Duration;

use stratalog::{EventLog, Maintenance, Record, Result, Topic, TopicConfig};

const VALUE: [u8; 100] = [7; 100];
/// Sends after which space is made ready for the next ones, as the log's own thread does it.
const SENDS_BETWEEN: u64 = 500;

/// What a program does with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `BufferedProducer::enqueue`, with defaults.
    Enqueue,
    /// `Producer::send`.
    Send,
    /// `Consumer::poll` over a log that was closed and opened anew, and a walk over its records.
    Replay,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Enqueue, Self::Send, Self::Replay];

    /// How it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Send => "send",
            Self::Replay => "replay",
        }
    }

    /// By how much `meter` grew while so many records went this way. Opens, the first record and closes are not in it. No
    /// thread of the log runs.
    ///
    /// # Panics
    /// Without a temporary directory, and if a record is missing.
    pub fn metered(self, records: u64, meter: impl Fn() -> u64) -> Result<u64> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = open(directory.path())?;
        let topic = log.create_topic("metered", TopicConfig::new())?;
        send(&log, &topic, 1)?;
        let before = meter();
        match self {
            Self::Enqueue => enqueue(&log, &topic, records)?,
            Self::Send => send(&log, &topic, records)?,
            Self::Replay => {
                enqueue(&log, &topic, records)?;
                log.close()?;
                let log = open(directory.path())?;
                let before = meter();
                replay(&log, records)?;
                return Ok(meter() - before);
            }
        }
        Ok(meter() - before)
    }
}

fn open(directory: &std::path::Path) -> Result<EventLog> {
    EventLog::options().maintenance(Maintenance::Manual).open(directory)
}

fn enqueue(log: &EventLog, topic: &Topic, records: u64) -> Result<()> {
    let mut producer = log.producer()?.buffered();
    for number in 0..records {
        producer.enqueue(topic, Record::new(&VALUE).key(&number.to_be_bytes()))?;
    }
    producer.flush()
}

fn send(log: &EventLog, topic: &Topic, records: u64) -> Result<()> {
    let producer = log.producer()?;
    for number in 0..records {
        producer.send(topic, Record::new(&VALUE).key(&number.to_be_bytes()))?;
        if number % SENDS_BETWEEN == 0 {
            log.run_maintenance()?;
        }
    }
    Ok(())
}

fn replay(log: &EventLog, records: u64) -> Result<()> {
    let mut consumer = log.standalone_consumer()?;
    consumer.assign(log.topic("metered")?.partitions())?;
    let mut count = 0;
    while count < records {
        let polled = consumer.poll(Duration::ZERO)?;
        assert!(!polled.is_empty(), "only {count} of {records} records came");
        count += polled.iter().filter(|record| record.value() == Some(&VALUE[..])).count() as u64;
    }
    Ok(())
}
