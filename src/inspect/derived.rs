//! Files that are made from the batches: indexes, and snapshots of producers.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::MAX_SMALL_BYTES;
use crate::error::{Damage, Error, Result};
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};
use crate::format::producer_snapshot as snapshot_format;
use crate::format::transaction_index as transaction_format;
use crate::sys::{Disk, PlainFile};

/// An entry of a `.index` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetIndexEntry {
    /// The last offset of a batch.
    pub offset: u64,
    /// Where the batch begins in the `.log` file.
    pub position: u32,
}

/// An entry of a `.timeindex` file: records with a larger timestamp come after the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeIndexEntry {
    /// The largest timestamp so far, in ms since 1970.
    pub timestamp: i64,
    /// The last offset of the batch that has it.
    pub offset: u64,
}

/// An entry of a `.txnindex` file: a transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionIndexEntry {
    /// The producer's id.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: u64,
    /// Offset of the marker that ended it.
    pub last_offset: u64,
    /// The last stable offset at that time.
    pub last_stable_offset: u64,
}

/// What a `.snapshot` file says of a producer. −1 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerSnapshotEntry {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator that ended its last transaction.
    pub coordinator_epoch: i32,
    /// First offset of the transaction that is open.
    pub transaction_start: i64,
    /// When this changed last, in ms since 1970.
    pub timestamp: i64,
    /// The last sequence number.
    pub last_sequence: i32,
    /// The last offset.
    pub last_offset: i64,
    /// Distance between the first and last offset of the last batch.
    pub offset_delta: i32,
}

impl ProducerSnapshotEntry {
    /// The first sequence number of the last batch; −1 without a batch.
    pub fn first_sequence(&self) -> i32 {
        if self.last_sequence < 0 {
            -1
        } else {
            self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
        }
    }
}

/// The entries of a `.index` or `.timeindex` file, in order, as stored: zeros after the last entry, which an
/// interrupted process leaves, are entries too.
///
/// ```
/// use stratalog::inspect::{IndexEntries, OffsetIndexEntry};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("00000000000000000100.index");
/// # std::fs::write(&path, [0, 0, 0, 7, 0, 0, 16, 1])?;
/// let entries = IndexEntries::<OffsetIndexEntry>::open(&path)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!((entries[0].offset, entries[0].position), (107, 4097));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IndexEntries<E> {
    file: PlainFile,
    base: u64,
    length: u64,
    position: u64,
    buffer: Vec<u8>,
    used: usize,
    kind: PhantomData<E>,
}

/// What an index file is made of.
pub(super) trait Entry: Sized {
    const BYTES: usize;
    fn decode(bytes: &[u8], base: u64) -> Option<Self>;
}

impl OffsetIndexEntry {
    /// Whether this entry may follow the one before it.
    pub(super) fn follows(self, before: Self) -> bool {
        let base = self.offset.min(before.offset);
        let relative = |Self { offset, position, .. }: Self| OffsetEntry {
            relative_offset: relative(base, offset),
            position,
        };
        relative(self).follows(relative(before))
    }
}

impl TimeIndexEntry {
    /// The same.
    pub(super) fn follows(self, before: Self) -> bool {
        let base = self.offset.min(before.offset);
        let relative = |Self { timestamp, offset, .. }: Self| TimeEntry {
            timestamp,
            relative_offset: relative(base, offset),
        };
        relative(self).follows(relative(before))
    }
}

/// Offsets of one index are at most 32 bits apart.
fn relative(base: u64, offset: u64) -> u32 {
    u32::try_from(offset - base).unwrap_or(u32::MAX)
}

impl Entry for OffsetIndexEntry {
    const BYTES: usize = OFFSET_ENTRY;

    fn decode(bytes: &[u8], base: u64) -> Option<Self> {
        let entry = OffsetEntry::decode(bytes.first_chunk()?);
        let offset = base.saturating_add(u64::from(entry.relative_offset));
        Some(Self { offset, position: entry.position })
    }
}

impl Entry for TimeIndexEntry {
    const BYTES: usize = TIME_ENTRY;

    fn decode(bytes: &[u8], base: u64) -> Option<Self> {
        let entry = TimeEntry::decode(bytes.first_chunk()?);
        let offset = base.saturating_add(u64::from(entry.relative_offset));
        Some(Self { timestamp: entry.timestamp, offset })
    }
}

/// Entries of an index read in one step.
const STEP_ENTRIES: usize = 8192;

impl<E> IndexEntries<E> {
    /// Opens an index. The base offset, to which entries are relative, is that in the name.
    ///
    /// # Errors
    /// `InvalidInput` if the name is not that of a segment's file, `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let base = base_of(path)?;
        let disk = Disk::for_reading(path.parent().unwrap_or(path), false);
        let file = disk.open(path, false)?;
        let length = file.len()?;
        Ok(Self { file, base, length, position: 0, buffer: Vec::new(), used: 0, kind: PhantomData })
    }

    /// Bytes in the file. What is left over after the last complete entry is not returned.
    pub fn bytes(&self) -> u64 {
        self.length
    }
}

fn base_of(path: &Path) -> Result<u64> {
    super::base_offset(path).ok_or_else(|| {
        let reason = format!("{} does not begin with the 20 digits of an offset", path.display());
        Error::invalid("file name", reason)
    })
}

impl<E> IndexEntries<E> {
    pub(super) fn next_entry(&mut self) -> Option<Result<E>>
    where
        E: Entry,
    {
        if self.buffer.len() < self.used + E::BYTES {
            let left = self.length.saturating_sub(self.position);
            let whole = usize::try_from(left).unwrap_or(usize::MAX) / E::BYTES;
            self.buffer.resize(whole.min(STEP_ENTRIES) * E::BYTES, 0);
            self.used = 0;
            match self.file.read_at(&mut self.buffer, self.position) {
                Ok(read) => self.buffer.truncate(read),
                Err(failure) => {
                    self.length = 0;
                    self.buffer.clear();
                    return Some(Err(failure));
                }
            }
            self.position += self.buffer.len() as u64;
        }
        let entry = E::decode(self.buffer.get(self.used..self.used + E::BYTES)?, self.base)?;
        self.used += E::BYTES;
        Some(Ok(entry))
    }
}

impl Iterator for IndexEntries<OffsetIndexEntry> {
    type Item = Result<OffsetIndexEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry()
    }
}

impl Iterator for IndexEntries<TimeIndexEntry> {
    type Item = Result<TimeIndexEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry()
    }
}

/// The entries of a `.txnindex` file.
///
/// # Errors
/// `Corrupt` if they are invalid, `InvalidInput` if the name is not that of a segment's file, `Io`.
pub fn transaction_index(path: impl AsRef<Path>) -> Result<Vec<TransactionIndexEntry>> {
    let path = path.as_ref();
    let (base, bytes) = (base_of(path)?, small_file(path)?);
    let entries = transaction_format::decode(&bytes, base).map_err(|reason| damaged(path, reason))?;
    Ok(entries
        .into_iter()
        .map(|entry| TransactionIndexEntry {
            producer_id: entry.producer_id,
            first_offset: entry.first_offset,
            last_offset: entry.last_offset,
            last_stable_offset: entry.last_stable,
        })
        .collect())
}

/// What a `.snapshot` file of a partition says of its producers.
///
/// # Errors
/// `Corrupt` if the checksum or a length does not fit, `Io`.
pub fn producer_snapshot(path: impl AsRef<Path>) -> Result<Vec<ProducerSnapshotEntry>> {
    let path = path.as_ref();
    let entries = snapshot_format::decode(&small_file(path)?).map_err(|reason| damaged(path, reason))?;
    Ok(entries
        .into_iter()
        .map(|entry| ProducerSnapshotEntry {
            producer_id: entry.producer_id,
            producer_epoch: entry.epoch,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_start: entry.transaction_start,
            timestamp: entry.timestamp,
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset,
            offset_delta: entry.offset_delta,
        })
        .collect())
}

/// All of a file that is small.
pub(super) fn small_file(path: &Path) -> Result<Vec<u8>> {
    let disk = Disk::for_reading(path.parent().unwrap_or(path), false);
    let missing = || Error::io("open", path, std::io::ErrorKind::NotFound.into());
    disk.read_small(path, MAX_SMALL_BYTES)?.ok_or_else(missing)
}

pub(super) fn damaged(path: impl Into<PathBuf>, reason: crate::format::Malformed) -> Error {
    Error::Corrupt(Box::new(Damage::new(path, 0, reason.0)))
}
