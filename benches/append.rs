//! What an append costs: one record at a time, batches by hand, and a buffered producer.
//!
//! Each sample appends to a new log, so that the cost of a growing file is in it.

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use stratalog::Record;

use support::{KEY_BYTES, Scratch, touch_memory};

const BATCH: usize = 100;

fn main() {
    touch_memory();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);

    group.throughput(per_record(100));
    group.bench_function("send/100 B", |bencher| bencher.iter_custom(|records| send(records, 100)));

    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("send_batch/100 of 100 B", |bencher| bencher.iter_custom(send_batches));

    for (name, bytes) in [("buffered/100 B", 100), ("buffered/1 KiB", 1024)] {
        group.throughput(per_record(bytes));
        group.bench_function(name, |bencher| bencher.iter_custom(|records| buffered(records, bytes)));
    }
    group.finish();
    criterion.final_summary();
}

/// The bytes of one record; how many records it were in a second is in the time of one.
fn per_record(value_bytes: usize) -> Throughput {
    Throughput::BytesDecimal((KEY_BYTES + value_bytes) as u64)
}

fn send(records: u64, value_bytes: usize) -> Duration {
    let scratch = Scratch::new();
    let producer = scratch.log.producer().unwrap();
    let value = vec![7; value_bytes];
    let start = Instant::now();
    for number in 0..records {
        producer.send(&scratch.topic, Record::new(&value).key(&number.to_be_bytes())).unwrap();
    }
    start.elapsed()
}

fn send_batches(batches: u64) -> Duration {
    let scratch = Scratch::new();
    let producer = scratch.log.producer().unwrap();
    let partition = scratch.topic.partition(0).unwrap();
    let rows = vec![[7_u8; 100]; BATCH];
    let start = Instant::now();
    for _ in 0..batches {
        producer
            .send_batch(&partition, rows.iter().map(|row| Record::new(row).key(&[1; KEY_BYTES])))
            .unwrap();
    }
    start.elapsed()
}

fn buffered(records: u64, value_bytes: usize) -> Duration {
    let scratch = Scratch::new();
    let start = Instant::now();
    scratch.fill(records, value_bytes);
    start.elapsed()
}
