//! What an open decides of transactions whose producers are gone: all of them, since the lock of the directory is had.
//!
//! | the last word about a producer | its open transaction in a partition |
//! |---|---|
//! | a decision of ours with the same epoch, in the part of the log that is gone through | counts |
//! | `PrepareCommit` with the partition | counts |
//! | any other | is aborted |
//! | none, and all of `__transaction_state` can be read | is aborted: no coordinator will ever end it |
//! | none, and something cannot be read | stays open, which is reported |
//!
//! What counts is put on disk first, then the decision, then the markers: the process may have ended before it got that far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::coordinator::Transactions;
use super::id::resume;
use super::slot::{Decided, ListedPart};
use super::states::ShardDamage;
use crate::config::{Durability, ReadUpTo};
use crate::error::Result;
use crate::events::Event;
use crate::format::batch::Batch;
use crate::format::control::{EndMarker, Outcome};
use crate::format::raw_record::RawRecord;
use crate::format::transaction_ends::{self, TransactionEnd};
use crate::format::transaction_state::{TransactionState, TransactionStatus, transactional_id};
use crate::partition::{Cursor, FetchLimits, Leader, OpenTransaction, PartitionLog};
use crate::position::TopicPartition;

const FETCH: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };

/// The last word about an id.
struct KnownId<'k> {
    id: &'k str,
    state: &'k TransactionState,
}

/// By producer id.
type ByProducer<'k> = HashMap<i64, KnownId<'k>>;

/// A transaction of a producer, of which no other has the epoch.
type Which = (i64, i16);

/// Decisions of this program that are in the part of the log that the open has gone through.
#[derive(Debug, Default)]
struct Decisions(HashMap<Which, Decision>);

#[derive(Debug)]
struct Decision {
    id: Box<str>,
    ends: BTreeMap<TopicPartition, TransactionEnd>,
    /// The partition of `__transaction_state` with the decision.
    shard: Arc<PartitionLog>,
}

/// An open transaction, and what becomes of it.
struct Ending {
    log: Arc<PartitionLog>,
    marker: EndMarker,
    /// The transactional id, if it is known.
    id: Option<Box<str>>,
}

impl Transactions {
    /// Ends what is open. A failure is reported, and the next open tries again: what is open holds back readers of committed records
    /// alone.
    pub(crate) fn decide_at_open(&self, now: i64) {
        if let Err(failure) = self.decide_all(now) {
            let failure = failure.to_string().into();
            self.context.events.emit(|| Event::MaintenanceFailed { task: "ending transactions", failure });
            self.are_some_left.store(true, Ordering::Relaxed);
        }
    }

    /// Of a partition that cannot be read nothing is decided.
    fn decide_all(&self, now: i64) -> Result<()> {
        let ids = self.states.ids()?;
        let damaged = self.states.damaged()?;
        for (partition, damage) in &damaged {
            let failure = match damage {
                ShardDamage::LeftOut(offset) => {
                    format!("{partition}: the record at offset {offset} is left out")
                }
                ShardDamage::Unreadable(failure) => format!("{partition}: {failure}"),
            };
            let failure = failure.into();
            self.context.events.emit(|| Event::MaintenanceFailed { task: "reading transactions", failure });
        }
        let is_all_known = damaged.is_empty() && self.states.unreadable()?.is_empty();
        let decisions = self.decisions()?;
        let by_producer: ByProducer<'_> =
            ids.iter().map(|(id, state)| (state.producer_id, KnownId { id, state })).collect();
        let mut endings = Vec::new();
        let mut highest_id = by_producer.keys().copied().max();
        for log in self.catalog.partitions() {
            let Ok(leader) = log.leader() else { continue };
            // What cannot be read is reported by the recovery, and by the first use.
            let Ok(open) = leader.open_transactions() else { continue };
            highest_id = highest_id.max(leader.highest_producer_id()?);
            self.note_epochs(leader, &by_producer);
            for open in open {
                let marker = self.decide(leader, open, &decisions, &by_producer, is_all_known)?;
                let Some(marker) = marker else {
                    self.are_some_left.store(true, Ordering::Relaxed);
                    let (partition, first_offset) = (log.id().clone(), open.first_offset);
                    self.context.events.emit(|| Event::TransactionUndecided { partition, first_offset });
                    continue;
                };
                let id = by_producer.get(&open.producer_id).map(|known| known.id.into());
                endings.push(Ending { log: Arc::clone(&log), marker, id });
            }
        }
        if let Some(highest) = highest_id {
            self.catalog.reserve_producer_ids(highest.saturating_add(1), now)?;
        }
        self.report_torn(&decisions);
        self.sync_before(&endings, &decisions)?;
        self.end_all(endings, &ids, now)
    }

    /// What is to become of an open transaction. `None`: that cannot be known.
    fn decide(
        &self,
        leader: &Arc<Leader>,
        open: OpenTransaction,
        decisions: &Decisions,
        by_producer: &ByProducer<'_>,
        is_all_known: bool,
    ) -> Result<Option<EndMarker>> {
        let producer_id = open.producer_id;
        let (epoch, coordinator_epoch) = leader.epochs_of(producer_id).unwrap_or((0, 0));
        let marker = |outcome, producer_epoch, coordinator_epoch| {
            Some(EndMarker { outcome, producer_id, producer_epoch, coordinator_epoch })
        };
        let ours = decisions.0.get(&(producer_id, epoch));
        if let Some(decision) = ours.filter(|decision| decision.ends.contains_key(leader.id())) {
            let coordinator_epoch = self.states.coordinator_epoch_of(&decision.id)?.cast_signed();
            return Ok(marker(Outcome::Committed, epoch, coordinator_epoch));
        }
        let Some(KnownId { id, state }) = by_producer.get(&producer_id) else {
            // The coordinator's epoch must not go back, and is 0 for a coordinator that has just begun.
            return Ok(marker(Outcome::Aborted, epoch, coordinator_epoch.max(0)).filter(|_| is_all_known));
        };
        if !self.states.is_certain(id)? {
            return Ok(None);
        }
        let coordinator_epoch = self.states.coordinator_epoch_of(id)?.cast_signed();
        let counts =
            state.status == TransactionStatus::PrepareCommit && state.partitions.contains(leader.id());
        let outcome = if counts { Outcome::Committed } else { Outcome::Aborted };
        Ok(marker(outcome, state.epoch.max(epoch), coordinator_epoch))
    }

    /// The highest epochs of producers that have an id: those continue above them.
    fn note_epochs(&self, leader: &Leader, by_producer: &ByProducer<'_>) {
        let mut highest = self.highest_epochs.lock();
        for (producer, last) in leader.last_batches() {
            if by_producer.contains_key(&producer) {
                let known = highest.entry(producer).or_insert(last.epoch);
                *known = last.epoch.max(*known);
            }
        }
    }

    /// The decisions from where the recovery has begun.
    fn decisions(&self) -> Result<Decisions> {
        let mut found = Decisions::default();
        for shard in self.states.logs()? {
            let Ok(bounds) = shard.bounds() else { continue };
            let from = shard.recovery_point_at_open().clamp(bounds.log_start, bounds.log_end);
            let mut cursor = Cursor::new(Arc::clone(&shard), from, ReadUpTo::Visible);
            // Damage is reported where the states are read, and leaves what comes after it open.
            while let Ok(Some(fetched)) = cursor.fetch(FETCH) {
                let mut rest = fetched.bytes.as_ref();
                while let Some((batch, after)) = Batch::take_checked(rest) {
                    found.note(&batch, &shard);
                    rest = after;
                }
            }
        }
        Ok(found)
    }

    /// Reports transactions of which records are missing that were there when they were decided.
    fn report_torn(&self, decisions: &Decisions) {
        for Decision { id, ends, .. } in decisions.0.values() {
            let short = ends.iter().find_map(|(of, end)| {
                let topic =
                    self.catalog.topic(of.topic()).filter(|topic| *topic.id().as_bytes() == end.topic_id)?;
                let log_end = topic.partitions().get(of.partition())?.bounds().ok()?.log_end;
                (log_end < end.offset).then(|| (of.clone(), log_end, end.offset))
            });
            if let Some((partition, log_end, expected_end)) = short {
                let id = id.clone();
                self.context.events.emit(|| Event::TransactionTorn { id, partition, log_end, expected_end });
            }
        }
    }

    /// Puts on disk what counts, and that it does: a process that was killed may not have waited for either.
    fn sync_before(&self, endings: &[Ending], decisions: &Decisions) -> Result<()> {
        let mut logs: BTreeMap<TopicPartition, Arc<PartitionLog>> = BTreeMap::new();
        let mut shards = BTreeMap::new();
        for ending in endings.iter().filter(|ending| ending.marker.outcome == Outcome::Committed) {
            let which = (ending.marker.producer_id, ending.marker.producer_epoch);
            logs.insert(ending.log.id().clone(), Arc::clone(&ending.log));
            let Some(decision) = decisions.0.get(&which) else { continue };
            shards.insert(decision.shard.id().clone(), Arc::clone(&decision.shard));
            for of in decision.ends.keys() {
                if let Some(log) = self
                    .catalog
                    .topic(of.topic())
                    .and_then(|topic| topic.partitions().get(of.partition()).cloned())
                {
                    logs.insert(of.clone(), log);
                }
            }
        }
        logs.values().chain(shards.values()).try_for_each(|log| log.leader()?.sync())
    }

    /// Writes the markers, and the states that say so.
    fn end_all(&self, endings: Vec<Ending>, ids: &[(String, TransactionState)], now: i64) -> Result<()> {
        let (mut committed, mut aborted) = (BTreeSet::new(), BTreeSet::new());
        let mut of_ids: BTreeMap<Box<str>, Vec<Ending>> = BTreeMap::new();
        let mut marked = Vec::new();
        for ending in endings {
            let EndMarker { outcome, producer_id, producer_epoch, .. } = ending.marker;
            let ended = if outcome == Outcome::Committed { &mut committed } else { &mut aborted };
            ended.insert((producer_id, producer_epoch));
            marked.push(Arc::clone(&ending.log));
            match &ending.id {
                Some(id) => of_ids.entry(id.clone()).or_default().push(ending),
                None => drop(ending.log.leader()?.end_transaction(ending.marker, Durability::Buffered, now)),
            }
        }
        for (name, state) in ids {
            let left = of_ids.remove(name.as_str()).unwrap_or_default();
            if state.status.is_open() || !left.is_empty() {
                self.end_id(name, state, left, now)?;
            }
        }
        marked.iter().try_for_each(|log| log.leader()?.sync())?;
        if !committed.is_empty() || !aborted.is_empty() {
            let (committed, aborted) = (committed.len(), aborted.len());
            self.context.events.emit(|| Event::TransactionsDecided { committed, aborted });
        }
        Ok(())
    }

    /// Ends the transaction of an id everywhere. What cannot be written now is tried again.
    fn end_id(&self, name: &str, stored: &TransactionState, left: Vec<Ending>, now: i64) -> Result<()> {
        if !self.states.is_certain(name)? {
            return Ok(());
        }
        let slot = self.slot(name);
        let mut state = slot.lock();
        let highest = self.highest_epochs.lock().get(&stored.producer_id).copied();
        let mut id = resume(stored.clone(), highest);
        if id.end().is_none() && id.fence(now).is_err() {
            // Nothing is open by the state; what a partition has open gets its marker all the same.
            for Ending { log, marker, .. } in left {
                log.leader()?.end_transaction(marker, Durability::Buffered, now)?;
            }
            state.id = Some(id);
            return Ok(());
        }
        state.id = Some(id);
        for Ending { log, marker, .. } in left {
            let part = ListedPart { log: Arc::clone(&log), end: 0 };
            let decided = state.decided.get_or_insert_with(|| Decided {
                transaction: 0,
                marker,
                left: BTreeMap::new(),
                durability: Durability::Buffered,
                after: None,
                hold: None,
                is_reported: false,
            });
            if decided.marker == marker {
                decided.left.insert(log.id().clone(), part);
            } else {
                log.leader()?.end_transaction(marker, Durability::Buffered, now)?;
            }
        }
        if state.decided.is_some() {
            // Reported where it is not done.
            let _ = self.finish(&slot, &mut state, now);
            return Ok(());
        }
        self.complete(&slot, &mut state, now);
        Ok(())
    }
}

impl Decisions {
    fn note(&mut self, batch: &Batch<'_>, shard: &Arc<PartitionLog>) {
        if batch.header.is_control() {
            return;
        }
        let mut records = batch.records();
        for _ in 0..batch.header.record_count {
            let Ok(record) = RawRecord::take(&mut records) else { return };
            let ends = record
                .headers
                .iter()
                .find(|header| header.name() == transaction_ends::HEADER)
                .and_then(|header| transaction_ends::decode(header.value()?).ok());
            let Some(ends) = ends else { continue };
            let Some(Ok(Some(id))) = record.key.map(transactional_id) else { continue };
            let Some(Ok(state)) = record.value.map(TransactionState::decode) else { continue };
            if state.status == TransactionStatus::PrepareCommit && state.partitions.len() == ends.len() {
                let ends = state.partitions.iter().cloned().zip(ends).collect();
                let decision = Decision { id: id.into(), ends, shard: Arc::clone(shard) };
                self.0.insert((state.producer_id, state.epoch), decision);
            }
        }
    }
}
