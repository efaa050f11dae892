//! What a reader that wants committed records only must know: aborted transactions, and where the stable part ends.

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::frame::{frame_length, valid_batch_at};
use crate::format::header::BatchHeader;
use crate::format::transaction_index::{self, AbortedTransaction};
use crate::partition::PartitionCore;
use crate::segment::{Segment, TRANSACTION_INDEX, beside};

/// Aborted transactions, by producer and first offset.
#[derive(Debug, Default)]
pub(crate) struct Aborted {
    sorted: Vec<AbortedTransaction>,
    /// Of batches from this offset on nothing is known.
    known_below: u64,
}

/// What is at the start of a window of batches, as far as it is of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::partition) enum Front {
    /// So many bytes may be returned, and may be anything.
    Shown(usize),
    /// Complete batches of aborted transactions.
    Hidden { bytes: usize, next_offset: u64 },
    /// A batch of a transaction of which it is not known how it ends.
    Unknown,
}

impl Aborted {
    pub(crate) fn of(mut found: Vec<AbortedTransaction>) -> Self {
        found.sort_unstable_by_key(|one| (one.producer_id, one.first_offset));
        Self { sorted: found, known_below: 0 }
    }

    /// The same, where they are all there are below this offset.
    pub(super) fn known_below(self, offset: u64) -> Self {
        Self { known_below: offset, ..self }
    }

    /// Checks the headers in `window`, whose first batch begins at the first of `offsets` or after it; at the last the
    /// segment ends. Batches from offset `bound` on are neither shown beside others nor left out. Only what is whole is
    /// left out: a damaged header hides nothing.
    pub(in crate::partition) fn front(&self, window: &[u8], offsets: Range<u64>, bound: u64) -> Front {
        let (mut shown, mut hidden, mut expected) = (0_usize, 0_usize, offsets.start);
        if self.sorted.is_empty() && bound == u64::MAX && self.known_below >= offsets.end {
            return Front::Shown(window.len());
        }
        while let Some(rest) = window.get(shown + hidden..).filter(|rest| !rest.is_empty()) {
            let (Ok(bytes), Some(header)) = (frame_length(rest), rest.first_chunk()) else { break };
            let header = BatchHeader::read(header);
            let is_batch = header.magic == 2;
            let is_before = is_batch && u64::try_from(header.base_offset).is_ok_and(|base| base >= bound);
            if is_batch && !is_before && self.asks_about(&header) {
                match (shown, hidden) {
                    (0, 0) => return Front::Unknown,
                    (0, _) => break,
                    _ => return Front::Shown(shown),
                }
            }
            let is_hidden = is_batch && !is_before && self.hides(&header);
            if shown > 0 && (is_before || is_hidden) {
                return Front::Shown(shown);
            }
            if is_hidden {
                let whole = valid_batch_at(rest, expected).ok();
                let Some(frame) = whole.filter(|frame| frame.last_offset() < offsets.end) else { break };
                hidden += frame.bytes;
                expected = frame.last_offset() + 1;
            } else if is_before || hidden > 0 {
                break;
            } else {
                shown = shown.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
        }
        match hidden {
            0 => Front::Shown(window.len()),
            bytes => Front::Hidden { bytes, next_offset: expected },
        }
    }

    /// Whether the batch is one of a transaction of which nothing is known.
    fn asks_about(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && !header.is_control()
            && u64::try_from(header.base_offset).is_ok_and(|base| base >= self.known_below)
    }

    /// Whether the batch belongs to a transaction that was aborted. Those of one producer do not overlap.
    pub(crate) fn hides(&self, header: &BatchHeader) -> bool {
        let Ok(base) = u64::try_from(header.base_offset) else { return false };
        if self.sorted.is_empty() || !header.is_transactional() {
            return false;
        }
        let at = (header.producer_id, base);
        let after = self.sorted.partition_point(|one| (one.producer_id, one.first_offset) <= at);
        let before = after.checked_sub(1).and_then(|before| self.sorted.get(before));
        before.is_some_and(|one| one.producer_id == header.producer_id && base <= one.last_offset)
    }

    /// The transaction that the marker in a batch ended.
    pub(crate) fn ended_by(&self, header: &BatchHeader) -> Option<AbortedTransaction> {
        let at = u64::try_from(header.base_offset).ok()?;
        let after = self
            .sorted
            .partition_point(|one| (one.producer_id, one.first_offset) <= (header.producer_id, at));
        let before = after.checked_sub(1).and_then(|before| self.sorted.get(before)).copied();
        before.filter(|one| one.producer_id == header.producer_id && one.last_offset == at)
    }
}

impl PartitionCore {
    /// An index that is invalid is rebuilt from the batches, in memory.
    pub(in crate::partition) fn index_of(&self, segment: &Segment) -> Result<Vec<AbortedTransaction>> {
        let most = segment.end().position;
        // An entry is smaller than the marker that it was made from.
        let read = |log: &Path| self.disk.read_small(&beside(log, TRANSACTION_INDEX), most);
        let bytes = match segment.by_name(read) {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(bytes)) => bytes,
            Err(Error::Corrupt(_)) => Vec::from([0]),
            Err(failure) => return Err(failure),
        };
        match transaction_index::decode(&bytes, segment.base()) {
            Ok(entries) => Ok(entries),
            Err(_) => self.scan_for_aborted(segment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(producer_id: i64, base_offset: i64, attributes: i16) -> BatchHeader {
        BatchHeader { base_offset, attributes, producer_id, ..BatchHeader::read(&[0; 61]) }
    }

    #[test]
    fn batches_inside_an_aborted_transaction_of_their_producer_are_hidden() {
        let one = |producer_id, first_offset, last_offset| AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable: 0,
        };
        let aborted = Aborted::of(vec![one(7, 50, 60), one(3, 10, 20), one(7, 5, 30)]);
        for (producer, base, hidden) in [
            (7, 4, false),
            (7, 5, true),
            (7, 29, true),
            (7, 31, false),
            (7, 49, false),
            (7, 50, true),
            (7, 61, false),
            (3, 9, false),
            (3, 10, true),
            (3, 55, false),
            (4, 15, false),
            (8, 15, false),
        ] {
            assert_eq!(aborted.hides(&header(producer, base, 0x10)), hidden, "{producer} at {base}");
            assert!(!aborted.hides(&header(producer, base, 0)), "not of a transaction");
        }
        assert!(!Aborted::default().hides(&header(7, 5, 0x10)));
    }
}
