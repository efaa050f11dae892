//! A compaction of the partition of a group needs to know no record of it.

use std::collections::BTreeMap;

use super::*;
use crate::compaction::{Compaction, Step};
use crate::config::ReadUpTo;
use crate::format::batch::Batch;
use crate::format::raw_record::RawRecord;
use crate::partition::{Cursor, FetchLimits, PartitionLog};

/// The last value of each key with its offset, as bytes.
type Last = BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)>;

/// That, and how many records there are.
fn last_of(log: &Arc<PartitionLog>) -> (Last, usize) {
    let mut cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
    let (mut last, mut count) = (Last::new(), 0);
    while let Some(fetched) = cursor.fetch(FetchLimits { bytes: 1 << 20, records: usize::MAX }).unwrap() {
        let mut rest = fetched.bytes.as_ref();
        while let Some((batch, after)) = Batch::take_checked(rest) {
            let mut input = batch.records();
            for _ in 0..batch.header.record_count {
                let record = RawRecord::take(&mut input).unwrap();
                let offset = batch.header.base_offset + i64::from(record.offset_delta);
                let value = record.value.map(<[u8]>::to_vec);
                last.insert(record.key.unwrap().to_vec(), (u64::try_from(offset).unwrap(), value));
                count += 1;
            }
            rest = after;
        }
    }
    (last, count)
}

/// Seals what there is and goes over it.
fn compact(log: &Arc<PartitionLog>) {
    let log = log.leader().unwrap();
    let end = log.bounds().unwrap().log_end;
    assert!(log.roll_at(end).unwrap());
    log.finish_sealed().unwrap();
    let mut compaction = Compaction::new(1 << 16);
    assert!(compaction.look(std::slice::from_ref(log), NOW).failure.is_none());
    assert!(compaction.present().is_some());
    while let Step::More = compaction.step(log, NOW).unwrap() {}
    assert_eq!(log.segments().iter().count(), 2);
}

#[test]
fn what_is_unknown_or_newer_stays_byte_for_byte() {
    let mut records = Vec::new();
    for round in 0..5_u8 {
        for kind in [3_i16, 16, 23, 99] {
            let mut key = kind.to_be_bytes().to_vec();
            key.extend(b"\x00\x01g and fields of its own");
            records.push((key, Some(vec![round; 20])));
        }
        // A commit as a later version may write it, and one that is known.
        let (key, _) = commit("g", "newer", 0, 0);
        records.push((key, Some(vec![0, 9, round, 7, 7])));
        records.push(commit("g", "orders", 0, u64::from(round)));
        records.push(commit("g", "orders", 1, u64::from(round) + 100));
    }
    let frames: Vec<_> =
        (0_i64..).zip(&records).map(|(at, one)| plain(at, std::slice::from_ref(one))).collect();
    let fixture = Fixture::with_log("g", &frames.concat());
    let known = |fixture: &Fixture| [0, 1].map(|partition| fixture.offset("g", "orders", partition));
    // All that the group has committed is not known here.
    let is_refused = |fixture: &Fixture| {
        let newer = fixture.offsets.get("g", &("newer", 0).into());
        matches!(
            (newer, fixture.offsets.of_group("g")),
            (Err(Error::Unsupported(_)), Err(Error::Unsupported(_)))
        )
    };
    assert_eq!(known(&fixture), [Some(4), Some(104)]);
    assert!(is_refused(&fixture));
    let log = Arc::clone(fixture.offsets.shards().unwrap().unwrap().of("g").unwrap().log());
    let (before, count) = last_of(&log);
    assert_eq!((before.len(), count), (7, 35));
    compact(&log);
    assert_eq!(last_of(&log), (before.clone(), 7));
    assert!(known(&fixture) == [Some(4), Some(104)] && is_refused(&fixture));
    drop(log);
    let fixture = fixture.reopened();
    assert!(known(&fixture) == [Some(4), Some(104)] && is_refused(&fixture));
    let log = Arc::clone(fixture.offsets.shards().unwrap().unwrap().of("g").unwrap().log());
    assert_eq!(last_of(&log), (before, 7));
    fixture.commit("g", "orders", 0, 44);
    assert_eq!(known(&fixture), [Some(44), Some(104)]);
    // What is committed here takes its place.
    fixture.commit("g", "newer", 0, 1);
    assert_eq!(fixture.all_of("g"), ["newer-0: 1", "orders-0: 44", "orders-1: 104"]);
}
