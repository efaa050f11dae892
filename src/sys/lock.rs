//! The lock that keeps a second writer, of ours or a Kafka broker, out of a directory.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::platform;
use crate::error::{Error, Result};

/// Held while a log is open for writing; dropping it releases the directory.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it. Never waits.
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        platform::refuse_links(&mut options);
        let file = options.open(&path).map_err(|e| Error::io("open", &path, e))?;
        match platform::try_lock(&file) {
            Ok(true) => Ok(Self { file }),
            Ok(false) => {
                Err(Error::Locked { path: directory.into(), holder: platform::lock_holder(&file, &path) })
            }
            Err(failure) => Err(Error::io("lock", &path, failure)),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing would do it, but for a process that another thread is just starting: until that one executes its
        // program it holds a copy of the descriptor, and with it the lock.
        platform::unlock(&self.file);
    }
}
