//! Power loss in a pass and after it: what the disk holds is the old segments or the new ones, group by group, and
//! the last durable value of each key.

use std::sync::Arc;

use super::super::fixture::{Fixture, append};
use super::super::power::{Crash, SimulatedDisk};
use super::{Bench, Seen, fill, keyed, last_of, seen, unclean};
use crate::partition::Checkpointed;
use crate::sys::faults::{Faults, Observer};

/// The log as a pass leaves it after none, some or all groups.
#[derive(Default)]
struct Known {
    before: Seen,
    after: Seen,
}

impl Known {
    /// Nothing that was there before is missing unless a later record of the same key is there, or the pass had taken
    /// it out, and then all of its segment is as the pass left it.
    fn assert_survived(&self, found: &Seen, durable: u64) {
        let durable_before: Seen = self.before.iter().filter(|(at, _)| *at < durable).cloned().collect();
        let last = last_of(found);
        for (key, (offset, value)) in last_of(&durable_before) {
            let (found_at, found_value) = &last[&key];
            assert!(*found_at >= offset, "an older value is back");
            assert!(*found_at > offset || *found_value == value);
        }
        let end = found.last().map_or(0, |(at, _)| at + 1);
        assert!(end >= durable, "{end} is below {durable}");
        let all: Seen = self.before.iter().filter(|(at, _)| *at < end).cloned().collect();
        let left: Seen = self.after.iter().filter(|(at, _)| *at < end).cloned().collect();
        let is_prefix_of_both = |from: u64| {
            let front = left.iter().filter(|(at, _)| *at < from);
            front.chain(all.iter().filter(|(at, _)| *at >= from)).eq(found)
        };
        assert!((0..=end).any(is_prefix_of_both), "a mix: {found:?}");
    }

    /// Opens what the power left, checks it, and lets the pass be done.
    fn survive(&self, bench: &Bench, crash: &Crash) {
        let fixture = &bench.fixture;
        crash.put_into(fixture);
        let log = bench.open(&Faults::default(), unclean(crash.recovery_point()));
        let found = seen(&log);
        self.assert_survived(&found, crash.durable());
        let last = last_of(&found);
        bench.run().unwrap();
        assert_eq!(last_of(&seen(&log)), last, "a pass over what was left");
        assert_eq!(bench.unfinished(), [""; 0]);
    }
}

/// What the records of a log will be once a pass has gone over them, tried on a copy.
fn passed_over(log_end: u64, files: &std::collections::BTreeMap<String, Vec<u8>>) -> (Seen, u64) {
    let bench = bench();
    bench.fixture.restore(files);
    let log = bench.open(&Faults::default(), unclean(log_end));
    bench.run().unwrap();
    (seen(&log), log.bounds().unwrap().log_end)
}

fn bench() -> Bench {
    Bench::new(2000)
}

#[test]
fn the_power_leaves_old_segments_or_new_ones_and_every_durable_value() {
    let mut survived = 0;
    for seed in 1..4_u64 {
        let bench = bench();
        let nothing = Crash::nothing();
        let simulated =
            SimulatedDisk::of(&bench.fixture, &nothing, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let faults = Faults::observed(Arc::clone(&simulated) as Arc<dyn Observer>);
        let log = bench.open(&faults, Checkpointed::default());
        fill(&log, 16);
        log.finish_sealed().unwrap();
        // After what is durable: newer values of all keys, which may be lost.
        log.sync().unwrap();
        for n in 0..5 {
            append(&log, &[keyed(&format!("often {n}"), Some("newer"))]).unwrap();
        }
        simulated.note(&log);
        drop(simulated.take());
        let mut known = Known { before: seen(&log), after: Seen::new() };
        let point = log.recovery_point().unwrap();
        (known.after, _) = passed_over(point, &bench.fixture.files());
        bench.run().unwrap();
        simulated.note(&log);
        assert!(seen(&log).len() < known.before.len() * 9 / 10);
        let fresh = self::bench();
        for crash in simulated.take() {
            known.survive(&fresh, &crash);
            survived += 1;
        }
        // Later the old files go and appending continues.
        bench.clock.advance(std::time::Duration::from_mins(10));
        bench.run().unwrap();
        simulated.note(&log);
        for crash in simulated.take() {
            known.survive(&fresh, &crash);
            survived += 1;
        }
    }
    assert!(survived > 200, "{survived}");
}

/// Values that are not on disk yet are no reason to take out older ones: the segments that hold them are not
/// finished, however many there are.
#[test]
fn a_newer_value_that_is_not_durable_takes_no_older_one_away() {
    let mut bench = bench();
    bench.fixture.finish_late();
    let log = bench.open_new();
    fill(&log, 8);
    log.finish_sealed().unwrap();
    log.sync().unwrap();
    let durable = log.durable_end();
    let before = last_of(&seen(&log));
    for n in 0..40 {
        append(&log, &[keyed(&format!("often {}", n % 5), Some(&"newer".repeat(30)))]).unwrap();
    }
    assert!(log.durable_end() < log.bounds().unwrap().log_end);
    let cleanable = log.plan_compaction(super::NOW).unwrap().cleanable.unwrap();
    assert!(cleanable.end() <= log.durable_end(), "{} > {durable}", cleanable.end());
    bench.run().unwrap();
    let found: Seen = seen(&log).into_iter().filter(|(at, _)| *at < log.durable_end()).collect();
    for (key, (offset, _)) in before {
        let kept = found.iter().any(|(at, record)| *at >= offset && record.key.as_ref() == Some(&key));
        assert!(kept, "{key:?} at {offset}");
    }
}

impl Crash {
    fn put_into(&self, fixture: &Fixture) {
        fixture.restore(self.files().expect("the directory was on disk"));
    }
}
