//! Producers with ids and their transactions: what is kept of them in files, and what markers say.

mod abort_marker;
mod aborted;
mod ends;
mod producer_state;
mod snapshots;
mod tailed;

pub(crate) use aborted::Aborted;
pub(super) use aborted::Front;
#[cfg(any(fuzzing, test))]
pub(crate) use producer_state::follow_producers;
pub(crate) use producer_state::{OpenTransaction, ProducerState};
pub(super) use snapshots::FoundProducers;

use super::locks::{Lock, Rank};
use super::view::Stability;
use ends::Ends;
use snapshots::Producers;
use std::sync::atomic::AtomicBool;
use tailed::Decided;

/// What a partition knows of transactions.
#[derive(Debug)]
pub(super) struct Transactions {
    stability: Stability,
    /// Set by loading. Whoever keeps snapshots holds the order of finishing.
    producers: Lock<Producers>,
    /// Of a log that another process writes, once a reader wants to know.
    tailed: Lock<Option<Decided>>,
    /// What readers of committed records have found out so far.
    ends: Lock<Option<Ends>>,
    /// The transactions that are open by a snapshot were held against the batches.
    are_proven: AtomicBool,
}

impl Default for Transactions {
    fn default() -> Self {
        Self {
            stability: Stability::default(),
            producers: Lock::new(Rank::Producers, Producers::default()),
            tailed: Lock::new(Rank::TailedTransactions, None),
            ends: Lock::new(Rank::TransactionEnds, None),
            are_proven: AtomicBool::new(false),
        }
    }
}

impl Transactions {
    #[inline]
    pub(super) fn stability(&self) -> &Stability {
        &self.stability
    }

    /// The state of producers as a snapshot file holds it. `None`: there are none with ids, and appends bring none.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        let producers = self.producers.lock();
        (!producers.state.is_empty()).then(|| producers.state.encode())
    }
}
