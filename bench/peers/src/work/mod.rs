//! The workloads that peers are compared in, each once: the process has one piece to do, and ends.

pub(crate) mod append;
pub(crate) mod latency;
pub(crate) mod limits;
pub(crate) mod open;
pub(crate) mod pipe;
pub(crate) mod replay;
pub(crate) mod send;
pub(crate) mod synced;

use std::path::PathBuf;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Result;
use crate::peer::{Reader, Writer};
use crate::records::{Check, Source};

/// Where to work, and how long.
#[derive(Debug)]
pub(crate) struct Task {
    /// Empty.
    pub(crate) directory: PathBuf,
    pub(crate) seconds: f64,
    pub(crate) mib: u64,
    /// Reads what was written also where that is not the workload.
    pub(crate) is_checked: bool,
}

impl Task {
    /// Most records with values of so many bytes.
    pub(crate) fn records(&self, value_bytes: usize) -> u64 {
        (self.mib << 20) / value_bytes as u64
    }
}

/// Records before those that are measured.
const WARM_UP: u64 = 1 << 16;

/// Keeps this thread on one processor. After the warm-up, so that threads which a peer began until then are free.
fn pin(processor: usize) {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let mut only = CpuSet::new();
    only.set(processor % count);
    // Where it is not allowed, threads are where the system has them.
    let _ = sched_setaffinity(None, &only);
}

/// What the other thread waits for in vain after a failure: the process ends.
fn or_end<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        std::process::exit(1)
    })
}

/// Writes records of these numbers, in batches.
fn fill(
    writer: &mut impl Writer,
    source: &mut Source,
    numbers: std::ops::Range<u64>,
    batch: usize,
) -> Result<()> {
    let mut next = numbers.start;
    while next < numbers.end {
        let records = ((numbers.end - next) as usize).min(batch);
        let samples = source.batch(next, records);
        next += samples.len() as u64;
        writer.append_batch(samples)?;
    }
    writer.flush()
}

/// Reads until so many records have come, and says whether they were right.
fn read(reader: &mut impl Reader, check: &mut Check, records: u64) -> Result<()> {
    while check.count() < records {
        if reader.poll(|key, value| check.see(key, value))? == 0 {
            std::hint::spin_loop();
        }
    }
    check.end()
}
