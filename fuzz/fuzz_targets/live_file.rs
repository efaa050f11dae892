//! A `stratalog.live` that another process has left.

#![no_main]

#[path = "../in_a_file.rs"]
mod in_a_file;

use stratalog::fuzzing::{live_file, live_image};

libfuzzer_sys::fuzz_target!(|data: &[u8]| in_a_file::with("stratalog.live", &live_image(data), live_file));
