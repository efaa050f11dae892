//! Work beside the writers: syncs, retention, compaction, and the two threads that do it. Sees partitions, not who
//! produces or consumes.

mod compaction;
mod report;
pub(crate) mod retention;
#[cfg(test)]
mod tests;
mod threads;
mod work;

pub(crate) use compaction::DEFAULT_MEMORY as DEFAULT_COMPACTION_MEMORY;
#[cfg(test)]
pub(crate) use compaction::{Compaction, Step};
pub use report::MaintenanceReport;
pub(crate) use threads::Threads;
pub(crate) use work::{Holdings, Inboxes, Linger, Lingering, Work};
