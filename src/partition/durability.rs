//! Getting a partition's records onto the medium: syncs, finished segments, the marks, the close.
//!
//! | mark | below it |
//! |---|---|
//! | durable end | every record is on the medium, and every directory entry it needs |
//! | recovery point | the same, and indexes are in their final form: nobody needs to look at it again |
//!
//! A failed sync is final: the system takes the pages for written and tells one caller only. So all syncs of a partition
//! run under one lock, the first failure is noted before the lock is released, and none succeeds after it. What can be
//! done again is no such failure: index files hold nothing that is not in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::chores::SyncBy;
use super::{Appender, PartitionLog};
use crate::config::Durability;
use crate::error::{Error, PoisonCause, Result};
use crate::events::Event;
use crate::segment::{FinishFailure, Unsealed};
use crate::wait::{Requests, Turns};

/// Sealed segments that may wait for the background, and the bytes in them; then whoever appends finishes them. The
/// contract speaks of two segments: two of Kafka's default size. Small ones may be more, or each roll would wait for
/// the device.
const MOST_UNSEALED: usize = 64;
const MOST_UNSEALED_BYTES: u64 = 2 << 30;

/// How much of a partition is on the medium, and who waits for it.
#[derive(Debug)]
pub(super) struct Durable {
    end: AtomicU64,
    recovery_point: AtomicU64,
    /// Syncs that are asked for. Each sync is a round.
    requests: Requests,
    /// The number of appended bytes from which on a sync is asked for, counted since the open. Never goes back: the
    /// appender raises it when a segment begins, a sync when it ends.
    long_from: AtomicU64,
    commits: Turns,
    /// Sealed segments that are not in their final form, oldest first.
    unsealed: Mutex<VecDeque<Arc<Unsealed>>>,
}

impl Durable {
    pub(super) fn new(recovery_point: u64) -> Self {
        Self {
            end: AtomicU64::new(recovery_point),
            recovery_point: AtomicU64::new(recovery_point),
            requests: Requests::default(),
            long_from: AtomicU64::new(0),
            commits: Turns::default(),
            unsealed: Mutex::default(),
        }
    }

    /// What loading found. `next_offset`: where the log ends. After an unclean stop what lies behind the recovery point
    /// was checked, but is not on the medium for certain.
    pub(super) fn loaded(&self, next_offset: u64, clean: bool, sealed: VecDeque<Arc<Unsealed>>) {
        for mark in [&self.end, &self.recovery_point] {
            if clean {
                mark.store(next_offset, Ordering::Release);
            } else {
                mark.fetch_min(next_offset, Ordering::AcqRel);
            }
        }
        *self.unsealed.lock() = sealed;
    }

    /// Whether all segments that begin before have their final form. The recovery point alone does not tell: it may lie
    /// inside a segment, which is then sealed.
    pub(super) fn is_finished(&self, offset: u64) -> bool {
        self.recovery_point.load(Ordering::Acquire) >= offset
            && self.unsealed.lock().iter().all(|sealed| sealed.segment().base() >= offset)
    }

    /// Behind the last segment that has its final form, or further.
    pub(super) fn finished_end(&self) -> u64 {
        let point = self.recovery_point.load(Ordering::Acquire);
        let unsealed = self.unsealed.lock();
        unsealed.iter().map(|sealed| sealed.segment().base()).chain([point]).min().unwrap_or(point)
    }

    fn reaches(&self, offset: u64) -> bool {
        self.end.load(Ordering::Acquire) >= offset
    }
}

impl PartitionLog {
    /// Everything below is on the medium.
    #[inline]
    pub(crate) fn durable_end(&self) -> u64 {
        self.durable.end.load(Ordering::Acquire)
    }

    /// What the checkpoint of recovery points is to say; `None` if there is nothing on disk to speak of.
    pub(crate) fn recovery_point(&self) -> Option<u64> {
        let point = self.durable.recovery_point.load(Ordering::Relaxed);
        (point > 0 || self.checkpointed.recovery_point.is_some()).then_some(point)
    }

    /// Notes a failure after which nothing can be appended, and returns the error that says so.
    pub(super) fn poison(&self, appender: &mut Appender, failure: &(impl fmt::Display + ?Sized)) -> Error {
        let cause = self.note_failure(failure);
        // What was not looked at yet can be read all the same: looking at it ends in the same state.
        if !matches!(appender, Appender::Unloaded | Appender::Deleted | Appender::Closed) {
            *appender = Appender::Poisoned(cause.clone());
        }
        Error::Poisoned(Box::new(cause))
    }

    /// Ends appending because a thread panicked while it worked on this partition.
    pub(crate) fn poison_after_panic(&self, what: &str) {
        let failure = Error::invalid("background", format!("panicked: {what}"));
        self.poison(&mut self.appender.lock(), &failure);
    }

    /// The first failure counts.
    pub(super) fn note_failure(&self, failure: &(impl fmt::Display + ?Sized)) -> PoisonCause {
        let cause = self.failure.get_or_init(|| {
            let failure: Box<str> = failure.to_string().into();
            let cause = PoisonCause { partition: self.id.clone(), failure: failure.clone() };
            self.chores.events.tell(|| Event::PartitionPoisoned { partition: self.id.clone(), failure });
            cause
        });
        cause.clone()
    }

    pub(super) fn refuse_failed(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Poisoned(Box::new(cause.clone()))),
            None => Ok(()),
        }
    }

    /// Asks for what a record that was just appended is promised beyond being in the log, as far as nobody has to wait
    /// for it.
    #[inline]
    pub(super) fn ask_for_sync(self: &Arc<Self>, level: Durability) {
        let delay = match (level, self.chores.background_sync.age) {
            (Durability::Interval(delay), _) | (Durability::Buffered, Some(delay)) => delay,
            (Durability::Buffered, None) | (Durability::Synced, _) => return,
        };
        if !self.durable.requests.serves(delay) {
            self.schedule_sync(delay);
        }
    }

    /// Has the tail synced at once, because it has grown long.
    #[cold]
    pub(super) fn sync_long_tail(self: &Arc<Self>) {
        self.schedule_sync(Duration::ZERO);
    }

    #[cold]
    fn schedule_sync(self: &Arc<Self>, delay: Duration) {
        if let Some(request) = self.durable.requests.ask(delay) {
            self.chores.sync_within(self, request);
        }
    }

    /// Whether so much was appended since the last sync, or since the last segment began, that a sync is due.
    #[inline]
    pub(super) fn has_long_tail(&self) -> bool {
        self.counters.appended_bytes() >= self.durable.long_from.load(Ordering::Relaxed)
    }

    /// The tail begins anew where so many bytes were appended since the open. A sync that ends after the next segment
    /// has begun changes nothing: the count goes on from segment to segment, as a position would not.
    pub(super) fn expect_long_tail(&self, appended: u64) {
        let bytes = self.chores.background_sync.bytes.unwrap_or(u64::MAX);
        self.durable.long_from.fetch_max(appended.saturating_add(bytes), Ordering::Relaxed);
    }

    /// Does a sync that was asked for, unless one has begun since. Tells whether it did.
    pub(crate) fn sync_as_asked(&self, asked: &SyncBy) -> Result<bool> {
        if !self.durable.requests.is_open(asked.request) {
            return Ok(false);
        }
        match self.check_place().and_then(|()| self.sync()) {
            Ok(()) => Ok(true),
            // Nothing of it is to be kept, or closing has synced it.
            Err(Error::NotFound { .. } | Error::Closed) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Returns when everything below `end` is on the medium; one sync serves all who wait.
    pub(crate) fn await_durable(&self, end: u64) -> Result<()> {
        let mut outcome = Ok(());
        let is_served = |end| self.durable.reaches(end) || self.failure.get().is_some();
        self.durable.commits.until(end, is_served, || outcome = self.sync());
        if self.durable.reaches(end) {
            return Ok(());
        }
        if matches!(outcome, Err(Error::Closed)) {
            // Closing syncs, and comes to its end before this does.
            drop(self.finishing.lock());
            if self.durable.reaches(end) {
                return Ok(());
            }
        }
        self.refuse_failed().and(outcome)
    }

    /// Leaves a sealed segment to be finished and tells whether whoever appends has to do it.
    pub(super) fn queue_sealed(&self, sealed: Unsealed) -> bool {
        let mut unsealed = self.durable.unsealed.lock();
        unsealed.push_back(Arc::new(sealed));
        unsealed.len() >= MOST_UNSEALED
            || unsealed.iter().map(|sealed| sealed.bytes()).sum::<u64>() > MOST_UNSEALED_BYTES
    }

    /// Finishes sealed segments, oldest first: exact length, indexes, sync; then the recovery point passes them.
    /// A failed sync poisons the partition: what the kernel could not write once it takes for written.
    pub(crate) fn finish_sealed(&self) -> Result<usize> {
        let finished = {
            let _order = self.finishing.lock();
            self.finish_queue()
        };
        finished.map_err(|failure| self.after(&mut self.appender.lock(), failure))
    }

    /// The same while a segment begins. Segments that only lack their indexes wait for the next time, unless they
    /// must not become more.
    pub(super) fn finish_at_roll(&self, appender: &mut Appender, too_many: bool) -> Result<()> {
        let finished = {
            let _order = self.finishing.lock();
            self.finish_queue()
        };
        match finished {
            Err(FinishFailure::Unindexed(_)) if !too_many => Ok(()),
            finished => finished.map(drop).map_err(|failure| self.after(appender, failure)),
        }
    }

    fn after(&self, appender: &mut Appender, failure: FinishFailure) -> Error {
        match failure {
            FinishFailure::Lost(failure) => self.poison(appender, &failure),
            FinishFailure::Unindexed(failure) => failure,
        }
    }

    /// Runs under `finishing`. First the records of all, then the indexes; each mark follows what it says. Tells how
    /// many segments have their final form now.
    pub(super) fn finish_queue(&self) -> std::result::Result<usize, FinishFailure> {
        self.refuse_failed().map_err(FinishFailure::Lost)?;
        let queue: Vec<_> = self.durable.unsealed.lock().iter().cloned().collect();
        let Some(last) = queue.last() else { return Ok(0) };
        let fatal = |failure: Error| {
            self.note_failure(&failure);
            FinishFailure::Lost(failure)
        };
        for sealed in &queue {
            sealed.seal_and_sync().map_err(fatal)?;
        }
        let mut indexed = 0;
        let outcome = queue.iter().try_for_each(|sealed| {
            sealed.write_indexes(&self.disk)?;
            self.keep_snapshot(sealed.segment().next_offset())?;
            indexed += 1;
            Ok(())
        });
        // Covers the entry of the segment behind the last of these too: it was made before that one was sealed.
        self.disk.sync_directory(&self.directory).map_err(fatal)?;
        self.raise_durable(last.segment().next_offset());
        if let Some(finished) = queue.get(..indexed).and_then(<[_]>::last) {
            self.durable.recovery_point.fetch_max(finished.segment().next_offset(), Ordering::AcqRel);
        }
        let mut unsealed = self.durable.unsealed.lock();
        let done = indexed.min(unsealed.len());
        unsealed.drain(..done);
        outcome.map(|()| indexed).map_err(FinishFailure::Unindexed)
    }

    /// Readers that read only what is durable wait for it as others wait for records.
    pub(super) fn raise_durable(&self, end: u64) {
        if self.durable.end.fetch_max(end, Ordering::AcqRel) < end {
            self.sleepers.wake_all();
        }
    }

    /// Everything below `end` is on the medium in its final form.
    pub(super) fn passed(&self, end: u64) {
        self.raise_durable(end);
        self.durable.recovery_point.fetch_max(end, Ordering::AcqRel);
    }

    /// Refuses if the log is not where it was opened. A sync goes by descriptors and would not notice.
    pub(crate) fn check_place(&self) -> Result<()> {
        // The place of a deleted one may well be another's.
        let is_deleted = || matches!(*self.appender.lock(), Appender::Deleted);
        self.disk.check_place().map_err(|failure| if is_deleted() { self.deleted() } else { failure })
    }

    /// Everything appended before the call on the medium. Appends go on meanwhile.
    pub(crate) fn sync(&self) -> Result<()> {
        // First: what is appended from here on may not be covered, and asks anew.
        self.durable.requests.begin();
        let (unsynced, next_offset, appended) = match &*self.appender.lock() {
            Appender::Active { writer, .. } => {
                (writer.unsynced(), writer.next_offset(), self.counters.appended_bytes())
            }
            Appender::Poisoned(cause) => return Err(Error::Poisoned(Box::new(cause.clone()))),
            Appender::Deleted => return Err(self.deleted()),
            Appender::Closed => return Err(Error::Closed),
            Appender::Following(_) => return Err(Error::ReadOnly),
            Appender::Unloaded | Appender::Idle { .. } => return Ok(()),
        };
        let synced = {
            let _order = self.finishing.lock();
            // Whatever is older than this segment is in the queue or finished: the writer was asked before.
            match self.finish_queue() {
                Err(FinishFailure::Lost(failure)) => Err(failure),
                finished if self.durable.reaches(next_offset) => Ok(finished),
                finished => unsynced.sync().map(|()| finished),
            }
            .inspect_err(|failure| drop(self.note_failure(failure)))
            .inspect(|finished| {
                self.counters.synced();
                self.raise_durable(next_offset);
                if finished.is_ok() {
                    self.durable.recovery_point.fetch_max(next_offset, Ordering::AcqRel);
                }
                self.expect_long_tail(appended);
            })
        };
        match synced {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(unindexed)) => {
                self.tell_failed("writing the index of a segment", &unindexed.into_error());
                Ok(())
            }
            Err(failure) => Err(self.poison(&mut self.appender.lock(), &failure)),
        }
    }

    pub(super) fn tell_failed(&self, task: &'static str, failure: &Error) {
        let failure = failure.to_string().into();
        self.chores.events.tell(|| Event::MaintenanceFailed { task, failure });
    }

    /// Ends appending for good and brings the files to their final form. After an error, which every later call gets
    /// too, the partition must be recovered at the next open.
    pub(crate) fn close(&self) -> Result<()> {
        match self.end_with_order(Appender::Closed) {
            (Appender::Active { writer, .. }, _order) => {
                let last = writer.unsynced();
                self.remove_prepared();
                let finished = self
                    .finish_queue()
                    .map_err(FinishFailure::into_error)
                    .and_then(|_| last.seal_and_sync())
                    .and_then(|()| last.write_indexes(&self.disk))
                    .and_then(|()| self.keep_snapshot(writer.next_offset()))
                    .and_then(|()| self.disk.sync_directory(&self.directory));
                match &finished {
                    Ok(()) => self.passed(writer.next_offset()),
                    Err(failure) => drop(self.note_failure(failure)),
                }
                finished
            }
            (Appender::Poisoned(cause), _) => Err(Error::Poisoned(Box::new(cause))),
            // Never looked at, or it could not be loaded, which whoever opened the directory knows.
            (
                Appender::Unloaded
                | Appender::Idle { .. }
                | Appender::Following(_)
                | Appender::Deleted
                | Appender::Closed,
                _,
            ) => self.refuse_failed(),
        }
    }

    /// Ends the partition because its topic is deleted: nothing is written any more, readers keep what they hold.
    pub(crate) fn delete(&self) {
        // A segment being finished writes its indexes by name: once the lock is had, before the name can be another
        // topic's, none is.
        let (before, _order) = self.end_with_order(Appender::Deleted);
        drop(before);
        self.with_prepared(drop);
        self.durable.unsealed.lock().clear();
        self.tell_pinned(self.segments().iter());
    }
}
