//! Each public call in turn on a disk that has not a byte left: it works, or it changes nothing.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stratalog::{
    Durability, Error, EventLog, Maintenance, ManualClock, Position, Record, Timestamp, Topic, TopicConfig,
};

use crate::common::{self, MODES, Mode, read, test_path};
use crate::small::{Kind, Small};

const DIRECTORY: &str = "STRATALOG_FULL_DIRECTORY";
const MODE: &str = "STRATALOG_FULL_MODE";
const RESERVE: &str = "stratalog.reserve";
const SIZE: u64 = 512 << 10;
const DAY: Duration = Duration::from_secs(86_400);

/// In what state the log comes to the full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Killed,
}

/// What can be seen of a log: topics with their settings, what groups have committed, and by partition where it begins,
/// how many records it has, and a number that represents them.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    topics: BTreeMap<String, String>,
    records: BTreeMap<String, (u64, usize, u64)>,
    committed: BTreeMap<String, u64>,
}

impl Seen {
    fn of(log: &EventLog) -> Self {
        let mut seen = Self { topics: BTreeMap::new(), records: BTreeMap::new(), committed: BTreeMap::new() };
        for topic in log.topics().unwrap() {
            seen.topics.insert(topic.name().to_owned(), format!("{:?}", topic.config()));
            for partition in topic.partitions() {
                let records = read(log, [&partition]);
                let mut digest = DefaultHasher::new();
                for one in &records {
                    one.value().map(|value| &value[..]).hash(&mut digest);
                }
                let start = partition.offsets().unwrap().log_start;
                seen.records.insert(partition.id().to_string(), (start, records.len(), digest.finish()));
            }
        }
        for group in log.groups().unwrap() {
            for at in group.committed().unwrap() {
                seen.committed.insert(format!("{} {}", group.name(), at.topic_partition()), at.offset());
            }
        }
        // How many records a commit takes is its own business.
        seen.records.retain(|name, _| !name.starts_with("__consumer_offsets"));
        seen.topics.remove("__consumer_offsets");
        seen
    }
}

fn options(mode: Mode, clock: &ManualClock) -> stratalog::OpenOptions {
    mode.options().offsets_partitions(1).maintenance(Maintenance::Manual).clock(clock.clone())
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(1 << 20)
}

/// A log with something for each call, and records until no more go in.
fn fill_log(log: &EventLog) {
    let t = log.create_topic("t", small_segments().partitions(2)).unwrap();
    let quick = || small_segments().set("file.delete.delay.ms", "0");
    let old = log.create_topic("old", quick().retention(DAY)).unwrap();
    let front = log.create_topic("front", quick()).unwrap();
    log.create_topic("gone", small_segments()).unwrap();
    log.create_topic("empty", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for topic in ["t", "old", "front", "gone"] {
        let topic = log.topic(topic).unwrap();
        for number in 0..140_u32 {
            producer
                .send(
                    &topic,
                    Record::new(&[number.to_be_bytes().to_vec(), vec![7; 10_000]].concat()).partition(0),
                )
                .unwrap();
        }
    }
    let group = log.group("g").unwrap();
    for topic in [&t, &old, &front] {
        group.set_committed([Position::new((topic.name(), 0), 1)]).unwrap();
    }
    for bytes in [100_000, 5000, 500] {
        while producer.send(&t, Record::new(&vec![8; bytes]).partition(0)).is_ok() {}
    }
}

/// The child: fills its log and the disk, and is gone without a word.
#[test]
fn child() {
    let (Ok(path), Ok(mode)) = (std::env::var(DIRECTORY), std::env::var(MODE)) else { return };
    let log = options(MODES[mode.parse::<usize>().unwrap()], &clock()).open(Path::new(&path)).unwrap();
    fill_log(&log);
    // No destructor runs.
    std::process::exit(0);
}

/// An open log in this state, on a disk without a byte left.
fn prepare(small: &Small, mode: usize, state: State, reserve: bool, clock: &ManualClock) -> EventLog {
    let path = small.path().join("log");
    let open = || options(MODES[mode], clock).open(&path);
    small.take(3 << 20);
    if state == State::Killed {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", test_path!(child), "--nocapture"])
            .env(DIRECTORY, &path)
            .env(MODE, mode.to_string());
        assert!(child.status().unwrap().success());
    }
    let log = if state == State::Killed { None } else { Some(open().unwrap()) };
    if let Some(log) = &log {
        fill_log(log);
        small.fill();
    }
    let open_still = log.filter(|log| {
        if state == State::Closed {
            log.close().unwrap();
        }
        state == State::Open
    });
    if !reserve {
        std::fs::remove_file(path.join(RESERVE)).unwrap();
    }
    small.fill();
    open_still.unwrap_or_else(|| open().unwrap())
}

struct Case<'l> {
    log: &'l EventLog,
    clock: &'l ManualClock,
    reserve: bool,
}

impl Case<'_> {
    fn topic(&self, name: &str) -> stratalog::Result<Topic> {
        self.log.topic(name)
    }
}

/// A call, and whether it works from the reserve.
type Call = (&'static str, bool, fn(&Case<'_>) -> stratalog::Result<()>);

const CALLS: &[Call] = &[
    ("send", false, |case| {
        case.log.producer()?.send(&case.topic("t")?, Record::new(&vec![1; 200_000]).partition(0)).map(drop)
    }),
    ("send to a new partition", false, |case| {
        case.log.producer()?.send(&case.topic("empty")?, Record::new("value")).map(drop)
    }),
    ("send, synced", false, |case| {
        let producer = case.log.producer()?.with_durability(Durability::Synced);
        producer.send(&case.topic("t")?, Record::new(&vec![1; 200_000]).partition(1)).map(drop)
    }),
    ("send_batch", false, |case| {
        let partition = case.topic("t")?.partition(0)?;
        case.log.producer()?.send_batch(&partition, vec![Record::new(&vec![1; 50_000]); 4]).map(drop)
    }),
    ("enqueue and flush", false, |case| {
        let mut buffered = case.log.producer()?.buffered();
        let topic = case.topic("t")?;
        let outcome = buffered
            .enqueue(&topic, Record::new(&vec![1; 200_000]).partition(0))
            .and_then(|()| buffered.flush());
        buffered.discard();
        outcome.map(drop)
    }),
    ("create_topic", false, |case| {
        case.log.create_topic("new", TopicConfig::new().partitions(100)).map(drop)
    }),
    ("ensure_topic", false, |case| {
        case.log.ensure_topic("ensured", TopicConfig::new().partitions(100)).map(drop)
    }),
    ("ensure_topic of one that is there", true, |case| {
        case.log.ensure_topic("t", TopicConfig::new()).map(drop)
    }),
    ("add_partitions", false, |case| case.topic("empty")?.add_partitions(100)),
    ("sync", true, |case| case.log.sync()),
    ("sync of a partition", true, |case| case.topic("t")?.partition(0)?.sync()),
    ("assign and commit", true, |case| {
        let mut consumer = case.log.consumer("assigned")?;
        consumer.assign(&[case.topic("t")?.partition(0)?])?;
        let _ = consumer.poll(Duration::ZERO)?;
        consumer.commit().map(drop)
    }),
    ("subscribe, poll and commit", true, |case| {
        let mut consumer = case.log.consumer("g")?;
        consumer.subscribe(["t"])?;
        let _ = consumer.poll(Duration::ZERO)?;
        while consumer.poll(Duration::ZERO)?.is_empty() {}
        consumer.commit().map(drop)
    }),
    ("set_committed", true, |case| case.log.group("g")?.set_committed([Position::new(("t", 0), 7)])),
    ("set_committed of a new group", true, |case| {
        case.log.group("new")?.set_committed([Position::new(("t", 0), 8)])
    }),
    ("alter_config", true, |case| case.topic("t")?.alter_config(|now| now.retention(DAY * 1000))),
    ("delete of a group", true, |case| match case.log.group("new")?.delete() {
        // It could not be made.
        Err(Error::NotFound { .. }) if !case.reserve => Ok(()),
        outcome => outcome,
    }),
    ("delete_records", true, |case| {
        let partition = case.topic("front")?.partition(0)?;
        partition.delete_records(135)?;
        assert_eq!(partition.segments()?.len(), 1);
        Ok(())
    }),
    ("retention", true, |case| {
        case.clock.advance(DAY * 2);
        // It reports all that could not be done, such as checkpoints; what counts is what is gone.
        let outcome = case.log.run_maintenance().map(drop);
        let is_gone = |topic: &str| case.topic(topic)?.partition(0)?.segments().map(|left| left.len() == 1);
        match outcome {
            _ if is_gone("old")? && is_gone("front")? => Ok(()),
            // Each partition is by itself: what one frees another may need.
            Err(Error::StorageFull { .. }) if !case.reserve => Ok(()),
            outcome => outcome,
        }
    }),
    ("delete_topic", true, |case| case.log.delete_topic("gone")),
];

fn each_call(kind: Kind, mode: usize, state: State, reserve: bool) -> bool {
    let size = if kind == Kind::Ext4 { 20 } else { 12 };
    let Some(small) = Small::of(kind, size) else { return false };
    let name = format!("{kind:?} {:?} {state:?}, reserve: {reserve}", MODES[mode]);
    eprintln!("{name}");
    let clock = clock();
    let log = prepare(&small, mode, state, reserve, &clock);
    assert!(log.recovery().failed.is_empty(), "{name}: {:?}", log.recovery().failed);
    let mut before = Seen::of(&log);
    for (call, from_reserve, act) in CALLS {
        small.fill();
        let outcome = act(&Case { log: &log, clock: &clock, reserve });
        let after = Seen::of(&log);
        if let Err(failure) = outcome {
            assert!(matches!(failure, Error::StorageFull { .. }), "{name}: {call}: {failure:?}");
            assert!(!(reserve && *from_reserve), "{name}: {call}: {failure}");
            assert_eq!(before, after, "{name}: {call} failed and changed something");
        }
        before = after;
    }
    small.fill();
    // There is space, and all continues without another open.
    small.free();
    if state == State::Open && !reserve {
        let _ = log.run_maintenance();
    }
    for (call, _, act) in CALLS {
        if let Err(failure) = act(&Case { log: &log, clock: &clock, reserve }) {
            let is_done = ["create_topic", "add_partitions", "delete_topic"].contains(call);
            assert!(is_done && !matches!(failure, Error::StorageFull { .. }), "{name}: {call}: {failure:?}");
        }
    }
    let seen = Seen::of(&log);
    assert!(!seen.topics.contains_key("gone") && seen.topics.contains_key("new"), "{name}");
    log.run_maintenance().unwrap();
    let reserved = std::fs::metadata(small.path().join("log").join(RESERVE)).unwrap().len();
    assert_eq!(reserved, SIZE, "{name}: it is filled again");
    log.close().unwrap();
    drop(log);
    let log = options(MODES[mode], &clock).open(small.path().join("log")).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(Seen::of(&log), seen, "{name}");
    log.close().unwrap();
    true
}

fn in_each_state(kind: Kind, modes: &[usize]) {
    for state in [State::Open, State::Closed, State::Killed] {
        for reserve in [true, false] {
            for mode in modes {
                if !each_call(kind, *mode, state, reserve) {
                    return;
                }
            }
        }
    }
}

#[test]
fn each_call_works_or_changes_nothing() {
    in_each_state(Kind::Tmpfs, &[0, 3]);
}

#[test]
fn each_call_works_or_changes_nothing_on_ext4() {
    in_each_state(Kind::Ext4, &[0]);
}

/// What is kept is whole, or records get no space; and it is filled from the first that returns.
#[test]
fn records_never_take_the_space_that_is_kept() {
    let Some(small) = Small::mount() else { return };
    let (clock, path) = (clock(), small.path().join("log"));
    let filler = small.take(200 << 10);
    let log = options(MODES[0], &clock).open(&path).unwrap();
    let topic = log.create_topic("t", small_segments()).unwrap();
    log.group("g").unwrap().set_committed([Position::new(("t", 0), 0)]).unwrap();
    let producer = log.producer().unwrap();
    let send = |bytes: usize| producer.send(&topic, Record::new(&vec![1; bytes]));
    let reserved = || std::fs::metadata(path.join(RESERVE)).unwrap().len();
    while send(50_000).is_ok() {}
    small.fill();
    assert_eq!(reserved(), SIZE, "records have not touched it");
    // Commits take some of it, and then no more than half.
    let commit = |number: u32| {
        let group = log.group(&format!("{number:0200}")).unwrap();
        group.set_committed([Position::new(("t", 0), 1)])
    };
    let refused = (0..5000).find_map(|number| commit(number).err()).expect("commits leave something");
    assert!(matches!(refused, Error::StorageFull { .. }), "{refused}");
    let left = reserved();
    assert!((SIZE / 2..SIZE / 2 + 65_536).contains(&left), "{left}");
    // Space returns, but less than is missing: that is kept first.
    std::fs::remove_file(filler).unwrap();
    let refused = send(50_000).unwrap_err();
    assert!(matches!(refused, Error::StorageFull { .. }), "{refused}");
    assert!(reserved() > left + (150 << 10), "{} after {left}", reserved());
    small.fill();
    log.delete_topic("t").unwrap();
    small.free();
    let topic = log.create_topic("u", TopicConfig::new()).unwrap();
    producer.send(&topic, Record::new("value")).unwrap();
    assert_eq!(reserved(), SIZE);
    log.close().unwrap();
}

#[test]
fn each_call_works_or_changes_nothing_on_xfs() {
    in_each_state(Kind::Xfs, &[0]);
    // Which is mapped, where the file system is.
    in_each_state(Kind::XfsWithoutReflink, &[0]);
}

/// What is derived from the log is rebuilt at the open, or left out.
#[test]
fn a_full_log_is_opened_and_read_without_what_is_derived() {
    for state in [State::Closed, State::Killed] {
        let Some(small) = Small::of(Kind::Tmpfs, 12) else { return };
        let clock = clock();
        let log = prepare(&small, 0, state, false, &clock);
        let before = Seen::of(&log);
        let path = small.path().join("log");
        drop(log);
        let is_derived = |name: &str| {
            [".snapshot", ".index", ".timeindex", "-checkpoint"].iter().any(|ending| name.ends_with(ending))
        };
        for name in common::names(&path) {
            let below = path.join(&name);
            if !below.is_dir() {
                continue;
            }
            for name in common::names(&below).iter().filter(|name| is_derived(name)) {
                std::fs::remove_file(below.join(name)).unwrap();
            }
        }
        let _ = std::fs::remove_file(path.join("recovery-point-offset-checkpoint"));
        let _ = std::fs::remove_file(path.join(".kafka_cleanshutdown"));
        let _ = std::fs::remove_file(path.join(RESERVE));
        small.fill();
        let log = options(MODES[0], &clock).open(&path).unwrap();
        assert!(log.recovery().failed.is_empty(), "{:?}", log.recovery().failed);
        assert_eq!(Seen::of(&log), before);
    }
}

/// What is kept has no business where no log is.
#[test]
fn a_directory_that_is_refused_gets_no_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    EventLog::open(path).unwrap().close().unwrap();
    assert_eq!(std::fs::metadata(path.join(RESERVE)).unwrap().len(), SIZE);
    for name in [RESERVE, "meta.properties"] {
        std::fs::remove_file(path.join(name)).unwrap();
    }
    let before = common::names(path);
    let refused = EventLog::open(path).unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused:?}");
    assert_eq!(common::names(path), before);
}
