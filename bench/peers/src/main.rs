//! Measures stratalog and what its users would pick instead, in one sitting. See `README.md`.

mod clock;
mod curves;
mod histogram;
mod java;
mod machine;
mod options;
mod peer;
mod peers;
mod piece;
mod plan;
mod records;
mod report;
mod results;
mod session;
mod work;

use std::path::Path;
use std::process::ExitCode;

use options::Options;
use plan::Workload;
use results::Results;
use work::Task;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["piece", participant, workload, directory, seconds, mib, is_checked] => {
            run_piece(participant, workload, directory, [seconds, mib, is_checked])
        }
        ["report", results, out] => report_of(Path::new(results), Path::new(out)),
        _ => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// All pieces, and the report of them.
fn measure(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let results = session::run(&options)?;
    report::write(&results, &options.out)
}

/// In a process of its own, that the session began. Prints the figures.
fn run_piece(participant: &str, workload: &str, directory: &str, length: [&str; 3]) -> Result<()> {
    let workload = Workload::of(workload).ok_or("no such workload")?;
    let [seconds, mib, is_checked] = length;
    let task = Task {
        directory: directory.into(),
        seconds: seconds.parse()?,
        mib: mib.parse()?,
        is_checked: is_checked.parse()?,
    };
    let figures = piece::run(participant, workload, &task)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// The report anew, of results that were written before.
fn report_of(results: &Path, out: &Path) -> Result<()> {
    let results: Results = serde_json::from_slice(&std::fs::read(results)?)?;
    report::write(&results, out)
}
