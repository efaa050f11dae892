//! The lock that keeps a second writer, of ours or a Kafka broker, out of a directory.
//!
//! It is Kafka's own, on the file `.lock`. Removing that file removes the lock with it, so a writer of ours holds a
//! second one on [`LIVE`], and a process that wants to write takes both.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::fork::Birth;
use super::platform;
use crate::error::{Error, Result};
use crate::format::file_names::{LIVE, LOCK};

/// Held while a log is open for writing; dropping it releases the directory.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
    path: PathBuf,
    birth: Birth,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it. Never waits.
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        // Before the lock's file is made where it was removed: the writer that holds the other one would take that for
        // the file of a second writer.
        refuse_held(directory)?;
        let path = directory.join(LOCK);
        let file = options(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        match platform::try_lock(&file) {
            Ok(true) => Ok(Self { file, path, birth: Birth::now() }),
            Ok(false) => Err(held(directory, &file, &path)),
            Err(failure) => Err(Error::io("lock", &path, failure)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // The lock belongs to the process that took it. A child has a copy of the descriptor, and closing that does
        // nothing to the lock.
        if self.birth.is_of_this_process() {
            // Closing would do it, but for a process that another thread is just starting: until that one executes its
            // program it holds a copy of the descriptor, and with it the lock.
            platform::unlock(&self.file);
        }
    }
}

/// The lock on [`LIVE`] where that file holds nothing, because processes do not share memory there.
#[derive(Debug)]
pub(crate) struct SecondLock {
    file: File,
    path: PathBuf,
}

impl SecondLock {
    /// Takes it in a directory whose lock is held.
    pub(crate) fn take(disk: &Disk, directory: &Path) -> Result<Self> {
        let path = directory.join(LIVE);
        // A file that another writer has left holds the words of that writer, and no reader is to believe them.
        disk.remove_file(&path)?;
        let file = disk.create(&path)?.file;
        match platform::try_lock(&file) {
            Ok(true) => Ok(Self { file, path }),
            Ok(false) => Err(held(directory, &file, &path)),
            Err(failure) => Err(Error::io("lock", &path, failure)),
        }
    }

    /// The writer ends.
    pub(crate) fn end(self, disk: &Disk) {
        platform::unlock(&self.file);
        // Some systems remove a name only once the file is closed.
        drop(self.file);
        // One that is left over is held by no process.
        let _ = disk.remove_file(&self.path);
    }
}

/// Refuses a directory that a writer of ours holds, whatever became of the lock's file.
fn refuse_held(directory: &Path) -> Result<()> {
    let path = directory.join(LIVE);
    // One that is not there, or cannot be opened for writing, has no holder that could be known.
    let Ok(file) = options(false).open(&path) else { return Ok(()) };
    match platform::try_lock(&file) {
        Ok(false) => Err(held(directory, &file, &path)),
        Ok(true) => {
            platform::unlock(&file);
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

fn options(create: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false);
    platform::refuse_links(&mut options);
    options
}

fn held(directory: &Path, file: &File, path: &Path) -> Error {
    Error::Locked { path: directory.into(), holder: platform::lock_holder(file, path) }
}
