//! How many bytes a thread has read, checked or gone through: tests compare them with what a call should cost, instead of
//! measuring time.

use std::cell::Cell;

thread_local! {
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn count(bytes: usize) {
    BYTES.set(BYTES.get() + bytes as u64);
}

/// Bytes since this was asked last.
pub(crate) fn take() -> u64 {
    BYTES.replace(0)
}
