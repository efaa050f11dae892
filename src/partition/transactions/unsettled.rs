//! Committed transactions whose marker in this partition is not on disk yet.
//!
//! Their records count for readers from the marker on. A power cut could take the marker and leave the records, which would then
//! be aborted: so nothing may be removed in favour of them before, and who wants only what survives a power cut waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Markers that lie within so many offsets are one entry.
const GRAIN: u64 = 4096;

/// Transactions in the order of their markers, several together.
#[derive(Debug, Clone, Copy)]
struct Ended {
    /// First offset of the oldest.
    first_offset: u64,
    /// Where the first of the markers lies, and where the last one ends.
    from: u64,
    end: u64,
}

#[derive(Debug)]
pub(super) struct Unsettled {
    /// The smallest of the first offsets, or `u64::MAX`. Changed under the lock.
    first_offset: AtomicU64,
    waiting: Mutex<VecDeque<Ended>>,
}

impl Default for Unsettled {
    fn default() -> Self {
        Self { first_offset: AtomicU64::new(u64::MAX), waiting: Mutex::default() }
    }
}

impl Unsettled {
    /// First offset of the oldest such transaction; `u64::MAX` if there is none. One load.
    #[inline]
    pub(super) fn first_offset(&self) -> u64 {
        self.first_offset.load(Ordering::Acquire)
    }

    /// A transaction with records from `first_offset` on was committed by a marker at `marker`. Comes before the first unstable
    /// offset rises.
    pub(super) fn add(&self, first_offset: u64, marker: u64) {
        let mut waiting = self.waiting.lock();
        let end = marker + 1;
        match waiting.back_mut() {
            Some(last) if end - last.from <= GRAIN => {
                last.first_offset = last.first_offset.min(first_offset);
                last.end = end;
            }
            _ => waiting.push_back(Ended { first_offset, from: marker, end }),
        }
        self.first_offset.fetch_min(first_offset, Ordering::AcqRel);
    }

    /// Everything below `durable_end` is on disk.
    #[inline]
    pub(super) fn settle(&self, durable_end: u64) {
        if self.first_offset() != u64::MAX {
            self.settle_waiting(durable_end);
        }
    }

    #[cold]
    fn settle_waiting(&self, durable_end: u64) {
        let mut waiting = self.waiting.lock();
        while waiting.front().is_some_and(|first| first.end <= durable_end) {
            waiting.pop_front();
        }
        let first_offset = waiting.iter().map(|ended| ended.first_offset).min();
        self.first_offset.store(first_offset.unwrap_or(u64::MAX), Ordering::Release);
    }
}
