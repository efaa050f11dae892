//! Texts that the program `stratalog` reads: options, and lines of its input.

#![no_main]
#![allow(dead_code, unreachable_pub, reason = "the whole program, of which its readers alone are called")]

#[path = "../../src/cli/mod.rs"]
mod cli;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cli::fuzzing::texts(data));
