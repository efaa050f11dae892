//! `EventLog::snapshot_to`: a copy of a log that is used, which is the log at one point.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{self, Mode, in_every_mode, names, read, text, tree};
use stratalog::inspect::{VerifyOptions, verify};
use stratalog::{
    CleanupPolicy, Durability, Error, EventLog, Maintenance, ManualClock, OpenOptions, Position, Record,
    Snapshot, Timestamp, Topic, TopicConfig,
};

const UNFINISHED: &str = ".stratalog-snapshot-unfinished";

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

fn options(clock: &ManualClock) -> OpenOptions {
    EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).offsets_partitions(2)
}

/// What users can see of a log.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    topics: BTreeMap<String, Seen>,
    committed: BTreeMap<String, Vec<(String, u64)>>,
}

/// Offset, key and value.
type Kept = (u64, Option<String>, Option<String>);

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    id: String,
    settings: Vec<(String, String)>,
    /// Start, end, and records by offset.
    partitions: Vec<(u64, u64, Vec<Kept>)>,
}

fn content(log: &EventLog) -> Content {
    let words = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let topics = log.topics().unwrap().into_iter().map(|topic| {
        let config = topic.config();
        let settings = config.entries().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let partitions = topic.partitions().into_iter().map(|partition| {
            let offsets = partition.offsets().unwrap();
            let records = read(log, [&partition]);
            let records = records
                .iter()
                .map(|one| (one.view().offset(), words(one.view().key()), words(one.view().value())));
            (offsets.log_start, offsets.log_end, records.collect())
        });
        let seen = Seen { id: topic.id().to_string(), settings, partitions: partitions.collect() };
        (topic.name().to_owned(), seen)
    });
    let committed = log.groups().unwrap().into_iter().map(|group| {
        let positions = group.committed().unwrap();
        let positions = positions.iter().map(|at| (at.topic_partition().to_string(), at.offset()));
        (group.name().to_owned(), positions.collect())
    });
    Content { topics: topics.collect(), committed: committed.collect() }
}

/// The log in a directory, which must have been closed cleanly and hold nothing that is wrong.
fn content_of_clean(clock: &ManualClock, directory: &Path) -> Content {
    let mut problems = Vec::new();
    verify(directory, VerifyOptions::new(), |problem| problems.push(problem.to_string())).unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
    let reader = options(clock).read_only(true).open(directory).unwrap();
    let seen = content(&reader);
    drop(reader);
    let log = options(clock).open(directory).unwrap();
    assert!(log.recovery().clean);
    assert!(log.recovery().partitions.is_empty() && log.recovery().failed.is_empty());
    assert_eq!(content(&log), seen);
    log.close().unwrap();
    seen
}

fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(1 << 20).retention(None).set("file.delete.delay.ms", "1000")
}

/// Sends records of `bytes` each, one batch each.
fn send(log: &EventLog, topic: &Topic, from: u32, count: u32, bytes: usize) {
    let producer = log.producer().unwrap();
    for number in from..from + count {
        let (value, key) = (format!("{number}:{}", "x".repeat(bytes)), format!("k{}", number % 7));
        let record = Record::new(&value).key(&key).partition(number % 2);
        producer.send(topic, record).unwrap();
    }
}

/// A log with everything in it: rolled, compacted and deleted from, with groups, and topics that are empty or gone.
fn used(mode: Mode, clock: &ManualClock, directory: &Path) -> EventLog {
    let log = mode.of(options(clock)).open(directory).unwrap();
    let plain = log.create_topic("plain", small_segments().partitions(2)).unwrap();
    let compact = small_segments().partitions(2).cleanup(CleanupPolicy::Compact);
    let compact = compact.set("min.cleanable.dirty.ratio", "0.01").set("delete.retention.ms", "0");
    let compact = log.create_topic("compacted", compact).unwrap();
    log.create_topic("empty", TopicConfig::new().partitions(3)).unwrap();
    let gone = log.create_topic("gone", TopicConfig::new().partitions(2)).unwrap();
    for topic in [&plain, &compact] {
        send(&log, topic, 0, 24, 200 << 10);
    }
    send(&log, &gone, 0, 2, 10);
    plain.partition(0).unwrap().delete_records(7).unwrap();
    for group in ["g", "h"] {
        log.group(group).unwrap().set_committed([Position::new(("plain", 1), 5)]).unwrap();
    }
    for _ in 0..3 {
        clock.advance(Duration::from_secs(6));
        log.run_maintenance().unwrap();
    }
    log.delete_topic("gone").unwrap();
    log.create_topic("gone", TopicConfig::new()).unwrap();
    send(&log, &plain, 24, 3, 30);
    send(&log, &compact, 24, 3, 30);
    log
}

#[test]
fn a_snapshot_is_what_the_log_was_and_opens_clean() {
    in_every_mode(|mode, dir| {
        let (clock, data, copy) = (clock(), dir.join("data"), dir.join("copy"));
        let log = used(mode, &clock, &data);
        let before = content(&log);
        let snapshot = log.snapshot_to(&copy).unwrap();
        assert_eq!(snapshot.directory(), copy.canonicalize().unwrap());
        assert_eq!(snapshot.topics(), before.topics.len());
        let ends: BTreeMap<_, _> = snapshot.partitions().map(|(of, end)| (of.to_string(), end)).collect();
        let expected = before.topics.iter().flat_map(|(name, seen)| {
            seen.partitions.iter().enumerate().map(move |(n, (_, end, _))| (format!("{name}-{n}"), *end))
        });
        assert_eq!(ends, expected.collect());
        assert!(snapshot.bytes_copied() > 0);
        // Whatever is used of it later.
        send(&log, &log.topic("plain").unwrap(), 100, 20, 200 << 10);
        log.delete_topic("empty").unwrap();
        assert_eq!(content_of_clean(&clock, &copy), before);
        assert_eq!(names(dir), ["copy", "data"]);
        log.close().unwrap();
        drop(log);
        // It is a log of its own.
        let log = mode.of(options(&clock)).open(&copy).unwrap();
        send(&log, &log.topic("plain").unwrap(), 27, 20, 200 << 10);
        let after = content(&log);
        log.snapshot_to(dir.join("again")).unwrap();
        log.close().unwrap();
        assert_eq!(content_of_clean(&clock, &dir.join("again")), after);
        assert_eq!(content_of_clean(&clock, &copy), after);
    });
}

#[test]
fn a_snapshot_has_the_files_that_a_close_leaves() {
    in_every_mode(|mode, dir| {
        let (clock, data, copy) = (clock(), dir.join("data"), dir.join("copy"));
        let log = used(mode, &clock, &data);
        log.snapshot_to(&copy).unwrap();
        log.close().unwrap();
        let files = |root: &Path| {
            let found = tree(root).into_iter().map(|(path, (_, bytes))| {
                (path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), bytes)
            });
            let ours = |name: &str| {
                // Of a copy an open transaction may be part, so the next open looks for one.
                name == ".kafka_cleanshutdown"
                    || name == ".lock"
                    || name.starts_with("stratalog.")
                    || name.contains("-delete")
                    || name.ends_with(".deleted")
            };
            found.filter(|(name, _)| !ours(name)).collect::<BTreeMap<_, _>>()
        };
        let (left, made) = (files(&data), files(&copy));
        let lacks = |a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>| {
            a.keys().filter(|name| !b.contains_key(*name)).cloned().collect::<Vec<_>>()
        };
        assert_eq!((lacks(&left, &made), lacks(&made, &left)), (Vec::new(), Vec::new()));
        for (name, bytes) in &left {
            // The topics in checkpoints have the same order in both.
            assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&made[name]), "{name}");
        }
    });
}

/// Files of several names: `.log` files alone, and not the last one of a partition.
#[cfg(unix)]
#[test]
fn only_sealed_segments_are_linked() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (clock, data, copy) = (clock(), dir.path().join("data"), dir.path().join("copy"));
    let log = used(common::MODES[0], &clock, &data);
    let snapshot = log.snapshot_to(&copy).unwrap();
    let linked =
        tree(&copy).into_keys().filter(|path| path.is_file() && fs::metadata(path).unwrap().nlink() > 1);
    let linked: Vec<_> = linked.collect();
    let bytes: u64 = linked.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(bytes, snapshot.bytes_linked());
    if snapshot.bytes_reflinked() == 0 {
        assert!(linked.len() > 4, "{linked:?}");
    }
    for path in linked {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with(".log"), "{name}");
        let later = names(path.parent().unwrap());
        assert!(later.iter().any(|other| other.ends_with(".log") && other.as_str() > name), "{path:?}");
    }
}

#[test]
fn neither_log_ever_writes_to_a_file_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, data, copy) = (clock(), dir.path().join("data"), dir.path().join("copy"));
    let log = used(common::MODES[0], &clock, &data);
    log.snapshot_to(&copy).unwrap();
    log.close().unwrap();
    drop(log);
    let bytes = |root: &Path| -> BTreeMap<_, _> {
        tree(root).into_iter().map(|(path, (_, bytes))| (path, bytes)).collect()
    };
    for (used, other) in [(&data, &copy), (&copy, &data)] {
        let before = bytes(other);
        // The last segments are lost, so that one which both have is the last one, and all is recovered.
        for partition in ["plain-0", "plain-1"] {
            let logs: Vec<_> =
                names(&used.join(partition)).into_iter().filter(|name| name.ends_with(".log")).collect();
            fs::remove_file(used.join(partition).join(logs.last().unwrap())).unwrap();
        }
        fs::remove_file(used.join(".kafka_cleanshutdown")).unwrap();
        fs::remove_file(used.join("recovery-point-offset-checkpoint")).unwrap();
        let log = options(&clock).open(used).unwrap();
        let plain = log.topic("plain").unwrap();
        // There is room for it after what both have.
        send(&log, &plain, 200, 2, 10);
        send(&log, &plain, 202, 30, 200 << 10);
        send(&log, &log.topic("compacted").unwrap(), 200, 30, 200 << 10);
        plain.partition(1).unwrap().delete_records(9).unwrap();
        for _ in 0..4 {
            clock.advance(Duration::from_secs(6));
            log.run_maintenance().unwrap();
        }
        log.delete_topic("gone").unwrap();
        log.close().unwrap();
        assert_eq!(bytes(other), before);
    }
}

/// Ends threads, also where an assertion fails.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_record_is_in_it_with_all_that_was_acknowledged_before() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = EventLog::options().offsets_partitions(2).max_segment_bytes(64 << 10).open(data).unwrap();
    // The first and the last partitions of the log, and many between them.
    let chain = [("a", 1), ("middle", 2000), ("z", 1)]
        .map(|(name, count)| log.create_topic(name, TopicConfig::new().partitions(count)).unwrap());
    let chain = [&chain[0], &chain[2]];
    let compacted =
        TopicConfig::new().cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.01");
    let compacted = log.create_topic("compacted", compacted.set("file.delete.delay.ms", "0")).unwrap();
    let (ends, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    // No thread gets so far that a round has much to read.
    let rounds = AtomicU64::new(1);
    let waits = |number: u64| {
        while number >= 1000 * rounds.load(Ordering::SeqCst) && !ends.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        !ends.load(Ordering::SeqCst)
    };
    std::thread::scope(|scope| {
        let _at_the_end = Ends(&ends);
        // Each number goes to one partition after the other, then the group commits it.
        scope.spawn(|| {
            let (producer, group) = (log.producer().unwrap(), log.group("g").unwrap());
            for number in (0..).take_while(|number| waits(*number)) {
                for topic in chain {
                    producer.send(topic, Record::new(&number.to_string())).unwrap();
                }
                group.set_committed([Position::new(("z", 0), number + 1)]).unwrap();
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let producer = log.producer().unwrap();
            for number in (0..).take_while(|number| waits(*number)) {
                let (value, key) = (format!("{number} {}", "y".repeat(300)), format!("k{}", number % 3));
                producer.send(&compacted, Record::new(&value).key(&key)).unwrap();
                if number % 64 == 0 {
                    log.run_maintenance().unwrap();
                }
            }
        });
        // Topics come and go.
        scope.spawn(|| {
            let producer = log.producer().unwrap().with_durability(Durability::Buffered);
            for number in (0_u64..).take_while(|number| waits(*number)) {
                let topic = log.create_topic("fleeting", TopicConfig::new()).unwrap();
                producer.send(&topic, Record::new(&number.to_string())).unwrap();
                log.delete_topic("fleeting").unwrap();
            }
        });
        for round in 0..5 {
            rounds.store(round + 1, Ordering::SeqCst);
            let before = acknowledged.load(Ordering::SeqCst);
            let copy = dir.path().join(format!("copy-{round}"));
            let snapshot = log.snapshot_to(&copy).unwrap();
            holds_what_was_before(&snapshot, before);
            fs::remove_dir_all(&copy).unwrap();
        }
    });
    log.close().unwrap();
}

/// Whether a snapshot is of one point, after `before` numbers were acknowledged.
fn holds_what_was_before(snapshot: &Snapshot, before: u64) {
    let end = |name: &str| {
        let mut found = snapshot.partitions().filter(|(of, _)| of.to_string() == name);
        found.next().map(|(_, end)| end).unwrap()
    };
    let (first, last) = (end("a-0"), end("z-0"));
    assert!((before..=first).contains(&last) && first <= last + 1, "{first} {last} {before}");
    let opened = EventLog::open(snapshot.directory()).unwrap();
    assert!(opened.recovery().clean);
    for (name, end) in [("a", first), ("z", last)] {
        let records = read(&opened, [opened.topic(name).unwrap().partition(0).unwrap()]);
        let values: Vec<_> = records.iter().map(text).collect();
        assert_eq!(values, (0..end).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    let committed = opened.group("g").unwrap().committed().unwrap();
    let committed = committed.first().map_or(0, Position::offset);
    assert!((before..=last).contains(&committed), "{committed} {last} {before}");
    // The last value of each key is there.
    let kept = read(&opened, [opened.topic("compacted").unwrap().partition(0).unwrap()]);
    let number = |one| text(one).split(' ').next().unwrap().parse::<u64>().unwrap();
    let numbers: Vec<u64> = kept.iter().map(number).collect();
    let end = end("compacted-0");
    assert!((end.saturating_sub(3)..end).all(|number| numbers.contains(&number)), "{numbers:?} {end}");
    if let Ok(fleeting) = opened.topic("fleeting") {
        assert!(read(&opened, fleeting.partitions()).len() <= 1);
    }
    opened.close().unwrap();
}

#[test]
fn a_place_that_will_not_do_is_refused_with_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let (data, other) = (dir.join("logs").join("data"), dir.join("other"));
    let log = EventLog::open(&data).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    EventLog::open(&other).unwrap().close().unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    fs::create_dir(dir.join("full")).unwrap();
    fs::write(dir.join("full").join("x"), "x").unwrap();
    for (to, says) in [
        (data.clone(), "is the log itself"),
        (data.join("copy"), "lies in the log"),
        (data.join("t-0").join("copy"), "lies in the log"),
        (dir.join("logs"), "is where the log"),
        (other.join("copy"), "lies in another log"),
        (dir.join("file"), "is not a directory"),
        (dir.join("file").join("copy"), "is no directory; make that first"),
        (dir.join("no").join("such").join("copy"), "is no directory; make that first"),
        (dir.join("full"), "is not empty: it holds x; give a new or empty directory"),
        (dir.join(".."), "names no directory that can be made"),
        (dir.join("logs").join("..").join("logs").join("data").join("copy"), "lies in the log"),
    ] {
        let Err(failure @ Error::InvalidInput { .. }) = log.snapshot_to(&to) else {
            panic!("{}", to.display())
        };
        assert!(failure.to_string().contains(says), "{failure}");
    }
    let reader = EventLog::open_read_only(&data).unwrap();
    assert!(matches!(reader.snapshot_to(dir.join("copy")), Err(Error::ReadOnly)));
    log.close().unwrap();
    assert!(matches!(log.snapshot_to(dir.join("copy")), Err(Error::Closed)));
    assert_eq!(names(&dir), ["file", "full", "logs", "other"]);
}

#[cfg(unix)]
#[test]
fn links_on_the_way_are_followed_and_a_link_is_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let log = EventLog::open(dir.join("data")).unwrap();
    fs::create_dir(dir.join("disk")).unwrap();
    std::os::unix::fs::symlink(dir.join("disk"), dir.join("link")).unwrap();
    std::os::unix::fs::symlink(dir.join("data"), dir.join("inside")).unwrap();
    let snapshot = log.snapshot_to(dir.join("link").join("copy")).unwrap();
    assert_eq!(snapshot.directory(), dir.join("disk").join("copy"));
    for (to, says) in [("link", "is not a directory"), ("inside/copy", "lies in the log")] {
        let failure = log.snapshot_to(dir.join(to)).unwrap_err().to_string();
        assert!(failure.contains(says), "{failure}");
    }
}

#[test]
fn an_empty_directory_is_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path().join("data")).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("one")).unwrap();
    fs::create_dir(dir.path().join("copy")).unwrap();
    log.snapshot_to(dir.path().join("copy")).unwrap();
    let copy = EventLog::open(dir.path().join("copy")).unwrap();
    assert_eq!(common::end(&copy.topic("t").unwrap(), 0), 1);
}

#[test]
fn what_a_stop_has_left_is_removed_if_it_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let unfinished = dir.path().join(format!("copy{UNFINISHED}"));
    let log = EventLog::open(dir.path().join("data")).unwrap();
    // Ours, at each stop.
    let words = {
        fs::create_dir(&unfinished).unwrap();
        log.snapshot_to(&copy).unwrap();
        fs::remove_dir_all(&copy).unwrap();
        assert!(!unfinished.exists());
        "A snapshot that stratalog is making, or could not finish. If no process has it open, it can be removed; the next \
         snapshot to the same directory removes it.\n"
    };
    fs::create_dir_all(unfinished.join("snapshot").join("t-0")).unwrap();
    fs::write(unfinished.join("README"), words).unwrap();
    fs::write(unfinished.join(".lock"), "").unwrap();
    fs::write(unfinished.join("snapshot").join("t-0").join("half"), "x").unwrap();
    log.snapshot_to(&copy).unwrap();
    assert!(!unfinished.exists());
    fs::remove_dir_all(&copy).unwrap();
    // Another program's.
    for (names_in_it, says) in [
        (&["notes"][..], "it holds notes, which no snapshot makes there; move it elsewhere"),
        (&["snapshot/notes"], "its README does not say that stratalog has made it; move it elsewhere"),
    ] {
        for name in names_in_it {
            fs::create_dir_all(unfinished.join(name).parent().unwrap()).unwrap();
            fs::write(unfinished.join(name), "x").unwrap();
        }
        let Err(failure @ Error::InvalidInput { .. }) = log.snapshot_to(&copy) else { panic!() };
        assert!(failure.to_string().contains(says), "{failure}");
        assert!(unfinished.join(names_in_it[0]).exists() && !copy.exists());
        fs::remove_dir_all(&unfinished).unwrap();
    }
    fs::write(&unfinished, "x").unwrap();
    assert!(log.snapshot_to(&copy).unwrap_err().to_string().contains("it is no directory"));
}
