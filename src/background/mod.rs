//! What is done beside the writers of an open log: one thread preallocates for them, another one does what is due. Kafka's
//! counterparts are the scheduler of its log manager, its log cleaner and its group coordinator's timers.
//!
//! | file | what |
//! |---|---|
//! | `threads` | the two threads |
//! | `preallocate` | lingering batches, space past the end for writers; never waits for the disk |
//! | `schedule` | deadlines, in a heap |
//! | `tasks` | one arm for each thing that is done at a deadline; waits for the disk |
//! | `retention` | which segments a partition does not keep |
//! | `attempt` | failures and panics become events |
//! | `report` | what a round did |
//!
//! Each side has one lock, held while it works: a call by hand beside a running thread waits for it. The background holds
//! the catalog and the groups, and no handle: it keeps no log open.

mod attempt;
mod preallocate;
mod report;
pub(crate) mod retention;
mod schedule;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use attempt::Attempts;
use preallocate::LingerQueue;
pub(crate) use preallocate::{Linger, Lingering};
pub use report::MaintenanceReport;
pub(crate) use tasks::RETENTION_INTERVAL;
use tasks::Tasks;
pub(crate) use threads::Threads;

use crate::catalog::Catalog;
use crate::clock::{Clock, Moment, Pace};
use crate::error::{Error, Result};
use crate::group::{Coordinator, Deletions};
use crate::partition::{BackgroundSync, MaintenanceRequest, PartitionContext, PreallocationRequest};
use crate::transaction::Transactions;

/// Where partitions and producers leave what is to be done, made before there is anything to look after.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) context: PartitionContext,
    pub(crate) linger: Sender<Linger>,
    grow: Receiver<PreallocationRequest>,
    lingering: Receiver<Linger>,
    maintenance: Receiver<MaintenanceRequest>,
}

/// What a background looks after, and by which rules.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) groups: Arc<Coordinator>,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) transactions: Arc<Transactions>,
    /// How long committed positions are kept. `None`: for ever.
    pub(crate) offsets_retention: Option<Duration>,
    /// How long retention may take to notice what no roll and no deadline announces.
    pub(crate) retention_check_interval: Duration,
    /// The clock by which records are old. `None`: the system's.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// Bytes that the map of keys may take in a compaction.
    pub(crate) compaction_memory: usize,
}

/// Everything that is done in the background of one open log.
#[derive(Debug)]
pub(crate) struct Background {
    grow: Receiver<PreallocationRequest>,
    lingering: Receiver<Linger>,
    maintenance: Receiver<MaintenanceRequest>,
    pace: Pace,
    attempts: Attempts,
    subject: Subject,
    linger_queue: Mutex<LingerQueue>,
    tasks: Mutex<Tasks>,
    /// Written under both locks.
    has_ended: AtomicBool,
}

impl Channels {
    pub(crate) fn new(pace: Pace, background_sync: BackgroundSync) -> Self {
        let ((ahead, grow), (linger, lingering), (requests, maintenance)) =
            (unbounded(), unbounded(), unbounded());
        let (ahead, requests) = (Some(ahead), Some(requests));
        let context = PartitionContext {
            preallocation: ahead,
            maintenance: requests,
            pace,
            background_sync,
            ..PartitionContext::default()
        };
        Self { context, linger, grow, lingering, maintenance }
    }

    /// Begins to work on what is there.
    pub(crate) fn work_on(self, subject: Subject) -> Background {
        let pace = self.context.pace;
        let tasks = Tasks::new(pace.now(), &subject);
        Background {
            grow: self.grow,
            lingering: self.lingering,
            maintenance: self.maintenance,
            pace,
            attempts: Attempts::new(self.context.events),
            subject,
            linger_queue: Mutex::default(),
            tasks: Mutex::new(tasks),
            has_ended: AtomicBool::new(false),
        }
    }
}

impl Background {
    /// Everything that is due.
    pub(crate) fn run(&self) -> Result<MaintenanceReport> {
        self.run_preallocation();
        self.run_tasks()
    }

    /// Waits for what is being done and lets nothing be done any more: another process may open the directory next.
    pub(crate) fn end(&self) {
        let (_queue, mut tasks) = (self.linger_queue.lock(), self.tasks.lock());
        tasks.end();
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Writes lingering batches whose time has come, and preallocates for writers. Returns when to come again.
    fn run_preallocation(&self) -> Option<Moment> {
        let mut queue = self.linger_queue.lock();
        if self.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        queue.linger(self.lingering.try_iter(), &self.pace, &self.attempts);
        preallocate::grow(self.grow.try_iter(), &self.attempts);
        queue.next()
    }

    /// Does the tasks whose time has come.
    fn run_tasks(&self) -> Result<MaintenanceReport> {
        let mut tasks = self.tasks.lock();
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        tasks.run(self.maintenance.try_iter(), self)
    }

    #[cfg(test)]
    pub(crate) fn make_everything_due(&self) {
        self.tasks.lock().make_everything_due(self.pace.now());
    }

    /// When a task is due next, if nothing new comes.
    fn next_task(&self) -> Option<Moment> {
        self.tasks.lock().next()
    }
}
