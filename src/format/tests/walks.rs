//! The ways to walk over records, and that they agree: whatever a batch holds, the fast way says what the one says that knows
//! the reasons, and what the check has passed is given out alike by both.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::roundtrip::{batch_of, rows};
use super::sealed;
use crate::format::Malformed;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::compression::{BatchLimits, Encoding};
use crate::format::decode::decode;
use crate::format::header::{BatchHeader, Codec, HEADER_BYTES};
use crate::format::raw_record::{RawHeaders, RawRecord};
use crate::format::varint::{Input, MAX_VARLONG, put_varlong, zigzag};

/// All that there is to a record.
type All = (i64, i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn all_of(record: &RawRecord<'_>) -> All {
    let mut headers = Vec::new();
    for header in record.headers.iter() {
        headers.push((header.name_bytes().to_vec(), header.value().map(<[u8]>::to_vec)));
    }
    assert_eq!(headers.len(), record.headers.len());
    let again = RawHeaders::of(record.headers.encoded());
    assert_eq!(again.len(), headers.len());
    let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
    (record.timestamp_delta, record.offset_delta, key, value, headers)
}

/// The records of a batch by the rules, one after the other and without a fast way.
fn by_the_rules(batch: &Batch<'_>) -> Result<Vec<All>, Malformed> {
    let (mut input, mut last, mut records) = (batch.records(), -1, Vec::new());
    for _ in 0..batch.header.record_count {
        let record = RawRecord::take_any(&mut input)?;
        record.headers.check_any()?;
        if record.offset_delta <= last {
            return Err(Malformed("the offsets of the records do not increase"));
        }
        last = record.offset_delta;
        records.push(all_of(&record));
    }
    if last > batch.header.last_offset_delta {
        return Err(Malformed("a record's offset lies past the batch's last offset"));
    }
    if input.is_empty() { Ok(records) } else { Err(Malformed("bytes are left after the last record")) }
}

/// Compares what the ways make of a batch, and returns whether it holds together.
fn ways_agree(frame: &[u8]) -> bool {
    let batch = Batch::of_frame(frame).unwrap();
    let expected = by_the_rules(&batch);
    assert_eq!(batch.check_records(), expected.as_ref().map(|_| ()).map_err(|reason| *reason));
    let (mut input, mut rest) = (batch.records(), batch.records().rest());
    for expected in expected.iter().flatten() {
        assert_eq!(&all_of(&RawRecord::take(&mut input).unwrap()), expected);
        let record;
        (record, rest) = RawRecord::split(rest).unwrap();
        assert_eq!(&all_of(&record), expected);
        assert_eq!(input.rest(), rest);
    }
    if expected.is_ok() {
        assert!(rest.is_empty());
        assert!(RawRecord::split(rest).is_none());
    } else {
        // No walk begins where the check fails; one would end all the same.
        while let Some((record, after)) = RawRecord::split(rest) {
            assert!(after.len() < rest.len());
            let _ = record.headers.iter().last();
            rest = after;
        }
        takes_agree(batch.records());
    }
    expected.is_ok()
}

/// What is taken off one by one, of whatever bytes, is taken by the rules.
fn takes_agree(mut input: Input<'_>) {
    loop {
        let mut slow = input;
        let (fast, expected) = (RawRecord::take(&mut input), RawRecord::take_any(&mut slow));
        let Ok(expected) = expected else { return assert_eq!(fast.map(|_| ()), expected.map(|_| ())) };
        let fast = fast.unwrap();
        assert_eq!((fast.key, fast.value, input.rest()), (expected.key, expected.value, slow.rest()));
        assert_eq!(fast.timestamp_delta, expected.timestamp_delta);
        assert_eq!(fast.offset_delta, expected.offset_delta);
        assert_eq!(fast.headers.encoded(), expected.headers.encoded());
        assert_eq!(fast.headers.check(), expected.headers.check_any());
    }
}

/// A batch whose records are `body`.
fn batch_with(record_count: i32, last_offset_delta: i32, body: &[u8]) -> Vec<u8> {
    let mut header = BatchHeader::read(&[0; HEADER_BYTES]);
    (header.record_count, header.last_offset_delta) = (record_count, last_offset_delta);
    let mut prefix = [0; HEADER_BYTES];
    header.write(&mut prefix);
    [&prefix[..], body].concat()
}

/// A number with bytes that it does not need.
#[derive(Debug, Clone)]
struct Padded {
    value: i64,
    more: usize,
}

impl Padded {
    fn put(&self, to: &mut Vec<u8>) {
        let mut bytes = [0; MAX_VARLONG];
        let used = put_varlong(self.value, &mut bytes);
        to.extend_from_slice(&bytes[..used]);
        for _ in 0..self.more {
            *to.last_mut().unwrap() |= 0x80;
            to.push(0);
        }
    }
}

fn padded(value: impl Strategy<Value = i64>) -> impl Strategy<Value = Padded> {
    let more = prop_oneof![40 => Just(0), 1 => 1_usize..6];
    (value, more).prop_map(|(value, more)| Padded { value, more })
}

/// Around the values from which on a number takes a byte more, and negative ones.
fn delta() -> impl Strategy<Value = i64> {
    let edge = (prop::sample::select(vec![6, 7, 13, 14, 20, 27, 28, 31, 34, 35, 62]), -2_i64..3);
    prop_oneof![
        4 => 0_i64..70,
        2 => 60_i64..9000,
        1 => -3_i64..0,
        2 => edge.prop_map(|(bits, more)| (1_i64 << bits) + more),
        1 => any::<i64>(),
    ]
}

/// Null, empty, short and long; now and then with a length that is not that of the bytes.
fn field() -> impl Strategy<Value = (Padded, Vec<u8>)> {
    let lengths: Range<usize> = 0..20;
    let length = prop_oneof![6 => lengths, 1 => 60_usize..70, 1 => 8188_usize..8196];
    let lie = prop_oneof![80 => Just(0_i64), 1 => -3_i64..4];
    let bytes = (length, lie).prop_flat_map(|(length, lie)| {
        let said = i64::try_from(length).unwrap() + lie;
        (padded(Just(said)), any::<u8>().prop_map(move |byte| vec![byte; length]))
    });
    let negative = prop_oneof![20 => Just(-1_i64), 1 => -9_i64..-1];
    let null = negative.prop_flat_map(|length| (padded(Just(length)), Just(vec![0; bytes_of(length)])));
    prop_oneof![1 => null, 5 => bytes]
}

/// A record of numbers and bytes that nearly fit together, offsets to leave out after it, and what its length is more than it
/// is.
fn record() -> impl Strategy<Value = (Vec<u8>, i64, i64)> {
    let headers = vec((field(), field()), 0..3);
    let lie = prop_oneof![80 => Just(0_i64), 1 => -2_i64..3];
    let numbers = (any::<u8>(), padded(delta()), padded(prop_oneof![6 => Just(0_i64), 1 => delta()]));
    (numbers, (field(), field()), headers, (lie.clone(), lie), 0_usize..3).prop_map(
        |((attributes, timestamp, leap), (key, value), headers, (lie, count_lie), more)| {
            let mut body = Vec::new();
            timestamp.put(&mut body);
            let prefix = body.len();
            for (length, bytes) in [key, value] {
                length.put(&mut body);
                body.extend(bytes);
            }
            let count = i64::try_from(headers.len()).unwrap() + count_lie;
            Padded { value: count, more: usize::from(more == 2) }.put(&mut body);
            for (length, bytes) in headers.into_iter().flat_map(|(name, value)| [name, value]) {
                length.put(&mut body);
                body.extend(bytes);
            }
            // The offset and the length are put in where it is known which record it is.
            let record = [&[attributes, u8::try_from(prefix).unwrap()], &body[..]].concat();
            (record, leap.value.clamp(-2, 9000), lie)
        },
    )
}

/// Such records one after the other, at offsets that nearly always increase.
fn nearly_records() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop_oneof![3 => Just(0_i64), 2 => 55_i64..70, 2 => 8180_i64..8200, 1 => 1_048_570_i64..1_048_580];
    let count_lie = prop_oneof![20 => Just(0), 1 => -1..2];
    (first, vec(record(), 1..12), count_lie, padded(Just(0))).prop_map(
        |(first, records, count_lie, padding)| {
            let (mut body, mut offset) = (Vec::new(), first);
            let count = i32::try_from(records.len()).unwrap() + count_lie;
            for (record, leap, lie) in records {
                let (attributes, prefix) = (record[0], usize::from(record[1]));
                let mut inner = vec![attributes];
                inner.extend_from_slice(&record[2..2 + prefix]);
                Padded { value: offset, more: padding.more }.put(&mut inner);
                inner.extend_from_slice(&record[2 + prefix..]);
                let length = i64::try_from(inner.len()).unwrap() + lie;
                Padded { value: length, more: padding.more }.put(&mut body);
                body.extend(inner);
                offset += 1 + leap;
            }
            batch_with(count, i32::MAX, &body)
        },
    )
}

/// Bytes of a field of this length; of a negative one, what a reader would take that did not see its sign.
fn bytes_of(length: i64) -> usize {
    usize::try_from(zigzag(length) >> 1).unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "goes through some 200,000 batches, which takes Miri hours")]
fn edges_of_every_number_are_read_alike() {
    let lengths = [-3, -2, -1, 0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193];
    let deltas = [-2, -1, 0, 63, 64, 8191, 8192, 1_048_575, 1_048_576, i64::from(i32::MAX)];
    let timestamps = [0, -1, 63, -64, 64, 8192, 1 << 34, -(1 << 34), i64::MAX, i64::MIN];
    // No headers, the same in two bytes, one, two; none with a byte too much; a name that is null.
    let tails =
        [&[0_u8][..], &[0x80, 0], &[2, 2, b'n', 1], &[4, 0, 0, 2, b'n', 2, b'v'], &[0, 0], &[2, 1, 0]];
    for (key, value) in lengths.into_iter().flat_map(|key| lengths.map(|value| (key, value))) {
        for (offset, timestamp) in deltas.into_iter().flat_map(|at| timestamps.map(|time| (at, time))) {
            for (number, tail) in tails.iter().enumerate() {
                let put = |value, to: &mut Vec<u8>| Padded { value, more: 0 }.put(to);
                let mut body = vec![0];
                put(timestamp, &mut body);
                put(offset, &mut body);
                for length in [key, value] {
                    put(length, &mut body);
                    body.resize(body.len() + bytes_of(length), 7);
                }
                body.extend_from_slice(tail);
                let length = i64::try_from(body.len()).unwrap();
                let record_of = |length: i64| {
                    let mut record = Vec::new();
                    put(length, &mut record);
                    record.extend_from_slice(&body);
                    record
                };
                let record = record_of(length);
                let is_good = key >= -1 && value >= -1 && offset >= 0 && number < 4;
                assert_eq!(ways_agree(&batch_with(1, i32::MAX, &record)), is_good, "{record:?}");
                assert!(!ways_agree(&batch_with(1, i32::MAX, &record_of(-1 - length))), "a negative length");
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn records_of_every_codec_are_read_alike(rows in rows(5)) {
        for codec in Codec::ALL.into_iter().filter(|codec| codec.is_built_in()) {
            let mut builder = BatchBuilder::default();
            for row in &rows {
                row.push(&mut builder);
            }
            let level = if codec == Codec::Gzip { 1 } else { 3 };
            let mut batch = builder.finish_with(Encoding { codec, level }, BatchLimits::NONE).unwrap();
            let mut plain = Vec::new();
            decode(batch.placed_at(5, 0), 1 << 24, &mut plain).unwrap();
            prop_assert!(ways_agree(&plain));
        }
    }

    #[test]
    fn damaged_records_are_read_or_refused_alike(
        rows in rows(0),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let mut bytes = batch_of(&rows, 0);
        for (at, byte, prefix) in damage {
            // The numbers are at the prefixs of the records; the first is not far.
            let records = if prefix { 40.min(bytes.len() - HEADER_BYTES) } else { bytes.len() - HEADER_BYTES };
            bytes[HEADER_BYTES + at.index(records)] = byte;
        }
        ways_agree(&sealed(bytes));
    }

    #[test]
    fn numbers_that_nearly_fit_are_read_or_refused_alike(frame in nearly_records()) {
        ways_agree(&frame);
    }

    #[test]
    fn any_bytes_are_read_or_refused_alike(count in 0..6, last in 0..9, body in vec(any::<u8>(), 0..80)) {
        ways_agree(&batch_with(count, last, &body));
        takes_agree(Input::new(&body));
        let headers = RawHeaders::of(&body);
        if RawRecord::take_any(&mut Input::new(&body)).is_err() {
            let _ = headers.iter().last();
        }
    }
}
