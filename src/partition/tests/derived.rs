//! Indexes that do not agree with their log: whatever is in them, nothing is deleted, hidden or found for it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::fixture::{
    ANY, Fixture, MAPPED, Modes, POSITIONED, STRIDE, TestRecord, append, as_log, batches_of, raise,
    records_of,
};
use crate::background::retention::{Stint, retain};
use crate::config::ReadUpTo;
use crate::events::{Event, Events};
use crate::format::index::{OFFSET_ENTRY, TIME_ENTRY};
use crate::partition::{Checkpointed, Cursor, Leader, LiveWatch, LiveWriter, Retention};
use crate::segment::{OFFSET_INDEX, TIME_INDEX, file_name};

const AGE: i64 = 10_000;
const RECORDS: u64 = 60;

/// Timestamps: some ascend, some go back, some are the same as others.
fn timestamp(offset: u64) -> i64 {
    let offset = i64::try_from(offset).unwrap();
    1_000_000 + offset / 4 * 40 + [0, 30, 30, -70][usize::try_from(offset % 4).unwrap()]
}

struct Case {
    fixture: Fixture,
    whole: BTreeMap<String, Vec<u8>>,
    bases: Vec<u64>,
}

impl Case {
    /// Three segments with a batch for each record.
    fn new(modes: Modes) -> Self {
        let mut fixture = Fixture::new(modes, 2500);
        fixture.settings.index_interval_bytes = 200;
        fixture.settings.retention =
            Retention { deletes: true, bytes: None, ms: Some(AGE), file_delete_delay_ms: 1 };
        let log = fixture.open_new();
        for offset in 0..RECORDS {
            append(&log, &[TestRecord { timestamp: timestamp(offset), ..value(offset) }]).unwrap();
        }
        log.close().unwrap();
        let (whole, bases) = (fixture.files(), fixture.bases());
        assert_eq!(bases.len(), 3);
        Self { fixture, whole, bases }
    }

    /// The directory with one file changed, or without it, opened after a clean stop or another one.
    fn opened(&self, name: &str, bytes: Option<&[u8]>, clean: bool) -> (Arc<Leader>, Events) {
        self.fixture.restore(&self.whole);
        let path = self.fixture.directory().join(name);
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let checkpointed = Checkpointed { clean, recovery_point: Some(RECORDS), ..Checkpointed::default() };
        let log = self.fixture.open(checkpointed);
        let events = self.fixture.context.events.listen();
        log.bounds().unwrap();
        (log, events)
    }

    fn largest(&self, segment: usize) -> i64 {
        let next = self.bases.get(segment + 1).copied().unwrap_or(RECORDS);
        (self.bases[segment]..next).map(timestamp).max().unwrap()
    }

    fn check(&self, log: &Arc<Leader>, number: usize, context: &str) {
        // Retention comes first or second: whichever it is finds the index as it is.
        if number.is_multiple_of(2) {
            check_lookups(log, 0, number % 3, context);
        }
        // Young, all of them.
        retain_at(log, self.largest(0) + AGE);
        assert_eq!(log.log_start(), 0, "{context}: young records are gone");
        // The first segment is old by all of its records, and the next one is not.
        retain_at(log, self.largest(0) + AGE + 1);
        assert_eq!(log.log_start(), self.bases[1], "{context}");
        check_lookups(log, self.bases[1], number % 3, context);
    }
}

fn value(offset: u64) -> TestRecord {
    TestRecord::of(format!("{offset:040}"))
}

fn retain_at(log: &Arc<Leader>, now: i64) {
    retain(std::slice::from_ref(log), now, Stint::Whole, raise).1.unwrap();
}

/// Offsets and times lead to what a list would find: one in three, from this one on.
fn check_lookups(log: &Arc<Leader>, from: u64, first: usize, context: &str) {
    for offset in (from..RECORDS).skip(first).step_by(3) {
        let fetched = Cursor::new(Arc::clone(log), offset, ReadUpTo::Visible).fetch(ANY).unwrap().unwrap();
        assert_eq!(records_of(&fetched)[0].0, offset, "{context}");
        let times = [timestamp(offset) - 1, timestamp(offset)];
        for at in times {
            let first = (from..RECORDS).find(|offset| timestamp(*offset) >= at);
            assert_eq!(
                Cursor::offset_for_time(&as_log(log), at, from).unwrap(),
                first,
                "{context}: time {at}"
            );
        }
    }
    assert_eq!(Cursor::offset_for_time(&as_log(log), i64::MAX, from).unwrap(), None, "{context}");
}

fn reported(events: &Events) -> Vec<String> {
    let rebuilt = std::iter::from_fn(|| events.try_next()).filter_map(|event| match event {
        Event::IndexRebuilt { path, .. } => Some(path.file_name().unwrap().to_str().unwrap().to_owned()),
        _ => None,
    });
    rebuilt.collect()
}

/// What may be in an index file in place of what should be: flips, and whole other contents.
fn contents(case: &Case, segment: usize, suffix: &str, width: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let file = |segment: usize| case.whole[&file_name(case.bases[segment], suffix)].clone();
    let right = file(segment);
    let mut found: Vec<(String, Option<Vec<u8>>)> = vec![
        ("missing".into(), None),
        ("empty".into(), Some(Vec::new())),
        ("zeros".into(), Some(vec![0; right.len()])),
        ("ones".into(), Some(vec![0xff; right.len()])),
        ("another segment's".into(), Some(file((segment + 1) % 3))),
        ("after zeros".into(), Some([&[0; 12][..width], &right].concat())),
        ("with zeros after".into(), Some([&right[..], &vec![0; 40 * width]].concat())),
        ("backwards".into(), Some(right.chunks(width).rev().flatten().copied().collect())),
    ];
    found.extend(
        (1..right.len()).step_by(STRIDE).map(|cut| (format!("cut to {cut}"), Some(right[..cut].to_vec()))),
    );
    found.extend(
        (1..right.len() / width)
            .map(|cut| (format!("without the first {cut} entries"), Some(right[cut * width..].to_vec()))),
    );
    let in_last = (right.len() - width) * 8..right.len() * 8;
    let some = (segment..right.len() * 8).step_by(37 * STRIDE);
    for bit in in_last.chain(some) {
        let mut flipped = right.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        found.push((format!("bit {bit} flipped"), Some(flipped)));
    }
    found
}

fn check_each(suffix: &str, width: usize) {
    for (segment, modes) in [MAPPED, POSITIONED, MAPPED].into_iter().enumerate() {
        let case = Case::new(modes);
        let name = file_name(case.bases[segment], suffix);
        for (number, (what, bytes)) in contents(&case, segment, suffix, width).into_iter().enumerate() {
            let clean = number % 2 == 0;
            let (log, _events) = case.opened(&name, bytes.as_deref(), clean);
            let context = format!("{name} {what}, {}", if clean { "closed" } else { "killed" });
            case.check(&log, number / 2, &context);
        }
    }
}

#[test]
fn whatever_is_in_a_time_index_nothing_young_is_deleted_and_times_are_found() {
    check_each(TIME_INDEX, TIME_ENTRY);
}

#[test]
fn whatever_is_in_an_offset_index_nothing_young_is_deleted_and_offsets_are_found() {
    check_each(OFFSET_INDEX, OFFSET_ENTRY);
}

#[test]
fn an_index_that_disagrees_is_made_anew_and_reported() {
    let case = Case::new(POSITIONED);
    for (segment, base) in case.bases.iter().enumerate() {
        for (suffix, width) in [(OFFSET_INDEX, OFFSET_ENTRY), (TIME_INDEX, TIME_ENTRY)] {
            let name = file_name(*base, suffix);
            let right = case.whole[&name].clone();
            let another = case.whole[&file_name(case.bases[(segment + 1) % 3], suffix)].clone();
            let mut flipped = right.clone();
            flipped[right.len() - width + 3] ^= 1;
            for bytes in [Some(another), Some(vec![0xff; right.len()]), Some(flipped), None] {
                // Entries of an offset index that lead past the end of the log, or are not there, only cost time.
                let is_reported = suffix == TIME_INDEX || bytes.is_none();
                let (log, events) = case.opened(&name, bytes.as_deref(), true);
                (0..3).for_each(|first| check_lookups(&log, 0, first, &name));
                if segment == 2 {
                    append(&log, &[value(RECORDS)]).unwrap();
                }
                let reported = reported(&events);
                assert!(reported.len() <= 1, "{reported:?}");
                assert!(!reported.is_empty() || !is_reported || segment == 2, "{name}");
                log.close().unwrap();
                assert!(
                    reported.is_empty() || segment == 2 || case.fixture.files()[&name] == right,
                    "{name}"
                );
                case_is_right(&case);
            }
        }
    }
}

/// The indexes that are there say the truth, whichever process wrote them.
fn case_is_right(case: &Case) {
    let files = case.fixture.files();
    for base in &case.bases {
        let batches = batches_of(&files[&file_name(*base, "log")], *base);
        let times = &files[&file_name(*base, TIME_INDEX)];
        let largest = batches.iter().map(|batch| batch.header.max_timestamp).max().unwrap();
        let last = i64::from_be_bytes(times[times.len() - TIME_ENTRY..][..8].try_into().unwrap());
        assert_eq!(last, largest, "{base}");
    }
}

#[test]
fn an_index_that_was_truncated_is_not_continued() {
    let case = Case::new(POSITIONED);
    let name = file_name(case.bases[2], TIME_INDEX);
    let right = &case.whole[&name];
    for cut in 1..right.len() / TIME_ENTRY {
        let (log, events) = case.opened(&name, Some(&right[..cut * TIME_ENTRY]), true);
        // Later records with earlier timestamps, enough for entries of their own.
        for at in 0..8 {
            let timestamp = timestamp(case.bases[2]) + at * 15;
            append(&log, &[TestRecord { timestamp, ..value(RECORDS) }]).unwrap();
        }
        assert_eq!(reported(&events).first(), Some(&name), "cut to {cut} entries");
        let largest = log.segments().last().unwrap().base();
        assert_eq!(largest, case.bases[2], "all in the same segment");
        (0..3).for_each(|first| check_lookups(&log, 0, first, &name));
    }
}

#[test]
fn what_a_live_file_does_not_show_is_found_in_the_log_all_the_same() {
    let mut fixture = Fixture::new(MAPPED, 1 << 20);
    let root = fixture.directory().parent().unwrap().to_owned();
    // Without shared memory there is no such file.
    let Some(live) = LiveWriter::make(&fixture.disk, &root, 1).unwrap() else { return };
    fixture.context.live = Some(live);
    let log = fixture.open_new();
    append(&log, &[value(0)]).unwrap();
    fixture.context.live = None;
    fixture.context.watch = Some(Arc::new(LiveWatch::new(&root)));
    let follower = fixture.follow_with(false);
    follower.tailing().unwrap().refresh().unwrap();
    follower.refresh_end().unwrap();
    let ends = || follower.segments().last().unwrap().next_offset();
    assert_eq!(ends(), 1);
    let before = log.segments().last().unwrap().end_word();
    append(&log, &[value(1)]).unwrap();
    // As if another program had put the page back.
    log.writer.live_slot().unwrap().publish(before);
    follower.refresh_end().unwrap();
    assert_eq!(ends(), 1, "believed, for a second");
    follower.tailing().unwrap().forget_last_look();
    follower.refresh_end().unwrap();
    assert_eq!(ends(), 2);
}
