//! The partition is closed or deleted, or loses segments, between two slices of a pass.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use super::super::fixture::{delete_records, raise};
use super::{Bench, NOW, Seen, clean, fill, last_of, seen};
use crate::background::retention::{Stint, retain};
use crate::compaction::{Compaction, Step};
use crate::error::{Error, Result};
use crate::partition::Leader;
use crate::sys::faults::Faults;

const END: u64 = 60;

fn dirty() -> (Bench, BTreeMap<String, Vec<u8>>) {
    let bench = Bench::new(2000);
    let log = bench.open_new();
    fill(&log, 20);
    log.close().unwrap();
    let files = bench.fixture.files();
    (bench, files)
}

fn open(bench: &Bench, files: &BTreeMap<String, Vec<u8>>) -> Arc<Leader> {
    bench.work.catalog.set_partitions(Vec::new());
    bench.fixture.restore(files);
    bench.open(&Faults::default(), clean(END))
}

/// Where a pass was stopped.
struct Stop {
    slices: usize,
    /// It had only to say that it was done.
    has_all: bool,
}

/// A pass that has done so many slices. `None`: it was done before.
fn begun(log: &Arc<Leader>, slices: usize) -> Option<Compaction> {
    let mut compaction = Compaction::new(1 << 16);
    assert!(compaction.look(slice::from_ref(log), NOW).failure.is_none());
    for _ in 0..slices {
        match compaction.step(log, NOW).unwrap() {
            Step::More => {}
            Step::Done(_) => return None,
            Step::Gone => panic!("nothing has happened"),
        }
    }
    Some(compaction)
}

/// Runs `check` with a pass that is stopped after each of its slices.
fn at_each_slice(check: impl Fn(&Bench, &Arc<Leader>, Compaction, &Stop)) {
    let (bench, files) = dirty();
    let log = open(&bench, &files);
    bench.run().unwrap();
    let after = seen(&log);
    let mut stopped = 0;
    for slices in 0.. {
        let log = open(&bench, &files);
        let Some(pass) = begun(&log, slices) else { break };
        let has_all = seen(&log) == after;
        check(&bench, &log, pass, &Stop { slices, has_all });
        stopped += 1;
    }
    assert!(stopped > 5, "{stopped}");
}

/// Continues with a pass until it ends, which it does soon.
fn run_out(pass: &mut Compaction, log: &Arc<Leader>) -> Result<Step> {
    for _ in 0..100 {
        match pass.step(log, NOW) {
            Ok(Step::More) => {}
            ended => return ended,
        }
    }
    panic!("it does not end")
}

/// Whether a pass has noticed that there is nothing more for it to do. It may read on for a while before.
fn is_over(ended: &Result<Step>, stop: &Stop) -> bool {
    match ended {
        Ok(Step::Done(_)) => stop.has_all,
        ended => matches!(ended, Ok(Step::Gone) | Err(Error::Closed | Error::NotFound { .. })),
    }
}

#[test]
fn a_close_in_between_leaves_a_log_that_opens_and_can_be_compacted() {
    at_each_slice(|bench, log, mut pass, stop| {
        let before = seen(log);
        log.close().unwrap();
        let closed = bench.fixture.files();
        // Nothing is touched any more: the directory may be another process's.
        assert!(is_over(&run_out(&mut pass, log), stop), "after {}", stop.slices);
        drop(pass);
        bench.fixture.assert_files(&closed);
        let log = bench.open(&Faults::default(), clean(END));
        assert_eq!(seen(&log), before, "after {}", stop.slices);
        assert_eq!(bench.unfinished(), [""; 0]);
        bench.run().unwrap();
        assert_eq!(last_of(&seen(&log)), last_of(&before), "after {}", stop.slices);
    });
}

#[test]
fn a_deletion_in_between_ends_the_pass() {
    at_each_slice(|bench, log, mut pass, stop| {
        log.delete();
        let deleted = bench.fixture.files();
        assert!(is_over(&run_out(&mut pass, log), stop), "after {}", stop.slices);
        drop(pass);
        bench.fixture.assert_files(&deleted);
        // The search for something to do passes it over.
        assert_eq!(bench.run().unwrap().partitions_compacted, 0);
    });
}

#[test]
fn segments_that_are_deleted_in_between_stay_deleted() {
    for start in [7, 20, 31, END] {
        at_each_slice(|bench, log, mut pass, stop| {
            let before = seen(log);
            let context = format!("{start} after {}", stop.slices);
            delete_records(log, start).unwrap();
            retain(slice::from_ref(log), NOW, Stint::Whole, raise).1.unwrap();
            let check = |found: &Seen| {
                assert!(found.iter().all(|(at, _)| *at >= start), "{context}");
                let kept: Seen = before.iter().filter(|(at, _)| *at >= start).cloned().collect();
                assert_eq!(last_of(found), last_of(&kept), "{context}");
            };
            check(&seen(log));
            run_out(&mut pass, log).unwrap_or_else(|failure| panic!("{context}: {failure}"));
            check(&seen(log));
            drop(pass);
            assert_eq!(bench.unfinished(), [""; 0], "{context}");
            bench.run().unwrap();
            check(&seen(log));
            log.close().unwrap();
            let begins = crate::partition::Checkpointed { log_start: start, ..clean(END) };
            check(&seen(&bench.open(&Faults::default(), begins)));
        });
    }
}
