//! What a run has to know of transactions and of producers to tell which batches stay.
//!
//! | batch | its records |
//! |---|---|
//! | of an aborted transaction | go |
//! | marker after records of its transaction | stays, and so does the entry in the index of aborted transactions |
//! | marker whose transaction has no records any more | goes, but no sooner than a tombstone would |
//!
//! The last batch of a producer stays as a header, for the sequence and the epoch in it.

use std::collections::BTreeMap;

use crate::format::control::ControlRecord;
use crate::format::header::BatchHeader;
use crate::format::transaction_index::AbortedTransaction;
use crate::partition::{Aborted, LastBatch};

/// Goes along with a walk over the batches of a partition, in order.
#[derive(Debug, Default)]
pub(super) struct Markers {
    aborted: Aborted,
    /// Producers with records of a transaction that has not ended on the way, and whether those count.
    seen: BTreeMap<i64, Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Counting,
    Aborted,
}

/// What a marker means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// Records of its transaction lie before it; if it was aborted, this is the entry of the index.
    Needed(Option<AbortedTransaction>),
    /// There are none.
    Empty,
    /// Not of a transaction: only metadata logs have such.
    Other,
}

/// The records of a transaction were taken to count, and now they do not: an index is missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnlistedAbort;

impl Markers {
    pub(super) fn new(aborted: Aborted) -> Self {
        Self { aborted, seen: BTreeMap::new() }
    }

    /// Begins another walk.
    pub(super) fn begin_again(&mut self) {
        self.seen.clear();
    }

    /// Whether the records of a batch count: it is not of an aborted transaction.
    pub(super) fn counts(&mut self, header: &BatchHeader) -> bool {
        if !header.is_transactional() {
            return true;
        }
        let seen = if self.aborted.hides(header) { Seen::Aborted } else { Seen::Counting };
        self.seen.insert(header.producer_id, seen);
        seen == Seen::Counting
    }

    pub(super) fn marker(
        &mut self,
        header: &BatchHeader,
        control: Option<ControlRecord>,
    ) -> Result<Marker, UnlistedAbort> {
        let is_abort = match control {
            Some(ControlRecord::Abort { .. }) => true,
            Some(ControlRecord::Commit { .. }) => false,
            _ => return Ok(Marker::Other),
        };
        match self.seen.remove(&header.producer_id) {
            None => Ok(Marker::Empty),
            Some(Seen::Counting) if is_abort => Err(UnlistedAbort),
            Some(Seen::Aborted) if !is_abort => Err(UnlistedAbort),
            Some(Seen::Counting) => Ok(Marker::Needed(None)),
            Some(Seen::Aborted) => Ok(Marker::Needed(self.aborted.ended_by(header))),
        }
    }
}

/// Which batches tell what must be known of producers.
#[derive(Debug)]
pub(super) struct Producers(BTreeMap<i64, LastBatch>);

impl Producers {
    pub(super) fn new(last: BTreeMap<i64, LastBatch>) -> Self {
        Self(last)
    }

    /// Whether this is the last batch of records of its producer or, where there is none, a marker of its last epoch.
    pub(super) fn need(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.0.get(&header.producer_id).filter(|_| header.producer_id >= 0) else {
            return false;
        };
        if last.last_offset >= 0 {
            last.last_offset == header.last_offset() && !header.is_control()
        } else {
            header.is_control() && header.producer_epoch == last.epoch
        }
    }
}
