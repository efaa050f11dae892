//! `stats`: what happens in the log, live.
//!
//! On a terminal a picture fills the screen until `q` is pressed; elsewhere, and with `--json`, each look is printed.

mod chart;
mod picture;
mod sample;
mod screen;
mod terminal;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use stratalog::{Clock, SystemClock};

use super::pattern::Pattern;
use super::table::Table;
use super::{Outcome, Output, Session, Stop};
use sample::Stats;
use screen::Screen;

const EXAMPLES: &str = "\
Examples:
  stratalog stats
  stratalog stats --topic 'orders|payments' --interval 0.2
  stratalog stats --once --json | jq";

/// Watch topics and groups: sizes, rates, lag, and how they change.
///
/// On a terminal the whole screen is used, and `q` ends it. Unsynced is what is not known to be on disk: while another
/// process writes, as far as that process has noted it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatsOptions {
    /// The topics: `orders|payments`, `test-.*`. All but Kafka's own without it.
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// How many seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Look twice, an interval apart, print what there is, and end.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "give seconds, from 0.01 to 86400".to_owned())
}

pub(super) fn run(options: &StatsOptions, session: &Session) -> Outcome {
    let pattern = options.topic.as_deref().map(Pattern::parse).transpose()?;
    let log = session.read()?;
    let stop = Stop::on_signals()?;
    let mut stats = Stats::new();
    stats.look(&log, pattern.as_ref())?;
    let dir = session.dir()?.display().to_string();
    let is_live = !options.once && !session.json();
    if let Some(screen) = Some(()).filter(|()| is_live).and_then(|()| Screen::on_terminal(&stop)) {
        while !stop.is_asked() {
            screen.show(
                |(height, width)| picture::lines(&stats, &dir, options.interval, height, width),
                options.interval,
                &stop,
            )?;
            if !stop.is_asked() {
                stats.look(&log, pattern.as_ref())?;
            }
        }
        drop(screen);
        return Ok(log.close()?);
    }
    while !stop.is_asked() {
        stop.wait(options.interval);
        if stop.is_asked() {
            break;
        }
        stats.look(&log, pattern.as_ref())?;
        if session.json() {
            print(|out| Ok(out.json(&as_json(&stats))?))?;
        } else {
            print(|out| Ok(out.write_all(as_table(&stats).as_bytes())?))?;
        }
        if options.once {
            break;
        }
    }
    Ok(log.close()?)
}

fn print(what: impl FnOnce(&mut Output) -> Outcome) -> Outcome {
    let mut out = Output::new();
    what(&mut out)?;
    out.end()
}

fn as_table(stats: &Stats) -> String {
    let names = ["TOPIC", "PARTITIONS", "RECORDS", "BYTES", "UNSYNCED", "RECORDS/S", "BYTES/S"];
    let mut table = Table::new(names.map(|name| (name, 10)));
    for (name, topic) in &stats.topics {
        let contents = &topic.contents;
        table.row([
            name.clone(),
            contents.partitions.len().to_string(),
            contents.records.to_string(),
            contents.bytes.to_string(),
            contents.unsynced.to_string(),
            format!("{:.0}", topic.records_per_second),
            format!("{:.0}", topic.bytes_per_second),
        ]);
    }
    let mut groups = Table::new([("GROUP", 10), ("LAG", 10)]);
    for (name, group) in &stats.groups {
        groups.row([name.clone(), group.lag.to_string()]);
    }
    let groups = if stats.groups.is_empty() { String::new() } else { groups.text() };
    let kept: String = stats.kept_by_future().map(|line| line + "\n").collect();
    table.text() + &groups + &kept + "\n"
}

fn as_json(stats: &Stats) -> Value {
    let topics: Vec<Value> = stats
        .topics
        .iter()
        .map(|(name, topic)| {
            let kept = topic.contents.kept_by_future.iter().map(|(partition, base_offset, timestamp)| {
                json!({ "partition": partition, "baseOffset": base_offset, "timestamp": timestamp })
            });
            json!({
                "topic": name,
                "partitions": topic.contents.partitions.len(),
                "records": topic.contents.records,
                "bytes": topic.contents.bytes,
                "unsyncedBytes": topic.contents.unsynced,
                "recordsPerSecond": topic.records_per_second,
                "bytesPerSecond": topic.bytes_per_second,
                "keptByFutureTimestamp": kept.collect::<Vec<_>>(),
            })
        })
        .collect();
    let groups = stats.groups.iter().map(|(name, group)| json!({ "group": name, "lag": group.lag }));
    let groups: Vec<Value> = groups.collect();
    json!({ "time": SystemClock.now().as_millis(), "topics": topics, "groups": groups })
}
