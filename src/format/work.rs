//! How many bytes a thread has read, checked or gone through: what tests hold against what they should cost, in place of time.

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
