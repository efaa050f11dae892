//! A topic of an open log: its settings and its partitions.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::describe::{PartitionDescription, TopicDescription};
use super::state::{PartitionState, TopicState};
use crate::config::{TopicConfig, TopicSettings, topic_name};
use crate::format::uuid::Uuid;
use crate::partition::{Checkpointed, Chores, PartitionLog, PartitionSettings};
use crate::position::TopicPartition;
use crate::sys::Disk;

/// One topic, from its creation or the open of the log until it is deleted. Never changes but for that.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    name: Arc<str>,
    id: Uuid,
    config: TopicConfig,
    settings: TopicSettings,
    partitions: Vec<Arc<PartitionLog>>,
    /// Copies of each partition.
    copies: u16,
    /// Nodes that are to have a copy, by partition.
    replicas: Vec<Vec<i32>>,
    /// The node of the directory.
    node: i32,
    /// Set once, under the catalog's lock.
    deleted: AtomicBool,
}

/// What the partitions of all topics have in common.
pub(super) struct Surroundings<'c> {
    pub(super) root: &'c Path,
    pub(super) disk: &'c Disk,
    pub(super) chores: &'c Chores,
    pub(super) node: i32,
}

impl TopicEntry {
    /// `checkpointed` tells what the checkpoints say of a partition.
    pub(super) fn new<'s>(
        id: Uuid,
        topic: &'s TopicState,
        set: impl Iterator<Item = (&'s str, &'s str)>,
        around: &Surroundings<'_>,
        checkpointed: impl Fn(&TopicPartition) -> Checkpointed,
    ) -> Self {
        let name: Arc<str> = topic.name.as_str().into();
        let copies = topic.partitions.values().next().map_or(1, |first| first.replicas.len().max(1));
        let copies = u16::try_from(copies).unwrap_or(u16::MAX);
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let config = TopicConfig::from_entries(count, set).replication_factor(copies);
        let settings = config.settings();
        let open = |(partition, found): (u32, &PartitionState)| {
            let of = TopicPartition::new(Arc::clone(&name), partition);
            let checkpointed = checkpointed(&of);
            let settings = PartitionSettings {
                segment_bytes: settings.segment_bytes,
                max_batch_bytes: settings.max_message_bytes,
                index_interval_bytes: settings.index_interval_bytes,
                first_epoch: found.leader_epoch,
            };
            let chores = around.chores.clone();
            PartitionLog::new(of, id, around.root, around.disk, settings, checkpointed, chores)
        };
        let partitions = (0..).zip(topic.partitions.values()).map(open).collect();
        let replicas = topic.partitions.values().map(|partition| partition.replicas.clone()).collect();
        let deleted = AtomicBool::new(false);
        Self { name, id, config, settings, partitions, copies, replicas, node: around.node, deleted }
    }

    /// The same with the partitions that are open already, so that those who read them notice nothing.
    pub(super) fn with_partitions_of(mut self, known: &Self) -> Self {
        for (partition, open) in self.partitions.iter_mut().zip(&known.partitions) {
            *partition = Arc::clone(open);
        }
        self
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Partition count and settings as the metadata log holds them.
    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    pub(crate) fn settings(&self) -> &TopicSettings {
        &self.settings
    }

    /// The partitions, each at the place of its number.
    pub(crate) fn partitions(&self) -> &[Arc<PartitionLog>] {
        &self.partitions
    }

    /// Whether Kafka keeps this topic for itself.
    pub(crate) fn is_internal(&self) -> bool {
        topic_name::is_reserved(&self.name)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.partitions.iter().for_each(|partition| partition.delete());
    }

    pub(crate) fn describe(&self) -> TopicDescription {
        let partitions = (0..).zip(&self.replicas).map(|(partition, replicas)| {
            // Whoever holds the log leads what the log is to have.
            let ours = replicas.contains(&self.node);
            PartitionDescription {
                partition,
                leader: ours.then_some(self.node),
                replicas: replicas.clone(),
                isr: if ours { vec![self.node] } else { Vec::new() },
            }
        });
        TopicDescription {
            name: self.name.to_string(),
            id: self.id,
            internal: self.is_internal(),
            replication_factor: self.copies,
            config: self.config.clone(),
            partitions: partitions.collect(),
        }
    }
}
