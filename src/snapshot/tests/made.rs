//! Snapshots on a disk that fails, and beside everything that takes files away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::clock::{ManualClock, Timestamp};
use crate::config::{CleanupPolicy, ConsumerConfig, TopicConfig};
use crate::directory::{Maintenance, OpenOptions, Topic};
use crate::error::Error;
use crate::event_log::EventLog;
use crate::inspect::{VerifyOptions, verify};
use crate::position::Position;
use crate::producer::Record;
use crate::sys::faults::{Faults, Observer, Operation};

/// Exhaustive tests take every n-th step only where a system call takes long, as under Wine.
const STRIDE: usize = if cfg!(windows) { 7 } else { 1 };

fn options(clock: &ManualClock) -> OpenOptions {
    EventLog::options()
        .clock(clock.clone())
        .maintenance(Maintenance::Manual)
        .max_segment_bytes(4096)
        .offsets_partitions(1)
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

fn send(log: &EventLog, topic: &str, from: usize, count: usize) {
    let (producer, topic) = (log.producer().unwrap(), log.topic(topic).unwrap());
    for number in from..from + count {
        let (key, value) = (format!("k{}", number % 3), format!("{number} {}", "x".repeat(900)));
        producer.send(&topic, Record::new(&value).key(&key)).unwrap();
    }
}

/// In memory where there is such a place: much here is synced.
fn memory() -> TempDir {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// A log with a plain topic, a compacted one and one that will be deleted, all of several segments in their final form.
fn filled(clock: &ManualClock, root: &Path, faults: Faults) -> EventLog {
    let mut options = options(clock);
    options.faults = faults;
    let log = options.open(root).unwrap();
    let config = || TopicConfig::new().retention(None).set("file.delete.delay.ms", "0");
    let compacted = config().cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.01");
    for (name, config) in [("plain", config()), ("compacted", compacted), ("gone", config())] {
        log.create_topic(name, config).unwrap();
        send(&log, name, 0, 12);
    }
    log.group("g").unwrap().set_committed([Position::new(("plain", 0), 5)]).unwrap();
    log.sync().unwrap();
    log
}

/// By partition: where it begins and its values. By group: what it has committed.
type Content = (BTreeMap<String, (u64, Vec<String>)>, BTreeMap<String, u64>);

fn content(log: &EventLog) -> Content {
    let (mut partitions, mut committed) = (BTreeMap::new(), BTreeMap::new());
    for partition in log.topics().unwrap().iter().flat_map(Topic::partitions) {
        let mut reader = log.consumer_with(ConsumerConfig::new()).unwrap();
        reader.assign([&partition]).unwrap();
        let mut values = Vec::new();
        loop {
            let records = reader.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                break;
            }
            values.extend(records.iter().map(|one| format!("{} {:?}", one.offset(), one.value())));
        }
        partitions.insert(partition.id().to_string(), (partition.offsets().unwrap().log_start, values));
    }
    for group in log.groups().unwrap() {
        for at in group.committed().unwrap() {
            committed.insert(format!("{} {}", group.name(), at.topic_partition()), at.offset());
        }
    }
    (partitions, committed)
}

/// What is in a snapshot, which must be clean.
fn content_of(clock: &ManualClock, directory: &Path) -> Content {
    let report = verify(directory, VerifyOptions::new(), |problem| panic!("{problem}")).unwrap();
    assert_eq!(report.problems, 0);
    let log = options(clock).open(directory).unwrap();
    assert!(log.recovery().clean);
    let content = content(&log);
    log.close().unwrap();
    content
}

/// Does something once a file with this name gets its name.
struct Meanwhile(&'static str, Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Observer for Meanwhile {
    fn file_synced(&self, _file: &File) {}

    fn directory_synced(&self, _directory: &Path) {}

    fn renamed(&self, to: &Path) {
        if to.ends_with(self.0) {
            let act = self.1.lock().take();
            if let Some(act) = act {
                act();
            }
        }
    }
}

fn names_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(names_below(&entry.path()));
        }
    }
    found
}

#[test]
fn whatever_takes_files_away_meanwhile_the_snapshot_has_them() {
    let (dir, clock) = (memory(), clock());
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let meanwhile = Arc::new(Meanwhile("snapshot/cleaner-offset-checkpoint", Mutex::default()));
    let log = filled(&clock, &data, Faults::observed(Arc::clone(&meanwhile) as _));
    clock.advance(Duration::from_secs(6));
    log.run_maintenance().unwrap();
    let before = content(&log);
    let (used, time) = (log.clone(), clock.clone());
    // The point has passed, and no partition is copied yet.
    *meanwhile.1.lock() = Some(Box::new(move || {
        used.delete_topic("gone").unwrap();
        used.create_topic("gone", TopicConfig::new()).unwrap();
        send(&used, "gone", 100, 9);
        for round in 0..3 {
            send(&used, "plain", 12 + 8 * round, 8);
            send(&used, "compacted", 12 + 8 * round, 8);
            let end = 8 * (round as u64 + 1);
            used.topic("plain").unwrap().partition(0).unwrap().delete_records(end).unwrap();
            for _ in 0..2 {
                time.advance(Duration::from_secs(60));
                used.run_maintenance().unwrap();
            }
        }
        used.group("g").unwrap().set_committed([Position::new(("plain", 0), 30)]).unwrap();
    }));
    log.snapshot_to(&copy).unwrap();
    assert!(meanwhile.1.lock().is_none(), "nothing happened meanwhile");
    assert_eq!(content_of(&clock, &copy), before);
    // What waited for it goes now.
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        log.run_maintenance().unwrap();
    }
    let left: Vec<_> = names_below(&data)
        .into_iter()
        .filter(|name| name.contains("delete") || name.contains("swap"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let after = content(&log);
    assert!(after.0["compacted-0"].1.len() < 12, "{after:?}");
    log.close().unwrap();
    assert_eq!(content_of(&clock, &data), after);
}

#[test]
fn a_snapshot_ends_where_the_log_is_closed_meanwhile() {
    let (dir, clock) = (memory(), clock());
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let meanwhile = Arc::new(Meanwhile("snapshot/recovery-point-offset-checkpoint", Mutex::default()));
    let log = filled(&clock, &data, Faults::observed(Arc::clone(&meanwhile) as _));
    let before = content(&log);
    let (closing, closer) = (log.clone(), Arc::new(Mutex::new(None)));
    let started = Arc::clone(&closer);
    *meanwhile.1.lock() = Some(Box::new(move || {
        let asked = closing.clone();
        *started.lock() = Some(std::thread::spawn(move || closing.close()));
        while !matches!(asked.topics(), Err(Error::Closed)) {
            std::thread::yield_now();
        }
    }));
    assert!(matches!(log.snapshot_to(&copy), Err(Error::Closed)));
    closer.lock().take().unwrap().join().unwrap().unwrap();
    assert_eq!(names_of(dir.path()), ["data"]);
    assert_eq!(content_of(&clock, &data), before);
}

fn names_of(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn each_way_to_copy_gives_the_same_snapshot() {
    let mut ways = Vec::new();
    for (refused, kind) in [
        (None, ErrorKind::Other),
        (Some(Operation::Share), ErrorKind::Unsupported),
        (Some(Operation::Link), ErrorKind::CrossesDevices),
        (Some(Operation::Link), ErrorKind::TooManyLinks),
    ] {
        let (dir, clock) = (memory(), clock());
        let faults =
            refused.map_or_else(Faults::default, |refused| Faults::after(refused, i64::MAX, kind, true));
        let log = filled(&clock, &dir.path().join("data"), faults.clone());
        faults.arm(0);
        let snapshot = log.snapshot_to(dir.path().join("copy")).unwrap();
        assert_eq!(content_of(&clock, &dir.path().join("copy")), content(&log));
        let taken = snapshot.bytes_linked() + snapshot.bytes_reflinked();
        ways.push((taken > 0, taken + snapshot.bytes_copied()));
    }
    assert!(ways.iter().all(|(_, bytes)| *bytes == ways[0].1), "{ways:?}");
    if !cfg!(windows) {
        assert!(ways[0].0 && ways[1].0, "{ways:?}");
    }
}

#[test]
fn a_snapshot_that_fails_leaves_nothing_and_changes_no_answer() {
    let mut struck = 0;
    for operation in [
        Operation::Open,
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
        Operation::Remove,
        Operation::Link,
        Operation::Share,
    ] {
        for (kind, lasting) in [(ErrorKind::Other, false), (ErrorKind::StorageFull, true)] {
            let (dir, clock) = (memory(), clock());
            let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
            let faults = Faults::after(operation, i64::MAX, kind, lasting);
            let log = filled(&clock, &data, faults.clone());
            let before = content(&log);
            for successes in (0..).step_by(STRIDE) {
                faults.arm(successes);
                let made = log.snapshot_to(&copy);
                let has_struck = faults.have_struck();
                faults.heal();
                match made {
                    Err(Error::Io(_) | Error::StorageFull { .. }) => {
                        assert!(!copy.exists(), "{operation:?} {successes}: something is left");
                    }
                    // What could not be removed, or written down in the log's own directory, is no part of it.
                    Ok(_) => {
                        assert_eq!(content_of(&clock, &copy), before);
                        fs::remove_dir_all(&copy).unwrap();
                    }
                    Err(other) => panic!("{operation:?} {successes}: {other}"),
                }
                if !has_struck {
                    break;
                }
                struck += 1;
            }
            assert_eq!(content(&log), before, "{operation:?}");
            send(&log, "plain", 12, 8);
            let after = content(&log);
            log.snapshot_to(&copy).unwrap();
            assert_eq!(names_of(dir.path()), ["copy", "data"], "what could not be removed stays");
            assert_eq!(content_of(&clock, &copy), after);
            log.close().unwrap();
        }
    }
    assert!(struck > 300, "only {struck} failures struck");
}
