//! Every file of a healthy directory gone, cut, older or swapped, alone and in pairs.
//!
//! What holds in each case: a record that is read is the one that was sent at its offset. What is not read any more, and a
//! committed position that is another, is reported: by an error, an event, the report of the opening, or by `verify`. And what
//! is not reported changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::segments::{in_memory, starts_of_batches};
use crate::common::{campaign, files_below};
use stratalog::inspect::{VerifyOptions, verify};
use stratalog::{
    Error, Event, EventLog, Maintenance, ManualClock, OpenOptions, Position, Record, Timestamp, TopicConfig,
};

const TOPICS: [&str; 3] = ["compacted", "plain", "trimmed"];
const COMMITTED: u64 = 12;
/// Where the third topic begins, in the middle of a segment.
const TRIMMED: u64 = 15;
const RECORDS: u64 = 45;

/// A directory as bytes, by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Of the same log: closed in the middle of its life, stopped without a close at its end, and closed there.
struct Healthy {
    older: Files,
    killed: Files,
    closed: Files,
    /// What is read of it.
    visible: Visible,
}

/// Offsets of each topic that are read, and the position that is committed in the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Visible {
    offsets: BTreeMap<String, BTreeSet<u64>>,
    committed: Option<u64>,
}

fn options() -> OpenOptions {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = EventLog::options().max_segment_bytes(4096).maintenance(Maintenance::Manual);
    options.clock(clock).offsets_partitions(1)
}

fn value(topic: &str, offset: u64) -> String {
    format!("{topic} {offset:>320}")
}

fn healthy() -> Healthy {
    let dir = in_memory();
    let fill = |log: &EventLog, offsets: std::ops::Range<u64>| {
        let producer = log.producer().unwrap();
        for name in TOPICS {
            let topic = log.topic(name).unwrap();
            for offset in offsets.clone() {
                let (key, value) = (format!("{}", offset % 7), value(name, offset));
                let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(offset).unwrap());
                producer.send(&topic, Record::new(&value).key(&key).timestamp(at)).unwrap();
            }
        }
    };
    let log = options().open(dir.path()).unwrap();
    for name in TOPICS {
        let config = TopicConfig::new().retention(None);
        let compact =
            config.clone().set("cleanup.policy", "compact").set("min.cleanable.dirty.ratio", "0.01");
        log.create_topic(name, if name == "compacted" { compact } else { config }).unwrap();
    }
    fill(&log, 0..20);
    log.group("g").unwrap().set_committed([Position::new(("plain", 0), 3)]).unwrap();
    log.close().unwrap();
    let older = read_files(dir.path());
    let log = options().open(dir.path()).unwrap();
    fill(&log, 20..RECORDS);
    log.run_maintenance().unwrap();
    log.topic("trimmed").unwrap().partition(0).unwrap().delete_records(TRIMMED).unwrap();
    log.group("g").unwrap().set_committed([Position::new(("plain", 0), COMMITTED)]).unwrap();
    log.sync().unwrap();
    let killed = read_files(dir.path());
    let visible = look(&log, &mut Vec::new());
    log.close().unwrap();
    let closed = read_files(dir.path());
    assert!(visible.offsets["compacted"].len() < 30, "it was compacted: {visible:?}");
    assert_eq!(visible.offsets["trimmed"].first(), Some(&TRIMMED));
    assert_eq!(visible.committed, Some(COMMITTED));
    Healthy { older, killed, closed, visible }
}

fn read_files(root: &Path) -> Files {
    // On some systems no other process reads what is locked.
    let read = |(name, path)| (name, fs::read(path).unwrap_or_default());
    files_below(root).into_iter().map(read).collect()
}

fn write_files(root: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// What may happen to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Removed,
    Emptied,
    /// The last batch, entry or line is gone.
    LosesLast,
    LosesByte,
    /// The second half is gone.
    Halved,
    Older,
    /// With the next file of its directory.
    Exchanged,
}

const CHANGES: [Change; 7] = [
    Change::Removed,
    Change::Emptied,
    Change::LosesLast,
    Change::LosesByte,
    Change::Halved,
    Change::Older,
    Change::Exchanged,
];

impl Change {
    /// `false`: it would change nothing.
    fn make(self, files: &mut Files, name: &str, older: &Files) -> bool {
        let Some(before) = files.get(name).cloned() else { return false };
        let after = match self {
            Self::Removed => {
                files.remove(name);
                return true;
            }
            Self::Emptied => Vec::new(),
            Self::LosesLast => before[..before.len() - length_of_last(name, &before)].to_vec(),
            Self::Halved => before[..before.len() / 2].to_vec(),
            Self::LosesByte => before[..before.len().saturating_sub(1)].to_vec(),
            Self::Older => match older.get(name) {
                Some(older) => older.clone(),
                None => return false,
            },
            Self::Exchanged => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let of_folder = |other: &&String| other.rsplit_once('/').map_or("", |(of, _)| of) == folder;
                let mut after = files.keys().skip_while(|other| *other != name).skip(1).filter(of_folder);
                let Some(next) = after.next().cloned() else { return false };
                let other = files.insert(next, before.clone()).unwrap();
                let differs = other != before;
                files.insert(name.to_owned(), other);
                return differs;
            }
        };
        let differs = after != before;
        files.insert(name.to_owned(), after);
        differs
    }
}

/// Bytes of the last batch, entry or line of a file; 0 if it has none.
fn length_of_last(name: &str, bytes: &[u8]) -> usize {
    let (_, suffix) = name.rsplit_once('.').unwrap_or_default();
    match suffix {
        "log" => {
            // Space that was preallocated belongs to no batch.
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            starts_of_batches(&bytes[..end]).last().map_or(0, |last| bytes.len() - last)
        }
        "index" => 8.min(bytes.len()),
        "timeindex" => 12.min(bytes.len()),
        _ => match bytes.strip_suffix(b"\n") {
            Some(rest) => bytes.len() - rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
            None => 0,
        },
    }
}

/// Reads everything, after damage where that can be. Whatever is reported on the way is added.
fn look(log: &EventLog, reported: &mut Vec<String>) -> Visible {
    let mut visible = Visible::default();
    for name in TOPICS {
        let offsets = visible.offsets.entry(name.to_owned()).or_default();
        let topic = match log.topic(name) {
            Ok(topic) => topic,
            Err(failure) => {
                reported.push(failure.to_string());
                continue;
            }
        };
        let mut reader = log.standalone_consumer().unwrap();
        if let Err(failure) = reader.assign(topic.partitions()) {
            reported.push(failure.to_string());
            continue;
        }
        loop {
            match reader.poll(Duration::ZERO) {
                Ok(records) if records.is_empty() => break,
                Ok(records) => {
                    for record in &records {
                        assert_eq!(record.value(), Some(value(name, record.offset()).as_bytes()));
                        offsets.insert(record.offset());
                    }
                }
                Err(failure) => {
                    reported.push(failure.to_string());
                    let Error::Corrupt(damage) = failure else { break };
                    let Some(resume_at) = damage.resume_at() else { break };
                    reader.seek(resume_at).unwrap();
                }
            }
        }
    }
    match log.group("g").and_then(|group| group.committed()) {
        Ok(committed) => visible.committed = committed.first().map(Position::offset),
        Err(failure) => reported.push(failure.to_string()),
    }
    visible
}

/// How a directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Closed,
    Killed,
    ClosedReadOnly,
    KilledReadOnly,
}

const WAYS: [Way; 4] = [Way::Closed, Way::Killed, Way::ClosedReadOnly, Way::KilledReadOnly];

impl Way {
    fn is_killed(self) -> bool {
        matches!(self, Self::Killed | Self::KilledReadOnly)
    }

    fn is_read_only(self) -> bool {
        matches!(self, Self::ClosedReadOnly | Self::KilledReadOnly)
    }
}

/// What came out of one case.
struct Outcome {
    /// In words, as it was reported. Without what any killed directory reports.
    reported: Vec<String>,
    /// `None`: the directory could not be opened.
    visible: Option<Visible>,
    /// What the next opening shows, after one for writing.
    again: Option<Visible>,
}

fn outcome(files: &Files, way: Way) -> Outcome {
    let dir = in_memory();
    write_files(dir.path(), files);
    let mut reported = Vec::new();
    let verified = verify(dir.path(), VerifyOptions::new(), |problem| reported.push(problem.to_string()));
    if let Err(failure) = verified {
        reported.push(failure.to_string());
    }
    let log = match options().read_only(way.is_read_only()).open(dir.path()) {
        Ok(log) => log,
        Err(failure) => {
            reported.push(failure.to_string());
            return Outcome { reported, visible: None, again: None };
        }
    };
    let recovery = log.recovery();
    reported.extend(recovery.failed.iter().map(ToString::to_string));
    reported.extend(recovery.unknown_directories.iter().map(|path| path.display().to_string()));
    for found in &recovery.partitions {
        if found.bytes_truncated > 0 || !found.kept.is_empty() || !found.missing.is_empty() {
            reported.push(format!("{found:?}"));
        }
    }
    let events = log.events();
    let visible = look(&log, &mut reported);
    reported.extend(
        std::iter::from_fn(|| events.try_next())
            .filter(|event| !matches!(event, Event::SegmentRolled { .. }))
            .map(|event| format!("{event:?}")),
    );
    let again = (!way.is_read_only()).then(|| {
        // Where something is missing the close may fail, as every use does.
        let _ = log.close();
        options().open(dir.path()).map(|log| look(&log, &mut Vec::new())).unwrap_or_default()
    });
    Outcome { reported, visible: Some(visible), again }
}

/// Offsets at the end of a killed partition that no sync has covered: there is no trace of them.
fn may_be_unknown(way: Way, healthy: &Visible, topic: &str, missing: &BTreeSet<u64>) -> bool {
    let all = &healthy.offsets[topic];
    let first = missing.first().copied().unwrap_or(u64::MAX);
    way.is_killed()
        && all.iter().rev().take(missing.len()).all(|offset| missing.contains(offset))
        && first > 0
}

/// Fails if something is missing or wrong and was not reported. Returns whether nothing was reported.
fn is_silent(case: &dyn fmt::Debug, way: Way, healthy: &Healthy, outcome: &Outcome) -> bool {
    let is_silent = outcome.reported.is_empty();
    let Some(visible) = &outcome.visible else {
        assert!(!is_silent, "{case:?} {way:?}");
        return false;
    };
    for (topic, known) in &healthy.visible.offsets {
        let missing: BTreeSet<_> = known.difference(&visible.offsets[topic]).copied().collect();
        assert!(
            missing.is_empty() || !is_silent || may_be_unknown(way, &healthy.visible, topic, &missing),
            "{case:?} {way:?}: of {topic} {missing:?} are missing, and nothing was reported"
        );
    }
    if let Some(again) = &outcome.again {
        assert_eq!(again, visible, "{case:?} {way:?}: the second opening shows something else");
    }
    let committed = visible.committed == healthy.visible.committed;
    assert!(
        committed || !is_silent || way.is_killed(),
        "{case:?} {way:?}: {:?} is committed, and nothing was reported",
        visible.committed
    );
    is_silent
}

/// Files that may be gone without a word, since nothing that can be seen changes by that.
const SILENT: [(&str, &str); 13] = [
    (".lock", "it is made by the next open for writing"),
    ("stratalog.live", "it holds nothing; readers check the files instead"),
    ("stratalog.reserve", "it holds space alone, and is rebuilt"),
    (".kafka_cleanshutdown", "without it everything after the recovery points is checked"),
    ("recovery-point-offset-checkpoint", "without it everything is checked, or taken as it was closed"),
    ("cleaner-offset-checkpoint", "without it compaction begins at the start again"),
    (
        "log-start-offset-checkpoint",
        "without it the log starts at its first segment again: more is read, not less",
    ),
    ("leader-epoch-checkpoint", "it is rebuilt from the batches that are checked"),
    (".index", "it is rebuilt from the log file; until then lookups take longer"),
    (".timeindex", "the same"),
    (".snapshot", "the state of producers is rebuilt from the batches"),
    (".prepared", "it holds nothing yet; the next segment is made without it"),
    (".deleted", "the segment has left the log, and the file waits to be removed"),
];

/// Exchanged with the next file it makes a checkpoint of log starts that can be right: nothing else holds them. What that
/// decides is in `docs/durability.md`.
const UNKNOWABLE: [&str; 2] = ["cleaner-offset-checkpoint", "log-start-offset-checkpoint"];

#[test]
fn whatever_one_file_loses_is_reported_or_changes_nothing() {
    let healthy = healthy();
    let mut silent = BTreeSet::new();
    let mut cases = 0;
    for way in WAYS {
        let files = if way.is_killed() { &healthy.killed } else { &healthy.closed };
        let untouched = outcome(files, way);
        assert_eq!(untouched.reported, [""; 0], "{way:?}");
        assert_eq!(untouched.visible.as_ref(), Some(&healthy.visible), "{way:?}");
        for name in files.keys() {
            for change in CHANGES {
                let mut changed = files.clone();
                if !change.make(&mut changed, name, &healthy.older) {
                    continue;
                }
                cases += 1;
                let outcome = outcome(&changed, way);
                if change == Change::Exchanged && UNKNOWABLE.contains(&name.as_str()) {
                    continue;
                }
                let is_silent = is_silent(&(name, change), way, &healthy, &outcome);
                if is_silent && change == Change::Removed {
                    silent.insert(name.clone());
                }
            }
        }
    }
    let is_listed = |name: &&String| SILENT.iter().any(|(end, _)| name.ends_with(end));
    let unlisted: Vec<_> = silent.iter().filter(|name| !is_listed(name)).collect();
    assert_eq!(unlisted, [""; 0], "these are gone and nothing was reported");
    for (end, _) in SILENT {
        assert!(silent.iter().any(|name| name.ends_with(end)), "that {end} is gone is reported");
    }
    assert!(cases > 500, "{cases}");
}

/// Both changed in these ways; nothing is silently lost, and nothing is invented.
fn check_pair(healthy: &Healthy, way: Way, pair: [(&String, Change); 2]) {
    let mut files = if way.is_killed() { healthy.killed.clone() } else { healthy.closed.clone() };
    let is_unknowable = |(name, change): &(&String, Change)| {
        *change == Change::Exchanged && UNKNOWABLE.contains(&name.as_str())
    };
    if pair.iter().any(is_unknowable) {
        return;
    }
    let [of_one, of_two] = pair.map(|(name, change)| change.make(&mut files, name, &healthy.older));
    if of_one || of_two {
        is_silent(&pair, way, healthy, &outcome(&files, way));
    }
}

#[test]
fn whatever_two_files_lose_is_reported_or_changes_nothing() {
    let healthy = healthy();
    let names = healthy.closed.keys().filter(|name| name.starts_with("plain-0/") || !name.contains('/'));
    let names: Vec<_> = names.collect();
    let pairs =
        names.iter().enumerate().flat_map(|(at, one)| names[at + 1..].iter().map(move |two| (one, two)));
    for (number, (one, two)) in pairs.enumerate() {
        // Both gone, and one of the other changes to each in turn.
        let of_one = CHANGES[number % CHANGES.len()];
        let of_two = CHANGES[number / CHANGES.len() % CHANGES.len()];
        check_pair(&healthy, Way::Closed, [(one, Change::Removed), (two, Change::Removed)]);
        check_pair(&healthy, WAYS[number % WAYS.len()], [(one, of_one), (two, of_two)]);
    }
}

/// Any two files of the whole directory, each changed in any way: 200 pairs by a seed, and as many times as many as
/// `STRATALOG_TIMES` says.
#[test]
fn whatever_any_two_files_lose_is_reported_or_changes_nothing() {
    let healthy = healthy();
    let (mut dice, pairs) = campaign("absence_class", 13, 200);
    for _ in 0..pairs {
        let way = WAYS[usize::try_from(dice.below(4)).unwrap()];
        let files = if way.is_killed() { &healthy.killed } else { &healthy.closed };
        let mut chosen = || {
            let name = files.keys().nth(usize::try_from(dice.below(files.len() as u64)).unwrap()).unwrap();
            (name, CHANGES[usize::try_from(dice.below(CHANGES.len() as u64)).unwrap()])
        };
        let pair = [chosen(), chosen()];
        check_pair(&healthy, way, pair);
    }
}
