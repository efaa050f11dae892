//! The two indexes of a log file, held against its batches as these come by.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::inspect::derived::{Entry, IndexEntries, OffsetIndexEntry, TimeIndexEntry};
use crate::segment::{OFFSET_INDEX, TIME_INDEX};

/// What a batch is for an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) position: u64,
    pub(super) first_offset: u64,
    pub(super) last_offset: u64,
    pub(super) max_timestamp: i64,
    /// The same if it has records, else −1.
    pub(super) indexed_timestamp: i64,
}

/// Both indexes, as far as they have been compared.
pub(super) struct Indexes {
    offsets: Lane<OffsetIndexEntry>,
    times: Lane<TimeIndexEntry>,
    /// So far in the log.
    largest_timestamp: i64,
    /// The same of batches that have records: an index may leave out the others.
    largest_of_records: i64,
    /// Zeros after the last entry are preallocated space.
    zeros_may_follow: bool,
}

/// One index: its next entry, and what was wrong first, after which no more is said about it.
struct Lane<E> {
    path: PathBuf,
    entries: Option<IndexEntries<E>>,
    next: Option<E>,
    before: Option<E>,
    /// Entries before the next one.
    passed: u64,
    wrong: Option<(u64, String)>,
}

/// A wrong entry.
pub(super) struct Wrong {
    pub(super) path: PathBuf,
    pub(super) position: u64,
    pub(super) reason: String,
}

impl<E: Entry + Copy> Lane<E> {
    fn open(log: &Path, suffix: &str, zeros_may_follow: bool) -> Result<Self> {
        let path = log.with_extension(suffix);
        let entries = match IndexEntries::open(&path) {
            Ok(entries) => Some(entries),
            Err(failure) if failure.is_file_not_found() => None,
            Err(failure) => return Err(failure),
        };
        let bytes = entries.as_ref().map_or(0, IndexEntries::bytes);
        let mut lane = Self { path, entries, next: None, before: None, passed: 0, wrong: None };
        lane.next = lane.read()?;
        if bytes % E::BYTES as u64 != 0 && !zeros_may_follow {
            let reason = format!("the index has {bytes} bytes, but an entry has {}", E::BYTES);
            lane.wrong = Some((bytes, reason));
            lane.next = None;
        }
        Ok(lane)
    }

    fn read(&mut self) -> Result<Option<E>> {
        self.entries.as_mut().and_then(IndexEntries::next_entry).transpose()
    }

    fn advance(&mut self) -> Result<()> {
        self.before = self.next;
        self.passed += 1;
        self.next = self.read()?;
        Ok(())
    }

    fn refuse(&mut self, reason: String) {
        self.wrong.get_or_insert((self.passed * E::BYTES as u64, reason));
        self.next = None;
        self.entries = None;
    }

    fn into_wrong(self) -> Option<Wrong> {
        self.wrong.map(|(position, reason)| Wrong { path: self.path, position, reason })
    }
}

impl Indexes {
    /// Opens the indexes beside a log file; those that are not there are not compared.
    pub(super) fn open(log: &Path, zeros_may_follow: bool) -> Result<Self> {
        Ok(Self {
            offsets: Lane::open(log, OFFSET_INDEX, zeros_may_follow)?,
            times: Lane::open(log, TIME_INDEX, zeros_may_follow)?,
            largest_timestamp: -1,
            largest_of_records: -1,
            zeros_may_follow,
        })
    }

    /// Whether there is an offset index, without which a broker makes all three anew.
    pub(super) fn has_offsets(&self) -> bool {
        self.offsets.entries.is_some() || self.offsets.wrong.is_some()
    }

    pub(super) fn entries(&self) -> u64 {
        self.offsets.passed + self.times.passed
    }

    /// Compares the entries that speak of this batch, the next one of the log.
    pub(super) fn pass(&mut self, batch: Passed) -> Result<()> {
        self.largest_timestamp = self.largest_timestamp.max(batch.max_timestamp);
        self.largest_of_records = self.largest_of_records.max(batch.indexed_timestamp);
        while let Some(entry) = self.offsets.next {
            let position = u64::from(entry.position);
            if position == 0 && self.zeros_may_follow {
                self.offsets.next = None;
            } else if position > batch.position {
                break;
            } else if let Some(reason) = wrong_offset(entry, self.offsets.before, batch) {
                self.offsets.refuse(reason);
            } else {
                self.offsets.advance()?;
            }
        }
        while let Some(entry) = self.times.next {
            if self.zeros_may_follow && entry.timestamp == 0 && self.largest_timestamp > 0 {
                self.times.next = None;
            } else if entry.offset > batch.last_offset {
                break;
            } else if let Some(reason) = wrong_time(entry, self.times.before, batch, self.largest_timestamp) {
                self.times.refuse(reason);
            } else {
                self.times.advance()?;
            }
        }
        Ok(())
    }

    /// At the end of a log that was read as a whole. `finished`: the indexes have their final form.
    pub(super) fn finish(mut self, length: u64, finished: bool) -> Vec<Wrong> {
        if !self.zeros_may_follow {
            if let Some(entry) = self.offsets.next {
                let position = entry.position;
                self.offsets
                    .refuse(format!("an entry points at byte {position}, but the log ends at {length}"));
            }
            if let Some(entry) = self.times.next {
                self.times.refuse(format!("an entry names offset {}, which is not in the log", entry.offset));
            }
        }
        let known = self.times.before.map(|entry| entry.timestamp);
        if finished && self.times.entries.is_some() && known.unwrap_or(-1) < self.largest_of_records {
            let largest = self.largest_of_records;
            self.times.refuse(format!("the largest timestamp of the log, {largest}, is not its last entry"));
        }
        self.offsets.into_wrong().into_iter().chain(self.times.into_wrong()).collect()
    }

    /// At the end of a log that is damaged: only what is wrong by itself counts.
    pub(super) fn abandon(self) -> Vec<Wrong> {
        self.offsets.into_wrong().into_iter().chain(self.times.into_wrong()).collect()
    }
}

fn wrong_offset(entry: OffsetIndexEntry, before: Option<OffsetIndexEntry>, batch: Passed) -> Option<String> {
    let OffsetIndexEntry { offset, position, .. } = entry;
    if before.is_some_and(|before| !entry.follows(before)) {
        return Some("the entries do not ascend".to_owned());
    }
    if u64::from(position) < batch.position {
        return Some(format!("an entry points at byte {position}, where no batch begins"));
    }
    if position == 0 {
        return Some("an entry points at byte 0, where the segment begins".to_owned());
    }
    (offset != batch.last_offset).then(|| {
        let last = batch.last_offset;
        format!("an entry has offset {offset} for the batch at byte {position}, whose last offset is {last}")
    })
}

fn wrong_time(
    entry: TimeIndexEntry,
    before: Option<TimeIndexEntry>,
    batch: Passed,
    largest: i64,
) -> Option<String> {
    let TimeIndexEntry { timestamp, offset, .. } = entry;
    if before.is_some_and(|before| !entry.follows(before)) {
        return Some("the entries do not ascend".to_owned());
    }
    if offset < batch.first_offset {
        return Some(format!("an entry names offset {offset}, which is in no batch"));
    }
    (timestamp != largest).then(|| {
        format!("an entry has timestamp {timestamp}, but up to offset {offset} the largest is {largest}")
    })
}
