//! `delete-records`: records below an offset are deleted. Kafka's `kafka-delete-records`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use stratalog::{Error, EventLog, Partition, Position};

use super::{Failure, Outcome, Output, Session, files, output};

const EXAMPLES: &str = "\
Examples:
  stratalog delete-records --topic orders --partition 0 --before 100
  echo '{\"version\":1,\"partitions\":[{\"topic\":\"orders\",\"partition\":0,\"offset\":100}]}' |
    stratalog delete-records --offset-json-file -";

/// Delete the records of partitions below an offset.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeleteRecords {
    /// A JSON file that names partitions and offsets, as Kafka's tool takes it; `-` is standard input. The offset -1
    /// means all records there are.
    #[arg(long, value_name = "FILE", conflicts_with = "topic", required_unless_present = "topic")]
    offset_json_file: Option<PathBuf>,
    /// The topic, with --partition and --before.
    #[arg(long, requires = "partition", requires = "before")]
    topic: Option<String>,
    /// The partition.
    #[arg(long, value_name = "NUMBER", requires = "topic")]
    partition: Option<u32>,
    /// The offset that will be the first one; `latest` deletes all records there are.
    #[arg(long, value_name = "OFFSET", requires = "topic", value_parser = before)]
    before: Option<Before>,
}

/// Below which offset; `None` is the end.
type Before = Option<u64>;

fn before(text: &str) -> Result<Before, String> {
    match text {
        "latest" | "-1" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| "give an offset, or latest".to_owned()),
    }
}

struct Deletion {
    topic: String,
    partition: u32,
    before: Before,
}

pub(super) fn run(options: &DeleteRecords, session: &Session) -> Outcome {
    let wanted = match (&options.offset_json_file, &options.topic) {
        (Some(path), _) => listed(&files::text(path)?)?,
        (None, topic) => vec![Deletion {
            topic: topic.clone().unwrap_or_default(),
            partition: options.partition.unwrap_or_default(),
            before: options.before.flatten(),
        }],
    };
    let log = session.write()?;
    let mut out = Output::new();
    if !session.json() {
        writeln!(out, "Executing records delete operation\nRecords delete operation completed:")?;
    }
    // All are resolved before the first is changed.
    let (mut resolved, mut failed) = (Vec::new(), 0);
    for one in &wanted {
        match resolve(&log, one) {
            Ok(partition) => resolved.push((one, partition)),
            Err(failure) => {
                failed += 1;
                print(&mut out, session, one, Err(failure))?;
            }
        }
    }
    if failed > 0 {
        out.end()?;
        log.close()?;
        let many = output::counted(wanted.len() as u64, "partition", "partitions");
        return Err(Failure::failed(format!(
            "{failed} of {many} cannot be changed like that; nothing was deleted"
        )));
    }
    for (one, (partition, before)) in resolved {
        let outcome = partition.delete_records(before);
        failed += usize::from(outcome.is_err());
        print(&mut out, session, one, outcome)?;
        out.flush()?;
    }
    out.end()?;
    log.close()?;
    if failed == 0 {
        return Ok(());
    }
    let many = output::counted(wanted.len() as u64, "partition", "partitions");
    Err(Failure::failed(format!("{failed} of {many} could not be changed")))
}

/// The partition, and below which offset its records go.
fn resolve(log: &EventLog, one: &Deletion) -> stratalog::Result<(Partition, u64)> {
    let partition = log.topic(&one.topic)?.partition(one.partition)?;
    let offsets = partition.offsets()?;
    let before = one.before.unwrap_or(offsets.high_watermark);
    if before > offsets.high_watermark {
        let valid = offsets.log_start..offsets.high_watermark;
        return Err(Error::OffsetOutOfRange { at: Box::new(Position::new(&partition, before)), valid });
    }
    Ok((partition, before))
}

fn print(out: &mut Output, session: &Session, one: &Deletion, outcome: stratalog::Result<u64>) -> Outcome {
    let Deletion { topic, partition, .. } = one;
    match (outcome, session.json()) {
        (Ok(start), false) => writeln!(out, "partition: {topic}-{partition}\tlow_watermark: {start}")?,
        (Err(failure), false) => writeln!(out, "partition: {topic}-{partition}\terror: {failure}")?,
        (Ok(start), true) => {
            out.json(&json!({ "topic": topic, "partition": partition, "lowWatermark": start }))?;
        }
        (Err(failure), true) => {
            out.json(&json!({ "topic": topic, "partition": partition, "error": failure.to_string() }))?;
        }
    }
    Ok(())
}

/// `{"version":1,"partitions":[{"topic":"orders","partition":0,"offset":100}]}`.
fn listed(text: &str) -> Outcome<Vec<Deletion>> {
    const SHAPE: &str = r#"{"version":1,"partitions":[{"topic":"orders","partition":0,"offset":100}]}"#;
    let wrong = |what: &str| Failure::failed(format!("{what}; the file should look like {SHAPE}"));
    let parsed: Value =
        serde_json::from_str(text).map_err(|failure| wrong(&format!("this is no JSON: {failure}")))?;
    if parsed.get("version").is_some_and(|version| *version != json!(1)) {
        return Err(wrong("the version is not 1"));
    }
    let partitions =
        parsed.get("partitions").and_then(Value::as_array).ok_or_else(|| wrong("there are no partitions"))?;
    let mut wanted: Vec<Deletion> = Vec::new();
    for entry in partitions {
        let topic = entry.get("topic").and_then(Value::as_str);
        let partition = entry.get("partition").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
        let offset = entry.get("offset").and_then(Value::as_i64).filter(|offset| *offset >= -1);
        let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) else {
            return Err(wrong(&format!("{entry} names no topic, partition and offset")));
        };
        if wanted.iter().any(|one| one.topic == topic && one.partition == partition) {
            return Err(wrong(&format!("{topic}-{partition} is named twice")));
        }
        wanted.push(Deletion { topic: topic.to_owned(), partition, before: u64::try_from(offset).ok() });
    }
    if wanted.is_empty() {
        output::warn("the file names no partition");
    }
    Ok(wanted)
}
