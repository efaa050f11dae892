//! Complete record batches: building one record by record, and reading one that was checked.

use std::ops::Range;

use super::Malformed;
use super::batch_producer::BatchProducer;
use super::compression::{BatchLimits, Encoding, compress};
use super::crc::crc32c;
use super::header::{BatchHeader, CHECKSUMMED, Codec, HEADER_BYTES, LENGTH_OVERHEAD, LOG_APPEND_TIME};
use super::raw_record::RawRecord;
use super::record::{Measured, RecordFields, push_with_deltas};
use super::usual_record::{self, push_usual};
use super::varint::Input;

/// Largest batch that can be written: its length field is a signed 32-bit number.
pub(crate) const MAX_BATCH_BYTES: usize = i32::MAX as usize;

/// A batch under construction. Keeps its buffer from batch to batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    bytes: Vec<u8>,
    /// The batch once more, if it was finished with a codec.
    compressed: Vec<u8>,
    records: u32,
    /// Offsets left out between the records so far.
    gaps: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// When the batch is appended, if that is what counts as the time of its records.
    append_time: Option<i64>,
    producer: BatchProducer,
}

/// Where a record lies in a batch under construction.
#[derive(Debug)]
pub(crate) struct Placed {
    range: Range<usize>,
    timestamp: i64,
}

/// A finished batch, ready for a log to fill in offset and epoch. Borrowed from its builder.
#[derive(Debug)]
pub(crate) struct FinishedBatch<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) records: u32,
    pub(super) offsets: u32,
    pub(super) max_timestamp: i64,
    pub(super) is_of_producer: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            compressed: Vec::new(),
            records: 0,
            gaps: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            append_time: None,
            producer: BatchProducer::NONE,
        }
    }
}

impl BatchBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Offsets from the first record to after the last one, and those left out before the next.
    #[inline]
    pub(crate) fn offsets(&self) -> u32 {
        self.records + self.gaps
    }

    /// Leaves out offsets before the next record, which is not the first. The caller keeps them below 2³¹ in all.
    pub(crate) fn leave_out(&mut self, offsets: u32) {
        self.gaps += offsets;
    }

    /// Size of the batch as it would be written now.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len().max(HEADER_BYTES)
    }

    /// Measures a record that may be pushed next.
    #[inline]
    pub(crate) fn measure(&self, record: &RecordFields<'_>, timestamp: i64) -> Measured {
        let delta = if self.records == 0 { 0 } else { timestamp.wrapping_sub(self.base_timestamp) };
        record.measure(delta, self.offsets())
    }

    /// Size of the batch if the measured record were pushed.
    #[inline]
    pub(crate) fn bytes_with(&self, measured: &Measured) -> usize {
        self.bytes().saturating_add(measured.bytes())
    }

    /// Adds a record as it was measured. The caller has checked [`bytes_with`](Self::bytes_with) against
    /// [`MAX_BATCH_BYTES`].
    pub(crate) fn push(&mut self, record: &RecordFields<'_>, measured: Measured, timestamp: i64) {
        if self.records == 0 {
            self.begin(timestamp);
        }
        record.encode(measured, &mut self.bytes);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records += 1;
    }

    /// Adds a record, unmeasured, if it is a usual one and the batch is certain to have `most` bytes at most. `false`: nothing
    /// was added, and [`measure`](Self::measure) shows whether it can be.
    #[inline(always)]
    pub(crate) fn push_usual(&mut self, record: &RecordFields<'_>, timestamp: i64, most: usize) -> bool {
        let fields = usual_record::most_bytes(record);
        if self.bytes().saturating_add(fields) > most {
            return false;
        }
        if self.records == 0 {
            self.begin(timestamp);
        }
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        let is_pushed = push_usual(record, delta, self.offsets(), &mut self.bytes);
        if is_pushed {
            self.max_timestamp = self.max_timestamp.max(timestamp);
            self.records += 1;
        }
        is_pushed
    }

    #[inline]
    fn begin(&mut self, timestamp: i64) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        self.base_timestamp = timestamp;
        self.max_timestamp = timestamp;
    }

    /// Where the records lie that were pushed so far, for [`push_record_of`](Self::push_record_of).
    pub(crate) fn places(&self) -> Vec<Placed> {
        let mut input = Input::new(self.bytes.get(HEADER_BYTES..).unwrap_or_default());
        let mut places = Vec::with_capacity(self.records as usize);
        let mut from = HEADER_BYTES;
        while let Ok(record) = RawRecord::take(&mut input) {
            let to = self.bytes.len() - input.remaining();
            let timestamp = self.base_timestamp.wrapping_add(record.timestamp_delta);
            places.push(Placed { range: from..to, timestamp });
            from = to;
        }
        places
    }

    /// Adds a record as stored in another batch under construction. The caller keeps the batch as small as that one.
    pub(crate) fn push_record_of(&mut self, other: &Self, placed: &Placed) {
        let Some(record) = other.bytes.get(placed.range.clone()) else { return };
        if self.records == 0 {
            self.begin(placed.timestamp);
        }
        let delta = placed.timestamp.wrapping_sub(self.base_timestamp);
        let (before, offset_delta) = (self.bytes.len(), self.offsets());
        if push_with_deltas(record, delta, offset_delta, &mut self.bytes).is_err() {
            // Never for a place in that batch.
            return self.bytes.truncate(before);
        }
        self.max_timestamp = self.max_timestamp.max(placed.timestamp);
        self.records += 1;
    }

    /// Gives all records the time of appending in place of their own, or, with `None`, leaves them their own.
    #[inline]
    pub(crate) fn set_append_time(&mut self, now: Option<i64>) {
        self.append_time = now;
    }

    /// Says of which producer the batch is. Forgotten when the batch is cleared.
    pub(crate) fn set_producer(&mut self, producer: BatchProducer) {
        self.producer = producer;
    }

    /// Writes the header with its checksum; offset and epoch are the log's to fill in. `None` without records.
    pub(crate) fn finish(&mut self) -> Option<FinishedBatch<'_>> {
        let header = self.header(Codec::None)?;
        seal(&mut self.bytes, header)?;
        let (records, offsets, is_of_producer) = (self.records, self.offsets(), self.producer.is_one());
        let max_timestamp = header.max_timestamp;
        Some(FinishedBatch { bytes: &mut self.bytes, records, offsets, max_timestamp, is_of_producer })
    }

    /// As [`finish`](Self::finish), with the records compressed. What cannot be compressed, would be too large to be read
    /// again, or grows by it so that only the plain batch has its place in the log, stays as it is. The records are still
    /// there afterwards.
    pub(crate) fn finish_with(
        &mut self,
        encoding: Encoding,
        limits: BatchLimits,
    ) -> Option<FinishedBatch<'_>> {
        if encoding.codec == Codec::None || self.bytes.len() > limits.decompressed {
            return self.finish();
        }
        let header = self.header(encoding.codec)?;
        self.compressed.clear();
        self.compressed.resize(HEADER_BYTES, 0);
        let done = compress(encoding, self.bytes.get(HEADER_BYTES..)?, &mut self.compressed);
        if done.is_none() || (self.compressed.len() > limits.written && self.bytes.len() <= limits.written) {
            return self.finish();
        }
        seal(&mut self.compressed, header)?;
        let (records, offsets, is_of_producer) = (self.records, self.offsets(), self.producer.is_one());
        let max_timestamp = header.max_timestamp;
        Some(FinishedBatch { bytes: &mut self.compressed, records, offsets, max_timestamp, is_of_producer })
    }

    /// A batch without records that means so many offsets, as a compaction leaves it. Forgets what was pushed.
    pub(crate) fn finish_gap(&mut self, offsets: u32) -> Option<FinishedBatch<'_>> {
        self.clear(HEADER_BYTES);
        (self.base_timestamp, self.max_timestamp) = (-1, -1);
        let last_offset_delta = i32::try_from(offsets.checked_sub(1)?).ok()?;
        let header = self.header_of(Codec::None, 0, last_offset_delta);
        self.bytes.resize(HEADER_BYTES, 0);
        seal(&mut self.bytes, header)?;
        let (records, max_timestamp, is_of_producer) = (0, -1, false);
        Some(FinishedBatch { bytes: &mut self.bytes, records, offsets, max_timestamp, is_of_producer })
    }

    /// The header without length and checksum.
    fn header(&self, codec: Codec) -> Option<BatchHeader> {
        let record_count = i32::try_from(self.records).ok().filter(|count| *count > 0)?;
        let last_offset_delta = i32::try_from(self.offsets() - 1).ok()?;
        Some(self.header_of(codec, record_count, last_offset_delta))
    }

    fn header_of(&self, codec: Codec, record_count: i32, last_offset_delta: i32) -> BatchHeader {
        let append_time = if self.append_time.is_some() { LOG_APPEND_TIME } else { 0 };
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: codec.attributes() | append_time | self.producer.attributes,
            last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count,
        }
    }

    /// Forgets the records, keeps the buffer unless it grew past `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.compressed.clear();
        self.compressed.shrink_to(keep);
        self.records = 0;
        self.gaps = 0;
        self.append_time = None;
        self.producer = BatchProducer::NONE;
    }
}

/// Writes length, header and checksum before the records of `batch`.
pub(super) fn seal(batch: &mut [u8], mut header: BatchHeader) -> Option<()> {
    header.batch_length = i32::try_from(batch.len().checked_sub(LENGTH_OVERHEAD)?).ok()?;
    header.write(batch.first_chunk_mut()?);
    let crc = crc32c(batch.get(CHECKSUMMED..)?);
    BatchHeader::seal(batch.first_chunk_mut()?, crc);
    Some(())
}

impl FinishedBatch<'_> {
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Offsets that the batch takes: as many as there are records, unless some are left out.
    #[inline]
    pub(crate) fn offsets(&self) -> u32 {
        self.offsets
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// Whether it is of a producer with an id.
    #[inline]
    pub(crate) fn is_of_producer(&self) -> bool {
        self.is_of_producer
    }

    /// The header, with the place that the batch was given last.
    pub(crate) fn header(&self) -> Option<BatchHeader> {
        self.bytes.first_chunk().map(BatchHeader::read)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The batch as it was placed. It must not be compressed for its records to be read.
    pub(crate) fn as_batch(&self) -> Option<Batch<'_>> {
        Batch::of_frame(self.bytes)
    }

    /// The bytes to write at this place of the log.
    #[inline]
    pub(crate) fn placed_at(&mut self, base_offset: i64, leader_epoch: i32) -> &[u8] {
        if let Some(header) = self.bytes.first_chunk_mut() {
            BatchHeader::assign(header, base_offset, leader_epoch);
        }
        self.bytes
    }
}

/// A batch whose frame was found whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) header: BatchHeader,
    records: &'a [u8],
}

impl<'a> Batch<'a> {
    /// `frame` is all of a batch of format 2, no more.
    #[inline]
    pub(crate) fn of_frame(frame: &'a [u8]) -> Option<Self> {
        let (header, records) = frame.split_first_chunk::<HEADER_BYTES>()?;
        Some(Self { header: BatchHeader::read(header), records })
    }

    /// The batch at the start of bytes that were checked before, and what follows it.
    #[inline]
    pub(crate) fn take_checked(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let header = BatchHeader::read(bytes.first_chunk()?);
        let length = usize::try_from(header.batch_length).ok()?.checked_add(LENGTH_OVERHEAD)?;
        let (frame, rest) = bytes.split_at_checked(length)?;
        Some((Self { header, records: frame.get(HEADER_BYTES..)? }, rest))
    }

    /// The records still encoded.
    #[inline]
    pub(crate) fn records(&self) -> Input<'a> {
        Input::new(self.records)
    }

    /// Checks the framing of every record, so that giving them out afterwards cannot fail. For records that are not
    /// compressed, or not any more.
    #[inline]
    pub(crate) fn check_records(&self) -> Result<(), Malformed> {
        if self.header.codec()? != Codec::None {
            return Err(Malformed("the records are compressed"));
        }
        let (mut records, mut last_delta) = (self.records, -1);
        for _ in 0..self.header.record_count {
            let delta;
            (delta, records) = RawRecord::check_first(records)?;
            if delta <= last_delta {
                return Err(Malformed("the offsets of the records do not increase"));
            }
            last_delta = delta;
        }
        if last_delta > self.header.last_offset_delta {
            return Err(Malformed("a record's offset lies past the batch's last offset"));
        }
        if !records.is_empty() {
            return Err(Malformed("bytes are left after the last record"));
        }
        Ok(())
    }

    /// A record's timestamp: its own, or the batch's if the log sets the time of appending.
    #[inline]
    pub(crate) fn timestamp_of(&self, record: &RawRecord<'_>) -> i64 {
        if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.wrapping_add(record.timestamp_delta)
        }
    }
}
