//! Reading batches that are compressed or older than format 2: they are decoded into a buffer of batches that are
//! neither, which is returned in place of the segment's own bytes.

use std::ops::Range;

use bytes::Bytes;

use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::compression::Unreadable;
use crate::format::decode::{decode, is_encoded};
use crate::format::frame::{is_legacy, max_timestamp_of};
use crate::format::raw_record::RawRecord;
use crate::partition::reader::cursor::FetchLimits;
use crate::partition::reader::fetch::{Problem, Rest, Taken, Within, batch_end, count_from, next_frame};
use crate::sys::Confirmed;

/// A batch that was checked, and decoded if need be, and returned in part, so that none of that is done for each part
/// anew.
#[derive(Debug)]
pub(in crate::partition) struct DecodedBatch {
    bytes: Confirmed,
    /// Base offset of the segment, and where the batch lies in it.
    base: u64,
    frame: Range<u64>,
    rest: Rest,
    is_decoded: bool,
}

impl DecodedBatch {
    /// A batch that lies at `frame` of the segment that begins at `base`, and what is left of it.
    pub(in crate::partition) fn new(bytes: Confirmed, base: u64, frame: Range<u64>, rest: Rest) -> Self {
        Self { bytes, base, frame, rest, is_decoded: false }
    }

    /// The same of the last batch of those in `made`, which were decoded.
    pub(in crate::partition) fn last_of(
        made: &Bytes,
        base: u64,
        frame: Range<u64>,
        left: Rest,
    ) -> Option<Self> {
        let mut rest = &made[..];
        loop {
            let (_, after) = Batch::take_checked(rest)?;
            if after.is_empty() {
                let bytes = Confirmed::copied(made.slice_ref(rest));
                return Some(Self { bytes, base, frame, rest: left, is_decoded: true });
            }
            rest = after;
        }
    }

    pub(in crate::partition) fn is_at(&self, base: u64, position: u64) -> bool {
        (self.base, self.frame.start) == (base, position)
    }

    /// Whether so many records are better taken from here than from the segment, where more follow after this batch: to
    /// decode it again would cost more than a poll that returns fewer than it may.
    pub(in crate::partition) fn serves(&self, most: usize) -> bool {
        self.is_decoded || usize::try_from(self.rest.records).is_ok_and(|left| most <= left)
    }

    pub(in crate::partition) fn batch(&self) -> Option<Batch<'_>> {
        Batch::of_frame(self.bytes.as_ref())
    }

    pub(in crate::partition) fn rest(&self) -> Rest {
        self.rest
    }

    pub(super) fn with_rest(self, rest: Rest) -> Self {
        Self { rest, ..self }
    }

    pub(super) fn confirmed(&self) -> Confirmed {
        self.bytes.clone()
    }

    /// Bytes that the batch takes in its segment.
    pub(super) fn frame_bytes(&self) -> usize {
        usize::try_from(self.frame.end - self.frame.start).unwrap_or(0)
    }
}

/// As [`take`](super::window::take), decoding what must be decoded and copying what need not. The bytes taken are those
/// of the window, whose first batch must be decoded. Stops when one more batch like the last would exceed the limit.
pub(super) fn take_decoded(window: &[u8], within: &Within, limits: FetchLimits) -> (Taken, Vec<u8>) {
    let (from, most) = (within.offsets.start, limits.records.max(1));
    let mut taken = Taken::none(from, within.expected);
    let mut made = Vec::with_capacity(limits.bytes.min(window.len().saturating_mul(4)));
    while let Some(rest) = window.get(taken.bytes..).filter(|rest| !rest.is_empty()) {
        let start = made.len();
        let stepped = next_frame(rest, &mut taken, within).and_then(|found| {
            let Some((bytes, after)) = found else { return Ok(false) };
            let frame = rest.get(..bytes).unwrap_or_default();
            if is_control(frame) && !within.markers {
                taken.step_after(bytes, after);
                return Ok(true);
            }
            if !is_encoded(frame) && start + bytes > limits.bytes {
                // Too large to be copied: it is returned by itself, as it lies in the segment.
                return Ok(false);
            }
            let batch = decode_checked(frame, taken.expected, within.decompressed, &mut made)
                .map_err(Problem::Unreadable)?;
            let counted = count_from(&batch, Rest::all(&batch), from, most - taken.records);
            Ok(taken.step(bytes, &counted, after) && taken.records < most)
        });
        match stepped {
            Ok(true) if made.len() + (made.len() - start) <= limits.bytes => {}
            Ok(_) => break,
            Err(problem) => {
                made.truncate(start);
                taken.problem = Some(problem);
                break;
            }
        }
    }
    (taken, made)
}

fn is_control(frame: &[u8]) -> bool {
    !is_legacy(frame) && Batch::of_frame(frame).is_some_and(|batch| batch.header.is_control())
}

/// Appends the batch in `frame` decoded, as far as its records take no more than `limit` bytes, and checks what is in it.
fn decode_checked<'m>(
    frame: &[u8],
    expected: u64,
    limit: usize,
    made: &'m mut Vec<u8>,
) -> Result<Batch<'m>, Unreadable> {
    const SHORT: Malformed = Malformed("the batch is shorter than its header");
    let start = made.len();
    decode(frame, limit, made)?;
    let batch = made.get(start..).and_then(Batch::of_frame).ok_or(SHORT)?;
    // Only decoding shows where a wrapper of legacy messages begins.
    if u64::try_from(batch.header.base_offset).is_ok_and(|base| base < expected) {
        return Err(Malformed("the offset is not the expected one").into());
    }
    batch.check_records()?;
    Ok(batch)
}

/// Offset of the first record of the complete batch in `frame`.
pub(in crate::partition) fn first_offset(frame: &[u8], limit: usize) -> Option<u64> {
    let mut made = Vec::new();
    let base = if is_legacy(frame) {
        decode_checked(frame, 0, limit, &mut made).ok()?.header.base_offset
    } else {
        Batch::of_frame(frame)?.header.base_offset
    };
    u64::try_from(base).ok()
}

/// Offset of the first record in the batch in `frame` at or after `from` with a timestamp of `at` or later.
pub(super) fn first_at(frame: &[u8], at: i64, from: u64, limit: usize) -> Result<Option<u64>, Unreadable> {
    if max_timestamp_of(frame) < at || is_control(frame) {
        return Ok(None);
    }
    if !is_encoded(frame) {
        let Some(batch) = Batch::of_frame(frame).filter(|batch| batch.header.magic == 2) else {
            return Ok(None);
        };
        if batch_end(&batch) < from {
            return Ok(None);
        }
        batch.check_records()?;
        return first_in(&batch, at, from);
    }
    first_in(&decode_checked(frame, 0, limit, &mut Vec::new())?, at, from)
}

/// The same, for a batch that was checked.
fn first_in(batch: &Batch<'_>, at: i64, from: u64) -> Result<Option<u64>, Unreadable> {
    let base = u64::try_from(batch.header.base_offset).unwrap_or(u64::MAX);
    let mut records = batch.records();
    for _ in 0..batch.header.record_count {
        let record = RawRecord::take(&mut records)?;
        let offset = base.saturating_add(u64::from(record.offset_delta.unsigned_abs()));
        if offset >= from && batch.timestamp_of(&record) >= at {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}
