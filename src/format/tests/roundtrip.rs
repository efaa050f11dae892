//! Any records come back from a batch, and any bytes are read or refused.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rows::Row;
use super::sealed;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::frame::{FrameKind, frame_at, valid_batch_at};
use crate::format::header::HEADER_BYTES;
use crate::format::raw_record::RawRecord;
use crate::format::varint::Input;

/// Null, empty, short, and around the lengths at which the length itself takes a byte more.
fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
    let long = prop_oneof![60_usize..70, 8180_usize..8200].prop_map(|length| vec![0xa5; length]);
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Vec::new())),
        4 => vec(any::<u8>(), 1..20).prop_map(Some),
        1 => long.prop_map(Some),
    ]
}

fn timestamp() -> impl Strategy<Value = i64> {
    let now = 1_700_000_000_000_i64;
    prop_oneof![
        4 => now..now + 10_000,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, -1, 0, i64::MAX]),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let headers = vec(("\\PC{0,8}", field()), 0..4);
    (timestamp(), field(), field(), headers).prop_map(|(timestamp, key, value, headers)| Row {
        offset: 0,
        timestamp,
        key,
        value,
        headers,
    })
}

/// Records at ascending offsets from `base` on.
pub(super) fn rows(base: i64) -> impl Strategy<Value = Vec<Row>> {
    vec(row(), 1..20).prop_map(move |mut rows| {
        for (offset, row) in (base..).zip(&mut rows) {
            row.offset = offset;
        }
        rows
    })
}

pub(super) fn batch_of(rows: &[Row], base: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for row in rows {
        row.push(&mut builder);
    }
    builder.finish().unwrap().placed_at(base, 3).to_vec()
}

/// Whatever the records are, they are refused, or all of them can be returned.
fn check_or_read(frame: &[u8]) {
    let Some(batch) = Batch::of_frame(frame) else { return };
    if batch.check_records().is_ok() {
        let mut input = batch.records();
        for _ in 0..batch.header.record_count {
            let record = RawRecord::take(&mut input).unwrap();
            let _ = batch.timestamp_of(&record);
            assert_eq!(record.headers.iter().count(), record.headers.len());
        }
        assert!(input.is_empty());
    }
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn records_come_back(rows in rows(1 << 33)) {
        let bytes = batch_of(&rows, 1 << 33);
        let frame = frame_at(&bytes).unwrap();
        prop_assert_eq!(frame.bytes, bytes.len());
        prop_assert_eq!(valid_batch_at(&bytes, 1 << 33), Ok(frame));
        let batch = Batch::of_frame(&bytes).unwrap();
        prop_assert_eq!(frame.kind, FrameKind::Batch(batch.header));
        prop_assert_eq!(batch.check_records(), Ok(()));
        prop_assert_eq!(&Row::read(&batch), &rows);

        let last = rows.last().unwrap().offset;
        prop_assert_eq!(frame.last_offset(), u64::try_from(last).unwrap());
        prop_assert_eq!(Some(frame.max_timestamp()), rows.iter().map(|row| row.timestamp).max());
        prop_assert_eq!(batch.header.base_timestamp, rows[0].timestamp);
        prop_assert_eq!(frame.leader_epoch(), 3);
    }

    #[test]
    fn builder_is_as_new_after_clear(before in rows(0), rows in rows(7), keep in 0_usize..4096) {
        let mut builder = BatchBuilder::default();
        for row in &before {
            row.push(&mut builder);
        }
        builder.clear(keep);
        prop_assert!(builder.is_empty() && builder.finish().is_none());
        prop_assert_eq!(builder.bytes(), HEADER_BYTES);
        for row in &rows {
            row.push(&mut builder);
        }
        prop_assert_eq!(builder.records() as usize, rows.len());
        let mut finished = builder.finish().unwrap();
        prop_assert_eq!(finished.placed_at(7, 3), batch_of(&rows, 7));
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..200), expected: u64) {
        let _ = frame_at(&bytes);
        let _ = valid_batch_at(&bytes, expected);
        let _ = Batch::take_checked(&bytes);
        check_or_read(&bytes);
        let mut input = Input::new(&bytes);
        while let Ok(record) = RawRecord::take(&mut input) {
            let _ = record.headers.check();
            let _ = record.headers.iter().last();
        }
    }

    #[test]
    fn any_header_is_refused_or_read(bytes in vec(any::<u8>(), HEADER_BYTES..200), expected: u64) {
        let bytes = sealed(bytes);
        prop_assert!(frame_at(&bytes).is_ok());
        if let Ok(frame) = valid_batch_at(&bytes, expected) {
            prop_assert!(frame.last_offset() >= expected);
            prop_assert!(frame.last_offset() < i64::MAX as u64);
        }
        check_or_read(&bytes);
    }

    /// One to three bytes of good records are overwritten.
    #[test]
    fn damaged_records_are_refused_or_read(
        rows in rows(0),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = batch_of(&rows, 0);
        let records = bytes.len() - HEADER_BYTES;
        for (at, byte) in damage {
            bytes[HEADER_BYTES + at.index(records)] = byte;
        }
        check_or_read(&sealed(bytes));
    }
}
