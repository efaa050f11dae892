#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stratalog::fuzzing::coordinator_records(data));
