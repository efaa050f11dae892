//! Partitions with a segment that is empty, shortened or missing, in one directory that was not closed cleanly.
//!
//! Each partition has 40 records in four segments of ten. `absence.txt` holds what a broker serves of each, as
//! `tests/kafka/absence.rs` has asked one; that program, with `STRATALOG_KAFKA=write`, makes the file anew.

use std::fmt::{self, Write as _};
use std::fs;
use std::ops::Range;
use std::path::Path;

use stratalog::{EventLog, Maintenance, Record, TopicConfig};

/// Offsets of a segment, and of a partition.
pub(crate) const SEGMENT: u64 = 10;
pub(crate) const END: u64 = 40;
/// A broker's answers.
pub(crate) const ANSWERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/absence.txt");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Empty,
    /// At the end of a batch.
    Shortened,
    /// Within a batch.
    Torn,
    Missing,
}

/// One partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) topic: &'static str,
    pub(crate) partition: u32,
    pub(crate) how: How,
    /// Base offset of the segment that it happened to.
    pub(crate) base: u64,
    pub(crate) recovery_point: Option<u64>,
    /// Offset in the checkpoint of the cleaner.
    pub(crate) cleaned: Option<u64>,
    /// The log was closed cleanly, and the checkpoints are what the close left.
    pub(crate) is_closed: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = |known: Option<u64>| known.map_or_else(|| "none".to_owned(), |at| at.to_string());
        write!(
            f,
            "{} {:?} {} point={} cleaned={}",
            self.topic,
            self.how,
            self.base,
            offset(self.recovery_point),
            offset(self.cleaned)
        )
    }
}

impl Case {
    pub(crate) fn is_compacted(&self) -> bool {
        self.topic == "compacted"
    }

    /// The records that are not there any more.
    pub(crate) fn gone(&self) -> Range<u64> {
        match self.how {
            How::Empty | How::Missing => self.base..self.base + SEGMENT,
            How::Shortened => self.base + 6..self.base + SEGMENT,
            How::Torn => self.base + SEGMENT - 1..self.base + SEGMENT,
        }
    }
}

/// A directory in memory where there is such a place: thousands of syncs of a disk take minutes.
pub(crate) fn in_memory() -> tempfile::TempDir {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// All of them, those of a topic in the order of their partitions.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (topic, cleaned) in [("compacted", &[None, Some(30)][..]), ("plain", &[None])] {
        let mut partition = 0;
        for how in [How::Empty, How::Shortened, How::Torn, How::Missing] {
            for base in [0, 10, 30] {
                for recovery_point in [None, Some(0), Some(15), Some(20), Some(END)] {
                    for cleaned in cleaned.iter().copied() {
                        let is_closed = false;
                        cases.push(Case { topic, partition, how, base, recovery_point, cleaned, is_closed });
                        partition += 1;
                    }
                }
            }
        }
    }
    cases
}

/// The same of a log that was closed cleanly, one for each segment and what may happen to it.
pub(crate) fn closed_cases() -> Vec<Case> {
    let cases = cases().into_iter().filter(|case| !case.is_compacted() && case.recovery_point == Some(END));
    let cases = cases.enumerate().map(|(partition, case)| {
        let partition = u32::try_from(partition).unwrap();
        Case { partition, is_closed: true, ..case }
    });
    cases.collect()
}

/// Makes the directory.
pub(crate) fn make(dir: &Path, cases: &[Case]) {
    let options = EventLog::options().max_segment_bytes(4096).maintenance(Maintenance::Manual);
    let log = options.open(dir).unwrap();
    let producer = log.producer().unwrap();
    for (name, policy) in [("compacted", "compact"), ("plain", "delete")] {
        let count = u32::try_from(cases.iter().filter(|case| case.topic == name).count()).unwrap();
        if count == 0 {
            continue;
        }
        let config = TopicConfig::new().partitions(count).retention(None).set("cleanup.policy", policy);
        let topic = log.create_topic(name, config).unwrap();
        for partition in 0..count {
            for offset in 0..END {
                let (key, value) = (format!("key-{offset:03}"), format!("{offset:>320}"));
                producer.send(&topic, Record::new(&value).key(&key).partition(partition)).unwrap();
            }
        }
    }
    log.close().unwrap();
    drop((producer, log));
    if cases.iter().all(|case| case.is_closed) {
        return cases.iter().for_each(|case| spoil(dir, case));
    }
    fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    checkpoint(dir, "recovery-point-offset-checkpoint", cases, |case| case.recovery_point);
    checkpoint(dir, "cleaner-offset-checkpoint", cases, |case| case.cleaned);
    for case in cases {
        spoil(dir, case);
    }
}

fn checkpoint(dir: &Path, name: &str, cases: &[Case], offset: impl Fn(&Case) -> Option<u64>) {
    let mut lines = String::new();
    let mut count = 0;
    for case in cases {
        if let Some(offset) = offset(case) {
            writeln!(lines, "{} {} {offset}", case.topic, case.partition).unwrap();
            count += 1;
        }
    }
    fs::write(dir.join(name), format!("0\n{count}\n{lines}")).unwrap();
}

fn spoil(dir: &Path, case: &Case) {
    let directory = dir.join(format!("{}-{}", case.topic, case.partition));
    let file = |base: u64, suffix: &str| directory.join(format!("{base:020}.{suffix}"));
    for base in (0..END).step_by(10) {
        assert!(file(base, "log").exists(), "{case}: a segment begins at {base}");
    }
    let log = file(case.base, "log");
    let bytes = fs::read(&log).unwrap();
    let length = match case.how {
        How::Empty => 0,
        How::Shortened => starts_of_batches(&bytes)[6],
        How::Torn => bytes.len() - 1,
        How::Missing => {
            for suffix in ["log", "index", "timeindex", "snapshot"] {
                let _ = fs::remove_file(file(case.base, suffix));
            }
            return;
        }
    };
    fs::write(&log, &bytes[..length]).unwrap();
}

/// Where the batches of a log file begin.
pub(crate) fn starts_of_batches(log: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(length) = log.get(at + 8..at + 12) {
        starts.push(at);
        at += 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    }
    starts
}

/// What is served of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) records: Vec<Range<u64>>,
}

impl Answer {
    pub(crate) fn of(start: u64, end: u64, offsets: impl IntoIterator<Item = u64>) -> Self {
        let mut records: Vec<Range<u64>> = Vec::new();
        for offset in offsets {
            match records.last_mut() {
                Some(last) if last.end == offset => last.end += 1,
                _ => records.push(offset..offset + 1),
            }
        }
        Self { start, end, records }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{} {:?}", self.start, self.end, self.records)
    }
}

/// The answers in the file, in the order of the cases.
pub(crate) fn stored_answers(cases: &[Case]) -> Vec<String> {
    let text = fs::read_to_string(ANSWERS).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), cases.len());
    let answer = |(line, case): (&&str, &Case)| {
        let answer = line.strip_prefix(&format!("{case}: "));
        answer.unwrap_or_else(|| panic!("{line:?} is not of {case}")).to_owned()
    };
    lines.iter().zip(cases).map(answer).collect()
}
