//! One log directory: the path of its root, and the disk through which its files are reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::Result;
use crate::sys::Disk;

/// Where a log is. The process that opens it holds its lock.
#[derive(Debug, Clone)]
pub(crate) struct LogDir {
    root: PathBuf,
    disk: Disk,
    /// Held while a checkpoint file is rewritten, which needs the disk. A thread that takes it may hold the lock of catalog
    /// changes, but never waits for that one under it: so a change that touches no checkpoint does not wait for one that is
    /// being written.
    checkpoints: Arc<Mutex<()>>,
}

impl LogDir {
    pub(crate) fn new(root: PathBuf, disk: Disk) -> Self {
        Self { root, disk, checkpoints: Arc::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The path of an entry of the root.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// The right to rewrite checkpoint files, which one thread has at a time.
    pub(super) fn lock_checkpoints(&self) -> MutexGuard<'_, ()> {
        self.checkpoints.lock()
    }

    /// Makes changed names in the root durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.disk.sync_directory(&self.root)
    }
}
