//! A word that processes share, at which some wait until another rings.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::sync::{AtomicU32, futex_wait, futex_wake};

/// Returns when the bell rings, when it is not at `seen` any more, or when the time is over.
pub(crate) fn wait_at(bell: &AtomicU32, seen: u32, timeout: Duration) {
    futex_wait(bell, seen, timeout);
}

/// Wakes all who wait at `bell`, in any process.
pub(crate) fn ring(bell: &AtomicU32) {
    bell.fetch_add(1, Ordering::SeqCst);
    futex_wake(bell);
}
