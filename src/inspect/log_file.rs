//! A file of batches, read batch by batch.

use std::path::Path;

use super::batch::BatchView;
use crate::error::Result;
use crate::format::compression::{DEFAULT_DECOMPRESSED_BYTES, MAX_DECOMPRESSED_BYTES};
use crate::format::frame::{InvalidBatch, MIN_PREFIX, frame_length, is_legacy};
use crate::format::header::HEADER_BYTES;
use crate::sys::{Disk, PlainFile};

/// Bytes read in one step. A larger batch gets a larger buffer, never more than the file holds.
const STEP: usize = 1 << 20;

/// A `.log` file, or a `.checkpoint` file of Kafka's metadata, opened to read its batches.
///
/// Batches are returned as they lie there, whether their checksums match or not, as far as their lengths lead from one
/// to the next: [`bytes_left`](Self::bytes_left) reports what cannot be a batch.
#[derive(Debug)]
pub struct LogFile {
    file: PlainFile,
    length: u64,
    position: u64,
    buffer: Vec<u8>,
    /// File position of the buffer's first byte.
    buffered_from: u64,
    stopped: Option<InvalidBatch>,
    /// What the records of one batch may take when they are decompressed.
    decompressed: u32,
}

impl LogFile {
    /// Opens a file. `Io` if it cannot be read, `Unsupported` if it is not a regular file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let directory = path.parent().unwrap_or(path);
        Self::of(Disk::for_reading(directory, false).open(path, false)?)
    }

    pub(super) fn of(file: PlainFile) -> Result<Self> {
        let length = file.len()?;
        Ok(Self {
            file,
            length,
            position: 0,
            buffer: Vec::new(),
            buffered_from: 0,
            stopped: None,
            decompressed: DEFAULT_DECOMPRESSED_BYTES,
        })
    }

    /// Bytes that the records of one batch may take when they are decompressed, as
    /// [`OpenOptions::max_decompressed_batch_bytes`](crate::OpenOptions::max_decompressed_batch_bytes). Default: 64 MiB.
    #[must_use]
    pub fn max_decompressed_batch_bytes(mut self, bytes: u32) -> Self {
        self.decompressed = bytes.min(MAX_DECOMPRESSED_BYTES);
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The offset in the file's name.
    pub fn base_offset(&self) -> Option<u64> {
        super::base_offset(self.path())
    }

    /// Bytes in the file when it was opened.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Where the next batch begins, in bytes from the start.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes after the last batch that was returned.
    pub fn bytes_left(&self) -> u64 {
        self.length.saturating_sub(self.position)
    }

    /// Why no batch begins at [`position`](Self::position), once [`next_batch`](Self::next_batch) has returned `None`;
    /// `None` at the end of the file.
    pub fn why_stopped(&self) -> Option<String> {
        self.stopped.filter(|_| self.bytes_left() > 0).map(|reason| reason.to_string())
    }

    /// The next batch, or `None` where nothing follows that has the length of one.
    ///
    /// # Errors
    /// `Io` if the file cannot be read.
    pub fn next_batch(&mut self) -> Result<Option<BatchView<'_>>> {
        let Some(length) = self.next_length()? else { return Ok(None) };
        let position = self.position;
        self.position += length as u64;
        let skip = usize::try_from(position.saturating_sub(self.buffered_from)).unwrap_or(usize::MAX);
        let frame = self.buffer.get(skip..skip.saturating_add(length)).unwrap_or_default();
        Ok(BatchView::of(self.file.path(), frame, position, self.decompressed as usize))
    }

    /// Bytes of the batch at the position, all of them buffered.
    fn next_length(&mut self) -> Result<Option<usize>> {
        let front = self.fill(MIN_PREFIX)?;
        let needs = match frame_length(front) {
            Ok(needs) if !is_legacy(front) && needs < HEADER_BYTES as u64 => {
                let reason = crate::format::Malformed("a batch of format 2 is at least 61 bytes long");
                return Ok(self.stop(reason.into()));
            }
            Ok(needs) => needs,
            Err(reason) => return Ok(self.stop(reason)),
        };
        if needs > self.bytes_left() {
            return Ok(self.stop(InvalidBatch::Incomplete { needs }));
        }
        let Ok(length) = usize::try_from(needs) else {
            return Ok(self.stop(InvalidBatch::Incomplete { needs }));
        };
        if self.fill(length)?.len() < length {
            // The file has become shorter meanwhile.
            return Ok(self.stop(InvalidBatch::Incomplete { needs }));
        }
        Ok(Some(length))
    }

    fn stop(&mut self, reason: InvalidBatch) -> Option<usize> {
        self.stopped = Some(reason);
        None
    }

    /// The bytes from the position on, at least `wanted` of them unless the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.bytes_left()).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let skip = usize::try_from(self.position.saturating_sub(self.buffered_from)).unwrap_or(usize::MAX);
        let held = self.buffer.len().saturating_sub(skip);
        if held < wanted {
            // What is held already moves to the front; only the rest is read.
            self.buffer.drain(..skip.min(self.buffer.len()));
            self.buffered_from = self.position;
            let held = self.buffer.len();
            self.buffer.resize(wanted.max(STEP).min(left), 0);
            let rest = self.buffer.get_mut(held..).unwrap_or_default();
            let read = self.file.read_at(rest, self.position + held as u64)?;
            self.buffer.truncate(held + read);
            return Ok(&self.buffer);
        }
        Ok(self.buffer.get(skip..).unwrap_or_default())
    }

    /// Reads at the position anew: a writer may be at work there.
    pub(super) fn reread(&mut self, position: u64) -> Result<()> {
        self.position = position;
        self.buffer.clear();
        self.buffered_from = position;
        self.stopped = None;
        self.length = self.length.max(self.file.len()?);
        Ok(())
    }

    pub(super) fn plain(&self) -> &PlainFile {
        &self.file
    }
}
