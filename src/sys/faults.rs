//! Faults on purpose: the n-th operation of a kind fails, names follow the rules of another system, and an observer sees
//! what has reached the disk. Part of the shipped code path; without any of them it costs a test for `None` per system
//! call.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sync::{AtomicBool, AtomicI64};

/// Kinds of operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Of a file that is there, or of a directory.
    Open,
    Map,
    Write,
    Sync,
    Allocate,
    Create,
    Rename,
    Remove,
    Truncate,
    /// A second name for a file.
    Link,
    /// A file that shares the blocks of another one.
    Share,
}

/// Is notified of each operation that has succeeded, before its caller is. It must not call into the log.
pub(crate) trait Observer: std::fmt::Debug + Send + Sync {
    fn file_synced(&self, file: &File);
    fn directory_synced(&self, directory: &Path);
    fn renamed(&self, to: &Path);
}

/// The rules of another file system for names. Asked before this one does anything.
pub(crate) trait NameKeeper: std::fmt::Debug + Send + Sync {
    fn before_open(&self, path: &Path) -> io::Result<()>;
    fn before_rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// `true`: the file is removed as far as it can be now, and keeps its name.
    fn before_remove(&self, path: &Path) -> io::Result<bool>;
    fn before_list(&self, directory: &Path);
}

/// Which operation is to fail, if any, whose rules hold for names, and who watches.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    plan: Option<Arc<Plan>>,
    names: Option<Arc<dyn NameKeeper>>,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Debug)]
struct Plan {
    operation: Operation,
    error: io::ErrorKind,
    /// Operations of this kind that still succeed. Below 0: it has failed.
    left: AtomicI64,
    /// Whether every later one fails too, as on a full disk.
    lasting: bool,
    struck: AtomicBool,
}

impl Default for Faults {
    #[cfg(not(all(target_os = "linux", held_files)))]
    fn default() -> Self {
        Self { plan: None, names: None, observer: None }
    }

    /// Everything runs by the rules of Windows: see `.ci/run`.
    #[cfg(all(target_os = "linux", held_files))]
    fn default() -> Self {
        Self { plan: None, names: Some(Arc::new(super::held_names::HeldNames)), observer: None }
    }
}

impl Faults {
    /// Lets `successes` operations of the kind pass and fails the next one, or all that follow.
    #[cfg(test)]
    pub(crate) fn after(operation: Operation, successes: i64, error: io::ErrorKind, lasting: bool) -> Self {
        let (left, struck) = (AtomicI64::new(successes), AtomicBool::new(false));
        let plan = Plan { operation, error, left, lasting, struck };
        Self { plan: Some(Arc::new(plan)), ..Self::default() }
    }

    /// Nothing fails, and the observer is notified of everything.
    #[cfg(test)]
    pub(crate) fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// Nothing fails but what these rules for names refuse.
    #[cfg(test)]
    pub(crate) fn by_names(names: Arc<dyn NameKeeper>) -> Self {
        Self { names: Some(names), ..Self::default() }
    }

    /// The same by the rules of Windows for files in use.
    #[cfg(all(target_os = "linux", test))]
    pub(crate) fn with_held_names(self) -> Self {
        Self { names: Some(Arc::new(super::held_names::HeldNames)), ..self }
    }

    /// Lets so many operations of the kind pass from here on and fails the next one.
    #[cfg(test)]
    pub(crate) fn arm(&self, successes: i64) {
        if let Some(plan) = &self.plan {
            plan.struck.store(false, Ordering::Relaxed);
            plan.left.store(successes, Ordering::Relaxed);
        }
    }

    /// Ends a lasting fault.
    #[cfg(test)]
    pub(crate) fn heal(&self) {
        if let Some(plan) = &self.plan {
            plan.left.store(i64::MAX, Ordering::Relaxed);
        }
    }

    /// Whether something failed.
    #[cfg(test)]
    pub(crate) fn have_struck(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.struck.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn check(&self, operation: Operation) -> io::Result<()> {
        match &self.plan {
            None => Ok(()),
            Some(plan) => plan.check(operation),
        }
    }

    #[inline]
    pub(crate) fn names(&self) -> Option<&dyn NameKeeper> {
        self.names.as_deref()
    }

    #[inline]
    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }
}

impl Plan {
    #[cold]
    fn check(&self, operation: Operation) -> io::Result<()> {
        if operation != self.operation {
            return Ok(());
        }
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left == 0 || (left < 0 && self.lasting) {
            self.struck.store(true, Ordering::Relaxed);
            return Err(io::Error::new(self.error, "made to fail by a test"));
        }
        Ok(())
    }
}
