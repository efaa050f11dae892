//! What the metadata log says: its records, replayed into topics. Pure: no files, no time.
//!
//! Settings are kept by the topic's name, as the log has them, so it does not matter whether a topic or its
//! settings come first. Who leads a partition is not kept, only how often that has changed: while we hold the log it
//! is us.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::removed::Removed;
use crate::config::topic_name;
use crate::format::Malformed;
use crate::format::control::Voter;
use crate::format::metadata_record::MetadataRecord;
use crate::format::uuid::Uuid;

/// Resource type of the settings of a topic.
pub(super) const TOPIC_RESOURCE: i8 = 2;
/// Resource type of the settings of a broker.
const BROKER_RESOURCE: i8 = 4;
/// The setting that has a topic compacted, and the one that has all topics of a broker compacted which do not say.
const CLEANUP_POLICY: &str = "cleanup.policy";
const BROKER_CLEANUP_POLICY: &str = "log.cleanup.policy";
/// The feature whose level says which records may be in the log.
pub(super) const METADATA_VERSION: &str = "metadata.version";

/// The topics after some prefix of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    topics: BTreeMap<Uuid, TopicState>,
    ids: BTreeMap<String, Uuid>,
    /// Names that may be too much like each other.
    alike: BTreeMap<String, BTreeSet<String>>,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    /// Names of topics that were to be compacted at some time, or whose earlier settings the log does not show.
    compacted: BTreeSet<String>,
    /// A broker was configured to compact every topic that does not say otherwise.
    brokers_compact: bool,
    removed: Removed,
    features: BTreeMap<String, i16>,
    next_producer_id: i64,
    /// Leader epoch of the last batch that was read.
    epoch: u32,
    /// Of a quorum whose members are noted in the log itself.
    voters: Vec<Voter>,
    /// Records after the begin of a transaction whose end has not come.
    transaction: Option<Vec<MetadataRecord>>,
    /// Where the next record is.
    offset: u64,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicState {
    pub(super) name: String,
    /// Gaps in the numbers do not occur in a log that a broker can read.
    pub(super) partitions: BTreeMap<u32, PartitionState>,
}

/// One partition, as it was noted last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PartitionState {
    pub(super) replicas: Vec<i32>,
    pub(super) leader_epoch: u32,
    /// How often it was changed.
    pub(super) partition_epoch: i32,
    /// The log directory of each replica, as it was noted last; of old records empty.
    pub(super) directories: Vec<Uuid>,
    /// Offset of the record that made it count. Of one that is in a snapshot, the last offset that the snapshot covers:
    /// it is not known when it was made, but not later.
    pub(super) made_at: u64,
}

impl State {
    /// Says where the records that follow are.
    pub(super) fn at(&mut self, offset: u64) -> &mut Self {
        self.offset = offset;
        self
    }

    /// Takes the next record. What cannot be true is refused; what is not known does not matter.
    pub(super) fn apply(&mut self, record: MetadataRecord) -> Result<(), Malformed> {
        match record {
            MetadataRecord::BeginTransaction => {
                self.transaction.get_or_insert_default();
                Ok(())
            }
            MetadataRecord::EndTransaction => {
                self.transaction.take().into_iter().flatten().try_for_each(|record| self.count(record))
            }
            MetadataRecord::AbortTransaction => {
                self.transaction = None;
                Ok(())
            }
            record => match &mut self.transaction {
                Some(waiting) => {
                    waiting.push(record);
                    Ok(())
                }
                None => self.count(record),
            },
        }
    }

    fn count(&mut self, record: MetadataRecord) -> Result<(), Malformed> {
        match record {
            MetadataRecord::FeatureLevel { name, level } => {
                self.features.insert(name, level);
            }
            MetadataRecord::Topic { name, id } => self.add_topic(name, id)?,
            MetadataRecord::Partition {
                partition,
                topic_id,
                replicas,
                leader_epoch,
                partition_epoch,
                directories,
                ..
            } => {
                if let Some(topic) = self.topics.get_mut(&topic_id) {
                    let leader_epoch = u32::try_from(leader_epoch).unwrap_or(0);
                    let made_at = topic.partitions.get(&partition).map_or(self.offset, |known| known.made_at);
                    let state =
                        PartitionState { replicas, leader_epoch, partition_epoch, directories, made_at };
                    topic.partitions.insert(partition, state);
                }
            }
            record @ MetadataRecord::Other { .. } => self.change(&record),
            MetadataRecord::Config { resource_type: TOPIC_RESOURCE, resource_name, name, value } => {
                if name == CLEANUP_POLICY && value.as_deref().is_some_and(compacts) {
                    self.compacted.insert(resource_name.clone());
                }
                let settings = self.settings.entry(resource_name).or_default();
                match value {
                    Some(value) => settings.insert(name, value),
                    None => settings.remove(&name),
                };
            }
            MetadataRecord::RemoveTopic { topic_id } => self.remove_topic(topic_id),
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = next_producer_id,
            MetadataRecord::Config { resource_type: BROKER_RESOURCE, name, value, .. } => {
                self.brokers_compact |=
                    name == BROKER_CLEANUP_POLICY && value.as_deref().is_some_and(compacts);
            }
            MetadataRecord::Config { .. }
            | MetadataRecord::BeginTransaction
            | MetadataRecord::EndTransaction
            | MetadataRecord::AbortTransaction => {}
        }
        Ok(())
    }

    fn change(&mut self, record: &MetadataRecord) {
        let Some(change) = record.partition_change() else { return };
        let topic = self.topics.get_mut(&change.topic_id);
        let Some(partition) = topic.and_then(|topic| topic.partitions.get_mut(&change.partition)) else {
            return;
        };
        partition.partition_epoch = partition.partition_epoch.saturating_add(1);
        partition.leader_epoch = partition.leader_epoch.saturating_add(change.elects.into());
        if let Some(replicas) = change.replicas {
            partition.replicas = replicas;
        }
        if let Some(directories) = change.directories {
            partition.directories = directories;
        }
    }

    /// A batch of this leader epoch was read.
    pub(super) fn set_epoch(&mut self, epoch: i32) {
        self.epoch = u32::try_from(epoch).unwrap_or(0);
    }

    /// Leader epoch of the last batch that was read.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The members of the quorum are these from here on.
    pub(super) fn set_voters(&mut self, voters: Vec<Voter>) {
        self.voters = voters;
    }

    /// The members of the quorum, if the log notes them.
    pub(super) fn voters(&self) -> &[Voter] {
        &self.voters
    }

    fn add_topic(&mut self, name: String, id: Uuid) -> Result<(), Malformed> {
        // The name becomes part of a path, and that of the log itself must stay the log's.
        if topic_name::check(&name).is_err() || name == topic_name::CLUSTER_METADATA {
            return Err(Malformed("a topic has a name that no topic can have"));
        }
        if id.is_reserved() {
            return Err(Malformed("a topic has a reserved id"));
        }
        self.removed.take_back(id);
        self.alike.entry(likeness(&name, true)).or_default().insert(name.clone());
        if let Some(before) = self.ids.insert(name.clone(), id).filter(|before| *before != id) {
            self.topics.remove(&before);
        }
        self.topics.insert(id, TopicState { name, partitions: BTreeMap::new() });
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid) {
        let name = self.topics.remove(&id).map(|topic| topic.name);
        if let Some(name) = name.as_ref().filter(|name| self.ids.get(*name) == Some(&id)) {
            self.ids.remove(name);
            self.settings.remove(name);
            self.compacted.remove(name);
            if let Entry::Occupied(mut alike) = self.alike.entry(likeness(name, true)) {
                alike.get_mut().remove(name);
                if alike.get().is_empty() {
                    alike.remove();
                }
            }
        }
        self.removed.add(id, name);
    }

    /// Whether every topic has the partitions 0 to n − 1, at least one. Topics are made in one step, so nothing less is
    /// ever there between two steps.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.topics().find(|(_, topic)| !(0..).zip(topic.partitions.keys()).all(|(n, key)| n == *key)) {
            Some((_, topic)) => Err(format!("topic {:?} lacks one of its partitions", topic.name)),
            None => match self.topics().find(|(_, topic)| topic.partitions.is_empty()) {
                Some((_, topic)) => Err(format!("topic {:?} has no partitions", topic.name)),
                None => Ok(()),
            },
        }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (Uuid, &TopicState)> {
        self.topics.iter().map(|(id, topic)| (*id, topic))
    }

    pub(super) fn topic(&self, id: Uuid) -> Option<&TopicState> {
        self.topics.get(&id)
    }

    pub(super) fn id_of(&self, name: &str) -> Option<Uuid> {
        self.ids.get(name).copied()
    }

    pub(super) fn has_partition(&self, topic: &str, partition: u32) -> bool {
        let topic = self.id_of(topic).and_then(|id| self.topic(id));
        topic.is_some_and(|topic| topic.partitions.contains_key(&partition))
    }

    /// What was set for the topic, by Kafka name.
    pub(super) fn settings_of(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.settings.get(name).into_iter().flatten();
        settings.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a topic may have been compacted at some time.
    pub(super) fn may_have_been_compacted(&self, name: &str) -> bool {
        self.brokers_compact || self.compacted.contains(name)
    }

    /// What the topics were before is not known: a snapshot has the last values of settings only.
    pub(super) fn forget_history(&mut self) {
        self.compacted.extend(self.ids.keys().cloned());
    }

    /// A topic whose name cannot exist beside this one. `fold_case`: nor can those that differ in case only.
    pub(super) fn alike(&self, name: &str, fold_case: bool) -> Option<&str> {
        let key = likeness(name, fold_case);
        let mut alike = self.alike.get(&likeness(name, true))?.iter();
        alike.find(|other| likeness(other, fold_case) == key).map(String::as_str)
    }

    /// Topics that were deleted, until [`forget_removed`](Self::forget_removed).
    pub(super) fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Keeps no deleted topics from here on: the directories that are there have been compared with them.
    pub(super) fn forget_removed(&mut self) {
        self.removed = Removed::Forgotten;
    }

    pub(super) fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    pub(super) fn feature(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// Producer ids from here on were never assigned.
    pub(super) fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }
}

/// Whether a cleanup policy has logs compacted.
fn compacts(policy: &str) -> bool {
    policy.split(',').any(|part| part.trim() == "compact")
}

/// Two topics with equal likeness cannot both exist.
pub(super) fn likeness(name: &str, fold_case: bool) -> String {
    let key = topic_name::collision_key(name);
    if fold_case { topic_name::case_key(&key) } else { key }
}

#[cfg(test)]
mod tests;
