//! The states of transactional ids, kept in the topic `__transaction_state` as Kafka keeps them.
//!
//! The topic's log is the truth. A partition of it is read when it is first asked for, and from then on what is written is
//! counted after it is in the log. The topic is made with the first id, with as many partitions as Kafka gives it; where a
//! broker made it, its partitions are used as they are. It holds one record for each state of each transaction, and compaction
//! leaves the last of each id.
//!
//! Locks: that of an id, if the caller holds one, comes before those in here, and those come before the locks of partitions and
//! of the catalog. None is held while what was written is waited for.
//!
//! | file | what |
//! |---|---|
//! | [`replay`] | the states that the records add up to |
//! | [`shard`] | one partition: its ids in a [`KeyedLog`](crate::keyed::KeyedLog) |

mod replay;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use replay::ReplayedStates;
use shard::{Change, Shard};

use crate::catalog::{Catalog, TopicEntry};
use crate::config::{CleanupPolicy, Durability, TopicConfig};
use crate::error::{Error, Result};
use crate::events::Announcer;
use crate::format::batch_producer::BatchProducer;
use crate::format::coordinator_record::group_partition;
use crate::format::transaction_ends::{self, TransactionEnd};
use crate::format::transaction_state::TransactionState;
use crate::keyed::WriteOptions;
use crate::partition::PartitionLog;
use crate::position::{Position, TopicPartition};
use crate::sys::Purpose;

/// Kafka's name for the topic.
use crate::config::topic_name::TRANSACTION_STATE as TOPIC;
/// Partitions that Kafka gives it.
pub(crate) const PARTITIONS: u32 = 50;
/// Small, so that what was overwritten can be compacted away soon: the segment that is written to never is.
const SEGMENT_BYTES: u32 = 4 << 20;

/// The states of the transactional ids of an open directory. Shared by all threads; nothing is read before the first use.
#[derive(Debug)]
pub(crate) struct TransactionStates {
    catalog: Arc<Catalog>,
    events: Announcer,
    /// Partitions of the topic if it has to be made.
    partitions: u32,
    /// Held while the topic's partitions are made known here, so that each becomes known once.
    arriving: Mutex<()>,
    present: RwLock<Option<Arc<Shards>>>,
}

/// The topic's partitions, each at the place of its number.
#[derive(Debug)]
struct Shards {
    topic: Arc<TopicEntry>,
    all: Box<[Shard]>,
}

/// A state that is in the log.
#[derive(Debug, Clone)]
pub(crate) struct WrittenState {
    log: Arc<PartitionLog>,
    end: u64,
}

/// An id whose last state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableState {
    pub(crate) id: String,
    /// Where the state is in `__transaction_state`.
    pub(crate) position: Position,
    pub(crate) reason: &'static str,
}

/// What is wrong with a partition of `__transaction_state`.
#[derive(Debug)]
pub(crate) enum ShardDamage {
    /// Records are left out; this is the offset of the last, or of the first of the last that are damaged together. What is known
    /// of an id of which a later record is known is not in doubt.
    LeftOut(u64),
    /// Nothing of it is known.
    Unreadable(Error),
}

impl WrittenState {
    /// The partition of `__transaction_state` that it is in.
    #[cfg(test)]
    pub(crate) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// The offset after it.
    #[cfg(test)]
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns when it is on disk. Needs no lock of the caller's.
    pub(crate) fn await_durable(&self) -> Result<()> {
        self.log.leader()?.await_durable(self.end)
    }
}

impl TransactionStates {
    /// `partitions`: how many the topic gets if it has to be made, Kafka's [`PARTITIONS`] unless there is a reason.
    pub(crate) fn new(catalog: Arc<Catalog>, events: Announcer, partitions: u32) -> Self {
        Self { catalog, events, partitions, arriving: Mutex::default(), present: RwLock::default() }
    }

    /// All ids with their last states, sorted; without those that are [unreadable](Self::unreadable), and those of partitions that
    /// are, see [`damaged`](Self::damaged). All partitions are read.
    pub(crate) fn ids(&self) -> Result<Vec<(String, TransactionState)>> {
        let mut found = Vec::new();
        self.each_readable(|_, replayed| {
            found.extend(replayed.states().map(|(id, state)| (id.to_owned(), state)));
        })?;
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    /// The last state of an id. `None`: there is no such id. `Corrupt` or `Unsupported` if its last state cannot be read.
    pub(crate) fn state_of(&self, id: &str) -> Result<Option<TransactionState>> {
        let Some(shards) = self.shards()? else { return Ok(None) };
        let shard = shards.of(id)?;
        let replayed = shard.present(&self.events)?;
        shard.refuse_unreadable(&replayed, id)?;
        Ok(replayed.state(id))
    }

    /// Whether the last state of an id is what [`state_of`](Self::state_of) says, or there is none: no damaged record follows
    /// that may be about it.
    pub(crate) fn is_certain(&self, id: &str) -> Result<bool> {
        let Some(shards) = self.shards()? else { return Ok(true) };
        let certain = shards.of(id)?.present(&self.events)?.is_certain(id);
        Ok(certain)
    }

    /// The ids whose last states cannot be read, sorted. [`Event::TransactionStateSkipped`](crate::events::Event) has
    /// reported them.
    pub(crate) fn unreadable(&self) -> Result<Vec<UnreadableState>> {
        let mut found = Vec::new();
        self.each_readable(|shard, replayed| {
            found.extend(replayed.unreadable().map(|(id, offset, reason)| UnreadableState {
                id: id.to_owned(),
                position: Position::new(shard.log().id(), offset),
                reason: reason.0,
            }));
        })?;
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// The partitions of which something cannot be read that may be about any id of theirs: as long as there is one, an id that
    /// is not known may be in it.
    pub(crate) fn damaged(&self) -> Result<Vec<(TopicPartition, ShardDamage)>> {
        let mut found = Vec::new();
        let unreadable = self.each_readable(|shard, replayed| {
            let left_out = replayed.left_out().map(ShardDamage::LeftOut);
            found.extend(left_out.map(|damage| (shard.log().id().clone(), damage)));
        })?;
        found.extend(unreadable.into_iter().map(|(of, failure)| (of, ShardDamage::Unreadable(failure))));
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    /// Writes a state of an id: in the log when it returns, and as safe as `level` says once it was
    /// [waited for](WrittenState::await_durable). The topic is made if it is not there.
    ///
    /// `InvalidInput` for an id that is too long. `Unsupported` or `Corrupt` if the last state of the id cannot be read: nothing
    /// is written over what only a newer version understands; [`remove`](Self::remove) takes it away.
    pub(crate) fn write(
        &self,
        id: &str,
        state: &TransactionState,
        now: i64,
        level: Durability,
    ) -> Result<WrittenState> {
        self.write_change(Change { id, state: Some(state), ends: None }, now, level)
    }

    /// The same of the state that says that a transaction counts, with where its records end, in the order of its partitions: so
    /// the next open knows that it was written here, and whether something of it is missing.
    pub(crate) fn write_decision(
        &self,
        id: &str,
        state: &TransactionState,
        ends: &[TransactionEnd],
        now: i64,
        level: Durability,
    ) -> Result<WrittenState> {
        let ends = transaction_ends::encode(ends);
        self.write_change(Change { id, state: Some(state), ends: Some(&ends) }, now, level)
    }

    fn write_change(&self, change: Change<'_>, now: i64, level: Durability) -> Result<WrittenState> {
        check_id(change.id)?;
        let shards = self.shards_to_write(now)?;
        let shard = shards.of(change.id)?;
        let mut writer = shard.writer(&self.events)?;
        shard.refuse_unreadable(&*shard.present(&self.events)?, change.id)?;
        let end = shard.write(&mut writer, change, shards.how(now, level))?;
        Ok(WrittenState { log: Arc::clone(shard.log()), end })
    }

    /// The partition in which the states of an id are, made if it is not there.
    pub(crate) fn shard_of(&self, id: &str, now: i64) -> Result<Arc<PartitionLog>> {
        Ok(Arc::clone(self.shards_to_write(now)?.of(id)?.log()))
    }

    /// All partitions, if there is the topic.
    pub(crate) fn logs(&self) -> Result<Vec<Arc<PartitionLog>>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        Ok(shards.all.iter().map(|shard| Arc::clone(shard.log())).collect())
    }

    /// Takes an id away, whatever its last state is, if there is one. The caller knows that it has no open transaction.
    pub(crate) fn remove(&self, id: &str, now: i64, level: Durability) -> Result<Option<WrittenState>> {
        let Some(shards) = self.shards()? else { return Ok(None) };
        let shard = shards.of(id)?;
        let mut writer = shard.writer(&self.events)?;
        if !shard.present(&self.events)?.contains(id) {
            return Ok(None);
        }
        let end = shard.write(&mut writer, Change { id, state: None, ends: None }, shards.how(now, level))?;
        Ok(Some(WrittenState { log: Arc::clone(shard.log()), end }))
    }

    /// The epoch of the coordinator of an id, for markers: the leader epoch of the partition in which its states are, 0 if there
    /// is no such partition.
    pub(crate) fn coordinator_epoch_of(&self, id: &str) -> Result<u32> {
        let Some(shards) = self.shards()? else { return Ok(0) };
        let leader = shards.of(id)?.log().leader()?;
        leader.load()?;
        Ok(leader.leader_epoch())
    }

    /// Calls `visit` with each partition, but for those that cannot be read, and returns why each of them cannot.
    fn each_readable(
        &self,
        mut visit: impl FnMut(&Shard, &ReplayedStates),
    ) -> Result<Vec<(TopicPartition, Error)>> {
        let mut unreadable = Vec::new();
        let Some(shards) = self.shards()? else { return Ok(unreadable) };
        for shard in &shards.all {
            match shard.present(&self.events) {
                Ok(replayed) => visit(shard, &replayed),
                Err(damage @ (Error::Corrupt(_) | Error::Unsupported(_))) => {
                    unreadable.push((shard.log().id().clone(), damage));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(unreadable)
    }

    /// The topic's partitions, if there is the topic.
    fn shards(&self) -> Result<Option<Arc<Shards>>> {
        let mut topic = self.catalog.topic(TOPIC);
        if topic.is_none() {
            // Another process may have made it.
            self.catalog.refresh()?;
            topic = self.catalog.topic(TOPIC);
        }
        Ok(topic.map(|topic| self.shards_of(topic)))
    }

    /// The same, made if there are none.
    fn shards_to_write(&self, now: i64) -> Result<Arc<Shards>> {
        let _spending = self.catalog.spend(Purpose::Positions);
        let topic = match self.catalog.topic(TOPIC) {
            Some(topic) => topic,
            None => self.catalog.ensure_internal(TOPIC, &self.topic_config(), now)?,
        };
        Ok(self.shards_of(topic))
    }

    fn shards_of(&self, topic: Arc<TopicEntry>) -> Arc<Shards> {
        let known = |topic: &TopicEntry| self.present.read().clone().filter(|known| known.are_of(topic));
        if let Some(known) = known(&topic) {
            return known;
        }
        let _alone = self.arriving.lock();
        // Another thread may have been faster.
        known(&topic).unwrap_or_else(|| {
            let all = topic.partitions().iter().map(Shard::new).collect();
            let new = Arc::new(Shards { topic, all });
            *self.present.write() = Some(Arc::clone(&new));
            new
        })
    }

    /// What Kafka gives the topic, but for the segments.
    fn topic_config(&self) -> TopicConfig {
        TopicConfig::new()
            .partitions(self.partitions)
            .cleanup(CleanupPolicy::Compact)
            .segment_bytes(SEGMENT_BYTES)
            .set("compression.type", "uncompressed")
    }
}

impl Shards {
    fn are_of(&self, topic: &TopicEntry) -> bool {
        let first = |topic: &TopicEntry| topic.partitions().get(0).map(Arc::as_ptr);
        self.all.len() == topic.partitions().len() as usize && first(&self.topic) == first(topic)
    }

    /// The partition in which an id's states are: where those of a group of this name would be.
    fn of(&self, id: &str) -> Result<&Shard> {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let partition = group_partition(id, count);
        let missing = || Error::not_found("partition", format_args!("{TOPIC}-{partition}"));
        self.all.get(partition as usize).ok_or_else(missing)
    }

    fn how(&self, now: i64, durability: Durability) -> WriteOptions {
        let (append_time, producer) = (self.topic.rules().log_append_time(), BatchProducer::NONE);
        WriteOptions { now, append_time, durability, atomic: true, producer }
    }
}

/// Refuses an id that cannot be written before anything is.
fn check_id(id: &str) -> Result<()> {
    if i16::try_from(id.len()).is_ok() {
        return Ok(());
    }
    let reason = format!("it has {} bytes, but Kafka takes at most 32,767", id.len());
    Err(Error::invalid("transactional id", reason))
}
