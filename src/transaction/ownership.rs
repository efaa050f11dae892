//! A producer that has a transactional id: it begins transactions and ends them.
//!
//! What is to survive a power cut is decided in this order: the records are on disk, then the state that says that they count, then
//! the markers. So where one marker is found, all records are there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::Transactions;
use super::id::{End, Id};
use super::slot::{Decided, ListedPart, Slot, SlotState};
use crate::config::Durability;
use crate::error::{AbortCause, Error, Result};
use crate::format::batch_producer::BatchProducer;
use crate::format::sealed_batch::SealedBatch;
use crate::format::transaction_ends::TransactionEnd;
use crate::group::GroupCommit;
use crate::partition::{AppendAt, AppendPart, PartitionLog, append_together};

/// A producer's right to an id. It ends when another one takes the id.
#[derive(Debug)]
pub(crate) struct Ownership {
    transactions: Arc<Transactions>,
    slot: Arc<Slot>,
    owner: u64,
    timeout: Duration,
}

/// A transaction that was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) transaction: u64,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// What a transaction writes to a partition. Parts are in the order of their partitions.
#[derive(Debug)]
pub(crate) struct TransactionPart {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) place: AppendAt,
    pub(crate) batches: Vec<SealedBatch>,
    /// Where they are, once they are.
    pub(crate) offsets: Vec<Range<u64>>,
}

impl Transactions {
    /// Takes an id for a producer, whose transactions last no longer than `timeout`. Another one that has it is fenced, and what
    /// it has open is aborted.
    pub(crate) fn take(self: &Arc<Self>, name: &str, timeout: Duration, now: i64) -> Result<Ownership> {
        let slot = self.slot(name);
        let owner = self.number();
        {
            let mut state = self.settled(&slot, now)?;
            if state.has_open() {
                self.end_for(&slot, &mut state, AbortCause::Fenced, now)?;
            }
            let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
            match self.known(&slot, &mut state)? {
                Some(id) => {
                    let new =
                        if id.is_used_up() { Some(self.catalog.allocate_producer_id(now)?) } else { None };
                    id.init(new, timeout_ms, now).map_err(refused)?;
                }
                None => {
                    state.id = Some(Id::new(self.catalog.allocate_producer_id(now)?, timeout_ms, now));
                }
            }
            if let Some(id) = &state.id {
                self.write(&slot, id, Durability::Buffered, now)?;
            }
            state.owner = owner;
        }
        Ok(Ownership { transactions: Arc::clone(self), slot, owner, timeout })
    }
}

impl Ownership {
    pub(crate) fn name(&self) -> &str {
        &self.slot.name
    }

    /// Begins a transaction. One that was begun before and neither committed nor aborted is aborted.
    pub(crate) fn begin(&self, now: i64) -> Result<Begun> {
        let transactions = &*self.transactions;
        let mut state = transactions.settled(&self.slot, now)?;
        self.check_owner(&state)?;
        if state.has_open() {
            transactions.abort_open(&self.slot, &mut state, false, Durability::Buffered, now)?;
        }
        let Some(id) = &mut state.id else { return Err(Error::Closed) };
        if id.is_used_up() {
            let (new, timeout_ms) = (transactions.catalog.allocate_producer_id(now)?, id.state().timeout_ms);
            id.init(Some(new), timeout_ms, now).map_err(refused)?;
            transactions.write(&self.slot, id, Durability::Buffered, now)?;
        }
        id.begin([], now).map_err(refused)?;
        let (producer_id, epoch) = (id.state().producer_id, id.state().epoch);
        let transaction = transactions.number();
        state.transaction = transaction;
        state.deadline = transactions.context.pace.now().after(self.timeout);
        self.slot.set_open(transaction);
        transactions.check_by(state.deadline);
        Ok(Begun { transaction, producer_id, epoch })
    }

    /// Whether the transaction can be added to. One load.
    #[inline]
    pub(crate) fn is_open(&self, transaction: u64) -> bool {
        self.slot.is_open(transaction)
    }

    /// Why a transaction cannot be added to.
    #[cold]
    pub(crate) fn why_not_open(&self, transaction: u64) -> Error {
        self.check(&self.slot.lock(), transaction).err().unwrap_or(Error::Closed)
    }

    fn check_owner(&self, state: &SlotState) -> Result<()> {
        if state.owner == self.owner { Ok(()) } else { Err(Error::ProducerFenced { id: self.name().into() }) }
    }

    fn check(&self, state: &SlotState, transaction: u64) -> Result<()> {
        self.check_owner(state)?;
        if let Some(failure) = &state.unknown {
            return Err(failure.clone());
        }
        if state.transaction == transaction {
            return Ok(());
        }
        match state.ended {
            Some((of, cause)) if of == transaction => Err(Error::Aborted { id: self.name().into(), cause }),
            _ => Err(Error::Closed),
        }
    }

    /// Appends what has become too large to be kept. From here on the transaction is open on disk.
    pub(crate) fn spill(
        &self,
        transaction: u64,
        parts: &mut [TransactionPart],
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        let mut state = self.slot.lock();
        self.check(&state, transaction)?;
        let appended = self.append(&mut state, parts, durability, now);
        if appended.is_err() {
            self.give_up(&mut state, durability, now);
        }
        appended
    }

    /// Does the work of a transaction that is one append, which is whole by itself.
    pub(crate) fn commit_alone<T>(
        &self,
        transaction: u64,
        now: i64,
        append: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut state = self.slot.lock();
        self.check(&state, transaction)?;
        let outcome = append();
        let _ = self.transactions.abort_open(&self.slot, &mut state, false, Durability::Buffered, now);
        outcome
    }

    /// Commits the transaction with these parts and those that were spilled. On an error it is aborted, but after
    /// [`Poisoned`](Error::Poisoned): then it is known at the next open.
    pub(crate) fn commit(
        &self,
        transaction: u64,
        parts: &mut [TransactionPart],
        commits: &[GroupCommit],
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        let is_synced = matches!(durability, Durability::Synced);
        let mut state = self.slot.lock();
        self.check(&state, transaction)?;
        let appended = self
            .append(&mut state, parts, durability, now)
            .and_then(|()| self.append_positions(&mut state, commits, durability, now));
        if let Err(failure) = appended {
            self.give_up(&mut state, durability, now);
            return Err(failure);
        }
        if state.listed.is_empty() {
            return self.transactions.abort_open(&self.slot, &mut state, false, durability, now);
        }
        if is_synced {
            let listed = state.listed.values().map(|part| (Arc::clone(&part.log), part.end));
            let listed: Vec<_> = listed.collect();
            drop(state);
            let durable = listed.iter().try_for_each(|(log, end)| match log.leader()?.await_durable(*end) {
                // Deleted: nothing of it is to be kept.
                Err(Error::NotFound { .. }) => Ok(()),
                durable => durable,
            });
            state = self.slot.lock();
            self.check(&state, transaction)?;
            if let Err(failure) = durable {
                self.give_up(&mut state, durability, now);
                return Err(failure);
            }
        }
        if commits.is_empty() {
            self.decide(&mut state, durability, now)?;
        } else {
            // The locks of groups come first.
            drop(state);
            let decided = self.transactions.groups.while_owned(commits, now, || {
                let mut state = self.slot.lock();
                self.check(&state, transaction)?;
                self.decide(&mut state, durability, now)
            });
            state = self.slot.lock();
            if let Err(failure) = decided {
                if self.check(&state, transaction).is_ok() && !matches!(failure, Error::Poisoned(_)) {
                    self.give_up(&mut state, durability, now);
                }
                return Err(failure);
            }
        }
        if !is_synced {
            return Ok(());
        }
        let written = state.decided.as_ref().and_then(|decided| decided.after.clone());
        drop(state);
        let durable = written.map_or(Ok(()), |written| written.await_durable());
        state = self.slot.lock();
        if let Some(decided) = state.decided.as_mut().filter(|decided| decided.transaction == transaction) {
            decided.after = None;
            if durable.is_err() {
                decided.durability = Durability::Buffered;
            }
            // Also after a failed sync: for all that this process serves it is decided.
            let _ = self.transactions.finish(&self.slot, &mut state, now);
        }
        drop(state);
        commits.iter().for_each(GroupCommit::wake_members);
        durable
    }

    /// Writes that the transaction counts.
    fn decide(&self, state: &mut SlotState, durability: Durability, now: i64) -> Result<()> {
        let transactions = &*self.transactions;
        let transaction = state.transaction;
        let Some(id) = &mut state.id else { return Err(Error::Closed) };
        let hold = match durability {
            Durability::Synced => {
                let shard = transactions.states.shard_of(self.name(), now)?;
                Some(transactions.holds_of(&shard).hold()?)
            }
            _ => None,
        };
        let before = id.clone();
        id.prepare(End::Commit, now).map_err(refused)?;
        let end = |part: &ListedPart| TransactionEnd { topic_id: part.log.topic_id(), offset: part.end };
        let ends: Vec<_> = state.listed.values().map(end).collect();
        let written = transactions.states.write_decision(self.name(), id.state(), &ends, now, durability);
        let written = match written {
            Ok(written) => written,
            Err(failure) => {
                if let Some(hold) = hold {
                    hold.end();
                }
                if matches!(failure, Error::Poisoned(_)) {
                    state.leave_transaction();
                    self.slot.set_open(0);
                    state.unknown = Some(failure.clone());
                } else {
                    *id = before;
                    self.give_up(state, durability, now);
                }
                return Err(failure);
            }
        };
        let marker = transactions.marker(&self.slot, id, End::Commit);
        let left = state.leave_transaction();
        self.slot.set_open(0);
        let after = hold.is_some().then_some(written);
        let is_done = after.is_none();
        state.decided =
            Some(Decided { transaction, marker, left, durability, after, hold, is_reported: false });
        if is_done {
            // From here on it is committed, whatever fails. Before the locks of groups are left: who takes a partition over finds the
            // position.
            let _ = transactions.finish(&self.slot, state, now);
        }
        Ok(())
    }

    /// Aborts the transaction. Nothing is written unless some of it is in the log.
    pub(crate) fn abort(&self, transaction: u64, durability: Durability, now: i64) -> Result<()> {
        let mut state = self.slot.lock();
        self.check(&state, transaction)?;
        self.transactions.abort_open(&self.slot, &mut state, false, durability, now)
    }

    /// The same where there is a failure to be returned already. What could not be written stays to be tried again.
    fn give_up(&self, state: &mut SlotState, durability: Durability, now: i64) {
        state.ended = Some((state.transaction, AbortCause::Failed));
        let _ = self.transactions.abort_open(&self.slot, state, false, durability, now);
    }

    /// Writes positions of groups that count once the transaction does.
    fn append_positions(
        &self,
        state: &mut SlotState,
        commits: &[GroupCommit],
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        let offsets = self.transactions.groups.offsets();
        let mut shards = Vec::with_capacity(commits.len());
        for commit in commits {
            shards.push(offsets.shard_of(commit.group(), now)?);
        }
        self.list(state, shards.iter(), durability, now)?;
        let mut sequences: BTreeMap<u32, i32> = BTreeMap::new();
        for (commit, shard) in commits.iter().zip(&shards) {
            let Some(id) = &state.id else { return Err(Error::Closed) };
            let positions = commit.positions();
            let sequence = sequences.entry(shard.id().partition()).or_default();
            let producer = BatchProducer::transactional(id.state().producer_id, id.state().epoch, *sequence);
            *sequence = sequence.saturating_add(i32::try_from(positions.len()).unwrap_or(i32::MAX));
            let end = offsets.append_pending(commit.group(), &positions, producer, now, durability)?;
            if let Some(listed) = state.listed.get_mut(shard.id()) {
                listed.end = end;
            }
        }
        Ok(())
    }

    /// Lists partitions in the state on disk.
    fn list<'l>(
        &self,
        state: &mut SlotState,
        logs: impl Iterator<Item = &'l Arc<PartitionLog>>,
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        let new: Vec<_> = logs.filter(|log| !state.listed.contains_key(log.id())).collect();
        if new.is_empty() {
            return Ok(());
        }
        let Some(id) = &mut state.id else { return Err(Error::Closed) };
        let before = id.clone();
        id.add(new.iter().map(|log| log.id().clone()), now).map_err(refused)?;
        if let Err(failure) = self.transactions.write(&self.slot, id, durability, now) {
            *id = before;
            return Err(failure);
        }
        for log in new {
            state.listed.insert(log.id().clone(), ListedPart { log: Arc::clone(log), end: 0 });
        }
        Ok(())
    }

    /// Lists the partitions in the state on disk, then appends to them.
    fn append(
        &self,
        state: &mut SlotState,
        parts: &mut [TransactionPart],
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        self.list(state, parts.iter().map(|part| &part.log), durability, now)?;
        let mut appended = Vec::with_capacity(parts.len());
        for part in &mut *parts {
            let TransactionPart { log, place, batches, .. } = part;
            appended.push(AppendPart { log: log.leader()?, place: *place, batches, offsets: Vec::new() });
        }
        let outcome = append_together(&mut appended, durability);
        let offsets: Vec<_> = appended.into_iter().map(|part| part.offsets).collect();
        for (part, offsets) in parts.iter_mut().zip(offsets) {
            if let Some(end) = offsets.last().map(|last| last.end)
                && let Some(listed) = state.listed.get_mut(part.log.id())
            {
                listed.end = end;
            }
            part.offsets = offsets;
        }
        outcome
    }
}

/// The states of an id follow each other as this room has them.
fn refused(refused: super::id::Refused) -> Error {
    Error::invalid("transactional id", refused.to_string())
}
