//! What is printed at the end.
#![expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::PARTITIONS;
use crate::latency::{Latency, RATE};
use crate::pipeline::{CONSUMERS, PRODUCERS, Pipeline, Throughput};

/// All that was done and measured.
pub(crate) struct Report {
    pub(crate) pipeline: Pipeline,
    pub(crate) latency: Latency,
    pub(crate) replay: Throughput,
    /// Where the log is, if it was not removed.
    pub(crate) kept: Option<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pipeline { produced, consumed, stored_bytes } = &self.pipeline;
        writeln!(f, "throughput               records     seconds   M records/s        MB/s")?;
        let produce = format!("produce, {PRODUCERS} threads");
        let consume = format!("consume, {CONSUMERS} threads");
        for (what, how) in [(&*produce, produced), (&consume, consumed), ("replay, 1 thread", &self.replay)] {
            let seconds = how.time.as_secs_f64();
            let (millions, megabytes) = (how.records as f64 / 1e6, how.bytes as f64 / 1e6);
            let records = grouped(how.records);
            let (rate, bandwidth) = (millions / seconds, megabytes / seconds);
            writeln!(f, "{what:<20}{records:>12}{seconds:>12.2}{rate:>14.2}{bandwidth:>12.0}")?;
        }
        writeln!(f)?;

        let heading = format!("latency at {} records/s", grouped(RATE));
        writeln!(f, "{heading:<32}{:>10}{:>10}{:>10}{:>10}", "p50", "p99", "p99.9", "max")?;
        for (what, times) in [("send", &self.latency.send), ("send to poll", &self.latency.send_to_poll)] {
            write!(f, "{what:<32}")?;
            for of_thousand in [500, 990, 999, 1000] {
                write!(f, "{:>10}", short(times.within(of_thousand)))?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;

        let overhead = stored_bytes.saturating_sub(produced.bytes) as f64 / produced.records as f64;
        let stored = *stored_bytes as f64 / 1e6;
        writeln!(
            f,
            "stored: {stored:.0} MB in {PARTITIONS} partitions, {overhead:.1} bytes a record beyond key and value"
        )?;
        let checked = grouped(produced.records);
        let pings = grouped(self.latency.send_to_poll.count());
        writeln!(
            f,
            "checked: {checked} records while they were written and again after the log was opened anew,"
        )?;
        writeln!(f, "         {pings} single ones: all there, none twice, in order, every checksum right")?;
        match &self.kept {
            Some(path) => writeln!(f, "the log is in {}", path.display()),
            None => Ok(()),
        }
    }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it.
fn short(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e6 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}
