//! Retention at the roll: what a partition does not keep goes as soon as a segment has begun after it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{EXACT, Fixture, MAPPED, Modes, append_numbered, assert_numbered};
use crate::background::Channels;
use crate::background::tests::{Alone, alone};
use crate::clock::{ManualClock, Pace, Timestamp};
use crate::partition::{BackgroundSync, Checkpointed, Kept, Leader, Retention, at_one_point};
use crate::sys::Copier;
use crate::sys::faults::{Faults, Observer};

const SEGMENT_BYTES: u32 = 4000;
const KEPT_BYTES: u64 = 5 * SEGMENT_BYTES as u64;
const BY_SIZE: Retention =
    Retention { deletes: true, bytes: Some(KEPT_BYTES), ms: None, file_delete_delay_ms: 0 };

/// A partition whose background is driven by hand, with this retention. By the system's clock nothing that the open has
/// scheduled is due for seconds.
fn driven(
    retention: Retention,
    clock: Option<&ManualClock>,
    faults: &Faults,
) -> (Fixture, Alone, Arc<Leader>) {
    driven_in(MAPPED, retention, clock, faults)
}

fn driven_in(
    modes: Modes,
    retention: Retention,
    clock: Option<&ManualClock>,
    faults: &Faults,
) -> (Fixture, Alone, Arc<Leader>) {
    let mut fixture = Fixture::new(modes, SEGMENT_BYTES);
    fixture.settings.retention = retention;
    let pace = clock.map_or_else(Pace::default, |clock| Pace::Clock(Arc::new(clock.clone())));
    let channels = Channels::new(pace, BackgroundSync { bytes: None, age: None });
    fixture.context = channels.context.clone();
    let work = alone(channels, clock.map(|clock| Arc::new(clock.clone()) as _), 1 << 16);
    let log = fixture.open_with(faults, Checkpointed::default());
    log.load().unwrap();
    work.catalog.set_partitions(vec![Arc::new(Arc::clone(&log).into())]);
    (fixture, work, log)
}

/// Appends until so many segments have begun after the present one.
fn roll(log: &Arc<Leader>, times: usize) {
    append_numbered(log, 3, 300).unwrap();
    let newest = || log.segments().last().unwrap().base();
    for _ in 0..times {
        let before = newest();
        while newest() == before {
            append_numbered(log, 3, 300).unwrap();
        }
    }
}

fn bytes_on_disk(fixture: &Fixture) -> u64 {
    fixture
        .files()
        .iter()
        .filter(|(name, _)| name.contains(".log"))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum()
}

#[test]
fn after_each_roll_no_more_is_there_than_is_kept_and_two_segments() {
    let (fixture, work, log) = driven(BY_SIZE, None, &Faults::default());
    let mut deleted = 0;
    for _ in 0..30 {
        roll(&log, 1);
        deleted += work.background.run().unwrap().segments_deleted;
        let size: u64 = log.facts().unwrap().iter().map(|segment| segment.bytes).sum();
        assert!(size <= KEPT_BYTES + 2 * u64::from(SEGMENT_BYTES), "{size}");
        // The active one is preallocated.
        let there = bytes_on_disk(&fixture);
        assert!(there <= KEPT_BYTES + 2 * u64::from(SEGMENT_BYTES), "{there}");
    }
    assert!(deleted >= 20, "{deleted}");
    log.close().unwrap();
}

#[test]
fn what_is_too_old_goes_at_the_roll() {
    let by_age = Retention { deletes: true, bytes: None, ms: Some(10), file_delete_delay_ms: 0 };
    let (_fixture, work, log) = driven(by_age, None, &Faults::default());
    for _ in 0..5 {
        // Their timestamps are of 1970.
        roll(&log, 1);
        assert!(work.background.run().unwrap().segments_deleted >= 1);
        assert_eq!(log.facts().unwrap().iter().map(|segment| segment.bytes).sum::<u64>(), 0);
    }
    log.close().unwrap();
}

/// The base offsets of the segments whose log file was synced.
#[derive(Debug, Default)]
struct Synced(Mutex<BTreeSet<u64>>);

impl Observer for Synced {
    fn file_synced(&self, mut file: &File) {
        let mut begin = [0; 17];
        file.seek(SeekFrom::Start(0)).unwrap();
        // A batch of format 2 begins with its base offset; an index has no such byte there.
        if file.read_exact(&mut begin).is_ok() && begin[16] == 2 {
            self.0.lock().insert(u64::from_be_bytes(begin[..8].try_into().unwrap()));
        }
    }

    fn directory_synced(&self, _: &Path) {}

    fn renamed(&self, _: &Path) {}
}

fn bases(log: &Leader) -> Vec<u64> {
    log.segments().iter().map(|segment| segment.base()).collect()
}

#[test]
fn a_segment_that_goes_before_a_sync_is_asked_for_is_never_synced() {
    let synced = Arc::new(Synced::default());
    let (fixture, work, log) = driven(BY_SIZE, None, &Faults::observed(Arc::clone(&synced) as _));
    for _ in 0..30 {
        roll(&log, 1);
        work.background.run().unwrap();
        assert!(synced.0.lock().is_empty(), "{synced:?}");
        assert_eq!(log.durable_end(), log.log_start(), "of what is there nothing counts as durable");
        assert_eq!(log.recovery_point().unwrap_or(0), log.log_start());
    }
    let (start, end) = (log.log_start(), log.bounds().unwrap().log_end);
    assert!(start > 0);
    assert_eq!(bases(&log)[0], start);
    // A sync covers what is left, and no more than that.
    log.sync().unwrap();
    assert_eq!(synced.0.lock().iter().copied().collect::<Vec<_>>(), bases(&log));
    assert_eq!((log.durable_end(), log.recovery_point()), (end, Some(end)));
    log.close().unwrap();
    drop(log);
    fixture.check_closed();
    let checkpointed =
        Checkpointed { clean: true, recovery_point: Some(end), log_start: start, ..Checkpointed::default() };
    assert_numbered(&fixture.open(checkpointed), start..end, 300);
}

#[test]
fn of_many_segments_only_those_that_stay_are_synced() {
    let synced = Arc::new(Synced::default());
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let (_fixture, work, log) = driven(BY_SIZE, Some(&clock), &Faults::observed(Arc::clone(&synced) as _));
    for _ in 0..3 {
        roll(&log, 20);
        let before = synced.0.lock().clone();
        let report = work.background.run().unwrap();
        assert!(report.segments_deleted >= 13, "{report:?}");
        let stays = bases(&log);
        let (_, sealed) = stays.split_last().unwrap();
        let new: Vec<_> = synced.0.lock().difference(&before).copied().collect();
        assert_eq!(new, sealed, "by hand all that is sealed is finished");
        assert_eq!(report.segments_finished, sealed.len());
    }
    log.close().unwrap();
}

#[test]
fn segments_that_retention_does_not_take_are_finished_after_a_while() {
    let synced = Arc::new(Synced::default());
    let (_fixture, work, log) = driven(BY_SIZE, None, &Faults::observed(Arc::clone(&synced) as _));
    roll(&log, 2);
    work.background.run().unwrap();
    let first_two = log.segments().last().unwrap().base();
    roll(&log, 1);
    work.background.run().unwrap();
    assert!(synced.0.lock().is_empty());
    // What has been sealed since waits another time.
    work.background.make_everything_due();
    assert_eq!(work.background.run().unwrap().segments_finished, 2);
    assert_eq!((log.durable_end(), log.recovery_point()), (first_two, Some(first_two)));
    work.background.make_everything_due();
    assert_eq!(work.background.run().unwrap().segments_finished, 1);
    work.background.make_everything_due();
    assert_eq!(work.background.run().unwrap().segments_finished, 0);
    log.close().unwrap();
}

/// Retention that would not take them in time.
#[test]
fn where_more_is_kept_than_may_wait_sealed_segments_are_finished_at_once() {
    for kept in [Some((2 << 30) - u64::from(SEGMENT_BYTES)), None] {
        let (_fixture, work, log) = driven(Retention { bytes: kept, ..BY_SIZE }, None, &Faults::default());
        roll(&log, 3);
        assert_eq!(work.background.run().unwrap().segments_finished, 3);
        log.close().unwrap();
    }
}

/// A file that is linked is synced no more: what was never synced has to be copied.
#[test]
fn a_snapshot_links_no_segment_that_has_left_before_it_was_synced() {
    let (fixture, work, log) = driven_in(EXACT, BY_SIZE, None, &Faults::default());
    roll(&log, 15);
    let points = at_one_point(vec![Kept::new(Arc::clone(&log))]);
    let there: u64 = log.facts().unwrap().iter().map(|segment| segment.bytes).sum();
    assert!(work.background.run().unwrap().segments_deleted > 5);
    let copy = fixture.directory().with_file_name("copy");
    let mut copier = Copier::new(fixture.disk.clone(), &|| Ok(()));
    let bytes = points[0].copy_to(&copy, &mut copier, &|_| false).unwrap();
    assert_eq!((bytes.shared, bytes.linked, bytes.copied), (0, 0, there));
    drop(points);
    log.close().unwrap();
}
