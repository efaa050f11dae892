//! Producers with ids and their transactions: what is kept of them in files, and what markers say.

mod aborted;
mod appended;
mod ends;
mod producer_state;
mod snapshots;
mod tailed;
mod unsettled;

pub(crate) use aborted::Aborted;
pub(super) use aborted::Front;
#[cfg(any(fuzzing, test))]
pub(crate) use producer_state::follow_producers;
pub(crate) use producer_state::{OpenTransaction, ProducerState};
pub(super) use snapshots::FoundProducers;
pub(super) use tailed::Decided;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::LastBatch;
use super::locks::{Lock, Rank};
use super::view::Stability;
use crate::format::transaction_index::AbortedTransaction;
use ends::Ends;
use snapshots::KnownProducers;
use unsettled::Unsettled;

/// What readers of committed records go by, whichever process appends.
#[derive(Debug)]
pub(super) struct Reading {
    stability: Stability,
    unsettled: Unsettled,
    /// How transactions end, as far as readers have found out.
    ends: Lock<Option<Ends>>,
}

impl Default for Reading {
    fn default() -> Self {
        let ends = Lock::new(Rank::TransactionEnds, None);
        Self { stability: Stability::default(), unsettled: Unsettled::default(), ends }
    }
}

impl Reading {
    #[inline]
    pub(super) fn stability(&self) -> &Stability {
        &self.stability
    }

    /// From this offset on records may be of a committed transaction whose marker a power cut could take; `u64::MAX` if none
    /// is.
    #[inline]
    pub(super) fn unsettled_from(&self) -> u64 {
        self.unsettled.first_offset()
    }

    /// Everything below `durable_end` is on disk.
    #[inline]
    pub(super) fn settle(&self, durable_end: u64) {
        self.unsettled.settle(durable_end);
    }
}

/// What a leader knows of producers with ids.
#[derive(Debug)]
pub(super) struct Producers {
    /// Set by loading, and changed by each batch of a producer. A snapshot is written under the lock of finished segments.
    known: Lock<KnownProducers>,
    /// The transactions that are open by a snapshot were compared with the batches.
    are_proven: AtomicBool,
}

impl Default for Producers {
    fn default() -> Self {
        Self {
            known: Lock::new(Rank::Producers, KnownProducers::default()),
            are_proven: AtomicBool::new(false),
        }
    }
}

impl Producers {
    /// Their state as a snapshot file holds it. `None`: there are none with ids.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        let known = self.known.lock();
        (!known.state.is_empty()).then(|| known.state.encode())
    }

    /// Aborted transactions that no index on disk has.
    pub(super) fn unindexed(&self) -> Vec<AbortedTransaction> {
        self.known.lock().unindexed.clone()
    }

    /// Their state at the end of the log. Under the lock of the appender.
    pub(super) fn present(&self) -> Arc<ProducerState> {
        Arc::clone(&self.known.lock().state)
    }

    /// The last batch of each.
    pub(super) fn last_batches(&self) -> BTreeMap<i64, LastBatch> {
        self.known.lock().state.last_batches()
    }
}
