//! Many topics and many segments under the limits that systems have by default. With `held_files` nothing is mapped, on which
//! these numbers count.
#![cfg(all(target_os = "linux", not(held_files)))]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{self, test_path};
use stratalog::{EventLog, Maintenance, ManualClock, Record, Timestamp, TopicConfig};

const DIRECTORY: &str = "STRATALOG_MANY_DIRECTORY";
const TOPICS: u32 = 1000;
const SEGMENTS: u64 = 100_000;

/// Runs a test of this file in a process of its own that may have so many descriptors.
fn limited(test: &str, descriptors: u32, path: &Path) {
    let program = std::env::current_exe().unwrap();
    let script = format!("ulimit -n {descriptors} && exec \"$0\" --exact {test} --nocapture");
    let mut command = Command::new("sh");
    let status = command.arg("-c").arg(script).arg(program).env(DIRECTORY, path).status().unwrap();
    assert!(status.success());
}

/// In memory where there is such a place: a thousand syncs of a disk take long.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The child: writes to all topics twice over, reads them, closes.
#[test]
fn write_to_a_thousand_topics() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let log = EventLog::open(&path).unwrap();
    let names: Vec<_> = (0..TOPICS).map(|number| format!("t{number}")).collect();
    let wanted = names.iter().map(|name| (name.as_str(), TopicConfig::new()));
    let topics = log.create_topics(wanted).unwrap();
    let producer = log.producer().unwrap();
    for round in 0..3 {
        for topic in &topics {
            let sent = producer.send(topic, Record::new("something")).unwrap();
            assert_eq!(sent.offset, round);
        }
    }
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign(topics.iter().flat_map(stratalog::Topic::partitions)).unwrap();
    let mut count = 0;
    while count < 3 * TOPICS as usize {
        let records = reader.poll(Duration::ZERO).unwrap();
        assert!(!records.is_empty(), "{count}");
        count += records.len();
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 300, "{open} descriptors");
    log.close().unwrap();
}

#[test]
fn a_thousand_topics_are_written_and_read_with_few_descriptors() {
    let dir = scratch();
    limited(test_path!(write_to_a_thousand_topics), 512, dir.path());
    let log = EventLog::open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(log.topics().unwrap().len(), TOPICS as usize);
    for topic in log.topics().unwrap() {
        assert_eq!(common::texts(&log, &topic), ["something"; 3]);
    }
}

/// The child: opens and reads all segments.
#[test]
fn read_a_hundred_thousand_segments() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let log = EventLog::open(&path).unwrap();
    assert!(log.recovery().clean);
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.offsets().unwrap().log_end, SEGMENTS);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([&partition]).unwrap();
    let mut held = Vec::new();
    for offset in 0..SEGMENTS {
        let records = reader.poll(Duration::ZERO).unwrap();
        assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [offset]);
        // More than maps may be had at a time.
        if offset % 5 == 0 {
            held.push(records);
        }
    }
    assert!(log.metrics().maps <= 8192);
    assert!(held.iter().all(|records| records.iter().all(|record| record.value() == Some(b"tiny"))));
    let last = log.producer().unwrap().send_batch(&partition, [Record::new("more")]).unwrap();
    assert_eq!(last.offsets.start, SEGMENTS);
    drop(log.close());
}

#[test]
fn a_hundred_thousand_segments_are_opened_and_read() {
    let dir = scratch();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().retention(None)).unwrap();
    let stamp = Timestamp::from_millis(1_700_000_000_000);
    log.producer().unwrap().send(&topic, Record::new("tiny").timestamp(stamp)).unwrap();
    log.close().unwrap();
    // The same batch again and again: its checksum does not cover the offset that it begins with.
    let partition = dir.path().join("t-0");
    let mut batch = fs::read(partition.join("00000000000000000000.log")).unwrap();
    for base in 1..SEGMENTS {
        batch[..8].copy_from_slice(&base.to_be_bytes());
        fs::write(partition.join(format!("{base:020}.log")), &batch).unwrap();
        fs::write(partition.join(format!("{base:020}.index")), b"").unwrap();
    }
    fs::write(dir.path().join("recovery-point-offset-checkpoint"), format!("0\n1\nt 0 {SEGMENTS}\n"))
        .unwrap();
    limited(test_path!(read_a_hundred_thousand_segments), 1024, dir.path());
}

#[test]
fn who_is_not_written_to_rests_and_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let log =
        EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let producer = log.producer().unwrap();
    let send = |partition, value| producer.send(&topic, Record::new(value).partition(partition)).unwrap();
    send(0, "a");
    send(1, "a");
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap().map(|entry| fs::read_link(entry.unwrap().path()));
        links.filter(|link| link.as_ref().is_ok_and(|link| link.starts_with(dir.path().join("t-0")))).count()
    };
    assert!(open() > 0);
    clock.advance(Duration::from_secs(5));
    assert_eq!(log.run_maintenance().unwrap().partitions_synced, 2);
    clock.advance(Duration::from_secs(59));
    send(1, "b");
    assert_eq!(log.run_maintenance().unwrap().idle_partitions_closed, 0);
    clock.advance(Duration::from_secs(1));
    let report = log.run_maintenance().unwrap();
    assert_eq!(report.idle_partitions_closed, 1, "not the one that was written to");
    assert_eq!(open(), 0);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign(topic.partitions()).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 3);
    assert_eq!(send(0, "c").offset, 1);
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1, "a reader that was there continues");
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(common::end(&log.topic("t").unwrap(), 0), 2);
}

/// Takes descriptors until the process gets no more, and gives `left` of them back.
fn take_all_but(left: usize) -> Vec<fs::File> {
    let mut taken = Vec::new();
    loop {
        match fs::File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(full) => {
                assert_eq!(full.raw_os_error(), Some(24), "EMFILE");
                taken.truncate(taken.len() - left);
                return taken;
            }
        }
    }
}

/// `Io`, or it went well; and the same when there are descriptors again must go well.
fn refused_or_done<T>(what: &str, outcome: stratalog::Result<T>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(stratalog::Error::Io(_)) => true,
        Err(failure) => panic!("{what}: {failure:?}"),
    }
}

/// The child: does everything with no descriptor left, with one, with two, …; then with as many as it wants.
#[test]
fn work_without_descriptors() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let log = options.open(&path).unwrap();
    let config = || TopicConfig::new().segment_bytes(1 << 20).max_batch_bytes(1 << 20);
    let busy = log.create_topic("busy", config()).unwrap();
    let producer = log.producer().unwrap().with_durability(stratalog::Durability::Synced);
    let large = vec![7; 400_000];
    let partition = busy.partition(0).unwrap();
    producer.send(&busy, Record::new("one")).unwrap();
    let (mut sent, mut refusals) = (1, 0);
    for left in 0..8 {
        let fresh = log.create_topic(&format!("fresh-{left}"), config()).unwrap();
        let run = |log: &EventLog| {
            let mut outcomes = Vec::new();
            for _ in 0..4 {
                outcomes.push(("send", producer.send(&busy, Record::new(&large)).map(drop)));
            }
            outcomes.push(("first send", producer.send(&fresh, Record::new("first")).map(drop)));
            outcomes.push(("sync", log.sync()));
            outcomes.push(("delete records", partition.delete_records(1).map(drop)));
            outcomes.push(("create", log.ensure_topic(&format!("new-{left}"), config()).map(drop)));
            let group = log.group("g").unwrap();
            outcomes.push(("commit", group.set_committed([stratalog::Position::new(("busy", 0), 1)])));
            clock.advance(Duration::from_secs(70));
            outcomes.push(("maintenance", log.run_maintenance().map(drop)));
            let mut reader = log.standalone_consumer().unwrap();
            reader.assign([&partition]).unwrap();
            outcomes.push(("read", reader.poll(Duration::ZERO).map(drop)));
            outcomes
        };
        let taken = take_all_but(left);
        let outcomes = run(&log);
        drop(taken);
        sent += outcomes.iter().filter(|(what, outcome)| *what == "send" && outcome.is_ok()).count();
        for (what, outcome) in outcomes {
            refusals += usize::from(refused_or_done(&format!("{what} with {left}"), outcome));
        }
        assert_eq!(log.metrics().poisoned_partitions, 0, "with {left}");
        for (what, outcome) in run(&log) {
            sent += usize::from(what == "send");
            outcome.unwrap_or_else(|failure| panic!("{what} after {left}: {failure}"));
        }
        assert_eq!(partition.offsets().unwrap().log_end, sent as u64, "with {left}");
    }
    assert!(refusals > 8, "{refusals}");
    log.close().unwrap();
}

#[test]
fn a_moment_without_descriptors_poisons_nothing_and_passes() {
    let dir = scratch();
    limited(test_path!(work_without_descriptors), 200, dir.path());
    let log = EventLog::open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(log.topics().unwrap().iter().filter(|topic| topic.name().starts_with("new-")).count(), 8);
}
