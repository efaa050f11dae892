//! A run: piece after piece, each in a process of its own. Participants take turns within a workload, round after round, so that what
//! changes on the machine meanwhile changes for all of them.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{self, Steal};
use crate::options::Options;
use crate::plan::{OF_JAVA, Workload};
use crate::results::{Figure, Outcome, Piece, Results};
use crate::work::limits::empty_loop;
use crate::{Failure, Result, java};

/// No piece takes so long unless it hangs.
const MAX_PIECE: Duration = Duration::from_secs(60);
/// A curve has many points, and nothing beside it to be compared with.
const MAX_CURVE_ROUNDS: u32 = 3;
const POLL: Duration = Duration::from_millis(5);
/// Between two pieces.
const EMPTY_LOOP_SECONDS: f64 = 0.02;
/// Steps of the empty loop that are longer were interrupted.
const INTERRUPTED_NANOSECONDS: u64 = 1000;

pub(crate) fn run(options: &Options) -> Result<Results> {
    std::fs::create_dir_all(&options.directory)?;
    let steal = Steal::begin();
    let begin = Instant::now();
    let mut results = Results {
        machine: machine::describe(&options.directory),
        rounds: options.rounds,
        seconds: options.seconds,
        mib: options.mib,
        pieces: Vec::new(),
    };
    for workload in &options.workloads {
        let rounds = if workload.measures().is_empty() { MAX_CURVE_ROUNDS } else { u32::MAX };
        for round in 1..=options.rounds.min(rounds) {
            for participant in workload.participants().iter().filter(|name| options.has(name)) {
                run_piece(options, *workload, participant, round, &mut results)?;
            }
        }
    }
    results.machine.insert("time stolen by the host".into(), format!("{:.1} %", steal.percent()));
    results.machine.insert("minutes".into(), format!("{:.1}", begin.elapsed().as_secs_f64() / 60.0));
    Ok(results)
}

fn run_piece(
    options: &Options,
    workload: Workload,
    participant: &str,
    round: u32,
    results: &mut Results,
) -> Result<()> {
    let name = workload.name();
    let has_failed =
        results.pieces(&name, participant).any(|piece| !matches!(piece.outcome, Outcome::Figures(_)));
    if has_failed {
        return Ok(());
    }
    let directory = tempfile::tempdir_in(&options.directory)?;
    let begin = Instant::now();
    // What the piece before left to write is written now.
    rustix::fs::syncfs(File::open(directory.path())?)?;
    let interrupted = interrupted();
    let outcome = match command(options, workload, participant, directory.path(), round == 1) {
        Err(why) => Outcome::Skipped(why),
        Ok(mut command) => match figures(&mut command) {
            Ok(figures) => Outcome::Figures(figures),
            Err(failure) => Outcome::Failed(failure.to_string()),
        },
    };
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{round} {name:12} {participant:24} {seconds:5.1} s: {}", in_short(&outcome));
    results.pieces.push(Piece {
        workload: name,
        participant: participant.into(),
        round,
        interrupted,
        outcome,
    });
    Ok(())
}

/// The share of time.
fn interrupted() -> f64 {
    let steps = empty_loop(EMPTY_LOOP_SECONDS);
    steps.time_above(INTERRUPTED_NANOSECONDS) / steps.time_above(0)
}

/// Or why there is none.
fn command(
    options: &Options,
    workload: Workload,
    participant: &str,
    directory: &Path,
    is_checked: bool,
) -> std::result::Result<Command, String> {
    let mut command = if OF_JAVA.contains(&participant) {
        java::command(options.java.as_ref().map_err(String::clone)?)
    } else {
        let mut own = Command::new(std::env::current_exe().map_err(|failure| failure.to_string())?);
        own.arg("piece");
        own
    };
    command
        .arg(participant)
        .arg(workload.name())
        .arg(directory)
        .args([options.seconds.to_string(), options.mib.to_string(), is_checked.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// What the process prints.
fn figures(command: &mut Command) -> Result<Vec<Figure>> {
    let mut child = command.spawn()?;
    wait(&mut child)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(Failure::from(format!("{}: {}", output.status, last.trim())));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Figures are fewer bytes than a pipe holds, so the process ends without being read.
fn wait(child: &mut Child) -> Result<()> {
    let begin = Instant::now();
    while child.try_wait()?.is_none() {
        if begin.elapsed() > MAX_PIECE {
            child.kill()?;
            child.wait()?;
            return Err(Failure::from(format!("had not ended after {} seconds", MAX_PIECE.as_secs())));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn in_short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Skipped(why) => format!("SKIPPED: {why}"),
        Outcome::Failed(why) => format!("FAILED: {why}"),
        Outcome::Figures(figures) => {
            let each = figures.iter().take(4).map(|figure| format!("{} {:.0}", figure.name, figure.value));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_what_a_process_prints() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
            figures(&mut command)
        };
        let right = shell(r#"echo '[{"name":"records/s","value":12.5}]'"#).unwrap();
        assert_eq!((&*right[0].name, right[0].value), ("records/s", 12.5));
        let failure = shell("echo one >&2; echo two >&2; echo >&2; exit 3").unwrap_err().to_string();
        assert!(failure.ends_with(": two"), "{failure}");
        assert!(shell("echo '[1'").is_err());
    }
}
