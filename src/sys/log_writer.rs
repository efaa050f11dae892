//! The one writer of a growing log file.
//!
//! Two ways into the same file, chosen per append. Small writes are stored through the map where pages were made
//! ready before them; everything else is one positioned write, coherent with mapped readers. A large write goes
//! by system call even where pages are ready: fresh pages are then filled once instead of zeroed first (measured:
//! 5.1 against 3.5 GB/s in 64 KiB writes).
//!
//! Order of one append: [`put`](LogWriter::put) the bytes past the published end, then
//! [`publish`](LogWriter::publish). A store through the map leaves byte 16 for last, as an atomic release store: it
//! is 0 in a zero tail, not 0 in a batch, and cannot tear, so no reader of the raw file takes a half batch for whole.
//!
//! loom checks this code with three threads, the writer, the preallocation thread and the one that seals: `tests/growth.rs`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use super::disk::Disk;
use super::mapping::Mapping;
use super::plain_file::PlainFile;
use super::reserve::is_full;
use super::sync::{AtomicBool, AtomicU64, Mutex};
use super::tail::Tail;
use crate::error::{Damage, Error, Result};

#[cfg(all(test, loom))]
#[path = "tests/growth.rs"]
mod model;

/// Writes of this many bytes and more go by system call.
const POSITIONED_FROM: usize = 16 << 10;
/// Allocation grows with the file, within these bounds.
const MIN_STEP: u64 = 64 << 10;
const MAX_STEP: u64 = 16 << 20;
/// The preallocation thread prepares what the writer wrote in this time, at least and at most so much, in pieces.
const AHEAD_MICROS: u64 = 20_000;
const MIN_AHEAD: u64 = 256 << 10;
const POPULATE_PIECE: u64 = 1 << 20;
/// Below this pace, in MB/s, system calls will do.
const SLOWEST_PACE: u64 = 1;
/// The byte of a batch that is 0 in a zero tail and never 0 in a batch of format 2.
const COMMIT_BYTE: usize = 16;

/// Why bytes were not put.
#[derive(Debug)]
pub(crate) enum PutFailure {
    /// Nothing changed; the same bytes may fit later.
    NothingWritten(Error),
    /// Some of them may be in the file, after its published end, and could not be taken back; or the file was cut.
    Unknown(Error),
}

/// The one writer of a file. Being the only one is what its `&mut` methods rest on.
#[derive(Debug)]
pub(crate) struct LogWriter {
    file: Arc<PlainFile>,
    tail: Arc<Tail>,
    growth: Arc<Growth>,
    mapping: Option<Arc<Mapping>>,
}

/// How far a file is allocated and its pages are ready. Shared with the preallocation thread.
#[derive(Debug)]
pub(crate) struct Growth {
    file: Arc<PlainFile>,
    mapping: Option<Arc<Mapping>>,
    /// Largest length the file may get.
    capacity: u64,
    /// Whether space is taken before it is written, so that the file ends in zeros while it grows.
    in_advance: bool,
    /// Written under `steps`, read by the writer.
    allocated: AtomicU64,
    /// Pages below are present and writable. Written under `steps`, read by the writer with acquire order.
    ready: AtomicU64,
    /// Once the writer passes this position it asks for more.
    refill_at: AtomicU64,
    /// Preallocation was requested and is not done yet.
    requested: AtomicBool,
    /// Held while the file grows or shrinks. The writer only ever tries it.
    steps: Mutex<GrowthState>,
}

#[derive(Debug)]
enum GrowthState {
    /// When space was last preallocated, and where the writer was then.
    Growing { last: Option<(Instant, u64)> },
    /// The file has its final length.
    Sealed,
}

impl LogWriter {
    /// A new, empty file.
    pub(crate) fn create(disk: &Disk, path: &Path, capacity: u64, mark: u64) -> Result<Self> {
        Ok(Self::over(disk, disk.create(path)?, capacity, 0, 0, mark))
    }

    /// A new, empty file that was made before, with space up to its length.
    pub(crate) fn adopt(disk: &Disk, prepared: PlainFile, capacity: u64, length: u64, mark: u64) -> Self {
        Self::over(disk, prepared, capacity, length, 0, mark)
    }

    /// Makes a file that [`adopt`](Self::adopt) takes, with space for the first appends.
    pub(crate) fn prepare(disk: &Disk, path: &Path, capacity: u64) -> Result<PlainFile> {
        let file = disk.create(path)?;
        if disk.allocates
            && let Ok(_entered) = file.enter()
        {
            // A disk that is full or cannot: the next append finds out and reports it.
            let _ = file.preallocate(0, MIN_AHEAD.min(capacity));
        }
        Ok(file)
    }

    /// A file whose first `confirmed` bytes were found whole. What lies after them is cut off.
    pub(crate) fn open(disk: &Disk, path: &Path, capacity: u64, confirmed: u64, mark: u64) -> Result<Self> {
        let mut file = disk.open(path, true)?;
        if file.has_other_names()? {
            // A snapshot has it too, and no file that two logs have is ever written to.
            file = disk.take_for_itself(file, confirmed)?;
        }
        if file.len()? > confirmed {
            file.truncate(confirmed)?;
        }
        Ok(Self::over(disk, file, capacity.max(confirmed), confirmed, confirmed, mark))
    }

    fn over(disk: &Disk, file: PlainFile, capacity: u64, length: u64, confirmed: u64, mark: u64) -> Self {
        let (file, tail) = (Arc::new(file), Arc::new(Tail::new(confirmed, mark)));
        let capacity = capacity.min(file.most_bytes()).max(confirmed);
        // A store through the map needs space taken before it.
        let mapped = disk.map_writes && disk.allocates;
        let mapping = mapped.then(|| Mapping::of_growing(&file, &tail, capacity, &disk.budget)).flatten();
        let growth = Arc::new(Growth {
            file: Arc::clone(&file),
            mapping: mapping.clone(),
            capacity,
            in_advance: disk.allocates,
            allocated: AtomicU64::new(length),
            ready: AtomicU64::new(0),
            refill_at: AtomicU64::new(length),
            requested: AtomicBool::new(false),
            steps: Mutex::new(GrowthState::Growing { last: None }),
        });
        Self { file, tail, growth, mapping }
    }

    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    pub(crate) fn file(&self) -> &Arc<PlainFile> {
        &self.file
    }

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    /// The map that writer and readers share, where there is one.
    pub(crate) fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.mapping.as_ref()
    }

    /// Puts one complete batch past the published end. No reader sees it before [`publish`](Self::publish).
    /// Returns whether space should be preallocated. `positioned`: not through the map.
    #[inline]
    pub(crate) fn put(&mut self, batch: &[u8], positioned: bool) -> std::result::Result<bool, PutFailure> {
        let position = self.tail.load().position;
        let end = position + batch.len() as u64;
        let small = batch.len() < POSITIONED_FROM && batch.len() > COMMIT_BYTE && !positioned;
        if small
            && end <= self.growth.ready.load(Ordering::Acquire)
            && let Some(to) = self.mapping.as_ref().and_then(|map| map.pointer_at(position, batch.len()))
        {
            // SAFETY: `pointer_at` checked the length against the map, which `self.mapping` keeps; `ready` says that the
            // pages are there; past the published end this only writer (`&mut self`) writes, and slices end below it.
            unsafe { store(batch, to) };
        } else {
            self.put_positioned(batch, position, end)?;
        }
        Ok(small && self.mapping.is_some() && end >= self.growth.refill_at.load(Ordering::Relaxed))
    }

    fn put_positioned(
        &mut self,
        batch: &[u8],
        position: u64,
        end: u64,
    ) -> std::result::Result<(), PutFailure> {
        let failed = |failure| Error::io("write", self.file.path(), failure);
        let grows = end > self.growth.allocated.load(Ordering::Relaxed);
        // Before and while the file grows.
        let entered = grows.then(|| self.file.enter()).transpose();
        let _entered = entered.map_err(|e| PutFailure::NothingWritten(failed(e)))?;
        if grows {
            self.growth.reserve(position, end)?;
        }
        match self.file.write_at(batch, position) {
            Ok(()) => Ok(()),
            Err(failure) => Err(match (self.take_back(position, batch.len()), failed(failure)) {
                (Ok(()), full @ Error::StorageFull { .. }) => PutFailure::NothingWritten(full),
                (_, failure) => PutFailure::Unknown(failure),
            }),
        }
    }

    /// A part may be written: past the end everything must be zero again before the next append.
    fn take_back(&self, position: u64, bytes: usize) -> Result<()> {
        self.growth.cut_back(position).or_else(|failure| {
            // Where the file shares blocks a cut takes space itself. What was written has blocks of its own.
            let mut found = vec![0; bytes];
            let _ = self.file.write_at(&found, position);
            let read = self.file.read_at(&mut found, position)?;
            if found.iter().take(read).all(|byte| *byte == 0) { Ok(()) } else { Err(failure) }
        })
    }

    /// Makes the bytes last put visible: from here on they never change.
    #[inline]
    pub(crate) fn publish(&mut self, bytes: usize, mark: u64) {
        let position = self.tail.load().position + bytes as u64;
        self.tail.publish(position, mark);
    }

    /// Changes the mark alone.
    pub(crate) fn publish_mark(&mut self, mark: u64) {
        self.publish(0, mark);
    }
}

/// Copies a batch, longer than its commit byte's place, into ready pages, that byte last.
///
/// # Safety
/// `to` points at `batch.len()` bytes of a live map whose pages are present and writable, and which no other thread
/// writes to or has a slice of. Other processes may read them through the file.
#[inline]
unsafe fn store(batch: &[u8], to: *mut u8) {
    let Some((before, [commit, after @ ..])) = batch.split_at_checked(COMMIT_BYTE) else { return };
    // SAFETY: the parts lie inside the bytes that the caller vouches for, one after the other. The commit byte may be
    // read while it is stored, hence the atomic; an `AtomicU8` is always aligned.
    unsafe {
        to.copy_from_nonoverlapping(before.as_ptr(), before.len());
        to.add(COMMIT_BYTE + 1).copy_from_nonoverlapping(after.as_ptr(), after.len());
        AtomicU8::from_ptr(to.add(COMMIT_BYTE)).store(*commit, Ordering::Release);
    }
}

impl Growth {
    /// Allocates space for the writer up to `end`, in steps that grow with the file. If the preallocation thread is at work
    /// on this file the writer does not wait for it: the positioned write that follows allocates for itself.
    fn reserve(&self, position: u64, end: u64) -> std::result::Result<(), PutFailure> {
        let Some(state) = self.steps.try_lock().filter(|_| self.in_advance) else { return Ok(()) };
        if matches!(*state, GrowthState::Sealed) {
            return Ok(());
        }
        self.check_length(position).map_err(|failure| match failure {
            cut @ Error::Corrupt(_) => PutFailure::Unknown(cut),
            refused => PutFailure::NothingWritten(refused),
        })?;
        let allocated = self.allocated.load(Ordering::Relaxed);
        let wanted = end.max(position + position.clamp(MIN_STEP, MAX_STEP)).min(self.capacity.max(end));
        let refused = |e| PutFailure::NothingWritten(Error::io("write", self.file.path(), e));
        if wanted > end {
            match self.record_allocated(wanted, self.file.preallocate(allocated, wanted)) {
                Err(full) if is_full(&full) => {}
                other => return other.map_err(refused),
            }
        }
        self.record_allocated(end, self.file.allocate(allocated, end)).map_err(refused)
    }

    /// Whether the file has the bytes that were written to it, as far as its length shows. Space that was taken counts too:
    /// a write after a cut makes the file longer again, but seldom as long as it was.
    pub(crate) fn check_whole(&self, written: u64) -> Result<()> {
        let _state = self.steps.lock();
        self.check_length(written)
    }

    /// The same for a caller that holds `steps`, and before the file is made longer.
    fn check_length(&self, written: u64) -> Result<()> {
        let (length, least) = (self.file.len()?, written.max(self.allocated.load(Ordering::Relaxed)));
        if length >= least {
            return Ok(());
        }
        let reason =
            format!("another program has cut the file, which had {least} bytes, while it was written");
        Err(Error::Corrupt(Box::new(Damage::new(self.file.path(), length, reason))))
    }

    fn record_allocated(&self, to: u64, outcome: io::Result<()>) -> io::Result<()> {
        match outcome {
            Ok(()) => self.allocated.store(to, Ordering::Relaxed),
            // Not every file system can; the write itself will find out whether there is space.
            Err(failure) if failure.kind() == io::ErrorKind::Unsupported => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Takes the pages below a published `position` out of the map, all at once. To be called before a sync: the kernel writes
    /// no page that a program may store to meanwhile without notice, so the sync would take them out one by one, and interrupt
    /// each processor that runs this process each time. Readers get them again, for reading alone.
    pub(crate) fn unmap_below(&self, position: u64) {
        if let Some(mapping) = &self.mapping {
            // A sync without this is slower, and no less a sync.
            let _ = mapping.unmap_below(position);
        }
    }

    /// Largest length that the file may get: what was asked for, and no more than the process may write.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Requests preallocation; `false` if that was done already.
    pub(crate) fn request(&self) -> bool {
        !self.requested.swap(true, Ordering::Relaxed)
    }

    /// Allocates and makes ready what the writer, now at `position`, will need in the next moments at its own pace.
    /// Stops in silence at a full disk: the writer will find out by itself, and say so.
    pub(crate) fn preallocate_now(&self, position: u64) {
        self.requested.store(false, Ordering::Relaxed);
        let Ok(_entered) = self.file.enter() else {
            // As below.
            self.refill_at.store(position + MIN_STEP, Ordering::Relaxed);
            return;
        };
        let mut state = self.steps.lock();
        let (Some(mapping), GrowthState::Growing { last }) = (&self.mapping, &mut *state) else { return };
        let now = Instant::now();
        let Some(step) = step_at_pace(last.replace((now, position)), now, position) else {
            self.refill_at.store(position + MIN_STEP, Ordering::Relaxed);
            return;
        };
        // Also if nothing comes of it: on a full disk not every append is to ask again.
        self.refill_at.store(position + step / 2, Ordering::Relaxed);
        let end = (position + step).min(self.capacity);
        let allocated = self.allocated.load(Ordering::Relaxed);
        let is_taken = || self.record_allocated(end, self.file.preallocate(allocated, end)).is_ok();
        if end > allocated && (self.check_length(position).is_err() || !is_taken()) {
            return;
        }
        let end = end.min(self.allocated.load(Ordering::Relaxed));
        let mut start = self.ready.load(Ordering::Relaxed).max(position);
        while start < end {
            let piece = end.min(start + POPULATE_PIECE);
            if mapping.populate(start..piece).is_err() {
                return;
            }
            self.ready.store(piece, Ordering::Release);
            start = piece;
        }
    }

    /// Forgets what lies after `position`. Never below a published end.
    fn cut_back(&self, position: u64) -> Result<()> {
        let _state = self.steps.lock();
        // Stores through the map must not reach pages past the end of the file.
        self.ready.store(0, Ordering::Relaxed);
        self.file.truncate(position)?;
        self.allocated.store(position, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the file its final length, once. The writer must be done with it. `Corrupt` if it was cut.
    pub(crate) fn seal(&self, length: u64) -> Result<()> {
        let mut state = self.steps.lock();
        *state = GrowthState::Sealed;
        self.ready.store(0, Ordering::Relaxed);
        self.check_length(length)?;
        if self.file.len()? > length {
            self.file.truncate(length)?;
        }
        self.allocated.store(length, Ordering::Relaxed);
        Ok(())
    }
}

/// How far to preallocate: what was written in the last moments. `None` for a writer so slow that it is not worth it.
fn step_at_pace(last: Option<(Instant, u64)>, now: Instant, position: u64) -> Option<u64> {
    let Some((before, from)) = last else { return Some(MIN_AHEAD) };
    let micros = u64::try_from(now.duration_since(before).as_micros()).unwrap_or(u64::MAX).max(1);
    let written = position.saturating_sub(from);
    // Bytes per microsecond are megabytes per second.
    if written / micros < SLOWEST_PACE {
        return None;
    }
    Some((written.saturating_mul(AHEAD_MICROS) / micros).clamp(MIN_AHEAD, MAX_STEP))
}
