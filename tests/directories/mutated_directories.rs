//! Directories whose files and directories were changed, swapped, doubled or removed: opening and reading them ends, in
//! whatever way. `fuzz/` finds such changes; here run those that were kept, and some that a seed draws.

use crate::mutated;
use std::path::Path;

#[test]
fn no_kept_input_breaks_a_promise() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        // The package that is published has no fuzzers.
        return;
    }
    let mut count = 0;
    for entry in std::fs::read_dir(fuzz.join("corpus/open_directory")).unwrap() {
        mutated::open(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn whatever_is_absent_doubled_or_exchanged_opening_and_reading_end() {
    let mut state: u64 = 13;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    for round in 0..60 {
        let mut input = vec![round];
        for number in 0..=round % 3 {
            // Each kind of change in turn.
            input.extend([next(), round / 3 + number * 5, 0, next(), next(), next()]);
        }
        mutated::open(&input);
    }
}
