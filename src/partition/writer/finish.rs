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
//! A segment that leaves the log before its turn is forgotten: it is neither synced nor finished. See [`cleanup::delete`].
//!
//! The directory is opened before a segment is made in it and kept open as long as segments wait, so that a process
//! without descriptors gets its error where nothing has changed yet, and never between an append and its sync.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::partition::transactions::ProducerState;
use crate::partition::writer::Writer;
use crate::partition::{Appender, Leader, Retention};
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
    segments: VecDeque<Sealed>,
    /// Whether the background looks later what has become of those that wait for retention.
    is_awaited: bool,
    /// There whenever there are segments.
    directory: Option<Arc<PlainDirectory>>,
}

#[derive(Debug, Clone)]
struct Sealed {
    unfinished: Arc<UnfinishedSegment>,
    /// Bytes that were appended since the open when it was complete.
    appended: u64,
    /// The state of producers where it ends. `None`: recovery has written the snapshot.
    producers: Option<Arc<ProducerState>>,
}

impl Sealed {
    fn next_offset(&self) -> u64 {
        self.unfinished.segment().next_offset()
    }
}

impl Unfinished {
    pub(in crate::partition) fn of(
        segments: VecDeque<Arc<UnfinishedSegment>>,
        directory: Option<PlainDirectory>,
    ) -> Self {
        let directory = directory.filter(|_| !segments.is_empty()).map(Arc::new);
        let segments =
            segments.into_iter().map(|unfinished| Sealed { unfinished, appended: 0, producers: None });
        Self { segments: segments.collect(), is_awaited: false, directory }
    }

    /// Where the oldest of them begins.
    pub(super) fn first_base(&self) -> Option<u64> {
        self.segments.front().map(|oldest| oldest.unfinished.segment().base())
    }

    fn add(&mut self, sealed: Sealed, directory: Arc<PlainDirectory>) {
        self.segments.push_back(sealed);
        self.directory = Some(directory);
    }

    /// Those that end at or before an offset have their final form, or have left the log. Returns the last of them.
    fn forget_to(&mut self, end: u64) -> Option<Sealed> {
        let count = self.segments.partition_point(|sealed| sealed.next_offset() <= end);
        let last = self.segments.drain(..count).next_back();
        if self.segments.is_empty() {
            self.directory = None;
        }
        last
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|sealed| sealed.unfinished.bytes()).sum()
    }
}

impl Writer {
    /// Leaves a sealed segment to be finished. `true`: the caller has to do it.
    pub(super) fn queue_sealed(
        &self,
        sealed: UnfinishedSegment,
        directory: Arc<PlainDirectory>,
        producers: Arc<ProducerState>,
    ) -> bool {
        let appended = self.counters.appended_bytes();
        let sealed = Sealed { unfinished: Arc::new(sealed), appended, producers: Some(producers) };
        let mut unfinished = self.durable.unfinished.lock();
        unfinished.add(sealed, directory);
        unfinished.segments.len() >= MAX_UNFINISHED || unfinished.bytes() > MAX_UNFINISHED_BYTES
    }

    /// What is known of producers where sealed segments end was wrong: they get no snapshot.
    pub(in crate::partition) fn forget_sealed_producers(&self) {
        for sealed in &mut self.durable.unfinished.lock().segments {
            sealed.producers = None;
        }
    }

    /// Nothing is to be finished any more: the topic is deleted.
    pub(super) fn forget_unfinished(&self) {
        *self.durable.unfinished.lock() = Unfinished::default();
    }
}

impl Leader {
    /// Whether sealed segments may wait to be finished, because retention by size takes them before they are too many. No
    /// number of unsynced bytes is a reason to sync then; whatever else asks for a sync finishes them too.
    pub(crate) fn lets_sealed_wait(&self) -> bool {
        let settings = self.settings.all();
        let Retention { deletes: true, bytes: Some(kept), .. } = settings.retention else { return false };
        // Those that are kept, one that is about to go, and two that fill up before it has gone.
        let most = kept.saturating_add(3 * u64::from(settings.segment_bytes));
        let waiting = self.writer.durable.unfinished.lock().segments.len();
        self.context.background_sync.bytes.is_none()
            && most <= MAX_UNFINISHED_BYTES
            && waiting <= MAX_UNFINISHED / 2
    }

    /// Where the last segment ends that waits to be finished, if one does and none is awaited yet. It is awaited from here
    /// on, until [`finish_awaited`](Self::finish_awaited).
    pub(crate) fn await_sealed(&self) -> Option<u64> {
        let mut unfinished = self.writer.durable.unfinished.lock();
        let end = unfinished.segments.back().filter(|_| !unfinished.is_awaited).map(Sealed::next_offset)?;
        unfinished.is_awaited = true;
        Some(end)
    }

    /// Finishes the segments that were awaited, as far as retention has not taken them.
    pub(crate) fn finish_awaited(self: &Arc<Self>, end: u64) -> Result<usize> {
        self.writer.durable.unfinished.lock().is_awaited = false;
        self.finish_sealed_to(end)
    }

    /// The directory, open for a sync of its entries.
    pub(super) fn opened_directory(&self) -> Result<Arc<PlainDirectory>> {
        if let Some(open) = &self.writer.durable.unfinished.lock().directory {
            return Ok(Arc::clone(open));
        }
        self.disk.open_directory(&self.directory).map(Arc::new)
    }

    /// Finishes sealed segments, oldest first: exact length, indexes, sync; then the recovery point passes them.
    pub(crate) fn finish_sealed(self: &Arc<Self>) -> Result<usize> {
        self.finish_sealed_to(u64::MAX)
    }

    /// The same of those that end at or before `end`.
    fn finish_sealed_to(self: &Arc<Self>, end: u64) -> Result<usize> {
        let finished = {
            let _order = self.writer.finishing();
            self.finish_queue_to(end)
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
        self.finish_queue_to(u64::MAX)
    }

    fn finish_queue_to(&self, end: u64) -> std::result::Result<usize, FinishFailure> {
        self.writer.refuse_failed().map_err(FinishFailure::Lost)?;
        let begun = self.settle_beginning()?;
        let queue: Vec<_> = {
            let unfinished = self.writer.durable.unfinished.lock();
            unfinished.segments.iter().take_while(|sealed| sealed.next_offset() <= end).cloned().collect()
        };
        let Some(last) = queue.last() else { return begun.map(|()| 0).map_err(FinishFailure::Unindexed) };
        let directory = self.opened_directory().map_err(FinishFailure::Refused)?;
        // So many have their length. The records of all are durable, so that no call says of records which can be read that
        // they were not written.
        let (mut formed, mut unformed) = (queue.len(), begun);
        for (number, sealed) in queue.iter().enumerate() {
            match sealed.unfinished.trim_and_sync() {
                Err(FinishFailure::Unindexed(failure)) => {
                    formed = formed.min(number);
                    unformed = unformed.and(Err(failure));
                }
                sealed => sealed.inspect_err(|failure| self.note_lost(failure))?,
            }
        }
        let mut indexed = 0;
        let outcome = queue.iter().take(formed).try_for_each(|sealed| {
            sealed.unfinished.write_indexes(&self.disk)?;
            self.index_aborted(sealed.next_offset())?;
            if let Some(producers) = &sealed.producers {
                self.keep_snapshot(sealed.next_offset(), producers)?;
            }
            indexed += 1;
            Ok(())
        });
        // Covers the entry of the segment after the last of these too: it was made before that one was sealed.
        directory.sync().map_err(FinishFailure::Lost).inspect_err(|failure| self.note_lost(failure))?;
        self.advance_durable(last.next_offset());
        self.writer.note_covered(last.appended);
        if let Some(finished) = queue.get(..indexed).and_then(<[_]>::last) {
            self.marks.advance_recovery_point(finished.next_offset());
            self.writer.durable.unfinished.lock().forget_to(finished.next_offset());
        }
        outcome.and(unformed).map(|()| indexed).map_err(FinishFailure::Unindexed)
    }

    /// Makes the names of all segments durable that have begun.
    pub(in crate::partition) fn sync_names(self: &Arc<Self>) -> Result<()> {
        let synced = {
            let _order = self.writer.finishing();
            self.refuse_ended()?;
            self.writer.refuse_failed()?;
            let directory = self.opened_directory()?;
            let begun = self.settle_beginning().map(drop);
            let synced = begun.and_then(|()| directory.sync().map_err(FinishFailure::Lost));
            synced.inspect_err(|failure| self.note_lost(failure))
        };
        synced.map_err(|failure| self.after(&mut self.writer.appender(), failure))
    }

    /// The segments before `start` have left the log, which begins there on disk too: what they held is not waited for any
    /// more. Runs under `finishing`.
    pub(in crate::partition) fn forget_left(&self, start: u64) {
        let left = self.writer.durable.unfinished.lock().forget_to(start);
        if self.writer.has_failed() {
            // Those who wait get the failure.
            return;
        }
        self.advance_durable(start);
        self.marks.advance_recovery_point(start);
        if let Some(last) = left {
            self.writer.note_covered(last.appended);
        }
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
        self.index_aborted(next_offset)
            .and_then(|()| self.keep_snapshot(next_offset, &self.producers.present()))
            .and_then(|()| last.write_indexes(&self.disk))
            .map_err(FinishFailure::Unindexed)?;
        directory.sync().map_err(FinishFailure::Lost).inspect_err(|failure| self.note_lost(failure))?;
        self.marks.advance_recovery_point(next_offset);
        Ok(())
    }
}
