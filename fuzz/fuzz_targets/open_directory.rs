//! A directory of a closed or killed log with changes to its files and directories: see `tests/directories/mutated.rs`.

#![no_main]

#[path = "../../tests/directories/mutated.rs"]
mod mutated;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutated::open(data));
