//! Brings all partitions to the form that the files have after a close.
//!
//! Each partition in use is synced: its log, its indexes, its directory. Most of the time the disk is waited for, and file systems
//! write what several threads wait for in one go (a commit of the journal), so several partitions are closed at a time.

use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::error::Result;
use crate::partition::PartitionLog;
use crate::sys::{Disk, Purpose};

/// Threads that close partitions, the caller's among them.
const MAX_THREADS: usize = 16;

/// Every partition is brought as far as it goes. The failure of the first of them that failed is returned. Without `threads` the
/// caller's alone does it.
pub(super) fn close_all(disk: &Disk, partitions: &[Arc<PartitionLog>], threads: bool) -> Result<()> {
    let (in_use, others): (Vec<_>, Vec<_>) = partitions.iter().partition(|partition| partition.is_in_use());
    let left = Mutex::new(in_use.iter().enumerate());
    let next = || left.lock().next();
    let first_failure = Mutex::new(None);
    let close_some = || {
        let _spending = disk.spend(Purpose::Positions);
        while let Some((number, partition)) = next() {
            if let Err(failure) = partition.close() {
                let mut first = first_failure.lock();
                if first.as_ref().is_none_or(|(earlier, _)| number < *earlier) {
                    *first = Some((number, failure));
                }
            }
        }
    };
    let most = if threads { MAX_THREADS.min(in_use.len()) } else { 1 };
    thread::scope(|scope| {
        for _ in 1..most {
            let thread = thread::Builder::new().name("stratalog-close".to_owned());
            if thread.spawn_scoped(scope, close_some).is_err() {
                // The system has no more threads: those that there are do it.
                break;
            }
        }
        close_some();
    });
    let closed = first_failure.into_inner().map_or(Ok(()), |(_, failure)| Err(failure));
    others.iter().fold(closed, |outcome, partition| outcome.and(partition.close()))
}
