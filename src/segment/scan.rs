//! Going through a log file batch by batch, as recovery does: reads by system call, never maps.

use super::{IndexEntries, IndexPace};
use crate::error::Result;
use crate::format::frame::{Frame, NotWhole, frame_length, whole_batch_at};
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
    buffer: Vec<u8>,
    /// File position of the buffer's first byte.
    buffered_from: u64,
}

/// Why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: NotWhole,
}

impl<'f> Batches<'f> {
    pub(crate) fn new(file: &'f PlainFile, length: u64, position: u64, expected: u64) -> Self {
        Self { file, length, position, expected, buffer: Vec::new(), buffered_from: 0 }
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

    /// The next whole batch and where it lies; or why there is none.
    pub(crate) fn next(&mut self) -> Result<std::result::Result<(u64, Frame), Stop>> {
        let expected = self.expected;
        let mut found = whole_batch_at(self.bytes(STEP.min(HEADER_BYTES))?, expected);
        if let Err(NotWhole::Incomplete { needs }) = found
            && self.position + needs <= self.length
        {
            let needs = usize::try_from(needs).unwrap_or(usize::MAX);
            found = whole_batch_at(self.bytes(needs)?, expected);
        }
        Ok(match found {
            Ok(frame) => {
                let position = self.position;
                self.position += frame.bytes as u64;
                self.expected = frame.last_offset() + 1;
                Ok((position, frame))
            }
            Err(reason) => Err(Stop { reason }),
        })
    }

    /// Skips the batch here by its header alone. `None` if the header makes no sense.
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
        self.expected = u64::try_from(header.last_offset()).unwrap_or(0) + 1;
        Ok(Some((position, header, length)))
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

    /// Whether a whole batch that fits behind this position follows somewhere: a hole in the middle, not a torn end.
    pub(crate) fn whole_batch_follows(&mut self) -> Result<bool> {
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
                if whole_batch_at(self.bytes(needs)?, expected).is_ok() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// What [`check_batches`] found out about a segment.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) entries: IndexEntries,
    pub(crate) stop: Stop,
}

/// Checks batches from where `batches` stands to the end, collecting index entries and what `each` wants.
pub(crate) fn check_batches(
    batches: &mut Batches<'_>,
    base: u64,
    mut entries: IndexEntries,
    interval: u32,
    mut each: impl FnMut(&Frame),
) -> Result<Checked> {
    let mut pace = IndexPace::new(interval, &entries);
    let stop = loop {
        match batches.next()? {
            Err(stop) => break stop,
            Ok((position, frame)) => {
                let Ok(relative) = u32::try_from(frame.last_offset().saturating_sub(base)) else {
                    batches.position = position;
                    break Stop {
                        reason: crate::format::Malformed("the offset is too far from the segment's base")
                            .into(),
                    };
                };
                if pace.is_due() {
                    pace.enter(relative, position, &mut entries);
                }
                pace.note(frame.bytes as u64, relative, frame.max_timestamp());
                each(&frame);
            }
        }
    };
    entries.add_time(pace.largest());
    Ok(Checked { position: batches.position, next_offset: batches.expected, entries, stop })
}
