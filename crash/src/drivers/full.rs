//! A disk that is really full: a small file system of its own, filled to the last block. Every call works or changes
//! nothing, and when there is space again all continue with the log that they have.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use stratalog::Error;

use super::faults::{ends_well, is_true};
use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::interpose::unseen;
use crate::judge::After;
use crate::keep::Findings;
use crate::life;
use crate::oracle::oracle;
use crate::random::Random;
use crate::session::{Operation, Outcome, Session};
use crate::tree::Tree;

/// Operations before the disk is full, while it is, and when there is space again.
const BEFORE: u64 = 40;
const FULL: u64 = 60;
const AFTER: u64 = 30;

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "mebibytes", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, runs): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("runs", 20)?);
    let mebibytes: u64 = arguments.get("mebibytes", 8)?;
    println!("full --seed {seed} --runs {runs} --mebibytes {mebibytes}");
    let mut findings = Findings::new(&directory);
    let (mut refused, mut done) = (0, 0);
    for number in 0..runs {
        let Some(disk) = SmallDisk::mount(&directory.join("disk"), mebibytes) else {
            println!("full: no file system can be mounted here, so nothing was tried");
            return Ok(0);
        };
        let mut session = Session::new(&fresh(&disk.at.join("log"))?, seed % 4);
        let copy = directory.join("copy");
        let outcome = caught(|| live(&mut session, &disk, seed + number, &copy));
        session.violations.extend(outcome.err());
        refused += session.errors.values().sum::<u64>();
        done += 1;
        let tree = Tree::read(&session.root).ok();
        session.die();
        for violation in std::mem::take(&mut session.violations) {
            let command = format!("crash full --runs 1 --seed {} --mebibytes {mebibytes}", seed + number);
            findings.keep(&command, &violation, &oracle(|oracle| oracle.trace_end(40)), tree.as_ref());
        }
        if findings.are_enough() {
            break;
        }
    }
    println!("disks filled {done}, calls refused {refused}, violations {}", findings.count);
    Ok(findings.count)
}

fn live(session: &mut Session, disk: &SmallDisk, seed: u64, copy: &Path) -> Result<(), String> {
    let mut random = Random::new(seed);
    for _ in 0..BEFORE {
        session.perform(&life::next(&mut random));
    }
    session.may_fail = true;
    // Nothing fails but for space.
    session.may_poison = false;
    let mut judged = 0;
    for number in 0..FULL {
        // What frees some blocks is followed by calls that find none again.
        if number % 4 == 0 {
            disk.fill()?;
        }
        if let Outcome::Failed(failure) = session.perform(&life::next(&mut random)) {
            if !matches!(failure, Error::StorageFull { .. }) {
                return Err(format!("on a full disk: {failure}"));
            }
            judged += 1;
            if judged <= 3 {
                is_true(session, &failure, copy)?;
            }
        }
        if !session.violations.is_empty() {
            return Ok(());
        }
    }
    disk.free()?;
    session.may_fail = false;
    for _ in 0..AFTER {
        session.perform(&life::next(&mut random));
    }
    session.perform(&Operation::SyncAll);
    if session.log.is_some() {
        session.judge(After::Close);
    }
    ends_well(session)
}

/// A file system in memory, gone when this is.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u64) -> Option<Self> {
        let at = fresh(at).ok()?;
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "crash"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { at })
    }

    /// Takes what is left, down to the last block.
    fn fill(&self) -> Result<(), String> {
        unseen(|| {
            let failed = |failure: std::io::Error| format!("ballast: {failure}");
            let ballast = File::options().append(true).create(true).open(self.at.join("ballast"));
            let mut ballast = ballast.map_err(failed)?;
            for block in [vec![0; 1 << 20], vec![0; 4096]] {
                while ballast.write_all(&block).is_ok() {}
            }
            Ok(())
        })
    }

    fn free(&self) -> Result<(), String> {
        unseen(|| fs::remove_file(self.at.join("ballast"))).map_err(|failure| format!("ballast: {failure}"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
