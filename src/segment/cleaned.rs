//! A segment made of others: written from beginning to end under a name that does not count, with its indexes, and on
//! the disk before it is renamed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::names::rename_files;
use super::scan::Indexing;
use super::{
    BatchesEnd, FileState, LOG, OFFSET_INDEX, Segment, TIME_INDEX, TRANSACTION_INDEX, beside, file_name,
};
use crate::error::{Error, Result};
use crate::format::transaction_index::{self, AbortedTransaction};
use crate::sys::{Disk, PlainFile};

/// Bytes written in one step.
const STEP: usize = 1 << 20;
/// Bytes after which what was written is synced: the sync at the end must not hold up others for long.
const SYNC_STEP: u64 = 64 << 20;

/// Writes one. Dropped before [`finish`](Self::finish), it closes its descriptor and leaves its file; see
/// [`remove_cleaned`].
#[derive(Debug)]
pub(crate) struct CleanedWriter {
    disk: Disk,
    file: PlainFile,
    base: u64,
    buffer: Vec<u8>,
    /// Bytes handed to the system, and how many of them were synced.
    written: u64,
    synced: u64,
    index: Indexing,
    aborted: Vec<AbortedTransaction>,
}

/// A segment that is complete but does not count yet.
#[derive(Debug)]
pub(crate) struct CleanedSegment {
    pub(crate) segment: Arc<Segment>,
}

/// Removes whatever a writer with this base offset has left that does not count.
pub(crate) fn remove_cleaned(disk: &Disk, directory: &Path, base: u64) -> Result<()> {
    for file_state in [FileState::Swap, FileState::Cleaned] {
        for suffix in [OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, LOG] {
            disk.remove_file(&file_state.of(&directory.join(file_name(base, suffix))))?;
        }
    }
    Ok(())
}

impl CleanedWriter {
    /// Begins one, in place of what an earlier attempt may have left.
    pub(crate) fn create(disk: &Disk, directory: &Path, base: u64, interval: u32) -> Result<Self> {
        remove_cleaned(disk, directory, base)?;
        let path = FileState::Cleaned.of(&directory.join(file_name(base, LOG)));
        Ok(Self {
            disk: disk.clone(),
            file: disk.create(&path)?,
            base,
            buffer: Vec::with_capacity(STEP),
            written: 0,
            synced: 0,
            index: Indexing::new(base, interval),
            aborted: Vec::new(),
        })
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Puts a batch after the others. `false`: its offsets are too far from the base.
    pub(crate) fn push(&mut self, batch: &[u8], last_offset: u64, timestamp: i64) -> Result<bool> {
        if self.index.note(self.bytes(), batch.len() as u64, last_offset, timestamp).is_err() {
            return Ok(false);
        }
        if self.buffer.len() + batch.len() > STEP {
            self.flush()?;
        }
        self.buffer.extend_from_slice(batch);
        Ok(true)
    }

    /// Notes a transaction whose abort marker is among the batches.
    pub(crate) fn push_aborted(&mut self, transaction: AbortedTransaction) {
        self.aborted.push(transaction);
    }

    fn flush(&mut self) -> Result<()> {
        let path = self.file.path();
        self.file.write_at(&self.buffer, self.written).map_err(|e| Error::io("write", path, e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_STEP {
            self.file.sync().map_err(|e| Error::io("sync", path, e))?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Syncs all batches; no more come. The file gets the modification time of `like`, so that a segment without
    /// timestamps has the same age as before.
    pub(crate) fn settle(&mut self, like: &PlainFile) -> Result<()> {
        self.flush()?;
        self.file.set_changed_as(like)?;
        self.file.sync().map_err(|e| Error::io("sync", self.file.path(), e))
    }

    /// After [`settle`](Self::settle): the indexes of the segment, which ends before the offset `next`.
    pub(crate) fn finish(self, next: u64) -> Result<Option<CleanedSegment>> {
        let entries = self.index.finish();
        let log: PathBuf = self.file.path().to_owned();
        write_beside(&self.disk, &log, OFFSET_INDEX, &entries.offset_file())?;
        write_beside(&self.disk, &log, TIME_INDEX, &entries.time_file())?;
        if !self.aborted.is_empty() {
            let bytes = transaction_index::encode(&self.aborted);
            write_beside(&self.disk, &log, TRANSACTION_INDEX, &bytes)?;
        }
        let directory = log.parent().unwrap_or(Path::new(""));
        let found = Segment::found(
            &self.disk,
            directory,
            self.base,
            BatchesEnd { position: self.written, next_offset: next },
            true,
        );
        Ok(found.map(|segment| {
            let segment = Segment { file_state: RwLock::new(FileState::Cleaned), ..segment };
            CleanedSegment { segment: Arc::new(segment) }
        }))
    }
}

fn write_beside(disk: &Disk, log: &Path, suffix: &str, bytes: &[u8]) -> Result<()> {
    let path = beside(log, suffix);
    let file = disk.create(&path)?;
    file.write_at(bytes, 0).and_then(|()| file.sync()).map_err(|e| Error::io("write", &path, e))
}

/// Makes the files of an interrupted swap, whose old segments are gone, part of the log.
pub(crate) fn admit_swapped(disk: &Disk, directory: &Path, base: u64) -> Result<()> {
    rename_files(disk, &directory.join(file_name(base, LOG)), FileState::Swap, FileState::Plain)
}
