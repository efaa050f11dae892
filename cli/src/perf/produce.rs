//! `perf produce`.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use stratalog::{BufferedProducer, Durability, Producer, ProducerConfig, Record, Topic};

use super::histogram::Histogram;
use super::in_flight::InFlight;
use super::{MEBIBYTE, as_json, details, float, per_second};
use crate::output::counted;
use crate::progress::Bar;
use crate::properties::pair;
use crate::{Failure, Outcome, Output, Session, Stop, files, produce};

const EXAMPLES: &str = "\
Examples:
  stratalog perf produce --topic perf --num-records 10000000 --record-size 1024
  stratalog perf produce --topic perf --num-records 100000 --record-size 100 --sync --durability synced
  stratalog perf produce --topic perf --num-records 600000 --record-size 100 --throughput 10000";

/// Write records as fast as possible, or at a given rate.
///
/// Latency is measured as by Kafka's tool: from the call that sends a record to its acknowledgement. A record is acknowledged
/// when it is in the log; with --durability synced, when it is fsynced. A record waits in its batch until that is full, or for
/// linger.ms; with --sync none waits.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Produce {
    /// The topic. It must exist.
    #[arg(long)]
    topic: String,
    /// How many records to write.
    #[arg(long, value_name = "COUNT")]
    num_records: u64,
    /// The size of a record's value in bytes.
    #[arg(long, value_name = "BYTES", required_unless_present = "payload_file", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    record_size: Option<u32>,
    /// Take the values from the lines of a file instead, one after another, over and over.
    #[arg(long, value_name = "FILE", conflicts_with = "record_size")]
    payload_file: Option<PathBuf>,
    /// How many records a second, at most; -1 is as many as possible.
    #[arg(long, value_name = "RATE", default_value = "-1", allow_hyphen_values = true)]
    throughput: f64,
    /// A setting of the producer by its Kafka name: batch.size, buffer.memory, compression.type, linger.ms.
    #[arg(long = "command-property", visible_alias = "producer-props", value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    settings: Vec<(String, String)>,
    /// `buffered`, `synced`, or a number of milliseconds: see `stratalog produce --help`.
    #[arg(long, value_name = "LEVEL", default_value = "buffered", value_parser = produce::durability)]
    durability: Durability,
    /// Write each record by itself.
    #[arg(long)]
    sync: bool,
}

/// As Kafka's tool does.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How much of a latency may be that of looking for it while nothing is sent.
const LOOK_AGAIN: Duration = Duration::from_micros(200);
/// As much as a producer puts into a batch without batch.size.
const BATCH_BYTES: usize = 256 << 10;
/// Records between two checks whether it is time to report, or asked to stop.
const LOOK_EVERY: u64 = 1024;

pub(super) fn run(options: &Produce, session: &Session) -> Outcome {
    let payloads = payloads(options)?;
    let config =
        produce::with_settings(ProducerConfig::new().durability(options.durability), &options.settings)?;
    let log = session.write()?;
    let stop = Stop::on_signals()?;
    let topic = log.topic(&options.topic)?;
    let mut sender = Sender::new(options, log.producer_with(config)?, &topic)?;
    let mut run = Run { session, out: Output::new(), whole: Window::new(), recent: Window::new() };
    run.all(options, &payloads, &mut sender, &topic, &stop)?;
    drop(sender);
    run.report_all()?;
    Ok(log.close()?)
}

fn payloads(options: &Produce) -> Outcome<Vec<Vec<u8>>> {
    let Some(path) = &options.payload_file else {
        let size = options.record_size.unwrap_or_default();
        // Capital letters in no order, as Kafka's tool has them: what compresses badly, but not as badly as noise.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'A' + u8::try_from(state % 26).unwrap_or_default()
        };
        return Ok(vec![(0..size).map(|_| letter()).collect()]);
    };
    let text = files::text(path)?;
    let lines: Vec<_> =
        text.lines().filter(|line| !line.is_empty()).map(|line| line.as_bytes().to_vec()).collect();
    if lines.is_empty() {
        return Err(Failure::failed(format!("there is no line in {}", path.display())));
    }
    Ok(lines)
}

enum Sender {
    Buffered(BufferedProducer, InFlight),
    OneByOne(Producer),
}

impl Sender {
    fn new(options: &Produce, producer: Producer, topic: &Topic) -> Outcome<Self> {
        if options.sync {
            return Ok(Self::OneByOne(producer));
        }
        let given = options.settings.iter().rev().find(|(name, _)| name == "batch.size");
        let batch_bytes = given.and_then(|(_, bytes)| bytes.trim().parse().ok()).unwrap_or(BATCH_BYTES);
        let flying = InFlight::new(topic, options.durability, batch_bytes)?;
        Ok(Self::Buffered(producer.buffered(), flying))
    }

    /// Sends a record at this moment, and says how long those took that are acknowledged since. Gives the time after it.
    #[inline]
    fn send(
        &mut self,
        topic: &Topic,
        value: &[u8],
        at: Instant,
        mut took: impl FnMut(Duration),
    ) -> stratalog::Result<Instant> {
        match self {
            Self::Buffered(producer, flying) => {
                let partition = flying.next_partition(value.len());
                producer.enqueue(topic, Record::new(value).partition(partition))?;
                flying.sent(at);
                let now = Instant::now();
                if flying.may_be_less(producer.pending()) {
                    flying.acknowledged(now, took)?;
                }
                Ok(now)
            }
            Self::OneByOne(producer) => {
                producer.send(topic, Record::new(value))?;
                let now = Instant::now();
                took(now - at);
                Ok(now)
            }
        }
    }

    /// Says how long those took that were acknowledged while nothing was sent. Whether others still are to be.
    fn look(&mut self, took: impl FnMut(Duration)) -> stratalog::Result<bool> {
        let Self::Buffered(producer, flying) = self else { return Ok(false) };
        if flying.may_be_less(producer.pending()) {
            flying.acknowledged(Instant::now(), took)?;
        }
        Ok(flying.is_any())
    }

    fn flush(&mut self) -> stratalog::Result<()> {
        match self {
            Self::Buffered(producer, _) => producer.flush(),
            Self::OneByOne(_) => Ok(()),
        }
    }
}

/// What happened since a moment.
struct Window {
    begun: Instant,
    bytes: u64,
    latency: Histogram,
    /// How long it took, once it is over.
    time: Option<Duration>,
}

impl Window {
    fn new() -> Self {
        Self { begun: Instant::now(), bytes: 0, latency: Histogram::new(), time: None }
    }

    /// `… records sent, … records/sec (… MB/sec)`.
    fn rates(&self) -> (u64, f64, f64) {
        let time = self.time.unwrap_or_else(|| self.begun.elapsed());
        let sent = self.latency.count();
        (sent, per_second(float(sent), time), per_second(float(self.bytes) / MEBIBYTE, time))
    }
}

struct Run<'s> {
    session: &'s Session,
    out: Output,
    whole: Window,
    recent: Window,
}

impl Run<'_> {
    fn all(
        &mut self,
        options: &Produce,
        payloads: &[Vec<u8>],
        sender: &mut Sender,
        topic: &Topic,
        stop: &Stop,
    ) -> Outcome {
        let bar = Bar::count("writing", Some(options.num_records));
        let rate = Some(options.throughput).filter(|rate| *rate > 0.0);
        let mut values = payloads.iter().cycle();
        self.whole = Window::new();
        self.recent = Window::new();
        let mut now = Instant::now();
        for sent in 0..options.num_records {
            let value = values.next().map(Vec::as_slice).unwrap_or_default();
            now = sender.send(topic, value, now, |span| self.took(span))?;
            self.whole.bytes += value.len() as u64;
            self.recent.bytes += value.len() as u64;
            if sent % LOOK_EVERY == 0 || rate.is_some() {
                bar.set(sent);
                if stop.is_asked() {
                    break;
                }
                if now - self.recent.begun >= REPORT_EVERY {
                    bar.end();
                    self.report_recent()?;
                }
                if let Some(rate) = rate {
                    let due = self.whole.begun + Duration::from_secs_f64(float(sent + 1) / rate);
                    now = self.wait_until(due, sender, stop)?;
                }
            }
        }
        sender.flush()?;
        sender.look(|span| self.took(span))?;
        self.whole.time = Some(self.whole.begun.elapsed());
        Ok(())
    }

    #[inline]
    fn took(&mut self, span: Duration) {
        self.whole.latency.record(span);
        self.recent.latency.record(span);
    }

    /// Waits, with an eye on what is acknowledged meanwhile. Gives the time after it.
    fn wait_until(&mut self, due: Instant, sender: &mut Sender, stop: &Stop) -> Outcome<Instant> {
        loop {
            let now = Instant::now();
            let left = due.saturating_duration_since(now);
            if left.is_zero() || stop.is_asked() {
                return Ok(now);
            }
            let are_more = sender.look(|span| self.took(span))?;
            stop.wait(if are_more { left.min(LOOK_AGAIN) } else { left });
        }
    }

    fn report_recent(&mut self) -> Outcome {
        let recent = std::mem::replace(&mut self.recent, Window::new());
        if !self.session.json() {
            let (sent, records, megabytes) = recent.rates();
            let sent = counted(sent, "record", "records");
            let (average, most) = (recent.latency.average_ms(), recent.latency.most().as_secs_f64() * 1e3);
            writeln!(
                self.out,
                "{sent} sent, {records:.1} records/sec ({megabytes:.2} MB/sec), {average:.4} ms avg latency, \
                 {most:.1} ms max latency."
            )?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn report_all(mut self) -> Outcome {
        let (sent, records, megabytes) = self.whole.rates();
        let latency = &self.whole.latency;
        if self.session.json() {
            self.out.json(&json!({
                "records": sent, "bytes": self.whole.bytes, "recordsPerSecond": records,
                "mebibytesPerSecond": megabytes, "latencyMicros": as_json(latency),
            }))?;
            return self.out.end();
        }
        let sent = counted(sent, "record", "records");
        let ms = |span: Duration| span.as_millis();
        let [median, high, higher, highest] =
            [0.5, 0.95, 0.99, 0.999].map(|part| ms(latency.percentile(part)));
        writeln!(
            self.out,
            "{sent} sent, {records:.6} records/sec ({megabytes:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max \
             latency, {median} ms 50th, {high} ms 95th, {higher} ms 99th, {highest} ms 99.9th.",
            latency.average_ms(),
            latency.most().as_secs_f64() * 1e3
        )?;
        self.out.write_all(details("from send to acknowledgement", latency).as_bytes())?;
        self.out.end()
    }
}
