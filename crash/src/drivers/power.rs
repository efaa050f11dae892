//! The power is cut at system calls. Each state that the disk may then have is opened, read-only and for writing, compared,
//! written to, closed and compared again. During some of the recoveries the power is cut a second and a third time.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stratalog::{Durability, EventLog, ManualClock, Record};

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::comparison::{After, compare};
use crate::disk::{self, Density, Disk, Lie};
use crate::interpose::{seen, unseen};
use crate::keep::Findings;
use crate::left::Left;
use crate::life;
use crate::oracle::{Oracle, Sent, Sort, Stage, oracle};
use crate::random::Random;
use crate::scripts::{Script, scripts};
use crate::session::{Session, options};
use crate::tree::Tree;

/// Operations of one life.
const LIFE: u64 = 120;
/// States of one recovery that are recovered in turn.
const AGAIN: usize = 3;

/// The disk after a cut, with what must be on it.
pub struct Cut {
    pub what: &'static str,
    pub left: Left,
    pub tree: Tree,
    pub oracle: Oracle,
}

pub type Cuts = Arc<Mutex<Vec<Cut>>>;

struct Power {
    directory: PathBuf,
    findings: Findings,
    random: Random,
    /// By how often the power was cut.
    states: [u64; 3],
    points: u64,
    by_kind: BTreeMap<String, u64>,
    lie: Option<Lie>,
}

impl Power {
    fn new(directory: PathBuf, findings: Findings) -> Self {
        let random = Random::new(0);
        Self { directory, findings, random, states: [0; 3], points: 0, by_kind: BTreeMap::new(), lie: None }
    }
}

/// How many violations the first script has if some syncs do nothing. Nothing of them is kept.
pub fn violations_on_a_disk_that_lies(directory: &Path, lie: Lie) -> Result<u64, String> {
    let mut power = Power::new(fresh(directory)?, Findings::counted());
    power.lie = Some(lie);
    power.script(&scripts()[0], 0, 1, 1)?;
    Ok(power.findings.count)
}

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "states", "lives", "scripts", "mode", "every", "dir"])?;
    let directory = arguments.directory()?;
    let seed: u64 = arguments.get("seed", 1)?;
    let mut power = Power::new(directory.clone(), Findings::new(&directory));
    let which: String = arguments.get("scripts", String::new())?;
    if which.is_empty() {
        let (states, lives) = (arguments.get("states", 2000)?, arguments.get("lives", u64::MAX)?);
        println!("power --seed {seed} --states {states}");
        let mut done = 0;
        while done < lives && power.states[0] < states && !power.findings.are_enough() {
            power.life(seed + done)?;
            done += 1;
        }
        println!("lives {done}");
    } else {
        let (every, mode) = (arguments.get("every", 1)?, arguments.get("mode", u64::MAX)?);
        println!("power --scripts {which} --every {every} --seed {seed}");
        for script in scripts().iter().filter(|script| which == "all" || which == script.name) {
            for mode in (0..4).filter(|own| mode == u64::MAX || mode == *own) {
                power.script(script, mode, every, seed)?;
            }
        }
    }
    let [first, second, third] = power.states;
    println!(
        "points {}, states after one cut {first}, after two {second}, after three {third}, violations {}",
        power.points, power.findings.count
    );
    println!("{:?}", power.by_kind);
    Ok(power.findings.count)
}

pub fn recording(root: &Path, seed: u64, density: Density) -> (Disk, Cuts) {
    let cuts = Cuts::default();
    let sink = Arc::clone(&cuts);
    let on_state = move |what, left, tree| {
        let mut oracle = oracle(|oracle| oracle.clone());
        oracle.trace.drain(..oracle.trace.len().saturating_sub(30));
        sink.lock().expect("no panic while it is held").push(Cut { what, left, tree, oracle });
    };
    (Disk::of(root, seed, density, Box::new(on_state)), cuts)
}

pub fn taken(cuts: &Cuts) -> Vec<Cut> {
    std::mem::take(&mut *cuts.lock().expect("no panic while it is held"))
}

/// What power cuts leave of one life, and the time at its end.
pub fn cuts_of_life(directory: &Path, seed: u64) -> Result<(Vec<Cut>, ManualClock), String> {
    let root = fresh(directory)?;
    let mut random = Random::new(seed);
    let mut session = Session::new(&root, seed % 4);
    let (disk, cuts) = recording(&root, seed, Density::PerMille(20));
    disk::record(Some(disk));
    for _ in 0..LIFE {
        session.perform(&life::next(&mut random));
    }
    disk::record(None);
    session.close();
    match session.violations.first() {
        Some(violation) => Err(format!("a life without a cut: {violation}")),
        None => Ok((taken(&cuts), session.clock)),
    }
}

impl Power {
    fn life(&mut self, seed: u64) -> Result<(), String> {
        let root = fresh(&self.directory.join("life"))?;
        let mut random = Random::new(seed);
        self.random = Random::new(!seed);
        let mut session = Session::new(&root, seed % 4);
        let (disk, cuts) = recording(&root, seed, Density::PerMille(60));
        disk::record(Some(disk));
        for _ in 0..LIFE {
            session.perform(&life::next(&mut random));
            let command = format!("crash power --lives 1 --seed {seed}");
            for cut in taken(&cuts) {
                self.compare(&cut, &session.clock, &command);
            }
            if !session.violations.is_empty() || self.findings.are_enough() {
                break;
            }
        }
        self.end(session, &format!("crash power --lives 1 --seed {seed}"))
    }

    fn script(&mut self, script: &Script, mode: u64, every: u64, seed: u64) -> Result<(), String> {
        let root = fresh(&self.directory.join("life"))?;
        let mut session = Session::new(&root, mode);
        let (mut disk, cuts) = recording(&root, seed, Density::All);
        disk.lie = self.lie;
        let command =
            format!("crash power --scripts {} --mode {mode} --every {every} --seed {seed}", script.name);
        self.random = Random::new(seed);
        let (mut known, mut number) = (HashSet::new(), seed);
        disk::record(Some(disk));
        for operation in &script.operations {
            session.perform(operation);
            for cut in taken(&cuts) {
                let mut hasher = DefaultHasher::new();
                (cut.tree.mark(), format!("{:?} {:?}", cut.oracle.topics, cut.oracle.commits))
                    .hash(&mut hasher);
                if known.insert(hasher.finish()) {
                    number += 1;
                    if number.is_multiple_of(every) {
                        self.compare(&cut, &session.clock, &command);
                    }
                }
            }
            if self.findings.are_enough() {
                break;
            }
        }
        self.end(session, &command)
    }

    /// The end of what was recorded.
    fn end(&mut self, mut session: Session, command: &str) -> Result<(), String> {
        if let Some(disk) = disk::record(None) {
            self.points += disk.points;
            session.violations.extend(disk.unexplained);
        }
        session.close();
        let trace = oracle(|oracle| oracle.trace_end(60));
        for violation in &session.violations {
            self.findings.save(command, violation, &trace, Tree::read(&session.root).ok().as_ref());
        }
        Ok(())
    }

    fn compare(&mut self, cut: &Cut, clock: &ManualClock, command: &str) {
        *self.by_kind.entry(format!("{} {:?}", cut.what, cut.left)).or_default() += 1;
        let outcome = disk::pause(|| unseen(|| self.survives(&cut.tree, &cut.oracle, clock, 0)));
        if let Err((reason, tree)) = outcome {
            let reason =
                format!("{reason}\n(power cut {}, of what was not synced {:?} is left)", cut.what, cut.left);
            self.findings.save(command, &reason, &cut.oracle.trace_end(30), Some(&tree));
        }
    }

    /// Compares one state with the oracle. With the reason for a violation comes the directory that showed it.
    fn survives(
        &mut self,
        tree: &Tree,
        oracle: &Oracle,
        clock: &ManualClock,
        cuts: usize,
    ) -> Result<(), (String, Tree)> {
        self.states[cuts] += 1;
        let with_tree = |reason: String| (reason, tree.clone());
        let state = self.directory.join("state");
        tree.write(&state).map_err(|failure| with_tree(failure.to_string()))?;
        let mode = self.random.below(4);
        caught(|| reads_only(&state, tree, oracle, mode, clock)).map_err(with_tree)?;
        let is_recorded = cuts < 2 && self.random.one_in(8);
        let again = caught(|| {
            let (disk, again) = recording(&state, self.random.number(), Density::PerMille(300));
            disk::record(Some(disk).filter(|_| is_recorded));
            let opened = caught(|| {
                seen(|| options(mode, clock).open(&state)).map_err(|failure| format!("open: {failure}"))
            });
            let unexplained = disk::record(None).map(|disk| disk.unexplained).unwrap_or_default();
            match unexplained.into_iter().next() {
                Some(change) => Err(change),
                None => continues(opened?, &state, oracle, mode, clock).map(|()| taken(&again)),
            }
        });
        let again = again.map_err(with_tree)?;
        for _ in 0..again.len().min(AGAIN) {
            let cut = &again[self.random.index(again.len())];
            self.survives(&cut.tree, oracle, clock, cuts + 1).map_err(|(reason, tree)| {
                (format!("the power was cut again, during the recovery: {reason}"), tree)
            })?;
        }
        Ok(())
    }
}

/// A reader finds the same, and changes nothing.
fn reads_only(
    root: &Path,
    tree: &Tree,
    oracle: &Oracle,
    mode: u64,
    clock: &ManualClock,
) -> Result<(), String> {
    match options(mode, clock).read_only(true).open(root) {
        Ok(log) => {
            compare(&log, oracle, After::PowerReader).map_err(|reason| format!("read-only: {reason}"))?;
            log.close().map_err(|failure| format!("close of a reader: {failure}"))?;
        }
        // A directory that was only begun is no log yet.
        Err(_) if oracle.in_stage(Stage::Live).is_empty() => {}
        Err(failure) => return Err(format!("open read-only: {failure}")),
    }
    let after = Tree::read(root).map_err(|failure| failure.to_string())?;
    match tree.differences(&after).first() {
        Some(difference) => Err(format!("a reader has changed the directory: {difference}")),
        None => Ok(()),
    }
}

/// What is found is what must be there, and the log works: it takes records, is closed, and holds them.
fn continues(
    log: EventLog,
    root: &Path,
    oracle: &Oracle,
    mode: u64,
    clock: &ManualClock,
) -> Result<(), String> {
    let mut found = compare(&log, oracle, After::Power)?;
    for number in found.in_stage(Stage::Live) {
        let topic = &mut found.topics[number];
        let there = log.topic(&topic.name).map_err(|failure| format!("topic after: {failure}"))?;
        for (partition, index) in topic.partitions.iter_mut().zip(0..) {
            let sent = Sent { key: 9, number: Some(1 << 40 | partition.values.len() as u64), length: 50 };
            let (key, value) = (sent.key.to_be_bytes(), sent.value());
            let key = (topic.sort == Sort::Compacted).then_some(&key[..]);
            let producer = log.producer().map_err(|failure| format!("producer after: {failure}"))?;
            let record = Record::of(key, value.as_deref()).partition(index);
            let written = producer.with_durability(Durability::Synced).send(&there, record);
            let offset = written.map_err(|failure| format!("append after: {failure}"))?.offset;
            if offset != partition.values.len() as u64 {
                return Err(format!("append after gave offset {offset}, not {}", partition.values.len()));
            }
            partition.acknowledge(partition.values.len(), sent);
            partition.durable = partition.acked;
        }
    }
    log.run_maintenance().map_err(|failure| format!("maintenance after: {failure}"))?;
    for topic in found.topics.iter_mut().filter(|topic| topic.sort == Sort::Retained) {
        topic.partitions.iter_mut().for_each(|partition| partition.start_most = partition.acked as u64);
    }
    log.close().map_err(|failure| format!("close after: {failure}"))?;
    drop(log);
    let log = options(mode, clock).open(root).map_err(|failure| format!("second open: {failure}"))?;
    if !log.recovery().clean {
        return Err("a log that was closed is not clean".into());
    }
    compare(&log, &found, After::Close)
        .map_err(|reason| format!("after appending, close and open: {reason}"))?;
    log.close().map_err(|failure| format!("second close: {failure}"))
}
