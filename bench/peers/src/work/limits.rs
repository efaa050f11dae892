//! What the machine itself does, measured among the peers: no peer that has to do the same can be faster.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::Mmap;

use super::{Task, pin};
use crate::Result;
use crate::clock::{nanoseconds, seconds, ticks, ticks_of};
use crate::histogram::Histogram;
use crate::records::sum;
use crate::results::Figure;

/// Writes of this size into a fresh file are the fastest ones on ext4 and xfs.
const WRITE_BYTES: usize = 256 << 10;
const COPY_BYTES: usize = 64 << 10;
const MAX_BYTES: u64 = 256 << 20;
/// A record of 100 bytes in a batch of its own.
const SYNCED_BYTES: usize = 178;
const SYNCED_FILE_BYTES: usize = 4 << 20;
/// A step of the empty loop: about what a fast append takes, so that percentiles are of as many steps.
const STEP_NANOSECONDS: f64 = 100.0;

fn bytes_of(task: &Task) -> usize {
    (task.mib << 20).min(MAX_BYTES) as usize
}

fn per_second(bytes: usize, since: u64) -> Vec<Figure> {
    vec![Figure::new("bytes/s", bytes as f64 / seconds(ticks() - since))]
}

fn write(to: &Path, bytes: usize) -> Result<File> {
    let block = vec![7; WRITE_BYTES];
    let file = File::options().read(true).write(true).create(true).truncate(true).open(to)?;
    for at in (0..bytes).step_by(WRITE_BYTES) {
        file.write_all_at(&block, at as u64)?;
    }
    Ok(file)
}

/// `pwrite` into a fresh file.
pub(crate) fn pwrite(task: &Task) -> Result<Vec<Figure>> {
    pin(0);
    let begin = ticks();
    write(&task.directory.join("written"), bytes_of(task))?;
    Ok(per_second(bytes_of(task), begin))
}

/// A copy from a few bytes in the cache to memory that is there.
pub(crate) fn memcpy(task: &Task) -> Vec<Figure> {
    let from = vec![7; COPY_BYTES];
    let mut to = vec![1_u8; bytes_of(task)];
    pin(0);
    let begin = ticks();
    for piece in to.chunks_exact_mut(COPY_BYTES) {
        piece.copy_from_slice(&from);
    }
    std::hint::black_box(&to);
    per_second(to.len(), begin)
}

/// The sum of the bytes of a file in the page cache, through a new mapping.
pub(crate) fn mapping(task: &Task) -> Result<Vec<Figure>> {
    let file = write(&task.directory.join("mapped"), bytes_of(task))?;
    pin(0);
    let begin = ticks();
    #[expect(unsafe_code, reason = "a mapping of a file")]
    // SAFETY: the file is in a directory of this process alone, and nothing writes to it any more.
    let map = unsafe { Mmap::map(&file)? };
    std::hint::black_box(sum(&map));
    Ok(per_second(map.len(), begin))
}

/// One record after another, each written into a file that is full already, and on the disk.
pub(crate) fn fdatasync(task: &Task) -> Result<Vec<Figure>> {
    let file = write(&task.directory.join("synced"), SYNCED_FILE_BYTES)?;
    file.sync_all()?;
    let record = vec![7; SYNCED_BYTES];
    let (begin, limit, mut count) = (ticks(), ticks_of(task.seconds), 0);
    while ticks() - begin < limit {
        let at = count * SYNCED_BYTES % (SYNCED_FILE_BYTES - SYNCED_BYTES);
        file.write_all_at(&record, at as u64)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(vec![Figure::new("records/s", count as f64 / seconds(ticks() - begin))])
}

/// Steps that do nothing: what is longer, the machine interrupted.
pub(crate) fn empty_loop(seconds: f64) -> Histogram {
    let mut steps = Histogram::new();
    let (begin, limit, step) = (ticks(), ticks_of(seconds), ticks_of(STEP_NANOSECONDS / 1e9));
    let mut before = begin;
    while before - begin < limit {
        let mut now = ticks();
        while now - before < step {
            now = ticks();
        }
        steps.add(nanoseconds(now - before));
        before = now;
    }
    steps
}

/// The same, as a participant.
pub(crate) fn empty_loop_of(task: &Task) -> Vec<Figure> {
    pin(0);
    empty_loop(task.seconds).figures()
}
