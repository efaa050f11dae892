//! What the suites share: directories, the four ways to write and read, and reading everything back.

#![allow(dead_code, unused_imports, unused_macros, reason = "each suite uses its part of it")]

pub(crate) mod crafted;
pub(crate) mod expected;
pub(crate) mod segments;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stratalog::{
    ConsumerConfig, EventLog, ManualClock, OpenOptions, OwnedRecord, Position, ReadMode, Timestamp, Topic,
    TopicPartition, WriteMode,
};

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A minute after the last record that brokers wrote into the recorded directories.
const WHEN_RECORDED: Timestamp = Timestamp::from_millis(1_795_375_300_000);

/// Opens a recorded directory at the time of the recording. Segments roll and records expire by their age, so that with
/// the system's clock the same test would find something else each year.
pub(crate) fn recorded() -> OpenOptions {
    EventLog::options().clock(ManualClock::new(WHEN_RECORDED))
}

/// The name by which the harness knows a test of this module, for a child that runs it and nothing else: the program once more,
/// with `--exact` and this. A test that does not exist is not compiled.
macro_rules! test_path {
    ($test:ident) => {{
        const _: fn() = self::$test;
        concat!(module_path!(), "::", stringify!($test)).split_once("::").expect("a crate and a path").1
    }};
}
pub(crate) use test_path;

/// Starts a process. Wine on a busy machine at times loses one before it has begun, and `CreateProcess` fails with
/// `ERROR_INTERNAL_ERROR`: nothing of the program has run, so it is started again.
pub(crate) fn started<T>(mut start: impl FnMut() -> std::io::Result<T>) -> T {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    for _ in 0..10 {
        match start() {
            Err(lost) if cfg!(windows) && lost.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => (),
            result => return result.unwrap(),
        }
    }
    start().unwrap()
}

/// One of the ways in and out of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode(pub(crate) WriteMode, pub(crate) ReadMode);

pub(crate) const MODES: [Mode; 4] = [
    Mode(WriteMode::Auto, ReadMode::Auto),
    Mode(WriteMode::Auto, ReadMode::Copy),
    Mode(WriteMode::Positioned, ReadMode::Auto),
    Mode(WriteMode::Positioned, ReadMode::Copy),
];

/// Windows has one way in and one way out, whatever is asked for.
const DIFFERENT_MODES: usize = if cfg!(windows) { 1 } else { MODES.len() };
/// Exhaustive tests take every n-th step only where a system call takes long, as under Wine.
pub(crate) const STRIDE: usize = if cfg!(windows) { 7 } else { 1 };

impl Mode {
    pub(crate) fn options(self) -> OpenOptions {
        self.of(EventLog::options())
    }

    pub(crate) fn of(self, options: OpenOptions) -> OpenOptions {
        options.write_mode(self.0).read_mode(self.1)
    }

    pub(crate) fn open(self, path: &Path) -> EventLog {
        self.options().open(path).unwrap()
    }
}

/// The repository, also for tests of the program.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|at| at.join("tests/vectors").exists()).expect("a repository with its vectors")
}

/// Runs a suite in a fresh directory for each way to write and read.
pub(crate) fn in_every_mode(suite: impl Fn(Mode, &Path)) {
    for mode in &MODES[..DIFFERENT_MODES] {
        eprintln!("{mode:?}");
        let dir = tempfile::tempdir().unwrap();
        suite(*mode, dir.path());
    }
}

/// Everything in these partitions now, in the order it is returned.
pub(crate) fn read<P: Into<TopicPartition>>(
    log: &EventLog,
    of: impl IntoIterator<Item = P>,
) -> Vec<OwnedRecord> {
    let mut reader = log.consumer_with(ConsumerConfig::new()).unwrap();
    reader.assign(of).unwrap();
    let mut found = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        found.extend(records);
    }
}

/// Values of a topic's records as texts.
pub(crate) fn texts(log: &EventLog, topic: &Topic) -> Vec<String> {
    read(log, topic.partitions()).iter().map(text).collect()
}

pub(crate) fn text(record: &OwnedRecord) -> String {
    String::from_utf8(record.value().expect("a value").to_vec()).unwrap()
}

/// Where a partition ends.
pub(crate) fn end(topic: &Topic, partition: u32) -> u64 {
    topic.partition(partition).unwrap().offsets().unwrap().log_end
}

pub(crate) fn at(topic: &Topic, partition: u32, offset: u64) -> Position {
    Position::new((topic.name(), partition), offset)
}

/// Waits until something holds, or fails.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// Copies a directory with everything in it, as it is.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Where a campaign begins and how many rounds it goes: by `STRATALOG_SEED` and `STRATALOG_TIMES`, as in `.ci/run long`. Printed,
/// so that a round that fails can be repeated.
pub(crate) fn campaign(name: &str, usual_seed: u64, usual_rounds: usize) -> (Dice, usize) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("STRATALOG_SEED").unwrap_or(usual_seed);
    let rounds = usual_rounds * usize::try_from(number("STRATALOG_TIMES").unwrap_or(1)).unwrap();
    eprintln!("{name}: {rounds} rounds with STRATALOG_SEED={seed}");
    // Dice must not begin with 0.
    (Dice(seed.max(1)), rounds)
}

/// Every file below a directory: its name there, with `/` on every system, and its path.
pub(crate) fn files_below(root: &Path) -> Vec<(String, PathBuf)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, path));
            }
        }
    }
    found
}

/// Every file and directory with its content and time of change.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, (Option<std::time::SystemTime>, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let modified = std::fs::symlink_metadata(&path).unwrap().modified().ok();
            let content = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (modified, content));
        }
    }
    found
}
