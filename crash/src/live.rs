//! `stratalog.live` as another version of stratalog would have it: of a layout that this one does not know, of another
//! length, or none at all. Readers check the files then, and see the same.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Ours,
    /// Made by one that has another layout, in a file of the same length.
    Newer,
    Older,
    /// The layout is said to be ours, and what follows is not.
    Garbled,
    /// Another file has taken the name, of another length, that no process holds.
    Unheld,
    /// There is none.
    Missing,
}

pub const VERSIONS: [Version; 7] = [
    Version::Ours,
    Version::Ours,
    Version::Newer,
    Version::Older,
    Version::Garbled,
    Version::Unheld,
    Version::Missing,
];

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        VERSIONS.into_iter().find(|version| version.to_string() == name).ok_or(())
    }
}

/// Makes the file of a log that this process has open one of that version.
pub fn change(root: &Path, to: Version) -> io::Result<()> {
    let path = root.join("stratalog.live");
    let over = |at: u64, bytes: &[u8]| File::options().write(true).open(&path)?.write_all_at(bytes, at);
    match to {
        Version::Ours => Ok(()),
        Version::Newer => over(0, b"strata.2"),
        Version::Older => over(0, b"strata.0"),
        // Slots in all, and slots in use: more than fit.
        Version::Garbled => over(8, &[0xff; 16]),
        Version::Unheld => {
            let beside = root.join(".live.other");
            fs::write(&beside, garbage())?;
            fs::rename(beside, path)
        }
        Version::Missing => fs::remove_file(path),
    }
}

/// Leaves one of that version where no process has the log open.
pub fn leave(root: &Path, version: Version) -> io::Result<()> {
    let path = root.join("stratalog.live");
    match (version, path.exists()) {
        (Version::Ours, _) | (Version::Missing, false) => Ok(()),
        (Version::Newer | Version::Older | Version::Garbled, false) => fs::write(path, garbage()),
        _ => change(root, version),
    }
}

fn garbage() -> Vec<u8> {
    let mut random = Random::new(7);
    (0..9000).map(|_| random.below(256) as u8).collect()
}
