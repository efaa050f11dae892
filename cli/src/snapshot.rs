//! `snapshot`: a copy of the log at one point. Kafka has no such tool: one stops the broker and copies its directory.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stratalog::Snapshot as Made;

use super::output::counted;
use super::{Failure, Outcome, Output, Session};

const EXAMPLES: &str = "\
Examples:
  stratalog snapshot --dir data --to monday
  stratalog snapshot --dir data --to /mnt/backup/monday";

/// Make a copy of the log in another directory: a backup.
///
/// On the same file system what is finished is reflinked or hard-linked, on another one it is copied. The copy opens as a log
/// that was closed cleanly, here and under a Kafka broker. A log that was not closed cleanly is recovered first.
///
/// No other process may have the directory open. A program that has it open makes a snapshot itself, while it writes, by
/// the library's call `snapshot_to`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Snapshot {
    /// The directory to make, new or empty. Its parent must be there.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(super) fn run(options: &Snapshot, session: &Session) -> Outcome {
    let log = match session.open_to_fill(session.existing_dir()?) {
        Err(Failure::Locked { path, by }) => return Err(held(&path, &by)),
        opened => opened?,
    };
    let made = log.snapshot_to(&options.to);
    let closed = log.close();
    let made = made?;
    closed?;
    print(&made, session)
}

fn held(path: &str, by: &str) -> Failure {
    Failure::failed(format!(
        "{path} is held by {by}, which alone can make a snapshot of it: have it call EventLog::snapshot_to, or stop it; \
         `stratalog mirror` copies the records of a log that is in use, but not as of one point"
    ))
}

fn print(made: &Made, session: &Session) -> Outcome {
    let mut out = Output::new();
    let partitions = made.partitions().len();
    let (linked, reflinked, copied) = (made.bytes_linked(), made.bytes_reflinked(), made.bytes_copied());
    if session.json() {
        out.json(&json!({
            "directory": made.directory().display().to_string(),
            "topics": made.topics(),
            "partitions": partitions,
            "bytesLinked": linked,
            "bytesReflinked": reflinked,
            "bytesCopied": copied,
        }))?;
        return out.end();
    }
    let topics = counted(made.topics() as u64, "topic", "topics");
    let partitions = counted(partitions as u64, "partition", "partitions");
    writeln!(out, "{}: {topics}, {partitions}", made.directory().display())?;
    for (bytes, how) in [(linked, "hard-linked"), (reflinked, "reflinked"), (copied, "copied")] {
        if bytes > 0 {
            writeln!(out, "{} {how}", counted(bytes, "byte", "bytes"))?;
        }
    }
    out.end()
}
