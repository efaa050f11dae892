//! Directories whose entries are to be durable.
//!
//! A directory is opened and synced in two steps, because their failures mean different things. One that cannot be
//! opened can be opened later. One whose sync failed may have lost entries, and no later sync reports that.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::faults::{Faults, Operation};
use super::platform;
use crate::error::{Error, Result};

/// A directory, open for syncs of its entries.
#[derive(Debug)]
pub(crate) struct PlainDirectory {
    handle: platform::DirectoryHandle,
    path: PathBuf,
    faults: Faults,
}

impl Disk {
    /// Opens a directory for [`sync`](PlainDirectory::sync). After an error nothing is changed.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<PlainDirectory> {
        self.check_writable()?;
        let opened = self.faults.check(Operation::Open).and_then(|()| platform::open_directory(path));
        let handle = opened.map_err(|e| Error::io_failure("open directory", path, e))?;
        Ok(PlainDirectory { handle, path: path.to_owned(), faults: self.faults.clone() })
    }

    /// Opens a directory and syncs it, where it makes no difference which of the two fails.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        self.open_directory(path)?.sync()
    }
}

impl PlainDirectory {
    /// Makes entries that were added to or removed from the directory durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.faults.check(Operation::Sync).and_then(|()| platform::sync_directory(&self.handle));
        // Whatever the reason: entries were changed, so it must not say that nothing was written.
        synced.map_err(|e| Error::io_failure("sync directory", &self.path, e))?;
        if let Some(observer) = self.faults.observer() {
            observer.directory_synced(&self.path);
        }
        Ok(())
    }
}
