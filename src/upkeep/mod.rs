//! Work beside the writers: checkpoints and the background threads. Sees partitions, not who produces or consumes.

pub(crate) mod checkpoints;
mod threads;

pub(crate) use threads::{Inboxes, Linger, Lingering, Threads};
