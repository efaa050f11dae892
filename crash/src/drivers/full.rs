//! A disk that is really full, or a quota that is used up: a small file system of its own, filled to the last block. Every call
//! works or changes nothing, and when there is space again all continue with the log that they have.

use std::path::Path;

use stratalog::Error;

use super::faults::{ends_well, is_true};
use super::small_disk::{KINDS, Kind, SmallDisk};
use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::calls;
use crate::comparison::After;
use crate::keep::Findings;
use crate::life;
use crate::oracle::{Stage, oracle};
use crate::random::Random;
use crate::session::{Operation, Outcome, Session};
use crate::tree::Tree;

/// Operations before the disk is full, while it is, and when there is space again.
const BEFORE: u64 = 40;
const FULL: u64 = 60;
const AFTER: u64 = 30;
/// Calls of a walk between two times at which there is space.
const OF_A_WALK: usize = 120;

struct Filling {
    findings: Findings,
    disks: u64,
    refused: u64,
    walked: usize,
}

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "orders", "mebibytes", "on", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, runs): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("runs", 20)?);
    let (orders, mebibytes) = (arguments.get("orders", 0)?, arguments.get("mebibytes", 8)?);
    let kinds = match arguments.get("on", String::from("all"))?.as_str() {
        "all" => KINDS.to_vec(),
        name => vec![name.parse().map_err(|()| format!("--on is all or one of {KINDS:?}, not {name}"))?],
    };
    println!("full --seed {seed} --runs {runs} --orders {orders} --mebibytes {mebibytes}");
    let mut total = 0;
    for kind in kinds {
        let mut filling = Filling { findings: Findings::new(&directory), disks: 0, refused: 0, walked: 0 };
        if let Err(reason) = SmallDisk::mount(&directory, kind, mebibytes) {
            println!("{kind:?}: not to be had here, so nothing was tried: {reason}");
            continue;
        }
        for number in seed..seed + runs {
            let command =
                format!("crash full --on {kind:?} --runs 1 --seed {number} --mebibytes {mebibytes}");
            filling.disk(&directory, kind, mebibytes, number, &command, live)?;
        }
        for number in seed..seed + orders {
            let command = format!(
                "crash full --on {kind:?} --runs 0 --orders 1 --seed {number} --mebibytes {mebibytes}"
            );
            filling.walked += calls::CALLS * calls::CALLS;
            filling.disk(&directory, kind, mebibytes, number, &command, walk)?;
        }
        let Filling { findings, disks, refused, walked } = filling;
        println!(
            "{kind:?}: disks filled {disks}, calls refused {refused}, pairs of calls {walked}, violations {}",
            findings.count
        );
        total += findings.count;
    }
    Ok(total)
}

impl Filling {
    fn disk(
        &mut self,
        directory: &Path,
        kind: Kind,
        mebibytes: u64,
        seed: u64,
        command: &str,
        act: fn(&mut Session, &SmallDisk, u64, &Path) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.findings.are_enough() {
            return Ok(());
        }
        let disk = SmallDisk::mount(directory, kind, mebibytes)?;
        let mut session = Session::new(&fresh(&disk.at.join("log"))?, seed % 4);
        session.may_poison = kind.copies_on_write();
        let outcome = caught(|| act(&mut session, &disk, seed, &directory.join("copy")));
        session.violations.extend(outcome.err());
        self.refused += session.errors.values().sum::<u64>();
        self.disks += 1;
        let tree = Tree::read(&session.root).ok();
        session.die();
        for violation in std::mem::take(&mut session.violations) {
            self.findings.save(command, &violation, &oracle(|oracle| oracle.trace_end(40)), tree.as_ref());
        }
        Ok(())
    }
}

/// Each public call after each, on a disk that is full again before every few of them. From time to time there is space, and
/// each of them works.
fn walk(session: &mut Session, disk: &SmallDisk, seed: u64, copy: &Path) -> Result<(), String> {
    let mut random = Random::new(seed);
    let order = calls::each_after_each(&mut random);
    for _ in 0..BEFORE {
        session.perform(&life::next(&mut random));
    }
    for some in order.chunks(OF_A_WALK) {
        session.may_fail = true;
        let mut compared = 0;
        for (place, number) in some.iter().enumerate() {
            if place % 3 == 0 {
                disk.fill()?;
            }
            refused_if_full(session, &calls::numbered(*number, &mut random), &mut compared, copy)?;
            if !session.violations.is_empty() {
                return Ok(());
            }
        }
        there_is_space(session, disk)?;
        for number in 0..calls::CALLS {
            session.perform(&calls::numbered(number, &mut random));
        }
        make_room(session);
        session.compare(After::Close);
        if !session.violations.is_empty() {
            return Ok(());
        }
    }
    ends_well(session)
}

/// What a walk has written does not fill the disk by itself.
fn make_room(session: &mut Session) {
    for number in oracle(|oracle| oracle.in_stage(Stage::Live)) {
        let (name, count) = oracle(|oracle| {
            let topic = &oracle.topics[number];
            (topic.name.clone(), topic.partitions_acked as u32)
        });
        if count > 2 {
            session.perform(&Operation::Delete(name));
        } else {
            (0..count).for_each(|index| {
                session.perform(&Operation::DeleteRecords(name.clone(), index, 900));
            });
        }
    }
    session.perform(&Operation::Maintain(2000));
}

/// The log continues as it is. Where writes have failed it is opened anew, as the errors advise.
fn there_is_space(session: &mut Session, disk: &SmallDisk) -> Result<(), String> {
    disk.free()?;
    if session.may_poison {
        session.close();
        session.may_fail = false;
        return session
            .ensure_open(After::Kill)
            .map_err(|failure| format!("open when there is space: {failure}"));
    }
    session.may_fail = false;
    Ok(())
}

/// Performs an operation on a full disk.
fn refused_if_full(
    session: &mut Session,
    operation: &Operation,
    compared: &mut u64,
    copy: &Path,
) -> Result<(), String> {
    if let Outcome::Failed(failure) = session.perform(operation) {
        // Where a write needs space for what has space already, it can fail when something was written.
        if !matches!(failure, Error::StorageFull { .. }) && !session.may_poison {
            return Err(format!("on a full disk: {failure}"));
        }
        *compared += 1;
        if *compared <= 3 {
            is_true(session, &failure, copy)?;
        }
    }
    Ok(())
}

fn live(session: &mut Session, disk: &SmallDisk, seed: u64, copy: &Path) -> Result<(), String> {
    let mut random = Random::new(seed);
    for _ in 0..BEFORE {
        session.perform(&life::next(&mut random));
    }
    session.may_fail = true;
    let mut compared = 0;
    for number in 0..FULL {
        // What frees some blocks is followed by calls that find none again.
        if number % 4 == 0 {
            disk.fill()?;
        }
        refused_if_full(session, &life::next(&mut random), &mut compared, copy)?;
        if !session.violations.is_empty() {
            return Ok(());
        }
    }
    there_is_space(session, disk)?;
    for _ in 0..AFTER {
        session.perform(&life::next(&mut random));
    }
    session.perform(&Operation::SyncAll);
    if session.log.is_some() {
        session.compare(After::Close);
    }
    ends_well(session)
}
