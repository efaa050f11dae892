//! Faults on purpose: the n-th operation of a kind fails, and somebody sees what has reached the medium. Part of the
//! shipped code path; without either it costs a test for `None` per system call.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Kinds of operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Sync,
    Allocate,
    Create,
    Rename,
    Remove,
}

/// Is told what has succeeded, before whoever asked for it is. What it does must not come back to the log.
pub(crate) trait Observer: std::fmt::Debug + Send + Sync {
    fn file_synced(&self, file: &File);
    fn directory_synced(&self, directory: &Path);
    fn renamed(&self, to: &Path);
}

/// Which operation is to fail, if any, and who watches the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    plan: Option<Arc<Plan>>,
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

impl Faults {
    /// Lets `successes` operations of the kind pass and fails the next one, or all that follow.
    #[cfg(test)]
    pub(crate) fn after(operation: Operation, successes: i64, error: io::ErrorKind, lasting: bool) -> Self {
        let (left, struck) = (AtomicI64::new(successes), AtomicBool::new(false));
        Self { plan: Some(Arc::new(Plan { operation, error, left, lasting, struck })), observer: None }
    }

    /// Nothing fails, and all is told.
    #[cfg(test)]
    pub(crate) fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { plan: None, observer: Some(observer) }
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
