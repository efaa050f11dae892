//! Producers and consumers at the same time, each on a thread of its own; and the replay of what they left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Consumer, ConsumerWaker, EventLog, Partition, Record, Topic};

use crate::check::{Event, Tally};
use crate::{Failure, PARTITIONS, Result};

pub(crate) const PRODUCERS: u32 = 3;
pub(crate) const CONSUMERS: usize = 2;

/// What the pipeline did and how long that took.
pub(crate) struct Pipeline {
    pub(crate) produced: Throughput,
    pub(crate) consumed: Throughput,
    /// Bytes of the log files.
    pub(crate) stored_bytes: u64,
}

/// Records and bytes of keys and values in a time.
pub(crate) struct Throughput {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

pub(crate) fn run(log: &EventLog, topic: &Topic, records: u64) -> Result<Pipeline> {
    let all_sent = AtomicBool::new(false);
    let partitions = topic.partitions();
    let shares = partitions.chunks(partitions.len().div_ceil(CONSUMERS));
    let readers = shares.map(|share| reader_of(log, share)).collect::<Result<Vec<_>>>()?;
    let wakers: Vec<_> = readers.iter().map(Consumer::waker).collect();

    let start = Instant::now();
    let (produce_time, tally) = thread::scope(|scope| {
        let consumers: Vec<_> =
            readers.into_iter().map(|reader| scope.spawn(|| consume(reader, records, &all_sent))).collect();
        let producers: Vec<_> =
            (0..PRODUCERS).map(|number| scope.spawn(move || produce(log, topic, number, records))).collect();

        // Wait for all producers before looking at what became of them: the consumers have to end in any case.
        let sent: Vec<_> =
            producers.into_iter().map(|thread| thread.join().expect("no producer panics")).collect();
        let produce_time = start.elapsed();
        all_sent.store(true, Ordering::Release);
        wakers.iter().for_each(ConsumerWaker::wake);
        sent.into_iter().collect::<Result<()>>()?;

        let mut all = Tally::new(PRODUCERS, PARTITIONS, records);
        for thread in consumers {
            all.merge(&thread.join().expect("no consumer panics")?)?;
        }
        Ok::<_, Failure>((produce_time, all))
    })?;
    let consume_time = start.elapsed();
    tally.complete()?;

    let stored_bytes = partitions.iter().map(Partition::size).sum::<stratalog::Result<u64>>()?;
    Ok(Pipeline { produced: tally.within(produce_time), consumed: tally.within(consume_time), stored_bytes })
}

/// Sends this producer's share of the records: those whose number leaves its own number over.
fn produce(log: &EventLog, topic: &Topic, producer: u32, records: u64) -> Result<()> {
    let mut batches = log.producer()?.buffered();
    for number in 0..Event::share(producer, PRODUCERS, records) {
        let event = Event { producer, number };
        let key = event.key();
        batches.enqueue(topic, Record::new(&event.value()).key(&key))?;
    }
    batches.flush()?;
    Ok(())
}

/// Reads and checks until everything was sent and read.
fn consume(mut consumer: Consumer, records: u64, all_sent: &AtomicBool) -> Result<Tally> {
    let mut tally = Tally::new(PRODUCERS, PARTITIONS, records);
    loop {
        // Read before the poll: if nothing is left after it was set, nothing will come.
        let ends = all_sent.load(Ordering::Acquire);
        let polled = consumer.poll(if ends { Duration::ZERO } else { Duration::MAX })?;
        if ends && polled.is_empty() {
            return Ok(tally);
        }
        for record in &polled {
            tally.add(record)?;
        }
    }
}

/// Reads the whole topic on one thread.
pub(crate) fn replay(log: &EventLog, topic: &Topic, records: u64) -> Result<Throughput> {
    let start = Instant::now();
    let consumer = reader_of(log, &topic.partitions())?;
    let tally = consume(consumer, records, &AtomicBool::new(true))?;
    tally.complete()?;
    Ok(tally.within(start.elapsed()))
}

fn reader_of(log: &EventLog, partitions: &[Partition]) -> Result<Consumer> {
    let mut consumer = log.standalone_consumer()?;
    consumer.assign(partitions)?;
    Ok(consumer)
}
