//! Opening a log: after an orderly close, and after a stop without one, when the tail has to be checked.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use stratalog::{EventLog, Record};

use support::{STORED_BYTES, Scratch, is_smoke_run, touch_memory};

const MIB: u64 = 1 << 20;

fn main() {
    touch_memory();
    let mut criterion = Criterion::default().configure_from_args();
    let scale = if is_smoke_run() { 64 } else { 1 };
    let mut group = criterion.benchmark_group("open");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);

    let one = Scratch::new();
    one.fill(256 * MIB / scale / STORED_BYTES, 100);
    one.log.close().unwrap();
    group.bench_function("clean/1 partition, 256 MiB", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| timed_open(one.dir.path(), true)).sum());
    });
    drop(one);

    let many = Scratch::with_partitions(100);
    let producer = many.log.producer().unwrap();
    for partition in 0..100 {
        producer.send(&many.topic, Record::new("something").partition(partition)).unwrap();
    }
    many.log.close().unwrap();
    group.bench_function("clean/100 partitions", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| timed_open(many.dir.path(), true)).sum());
    });
    drop((producer, many));

    let tail = Scratch::new();
    tail.fill(64 * MIB / scale / STORED_BYTES, 100);
    let bytes = tail.topic.partition(0).unwrap().size().unwrap();
    tail.log.close().unwrap();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("unclean/64 MiB to check", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| open_unclean(tail.dir.path(), bytes)).sum());
    });
    group.finish();
    criterion.final_summary();
}

/// Opens and closes; only opening counts.
fn timed_open(dir: &Path, clean: bool) -> Duration {
    let start = Instant::now();
    let log = EventLog::open(dir).unwrap();
    let time = start.elapsed();
    assert_eq!(log.recovery().clean, clean);
    log.close().unwrap();
    time
}

/// Takes away what says that the log was closed, and how much of it is safe.
fn open_unclean(dir: &Path, bytes: u64) -> Duration {
    std::fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(dir.join("recovery-point-offset-checkpoint")).unwrap();
    let start = Instant::now();
    let log = EventLog::open(dir).unwrap();
    let time = start.elapsed();
    assert_eq!(log.recovery().bytes_scanned(), bytes);
    log.close().unwrap();
    time
}
