//! What a reader holds of a partition: one immutable value, replaced whole.
//!
//! | part of a [`LogView`] | replaced when |
//! |---|---|
//! | segments | a segment begins, is replaced by a compaction, leaves the log, or gets or loses its writer; loading |
//! | log start | records are deleted; loading |
//! | whether the partition was closed or deleted | that happens, once |
//!
//! A reader keeps the `Arc` that it has and finds out by one load that there is a newer one. In each view every offset from
//! its log start on lies in one of its segments, so a reader puts nothing together. Beside the view are only words that
//! change with appends, syncs and transactions, none of which makes a view:
//!
//! | word | where |
//! |---|---|
//! | the end of a segment that grows | [`Tail`](crate::sys::Tail) |
//! | the durable end | [`durability`](super::writer::fsync) |
//! | the first unstable offset and the version of what is known of aborted transactions | [`Stability`] |
//!
//! The order of publication, which [`tests`] checks with loom:
//!
//! | event | order |
//! |---|---|
//! | append | bytes, index, end |
//! | roll | view with the next segment, then the end of the one before with its seal |
//! | first batch of a transaction | first unstable offset (lower), bytes, end |
//! | end of a transaction | marker, end, version of the aborted, first unstable offset (higher) |
//! | deletion | names of the segments that stay, checkpoint, view with the higher log start, view without the segments, files |
//! | a read | view, end, first unstable offset, version of the aborted, aborted transactions |
//!
//! A view is a pointer under a mutex, beside it its number: a reader that finds the number that it has takes no lock, and one that
//! does not holds the lock for a copy of the pointer. A lock-free pointer would save that once a roll.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::SegmentList;
use crate::segment::Segment;
use crate::sys::sync::{AtomicU64, Mutex};
use crate::sys::{Tail, TailWord};

#[cfg(all(test, loom))]
#[path = "tests/publication.rs"]
mod tests;

#[cfg(all(test, loom))]
#[path = "tests/closing.rs"]
mod closing;

/// Why nothing is read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed,
    /// Removed from the catalog.
    Deleted,
}

/// A partition as readers see it.
#[derive(Debug)]
pub(crate) struct LogView {
    segments: Arc<SegmentList>,
    log_start: u64,
    ended: Option<Ended>,
}

impl LogView {
    pub(super) fn new(segments: SegmentList, log_start: u64) -> Self {
        Self { segments: Arc::new(segments), log_start, ended: None }
    }

    pub(crate) fn segments(&self) -> &Arc<SegmentList> {
        &self.segments
    }

    pub(crate) fn log_start(&self) -> u64 {
        self.log_start
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Offset after the last record, as it is at the time of the call.
    pub(crate) fn log_end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.next_offset()).max(self.log_start)
    }

    pub(super) fn with_segments(&self, segments: SegmentList) -> Self {
        Self { segments: Arc::new(segments), ..*self }
    }

    /// The log start never goes back.
    pub(super) fn starting_at(&self, offset: u64) -> Self {
        Self { segments: Arc::clone(&self.segments), log_start: self.log_start.max(offset), ..*self }
    }

    pub(super) fn with(&self, segment: &Arc<Segment>) -> Self {
        self.with_segments(self.segments.with(segment))
    }

    pub(super) fn ended_by(&self, ended: Ended) -> Self {
        Self { segments: Arc::clone(&self.segments), ended: Some(ended), ..*self }
    }
}

/// An immutable value that is replaced whole, and a number that says whether it was.
#[derive(Debug)]
pub(crate) struct Published<T> {
    present: Mutex<Numbered<T>>,
    /// Of the present value; stored under the lock, after the value.
    number: AtomicU64,
}

/// Set in the number of a value after which there is none.
const LAST: u64 = 1 << 63;

/// A value that was published, and its number.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    value: Arc<T>,
    number: u64,
}

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), number: self.number }
    }
}

impl<T> std::ops::Deref for Numbered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Numbered<T> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl<T> Published<T> {
    /// Begins with number 0.
    pub(super) fn new(value: T) -> Self {
        let present = Mutex::new(Numbered { value: Arc::new(value), number: 0 });
        Self { present, number: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(crate) fn present(&self) -> Numbered<T> {
        self.present.lock().clone()
    }

    /// Replaces the value by one that is made of it.
    pub(super) fn replace(&self, next: impl FnOnce(&T) -> T) {
        self.replace_if(|present| (Some(next(present)), ()));
    }

    /// The same if one was made.
    pub(super) fn replace_if<R>(&self, next: impl FnOnce(&T) -> (Option<T>, R)) -> R {
        let mut present = self.present.lock();
        let (next, result) = next(&present.value);
        if let Some(next) = next {
            *present = Numbered { value: Arc::new(next), number: present.number + 1 };
            self.number.store(present.number, Ordering::Release);
        }
        result
    }

    /// Replaces the value by one that no other will follow, which its number says.
    pub(super) fn replace_by_last(&self, next: impl FnOnce(&T) -> T) {
        let mut present = self.present.lock();
        let number = (present.number + 1) | LAST;
        *present = Numbered { value: Arc::new(next(&present.value)), number };
        self.number.store(number, Ordering::Release);
    }

    /// Whether the present value is the last one. One load.
    #[inline]
    pub(crate) fn is_last(&self) -> bool {
        self.number() & LAST != 0
    }

    /// Replaces a value that has number 0, which it keeps.
    pub(super) fn replace_first(&self, next: impl FnOnce(&T) -> T) -> bool {
        let mut present = self.present.lock();
        let is_first = present.number == 0;
        if is_first {
            present.value = Arc::new(next(&present.value));
        }
        is_first
    }
}

/// Up to where transactions are decided, and whether what is known of aborted ones has changed.
#[derive(Debug)]
pub(super) struct Stability {
    /// First offset of the oldest open transaction, or `u64::MAX`.
    first_unstable: AtomicU64,
    /// Goes up when transactions were aborted, or turned out to be.
    aborted_version: AtomicU64,
}

impl Default for Stability {
    fn default() -> Self {
        Self { first_unstable: AtomicU64::new(u64::MAX), aborted_version: AtomicU64::new(0) }
    }
}

/// How much of a segment a reader may read, and by which version of what is known of aborted transactions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readable {
    pub(super) end: TailWord,
    /// From here on nothing is decided; `u64::MAX` if all is.
    pub(super) first_unstable: u64,
    /// What is known by this version covers every aborted transaction before `first_unstable`.
    pub(super) aborted_version: u64,
}

impl Stability {
    /// Loads in the order that publishing needs. With the first unstable offset before the end, the end could take in a
    /// transaction that began between the two; with the version before it, an abort could be missed that moved it.
    #[inline]
    pub(super) fn readable(&self, tail: &Tail) -> Readable {
        let end = tail.load();
        let first_unstable = self.first_unstable();
        let aborted_version = self.aborted_version.load(Ordering::Acquire);
        Readable { end, first_unstable, aborted_version }
    }

    /// From this offset on nothing is decided; `u64::MAX` if all is.
    #[inline]
    pub(super) fn first_unstable(&self) -> u64 {
        self.first_unstable.load(Ordering::Acquire)
    }

    /// Publishes a first unstable offset. One that is lower comes before the bytes of the transaction, one that is higher
    /// after the end of its marker. One caller at a time.
    pub(super) fn publish(&self, first_unstable: Option<u64>) {
        let first_unstable = first_unstable.unwrap_or(u64::MAX);
        if first_unstable > self.first_unstable.load(Ordering::Relaxed) {
            // Readers may have looked up how transactions end before these did.
            self.aborted_version.fetch_add(1, Ordering::Release);
        }
        self.first_unstable.store(first_unstable, Ordering::Release);
    }

    /// The same, where other transactions have turned out to be aborted than was known.
    pub(super) fn publish_anew(&self, first_unstable: Option<u64>) {
        self.aborted_version.fetch_add(1, Ordering::Release);
        self.first_unstable.store(first_unstable.unwrap_or(u64::MAX), Ordering::Release);
    }
}
