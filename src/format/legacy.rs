//! Messages of the formats 0 and 1, which brokers before 0.11 wrote and a log may still hold. They are read, by making a
//! batch of format 2 out of each, and never written.
//!
//! An entry is an offset, a size, and a message of that size. A compressed message is a wrapper: its value is a
//! compressed row of entries of the same format, and its offset is that of the last of them. Offsets in there are
//! absolute in format 0 and relative in format 1.

use super::Malformed;
use super::compression::{self, Lz4Header, Unreadable};
use super::crc::crc32;
use super::decode::put_header;
use super::header::{BatchHeader, Codec, HEADER_BYTES, LOG_APPEND_TIME};
use super::record::RecordFields;
use super::varint::Input;

/// An entry, decoded, its checksum checked.
struct Message<'a> {
    offset: i64,
    magic: i8,
    attributes: i16,
    /// −1 in format 0, which has none.
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn take(input: &mut Input<'a>) -> Result<Self, Malformed> {
        let offset = input.i64()?;
        let size =
            usize::try_from(input.i32()?).map_err(|_| Malformed("the size of a message is negative"))?;
        let mut message = Input::new(input.take(size)?);
        let crc = u32::from_be_bytes(message.array()?);
        if crc32(message.rest()) != crc {
            return Err(Malformed("the checksum of a message does not match"));
        }
        let magic = message.i8()?;
        let attributes = i16::from(message.i8()?);
        let timestamp = match magic {
            0 => -1,
            1 => message.i64()?,
            _ => return Err(Malformed("a message set holds a message of another format")),
        };
        let (key, value) = (take_field(&mut message)?, take_field(&mut message)?);
        if !message.is_empty() {
            return Err(Malformed("bytes are left after the value of a message"));
        }
        Ok(Self { offset, magic, attributes, timestamp, key, value })
    }

    fn codec(&self) -> Result<Codec, Malformed> {
        match Codec::of_attributes(self.attributes)? {
            Codec::Zstd => Err(Malformed("a message of a format before 2 is compressed with zstd")),
            codec => Ok(codec),
        }
    }

    fn is_log_append_time(&self) -> bool {
        self.magic == 1 && self.attributes & LOG_APPEND_TIME != 0
    }
}

fn take_field<'a>(message: &mut Input<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match message.i32()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| Malformed("a field's length is negative"))?;
            message.take(length).map(Some).map_err(|_| Malformed("a field is longer than its message"))
        }
    }
}

/// The front of an entry, as stored: not even the checksum was checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegacyHead {
    pub(crate) offset: i64,
    pub(crate) crc: u32,
    pub(crate) magic: i8,
    pub(crate) attributes: i16,
    /// −1 in format 0, which has none.
    pub(crate) timestamp: i64,
}

impl LegacyHead {
    /// `None` if the entry is too short for one.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let mut input = Input::new(frame);
        let (offset, _size) = (input.i64().ok()?, input.i32().ok()?);
        let crc = u32::from_be_bytes(input.array().ok()?);
        let (magic, attributes) = (input.i8().ok()?, i16::from(input.i8().ok()?));
        let timestamp = if magic == 1 { input.i64().ok()? } else { -1 };
        Some(Self { offset, crc, magic, attributes, timestamp })
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.magic == 1 && self.attributes & LOG_APPEND_TIME != 0
    }
}

/// Appends the checksum of the message, or of each of those in a wrapper, in the order in which [`decode`] makes records.
pub(crate) fn checksums(frame: &[u8], limit: usize, to: &mut Vec<u32>) -> Result<(), Unreadable> {
    let outer = Message::take(&mut Input::new(frame))?;
    let codec = outer.codec()?;
    let mut set = Vec::new();
    let entries = if codec == Codec::None {
        frame
    } else {
        let value = outer.value.ok_or(Malformed("a compressed message has no value"))?;
        let lz4_header = if outer.magic == 0 { Lz4Header::Unchecked } else { Lz4Header::Checked };
        compression::decompress(codec, lz4_header, value, limit, &mut set)?;
        &set
    };
    let mut input = Input::new(entries);
    while !input.is_empty() {
        let (_offset, size) = (input.i64()?, input.i32()?);
        let size = usize::try_from(size).map_err(|_| Malformed("the size of a message is negative"))?;
        to.push(u32::from_be_bytes(Input::new(input.take(size)?).array()?));
    }
    Ok(())
}

/// Appends the message, or all those in a wrapper, as one batch of format 2.
pub(super) fn decode(frame: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let outer = Message::take(&mut Input::new(frame))?;
    let codec = outer.codec()?;
    if codec == Codec::None {
        return convert(frame, &outer, 0, to);
    }
    let value = outer.value.ok_or(Malformed("a compressed message has no value"))?;
    let lz4_header = if outer.magic == 0 { Lz4Header::Unchecked } else { Lz4Header::Checked };
    let mut set = Vec::new();
    compression::decompress(codec, lz4_header, value, limit, &mut set)?;
    let last = check_inner(&set, &outer)?;
    let shift = match (outer.magic, outer.offset) {
        (0, _) | (_, 0) => 0,
        // Below 2⁶³: neither is negative.
        (_, offset) => offset - last,
    };
    convert(&set, &outer, shift, to)
}

/// Checks what only the messages in a wrapper must be. The offset of the last one, which is not negative.
fn check_inner(set: &[u8], outer: &Message<'_>) -> Result<i64, Malformed> {
    let mut input = Input::new(set);
    let mut last = Err(Malformed("a compressed message holds no messages"));
    while !input.is_empty() {
        let inner = Message::take(&mut input)?;
        if inner.magic != outer.magic {
            return Err(Malformed("a message set holds a message of another format"));
        }
        if inner.codec()? != Codec::None {
            return Err(Malformed("a message inside a compressed message is compressed, too"));
        }
        if inner.offset < 0 {
            return Err(Malformed("the offset of a message is negative"));
        }
        last = Ok(inner.offset);
    }
    last
}

/// Appends the entries of `set` as one batch that ends at the offset of `outer`.
fn convert(set: &[u8], outer: &Message<'_>, shift: i64, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let start = to.len();
    to.resize(start + HEADER_BYTES, 0);
    let mut made: Option<BatchHeader> = None;
    let mut before = -1;
    let mut input = Input::new(set);
    while !input.is_empty() {
        let message = Message::take(&mut input)?;
        let offset = message.offset.checked_add(shift).filter(|offset| *offset > before);
        let offset = offset.ok_or(Malformed("the offsets of the messages do not increase"))?;
        if offset > outer.offset {
            return Err(Malformed("the offset of a message lies after its wrapper's").into());
        }
        before = offset;
        let header = match &mut made {
            Some(header) => header,
            None => made.insert(first(&message, offset, outer)?),
        };
        // Neither is below the base nor further from it than the last offset, which the header holds.
        let offset_delta = u32::try_from(offset - header.base_offset).unwrap_or(u32::MAX);
        let timestamp_delta = message.timestamp.wrapping_sub(header.base_timestamp);
        let fields = RecordFields { key: message.key, value: message.value, headers: &[] };
        fields.encode(fields.measure(timestamp_delta, offset_delta), to);
        header.record_count += 1;
        if !outer.is_log_append_time() {
            header.max_timestamp = header.max_timestamp.max(message.timestamp);
        }
    }
    put_header(made.ok_or(Malformed("a compressed message holds no messages"))?, start, to)
}

/// The header of a batch that begins with this message, which has this offset.
fn first(message: &Message<'_>, offset: i64, outer: &Message<'_>) -> Result<BatchHeader, Malformed> {
    let appended = outer.is_log_append_time();
    let reach = outer.offset - offset;
    Ok(BatchHeader {
        base_offset: offset,
        batch_length: 0,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: if appended { LOG_APPEND_TIME } else { 0 },
        last_offset_delta: i32::try_from(reach)
            .map_err(|_| Malformed("the offsets of the messages are too far apart"))?,
        base_timestamp: message.timestamp,
        max_timestamp: if appended { outer.timestamp } else { message.timestamp },
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 0,
    })
}
