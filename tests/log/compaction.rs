//! Compaction as users see it: what stays, what goes and when, and who notices.

mod brokers;
mod groups;
mod model;
mod policy;
mod stops;

use std::path::Path;
use std::time::Duration;

use stratalog::{
    CleanupPolicy, EventLog, Maintenance, ManualClock, OpenOptions, Record, Timestamp, Topic, TopicConfig,
};

const NOW: i64 = 1_700_000_000_000;
const SECOND: Duration = Duration::from_secs(1);

/// In memory where there is such a place: thousands of syncs of a disk take minutes.
fn in_memory() -> tempfile::TempDir {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(NOW))
}

fn manual(clock: &ManualClock) -> OpenOptions {
    EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).max_segment_bytes(2000)
}

fn config() -> TopicConfig {
    TopicConfig::new().cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0")
}

/// Sends values of some 300 bytes with seven keys, a second apart.
fn fill(log: &EventLog, topic: &Topic, clock: &ManualClock, count: usize) {
    let producer = log.producer().unwrap();
    for n in 0..count {
        let key = format!("key {}", if n % 3 == 0 { n % 7 } else { 100 + n % 17 });
        producer.send(topic, Record::new(&format!("{n:0300}")).key(&key)).unwrap();
        clock.advance(SECOND);
    }
}

/// A log with many small segments and nothing compacted yet.
fn filled(dir: &Path, clock: &ManualClock) -> (EventLog, Topic) {
    let log = manual(clock).open(dir).unwrap();
    let topic = log.create_topic("t", config()).unwrap();
    fill(&log, &topic, clock, 100);
    (log, topic)
}

/// Whether there is nothing left to compact.
fn compacted(log: &EventLog) -> bool {
    log.run_maintenance().unwrap();
    log.run_maintenance().unwrap().partitions_compacted == 0
}
