//! The first steps of an open: the directory belongs to this process, and other processes can see that.

use std::path::Path;
use std::sync::Arc;

use super::{MARKER_TEXT, OpenOptions, ReadMode, WriteMode};
use crate::catalog::{self, log_dir::LogDir};
use crate::error::Result;
use crate::format::file_names::CLEAN_MARKER;
use crate::partition::LiveWriter;
use crate::sys::root::{make_root, open_root};
use crate::sys::{DirectoryLock, Disk, Purpose, SecondLock};

/// Far more than a marker ever holds.
const MAX_MARKER_BYTES: u64 = 4096;

/// A locked directory, before anything of the log in it was read.
pub(super) struct Claimed {
    pub(super) dir: LogDir,
    pub(super) lock: DirectoryLock,
    /// Whether there was a clean marker. It is removed.
    pub(super) clean: bool,
    marker: Option<Vec<u8>>,
}

impl Claimed {
    pub(super) fn claim(path: &Path, options: &OpenOptions) -> Result<Self> {
        catalog::refuse_occupied(path)?;
        let root =
            if options.create_if_missing { make_root(path, &options.faults)? } else { open_root(path)? };
        let lock = DirectoryLock::take(&root)?;
        let mut disk =
            Disk::of(&root, options.write_mode == WriteMode::Auto, options.read_mode == ReadMode::Auto)
                .anchored(&root, &lock)?
                .with_reserve(&root);
        disk.faults = options.faults.clone();
        let _spending = disk.spend(Purpose::Positions);
        let marker = disk.read_small(&root.join(CLEAN_MARKER), MAX_MARKER_BYTES).ok().flatten();
        let clean = disk.remove_file(&root.join(CLEAN_MARKER))?;
        disk.sync_directory(&root)?;
        Ok(Self { dir: LogDir::new(root, disk), lock, clean, marker })
    }

    /// Whether the log was closed by this program, which leaves no transaction open.
    pub(super) fn was_closed_by_us(&self) -> bool {
        self.clean && self.marker.as_deref() == Some(MARKER_TEXT)
    }

    /// Puts the marker back. No partition was opened, so what it says of them is as true as before.
    pub(super) fn restore_marker(&self) {
        if let Some(marker) = &self.marker {
            let _ = self.dir.disk().replace(&self.dir.path(CLEAN_MARKER), marker);
        }
    }
}

/// What other processes see of an open log.
#[derive(Debug)]
pub(super) struct Presence {
    live: Option<Arc<LiveWriter>>,
    /// Where `live` does not hold the file.
    second: Option<SecondLock>,
}

impl Presence {
    pub(super) fn begin(dir: &LogDir) -> Result<Self> {
        let partitions = dir.disk().list(dir.root())?.len();
        // Without it readers in other processes look more often, that is all.
        let live = LiveWriter::make(dir.disk(), dir.root(), partitions).ok().flatten();
        // On a full disk there may be neither; then the lock that is held must do.
        let second = if live.is_none() { SecondLock::take(dir.disk(), dir.root()).ok() } else { None };
        Ok(Self { live, second })
    }

    pub(super) fn live(&self) -> Option<&Arc<LiveWriter>> {
        self.live.as_ref()
    }

    pub(super) fn end(self, disk: &Disk) {
        if let Some(live) = self.live {
            live.end(disk);
        }
        if let Some(second) = self.second {
            second.end(disk);
        }
    }
}
