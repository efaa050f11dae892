//! Many writers and readers on one partition, with the real threads of the background.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{
    ANY, EXACT, Fixture, MAPPED, Modes, POSITIONED, TestRecord, append, append_numbered, as_log, records_of,
};
use crate::background::tests::alone;
use crate::background::{Channels, Threads};
use crate::clock::Pace;
use crate::config::ReadUpTo;
use crate::error::Error;
use crate::partition::{BackgroundSync, Cursor, FetchLimits, Leader};
use crate::wait::{Parker, before_parking};

const APPENDERS: u64 = 3;
const BATCHES: u64 = 400;
/// Far longer than any wait takes: a thread that waits so long was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// A record that says who wrote it, as which one, and is long or short.
fn signed(appender: u64, number: u64) -> TestRecord {
    let filler = ".".repeat(usize::try_from(number * 37 % 300).unwrap());
    TestRecord { timestamp: 7, ..TestRecord::of(format!("{appender} {number} {filler}")) }
}

fn signature(record: &TestRecord) -> (u64, u64) {
    let text = String::from_utf8(record.value.clone().unwrap()).unwrap();
    let mut parts = text.split(' ').map(|part| part.parse().unwrap_or(u64::MAX));
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Appends batches of 1, 2 and 3 records; returns how many records that were.
fn append_all(log: &Arc<Leader>, appender: u64) -> u64 {
    let mut number = 0;
    for batch in 0..BATCHES {
        let count = batch % 3 + 1;
        let records: Vec<_> = (number..number + count).map(|number| signed(appender, number)).collect();
        append(log, &records).unwrap();
        number += count;
    }
    number
}

/// Waits as a consumer does.
fn wait(cursor: &Cursor) {
    let parker = Parker::default();
    let sleeping = cursor.log().sleepers().enter(&parker.waker());
    before_parking();
    if !cursor.may_have_data() {
        let since = Instant::now();
        parker.park(Some(since + FORGOTTEN));
        assert!(since.elapsed() < FORGOTTEN, "the reader was not woken at {}", cursor.offset());
    }
    drop(sleeping);
}

/// Reads everything up to offset `end`, waiting for it, and checks the order.
fn read_all(log: &Arc<Leader>, limits: FetchLimits, end: u64) {
    let mut cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
    let (mut next, mut numbers) = (0, BTreeMap::new());
    while next < end {
        let Some(fetched) = cursor.fetch(limits).unwrap() else {
            wait(&cursor);
            continue;
        };
        for (offset, record) in records_of(&fetched) {
            assert_eq!(offset, next, "each record once, in order");
            next += 1;
            let (appender, number) = signature(&record);
            let expected = numbers.entry(appender).or_insert(0);
            assert_eq!(number, *expected, "in the order of appender {appender}");
            *expected += 1;
        }
    }
}

/// Looks into the log here and there, and syncs it, until everything was appended.
fn disturb(log: &Arc<Leader>, end: u64) {
    loop {
        let bounds = log.bounds().unwrap();
        let offset = bounds.log_end * 7 / 9;
        if offset < bounds.log_end {
            let mut cursor = Cursor::new(Arc::clone(log), offset, ReadUpTo::Visible);
            let fetched = cursor.fetch(FetchLimits { bytes: 1, records: 1 }).unwrap().unwrap();
            assert_eq!(records_of(&fetched)[0].0, offset);
            assert_eq!(Cursor::offset_for_time(&as_log(log), 7, offset).unwrap(), Some(offset));
            assert_eq!(Cursor::offset_for_time(&as_log(log), 8, 0).unwrap(), None);
        }
        log.sync().unwrap();
        assert!(log.recovery_point().unwrap_or(0) >= bounds.log_end);
        if bounds.log_end == end {
            return;
        }
    }
}

fn run(modes: Modes) {
    let mut fixture = Fixture::new(modes, 30_000);
    let channels = Channels::new(Pace::default(), BackgroundSync::default());
    fixture.context = channels.context.clone();
    let alone = alone(channels, None, 0);
    let background = Threads::start(&alone.background).unwrap();
    let log = fixture.open_new();
    let end = APPENDERS * (0..BATCHES).map(|batch| batch % 3 + 1).sum::<u64>();
    thread::scope(|scope| {
        for limits in
            [ANY, FetchLimits { bytes: 100, records: 2 }, FetchLimits { bytes: 5000, records: 1000 }]
        {
            let log = &log;
            scope.spawn(move || read_all(log, limits, end));
        }
        scope.spawn(|| disturb(&log, end));
        for appender in 0..APPENDERS {
            let log = &log;
            scope.spawn(move || append_all(log, appender));
        }
    });
    log.close().unwrap();
    background.stop();
    fixture.check_closed();
    assert!(fixture.bases().len() > 10);
    read_all(&fixture.open_clean(end), ANY, end);
}

#[test]
fn every_reader_sees_every_record_once_and_in_order_mapped() {
    run(MAPPED);
}

#[test]
fn every_reader_sees_every_record_once_and_in_order_positioned() {
    run(POSITIONED);
    run(EXACT);
}

#[test]
fn every_reader_sees_every_record_once_and_in_order_mixed() {
    run(Modes { map_writes: true, map_reads: false, allocates: true });
    run(Modes { map_writes: false, map_reads: true, allocates: true });
}

#[test]
fn bytes_in_hand_outlive_rolls_the_close_and_the_files() {
    for modes in Modes::all() {
        for deleted in [false, true] {
            let fixture = Fixture::new(modes, 5000);
            let log = fixture.open_new();
            let mut held = Vec::new();
            for _ in 0..30 {
                let base = append_numbered(&log, 2, 300).unwrap();
                let fetched =
                    Cursor::new(Arc::clone(&log), base, ReadUpTo::Visible).fetch(ANY).unwrap().unwrap();
                let whole = fetched.bytes.as_ref();
                let part = fetched.bytes.share(&whole[70..whole.len() - 9]);
                held.push((whole.to_vec(), fetched.bytes.clone(), part));
            }
            if deleted {
                log.delete();
            } else {
                log.close().unwrap();
            }
            drop(log);
            fs::remove_dir_all(fixture.directory()).unwrap();
            for (expected, whole, part) in held {
                assert_eq!(whole.as_ref(), expected);
                drop(whole);
                assert_eq!(part, expected[70..expected.len() - 9]);
            }
        }
    }
}

#[test]
fn a_reader_that_waits_learns_of_the_end() {
    for delete in [false, true] {
        let fixture = Fixture::new(MAPPED, 5000);
        let log = fixture.open_new();
        append_numbered(&log, 2, 10).unwrap();
        let mut cursor = Cursor::new(Arc::clone(&log), 2, ReadUpTo::Visible);
        assert!(cursor.fetch(ANY).unwrap().is_none());
        thread::scope(|scope| {
            scope.spawn(|| {
                wait(&cursor);
                assert!(cursor.may_have_data());
            });
            if delete { log.delete() } else { log.close().unwrap() }
        });
        let failure = cursor.fetch(ANY).unwrap_err();
        assert_eq!(matches!(failure, Error::NotFound { .. }), delete, "{failure}");
        assert_eq!(matches!(failure, Error::Closed), !delete, "{failure}");
    }
}

/// The next segment's file is made late, just while another segment begins: it must not take that one's place.
#[test]
fn file_made_in_advance_never_takes_the_name_of_another() {
    let fixture = Fixture::new(POSITIONED, 600);
    let log = fixture.open_clean(0);
    append_numbered(&log, 1, 100).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                log.prepare_segment().unwrap();
            }
        });
        for _ in 1..600 {
            append_numbered(&log, 1, 100).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    log.close().unwrap();
    super::fixture::assert_numbered(&fixture.open_clean(600), 0..600, 100);
}
