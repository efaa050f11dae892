//! `groups --reset-offsets`: where a group continues.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use stratalog::{Clock, EventLog, Group, Position, SystemClock, Timestamp, TopicPartition};

use super::{Groups, listed, plan};
use crate::csv;
use crate::table::Table;
use crate::{Failure, Outcome, Output, Session, files, output, time};

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
    /// Go after the last record.
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
    /// Stay at what is committed, or go after the last record where nothing is.
    #[arg(long)]
    to_current: bool,
    /// Go to the offsets of a file with lines `topic,partition,offset` or `group,topic,partition,offset`, quoted as in
    /// RFC 4180; `-` is standard input.
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
pub(super) struct Move {
    pub(super) of: TopicPartition,
    pub(super) to: u64,
}

pub(super) fn run(options: &Groups, session: &Session) -> Outcome {
    let Reset { to, run } = &options.reset;
    let log = if run.execute { session.write()? } else { session.read()? };
    let groups = groups(options, &log)?;
    let one_group = options.group.len() == 1;
    let listed =
        to.from_file.as_deref().map(|path| listed::read(&files::text(path)?, one_group)).transpose()?;
    if let Some(lines) = &listed {
        listed::refuse_unfit(lines, &groups, options.all_groups)?;
    }
    // Everything is planned and checked before the first group is changed.
    let mut moves = Vec::new();
    for group in &groups {
        let planned = match &listed {
            Some(lines) => listed::moves(lines, &log, group)?,
            None => of_options(options, &log, group)?,
        };
        if planned.is_empty() && listed.is_none() {
            output::warn(format_args!("group {:?} has committed nothing, so nothing is reset", group.name()));
        }
        moves.push((group, planned));
    }
    if run.execute {
        super::refuse_members(&groups)?;
    }
    let (heading, lines) = lines(options, session, &moves);
    let mut out = Output::new();
    out.write_all(heading.as_bytes())?;
    for ((group, planned), text) in moves.iter().zip(&lines) {
        if run.execute {
            group.set_committed(planned.iter().map(|one| Position::new(&one.of, one.to)))?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    out.end()?;
    if !run.execute && !run.dry_run && !run.export {
        output::warn("nothing was done: without --execute this only shows what would be");
    }
    Ok(log.close()?)
}

/// A group that does not exist may be given offsets to begin with.
fn groups(options: &Groups, log: &EventLog) -> Outcome<Vec<Group>> {
    if options.all_groups {
        return Ok(log.groups()?);
    }
    super::named(options).into_iter().map(|name| Ok(log.group(name)?)).collect()
}

fn of_options(options: &Groups, log: &EventLog, group: &Group) -> Outcome<Vec<Move>> {
    let committed = group.committed()?;
    let mut moves = Vec::new();
    for of in plan::partitions(options, log, group)? {
        let before =
            committed.iter().find(|position| *position.topic_partition() == of).map(Position::offset);
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
pub(super) fn within(offset: u64, first: u64, end: u64, of: &TopicPartition) -> u64 {
    let inside = offset.clamp(first, end);
    if inside != offset {
        output::warn(format_args!(
            "offset {offset} is outside {of}, which holds {first} to {end}: it becomes {inside}"
        ));
    }
    inside
}

/// What was planned, as lines: the heading of a table first, then those of each group.
fn lines(options: &Groups, session: &Session, moves: &[(&Group, Vec<Move>)]) -> (String, Vec<String>) {
    let export = options.reset.run.export;
    let one_group = options.group.len() == 1;
    let mut table = Table::new([("GROUP", 15), ("TOPIC", 15), ("PARTITION", 10), ("NEW-OFFSET", 0)]);
    let mut written = Vec::new();
    for (group, planned) in moves {
        let mut text = String::new();
        for Move { of, to } in planned {
            let (name, topic, partition) = (group.name(), of.topic(), of.partition());
            let (number, offset) = (partition.to_string(), to.to_string());
            if session.json() {
                let line = json!({ "group": name, "topic": topic, "partition": partition, "newOffset": to });
                text += &line.to_string();
                text.push('\n');
            } else if export {
                // As Kafka's tool: the group is left out where it is the only one that was named.
                let skip = usize::from(one_group);
                text += &csv::line([name, topic, &number, &offset].into_iter().skip(skip));
                text.push('\n');
            } else {
                table.row([name.to_owned(), topic.to_owned(), number, offset]);
            }
        }
        written.push(text);
    }
    if export || session.json() {
        return (String::new(), written);
    }
    let table = table.text();
    let mut rows = table.split_inclusive('\n');
    let heading = format!("\n{}", rows.next().unwrap_or_default());
    (heading, moves.iter().map(|(_, planned)| rows.by_ref().take(planned.len()).collect()).collect())
}
