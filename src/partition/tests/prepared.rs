//! The file of the next segment, made ahead.

use std::fs;

use super::fixture::{Fixture, MAPPED, Modes, append_numbered, assert_numbered};
use crate::background::Channels;
use crate::background::tests::{Alone, alone};
use crate::clock::Pace;
use crate::partition::BackgroundSync;
use crate::sys::faults::{Faults, Operation};

/// A fixture whose background is driven by hand.
fn driven(modes: Modes, segment_bytes: u32) -> (Fixture, Alone) {
    let mut fixture = Fixture::new(modes, segment_bytes);
    let channels = Channels::new(Pace::default(), BackgroundSync::default());
    fixture.context = channels.context.clone();
    (fixture, alone(channels, None, 0))
}

#[test]
fn a_segment_begins_in_the_file_that_was_prepared_and_none_is_left_after() {
    for modes in Modes::all() {
        let (fixture, work) = driven(modes, 4000);
        let prepared = fixture.directory().join("next.prepared");
        let log = fixture.open_new();
        append_numbered(&log, 2, 100).unwrap();
        let (mut end, mut rolls_into_prepared) = (2, 0);
        for _ in 0..60 {
            let (was_prepared, segments) = (prepared.exists(), fixture.bases().len());
            append_numbered(&log, 2, 100).unwrap();
            end += 2;
            if fixture.bases().len() > segments && was_prepared {
                rolls_into_prepared += 1;
                assert!(!prepared.exists(), "renamed");
            }
            work.background.run().unwrap();
        }
        assert!(rolls_into_prepared > 3, "{rolls_into_prepared} of {:?}", fixture.bases());
        log.prepare_segment().unwrap();
        assert!(prepared.exists());
        log.close().unwrap();
        assert!(!prepared.exists());
        log.prepare_segment().unwrap();
        assert!(!prepared.exists(), "not after the end");
        fixture.check_closed();
        assert_numbered(&fixture.open_clean(end), 0..end, 100);
    }
}

#[test]
fn a_request_that_comes_after_the_partition_is_idle_makes_no_file() {
    for rests in [false, true] {
        let (fixture, work) = driven(MAPPED, 4000);
        let prepared = fixture.directory().join("next.prepared");
        let log = fixture.open_new();
        let segment = || log.segments().last().map_or(0, |last| last.end().position);
        while segment() < 3500 {
            append_numbered(&log, 1, 100).unwrap();
        }
        assert_eq!(fixture.bases(), [0]);
        assert_eq!(rests, rests && log.rest());
        work.background.run().unwrap();
        assert_eq!(prepared.exists(), !rests);
        append_numbered(&log, 1, 10).unwrap();
        log.prepare_segment().unwrap();
        assert!(prepared.exists(), "wanted again");
        log.close().unwrap();
        assert!(!prepared.exists());
        fixture.check_closed();
    }
}

#[test]
fn what_a_crash_leaves_is_removed_and_holds_nothing() {
    let (fixture, work) = driven(MAPPED, 4000);
    let log = fixture.open_new();
    append_numbered(&log, 2, 100).unwrap();
    log.prepare_segment().unwrap();
    // Not every system releases a file's name while another process has it open.
    drop((log, work));
    let prepared = fixture.directory().join("next.prepared");
    fs::write(&prepared, "another program wrote into it").unwrap();
    let log = fixture.open_unclean(0);
    assert_numbered(&log, 0..2, 100);
    assert!(!prepared.exists());
    log.close().unwrap();
    fixture.check_closed();
}

#[test]
fn a_file_that_cannot_be_renamed_is_done_without() {
    let (fixture, _work) = driven(MAPPED, 1000);
    // The first one is of `partition.metadata`.
    let faults = Faults::after(Operation::Rename, 1, std::io::ErrorKind::PermissionDenied, false);
    let log = fixture.open_with(&faults, crate::partition::Checkpointed::default());
    append_numbered(&log, 2, 200).unwrap();
    log.prepare_segment().unwrap();
    while fixture.bases().len() < 2 {
        append_numbered(&log, 2, 200).unwrap();
    }
    assert!(faults.have_struck());
    let end = log.bounds().unwrap().log_end;
    assert_numbered(&log, 0..end, 200);
    log.close().unwrap();
    assert_numbered(&fixture.open_clean(end), 0..end, 200);
}
