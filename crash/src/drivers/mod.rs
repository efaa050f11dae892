//! Five ways to end a log badly. Each brings logs into the oracle's hands and is compared by it.

pub mod broker;
pub mod check;
pub mod faults;
pub mod full;
pub mod kill;
pub mod media;
pub mod power;
pub mod salvage;
mod small_disk;
pub mod snapshot;
pub mod soak;
pub mod stress;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::interpose::unseen;

/// An empty directory, by its real path.
pub fn fresh(path: &Path) -> Result<PathBuf, String> {
    unseen(|| {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path).and_then(|()| path.canonicalize())
    })
    .map_err(|failure| format!("{}: {failure}", path.display()))
}

/// A panic is a violation like others.
pub fn caught<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        let words = cause.downcast_ref::<String>().map(String::as_str);
        Err(format!("PANIC: {}", words.or(cause.downcast_ref::<&str>().copied()).unwrap_or("without words")))
    })
}
