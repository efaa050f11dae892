//! Batches without some of their records, as a compaction leaves them.
//!
//! Offsets never change: what is left keeps base offset and last offset of the batch, producer, epoch, codec and flags.
//! Counted anew are the records, the largest timestamp and the base timestamp, which is that of the first record that is
//! left; or, once a tombstone was kept, the time from which on it may go. That time stays.

use std::ops::Range;

use super::Malformed;
use super::batch::{Batch, seal};
use super::compression::{Encoding, Unreadable, compress};
use super::decode::{decode, is_encoded};
use super::frame::is_legacy;
use super::header::{BatchHeader, CODEC_BITS, Codec, DELETE_HORIZON, HEADER_BYTES, MAGIC};
use super::raw_record::RawRecord;
use super::record::push_with_delta;

/// What is left of a batch.
#[derive(Debug)]
pub(crate) enum Left<'a> {
    /// All of it, byte for byte.
    All,
    /// This, in its place.
    Batch { bytes: &'a [u8], header: BatchHeader },
    /// No record. The header of the batch, in format 2.
    Nothing(BatchHeader),
}

/// Takes records out of batches. Keeps its buffers from batch to batch.
#[derive(Debug)]
pub(crate) struct Rewriter {
    /// What the records of a batch may take when they are decompressed, before and after.
    limit: usize,
    plain: Vec<u8>,
    kept: Vec<Kept>,
    records: Vec<u8>,
    made: Vec<u8>,
}

/// Where a record that stays lies among the records of its batch.
#[derive(Debug, Clone, Copy)]
struct Kept {
    from: usize,
    to: usize,
    timestamp: i64,
    is_tombstone: bool,
}

/// Says which records of a batch stay. It is shown all of them before it is asked.
pub(crate) trait Keep {
    /// The next record, and its offset.
    fn see(&mut self, offset: u64, record: &RawRecord<'_>);

    /// Whether the record with this number, counted from 0, stays. Asked once for each, in order.
    fn keeps(&mut self, number: usize) -> bool;
}

/// What becomes of the time from which on what a batch marks as gone may go itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// It is this, where none is set yet.
    pub(crate) at: i64,
    /// It is set even if no tombstone is kept.
    pub(crate) always: bool,
}

impl Rewriter {
    pub(crate) fn new(limit: usize) -> Self {
        let (plain, kept, records, made) = Default::default();
        Self { limit, plain, kept, records, made }
    }

    /// Keeps those records of the complete batch in `frame` of which `keep` says so. On an error nothing is known of the
    /// batch.
    #[inline]
    pub(crate) fn filter(
        &mut self,
        frame: &[u8],
        horizon: Horizon,
        mut keep: impl Keep,
    ) -> Result<Left<'_>, Unreadable> {
        let Self { limit, plain, kept, .. } = self;
        let batch = plain_batch(frame, *limit, plain)?;
        let tombstones = choose(&batch, kept, &mut keep)?;
        let header = batch.header;
        if self.kept.is_empty() {
            return Ok(Left::Nothing(header));
        }
        let sets_horizon = (tombstones || horizon.always) && !header.has_delete_horizon();
        let is_complete = usize::try_from(header.record_count) == Ok(self.kept.len());
        if is_complete && !sets_horizon && !is_legacy(frame) {
            return Ok(Left::All);
        }
        self.rewrite(frame, header, sets_horizon.then_some(horizon.at))
    }

    /// Makes a batch of the kept records.
    fn rewrite(
        &mut self,
        frame: &[u8],
        before: BatchHeader,
        horizon: Option<i64>,
    ) -> Result<Left<'_>, Unreadable> {
        const TOO_LONG: Malformed = Malformed("the batch is longer than a batch can be");
        let Self { limit, plain, kept, records, made } = self;
        let batch = if is_encoded(frame) { Batch::of_frame(plain) } else { Batch::of_frame(frame) };
        let source = batch.map(|batch| batch.records().rest()).unwrap_or_default();
        let base_timestamp = match horizon {
            Some(at) => at,
            None if before.has_delete_horizon() => before.base_timestamp,
            None => kept.first().map_or(-1, |first| first.timestamp),
        };
        let codec = codec_of(frame)?;
        made.clear();
        made.resize(HEADER_BYTES, 0);
        records.clear();
        let to = if codec == Codec::None { &mut *made } else { &mut *records };
        let is_same_base = base_timestamp == before.base_timestamp && !before.is_log_append_time();
        for one in &*kept {
            let record = source.get(one.from..one.to).unwrap_or_default();
            if is_same_base {
                to.extend_from_slice(record);
            } else {
                push_with_delta(record, one.timestamp.wrapping_sub(base_timestamp), to)?;
            }
        }
        let mut attributes = before.attributes & !CODEC_BITS;
        if horizon.is_some() {
            attributes |= DELETE_HORIZON;
        }
        let encoding = Encoding::at_default_level(codec);
        if codec != Codec::None {
            // Another base timestamp can make records longer than they were.
            if records.len() <= *limit && compress(encoding, records, made).is_some() {
                attributes |= codec.attributes();
            } else {
                made.truncate(HEADER_BYTES);
                made.extend_from_slice(records);
            }
        }
        let largest = kept.iter().map(|one| one.timestamp).max().unwrap_or(-1);
        let header = BatchHeader {
            attributes,
            base_timestamp,
            max_timestamp: if before.is_log_append_time() { before.max_timestamp } else { largest },
            record_count: i32::try_from(kept.len()).map_err(|_| TOO_LONG)?,
            ..before
        };
        seal(made, header).ok_or(TOO_LONG)?;
        Ok(Left::Batch { bytes: made, header })
    }
}

/// The batch in `frame` with its records plain, made in `plain` if it must be.
fn plain_batch<'a>(frame: &'a [u8], limit: usize, plain: &'a mut Vec<u8>) -> Result<Batch<'a>, Unreadable> {
    const SHORT: Malformed = Malformed("the batch is shorter than its header");
    if !is_encoded(frame) || is_header_only(frame) {
        return Ok(Batch::of_frame(frame).ok_or(SHORT)?);
    }
    plain.clear();
    decode(frame, limit, plain)?;
    Ok(Batch::of_frame(plain).ok_or(SHORT)?)
}

/// Whether a compaction has taken all records out of the batch. Nothing is compressed there whatever the header says.
fn is_header_only(frame: &[u8]) -> bool {
    !is_legacy(frame) && frame.len() == HEADER_BYTES
}

/// Goes through the records, checks them and notes which of them stay. Returns whether one of those is a tombstone.
#[inline]
fn choose(batch: &Batch<'_>, kept: &mut Vec<Kept>, keep: &mut impl Keep) -> Result<bool, Malformed> {
    kept.clear();
    walk(batch, |offset, record, place| {
        keep.see(offset, record);
        let (timestamp, is_tombstone) = (batch.timestamp_of(record), record.value.is_none());
        kept.push(Kept { from: place.start, to: place.end, timestamp, is_tombstone });
    })?;
    let (mut number, mut tombstones) = (0, false);
    kept.retain(|one| {
        let stays = keep.keeps(number);
        number += 1;
        tombstones |= stays && one.is_tombstone;
        stays
    });
    Ok(tombstones)
}

/// Goes through the records in order and checks them. Reports the offset of each, and where it lies among them.
#[inline]
fn walk(batch: &Batch<'_>, mut each: impl FnMut(u64, &RawRecord<'_>, Range<usize>)) -> Result<(), Malformed> {
    let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
    let mut input = batch.records();
    let (end, mut from, mut last_delta) = (input.remaining(), 0, -1);
    for _ in 0..batch.header.record_count {
        let record = RawRecord::take(&mut input)?;
        record.headers.check()?;
        if record.offset_delta <= last_delta {
            return Err(Malformed("the offsets of the records do not increase"));
        }
        last_delta = record.offset_delta;
        let to = end - input.remaining();
        each(base.saturating_add(u64::from(last_delta.unsigned_abs())), &record, from..to);
        from = to;
    }
    if last_delta > batch.header.last_offset_delta {
        return Err(Malformed("a record's offset lies past the batch's last offset"));
    }
    if !input.is_empty() {
        return Err(Malformed("bytes are left after the last record"));
    }
    Ok(())
}

fn codec_of(frame: &[u8]) -> Result<Codec, Malformed> {
    // The attributes of a legacy message come after its magic.
    let attributes = match frame.first_chunk() {
        Some(header) if !is_legacy(frame) => BatchHeader::read(header).attributes,
        _ => frame.get(MAGIC + 1).map_or(0, |byte| i16::from(*byte)),
    };
    Codec::of_attributes(attributes)
}

/// Goes through the records of the complete batch in `frame` in order, with their offsets, and checks them as
/// [`Rewriter::filter`] does, within the same limit.
#[inline]
pub(crate) fn each_record(
    frame: &[u8],
    limit: usize,
    plain: &mut Vec<u8>,
    mut each: impl FnMut(u64, &RawRecord<'_>),
) -> Result<(), Unreadable> {
    Ok(walk(&plain_batch(frame, limit, plain)?, |offset, record, _| each(offset, record))?)
}

/// The batch with this header without any record. Only what it says of its producer and its offsets stays.
pub(crate) fn header_only(header: &BatchHeader) -> [u8; HEADER_BYTES] {
    let header = BatchHeader {
        attributes: header.attributes & !CODEC_BITS & !DELETE_HORIZON,
        base_timestamp: -1,
        record_count: 0,
        ..*header
    };
    let mut made = [0; HEADER_BYTES];
    // As long as a header is: it always fits.
    let _ = seal(&mut made, header);
    made
}
