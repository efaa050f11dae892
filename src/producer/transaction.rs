//! A transaction under way.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::part::{Filling, Part};
use super::transactional::TransactionalProducer;
use super::{Record, foreign, write_batch};
use crate::catalog::TopicEntry;
use crate::config::Durability;
use crate::consumer::Consumer;
use crate::directory::{Partition, Topic};
use crate::error::{Error, Result};
use crate::group::GroupCommit;
use crate::partition::PartitionLog;
use crate::position::{Position, TopicPartition};
use crate::transaction::{Begun, Ownership, TransactionPart};

/// What a transaction consists of so far.
#[derive(Debug)]
pub(super) struct Gathered {
    begun: Begun,
    parts: Vec<Part>,
    /// The place of each partition's part, by the address of its log, which the part keeps.
    places: HashMap<usize, usize>,
    /// The part that a record went to last.
    latest: usize,
    /// Bytes in all parts.
    held: usize,
    /// Positions that are committed with it.
    commits: Vec<GroupCommit>,
}

/// Records that count once [`commit`](Self::commit) has returned, all together. Dropped, it is aborted; so is one that a panic
/// unwinds.
///
/// What it is given is kept in memory until the commit, which writes all of it, and no reader sees it before. If that becomes more
/// than [`ProducerConfig::buffer_bytes`](crate::ProducerConfig::buffer_bytes), 1 MiB if it is not set, it is written to the log from
/// there on: readers of uncommitted records see it, and readers of committed records wait before it.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction<'p> {
    producer: &'p mut TransactionalProducer,
}

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The batches that were written and their offsets, by partition. After the last batch of each partition follows an offset that
    /// holds no record, unless the transaction was one batch.
    pub batches: Vec<(TopicPartition, Range<u64>)>,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.producer.id()).finish_non_exhaustive()
    }
}

impl Gathered {
    pub(super) fn new(begun: Begun) -> Self {
        Self { begun, parts: Vec::new(), places: HashMap::new(), latest: 0, held: 0, commits: Vec::new() }
    }

    fn place_of(
        &mut self,
        entry: &Arc<TopicEntry>,
        log: &Arc<PartitionLog>,
        producer: &super::Producer,
    ) -> Result<usize> {
        if self.parts.get(self.latest).is_some_and(|part| Arc::ptr_eq(&part.log, log)) {
            return Ok(self.latest);
        }
        let address = Arc::as_ptr(log).addr();
        if let Some(at) = self.places.get(&address) {
            self.latest = *at;
            return Ok(*at);
        }
        self.parts.push(Part::new(entry, log, producer.config.compression)?);
        self.latest = self.parts.len() - 1;
        self.places.insert(address, self.latest);
        Ok(self.latest)
    }
}

impl<'p> Transaction<'p> {
    pub(super) fn of(producer: &'p mut TransactionalProducer) -> Self {
        Self { producer }
    }

    /// Adds a record, to the partition that a [`Producer`](crate::Producer) would choose.
    ///
    /// # Errors
    /// Those of [`Producer::send`](crate::Producer::send), after which the record was not taken and the transaction continues;
    /// [`Aborted`](Error::Aborted) and [`ProducerFenced`](Error::ProducerFenced) if the transaction was aborted meanwhile. If what it
    /// is given has become too large to be kept and cannot be written, the transaction is aborted, and the error says why.
    pub fn send(&mut self, topic: &Topic, record: Record<'_>) -> Result<()> {
        let producer = &self.producer.producer;
        producer.check_topic(topic)?;
        refuse_internal(topic.entry())?;
        record.check(topic.entry().rules().compacts())?;
        let (_, log) = producer.choose(topic, &record)?;
        let log = Arc::clone(log);
        self.take(topic.entry(), &log, [record], None)
    }

    /// Adds records to a partition, one after the other.
    ///
    /// # Errors
    /// As [`send`](Self::send), and `InvalidInput` for a record that names another partition. Records before the one that was refused
    /// are taken.
    pub fn send_batch<'a>(
        &mut self,
        to: &Partition,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<()> {
        self.take_batch(to, None, records)
    }

    /// The same if, at the commit, no record lies at offset `at` of the partition or after it: optimistic concurrency, over any
    /// number of partitions at once. The ends of transactions take offsets and are no records.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch); [`Conflict`](Error::Conflict) if it does not fit now, with nothing taken; the same of the
    /// commit, with nothing written. `InvalidInput` if the transaction has records for the partition already.
    pub fn send_batch_at<'a>(
        &mut self,
        to: &Partition,
        at: u64,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<()> {
        self.take_batch(to, Some(at), records)
    }

    fn take_batch<'a>(
        &mut self,
        to: &Partition,
        at: Option<u64>,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<()> {
        let producer = &self.producer.producer;
        if !Arc::ptr_eq(to.directory(), &producer.directory) {
            return Err(foreign(to.id().topic()));
        }
        producer.directory.check_open()?;
        refuse_internal(to.entry())?;
        let compacts = to.entry().rules().compacts();
        if let Some(at) = at {
            to.log().leader()?.check_end(at)?;
        }
        let number = to.id().partition();
        let mut refused = None;
        let records = records.into_iter().map_while(|record| {
            let checked = match record.wanted_partition() {
                Some(wanted) if wanted != number => {
                    let reason =
                        format!("a record names another partition than {}, where its batch goes", to.id());
                    Err(Error::invalid("record partition", reason))
                }
                _ => record.check(compacts),
            };
            match checked {
                Ok(()) => Some(record),
                Err(failure) => {
                    refused = Some(failure);
                    None
                }
            }
        });
        self.take(to.entry(), to.log(), records, at)?;
        refused.map_or(Ok(()), Err)
    }

    fn take<'a>(
        &mut self,
        entry: &Arc<TopicEntry>,
        log: &Arc<PartitionLog>,
        records: impl IntoIterator<Item = Record<'a>>,
        at: Option<u64>,
    ) -> Result<()> {
        let TransactionalProducer { producer, ownership, gathered } = &mut *self.producer;
        let Some(gathered) = gathered else { return Err(Error::Closed) };
        if !ownership.is_open(gathered.begun.transaction) {
            return Err(ownership.why_not_open(gathered.begun.transaction));
        }
        let (config, now) = (&producer.config, producer.directory.now());
        let (batch_bytes, compression) = (config.batch_bytes, config.compression);
        let filling = Filling { begun: gathered.begun, batch_bytes, compression, now };
        let place = gathered.place_of(entry, log, producer)?;
        let limit = config.transaction_bytes();
        if at.is_some()
            && let Some(part) = gathered.parts.get_mut(place)
        {
            if part.is_begun {
                let reason = format!("the transaction has records for {} already", log.id());
                return Err(Error::invalid("send_batch_at", reason));
            }
            (part.at, part.is_begun) = (at, true);
        }
        for record in records {
            let Some(part) = gathered.parts.get_mut(place) else { break };
            let before = part.bytes();
            let taken = part.take(&record, &filling);
            gathered.held = (gathered.held + part.bytes()).saturating_sub(before);
            taken?;
            if gathered.held > limit {
                spill(ownership, &mut gathered.parts, &filling, config.durability)?;
                gathered.held = 0;
            }
        }
        Ok(())
    }

    /// Commits, with the transaction, all positions of a consumer that its polls have come to. May be called for several
    /// consumers, and again. Kafka's counterpart is `sendOffsetsToTransaction`.
    ///
    /// At the commit the partitions must still be the consumer's, and must not have been another's in between, else the error is
    /// [`FencedGeneration`](Error::FencedGeneration) and nothing counts.
    ///
    /// # Errors
    /// `InvalidInput` for a consumer without a group, of another log, that commits by itself, or that reads uncommitted records, and
    /// for one that was assigned its partitions beside another consumer; those of [`Consumer::commit`]. The transaction continues.
    pub fn commit_consumed(&mut self, consumer: &Consumer) -> Result<()> {
        consumer.check_transactional(&self.producer.producer.directory)?;
        self.add_commit(consumer.consumed()?)
    }

    /// The same of these positions. Of several for one partition the last one counts.
    ///
    /// # Errors
    /// Those of [`commit_consumed`](Self::commit_consumed) and of [`Consumer::commit_to`].
    pub fn commit_to(&mut self, consumer: &Consumer, to: impl IntoIterator<Item = Position>) -> Result<()> {
        consumer.check_transactional(&self.producer.producer.directory)?;
        self.add_commit(consumer.consumed_to(to)?)
    }

    fn add_commit(&mut self, commit: GroupCommit) -> Result<()> {
        let TransactionalProducer { ownership, gathered, .. } = &mut *self.producer;
        let Some(gathered) = gathered else { return Err(Error::Closed) };
        if !ownership.is_open(gathered.begun.transaction) {
            return Err(ownership.why_not_open(gathered.begun.transaction));
        }
        let commits = &mut gathered.commits;
        if let Some(known) = commits.iter_mut().find(|known| known.is_of_same(&commit)) {
            known.merge(commit);
            return Ok(());
        }
        if !commits.is_empty() && (commit.is_alone() || commits.iter().any(GroupCommit::is_alone)) {
            let reason = "it was assigned its partitions, and the transaction commits for another consumer too; subscribe both";
            return Err(Error::invalid("consumer of a transaction", reason));
        }
        commits.push(commit);
        Ok(())
    }

    /// Has all of it count.
    ///
    /// `Ok` means: it is committed for all readers of committed records, and safe from the death of the process; with
    /// [`Durability::Synced`] from power loss too. If a partition cannot get its marker now, readers of committed records wait before
    /// it, and [`Event::MarkersPending`](crate::Event::MarkersPending) says so. Kafka's counterpart is `commitTransaction`.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Aborted`](Error::Aborted), [`ProducerFenced`](Error::ProducerFenced), `StorageFull`, `Io`,
    /// `Closed`: nothing of it counts. After [`Poisoned`](Error::Poisoned) it is known when the log is opened anew.
    pub fn commit(self) -> Result<Committed> {
        let TransactionalProducer { producer, ownership, gathered } = &mut *self.producer;
        let Some(mut gathered) = gathered.take() else { return Err(Error::Closed) };
        let outcome = producer.directory.check_open().and_then(|()| {
            let (config, now) = (&producer.config, producer.directory.now());
            let (batch_bytes, compression) = (config.batch_bytes, config.compression);
            let filling = Filling { begun: gathered.begun, batch_bytes, compression, now };
            // Of a topic that was deleted meanwhile nothing is left to be written.
            gathered.parts.retain(|part| !part.log.has_ended());
            gathered.commits.retain(|commit| !commit.is_empty());
            gathered.parts.sort_by(|one, other| one.log.id().cmp(other.log.id()));
            match commit_alone(ownership, &mut gathered, &filling, config.durability) {
                Some(committed) => committed,
                None => commit_all(ownership, &mut gathered, &filling, config.durability),
            }
        });
        if outcome.is_err() {
            // Unless that was done: a failure before anything was tried.
            let _ = ownership.abort(
                gathered.begun.transaction,
                Durability::Buffered,
                producer.directory.now().as_millis(),
            );
        }
        outcome
    }

    /// Has none of it count. Nothing is written, unless some of it is in the log. Kafka's counterpart is `abortTransaction`.
    ///
    /// # Errors
    /// [`ProducerFenced`](Error::ProducerFenced), [`Aborted`](Error::Aborted): it was aborted before. `StorageFull`, `Io`, `Poisoned`:
    /// it does not count, and what says so in the log is written later.
    pub fn abort(self) -> Result<()> {
        let TransactionalProducer { producer, ownership, gathered } = &mut *self.producer;
        let Some(gathered) = gathered.take() else { return Err(Error::Closed) };
        producer.directory.check_open()?;
        ownership.abort(
            gathered.begun.transaction,
            producer.config.durability,
            producer.directory.now().as_millis(),
        )
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let TransactionalProducer { producer, ownership, gathered } = &mut *self.producer;
        if let Some(gathered) = gathered.take()
            && producer.directory.check_process().is_ok()
        {
            let now = producer.directory.now_unless_panicked().as_millis();
            // What cannot be written now is tried again.
            let _ = ownership.abort(gathered.begun.transaction, producer.config.durability, now);
        }
    }
}

/// A transaction that is one batch of one partition needs neither a producer id nor a marker. `None`: this one does.
fn commit_alone(
    ownership: &Ownership,
    gathered: &mut Gathered,
    filling: &Filling,
    durability: Durability,
) -> Option<Result<Committed>> {
    if !gathered.commits.is_empty() {
        return None;
    }
    let transaction = gathered.begun.transaction;
    let mut with_records =
        gathered.parts.iter_mut().filter(|part| part.bytes() > 0 || !part.written.is_empty());
    let (Some(part), None) = (with_records.next(), with_records.next()) else { return None };
    let (log, at) = (Arc::clone(&part.log), part.at);
    let (builder, encoding) = part.alone(filling.now)?;
    let append = || write_batch(builder, &log, at, encoding, durability);
    let committed =
        ownership.commit_alone(transaction, filling.now.as_millis(), append).and_then(|offsets| {
            if matches!(durability, Durability::Synced) {
                log.leader()?.await_durable(offsets.end)?;
            }
            Ok(Committed { batches: vec![(log.id().clone(), offsets)] })
        });
    Some(committed)
}

fn commit_all(
    ownership: &Ownership,
    gathered: &mut Gathered,
    filling: &Filling,
    durability: Durability,
) -> Result<Committed> {
    for part in gathered.parts.iter().filter(|part| part.written.is_empty()) {
        if let Some(at) = part.at {
            // Before anything is written; it is asked again when all are held.
            part.log.leader()?.check_end(at)?;
        }
    }
    let mut parts: Vec<_> = gathered.parts.iter_mut().filter_map(|part| part.drain(filling)).collect();
    let (transaction, now) = (gathered.begun.transaction, filling.now.as_millis());
    ownership.commit(transaction, &mut parts, &gathered.commits, durability, now)?;
    let mut batches = Vec::new();
    for part in &mut gathered.parts {
        let last = parts.iter_mut().find(|last| Arc::ptr_eq(&last.log, &part.log));
        let offsets = part.written.drain(..).chain(last.into_iter().flat_map(|last| last.offsets.drain(..)));
        batches.extend(offsets.map(|offsets| (part.log.id().clone(), offsets)));
    }
    Ok(Committed { batches })
}

/// Writes what parts hold. From here on the transaction is open on disk.
fn spill(ownership: &Ownership, parts: &mut [Part], filling: &Filling, durability: Durability) -> Result<()> {
    let mut order: Vec<_> = parts.iter_mut().collect();
    order.sort_by(|one, other| one.log.id().cmp(other.log.id()));
    let mut spilled: Vec<TransactionPart> = order.iter_mut().filter_map(|part| part.drain(filling)).collect();
    ownership.spill(filling.begun.transaction, &mut spilled, durability, filling.now.as_millis())?;
    for part in order {
        if let Some(written) = spilled.iter_mut().find(|written| Arc::ptr_eq(&written.log, &part.log)) {
            part.written.append(&mut written.offsets);
        }
    }
    Ok(())
}

/// Kafka keeps its own topics for itself.
fn refuse_internal(entry: &TopicEntry) -> Result<()> {
    if entry.is_internal() {
        let reason = format!("{} is Kafka's own; a transaction writes to others", entry.name());
        return Err(Error::invalid("topic", reason));
    }
    Ok(())
}
