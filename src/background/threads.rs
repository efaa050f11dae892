//! The two background threads of an open log.
//!
//! The preallocation thread (`stratalog-alloc`) makes space past the end for writers and writes out batches that have
//! lingered; it never waits for the disk. The maintenance thread (`stratalog-maint`) does the tasks that are due; it waits
//! for the disk. Neither holds anything that keeps the log open, and an idle log wakes neither. A panic, in a clock of the
//! user's for one, is an event and ends neither.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, Sender, bounded};

use super::Background;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::partition::never_wait_here;

const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Dropped to end them.
    stop: Sender<()>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(work: &Arc<Background>) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let (preallocation, until) = (Arc::clone(work), stopped.clone());
        let preallocation = spawn("stratalog-alloc", move || run_preallocation(&preallocation, &until))?;
        let maintenance = Arc::clone(work);
        let maintenance = spawn("stratalog-maint", move || run_maintenance(&maintenance, &stopped))?;
        Ok(Self { stop, handles: vec![preallocation, maintenance] })
    }

    /// Ends both threads and waits for them. What is left to do is left to the caller.
    pub(crate) fn stop(self) {
        drop(self.stop);
        for handle in self.handles {
            // After a panic there closing the log does what was left undone.
            let _ = handle.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let spawned = Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|e| Error::io("start", Path::new(name), e))
}

fn run_preallocation(work: &Background, stopped: &Receiver<()>) {
    never_wait_here();
    let mut next = None;
    loop {
        let mut select = Select::new();
        select.recv(&work.grow);
        select.recv(&work.lingering);
        if is_stopped(select, stopped, next, work) {
            return;
        }
        let Some(looked) =
            work.attempts.unless_panicked("preallocating for writers", None, || work.run_preallocation())
        else {
            if is_stopped_within_pause(stopped) {
                return;
            }
            continue;
        };
        next = looked;
    }
}

fn run_maintenance(work: &Background, stopped: &Receiver<()>) {
    loop {
        let mut select = Select::new();
        select.recv(&work.maintenance);
        if is_stopped(select, stopped, work.next_task(), work) {
            return;
        }
        // What fails is an event, and an error of the next append to a partition that failed.
        if work.attempts.unless_panicked("maintenance", None, || work.run_tasks()).is_none()
            && is_stopped_within_pause(stopped)
        {
            return;
        }
    }
}

/// After a panic a thread does not begin again at once: what was due is due still. Returns whether it was the end.
fn is_stopped_within_pause(stopped: &Receiver<()>) -> bool {
    stopped.recv_timeout(PAUSE_AFTER_PANIC) != Err(RecvTimeoutError::Timeout)
}

/// Waits for anything in the channels, for the moment, or for the end, and returns whether it was the end.
fn is_stopped<'r>(
    mut channels: Select<'r>,
    stopped: &'r Receiver<()>,
    next: Option<Moment>,
    work: &Background,
) -> bool {
    let end = channels.recv(stopped);
    let ready = match next.and_then(|next| work.pace.instant_of(next)) {
        Some(deadline) => channels.ready_deadline(deadline).ok(),
        None => Some(channels.ready()),
    };
    ready == Some(end)
}
