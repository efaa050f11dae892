//! Transactions in a partition that is followed: what a reader that wants committed records only must know of them.
//!
//! A log of our own learns of transactions once, when it is loaded; nobody adds any. A followed one may be a broker's,
//! so its batches are noted as they come. Nothing is written: what a broker keeps in files is read where it is there,
//! and what is missing is kept in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::PartitionLog;
use super::aborted::Aborted;
use super::producers::ProducerState;
use super::snapshots::FoundProducers;
use crate::error::Result;
use crate::format::transaction_index::AbortedTransaction;
use crate::segment::Segment;

/// What is known up to an offset.
#[derive(Debug)]
pub(super) struct Decided {
    state: ProducerState,
    upto: u64,
    aborted: Vec<AbortedTransaction>,
}

impl PartitionLog {
    /// Whether another process may be appending.
    pub(crate) fn is_followed(&self) -> bool {
        self.disk.read_only
    }

    /// Goes through what was appended since. From here on [`first_open`](Self::first_open) never lies behind what was gone
    /// through: what is not known to be decided counts as open.
    pub(crate) fn follow_transactions(&self) -> Result<()> {
        if !self.disk.read_only {
            return Ok(());
        }
        let mut decided = self.decided.lock();
        let segments = self.segments();
        let Some(end) = segments.last().map(|last| last.next_offset()) else { return Ok(()) };
        // A log that was cut is looked at anew.
        let mut known = match decided.take().filter(|known| known.upto <= end) {
            Some(known) => known,
            None => self.decided_by_files(end)?,
        };
        let Decided { state, upto, aborted } = &mut known;
        for segment in segments.iter().filter(|segment| segment.next_offset() > *upto) {
            // Behind damage nothing is known of the segment; readers come to the damage themselves.
            self.replay(segment, (*upto, end), state, &mut |one| aborted.push(one))?;
        }
        *upto = end;
        self.first_open.store(state.first_open().unwrap_or(end), Ordering::Release);
        *decided = Some(known);
        Ok(())
    }

    /// What snapshots and indexes tell, where all of them are there; else it is to be found from the first batch on.
    fn decided_by_files(&self, end: u64) -> Result<Decided> {
        let start = self.log_start();
        let names = FoundProducers::among(&self.disk.list(&self.directory)?);
        let segments = self.segments();
        let newest = if segments.iter().all(|segment| names.is_indexed(segment)) {
            names.newest_snapshot_of(self, start, end)?
        } else {
            None
        };
        let Some((upto, state)) = newest else {
            let upto = segments.iter().next().map_or(start, |first| first.base());
            return Ok(Decided { state: ProducerState::default(), upto, aborted: Vec::new() });
        };
        let mut aborted = Vec::new();
        for segment in segments.iter().filter(|segment| segment.base() < upto) {
            aborted.extend(self.index_of(segment)?.into_iter().filter(|one| one.last_offset < upto));
        }
        Ok(Decided { state, upto, aborted })
    }

    /// The aborted transactions with records in `segment` at or behind `from`, as far as they are known.
    pub(super) fn aborted_in_followed(&self, segment: &Arc<Segment>, from: u64) -> Aborted {
        let upto = segment.next_offset();
        let decided = self.decided.lock();
        let known = decided.as_ref().map_or(&[][..], |decided| &decided.aborted);
        Aborted::of(
            known.iter().filter(|one| one.last_offset >= from && one.first_offset < upto).copied().collect(),
        )
    }
}
