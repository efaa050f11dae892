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
pub(super) use tailed::Decided;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::LastBatch;
use super::locks::{Lock, Rank};
use super::view::Stability;
use ends::Ends;
use snapshots::KnownProducers;

/// What readers of committed records go by, whichever process appends.
#[derive(Debug)]
pub(super) struct Reading {
    stability: Stability,
    /// How transactions end, as far as readers have found out.
    ends: Lock<Option<Ends>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { stability: Stability::default(), ends: Lock::new(Rank::TransactionEnds, None) }
    }
}

impl Reading {
    #[inline]
    pub(super) fn stability(&self) -> &Stability {
        &self.stability
    }
}

/// What a leader knows of producers with ids.
#[derive(Debug)]
pub(super) struct Producers {
    /// Set by loading. A snapshot is written under the lock of finished segments.
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
    /// Their state as a snapshot file holds it. `None`: there are none with ids, and appends bring none.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        let known = self.known.lock();
        (!known.state.is_empty()).then(|| known.state.encode())
    }

    /// The last batch of each.
    pub(super) fn last_batches(&self) -> BTreeMap<i64, LastBatch> {
        self.known.lock().state.last_batches()
    }
}
