//! `log-dirs`: what the directory holds, and how large it is. Kafka's `kafka-log-dirs`.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};
use stratalog::{Partition, Topic};

use super::output::counted;
use super::pattern::Pattern;
use super::table::Table;
use super::{Outcome, Output, Session, files, topics};

const EXAMPLES: &str = "\
Examples:
  stratalog log-dirs
  stratalog log-dirs --describe --topic-list orders,payments | tail -1 | jq";

/// Show the size of partitions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogDirs {
    /// In the form of Kafka's tool, JSON after two lines of text, instead of as a table.
    #[arg(long)]
    describe: bool,
    /// The topics: `orders,payments`, `test-.*`. Without it all, but for empty partitions of internal topics.
    #[arg(long, visible_alias = "topic", value_name = "PATTERN")]
    topic_list: Option<String>,
    /// Show empty partitions of internal topics, too.
    #[arg(long)]
    internal: bool,
}

pub(super) fn run(options: &LogDirs, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic_list.as_deref().unwrap_or(".*"))?;
    let log = session.read()?;
    let topics = topics::chosen(&log, &pattern, options.topic_list.is_none())?;
    let mut partitions: Vec<Partition> = topics.iter().flat_map(Topic::partitions).collect();
    if options.topic_list.is_none() && !options.internal {
        partitions = without_empty_internal(&topics, partitions)?;
    }
    let mut out = Output::new();
    if options.describe || session.json() {
        let node = node_id(session)?;
        if !session.json() {
            writeln!(out, "Querying brokers for log directories information")?;
            writeln!(out, "Received log directory information from brokers {node}")?;
        }
        out.json(&as_kafka_shows(session, node, &partitions)?)?;
    } else {
        out.write_all(as_table(&partitions)?.as_bytes())?;
    }
    out.end()
}

/// Kafka makes 50 partitions for the offsets of groups, of which a few are used.
fn without_empty_internal(topics: &[Topic], partitions: Vec<Partition>) -> Outcome<Vec<Partition>> {
    let mut internal = Vec::new();
    for topic in topics {
        if topic.describe()?.internal {
            internal.push(topic.name());
        }
    }
    let mut kept = Vec::new();
    for partition in partitions {
        if !internal.contains(&partition.id().topic()) || partition.size()? > 0 {
            kept.push(partition);
        }
    }
    Ok(kept)
}

fn as_kafka_shows(session: &Session, node: i64, partitions: &[Partition]) -> Outcome<Value> {
    let mut entries = Vec::new();
    for partition in partitions {
        let (name, size) = (partition.id().to_string(), partition.size()?);
        entries.push(json!({ "partition": name, "size": size, "offsetLag": 0, "isFuture": false }));
    }
    let dir = session.dir()?.display().to_string();
    let dirs = json!([{ "partitions": entries, "error": null, "logDir": dir }]);
    Ok(json!({ "version": 1, "brokers": [{ "broker": node, "logDirs": dirs }] }))
}

fn as_table(partitions: &[Partition]) -> Outcome<String> {
    let columns = ["TOPIC", "PARTITION", "SEGMENTS", "BYTES", "LOG-START-OFFSET", "LOG-END-OFFSET"];
    let mut table = Table::new(columns.map(|name| (name, 10)));
    let mut sum = 0;
    for partition in partitions {
        let (id, offsets, size) = (partition.id(), partition.offsets()?, partition.size()?);
        sum += size;
        table.row([
            id.topic().to_owned(),
            id.partition().to_string(),
            partition.segments()?.len().to_string(),
            size.to_string(),
            offsets.log_start.to_string(),
            offsets.log_end.to_string(),
        ]);
    }
    let bytes = counted(sum, "byte", "bytes");
    let partitions = counted(partitions.len() as u64, "partition", "partitions");
    Ok(format!("{}\n{bytes} of records in {partitions}\n", table.text()))
}

/// The number of the node that the directory belongs to.
pub(super) fn node_id(session: &Session) -> Outcome<i64> {
    let text = files::text(&session.identity()?)?;
    let found = text.lines().find_map(|line| line.strip_prefix("node.id=")?.trim().parse().ok());
    Ok(found.unwrap_or(-1))
}
