//! Texts that the program `stratalog` reads: options, and lines of its input.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stratalog_cli::fuzzing::texts(data));
