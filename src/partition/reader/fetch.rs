//! Taking whole, readable batches off the front of a window of a segment.

use std::ops::Range;

use crate::error::{Damage, Error};
use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::compression::Unreadable;
use crate::format::decode::is_encoded;
use crate::format::frame::{InvalidBatch, valid_batch_at};
use crate::format::raw_record::RawRecord;

/// What may be taken off the front of a window.
pub(super) struct Within {
    /// The first batch begins at this offset or after it.
    pub(in crate::partition) expected: u64,
    /// Records from the first of these offsets on are meant; at the last the segment ends.
    pub(in crate::partition) offsets: Range<u64>,
    /// Batches from this offset on are left alone. It is the end of one.
    pub(in crate::partition) bound: u64,
    /// Control batches are meant too.
    pub(in crate::partition) markers: bool,
    /// What the records of one batch may take when they are decompressed.
    pub(in crate::partition) decompressed: usize,
}

/// What was found at the start of a window.
pub(in crate::partition) struct Taken {
    pub(in crate::partition) bytes: usize,
    pub(in crate::partition) records: usize,
    pub(in crate::partition) next_offset: u64,
    /// Where the batch after those taken to their end begins, at least.
    pub(in crate::partition) expected: u64,
    /// The last batch was not taken to its end.
    pub(in crate::partition) split_at: Option<usize>,
    /// What is left of it then.
    pub(in crate::partition) rest: Option<Rest>,
    /// The next batch must be decoded before its records can be walked over.
    pub(super) is_encoded: bool,
    pub(super) problem: Option<Problem>,
}

/// Records at the end of a batch that was checked: where the first of them lies, in bytes after the batch's header, and how
/// many they are. So that a batch that is returned in parts is gone through once, and not once for each part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    pub(crate) position: usize,
    pub(crate) records: i32,
}

/// Records of a batch that are taken, and those that are left: with the offset of the first of them.
pub(in crate::partition) struct Counted {
    pub(in crate::partition) records: usize,
    pub(in crate::partition) left: Option<(u64, Rest)>,
}

impl Rest {
    /// All of a batch.
    pub(crate) fn all(batch: &Batch<'_>) -> Self {
        Self { position: 0, records: batch.header.record_count }
    }
}

pub(super) enum Problem {
    InvalidBatch(InvalidBatch),
    Unreadable(Unreadable),
}

impl Problem {
    pub(in crate::partition) fn error(&self, damage: impl FnOnce(String) -> Box<Damage>) -> Error {
        match self {
            Self::InvalidBatch(reason) => reason.error(damage(reason.to_string())),
            Self::Unreadable(Unreadable::Malformed(reason)) => Error::Corrupt(damage(reason.to_string())),
            Self::Unreadable(refused) => Error::Unsupported(damage(refused.to_string())),
        }
    }
}

pub(super) fn batch_end(batch: &Batch<'_>) -> u64 {
    u64::try_from(batch.header.last_offset()).unwrap_or(0)
}

impl Taken {
    /// Nothing yet of what begins at `expected` or after it and is meant from an offset on.
    pub(in crate::partition) fn none(from: u64, expected: u64) -> Self {
        Self {
            bytes: 0,
            records: 0,
            next_offset: from,
            expected,
            split_at: None,
            rest: None,
            is_encoded: false,
            problem: None,
        }
    }

    /// A batch of this many bytes has these records. `true`: it was taken to its end.
    pub(in crate::partition) fn step(&mut self, bytes: usize, counted: &Counted, after: u64) -> bool {
        self.records += counted.records;
        let Some((next, rest)) = counted.left else {
            self.step_after(bytes, after);
            return true;
        };
        (self.split_at, self.rest) = (Some(self.bytes), Some(rest));
        self.bytes += bytes;
        self.next_offset = self.next_offset.max(next);
        false
    }

    /// A batch was taken to its end.
    pub(super) fn step_after(&mut self, bytes: usize, next_offset: u64) {
        self.bytes += bytes;
        self.expected = next_offset;
        self.next_offset = self.next_offset.max(next_offset);
    }
}

/// Takes whole, readable batches off the front of `window`, up to `most` records.
pub(super) fn take(window: &[u8], within: &Within, most: usize) -> Taken {
    let from = within.offsets.start;
    let mut taken = Taken::none(from, within.expected);
    while let Some(rest) = window.get(taken.bytes..).filter(|rest| !rest.is_empty()) {
        let (bytes, after) = match next_frame(rest, &mut taken, within) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(problem) => {
                taken.problem = Some(problem);
                break;
            }
        };
        let frame = rest.get(..bytes).unwrap_or_default();
        if is_encoded(frame) {
            taken.is_encoded = true;
            break;
        }
        let Some(batch) = Batch::of_frame(frame) else { break };
        if batch.header.is_control() && !within.markers {
            taken.step_after(bytes, after);
            continue;
        }
        if let Err(reason) = batch.check_records() {
            taken.problem = Some(Problem::Unreadable(reason.into()));
            break;
        }
        let counted = count_from(&batch, Rest::all(&batch), from, most - taken.records);
        if !taken.step(bytes, &counted, after) || taken.records >= most {
            break;
        }
    }
    taken
}

/// Bytes of the batch at the start of `rest`, which follows what was taken, and the offset after it. `None`: what was
/// taken is all that is to be.
#[inline]
pub(super) fn next_frame(
    rest: &[u8],
    taken: &mut Taken,
    within: &Within,
) -> Result<Option<(usize, u64)>, Problem> {
    let frame = match valid_batch_at(rest, taken.expected) {
        Ok(frame) => frame,
        Err(InvalidBatch::Incomplete { .. } | InvalidBatch::End) if taken.bytes > 0 => return Ok(None),
        Err(reason) => return Err(Problem::InvalidBatch(reason)),
    };
    if frame.last_offset() >= within.offsets.end {
        // The checksum does not cover the offset.
        let reason = Malformed("the offset lies past the segment's end");
        return Err(Problem::InvalidBatch(reason.into()));
    }
    if frame.known_first_offset() >= within.bound {
        // What lies before the bound was taken, whether or not there were records.
        taken.next_offset = taken.next_offset.max(within.bound);
        return Ok(None);
    }
    Ok(Some((frame.bytes, frame.last_offset() + 1)))
}

/// Records among these at the end of a batch that are at or after `from`, at most `most`.
pub(super) fn count_from(batch: &Batch<'_>, among: Rest, from: u64, most: usize) -> Counted {
    let count = usize::try_from(among.records).unwrap_or(0);
    let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
    let mut records = batch.records();
    if records.take(among.position).is_err() {
        return Counted { records: 0, left: None };
    }
    // The rest of a batch begins where the part before it has ended.
    if (base >= from || among.position > 0) && count <= most {
        return Counted { records: count, left: None };
    }
    let bytes = records.remaining() + among.position;
    let mut counted = 0;
    for done in 0..among.records {
        let position = bytes - records.remaining();
        let Ok(record) = RawRecord::take(&mut records) else { break };
        let offset = base + u64::from(record.offset_delta.unsigned_abs());
        if offset < from {
            continue;
        }
        if counted == most {
            let rest = Rest { position, records: among.records - done };
            return Counted { records: counted, left: Some((offset, rest)) };
        }
        counted += 1;
    }
    Counted { records: counted, left: None }
}
