//! From one producer thread to one consumer thread: 100-byte values, 8-byte keys, batched, checksums made and checked.
//!
//! Beside it a channel, which keeps nothing and checks nothing, in the same run.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};

use support::{Scratch, is_smoke_run, read, touch_memory};

/// Messages a channel holds before its sender waits.
const CHANNEL_CAPACITY: usize = 4096;

fn main() {
    touch_memory();
    let mut criterion = Criterion::default().configure_from_args();
    let records = if is_smoke_run() { 10_000 } else { 4_000_000 };
    let mut group = criterion.benchmark_group("pipe");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(records));
    group.bench_function("stratalog", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| through_log(records)).sum());
    });
    group.bench_function("crossbeam-channel", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| through_channel(records)).sum());
    });
    group.finish();
    criterion.final_summary();
}

fn through_log(records: u64) -> Duration {
    let scratch = Scratch::new();
    let start = Instant::now();
    thread::scope(|scope| {
        let mut consumer = scratch.reader();
        scope.spawn(move || read(&mut consumer, records));
        scratch.fill(records, 100);
    });
    start.elapsed()
}

fn through_channel(records: u64) -> Duration {
    let (sender, receiver) = crossbeam_channel::bounded::<([u8; 8], [u8; 100])>(CHANNEL_CAPACITY);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || receiver.iter().map(|(key, value)| u64::from(key[0] + value[0])).sum::<u64>());
        for number in 0..records {
            sender.send((number.to_be_bytes(), [7; 100])).unwrap();
        }
        drop(sender);
    });
    start.elapsed()
}
