//! The main job, start to end: threads write to a topic while other threads read it back and check every record.
//!
//! ```sh
//! cargo run --release --example produce_consume -- [--dir DIR] [--records N] [--keep]
//! ```
//!
//! 1. *Pipeline*: three threads produce, in batches, to a topic of four partitions; two consumers read it meanwhile.
//! 2. *Latency*: single records at a steady rate, and a consumer that waits for each of them.
//! 3. *Replay*: the log is closed and opened again, and everything is read once more.
//!
//! Every record carries who sent it, its number and a checksum, so the consumers notice whatever is missing, doubled,
//! damaged or out of order; then the exit code is 1. The directory is a temporary one and removed at the end; with
//! `--keep` or `--dir` it stays, for you or for Kafka's tools to check.

mod check;
mod latency;
mod pipeline;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use stratalog::{EventLog, TopicConfig};

use report::Report;

/// Whatever can go wrong: an error of the log, or a record that is not what it should be.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

const PARTITIONS: u32 = 4;
/// Records of the pipeline: some seconds of work, also in a debug build.
const RECORDS: u64 = if cfg!(debug_assertions) { 300_000 } else { 8_000_000 };
const USAGE: &str = "usage: produce_consume [--dir DIR] [--records N] [--keep]";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("produce_consume: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("produce_consume: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Report> {
    let (path, temporary) = options.directory()?;
    let records = options.records;

    let log = EventLog::open(&path)?;
    let events = log.create_topic("events", TopicConfig::new().partitions(PARTITIONS))?;
    let pings = log.create_topic("pings", TopicConfig::new())?;
    let pipeline = pipeline::run(&log, &events, records)?;
    let latency = latency::run(&log, &pings, (records / 100).clamp(1, latency::MAX_PINGS))?;
    log.close()?;

    let log = EventLog::open(&path)?;
    let replay = pipeline::replay(&log, &log.topic("events")?, records)?;
    log.close()?;

    let kept = temporary.is_none().then_some(path);
    Ok(Report { pipeline, latency, replay, kept })
}

/// What the command line asks for.
struct Options {
    dir: Option<PathBuf>,
    records: u64,
    keep: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> std::result::Result<Self, String> {
        let mut options = Self { dir: None, records: RECORDS, keep: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "--dir" => options.dir = Some(arguments.next().ok_or("--dir needs a directory")?.into()),
                "--records" => {
                    let number = arguments.next().ok_or("--records needs a number")?;
                    options.records = match number.replace('_', "").parse() {
                        Ok(0) | Err(_) => {
                            return Err(format!("--records takes a whole number above 0, not {number:?}"));
                        }
                        Ok(records) => records,
                    };
                }
                unknown => return Err(format!("{unknown:?} is not an option")),
            }
        }
        Ok(options)
    }

    /// The directory to use and, if it is to be removed at the end, what removes it when dropped.
    fn directory(&self) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
        let Some(dir) = &self.dir else {
            let temporary = tempfile::Builder::new().prefix("stratalog-").tempdir()?;
            if self.keep {
                return Ok((temporary.keep(), None));
            }
            return Ok((temporary.path().into(), Some(temporary)));
        };
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(format!("{} is not empty; give a new directory", dir.display()).into());
        }
        Ok((dir.clone(), None))
    }
}
