//! Committed offsets: how far each group has come, kept in the topic `__consumer_offsets` as Kafka keeps it.
//!
//! The topic's log is the truth. A partition of it is read when it is first asked for, from its start to its end, and
//! from then on what is written is counted after it is in the log. The topic is made with the first commit, with as many
//! partitions as Kafka gives it; where a broker made it, its partitions are used as they are.
//!
//! Locks: the coordinator's lock of a group, if it holds one, comes before those in here, and those come before the
//! locks of partitions and of the catalog. No code of the user's runs under them.
//!
//! | file | what |
//! |---|---|
//! | [`replay`] | the state that the records add up to |
//! | [`shard`] | one partition: the records of groups in a [`KeyedLog`](crate::keyed::KeyedLog) |
//! | [`cleanup`] | changes to the commits of any group |
//! | [`expiry`] | which offsets are too old, by Kafka's rules |
//! | [`recommit`] | committing those again for a broker |

mod cleanup;
mod expiry;
mod recommit;
mod replay;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub(crate) use recommit::Commit;
#[cfg(any(fuzzing, test))]
pub(crate) use replay::replay;
use replay::{Group, Stored};
use shard::{Change, Shard, To};

use super::beginning::Since;
use crate::catalog::{Catalog, TopicEntry};
use crate::config::{CleanupPolicy, Durability, TopicConfig};
use crate::error::{Error, Result};
use crate::events::Announcer;
use crate::format::batch_producer::BatchProducer;
use crate::format::control::EndMarker;
use crate::format::coordinator_record::group_partition;
use crate::format::group_metadata::GroupMetadata;
use crate::format::offset_commit::OffsetCommit;
use crate::format::uuid::Uuid;
use crate::keyed::WriteOptions;
use crate::partition::PartitionLog;
use crate::position::{Position, TopicPartition};
use crate::sys::Purpose;

/// Kafka's name for the topic.
pub(crate) use crate::config::topic_name::CONSUMER_OFFSETS as TOPIC;
/// Partitions that Kafka gives it.
pub(crate) const PARTITIONS: u32 = 50;
/// Small, so that what was overwritten can be compacted away soon: the segment that is written to never is.
const SEGMENT_BYTES: u32 = 4 << 20;

/// The committed offsets of an open directory. Shared by all threads; nothing is read before the first use.
// One type: its methods are what groups and transactions ask of one topic.
#[derive(Debug)]
pub(crate) struct CommittedOffsets {
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

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The offset of the next record to read.
    pub(crate) offset: u64,
    /// Leader epoch of the record before it, if the consumer that committed knew it.
    pub(crate) leader_epoch: Option<u32>,
    /// What the committer wanted to remember. Empty in commits of ours.
    pub(crate) metadata: Box<str>,
    /// When it was committed, in milliseconds since 1970.
    pub(crate) at: i64,
}

/// A commit that is in the log, and up to which offset its partition has to be on disk.
#[derive(Debug)]
#[must_use = "what was promised may have to be waited for"]
pub(crate) struct Awaited(Option<(Arc<PartitionLog>, u64)>);

impl Awaited {
    /// Returns when the commit is as safe as was asked for.
    pub(crate) fn wait(self) -> Result<()> {
        self.0.map_or(Ok(()), |(log, end)| log.leader()?.await_durable(end))
    }
}

impl Committed {
    pub(crate) fn position(&self, of: TopicPartition) -> Position {
        let position = Position::new(of, self.offset).with_metadata(self.metadata.clone());
        match self.leader_epoch {
            Some(epoch) => position.with_leader_epoch(epoch),
            None => position,
        }
    }
}

impl CommittedOffsets {
    /// `partitions`: how many the topic gets if it has to be made, Kafka's [`PARTITIONS`] unless there is a reason.
    pub(crate) fn new(catalog: Arc<Catalog>, events: Announcer, partitions: u32) -> Self {
        Self { catalog, events, partitions, arriving: Mutex::default(), present: RwLock::default() }
    }

    /// What a group has committed of a partition.
    pub(crate) fn get(&self, group: &str, of: &TopicPartition) -> Result<Option<Committed>> {
        let Some(shards) = self.shards()? else { return Ok(None) };
        let shard = shards.of(group)?;
        let replay = shard.present(&self.events)?;
        shard.refuse_newer(replay.group(group).and_then(|group| group.newer(Some(of))))?;
        let stored = replay.group(group).and_then(|group| group.offsets.get(of));
        Ok(stored.filter(|stored| self.counts(of, stored)).map(Stored::committed))
    }

    /// All that a group has committed, sorted.
    pub(crate) fn of_group(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        let shard = shards.of(group)?;
        let replay = shard.present(&self.events)?;
        shard.refuse_newer(replay.group(group).and_then(Group::newer_position))?;
        let offsets = replay.group(group).into_iter().flat_map(|group| &group.offsets);
        let counting = offsets.filter(|(of, stored)| self.counts(of, stored));
        // `counts` has just shown that the commits are about the topics that have the names now.
        Ok(counting.map(|(of, stored)| (self.catalog.present(of), stored.committed())).collect())
    }

    /// The record of a group of the classic protocol, if there is one. A group that only ever committed needs none.
    pub(crate) fn group_record(&self, group: &str) -> Result<Option<GroupMetadata>> {
        let Some(shards) = self.shards()? else { return Ok(None) };
        let shard = shards.of(group)?;
        let replay = shard.present(&self.events)?;
        shard.refuse_newer(replay.group(group).and_then(|group| group.newer(None)))?;
        Ok(replay.group(group).and_then(|group| group.record.clone()))
    }

    /// Whether a record of the classic protocol about a group is valid: it has committed something or has one, and it is
    /// not of the protocol that keeps other records, beside which a broker would not take one.
    pub(crate) fn may_have_record(&self, group: &str) -> Result<bool> {
        let Some(shards) = self.shards()? else { return Ok(false) };
        let replay = shards.of(group)?.present(&self.events)?;
        // Without anything it would not be known.
        Ok(replay.group(group).is_some_and(|group| group.others.is_empty()))
    }

    /// Every group with a committed offset or a record, of whichever protocol, sorted.
    pub(crate) fn groups(&self) -> Result<Vec<String>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        let mut names = BTreeSet::new();
        for shard in &shards.all {
            let replay = shard.present(&self.events)?;
            let there = replay.groups().filter(|(_, group)| {
                group.record.is_some()
                    || !group.others.is_empty()
                    || group.has_newer()
                    || group.offsets.iter().any(|(of, stored)| self.counts(of, stored))
            });
            names.extend(there.map(|(name, _)| name.to_owned()));
        }
        Ok(names.into_iter().collect())
    }

    /// Since when a group has positions. `None`: it has none.
    pub(crate) fn since(&self, group: &str) -> Result<Option<Since>> {
        let Some(shards) = self.shards()? else { return Ok(None) };
        let replay = shards.of(group)?.present(&self.events)?;
        Ok(replay.group(group).and_then(Group::since))
    }

    /// Commits positions of a group: in the log when it returns, and as safe as `level` says once it was waited for, which
    /// needs no lock of the caller's. One batch, so all or none; what is committed already is not written again.
    /// `record`: the group's, to be written before them.
    ///
    /// `InvalidInput`, and nothing is written, for an offset that no log can reach or a name that is too long; `NotFound`
    /// for a partition that knows its topic, and whose topic was deleted.
    pub(crate) fn append(
        &self,
        group: &str,
        positions: &[Position],
        record: Option<&GroupMetadata>,
        now: i64,
        level: Durability,
    ) -> Result<Awaited> {
        check_name("group id", group)?;
        positions.iter().try_for_each(check)?;
        if positions.is_empty() && record.is_none() {
            return Ok(Awaited(None));
        }
        let shards = self.shards_to_write(now)?;
        let shard = shards.of(group)?;
        let mut until = None;
        {
            let mut writer = shard.writer(&self.events)?;
            self.refuse_others(positions.iter().map(Position::topic_partition))?;
            let sync_requested = writer.sync_requested();
            // Where a partition may come twice, what is committed already may not be so after another commit of it.
            let distinct = positions.is_sorted_by(|one, next| one.topic_partition() < next.topic_partition());
            let mut has_news = false;
            let is_new = |position: &&Position| {
                let is_new = match self.written(shard, group, position) {
                    Some(written) if distinct || !has_news => match level {
                        Durability::Buffered => false,
                        Durability::Interval(_) => written >= sync_requested.max(shard.log().durable_end()),
                        Durability::Synced => {
                            until = until.max(Some(written + 1));
                            false
                        }
                    },
                    _ => true,
                };
                has_news |= is_new;
                is_new
            };
            let commits = positions.iter().filter(is_new);
            let commits =
                commits.map(|position| To::Commit(position.topic_partition(), commit(position, now)));
            let changes = record.map(To::Record).into_iter().chain(commits).map(|to| Change { group, to });
            let end = shard.write(&mut writer, changes, shards.how(now, level))?;
            until = until.max(end);
        }
        let until = until.filter(|_| level == Durability::Synced);
        Ok(Awaited(until.map(|end| (Arc::clone(shard.log()), end))))
    }

    /// The partition of the topic in which a group's positions are, made if it is not there.
    pub(crate) fn shard_of(&self, group: &str, now: i64) -> Result<Arc<PartitionLog>> {
        check_name("group id", group)?;
        Ok(Arc::clone(self.shards_to_write(now)?.of(group)?.log()))
    }

    /// Writes positions of a group that count once the transaction of `producer` does, as one batch. Returns the offset after it.
    /// What is refused is as with [`append`](Self::append).
    pub(crate) fn append_pending(
        &self,
        group: &str,
        positions: &[Position],
        producer: BatchProducer,
        now: i64,
        level: Durability,
    ) -> Result<u64> {
        positions.iter().try_for_each(check)?;
        let shards = self.shards_to_write(now)?;
        let shard = shards.of(group)?;
        let mut writer = shard.writer(&self.events)?;
        self.refuse_others(positions.iter().map(Position::topic_partition))?;
        let commits =
            positions.iter().map(|position| To::Commit(position.topic_partition(), commit(position, now)));
        let changes = commits.map(|to| Change { group, to });
        let options = WriteOptions { producer, ..shards.how(now, level) };
        let end = shard.write(&mut writer, changes, options)?;
        end.ok_or_else(|| Error::invalid("committed position", "there is none"))
    }

    /// Ends a transaction in a partition of the topic.
    pub(crate) fn end_transaction(
        &self,
        of: &PartitionLog,
        marker: EndMarker,
        now: i64,
        level: Durability,
    ) -> Result<u64> {
        let shards = self.shards_to_write(now)?;
        let shard = shards.all.iter().find(|shard| shard.log().is_same(of));
        let shard = shard.ok_or_else(|| Error::not_found("partition", of.id()))?;
        let mut writer = shard.writer(&self.events)?;
        shard.end_transaction(&mut writer, marker, shards.how(now, level))
    }

    /// The producers whose open transactions commit a position of a group in this partition.
    pub(crate) fn pending_producers(&self, group: &str, of: &TopicPartition) -> Result<Vec<i64>> {
        let Some(shards) = self.shards()? else { return Ok(Vec::new()) };
        Ok(shards.of(group)?.present(&self.events)?.pending_producers(group, of))
    }

    /// Refuses a change of a group's positions while an open transaction commits some.
    pub(crate) fn refuse_pending(&self, group: &str) -> Result<()> {
        let Some(shards) = self.shards()? else { return Ok(()) };
        if shards.of(group)?.present(&self.events)?.has_pending(group) {
            return Err(Error::GroupNotEmpty { group: group.into() });
        }
        Ok(())
    }

    /// Takes back what a group has committed of these partitions. A group that only ever committed ends with that.
    pub(crate) fn remove(&self, group: &str, of: &[TopicPartition], now: i64) -> Result<()> {
        let Some(shards) = self.shards()? else { return Ok(()) };
        let shard = shards.of(group)?;
        let mut writer = shard.writer(&self.events)?;
        self.refuse_others(of)?;
        let (gone, ends): (BTreeSet<_>, _) = match shard.present(&self.events)?.group(group) {
            Some(group) => {
                let gone: BTreeSet<_> = of.iter().filter(|of| group.offsets.contains_key(*of)).collect();
                let ends = !gone.is_empty() && gone.len() == group.offsets.len() && group.only_commits();
                (gone, ends)
            }
            None => return Ok(()),
        };
        let commits = gone.into_iter().map(To::NoCommit);
        let changes = commits.chain(ends.then_some(To::NoRecord)).map(|to| Change { group, to });
        shard.write(&mut writer, changes, shards.how(now, Durability::Buffered)).map(drop)
    }

    /// Takes back everything that there is of a group.
    pub(crate) fn delete_group(&self, group: &str, now: i64) -> Result<()> {
        let Some(shards) = self.shards()? else { return Ok(()) };
        let shard = shards.of(group)?;
        let mut writer = shard.writer(&self.events)?;
        let (offsets, has_record, others) = match shard.present(&self.events)?.group(group) {
            Some(group) => (
                group.offsets.keys().cloned().collect::<Vec<_>>(),
                group.record.is_some(),
                group.others.iter().cloned().collect::<Vec<_>>(),
            ),
            None => return Ok(()),
        };
        // A broker that reads this refuses the end of a group before that of what it consists of, which have the higher
        // kinds. For commits without a record it makes up a group, which is gone only once the record is.
        let changes = offsets
            .iter()
            .map(To::NoCommit)
            .chain(others.iter().rev().map(|key| To::Nothing(key)))
            .chain((has_record || others.is_empty()).then_some(To::NoRecord))
            .map(|to| Change { group, to });
        shard.write(&mut writer, changes, shards.how(now, Durability::Buffered)).map(drop)
    }

    /// Writes the record of a group of the classic protocol, unless it is the one that is there.
    pub(crate) fn write_group(&self, group: &str, record: &GroupMetadata, now: i64) -> Result<()> {
        check_name("group id", group)?;
        let shards = self.shards_to_write(now)?;
        let shard = shards.of(group)?;
        let mut writer = shard.writer(&self.events)?;
        let known = shard
            .present(&self.events)?
            .group(group)
            .is_some_and(|known| known.record.as_ref() == Some(record));
        let changes = (!known).then_some(Change { group, to: To::Record(record) });
        shard.write(&mut writer, changes, shards.how(now, Durability::Buffered)).map(drop)
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
            .set("compression.type", "producer")
    }

    /// Refuses partitions of topics that were deleted, or that may have been. The caller holds the shard's writer: what follows
    /// from a deletion needs it too, and comes after what the caller writes.
    fn refuse_others<'p>(&self, partitions: impl IntoIterator<Item = &'p TopicPartition>) -> Result<()> {
        let mut known = None;
        partitions.into_iter().try_for_each(|of| {
            self.catalog.refuse_unsettled_topic(of.topic())?;
            match of.topic_id() {
                same if same == known => Ok(()),
                other => {
                    known = other;
                    self.catalog.refuse_other(of)
                }
            }
        })
    }

    /// Whether a commit is about the topic that has the name now, and this topic is meant.
    fn counts(&self, of: &TopicPartition, stored: &Stored) -> bool {
        let is_about = |id: &Uuid| {
            (stored.topic_id == Uuid::ZERO || stored.topic_id == *id) && of.may_be_of(id.as_bytes())
        };
        (stored.topic_id == Uuid::ZERO && of.topic_id().is_none())
            || self.catalog.topic(of.topic()).is_some_and(|topic| is_about(&topic.id()))
    }

    /// Where the commit is that says of the partition what this position does, if there is one. The caller holds the
    /// shard's writer, which has read the log.
    fn written(&self, shard: &Shard, group: &str, position: &Position) -> Option<u64> {
        let replay = shard.present(&self.events).ok()?;
        let stored = replay.group(group)?.offsets.get(position.topic_partition())?;
        let same = stored.offset == position.offset()
            && *stored.metadata == *position.metadata()
            && position.leader_epoch().is_none_or(|epoch| stored.leader_epoch == Some(epoch))
            && self.counts(position.topic_partition(), stored);
        same.then_some(stored.written)
    }
}

impl Shards {
    fn are_of(&self, topic: &TopicEntry) -> bool {
        let first = |topic: &TopicEntry| topic.partitions().get(0).map(Arc::as_ptr);
        self.all.len() == topic.partitions().len() as usize && first(&self.topic) == first(topic)
    }

    /// The partition in which a group's records are.
    fn of(&self, group: &str) -> Result<&Shard> {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let partition = group_partition(group, count);
        let missing = || Error::not_found("partition", format_args!("{TOPIC}-{partition}"));
        self.all.get(partition as usize).ok_or_else(missing)
    }

    fn how(&self, now: i64, durability: Durability) -> WriteOptions {
        let (append_time, producer) = (self.topic.rules().log_append_time(), BatchProducer::NONE);
        WriteOptions { now, append_time, durability, atomic: true, producer }
    }
}

impl Stored {
    fn committed(&self) -> Committed {
        let Self { offset, leader_epoch, metadata, committed_at: at, .. } = self;
        Committed { offset: *offset, leader_epoch: *leader_epoch, metadata: metadata.clone(), at: *at }
    }
}

/// The record of a position that is committed now.
fn commit(position: &Position, now: i64) -> OffsetCommit<'_> {
    OffsetCommit {
        offset: position.offset(),
        leader_epoch: position.leader_epoch(),
        metadata: position.metadata(),
        committed_at: now,
        expires_at: None,
        topic_id: Uuid::ZERO,
    }
}

/// Refuses a name that cannot be written before anything is.
fn check_name(what: &'static str, name: &str) -> Result<()> {
    if i16::try_from(name.len()).is_ok() {
        return Ok(());
    }
    Err(Error::invalid(what, format!("it has {} bytes, but Kafka takes at most 32,767", name.len())))
}

/// Refuses a position that cannot be written before anything is.
fn check(position: &Position) -> Result<()> {
    check_name("topic name", position.topic_partition().topic())?;
    check_name("metadata of a position", position.metadata())?;
    let reason = if i64::try_from(position.offset()).is_err() {
        format!("{} is above 9,223,372,036,854,775,807, beyond which no log has offsets", position.offset())
    } else if position.leader_epoch().is_some_and(|epoch| i32::try_from(epoch).is_err()) {
        "the leader epoch is above 2,147,483,647, beyond which there is none".to_owned()
    } else if i32::try_from(position.topic_partition().partition()).is_err() {
        format!("{} has a partition number that no topic has", position.topic_partition())
    } else {
        return Ok(());
    };
    Err(Error::invalid("committed position", reason))
}

/// Waits for what `level` promises beyond what appending has asked for.
fn await_durable(shard: &Shard, until: Option<u64>, level: Durability) -> Result<()> {
    match (level, until) {
        (Durability::Synced, Some(end)) => shard.log().leader()?.await_durable(end),
        _ => Ok(()),
    }
}
