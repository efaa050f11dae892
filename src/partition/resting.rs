//! Partitions that nobody appends to hold neither a descriptor nor a map.
//!
//! A partition that is appended to keeps its file open, and mapped where that is safe. How many may do so at a time is
//! limited, by the descriptors that the process may have: past that, whichever was left alone for a round is brought to
//! the form that a close gives it, and begins again with its next append as after an open. The rounds are those of a
//! clock's hand, so that an append only has to leave a mark. Nobody waits here for a partition that is in use.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Appender, LastSegment, PartitionLog};
use crate::error::{Error, Result};
use crate::segment::{FinishFailure, Segment, SegmentWriter};
use crate::sys;

/// Of the descriptors that a process may have: one of so many.
const SHARE: usize = 4;
const FEWEST: usize = 16;

/// The partitions of a log that are appended to.
#[derive(Debug)]
pub(crate) struct Actives {
    most: usize,
    round: Mutex<Round>,
}

/// The partitions in turn, and how many more may come before those that are gone are taken out: a `Weak` keeps the memory of
/// what it points to.
#[derive(Debug, Default)]
struct Round {
    partitions: VecDeque<Weak<PartitionLog>>,
    before_sweep: usize,
}

impl Round {
    /// As many come between two sweeps as the first one left, so each costs as much as a few pushes.
    fn push(&mut self, partition: Weak<PartitionLog>) {
        if self.before_sweep == 0 {
            self.partitions.retain(|one| one.strong_count() > 0);
            self.before_sweep = self.partitions.len().max(FEWEST);
        }
        self.before_sweep -= 1;
        self.partitions.push_back(partition);
    }
}

impl Default for Actives {
    fn default() -> Self {
        Self { most: (sys::descriptor_limit() / SHARE).max(FEWEST), round: Mutex::default() }
    }
}

impl Actives {
    /// One more. Brings others to rest until there are not too many, as far as that can be done at once.
    pub(super) fn admit(&self, partition: &Arc<PartitionLog>) {
        let mut round = self.round.lock();
        round.push(Arc::downgrade(partition));
        let round = &mut round.partitions;
        // Each is looked at twice at most: the first look may only take its mark away.
        let mut looks = 2 * round.len();
        while round.len() > self.most && looks > 0 {
            looks -= 1;
            let Some(next) = round.pop_front() else { return };
            let Some(log) = next.upgrade() else { continue };
            if Arc::ptr_eq(&log, partition) || log.used.swap(false, Ordering::Relaxed) || !log.rest() {
                round.push_back(next);
            }
        }
    }

    /// How many it knows, those that are gone and not taken out among them.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.round.lock().partitions.len()
    }
}

impl PartitionLog {
    /// Brings the partition to rest, unless it is in use this moment. Tells whether it rests now.
    pub(crate) fn rest(&self) -> bool {
        let Some(mut appender) = self.appender.try_lock() else { return false };
        let Appender::Active { writer, epoch } = &*appender else { return true };
        let Some(_order) = self.finishing.try_lock() else { return false };
        let epoch = *epoch;
        match self.bring_to_rest(writer) {
            Ok(found) => {
                let end = found.end();
                let last = LastSegment { base: found.base(), position: end.position };
                let next_offset = found.next_offset();
                self.view.replace(|view| view.with(&found));
                *appender = Appender::Idle { next_offset, epoch, last: Some(last) };
                true
            }
            Err(FinishFailure::Lost(failure)) => {
                self.poison(&mut appender, &failure);
                true
            }
            // It goes on as it is, and may come to rest another time.
            Err(FinishFailure::Refused(_) | FinishFailure::Unindexed(_)) => false,
        }
    }

    /// Takes the mark of appends away.
    pub(crate) fn forget_use(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Brings the partition to rest if nobody has appended since the mark was last taken away.
    pub(crate) fn rest_unless_used(self: &Arc<Self>) -> bool {
        let rests = !self.used.load(Ordering::Relaxed) && self.rest();
        if rests {
            self.chores.actives.round.lock().partitions.retain(|one| one.as_ptr() != Arc::as_ptr(self));
        }
        rests
    }

    /// The segment without its writer, in its final form. Runs under `appender` and `finishing`.
    fn bring_to_rest(&self, writer: &SegmentWriter) -> std::result::Result<Arc<Segment>, FinishFailure> {
        let (last, next_offset) = (writer.unsynced(), writer.next_offset());
        self.remove_prepared();
        self.finish_all(&last, next_offset)?;
        self.resting_segment(last.segment(), next_offset).map_err(FinishFailure::Unindexed)
    }

    fn resting_segment(&self, of: &Segment, next_offset: u64) -> Result<Arc<Segment>> {
        let end = (of.end().position, next_offset);
        let found = Segment::found(&self.disk, &self.directory, of.base(), end, false);
        found.map(Arc::new).ok_or_else(|| Error::invalid("segment", "its offsets do not fit it"))
    }
}
