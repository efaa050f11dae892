//! A directory that is only read, while another process may be writing it.
//!
//! Nothing is locked and nothing is changed, but for a flag in `stratalog.live` that asks to be woken. There are no threads:
//! each reader looks for what is new.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{BufferedProducers, OpenDirectory, OpenOptions, ReadMode, recovery};
use crate::background::Channels;
use crate::catalog::Catalog;
use crate::catalog::checkpoints::Checkpoints;
use crate::catalog::log_dir::LogDir;
use crate::clock::{LogClock, Pace};
use crate::error::Result;
use crate::format::file_names::{CLEAN_MARKER, LOG_STARTS, RECOVERY_POINTS};
use crate::group::{CommittedOffsets, Coordinator, Deletions};
use crate::partition::LiveWatch;
use crate::sys::disk::{self, Stamp, kind_of};
use crate::sys::root::open_root;
use crate::sys::{Birth, Disk, EntryKind, wall_clock};
use crate::transaction::Transactions;
use crate::wait::Sleepers;

/// Who reads without end looks this often whether topics were made or deleted.
const CATALOG_LOOKS: Duration = Duration::from_millis(100);

/// What tailing the log of another process needs. Empty in a log of our own.
#[derive(Debug, Default)]
pub(super) struct Tailing {
    /// Where the process that writes publishes what it appends.
    watch: Option<Arc<LiveWatch>>,
    seen: Mutex<Seen>,
}

/// When what belongs to no single partition was last read, and how it looked.
#[derive(Debug, Default)]
struct Seen {
    last: Option<Instant>,
    marks: [Option<Stamp>; 2],
}

impl Tailing {
    /// Wakes readers that wait for the process that writes.
    pub(super) fn wake(&self) {
        if let Some(watch) = &self.watch {
            watch.notify();
        }
    }

    /// For a child process: the watch belongs to the parent.
    pub(super) fn forget(&self) {
        std::mem::forget(self.watch.clone());
    }
}

impl OpenDirectory {
    pub(super) fn open_read_only(path: &Path, options: OpenOptions) -> Result<Arc<Self>> {
        let root = open_root(path)?;
        let disk = Disk::for_reading(&root, options.read_mode == ReadMode::Auto);
        let dir = LogDir::new(root, disk);
        let clean = kind_of(&dir.path(CLEAN_MARKER))? == Some(EntryKind::File);
        let seen = Seen { last: None, marks: marks(dir.root()) };
        // There are no producers, and nothing is to be done in the background.
        let mut idle = Channels::new(Pace::default(), options.background_sync);
        idle.context.events.begin_opening();
        let checkpoints = Checkpoints::read(&dir, clean)?;
        checkpoints.emit_unreadable(&idle.context.events);
        idle.context.watch = dir.disk().map_reads.then(|| Arc::new(LiveWatch::new(dir.root())));
        let catalog = Arc::new(Catalog::open_read_only(&dir, &checkpoints, &idle.context, options.catalog)?);
        let recovery = recovery::of_reader(&catalog, clean);
        let events = idle.context.events.clone();
        let offsets = CommittedOffsets::new(Arc::clone(&catalog), events.clone(), options.offsets_partitions);
        let groups = Coordinator::new(Arc::clone(&catalog), offsets, events.clone(), Pace::default(), None);
        let deletions = Arc::new(Deletions::new(&catalog, &groups, events, true));
        let transactions = Transactions::new(&catalog, &groups, &idle.context);
        idle.context.events.opened();
        Ok(Arc::new(Self {
            dir,
            birth: Birth::now(),
            clock: LogClock::new(options.clock, wall_clock::source()),
            pace: Pace::default(),
            catalog,
            groups,
            deletions,
            transactions,
            recovery,
            producers: BufferedProducers::new(idle.linger),
            events: idle.context.events,
            closing: AtomicBool::new(false),
            idlers: Sleepers::default(),
            running: Mutex::new(None),
            tailing: Tailing { watch: idle.context.watch, seen: Mutex::new(seen) },
            snapshots: Mutex::default(),
        }))
    }

    /// Whether another process may be writing what is read here.
    #[inline]
    pub(crate) fn is_read_only(&self) -> bool {
        self.dir.disk().is_read_only()
    }

    /// Where another process reports what it appends.
    pub(crate) fn watch(&self) -> Option<&Arc<LiveWatch>> {
        self.tailing.watch.as_ref()
    }

    /// Looks for topics and settings that another process has changed. In a log that this process writes there are none.
    pub(crate) fn refresh(&self) -> Result<()> {
        if !self.dir.disk().is_read_only() {
            return Ok(());
        }
        let mut seen = self.tailing.seen.lock();
        seen.last = Some(Instant::now());
        self.catalog.refresh()?;
        let marks = marks(self.dir.root());
        if marks != seen.marks {
            self.catalog.advance_checkpoints()?;
            seen.marks = marks;
        }
        Ok(())
    }

    /// The same for those who ask all the time.
    pub(crate) fn refresh_if_due(&self) -> Result<()> {
        let last = self.tailing.seen.lock().last;
        if last.is_some_and(|last| last.elapsed() < CATALOG_LOOKS) { Ok(()) } else { self.refresh() }
    }
}

/// The checkpoints that record where each partition starts, and up to where it is on disk.
fn marks(root: &Path) -> [Option<Stamp>; 2] {
    [LOG_STARTS, RECOVERY_POINTS].map(|name| disk::stamp_of(&root.join(name)))
}
