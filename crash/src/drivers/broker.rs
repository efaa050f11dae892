//! A sample of what power cuts leave goes to a stock broker: as it is, and after stratalog has recovered and closed it. The
//! broker's answers are compared like those of a log, and so is what it leaves.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use stratalog::ManualClock;

use super::power::{Cut, cuts_of_life};
use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::comparison::{After, compare, compare_served};
use crate::interpose::unseen;
use crate::keep::Findings;
use crate::oracle::Stage;
use crate::random::Random;
use crate::served::{Seen, Served, Shown};
use crate::session::options;

/// States that are taken of one life.
const OF_A_LIFE: usize = 4;
const GROUPS: [&str; 3] = ["g1", "g2", "g3"];

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "states", "lives", "dir"])?;
    let directory = arguments.directory()?;
    let seed: u64 = arguments.get("seed", 1)?;
    let (states, lives) = (arguments.get("states", 12)?, arguments.get("lives", u64::MAX)?);
    println!("broker --seed {seed} --states {states}, Kafka {}", version());
    if ["java", "mvn"].iter().any(|program| !is_there(program)) {
        println!("broker: java and mvn are needed, so nothing was tried");
        return Ok(0);
    }
    let mut sample = Sample {
        brokers: Brokers::start(&directory)?,
        findings: Findings::new(&directory),
        directory,
        counts: [0; 2],
        records: 0,
    };
    let mut done = 0;
    while done < lives && sample.counts[0] < states && !sample.findings.are_enough() {
        sample.life(seed + done)?;
        done += 1;
    }
    let [cut, closed] = sample.counts;
    println!(
        "lives {done}, states served as they were cut {cut}, after recovery and close {closed}, records {}, violations {}",
        sample.records, sample.findings.count
    );
    Ok(sample.findings.count)
}

fn version() -> String {
    std::env::var("KAFKA_VERSION").unwrap_or_else(|_| "4.1.0".into())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("-version").output().is_ok_and(|output| output.status.success())
}

struct Sample {
    brokers: Brokers,
    findings: Findings,
    directory: PathBuf,
    /// As the power cut left them, and after stratalog had recovered and closed them.
    counts: [u64; 2],
    records: usize,
}

impl Sample {
    fn life(&mut self, seed: u64) -> Result<(), String> {
        let (mut cuts, clock) = cuts_of_life(&self.directory.join("life"), seed)?;
        let mut random = Random::new(!seed);
        let command = format!("crash broker --lives 1 --seed {seed}");
        for _ in 0..OF_A_LIFE.min(cuts.len()) {
            let cut = cuts.swap_remove(random.index(cuts.len()));
            // A directory that was only begun is none for a broker yet.
            if !cut.tree.files.contains_key("meta.properties") && cut.oracle.in_stage(Stage::Live).is_empty()
            {
                continue;
            }
            for is_recovered in [false, true] {
                let outcome = caught(|| unseen(|| self.serves(&cut, is_recovered, seed % 4, &clock)));
                if let Err(reason) = outcome {
                    let first = if is_recovered { "recovered and closed" } else { "as it was" };
                    let reason = format!(
                        "{first}: {reason}\n(power cut {}, of what was not synced {:?} is left)",
                        cut.what, cut.left
                    );
                    self.findings.save(&command, &reason, &cut.oracle.trace_end(30), Some(&cut.tree));
                }
            }
        }
        Ok(())
    }

    /// Has a broker serve one state, and opens what it leaves.
    fn serves(
        &mut self,
        cut: &Cut,
        is_recovered: bool,
        mode: u64,
        clock: &ManualClock,
    ) -> Result<(), String> {
        let state = self.directory.join("state");
        cut.tree.write(&state).map_err(|failure| failure.to_string())?;
        let (mut expected, mut after) = (cut.oracle.clone(), After::PowerBroker);
        if is_recovered {
            let log = options(mode, clock).open(&state).map_err(|failure| format!("open: {failure}"))?;
            (expected, after) = (compare(&log, &expected, After::Power)?, After::Close);
            log.close().map_err(|failure| format!("close: {failure}"))?;
            expected.all_durable();
        }
        let served = self.brokers.serve(&state)?;
        self.counts[usize::from(is_recovered)] += 1;
        self.records += served.partitions.values().map(|shown| shown.records.len()).sum::<usize>();
        if is_recovered {
            put_aside_is_nothing(&state)?;
        }
        let mut found =
            compare_served(&served, &expected, after).map_err(|reason| format!("a broker: {reason}"))?;
        found.all_durable();
        // What it has stopped in order is a log of ours.
        let log =
            options(mode, clock).open(&state).map_err(|failure| format!("open after a broker: {failure}"))?;
        compare(&log, &found, After::Close).map_err(|reason| format!("after a broker: {reason}"))?;
        log.close().map_err(|failure| format!("close after a broker: {failure}"))
    }
}

/// A broker puts aside the directories of topics that it does not know: after a cut those that were being made or removed, of a
/// log that was closed none.
fn put_aside_is_nothing(directory: &Path) -> Result<(), String> {
    let entries = fs::read_dir(directory).map_err(|failure| failure.to_string())?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| name.ends_with("-stray")) {
        Some(name) => Err(format!("a broker has put aside {name}")),
        None => Ok(()),
    }
}

/// The process in which brokers are started, one after the other: `tests/kafka/Brokers.java`.
struct Brokers {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where `brokers/log` is: what they say beside.
    directory: PathBuf,
}

impl Brokers {
    fn start(directory: &Path) -> Result<Self, String> {
        let failed = |failure: std::io::Error| format!("brokers: {failure}");
        let said = fresh(&directory.join("brokers"))?.join("log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka/kafka-compute");
        let mut child = Command::new(script)
            .arg("Brokers.java")
            .env("KAFKA_TIMEOUT", "86400")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&said).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(questions), Some(answers)) = (questions, answers) else {
            return Err("brokers: no input or output".into());
        };
        Ok(Self { child, questions, answers: BufReader::new(answers), directory: directory.into() })
    }

    fn serve(&mut self, directory: &Path) -> Result<Served, String> {
        let asked = format!("{}\t{}\n", directory.display(), GROUPS.join("\t"));
        let is_asked = self.questions.write_all(asked.as_bytes()).and_then(|()| self.questions.flush());
        let answer =
            is_asked.map_err(|failure| failure.to_string()).and_then(|()| lines_of_one(&mut self.answers));
        let lines = match answer {
            Ok(lines) => lines,
            Err(reason) => {
                let reason =
                    format!("a broker has ended the process: {reason}; it says:\n{}", self.last_words());
                // Others follow in another one.
                let next = Self::start(&self.directory)?;
                *self = next;
                return Err(reason);
            }
        };
        served_by(&lines).map_err(|reason| format!("{reason}; it says:\n{}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.directory.join("brokers/log")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        last.iter().map(|line| line.chars().take(300).collect()).collect::<Vec<String>>().join("\n")
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of_one(answers: &mut impl BufRead) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match answers.read_line(&mut line) {
            Ok(0) => return Err("no more answers".into()),
            Ok(_) if line == "end\n" => return Ok(lines),
            Ok(_) => lines.push(line.trim_end_matches('\n').to_owned()),
            Err(failure) => return Err(failure.to_string()),
        }
    }
}

fn served_by(lines: &[String]) -> Result<Served, String> {
    let mut served = Served::default();
    for line in lines {
        let words: Vec<&str> = line.split('\t').collect();
        if let ["failed", reason] = words[..] {
            return Err(format!("failed: {reason}"));
        }
        understand(&mut served, &words).map_err(|reason| format!("{line:?}: {reason}"))?;
    }
    Ok(served)
}

fn understand(served: &mut Served, words: &[&str]) -> Result<(), String> {
    fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
        word.parse().map_err(|_| format!("{word} is no number"))
    }
    match *words {
        ["topic", name, id, partitions] if !name.starts_with("__") => {
            served.topics.insert(id.to_owned(), (name.to_owned(), number(partitions)?));
        }
        ["topic", ..] => {}
        ["partition", name, partition, start, end] => {
            let shown = Shown { start: number(start)?, end: number(end)?, ..Shown::default() };
            served.partitions.insert((name.to_owned(), number(partition)?), shown);
        }
        ["record", name, partition, offset, key, value] => {
            let (key, value) = (bytes_of(key)?, bytes_of(value)?);
            let shown = served.partitions.get_mut(&(name.to_owned(), number(partition)?));
            let seen = Seen::of(key.as_deref(), value.as_deref())?;
            shown.ok_or("a record of no partition")?.take(number(offset)?, seen)?;
        }
        ["committed", group, name, partition, offset] => {
            let place = (group.to_owned(), name.to_owned(), number(partition)?);
            served.commits.insert(place, number(offset)?);
        }
        _ => return Err("it is invalid".into()),
    }
    Ok(())
}

fn bytes_of(hex: &str) -> Result<Option<Vec<u8>>, String> {
    if hex == "null" {
        return Ok(None);
    }
    let pairs = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2).unwrap_or("odd"));
    let bytes: Result<Vec<u8>, _> = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect();
    bytes.map(Some).map_err(|failure| format!("bytes: {failure}"))
}
