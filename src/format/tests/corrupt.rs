//! The files under `tests/vectors/corrupt`: a scan keeps what a broker keeps of them, and what a scan cannot see
//! is refused before a record is returned.

use std::collections::BTreeMap;

use super::{manifest, vector};
use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::compression::{DEFAULT_DECOMPRESSED_BYTES, Unreadable};
use crate::format::decode::decode;
use crate::format::frame::{InvalidBatch, frame_at, valid_batch_at};
use crate::format::header::Codec;

/// Batches and bytes up to the first that is not complete by a broker's rules, and why it is not.
fn scan(file: &[u8]) -> (usize, usize, InvalidBatch) {
    let (mut batches, mut position) = (0, 0);
    loop {
        match frame_at(&file[position..]) {
            Ok(frame) => position += frame.bytes,
            Err(reason) => return (batches, position, reason),
        }
        batches += 1;
    }
}

#[derive(Debug, PartialEq)]
enum Refusal {
    /// By `valid_batch_at`.
    Frame(InvalidBatch),
    /// By `decode` or `check_records`.
    Records(Unreadable),
}

impl From<InvalidBatch> for Refusal {
    fn from(reason: InvalidBatch) -> Self {
        Self::Frame(reason)
    }
}

impl From<Unreadable> for Refusal {
    fn from(reason: Unreadable) -> Self {
        Self::Records(reason)
    }
}

/// Reads batch after batch. The index of the first that is refused, and why; `None` if none is.
fn refusal(file: &[u8]) -> Option<(usize, Refusal)> {
    let (mut position, mut next) = (0, 0);
    let mut step = || -> Result<(), Refusal> {
        let frame = valid_batch_at(&file[position..], next)?;
        let mut made = Vec::new();
        decode(&file[position..position + frame.bytes], DEFAULT_DECOMPRESSED_BYTES as usize, &mut made)?;
        Batch::of_frame(&made).unwrap().check_records().map_err(Unreadable::from)?;
        position += frame.bytes;
        next = frame.last_offset() + 1;
        Ok(())
    };
    (0..).find_map(|batch| step().err().map(|refusal| (batch, refusal))).filter(|_| position < file.len())
}

fn frame(reason: &'static str) -> Refusal {
    InvalidBatch::Malformed(Malformed(reason)).into()
}

fn newer(reason: Malformed) -> Refusal {
    InvalidBatch::Newer(reason).into()
}

fn records(reason: &'static str) -> Refusal {
    Unreadable::Malformed(Malformed(reason)).into()
}

/// What the checksum of a file's batches does not show: the batch that is refused, and why.
fn refusals() -> BTreeMap<&'static str, (usize, Refusal)> {
    // Dependent blocks, which the JVM's reader refuses, are read: "accepting them is allowed".
    let linked = (!Codec::Lz4.is_built_in())
        .then(|| ("lz4_linked_blocks", (1, Unreadable::NotBuiltIn(Codec::Lz4).into())));
    let gzip = if Codec::Gzip.is_built_in() {
        records("the gzip stream ends early")
    } else {
        Unreadable::NotBuiltIn(Codec::Gzip).into()
    };
    let refusals = [
        ("magic_3", (1, newer(Malformed::NEWER_BATCH))),
        // The second batch has the wrong offset, but offsets may leap; it is the third that goes back.
        ("base_offset_bit_flip", (2, frame("the offset is not the expected one"))),
        ("base_offset_backwards", (2, frame("the offset is not the expected one"))),
        ("count_negative", (1, frame("the record count is negative"))),
        ("count_too_large", (1, frame("the record count exceeds the offsets of the batch"))),
        ("count_too_small", (1, records("bytes are left after the last record"))),
        ("codec_5", (1, newer(Malformed::NEWER_CODEC))),
        ("record_length_lies", (1, records("ends early"))),
        ("record_length_negative", (1, records("a record's length is negative"))),
        ("header_count_negative", (1, records("a record's header count is negative"))),
        ("header_key_null", (1, records("a header's name is null"))),
        ("varint_six_bytes", (1, records("a variable-length number has too many bytes"))),
        ("key_length_huge", (1, records("a field is longer than its record"))),
        ("gzip_truncated_good_crc", (1, gzip)),
    ];
    refusals.into_iter().chain(linked).collect()
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn scan_keeps_what_a_broker_keeps() {
    for entry in manifest("corrupt") {
        let name = entry["file"].as_str().unwrap();
        let file = vector(name);
        let (batches, bytes, reason) = scan(&file);
        let expected = &entry["recovery_scan"];
        assert_eq!(expected["valid_batches"], batches, "{name}");
        assert_eq!(expected["valid_bytes"], bytes, "{name}");
        let same = match expected["stop_reason"].as_str().unwrap() {
            "end of file" => reason == InvalidBatch::End && bytes == file.len(),
            "fewer than 18 bytes left" => reason == InvalidBatch::End && bytes < file.len(),
            "incomplete last batch" => matches!(reason, InvalidBatch::Incomplete { .. }),
            "crc mismatch" | "legacy CRC-32 mismatch" => reason == InvalidBatch::Checksum,
            "length field below 14" => reason == Malformed("the length field is below 14").into(),
            "batch smaller than 61 bytes" => {
                reason == Malformed("a batch of format 2 is at least 61 bytes long").into()
            }
            unknown => panic!("{name}: {unknown}"),
        };
        assert!(same, "{name}: {reason:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn what_a_scan_keeps_is_read_or_refused() {
    let mut refusals = refusals();
    for entry in manifest("corrupt") {
        let path = entry["file"].as_str().unwrap();
        let name = path.trim_start_matches("corrupt/").trim_end_matches(".bin");
        let file = vector(path);
        let (_, kept, _) = scan(&file);
        let expected = refusals.remove(name);
        // Where the reference reads all that is kept, the scan has already cut off what must be rejected.
        if entry["record_iteration"].as_str().unwrap().starts_with("must be rejected") {
            assert_eq!(expected.is_some(), entry["reference_reader"] != "ok", "{name}");
        }
        assert_eq!(refusal(&file[..kept]), expected, "{name}");
    }
    assert!(refusals.is_empty(), "{refusals:?}");
}

#[test]
fn incomplete_batches_say_what_they_need() {
    let needs = |file: &str| scan(&vector(&format!("corrupt/{file}.bin"))).2;
    assert_eq!(needs("truncated_in_records"), InvalidBatch::Incomplete { needs: 137 });
    assert_eq!(needs("truncated_in_header"), InvalidBatch::Incomplete { needs: 137 });
    assert_eq!(needs("length_huge"), InvalidBatch::Incomplete { needs: i32::MAX as u64 + 12 });
}

#[test]
fn offsets_that_go_back_end_the_log() {
    for file in ["base_offset_bit_flip", "base_offset_backwards"] {
        let file = vector(&format!("corrupt/{file}.bin"));
        let first = valid_batch_at(&file, 0).unwrap();
        let after_first = &file[first.bytes..];
        let second = valid_batch_at(after_first, first.last_offset() + 1).unwrap();
        let after_second = &after_first[second.bytes..];
        assert!(frame_at(after_second).is_ok());
        let refused = Err(Malformed("the offset is not the expected one").into());
        assert_eq!(valid_batch_at(after_second, second.last_offset() + 1), refused);
    }
}
