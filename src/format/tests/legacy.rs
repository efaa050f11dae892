//! The message sets under `tests/vectors/legacy`, read as listed; and what is wrong with a set that no scan sees.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rows::Row;
use super::{manifest, vector};
use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::compression::{Encoding, Unreadable, compress};
use crate::format::crc::crc32;
use crate::format::decode::{decode, is_encoded};
use crate::format::frame::{max_timestamp_of, valid_batch_at};
use crate::format::header::Codec;

const ENOUGH: usize = 1 << 20;
const LOG_APPEND_TIME: u8 = 8;

/// A message and its place in a set.
#[derive(Clone)]
struct Message {
    offset: i64,
    magic: u8,
    attributes: u8,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Message {
    fn of(magic: u8, offset: i64) -> Self {
        let value = Some(format!("value {offset}").into_bytes());
        Self { offset, magic, attributes: 0, timestamp: offset.saturating_add(1000), key: None, value }
    }

    /// A wrapper around a set.
    fn around(magic: u8, offset: i64, codec: Codec, set: &[u8]) -> Self {
        let mut value = Vec::new();
        let level = if codec == Codec::Zstd { 3 } else { -1 };
        compress(Encoding { codec, level }, set, &mut value).unwrap();
        let attributes = codec.attributes().to_be_bytes()[1];
        Self { attributes, timestamp: 5000, value: Some(value), ..Self::of(magic, offset) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = vec![self.magic, self.attributes];
        if self.magic == 1 {
            body.extend(self.timestamp.to_be_bytes());
        }
        for field in [&self.key, &self.value] {
            let length = field.as_ref().map_or(-1, |field| i32::try_from(field.len()).unwrap());
            body.extend(length.to_be_bytes());
            body.extend(field.iter().flatten());
        }
        sealed(self.offset, &body)
    }
}

fn sealed(offset: i64, body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(4 + body.len()).unwrap();
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc32(body).to_be_bytes(), body].concat()
}

fn set(magic: u8, offsets: impl IntoIterator<Item = i64>) -> Vec<u8> {
    offsets.into_iter().flat_map(|offset| Message::of(magic, offset).bytes()).collect()
}

fn rows(frame: &[u8]) -> Result<Vec<Row>, Unreadable> {
    let mut made = b"before".to_vec();
    if let Err(reason) = decode(frame, ENOUGH, &mut made) {
        assert_eq!(made, b"before");
        return Err(reason);
    }
    let (batch, after) = Batch::take_checked(&made[6..]).unwrap();
    assert!(after.is_empty());
    batch.check_records()?;
    assert_eq!((batch.header.leader_epoch, batch.header.producer_id), (-1, -1));
    let rows = Row::read(&batch);
    assert_eq!(batch.header.base_offset, rows[0].offset);
    assert_eq!(Some(batch.header.max_timestamp), rows.iter().map(|row| row.timestamp).max());
    Ok(rows)
}

fn refused(message: &Message, reason: &'static str) {
    assert_eq!(rows(&message.bytes()), Err(Malformed(reason).into()));
}

/// A codec to compress wrappers with, if there is one.
fn codec() -> Option<Codec> {
    [Codec::Gzip, Codec::Snappy, Codec::Lz4].into_iter().find(|codec| codec.is_built_in())
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn sets_are_read_as_they_are_listed() {
    let mut read = 0;
    for entry in manifest("legacy") {
        let file = entry["file"].as_str().unwrap();
        let bytes = vector(file);
        let expected: Vec<_> = entry["records"].as_array().unwrap().iter().map(Row::described).collect();
        let (mut rest, mut next, mut found) = (&bytes[..], 0, Vec::new());
        while !rest.is_empty() {
            let frame = valid_batch_at(rest, next).unwrap();
            assert_eq!(max_timestamp_of(rest), frame.max_timestamp(), "{file}");
            assert!(is_encoded(&rest[..frame.bytes]));
            match rows(&rest[..frame.bytes]) {
                Err(Unreadable::NotBuiltIn(codec)) if !codec.is_built_in() => {}
                rows => found.extend(rows.unwrap()),
            }
            next = frame.last_offset() + 1;
            rest = &rest[frame.bytes..];
        }
        if !found.is_empty() {
            assert_eq!(found, expected, "{file}");
            assert_eq!(next, u64::try_from(expected.last().unwrap().offset).unwrap() + 1, "{file}");
            read += 1;
        }
    }
    assert!(read >= 4, "{read}");
}

#[test]
fn log_append_time_is_the_wrappers() {
    let mut single = Message::of(1, 9);
    single.attributes = LOG_APPEND_TIME;
    assert_eq!(rows(&single.bytes()).unwrap()[0].timestamp, 1009);
    let Some(codec) = codec() else { return };
    let mut wrapper = Message::around(1, 9, codec, &set(1, 0..3));
    assert_eq!(max_timestamp_of(&wrapper.bytes()), 5000);
    assert_eq!(rows(&wrapper.bytes()).unwrap()[2].timestamp, 1002);
    wrapper.attributes |= LOG_APPEND_TIME;
    let stamps: Vec<_> = rows(&wrapper.bytes()).unwrap().iter().map(|row| row.timestamp).collect();
    assert_eq!(stamps, [5000; 3]);
    // In format 0 the bit means nothing.
    let mut wrapper = Message::around(0, 2, codec, &set(0, 0..3));
    wrapper.attributes |= LOG_APPEND_TIME;
    assert_eq!(rows(&wrapper.bytes()).unwrap()[2].timestamp, -1);
}

#[test]
fn offsets_in_a_wrapper() {
    let Some(codec) = codec() else { return };
    let of = |magic, offset, inner: &[i64]| {
        let wrapper = Message::around(magic, offset, codec, &set(magic, inner.iter().copied()));
        rows(&wrapper.bytes()).map(|rows| rows.iter().map(|row| row.offset).collect::<Vec<_>>())
    };
    assert_eq!(of(1, 107, &[0, 1, 7]), Ok(vec![100, 101, 107]));
    assert_eq!(of(1, 107, &[5, 7]), Ok(vec![105, 107]));
    assert_eq!(of(0, 107, &[100, 101, 107]), Ok(vec![100, 101, 107]));
    assert_eq!(of(0, 107, &[100]), Ok(vec![100]));
    assert_eq!(of(1, 0, &[0]), Ok(vec![0]));
    let after = Err(Malformed("the offset of a message lies after its wrapper's").into());
    assert_eq!(of(0, 107, &[107, 108]), after);
    assert_eq!(of(1, 0, &[0, 1]), after);
    let back = Err(Malformed("the offsets of the messages do not increase").into());
    for inner in [&[1, 1, 2][..], &[2, 1, 3]] {
        assert_eq!(of(0, 107, inner), back);
        assert_eq!(of(1, 107, inner), back);
    }
    assert_eq!(of(1, 5, &[0, 7]), back);
    let apart = Err(Malformed("the offsets of the messages are too far apart").into());
    assert_eq!(of(0, 1 << 31, &[0]), apart);
    assert_eq!(of(0, (1 << 31) - 1, &[0]), Ok(vec![0]));
    assert_eq!(of(0, i64::MAX - 1, &[i64::MAX - 1]), Ok(vec![i64::MAX - 1]));
    let negative = Err(Malformed("the offset of a message is negative").into());
    assert_eq!(of(0, 4, &[-1, 4]), negative);
}

#[test]
fn what_a_wrapper_must_not_hold() {
    let Some(codec) = codec() else { return };
    refused(&Message::around(1, 4, codec, &[]), "a compressed message holds no messages");
    let other = "a message set holds a message of another format";
    refused(&Message::around(1, 4, codec, &set(0, 0..3)), other);
    refused(&Message::around(0, 4, codec, &set(1, 0..3)), other);
    refused(&Message::around(1, 4, codec, &[set(1, 0..2), set(0, 2..3)].concat()), other);
    let inner = Message::around(1, 4, codec, &set(1, 0..3)).bytes();
    refused(
        &Message::around(1, 4, codec, &inner),
        "a message inside a compressed message is compressed, too",
    );
    let mut null = Message::around(1, 4, codec, &[]);
    null.value = None;
    refused(&null, "a compressed message has no value");
    let mut zstd = Message::of(1, 4);
    zstd.attributes = 4;
    refused(&zstd, "a message of a format before 2 is compressed with zstd");
    zstd.attributes = 5;
    refused(&zstd, "unknown compression codec");

    let good = set(1, 0..3);
    for cut in 1..good.len() {
        let whole = [41, 82].contains(&cut);
        assert_eq!(good.len(), 123);
        let wrapper = Message::around(1, 40, codec, &good[..cut]);
        assert_eq!(rows(&wrapper.bytes()).is_ok(), whole, "{cut}");
    }
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    refused(&Message::around(1, 4, codec, &flipped), "the checksum of a message does not match");
}

#[test]
fn fields_of_a_message() {
    let row = |key: &[u8], value: &[u8]| rows(&sealed(4, &[&[0, 0], key, value].concat()));
    let null = [0xff; 4];
    assert_eq!(row(&null, &null).unwrap()[0].value, None);
    assert_eq!(row(&[0, 0, 0, 1, b'k'], &[0; 4]).unwrap()[0].key, Some(b"k".to_vec()));
    let reason = |reason| Err(Malformed(reason).into());
    assert_eq!(row(&[0xff, 0xff, 0xff, 0xfe], &null), reason("a field's length is negative"));
    assert_eq!(row(&[0, 0, 0, 9], &null), reason("a field is longer than its message"));
    assert_eq!(row(&null, &[0xff; 5]), reason("bytes are left after the value of a message"));
    assert_eq!(row(&null, &[0xff; 3]), reason("ends early"));
}

#[test]
fn a_bomb_in_a_wrapper_is_refused() {
    let Some(codec) = codec() else { return };
    let mut large = Message::of(1, 0);
    large.value = Some(vec![0; ENOUGH]);
    let wrapper = Message::around(1, 0, codec, &large.bytes());
    assert_eq!(rows(&wrapper.bytes()), Err(Unreadable::TooLarge { limit: ENOUGH }));
}

#[test]
fn lz4_of_format_0_has_a_wrong_header_checksum() {
    if !Codec::Lz4.is_built_in() {
        return;
    }
    for magic in [0, 1] {
        let mut wrapper = Message::around(magic, 2, Codec::Lz4, &set(magic, 0..3));
        wrapper.value.as_mut().unwrap()[6] ^= 0x55;
        assert_eq!(rows(&wrapper.bytes()).is_ok(), magic == 0);
    }
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn any_value_of_a_wrapper_is_refused_or_read(bytes in vec(any::<u8>(), 0..200), codec in 0_u8..8, magic in 0_u8..2) {
        let wrapper = Message { attributes: codec, value: Some(bytes), ..Message::of(magic, 40) };
        let _ = rows(&wrapper.bytes());
    }

    #[test]
    fn any_set_in_a_wrapper_is_refused_or_read(
        offsets in vec(-2_i64..12, 0..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        wrapper in 0_i64..12,
        magic in 0_u8..2,
    ) {
        let Some(codec) = codec() else { return Ok(()) };
        let mut set = set(magic, offsets);
        if !set.is_empty() {
            for (at, byte) in damage {
                let at = at.index(set.len());
                set[at] = byte;
            }
        }
        if let Ok(rows) = rows(&Message::around(magic, wrapper, codec, &set).bytes()) {
            prop_assert!(rows.is_sorted_by(|a, b| a.offset < b.offset));
            prop_assert!(rows.iter().all(|row| (0..=wrapper).contains(&row.offset)));
        }
    }
}
