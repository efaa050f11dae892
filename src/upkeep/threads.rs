//! The two background threads of an open log.
//!
//! *ahead* prepares space in front of writers and writes out batches that have lingered; it never waits for the disk.
//! *upkeep* finishes sealed segments and writes checkpoints; it waits for the disk all the time. Neither holds anything
//! that keeps the log open, and an idle log wakes neither.

use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select, unbounded};

use crate::error::{Error, Result};
use crate::partition::{Chores, GrowAhead, PartitionLog};

/// Records that wait in memory for more to come, until a moment.
pub(crate) trait Lingering: Send + Sync + std::fmt::Debug {
    /// Writes out what has waited long enough; returns when to look again, if anything still waits.
    fn write_overdue(&self, now: Instant) -> Option<Instant>;
}

/// Asks *ahead* to look after lingering records at a moment.
pub(crate) type Linger = (Instant, Weak<dyn Lingering>);

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    /// Dropped to end them.
    stop: Sender<()>,
    handles: Vec<JoinHandle<()>>,
}

/// The ways to give work to the threads.
#[derive(Debug)]
pub(crate) struct Inboxes {
    pub(crate) chores: Chores,
    pub(crate) linger: Sender<Linger>,
    receivers: (Receiver<GrowAhead>, Receiver<Linger>, Receiver<Arc<PartitionLog>>),
}

impl Inboxes {
    pub(crate) fn new() -> Self {
        let ((ahead, grow), (linger, lingering), (finish, sealed)) = (unbounded(), unbounded(), unbounded());
        let chores = Chores { ahead: Some(ahead), finish: Some(finish) };
        Self { chores, linger, receivers: (grow, lingering, sealed) }
    }

    /// Starts the threads. `checkpoint` runs after segments were finished.
    pub(crate) fn start(self, checkpoint: impl Fn() + Send + 'static) -> Result<Threads> {
        let (stop, stopped) = bounded(0);
        let (grow, lingering, sealed) = self.receivers;
        let until = stopped.clone();
        let ahead = spawn("stratalog-ahead", move || work_ahead(&grow, &lingering, &until))?;
        let upkeep = spawn("stratalog-upkeep", move || finish_segments(&sealed, &stopped, checkpoint))?;
        Ok(Threads { stop, handles: vec![ahead, upkeep] })
    }
}

impl Threads {
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
    spawned.map_err(|e| Error::io("start", std::path::Path::new(name), e))
}

fn work_ahead(grow: &Receiver<GrowAhead>, lingering: &Receiver<Linger>, stopped: &Receiver<()>) {
    let mut waiting: Vec<Linger> = Vec::new();
    loop {
        let next = waiting.iter().map(|(moment, _)| *moment).min();
        let due = next.map_or_else(never, at);
        select! {
            recv(grow) -> chore => match chore {
                Ok(GrowAhead { growth, tail }) => growth.work_ahead(tail.load().position),
                Err(_) => return,
            },
            recv(lingering) -> linger => match linger {
                Ok(linger) => waiting.push(linger),
                Err(_) => return,
            },
            recv(due) -> _ => write_overdue(&mut waiting),
            recv(stopped) -> _ => return,
        }
    }
}

fn write_overdue(waiting: &mut Vec<Linger>) {
    let now = Instant::now();
    waiting.retain_mut(|(moment, records)| {
        if *moment > now {
            return true;
        }
        let next = records.upgrade().and_then(|records| records.write_overdue(now));
        next.is_some_and(|next| {
            *moment = next;
            true
        })
    });
}

fn finish_segments(sealed: &Receiver<Arc<PartitionLog>>, stopped: &Receiver<()>, checkpoint: impl Fn()) {
    loop {
        select! {
            recv(sealed) -> partition => match partition {
                // A failure has poisoned the partition: whoever appends next is told.
                Ok(partition) => if partition.finish_sealed().is_ok() { checkpoint() },
                Err(_) => return,
            },
            recv(stopped) -> _ => return,
        }
    }
}
