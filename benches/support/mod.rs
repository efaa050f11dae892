//! What benches and figures share: memory that is ready, and directories to write to.
#![allow(dead_code, reason = "every bench uses some of it")]

use std::time::Duration;

use stratalog::{Consumer, EventLog, Record, Topic, TopicConfig};
use tempfile::TempDir;

/// Bytes of a record's key where it has one.
pub(crate) const KEY_BYTES: usize = 8;
/// A record of 100 bytes with a key takes these bytes in a large batch.
pub(crate) const STORED_BYTES: u64 = 118;

const GIB: usize = 1 << 30;
const PAGE: usize = 4096;

/// Whether this is a smoke run (`cargo bench -- --test`): everything once, and small.
pub(crate) fn is_smoke_run() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Touches 4 GiB of memory, or half of what is free, and returns how many bytes that were. In a virtual machine the
/// first touch of a page costs some ten microseconds, which is not what is to be measured.
pub(crate) fn touch_memory() -> usize {
    if is_smoke_run() {
        return 0;
    }
    let bytes = (4 * GIB).min(free_memory() / 2);
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
    bytes
}

/// Bytes of memory that could be used; 1 GiB where the system does not say.
pub(crate) fn free_memory() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.map_or(GIB, |kib| kib << 10)
}

/// A new log with a topic of one partition, in a directory that goes with it. `TMPDIR` says on which file system.
pub(crate) struct Scratch {
    pub(crate) log: EventLog,
    pub(crate) topic: Topic,
    pub(crate) dir: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::with_partitions(1)
    }

    pub(crate) fn with_partitions(partitions: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EventLog::open(dir.path()).expect("a new log");
        let topic =
            log.create_topic("bench", TopicConfig::new().partitions(partitions)).expect("a new topic");
        Self { log, topic, dir }
    }

    /// Appends records with 8-byte keys in batches, to partition 0.
    pub(crate) fn fill(&self, records: u64, value_bytes: usize) {
        let value = vec![7; value_bytes];
        let mut producer = self.log.producer().expect("a producer").buffered();
        for number in 0..records {
            let key = number.to_be_bytes();
            let record = Record::new(&value).key(&key).partition(0);
            producer.enqueue(&self.topic, record).expect("enqueue");
        }
        producer.flush().expect("flush");
    }

    pub(crate) fn reader(&self) -> Consumer {
        let mut consumer = self.log.standalone_consumer().expect("a consumer");
        consumer.assign(self.topic.partitions()).expect("assign");
        consumer
    }
}

/// Reads this many records. Every poll checks all checksums.
pub(crate) fn read(consumer: &mut Consumer, records: u64) -> u64 {
    let (mut count, mut sum) = (0, 0);
    while count < records {
        let polled = consumer.poll(Duration::from_secs(10)).expect("poll");
        assert!(!polled.is_empty(), "only {count} of {records} records came");
        for record in &polled {
            sum += record.offset() + record.value().map_or(0, |value| u64::from(value[0]));
            count += 1;
        }
    }
    sum
}
