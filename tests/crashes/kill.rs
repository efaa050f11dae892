//! `kill -9` of a process that writes (`TerminateProcess` on Windows): what was acknowledged is there afterwards, and
//! nothing but a prefix is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::{Dice, MODES, Mode, campaign, copy, end, names, read, started, test_path};
use stratalog::{Durability, EventLog, Producer, Record, Topic, TopicConfig};

const PARTITIONS: u32 = 3;
const WRITERS: u64 = 3;
const DIRECTORY: &str = "STRATALOG_KILL_DIRECTORY";
const ROUND: &str = "STRATALOG_KILL_ROUND";
const ROUNDS: usize = 18;
/// The offset of a record that went through a buffer.
const UNKNOWN: u64 = u64::MAX;

fn mode_of(round: usize) -> Mode {
    MODES[round % MODES.len()]
}

fn open(path: &Path, round: usize) -> (EventLog, Topic) {
    let log = mode_of(round).open(path);
    let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(1 << 20);
    let topic = log.ensure_topic("t", config).unwrap();
    (log, topic)
}

/// A value that returns whether it is whole: its length and bytes follow from its number.
fn value(number: u64) -> Vec<u8> {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let length = 8 + usize::try_from(dice.below(6000)).unwrap();
    let mut value = number.to_be_bytes().to_vec();
    while value.len() < length {
        value.extend(dice.below(u64::MAX).to_be_bytes());
    }
    value
}

/// The child: writes until it is killed, and reports what was acknowledged.
#[test]
fn child() {
    let (Ok(path), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) else { return };
    let round: usize = round.parse().unwrap();
    let (log, topic) = open(Path::new(&path), round);
    let out = Mutex::new(std::io::stdout());
    let tell = |partition: u32, offset: u64, number: u64| {
        let line = format!("ack {partition} {offset} {number}\n");
        out.lock().unwrap().write_all(line.as_bytes()).unwrap();
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            // Each level promises at least that its records survive the process.
            let interval = Durability::Interval(Duration::from_millis(1));
            let level =
                [Durability::Buffered, interval, Durability::Synced][usize::try_from(writer % 3).unwrap()];
            let (topic, tell) = (&topic, &tell);
            let producer = log.producer().unwrap().with_durability(level);
            scope.spawn(move || {
                let mut number = (round as u64) << 40 | writer << 32;
                loop {
                    write_some(&producer, topic, writer, &mut number, tell);
                }
            });
        }
    });
}

fn write_some(
    producer: &Producer,
    topic: &Topic,
    writer: u64,
    number: &mut u64,
    tell: &(impl Fn(u32, u64, u64) + Sync),
) {
    let mut next = || {
        *number += 1;
        *number
    };
    if writer == 0 {
        let number = next();
        let sent = producer.send(topic, Record::new(&value(number))).unwrap();
        tell(sent.partition, sent.offset, number);
    } else if writer == 1 {
        let numbers: Vec<_> = (0..5).map(|_| next()).collect();
        let values: Vec<_> = numbers.iter().map(|number| value(*number)).collect();
        let to = topic.partition(u32::try_from(numbers[0] % u64::from(PARTITIONS)).unwrap()).unwrap();
        let sent = producer.send_batch(&to, values.iter().map(Record::new)).unwrap();
        sent.offsets.zip(numbers).for_each(|(offset, number)| tell(sent.partition, offset, number));
    } else {
        let mut buffered = producer.buffered();
        let numbers: Vec<_> = (0..8).map(|_| next()).collect();
        for number in &numbers {
            buffered.enqueue(topic, Record::new(&value(*number)).partition(1)).unwrap();
        }
        buffered.flush().unwrap();
        // The offset is not known; that the record is there must be.
        for number in numbers {
            tell(1, UNKNOWN, number);
        }
    }
}

fn start(path: &Path, round: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test_path!(child), "--nocapture", "--test-threads=1"]);
    child.env(DIRECTORY, path).env(ROUND, round.to_string());
    child.stdout(Stdio::piped()).stderr(Stdio::inherit());
    started(|| child.spawn())
}

/// Runs the child, kills it after `lifetime` from its first word on and at least so many words, which a slow system takes
/// longer for, and returns what it acknowledged.
fn run_and_kill(path: &Path, round: usize, lifetime: Duration, least: u64) -> Vec<(u32, u64, u64)> {
    let mut child = start(path, round);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut acknowledged, mut begun) = (Vec::new(), None);
    let mut line = String::new();
    let mut killed = false;
    while lines.read_line(&mut line).unwrap() > 0 {
        // A line that was cut off by the kill is no acknowledgement.
        if let Some(reported) = line.strip_suffix('\n').and_then(|line| line.split("ack ").nth(1)) {
            let numbers: Vec<u64> = reported.split(' ').map(|field| field.parse().unwrap()).collect();
            let [partition, offset, number] = numbers[..] else { panic!("odd line {line:?}") };
            acknowledged.push((u32::try_from(partition).unwrap(), offset, number));
            let begun = begun.get_or_insert_with(Instant::now);
            if begun.elapsed() >= lifetime && acknowledged.len() as u64 >= least && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        line.clear();
    }
    assert!(killed, "the child ended by itself: {:?}", child.wait());
    child.wait().unwrap();
    acknowledged
}

/// What is in each partition, by offset.
type Known = BTreeMap<u32, Vec<Vec<u8>>>;

/// Checks one partition after a stop and adds what is new in it to what is known.
fn check(found: Vec<Vec<u8>>, known: &mut Vec<Vec<u8>>, acknowledged: &[(u64, u64)]) {
    assert!(found.starts_with(known), "records of earlier rounds changed");
    let number = |value: &[u8]| u64::from_be_bytes(value[..8].try_into().unwrap());
    let new = &found[known.len()..];
    for value_found in new {
        assert_eq!(*value_found, value(number(value_found)), "a record is not what was sent");
    }
    for writer in 0..WRITERS {
        let of_writer = new.iter().map(|v| number(v)).filter(|number| (number >> 32) & 0xff == writer);
        assert!(of_writer.is_sorted_by(|a, b| a < b), "the order of a writer is lost");
    }
    let new_numbers: BTreeSet<_> = new.iter().map(|v| number(v)).collect();
    for (offset, wanted) in acknowledged {
        let held = match usize::try_from(*offset) {
            Ok(offset) if offset < found.len() => number(&found[offset]) == *wanted,
            _ => *offset == UNKNOWN && new_numbers.contains(wanted),
        };
        assert!(held, "{wanted} at {offset} was acknowledged and is lost; the log ends at {}", found.len());
    }
    *known = found;
}

fn recover_and_check(
    path: &Path,
    round: usize,
    acknowledged: &[(u32, u64, u64)],
    known: &mut Known,
) -> EventLog {
    let (log, topic) = open(path, round + 1);
    let report = log.recovery();
    assert!(!report.clean);
    assert!(report.failed.is_empty() && report.unknown_directories.is_empty(), "{report:?}");
    assert!(report.bytes_scanned() > 0, "{report:?}");
    for partition in 0..PARTITIONS {
        let found: Vec<_> =
            read(&log, [("t", partition)]).iter().map(|r| r.value().unwrap().to_vec()).collect();
        assert_eq!(found.len() as u64, end(&topic, partition));
        let of_partition = acknowledged.iter().filter(|ack| ack.0 == partition).map(|ack| (ack.1, ack.2));
        check(found, known.entry(partition).or_default(), &of_partition.collect::<Vec<_>>());
    }
    log
}

#[test]
fn survivors_are_a_prefix_that_holds_everything_acknowledged() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((mut dice, rounds), mut known) = (campaign("kill", 0x5eed, ROUNDS), Known::new());
    for round in 0..rounds {
        let lifetime = Duration::from_micros(dice.below(120_000));
        let acknowledged = run_and_kill(dir.path(), round, lifetime, dice.below(400));
        if round % 3 > 0 {
            // The next process meets the directory as the killed one left it.
            let image = copies.path().join(round.to_string());
            copy(dir.path(), &image);
            recover_and_check(&image, round, &acknowledged, &mut known).close().unwrap();
            continue;
        }
        let log = recover_and_check(dir.path(), round, &acknowledged, &mut known);
        let topic = log.topic("t").unwrap();
        let sent = log.producer().unwrap().send(&topic, Record::new(&value(7)).partition(0)).unwrap();
        assert_eq!(sent.offset, known[&0].len() as u64);
        known.get_mut(&0).unwrap().push(value(7));
        log.close().unwrap();
        assert!(mode_of(round).open(dir.path()).recovery().clean);
    }
    let segments = names(&dir.path().join("t-1")).iter().filter_map(|name| name.strip_suffix(".log")).count();
    assert!(segments > 3, "only {segments} segments: nothing was stopped while it rolled");
}
