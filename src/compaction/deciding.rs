//! What a run has to know before it takes records out, by the batches alone: how transactions ended, which are open, and how
//! far everything is old enough. Indexes and snapshots may be wrong, and what a run takes out is gone.

use std::sync::Arc;

use crate::error::{Damage, Error, Result};
use crate::format::transaction_index::AbortedTransaction;
use crate::partition::{Aborted, Leader, ProducerState, SegmentList};
use crate::segment::Batches;

/// Bytes of log that are gone through at a time: a few milliseconds.
const SLICE: u64 = 4 << 20;

/// A walk over the batches of a whole partition.
#[derive(Debug)]
pub(super) struct Deciding {
    list: Arc<SegmentList>,
    /// Where the next batch begins.
    segment: usize,
    position: u64,
    expected: u64,
    state: ProducerState,
    aborted: Vec<AbortedTransaction>,
    /// Records with this timestamp or a later one are too young, from `watched_from` on.
    young_from: i64,
    watched_from: u64,
    /// Base offset of the first segment with such a record.
    young: Option<u64>,
    window: Vec<u8>,
}

/// What came of it.
pub(super) struct Decided {
    pub(super) aborted: Aborted,
    /// The state of producers, and the offset that the walk came to.
    pub(super) state: ProducerState,
    pub(super) end: u64,
    /// Base offset of the first segment with a record that is too young.
    pub(super) young: Option<u64>,
}

impl Deciding {
    /// `young_from`: a segment with offsets from `watched_from` on and a record of this time or a later one is left alone.
    pub(super) fn new(log: &Leader, young_from: i64, watched_from: u64) -> Self {
        let list = log.segments();
        let expected = list.first().map_or(0, |first| first.base());
        Self {
            list,
            segment: 0,
            position: 0,
            expected,
            state: ProducerState::default(),
            aborted: Vec::new(),
            young_from,
            watched_from,
            young: None,
            window: Vec::new(),
        }
    }

    /// Goes through a slice. `Some` at the end.
    pub(super) fn step(&mut self, log: &Leader) -> Result<Option<Decided>> {
        let Some(segment) = self.list.iter().nth(self.segment).cloned() else {
            return Ok(Some(Decided {
                aborted: Aborted::of(std::mem::take(&mut self.aborted)),
                state: std::mem::take(&mut self.state),
                end: self.expected,
                young: self.young,
            }));
        };
        let (file, end, from) = (segment.open()?, segment.end().position, self.position);
        let mut batches =
            Batches::new(&file, end, from, self.expected).reusing(std::mem::take(&mut self.window));
        let (state, aborted) = (&mut self.state, &mut self.aborted);
        let (mut newest, watched_from) = (i64::MIN, self.watched_from);
        while batches.position < end && batches.position - from < SLICE {
            let (position, expected) = (batches.position, batches.expected);
            let stopped = batches.pass_whole(&mut |header, control| {
                if header.record_count > 0
                    && u64::try_from(header.last_offset()).is_ok_and(|at| at >= watched_from)
                {
                    newest = newest.max(header.max_timestamp);
                }
                aborted.extend(state.note(header, control));
            })?;
            if let Some(reason) = stopped {
                let damage = Damage::new(segment.path(), position, reason.to_string());
                return Err(Error::Corrupt(Box::new(damage.at_offset(log.id(), expected))));
            }
        }
        (self.position, self.expected) = (batches.position, batches.expected);
        self.window = batches.into_buffer();
        if newest >= self.young_from {
            self.young.get_or_insert(segment.base());
        }
        if self.position >= end {
            self.segment += 1;
            self.position = 0;
            self.expected = self.list.iter().nth(self.segment).map_or(self.expected, |next| next.base());
        }
        Ok(None)
    }
}
