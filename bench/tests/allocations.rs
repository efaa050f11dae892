//! No path allocates for a record: what is allocated is for a batch, a poll or a stretch of the file. A program of its own, since
//! its allocator counts whatever any thread does.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use stratalog_bench::Path;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RECORDS: u64 = 1_000_000;

fn allocations() -> u64 {
    let stats = COUNTING.stats();
    (stats.allocations + stats.reallocations) as u64
}

#[test]
fn no_path_allocates_for_a_record() {
    let before = allocations();
    std::hint::black_box(Box::new(1));
    assert!(allocations() > before, "nothing is counted");
    for path in Path::ALL {
        let counted = path.metered(RECORDS, allocations).unwrap();
        println!("{}: {counted} allocations, {RECORDS} records", path.name());
        assert!(counted < RECORDS / 100, "{}: {counted} allocations for {RECORDS} records", path.name());
    }
}
