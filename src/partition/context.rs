//! What a partition leaves to the background: working ahead of its writer, finishing sealed segments, syncs that are
//! not waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::writer::idle::Actives;
use super::{Leader, LiveWatch, LiveWriter};
use crate::clock::{Moment, Pace};
use crate::events::Announcer;
use crate::sys::{Growth, Tail};
use crate::wait::Request;

/// Work in front of the writer; must not wait for the disk.
#[derive(Debug)]
pub(crate) enum AheadChore {
    /// Space in the active segment.
    Grow { growth: Arc<Growth>, tail: Arc<Tail> },
    /// A file for the next one.
    PrepareSegment(Arc<Leader>),
}

/// Work that waits for the disk.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Sealed segments wait for their final form.
    FinishSealed(Arc<Leader>),
    Sync(SyncBy),
    /// Retention may have something to do that it did not count on.
    Retain,
    /// More partitions have their files open than should.
    CloseSurplus(Arc<Actives>),
}

/// A sync that is to begin at a moment.
#[derive(Debug)]
pub(crate) struct SyncBy {
    pub(crate) due: Moment,
    pub(crate) partition: Arc<Leader>,
    /// Void if a sync began since.
    pub(super) request: Request,
}

/// When an unsynced tail is synced although nobody asked.
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

/// Told of bytes of log as recovery has gone through them.
#[derive(Clone)]
pub(crate) struct ScanWatch(pub(crate) Arc<dyn Fn(u64) + Send + Sync>);

impl fmt::Debug for ScanWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanWatch")
    }
}

/// Where chores go. Without receivers a partition does what cannot be left out by itself, and leaves out the rest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chores {
    pub(crate) ahead: Option<Sender<AheadChore>>,
    pub(crate) upkeep: Option<Sender<Chore>>,
    pub(crate) pace: Pace,
    pub(crate) events: Announcer,
    pub(crate) background_sync: BackgroundSync,
    pub(crate) scan_watch: Option<ScanWatch>,
    /// Those of all partitions together.
    pub(crate) actives: Arc<Actives>,
    /// Where readers in other processes are told of appends.
    pub(crate) live: Option<Arc<LiveWriter>>,
    /// Where a reader is told of them.
    pub(crate) watch: Option<Arc<LiveWatch>>,
}

impl Chores {
    pub(super) fn grow_ahead(&self, growth: &Arc<Growth>, tail: &Arc<Tail>) {
        if let Some(ahead) = &self.ahead
            && growth.request()
        {
            let chore = AheadChore::Grow { growth: Arc::clone(growth), tail: Arc::clone(tail) };
            // A thread that has ended means a log that is being closed: nothing to work ahead for.
            let _ = ahead.try_send(chore);
        }
    }

    /// Has the file of the next segment made.
    pub(super) fn prepare_segment(&self, partition: &Arc<Leader>) {
        if let Some(ahead) = &self.ahead {
            // As above.
            let _ = ahead.try_send(AheadChore::PrepareSegment(Arc::clone(partition)));
        }
    }

    /// Has the sealed segments of `partition` finished. `false`: nobody is there to do it.
    pub(super) fn finish_sealed(&self, partition: &Arc<Leader>) -> bool {
        let chore = || Chore::FinishSealed(Arc::clone(partition));
        self.upkeep.as_ref().is_some_and(|upkeep| upkeep.send(chore()).is_ok())
    }

    /// Has retention look again before long.
    pub(crate) fn retain(&self) {
        if let Some(upkeep) = &self.upkeep {
            // Without the thread the log is being closed.
            let _ = upkeep.send(Chore::Retain);
        }
    }

    /// Has the files of idle partitions closed.
    pub(super) fn close_surplus(&self) {
        if let Some(upkeep) = &self.upkeep {
            // Without the thread the log is being closed, which closes all files.
            let _ = upkeep.send(Chore::CloseSurplus(Arc::clone(&self.actives)));
        }
    }

    /// Has `partition` synced, beginning no later than the request has it.
    pub(super) fn sync_within(&self, partition: &Arc<Leader>, request: Request) {
        if let Some(upkeep) = &self.upkeep
            && let Some(due) = self.pace.now().after(request.delay)
        {
            // Without the thread the log is being closed, which syncs.
            let _ = upkeep.send(Chore::Sync(SyncBy { due, partition: Arc::clone(partition), request }));
        }
    }
}
