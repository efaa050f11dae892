//! `perf consume`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use stratalog::{Clock, ConsumerConfig, StartFrom, SystemClock, Timestamp};

use super::histogram::Histogram;
use super::{MEBIBYTE, as_json, details, float, per_second};
use crate::progress::Bar;
use crate::{Outcome, Output, Session, Stop, output, time};

const EXAMPLES: &str = "\
Examples:
  stratalog perf consume --topic perf --num-records 10000000
  stratalog perf consume --topic perf --num-records 10000000 --show-detailed-stats";

/// Read records as fast as possible.
///
/// Every record is read and its checksum checked. The latency is what one poll takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Consume {
    /// The topic.
    #[arg(long)]
    topic: String,
    /// How many records to read.
    #[arg(long, visible_alias = "messages", value_name = "COUNT")]
    num_records: u64,
    /// Begin with the next record that is appended, instead of the first there is.
    #[arg(long)]
    from_latest: bool,
    /// How many bytes of batches one poll returns, about.
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    fetch_size: usize,
    /// Print a line at each interval.
    #[arg(long)]
    show_detailed_stats: bool,
    /// How many milliseconds such an interval has.
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// Leave out the heading.
    #[arg(long)]
    hide_header: bool,
    /// End when no record has come for this many milliseconds.
    #[arg(long, value_name = "MS", default_value = "10000")]
    timeout: u64,
}

const HEADING: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                       rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
const DETAILED_HEADING: &str = "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                                rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

/// What was read, from a moment on.
#[derive(Clone, Copy)]
struct Read {
    at: Instant,
    records: u64,
    bytes: u64,
}

pub(super) fn run(options: &Consume, session: &Session) -> Outcome {
    let log = session.read()?;
    let stop = Stop::on_signals()?;
    let start = if options.from_latest { StartFrom::End } else { StartFrom::Beginning };
    let config = ConsumerConfig::new().start_from(start).max_poll_bytes(options.fetch_size);
    let mut consumer = log.consumer_with(config)?;
    consumer.assign(log.topic(&options.topic)?.partitions())?;
    stop.wakes(consumer.waker());

    let mut out = Output::new();
    if options.show_detailed_stats && !options.hide_header && !session.json() {
        writeln!(out, "{DETAILED_HEADING}")?;
    }
    let bar = Bar::count("reading", Some(options.num_records));
    let (begun, patience) = (SystemClock.now(), Duration::from_millis(options.timeout));
    let start = Read { at: Instant::now(), records: 0, bytes: 0 };
    let (mut done, mut reported, mut polls) = (start, start, Histogram::new());
    while done.records < options.num_records && !stop.is_asked() {
        let before = Instant::now();
        let records = consumer.poll(patience)?;
        let now = Instant::now();
        if records.is_empty() {
            if now - before >= patience {
                output::warn(format_args!("no record came for {} ms", options.timeout));
                break;
            }
            continue;
        }
        for record in &records {
            done.bytes +=
                (record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)) as u64;
        }
        done.records += records.len() as u64;
        done.at = now;
        polls.record(now - before);
        bar.set(done.records);
        let due = now - reported.at >= Duration::from_millis(options.reporting_interval);
        if options.show_detailed_stats && due && !session.json() {
            writeln!(out, "{}, 0, {}", time::shown(SystemClock.now()), columns(reported, done))?;
            out.flush()?;
            reported = done;
        }
    }
    bar.end();
    report(options, session, out, begun, start, done, &polls)?;
    Ok(log.close()?)
}

/// From `data.consumed.in.MB` on. Nothing is ever rebalanced, so fetching is all that takes time.
fn columns(from: Read, to: Read) -> String {
    let (time, records) = (to.at - from.at, float(to.records - from.records));
    let megabytes = float(to.bytes - from.bytes) / MEBIBYTE;
    let (by_bytes, by_records) = (per_second(megabytes, time), per_second(records, time));
    format!(
        "{:.4}, {by_bytes:.4}, {}, {by_records:.4}, 0, {}, {by_bytes:.4}, {by_records:.4}",
        float(to.bytes) / MEBIBYTE,
        to.records,
        time.as_millis()
    )
}

fn report(
    options: &Consume,
    session: &Session,
    mut out: Output,
    begun: Timestamp,
    start: Read,
    done: Read,
    polls: &Histogram,
) -> Outcome {
    let time = done.at - start.at;
    if session.json() {
        out.json(&json!({
            "records": done.records, "bytes": done.bytes, "seconds": time.as_secs_f64(),
            "recordsPerSecond": per_second(float(done.records), time),
            "mebibytesPerSecond": per_second(float(done.bytes) / MEBIBYTE, time),
            "pollMicros": as_json(polls),
        }))?;
        return out.end();
    }
    if !options.show_detailed_stats {
        if !options.hide_header {
            writeln!(out, "{HEADING}")?;
        }
        let end = time::shown(SystemClock.now());
        writeln!(out, "{}, {end}, {}", time::shown(begun), columns(start, done))?;
    }
    out.write_all(details("a poll took", polls).as_bytes())?;
    out.end()
}
