//! Syncs that a caller waits for: shared, in order, and final when they fail.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::fixture::{
    Fixture, MAPPED, POSITIONED, TestRecord, append_numbered, assert_numbered, batch, preallocate_now,
};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::partition::{AppendAt, AppendRequest, BackgroundSync, Checkpointed, Leader, MaintenanceRequest};
use crate::sys::faults::{Faults, Observer, Operation};

const WAITERS: u64 = 8;

fn append_synced(log: &Arc<Leader>) -> Result<u64> {
    let appended = log.append(AppendRequest::new(
        &mut batch(&[TestRecord::of("synced")]).finish().unwrap(),
        AppendAt::End,
        Durability::Synced,
    ))?;
    log.await_durable(appended.next_offset)?;
    Ok(appended.base_offset)
}

/// Lets that many threads append and wait while no sync can begin. Their outcomes.
fn together(log: &Arc<Leader>) -> Vec<Result<u64>> {
    let end = log.bounds().unwrap().log_end + WAITERS;
    let order = log.writer.finishing();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..WAITERS).map(|_| scope.spawn(|| append_synced(log))).collect();
        while log.bounds().unwrap().log_end < end {
            thread::yield_now();
        }
        drop(order);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn those_who_wait_together_share_syncs() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_numbered(&log, 1, 10).unwrap();
    let before = log.counted().syncs;
    let mut offsets: Vec<_> = together(&log).into_iter().map(Result::unwrap).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=WAITERS).collect::<Vec<_>>());
    assert_eq!(log.durable_end(), WAITERS + 1);
    // The first had begun before the others had appended; one more served all of them.
    assert!(log.counted().syncs - before <= 2, "{}", log.counted().syncs);
}

/// Bytes of a file that are mapped with their pages, in this process.
#[cfg(target_os = "linux")]
fn resident(file: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_of_file = false;
    let mut kilobytes = 0;
    for line in maps.lines() {
        if line.contains(" rw-s ") || line.contains(" r--s ") || line.contains("-p ") {
            is_of_file = line.ends_with(file.to_str().unwrap());
        } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| is_of_file) {
            kilobytes += rss.trim_end_matches("kB").trim().parse::<u64>().unwrap();
        }
    }
    kilobytes << 10
}

#[cfg(target_os = "linux")]
#[test]
fn a_sync_finds_no_page_that_the_map_of_the_writer_has() {
    const RECORD: usize = 1000;
    let fixture = Fixture::new(MAPPED, 8 << 20);
    let log = fixture.open_new();
    let mut count = 0;
    let mut append_some = || {
        for _ in 0..150 {
            preallocate_now(&log);
            append_numbered(&log, 1, RECORD).unwrap();
        }
        count += 150;
        count
    };
    append_some();
    let end = append_some() * RECORD as u64;
    let file = fixture.log_file(0);
    let before = resident(&file);
    assert!(before >= end, "{before} of {end}");
    log.sync().unwrap();
    // All but what lies in a page with bytes that are not published yet, and what is made ready for the next appends.
    let unmapped = before - resident(&file);
    assert!(unmapped >= end - (128 << 10), "{unmapped} of {end}");
    // What is read and written afterwards is what it was.
    let count = append_some();
    assert_numbered(&log, 0..count, RECORD);
    log.sync().unwrap();
    log.close().unwrap();
    fixture.check_closed();
}

#[test]
fn a_failed_sync_is_final_for_all_who_wait_and_ever_after() {
    for successes in 0..3 {
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        let log = fixture.open_new();
        append_synced(&log).unwrap();
        log.close().unwrap();
        let faults = Faults::after(Operation::Sync, successes, ErrorKind::Other, false);
        let log = fixture.open_with(
            &faults,
            Checkpointed { clean: true, recovery_point: Some(1), log_start: 0, ..Checkpointed::default() },
        );
        let events = fixture.context.events.listen();
        while !faults.have_struck() {
            let durable = log.durable_end();
            let outcomes = together(&log);
            let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Poisoned(_)))));
            assert_eq!(failed > 0, faults.have_struck());
            assert!(log.durable_end() >= durable);
            for acknowledged in outcomes.into_iter().flatten() {
                assert!(acknowledged < log.durable_end());
            }
        }
        let durable = log.durable_end();
        assert!(matches!(append_synced(&log), Err(Error::Poisoned(_))));
        assert!(matches!(append_numbered(&log, 1, 10), Err(Error::Poisoned(_))));
        assert!(matches!(log.sync(), Err(Error::Poisoned(_))));
        assert!(matches!(log.close(), Err(Error::Poisoned(_))), "never in order");
        assert_eq!(log.durable_end(), durable, "the next sync would have succeeded, and counts for nothing");
        assert!(matches!(events.try_next(), Some(Event::PartitionPoisoned { .. })));
        assert_eq!(events.try_next(), None, "reported once");
    }
}

#[test]
fn nothing_in_a_new_segment_is_acknowledged_before_the_old_one_is_on_disk() {
    let mut fixture = Fixture::new(POSITIONED, 1000);
    fixture.finish_late();
    for successes in 0..6 {
        let faults = Faults::after(Operation::Sync, successes, ErrorKind::Other, false);
        let log = fixture.open_with(&faults, Checkpointed::default());
        let mut outcome = Ok(0);
        while outcome.is_ok() && log.segments().iter().count() < 4 {
            outcome = append_numbered(&log, 1, 200);
        }
        let bases: Vec<_> = log.segments().iter().map(|segment| segment.base()).collect();
        if outcome.and_then(|_| append_synced(&log)).is_err() {
            // Durable is a whole number of segments: what a failed sync covered is not.
            assert!(
                log.durable_end() == 0 || bases.contains(&log.durable_end()),
                "{bases:?} {}",
                log.durable_end()
            );
        }
        drop(log);
        fixture.remove();
    }
}

#[test]
fn a_synced_append_never_goes_through_the_map() {
    let fixture = Fixture::new(MAPPED, 1 << 20);
    // Two small files and the first batch, before pages are ready.
    let faults = Faults::after(Operation::Write, 3, ErrorKind::Other, true);
    let log = fixture.open_with(&faults, Checkpointed::default());
    let mut offset = append_numbered(&log, 1, 10).unwrap();
    if !log.disk.map_writes {
        return;
    }
    log.sync().unwrap();
    preallocate_now(&log);
    for _ in 0..5 {
        offset = append_numbered(&log, 1, 10).unwrap();
    }
    assert!(!faults.have_struck(), "stored through the map");
    assert!(append_synced(&log).is_err(), "written");
    assert!(faults.have_struck());
    assert_numbered(&log, 0..offset + 1, 10);
}

#[test]
fn a_tail_found_after_a_crash_is_written_again_before_a_sync_of_it_counts() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_numbered(&log, 5, 100).unwrap();
    log.sync().unwrap();
    drop(log);
    let faults = Faults::after(Operation::Write, 0, ErrorKind::Other, true);
    let log = fixture.open_with(&faults, Checkpointed::default());
    log.load().unwrap();
    assert!(!faults.have_struck(), "served without writing");
    assert_eq!((log.bounds().unwrap().log_end, log.durable_end()), (5, 0));
    assert!(matches!(log.await_durable(5), Err(Error::Poisoned(_))));
    assert!(faults.have_struck());
    assert_eq!(log.durable_end(), 0);
}

#[test]
fn what_is_published_is_never_changed() {
    for modes in [POSITIONED, MAPPED] {
        let fixture = Fixture::new(modes, 4000);
        let log = fixture.open_new();
        let mut known: Vec<(u64, Vec<u8>)> = Vec::new();
        for step in 0..60 {
            if step % 5 == 4 {
                append_synced(&log).unwrap();
            } else {
                append_numbered(&log, 2, 90).unwrap();
            }
            if step % 7 == 6 {
                log.sync().unwrap();
                preallocate_now(&log);
            }
            for (base, before) in &known {
                let now = std::fs::read(fixture.log_file(*base)).unwrap();
                assert!(now.starts_with(before), "segment {base}");
            }
            known = log
                .segments()
                .iter()
                .map(|segment| {
                    let mut bytes = std::fs::read(segment.path()).unwrap();
                    bytes.truncate(usize::try_from(segment.end().position).unwrap());
                    (segment.base(), bytes)
                })
                .collect();
        }
        assert!(known.len() > 3);
    }
}

/// Appends to the log for which something was just synced, once.
#[derive(Debug, Default)]
struct AppendsMeanwhile(OnceLock<Arc<Leader>>);

impl Observer for AppendsMeanwhile {
    fn file_synced(&self, _file: &File) {
        if let Some(log) = self.0.get()
            && log.segments().iter().count() == 1
        {
            // On a thread of its own, as appends beside a sync are: this one holds the order of syncs.
            thread::scope(|threads| {
                threads.spawn(|| append_numbered(log, 1, 200).unwrap()).join().unwrap();
            });
        }
    }

    fn directory_synced(&self, _directory: &Path) {}

    fn renamed(&self, _to: &Path) {}
}

#[test]
fn a_long_tail_is_synced_also_if_its_segment_began_during_a_sync() {
    let mut fixture = Fixture::new(POSITIONED, 1000);
    let (maintenance, asked) = crossbeam_channel::unbounded();
    fixture.context.maintenance = Some(maintenance);
    fixture.context.background_sync = BackgroundSync { bytes: Some(700), age: None };
    let meanwhile = Arc::new(AppendsMeanwhile::default());
    let log = fixture.open_with(&Faults::observed(Arc::clone(&meanwhile) as _), Checkpointed::default());
    // The first sync does what the first append has left.
    append_numbered(&log, 1, 20).unwrap();
    log.sync().unwrap();
    append_numbered(&log, 1, 600).unwrap();
    meanwhile.0.set(Arc::clone(&log)).unwrap();
    log.sync().unwrap();
    assert_eq!(log.segments().iter().count(), 2, "the sync came to its end in another segment");
    let syncs = || asked.try_iter().filter(|request| matches!(request, MaintenanceRequest::Sync(_))).count();
    syncs();
    append_numbered(&log, 1, 400).unwrap();
    assert_eq!(syncs(), 1, "700 bytes of the new segment are in the log");
}
