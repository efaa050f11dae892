//! `kill -9` of a process whose group works: what was committed is remembered, nothing is skipped, and no position lies
//! past the end of what survived.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::{campaign, copy, end, started, test_path};
use stratalog::{EventLog, Record, Topic, TopicConfig};

const PARTITIONS: u32 = 4;
const WORKERS: usize = 3;
const ROUNDS: usize = 8;
const DIRECTORY: &str = "STRATALOG_GROUP_KILL_DIRECTORY";

fn open(path: &Path) -> (EventLog, Topic) {
    let log = EventLog::options().offsets_partitions(3).open(path).unwrap();
    let topic = log.ensure_topic("t", TopicConfig::new().partitions(PARTITIONS)).unwrap();
    (log, topic)
}

/// The child: one thread sends, three work and tell what they have committed, until it is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let (log, topic) = open(Path::new(&path));
    let out = Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (log, out) = (&log, &out);
            scope.spawn(move || {
                for life in 0.. {
                    let mut consumer = log.consumer("g").unwrap();
                    consumer.subscribe(["t"]).unwrap();
                    // Members come and go meanwhile.
                    for _ in 0..20 + 10 * (worker + life % 3) {
                        for record in &consumer.poll(Duration::from_millis(1)).unwrap() {
                            let position = record.next_position();
                            consumer.commit_to([position.clone()]).unwrap();
                            let line = format!("ack {} {}\n", record.partition(), position.offset());
                            out.lock().unwrap().write_all(line.as_bytes()).unwrap();
                        }
                    }
                }
            });
        }
        let producer = log.producer().unwrap();
        for number in 0_u64.. {
            producer.send(&topic, Record::new(&number.to_be_bytes()).key(&number.to_be_bytes())).unwrap();
            if number % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
}

/// Runs the child and kills it; returns how far it reported each partition to be committed.
fn run_and_kill(path: &Path, lifetime: Duration, least: usize) -> BTreeMap<u32, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test_path!(child), "--nocapture", "--test-threads=1"]).env(DIRECTORY, path);
    child.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = started(|| child.spawn());
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut committed, mut count, mut begun, mut killed) = (BTreeMap::new(), 0, None, false);
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // A line that was cut off by the kill reports nothing.
        if let Some(reported) = line.strip_suffix('\n').and_then(|line| line.split("ack ").nth(1)) {
            let (partition, offset) = reported.split_once(' ').unwrap();
            let so_far = committed.entry(partition.parse().unwrap()).or_insert(0);
            *so_far = offset.parse::<u64>().unwrap().max(*so_far);
            count += 1;
            let begun = begun.get_or_insert_with(Instant::now);
            if begun.elapsed() >= lifetime && count >= least && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        line.clear();
    }
    assert!(killed, "the child ended by itself: {:?}", child.wait());
    child.wait().unwrap();
    committed
}

/// What is committed after a stop holds everything that was reported, and lies within the log; the group continues there.
fn check(path: &Path, reported: &BTreeMap<u32, u64>) {
    let (log, topic) = open(path);
    assert!(!log.recovery().clean);
    let group = log.group("g").unwrap();
    let committed: BTreeMap<_, _> =
        group.committed().unwrap().iter().map(|at| (at.topic_partition().partition(), at.offset())).collect();
    for (partition, offset) in reported {
        let found = committed.get(partition).copied().unwrap_or(0);
        assert!(found >= *offset, "partition {partition}: {offset} was committed, {found} is remembered");
    }
    for (partition, offset) in &committed {
        assert!(*offset <= end(&topic, *partition), "partition {partition}: {offset} lies past the end");
    }
    let mut consumer = log.consumer("g").unwrap();
    consumer.subscribe(["t"]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    for part in records.partitions() {
        let from = committed.get(&part.topic_partition().partition()).copied().unwrap_or(0);
        assert_eq!(part.iter().next().map(|first| first.offset()), Some(from));
    }
    log.close().unwrap();
}

#[test]
fn what_was_committed_is_remembered_and_the_group_continues_there() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((mut dice, rounds), mut reported) = (campaign("group_kill", 0x6e0, ROUNDS), BTreeMap::new());
    for round in 0..rounds {
        let lifetime = Duration::from_micros(dice.below(80_000));
        let least = usize::try_from(dice.below(300)).unwrap() + 1;
        for (partition, offset) in run_and_kill(dir.path(), lifetime, least) {
            reported.insert(partition, offset);
        }
        let image = copies.path().join(round.to_string());
        copy(dir.path(), &image);
        check(&image, &reported);
    }
    assert!(reported.len() > 1, "{reported:?}");
}
