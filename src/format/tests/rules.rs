//! Every rule of a complete batch, of its records and of the legacy formats, broken on its own and at its edge.

use super::{sealed, vector};
use crate::format::Malformed;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::crc::crc32;
use crate::format::frame::{Frame, FrameKind, InvalidBatch, frame_at, valid_batch_at};
use crate::format::header::{BatchHeader, HEADER_BYTES};
use crate::format::record::{Header, RecordFields};

/// Where the checksum of a legacy message begins.
const MESSAGE: usize = 12;

/// A batch of three records, its header changed.
fn with_header(change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut bytes = vector("batches/kp_basic.bin");
    let mut header = BatchHeader::read(bytes.first_chunk().unwrap());
    change(&mut header);
    header.write(bytes.first_chunk_mut().unwrap());
    sealed(bytes)
}

/// A batch with this header that holds `records` records, encoded as `body`.
fn with_records(records: i32, last_offset_delta: i32, body: &[u8]) -> Vec<u8> {
    let front = with_header(|header| {
        header.record_count = records;
        header.last_offset_delta = last_offset_delta;
    });
    sealed([&front[..HEADER_BYTES], body].concat())
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    assert!(frame_at(bytes).is_ok());
    Batch::of_frame(bytes).unwrap().check_records()
}

fn refused<T>(reason: &'static str) -> Result<T, Malformed> {
    Err(Malformed(reason))
}

fn invalid(reason: &'static str) -> Result<Frame, InvalidBatch> {
    Err(Malformed(reason).into())
}

#[test]
fn offsets_of_a_batch() {
    let wrong = invalid("the offset is not the expected one");
    let at = |base_offset| with_header(|header| header.base_offset = base_offset);
    assert_eq!(valid_batch_at(&at(-1), 0), wrong);
    assert_eq!(valid_batch_at(&at(i64::MIN), 0), wrong);
    assert_eq!(valid_batch_at(&at(6), 7), wrong);
    assert!(valid_batch_at(&at(7), 7).is_ok());
    assert!(valid_batch_at(&at(8), 7).is_ok());

    // The offset after the last must be one, too.
    let end = valid_batch_at(&at(i64::MAX - 3), 7).unwrap();
    assert_eq!(end.last_offset(), i64::MAX as u64 - 1);
    assert_eq!(valid_batch_at(&at(i64::MAX - 2), 7), wrong);
    assert_eq!(valid_batch_at(&at(i64::MAX), 7), wrong);
    assert_eq!(valid_batch_at(&at(i64::MAX - 3), u64::MAX), wrong);
}

#[test]
fn counts_of_a_batch() {
    let counts = |record_count, last_offset_delta| {
        let bytes = with_header(|header| {
            header.record_count = record_count;
            header.last_offset_delta = last_offset_delta;
        });
        valid_batch_at(&bytes, 0)
    };
    assert_eq!(counts(0, -1), invalid("the last offset delta is negative"));
    assert_eq!(counts(3, i32::MIN), invalid("the last offset delta is negative"));
    assert_eq!(counts(-1, 0), invalid("the record count is negative"));
    assert_eq!(counts(3, 1), invalid("the record count exceeds the offsets of the batch"));
    assert_eq!(counts(i32::MAX, 2), invalid("the record count exceeds the offsets of the batch"));
    for (record_count, last_offset_delta) in [(0, 0), (3, 2), (3, i32::MAX), (i32::MAX, i32::MAX)] {
        assert!(counts(record_count, last_offset_delta).is_ok());
    }
}

#[test]
fn attributes_of_a_batch() {
    for codec in 5..=7 {
        let bytes = with_header(|header| header.attributes = codec);
        assert_eq!(valid_batch_at(&bytes, 0), Err(InvalidBatch::Newer(Malformed::NEWER_CODEC)));
        assert_eq!(check(&bytes), refused("unknown compression codec"));
    }
    // Bits that have no meaning yet are ignored.
    let bytes = with_header(|header| header.attributes = !0x7f);
    assert!(valid_batch_at(&bytes, 0).is_ok());
    assert_eq!(check(&bytes), Ok(()));
}

#[test]
fn offsets_of_records() {
    let record = |delta: u8| [12, 0, 0, delta << 1, 1, 1, 0];
    let two = |first, second, last| check(&with_records(2, last, &[record(first), record(second)].concat()));
    assert_eq!(two(0, 1, 1), Ok(()));
    assert_eq!(two(3, 9, 9), Ok(()));
    assert_eq!(two(3, 9, 100), Ok(()));
    assert_eq!(two(3, 9, 8), refused("a record's offset lies past the batch's last offset"));
    assert_eq!(two(3, 3, 9), refused("the offsets of the records do not increase"));
    assert_eq!(two(3, 2, 9), refused("the offsets of the records do not increase"));
    let negative = [12, 0, 0, 1, 1, 1, 0];
    assert_eq!(check(&with_records(1, 0, &negative)), refused("the offsets of the records do not increase"));
    assert_eq!(check(&with_records(0, 4, &[])), Ok(()));
    assert_eq!(check(&with_records(i32::MAX, i32::MAX, &record(0))), refused("ends early"));
}

#[test]
fn fields_of_a_record() {
    // Attributes, two deltas, and what follows them.
    let one = |fields: &[u8]| {
        let length = u8::try_from(3 + fields.len()).unwrap() << 1;
        check(&with_records(1, 0, &[&[length, 0, 0, 0], fields].concat()))
    };
    let left = "bytes are left after the last field of a record";
    assert_eq!(one(&[1, 1, 0]), Ok(()));
    assert_eq!(one(&[2, 7, 4, 8, 9, 0]), Ok(()));
    assert_eq!(one(&[1, 1, 0, 0]), refused(left));
    assert_eq!(one(&[3, 1, 0]), refused("a field's length is negative"));
    assert_eq!(one(&[1, 3, 0]), refused("a field's length is negative"));
    assert_eq!(one(&[1, 4, 0]), refused("a field is longer than its record"));
    assert_eq!(one(&[1, 1]), refused("ends early"));

    // Headers: empty names and null values are legal.
    assert_eq!(one(&[1, 1, 2, 0, 1]), Ok(()));
    assert_eq!(one(&[1, 1, 4, 2, b'h', 2, b'v', 0, 0]), Ok(()));
    assert_eq!(one(&[1, 1, 2, 0, 1, 0]), refused(left));
    assert_eq!(one(&[1, 1, 1]), refused("a record's header count is negative"));
    assert_eq!(one(&[1, 1, 2, 0]), refused("a record's header count exceeds its bytes"));
    assert_eq!(one(&[1, 1, 4, 0, 1]), refused("a record's header count exceeds its bytes"));
    assert_eq!(one(&[1, 1, 2, 1, 0]), refused("a header's name is null"));
    assert_eq!(one(&[1, 1, 2, 3, 0]), refused("a field's length is negative"));
    assert_eq!(one(&[1, 1, 2, 0, 3]), refused("a field's length is negative"));

    assert_eq!(
        check(&with_records(1, 0, &[14, 0, 0, 0, 1, 1, 0])),
        refused("a record is longer than its batch")
    );
    assert_eq!(
        check(&with_records(1, 0, &[12, 0, 0, 0, 1, 1, 0, 0])),
        refused("bytes are left after the last record")
    );
}

/// Offset, size and checksum before a message of format 0 or 1.
fn legacy(offset: i64, message: &[u8]) -> Vec<u8> {
    let size = i32::try_from(4 + message.len()).unwrap();
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc32(message).to_be_bytes(), message].concat()
}

#[test]
fn legacy_messages() {
    let null = [0xff; 4];
    let oldest = legacy(7, &[&[0, 0], &null[..], &null].concat());
    let frame = Frame { bytes: 26, kind: FrameKind::Legacy { offset: 7, timestamp: -1 } };
    assert_eq!(frame_at(&oldest), Ok(frame));
    assert_eq!(valid_batch_at(&oldest, 7), Ok(frame));
    assert_eq!(valid_batch_at(&oldest, 8), invalid("the offset is not the expected one"));
    assert_eq!((frame.last_offset(), frame.max_timestamp(), frame.leader_epoch()), (7, -1, -1));

    let newer = legacy(8, &[&[1, 0], &1234_i64.to_be_bytes()[..], &null, &null].concat());
    let frame = Frame { bytes: 34, kind: FrameKind::Legacy { offset: 8, timestamp: 1234 } };
    assert_eq!(valid_batch_at(&newer, 0), Ok(frame));
    assert_eq!((frame.last_offset(), frame.max_timestamp(), frame.leader_epoch()), (8, 1234, -1));

    for message in [oldest, newer] {
        for cut in 0..message.len() {
            assert!(frame_at(&message[..cut]).is_err(), "{cut}");
        }
        for at in MESSAGE..message.len() {
            let mut flipped = message.clone();
            flipped[at] ^= 1;
            assert!(frame_at(&flipped).is_err(), "{at}");
        }
    }

    // A broker takes any negative magic for a legacy one; nothing ever wrote that.
    let negative = legacy(9, &[&[0xff, 0], &null[..], &null].concat());
    assert!(frame_at(&negative).is_ok());
    assert_eq!(valid_batch_at(&negative, 9), invalid("unknown magic, it must be 0, 1 or 2"));
}

#[test]
fn names_of_headers_that_are_not_text_leave_the_record_readable() {
    let bytes = with_records(1, 0, &[22, 0, 0, 0, 1, 1, 2, 4, 0xff, 0xfe, 2, b'v']);
    assert_eq!(check(&bytes), Ok(()));
    let row = super::rows::Row::read(&Batch::of_frame(&bytes).unwrap());
    assert_eq!(row[0].headers, [("\u{fffd}".to_owned(), Some(b"v".to_vec()))]);
}

#[test]
fn size_of_a_batch_is_known_before_a_record_is_added() {
    let builder = BatchBuilder::default();
    let headers = [Header::new("name", "value"), Header::null("")];
    let fields = RecordFields { key: Some(b"key"), value: None, headers: &headers };
    // Length, attributes, two deltas; key; value; count; name, value; name, value.
    let record = 4 + (1 + 3) + 1 + 1 + (1 + 4) + (1 + 5) + 1 + 1;
    assert_eq!(builder.bytes_with(&builder.measure(&fields, i64::MIN)), HEADER_BYTES + record);
    assert!(builder.is_empty());
}
