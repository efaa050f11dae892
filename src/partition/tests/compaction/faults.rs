//! The n-th operation of a pass fails: the log reads as before the pass or as after a part of it, a later pass does the
//! rest, and appending is none the worse for it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::super::fixture::{STRIDE, append};
use super::{Bench, Seen, clean, fill, keyed, last_of, seen, unclean};
use crate::error::Error;
use crate::events::Event;
use crate::partition::Leader;
use crate::sys::faults::{Faults, Operation};

const OPERATIONS: [Operation; 6] = [
    Operation::Write,
    Operation::Sync,
    Operation::Allocate,
    Operation::Create,
    Operation::Rename,
    Operation::Remove,
];

/// A partition of which several groups of segments are to be compacted, closed cleanly.
struct Dirty {
    bench: Bench,
    files: BTreeMap<String, Vec<u8>>,
    end: u64,
    before: Seen,
    after: Seen,
}

fn dirty() -> Dirty {
    let bench = Bench::new(2000);
    let log = bench.open_new();
    fill(&log, 20);
    log.close().unwrap();
    let (files, end) = (bench.fixture.files(), 60);
    let log = bench.open(&Faults::default(), clean(end));
    let before = seen(&log);
    let report = bench.run().unwrap();
    assert_eq!(report.partitions_compacted, 1);
    let after = seen(&log);
    let swapped = bench.fixture.files().into_keys().filter(|name| name.ends_with(".log")).count();
    assert!(swapped > 2, "several groups: {swapped}");
    assert!(after.len() < before.len() * 3 / 4);
    assert_eq!(last_of(&after), last_of(&before));
    Dirty { bench, files, end, before, after }
}

impl Dirty {
    fn open(&self, faults: &Faults) -> Arc<Leader> {
        self.bench.work.catalog.set_partitions(Vec::new());
        self.bench.fixture.restore(&self.files);
        drop(self.bench.reported());
        self.bench.open(faults, clean(self.end))
    }

    /// Up to some offset the log is as after the pass, and after it as before: groups are exchanged one by one, each
    /// as a whole.
    fn assert_some_groups(&self, found: &Seen, context: &str) {
        let after = |all: &Seen, from: u64| all.iter().filter(|(at, _)| *at >= from).cloned().collect();
        let is_mix = |from: u64| {
            let front = self.after.iter().filter(|(at, _)| *at < from).cloned();
            let back: Seen = after(&self.before, from);
            front.chain(back).eq(found.iter().cloned())
        };
        let mut begins = self.files.keys().filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        assert!(begins.any(is_mix), "{context}: {found:?}");
        assert_eq!(last_of(found), last_of(&self.before), "{context}");
    }

    /// A pass over what is there leaves what a pass without a fault had left.
    fn assert_continues(&self, log: &Arc<Leader>, context: &str) {
        self.bench.run().unwrap_or_else(|failure| panic!("{context}: {failure}"));
        assert_eq!(seen(log), self.after, "{context}");
        assert_eq!(self.bench.unfinished(), [""; 0], "{context}");
        append(log, &[keyed("after", Some("it"))]).unwrap_or_else(|failure| panic!("{context}: {failure}"));
        log.sync().unwrap_or_else(|failure| panic!("{context}: {failure}"));
        log.close().unwrap();
        let log = self.bench.open(&Faults::default(), clean(self.end + 1));
        let mut expected = self.after.clone();
        expected.push((self.end, keyed("after", Some("it"))));
        assert_eq!(seen(&log), expected, "{context}: opened again");
    }
}

/// What happens to a log after a pass over it has failed.
#[derive(Debug, Clone, Copy)]
enum Then {
    Retry,
    Close,
    Die,
}

#[test]
fn whatever_fails_in_a_pass_is_made_good_by_the_next() {
    let dirty = dirty();
    for operation in OPERATIONS {
        let mut struck = 0;
        for n in (0..).step_by(STRIDE) {
            let mut is_over = false;
            for then in [Then::Retry, Then::Close, Then::Die] {
                let context = format!("{operation:?} {n}, {then:?}");
                let faults = Faults::after(operation, n, ErrorKind::Other, false);
                let mut log = dirty.open(&faults);
                let outcome = dirty.bench.run();
                if !faults.have_struck() {
                    outcome.unwrap();
                    assert_eq!(seen(&log), dirty.after, "{context}");
                    is_over = true;
                    break;
                }
                struck += 1;
                if let Err(failure) = outcome {
                    assert!(matches!(failure, Error::Io(_)), "{context}: {failure}");
                    let failed =
                        |event: &Event| matches!(event, Event::MaintenanceFailed { task: "compaction", .. });
                    assert!(dirty.bench.reported().iter().any(failed), "{context}");
                }
                let found = seen(&log);
                dirty.assert_some_groups(&found, &context);
                match then {
                    Then::Retry => {}
                    Then::Close => {
                        log.close().unwrap_or_else(|failure| panic!("{context}: {failure}"));
                        log = dirty.bench.open(&Faults::default(), clean(dirty.end));
                    }
                    Then::Die => log = dirty.bench.open(&Faults::default(), unclean(dirty.end)),
                }
                dirty.assert_some_groups(&seen(&log), &context);
                if found.len() < dirty.before.len() {
                    assert_eq!(seen(&log), found, "{context}: what was read stays");
                }
                dirty.assert_continues(&log, &context);
            }
            if is_over {
                break;
            }
        }
        assert!(operation == Operation::Allocate || struck > 6 / STRIDE, "{operation:?}: {struck}");
    }
}

/// As long as the disk is full nothing changes; it is reported, and later made good.
#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let dirty = dirty();
    for operation in [Operation::Write, Operation::Create] {
        // Several writes and files to each segment: the first group only.
        for n in 0..3 {
            let context = format!("{operation:?} {n}");
            let faults = Faults::after(operation, n, ErrorKind::StorageFull, true);
            let log = dirty.open(&faults);
            for _ in 0..2 {
                let failure = dirty.bench.run().unwrap_err();
                assert!(matches!(failure, Error::StorageFull { .. }), "{context}: {failure}");
                let reported = dirty.bench.reported();
                let failed = |event: &&Event| matches!(event, Event::MaintenanceFailed { task: "compaction", failure } if !failure.is_empty());
                assert_eq!(reported.iter().filter(failed).count(), 1, "{context}: {reported:?}");
                dirty.bench.fixture.assert_files(&dirty.files);
                assert_eq!(seen(&log), dirty.before);
            }
            faults.heal();
            dirty.assert_continues(&log, &context);
        }
    }
}
