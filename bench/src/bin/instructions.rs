//! One path of the library, over a number of records: `bench/instructions` runs it under callgrind.
//!
//! Callgrind counts while one of the `counted_` functions runs, and nothing else: not the open, the fill and the close. What is
//! in them once, as a first append, goes in the difference between two numbers of records. No other thread runs, and no
//! deadline comes meanwhile, so that a count is the same each time.

use std::process::ExitCode;
use std::time::Duration;

use stratalog::{
    BufferedProducer, Compression, Consumer, ConsumerConfig, EventLog, Maintenance, ManualClock, Producer,
    ProducerConfig, Record, Result, Timestamp, Topic, TopicConfig, WaitStrategy,
};

const VALUE: [u8; 100] = [7; 100];
/// What a batch with one record of that size takes, and how much is made ready for a writer the first time. Single sends stay
/// within, since how far the next space reaches follows the pace.
const SENT_BYTES: u64 = 178;
const READY_BYTES: u64 = 256 << 10;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [path, records] = &arguments[..] else { return usage() };
    let Ok(records) = records.parse() else { return usage() };
    let done = match path.as_str() {
        "enqueue" => enqueue(records),
        "send" => send(records),
        "poll" => poll(records),
        "replay" => replay(records, Compression::None),
        "replay-lz4" => replay(records, Compression::Lz4),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("instructions: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("instructions enqueue|send|poll|replay|replay-lz4 RECORDS");
    ExitCode::from(2)
}

/// Time that does not pass. The system's is read mostly by the counter of the processor, which callgrind is too slow for: each
/// reading would be the rare one that asks the system.
fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

/// A log without threads and its topic, in a directory that goes with it.
struct Scratch {
    log: EventLog,
    topic: Topic,
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log =
            EventLog::options().clock(clock()).maintenance(Maintenance::Manual).open(directory.path())?;
        let topic = log.create_topic("counted", TopicConfig::new())?;
        Ok(Self { log, topic, directory })
    }

    /// Batches end where they are full: no deadline ends them.
    fn buffered(&self, compression: Compression) -> Result<BufferedProducer> {
        let config = ProducerConfig::new().linger(Duration::from_hours(24)).compression(compression);
        Ok(self.log.producer_with(config)?.buffered())
    }

    /// A producer and a consumer that have sent and polled once, with pages ready for what is sent next.
    fn warm(&self, records: u64) -> Result<(Producer, Consumer)> {
        assert!(
            (records + 1) * SENT_BYTES <= READY_BYTES,
            "{records} sends need more space than is made ready"
        );
        let producer = self.log.producer()?;
        let mut consumer = self.log.consumer_with(ConsumerConfig::new().wait(WaitStrategy::Spin))?;
        consumer.assign(self.topic.partitions())?;
        producer.send(&self.topic, Record::new(&VALUE).key(&0_u64.to_be_bytes()))?;
        self.log.run_maintenance()?;
        assert_eq!(consumer.poll(Duration::ZERO)?.len(), 1);
        Ok((producer, consumer))
    }
}

fn enqueue(records: u64) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut producer = scratch.buffered(Compression::None)?;
    counted_enqueue(&mut producer, &scratch.topic, records)?;
    producer.flush()
}

#[inline(never)]
fn counted_enqueue(producer: &mut BufferedProducer, topic: &Topic, records: u64) -> Result<()> {
    for number in 0..records {
        producer.enqueue(topic, Record::new(&VALUE).key(&number.to_be_bytes()))?;
    }
    Ok(())
}

fn send(records: u64) -> Result<()> {
    let scratch = Scratch::new()?;
    let (producer, _consumer) = scratch.warm(records)?;
    counted_send(&producer, &scratch.topic, records)
}

#[inline(never)]
fn counted_send(producer: &Producer, topic: &Topic, records: u64) -> Result<()> {
    for number in 0..records {
        producer.send(topic, Record::new(&VALUE).key(&number.to_be_bytes()))?;
    }
    Ok(())
}

/// One record in each poll, as soon as it is sent.
fn poll(records: u64) -> Result<()> {
    let scratch = Scratch::new()?;
    let (producer, mut consumer) = scratch.warm(records)?;
    for number in 0..records {
        producer.send(&scratch.topic, Record::new(&VALUE).key(&number.to_be_bytes()))?;
        assert_eq!(counted_poll(&mut consumer)?, 1);
    }
    Ok(())
}

#[inline(never)]
fn counted_poll(consumer: &mut Consumer) -> Result<usize> {
    let polled = consumer.poll(Duration::ZERO)?;
    Ok(polled.iter().filter(|record| record.value().is_some_and(|value| value[0] == VALUE[0])).count())
}

/// Everything in a log that was closed and opened anew. With a codec the values are JSON, which compresses as what users have.
fn replay(records: u64, compression: Compression) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut producer = scratch.buffered(compression)?;
    for number in 0..records {
        let json = json(number);
        let value = if compression == Compression::None { &VALUE[..] } else { json.as_bytes() };
        producer.enqueue(&scratch.topic, Record::new(value).key(&number.to_be_bytes()))?;
    }
    producer.flush()?;
    scratch.log.close()?;
    let log =
        EventLog::options().clock(clock()).maintenance(Maintenance::Manual).open(scratch.directory.path())?;
    let mut consumer = log.standalone_consumer()?;
    consumer.assign(log.topic("counted")?.partitions())?;
    counted_replay(&mut consumer, records)
}

#[inline(never)]
fn counted_replay(consumer: &mut Consumer, records: u64) -> Result<()> {
    let (mut count, mut bytes) = (0, 0);
    while count < records {
        let polled = consumer.poll(Duration::ZERO)?;
        assert!(!polled.is_empty(), "only {count} of {records} records came");
        for record in &polled {
            bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
            count += 1;
        }
    }
    std::hint::black_box(bytes);
    Ok(())
}

/// The numbers are a sequence that repeats after 2^31, and the same each time.
fn json(number: u64) -> String {
    let drawn = number.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
    format!(
        r#"{{"id":{number:010},"customer":"c-{:05}","amount":{:06},"currency":"EUR","state":"paid"}}"#,
        drawn % 100_000,
        drawn >> 12
    )
}
