//! Sealed segments on their way to their final form: exact length, indexes, synced.
//!
//! Which system call failed decides what a failure means:
//!
//! | failed | so |
//! |---|---|
//! | a write or a sync | the partition is poisoned: what the kernel could not write once it takes for written |
//! | an open | no mark moves, and the same is tried again |
//! | a query of a file, a cut, anything about an index file | the records are durable; the rest is done another time |
//!
//! The directory is opened before a segment is made in it and kept open as long as segments wait, so that a process
//! without descriptors gets its error where nothing has changed yet, and never between an append and its sync.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::partition::writer::Writer;
use crate::partition::{Appender, Leader};
use crate::segment::{FinishFailure, UnfinishedSegment};
use crate::sys::PlainDirectory;

/// Sealed segments that may wait for the background, and the bytes in them; then the next append finishes them. The
/// contract speaks of two segments: two of Kafka's default size. Small ones may be more, or each roll would wait for
/// the device.
const MAX_UNFINISHED: usize = 64;
const MAX_UNFINISHED_BYTES: u64 = 2 << 30;

/// Sealed segments that are not in their final form, oldest first, and the directory with their names.
#[derive(Debug, Default)]
pub(in crate::partition) struct Unfinished {
    segments: VecDeque<Arc<UnfinishedSegment>>,
    /// Bytes that were appended since the open when the newest of them was complete.
    appended: u64,
    /// There whenever there are segments.
    directory: Option<Arc<PlainDirectory>>,
}

impl Unfinished {
    pub(in crate::partition) fn of(
        segments: VecDeque<Arc<UnfinishedSegment>>,
        directory: Option<PlainDirectory>,
    ) -> Self {
        let directory = directory.filter(|_| !segments.is_empty()).map(Arc::new);
        Self { segments, appended: 0, directory }
    }

    /// Where the oldest of them begins.
    pub(super) fn first_base(&self) -> Option<u64> {
        self.segments.front().map(|oldest| oldest.segment().base())
    }

    fn add(&mut self, sealed: UnfinishedSegment, directory: Arc<PlainDirectory>, appended: u64) {
        self.appended = appended;
        self.segments.push_back(Arc::new(sealed));
        self.directory = Some(directory);
    }

    /// The oldest `count` have their final form.
    fn forget(&mut self, count: usize) {
        self.segments.drain(..count.min(self.segments.len()));
        if self.segments.is_empty() {
            self.directory = None;
        }
    }
}

impl Writer {
    /// Leaves a sealed segment to be finished. `true`: the caller has to do it.
    pub(super) fn queue_sealed(
        &self,
        sealed: UnfinishedSegment,
        directory: Arc<PlainDirectory>,
        appended: u64,
    ) -> bool {
        let mut unfinished = self.durable.unfinished.lock();
        unfinished.add(sealed, directory, appended);
        let waiting = &unfinished.segments;
        waiting.len() >= MAX_UNFINISHED
            || waiting.iter().map(|sealed| sealed.bytes()).sum::<u64>() > MAX_UNFINISHED_BYTES
    }

    /// Nothing is to be finished any more: the topic is deleted.
    pub(super) fn forget_unfinished(&self) {
        *self.durable.unfinished.lock() = Unfinished::default();
    }
}

impl Leader {
    /// The directory, open for a sync of its entries.
    pub(super) fn opened_directory(&self) -> Result<Arc<PlainDirectory>> {
        if let Some(open) = &self.writer.durable.unfinished.lock().directory {
            return Ok(Arc::clone(open));
        }
        self.disk.open_directory(&self.directory).map(Arc::new)
    }

    /// Finishes sealed segments, oldest first: exact length, indexes, sync; then the recovery point passes them.
    pub(crate) fn finish_sealed(self: &Arc<Self>) -> Result<usize> {
        let finished = {
            let _order = self.writer.finishing();
            self.finish_queue()
        };
        finished.map_err(|failure| self.after(&mut self.writer.appender(), failure))
    }

    /// The same, but where the disk is full segments that lie before `leaving` get no indexes: they are about to leave the
    /// log, which makes space.
    pub(in crate::partition) fn finish_to_leave(self: &Arc<Self>, leaving: u64) -> Result<usize> {
        let finished = {
            let _order = self.writer.finishing();
            match self.finish_queue() {
                Err(FinishFailure::Unindexed(Error::StorageFull { .. })) => self.finish_queue_but(leaving),
                finished => finished,
            }
        };
        finished.map_err(|failure| self.after(&mut self.writer.appender(), failure))
    }

    /// The same while a segment begins. Segments that were refused their final form wait for the next time, unless they
    /// must not become more.
    pub(in crate::partition) fn finish_at_roll(
        self: &Arc<Self>,
        appender: &mut Appender,
        too_many: bool,
    ) -> Result<()> {
        let finished = {
            let _order = self.writer.finishing();
            self.finish_queue()
        };
        match finished {
            Err(FinishFailure::Unindexed(_) | FinishFailure::Refused(_)) if !too_many => Ok(()),
            finished => finished.map(drop).map_err(|failure| self.after(appender, failure)),
        }
    }

    /// What the caller gets.
    pub(in crate::partition) fn after(
        self: &Arc<Self>,
        appender: &mut Appender,
        failure: FinishFailure,
    ) -> Error {
        match failure {
            FinishFailure::Lost(failure) => self.poison(appender, &failure),
            FinishFailure::Refused(failure) => {
                self.sync_again();
                failure
            }
            FinishFailure::Unindexed(failure) => failure,
        }
    }

    /// Runs under `finishing`. First the records of all, then the indexes; each mark follows what it says. Returns how
    /// many segments got their final form.
    pub(super) fn finish_queue(&self) -> std::result::Result<usize, FinishFailure> {
        self.finish_queue_but(0)
    }

    /// The same without indexes of segments before `leaving`.
    fn finish_queue_but(&self, leaving: u64) -> std::result::Result<usize, FinishFailure> {
        self.writer.refuse_failed().map_err(FinishFailure::Lost)?;
        let (queue, appended) = {
            let unfinished = self.writer.durable.unfinished.lock();
            (unfinished.segments.iter().cloned().collect::<Vec<_>>(), unfinished.appended)
        };
        let Some(last) = queue.last() else { return Ok(0) };
        let directory = self.opened_directory().map_err(FinishFailure::Refused)?;
        // So many have their length. The records of all are durable, so that no call says of records which can be read that
        // they were not written.
        let (mut formed, mut unformed) = (queue.len(), Ok(()));
        for (number, sealed) in queue.iter().enumerate() {
            match sealed.trim_and_sync() {
                Err(FinishFailure::Unindexed(failure)) => {
                    formed = formed.min(number);
                    unformed = unformed.and(Err(failure));
                }
                sealed => sealed.inspect_err(|failure| self.note_lost(failure))?,
            }
        }
        let mut indexed = 0;
        let outcome = queue.iter().take(formed).try_for_each(|sealed| {
            if sealed.segment().next_offset() > leaving {
                sealed.write_indexes(&self.disk)?;
                self.keep_snapshot(sealed.segment().next_offset())?;
            }
            indexed += 1;
            Ok(())
        });
        // Covers the entry of the segment after the last of these too: it was made before that one was sealed.
        directory.sync().map_err(FinishFailure::Lost).inspect_err(|failure| self.note_lost(failure))?;
        self.advance_durable(last.segment().next_offset());
        self.writer.note_covered(appended);
        if let Some(finished) = queue.get(..indexed).and_then(<[_]>::last) {
            self.marks.advance_recovery_point(finished.segment().next_offset());
        }
        self.writer.durable.unfinished.lock().forget(indexed);
        outcome.and(unformed).map(|()| indexed).map_err(FinishFailure::Unindexed)
    }

    /// Notes a failure that poisons, while it is known that no other sync has succeeded since.
    pub(super) fn note_lost(&self, failure: &FinishFailure) {
        if let FinishFailure::Lost(failure) = failure {
            self.note_failure(failure);
        }
    }

    /// Brings the last segment to its final form too. The records first: what needs a descriptor may be refused. Runs
    /// under `finishing`, and nothing is appended meanwhile.
    pub(super) fn finish_all(
        &self,
        last: &UnfinishedSegment,
        next_offset: u64,
    ) -> std::result::Result<(), FinishFailure> {
        let before = match self.finish_queue() {
            Err(failure @ (FinishFailure::Lost(_) | FinishFailure::Refused(_))) => return Err(failure),
            before => before,
        };
        last.trim_and_sync().inspect_err(|failure| self.note_lost(failure))?;
        self.advance_durable(next_offset);
        self.note_synced(self.writer.counters.appended_bytes());
        before?;
        let directory = self.opened_directory().map_err(FinishFailure::Refused)?;
        // The index last: from then on the segment's entries are not in memory any more.
        self.keep_snapshot(next_offset)
            .and_then(|()| last.write_indexes(&self.disk))
            .map_err(FinishFailure::Unindexed)?;
        directory.sync().map_err(FinishFailure::Lost).inspect_err(|failure| self.note_lost(failure))?;
        self.marks.advance_recovery_point(next_offset);
        Ok(())
    }
}
