//! Reading beside a process that writes: it rolls, is killed, comes again, deletes, while the reader stays.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{self, Dice, MODES, Mode, PATIENCE, end, started, test_path, until};
use stratalog::{Consumer, Error, EventLog, Position, Record, TopicConfig};

const DIRECTORY: &str = "STRATALOG_OTHER_DIRECTORY";
const MODE: &str = "STRATALOG_OTHER_MODE";

/// A value that follows from its offset.
fn value(offset: u64) -> Vec<u8> {
    let mut dice = Dice(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let length = 8 + usize::try_from(dice.below(6000)).unwrap();
    let mut value = offset.to_be_bytes().to_vec();
    value.resize(length, u8::try_from(offset % 251).unwrap());
    value
}

/// The child: writes until it is killed, or a line of input asks it to stop. Closes cleanly then.
#[test]
fn child() {
    let (Ok(path), Ok(mode)) = (std::env::var(DIRECTORY), std::env::var(MODE)) else { return };
    let log = MODES[mode.parse::<usize>().unwrap()].open(Path::new(&path));
    let topic = log.ensure_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
    let producer = log.producer().unwrap();
    println!("\nwriting");
    let (reported, stop) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        let _ = reported.send(line);
    });
    let mut next = end(&topic, 0);
    let line = loop {
        let values: Vec<_> = (next..=next + next % 3).map(value).collect();
        let sent = producer.send_batch(&topic.partition(0).unwrap(), values.iter().map(Record::new)).unwrap();
        assert_eq!(sent.offsets.start, next);
        next = sent.offsets.end;
        if let Ok(line) = stop.try_recv() {
            break line;
        }
    };
    if line == "delete\n" {
        log.delete_topic("t").unwrap();
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        producer.send(&topic, Record::new(&value(0))).unwrap();
    }
    log.close().unwrap();
    println!("\nclosed at {next}");
}

struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(path: &Path, mode: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", test_path!(child), "--nocapture", "--test-threads=1"]);
        process.env(DIRECTORY, path).env(MODE, mode.to_string());
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = started(|| process.spawn());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "writing"));
        Self { process, lines }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Reports the writer how to end, and returns where it did.
    fn send(mut self, line: &str) -> u64 {
        use std::io::Write;
        writeln!(self.process.stdin.take().unwrap(), "{line}").unwrap();
        let end = self.lines.find_map(|line| line.unwrap().strip_prefix("closed at ")?.parse().ok());
        assert!(self.process.wait().unwrap().success());
        end.unwrap()
    }
}

fn reader(mode: Mode, path: &Path) -> (EventLog, Consumer) {
    let log = mode.options().read_only(true).open(path).unwrap();
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    (log, reader)
}

/// Reads on and checks that each record is the one that belongs there.
fn receive(reader: &mut Consumer, next: &mut u64, timeout: Duration) -> usize {
    let records = reader.poll(timeout).unwrap();
    for record in &records {
        assert_eq!(record.offset(), *next);
        assert!(record.value() == Some(&value(*next)), "offset {next} holds something else");
        *next += 1;
    }
    records.len()
}

/// The reader meets every state that a killed writer leaves, and never takes back what it has shown.
#[test]
fn writer_is_killed_and_comes_again() {
    for (mode, &way) in MODES.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        Writer::start(dir.path(), mode).kill();
        let (log, mut all) = reader(way, dir.path());
        let (mut next, mut dice) = (0, Dice(mode as u64 + 1));
        for round in 0..6 {
            let writer = Writer::start(dir.path(), mode);
            let from = next;
            while next < from + 200 + dice.below(400) {
                receive(&mut all, &mut next, PATIENCE);
            }
            if round == 3 {
                let end = writer.send("close");
                until("everything is read", || {
                    receive(&mut all, &mut next, Duration::ZERO);
                    next == end
                });
                continue;
            }
            writer.kill();
            // A batch that the writer did not finish does not count, and is no error.
            while next < end(&log.topic("t").unwrap(), 0) {
                receive(&mut all, &mut next, PATIENCE);
            }
            assert!(receive(&mut all, &mut next, Duration::from_millis(5)) == 0);
        }
        let (_, mut late) = reader(way, dir.path());
        let mut again = 0;
        while receive(&mut late, &mut again, Duration::ZERO) > 0 {}
        assert_eq!(again, next);
        let segments = common::names(&dir.path().join("t-0"));
        assert!(segments.iter().filter(|name| name.ends_with(".log")).count() > 2, "{segments:?}");
    }
}

#[test]
fn topic_is_deleted_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::start(dir.path(), 0);
    let (log, mut all) = reader(MODES[0], dir.path());
    let mut next = 0;
    while next < 1000 {
        receive(&mut all, &mut next, PATIENCE);
    }
    let kept = log.topic("t").unwrap();
    writer.send("delete");
    let begun = Instant::now();
    let error = loop {
        match all.poll(Duration::ZERO) {
            // What was mapped already may still be read to its end.
            Ok(records) => {
                for record in &records {
                    assert_eq!((record.offset(), record.value()), (next, Some(&value(next)[..])));
                    next += 1;
                }
            }
            Err(error) => break error,
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let again = log.topic("t").unwrap();
    assert_ne!(again.id(), kept.id());
    let (_, mut anew) = reader(MODES[0], dir.path());
    assert_eq!(receive(&mut anew, &mut 0, PATIENCE), 1);
}

/// As retention of a broker does it: rename first, remove later.
#[test]
fn segments_go_while_they_are_read() {
    for way in MODES {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::start(dir.path(), 0);
        let (log, mut lagging) = reader(way, dir.path());
        let (_, mut current) = reader(way, dir.path());
        let mut next = 0;
        while next < 2500 {
            receive(&mut current, &mut next, PATIENCE);
        }
        let mut first = 0;
        receive(&mut lagging, &mut first, PATIENCE);
        let directory = dir.path().join("t-0");
        let segments: Vec<_> =
            common::names(&directory).into_iter().filter(|name| name.ends_with(".log")).collect();
        let base = |name: &String| -> u64 { name.strip_suffix(".log").unwrap().parse().unwrap() };
        // All that lies before what `current` reads now.
        let kept = segments.iter().rposition(|name| base(name) <= next).unwrap();
        assert!(kept > 3, "{next} of {segments:?}");
        for gone in &segments[..kept] {
            std::fs::rename(directory.join(gone), directory.join(format!("{gone}.deleted"))).unwrap();
        }
        let start = base(&segments[kept]);
        // What the reader holds it may read; below the new log start it gets an error and skips nothing.
        let error = loop {
            match lagging.poll(Duration::ZERO) {
                Ok(records) => {
                    for record in &records {
                        assert_eq!(record.offset(), first);
                        first += 1;
                    }
                }
                Err(error) => break error,
            }
        };
        let Error::OffsetOutOfRange { at, valid } = error else { panic!("{error:?}") };
        assert_eq!((at.offset(), valid.start), (first, start));
        assert!(first < start);
        assert_eq!(log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap().log_start, start);
        lagging.seek(Position::new(("t", 0), start)).unwrap();
        let (mut from, end) = (start, writer.send("close"));
        while from < end {
            receive(&mut lagging, &mut from, PATIENCE);
        }
        while next < end {
            receive(&mut current, &mut next, PATIENCE);
        }
    }
}
