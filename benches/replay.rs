//! Reading a closed log from its beginning, page cache hot, every checksum checked and every record read.

mod support;

use criterion::{Criterion, SamplingMode, Throughput};
use stratalog::EventLog;

use support::{Scratch, is_smoke_run, read, touch_memory};

fn main() {
    touch_memory();
    let mut criterion = Criterion::default().configure_from_args();
    let bytes = if is_smoke_run() { 1 << 20 } else { 256 << 20 };
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    for (name, value_bytes) in [("100 B", 100), ("1 KiB", 1024)] {
        let records = bytes / value_bytes;
        let mut scratch = Scratch::new();
        scratch.fill(records, usize::try_from(value_bytes).unwrap());
        scratch.log.close().unwrap();
        scratch.log = EventLog::open(scratch.dir.path()).unwrap();
        scratch.topic = scratch.log.topic("bench").unwrap();

        group.throughput(Throughput::Elements(records));
        group.bench_function(name, |bencher| bencher.iter(|| read(&mut scratch.reader(), records)));
    }
    group.finish();
    criterion.final_summary();
}
