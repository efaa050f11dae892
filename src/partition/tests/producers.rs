//! Batches of producers with ids and the ends of their transactions, appended by this process, against the same naive model of
//! a broker: what readers see, and each file.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{ANY, Fixture, MAPPED, Modes, POSITIONED, TestRecord, append, batch, preallocate_now};
use super::transactions::{Model, Step, clean, file, step};
use crate::config::{Durability, IsolationLevel, ReadUpTo};
use crate::error::{Error, Result};
use crate::format::batch_producer::BatchProducer;
use crate::format::control::{EndMarker, Outcome};
use crate::format::transaction_index;
use crate::partition::settings::Compaction;
use crate::partition::{AppendAt, AppendRequest, Appended, Checkpointed, Cursor, Kept, Leader, at_one_point};
use crate::segment;
use crate::sys::Copier;
use crate::sys::faults::{Faults, Operation};

/// Appends records of a producer's transaction, as the model has them.
pub(super) fn append_data(log: &Arc<Leader>, producer: i64, count: usize) -> Result<Appended> {
    append_at(log, producer, count, AppendAt::End)
}

fn append_at(log: &Arc<Leader>, producer: i64, count: usize, place: AppendAt) -> Result<Appended> {
    let next = log.bounds()?.log_end;
    let records: Vec<_> = (next..next + count as u64).map(|at| TestRecord::of(at.to_string())).collect();
    let mut builder = batch(&records);
    builder.set_producer(BatchProducer::transactional(producer, 0, i32::try_from(next).unwrap()));
    let mut batch = builder.finish().unwrap();
    log.append(AppendRequest::new(&mut batch, place, Durability::Buffered))
}

pub(super) fn end(log: &Arc<Leader>, producer: i64, commits: bool) -> Result<Appended> {
    let outcome = if commits { Outcome::Committed } else { Outcome::Aborted };
    let end = EndMarker { outcome, producer_id: producer, producer_epoch: 0, coordinator_epoch: 0 };
    log.end_transaction(end, Durability::Buffered, 1000)
}

/// The same steps as the model's, by this process.
fn take(log: &Arc<Leader>, step: &Step) -> Result<()> {
    let next = log.bounds()?.log_end;
    match *step {
        Step::Data { producer, count } => append_data(log, producer, count).map(drop),
        Step::Idempotent => append(log, &[TestRecord::of(next.to_string())]).map(drop),
        Step::End { producer, commits } => end(log, producer, commits).map(drop),
        Step::Roll => log.roll_at(next).map(drop),
    }
}

/// What the background does between appends.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    Sync,
    Finish,
    Rest,
    Preallocate,
}

fn beside() -> impl Strategy<Value = Beside> {
    prop_oneof![
        6 => Just(Beside::Nothing),
        1 => Just(Beside::Sync),
        1 => Just(Beside::Finish),
        1 => Just(Beside::Rest),
        1 => Just(Beside::Preallocate),
    ]
}

/// A new log, and the model of an empty one. Plain records have no producer here: the model's have, so their steps are left out
/// of what is compared byte by byte.
fn plain(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().filter(|step| !matches!(step, Step::Idempotent)).collect()
}

fn check_files(fixture: &Fixture, model: &Model) {
    for (base, bytes) in &model.segments {
        if !bytes.is_empty() {
            assert_eq!(fs::read(fixture.log_file(*base)).unwrap(), *bytes, "the segment of {base}");
        }
    }
    model.check_files(fixture);
    let at = |at: u64| fs::read(file(fixture, at, segment::PRODUCER_SNAPSHOT)).ok();
    let begins = |offset: u64| model.segments.iter().any(|(base, _)| *base == offset);
    for (offset, bytes) in model.snapshots.iter().filter(|(offset, _)| begins(*offset)) {
        assert_eq!(at(*offset).as_ref(), Some(bytes), "the snapshot of {offset}");
    }
    assert_eq!(at(model.next), Some(model.state.encode()), "the snapshot of the end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn appended_batches_of_producers_leave_what_a_broker_would_leave(
        steps in vec((step(), beside()), 1..60),
        late: bool,
        modes in 0..8_usize,
    ) {
        let mut fixture = Fixture::new(Modes::all().nth(modes).unwrap(), 1 << 20);
        if late {
            fixture.finish_late();
        }
        let log = fixture.open_new();
        let mut model = Model::of(&[]);
        let steps: Vec<_> = steps.into_iter().filter(|(step, _)| !matches!(step, Step::Idempotent)).collect();
        for (step, beside) in &steps {
            if matches!(step, Step::Roll) && model.segments.last().unwrap().1.is_empty() {
                continue;
            }
            take(&log, step).unwrap();
            model.take(step);
            match beside {
                Beside::Nothing => {}
                Beside::Sync => log.sync().unwrap(),
                Beside::Finish => drop(log.finish_sealed().unwrap()),
                Beside::Rest => {
                    assert!(log.rest());
                    // As at a close, though no segment begins there.
                    model.snapshots.push((model.next, model.state.encode()));
                }
                Beside::Preallocate => preallocate_now(&log),
            }
            model.check(&log);
        }
        if model.next == 0 {
            return Ok(());
        }
        log.close().unwrap();
        fixture.forget_requests();
        check_files(&fixture, &model);
        model.check(&fixture.open(clean(&model)));
        let log = fixture.open_unclean(0);
        model.check(&log);
        log.close().unwrap();
        check_files(&fixture, &model);
    }

    /// As after `kill -9`, with the recovery point wherever a sync has left it.
    #[test]
    fn after_a_stop_transactions_are_what_they_were(steps in vec((step(), beside()), 1..40)) {
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        let log = fixture.open_new();
        let steps: Vec<_> = steps.into_iter().filter(|(step, _)| !matches!(step, Step::Idempotent)).collect();
        let model = Model::of(&plain(steps.iter().map(|(step, _)| step.clone()).collect()));
        for (step, beside) in &steps {
            if matches!(step, Step::Roll) && log.bounds().unwrap().log_end == 0 {
                continue;
            }
            take(&log, step).unwrap();
            if matches!(beside, Beside::Sync | Beside::Finish) {
                log.sync().unwrap();
            }
        }
        if model.next == 0 {
            return Ok(());
        }
        let point = log.recovery_point().unwrap_or(0);
        drop(log);
        let log = fixture.open_unclean(point);
        model.check(&log);
        log.close().unwrap();
        model.check_files(&fixture);
    }
}

/// The recovery point passes the marker of an aborted transaction only once its entry is on disk: what lies below is not gone
/// through again.
#[test]
fn the_recovery_point_waits_for_the_index_of_aborted_transactions() {
    let (mut struck, mut waited) = (0, 0);
    for operation in [Operation::Create, Operation::Write, Operation::Rename, Operation::Sync] {
        for successes in 0.. {
            let fixture = Fixture::new(POSITIONED, 1 << 20);
            let faults = Faults::after(operation, i64::MAX, ErrorKind::Other, true);
            let log = fixture.open_with(&faults, Checkpointed::default());
            append_data(&log, 1, 2).unwrap();
            log.sync().unwrap();
            end(&log, 1, false).unwrap();
            faults.arm(successes);
            let synced = log.sync();
            let has_struck = faults.have_struck();
            faults.heal();
            let index = fs::read(file(&fixture, 0, segment::TRANSACTION_INDEX)).ok();
            if log.recovery_point() == Some(3) {
                assert_eq!(index.map(|bytes| transaction_index::decode(&bytes, 0).unwrap().len()), Some(1));
            } else {
                waited += 1;
                assert!(has_struck);
            }
            if synced.is_ok() {
                log.sync().unwrap();
                append_data(&log, 1, 1).unwrap();
                log.sync().unwrap();
                assert_eq!(log.recovery_point(), Some(4), "{operation:?} after {successes}");
                let index = fs::read(file(&fixture, 0, segment::TRANSACTION_INDEX)).unwrap();
                assert_eq!(transaction_index::decode(&index, 0).unwrap().len(), 1);
            }
            if !has_struck {
                break;
            }
            struck += 1;
        }
    }
    assert!(struck > 3 && waited > 1, "{struck}, {waited}");
}

/// A batch that is refused leaves readers of committed records where they were: nothing is open because of it.
#[test]
fn a_batch_that_is_refused_opens_no_transaction() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let faults = Faults::after(Operation::Write, i64::MAX, ErrorKind::StorageFull, false);
    let log = fixture.open_with(&faults, Checkpointed::default());
    append(&log, &[TestRecord::of("0")]).unwrap();
    faults.arm(0);
    assert!(matches!(append_data(&log, 7, 1), Err(Error::StorageFull { .. })));
    faults.heal();
    assert_eq!(log.bounds().unwrap().last_stable, 1);
    assert_eq!(log.open_transactions().unwrap(), []);
    append(&log, &[TestRecord::of("1")]).unwrap();
    assert_eq!(log.bounds().unwrap().last_stable, 2);
}

/// An append at an offset asks that no record is there or after it. Markers take offsets and are no records.
#[test]
fn markers_are_no_reason_to_refuse_an_offset() {
    let fixture = Fixture::new(MAPPED, 1 << 20);
    let log = fixture.open_new();
    let at = |log: &Arc<Leader>, at| append_at(log, 1, 1, AppendAt::Exactly(at));
    at(&log, 0).unwrap();
    end(&log, 1, true).unwrap();
    end(&log, 1, false).unwrap();
    let conflict = |outcome: Result<Appended>, actual| {
        assert!(matches!(outcome, Err(Error::Conflict { actual: at, .. }) if at == actual), "{outcome:?}");
    };
    conflict(at(&log, 0), 3);
    conflict(at(&log, 4), 3);
    assert_eq!(at(&log, 1).unwrap().base_offset, 3, "after the markers");
    conflict(at(&log, 1), 4);
    end(&log, 1, true).unwrap();
    log.roll_at(5).unwrap();
    end(&log, 1, true).unwrap();
    log.close().unwrap();
    // After a reopen the markers are found in the files, across segments.
    let log = fixture.open_clean(6);
    conflict(at(&log, 3), 6);
    conflict(at(&log, 7), 6);
    end(&log, 1, true).unwrap();
    assert_eq!(at(&log, 4).unwrap().base_offset, 7);
    conflict(at(&log, 4), 8);
    append(&log, &[TestRecord::of("8")]).unwrap();
    end(&log, 1, true).unwrap();
    conflict(at(&log, 8), 10);
    assert_eq!(at(&log, 9).unwrap().base_offset, 10);
}

/// A copy of the partition has what its indexes will have, and its state of producers.
#[test]
fn a_copy_has_the_aborted_transactions_that_no_index_has_yet() {
    let mut fixture = Fixture::new(POSITIONED, 1 << 20);
    fixture.finish_late();
    let log = fixture.open_new();
    let steps = [
        Step::Data { producer: 1, count: 2 },
        Step::End { producer: 1, commits: false },
        Step::Roll,
        Step::Data { producer: 2, count: 2 },
        Step::Data { producer: 1, count: 1 },
        Step::End { producer: 2, commits: false },
    ];
    for step in &steps {
        take(&log, step).unwrap();
    }
    let model = Model::of(&steps);
    let points = at_one_point(vec![Kept::new(Arc::clone(&log))]);
    end(&log, 1, false).unwrap();
    let other = Fixture::new(POSITIONED, 1 << 20);
    let mut copier = Copier::new(other.disk.clone(), &|| Ok(()));
    points[0].copy_to(&other.directory(), &mut copier, &|_| false).unwrap();
    model.check_files(&other);
    model.check(&other.open(clean(&model)));
}

/// As a broker: an idle producer is in no snapshot after a day, one with an open transaction is.
#[test]
fn producers_that_were_idle_for_a_day_are_forgotten() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_data(&log, 1, 1).unwrap();
    end(&log, 1, true).unwrap();
    append_data(&log, 2, 1).unwrap();
    let known = |log: &Leader| log.last_batches().into_keys().collect::<Vec<_>>();
    log.forget_idle_producers(1000 + DAY - 1);
    assert_eq!(known(&log), [1, 2]);
    log.forget_idle_producers(1000 + DAY);
    assert_eq!(known(&log), [2]);
    assert_eq!(log.bounds().unwrap().last_stable, 2);
    end(&log, 2, true).unwrap();
    log.forget_idle_producers(i64::MAX);
    log.close().unwrap();
    assert_eq!(fs::read(file(&fixture, 4, segment::PRODUCER_SNAPSHOT)).unwrap().len(), 10);
}

fn seen(log: &Arc<Leader>, level: ReadUpTo) -> u64 {
    let mut cursor = Cursor::new(Arc::clone(log), 0, level).isolated(IsolationLevel::ReadCommitted);
    while cursor.fetch(ANY).unwrap().is_some() {}
    cursor.offset()
}

/// A power cut may take a marker and leave the records. What lies before it is on disk, and all the same neither a reader of what
/// is durable gets a record of the transaction, nor does a compaction count it.
#[test]
fn a_commit_counts_for_what_must_survive_once_its_marker_is_on_disk() {
    let mut fixture = Fixture::new(POSITIONED, 1 << 20);
    fixture.settings.compaction = Some(Compaction {
        min_dirty_ratio: 0.0,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        delete_retention_ms: 0,
    });
    let log = fixture.open_new();
    append(&log, &[TestRecord::of("0")]).unwrap();
    append_data(&log, 1, 1).unwrap();
    log.sync().unwrap();
    assert_eq!((seen(&log, ReadUpTo::Visible), seen(&log, ReadUpTo::Durable)), (1, 1));
    log.roll_at(2).unwrap();
    log.finish_sealed().unwrap();
    let cleanable = |log: &Arc<Leader>| {
        let plan = log.plan_compaction(i64::MAX).unwrap();
        plan.cleanable.map_or(0, |cleanable| cleanable.end())
    };
    assert_eq!(cleanable(&log), 0, "it is open");
    end(&log, 1, true).unwrap();
    assert_eq!((seen(&log, ReadUpTo::Visible), seen(&log, ReadUpTo::Durable)), (3, 1));
    assert_eq!(cleanable(&log), 0, "its marker may go");
    log.sync().unwrap();
    assert_eq!((seen(&log, ReadUpTo::Visible), seen(&log, ReadUpTo::Durable)), (3, 3));
    assert_eq!(cleanable(&log), 2);

    // The same of what a recovery has found, until that is on disk.
    append_data(&log, 1, 1).unwrap();
    log.sync().unwrap();
    end(&log, 1, true).unwrap();
    let point = log.recovery_point().unwrap();
    assert_eq!(point, 4);
    drop(log);
    let log = fixture.open_unclean(point);
    assert_eq!((seen(&log, ReadUpTo::Visible), seen(&log, ReadUpTo::Durable)), (5, 0));
    log.sync().unwrap();
    assert_eq!(seen(&log, ReadUpTo::Durable), 5);
}

/// Readers, while transactions begin and end beside them: never a record of one that is open or aborted, and each committed one
/// once, in order. Segments are small, so that ends lie in other segments than beginnings.
#[test]
fn readers_beside_see_committed_records_only() {
    let fixture = Fixture::new(MAPPED, 2000);
    let log = fixture.open_new();
    append(&log, &[TestRecord::of("")]).unwrap();
    let rounds = 400_u64;
    let reader = |log: Arc<Leader>| {
        let mut cursor = Cursor::new(log, 0, ReadUpTo::Visible).isolated(IsolationLevel::ReadCommitted);
        let mut found = Vec::new();
        loop {
            match cursor.fetch(ANY).unwrap() {
                Some(fetched) => {
                    for (_, record) in super::fixture::records_of(&fetched) {
                        found.push(String::from_utf8(record.value.unwrap()).unwrap());
                    }
                    if found.last().is_some_and(|last| last == "end") {
                        return found;
                    }
                }
                None => std::thread::yield_now(),
            }
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let log = Arc::clone(&log);
                scope.spawn(move || reader(log))
            })
            .collect();
        let mut expected = vec![String::new()];
        for round in 0..rounds {
            let value = |what: &str| TestRecord::of(format!("{what} {round}"));
            let stamped = |producer: i64, record: TestRecord| {
                let mut builder = batch(&[record]);
                builder.set_producer(BatchProducer::transactional(producer, 0, 0));
                let mut batch = builder.finish().unwrap();
                log.append(AppendRequest::new(&mut batch, AppendAt::End, Durability::Buffered)).unwrap();
            };
            stamped(1, value("aborted"));
            stamped(2, value("committed"));
            append(&log, &[value("plain")]).unwrap();
            end(&log, 1, false).unwrap();
            end(&log, 2, true).unwrap();
            expected.extend([format!("committed {round}"), format!("plain {round}")]);
            if round % 7 == 0 {
                log.sync().unwrap();
            }
        }
        append(&log, &[TestRecord::of("end")]).unwrap();
        expected.push("end".to_owned());
        for reader in readers {
            assert_eq!(reader.join().unwrap(), expected);
        }
    });
}
