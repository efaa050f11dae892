//! A directory that is only read, while another process may be writing it.
//!
//! Nothing is locked and nothing is changed. There are no threads: whoever reads looks what is new.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{CLEAN_MARKER, OpenDirectory, OpenOptions, ReadMode, recovery};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::sys::disk::{self, Stamp, kind_of};
use crate::sys::{Disk, EntryKind};
use crate::upkeep::Inboxes;
use crate::upkeep::checkpoints::{self, Checkpoints};
use crate::wait::Sleepers;

/// Who reads without end looks this often whether topics were made or deleted.
const CATALOG_LOOKS: Duration = Duration::from_millis(100);

/// When somebody last looked at what belongs to no single partition.
#[derive(Debug, Default)]
pub(super) struct Following {
    last: Option<Instant>,
    log_starts: Option<Stamp>,
}

impl OpenDirectory {
    pub(super) fn open_read_only(path: &Path, options: OpenOptions) -> Result<Arc<Self>> {
        let root = disk::open_root(path, false)?;
        let disk = Disk::for_reading(&root, options.read_mode == ReadMode::Auto);
        let clean = kind_of(&root.join(CLEAN_MARKER)) == Some(EntryKind::File);
        let following =
            Following { last: None, log_starts: disk::stamp_of(&root.join(checkpoints::LOG_STARTS)) };
        let checkpoints = Checkpoints::read(&disk, &root, clean)?;
        let catalog = Arc::new(Catalog::open_read_only(&root, &disk, &checkpoints)?);
        let recovery = recovery::of_reader(&catalog, clean);
        Ok(Arc::new(Self {
            root,
            disk,
            clock: options.clock,
            catalog,
            recovery,
            // Nobody buffers what nobody may write.
            linger: Inboxes::new().linger,
            closing: AtomicBool::new(false),
            idlers: Sleepers::default(),
            running: Mutex::new(None),
            following: Mutex::new(following),
        }))
    }

    /// Whether another process may be writing what is read here.
    #[inline]
    pub(crate) fn is_read_only(&self) -> bool {
        self.disk.read_only
    }

    /// Looks for topics and settings that another process has changed. Of a log of our own there is nothing to learn.
    pub(crate) fn look_around(&self) -> Result<()> {
        if !self.disk.read_only {
            return Ok(());
        }
        let mut following = self.following.lock();
        following.last = Some(Instant::now());
        self.catalog.refresh()?;
        let log_starts = disk::stamp_of(&self.root.join(checkpoints::LOG_STARTS));
        if log_starts != following.log_starts {
            self.catalog.raise_log_starts()?;
            following.log_starts = log_starts;
        }
        Ok(())
    }

    /// The same for those who ask all the time.
    pub(crate) fn look_around_at_times(&self) -> Result<()> {
        let last = self.following.lock().last;
        if last.is_some_and(|last| last.elapsed() < CATALOG_LOOKS) { Ok(()) } else { self.look_around() }
    }
}
