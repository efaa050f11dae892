//! A batch with all that its header says, and the records in it.

use std::borrow::Cow;
use std::path::Path;

use crate::config::{Compression, TimestampType};
use crate::consumer::Headers;
use crate::error::{Damage, Error, Result};
use crate::format::batch::Batch;
use crate::format::compression::{Unreadable, has_linked_blocks};
use crate::format::control::ControlRecord;
use crate::format::decode::{decode, is_encoded};
use crate::format::frame::{frame_at, is_legacy};
use crate::format::header::{BatchHeader, Codec, HEADER_BYTES};
use crate::format::legacy::{self, LegacyHead};
use crate::format::raw_record::{RawHeaders, RawRecord};
use crate::format::varint::Input;

/// A batch as it lies in a file, or a message of the formats 0 and 1, which old brokers wrote in place of batches.
///
/// Everything but [`is_valid`](Self::is_valid) and [`records`](Self::records) is what the header says.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    path: &'a Path,
    frame: &'a [u8],
    position: u64,
    head: Head,
    /// What the records may take when they are decompressed.
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
enum Head {
    Batch(BatchHeader),
    Legacy(LegacyHead),
}

impl<'a> BatchView<'a> {
    /// `frame` is all of a batch, by its length. `None` if it is too short for what it says it is.
    pub(super) fn of(path: &'a Path, frame: &'a [u8], position: u64, limit: usize) -> Option<Self> {
        let head = if is_legacy(frame) {
            Head::Legacy(LegacyHead::read(frame)?)
        } else {
            Head::Batch(BatchHeader::read(frame.first_chunk()?))
        };
        Some(Self { path, frame, position, head, limit })
    }

    pub(super) fn header(&self) -> Option<&BatchHeader> {
        match &self.head {
            Head::Batch(header) => Some(header),
            Head::Legacy(_) => None,
        }
    }

    pub(super) fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Where the batch begins, in bytes from the start of the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the batch, header included.
    pub fn bytes(&self) -> u64 {
        self.frame.len() as u64
    }

    /// The format: 2 for batches, 0 or 1 for the messages of old brokers.
    pub fn magic(&self) -> i8 {
        match self.head {
            Head::Batch(header) => header.magic,
            Head::Legacy(legacy) => legacy.magic,
        }
    }

    /// The first offset. `None` for old messages: theirs is known from the [`records`](Self::records) only.
    pub fn base_offset(&self) -> Option<i64> {
        self.header().map(|header| header.base_offset)
    }

    /// The last offset, whether its record is still there or was compacted away.
    pub fn last_offset(&self) -> i64 {
        match self.head {
            Head::Batch(header) => header.last_offset(),
            Head::Legacy(legacy) => legacy.offset,
        }
    }

    /// How many records there are. `None` for old messages.
    pub fn record_count(&self) -> Option<i32> {
        self.header().map(|header| header.record_count)
    }

    /// The sequence number of the record at the first offset; −1 for none.
    pub fn base_sequence(&self) -> i32 {
        self.header().map_or(-1, |header| header.base_sequence)
    }

    /// The sequence number of the record at the last offset; −1 for none. After 2³¹−1 comes 0.
    pub fn last_sequence(&self) -> i32 {
        self.header().map_or(-1, |header| sequence(header, header.last_offset_delta))
    }

    /// Which producer wrote the batch; −1 for none with an id.
    pub fn producer_id(&self) -> i64 {
        self.header().map_or(-1, |header| header.producer_id)
    }

    /// Which of the producers with this id, one after another; −1 for none with an id.
    pub fn producer_epoch(&self) -> i16 {
        self.header().map_or(-1, |header| header.producer_epoch)
    }

    /// In which term of a leader the batch was appended; −1 for unknown.
    pub fn leader_epoch(&self) -> i32 {
        self.header().map_or(-1, |header| header.leader_epoch)
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header().is_some_and(BatchHeader::is_transactional)
    }

    /// Whether the batch is one that Kafka writes for itself, such as the end of a transaction.
    pub fn is_control(&self) -> bool {
        self.header().is_some_and(BatchHeader::is_control)
    }

    /// The time, in ms since 1970, from which on a compaction takes tombstones out of this batch, once that is set.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.header().filter(|header| header.has_delete_horizon()).map(|header| header.base_timestamp)
    }

    /// The largest timestamp, in ms since 1970; −1 for none.
    pub fn max_timestamp(&self) -> i64 {
        match self.head {
            Head::Batch(header) => header.max_timestamp,
            Head::Legacy(legacy) => legacy.timestamp,
        }
    }

    /// What the timestamps mean. `None` for messages of format 0, which have none.
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        let appended = match self.head {
            Head::Batch(header) => header.is_log_append_time(),
            Head::Legacy(LegacyHead { magic: ..=0, .. }) => return None,
            Head::Legacy(legacy) => legacy.is_log_append_time(),
        };
        Some(if appended { TimestampType::LogAppendTime } else { TimestampType::CreateTime })
    }

    /// How the records are compressed. `None` for a codec that does not exist.
    pub fn compression(&self) -> Option<Compression> {
        let codec = match self.head {
            Head::Batch(header) => header.codec(),
            Head::Legacy(legacy) => Codec::of_attributes(legacy.attributes),
        };
        codec.ok().map(|codec| match codec {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        })
    }

    /// The checksum as it is written in the batch.
    pub fn crc(&self) -> u32 {
        match self.head {
            Head::Batch(header) => header.crc,
            Head::Legacy(legacy) => legacy.crc,
        }
    }

    /// Whether the checksum is that of the bytes.
    pub fn is_valid(&self) -> bool {
        frame_at(self.frame).is_ok()
    }

    /// Whether only this crate can read the records.
    pub(super) fn has_linked_blocks(&self) -> bool {
        let records = self.frame.get(HEADER_BYTES..).unwrap_or_default();
        let codec = self.header().and_then(|header| header.codec().ok());
        codec.is_some_and(|codec| has_linked_blocks(codec, records))
    }

    /// The records, decompressed if need be, those of control batches among them.
    ///
    /// # Errors
    /// `Corrupt` if they do not hold together, whatever the checksum says; `Unsupported` if they are compressed with a
    /// codec that is not built in, or decompress to more than is read of one batch:
    /// [`LogFile::max_decompressed_batch_bytes`](super::LogFile::max_decompressed_batch_bytes).
    pub fn records(&self) -> Result<BatchRecords<'a>> {
        self.decoded().map_err(|unreadable| {
            let damage = Box::new(Damage::new(self.path, self.position, unreadable.to_string()));
            match unreadable {
                Unreadable::Malformed(_) => Error::Corrupt(damage),
                _ => Error::Unsupported(damage),
            }
        })
    }

    pub(super) fn decoded(&self) -> std::result::Result<BatchRecords<'a>, Unreadable> {
        let mut checksums = Vec::new();
        let bytes = if is_encoded(self.frame) {
            let mut made = Vec::new();
            decode(self.frame, self.limit, &mut made)?;
            if let Head::Legacy(_) = self.head {
                legacy::checksums(self.frame, self.limit, &mut checksums)?;
            }
            Cow::Owned(made)
        } else {
            Cow::Borrowed(self.frame)
        };
        let batch = Batch::of_frame(&bytes).ok_or(crate::format::Malformed("the batch is too short"))?;
        batch.check_records()?;
        let header = batch.header;
        Ok(BatchRecords { bytes, header, checksums })
    }
}

/// Sequences count from 0 to 2³¹−1 and begin anew.
fn sequence(header: &BatchHeader, offset_delta: i32) -> i32 {
    match header.base_sequence {
        ..0 => -1,
        base => base.wrapping_add(offset_delta) & i32::MAX,
    }
}

/// The records of a batch, checked.
#[derive(Debug)]
pub struct BatchRecords<'a> {
    bytes: Cow<'a, [u8]>,
    header: BatchHeader,
    /// Of old messages, each of which has its own.
    checksums: Vec<u32>,
}

impl BatchRecords<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.header.record_count).unwrap_or(0)
    }

    /// Whether there are none: a compaction left nothing but the header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = InspectedRecord<'_>> {
        let mut rest = Batch::of_frame(&self.bytes).map_or(Input::new(&[]), |batch| batch.records());
        (0..self.len()).map_while(move |at| {
            let raw = RawRecord::take(&mut rest).ok()?;
            let timestamp = if self.header.is_log_append_time() {
                self.header.max_timestamp
            } else {
                self.header.base_timestamp.wrapping_add(raw.timestamp_delta)
            };
            Some(InspectedRecord {
                offset: self.header.base_offset.saturating_add(i64::from(raw.offset_delta)),
                timestamp,
                sequence: sequence(&self.header, raw.offset_delta),
                is_control: self.header.is_control(),
                checksum: self.checksums.get(at).copied(),
                key: raw.key,
                value: raw.value,
                headers: raw.headers,
            })
        })
    }

    pub(super) fn first_offset(&self) -> i64 {
        self.header.base_offset
    }
}

impl<'r> IntoIterator for &'r BatchRecords<'_> {
    type Item = InspectedRecord<'r>;
    type IntoIter = Box<dyn Iterator<Item = InspectedRecord<'r>> + 'r>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

/// A record in a batch.
#[derive(Debug, Clone, Copy)]
pub struct InspectedRecord<'a> {
    offset: i64,
    timestamp: i64,
    sequence: i32,
    is_control: bool,
    checksum: Option<u32>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: RawHeaders<'a>,
}

impl<'a> InspectedRecord<'a> {
    /// The offset.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The timestamp in ms since 1970; −1 for none.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The sequence number; −1 for none.
    pub fn sequence(&self) -> i32 {
        self.sequence
    }

    /// The key; `None` for null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` for null.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.headers)
    }

    /// The checksum of an old message, which is right; `None` for records, which have none of their own.
    pub fn crc(&self) -> Option<u32> {
        self.checksum
    }

    /// What the record of a control batch says; `None` for the records of others, and what is invalid.
    pub fn control(&self) -> Option<ControlKind> {
        let decoded = ControlRecord::decode(self.key, self.value).ok().filter(|_| self.is_control)?;
        Some(match decoded {
            ControlRecord::Abort { coordinator_epoch } => ControlKind::Abort { coordinator_epoch },
            ControlRecord::Commit { coordinator_epoch } => ControlKind::Commit { coordinator_epoch },
            ControlRecord::LeaderChange => ControlKind::LeaderChange,
            ControlRecord::SnapshotHeader => ControlKind::SnapshotHeader,
            ControlRecord::SnapshotFooter => ControlKind::SnapshotFooter,
            ControlRecord::KRaftVersion => ControlKind::KRaftVersion,
            ControlRecord::KRaftVoters => ControlKind::KRaftVoters,
            ControlRecord::Unknown(kind) => ControlKind::Unknown(kind),
        })
    }
}

/// What Kafka notes in control batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlKind {
    /// The producer's transaction ends here and does not count.
    Abort {
        /// The epoch of the coordinator that ended it.
        coordinator_epoch: i32,
    },
    /// The producer's transaction ends here and counts.
    Commit {
        /// The epoch of the coordinator that ended it.
        coordinator_epoch: i32,
    },
    /// The metadata log has another leader from here on.
    LeaderChange,
    /// A snapshot of the metadata log begins.
    SnapshotHeader,
    /// A snapshot of the metadata log ends.
    SnapshotFooter,
    /// The version of the metadata log's protocol.
    KRaftVersion,
    /// Who votes in the metadata log's quorum.
    KRaftVoters,
    /// Something newer.
    Unknown(i16),
}
