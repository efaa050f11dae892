//! A process with a mixed load is killed, again and again; this one reads what it wrote down and compares what is left.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stratalog::Maintenance;

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::backups;
use crate::comparison::{After, compare};
use crate::crowd;
use crate::interpose::draw_from;
use crate::keep::Findings;
use crate::live;
use crate::load::{self, Load};
use crate::oracle::Oracle;
use crate::random::Random;
use crate::session::abandon;
use crate::tail::tail;
use crate::tree::Tree;

/// Kills of one log; then another one begins.
const KILLS_OF_A_LOG: u64 = 50;
/// After so many, and at the end, a group of a thousand members is killed so often.
const KILLS_BETWEEN_CROWDS: u64 = 200;
const KILLS_OF_A_CROWD: u64 = 2;

/// The process that is killed: `crash load --dir D --seed S`.
pub fn load(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "mode", "live", "crowd", "dir"])?;
    let (seed, root) = (arguments.get("seed", 1)?, arguments.directory()?);
    // No two processes draw the same ids.
    draw_from(seed);
    let log = load::options(arguments.get("mode", 0)?).open(&root);
    let log = log.map_err(|failure| format!("open: {failure}"))?;
    live::change(&root, arguments.get("live", live::Version::Ours)?)
        .map_err(|failure| format!("stratalog.live: {failure}"))?;
    let out = Mutex::new(std::io::stdout());
    let say = |line: String| {
        let mut out = out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
            // The process that reads it has ended, and nothing else would end this one.
            std::process::exit(1);
        }
    };
    if arguments.get("crowd", false)? {
        return crowd::run(&log, seed, &say).map(|()| 0);
    }
    let snapshots = root.with_extension("snapshot");
    Load::new(seed, u64::MAX, false).with_snapshots(snapshots).run(&log, &say).map(|()| 0)
}

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "kills", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, kills): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("kills", 20)?);
    println!("kill --seed {seed} --kills {kills}");
    let mut killing = Killing {
        findings: Findings::new(&directory),
        directory,
        seed,
        kills,
        random: Random::new(seed),
        counts: Counts::default(),
    };
    let (mut round, mut round_of_crowd, mut crowds) = (0, 0, 0);
    while round < kills && !killing.findings.are_enough() {
        let until = kills.min(round + KILLS_OF_A_LOG);
        killing.log(&mut round, until, false)?;
        if round % KILLS_BETWEEN_CROWDS == 0 || round == kills {
            crowds += KILLS_OF_A_CROWD;
            killing.log(&mut round_of_crowd, crowds, true)?;
        }
    }
    let Killing { counts, findings, .. } = killing;
    println!("kills {}, {counts}, violations {}", round + round_of_crowd, findings.count);
    Ok(findings.count)
}

#[derive(Default)]
struct Counts {
    /// Lines of processes, bytes that recoveries have cut, and records that readers beside them have read.
    lines: usize,
    cut: u64,
    tailed: u64,
    /// Kills of a process whose `stratalog.live` was that of another version, or missing.
    other_versions: u64,
    /// Kills of a group all of whose members had joined, and of one that was still joining.
    crowds: [u64; 2],
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lines, cut, tailed, other_versions, crowds: [whole, joining] } = self;
        write!(
            f,
            "with another stratalog.live {other_versions}, of 1000 members {whole}, while they joined {joining}, lines \
             heard {lines}, bytes cut {cut}, followed {tailed}"
        )
    }
}

struct Killing {
    directory: PathBuf,
    findings: Findings,
    seed: u64,
    kills: u64,
    random: Random,
    counts: Counts,
}

impl Killing {
    /// One log, until so many rounds are done or it is found wanting. A reader has it open all the time.
    fn log(&mut self, round: &mut u64, until: u64, crowd: bool) -> Result<(), String> {
        let root = fresh(&self.directory.join("log"))?;
        let _ = std::fs::remove_dir_all(root.with_extension("snapshot"));
        let first = *round;
        let reader = if crowd { None } else { Some(Reader::start(&root)?) };
        let mut oracle = if crowd { Oracle::of_crowd() } else { Oracle::of_load() };
        let mut outcome = Ok(());
        while *round < until && outcome.is_ok() {
            outcome = self.round(&root, *round, &mut oracle, crowd);
            *round += 1;
        }
        let tailed = reader.map_or(Ok(0), Reader::end);
        let (reason, trace) = match (outcome, tailed) {
            (Ok(()), Ok(records)) => {
                self.counts.tailed += records;
                return Ok(());
            }
            (Err(found), _) => found,
            (Ok(()), Err(reason)) => (reason, String::new()),
        };
        let command = format!("crash kill --seed {} --kills {}", self.seed, self.kills);
        let reason = format!("kill {} of the log that began with kill {first}: {reason}", *round - 1);
        self.findings.save(&command, &reason, &trace, Tree::read(&root).ok().as_ref());
        Ok(())
    }

    /// One process, and what it has left. With the reason for a violation come its last lines.
    fn round(
        &mut self,
        root: &Path,
        round: u64,
        oracle: &mut Oracle,
        crowd: bool,
    ) -> Result<(), (String, String)> {
        let (mode, closes) = (self.random.below(4), self.random.one_in(4));
        let live = self.random.pick(&live::VERSIONS);
        let mut victim = Victim { mode: round % 4, seed: self.seed + round, live, crowd, lines: 20 };
        let most = if !crowd {
            3000
        } else if self.random.one_in(3) {
            500
        } else {
            8000
        };
        victim.lines += self.random.below(most);
        let (heard, ended) = victim.killed(root).map_err(|reason| (reason, String::new()))?;
        self.counts.lines += heard.len();
        self.counts.other_versions += u64::from(live != live::Version::Ours);
        if crowd {
            let have_joined = heard.iter().any(|line| line.starts_with("members"));
            self.counts.crowds[usize::from(!have_joined)] += 1;
        }
        let outcome = caught(|| {
            if let Some(reason) = ended {
                return Err(format!("the process ended by itself: {reason}"));
            }
            for line in &heard {
                oracle.hear(line).ok_or_else(|| format!("{line:?} is invalid"))?;
            }
            backups::compare(&root.with_extension("snapshot"))?;
            let log = load::options(mode).maintenance(Maintenance::Manual).open(root);
            let log = log.map_err(|failure| format!("open: {failure}"))?;
            let found = compare(&log, oracle, After::Kill)?;
            self.counts.cut += log.recovery().bytes_truncated();
            if closes {
                log.close().map_err(|failure| format!("close: {failure}"))?;
            }
            Ok((log, found))
        });
        let (log, found) =
            outcome.map_err(|reason| (reason, heard[heard.len().saturating_sub(60)..].join("\n  ")))?;
        if !closes {
            // Dropped, it would be closed.
            std::mem::forget(log);
            abandon(root);
        }
        live::leave(root, self.random.pick(&live::VERSIONS))
            .map_err(|failure| (format!("stratalog.live: {failure}"), String::new()))?;
        *oracle = found;
        oracle.forget_gone();
        Ok(())
    }
}

/// The process that reads beside those that are killed: `crash tail --dir D`, until its input ends.
pub fn tail_until_stopped(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["dir"])?;
    let (root, stop) = (arguments.directory()?, AtomicBool::new(false));
    let count = thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop.store(true, Ordering::Relaxed);
        });
        // The first failure ends the process, whatever its input does.
        tail(&root, u64::MAX, &stop).unwrap_or_else(|reason| {
            eprintln!("{reason}");
            std::process::exit(1)
        })
    });
    println!("{count}");
    Ok(0)
}

struct Reader(Child);

impl Reader {
    fn start(root: &Path) -> Result<Self, String> {
        let failed = |failure: std::io::Error| format!("a reader: {failure}");
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .args(["tail", "--dir"])
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map(Self).map_err(failed)
    }

    /// How many records it has read, or what was wrong with them.
    fn end(self) -> Result<u64, String> {
        let ended = self.0.wait_with_output().map_err(|failure| format!("a reader: {failure}"))?;
        let count = String::from_utf8_lossy(&ended.stdout).trim().parse();
        count.map_err(|_| format!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr)))
    }
}

/// A process that is killed after so many lines.
struct Victim {
    mode: u64,
    seed: u64,
    live: live::Version,
    crowd: bool,
    lines: u64,
}

impl Victim {
    fn start(&self, root: &Path) -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["load", "--mode", &self.mode.to_string(), "--seed", &self.seed.to_string()])
            .args(["--live", &self.live.to_string(), "--crowd", &self.crowd.to_string(), "--dir"])
            .arg(root)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// What the process has said until it was killed, and why it ended if it was not the kill.
    fn killed(&self, root: &Path) -> Result<(Vec<String>, Option<String>), String> {
        let failed = |failure: std::io::Error| format!("a process: {failure}");
        let mut child = self.start(root).map_err(failed)?;
        let mut heard = Vec::new();
        let mut out = BufReader::new(child.stdout.take().ok_or("a process without output")?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = out.read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 || line.pop() != Some(b'\n') {
                break;
            }
            heard.push(String::from_utf8_lossy(&line).into_owned());
            if heard.len() as u64 == self.lines {
                child.kill().map_err(failed)?;
            }
        }
        let status = child.wait().map_err(failed)?;
        let mut complaint = String::new();
        if let Some(mut errors) = child.stderr.take() {
            errors.read_to_string(&mut complaint).map_err(failed)?;
        }
        let by_itself = std::os::unix::process::ExitStatusExt::signal(&status) != Some(libc::SIGKILL);
        Ok((heard, by_itself.then(|| format!("{status}: {complaint}"))))
    }
}
