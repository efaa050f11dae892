//! A compaction run over a dirty log, page cache hot, on one thread: megabytes of log gone through in a second. And
//! what those who append meanwhile notice of it.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use stratalog::{
    CleanupPolicy, Compression, EventLog, Maintenance, ProducerConfig, Record, Topic, TopicConfig,
};

use support::{is_smoke_run, touch_memory};

/// Values as they are written, and how many records there are to each key.
const SHAPES: [(&str, usize, u64, Compression); 4] = [
    ("100 B, 10 to a key", 100, 10, Compression::None),
    ("100 B, 2 to a key", 100, 2, Compression::None),
    ("1 KiB, 10 to a key", 1024, 10, Compression::None),
    ("100 B lz4, 10 to a key", 100, 10, Compression::Lz4),
];

fn main() {
    touch_memory();
    let bytes = if is_smoke_run() { 8 << 20 } else { 256 << 20 };
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("compaction");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    for (name, value, to_a_key, codec) in SHAPES {
        let dir = scratch();
        let dirty = fill(dir.path(), bytes, value, to_a_key, codec);
        group.throughput(Throughput::BytesDecimal(dirty));
        group.bench_function(format!("run/{name}"), |bencher| {
            let copied = || {
                let copy = scratch();
                copy_all(dir.path(), copy.path());
                let log = open(copy.path());
                let topic = log.topic("t").expect("the topic");
                // Everything but the compaction is done before.
                log.run_maintenance().expect("maintenance");
                topic.alter_config(compacted).expect("compacted");
                (copy, log)
            };
            bencher.iter_batched(copied, |(copy, log)| compact(copy, log), BatchSize::PerIteration);
        });
        in_processor_time(name, dir.path(), dirty);
    }
    group.finish();
    criterion.final_summary();
    beside_appends(bytes);
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn compacted(config: TopicConfig) -> TopicConfig {
    config.cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0")
}

fn open(dir: &Path) -> EventLog {
    EventLog::options().maintenance(Maintenance::Manual).compaction_memory(32 << 20).open(dir).expect("a log")
}

/// Goes through the log once. What is dropped is dropped outside of the measurement.
fn compact(copy: tempfile::TempDir, log: EventLog) -> (EventLog, tempfile::TempDir) {
    let report = log.run_maintenance().expect("maintenance");
    assert_eq!(report.partitions_compacted, 1);
    (log, copy)
}

/// Writes a log of so many bytes, in batches, with as many records to each key, and returns the bytes that are dirty.
fn fill(dir: &Path, bytes: u64, value: usize, to_a_key: u64, codec: Compression) -> u64 {
    let log = open(dir);
    let segment = u32::try_from((bytes / 8).max(1 << 20)).expect("a segment");
    let topic = log.create_topic("t", TopicConfig::new().segment_bytes(segment)).expect("a topic");
    let config = ProducerConfig::new().compression(codec).batch_bytes(16 << 10);
    let mut producer = log.producer_with(config).expect("a producer").buffered();
    let records = bytes / (value as u64 + 20);
    let keys = (records / to_a_key).max(1);
    let mut value = vec![7; value];
    for number in 0..records {
        // Neither the same bytes all the time nor bytes that cannot be compressed.
        value[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        // Each key comes again when all others have come, in another order each time.
        let key = (number % keys).wrapping_mul(2_654_435_761) % (1 << 40);
        producer.enqueue(&topic, Record::new(&value).key(&key.to_be_bytes())).expect("room");
    }
    producer.flush().expect("a flush");
    drop(producer);
    let segments = topic.partition(0).expect("a partition").segments().expect("segments");
    let sealed = segments.len().saturating_sub(1);
    let dirty = segments.iter().take(sealed).map(|segment| segment.bytes).sum();
    log.close().expect("a close");
    dirty
}

/// The same by the time that the thread was given a processor for: what others do on the machine is not in it, nor are
/// waits for the disk.
fn in_processor_time(name: &str, dir: &Path, dirty: u64) {
    let rates = (0..3).map(|_| {
        let copy = scratch();
        copy_all(dir, copy.path());
        let log = open(copy.path());
        log.run_maintenance().expect("maintenance");
        log.topic("t").expect("the topic").alter_config(compacted).expect("compacted");
        let before = processor_time()?;
        let done = compact(copy, log);
        let taken = processor_time()?.saturating_sub(before);
        drop(done);
        Some(u128::from(dirty) * 1000 / taken.as_nanos().max(1))
    });
    let rates: Option<Vec<_>> = rates.collect();
    println!("run/{name}: MB in a second of processor time: {rates:?}");
}

/// How long this thread has run, where the system reports it.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            std::fs::create_dir(&to).expect("a directory");
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("a copy");
            // A sync of what the run writes must not have to wait for this.
            std::fs::File::open(&to).and_then(|file| file.sync_all()).expect("a sync");
        }
    }
}

/// Single appends to one partition while another one is compacted all the time, and while nothing is.
fn beside_appends(bytes: u64) {
    let dir = scratch();
    fill(dir.path(), bytes, 100, 10, Compression::None);
    for cleaner in [false, true] {
        let copy = scratch();
        copy_all(dir.path(), copy.path());
        let log = open(copy.path());
        let dirty = log.topic("t").expect("the topic");
        let quick = log.create_topic("quick", TopicConfig::new()).expect("a topic");
        log.run_maintenance().expect("maintenance");
        let ended = AtomicBool::new(false);
        let (mut latencies, runs) = thread::scope(|scope| {
            let runs = scope.spawn(|| if cleaner { compact_until(&log, &dirty, &ended) } else { 0 });
            let latencies =
                append_for(&log, &quick, Duration::from_millis(if is_smoke_run() { 20 } else { 3000 }));
            ended.store(true, Ordering::Relaxed);
            (latencies, runs.join().expect("the cleaner"))
        });
        latencies.sort_unstable();
        let at = |thousandths: usize| latencies[(latencies.len() - 1) * thousandths / 1000];
        println!(
            "append beside {runs} runs: {} sends, p50 {} ns, p99 {} ns, p99.9 {} ns, worst {} ns",
            latencies.len(),
            at(500),
            at(990),
            at(999),
            at(1000)
        );
    }
}

/// Makes everything dirty again and again by going back to a topic that is not compacted.
fn compact_until(log: &EventLog, topic: &Topic, ended: &AtomicBool) -> usize {
    let mut runs = 0;
    while !ended.load(Ordering::Relaxed) {
        topic.alter_config(compacted).expect("compacted");
        runs += log.run_maintenance().expect("maintenance").partitions_compacted;
        topic.alter_config(|config| config.cleanup(CleanupPolicy::Delete)).expect("not compacted");
        append_rolls(log, topic);
    }
    runs
}

/// So much that the segment before is sealed, and dirty.
fn append_rolls(log: &EventLog, topic: &Topic) {
    let mut producer = log.producer().expect("a producer").buffered();
    for number in 0..200_000_u64 {
        producer.enqueue(topic, Record::new(&[7; 100]).key(&number.to_be_bytes())).expect("room");
    }
    producer.flush().expect("a flush");
}

fn append_for(log: &EventLog, topic: &Topic, time: Duration) -> Vec<u64> {
    let producer = log.producer().expect("a producer");
    let value = [7; 100];
    // The first append makes the directory.
    producer.send(topic, Record::new(&value).key(b"key")).expect("a send");
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(1 << 24);
    while begin.elapsed() < time {
        let before = Instant::now();
        producer.send(topic, Record::new(&value).key(b"key")).expect("a send");
        latencies.push(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    latencies
}
