//! Appends to several partitions at one point.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixture::{ANY, Fixture, MAPPED, Modes, POSITIONED, TestRecord, append, batch, read};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::sealed_batch::SealedBatch;
use crate::partition::{AppendAt, AppendPart, Checkpointed, Kept, Leader, append_together, at_one_point};
use crate::sys::faults::{Faults, Operation};

fn sealed(value: &str) -> SealedBatch {
    let mut builder = batch(&[TestRecord::of(value)]);
    SealedBatch::of(builder.finish().unwrap())
}

/// Appends one batch for each value to each of the logs.
fn append_to(logs: &[(&Arc<Leader>, AppendAt)], values: &[&str]) -> (Result<()>, Vec<usize>) {
    let mut batches: Vec<Vec<_>> =
        logs.iter().map(|_| values.iter().map(|value| sealed(value)).collect()).collect();
    let mut parts: Vec<_> = logs
        .iter()
        .zip(&mut batches)
        .map(|((log, place), batches)| AppendPart { log, place: *place, batches, offsets: Vec::new() })
        .collect();
    let outcome = append_together(&mut parts, Durability::Buffered);
    (outcome, parts.iter().map(|part| part.offsets.len()).collect())
}

fn values(log: &Arc<Leader>) -> Vec<String> {
    let records = read(log, 0, ANY).unwrap();
    records.into_iter().map(|(_, record)| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

/// The two partitions of a directory, in order.
fn two(fixture: &Fixture, faults: &Faults) -> [Arc<Leader>; 2] {
    [fixture.open_new(), fixture.open_second(faults)]
}

#[test]
fn where_one_partition_does_not_end_as_expected_none_is_written_to() {
    for modes in Modes::all() {
        let fixture = Fixture::new(modes, 1 << 20);
        let [a, b] = &two(&fixture, &Faults::default());
        append(a, &[TestRecord::of("a")]).unwrap();
        let (outcome, written) = append_to(&[(a, AppendAt::Exactly(1)), (b, AppendAt::Exactly(1))], &["x"]);
        assert!(matches!(outcome, Err(Error::Conflict { expected: 1, actual: 0 })), "{outcome:?}");
        assert_eq!(written, [0, 0]);
        let (outcome, written) =
            append_to(&[(a, AppendAt::Exactly(1)), (b, AppendAt::Exactly(0))], &["x", "y"]);
        outcome.unwrap();
        assert_eq!(written, [2, 2]);
        assert_eq!(
            (values(a), values(b)),
            (vec!["a".into(), "x".into(), "y".into()], vec!["x".into(), "y".into()])
        );
    }
}

/// What there is room for begins a segment before anything is locked together; what is more than a segment goes one after the
/// other.
#[test]
fn segments_begin_where_there_is_no_room() {
    let fixture = Fixture::new(POSITIONED, 400);
    let [a, b] = &two(&fixture, &Faults::default());
    let long = "x".repeat(100);
    for _ in 0..5 {
        append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &[&long, &long]).0.unwrap();
    }
    assert_eq!(fixture.bases(), [0, 2, 4, 6, 8]);
    let many = [&*long; 10];
    append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &many).0.unwrap();
    assert_eq!((values(a).len(), values(b).len()), (20, 20));
    let limit = a.max_batch_bytes() as usize;
    let (outcome, _) = append_to(&[(b, AppendAt::End)], &[&"x".repeat(limit)]);
    assert!(matches!(outcome, Err(Error::TooLarge { .. })));
    for log in [a, b] {
        log.close().unwrap();
    }
    fixture.check_closed();
}

#[test]
fn a_failure_says_what_was_written_before() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let faults = Faults::after(Operation::Write, i64::MAX, ErrorKind::StorageFull, false);
    let [a, b] = &two(&fixture, &faults);
    append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &["x"]).0.unwrap();
    faults.arm(1);
    let (outcome, written) = append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &["y", "z"]);
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    assert_eq!(written, [2, 1]);
    assert_eq!((values(a).len(), values(b).len()), (3, 2));
    b.close().unwrap();
    let (outcome, written) = append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &["y"]);
    assert!(matches!(outcome, Err(Error::Closed)));
    assert_eq!(written, [0, 0]);
}

/// Of two appends to the same partitions one comes first in all of them, and neither they nor a snapshot beside them wait for
/// each other.
#[test]
fn appends_from_several_threads_have_one_order() {
    let fixture = Fixture::new(MAPPED, 4000);
    let logs = two(&fixture, &Faults::default());
    let [a, b] = &logs;
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..300 {
                        let value = format!("{thread}-{round}");
                        append_to(&[(a, AppendAt::End), (b, AppendAt::End)], &[&value]).0.unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // Not in order, as a caller may have them.
                let kept = [b, a].map(|log| Kept::new(Arc::clone(log))).into();
                let points = at_one_point(kept);
                assert_eq!(
                    points[0].log_end(),
                    points[1].log_end(),
                    "an append is in all of them or in none"
                );
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(values(a), values(b));
    assert_eq!(values(a).len(), 900);
    drop(logs);
    fixture.open(Checkpointed::default()).load().unwrap();
}
