//! One log directory: the path of its root, and the disk through which its files are reached.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sys::Disk;

/// Where a log is. The process that opens it holds its lock.
#[derive(Debug, Clone)]
pub(crate) struct LogDir {
    root: PathBuf,
    disk: Disk,
}

impl LogDir {
    pub(crate) fn new(root: PathBuf, disk: Disk) -> Self {
        Self { root, disk }
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

    /// Makes changed names in the root durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.disk.sync_directory(&self.root)
    }
}
