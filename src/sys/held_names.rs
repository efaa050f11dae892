//! The strictest rules for files in use that Windows has, on Linux: for tests.
//!
//! | | here, as on FAT, on shares of other machines, and on NTFS before 2018 | NTFS since |
//! |---|---|---|
//! | a file takes the name of an open one | refused | the open one loses its name |
//! | an open file is removed | its name stays, for no use, until it is closed | its name goes |
//! | a directory with open files in it is renamed or removed | refused | refused; the second is done |
//!
//! Renaming an open file to a free name works with all of them. Files count as open while this process has a descriptor or
//! a map of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::faults::NameKeeper;

/// Device and inode.
type Number = (u64, u64);

/// Removed files that are still open keep their names in here.
static REMOVED: Mutex<BTreeMap<PathBuf, Number>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
pub(crate) struct HeldNames;

/// Takes away the names of removed files that nothing has open any more.
fn settle() {
    let mut removed = REMOVED.lock();
    if removed.is_empty() {
        return;
    }
    let open = open_files();
    removed.retain(|path, number| {
        let is_open = open.iter().any(|(held, _)| held == number);
        // It may be that a test has replaced the whole directory.
        let has_name = number_of(path) == Some(*number);
        if !is_open && has_name {
            let _ = fs::remove_file(path);
        }
        is_open && has_name
    });
}

fn refuse_removed(path: &Path) -> io::Result<()> {
    settle();
    if REMOVED.lock().contains_key(path) { Err(denied("it is removed and still open")) } else { Ok(()) }
}

impl NameKeeper for HeldNames {
    fn before_open(&self, path: &Path) -> io::Result<()> {
        refuse_removed(path)
    }

    fn before_rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        refuse_removed(from)?;
        refuse_removed(to)?;
        if from == to {
            return Ok(());
        }
        if from.is_dir() && open_files().iter().any(|(_, path)| path.starts_with(from)) {
            return Err(denied("a file in it is open"));
        }
        match number_of(to) {
            Some(number) if is_open(number) => Err(denied("what has the name is open")),
            _ => Ok(()),
        }
    }

    fn before_remove(&self, path: &Path) -> io::Result<bool> {
        refuse_removed(path)?;
        match number_of(path) {
            Some(number) if is_open(number) => {
                REMOVED.lock().insert(path.to_owned(), number);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn before_list(&self, _directory: &Path) {
        settle();
    }
}

fn denied(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn number_of(path: &Path) -> Option<Number> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

fn is_open(number: Number) -> bool {
    open_files().iter().any(|(held, _)| *held == number)
}

/// What this process has open or mapped.
fn open_files() -> Vec<(Number, PathBuf)> {
    let mut found = Vec::new();
    for entry in
        ["/proc/self/fd", "/proc/self/map_files"].into_iter().flat_map(fs::read_dir).flatten().flatten()
    {
        // Descriptors come and go.
        if let (Ok(metadata), Ok(path)) = (fs::metadata(entry.path()), fs::read_link(entry.path())) {
            found.push(((metadata.dev(), metadata.ino()), path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sys::faults::Faults;
    use crate::sys::{Disk, EntryKind};

    #[test]
    fn what_is_open_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::of(dir.path(), false, false);
        disk.keeps_removed_names = false;
        disk.faults = Faults::default().with_held_names();
        let (a, b) = (dir.path().join("d/a"), dir.path().join("d/b"));
        disk.create_directory(&dir.path().join("d")).unwrap();
        let open = disk.create(&a).unwrap();
        drop(disk.create(&b).unwrap());

        assert!(disk.rename(&b, &a).is_err());
        assert!(disk.rename(&dir.path().join("d"), &dir.path().join("e")).is_err());
        assert!(disk.remove_file(&a).unwrap());
        assert_eq!(disk.list(&dir.path().join("d")).unwrap().len(), 2);
        assert!(disk.open(&a, false).is_err() && disk.create(&a).is_err());
        assert!(disk.rename(&b, &a).is_err() && disk.rename(&a, &b).is_err());
        assert!(disk.remove_directory(&dir.path().join("d")).is_err());

        drop(open);
        assert_eq!(disk.list(&dir.path().join("d")).unwrap(), [("b".to_owned(), EntryKind::File)]);
        let open = disk.create(&a).unwrap();
        disk.rename(&a, &b).unwrap();
        drop(open);
        disk.rename(&dir.path().join("d"), &dir.path().join("e")).unwrap();
        assert!(disk.open(&dir.path().join("e/b"), true).is_ok());
        disk.remove_directory(&dir.path().join("e")).unwrap();
    }
}
