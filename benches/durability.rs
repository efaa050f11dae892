//! What it costs to be safe from power loss, beside what the device takes for a sync.

mod support;

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use stratalog::{Durability, ProducerConfig, Record};

use support::Scratch;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("durability");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    group.bench_function("write and fdatasync, no log", |bencher| bencher.iter_custom(device));
    for threads in [1, 16] {
        group.bench_function(format!("synced send/{threads} threads"), |bencher| {
            bencher.iter_custom(|records| synced(records, threads));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn device(writes: u64) -> Duration {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut options = OpenOptions::new();
    let mut file = options.create_new(true).append(true).open(dir.path().join("file")).expect("a new file");
    let start = Instant::now();
    for _ in 0..writes {
        file.write_all(&[7; 178]).expect("write");
        file.sync_data().expect("sync");
    }
    start.elapsed()
}

/// So many records, shared among the threads.
fn synced(records: u64, threads: usize) -> Duration {
    let scratch = Scratch::new();
    let config = ProducerConfig::new().durability(Durability::Synced);
    let producer = scratch.log.producer_with(config).expect("a producer");
    let taken = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while taken.fetch_add(1, Ordering::Relaxed) < records {
                    producer.send(&scratch.topic, Record::new(&[7; 100]).key(&[1; 8])).expect("send");
                }
            });
        }
    });
    start.elapsed()
}
