//! The power is cut while snapshots are made: the log and the snapshot are on one disk. Each state that it may then have is compared:
//! the snapshot is absent, or opens clean with all that was acknowledged; it is there once the call has returned; and the log is as
//! after any other power cut.

use std::collections::BTreeMap;

use super::power::{Cut, recording, taken};
use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::comparison::{After, compare};
use crate::disk::{self, Density};
use crate::interpose::unseen;
use crate::keep::Findings;
use crate::life;
use crate::oracle::oracle;
use crate::random::Random;
use crate::session::{Operation, Session, options};
use crate::snapshots;

/// Operations of one life, and after how many a snapshot is made.
const LIFE: u64 = 60;
const BETWEEN: u64 = 12;
/// Where the power is cut while one is made.
const POINTS: Density = Density::PerMille(150);

#[derive(Default)]
struct Compared {
    snapshots: u64,
    /// States by whether the snapshot was there.
    there: u64,
    absent: u64,
    by_call: BTreeMap<&'static str, u64>,
}

pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "lives", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, lives): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("lives", 8)?);
    println!("snapshot --seed {seed} --lives {lives}");
    let mut findings = Findings::new(&directory);
    let mut compared = Compared::default();
    for seed in seed..seed + lives {
        let home = fresh(&directory.join("home"))?;
        let mut random = Random::new(seed);
        let mut session = Session::new(&home.join("log"), seed % 4);
        let (disk, cuts) = recording(&home, seed, Density::PerMille(0));
        disk::record(Some(disk));
        let command = format!("crash snapshot --lives 1 --seed {seed}");
        for step in 1..=LIFE {
            session.perform(&life::next(&mut random));
            if step % BETWEEN == 0 {
                disk::set_density(POINTS);
                session.perform(&Operation::Snapshot);
                disk::set_density(Density::PerMille(0));
                compared.snapshots += 1;
                for cut in taken(&cuts) {
                    let state = directory.join("state");
                    let outcome =
                        disk::pause(|| unseen(|| caught(|| survives(&cut, &state, &session, &mut compared))));
                    if let Err(reason) = outcome {
                        let reason = format!(
                            "{reason}\n(power cut {}, of what was not synced {:?} is left)",
                            cut.what, cut.left
                        );
                        findings.save(&command, &reason, &cut.oracle.trace_end(30), Some(&cut.tree));
                    }
                }
            }
            if !session.violations.is_empty() || findings.are_enough() {
                break;
            }
        }
        let unexplained = disk::record(None).map(|disk| disk.unexplained).unwrap_or_default();
        session.violations.extend(unexplained);
        session.close();
        for violation in &session.violations {
            findings.save(&command, violation, &oracle(|oracle| oracle.trace_end(60)), None);
        }
    }
    let Compared { snapshots, there, absent, by_call } = compared;
    println!(
        "snapshots {snapshots}, states with one {there}, without {absent}, violations {}",
        findings.count
    );
    println!("{by_call:?}");
    Ok(findings.count)
}

fn survives(
    cut: &Cut,
    state: &std::path::Path,
    session: &Session,
    compared: &mut Compared,
) -> Result<(), String> {
    cut.tree.write(state).map_err(|failure| failure.to_string())?;
    *compared.by_call.entry(cut.what).or_default() += 1;
    let copy = state.join("log.snapshot");
    if copy.exists() {
        compared.there += 1;
        snapshots::compare_at(&copy, session.mode, &session.clock, &cut.oracle)
            .map_err(|reason| format!("a snapshot: {reason}"))?;
    } else {
        compared.absent += 1;
        if cut.what == "end" {
            return Err("an acknowledged snapshot is gone".into());
        }
    }
    let log = options(session.mode, &session.clock)
        .open(state.join("log"))
        .map_err(|failure| format!("open: {failure}"))?;
    compare(&log, &cut.oracle, After::Power)?;
    log.close().map_err(|failure| format!("close: {failure}"))
}
