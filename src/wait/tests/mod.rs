//! What wakes and what waits.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod one_by_one;
