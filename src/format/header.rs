//! The 61-byte header of a record batch of format 2.
//!
//! The checksum covers everything from the attributes on. Base offset, length, leader epoch and magic are before
//! it, so the log fills in offset and epoch after the producer computed the checksum; a flipped bit there is
//! found by the plausibility rules of [`valid_batch_at`](super::frame::valid_batch_at) only.

use std::fmt;

use super::Malformed;

/// Each position is built from the previous field's position and width.
const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = BASE_OFFSET + 8;
const LEADER_EPOCH: usize = BATCH_LENGTH + 4;
pub(crate) const MAGIC: usize = LEADER_EPOCH + 4;
const CRC: usize = MAGIC + 1;
pub(crate) const CHECKSUMMED: usize = CRC + 4;
const LAST_OFFSET_DELTA: usize = CHECKSUMMED + 2;
const BASE_TIMESTAMP: usize = LAST_OFFSET_DELTA + 4;
const MAX_TIMESTAMP: usize = BASE_TIMESTAMP + 8;
const PRODUCER_ID: usize = MAX_TIMESTAMP + 8;
const PRODUCER_EPOCH: usize = PRODUCER_ID + 8;
const BASE_SEQUENCE: usize = PRODUCER_EPOCH + 2;
const RECORD_COUNT: usize = BASE_SEQUENCE + 4;

/// Bytes of the header; the records follow.
pub(crate) const HEADER_BYTES: usize = RECORD_COUNT + 4;

/// Bytes before and including the length field, which the length does not count.
pub(crate) const LENGTH_OVERHEAD: usize = BATCH_LENGTH + 4;

const _: () = assert!(HEADER_BYTES == 61 && MAGIC == 16 && CHECKSUMMED == 21 && LENGTH_OVERHEAD == 12);

pub(crate) const CODEC_BITS: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const TRANSACTIONAL: i16 = 0x10;
pub(crate) const CONTROL: i16 = 0x20;
pub(crate) const DELETE_HORIZON: i16 = 0x40;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The lowest three bits of attributes: of a batch, and of a legacy message, which knows no zstd.
    pub(crate) fn of_attributes(attributes: i16) -> Result<Self, Malformed> {
        Ok(match attributes & CODEC_BITS {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(Malformed("unknown compression codec")),
        })
    }

    /// The attributes of a batch that is compressed like this and has no other.
    pub(crate) fn attributes(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The header, decoded. Nothing in it is trusted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) batch_length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

#[expect(clippy::indexing_slicing, reason = "the positions are those of the fields above")]
fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

impl BatchHeader {
    #[inline]
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(bytes, BASE_OFFSET)),
            batch_length: i32::from_be_bytes(field(bytes, BATCH_LENGTH)),
            leader_epoch: i32::from_be_bytes(field(bytes, LEADER_EPOCH)),
            magic: i8::from_be_bytes(field(bytes, MAGIC)),
            crc: u32::from_be_bytes(field(bytes, CRC)),
            attributes: i16::from_be_bytes(field(bytes, CHECKSUMMED)),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT)),
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the positions are those of the fields above")]
    pub(crate) fn write(&self, to: &mut [u8; HEADER_BYTES]) {
        let mut put = |at: usize, value: &[u8]| to[at..at + value.len()].copy_from_slice(value);
        put(BASE_OFFSET, &self.base_offset.to_be_bytes());
        put(BATCH_LENGTH, &self.batch_length.to_be_bytes());
        put(LEADER_EPOCH, &self.leader_epoch.to_be_bytes());
        put(MAGIC, &self.magic.to_be_bytes());
        put(CRC, &self.crc.to_be_bytes());
        put(CHECKSUMMED, &self.attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID, &self.producer_id.to_be_bytes());
        put(PRODUCER_EPOCH, &self.producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE, &self.base_sequence.to_be_bytes());
        put(RECORD_COUNT, &self.record_count.to_be_bytes());
    }

    /// Offset and epoch, which only the log knows; neither is covered by the checksum.
    #[inline]
    pub(crate) fn assign(to: &mut [u8; HEADER_BYTES], base_offset: i64, leader_epoch: i32) {
        to[BASE_OFFSET..BASE_OFFSET + 8].copy_from_slice(&base_offset.to_be_bytes());
        to[LEADER_EPOCH..LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.to_be_bytes());
    }

    /// The checksum, once everything that it covers is written.
    #[inline]
    pub(crate) fn seal(to: &mut [u8; HEADER_BYTES], crc: u32) {
        to[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    }

    /// Offset of the last record the batch was made with. Saturates instead of overflowing.
    #[inline]
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    pub(crate) fn codec(&self) -> Result<Codec, Malformed> {
        Codec::of_attributes(self.attributes)
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    #[inline]
    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// With this flag the base timestamp is the time after which tombstones may go.
    pub(crate) fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }
}
