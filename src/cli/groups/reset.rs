//! `groups --reset-offsets`: where a group goes on.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use stratalog::{Clock, EventLog, Group, Position, SystemClock, Timestamp, TopicPartition};

use super::{Groups, plan};
use crate::cli::table::Table;
use crate::cli::{Failure, Outcome, Output, Session, files, output, time};

#[derive(Debug, Args)]
pub(super) struct Reset {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Args)]
#[group(id = "how", multiple = false)]
struct To {
    /// Go to the first record there is.
    #[arg(long)]
    to_earliest: bool,
    /// Go behind the last record.
    #[arg(long)]
    to_latest: bool,
    /// Go to this offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<u64>,
    /// Go so many offsets forward, or back if the number is negative.
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// Go to the first record at or after this time: YYYY-MM-DDTHH:mm:ss.sss.
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    to_datetime: Option<Timestamp>,
    /// Go to the first record of this last span of time: `PnDTnHnMnS`.
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    by_duration: Option<Duration>,
    /// Stay at what is committed, or go behind the last record where nothing is.
    #[arg(long)]
    to_current: bool,
    /// Go to the offsets of a file with lines `topic,partition,offset` or `group,topic,partition,offset`; `-` is standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "all_topics"])]
    from_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Run {
    /// Only show what would be done; so it is without --execute.
    #[arg(long)]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    execute: bool,
    /// Print the offsets as lines for --from-file, and do nothing.
    #[arg(long)]
    export: bool,
}

impl Reset {
    /// Whether any of it was asked for.
    pub(super) fn is_given(&self) -> bool {
        let To {
            to_earliest,
            to_latest,
            to_offset,
            shift_by,
            to_datetime,
            by_duration,
            to_current,
            from_file,
        } = &self.to;
        let Run { dry_run, execute, export } = &self.run;
        [to_earliest, to_latest, to_current, dry_run, execute, export].into_iter().any(|given| *given)
            || to_offset.is_some()
            || shift_by.is_some()
            || to_datetime.is_some()
            || by_duration.is_some()
            || from_file.is_some()
    }
}

/// A partition of a group, and where it goes.
struct Move {
    of: TopicPartition,
    to: u64,
}

pub(super) fn run(options: &Groups, session: &Session) -> Outcome {
    let Reset { to, run } = &options.reset;
    let log = if run.execute { session.write()? } else { session.read()? };
    let groups = groups(options, &log)?;
    let listed = to.from_file.as_deref().map(|path| read(&files::text(path)?)).transpose()?;
    let mut moves = Vec::new();
    for group in &groups {
        let planned = match &listed {
            Some(lines) => of_file(lines, &log, group)?,
            None => of_options(options, &log, group)?,
        };
        moves.push((group, planned));
    }
    if run.execute {
        for (group, planned) in &moves {
            group.set_committed(planned.iter().map(|one| Position::new(&one.of, one.to)))?;
        }
    } else if !run.dry_run && !run.export {
        output::warn("nothing was done: without --execute this only shows what would be");
    }
    log.close()?;
    print(run.export, session, &moves)
}

/// A group that does not exist may be given offsets to begin with.
fn groups(options: &Groups, log: &EventLog) -> Outcome<Vec<Group>> {
    if options.all_groups {
        return Ok(log.groups()?);
    }
    options.group.iter().map(|name| Ok(log.group(name)?)).collect()
}

fn of_options(options: &Groups, log: &EventLog, group: &Group) -> Outcome<Vec<Move>> {
    let committed = group.committed()?;
    let mut moves = Vec::new();
    for of in plan::partitions(options, log, group)? {
        let before = committed.iter().find(|position| *position.partition() == of).map(Position::offset);
        let to = target(&options.reset.to, log, &of, before)?;
        moves.push(Move { of, to });
    }
    Ok(moves)
}

fn target(to: &To, log: &EventLog, of: &TopicPartition, committed: Option<u64>) -> Outcome<u64> {
    let partition = log.topic(of.topic())?.partition(of.partition())?;
    let offsets = partition.offsets()?;
    let (first, end) = (offsets.log_start, offsets.high_watermark);
    let at = |time: Timestamp| Ok::<_, Failure>(partition.offset_for_time(time)?.unwrap_or(end));
    match to {
        To { to_earliest: true, .. } => Ok(first),
        To { to_latest: true, .. } => Ok(end),
        To { to_current: true, .. } => Ok(committed.unwrap_or(end)),
        To { to_offset: Some(offset), .. } => Ok(within(*offset, first, end, of)),
        To { shift_by: Some(by), .. } => {
            let missing =
                || Failure::failed(format!("nothing is committed of {of}, so there is nothing to shift"));
            Ok(within(committed.ok_or_else(missing)?.saturating_add_signed(*by), first, end, of))
        }
        To { to_datetime: Some(time), .. } => at(*time),
        To { by_duration: Some(span), .. } => {
            let back = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            at(Timestamp::from_millis(SystemClock.now().as_millis().saturating_sub(back)))
        }
        _ => Err(Failure::usage("where to? give --to-earliest, --to-latest, --to-offset, …: see --help")),
    }
}

/// An offset outside the log is brought to its nearest end.
fn within(offset: u64, first: u64, end: u64, of: &TopicPartition) -> u64 {
    let inside = offset.clamp(first, end);
    if inside != offset {
        output::warn(format_args!(
            "offset {offset} is outside {of}, which holds {first} to {end}: it becomes {inside}"
        ));
    }
    inside
}

/// A line of a file: of which group, if it says so, and which partition, where to.
struct Line {
    group: Option<String>,
    of: TopicPartition,
    to: u64,
}

fn read(text: &str) -> Outcome<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let fields: Vec<&str> = text.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let parsed = match fields.as_slice() {
            [topic, partition, offset] => parse(None, topic, partition, offset),
            [group, topic, partition, offset] => parse(Some((*group).to_owned()), topic, partition, offset),
            _ => None,
        };
        let wrong = || {
            format!(
                "line {}: {text:?} is not topic,partition,offset or group,topic,partition,offset",
                number + 1
            )
        };
        lines.push(parsed.ok_or_else(|| Failure::failed(wrong()))?);
    }
    Ok(lines)
}

fn parse(group: Option<String>, topic: &str, partition: &str, offset: &str) -> Option<Line> {
    let of = (topic, partition.parse().ok()?).into();
    Some(Line { group, of, to: offset.parse().ok()? })
}

fn of_file(lines: &[Line], log: &EventLog, group: &Group) -> Outcome<Vec<Move>> {
    let mut moves: Vec<Move> = Vec::new();
    for line in lines.iter().filter(|line| line.group.as_deref().is_none_or(|name| name == group.name())) {
        let offsets = log.topic(line.of.topic())?.partition(line.of.partition())?.offsets()?;
        if moves.iter().any(|one| one.of == line.of) {
            return Err(Failure::failed(format!("{} is named twice", line.of)));
        }
        let to = within(line.to, offsets.log_start, offsets.high_watermark, &line.of);
        moves.push(Move { of: line.of.clone(), to });
    }
    Ok(moves)
}

fn print(export: bool, session: &Session, moves: &[(&Group, Vec<Move>)]) -> Outcome {
    let mut out = Output::new();
    let mut table = Table::new([("GROUP", 15), ("TOPIC", 15), ("PARTITION", 10), ("NEW-OFFSET", 0)]);
    for (group, planned) in moves {
        for Move { of, to } in planned {
            let (name, topic, partition) = (group.name(), of.topic(), of.partition());
            if session.json() {
                out.json(&json!({ "group": name, "topic": topic, "partition": partition, "newOffset": to }))?;
            } else if !export {
                table.row([name.to_owned(), topic.to_owned(), partition.to_string(), to.to_string()]);
            } else if moves.len() == 1 {
                writeln!(out, "{topic},{partition},{to}")?;
            } else {
                writeln!(out, "{name},{topic},{partition},{to}")?;
            }
        }
    }
    if !export && !session.json() {
        writeln!(out)?;
        out.write_all(table.text().as_bytes())?;
    }
    out.end()
}
