//! One transactional id of an open log: who has it, what of its transaction is in the log, and what is still to be written.
//!
//! A transaction is written to no log before its commit, unless it grows too large; whatever of it is there is listed in the state
//! on disk first. From then on it is ended by what [`Slot::abort`] and [`Slot::finish`] do, by its producer or in its place.
//!
//! | step | on disk | ended in its place |
//! |---|---|---|
//! | begun | nothing | it is forgotten |
//! | listed | `Ongoing`, perhaps records | `PrepareAbort`, markers that abort, `CompleteAbort` |
//! | decided | `PrepareCommit` or `PrepareAbort`, perhaps markers | the rest of the markers, and the state that says so |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::holds::Hold;
use super::id::{End, Id};
use super::states::WrittenState;
use crate::clock::Moment;
use crate::config::Durability;
use crate::error::{AbortCause, Error};
use crate::format::control::{EndMarker, Outcome};
use crate::partition::PartitionLog;
use crate::position::TopicPartition;

/// Partitions with records of a transaction.
pub(super) type Listed = BTreeMap<TopicPartition, ListedPart>;

/// A partition that the state on disk lists.
#[derive(Debug)]
pub(super) struct ListedPart {
    pub(super) log: Arc<PartitionLog>,
    /// Where the records of the transaction end there; 0 before the first.
    pub(super) end: u64,
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) name: Box<str>,
    /// The number of the transaction that its producer may add to; 0: there is none.
    open: AtomicU64,
    state: Mutex<SlotState>,
}

/// What is known of the id. Its lock is held while the log is written to, and not while a sync is waited for.
#[derive(Debug, Default)]
pub(super) struct SlotState {
    /// `None` until the state on disk was read.
    pub(super) id: Option<Id>,
    /// The number of the producer that has the id; 0: none in this process.
    pub(super) owner: u64,
    /// The number of the open transaction.
    pub(super) transaction: u64,
    /// When the open transaction has lasted too long.
    pub(super) deadline: Option<Moment>,
    /// Where the state on disk says that the open transaction has records.
    pub(super) listed: Listed,
    pub(super) decided: Option<Decided>,
    /// Why the transaction of this number is not open any more.
    pub(super) ended: Option<(u64, AbortCause)>,
    /// It is not known whether a decision is in the log: the failure. Nothing is written for the id before the next open, which
    /// finds it or not.
    pub(super) unknown: Option<Error>,
    /// The log is being closed.
    pub(super) is_closed: bool,
}

/// A transaction that is decided, and whose markers are not all written.
#[derive(Debug)]
pub(super) struct Decided {
    /// The number of the transaction.
    pub(super) transaction: u64,
    pub(super) marker: EndMarker,
    pub(super) left: Listed,
    pub(super) durability: Durability,
    /// The state that says so, if it is to be on disk before the first marker.
    pub(super) after: Option<WrittenState>,
    pub(super) hold: Option<Hold>,
    /// A failure was reported.
    pub(super) is_reported: bool,
}

impl Slot {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), open: AtomicU64::new(0), state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Whether the transaction of this number can be added to. One load.
    #[inline]
    pub(crate) fn is_open(&self, transaction: u64) -> bool {
        self.open.load(Ordering::Acquire) == transaction
    }

    pub(super) fn set_open(&self, transaction: u64) {
        self.open.store(transaction, Ordering::Release);
    }
}

impl SlotState {
    /// Whether a transaction is open, with or without records in the log.
    pub(super) fn has_open(&self) -> bool {
        self.transaction != 0
    }

    /// Nothing is open any more.
    pub(super) fn leave_transaction(&mut self) -> Listed {
        self.transaction = 0;
        self.deadline = None;
        std::mem::take(&mut self.listed)
    }
}

pub(super) fn outcome_of(end: End) -> Outcome {
    match end {
        End::Commit => Outcome::Committed,
        End::Abort => Outcome::Aborted,
    }
}
