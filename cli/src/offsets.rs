//! `offsets`: where partitions begin and end, and what was appended when. Kafka's `kafka-get-offsets`.

use std::io::Write as _;
use std::str::FromStr;

use clap::Args;
use serde_json::json;
use stratalog::{EventLog, Partition, Timestamp};

use super::pattern::Pattern;
use super::{Outcome, Output, Session, time, topics};

const EXAMPLES: &str = "\
Examples:
  stratalog offsets --topic orders
  stratalog offsets --topic orders --time earliest
  stratalog offsets --topic-partitions orders:0,payments:0-3 --time 2026-01-01T00:00:00.000";

/// Show offsets: the first, the next, or the first at a time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Offsets {
    /// The topics: `orders`, `orders|payments`, `test-.*`. All without it.
    #[arg(long, value_name = "PATTERN", conflicts_with = "topic_partitions")]
    topic: Option<String>,
    /// Only these partitions of the topics.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', conflicts_with = "topic_partitions")]
    partitions: Vec<u32>,
    /// Topics with partitions: `orders:0,payments:0-3,bills` (the second number of a range is not part of it).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    topic_partitions: Vec<Chosen>,
    /// Which offset: `latest` (the next to be appended), `earliest`, `max-timestamp`, `earliest-local` (as `earliest`),
    /// `latest-tiered` (there is none: no segment is kept elsewhere), or the first record at or after a time, in milliseconds since 1970 or as YYYY-MM-DDTHH:mm:ss.sss.
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    time: Which,
    /// Leave out the topics that Kafka keeps for itself.
    #[arg(long)]
    exclude_internal_topics: bool,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Latest,
    Earliest,
    MaxTimestamp,
    LatestTiered,
    At(Timestamp),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" | "-1" => Ok(Self::Latest),
            "earliest" | "-2" | "earliest-local" | "-4" => Ok(Self::Earliest),
            "latest-tiered" | "-5" => Ok(Self::LatestTiered),
            "max-timestamp" | "-3" => Ok(Self::MaxTimestamp),
            _ => time::point(text).map(Self::At).map_err(|wanted| {
                format!("give latest, earliest, max-timestamp; or {}", wanted.trim_start_matches("give "))
            }),
        }
    }
}

impl Which {
    /// `None`: there is no such record.
    fn of(self, partition: &Partition) -> stratalog::Result<Option<u64>> {
        match self {
            Self::Latest => Ok(Some(partition.offsets()?.high_watermark)),
            Self::Earliest => Ok(Some(partition.offsets()?.log_start)),
            Self::At(at) => partition.offset_for_time(at),
            Self::MaxTimestamp => newest(partition),
            Self::LatestTiered => Ok(None),
        }
    }
}

/// The first record with the largest timestamp. A record of a time or later is found by an index, so the time is narrowed
/// down by halves.
fn newest(partition: &Partition) -> stratalog::Result<Option<u64>> {
    let at = |millis| partition.offset_for_time(Timestamp::from_millis(millis));
    let (mut there, mut not_there) = (0, i64::MAX);
    let mut found = at(there)?;
    while found.is_some() && not_there - there > 1 {
        let middle = there + (not_there - there) / 2;
        match at(middle)? {
            Some(offset) => (there, found) = (middle, Some(offset)),
            None => not_there = middle,
        }
    }
    Ok(found)
}

/// `topic`, `topic:2`, `topic:0-3`, `topic:2-`, `topic:-3`.
#[derive(Debug, Clone)]
struct Chosen {
    topic: String,
    from: u32,
    /// None: to the last.
    end: Option<u32>,
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "give topic, topic:2, topic:0-3, topic:2- or topic:-3".to_owned();
        let (topic, range) = text.split_once(':').unwrap_or((text, "-"));
        let number = |text: &str| text.parse::<u32>().map_err(wrong);
        let (from, end) = match range.split_once('-') {
            None => {
                let only = number(range)?;
                (only, Some(only.saturating_add(1)))
            }
            Some((from, end)) => (
                if from.is_empty() { 0 } else { number(from)? },
                if end.is_empty() { None } else { Some(number(end)?) },
            ),
        };
        Ok(Self { topic: topic.to_owned(), from, end })
    }
}

pub(super) fn run(options: &Offsets, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic.as_deref().unwrap_or(".*"))?;
    let log = session.read()?;
    let mut partitions = if options.topic_partitions.is_empty() {
        of_topics(options, &log, &pattern)?
    } else {
        of_list(&options.topic_partitions, &log)?
    };
    partitions.sort_by_key(|partition| partition.id().to_string());
    let mut out = Output::new();
    for partition in partitions {
        let Some(offset) = options.time.of(&partition)? else { continue };
        let (topic, number) = (partition.id().topic(), partition.id().partition());
        if session.json() {
            out.json(&json!({ "topic": topic, "partition": number, "offset": offset }))?;
        } else {
            writeln!(out, "{topic}:{number}:{offset}")?;
        }
    }
    out.end()
}

fn of_topics(options: &Offsets, log: &EventLog, pattern: &Pattern) -> Outcome<Vec<Partition>> {
    let mut found = Vec::new();
    for topic in topics::chosen(log, pattern, options.topic.is_none())? {
        if options.exclude_internal_topics && topic.describe()?.internal {
            continue;
        }
        if options.partitions.is_empty() {
            found.extend(topic.partitions());
        }
        for number in &options.partitions {
            found.push(topic.partition(*number)?);
        }
    }
    Ok(found)
}

fn of_list(list: &[Chosen], log: &EventLog) -> Outcome<Vec<Partition>> {
    let mut found = Vec::new();
    for Chosen { topic, from, end } in list {
        let topic = log.topic(topic)?;
        match end {
            // A partition that was named and is not there is an error.
            Some(end) => {
                for number in *from..*end {
                    found.push(topic.partition(number)?);
                }
            }
            None => found.extend(topic.partitions().into_iter().skip(*from as usize)),
        }
    }
    Ok(found)
}

/// Reads a text as `--time` and `--topic-partitions` do.
#[cfg(any(fuzzing, test))]
pub(super) fn read_text(text: &str) {
    let _ = (text.parse::<Which>(), text.parse::<Chosen>());
}
