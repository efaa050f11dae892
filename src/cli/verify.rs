//! `verify`: whether a directory is as it should be. Kafka has no tool for that.

use std::io::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use stratalog::inspect::{self, FutureSegment, Problem, ProblemKind, VerifyOptions, VerifyReport};

use super::lines::push_text;
use super::progress::Bar;
use super::time::shown;
use super::{Failure, Outcome, Output, Session, Stop, output};

const EXAMPLES: &str = "\
Examples:
  stratalog verify --dir data
  stratalog verify --topic orders --json | jq .
  stratalog verify --repair

Exit codes: 0 nothing is wrong, or all of it was repaired; 1 something is wrong.";

/// Look at everything in the directory: checksums, offsets, indexes, snapshots, names.
///
/// One line per problem, with file and position. Works beside a program that writes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    /// Only the partitions of these topics.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    topic: Vec<String>,
    /// Take away what is derived from the records and wrong, to be made anew: indexes, snapshots, checkpoints. Records
    /// are never touched. No other program may have the directory open.
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(options: &Verify, session: &Session) -> Outcome {
    let dir = session.dir()?;
    // A directory that cannot be opened is one to be looked at all the more.
    if let Ok(log) = session.read() {
        for topic in &options.topic {
            log.topic(topic)?;
        }
    }
    let stop = Stop::on_signals()?;
    let mut out = Output::new();
    let bar = Bar::beside_output("verifying", 0);
    let mut settings = VerifyOptions::new().repair(options.repair).on_progress(|done, total| {
        bar.set_of(done, total);
        if stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(bytes) = session.decompressed() {
        settings = settings.max_decompressed_batch_bytes(bytes);
    }
    if !options.topic.is_empty() {
        settings = settings.topics(options.topic.iter().cloned());
    }
    let mut written = Ok(());
    let report = inspect::verify(dir, settings, |problem| {
        if written.is_ok() {
            written = print(problem, session.json(), &mut out);
        }
    });
    bar.end();
    let report = report?;
    written?;
    let wrong = report.problems - report.repaired;
    if session.json() {
        for kept in &report.kept_by_future_timestamp {
            out.write_all(&future(kept))?;
        }
        out.write_all(&summary(&report))?;
    }
    out.end()?;
    if !session.json() {
        tell(&report);
    }
    if report.interrupted {
        return Err(Failure::failed("stopped before everything was looked at"));
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::failed("1 problem")),
        _ => Err(Failure::failed(format!("{wrong} problems"))),
    }
}

fn print(problem: &Problem, json: bool, out: &mut Output) -> std::io::Result<()> {
    if !json {
        return writeln!(out, "{problem}").and_then(|()| out.flush());
    }
    let mut line = b"{\"type\":\"problem\",\"path\":".to_vec();
    push_text(&problem.path.to_string_lossy(), &mut line);
    for (name, number) in [("position", problem.position), ("offset", problem.offset)] {
        match number {
            Some(number) => write!(line, ",\"{name}\":{number}")?,
            None => write!(line, ",\"{name}\":null")?,
        }
    }
    write!(line, ",\"kind\":\"{}\",\"reason\":", word(problem.kind))?;
    push_text(&problem.reason, &mut line);
    writeln!(line, ",\"repaired\":{}}}", problem.repaired)?;
    out.write_all(&line)?;
    out.flush()
}

fn word(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Log => "log",
        ProblemKind::Missing => "missing",
        ProblemKind::Derived => "derived",
        ProblemKind::Checkpoint => "checkpoint",
        ProblemKind::Catalog => "catalog",
        ProblemKind::Name => "name",
        _ => "unreadable",
    }
}

fn future(kept: &FutureSegment) -> Vec<u8> {
    let mut line = b"{\"type\":\"keptByFutureTimestamp\",\"path\":".to_vec();
    push_text(&kept.path.to_string_lossy(), &mut line);
    line.extend(format!(",\"timestamp\":{}}}\n", kept.timestamp.as_millis()).bytes());
    line
}

fn summary(report: &VerifyReport) -> Vec<u8> {
    format!(
        "{{\"type\":\"summary\",\"clean\":{},\"partitions\":{},\"segments\":{},\"batches\":{},\"records\":{},\
         \"indexEntries\":{},\"bytes\":{},\"uncheckedBatches\":{},\"tailBytes\":{},\"leftovers\":{},\"problems\":{},\
         \"repaired\":{},\"interrupted\":{}}}\n",
        report.clean,
        report.partitions,
        report.segments,
        report.batches,
        report.records,
        report.index_entries,
        report.bytes,
        report.unchecked_batches,
        report.tail_bytes,
        report.leftovers,
        report.problems,
        report.repaired,
        report.interrupted,
    )
    .into_bytes()
}

fn tell(report: &VerifyReport) {
    output::remark(format_args!(
        "{} partitions, {} segments, {} batches, {} records, {} entries beside them, {} bytes",
        report.partitions,
        report.segments,
        report.batches,
        report.records,
        report.index_entries,
        report.bytes
    ));
    if !report.clean && report.tail_bytes > 0 {
        output::note(format_args!(
            "the directory was not closed in order, or is open now: {} bytes at the ends of logs hold no whole batch yet",
            report.tail_bytes
        ));
    }
    if report.unchecked_batches > 0 {
        output::warn(format_args!(
            "the records of {} batches were not looked at: their codec is not built in",
            report.unchecked_batches
        ));
    }
    for kept in &report.kept_by_future_timestamp {
        output::note(format_args!(
            "{} is old, but kept, with all later records, because a record has a timestamp in the future, {}",
            kept.path.display(),
            shown(kept.timestamp)
        ));
    }
    if report.repaired > 0 {
        output::note(format_args!("{} problems were repaired", report.repaired));
    }
}
