//! `stats`: what happens in the log, live.
//!
//! On a terminal a table is drawn over itself; elsewhere, and with `--json`, each look is printed.

mod picture;
mod sample;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use console::Term;
use serde_json::{Value, json};
use stratalog::{Clock, SystemClock};

use super::pattern::Pattern;
use super::table::Table;
use super::{Failure, Outcome, Output, Session, Stop};
use sample::Stats;

const EXAMPLES: &str = "\
Examples:
  stratalog stats
  stratalog stats --topic 'orders|payments' --interval 0.2
  stratalog stats --once --json | jq";

/// Watch topics and groups: sizes, rates, lag, and how they change.
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
    let live = Term::stdout();
    let mut screen = (live.is_term() && !options.once && !session.json()).then(|| Screen::new(live));
    let dir = session.dir()?.display().to_string();
    while !stop.is_asked() {
        stop.wait(options.interval);
        if stop.is_asked() {
            break;
        }
        stats.look(&log, pattern.as_ref())?;
        match &mut screen {
            Some(screen) => screen.draw(&stats, &dir, options.interval)?,
            None if session.json() => print(|out| Ok(out.json(&as_json(&stats))?))?,
            None => print(|out| Ok(out.write_all(as_table(&stats).as_bytes())?))?,
        }
        if options.once {
            break;
        }
    }
    drop(screen);
    Ok(log.close()?)
}

fn print(what: impl FnOnce(&mut Output) -> Outcome) -> Outcome {
    let mut out = Output::new();
    what(&mut out)?;
    out.end()
}

fn as_table(stats: &Stats) -> String {
    let names = ["TOPIC", "PARTITIONS", "RECORDS", "BYTES", "RECORDS/S", "BYTES/S"];
    let mut table = Table::new(names.map(|name| (name, 10)));
    for (name, topic) in &stats.topics {
        let held = &topic.held;
        table.row([
            name.clone(),
            held.partitions.to_string(),
            held.end.saturating_sub(held.start).to_string(),
            held.bytes.to_string(),
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
            let kept = topic.held.kept_by_future.iter().map(|(partition, base_offset, timestamp)| {
                json!({ "partition": partition, "baseOffset": base_offset, "timestamp": timestamp })
            });
            json!({
                "topic": name,
                "partitions": topic.held.partitions,
                "records": topic.held.end.saturating_sub(topic.held.start),
                "bytes": topic.held.bytes,
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

/// A terminal that is drawn on. The last picture stays when it is dropped, and the cursor comes back.
struct Screen {
    term: Term,
    drawn: usize,
}

impl Screen {
    fn new(term: Term) -> Self {
        // A terminal that cannot hide its cursor shows it.
        let _ = term.hide_cursor();
        Self { term, drawn: 0 }
    }

    /// In one write, so that nothing flickers.
    fn draw(&mut self, stats: &Stats, dir: &str, interval: Duration) -> Outcome {
        const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
        const CLEAR_TO_END_OF_SCREEN: &str = "\x1b[J";
        let (height, width) = self.term.size();
        let lines = picture::lines(stats, dir, interval, (height.into(), width.into()));
        let mut text = String::new();
        if self.drawn > 0 {
            text = format!("\x1b[{}A\r", self.drawn);
        }
        for line in &lines {
            text.push_str(line);
            text.push_str(CLEAR_TO_END_OF_LINE);
            text.push('\n');
        }
        text.push_str(CLEAR_TO_END_OF_SCREEN);
        self.drawn = lines.len();
        self.term.write_all(text.as_bytes()).and_then(|()| self.term.flush()).map_err(Failure::from)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.term.show_cursor();
    }
}
