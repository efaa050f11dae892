//! A batch that was cut or in which a bit flipped: never taken for whole, but for the bits that nothing guards.

use super::rows::Row;
use super::vector;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::frame::{frame_at, valid_batch_at};
use crate::format::header::BatchHeader;

const BASE_OFFSET: std::ops::Range<usize> = 0..8;
const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
const MAGIC: usize = 16;

/// Three records each, without and with headers; the offset of the second has ones and zeros to flip.
fn batches() -> [Vec<u8>; 2] {
    let headers = [("trace", Some(&b"\x00\x01"[..])), ("", None), ("trace", Some(b""))];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
    let mut builder = BatchBuilder::default();
    for (key, value) in [(Some("key"), Some("value")), (None, Some("")), (Some(""), None)] {
        let field = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let row = Row {
            offset: 0,
            timestamp: 1_700_000_000_000,
            key: field(key),
            value: field(value),
            headers: headers.to_vec(),
        };
        row.push(&mut builder);
    }
    let built = builder.finish().unwrap().placed_at(0x0123_4567_89ab_cdef, 5).to_vec();
    [vector("batches/kp_basic.bin"), built]
}

fn header(batch: &[u8]) -> BatchHeader {
    Batch::of_frame(batch).unwrap().header
}

#[test]
fn every_cut_is_refused() {
    for batch in batches() {
        let expected = u64::try_from(header(&batch).base_offset).unwrap();
        for cut in 0..batch.len() {
            assert!(frame_at(&batch[..cut]).is_err(), "{cut}");
            assert!(valid_batch_at(&batch[..cut], expected).is_err(), "{cut}");
        }
        assert!(valid_batch_at(&batch, expected).is_ok());
    }
}

#[test]
#[cfg_attr(miri, ignore = "tries each bit of a batch or record, which takes Miri minutes")]
fn every_cut_that_was_filled_with_zeros_is_refused() {
    for batch in batches() {
        let expected = u64::try_from(header(&batch).base_offset).unwrap();
        for cut in 0..batch.len() {
            let mut filled = batch.clone();
            filled[cut..].fill(0);
            // The last byte is the count of headers or the length of an empty value, and may be zero itself.
            assert_eq!(valid_batch_at(&filled, expected).is_ok(), filled == batch, "{cut}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "tries each bit of a batch or record, which takes Miri minutes")]
fn flipped_bits_are_found_where_something_guards_them() {
    for batch in batches() {
        flip_every_bit(&batch, &[]);
        // A length that became longer finds bytes to reach into.
        flip_every_bit(&batch, &[&batch[..], &[0; 4096]].concat());
    }
}

fn flip_every_bit(batch: &[u8], after: &[u8]) {
    let original = header(batch);
    let expected = u64::try_from(original.base_offset).unwrap();
    let mut bytes = [batch, after].concat();
    for at in 0..batch.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let flipped = header(&bytes[..batch.len()]);
            let broker_takes_it =
                BASE_OFFSET.contains(&at) || LEADER_EPOCH.contains(&at) || at == MAGIC && flipped.magic >= 2;
            assert_eq!(frame_at(&bytes).is_ok(), broker_takes_it, "byte {at}, bit {bit}");

            let legal = LEADER_EPOCH.contains(&at)
                || BASE_OFFSET.contains(&at) && flipped.base_offset > original.base_offset;
            let frame = valid_batch_at(&bytes, expected);
            assert_eq!(frame.is_ok(), legal, "byte {at}, bit {bit}");
            if let Ok(frame) = frame {
                assert_eq!(frame.bytes, batch.len());
                assert_eq!(bytes[MAGIC..frame.bytes], batch[MAGIC..]);
            }
            bytes[at] ^= 1 << bit;
        }
    }
}
