//! Checkpoints and indexes that a run goes by may be wrong: nothing goes, and nothing comes back, for that.

use std::fs;
use std::time::Duration;

use super::super::fixture::append;
use super::{ALWAYS, Bench, Settings, clean, fill, keyed, last_of, seen};
use crate::partition::Checkpointed;
use crate::sys::faults::Faults;

#[test]
fn a_checkpoint_of_the_cleaner_that_says_too_much_brings_nothing_back_that_was_deleted() {
    for claimed in [3, 6, 9, 12] {
        let bench = Bench::new(400);
        let log = bench.open_new();
        for key in ["a", "b"] {
            append(&log, &[keyed(key, Some("value that is deleted"))]).unwrap();
            append(&log, &[keyed("other", Some(key))]).unwrap();
            append(&log, &[keyed(key, None)]).unwrap();
        }
        for n in 0..6 {
            append(&log, &[keyed(&format!("{n}"), Some("fills a segment or two"))]).unwrap();
        }
        log.close().unwrap();
        // As if everything below had been gone through: nothing has.
        let checkpointed = Checkpointed { cleaned: Some(claimed), ..clean(12) };
        let log = bench.open(&Faults::default(), checkpointed);
        append(&log, &[keyed("later", Some("value"))]).unwrap();
        for _ in 0..6 {
            bench.run().unwrap();
            bench.clock.advance(Duration::from_secs(1000));
            append(&log, &[keyed("again", Some(&"x".repeat(200)))]).unwrap();
            let found = last_of(&seen(&log));
            for key in ["a", "b"] {
                let value = found.get(key.as_bytes()).and_then(|(_, value)| value.clone());
                assert_eq!(value, None, "{key} is back, with {claimed} claimed to be clean");
            }
        }
        let deleted = seen(&log).into_iter().filter(|(_, record)| record.value.is_none()).count();
        assert_eq!(deleted, 0, "and in the end the tombstones go, with {claimed} claimed to be clean");
    }
}

#[test]
fn nothing_young_is_taken_out_because_of_a_time_index() {
    let mut bench = Bench::new(2000);
    bench.fixture.settings.compaction = Some(Settings { min_lag_ms: 60_000, ..ALWAYS });
    let log = bench.open_new();
    fill(&log, 30);
    log.close().unwrap();
    let before = bench.fixture.files();
    for name in before.keys().filter(|name| name.ends_with(".timeindex")) {
        let mut wrong = before[name].clone();
        let last = wrong.len() - 12;
        wrong[last..last + 8].copy_from_slice(&1_i64.to_be_bytes());
        fs::write(bench.fixture.directory().join(name), wrong).unwrap();
    }
    let log = bench.open(&Faults::default(), clean(90));
    let all = seen(&log);
    for _ in 0..3 {
        assert_eq!(bench.run().unwrap().partitions_compacted, 0);
    }
    assert_eq!(seen(&log), all);
    bench.clock.advance(Duration::from_secs(61));
    assert!(bench.run().unwrap().partitions_compacted > 0);
    assert!(seen(&log).len() < all.len(), "now it is old");
    assert_eq!(last_of(&seen(&log)), last_of(&all));
}
