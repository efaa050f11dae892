//! The batches under `tests/vectors/batches`, written by four other implementations: read field by field, and
//! written again byte for byte.

use serde_json::Value;

use super::rows::Row;
use super::{manifest, vector, vectors_with_suffix};
use crate::format::Malformed;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::compression::{DEFAULT_DECOMPRESSED_BYTES, Unreadable};
use crate::format::control::ControlRecord;
use crate::format::crc::crc32c;
use crate::format::decode::{decode, is_encoded};
use crate::format::frame::{FrameKind, InvalidBatch, frame_at, valid_batch_at};
use crate::format::header::{BatchHeader, CHECKSUMMED, Codec, HEADER_BYTES};

/// A batch and what the manifest says of it.
struct Golden {
    file: String,
    expected: Value,
    bytes: Vec<u8>,
}

impl Golden {
    /// All batches, cut out of their files by both predicates.
    fn all() -> Vec<Self> {
        manifest("batches").iter().flat_map(Self::of_file).collect()
    }

    fn of_file(entry: &Value) -> Vec<Self> {
        let file = entry["file"].as_str().unwrap();
        let bytes = vector(file);
        let mut rest = &bytes[..];
        let mut next = 0;
        let mut batches = Vec::new();
        for expected in entry["batches"].as_array().unwrap() {
            assert_eq!(expected["position"], bytes.len() - rest.len(), "{file}");
            let frame = frame_at(rest).unwrap();
            assert_eq!(valid_batch_at(rest, next), Ok(frame), "{file}");
            assert_eq!(expected["size"], frame.bytes, "{file}");
            assert_eq!(expected["lastOffset"], frame.last_offset(), "{file}");
            assert_eq!(expected["maxTimestamp"], frame.max_timestamp(), "{file}");
            assert_eq!(expected["partitionLeaderEpoch"], frame.leader_epoch(), "{file}");

            next = frame.last_offset() + 1;
            let (bytes, after) = rest.split_at(frame.bytes);
            rest = after;
            let golden = Self { file: file.to_owned(), expected: expected.clone(), bytes: bytes.to_vec() };
            assert_eq!(frame.kind, FrameKind::Batch(golden.batch().header), "{file}");
            batches.push(golden);
        }
        assert_eq!(frame_at(rest), Err(InvalidBatch::End), "{file}");
        assert_eq!(entry["size"], bytes.len() - rest.len(), "{file}");
        batches
    }

    fn batch(&self) -> Batch<'_> {
        Batch::of_frame(&self.bytes).unwrap()
    }

    fn rows(&self) -> Vec<Row> {
        self.expected["records"].as_array().unwrap().iter().map(Row::described).collect()
    }

    /// Whether a producer without an id wrote the batch, uncompressed, and nothing was removed from it since.
    fn is_as_built_here(&self) -> bool {
        let BatchHeader { attributes, producer_id, record_count, last_offset_delta, .. } =
            self.batch().header;
        attributes == 0 && producer_id == -1 && record_count > 0 && record_count - 1 == last_offset_delta
    }
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn headers_are_read_and_written() {
    for Golden { file, expected, bytes } in Golden::all() {
        let (front, records) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = BatchHeader::read(front);
        assert_eq!(expected["baseOffset"], header.base_offset, "{file}");
        assert_eq!(expected["length"], header.batch_length, "{file}");
        assert_eq!(expected["partitionLeaderEpoch"], header.leader_epoch, "{file}");
        assert_eq!(expected["magic"], header.magic, "{file}");
        assert_eq!(expected["crc"], header.crc, "{file}");
        assert_eq!(expected["attributes"], header.attributes, "{file}");
        assert_eq!(expected["lastOffsetDelta"], header.last_offset_delta, "{file}");
        assert_eq!(expected["baseTimestamp"], header.base_timestamp, "{file}");
        assert_eq!(expected["maxTimestamp"], header.max_timestamp, "{file}");
        assert_eq!(expected["producerId"], header.producer_id, "{file}");
        assert_eq!(expected["producerEpoch"], header.producer_epoch, "{file}");
        assert_eq!(expected["baseSequence"], header.base_sequence, "{file}");
        assert_eq!(expected["recordCount"], header.record_count, "{file}");

        assert_eq!(expected["lastOffset"], header.last_offset(), "{file}");
        assert_eq!(expected["compression"], header.codec().unwrap().name(), "{file}");
        let time = if header.is_log_append_time() { "LogAppendTime" } else { "CreateTime" };
        assert_eq!(expected["timestampType"], time, "{file}");
        assert_eq!(expected["isTransactional"], header.is_transactional(), "{file}");
        assert_eq!(expected["isControl"], header.is_control(), "{file}");
        assert_eq!(expected["hasDeleteHorizon"], header.has_delete_horizon(), "{file}");

        assert_eq!(crc32c(&bytes[CHECKSUMMED..]), header.crc, "{file}");
        let mut written = [0xff; HEADER_BYTES];
        header.write(&mut written);
        assert_eq!([&written, records].concat(), bytes, "{file}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn records_are_read() {
    let mut read = 0;
    for golden in Golden::all() {
        let batch = golden.batch();
        if batch.header.codec() == Ok(Codec::None) {
            batch.check_records().unwrap();
            assert_eq!(Row::read(&batch), golden.rows(), "{}", golden.file);
            assert_eq!(Batch::take_checked(&golden.bytes).unwrap().0.header, batch.header);
            assert!(!is_encoded(&golden.bytes));
            read += 1;
        }
    }
    assert!(read > 30, "{read}");
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn compressed_records_are_read_after_what_was_read_before() {
    let mut read = 0;
    for golden in Golden::all() {
        let codec = golden.batch().header.codec().unwrap();
        assert_eq!(is_encoded(&golden.bytes), codec != Codec::None, "{}", golden.file);
        let mut made = b"before".to_vec();
        let outcome = decode(&golden.bytes, DEFAULT_DECOMPRESSED_BYTES as usize, &mut made);
        if !codec.is_built_in() {
            assert_eq!((outcome, &made[..]), (Err(Unreadable::NotBuiltIn(codec)), &b"before"[..]));
            continue;
        }
        assert_eq!(outcome, Ok(()), "{}", golden.file);
        let (batch, after) = Batch::take_checked(&made[6..]).unwrap();
        assert!(after.is_empty() && made.starts_with(b"before"));
        assert_eq!(batch.check_records(), Ok(()), "{}", golden.file);
        assert_eq!(Row::read(&batch), golden.rows(), "{}", golden.file);
        if codec != Codec::None {
            let compressed = golden.batch();
            assert_eq!(compressed.check_records(), Err(Malformed("the records are compressed")));
            let BatchHeader { batch_length, attributes, .. } = compressed.header;
            assert_eq!(BatchHeader { batch_length, attributes, ..batch.header }, compressed.header);
            read += 1;
        }
    }
    let all = Codec::ALL.iter().all(|codec| codec.is_built_in());
    assert!(!all || read > 15, "{read}");
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn control_batches_are_recognised() {
    let controls = Golden::all().into_iter().filter(|golden| golden.batch().header.is_control());
    let kinds = controls.flat_map(|golden| {
        let rows = Row::read(&golden.batch()).into_iter();
        rows.map(|row| ControlRecord::decode(row.key.as_deref(), row.value.as_deref()).unwrap())
            .map(|kind| (golden.file.clone(), kind))
            .collect::<Vec<_>>()
    });
    let expected = [
        ("kp_control_commit", ControlRecord::Commit { coordinator_epoch: 5 }),
        ("kp_control_abort", ControlRecord::Abort { coordinator_epoch: 5 }),
        ("gen_kraft_bootstrap", ControlRecord::SnapshotHeader),
        ("gen_kraft_bootstrap", ControlRecord::SnapshotFooter),
    ]
    .map(|(file, kind)| (format!("batches/{file}.bin"), kind));
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn batches_of_others_are_built_byte_for_byte() {
    let mut builder = BatchBuilder::default();
    let mut built = Vec::new();
    for golden in Golden::all() {
        if !golden.is_as_built_here() {
            continue;
        }
        let BatchHeader { base_offset, leader_epoch, .. } = golden.batch().header;
        for row in golden.rows() {
            row.push(&mut builder);
        }
        let mut batch = builder.finish().unwrap();
        assert_eq!(batch.placed_at(base_offset, leader_epoch), golden.bytes, "{}", golden.file);
        assert_eq!(batch.len(), golden.bytes.len());
        assert_eq!(golden.expected["recordCount"], batch.records());
        assert_eq!(golden.expected["maxTimestamp"], batch.max_timestamp());
        builder.clear(1 << 10);
        built.push(golden.file);
    }
    built.dedup();
    assert!(built.len() >= 10, "{built:?}");
}

#[test]
fn a_batch_placed_twice_differs_in_offset_and_epoch_only() {
    let [near, far] = ["batches/kp_basic.bin", "batches/kp_offset_2p40.bin"].map(vector);
    let mut builder = BatchBuilder::default();
    for row in Row::read(&Batch::of_frame(&near).unwrap()) {
        row.push(&mut builder);
    }
    let mut batch = builder.finish().unwrap();
    assert_eq!(batch.placed_at(1 << 40, 7), far);
    assert_eq!(batch.placed_at(0, 0), near);
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn every_batch_of_a_broker_is_valid() {
    let logs = vectors_with_suffix("broker/clean-4.1", ".log");
    let mut read = 0;
    for (path, file) in &logs {
        let mut rest = &file[..];
        let mut next = 0;
        while !rest.is_empty() {
            let frame = valid_batch_at(rest, next).unwrap();
            let (bytes, after) = rest.split_at(frame.bytes);
            let batch = Batch::of_frame(bytes).unwrap();
            if batch.header.codec().unwrap().is_built_in() {
                let mut made = Vec::new();
                decode(bytes, DEFAULT_DECOMPRESSED_BYTES as usize, &mut made).unwrap();
                let batch = Batch::of_frame(&made).unwrap();
                assert_eq!(batch.check_records(), Ok(()), "{}", path.display());
            }
            (next, rest) = (frame.last_offset() + 1, after);
            read += 1;
        }
    }
    assert!(read > 100, "{read}");
}
