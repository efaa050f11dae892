//! Going through all headers of a segment, in slices: the truth about its times, and its indexes rebuilt.

use super::headers::Headers;
use super::scan::Indexing;
use super::{IndexEntries, Segment};
use crate::error::Result;
use crate::sys::PlainFile;

/// A slice ends after so many bytes, or so many reads: a few milliseconds.
const SLICE_BYTES: u64 = 8 << 20;
const SLICE_READS: u64 = 2048;

/// A walk over the headers of a segment that can be continued.
#[derive(Debug)]
pub(crate) struct Review {
    base: u64,
    index: Indexing,
    position: u64,
    /// Largest timestamp of records, and of all headers; −1 without any.
    largest: i64,
    largest_header: i64,
    /// Above it lies the future, and the largest timestamp that does not.
    now: i64,
    largest_past: Option<i64>,
    /// It came upon a header that is invalid.
    is_damaged: bool,
}

/// What a segment's headers say of its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Largest timestamp, if any record has one.
    pub(crate) largest: Option<i64>,
    /// The same without what was the future at the time of the review.
    pub(crate) largest_past: Option<i64>,
    /// Not all of the segment could be read.
    pub(crate) is_damaged: bool,
}

impl Review {
    /// For a segment whose index gets an entry after so many bytes.
    pub(crate) fn new(segment: &Segment, interval: u32, now: i64) -> Self {
        Self {
            base: segment.base(),
            index: Indexing::new(segment.base(), interval),
            position: 0,
            largest: -1,
            largest_header: -1,
            now,
            largest_past: None,
            is_damaged: false,
        }
    }

    /// Goes through a slice. `false`: there is more of it.
    pub(crate) fn step(&mut self, segment: &Segment, file: &PlainFile) -> Result<bool> {
        let end = segment.end();
        let mut headers = Headers::new(file, self.base, end);
        while !self.is_damaged && self.position < end.position {
            if headers.bytes_read >= SLICE_BYTES || headers.reads >= SLICE_READS {
                return Ok(false);
            }
            let found = headers.at(self.position)?;
            let found = found.and_then(|found| Some((headers.offsets_of(&found.header)?, found)));
            let Some((offsets, found)) = found else {
                self.is_damaged = true;
                break;
            };
            let timestamp = found.indexed_timestamp();
            let bytes = found.after - self.position;
            self.is_damaged = self.index.note(self.position, bytes, *offsets.end(), timestamp).is_err();
            self.note_time(timestamp);
            self.largest_header = self.largest_header.max(found.max_timestamp);
            self.position = found.after;
        }
        Ok(true)
    }

    /// Goes through all that is left.
    pub(crate) fn finish(&mut self, segment: &Segment, file: &PlainFile) -> Result<()> {
        while !self.step(segment, file)? {}
        Ok(())
    }

    fn note_time(&mut self, timestamp: i64) {
        self.largest = self.largest.max(timestamp);
        if (0..=self.now).contains(&timestamp) {
            self.largest_past = self.largest_past.max(Some(timestamp));
        }
    }

    /// The time that separates past timestamps from future ones.
    pub(crate) fn began_at(&self) -> i64 {
        self.now
    }

    /// Position after the last batch that was read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            largest: Some(self.largest).filter(|largest| *largest >= 0),
            largest_past: self.largest_past,
            is_damaged: self.is_damaged,
        }
    }

    /// Whether an index that has this as its largest timestamp agrees. The index of a broker may count batches of which
    /// only the header is left.
    pub(crate) fn agrees_with(&self, largest: Option<i64>) -> bool {
        let largest = largest.unwrap_or(-1);
        self.is_damaged || largest == self.largest || largest == self.largest_header
    }

    /// The index of the segment, as it is to be.
    pub(crate) fn into_entries(self) -> IndexEntries {
        self.index.finish()
    }
}
