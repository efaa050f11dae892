//! Getting a partition's records onto the disk: syncs, finished segments, the marks, the close.
//!
//! | mark | below it |
//! |---|---|
//! | durable end | every record is on disk, and every directory entry it needs, or the record has left the log |
//! | recovery point | the same, and indexes are in their final form: it need not be checked again |
//!
//! A failed sync is final: the system takes the pages for written and reports the failure to one caller only. So all syncs
//! of a partition run under one lock, the first failure is noted before the lock is released, and none succeeds after it.
//! What can be done again is no such failure: see [`finishing`](crate::partition::writer::finish).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Durability;
use crate::error::{Error, PoisonCause, Result};
use crate::events::Event;
use crate::partition::context::{BackgroundSync, SyncBy};
use crate::partition::locks::{Lock, Rank};
use crate::partition::writer::Writer;
use crate::partition::writer::backpressure::Holding;
use crate::partition::writer::finish::Unfinished;
use crate::partition::{Appender, Ended, Leader};
use crate::segment::FinishFailure;
use crate::wait::{Requests, Turns};

/// When a sync is tried again of which the system refused a part that is neither a write nor a sync.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Syncs that are wanted, and who waits for them.
#[derive(Debug)]
pub(in crate::partition) struct Durable {
    /// Syncs that are asked for. Each sync is a round.
    requests: Requests,
    /// The number of appended bytes from which on a sync is asked for, counted since the open. Never goes back: the
    /// appender raises it when a segment begins, a sync when it ends.
    long_from: AtomicU64,
    pub(super) waiting: Holding,
    commits: Turns,
    pub(super) unfinished: Lock<Unfinished>,
}

impl Durable {
    pub(in crate::partition) fn new(after: BackgroundSync) -> Self {
        Self {
            requests: Requests::default(),
            long_from: AtomicU64::new(0),
            waiting: Holding::new(after),
            commits: Turns::default(),
            unfinished: Lock::new(Rank::Unfinished, Unfinished::default()),
        }
    }

    /// What loading found.
    pub(in crate::partition) fn loaded(&self, unfinished: Unfinished) {
        *self.unfinished.lock() = unfinished;
    }
}

impl Writer {
    pub(in crate::partition) fn refuse_failed(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Poisoned(Box::new(cause.clone()))),
            None => Ok(()),
        }
    }

    /// Whether so much was appended since the last sync, or since the last segment began, that a sync is due.
    #[inline]
    pub(super) fn has_long_tail(&self) -> bool {
        self.counters.appended_bytes() >= self.durable.long_from.load(Ordering::Relaxed)
    }
}

impl Leader {
    /// Whether all segments that begin before have their final form. The recovery point alone does not say so: it may lie
    /// inside a segment, which is then sealed.
    pub(in crate::partition) fn is_finished(&self, offset: u64) -> bool {
        self.marks.recovery_point.load(Ordering::Acquire) >= offset
            && self.writer.durable.unfinished.lock().first_base().is_none_or(|base| base >= offset)
    }

    /// Offset after the last segment that has its final form, or further.
    pub(in crate::partition) fn finished_end(&self) -> u64 {
        let point = self.marks.recovery_point.load(Ordering::Acquire);
        self.writer.durable.unfinished.lock().first_base().map_or(point, |base| base.min(point))
    }

    /// Notes a failure after which nothing can be appended, and returns the error that says so.
    pub(in crate::partition) fn poison(&self, appender: &mut Appender, failure: &Error) -> Error {
        self.poison_by(appender, self.cause(failure))
    }

    pub(super) fn poison_by(&self, appender: &mut Appender, cause: PoisonCause) -> Error {
        let cause = self.note_cause(cause);
        // A partition that is not loaded yet can be read all the same: loading it ends in the same state.
        if !matches!(appender, Appender::Unloaded | Appender::Ended) {
            *appender = Appender::Poisoned;
        }
        Error::Poisoned(Box::new(cause))
    }

    /// Ends appending because a thread panicked while it worked on this partition.
    pub(crate) fn poison_after_panic(&self, what: &str) {
        let failure = Error::invalid("background", format!("panicked: {what}"));
        self.poison(&mut self.writer.appender(), &failure);
    }

    /// The first failure counts.
    fn note_cause(&self, cause: PoisonCause) -> PoisonCause {
        let cause = self.writer.failure.get_or_init(|| {
            self.context.events.emit(|| Event::PartitionPoisoned {
                partition: cause.partition.clone(),
                failure: cause.failure.clone(),
            });
            cause
        });
        cause.clone()
    }

    pub(super) fn note_failure(&self, failure: &Error) {
        self.note_cause(self.cause(failure));
    }

    fn cause(&self, failure: &Error) -> PoisonCause {
        PoisonCause::new(self.id.clone(), failure)
    }

    /// Asks for what a record that was just appended is promised beyond being in the log, as far as no caller has to wait
    /// for it.
    #[inline]
    pub(super) fn ask_for_sync(self: &Arc<Self>, level: Durability) {
        let promised = match level {
            Durability::Interval(delay) => Some(delay),
            Durability::Buffered => self.context.background_sync.age,
            Durability::Synced => return,
        };
        let Some(delay) = promised.into_iter().chain(self.settings.flush_after()).min() else { return };
        if !self.writer.durable.requests.serves(delay) {
            self.schedule_sync(delay);
        }
    }

    /// The topic may want records synced sooner than was asked for when they were appended.
    pub(in crate::partition) fn ask_for_flush(self: &Arc<Self>) {
        let end = self.segments().last().map_or(0, |segment| segment.next_offset());
        if let Some(delay) = self.settings.flush_after()
            && self.durable_end() < end
        {
            self.schedule_sync(delay);
        }
    }

    /// Whether a log that ends at `end` has as many records without a sync as its topic allows.
    #[inline]
    pub(super) fn wants_flush(&self, end: u64) -> bool {
        end.saturating_sub(self.durable_end()) >= self.settings.flush_messages()
    }

    /// Syncs what lies below `end`, because the topic wants it. The records are in the log in any case, and more was not
    /// promised to the caller.
    #[cold]
    pub(super) fn flush_to(self: &Arc<Self>, end: u64) -> Result<()> {
        match self.await_durable(end) {
            Err(failure @ Error::Poisoned(_)) => Err(failure),
            // Nothing of it is to be kept, or closing has synced it.
            Ok(()) | Err(Error::NotFound { .. } | Error::Closed) => Ok(()),
            Err(failure) => {
                self.emit_failed("a sync by flush.messages", &failure);
                Ok(())
            }
        }
    }

    /// Has the tail synced at once, because it has grown long.
    #[cold]
    pub(in crate::partition) fn sync_long_tail(self: &Arc<Self>) {
        self.schedule_sync(Duration::ZERO);
    }

    #[cold]
    fn schedule_sync(self: &Arc<Self>, delay: Duration) {
        if let Some(request) = self.writer.durable.requests.ask(delay) {
            self.context.sync_within(self, request);
        }
    }

    /// The tail begins anew where so many bytes were appended since the open. A sync that ends after the next segment
    /// has begun changes nothing: the count continues from segment to segment, as a position would not.
    pub(super) fn expect_long_tail(&self, appended: u64) {
        let bytes = self.context.background_sync.bytes.unwrap_or(u64::MAX);
        // Where appends wait is checked again, however short the segments are.
        let long_from = appended.saturating_add(bytes).min(self.writer.durable.waiting.from());
        self.writer.durable.long_from.fetch_max(long_from, Ordering::Relaxed);
    }

    /// Does a sync that was asked for, unless one has begun since. Returns whether it did.
    pub(crate) fn sync_as_asked(self: &Arc<Self>, asked: &SyncBy) -> Result<bool> {
        if !self.writer.durable.requests.is_open(asked.request) {
            return Ok(false);
        }
        match self.check_place().and_then(|()| self.sync()) {
            Ok(()) => Ok(true),
            // Nothing of it is to be kept, or closing has synced it.
            Err(Error::NotFound { .. } | Error::Closed) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Returns when everything below `end` is on disk; one sync serves all who wait.
    pub(crate) fn await_durable(self: &Arc<Self>, end: u64) -> Result<()> {
        let mut outcome = Ok(());
        let is_served = |end| self.marks.reaches(end) || self.writer.has_failed();
        self.writer.durable.commits.until(end, is_served, || outcome = self.sync());
        if self.marks.reaches(end) {
            return Ok(());
        }
        if matches!(outcome, Err(Error::Closed)) {
            // Closing syncs, and comes to its end before this does.
            drop(self.writer.finishing());
            if self.marks.reaches(end) {
                return Ok(());
            }
        }
        self.writer.refuse_failed().and(outcome)
    }

    /// Makes everything durable that was appended before the call. Appends continue meanwhile. An error other than `Poisoned` leaves
    /// the partition as it is: the same call can succeed later, and the background tries it too.
    pub(crate) fn sync(self: &Arc<Self>) -> Result<()> {
        // First: what is appended from here on may not be covered, and asks anew.
        self.writer.durable.requests.begin();
        let (unsynced, next_offset, appended) = match &*self.writer.appender() {
            Appender::Active { writer, .. } => {
                (writer.unsynced(), writer.next_offset(), self.writer.counters.appended_bytes())
            }
            Appender::Poisoned => return self.writer.refuse_failed(),
            Appender::Ended => return Err(self.end_error()),
            Appender::Unloaded | Appender::Idle { .. } => return Ok(()),
        };
        let synced = {
            let _order = self.writer.finishing();
            // Whatever is older than this segment is in the queue or finished: the writer was asked before.
            match self.finish_queue() {
                Err(failure @ FinishFailure::Lost(_)) => Err(failure),
                finished if self.marks.reaches(next_offset) => Ok(finished),
                Err(failure @ FinishFailure::Refused(_)) => Err(failure),
                finished => unsynced.sync().map(|()| finished),
            }
            .inspect_err(|failure| self.note_lost(failure))
            .inspect(|finished| {
                self.writer.counters.synced();
                self.advance_durable(next_offset);
                let indexed = self.index_aborted(next_offset);
                if let Err(failure) = &indexed {
                    self.emit_failed("the index of aborted transactions", failure);
                }
                if finished.is_ok() && indexed.is_ok() {
                    self.marks.advance_recovery_point(next_offset);
                }
                self.note_synced(appended);
            })
        };
        match synced {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(unindexed)) => {
                self.emit_failed("giving a segment its final form", &unindexed.into_error());
                Ok(())
            }
            Err(failure) => Err(self.after(&mut self.writer.appender(), failure)),
        }
    }

    /// Has a sync tried again that was refused: it has served none of those who asked for it.
    pub(super) fn sync_again(self: &Arc<Self>) {
        self.schedule_sync(TRY_AGAIN);
    }

    /// Ends appending for good and brings the files to their final form. After an error, which every later call gets
    /// too, the partition must be recovered at the next open.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = match self.end_with_order(Ended::Closed) {
            (Appender::Active { writer, .. }, _order) => {
                let last = writer.unsynced();
                self.remove_prepared();
                let finished = self.finish_all(&last, writer.next_offset());
                finished.map_err(FinishFailure::into_error).inspect_err(|failure| {
                    self.writer.failure.get_or_init(|| self.cause(failure));
                })
            }
            // Never loaded, or loading failed, which the open has reported.
            (Appender::Unloaded | Appender::Idle { .. } | Appender::Poisoned | Appender::Ended, _) => {
                self.writer.refuse_failed()
            }
        };
        self.give_up_kept();
        closed
    }

    /// Ends the partition because its topic is deleted: nothing is written any more, readers keep what they hold.
    pub(crate) fn delete(&self) {
        // A segment being finished writes its indexes by name: once the lock is had, before the name can be another
        // topic's, none is.
        let (before, order) = self.end_with_order(Ended::Deleted);
        drop(before);
        self.writer.forget_unfinished();
        self.forget_beginning();
        drop(order);
        self.give_up_kept();
        self.emit_pinned(self.segments().iter());
    }
}
