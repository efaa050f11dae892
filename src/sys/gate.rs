//! Observers for tests: a disk that does not answer as long as a gate is shut, to see who waits for it; and the directories that
//! were synced.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::faults::{Faults, NameKeeper, Observer};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: Mutex<Shut>,
    opened: Condvar,
    /// Calls that wait.
    inside: AtomicUsize,
}

#[derive(Debug, Default)]
enum Shut {
    #[default]
    Nothing,
    /// No sync of a file returns.
    Syncs,
    /// No file in this directory is opened.
    OpensIn(PathBuf),
}

impl Gate {
    pub(crate) fn open(&self) {
        self.set(Shut::Nothing);
    }

    pub(crate) fn shut_syncs(&self) {
        self.set(Shut::Syncs);
    }

    pub(crate) fn shut_opens_in(&self, directory: PathBuf) {
        self.set(Shut::OpensIn(directory));
    }

    fn set(&self, to: Shut) {
        *self.shut.lock() = to;
        self.opened.notify_all();
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    pub(crate) fn await_one_inside(&self) {
        let start = Instant::now();
        while self.inside() == 0 {
            assert!(start.elapsed() < PATIENCE, "nothing came to the gate");
            std::thread::yield_now();
        }
    }

    /// A disk with this gate before its syncs.
    pub(crate) fn before_syncs(self: &Arc<Self>) -> Faults {
        Faults::observed(Arc::clone(self) as Arc<dyn Observer>)
    }

    /// A disk with this gate before what is opened by name.
    pub(crate) fn before_opens(self: &Arc<Self>) -> Faults {
        Faults::by_names(Arc::clone(self) as Arc<dyn NameKeeper>)
    }

    fn pass(&self, is_shut: impl Fn(&Shut) -> bool) {
        let mut shut = self.shut.lock();
        while is_shut(&shut) {
            self.inside.fetch_add(1, Ordering::SeqCst);
            self.opened.wait(&mut shut);
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Opens the gate at the end, also where a test has failed: logs are closed and threads are waited for after that.
#[derive(Debug)]
pub(crate) struct OpenedAtLast<'g>(pub(crate) &'g Gate);

impl Drop for OpenedAtLast<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Observer for Gate {
    fn file_synced(&self, _: &File) {
        self.pass(|shut| matches!(shut, Shut::Syncs));
    }

    fn directory_synced(&self, _: &Path) {}

    fn renamed(&self, _: &Path) {}
}

impl NameKeeper for Gate {
    fn before_open(&self, path: &Path) -> io::Result<()> {
        self.pass(|shut| matches!(shut, Shut::OpensIn(directory) if path.starts_with(directory)));
        Ok(())
    }

    fn before_rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn before_remove(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn before_list(&self, _: &Path) {}
}

/// Which directories were synced, in order.
#[derive(Debug, Default)]
pub(crate) struct SyncedDirectories(Mutex<Vec<PathBuf>>);

impl SyncedDirectories {
    pub(crate) fn observing(self: &Arc<Self>) -> Faults {
        Faults::observed(Arc::clone(self) as Arc<dyn Observer>)
    }

    /// Those since the last call.
    pub(crate) fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Observer for SyncedDirectories {
    fn file_synced(&self, _: &File) {}

    fn directory_synced(&self, directory: &Path) {
        self.0.lock().push(directory.to_owned());
    }

    fn renamed(&self, _: &Path) {}
}
