//! Index files of sealed segments. They are derived: one that is missing or invalid costs a longer scan.

use std::path::Path;

use super::{Batches, IndexEntries, LogBytes, OFFSET_INDEX, POSITIONS_DIFFER, TIME_INDEX, beside};
use crate::error::Result;
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};
use crate::sys::{Disk, PlainFile};

/// Bytes of an index file that are read in one step.
const MAX_READ: usize = 64 << 10;

/// An index file seen as an array of entries of `N` bytes.
struct Entries<const N: usize> {
    file: PlainFile,
    count: u64,
}

impl<const N: usize> Entries<N> {
    fn open(disk: &Disk, log: &Path, suffix: &str) -> Result<Option<Self>> {
        match disk.open(&beside(log, suffix), false) {
            Ok(file) => {
                let count = file.len()? / N as u64;
                Ok(Some(Self { file, count }))
            }
            Err(failure) if failure.is_file_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn get(&self, at: u64) -> Result<Option<[u8; N]>> {
        let mut entry = [0; N];
        let whole = self.file.read_at(&mut entry, at * N as u64)? == N;
        Ok(whole.then_some(entry))
    }

    /// The last entry that satisfies a condition which holds for a front part of the entries, and its number.
    fn last_where(&self, mut holds: impl FnMut(&[u8; N]) -> bool) -> Result<Option<(u64, [u8; N])>> {
        let (mut low, mut high, mut found) = (0, self.count, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)? {
                Some(entry) if holds(&entry) => {
                    found = Some((middle, entry));
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        Ok(found)
    }
}

/// The last entry for an offset that is not above `relative`.
pub(super) fn entry_before(disk: &Disk, log: &Path, relative: u32, end: u64) -> Result<Option<OffsetEntry>> {
    let Some(entries) = Entries::<OFFSET_ENTRY>::open(disk, log, OFFSET_INDEX)? else { return Ok(None) };
    // Zeros after the last entry, as a killed broker leaves them, end the ascending part.
    let found = entries.last_where(|entry| leads_to(OffsetEntry::decode(entry), relative))?;
    let found = found.map(|(_, entry)| OffsetEntry::decode(&entry));
    Ok(found.filter(|entry| u64::from(entry.position) < end))
}

fn leads_to(entry: OffsetEntry, relative: u32) -> bool {
    entry.relative_offset <= relative && entry.position != 0
}

/// The same among entries that were read before.
pub(super) fn before(entries: &[OffsetEntry], relative: u32, end: u64) -> Option<OffsetEntry> {
    let after = entries.partition_point(|entry| leads_to(*entry, relative));
    let found = after.checked_sub(1).and_then(|at| entries.get(at)).copied();
    found.filter(|entry| u64::from(entry.position) < end)
}

/// The entries of the offset index, as they were found, or every n-th of them so that they are no more than `most`.
pub(super) fn offsets(disk: &Disk, log: &Path, most: u64) -> Result<Option<Vec<OffsetEntry>>> {
    let Some(entries) = Entries::<OFFSET_ENTRY>::open(disk, log, OFFSET_INDEX)? else { return Ok(None) };
    let last = entries.last_where(|entry| OffsetEntry::decode(entry).position != 0)?;
    let count = last.map_or(0, |(at, _)| at + 1);
    let step = count.div_ceil(most).max(1);
    let (mut found, mut bytes, mut at) = (Vec::new(), vec![0; MAX_READ], 0);
    while at < count {
        let read = entries.file.read_at(&mut bytes, at * OFFSET_ENTRY as u64)?;
        let (read, _) = bytes.get(..read).unwrap_or_default().as_chunks::<OFFSET_ENTRY>();
        let numbered = (at..count).zip(read);
        found.extend(numbered.filter(|(at, _)| at % step == 0).map(|(_, entry)| OffsetEntry::decode(entry)));
        at += read.len() as u64;
        if read.is_empty() {
            break;
        }
    }
    Ok(Some(found))
}

/// Where the last batch begins that the offset index knows of; `None`: it knows of none.
pub(super) fn last_position(disk: &Disk, log: &Path) -> Result<Option<u64>> {
    let Some(entries) = Entries::<OFFSET_ENTRY>::open(disk, log, OFFSET_INDEX)? else { return Ok(None) };
    let position = |entry: &[u8; OFFSET_ENTRY]| u64::from(OffsetEntry::decode(entry).position);
    let last = match entries.count.checked_sub(1) {
        Some(last) => entries.get(last)?.filter(|last| position(last) > 0),
        None => return Ok(None),
    };
    // Zeros after the last entry are what a killed broker leaves.
    let last = match last {
        Some(last) => Some(last),
        None => entries.last_where(|entry| position(entry) > 0)?.map(|(_, last)| last),
    };
    Ok(last.as_ref().map(position))
}

/// Offset of the last entry of the time index, relative to the base.
pub(super) fn last_timed(disk: &Disk, log: &Path) -> Result<Option<u32>> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(None) };
    let last = entries.last_where(|entry| TimeEntry::decode(entry).timestamp > 0)?;
    Ok(last.map(|(_, entry)| TimeEntry::decode(&entry).relative_offset))
}

/// Where to begin a walk for the offset `relative` through the first `length` bytes of a log file: at a complete batch that an
/// entry leads to and that is what the entry says, or at the beginning. `Err` in the result: the entry is wrong.
pub(crate) fn start_before(
    disk: &Disk,
    log: &PlainFile,
    LogBytes { base, length }: LogBytes,
    relative: u32,
) -> Result<std::result::Result<u64, &'static str>> {
    let Some(entry) = entry_before(disk, log.path(), relative, length)? else { return Ok(Ok(0)) };
    let position = u64::from(entry.position);
    let last = base + u64::from(entry.relative_offset);
    let found = Batches::new(log, length, position, base).next()?;
    let is_it = found.is_ok_and(|(_, frame)| frame.last_offset() <= last);
    Ok(if is_it { Ok(position) } else { Err(POSITIONS_DIFFER) })
}

/// Two entries of a time index, one after the other: what the second one says is known to be new since the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimePair {
    pub(super) before: Option<TimeEntry>,
    pub(super) entry: TimeEntry,
}

impl Entries<TIME_ENTRY> {
    fn with_the_one_before(&self, found: Option<(u64, [u8; TIME_ENTRY])>) -> Result<Option<TimePair>> {
        let Some((at, entry)) = found else { return Ok(None) };
        let before = match at.checked_sub(1) {
            Some(before) => self.get(before)?,
            None => None,
        };
        let before = before.as_ref().map(TimeEntry::decode);
        Ok(Some(TimePair { before, entry: TimeEntry::decode(&entry) }))
    }
}

/// The last entry with a timestamp below `at`. One of just that time would do if it were known to name the first batch
/// that has it.
pub(super) fn times_before(disk: &Disk, log: &Path, at: i64) -> Result<Option<TimePair>> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(None) };
    let found = entries.last_where(|entry| {
        let entry = TimeEntry::decode(entry);
        entry.timestamp < at && entry.timestamp > 0
    })?;
    entries.with_the_one_before(found)
}

/// The last entry, which has the largest timestamp.
pub(super) fn last_times(disk: &Disk, log: &Path) -> Result<Option<TimePair>> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(None) };
    // Zeros after the last entry are what a killed broker leaves; the first entry may hold a zero that is meant.
    let found = match entries.last_where(|entry| TimeEntry::decode(entry).timestamp > 0)? {
        Some(found) => Some(found),
        None => entries.get(0)?.map(|first| (0, first)),
    };
    entries.with_the_one_before(found)
}

/// All entries of a segment's files, if they are there and fit a log of `end` bytes: ascending, inside the log.
pub(crate) fn load(disk: &Disk, log: &Path, end: u64) -> Result<Option<IndexEntries>> {
    let read = |suffix, width: u64| {
        let largest = (end / 4096 + 2) * width + 16 * 1024 * 1024;
        disk.read_small(&beside(log, suffix), largest)
    };
    let (Some(offsets), Some(times)) =
        (read(OFFSET_INDEX, OFFSET_ENTRY as u64)?, read(TIME_INDEX, TIME_ENTRY as u64)?)
    else {
        return Ok(None);
    };
    let (offsets, rest) = offsets.as_chunks::<OFFSET_ENTRY>();
    let (times, more_rest) = times.as_chunks::<TIME_ENTRY>();
    let offsets: Vec<_> = offsets.iter().map(OffsetEntry::decode).collect();
    let times: Vec<_> = times.iter().map(TimeEntry::decode).collect();
    let fits = rest.is_empty()
        && more_rest.is_empty()
        && offsets.is_sorted_by(|before, entry| entry.follows(*before))
        && offsets.first().is_none_or(|first| first.position > 0)
        && offsets.last().is_none_or(|last| u64::from(last.position) < end)
        && times.is_sorted_by(|before, entry| entry.follows(*before));
    Ok(fits.then(|| IndexEntries::of(offsets, times)))
}
