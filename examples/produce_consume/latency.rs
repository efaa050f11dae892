//! Single records at a steady rate: what sending one costs, and how soon another thread has it.

use std::thread;
use std::time::{Duration, Instant};

use stratalog::{ConsumerConfig, EventLog, Record, Topic, WaitStrategy};

use crate::{Failure, Result};

/// Records per second, and how many at most.
pub(crate) const RATE: u64 = 25_000;
pub(crate) const MAX_PINGS: u64 = 40_000;

/// Times in nanoseconds.
pub(crate) struct Latency {
    /// Of the call of `send`.
    pub(crate) send: Percentiles,
    /// From before that call until another thread has the record.
    pub(crate) send_to_poll: Percentiles,
}

/// Times, sorted.
pub(crate) struct Percentiles(Vec<u64>);

pub(crate) fn run(log: &EventLog, topic: &Topic, records: u64) -> Result<Latency> {
    let start = Instant::now();
    let (send, send_to_poll) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(log, topic, records, start));
        let send = send(log, topic, records, start);
        let send_to_poll = receiver.join().expect("the consumer does not panic");
        Ok::<_, Failure>((send?, send_to_poll?))
    })?;
    Ok(Latency { send: Percentiles::of(send), send_to_poll: Percentiles::of(send_to_poll) })
}

/// Sends records, each with its number and the time it was sent.
fn send(log: &EventLog, topic: &Topic, records: u64, start: Instant) -> Result<Vec<u64>> {
    let producer = log.producer()?;
    let mut times = Vec::new();
    let interval = Duration::from_secs(1) / u32::try_from(RATE)?;
    let mut due = Instant::now();
    for number in 0..records {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        due += interval;
        let sent = nanos_since(start);
        producer.send(topic, Record::new(&sent.to_be_bytes()).key(&number.to_be_bytes()))?;
        times.push(nanos_since(start) - sent);
    }
    Ok(times)
}

/// Receives records and checks that they come one after the other, until all have come.
fn receive(log: &EventLog, topic: &Topic, records: u64, start: Instant) -> Result<Vec<u64>> {
    let mut consumer = log.consumer_with(ConsumerConfig::new().wait(WaitStrategy::Spin))?;
    consumer.assign(topic.partitions())?;
    let mut times = Vec::new();
    while (times.len() as u64) < records {
        let polled = consumer.poll(Duration::from_secs(10))?;
        let received = nanos_since(start);
        if polled.is_empty() {
            return Err(format!("record {} did not come within 10 seconds", times.len()).into());
        }
        for record in &polled {
            if record.key() != Some(&(times.len() as u64).to_be_bytes()) {
                return Err(format!("{record:?} is not record {}", times.len()).into());
            }
            let sent = record.value().unwrap_or_default().try_into().map_err(|_| "a value without a time")?;
            times.push(received.saturating_sub(u64::from_be_bytes(sent)));
        }
    }
    Ok(times)
}

fn nanos_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Percentiles {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this many of a thousand were within.
    pub(crate) fn within(&self, of_thousand: usize) -> Duration {
        let at = (self.0.len() * of_thousand / 1000).min(self.0.len() - 1);
        Duration::from_nanos(self.0[at])
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}
