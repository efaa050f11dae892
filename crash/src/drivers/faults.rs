//! The n-th call of a kind fails, in written scripts and in drawn lives. What the error says must be true, what it advises
//! must work, and what it is not about must work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stratalog::{Durability, Error, Remedy};

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::comparison::{After, compare};
use crate::disk::{self, Density, Disk};
use crate::faults::{self, FAILURES, Failure, Fault, Kind, PATTERNS, Pattern};
use crate::interpose::unseen;
use crate::keep::Findings;
use crate::life;
use crate::oracle::{Sort, Stage, oracle};
use crate::random::Random;
use crate::scripts::{Script, scripts};
use crate::session::{Operation, Outcome, Planned, Session, Way, options};
use crate::tree::Tree;

/// Operations of a drawn life while calls may fail, and after that.
const LIFE: u64 = 90;
const AFTERLIFE: u64 = 25;
/// The topic that no fault is about.
const BYSTANDER: &str = "z";

struct Faults {
    directory: PathBuf,
    findings: Findings,
    runs: u64,
    struck: u64,
    struck_by_kind: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
}

/// One fault of one script.
struct Case {
    name: &'static str,
    fault: Fault,
    /// The directory that it is about, relative to the log's: all, or one partition's.
    within: &'static str,
}

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "scripts", "mode", "case", "every", "dir"])?;
    let directory = arguments.directory()?;
    let seed: u64 = arguments.get("seed", 1)?;
    let mut faults = Faults {
        findings: Findings::new(&directory),
        directory,
        runs: 0,
        struck: 0,
        struck_by_kind: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    let which: String = arguments.get("scripts", String::new())?;
    if which.is_empty() {
        let runs: u64 = arguments.get("runs", 500)?;
        println!("faults --seed {seed} --runs {runs}");
        for number in 0..runs {
            if !faults.findings.are_enough() {
                faults.life(seed + number)?;
            }
        }
    } else {
        let (every, only) = (arguments.get("every", 1)?, arguments.get("case", usize::MAX)?);
        let mode: u64 = arguments.get("mode", u64::MAX)?;
        println!("faults --scripts {which} --every {every} --seed {seed}");
        let mut number = seed;
        for script in scripts().iter().filter(|script| which == "all" || which == script.name) {
            for mode in (0..4).filter(|own| mode == u64::MAX || mode == *own) {
                for (index, case) in faults.cases(script, mode)?.iter().enumerate() {
                    number += 1;
                    let is_chosen =
                        if only == usize::MAX { number.is_multiple_of(every) } else { only == index };
                    if is_chosen && !faults.findings.are_enough() {
                        faults.case(script, mode, index, case)?;
                    }
                }
            }
        }
    }
    println!("runs {}, struck {}, violations {}", faults.runs, faults.struck, faults.findings.count);
    println!("struck: {:?}", faults.struck_by_kind);
    println!("answers: {:?}", faults.errors);
    Ok(faults.findings.count)
}

impl Faults {
    /// All cases of a script: each failure that a kind of call can have, each pattern, each call.
    fn cases(&mut self, script: &Script, mode: u64) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        for within in ["", "a-0"] {
            let mut session = self.begin(mode)?;
            faults::arm(&session.root.join(within), None);
            for operation in &script.operations {
                session.perform(operation);
            }
            let seen = faults::seen();
            faults::heal();
            session.close();
            if let Some(violation) = session.violations.first() {
                return Err(format!("{} without a fault: {violation}", script.name));
            }
            for (name, failure, kinds) in FAILURES {
                for (kind, pattern) in kinds.iter().flat_map(|kind| PATTERNS.map(|pattern| (*kind, pattern)))
                {
                    // An interrupted call is repeated, without end if need be.
                    let is_endless = failure == Failure::Errno(libc::EINTR) && pattern == Pattern::Lasting;
                    if is_endless || !within.is_empty() && !kind.has_a_place() {
                        continue;
                    }
                    let skips = 0..seen[kind as usize];
                    cases.extend(skips.map(|skip| Case {
                        name,
                        fault: Fault { kind, failure, pattern, skip },
                        within,
                    }));
                }
            }
        }
        Ok(cases)
    }

    /// A log with the bystander in it.
    fn begin(&mut self, mode: u64) -> Result<Session, String> {
        let root = fresh(&self.directory.join("life"))?;
        let mut session = Session::new(&root, mode);
        session.perform(&Operation::Create { name: BYSTANDER.into(), sort: Sort::Plain, partitions: 1 });
        session.perform(&to_bystander());
        Ok(session)
    }

    fn case(&mut self, script: &Script, mode: u64, index: usize, case: &Case) -> Result<(), String> {
        let mut session = self.begin(mode)?;
        session.may_fail = true;
        session.may_poison = case.fault.kind.may_poison();
        session.may_not_read = case.fault.kind == Kind::Read;
        // What is on the disk when a sync has failed is another matter than what is in the files.
        let is_sync = matches!(case.fault.kind, Kind::Sync | Kind::DirectorySync);
        let disk = Disk::of(&session.root, 1, Density::PerMille(0), Box::new(|_, _, _| ()));
        disk::record(Some(disk).filter(|_| is_sync));
        faults::arm(&session.root.join(case.within), Some(case.fault));
        let copy = self.directory.join("copy");
        let outcome = caught(|| {
            follow(script, case, &mut session, &copy)?;
            ends_well(&mut session)
        });
        faults::heal();
        disk::record(None);
        let command = format!("crash faults --scripts {} --mode {mode} --case {index}", script.name);
        let what = format!("{} {:?} within {:?}", case.name, case.fault, case.within);
        self.end(session, outcome, &command, &what, case.name, case.fault.kind);
        Ok(())
    }

    fn life(&mut self, seed: u64) -> Result<(), String> {
        let mut random = Random::new(seed);
        let (name, failure, kinds) = random.pick(&FAILURES);
        let kind = random.pick(kinds);
        let mut pattern = random.pick(&PATTERNS);
        if failure == Failure::Errno(libc::EINTR) && pattern == Pattern::Lasting {
            pattern = Pattern::Once;
        }
        let often = [Kind::Look, Kind::Write, Kind::Read, Kind::Open].contains(&kind);
        let skip = random.below(if often { 300 } else { 60 });
        let fault = Fault { kind, failure, pattern, skip };
        let root = fresh(&self.directory.join("life"))?;
        let mut session = Session::new(&root, seed % 4);
        session.may_fail = true;
        session.may_poison = kind.may_poison();
        session.may_not_read = kind == Kind::Read;
        let healed_at = 30 + random.below(40);
        let copy = self.directory.join("copy");
        faults::arm(&root, Some(fault));
        let outcome = caught(|| {
            let mut failures = 0;
            for number in 0..LIFE {
                if number == healed_at && pattern == Pattern::Lasting {
                    faults::heal();
                }
                if let Outcome::Failed(failure) = session.perform(&life::next(&mut random)) {
                    failures += 1;
                    if failures <= 3 {
                        is_true(&session, &failure, &copy)?;
                    }
                }
                if !session.violations.is_empty() {
                    return Ok(());
                }
            }
            faults::heal();
            session.close();
            session.may_fail = false;
            session
                .ensure_open(After::Kill)
                .map_err(|failure| format!("open when all is well: {failure}"))?;
            for _ in 0..AFTERLIFE {
                session.perform(&life::next(&mut random));
            }
            ends_well(&mut session)
        });
        faults::heal();
        let command = format!("crash faults --runs 1 --seed {seed}");
        self.end(session, outcome, &command, &format!("{name} {fault:?}"), name, kind);
        Ok(())
    }

    fn end(
        &mut self,
        mut session: Session,
        outcome: Result<(), String>,
        command: &str,
        what: &str,
        name: &str,
        kind: Kind,
    ) {
        self.runs += 1;
        if faults::struck() > 0 {
            self.struck += 1;
            *self.struck_by_kind.entry(format!("{kind:?} {name}")).or_default() += 1;
        }
        for (error, count) in &session.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        session.violations.extend(outcome.err());
        let tree = Tree::read(&session.root).ok();
        // One directory for all: nothing of this log may be held.
        session.die();
        for violation in std::mem::take(&mut session.violations) {
            let trace = oracle(|oracle| oracle.trace_end(30));
            self.findings.save(command, &format!("{what}: {violation}"), &trace, tree.as_ref());
        }
    }
}

fn to_bystander() -> Operation {
    let records = vec![Planned { key: 0, tombstone: false, length: 40 }];
    Operation::Send { to: (BYSTANDER.into(), 0), level: Durability::Synced, way: Way::Single, records }
}

/// Goes through the script; after the first failure, or after one more operation if the fault lasts, all is well again, and
/// what the error advises is done.
fn follow(script: &Script, case: &Case, session: &mut Session, copy: &Path) -> Result<(), String> {
    let mut failures = 0;
    for operation in &script.operations {
        let outcome = session.perform(operation);
        if !case.within.is_empty() && session.log.is_some() {
            let bystander = [to_bystander(), Operation::Read(BYSTANDER.into(), 0)];
            for answer in bystander.map(|operation| session.perform(&operation)) {
                if let Outcome::Failed(failure) = answer {
                    return Err(format!("a fault in another partition: {failure}"));
                }
            }
        }
        let Outcome::Failed(failure) = outcome else {
            survives_a_cut(session, copy)?;
            continue;
        };
        if case.fault.failure == Failure::Short {
            return Err(format!("{operation:?} fails since a call did half of it: {failure}"));
        }
        is_true(session, &failure, copy)?;
        failures += 1;
        if session.may_fail && (failures == 2 || case.fault.pattern != Pattern::Lasting) {
            faults::heal();
            remedied(session, operation, &failure)?;
        }
        if !session.violations.is_empty() {
            return Ok(());
        }
    }
    if session.may_fail && failures > 0 {
        // The last operation of the script was the first to fail.
        session.close();
    }
    faults::heal();
    session.may_fail = false;
    Ok(())
}

/// What the error says of what was written is so: it is what another process would find now, were this one killed.
pub fn is_true(session: &Session, failure: &Error, copy: &Path) -> Result<(), String> {
    faults::spared(|| {
        let tree = Tree::read(&session.root).map_err(|failure| failure.to_string())?;
        tree.write(copy).map_err(|failure| failure.to_string())?;
        let log = options(session.mode, &session.clock).open(copy);
        let log = match log {
            Ok(log) => log,
            Err(other) => return Err(format!("after {failure}: a copy does not open: {other}")),
        };
        let compared = compare(&log, &oracle(|oracle| oracle.clone()), After::Kill);
        let _ = log.close();
        compared.map(drop).map_err(|reason| format!("{failure}; but a copy of the directory shows: {reason}"))
    })
}

/// A call that has succeeded although syncs fail: what it promises would be there after a power cut.
fn survives_a_cut(session: &Session, copy: &Path) -> Result<(), String> {
    if faults::struck() == 0 {
        return Ok(());
    }
    let Some(tree) = disk::least() else { return Ok(()) };
    disk::pause(|| {
        unseen(|| {
            tree.write(copy).map_err(|failure| failure.to_string())?;
            let log = options(session.mode, &session.clock).open(copy);
            let log =
                log.map_err(|failure| format!("after a failed sync a power cut leaves no log: {failure}"))?;
            let compared = compare(&log, &oracle(|oracle| oracle.clone()), After::Power);
            let _ = log.close();
            compared
                .map(drop)
                .map_err(|reason| format!("a sync failed, a call succeeded, and a power cut shows: {reason}"))
        })
    })
}

/// Nothing fails any more: what the error advises works.
fn remedied(session: &mut Session, operation: &Operation, failure: &Error) -> Result<(), String> {
    match failure.remedy() {
        Remedy::Retry | Remedy::Inspect => {}
        Remedy::Reopen => {
            session.close();
            session
                .ensure_open(After::Kill)
                .map_err(|again| format!("after {failure}, at the open: {again}"))?;
        }
        other => return Err(format!("{failure} advises {other:?}")),
    }
    if failure.remedy() != Remedy::Reopen && session.may_poison {
        // Of several failures the call returns the first. Another one may have been worse: then a later call says so.
        match session.perform(operation) {
            Outcome::Failed(Error::Poisoned(_)) if !matches!(failure, Error::Poisoned(_)) => {}
            Outcome::Failed(again) => {
                return Err(format!("after {failure} the same call fails again: {again}"));
            }
            _ => {}
        }
        session.close();
        session.ensure_open(After::Kill).map_err(|again| format!("after {failure}, at the open: {again}"))?;
    }
    session.may_fail = false;
    match session.perform(operation) {
        Outcome::Failed(again) => Err(format!("after {failure} the same call fails again: {again}")),
        _ => Ok(()),
    }
}

/// Without faults: the log is closed cleanly, opens clean, and holds what it should.
pub fn ends_well(session: &mut Session) -> Result<(), String> {
    if !session.violations.is_empty() {
        return Ok(());
    }
    session.ensure_open(After::Kill).map_err(|failure| format!("open: {failure}"))?;
    if let Outcome::Failed(failure) = session.close() {
        return Err(format!("close: {failure}"));
    }
    session.ensure_open(After::Close).map_err(|failure| format!("open after a close: {failure}"))?;
    if session.log.as_ref().is_some_and(|log| !log.recovery().clean) {
        return Err("a log that was closed cleanly is not clean".into());
    }
    for topic in oracle(|oracle| oracle.in_stage(Stage::Live)) {
        let name = oracle(|oracle| oracle.topics[topic].name.clone());
        let sent = session.perform(&Operation::Send {
            to: (name, 0),
            level: Durability::Synced,
            way: Way::Single,
            records: vec![Planned { key: 0, tombstone: false, length: 20 }],
        });
        if let Outcome::Failed(failure) = sent {
            return Err(format!("send at the end: {failure}"));
        }
    }
    session.close();
    Ok(())
}
