//! A word that processes share, at which some wait until another one notifies them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::sync::{AtomicU32, futex_wait, futex_wake};

/// Returns when `word` is notified, when it is no longer `seen`, or when the time is over.
pub(crate) fn wait_at(word: &AtomicU32, seen: u32, timeout: Duration) {
    futex_wait(word, seen, timeout);
}

/// Wakes all who wait at `word`, in any process.
pub(crate) fn notify(word: &AtomicU32) {
    word.fetch_add(1, Ordering::SeqCst);
    futex_wake(word);
}
