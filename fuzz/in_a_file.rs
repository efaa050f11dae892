//! A file in memory that holds one input after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Calls `look` with the path of a file of this name that holds `data`.
pub fn with(name: &str, data: &[u8], look: fn(&Path)) {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| tempfile::tempdir_in("/dev/shm").unwrap().keep());
    let path = directory.join(name);
    fs::write(&path, data).unwrap();
    look(&path);
}
