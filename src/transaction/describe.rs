//! Transactional ids as users see them.

use std::time::Duration;

use super::coordinator::Transactions;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::format::transaction_state::TransactionStatus;
use crate::position::TopicPartition;

/// A transactional id, by its last state in `__transaction_state`:
/// [`EventLog::transactional_ids`](crate::EventLog::transactional_ids).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionalId {
    /// The id.
    pub id: Box<str>,
    /// The producer id in its batches.
    pub producer_id: i64,
    /// The epoch of its transaction, or of the last one.
    pub epoch: i16,
    /// What it is doing.
    pub state: TransactionState,
    /// Partitions that its transaction has records in. Empty unless one is open.
    pub partitions: Vec<TopicPartition>,
    /// When the transaction began, or the last one.
    pub started: Option<Timestamp>,
    /// When this was written.
    pub updated: Timestamp,
    /// How long a transaction may be open.
    pub timeout: Duration,
}

/// What a transactional id is doing, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionState {
    /// Its producer has begun no transaction that wrote something.
    Empty,
    /// Records are in the log, and it is not decided whether they count.
    Ongoing,
    /// They count, and markers may be missing.
    PrepareCommit,
    /// They do not count, and markers may be missing.
    PrepareAbort,
    /// The last transaction was committed.
    CompleteCommit,
    /// The last transaction was aborted.
    CompleteAbort,
    /// It has expired. Brokers keep this in memory alone.
    Dead,
    /// It will be aborted, because another producer has the id. Brokers keep this in memory alone.
    PrepareEpochFence,
}

impl TransactionState {
    /// The word that Kafka's tools have for it.
    pub fn kafka_word(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    fn of(status: TransactionStatus) -> Self {
        match status {
            TransactionStatus::Empty => Self::Empty,
            TransactionStatus::Ongoing => Self::Ongoing,
            TransactionStatus::PrepareCommit => Self::PrepareCommit,
            TransactionStatus::PrepareAbort => Self::PrepareAbort,
            TransactionStatus::CompleteCommit => Self::CompleteCommit,
            TransactionStatus::CompleteAbort => Self::CompleteAbort,
            TransactionStatus::Dead => Self::Dead,
            TransactionStatus::PrepareEpochFence => Self::PrepareEpochFence,
        }
    }
}

impl Transactions {
    /// All ids whose state can be read, sorted.
    pub(crate) fn describe(&self) -> Result<Vec<TransactionalId>> {
        let ids = self.states.ids()?;
        let described = ids.into_iter().map(|(id, stored)| TransactionalId {
            id: id.into(),
            producer_id: stored.producer_id,
            epoch: stored.epoch,
            state: TransactionState::of(stored.status),
            partitions: stored.partitions,
            started: stored.started_at.map(Timestamp::from_millis),
            updated: Timestamp::from_millis(stored.updated_at),
            timeout: Duration::from_millis(u64::try_from(stored.timeout_ms).unwrap_or(0)),
        });
        Ok(described.collect())
    }
}
