//! A topic of an open log: its settings and its partitions.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{ReentrantMutex, RwLock};

use super::describe::{PartitionDescription, TopicDescription};
use super::log_dir::LogDir;
use super::partitions::Partitions;
use super::rules::RecordRules;
use super::state::{PartitionState, TopicState};
use crate::config::{DefaultRetention, TopicConfig, TopicSettings, topic_name};
use crate::error::{PoisonCause, SettingMismatch};
use crate::format::uuid::Uuid;
use crate::partition::{
    Checkpointed, LogLimits, PartitionContext, PartitionLog, PartitionOpening, PartitionSettings,
};
use crate::position::TopicPartition;

/// One topic, from its creation or the open of the log until it is deleted.
///
/// | field | written by | read by |
/// |---|---|---|
/// | `config`, `noted` | the catalog, under its lock | any caller |
/// | `rules` | the same | producers, for each record |
/// | `partitions` | the same, which only adds | everybody |
pub(crate) struct TopicEntry {
    name: Arc<str>,
    id: Uuid,
    config: RwLock<TopicConfig>,
    rules: RecordRules,
    partitions: Partitions,
    /// Copies of each partition.
    copies: u16,
    /// By partition.
    noted: RwLock<Vec<Noted>>,
    limits: LogLimits,
    /// The topic's retention if its settings record none.
    retention: DefaultRetention,
    /// Held while a user's function makes a new configuration from the present one.
    altering: ReentrantMutex<RefCell<()>>,
    /// The node of the directory.
    node: i32,
    /// Set once, under the catalog's lock.
    deleted: AtomicBool,
    /// Why it takes no writes, if a change of it failed half way.
    pub(super) unsettled: OnceLock<PoisonCause>,
}

impl fmt::Debug for TopicEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicEntry").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the metadata log says of a partition.
#[derive(Debug)]
struct Noted {
    /// Nodes that are to have a copy.
    replicas: Vec<i32>,
    made_at: u64,
}

impl Noted {
    fn of(partition: &PartitionState) -> Self {
        Self { replicas: partition.replicas.clone(), made_at: partition.made_at }
    }
}

/// What the partitions of all topics have in common.
pub(super) struct Surroundings<'c> {
    pub(super) dir: &'c LogDir,
    pub(super) context: &'c PartitionContext,
    pub(super) node: i32,
    pub(super) limits: LogLimits,
    /// The retention of topics that record none.
    pub(super) retention: DefaultRetention,
}

impl Surroundings<'_> {
    fn partition(
        &self,
        of: TopicPartition,
        topic_id: Uuid,
        settings: &TopicSettings,
        first_epoch: u32,
        checkpointed: Checkpointed,
    ) -> Arc<PartitionLog> {
        let settings = PartitionSettings::of(settings, self.limits, first_epoch);
        let (root, disk, context) = (self.dir.root(), self.dir.disk(), self.context.clone());
        PartitionLog::open(PartitionOpening { id: of, topic_id, root, disk, settings, checkpointed, context })
    }
}

impl TopicEntry {
    /// `checkpointed` says what the checkpoints say of a partition, `may_have_been_compacted` what the metadata log says
    /// of the topic's past.
    pub(super) fn new<'s>(
        id: Uuid,
        topic: &'s TopicState,
        set: impl Iterator<Item = (&'s str, &'s str)>,
        may_have_been_compacted: bool,
        around: &Surroundings<'_>,
        checkpointed: impl Fn(&TopicPartition) -> Checkpointed,
    ) -> Self {
        let name: Arc<str> = topic.name.as_str().into();
        let copies = topic.partitions.values().next().map_or(1, |first| first.replicas.len().max(1));
        let copies = u16::try_from(copies).unwrap_or(u16::MAX);
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let config = TopicConfig::from_entries(count, set).replication_factor(copies);
        // Kafka's own topics have Kafka's settings.
        let retention =
            if topic_name::is_reserved(&name) { DefaultRetention::default() } else { around.retention };
        let settings = config.settings_with(retention);
        let open = |(partition, found): (u32, &PartitionState)| {
            let of = TopicPartition::new(Arc::clone(&name), partition);
            let checkpointed = checkpointed(&of);
            around.partition(of, id, &settings, found.leader_epoch, checkpointed)
        };
        let partitions = Partitions::of((0..).zip(topic.partitions.values()).map(open));
        if may_have_been_compacted {
            partitions.iter().for_each(|partition| partition.record_compacted());
        }
        let noted = topic.partitions.values().map(Noted::of).collect();
        Self {
            name,
            id,
            config: RwLock::new(config),
            rules: RecordRules::of(&settings),
            partitions,
            copies,
            noted: RwLock::new(noted),
            limits: around.limits,
            retention,
            altering: ReentrantMutex::default(),
            node: around.node,
            deleted: AtomicBool::new(false),
            unsettled: OnceLock::new(),
        }
    }

    /// The same with the partitions that are open already, so that those who read them notice nothing.
    pub(super) fn with_partitions_of(self, known: &Self) -> Self {
        for (new, known) in self.partitions.iter().zip(known.partitions.iter()) {
            if new.may_have_been_compacted() {
                known.record_compacted();
            }
        }
        let mut open = known.partitions.iter().cloned();
        let partitions = self.partitions.iter().map(|new| open.next().unwrap_or_else(|| Arc::clone(new)));
        let partitions = Partitions::of(partitions);
        Self { partitions, ..self }
    }

    /// The same with these partitions, wherever they are.
    #[cfg(test)]
    pub(super) fn with_partitions(self, partitions: Vec<Arc<PartitionLog>>) -> Self {
        Self { partitions: Partitions::of(partitions.into_iter()), ..self }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Partition count and settings as the metadata log holds them.
    pub(crate) fn config(&self) -> TopicConfig {
        self.config.read().clone()
    }

    /// All settings in effect. Reads texts: for what is done once in a while.
    pub(crate) fn settings(&self) -> TopicSettings {
        self.config.read().settings_with(self.retention)
    }

    /// What is named in `asked` and has another value here.
    pub(super) fn differing(&self, asked: &TopicConfig) -> Vec<SettingMismatch> {
        asked.differing(&self.config.read(), self.retention)
    }

    /// What concerns single records.
    #[inline]
    pub(crate) fn rules(&self) -> &RecordRules {
        &self.rules
    }

    /// The partitions, each at the place of its number. More may be added at any time.
    #[inline]
    pub(crate) fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// Offset of the record in the metadata log that made a partition, or a later one if that is not known any more.
    pub(crate) fn made_at(&self, partition: u32) -> Option<u64> {
        Some(self.noted.read().get(partition as usize)?.made_at)
    }

    /// Runs a user's function, which is not to be called while a lock of the catalog is held, alone with this topic's
    /// configuration. `None`: it is running already, further out on this thread.
    pub(super) fn alone<R>(&self, change: impl FnOnce() -> R) -> Option<R> {
        let altering = self.altering.lock();
        let _alone = altering.try_borrow_mut().ok()?;
        Some(change())
    }

    /// Takes over settings that are in the log.
    pub(super) fn set_config(&self, config: TopicConfig) {
        let settings = config.settings_with(self.retention);
        *self.config.write() = config;
        self.rules.set(&settings);
        for partition in self.partitions.iter() {
            let first_epoch = partition.first_epoch();
            partition.set_settings(PartitionSettings::of(&settings, self.limits, first_epoch));
        }
    }

    /// Takes over partitions that are in the log after those known so far.
    pub(super) fn add_partitions(&self, topic: &TopicState, around: &Surroundings<'_>) {
        let settings = self.settings();
        let new = || (0..).zip(topic.partitions.values()).skip(self.noted.read().len());
        let partitions: Vec<_> = new()
            .map(|(partition, found)| {
                let of = TopicPartition::new(Arc::clone(&self.name), partition);
                around.partition(of, self.id, &settings, found.leader_epoch, Checkpointed::default())
            })
            .collect();
        let noted: Vec<_> = new().map(|(_, found)| Noted::of(found)).collect();
        self.noted.write().extend(noted);
        self.partitions.extend(partitions.into_iter());
        let mut config = self.config.write();
        *config = config.clone().partitions(self.partitions.len());
    }

    /// Copies of each partition, one unless a cluster of brokers made the topic.
    pub(super) fn copies(&self) -> u16 {
        self.copies
    }

    /// Whether Kafka keeps this topic for itself.
    pub(crate) fn is_internal(&self) -> bool {
        topic_name::is_reserved(&self.name)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// What is to be on disk of the partitions before the topic is deleted.
    pub(super) fn settle_before_deletion(&self) {
        for leader in self.partitions.iter().filter_map(|partition| partition.leader().ok()) {
            leader.settle_before_deletion();
        }
    }

    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.partitions.iter().for_each(|partition| partition.delete());
    }

    pub(crate) fn describe(&self) -> TopicDescription {
        let noted = self.noted.read();
        let partitions = (0..).zip(&*noted).map(|(partition, Noted { replicas, .. })| {
            // The process that holds the log leads the partitions that it is to have.
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
            config: self.config(),
            partitions: partitions.collect(),
        }
    }
}
