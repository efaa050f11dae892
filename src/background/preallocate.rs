//! Work ahead of writers: lingering batches are written, space in files is preallocated. Nothing here waits for the disk.

use std::sync::Weak;
use std::time::Duration;

use super::attempt::Attempts;
use crate::clock::{Moment, Pace};
use crate::partition::PreallocationRequest;

/// How soon lingering records are tried again after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Records that wait in memory for more to come, until a moment.
pub(crate) trait Lingering: Send + Sync + std::fmt::Debug {
    /// Writes out what has waited long enough; returns when to look again, if anything still waits.
    fn write_overdue(&self, now: Moment) -> Option<Moment>;

    /// The log is closed. What still waits can never be written, and nothing more comes: an event says what is lost.
    fn log_has_closed(&self);
}

/// Asks for lingering records to be written at a moment.
pub(crate) type Linger = (Moment, Weak<dyn Lingering>);

/// Lingering records to write.
#[derive(Debug, Default)]
pub(super) struct LingerQueue {
    waiting: Vec<Linger>,
}

impl LingerQueue {
    /// Writes what has lingered long enough, of what was known and of what is `new`.
    pub(super) fn linger(&mut self, new: impl Iterator<Item = Linger>, pace: &Pace, attempts: &Attempts) {
        self.waiting.extend(new);
        if self.waiting.is_empty() {
            return;
        }
        let now = pace.now();
        self.waiting.retain_mut(|(moment, records)| {
            if *moment > now {
                return true;
            }
            let next = records.upgrade().and_then(|records| {
                let written = || records.write_overdue(now);
                let next = attempts.unless_panicked("writing lingering records", None, written);
                next.unwrap_or_else(|| now.after(AFTER_PANIC))
            });
            next.is_some_and(|next| {
                *moment = next;
                true
            })
        });
    }

    /// When lingering records are due next.
    pub(super) fn next(&self) -> Option<Moment> {
        self.waiting.iter().map(|(moment, _)| *moment).min()
    }
}

/// Makes the space in files that writers have asked for.
pub(super) fn grow(asked: impl Iterator<Item = PreallocationRequest>, attempts: &Attempts) {
    for request in asked {
        match request {
            PreallocationRequest::Grow { growth, tail } => growth.preallocate_now(tail.load().position),
            PreallocationRequest::PrepareSegment(partition) => {
                let _ = attempts.attempt("preparing a segment", None, || partition.prepare_segment());
            }
        }
    }
}
