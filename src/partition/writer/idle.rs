//! Idle partitions hold neither a descriptor nor a map.
//!
//! A partition that is appended to keeps its file open, and mapped where that is safe. How many may do so at a time is
//! limited, by the descriptors that the process may have: past that, whichever was left alone for a round is brought to
//! the form that a close gives it, and begins again with its next append as after an open. The rounds are those of a
//! clock's hand, so that an append only has to leave a mark. The background closes the files, on request of the append that has
//! found too many; where there are half as many again, that append does it itself once it is done. No lock that another
//! partition's append takes is held while a file is synced, and nothing waits here for a partition that is in use.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::partition::locks::{Lock, Rank};
use crate::partition::writer::backpressure::waits_here;
use crate::partition::{Appender, LastSegment, Leader};
use crate::segment::{BatchesEnd, FinishFailure, Segment, SegmentWriter};
use crate::sys;

/// Of the descriptors that a process may have: one of so many.
const SHARE: usize = 4;
const MIN_OPEN: usize = 16;

/// The partitions of a log that are appended to.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    most: usize,
    round: Lock<Round>,
}

/// The partitions in turn, and how many more may come before those that are gone are taken out: a `Weak` keeps the memory of
/// what it points to.
#[derive(Debug, Default)]
struct Round {
    partitions: VecDeque<Weak<Leader>>,
    before_cleanup: usize,
}

impl Round {
    /// As many come between two cleanups as the first one left, so each costs as much as a few pushes.
    fn push(&mut self, partition: Weak<Leader>) {
        if self.before_cleanup == 0 {
            self.partitions.retain(|one| one.strong_count() > 0);
            self.before_cleanup = self.partitions.len().max(MIN_OPEN);
        }
        self.before_cleanup -= 1;
        self.partitions.push_back(partition);
    }
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self {
            most: (sys::descriptor_limit() / SHARE).max(MIN_OPEN),
            round: Lock::new(Rank::OpenFiles, Round::default()),
        }
    }
}

impl OpenFiles {
    /// One more. Returns whether there are more than should be.
    fn admit(&self, partition: &Arc<Leader>) -> bool {
        let mut round = self.round.lock();
        round.push(Arc::downgrade(partition));
        round.partitions.len() > self.most
    }

    /// Closes the files of idle partitions until there are not too many, as far as that can be done at once.
    pub(crate) fn close_surplus(&self) {
        self.close_down_to(self.most);
    }

    /// The same by an append that has found far too many, for the background may not be as fast as partitions begin. The
    /// append is in the log, and holds no lock.
    fn relieve(&self) {
        let limit = self.most.saturating_add(self.most / 2);
        if self.round.lock().partitions.len() > limit {
            self.close_down_to(limit);
        }
    }

    /// The lock is held only to take a partition out or to put it back: other partitions begin while one is synced.
    fn close_down_to(&self, most: usize) {
        // Each is checked twice at most: the first look may only take its mark away.
        let mut looks = 2 * self.round.lock().partitions.len();
        while looks > 0 {
            looks -= 1;
            let next = {
                let mut round = self.round.lock();
                if round.partitions.len() <= most {
                    return;
                }
                round.partitions.pop_front()
            };
            let Some(next) = next else { return };
            let Some(log) = next.upgrade() else { continue };
            if log.writer.used.swap(false, Ordering::Relaxed) || !log.rest() {
                self.round.lock().partitions.push_back(next);
            }
        }
    }

    #[cfg(test)]
    pub(in crate::partition) fn of(most: usize) -> Self {
        Self { most, round: Lock::new(Rank::OpenFiles, Round::default()) }
    }

    /// How many it knows, those that are gone and not taken out among them.
    #[cfg(test)]
    pub(in crate::partition) fn known(&self) -> usize {
        self.round.lock().partitions.len()
    }
}

impl Leader {
    /// The partition has its file open from now on.
    pub(in crate::partition) fn enter_open_files(self: &Arc<Self>) {
        if self.context.open_files.admit(self) {
            self.context.close_surplus();
        }
    }

    /// After the first append of a partition that was idle.
    #[cold]
    pub(super) fn limit_open_files(&self) {
        if waits_here() {
            self.context.open_files.relieve();
        }
    }

    /// Brings the partition to rest, unless it is in use this moment. Returns whether it rests now.
    pub(crate) fn rest(&self) -> bool {
        let Some(mut appender) = self.writer.appender.try_lock() else { return false };
        let Appender::Active { writer, epoch } = &*appender else { return true };
        let Some(_order) = self.writer.finishing.try_lock() else { return false };
        let epoch = *epoch;
        match self.bring_to_rest(writer) {
            Ok(found) => {
                let end = found.end();
                let last = LastSegment { base: found.base(), position: end.position };
                let next_offset = found.next_offset();
                self.replace_view(|view| view.with(&found));
                *appender = Appender::Idle { next_offset, epoch, last: Some(last) };
                true
            }
            Err(FinishFailure::Lost(failure)) => {
                self.poison(&mut appender, &failure);
                true
            }
            // It continues as it is, and may come to rest another time.
            Err(FinishFailure::Refused(_) | FinishFailure::Unindexed(_)) => false,
        }
    }

    /// Takes the mark of appends away.
    pub(crate) fn forget_use(&self) {
        self.writer.used.store(false, Ordering::Relaxed);
    }

    /// Closes the file of the partition if nothing was appended since the mark was last taken away.
    pub(crate) fn close_unless_used(self: &Arc<Self>) -> bool {
        let rests = !self.writer.used.load(Ordering::Relaxed) && self.rest();
        if rests {
            self.context.open_files.round.lock().partitions.retain(|one| one.as_ptr() != Arc::as_ptr(self));
        }
        rests
    }

    /// The segment without its writer, in its final form. Runs under `appender` and `finishing`.
    fn bring_to_rest(&self, writer: &SegmentWriter) -> std::result::Result<Arc<Segment>, FinishFailure> {
        let (last, next_offset) = (writer.unsynced(), writer.next_offset());
        self.remove_prepared();
        self.finish_all(&last, next_offset)?;
        self.idle_segment(last.segment(), next_offset).map_err(FinishFailure::Unindexed)
    }

    fn idle_segment(&self, of: &Segment, next_offset: u64) -> Result<Arc<Segment>> {
        let end = BatchesEnd { position: of.end().position, next_offset };
        let found = Segment::found(&self.disk, &self.directory, of.base(), end, false);
        found.map(Arc::new).ok_or_else(|| Error::invalid("segment", "its offsets do not fit it"))
    }
}
