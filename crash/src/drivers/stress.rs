//! All calls from many threads at once, with readers of the same directory beside them. Half of the sessions close the log
//! under the threads. Each session is compared after it.

use std::path::Path;
use std::sync::atomic::Ordering;

use stratalog::Maintenance;

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::backups;
use crate::comparison::{After, compare};
use crate::keep::Findings;
use crate::load::{self, Load};
use crate::oracle::{Oracle, oracle, trace};
use crate::tail::tail;
use crate::tree::Tree;

/// Operations of each thread in a session.
const OPERATIONS: u64 = 150;

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, runs): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("runs", 20)?);
    println!("stress --seed {seed} --runs {runs}");
    let mut findings = Findings::new(&directory);
    let root = fresh(&directory.join("log"))?;
    oracle(|oracle| *oracle = Oracle::of_load());
    let (mut operations, mut read) = (0, 0);
    for number in 0..runs {
        let outcome = caught(|| session(&root, seed + number, &mut operations, &mut read));
        if let Err(reason) = outcome {
            let command = format!("crash stress --seed {seed} --runs {}", number + 1);
            let trace = oracle(|oracle| oracle.trace_end(60));
            findings.save(
                &command,
                &format!("session {number}: {reason}"),
                &trace,
                Tree::read(&root).ok().as_ref(),
            );
            break;
        }
    }
    println!(
        "sessions {runs}, operations {operations}, read beside them {read}, violations {}",
        findings.count
    );
    Ok(findings.count)
}

fn session(root: &Path, seed: u64, operations: &mut u64, read: &mut u64) -> Result<(), String> {
    let closes_meanwhile = seed.is_multiple_of(2);
    let log = load::options(seed / 2).open(root).map_err(|failure| format!("open: {failure}"))?;
    let snapshots = root.with_extension("snapshot");
    let load = Load::new(seed, OPERATIONS, closes_meanwhile).with_snapshots(snapshots.clone());
    let say = |line: String| {
        oracle(|oracle| {
            // What the oracle does not understand is an error of the load: it shows at the end.
            if oracle.hear(&line).is_none() {
                oracle.trace.push(format!("NOT UNDERSTOOD {line}"));
            }
        });
        trace(line);
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| tail(root, 50, &load.stop));
        let closer = closes_meanwhile.then(|| {
            scope.spawn(|| {
                while load.done.load(Ordering::Relaxed) < OPERATIONS * 3 && !load.stop.load(Ordering::Relaxed)
                {
                    std::thread::yield_now();
                }
                log.close().map_err(|failure| format!("close under threads: {failure}"))
            })
        });
        let outcome = load.run(&log, &say);
        load.stop.store(true, Ordering::Relaxed);
        outcome?;
        if let Some(closer) = closer {
            closer.join().unwrap_or(Err("a panic in close".into()))?;
        }
        *read += reader.join().unwrap_or(Err("a panic in a reader".into()))?;
        Ok::<(), String>(())
    })?;
    backups::compare(&snapshots)?;
    *operations += load.done.load(Ordering::Relaxed);
    log.close().map_err(|failure| format!("close: {failure}"))?;
    drop(log);
    if let Some(line) = oracle(|oracle| oracle.trace.iter().find(|line| line.starts_with("NOT")).cloned()) {
        return Err(line);
    }
    let log = load::options(seed).maintenance(Maintenance::Manual).open(root);
    let log = log.map_err(|failure| format!("open after: {failure}"))?;
    if !log.recovery().clean {
        return Err("a log that was closed cleanly is not clean".into());
    }
    let mut found = compare(&log, &oracle(|oracle| oracle.clone()), After::Close)?;
    log.close().map_err(|failure| format!("close after: {failure}"))?;
    found.forget_gone();
    found.trace.clear();
    oracle(|oracle| *oracle = found);
    Ok(())
}
