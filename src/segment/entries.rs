//! Index entries of a growing segment, in memory, and when to add one.

use super::stored_index::TimePair;
use crate::format::index::{OffsetEntry, TimeEntry};

/// Most entries kept; at the limit every second one is dropped and the interval doubles.
const MAX_ENTRIES: usize = 4096;

/// The entries so far, both kinds ascending.
#[derive(Debug, Default)]
pub(crate) struct IndexEntries {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
}

/// Says when an entry is due, and remembers the largest timestamp. Belongs to the writer alone.
#[derive(Debug)]
pub(crate) struct IndexPace {
    interval: u64,
    /// Bytes appended since the last entry.
    since: u64,
    largest: Option<TimeEntry>,
}

impl IndexEntries {
    pub(crate) fn of(offsets: Vec<OffsetEntry>, times: Vec<TimeEntry>) -> Self {
        Self { offsets, times }
    }

    /// The entry with the largest offset that is not above `relative`.
    pub(crate) fn entry_before(&self, relative: u32) -> Option<OffsetEntry> {
        let after = self.offsets.partition_point(|entry| entry.relative_offset <= relative);
        after.checked_sub(1).and_then(|at| self.offsets.get(at)).copied()
    }

    /// The entry with the largest timestamp below `at`, and the one before it.
    pub(super) fn times_before(&self, at: i64) -> Option<TimePair> {
        self.times_ending(self.times.partition_point(|entry| entry.timestamp < at))
    }

    /// The entry with the largest timestamp, and the one before it.
    pub(super) fn last_times(&self) -> Option<TimePair> {
        self.times_ending(self.times.len())
    }

    fn times_ending(&self, after: usize) -> Option<TimePair> {
        let entry = after.checked_sub(1).and_then(|at| self.times.get(at)).copied()?;
        let before = after.checked_sub(2).and_then(|at| self.times.get(at)).copied();
        Some(TimePair { before, entry })
    }

    /// Largest timestamp entered.
    pub(crate) fn largest(&self) -> Option<i64> {
        self.times.last().map(|entry| entry.timestamp)
    }

    /// The last entries, where a scan for the end of the segment may begin.
    pub(crate) fn last(&self) -> Option<OffsetEntry> {
        self.offsets.last().copied()
    }

    pub(crate) fn positions_after(&self, position: u64) -> Vec<u64> {
        let positions = self.offsets.iter().map(|entry| u64::from(entry.position));
        positions.filter(|at| *at > position).collect()
    }

    pub(crate) fn offset_file(&self) -> Vec<u8> {
        self.offsets.iter().flat_map(|entry| entry.encode()).collect()
    }

    pub(crate) fn time_file(&self) -> Vec<u8> {
        self.times.iter().flat_map(|entry| entry.encode()).collect()
    }

    /// Adds a time entry if its timestamp is larger than that of the last entry.
    pub(crate) fn add_time(&mut self, largest: Option<TimeEntry>) {
        let Some(largest) = largest else { return };
        if largest.timestamp >= 0 && self.times.last().is_none_or(|last| last.timestamp < largest.timestamp) {
            self.times.push(largest);
        }
    }
}

impl IndexPace {
    pub(crate) fn new(interval: u32, entries: &IndexEntries) -> Self {
        Self { interval: u64::from(interval), since: 0, largest: entries.times.last().copied() }
    }

    pub(crate) fn largest(&self) -> Option<TimeEntry> {
        self.largest
    }

    /// Whether the batch about to be noted gets an entry.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.since > self.interval
    }

    /// Adds the entry that is due for the batch at `position` whose last offset is `relative_offset`.
    pub(crate) fn enter(&mut self, relative_offset: u32, position: u64, to: &mut IndexEntries) {
        let Ok(position) = u32::try_from(position) else { return };
        if to.offsets.len() >= MAX_ENTRIES {
            to.thin_out();
            self.interval = self.interval.saturating_mul(2);
        }
        to.offsets.push(OffsetEntry { relative_offset, position });
        to.add_time(self.largest);
        self.since = 0;
    }

    /// Counts a batch, whether it got an entry or not.
    #[inline]
    pub(crate) fn note(&mut self, bytes: u64, relative_offset: u32, timestamp: i64) {
        self.since += bytes;
        if self.largest.is_none_or(|largest| timestamp > largest.timestamp) {
            self.largest = Some(TimeEntry { timestamp, relative_offset });
        }
    }
}

impl IndexEntries {
    fn thin_out(&mut self) {
        let mut keep = false;
        self.offsets.retain(|_| {
            keep = !keep;
            keep
        });
        // The last time entry stays: it is the largest timestamp.
        let last = self.times.pop();
        let mut keep = false;
        self.times.retain(|_| {
            keep = !keep;
            keep
        });
        self.times.extend(last);
    }

    /// Brings entries read from a file down to what is kept in memory.
    pub(crate) fn thinned(mut self) -> Self {
        while self.offsets.len() >= MAX_ENTRIES || self.times.len() >= MAX_ENTRIES {
            self.thin_out();
        }
        self
    }
}
