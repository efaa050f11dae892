//! A reader that tails a log while another process compacts it: nothing that stays is skipped, nothing comes twice, and no
//! file is taken for the one that had its name before.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::super::fixture::{ANY, Fixture, STRIDE, append, records_of};
use super::{Bench, RETENTION_MS, Seen, clean, fill, keyed, seen};
use crate::config::ReadUpTo;
use crate::partition::{Cursor, FetchLimits, PartitionLog};
use crate::sys::faults::{Faults, Operation};

/// A reader that began at some offset, and what it was given since.
struct Reader {
    cursor: Cursor,
    from: u64,
    found: Seen,
}

/// Readers all over a log that is followed. Some are in the middle of a segment, others were only sent there.
fn readers(log: &Arc<PartitionLog>, end: u64, step: usize) -> Vec<Reader> {
    (0..end)
        .step_by(step)
        .map(|from| {
            let cursor = Cursor::new(Arc::clone(log), from, ReadUpTo::Visible);
            let mut reader = Reader { cursor, from, found: Seen::new() };
            if from % 2 == 0 {
                reader.fetch(FetchLimits { bytes: 300, records: 2 });
            }
            reader
        })
        .collect()
}

impl Reader {
    fn fetch(&mut self, limits: FetchLimits) -> bool {
        let fetched = self.cursor.fetch(limits).unwrap();
        let found = fetched.iter().flat_map(records_of);
        self.found.extend(found);
        fetched.is_some()
    }

    /// Reads on to the end: it was given all that is left of the log, and nothing that never was.
    fn check(mut self, before: &Seen, left: &Seen, context: &str) {
        while self.fetch(ANY) {}
        let context = format!("{context}, from {}", self.from);
        assert!(self.found.is_sorted_by(|(a, _), (b, _)| a < b), "{context}");
        assert!(self.found.iter().all(|(at, _)| *at >= self.from), "{context}");
        let missing = left.iter().filter(|(at, _)| *at >= self.from).find(|one| !self.found.contains(one));
        assert_eq!(missing, None, "{context}");
        assert!(self.found.iter().all(|one| before.contains(one)), "{context}");
    }
}

/// A follower of the same files; it reads them in one of two ways.
fn follow(fixture: &Fixture, maps: bool) -> Arc<PartitionLog> {
    let log = fixture.follow_with(maps);
    log.load().unwrap();
    log
}

#[test]
fn a_follower_keeps_its_place_through_one_pass_after_the_other() {
    for maps in [true, false] {
        let mut bench = Bench::new(2000);
        bench.fixture.settings.retention.file_delete_delay_ms = 0;
        let log = bench.open_new();
        let (mut before, mut end) = (Seen::new(), 0);
        let mut follower = None;
        for round in 0..4 {
            fill(&log, 10);
            log.finish_sealed().unwrap();
            let appended = seen(&log).into_iter().filter(|(at, _)| *at >= end);
            before.extend(appended);
            end = log.bounds().unwrap().log_end;
            let follower = follower.get_or_insert_with(|| follow(&bench.fixture, maps));
            assert_eq!(follower.bounds().unwrap().log_end, end);
            let readers = readers(follower, end, 1);
            // Tombstones get their time, which makes their batches longer, and go when it has come.
            bench.clock.advance(Duration::from_millis(RETENTION_MS.unsigned_abs()));
            assert_eq!(bench.run().unwrap().partitions_compacted, 1);
            let left = seen(&log);
            assert!(left.len() < before.len());
            for reader in readers {
                reader.check(&before, &left, &format!("{maps}, {round}"));
            }
            assert_eq!(seen(follower), left);
        }
    }
}

/// The writer is stopped after any rename and stays there: the follower copes with each state, and with the rest.
#[test]
fn names_that_come_and_go_do_not_lead_a_follower_astray() {
    let bench = Bench::new(2000);
    let log = bench.open_new();
    fill(&log, 14);
    log.close().unwrap();
    let (files, end) = (bench.fixture.files(), 42);
    for n in (0..).step_by(STRIDE) {
        bench.work.catalog.set_partitions(Vec::new());
        bench.fixture.restore(&files);
        let faults = Faults::after(Operation::Rename, n, ErrorKind::Other, true);
        let log = bench.open(&faults, clean(end));
        let before = seen(&log);
        let follower = follow(&bench.fixture, n % 2 == 0);
        let first = readers(&follower, end, 5);
        let failed = bench.run().is_err();
        assert_eq!(failed, faults.have_struck());
        let left = seen(&log);
        for reader in first {
            reader.check(&before, &left, &format!("stopped after {n}"));
        }
        assert_eq!(seen(&follow(&bench.fixture, true)), left, "{n}: begun now");
        let second = readers(&follower, end, 5);
        faults.heal();
        bench.run().unwrap();
        let left = seen(&log);
        for reader in second {
            reader.check(&before, &left, &format!("continued after {n}"));
        }
        if !failed {
            assert!(n > 8, "{n}");
            break;
        }
    }
}

/// The file of a segment is exchanged for another one that is just as long, and begins and ends at the same offsets.
#[test]
fn a_file_with_the_same_name_and_length_is_another_file() {
    let bench = Bench::new(600);
    let log = bench.open_new();
    let records = |letter: &str| (0..4).map(|n| keyed(&format!("{n}"), Some(&letter.repeat(100)))).collect();
    let (old, new): (Vec<_>, Vec<_>) = (records("o"), records("n"));
    append(&log, &old).unwrap();
    append(&log, &old).unwrap();
    log.close().unwrap();
    assert_eq!(bench.fixture.bases(), [0, 4]);
    for maps in [true, false] {
        let follower = follow(&bench.fixture, maps);
        assert_eq!(seen(&follower).len(), 8);
        let other = Bench::new(600);
        let log = other.open_new();
        append(&log, if maps { &new } else { &old }).unwrap();
        append(&log, &old).unwrap();
        log.close().unwrap();
        let (from, to) = (other.fixture.log_file(0), bench.fixture.log_file(0));
        assert_eq!(std::fs::metadata(&from).unwrap().len(), std::fs::metadata(&to).unwrap().len());
        let known = follower.segments();
        // Both are there at once, so that no number is given away again.
        let beside = to.with_extension("beside");
        std::fs::copy(&from, &beside).unwrap();
        std::fs::remove_file(&to).unwrap();
        std::fs::rename(&beside, &to).unwrap();
        let failure = known.first().unwrap().open().unwrap_err();
        assert!(failure.is_file_not_found(), "{failure}");
        let expected = if maps { &new } else { &old };
        let found: Vec<_> = seen(&follower).into_iter().take(4).map(|(_, record)| record).collect();
        assert_eq!(&found, expected);
        assert!(follower.segments().first().unwrap().open().is_ok(), "it was checked anew");
    }
}
