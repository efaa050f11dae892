//! Work beside the writers: checkpoints and the background threads.

pub(crate) mod checkpoints;
