//! One transactional id: which state follows which. A pure value, without files, time or threads: the code that changes it
//! writes each state to `__transaction_state` before it acts upon it.
//!
//! | from | [`init`] | [`begin`] | [`add`] | [`prepare`] | [`complete`] | [`fence`] |
//! |---|---|---|---|---|---|---|
//! | `Empty`, `CompleteCommit`, `CompleteAbort` | `Empty` | `Ongoing` | | | | |
//! | `Ongoing` | | | `Ongoing` | `PrepareCommit`, `PrepareAbort` | | `PrepareAbort` |
//! | `PrepareCommit` | | | | | `CompleteCommit` | |
//! | `PrepareAbort` | | | | | `CompleteAbort` | |
//! | `PrepareEpochFence` | | | | | | `PrepareAbort` |
//! | `Dead` | `Empty` | | | | | |
//!
//! [`init`], [`begin`] and [`fence`] take the next epoch, so producer id and epoch name one transaction for ever: the first
//! one of a producer has the epoch of its `Empty` and one more. `Ongoing` is the only state with more than one way to its
//! end, and from a `Prepare` there is none but to write the markers. The last two rows are states that brokers keep in memory.
//!
//! [`init`]: Id::init
//! [`begin`]: Id::begin
//! [`add`]: Id::add
//! [`prepare`]: Id::prepare
//! [`complete`]: Id::complete
//! [`fence`]: Id::fence

use crate::format::transaction_state::{TransactionState, TransactionStatus};
use crate::position::TopicPartition;

/// A producer begins no transaction after the one with this epoch, as with Kafka: one more is left for a fence.
const MAX_EPOCH: i16 = i16::MAX - 1;

/// What is known of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    state: TransactionState,
    /// The highest epoch of the producer that any state or batch has. Not below that of `state`.
    highest_epoch: i16,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// Why a state does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a transaction of this id is open")]
    Open,
    #[error("a transaction of this id is decided, and not all of its markers are written")]
    Pending,
    #[error("no transaction of this id is open")]
    NotOpen,
    #[error("the epochs of this id's producer are used up; it needs another producer id")]
    UsedUp,
    #[error("this id has expired")]
    Expired,
}

/// An id after a stop that was not clean. `highest_epoch_seen`: of its producer, in any record of its shard or any partition.
///
/// The end of the shard may be lost, and batches of later transactions not: the id continues above them. If it has no open
/// transaction by its last state, those batches are of one that is to be aborted, and the id is in `PrepareAbort` with the
/// highest epoch; where they are its partitions do not say. If its last state is `PrepareCommit`, that follows after it.
pub(crate) fn resume(state: TransactionState, highest_epoch_seen: Option<i16>) -> Id {
    let highest_epoch = highest_epoch_seen.map_or(state.epoch, |seen| seen.max(state.epoch));
    let mut id = Id { state, highest_epoch };
    if highest_epoch > id.state.epoch
        && !matches!(id.refusal(), Refused::Open)
        && id.end() != Some(End::Commit)
    {
        id.state.epoch = highest_epoch;
        id.state.status = TransactionStatus::PrepareAbort;
    }
    id
}

impl Id {
    /// An id that is new, with a producer id that no other has or had.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now: i64) -> Self {
        let state = TransactionState {
            producer_id,
            epoch: 0,
            timeout_ms,
            status: TransactionStatus::Empty,
            partitions: Vec::new(),
            updated_at: now,
            started_at: None,
            next_producer_id: None,
            client_version: 0,
        };
        Self { state, highest_epoch: 0 }
    }

    /// What is to be written of it.
    pub(crate) fn state(&self) -> &TransactionState {
        &self.state
    }

    /// How the transaction ends that is decided; the markers have the epoch of the [state](Self::state). `None`: there is none.
    pub(crate) fn end(&self) -> Option<End> {
        match self.state.status {
            TransactionStatus::PrepareCommit => Some(End::Commit),
            TransactionStatus::PrepareAbort => Some(End::Abort),
            _ => None,
        }
    }

    /// Whether [`init`](Self::init) and [`begin`](Self::begin) need another producer id.
    pub(crate) fn is_used_up(&self) -> bool {
        self.highest_epoch >= MAX_EPOCH
    }

    /// A producer takes the id; the one before is fenced. `new_producer_id`: one that no id has or had; needed if the
    /// epochs are [used up](Self::is_used_up).
    pub(crate) fn init(
        &mut self,
        new_producer_id: Option<i64>,
        timeout_ms: i32,
        now: i64,
    ) -> Result<(), Refused> {
        if !matches!(self.refusal(), Refused::NotOpen | Refused::Expired) {
            return Err(self.refusal());
        }
        if let Some(new) = new_producer_id {
            *self = Self::new(new, timeout_ms, now);
            return Ok(());
        }
        let epoch = self.next_epoch()?;
        self.enter(TransactionStatus::Empty, epoch, now);
        (self.state.timeout_ms, self.state.started_at) = (timeout_ms, None);
        Ok(())
    }

    /// The producer begins a transaction, with these partitions for now.
    pub(crate) fn begin(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        now: i64,
    ) -> Result<(), Refused> {
        if self.refusal() != Refused::NotOpen {
            return Err(self.refusal());
        }
        let epoch = self.next_epoch()?;
        self.enter(TransactionStatus::Ongoing, epoch, now);
        self.state.started_at = Some(now);
        self.insert(partitions);
        Ok(())
    }

    /// The transaction gets records in these partitions too.
    pub(crate) fn add(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        now: i64,
    ) -> Result<(), Refused> {
        self.check_ongoing()?;
        self.insert(partitions);
        self.state.updated_at = now;
        Ok(())
    }

    /// The transaction is decided.
    pub(crate) fn prepare(&mut self, end: End, now: i64) -> Result<(), Refused> {
        self.check_ongoing()?;
        self.state.status = match end {
            End::Commit => TransactionStatus::PrepareCommit,
            End::Abort => TransactionStatus::PrepareAbort,
        };
        self.state.updated_at = now;
        Ok(())
    }

    /// All markers of the transaction are written. A later one of which only batches are left, see [`resume`], is decided
    /// then: it is aborted.
    pub(crate) fn complete(&mut self, now: i64) -> Result<(), Refused> {
        let status = match self.end() {
            None => return Err(self.refusal()),
            Some(End::Commit) if self.highest_epoch > self.state.epoch => TransactionStatus::PrepareAbort,
            Some(End::Commit) => TransactionStatus::CompleteCommit,
            Some(End::Abort) => TransactionStatus::CompleteAbort,
        };
        self.enter(status, self.highest_epoch, now);
        if self.end().is_none()
            && let Some(next) = self.state.next_producer_id.take()
        {
            (self.state.producer_id, self.state.epoch, self.highest_epoch) = (next, 0, 0);
        }
        Ok(())
    }

    /// Ends the open transaction of a producer that does not do it itself: it is to be aborted, and the producer is fenced.
    pub(crate) fn fence(&mut self, now: i64) -> Result<(), Refused> {
        if self.state.status != TransactionStatus::PrepareEpochFence {
            self.check_ongoing()?;
        }
        // There is always one more: see `MAX_EPOCH`.
        self.state.epoch = self.highest_epoch.saturating_add(1);
        self.highest_epoch = self.state.epoch;
        self.state.status = TransactionStatus::PrepareAbort;
        self.state.updated_at = now;
        Ok(())
    }

    /// Why the present state refuses what needs another one.
    fn refusal(&self) -> Refused {
        match self.state.status {
            TransactionStatus::Empty
            | TransactionStatus::CompleteCommit
            | TransactionStatus::CompleteAbort => Refused::NotOpen,
            TransactionStatus::Ongoing | TransactionStatus::PrepareEpochFence => Refused::Open,
            TransactionStatus::PrepareCommit | TransactionStatus::PrepareAbort => Refused::Pending,
            TransactionStatus::Dead => Refused::Expired,
        }
    }

    fn check_ongoing(&self) -> Result<(), Refused> {
        if self.state.status == TransactionStatus::Ongoing { Ok(()) } else { Err(self.refusal()) }
    }

    fn next_epoch(&self) -> Result<i16, Refused> {
        if self.is_used_up() { Err(Refused::UsedUp) } else { Ok(self.highest_epoch + 1) }
    }

    /// Without partitions.
    fn enter(&mut self, status: TransactionStatus, epoch: i16, now: i64) {
        self.state.partitions.clear();
        self.state.status = status;
        self.state.epoch = epoch;
        self.highest_epoch = epoch;
        self.state.updated_at = now;
        // Ours is version 0.
        self.state.client_version = 0;
    }

    /// Sorted, each once.
    fn insert(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let known = &mut self.state.partitions;
        known.extend(partitions);
        known.sort_unstable();
        known.dedup();
    }
}

#[cfg(test)]
mod tests;
