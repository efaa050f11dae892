//! A file, looked into as each of the kinds that `inspect` knows.

#![no_main]

#[path = "../in_a_file.rs"]
mod in_a_file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    in_a_file::with("00000000000000000007.log", data, stratalog::fuzzing::inspected);
});
