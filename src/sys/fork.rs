//! Telling a process from its children, without a system call.
//!
//! After `fork` the child has copies of everything but the threads: descriptors that share their locks with the parent,
//! maps of the same files, and notions of where they end that go stale with the parent's next append. None of that is the
//! child's to use. The C library calls a handler in each child, which counts; whatever was made under another count
//! was made by another process. A process that is made by a bare `clone` system call is not noticed.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use super::platform;

/// How many forks lie between the first process and this one. Changed by the handler alone, while the child has one
/// thread.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// In which process something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth(u64);

impl Birth {
    /// From here on, in this process.
    pub(crate) fn now() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| platform::call_in_children(count));
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// `false`: in a process of which this one is a child.
    #[inline]
    pub(crate) fn is_of_this_process(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Runs in the child before `fork` returns there. Nothing but an atomic may be touched.
extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
