//! `perf end-to-end`: from the call that sends to the call that returns the record, across two threads.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;
use stratalog::{Consumer, ConsumerConfig, Durability, ProducerConfig, Record, StartFrom, WaitStrategy};

use super::histogram::Histogram;
use super::{as_json, details};
use crate::progress::Bar;
use crate::{Failure, Outcome, Output, Session, Stop, produce};

const EXAMPLES: &str = "\
Examples:
  stratalog perf end-to-end --topic perf --num-records 100000 --record-size 100
  stratalog perf end-to-end --topic perf --num-records 100000 --record-size 100 --wait park";

/// Measure how long a record takes from its producer to its consumer.
///
/// One thread sends a record, another one waits for it; then comes the next record.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EndToEnd {
    /// The topic. It must exist.
    #[arg(long)]
    topic: String,
    /// How many records to send.
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
    /// The size of a record's value in bytes.
    #[arg(long, visible_alias = "message-size", value_name = "BYTES", default_value = "100")]
    record_size: u32,
    /// How the consumer waits: it looks all the time, looks and then sleeps, or sleeps.
    #[arg(long, value_name = "HOW", default_value = "spin-then-park")]
    wait: Wait,
    /// `buffered`, `synced`, or a number of milliseconds: see `stratalog produce --help`.
    #[arg(long, value_name = "LEVEL", default_value = "buffered", value_parser = produce::durability)]
    durability: Durability,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wait {
    Spin,
    SpinThenPark,
    Park,
}

/// Longer than any record takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first ones touch memory and files for the first time, as in Kafka's tool.
const WARM_UP: u64 = 100;

pub(super) fn run(options: &EndToEnd, session: &Session) -> Outcome {
    let log = session.write()?;
    let stop = Stop::on_signals()?;
    let topic = log.topic(&options.topic)?;
    let strategy = match options.wait {
        Wait::Spin => WaitStrategy::Spin,
        Wait::SpinThenPark => WaitStrategy::SpinThenPark,
        Wait::Park => WaitStrategy::Park,
    };
    let mut consumer = log.consumer_with(ConsumerConfig::new().start_from(StartFrom::End).wait(strategy))?;
    consumer.assign(topic.partitions())?;
    let waker = consumer.waker();
    let producer = log.producer_with(ProducerConfig::new().durability(options.durability))?;
    let value = vec![b'x'; options.record_size as usize];
    let (to_sender, arrivals) = sync_channel(1);
    let receiver = thread::Builder::new().name("receiver".into());
    let receiver = receiver.spawn(move || receive(consumer, &to_sender));
    let receiver = receiver.map_err(|source| Failure::failed(format!("cannot start a thread: {source}")))?;

    let bar = Bar::count("sending", Some(options.num_records));
    let mut latency = Histogram::new();
    let mut outcome = Ok(());
    for sent in 0..WARM_UP + options.num_records {
        if stop.is_asked() {
            break;
        }
        let begun = Instant::now();
        outcome = producer.send(&topic, Record::new(&value)).map(drop).map_err(Failure::from);
        if outcome.is_err() {
            break;
        }
        let Ok(arrived) = arrivals.recv_timeout(PATIENCE) else {
            outcome =
                Err(Failure::failed(format!("a record did not arrive within {} s", PATIENCE.as_secs())));
            break;
        };
        if sent >= WARM_UP {
            latency.record(arrived.saturating_duration_since(begun));
            bar.set(sent - WARM_UP);
        }
    }
    bar.end();
    drop(arrivals);
    waker.wake();
    let ended = receiver.join().map_err(|_| Failure::failed("the receiving thread failed"))?;
    ended.and(outcome)?;
    log.close()?;
    report(session, &latency)
}

/// Reports when each record came, until the receiver is gone.
fn receive(mut consumer: Consumer, to_sender: &SyncSender<Instant>) -> Outcome {
    loop {
        let records = consumer.poll(PATIENCE)?;
        let now = Instant::now();
        if records.is_empty() || records.iter().any(|_| to_sender.send(now).is_err()) {
            return Ok(());
        }
    }
}

fn report(session: &Session, latency: &Histogram) -> Outcome {
    let mut out = Output::new();
    if session.json() {
        out.json(&json!({ "records": latency.count(), "latencyMicros": as_json(latency) }))?;
        return out.end();
    }
    writeln!(out, "Avg latency: {:.4} ms", latency.average_ms())?;
    let ms = |part| latency.percentile(part).as_secs_f64() * 1e3;
    writeln!(out, "Percentiles: 50th = {:.4}, 99th = {:.4}, 99.9th = {:.4}", ms(0.5), ms(0.99), ms(0.999))?;
    out.write_all(details("from send to poll", latency).as_bytes())?;
    out.end()
}
