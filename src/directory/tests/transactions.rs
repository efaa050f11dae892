//! Transactions on a disk that fails or is full, and what the next open must find of them.

use super::*;
use crate::config::{IsolationLevel, ReadUpTo};
use crate::producer::{ProducerConfig, TransactionalProducer};

fn options(faults: &Faults) -> OpenOptions {
    let mut options =
        OpenOptions::default().maintenance(Maintenance::Manual).write_mode(WriteMode::Positioned);
    options = options.clock(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    options.faults = faults.clone();
    options
}

fn in_memory() -> TempDir {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// A record in each of both partitions of `t`.
fn commit(log: &EventLog, producer: &mut TransactionalProducer, value: &str) -> Result<()> {
    let topic = log.topic("t")?;
    let mut transaction = producer.begin()?;
    for partition in 0..2 {
        transaction.send(&topic, Record::new(value).partition(partition))?;
    }
    transaction.commit().map(drop)
}

fn committed(log: &EventLog) -> Vec<String> {
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(config).unwrap();
    reader.assign(log.topic("t").unwrap().partitions()).unwrap();
    let mut found = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            found.sort();
            return found;
        }
        found.extend(
            records.iter().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap()),
        );
    }
}

/// The directory as the death of the process leaves it.
fn killed(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            killed(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Each write and each sync of a commit fails once, in every way that it can fail: for a full disk, after which everything continues,
/// and for good.
#[test]
fn whatever_fails_a_transaction_is_there_or_is_not() {
    let (mut aborted, mut continued, mut unknown, mut pending) = (0, 0, 0, 0);
    for durability in [Durability::Buffered, Durability::Synced] {
        for (operation, kind) in [
            (Operation::Write, ErrorKind::StorageFull),
            (Operation::Write, ErrorKind::Other),
            (Operation::Sync, ErrorKind::Other),
        ] {
            for successes in 0.. {
                let root = in_memory();
                let faults = Faults::after(operation, i64::MAX, kind, false);
                let log = options(&faults).open(root.path().join("log")).unwrap();
                log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
                let config = ProducerConfig::new().durability(durability);
                let mut producer = log.transactional_producer_with("x", config).unwrap();
                commit(&log, &mut producer, "first").unwrap();
                let events = log.events();
                faults.arm(successes);
                let outcome = commit(&log, &mut producer, "second");
                let has_struck = faults.have_struck();
                faults.heal();
                pending += std::iter::from_fn(|| events.try_next())
                    .filter(|event| matches!(event, Event::MarkersPending { .. }))
                    .count();
                // Tries again what could not be written.
                let _ = log.run_maintenance();
                killed(&root.path().join("log"), &root.path().join("copy"));
                let reopened = options(&Faults::default()).open(root.path().join("copy")).unwrap();
                let all = ["first", "first", "second", "second"].map(str::to_owned);
                let what = format!("{durability:?}, {operation:?} {kind:?} after {successes}: {outcome:?}");
                match &outcome {
                    Ok(()) => {
                        continued += usize::from(has_struck);
                        assert_eq!(committed(&reopened), all, "{what}");
                    }
                    Err(Error::Poisoned(_)) => {
                        unknown += 1;
                        let found = committed(&reopened);
                        assert!(found == all || found == all[..2], "{what}: {found:?}");
                    }
                    Err(_) => {
                        aborted += 1;
                        assert_eq!(committed(&reopened), all[..2], "{what}");
                        assert_eq!(committed(&log), all[..2], "{what}");
                        // The producer continues.
                        commit(&log, &mut producer, "second")
                            .unwrap_or_else(|failure| panic!("{what}: {failure}"));
                        assert_eq!(committed(&log), all, "{what}");
                    }
                }
                for partition in reopened.topic("t").unwrap().partitions() {
                    let offsets = partition.offsets().unwrap();
                    assert_eq!(offsets.last_stable, offsets.log_end, "{what}");
                }
                if !has_struck {
                    break;
                }
            }
        }
    }
    assert!(
        aborted > 5 && continued > 2 && unknown > 4 && pending > 2,
        "{aborted} {continued} {unknown} {pending}"
    );
}

/// They are committed all the same, and readers wait before the transaction where its marker is missing.
#[test]
fn markers_that_cannot_be_written_are_written_later() {
    let root = in_memory();
    let faults = Faults::after(Operation::Write, i64::MAX, ErrorKind::StorageFull, true);
    let log = options(&faults).open(root.path().join("log")).unwrap();
    log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    commit(&log, &mut producer, "first").unwrap();
    let events = log.events();
    // The list of partitions, two batches, the decision.
    faults.arm(4);
    commit(&log, &mut producer, "second").unwrap();
    assert!(faults.have_struck());
    let is_pending = |event: Event| matches!(event, Event::MarkersPending { id, .. } if &*id == "x");
    assert_eq!(std::iter::from_fn(|| events.try_next()).filter(|event| is_pending(event.clone())).count(), 1);
    assert_eq!(committed(&log), ["first", "first"]);
    assert!(
        matches!(producer.begin(), Err(Error::StorageFull(_))),
        "not before the transaction has ended everywhere"
    );
    log.run_maintenance().unwrap();
    assert_eq!(
        std::iter::from_fn(|| events.try_next()).filter(|event| is_pending(event.clone())).count(),
        0,
        "once"
    );
    faults.heal();
    log.run_maintenance().unwrap();
    assert_eq!(committed(&log), ["first", "first", "second", "second"]);
    commit(&log, &mut producer, "third").unwrap();
}

/// The recovery point does not pass the decision, and no compaction does, before the markers are on disk.
#[test]
fn a_decision_is_kept_until_its_markers_are_on_disk() {
    let root = in_memory();
    let log = options(&Faults::default()).open(root.path().join("log")).unwrap();
    log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let config = ProducerConfig::new().durability(Durability::Synced);
    let mut producer = log.transactional_producer_with("x", config).unwrap();
    let point = || {
        let topic = log.topic("__transaction_state").unwrap();
        let shards = topic.partitions().into_iter().map(|partition| Arc::clone(partition.log()));
        let shard = shards.max_by_key(|shard| shard.bounds().unwrap().log_end).unwrap();
        let end = shard.bounds().unwrap().log_end;
        shard.leader().unwrap().sync().unwrap();
        (shard.recovery_point().unwrap_or(0), end)
    };
    commit(&log, &mut producer, "first").unwrap();
    // Empty, Ongoing, PrepareCommit, CompleteCommit.
    assert_eq!(point(), (2, 4));
    log.sync().unwrap();
    log.run_maintenance().unwrap();
    assert_eq!(point(), (4, 4));
    commit(&log, &mut producer, "second").unwrap();
    commit(&log, &mut producer, "third").unwrap();
    // What the third one has waited for are the markers of the second one too.
    assert_eq!(point(), (8, 10));
    log.sync().unwrap();
    commit(&log, &mut producer, "fourth").unwrap();
    assert_eq!(point(), (11, 13), "of the last one alone");
}

/// Their records and the decision are on disk when the commit returns, the markers are not yet.
#[test]
fn readers_of_what_is_durable_see_a_synced_transaction_at_once() {
    let root = in_memory();
    let log = options(&Faults::default()).open(root.path().join("log")).unwrap();
    log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let mut seen = Vec::new();
    for durability in [Durability::Synced, Durability::Buffered] {
        let config = ProducerConfig::new().durability(durability);
        let mut producer = log.transactional_producer_with("x", config).unwrap();
        for value in ["first", "second"] {
            commit(&log, &mut producer, value).unwrap();
            let config =
                ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted).read_up_to(ReadUpTo::Durable);
            let mut reader = log.consumer_with(config).unwrap();
            reader.assign(log.topic("t").unwrap().partitions()).unwrap();
            let mut records = 0;
            loop {
                let polled = reader.poll(Duration::ZERO).unwrap();
                if polled.is_empty() {
                    break seen.push(records);
                }
                records += polled.len();
            }
        }
    }
    assert_eq!(seen, [2, 4, 4, 4], "those of a buffered one once it is synced");
}

/// Cuts the power at each sync: what was synced is there, and of each log file that it watches what was written since, or not.
#[cfg(unix)]
#[derive(Debug)]
struct PowerCuts {
    root: PathBuf,
    watched: Vec<PathBuf>,
    is_on: AtomicBool,
    /// By file number: what a sync has put on disk.
    durable: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// The states, and in which order they came.
    states: Mutex<Vec<PathBuf>>,
}

#[cfg(unix)]
impl crate::sys::faults::Observer for PowerCuts {
    fn file_synced(&self, file: &fs::File) {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let metadata = file.metadata().unwrap();
        let mut content = vec![0; usize::try_from(metadata.len()).unwrap()];
        if file.read_exact_at(&mut content, 0).is_ok() {
            self.durable.lock().insert(metadata.ino(), content);
        }
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        for mask in 0..1_u32 << self.watched.len() {
            let mut states = self.states.lock();
            let copy = self.root.join(format!("state {}", states.len()));
            killed(&self.root.join("log"), &copy);
            for (_, name) in self.watched.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 0) {
                let number = fs::metadata(self.root.join("log").join(name)).unwrap().ino();
                let synced = self.durable.lock().get(&number).cloned().unwrap_or_default();
                fs::write(copy.join(name), synced).unwrap();
            }
            states.push(copy);
        }
    }

    fn directory_synced(&self, _: &Path) {}

    fn renamed(&self, _: &Path) {}
}

/// The order of what a synced transaction waits for: whatever of the rest survives a power cut, it is there as a whole or not at all,
/// and once it was acknowledged it is there.
#[cfg(unix)]
#[test]
fn a_synced_transaction_survives_the_power_as_a_whole() {
    let root = in_memory();
    let shard = |log: &EventLog| {
        let topic = log.topic("__transaction_state").unwrap();
        let mut shards = topic.partitions().into_iter().map(|partition| Arc::clone(partition.log()));
        shards.find(|shard| shard.bounds().unwrap().log_end > 0).unwrap().id().to_string()
    };
    // Which partition the id's states are in.
    let probe = options(&Faults::default()).open(root.path().join("probe")).unwrap();
    drop(probe.transactional_producer("x").unwrap());
    let names = ["t-0".to_owned(), "t-1".to_owned(), shard(&probe)];
    drop(probe);
    let watched = names.iter().map(|name| Path::new(name).join("00000000000000000000.log")).collect();
    let cuts = Arc::new(PowerCuts {
        root: root.path().to_owned(),
        watched,
        is_on: false.into(),
        durable: Mutex::default(),
        states: Mutex::default(),
    });
    let log = options(&Faults::observed(Arc::clone(&cuts) as _)).open(root.path().join("log")).unwrap();
    log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let config = ProducerConfig::new().durability(Durability::Synced);
    let mut producer = log.transactional_producer_with("x", config).unwrap();
    commit(&log, &mut producer, "first").unwrap();
    log.sync().unwrap();
    cuts.is_on.store(true, Ordering::Relaxed);
    commit(&log, &mut producer, "second").unwrap();
    let before = cuts.states.lock().len();
    // What comes after it is synced in any order, another transaction among it.
    for number in [1, 0] {
        log.topic("t").unwrap().partition(number).unwrap().sync().unwrap();
    }
    cuts.is_on.store(false, Ordering::Relaxed);
    let all = ["first", "first", "second", "second"].map(str::to_owned);
    let (mut there, mut absent) = (0, 0);
    for (at, state) in cuts.states.lock().iter().enumerate() {
        let reopened = options(&Faults::default()).open(state).unwrap();
        let found = committed(&reopened);
        assert!(found == all || found == all[..2], "state {at} of {before}: {found:?}");
        assert!(at < before || found == all, "state {at} of {before}: it was acknowledged, and is not there");
        if found == all {
            there += 1;
        } else {
            absent += 1;
        }
        // A second one while that is recovered comes to the same.
        let again = root.path().join("again");
        killed(state, &again);
        assert_eq!(committed(&options(&Faults::default()).open(&again).unwrap()), found);
        fs::remove_dir_all(again).unwrap();
    }
    assert!(there > 20 && absent > 8 && before >= 24, "{there} {absent} {before}");
}
