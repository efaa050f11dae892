//! `verify`: whether a directory is as it should be. Kafka has no tool for that.

use std::io::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use stratalog::inspect::{self, FutureSegment, Problem, ProblemKind, VerifyOptions, VerifyReport};

use super::lines::push_text;
use super::output::counted;
use super::progress::Bar;
use super::time::shown;
use super::{Failure, Outcome, Output, Session, Stop, output};

const EXAMPLES: &str = "\
Examples:
  stratalog verify --dir data
  stratalog verify --topic orders --json | jq .
  stratalog verify --repair

Exit codes: 0 all was checked and nothing is wrong, or all of it was repaired; 1 otherwise.";

/// Look at everything in the directory: checksums, offsets, indexes, snapshots, names.
///
/// One line per problem, with file and position. Works beside a program that writes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    /// Only the partitions of these topics.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    topic: Vec<String>,
    /// Take away what is derived from the records and wrong, to be rebuilt: indexes, snapshots, checkpoints. Records
    /// are never touched. No other program may have the directory open.
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(options: &Verify, session: &Session) -> Outcome {
    let dir = session.dir()?;
    // A directory that cannot be opened is one to be checked all the more.
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
    let ended = written.map_err(Failure::from).and_then(|()| end(&report, out, session.json()));
    let found = conclude(&report, || session.read().map(drop));
    match (found, ended) {
        // A closed output changes nothing of what was found.
        (found, Ok(()) | Err(Failure::ClosedPipe)) => found,
        (_, Err(failure)) => Err(failure),
    }
}

/// What is printed when all was checked.
fn end(report: &VerifyReport, mut out: Output, json: bool) -> Outcome {
    if json {
        for kept in &report.kept_by_future_timestamp {
            out.write_all(&future(kept))?;
        }
        out.write_all(&summary(report))?;
    }
    out.end()?;
    if !json {
        print_summary(report);
    }
    Ok(())
}

/// Everything that is wrong or was not checked is a failure.
fn conclude(report: &VerifyReport, open: impl FnOnce() -> Outcome) -> Outcome {
    let mut reasons = Vec::new();
    let wrong = report.problems - report.repaired;
    if wrong > 0 {
        reasons.push(counted(wrong, "problem", "problems"));
    }
    if report.unchecked_batches > 0 {
        let batches = counted(report.unchecked_batches, "batch", "batches");
        reasons.push(format!("the records of {batches} were not checked: their codec is not built in"));
    }
    if report.interrupted {
        reasons.push("stopped before everything was checked".to_owned());
    }
    if !reasons.is_empty() {
        return Err(Failure::failed(reasons.join("; ")));
    }
    match open() {
        Err(Failure::Failed(why) | Failure::Usage(why)) => Err(Failure::failed(format!(
            "no problem was found in the files, but the log cannot be opened: {why}"
        ))),
        opened => opened,
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

fn print_summary(report: &VerifyReport) {
    output::remark(format_args!(
        "{}, {}, {}, {}, {}, {}",
        counted(report.partitions, "partition", "partitions"),
        counted(report.segments, "segment", "segments"),
        counted(report.batches, "batch", "batches"),
        counted(report.records, "record", "records"),
        counted(report.index_entries, "entry beside them", "entries beside them"),
        counted(report.bytes, "byte", "bytes")
    ));
    if !report.clean && report.tail_bytes > 0 {
        output::print_note(format_args!(
            "the directory was not closed cleanly, or is open now: {} at the ends of logs hold no complete batch yet",
            counted(report.tail_bytes, "byte", "bytes")
        ));
    }
    for kept in &report.kept_by_future_timestamp {
        output::print_note(format_args!(
            "{} is old, but kept, with all later records, because a record has a timestamp in the future, {}",
            kept.path.display(),
            shown(kept.timestamp)
        ));
    }
    if report.repaired > 0 {
        let problems = counted(report.repaired, "problem was", "problems were");
        output::print_note(format_args!("{problems} repaired"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(change: fn(&mut VerifyReport), opened: Outcome) -> Option<String> {
        let mut report = VerifyReport::default();
        change(&mut report);
        match conclude(&report, || opened) {
            Ok(()) => None,
            Err(Failure::Failed(why)) => Some(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_that_is_wrong_or_was_not_checked_is_a_failure() {
        let cannot = || Err(Failure::failed("it is newer"));
        assert_eq!(reported(|_| {}, Ok(())), None);
        assert_eq!(reported(|report| (report.problems, report.repaired) = (2, 2), Ok(())), None);
        for (change, reason) in [
            ((|report| report.problems = 1) as fn(&mut VerifyReport), "1 problem"),
            (|report| (report.problems, report.repaired) = (3, 1), "2 problems"),
            (
                |report| report.unchecked_batches = 1,
                "the records of 1 batch were not checked: their codec is not built in",
            ),
            (|report| report.interrupted = true, "stopped before everything was checked"),
        ] {
            for opened in [Ok(()), cannot()] {
                assert_eq!(reported(change, opened).unwrap(), reason);
            }
        }
        assert!(reported(|_| {}, cannot()).unwrap().ends_with("the log cannot be opened: it is newer"));
    }
}
