//! What a partition leaves to the background: preallocating for its writer, finishing sealed segments, syncs that are
//! not waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::writer::beginning::Identified;
use super::writer::idle::OpenFiles;
use super::{Leader, LiveWatch, LiveWriter};
use crate::clock::{Moment, Pace};
use crate::events::Announcer;
use crate::sys::{Growth, Tail};
use crate::wait::Request;

/// Work ahead of the writer. It must not wait for the disk.
#[derive(Debug)]
pub(crate) enum PreallocationRequest {
    /// Space in the active segment.
    Grow { growth: Arc<Growth>, tail: Arc<Tail> },
    /// A file for the next one.
    PrepareSegment(Arc<Leader>),
}

/// Work that waits for the disk.
#[derive(Debug)]
pub(crate) enum MaintenanceRequest {
    /// Sealed segments wait for their final form.
    FinishSealed(Arc<Leader>),
    Sync(SyncBy),
    /// Retention may have something to do that it did not count on.
    Retain,
    /// More partitions have their files open than should.
    CloseSurplus(Arc<OpenFiles>),
    /// A transaction may have been open for too long at this moment, or a marker is to be tried again.
    CheckTransactions(Moment),
}

/// A sync that is to begin at a moment.
#[derive(Debug)]
pub(crate) struct SyncBy {
    pub(crate) due: Moment,
    pub(crate) partition: Arc<Leader>,
    /// Void if a sync began since.
    pub(super) request: Request,
}

/// When an unsynced tail is synced without a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackgroundSync {
    pub(crate) bytes: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl Default for BackgroundSync {
    fn default() -> Self {
        Self { bytes: Some(64 << 20), age: Some(Duration::from_secs(5)) }
    }
}

/// Called with numbers of bytes of log, as recovery has gone through them.
#[derive(Clone)]
pub(crate) struct ScanWatch(pub(crate) Arc<dyn Fn(u64) + Send + Sync>);

impl fmt::Debug for ScanWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanWatch")
    }
}

/// Where requests to the background go. Without receivers a partition does what cannot be left out by itself, and leaves
/// out the rest.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionContext {
    pub(crate) preallocation: Option<Sender<PreallocationRequest>>,
    pub(crate) maintenance: Option<Sender<MaintenanceRequest>>,
    pub(crate) pace: Pace,
    pub(crate) events: Announcer,
    pub(crate) background_sync: BackgroundSync,
    pub(crate) scan_watch: Option<ScanWatch>,
    /// Those of all partitions together.
    pub(crate) open_files: Arc<OpenFiles>,
    /// Partitions that were begun, by topic.
    pub(crate) identified: Arc<Identified>,
    /// By which readers in other processes are notified of appends.
    pub(crate) live: Option<Arc<LiveWriter>>,
    /// By which a reader learns of the appends of another process.
    pub(crate) watch: Option<Arc<LiveWatch>>,
}

impl PartitionContext {
    pub(super) fn preallocate(&self, growth: &Arc<Growth>, tail: &Arc<Tail>) {
        if let Some(preallocation) = &self.preallocation
            && growth.request()
        {
            let request = PreallocationRequest::Grow { growth: Arc::clone(growth), tail: Arc::clone(tail) };
            // A thread that has ended means a log that is being closed: nothing to preallocate for.
            let _ = preallocation.try_send(request);
        }
    }

    /// Has the file of the next segment made.
    pub(super) fn prepare_segment(&self, partition: &Arc<Leader>) {
        if let Some(preallocation) = &self.preallocation {
            // As above.
            let _ = preallocation.try_send(PreallocationRequest::PrepareSegment(Arc::clone(partition)));
        }
    }

    /// Has the sealed segments of `partition` finished. `false`: there is no thread to do it.
    pub(super) fn finish_sealed(&self, partition: &Arc<Leader>) -> bool {
        let request = || MaintenanceRequest::FinishSealed(Arc::clone(partition));
        self.maintenance.as_ref().is_some_and(|maintenance| maintenance.send(request()).is_ok())
    }

    /// Has retention look again before long.
    pub(crate) fn retain(&self) {
        if let Some(maintenance) = &self.maintenance {
            // Without the thread the log is being closed.
            let _ = maintenance.send(MaintenanceRequest::Retain);
        }
    }

    /// Has the files of idle partitions closed.
    pub(super) fn close_surplus(&self) {
        if let Some(maintenance) = &self.maintenance {
            // Without the thread the log is being closed, which closes all files.
            let _ = maintenance.send(MaintenanceRequest::CloseSurplus(Arc::clone(&self.open_files)));
        }
    }

    /// Has transactions checked at this moment.
    pub(crate) fn check_transactions(&self, due: Moment) {
        if let Some(maintenance) = &self.maintenance {
            // Without the thread the log is being closed, which ends all transactions.
            let _ = maintenance.send(MaintenanceRequest::CheckTransactions(due));
        }
    }

    /// Has `partition` synced, beginning no later than the request has it.
    pub(super) fn sync_within(&self, partition: &Arc<Leader>, request: Request) {
        if let Some(maintenance) = &self.maintenance
            && let Some(due) = self.pace.now().after(request.delay)
        {
            // Without the thread the log is being closed, which syncs.
            let _ = maintenance.send(MaintenanceRequest::Sync(SyncBy {
                due,
                partition: Arc::clone(partition),
                request,
            }));
        }
    }
}
