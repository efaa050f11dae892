//! Getting a partition's records onto the medium: syncs, finished segments, the recovery point, the close.
//!
//! A failed sync is final: the system takes the pages for written and tells one caller only. So all syncs of a partition
//! run under one lock, the first failure is noted before the lock is released, and none succeeds after it. What can be
//! done again is no such failure: index files hold nothing that is not in memory.

use std::sync::atomic::Ordering;

use super::{Appender, MOST_UNSEALED, PartitionLog};
use crate::error::{Error, PoisonCause, Result};
use crate::segment::FinishFailure;

impl PartitionLog {
    /// Notes a failure after which nothing can be appended, and returns the error that says so.
    pub(super) fn poison(&self, appender: &mut Appender, failure: &Error) -> Error {
        let cause = self.note_failure(failure);
        if !matches!(appender, Appender::Deleted | Appender::Closed) {
            *appender = Appender::Poisoned(cause.clone());
        }
        Error::Poisoned(Box::new(cause))
    }

    /// The first failure counts.
    fn note_failure(&self, failure: &Error) -> PoisonCause {
        let cause = || PoisonCause { partition: self.id.clone(), failure: failure.to_string().into() };
        self.failure.get_or_init(cause).clone()
    }

    fn refuse_failed(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Poisoned(Box::new(cause.clone()))),
            None => Ok(()),
        }
    }

    /// Finishes sealed segments, oldest first: exact length, indexes, sync; then the recovery point passes them.
    /// A failed sync poisons the partition: what the kernel could not write once it takes for written.
    pub(crate) fn finish_sealed(&self) -> Result<()> {
        let finished = {
            let _order = self.finishing.lock();
            self.finish_queue()
        };
        finished.map_err(|failure| self.after(&mut self.appender.lock(), failure))
    }

    /// The same while a segment begins. Segments that only lack their indexes wait for the next time, if not too many.
    pub(super) fn finish_at_roll(&self, appender: &mut Appender, waiting: usize) -> Result<()> {
        let finished = {
            let _order = self.finishing.lock();
            self.finish_queue()
        };
        match finished {
            Err(FinishFailure::Unindexed(_)) if waiting < MOST_UNSEALED => Ok(()),
            finished => finished.map_err(|failure| self.after(appender, failure)),
        }
    }

    fn after(&self, appender: &mut Appender, failure: FinishFailure) -> Error {
        match failure {
            FinishFailure::Lost(failure) => self.poison(appender, &failure),
            FinishFailure::Unindexed(failure) => failure,
        }
    }

    /// Runs under `finishing`.
    fn finish_queue(&self) -> std::result::Result<(), FinishFailure> {
        loop {
            self.refuse_failed().map_err(FinishFailure::Lost)?;
            let Some(next) = self.unsealed.lock().pop_front() else { return Ok(()) };
            let finished = next
                .finish(&self.disk)
                .and_then(|()| {
                    self.keep_snapshot(next.segment().next_offset()).map_err(FinishFailure::Unindexed)
                })
                .and_then(|()| self.disk.sync_directory(&self.directory).map_err(FinishFailure::Lost));
            match &finished {
                Ok(()) => {
                    self.recovery_point.fetch_max(next.segment().next_offset(), Ordering::Relaxed);
                }
                Err(FinishFailure::Lost(failure)) => {
                    self.note_failure(failure);
                    return finished;
                }
                Err(FinishFailure::Unindexed(_)) => {
                    self.unsealed.lock().push_front(next);
                    return finished;
                }
            }
        }
    }

    /// Everything appended before the call on the medium. Appends go on meanwhile.
    pub(crate) fn sync(&self) -> Result<()> {
        let (unsynced, next_offset) = match &*self.appender.lock() {
            Appender::Active { writer, .. } => (writer.unsynced(), writer.next_offset()),
            Appender::Poisoned(cause) => return Err(Error::Poisoned(Box::new(cause.clone()))),
            Appender::Deleted => return Err(self.deleted()),
            Appender::Closed => return Err(Error::Closed),
            Appender::Unloaded | Appender::Idle { .. } => return Ok(()),
        };
        let synced = {
            let _order = self.finishing.lock();
            // Whatever is older than this segment is in the queue or finished: the writer was asked before.
            let synced = self.finish_queue().and_then(|()| unsynced.sync().map_err(FinishFailure::Lost));
            match &synced {
                Ok(()) => {
                    self.recovery_point.fetch_max(next_offset, Ordering::Relaxed);
                }
                Err(FinishFailure::Lost(failure)) => {
                    self.note_failure(failure);
                }
                Err(FinishFailure::Unindexed(_)) => {}
            }
            synced
        };
        synced.map_err(|failure| self.after(&mut self.appender.lock(), failure))
    }

    /// Ends appending for good and brings the files to their final form. After an error, which every later call gets
    /// too, the partition must be recovered at the next open.
    pub(crate) fn close(&self) -> Result<()> {
        match self.end(Appender::Closed) {
            Appender::Active { writer, .. } => {
                let _order = self.finishing.lock();
                let finished = self
                    .finish_queue()
                    .and_then(|()| writer.unsynced().finish(&self.disk))
                    .map_err(FinishFailure::into_error)
                    .and_then(|()| self.keep_snapshot(writer.next_offset()))
                    .and_then(|()| self.disk.sync_directory(&self.directory));
                match &finished {
                    Ok(()) => {
                        self.recovery_point.fetch_max(writer.next_offset(), Ordering::Relaxed);
                    }
                    Err(failure) => {
                        self.note_failure(failure);
                    }
                }
                finished
            }
            Appender::Poisoned(cause) => Err(Error::Poisoned(Box::new(cause))),
            // Never looked at, or it could not be loaded, which whoever opened the directory knows.
            Appender::Unloaded | Appender::Idle { .. } | Appender::Deleted | Appender::Closed => {
                self.refuse_failed()
            }
        }
    }

    /// What the checkpoint of recovery points is to say; `None` if there is nothing on disk to speak of.
    pub(crate) fn recovery_point(&self) -> Option<u64> {
        let point = self.recovery_point.load(Ordering::Relaxed);
        (point > 0 || self.checkpointed.recovery_point.is_some()).then_some(point)
    }
}
