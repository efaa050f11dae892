//! What the records of one partition of `__consumer_offsets` add up to: the last write of each key counts.
//!
//! Commits in a transaction count at its COMMIT marker, and only where no other commit came meanwhile. Records of kinds and
//! versions that are not known change nothing here. Pure: the code that reads the log, or has just appended to it, adds each
//! batch.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::control::ControlRecord;
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::group_metadata::GroupMetadata;
use crate::format::offset_commit::OffsetCommit;
use crate::format::raw_record::RawRecord;
use crate::format::uuid::Uuid;
use crate::group::beginning::Since;
use crate::keyed::{Replay, Skipped};
use crate::position::TopicPartition;

/// The groups of one partition.
#[derive(Debug, Default)]
pub(super) struct ReplayedGroups {
    groups: BTreeMap<Box<str>, Group>,
    /// Names of topics, each once.
    topics: HashSet<Arc<str>>,
    /// Commits of transactions that are open, by producer.
    pending: BTreeMap<i64, Pending>,
}

type Pending = BTreeMap<(Box<str>, TopicPartition), Stored>;

/// What is there of a group. One without anything is not kept.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) offsets: BTreeMap<TopicPartition, Stored>,
    /// Of a group of the classic protocol.
    pub(super) record: Option<GroupMetadata>,
    /// Keys of the records of a group of the "consumer" protocol, which are not read further.
    pub(super) others: BTreeSet<Box<[u8]>>,
    /// What is written in a version that is not known, and where that is: positions, and under `None` the record.
    newer: BTreeMap<Option<TopicPartition>, u64>,
}

/// A committed offset as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) offset: u64,
    pub(super) leader_epoch: Option<u32>,
    pub(super) metadata: Box<str>,
    pub(super) committed_at: i64,
    pub(super) expires_at: Option<i64>,
    /// Zero: it is about whichever topic has the name.
    pub(super) topic_id: Uuid,
    /// Where the record is in `__consumer_offsets`.
    pub(super) written: u64,
}

impl Replay for ReplayedGroups {
    fn apply(&mut self, batch: &Batch<'_>, from: u64, skipped: &mut dyn FnMut(Skipped)) {
        let mut records = batch.records();
        if batch.header.is_control() {
            if let Ok(record) = RawRecord::take(&mut records)
                && let Ok(end) = ControlRecord::decode(record.key, record.value)
            {
                self.end_transaction(batch.header.producer_id, end);
            }
            return;
        }
        let producer = batch.header.is_transactional().then_some(batch.header.producer_id);
        let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
        for _ in 0..batch.header.record_count {
            let Ok(record) = RawRecord::take(&mut records) else { return };
            let offset = base.saturating_add(u64::from(record.offset_delta.unsigned_abs()));
            if offset >= from
                && let Err(reason) = self.replay_record(record.key, record.value, offset, producer)
            {
                skipped(Skipped { offset, reason: reason.0.into() });
            }
        }
    }
}

impl ReplayedGroups {
    /// All groups, sorted.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Whether a transaction that is still open commits this.
    pub(super) fn is_pending(&self, group: &str, of: &TopicPartition) -> bool {
        !self.pending.is_empty() && {
            let key = (group.into(), of.clone());
            self.pending.values().any(|pending| pending.contains_key(&key))
        }
    }

    /// The producers whose open transactions commit this.
    pub(super) fn pending_producers(&self, group: &str, of: &TopicPartition) -> Vec<i64> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let key = (group.into(), of.clone());
        let commits = self.pending.iter().filter(|(_, pending)| pending.contains_key(&key));
        commits.map(|(producer, _)| *producer).collect()
    }

    /// Whether an open transaction commits a position of this group.
    pub(super) fn has_pending(&self, group: &str) -> bool {
        self.pending.values().any(|pending| pending.keys().any(|(of, _)| **of == *group))
    }

    fn replay_record(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        written: u64,
        producer: Option<i64>,
    ) -> Result<(), Malformed> {
        let raw = key.ok_or(Malformed("a record of a group has no key"))?;
        match CoordinatorKey::decode(raw)? {
            CoordinatorKey::Offset { group, topic, partition } => {
                let stored = match value.map(OffsetCommit::decode).transpose()? {
                    None => None,
                    Some(Some(commit)) => Some(Stored::new(&commit, written)),
                    Some(None) => {
                        let of = self.partition(topic, partition);
                        self.entry(group).newer.insert(Some(of), written);
                        return Err(Malformed::NEWER_COMMIT);
                    }
                };
                let of = self.partition(topic, partition);
                self.change(group, |group| {
                    group.newer.remove(&Some(of.clone()));
                });
                match (producer, stored) {
                    (None, Some(stored)) => self.put(group, of, stored),
                    (None, None) => {
                        // Of a topic that was deleted, as a rule: an open transaction must not bring it back.
                        self.forget_pending(group, &of);
                        self.change(group, |group| drop(group.offsets.remove(&of)));
                    }
                    (Some(producer), stored) => self.put_pending(producer, (group.into(), of), stored),
                }
            }
            CoordinatorKey::Group { group } => match value.map(GroupMetadata::decode).transpose()? {
                None => self.change(group, |group| {
                    group.record = None;
                    group.newer.remove(&None);
                }),
                Some(Some(record)) => {
                    let entry = self.entry(group);
                    entry.record = Some(record);
                    entry.newer.remove(&None);
                }
                Some(None) => {
                    self.entry(group).newer.insert(None, written);
                    return Err(Malformed::NEWER_COMMIT);
                }
            },
            key @ CoordinatorKey::Other { .. } => match (key.consumer_group(), value) {
                (None, _) => {}
                (Some(group), Some(_)) => {
                    self.entry(group).others.insert(raw.into());
                }
                (Some(group), None) => self.change(group, |group| {
                    group.others.remove(raw);
                }),
            },
        }
        Ok(())
    }

    fn partition(&mut self, topic: &str, partition: u32) -> TopicPartition {
        if let Some(known) = self.topics.get(topic) {
            return TopicPartition::new(Arc::clone(known), partition);
        }
        let topic: Arc<str> = topic.into();
        self.topics.insert(Arc::clone(&topic));
        TopicPartition::new(topic, partition)
    }

    fn entry(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.into()).or_default()
    }

    fn put(&mut self, group: &str, of: TopicPartition, stored: Stored) {
        // Nothing is allocated for a group that is known.
        match self.groups.get_mut(group) {
            Some(known) => known.offsets.insert(of, stored),
            None => self.entry(group).offsets.insert(of, stored),
        };
    }

    /// Takes something away from a group, and the group with it if nothing is left.
    fn change(&mut self, group: &str, take: impl FnOnce(&mut Group)) {
        let Some(known) = self.groups.get_mut(group) else { return };
        take(known);
        if known.is_empty() {
            self.groups.remove(group);
        }
    }

    fn put_pending(&mut self, producer: i64, key: (Box<str>, TopicPartition), stored: Option<Stored>) {
        let pending = self.pending.entry(producer).or_default();
        match stored {
            Some(stored) => drop(pending.insert(key, stored)),
            None => drop(pending.remove(&key)),
        }
        if pending.is_empty() {
            self.pending.remove(&producer);
        }
    }

    fn forget_pending(&mut self, group: &str, of: &TopicPartition) {
        if !self.pending.is_empty() {
            let key = (group.into(), of.clone());
            self.pending.retain(|_, pending| {
                pending.remove(&key);
                !pending.is_empty()
            });
        }
    }

    fn end_transaction(&mut self, producer: i64, end: ControlRecord) {
        match end {
            ControlRecord::Abort { .. } => drop(self.pending.remove(&producer)),
            ControlRecord::Commit { .. } => {
                for ((group, of), stored) in self.pending.remove(&producer).unwrap_or_default() {
                    let known = self.groups.get(&group).and_then(|group| group.offsets.get(&of));
                    if known.is_none_or(|known| known.written < stored.written) {
                        self.put(&group, of, stored);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Key, value, producer, and whether a transaction of that ends.
#[cfg(any(fuzzing, test))]
type Record<'r> = (Option<&'r [u8]>, Option<&'r [u8]>, Option<i64>, bool);

/// Replays records, each with the producer of its transaction if it has one; the last field says whether the record ends it.
#[cfg(any(fuzzing, test))]
pub(crate) fn replay(records: Vec<Record<'_>>) {
    let mut replay = ReplayedGroups::default();
    for ((key, value, producer, ends), written) in records.into_iter().zip(0..) {
        match producer.filter(|_| ends) {
            Some(producer) if value.is_none() => {
                replay.end_transaction(producer, ControlRecord::Abort { coordinator_epoch: 0 });
            }
            Some(producer) => {
                replay.end_transaction(producer, ControlRecord::Commit { coordinator_epoch: 0 });
            }
            None => drop(replay.replay_record(key, value, written, producer)),
        }
    }
    for (name, group) in replay.groups() {
        assert!(!group.is_empty(), "{name} has nothing and is kept");
        let _ = (group.since(), group.only_commits(), group.waits_for_topics());
    }
    assert!(replay.pending.values().all(|pending| !pending.is_empty()));
}

impl Group {
    /// Since when it has positions. `None`: it has none.
    pub(super) fn since(&self) -> Option<Since> {
        match self.record.as_ref().and_then(GroupMetadata::since) {
            Some(since) => Some(Since::Noted(since)),
            None if self.offsets.is_empty() && self.others.is_empty() => None,
            None => Some(Since::Unknown),
        }
    }

    /// Whether its record says no more than that there are commits.
    pub(super) fn only_commits(&self) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.protocol_type.is_empty() && record.members.is_empty())
    }

    /// Whether it has begun and had nothing to read yet. It notes the time when it has lost its last member.
    pub(super) fn waits_for_topics(&self) -> bool {
        let has_begun = |record: &GroupMetadata| record.since().is_some() && record.state_since.is_none();
        self.offsets.is_empty() && !self.only_commits() && self.record.as_ref().is_some_and(has_begun)
    }

    /// Where a position is, or the group's record, if it is of a version that is not known.
    pub(super) fn newer(&self, of: Option<&TopicPartition>) -> Option<u64> {
        if self.newer.is_empty() { None } else { self.newer.get(&of.cloned()).copied() }
    }

    /// Where the first of such positions is.
    pub(super) fn newer_position(&self) -> Option<u64> {
        self.newer.iter().filter(|(of, _)| of.is_some()).map(|(_, at)| *at).min()
    }

    pub(super) fn has_newer(&self) -> bool {
        !self.newer.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.record.is_none() && self.others.is_empty() && self.newer.is_empty()
    }
}

impl Stored {
    fn new(commit: &OffsetCommit<'_>, written: u64) -> Self {
        let OffsetCommit { offset, leader_epoch, metadata, committed_at, expires_at, topic_id } = *commit;
        let metadata = metadata.into();
        Self { offset, leader_epoch, metadata, committed_at, expires_at, topic_id, written }
    }
}
