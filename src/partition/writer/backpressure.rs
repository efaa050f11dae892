//! Appends that wait, because the device is slower than they are.
//!
//! A sync is asked for when as many bytes are unsynced as [`BackgroundSync`] says. Beyond twice as many an append, which
//! is in the log by then, does not return before a sync has covered enough: the one under way, or one of its own. So what
//! is not on disk, and has to be checked after a crash, is bounded also where the device cannot keep up. Readers are
//! woken before, and no lock of the partition is held meanwhile.
//!
//! An append finds out by the comparison that it makes anyway to ask for the sync.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::events::Event;
use crate::partition::Leader;
use crate::partition::context::BackgroundSync;
use crate::partition::writer::Writer;
use crate::wait::Turns;

thread_local! {
    static NEVER_WAITS: Cell<bool> = const { Cell::new(false) };
}

/// From here on this thread's appends do not wait: it works for all partitions, and one with a slow device must not hold
/// up the others.
pub(crate) fn never_wait_here() {
    NEVER_WAITS.set(true);
}

/// Whether this thread's appends wait for the device.
pub(super) fn waits_here() -> bool {
    !NEVER_WAITS.get()
}

/// Where appends wait, and those that do.
#[derive(Debug)]
pub(super) struct Holding {
    /// Unsynced bytes beyond which they do.
    most: u64,
    /// The number of appended bytes from which on they do, counted since the open. Never goes back: raised when bytes
    /// are on disk.
    from: AtomicU64,
    turns: Turns,
    /// Appends that have waited.
    count: AtomicU64,
}

impl Holding {
    pub(in crate::partition) fn new(after: BackgroundSync) -> Self {
        let most = after.bytes.map_or(u64::MAX, |bytes| bytes.saturating_mul(2));
        Self { most, from: AtomicU64::new(most), turns: Turns::default(), count: AtomicU64::new(0) }
    }

    pub(in crate::partition) fn from(&self) -> u64 {
        self.from.load(Ordering::Acquire)
    }
}

impl Writer {
    /// What was appended when there were so many bytes is on disk.
    pub(super) fn note_covered(&self, appended: u64) {
        let holding = &self.durable.waiting;
        holding.from.fetch_max(appended.saturating_add(holding.most), Ordering::AcqRel);
    }

    /// Appends that have waited for the device since the open.
    pub(super) fn appends_stalled(&self) -> u64 {
        self.durable.waiting.count.load(Ordering::Relaxed)
    }
}

impl Leader {
    /// The same at the end of a sync of all that was appended.
    pub(super) fn note_synced(&self, appended: u64) {
        self.writer.note_covered(appended);
        self.expect_long_tail(appended);
    }

    /// Returns when no more is unsynced than may be, or nothing more can be done about it. An append that has failed to make
    /// room is in the log all the same: the failure is reported by events, and to those who append next.
    #[cold]
    pub(super) fn wait_while_unsynced_exceeds_limit(self: &Arc<Self>) {
        let holding = &self.writer.durable.waiting;
        let appended = self.writer.counters.appended_bytes();
        let is_served = |goal| goal < holding.from() || self.writer.has_failed() || self.has_ended();
        if is_served(appended) || !waits_here() {
            return;
        }
        holding.count.fetch_add(1, Ordering::Relaxed);
        holding.turns.until(appended, is_served, || {
            let unsynced = appended.saturating_sub(holding.from().saturating_sub(holding.most));
            let partition = || self.id.clone();
            self.context.events.emit(|| Event::AppendsStalled { partition: partition(), unsynced });
            // The sync that was asked for may be under way.
            drop(self.writer.finishing());
            if is_served(appended) {
                return;
            }
            match self.sync() {
                // Closing syncs. What poisons is reported where it does.
                Ok(()) | Err(Error::Closed | Error::NotFound { .. } | Error::Poisoned(_)) => {}
                Err(failure) => self.emit_failed("a sync", &failure),
            }
        });
    }
}
