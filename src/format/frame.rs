//! Where one batch ends and the next begins: the one predicate used by recovery, readers and tests.
//!
//! Two levels. [`frame_at`] is what a Kafka broker demands of a log after an unclean stop, no more and no less.
//! [`valid_batch_at`] adds what the checksum cannot see, because the first 17 bytes are not covered by it: an
//! expected offset, a known magic, a possible record count.

use super::Malformed;
use super::crc::{crc32, crc32c};
use super::header::{BatchHeader, CHECKSUMMED, HEADER_BYTES, LENGTH_OVERHEAD, MAGIC};
use crate::error::{Damage, Error};

/// Fewer bytes than this cannot begin a batch of any format.
pub(crate) const MIN_PREFIX: usize = MAGIC + 2;
/// Smallest value of the length field, that of a legacy message without key and value.
const MIN_LENGTH: i32 = 14;
/// Where a message of format 1 has its timestamp: after magic and attributes.
const LEGACY_TIMESTAMP: usize = MAGIC + 2;

/// Bytes that hold together as one batch or legacy message, checksum included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of the whole, at least [`MIN_PREFIX`].
    pub(crate) bytes: usize,
    pub(crate) kind: FrameKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Format 2; not yet checked for plausibility.
    Batch(BatchHeader),
    /// A message of format 0 or 1. A wrapper's offset is that of its last inner message.
    Legacy { offset: i64, timestamp: i64 },
}

/// Why no batch counts at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidBatch {
    #[error("fewer than {MIN_PREFIX} bytes are left")]
    End,
    #[error("the batch needs {needs} bytes, more than are left")]
    Incomplete { needs: u64 },
    #[error("{0}")]
    Malformed(Malformed),
    #[error("the checksum does not match")]
    Checksum,
    /// As long as it says, and at an offset that may follow. Nothing that this version writes ever looks like it, torn or
    /// not.
    #[error("{0}")]
    Newer(Malformed),
}

impl InvalidBatch {
    /// What a reader or a recovery that came to this reports.
    pub(crate) fn error(self, damage: Box<Damage>) -> Error {
        if let Self::Newer(_) = self { Error::Unsupported(damage) } else { Error::Corrupt(damage) }
    }
}

impl From<Malformed> for InvalidBatch {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

/// Length of the batch that begins here, from its length field alone.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<u64, InvalidBatch> {
    let prefix: &[u8; MIN_PREFIX] = bytes.first_chunk().ok_or(InvalidBatch::End)?;
    let length = i32::from_be_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    if length < MIN_LENGTH {
        return Err(Malformed("the length field is below 14").into());
    }
    Ok(u64::from(length.unsigned_abs()) + LENGTH_OVERHEAD as u64)
}

/// Whether a batch that begins like this is a message of format 0 or 1.
#[inline]
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.get(MAGIC).is_some_and(|magic| *magic < 2)
}

/// The largest timestamp in the batch that begins here, as its header says; −1 if it has none.
pub(crate) fn max_timestamp_of(bytes: &[u8]) -> i64 {
    match bytes.get(MAGIC) {
        Some(0) => -1,
        Some(1) => bytes
            .get(LEGACY_TIMESTAMP..)
            .and_then(<[u8]>::first_chunk)
            .map_or(-1, |at| i64::from_be_bytes(*at)),
        _ => bytes.first_chunk().map_or(-1, |header| BatchHeader::read(header).max_timestamp),
    }
}

/// The batch or legacy message at the start of `bytes`, by the rules of a broker's recovery.
pub(crate) fn frame_at(bytes: &[u8]) -> Result<Frame, InvalidBatch> {
    let needs = frame_length(bytes)?;
    let frame = usize::try_from(needs)
        .ok()
        .and_then(|needs| bytes.get(..needs))
        .ok_or(InvalidBatch::Incomplete { needs })?;
    let magic = frame.get(MAGIC).map(|byte| byte.cast_signed()).ok_or(InvalidBatch::End)?;
    let kind = if magic < 2 { legacy(frame, magic)? } else { batch(frame)? };
    Ok(Frame { bytes: frame.len(), kind })
}

fn batch(frame: &[u8]) -> Result<FrameKind, InvalidBatch> {
    let header: &[u8; HEADER_BYTES] =
        frame.first_chunk().ok_or(Malformed("a batch of format 2 is at least 61 bytes long"))?;
    let header = BatchHeader::read(header);
    if crc32c(frame.get(CHECKSUMMED..).unwrap_or_default()) != header.crc {
        return Err(InvalidBatch::Checksum);
    }
    Ok(FrameKind::Batch(header))
}

fn legacy(frame: &[u8], magic: i8) -> Result<FrameKind, InvalidBatch> {
    let message = frame.get(LENGTH_OVERHEAD..).unwrap_or_default();
    let (crc, body) = message.split_first_chunk::<4>().ok_or(InvalidBatch::End)?;
    if crc32(body) != u32::from_be_bytes(*crc) {
        return Err(InvalidBatch::Checksum);
    }
    let offset = i64::from_be_bytes(*frame.first_chunk().ok_or(InvalidBatch::End)?);
    let timestamp = match body.get(2..).and_then(<[u8]>::first_chunk) {
        Some(bytes) if magic == 1 => i64::from_be_bytes(*bytes),
        _ => -1,
    };
    Ok(FrameKind::Legacy { offset, timestamp })
}

/// The batch at the start of `bytes`, if it may be in a log whose next offset is `expected`.
pub(crate) fn valid_batch_at(bytes: &[u8], expected: u64) -> Result<Frame, InvalidBatch> {
    let frame = frame_at(bytes).map_err(|reason| newer(bytes, expected).unwrap_or(reason))?;
    let (first, last) = match frame.kind {
        FrameKind::Batch(header) if header.magic > 2 => {
            let unknown = || Malformed("the offset is not the expected one").into();
            return Err(newer(bytes, expected).unwrap_or_else(unknown));
        }
        FrameKind::Batch(header) => {
            // The checksum covers it.
            header.codec().map_err(|_| InvalidBatch::Newer(Malformed::NEWER_CODEC))?;
            plausible(&header)?;
            (header.base_offset, header.last_offset())
        }
        FrameKind::Legacy { offset, .. } => {
            if bytes.get(MAGIC).is_none_or(|magic| *magic > 1) {
                return Err(Malformed("unknown magic, it must be 0, 1 or 2").into());
            }
            (offset, offset)
        }
    };
    if u64::try_from(first).is_ok_and(|first| first >= expected) && last < i64::MAX {
        Ok(frame)
    } else {
        Err(Malformed("the offset is not the expected one").into())
    }
}

/// The batch at the start of `bytes`, if all of it is there and it is of a format that this version does not know.
fn newer(bytes: &[u8], expected: u64) -> Option<InvalidBatch> {
    let magic = bytes.get(MAGIC)?.cast_signed();
    let first = i64::from_be_bytes(*bytes.first_chunk()?);
    let is_there = frame_length(bytes).is_ok_and(|needs| needs <= bytes.len() as u64);
    let follows = u64::try_from(first).is_ok_and(|first| first >= expected);
    (magic > 2 && is_there && follows).then_some(InvalidBatch::Newer(Malformed::NEWER_BATCH))
}

fn plausible(header: &BatchHeader) -> Result<(), Malformed> {
    match header {
        BatchHeader { last_offset_delta: ..0, .. } => Err(Malformed("the last offset delta is negative")),
        BatchHeader { record_count: ..0, .. } => Err(Malformed("the record count is negative")),
        BatchHeader { record_count, last_offset_delta, .. }
            if i64::from(*record_count) > i64::from(*last_offset_delta) + 1 =>
        {
            Err(Malformed("the record count exceeds the offsets of the batch"))
        }
        _ => Ok(()),
    }
}

impl Frame {
    /// The first offset of a batch. That of a legacy message is not known from outside: its last one.
    #[inline]
    pub(crate) fn known_first_offset(&self) -> u64 {
        let first = match self.kind {
            FrameKind::Batch(header) => header.base_offset,
            FrameKind::Legacy { offset, .. } => offset,
        };
        u64::try_from(first).unwrap_or(0)
    }

    pub(crate) fn last_offset(&self) -> u64 {
        let last = match self.kind {
            FrameKind::Batch(header) => header.last_offset(),
            FrameKind::Legacy { offset, .. } => offset,
        };
        u64::try_from(last).unwrap_or(0)
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        match self.kind {
            FrameKind::Batch(header) => header.max_timestamp,
            FrameKind::Legacy { timestamp, .. } => timestamp,
        }
    }

    /// What a time index says of the batch: the same, or −1 for one of which only the header is left. That one has a
    /// timestamp, too, but no record that it would lead to.
    pub(crate) fn indexed_timestamp(&self) -> i64 {
        match self.kind {
            FrameKind::Batch(BatchHeader { record_count: 0, .. }) => -1,
            _ => self.max_timestamp(),
        }
    }

    /// −1 for legacy messages, which have none.
    pub(crate) fn leader_epoch(&self) -> i32 {
        match self.kind {
            FrameKind::Batch(header) => header.leader_epoch,
            FrameKind::Legacy { .. } => -1,
        }
    }
}
