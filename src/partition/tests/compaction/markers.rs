//! Transactions in a compacted log: what was aborted goes, markers stay for as long as they are needed, and a log that
//! cannot be processed is left alone.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::super::fixture::{ANY, TestRecord, append, batches_of, records_of};
use super::super::transactions::{TRANSACTIONAL, bytes_at, marker};
use super::{Bench, NOW, RETENTION_MS, clean, keyed};
use crate::config::{IsolationLevel, ReadUpTo};
use crate::events::Event;
use crate::format::control::ControlRecord;
use crate::format::header::BatchHeader;
use crate::partition::transactions::ProducerState;
use crate::partition::{Cursor, Leader};
use crate::segment;
use crate::sys::faults::Faults;

fn data(offset: u64, producer: i64, transactional: bool, key: &str) -> Vec<u8> {
    bytes_at(offset, &[keyed(key, Some(&format!("{offset}")))], |header| {
        (header.producer_id, header.producer_epoch) = (producer, 0);
        header.base_sequence = i32::try_from(offset).unwrap();
        header.attributes = if transactional { TRANSACTIONAL } else { 0 };
    })
}

/// A log that a broker left: an aborted transaction, one whose only record is overtaken, and one that stays.
fn batches() -> [Vec<Vec<u8>>; 3] {
    [
        vec![
            data(0, 1, true, "a"),
            marker(1, 1, false),
            data(2, 2, true, "b"),
            marker(3, 2, true),
            data(4, 9, false, "c"),
        ],
        vec![
            data(5, 9, false, "b"),
            data(6, 3, true, "d"),
            marker(7, 3, true),
            data(8, 1, false, "e"),
            data(9, 2, false, "f"),
        ],
        vec![data(10, 9, false, "g")],
    ]
}

const END: u64 = 11;

/// Puts the log into the directory. With snapshots nothing is gone through at the open, and indexes are believed.
fn write(bench: &Bench, snapshots: bool) {
    let log = bench.open_new();
    append(&log, &[TestRecord::of("first")]).unwrap();
    log.close().unwrap();
    bench.work.catalog.set_partitions(Vec::new());
    let names = bench.fixture.files().into_keys().filter(|name| name.starts_with("0000"));
    names.for_each(|name| fs::remove_file(bench.fixture.directory().join(name)).unwrap());
    let (mut state, mut next) = (ProducerState::default(), 0);
    let snapshot = |at: u64, state: &ProducerState| {
        let name = segment::file_name(at, segment::PRODUCER_SNAPSHOT);
        if snapshots && at > 0 {
            fs::write(bench.fixture.directory().join(name), state.encode()).unwrap();
        }
    };
    for batches in batches() {
        snapshot(next, &state);
        fs::write(bench.fixture.log_file(next), batches.concat()).unwrap();
        for suffix in [segment::OFFSET_INDEX, segment::TIME_INDEX] {
            let name = segment::file_name(next, suffix);
            if snapshots {
                fs::write(bench.fixture.directory().join(name), []).unwrap();
            }
        }
        for bytes in batches {
            let header = BatchHeader::read(bytes.first_chunk().unwrap());
            state.note(&header, ControlRecord::of_batch(&bytes));
            next += 1;
        }
    }
    snapshot(next, &state);
}

/// Offsets of all batches in the log, and how many records each has.
fn left(bench: &Bench) -> Vec<(i64, i32)> {
    let files = bench.fixture.files();
    let of = |base: u64| batches_of(&files[&segment::file_name(base, segment::LOG)], base);
    // The last segment may have space past its end.
    let mut sealed = bench.fixture.bases();
    sealed.pop();
    let batches = sealed.into_iter().flat_map(of);
    batches.map(|at| (at.header.base_offset, at.header.record_count)).collect()
}

fn committed(log: &Arc<Leader>) -> Vec<u64> {
    let cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
    let mut cursor = cursor.isolated(IsolationLevel::ReadCommitted);
    let mut found = Vec::new();
    while let Some(fetched) = cursor.fetch(ANY).unwrap() {
        found.extend(records_of(&fetched).into_iter().map(|(offset, _)| offset));
    }
    found
}

fn has_transaction_index(bench: &Bench) -> bool {
    let is_index = |name: &String| name.ends_with(".txnindex");
    bench.fixture.files().into_keys().any(|name| is_index(&name))
}

/// Makes something new to be compacted: without it there is no pass.
fn roll(log: &Arc<Leader>) {
    for _ in 0..2 {
        append(log, &[keyed("roll", Some(&"r".repeat(1500)))]).unwrap();
    }
    log.finish_sealed().unwrap();
}

fn pass(bench: &Bench) {
    assert_eq!(bench.run().unwrap().partitions_compacted, 1);
    let wrong =
        |event: &Event| matches!(event, Event::CompactionRefused { .. } | Event::MaintenanceFailed { .. });
    assert!(!bench.reported().iter().any(wrong));
}

#[test]
fn markers_go_after_their_records_and_no_sooner_than_tombstones() {
    let mut bench = Bench::new(2000);
    bench.fixture.settings.retention.file_delete_delay_ms = 0;
    write(&bench, false);
    let log = bench.open(&Faults::default(), clean(END));
    assert_eq!(committed(&log), [2, 4, 5, 6, 8, 9, 10]);
    pass(&bench);
    assert_eq!(committed(&log), [4, 5, 6, 8, 9, 10]);
    let front = |bench: &Bench| left(bench).into_iter().take_while(|(at, _)| *at < 10).collect::<Vec<_>>();
    // What was aborted and what is overtaken has gone; the markers were after it when the pass came by.
    assert_eq!(front(&bench), [1, 3, 4, 5, 6, 7, 8, 9].map(|at| (at, 1)));
    assert!(has_transaction_index(&bench));

    roll(&log);
    pass(&bench);
    assert_eq!(front(&bench), [1, 3, 4, 5, 6, 7, 8, 9].map(|at| (at, 1)), "they got their time only now");
    let file = fs::read(bench.fixture.log_file(0)).unwrap();
    for at in batches_of(&file, 0).iter().filter(|at| at.header.is_control()) {
        let is_needed = at.header.base_offset == 7;
        assert_eq!(at.header.has_delete_horizon(), !is_needed, "{:?}", at.header);
        assert!(is_needed || at.header.base_timestamp == NOW + RETENTION_MS);
    }
    assert_eq!(committed(&log)[..6], [4, 5, 6, 8, 9, 10]);

    bench.clock.advance(Duration::from_millis(RETENTION_MS.unsigned_abs() - 1));
    roll(&log);
    pass(&bench);
    assert_eq!(front(&bench).len(), 8, "a moment too early");
    bench.clock.advance(Duration::from_millis(1));
    roll(&log);
    pass(&bench);
    assert_eq!(front(&bench), [4, 5, 6, 7, 8, 9].map(|at| (at, 1)), "with its record a marker stays");
    assert_eq!(committed(&log)[..6], [4, 5, 6, 8, 9, 10]);
    let (end, before) = (log.bounds().unwrap().log_end, committed(&log));
    log.close().unwrap();
    for checkpointed in [clean(end), super::unclean(4)] {
        let log = bench.open(&Faults::default(), checkpointed);
        assert_eq!(committed(&log), before);
        assert_eq!(log.bounds().unwrap().last_stable, end);
    }
}

/// The records of an open transaction, and all after them, are not gone over.
#[test]
fn an_open_transaction_is_not_touched() {
    let bench = Bench::new(2000);
    write(&bench, false);
    let bytes = batches()[1].concat();
    // Without its end the transaction of the third producer is open.
    let open = batches_of(&bytes, 5).iter().find(|at| at.header.base_offset == 7).copied().unwrap();
    let plain = data(7, 9, false, "x");
    let mut changed = bytes[..open.position].to_vec();
    changed.extend(plain);
    changed.extend(&bytes[open.position + open.bytes..]);
    fs::write(bench.fixture.log_file(5), &changed).unwrap();
    let log = bench.open(&Faults::default(), clean(END));
    assert_eq!(log.bounds().unwrap().last_stable, 6);
    let planned = log.plan_compaction(NOW).unwrap().cleanable.unwrap();
    assert_eq!(planned.end(), 5, "only the segment before it");
    pass(&bench);
    assert_eq!(fs::read(bench.fixture.log_file(5)).unwrap(), changed);
}

#[test]
fn without_the_index_of_what_was_aborted_its_records_go_all_the_same() {
    let (with, without) = (Bench::new(2000), Bench::new(2000));
    write(&with, false);
    write(&without, true);
    let index = segment::file_name(0, segment::TRANSACTION_INDEX);
    for bench in [&with, &without] {
        let log = bench.open(&Faults::default(), clean(END));
        log.bounds().unwrap();
        assert_eq!(bench.fixture.files().contains_key(&index), std::ptr::eq(bench, &raw const with));
        assert_eq!(bench.run().unwrap().partitions_compacted, 1);
        log.close().unwrap();
    }
    let logs = |bench: &Bench| {
        let files = bench.fixture.files().into_iter();
        files.filter(|(name, _)| name.ends_with(".log") || name.ends_with(".txnindex")).collect::<Vec<_>>()
    };
    assert_eq!(logs(&with), logs(&without), "and so is the index that is left");
}
