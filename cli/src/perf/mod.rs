//! `perf`: how fast it is on this machine. Kafka's `kafka-producer-perf-test`, `kafka-consumer-perf-test` and
//! `kafka-e2e-latency`, with percentiles and a picture of them.

mod consume;
mod end_to_end;
mod histogram;
mod in_flight;
mod produce;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Outcome, Session};
use histogram::{Histogram, shown};

const EXAMPLES: &str = "\
Examples:
  stratalog topics --create --topic perf
  stratalog perf produce --topic perf --num-records 10000000 --record-size 100
  stratalog perf consume --topic perf --num-records 10000000
  stratalog perf end-to-end --topic perf --num-records 100000 --record-size 100";

/// Measure how fast records are written, read and delivered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Perf {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Produce(produce::Produce),
    Consume(consume::Consume),
    EndToEnd(end_to_end::EndToEnd),
}

pub(super) fn run(options: &Perf, session: &Session) -> Outcome {
    match &options.what {
        What::Produce(options) => produce::run(options, session),
        What::Consume(options) => consume::run(options, session),
        What::EndToEnd(options) => end_to_end::run(options, session),
    }
}

/// Kafka's MB.
const MEBIBYTE: f64 = 1_048_576.0;
const PARTS: [(f64, &str); 5] =
    [(0.5, "50th"), (0.9, "90th"), (0.99, "99th"), (0.999, "99.9th"), (0.9999, "99.99th")];

/// A count as a number to calculate rates with.
#[expect(clippy::cast_precision_loss, reason = "rates are shown with six digits")]
fn float(count: u64) -> f64 {
    count as f64
}

fn per_second(count: f64, time: Duration) -> f64 {
    count / time.as_secs_f64().max(1e-9)
}

/// Percentiles and a picture, for people.
fn details(what: &str, latency: &Histogram) -> String {
    let parts = PARTS.map(|(part, name)| format!("{} {name}", shown(latency.percentile(part)))).join(", ");
    format!("{what}: {parts}, {} max.\n{}", shown(latency.most()), latency.picture())
}

/// The same for programs, in microseconds.
fn as_json(latency: &Histogram) -> Value {
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    let mut object = json!({ "avg": latency.average_ms() * 1e3, "max": micros(latency.most()) });
    for (part, name) in PARTS {
        object[name] = json!(micros(latency.percentile(part)));
    }
    object
}
