//! Index files of sealed segments. They are derived: one that is missing or makes no sense costs a longer scan.

use std::path::Path;

use super::{IndexEntries, OFFSET_INDEX, TIME_INDEX, beside};
use crate::error::Result;
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};
use crate::sys::{Disk, PlainFile};

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

    /// The last entry that satisfies a condition which holds for a front part of the entries.
    fn last_where(&self, mut holds: impl FnMut(&[u8; N]) -> bool) -> Result<Option<[u8; N]>> {
        let (mut low, mut high, mut found) = (0, self.count, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)? {
                Some(entry) if holds(&entry) => {
                    found = Some(entry);
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        Ok(found)
    }
}

pub(crate) fn position_of(disk: &Disk, log: &Path, relative: u32, end: u64) -> Result<u64> {
    let Some(entries) = Entries::<OFFSET_ENTRY>::open(disk, log, OFFSET_INDEX)? else { return Ok(0) };
    // Zeros behind the last entry, as a killed broker leaves them, end the ascending part.
    let found = entries.last_where(|entry| {
        let entry = OffsetEntry::decode(entry);
        entry.relative_offset <= relative && entry.position != 0
    })?;
    let position = found.map_or(0, |entry| u64::from(OffsetEntry::decode(&entry).position));
    Ok(if position < end { position } else { 0 })
}

/// Where the last batch begins that the offset index knows of; `None`: it knows of none.
pub(super) fn last_position(disk: &Disk, log: &Path) -> Result<Option<u64>> {
    let Some(entries) = Entries::<OFFSET_ENTRY>::open(disk, log, OFFSET_INDEX)? else { return Ok(None) };
    let position = |entry: &[u8; OFFSET_ENTRY]| u64::from(OffsetEntry::decode(entry).position);
    let last = match entries.count.checked_sub(1) {
        Some(last) => entries.get(last)?.filter(|last| position(last) > 0),
        None => return Ok(None),
    };
    // Zeros behind the last entry are what a killed broker leaves.
    let last = match last {
        Some(last) => Some(last),
        None => entries.last_where(|entry| position(entry) > 0)?,
    };
    Ok(last.as_ref().map(position))
}

/// Offset of the last entry of the time index, relative to the base.
pub(super) fn last_timed(disk: &Disk, log: &Path) -> Result<Option<u32>> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(None) };
    let last = entries.last_where(|entry| TimeEntry::decode(entry).timestamp > 0)?;
    Ok(last.map(|entry| TimeEntry::decode(&entry).relative_offset))
}

pub(super) fn offset_before(disk: &Disk, log: &Path, at: i64) -> Result<u32> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(0) };
    let found = entries.last_where(|entry| {
        let entry = TimeEntry::decode(entry);
        entry.timestamp <= at && entry.timestamp > 0
    })?;
    Ok(found.map_or(0, |entry| TimeEntry::decode(&entry).relative_offset))
}

pub(super) fn largest_timestamp(disk: &Disk, log: &Path) -> Result<Option<i64>> {
    let Some(entries) = Entries::<TIME_ENTRY>::open(disk, log, TIME_INDEX)? else { return Ok(None) };
    // Zeros behind the last entry are what a killed broker leaves; the first entry may hold a zero that is meant.
    let last = match entries.last_where(|entry| TimeEntry::decode(entry).timestamp > 0)? {
        Some(last) => Some(last),
        None => entries.get(0)?,
    };
    Ok(last.map(|entry| TimeEntry::decode(&entry).timestamp))
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
        && offsets.is_sorted_by(|a, b| a.relative_offset < b.relative_offset && a.position < b.position)
        && offsets.first().is_none_or(|first| first.position > 0)
        && offsets.last().is_none_or(|last| u64::from(last.position) < end)
        && times.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.relative_offset <= b.relative_offset);
    Ok(fits.then(|| IndexEntries::of(offsets, times)))
}
