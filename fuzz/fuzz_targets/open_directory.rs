//! A directory of a closed or killed log with changes to its files and directories: see `tests/mutated/mod.rs`.

#![no_main]

#[path = "../../tests/mutated/mod.rs"]
mod mutated;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutated::open(data));
