//! Retention at the roll: what a partition does not keep goes as soon as a segment has begun after it.

use std::sync::Arc;

use super::fixture::{Fixture, MAPPED, append_numbered};
use crate::background::Channels;
use crate::background::tests::{Alone, alone};
use crate::clock::{ManualClock, Pace};
use crate::partition::{BackgroundSync, Checkpointed, Leader, Retention};
use crate::sys::faults::Faults;

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
    let mut fixture = Fixture::new(MAPPED, SEGMENT_BYTES);
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
