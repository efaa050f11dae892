//! The usual record is encoded as any other.

use crate::format::batch::BatchBuilder;
use crate::format::header::HEADER_BYTES;
use crate::format::record::{Header, RecordFields};

/// Both ways to push the same records. Returns how many of them were usual.
fn push_both_ways(records: &[(RecordFields<'_>, i64, u32)]) -> usize {
    let (mut at_once, mut measured) = (BatchBuilder::default(), BatchBuilder::default());
    let mut usual = 0;
    for (record, timestamp, gap) in records {
        if !measured.is_empty() {
            at_once.leave_out(*gap);
            measured.leave_out(*gap);
        }
        let place = measured.measure(record, *timestamp);
        let size = measured.bytes_with(&place);
        measured.push(record, place, *timestamp);
        if at_once.push_usual(record, *timestamp, usize::MAX) {
            usual += 1;
        } else {
            at_once.push(record, at_once.measure(record, *timestamp), *timestamp);
        }
        assert_eq!(at_once.bytes(), size, "{record:?} {timestamp} {gap}");
    }
    let (offsets, records) = (at_once.offsets(), at_once.records());
    let (one, other) = (at_once.finish().unwrap(), measured.finish().unwrap());
    assert_eq!((one.header(), one.max_timestamp()), (other.header(), other.max_timestamp()));
    assert_eq!((one.offsets(), one.records()), (offsets, records));
    let mut one = one;
    let mut other = other;
    assert!(one.placed_at(7, 3) == other.placed_at(7, 3));
    usual
}

/// Miri, which is slow, tries one of so many.
const STEP: usize = if cfg!(miri) { 7 } else { 1 };

/// Lengths about those at which keys are copied otherwise, and numbers become longer.
const LENGTHS: [usize; 24] = [
    0, 1, 7, 8, 9, 15, 16, 17, 24, 45, 46, 47, 57, 58, 63, 64, 65, 8175, 8191, 8192, 16_384, 1_048_540,
    1_048_575, 1_048_576,
];

#[test]
fn a_usual_record_is_encoded_as_any_other() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1_048_576).collect();
    let fields = |length: Option<usize>, from: usize| length.map(|length| &bytes[from..from + length]);
    let (mut usual, mut tried) = (0, 0);
    for key in LENGTHS.into_iter().take(20).step_by(STEP).map(Some).chain([None]) {
        for value in LENGTHS
            .into_iter()
            .step_by(STEP)
            .filter(|value| key.is_none_or(|key| key < 64) || *value < 100)
            .map(Some)
            .chain([None])
        {
            let record = RecordFields { key: fields(key, 0), value: fields(value, 0), headers: &[] };
            let small = RecordFields { key: None, value: Some(b"x"), headers: &[] };
            usual += push_both_ways(&[(small, 1000, 0), (record, 1000, 0), (record, 999, 0)]);
            tried += 3;
        }
    }
    assert!(usual > tried * 9 / 10, "{usual} of {tried}");
}

#[test]
fn deltas_of_every_length_are_encoded_as_any_other() {
    let around = |bits: usize| [(1_i64 << bits) - 1, 1 << bits, (1 << bits) + 1];
    let record = RecordFields { key: Some(b"0123456789"), value: Some(b"value"), headers: &[] };
    let mut usual = 0;
    for later in (0..62).step_by(STEP).flat_map(around).flat_map(|later| [later, -later]) {
        for gap in (0..30).step_by(STEP).flat_map(around) {
            let gap = u32::try_from(gap).unwrap();
            usual += push_both_ways(&[(record, 0, 0), (record, later, gap)]);
        }
    }
    assert!(usual > 10_000 / (STEP * STEP), "{usual}");
}

#[test]
fn what_has_headers_or_does_not_fit_is_not_taken_for_usual() {
    let headers = [Header::new("h", "v")];
    let with_headers = RecordFields { key: None, value: Some(b"v"), headers: &headers };
    let plain = RecordFields { headers: &[], ..with_headers };
    let mut batch = BatchBuilder::default();
    assert!(!batch.push_usual(&with_headers, 1, usize::MAX));
    assert!(!batch.push_usual(&plain, 1, HEADER_BYTES));
    assert_eq!((batch.records(), batch.bytes(), batch.is_empty()), (0, HEADER_BYTES, true));
    assert!(batch.finish().is_none());
    // What was not taken leaves nothing: neither bytes nor the time from which the next one counts.
    assert!(batch.push_usual(&plain, 5, 2 * HEADER_BYTES));
    let header = batch.finish().unwrap().header().unwrap();
    assert_eq!((header.base_timestamp, header.max_timestamp, header.record_count), (5, 5, 1));
    let full = batch.bytes();
    assert!(!batch.push_usual(&plain, 5, full + 7));
    assert_eq!((batch.bytes(), batch.records()), (full, 1));
}
