//! Going through a log file batch by batch, as recovery does: reads by system call, never maps.

use super::entries::IndexPace;
use super::{IndexEntries, MAX_OFFSETS};
use crate::error::Result;
use crate::format::Malformed;
use crate::format::control::ControlRecord;
use crate::format::frame::{Frame, FrameKind, InvalidBatch, frame_length, valid_batch_at};
use crate::format::header::{BatchHeader, HEADER_BYTES};
use crate::sys::PlainFile;

/// Bytes read in one step. A larger batch gets a larger buffer, never more than the file holds.
const STEP: usize = 1 << 20;

/// The batches of a file, one after another, each whole and at the expected offset.
#[derive(Debug)]
pub(crate) struct Batches<'f> {
    file: &'f PlainFile,
    length: u64,
    /// Where the next batch begins, in the file and in offsets.
    pub(crate) position: u64,
    pub(crate) expected: u64,
    /// No offset was missing so far: nothing was taken out by a compaction.
    pub(crate) dense: bool,
    buffer: Vec<u8>,
    /// File position of the buffer's first byte.
    buffered_from: u64,
}

/// Called with each batch that is passed, and with the control record in it.
pub(crate) type Note<'n> = &'n mut dyn FnMut(&BatchHeader, Option<ControlRecord>);

/// Why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: InvalidBatch,
}

impl<'f> Batches<'f> {
    pub(crate) fn new(file: &'f PlainFile, length: u64, position: u64, expected: u64) -> Self {
        Self { file, length, position, expected, dense: true, buffer: Vec::new(), buffered_from: 0 }
    }

    /// The same, with the memory of an earlier walk: fresh pages take longer than reading into them.
    pub(crate) fn reusing(mut self, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        self.buffer = buffer;
        self
    }

    /// The memory, for another walk.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes from the present position on, at least `wanted` of them unless the file ends before.
    fn bytes(&mut self, wanted: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let skip = usize::try_from(self.position.saturating_sub(self.buffered_from)).unwrap_or(usize::MAX);
        if self.buffer.len() < skip.saturating_add(wanted) || self.position < self.buffered_from {
            let size = wanted.max(STEP).min(left);
            self.buffer.resize(size, 0);
            let read = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(read);
            self.buffered_from = self.position;
            return Ok(&self.buffer);
        }
        Ok(self.buffer.get(skip..).unwrap_or_default())
    }

    /// The next complete batch and where it lies; or why there is none.
    pub(crate) fn next(&mut self) -> Result<std::result::Result<(u64, Frame), Stop>> {
        let expected = self.expected;
        let mut found = valid_batch_at(self.bytes(STEP.min(HEADER_BYTES))?, expected);
        if let Err(InvalidBatch::Incomplete { needs }) = found
            && self.position + needs <= self.length
        {
            let needs = usize::try_from(needs).unwrap_or(usize::MAX);
            found = valid_batch_at(self.bytes(needs)?, expected);
        }
        Ok(match found {
            Ok(frame) => {
                let position = self.position;
                self.position += frame.bytes as u64;
                self.dense &= is_dense(&frame, expected);
                self.expected = frame.last_offset() + 1;
                Ok((position, frame))
            }
            Err(reason) => Err(Stop { reason }),
        })
    }

    /// The batch that was passed last, which began at `position`.
    pub(crate) fn passed(&self, position: u64) -> &[u8] {
        let range =
            position.checked_sub(self.buffered_from).zip(self.position.checked_sub(self.buffered_from));
        let range = range.and_then(|(from, to)| Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?));
        range.and_then(|range| self.buffer.get(range)).unwrap_or_default()
    }

    /// Skips the batch here by its header alone. `None` if the header is invalid.
    pub(crate) fn skip(&mut self) -> Result<Option<(u64, BatchHeader, u64)>> {
        let (position, expected) = (self.position, self.expected);
        let left = self.length.saturating_sub(position);
        let bytes = self.bytes(HEADER_BYTES)?;
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (header, Ok(length)) = (BatchHeader::read(header), frame_length(bytes)) else { return Ok(None) };
        let ascends = u64::try_from(header.base_offset).is_ok_and(|base| base >= expected);
        if length > left || header.magic != 2 || !ascends || header.last_offset_delta < 0 {
            return Ok(None);
        }
        self.position += length;
        self.dense &= is_dense_batch(&header, expected);
        self.expected = u64::try_from(header.last_offset()).unwrap_or(0) + 1;
        Ok(Some((position, header, length)))
    }

    /// The control record of a batch that was passed just now, which begins at `position`.
    fn control_in(
        &mut self,
        header: &BatchHeader,
        position: u64,
        length: u64,
    ) -> Result<Option<ControlRecord>> {
        // One record of a few bytes: what claims to be more is not read for it.
        if !header.is_control() || length > STEP as u64 {
            return Ok(None);
        }
        let after = std::mem::replace(&mut self.position, position);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.bytes(length).map(|bytes| bytes.get(..length));
        let control = bytes.map(|frame| frame.and_then(ControlRecord::of_batch));
        self.position = after;
        control
    }

    /// Passes the batch here by its header alone if that is valid, else if it is whole, and reports it.
    /// `Some`: why it is neither.
    pub(crate) fn pass(&mut self, note: Note<'_>) -> Result<Option<InvalidBatch>> {
        if let Some((position, header, length)) = self.skip()? {
            note(&header, self.control_in(&header, position, length)?);
            return Ok(None);
        }
        Ok(self.next()?.err().map(|stop| stop.reason))
    }

    /// Passes the batch here if it is whole, checksum included, and reports it. `Some`: why it is not.
    pub(crate) fn pass_whole(&mut self, note: Note<'_>) -> Result<Option<InvalidBatch>> {
        match self.next()? {
            Err(stop) => Ok(Some(stop.reason)),
            Ok((position, frame)) => {
                if let FrameKind::Batch(header) = &frame.kind {
                    note(header, self.control_in(header, position, frame.bytes as u64)?);
                }
                Ok(None)
            }
        }
    }

    /// Whether everything from here on is zero: space allocated ahead, not data.
    pub(crate) fn rest_is_zero(&self) -> Result<bool> {
        let mut buffer = vec![0; STEP];
        let mut position = self.position;
        while position < self.length {
            let read = self.file.read_at(&mut buffer, position)?;
            if read == 0 {
                break;
            }
            if buffer.iter().take(read).any(|&byte| byte != 0) {
                return Ok(false);
            }
            position += read as u64;
        }
        Ok(true)
    }

    /// Whether a complete batch that fits after this position follows somewhere: a hole in the middle, not a torn end.
    pub(crate) fn valid_batch_follows(&mut self) -> Result<bool> {
        const MAGIC: usize = 16;
        while self.position + (HEADER_BYTES as u64) < self.length {
            self.position += 1;
            let (position, expected, length) = (self.position, self.expected, self.length);
            let bytes = self.bytes(HEADER_BYTES)?;
            // A cheap look before the checksum: format 2, an offset that can be, a length inside the file.
            let candidate = bytes.get(MAGIC) == Some(&2)
                && bytes.first_chunk().is_some_and(|base| {
                    let base = u64::from_be_bytes(*base);
                    base >= expected && base - expected < 1 << 31
                })
                && frame_length(bytes).is_ok_and(|needs| position + needs <= length);
            if candidate {
                let needs = usize::try_from(frame_length(bytes).unwrap_or(0)).unwrap_or(0);
                if valid_batch_at(self.bytes(needs)?, expected).is_ok() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Whether no offset is missing before a batch at `expected` nor in it: no compaction has gone through it.
pub(crate) fn is_dense(frame: &Frame, expected: u64) -> bool {
    match &frame.kind {
        FrameKind::Batch(header) => is_dense_batch(header, expected),
        FrameKind::Legacy { .. } => false,
    }
}

/// How far an offset is from the base of its segment, if the segment can have it.
pub(crate) fn relative_in_segment(base: u64, offset: u64) -> std::result::Result<u32, Malformed> {
    let distance = offset.saturating_sub(base);
    let relative = u32::try_from(distance).ok().filter(|_| distance < MAX_OFFSETS);
    relative.ok_or(Malformed("the offset is too far from the segment's base"))
}

fn is_dense_batch(header: &BatchHeader, expected: u64) -> bool {
    u64::try_from(header.base_offset) == Ok(expected)
        && header.last_offset_delta.checked_add(1) == Some(header.record_count)
}

/// The index of a segment, made while going through its batches in order.
#[derive(Debug)]
pub(crate) struct Indexing {
    base: u64,
    pace: IndexPace,
    entries: IndexEntries,
}

impl Indexing {
    pub(crate) fn new(base: u64, interval: u32) -> Self {
        let entries = IndexEntries::default();
        Self { base, pace: IndexPace::new(interval, &entries), entries }
    }

    /// Fails for an offset that the segment cannot have.
    pub(super) fn note(
        &mut self,
        position: u64,
        bytes: u64,
        last_offset: u64,
        timestamp: i64,
    ) -> std::result::Result<(), Malformed> {
        let relative = relative_in_segment(self.base, last_offset)?;
        if self.pace.is_due() {
            self.pace.enter(relative, position, &mut self.entries);
        }
        self.pace.note(bytes, relative, timestamp);
        Ok(())
    }

    pub(super) fn finish(mut self) -> IndexEntries {
        self.entries.add_time(self.pace.largest());
        self.entries
    }
}

/// Passes over batches by their headers alone, except the last one that ends at or before offset `end_offset`: whether the
/// way led along real batches shows where it ends. Stops before a header that is invalid.
pub(crate) fn skip_batches(
    batches: &mut Batches<'_>,
    end_offset: u64,
    index: &mut Indexing,
    note: Note<'_>,
) -> Result<()> {
    while batches.expected < end_offset {
        let before = (batches.position, batches.expected, batches.dense);
        let skipped = batches.skip()?.filter(|_| batches.expected < end_offset);
        let skipped = skipped.filter(|(position, header, length)| {
            let timestamp = if header.record_count == 0 { -1 } else { header.max_timestamp };
            index.note(*position, *length, batches.expected - 1, timestamp).is_ok()
        });
        let Some((position, header, length)) = skipped else {
            (batches.position, batches.expected, batches.dense) = before;
            break;
        };
        note(&header, batches.control_in(&header, position, length)?);
    }
    Ok(())
}

/// Index entries of `length` bytes of complete batches that end before offset `next`, rebuilt.
pub(crate) fn make_entries(
    file: &PlainFile,
    length: u64,
    base: u64,
    next: u64,
    interval: u32,
) -> Result<IndexEntries> {
    Ok(index_anew(file, length, base, next, interval)?.entries)
}

/// Makes the index of `length` bytes of batches that end before offset `next`, and reports where the way from batch to batch
/// ends.
pub(crate) fn index_anew(
    file: &PlainFile,
    length: u64,
    base: u64,
    next: u64,
    interval: u32,
) -> Result<Checked> {
    let mut batches = Batches::new(file, length, 0, base);
    let mut index = Indexing::new(base, interval);
    skip_batches(&mut batches, next, &mut index, &mut |_, _| ())?;
    check_batches(&mut batches, index, &mut |_, _| ())
}

/// What [`check_batches`] found out about a segment.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) entries: IndexEntries,
    pub(crate) reason: InvalidBatch,
}

/// Checks batches from where `batches` is to the first that is not complete or cannot belong to the segment.
pub(crate) fn check_batches(
    batches: &mut Batches<'_>,
    mut index: Indexing,
    note: Note<'_>,
) -> Result<Checked> {
    let reason = loop {
        let expected = batches.expected;
        match batches.next()? {
            Err(stop) => break stop.reason,
            Ok((position, frame)) => {
                let timestamp = frame.indexed_timestamp();
                if let Err(reason) = index.note(position, frame.bytes as u64, frame.last_offset(), timestamp)
                {
                    (batches.position, batches.expected) = (position, expected);
                    break reason.into();
                }
                if let FrameKind::Batch(header) = &frame.kind {
                    note(header, batches.control_in(header, position, frame.bytes as u64)?);
                }
            }
        }
    };
    let (position, next_offset) = (batches.position, batches.expected);
    Ok(Checked { position, next_offset, entries: index.finish(), reason })
}
