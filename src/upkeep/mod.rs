//! Work beside the writers: syncs, retention, checkpoints, and the two threads that do it. Sees partitions, not who
//! produces or consumes.

pub(crate) mod checkpoints;
mod report;
pub(crate) mod retention;
mod threads;
mod work;

pub use report::MaintenanceReport;
pub(crate) use threads::Threads;
pub(crate) use work::{Holdings, Inboxes, Linger, Lingering, Work};
