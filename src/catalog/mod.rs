//! The catalog: which topics there are. Kafka's metadata log is the truth, and what is here is read from it.
//!
//! A change is one batch in that log. It counts when the batch is on disk, and only then is it seen:
//! creating makes no directory, a partition does that at its first append; deleting moves directories out of the
//! way afterwards, and an open finishes what was interrupted. So at any stop there is either no change or a change
//! that completes itself.
//!
//! A change whose write or sync fails may have taken effect or not. No other change is made then until the log is opened
//! anew, and the topics that it was about take no writes ([`unsettled`]).
//!
//! Threads: changes take one lock, held until the batch is synced and the topic's directories are dealt with.
//! Readers copy a pointer to a map that is never changed, only replaced.
//!
//! | file | what |
//! |---|---|
//! | [`state`] | the state that replaying the records gives |
//! | [`metadata_log`] | the log itself: reading with snapshots, appending |
//! | [`identity`] | `meta.properties` |
//! | [`log_dir`] | the root and the disk of a directory |
//! | [`opening`] | what a directory is, and what to do about directories of no topic |
//! | [`outline`] | the topics and directories, for `inspect` |
//! | [`directories`] | whose a directory is, and how those of deleted topics go |
//! | [`deletion`] | what follows from a deletion, done as often as it takes |
//! | [`unsettled`] | a change of which it is not known whether it took effect |
//! | [`creation`] | checks and records of new topics |
//! | [`alteration`] | other settings and more partitions |
//! | [`ensuring`] | a topic that is there afterwards, with the settings that were named |
//! | [`entry`] | a topic with its partitions, what it asks of records ([`rules`]) |
//! | [`tailing`] | the catalog of a directory that is only read |
//! | [`set`] | directories that other nodes have a part in |
//! | [`point`] | the log at one point, for a snapshot |
//! | [`producer_ids`] | ids that no producer has or had |
//! | [`handover`] | what a broker must find in the log, and what it asks of it |

mod alteration;
pub(crate) mod checkpoints;
mod creation;
mod deletion;
mod describe;
mod directories;
mod ensuring;
mod entry;
mod handover;
mod identity;
pub(crate) mod log_dir;
mod metadata_log;
mod opening;
mod outline;
mod partitions;
mod point;
mod producer_ids;
mod removed;
mod rules;
mod set;
mod state;
mod tailing;
#[cfg(test)]
pub(crate) mod tests;
mod unsettled;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use checkpoints::{Checkpoints, write_cleaned, write_log_starts, write_recovery_points};
use creation::For;
use deletion::Unfinished;
pub use describe::{PartitionDescription, TopicDescription};
pub(crate) use directories::foreign as foreign_directories;
use entry::Surroundings;
pub(crate) use entry::TopicEntry;
use log_dir::LogDir;
use metadata_log::MetadataLog;
pub(crate) use opening::{log_around, refuse_occupied};
pub(crate) use outline::{FoundDirectory, Outline, Owner, directories_in, has_identity, metadata_directory};
pub(crate) use point::{LogPoint, belongs_to};
use state::{METADATA_VERSION, State};
use unsettled::Unsettled;

use crate::config::{DefaultRetention, TopicConfig};
use crate::error::{Damage, Error, Result};
use crate::events::Event;
use crate::format::file_names::IDENTITY;
use crate::format::metadata_record::MetadataRecord;
use crate::format::properties::MetaProperties;
use crate::format::uuid::Uuid;
use crate::partition::{Checkpointed, Leader, LogLimits, PartitionContext, PartitionLog, PartitionRecovery};
use crate::position::TopicPartition;
use crate::sys::{NameRules, Purpose, Spending};
use crate::wait::Sleepers;

/// The `metadata.version` of a new log, that of Kafka 3.9: every broker from there on accepts it.
const WRITTEN_LEVEL: i16 = 21;
/// The newest one whose records are known, that of Kafka 4.4.
const NEWEST_LEVEL: i16 = 33;

/// What the options of an open say about its topics.
#[derive(Debug, Clone, Default)]
pub(crate) struct CatalogOptions {
    /// Settings of new topics where these say nothing, and the retention of all topics that do not say.
    pub(crate) topic_defaults: TopicConfig,
    pub(crate) limits: LogLimits,
    /// Whether to write to a directory that other nodes have a part in.
    pub(crate) accept_data_loss: bool,
}

/// The topics of an open log directory.
// One type: lookups read what changes publish, and each kind of change, in a file of its own, is checked, written and published under
// the same lock.
#[derive(Debug)]
pub(crate) struct Catalog {
    dir: LogDir,
    context: PartitionContext,
    names: NameRules,
    identity: MetaProperties,
    options: CatalogOptions,
    unknown: Vec<PathBuf>,
    recovery: Option<PartitionRecovery>,
    /// Replaced as a whole under the lock of `changes`; readers only copy the pointer.
    present: RwLock<Arc<Topics>>,
    /// Goes up with every topic that comes or goes and every partition that is added, after it.
    version: AtomicU64,
    /// Those who wait for such a change.
    watchers: Sleepers,
    changes: Mutex<Changes>,
    /// Written under the lock of `changes`.
    unsettled: OnceLock<Unsettled>,
}

type Topics = BTreeMap<Arc<str>, Arc<TopicEntry>>;

/// What only a change checks.
#[derive(Debug)]
struct Changes {
    log: MetadataLog,
    state: State,
    unfinished: Unfinished,
    /// What is left of the block of producer ids that was taken last.
    producer_ids: Range<i64>,
}

impl Catalog {
    /// Reads the catalog of a directory, or makes it if the directory is fresh, and finishes interrupted deletions.
    /// The caller holds the directory's lock.
    pub(crate) fn open(
        dir: &LogDir,
        checkpoints: &Checkpoints,
        context: &PartitionContext,
        options: CatalogOptions,
        now: i64,
    ) -> Result<Self> {
        options.topic_defaults.validate()?;
        let found = directories::survey(dir)?;
        let identity = identity::read(dir)?;
        if identity.is_none() {
            opening::refuse_without_identity(dir, &found)?;
        }
        let metadata_log::Read { log, state, is_new, recovery } =
            MetadataLog::open(dir, checkpoints, &context.events)?;
        let mut changes = Changes { log, state, unfinished: Unfinished::default(), producer_ids: 0..0 };
        if is_new {
            opening::refuse_lost_topics(dir, &found)?;
        }
        let identity = identity.map_or_else(|| identity::make(dir), Ok)?;
        opening::refuse_parts(&changes.state, &identity, dir.root(), &found)?;
        set::refuse_or_claim(&mut changes, dir, &identity, options.accept_data_loss, now)?;
        if is_new {
            let level = MetadataRecord::FeatureLevel { name: METADATA_VERSION.into(), level: WRITTEN_LEVEL };
            changes.write(vec![level], now)?;
        }
        let leftovers = opening::leftovers(&changes.state, found, dir.disk())?;
        changes.state.forget_removed();
        changes.unfinished = Unfinished::found(leftovers.removals);
        // What cannot be done now is done later, and before it would be in the way of a new topic.
        let _ = changes.finish_deletions(dir);
        let retention = DefaultRetention::of(&options.topic_defaults);
        let (node, limits) = (identity.node_id, options.limits);
        let around = Surroundings { dir, context, node, limits, retention };
        let topics = changes.state.topics().map(|(id, topic)| {
            let set = changes.state.settings_of(&topic.name);
            let compacted = changes.state.may_have_been_compacted(&topic.name);
            let entry = TopicEntry::new(id, topic, set, compacted, &around, |of| {
                if leftovers.misled.contains(of.topic()) {
                    Checkpointed { clean: checkpoints.clean, ..Checkpointed::default() }
                } else {
                    checkpoints.of(of)
                }
            });
            (Arc::clone(entry.name()), Arc::new(entry))
        });
        Ok(Self {
            dir: dir.clone(),
            context: context.clone(),
            names: dir.disk().name_rules(&dir.path(IDENTITY)),
            identity,
            options,
            unknown: leftovers.unknown,
            recovery,
            present: RwLock::new(Arc::new(topics.collect())),
            version: AtomicU64::new(0),
            watchers: Sleepers::default(),
            changes: Mutex::new(changes),
            unsettled: OnceLock::new(),
        })
    }

    /// Checks that topics can be made, as far as that is known before it is tried.
    pub(crate) fn check_new(&self, wanted: &[(&str, TopicConfig)]) -> Result<()> {
        self.refuse_read_only()?;
        self.refuse_unsettled()?;
        let changes = self.changes.lock();
        creation::check(&changes.state, &self.completed(wanted, For::Users), For::Users, self.names)
    }

    /// Users' topics get the log's defaults where nothing else is said.
    fn completed<'n>(&self, wanted: &[(&'n str, TopicConfig)], who: For) -> Vec<(&'n str, TopicConfig)> {
        let completed = |config: &TopicConfig| match who {
            For::Users => config.clone().or(&self.options.topic_defaults),
            For::Ourselves => config.clone(),
        };
        wanted.iter().map(|(name, config)| (*name, completed(config))).collect()
    }

    /// Makes topics, all or none. They are in the log, on disk, when this returns.
    pub(crate) fn create(&self, wanted: &[(&str, TopicConfig)], now: i64) -> Result<Vec<Arc<TopicEntry>>> {
        self.add(&mut self.changes.lock(), wanted, For::Users, now)
    }

    /// Deletes a topic, in the log: it is gone when this returns. What follows from that the caller asks for with
    /// [`finish_deletions`](Self::finish_deletions), as often as it takes; whatever is left then is done before the
    /// next topic of this name is made, or at the next open.
    pub(crate) fn delete(&self, name: &str, now: i64) -> Result<Arc<TopicEntry>> {
        self.refuse_read_only()?;
        // First without the lock, which others wait for.
        if let Some(topic) = self.topic(name) {
            topic.settle_before_deletion();
        }
        let mut changes = self.changes.lock();
        let topic = self.topic(name).ok_or_else(|| Error::not_found("topic", name))?;
        if topic.is_internal() {
            let reason = format!("{name:?} is Kafka's own topic and cannot be deleted");
            return Err(Error::invalid("topic name", reason));
        }
        topic.settle_before_deletion();
        let record = MetadataRecord::RemoveTopic { topic_id: topic.id() };
        self.change(&mut changes, vec![record], now, "deleting", &[name])?;
        topic.set_deleted();
        self.publish(|topics| {
            topics.remove(name);
        });
        changes.unfinished.add(&topic);
        Ok(topic)
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<TopicEntry>> {
        self.present.read().get(name).cloned()
    }

    /// The topic of a partition. `NotFound` if there is none of its name, or if another one is meant.
    pub(crate) fn topic_of(&self, of: &TopicPartition) -> Result<Arc<TopicEntry>> {
        let topic = self.topic(of.topic()).ok_or_else(|| Error::not_found("topic", of.topic()))?;
        match of.topic_id() {
            Some(id) if !of.may_be_of(topic.id().as_bytes()) => {
                let gone = format_args!("{} with the id {}", of.topic(), Uuid::from_bytes(id));
                Err(Error::not_found("topic", gone))
            }
            _ => Ok(topic),
        }
    }

    /// Refuses a partition of a topic that is not there. What is known by the name alone is not checked.
    pub(crate) fn refuse_other(&self, of: &TopicPartition) -> Result<()> {
        if of.topic_id().is_some() { self.topic_of(of).map(drop) } else { Ok(()) }
    }

    /// The same partition, of the topic that has the name now.
    pub(crate) fn present(&self, of: &TopicPartition) -> TopicPartition {
        match self.topic(of.topic()) {
            Some(topic) => of.clone().of_topic(*topic.id().as_bytes()),
            None => of.clone(),
        }
    }

    /// Offset in the metadata log after the records of all partitions that are there. Partitions that are made later have their
    /// records at this offset or after it.
    pub(crate) fn end_of_partitions(&self) -> u64 {
        let newest = |topic: &Arc<TopicEntry>| topic.made_at(topic.partitions().len().checked_sub(1)?);
        self.snapshot().values().filter_map(newest).max().map_or(0, |newest| newest + 1)
    }

    /// All topics, sorted by name.
    pub(crate) fn topics(&self) -> Vec<Arc<TopicEntry>> {
        self.snapshot().values().cloned().collect()
    }

    /// All partitions, by topic and number.
    pub(crate) fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.snapshot().values().flat_map(|topic| topic.partitions().iter()).cloned().collect()
    }

    /// Writes the checkpoint of recovery points, of everything that is in this directory.
    pub(crate) fn write_recovery_points(&self) -> Result<()> {
        let metadata = self.changes.lock().log.recovery_point();
        // Held to the end: two writers must not meet in the file. A topic that is deleted meanwhile is taken out of it after this.
        let _writing = self.dir.lock_checkpoints();
        let partitions = self.partitions();
        let points = partitions.iter().filter_map(|log| Some((log.id().clone(), log.recovery_point()?)));
        write_recovery_points(&self.dir, points.chain(metadata))
    }

    /// Writes the checkpoint of log starts; it is on disk when this returns.
    pub(crate) fn write_log_starts(&self) -> Result<()> {
        self.advance_log_starts(&[])
    }

    /// Has partitions start at these offsets: in the checkpoint of log starts, on disk, then here. If the checkpoint
    /// cannot be written they start where they did.
    pub(crate) fn advance_log_starts(&self, raised: &[(Arc<Leader>, u64)]) -> Result<()> {
        let _writing = self.dir.lock_checkpoints();
        let to: BTreeMap<_, _> = raised.iter().map(|(log, to)| (log.id(), *to)).collect();
        let partitions = self.partitions();
        let starts = partitions.iter().map(|log| {
            let raised = to.get(log.id()).copied().unwrap_or(0);
            (log.id().clone(), log.log_start().max(raised))
        });
        write_log_starts(&self.dir, starts)?;
        for (log, to) in raised {
            log.advance_start(*to);
        }
        Ok(())
    }

    /// Writes the checkpoint of how far partitions were compacted; it is on disk when this returns.
    pub(crate) fn write_cleaned(&self) -> Result<()> {
        let _writing = self.dir.lock_checkpoints();
        let partitions = self.partitions();
        let cleaned = partitions.iter().filter_map(|log| Some((log.id().clone(), log.cleaned()?)));
        write_cleaned(&self.dir, cleaned)
    }

    /// Has retention remove what is due before long.
    pub(crate) fn schedule_retention(&self) {
        self.context.retain();
    }

    /// Says what the writes of this thread are for, as long as the returned guard lives.
    pub(crate) fn spend(&self, purpose: Purpose) -> Spending {
        self.dir.disk().spend(purpose)
    }

    /// Directories that were found at the open and belong to no topic. They are left alone.
    pub(crate) fn unknown_directories(&self) -> &[PathBuf] {
        &self.unknown
    }

    /// Whose directory it is.
    pub(crate) fn identity(&self) -> &MetaProperties {
        &self.identity
    }

    /// What opening found in the metadata log itself.
    pub(crate) fn recovery(&self) -> Option<&PartitionRecovery> {
        self.recovery.as_ref()
    }

    /// Closes the metadata log; changes are refused from here on. The partitions are the caller's to close.
    pub(crate) fn close(&self) -> Result<()> {
        self.changes.lock().log.close()
    }

    fn snapshot(&self) -> Arc<Topics> {
        Arc::clone(&self.present.read())
    }

    /// Replaces the map that readers see. The caller holds the lock of `changes`.
    fn publish(&self, change: impl FnOnce(&mut Topics)) {
        let mut topics = Topics::clone(&self.snapshot());
        change(&mut topics);
        *self.present.write() = Arc::new(topics);
        self.notify_watchers();
    }

    fn notify_watchers(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.watchers.wake_all();
    }

    /// A number that changes when topics or partitions come or go.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Where to wait for that.
    pub(crate) fn watchers(&self) -> &Sleepers {
        &self.watchers
    }

    fn refuse_read_only(&self) -> Result<()> {
        self.dir.disk().refuse_read_only()
    }

    fn add(
        &self,
        changes: &mut Changes,
        wanted: &[(&str, TopicConfig)],
        who: For,
        now: i64,
    ) -> Result<Vec<Arc<TopicEntry>>> {
        self.refuse_read_only()?;
        let asked = wanted;
        let wanted = self.completed(wanted, who);
        self.refuse_unsettled()?;
        creation::check(&changes.state, &wanted, who, self.names)?;
        for (name, config) in &wanted {
            self.make_way(changes, name, 0..config.partition_count())?;
        }

        let mut records = Vec::new();
        let mut ids = Vec::with_capacity(wanted.len());
        for (name, config) in &wanted {
            let (id, more) = creation::records(name, config, who, &self.identity)?;
            ids.push(id);
            records.extend(more);
        }
        let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
        self.change(changes, records, now, "making", &names)?;

        let around = self.around();
        let made = ids.into_iter().filter_map(|id| {
            let topic = changes.state.topic(id)?;
            let set = changes.state.settings_of(&topic.name);
            // Whatever a checkpoint said of this name was about another topic.
            let compacted = changes.state.may_have_been_compacted(&topic.name);
            Some(Arc::new(TopicEntry::new(id, topic, set, compacted, &around, |_| Checkpointed::default())))
        });
        let made: Vec<_> = made.collect();
        self.publish(|topics| {
            topics.extend(made.iter().map(|topic| (Arc::clone(topic.name()), Arc::clone(topic))));
        });
        for (name, config) in asked {
            self.emit_without_effect(name, config);
        }
        Ok(made)
    }

    /// Reports settings that a topic was given and that change nothing.
    fn emit_without_effect(&self, topic: &str, given: &TopicConfig) {
        for (setting, reason) in given.without_effect() {
            let topic = || topic.into();
            self.context.events.emit(|| Event::SettingWithoutEffect { topic: topic(), setting, reason });
        }
    }

    /// The retention of topics that record none.
    pub(crate) fn default_retention(&self) -> DefaultRetention {
        DefaultRetention::of(&self.options.topic_defaults)
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            dir: &self.dir,
            context: &self.context,
            node: self.identity.node_id,
            limits: self.options.limits,
            retention: self.default_retention(),
        }
    }
}

/// Replays records as opening does; what cannot be true is left out.
#[cfg(any(fuzzing, test))]
pub(crate) fn replay(records: Vec<MetadataRecord>) {
    let mut state = State::default();
    for record in records {
        let _ = state.apply(record);
    }
    let partitions: usize = state.topics().map(|(_, topic)| topic.partitions.len()).sum();
    assert_eq!(partitions, state.partition_count());
}

/// Reads a name as those of directories of partitions and of snapshots of the metadata are read.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_name(name: &str) {
    let _ = directories::is_name_of_partition(std::path::Path::new(name));
    if let Some((offset, epoch)) = metadata_log::snapshot_name(name) {
        assert_eq!(crate::format::file_names::metadata_snapshot(offset, epoch), name);
    }
}

impl Catalog {
    /// Writes all checkpoint files.
    pub(crate) fn write_checkpoints(&self) -> Result<()> {
        self.write_log_starts()?;
        self.write_cleaned()?;
        self.write_recovery_points()
    }

    /// Fills the space that is kept for a full disk, if some of it is missing. Returns whether all of it is there.
    pub(crate) fn fill_reserve(&self) -> bool {
        self.dir.disk().space.fill()
    }

    /// The partitions of topics of which it is known that they are there: of others nothing is taken away.
    pub(crate) fn settled_partitions(&self) -> Vec<Arc<Leader>> {
        let topics = self.snapshot();
        let settled = topics.values().filter(|topic| !topic.is_unsettled());
        let partitions = settled.flat_map(|topic| topic.partitions().iter());
        partitions.filter_map(|partition| partition.leader().ok()).cloned().collect()
    }

    /// Those of these partitions of which the same is known.
    pub(crate) fn settled_of(&self, mut partitions: Vec<Arc<Leader>>) -> Vec<Arc<Leader>> {
        let topics = self.snapshot();
        partitions.retain(|partition| {
            let topic = topics.get(partition.id().topic()).filter(|topic| !topic.is_unsettled());
            let log = topic.and_then(|topic| topic.partitions().get(partition.id().partition()));
            log.and_then(|log| log.leader().ok()).is_some_and(|leader| Arc::ptr_eq(leader, partition))
        });
        partitions
    }
}

impl Catalog {
    /// Refuses to write to a log of a Kafka that is newer than those known here: who knows what its files may hold.
    pub(crate) fn refuse_newer(&self) -> Result<()> {
        let changes = self.changes.lock();
        if changes.state.feature(METADATA_VERSION) > Some(NEWEST_LEVEL) {
            changes.refuse_foreign()
        } else {
            Ok(())
        }
    }
}

impl Changes {
    /// Makes one change: in the log, on disk, then here.
    fn write(&mut self, records: Vec<MetadataRecord>, now: i64) -> Result<()> {
        self.refuse_foreign()?;
        let base = self.log.append(&records, now)?;
        let damage = |reason: crate::format::Malformed| {
            Error::Corrupt(Box::new(Damage::new(self.log.directory(), 0, reason.to_string())))
        };
        let mut placed = (base..).zip(records);
        placed.try_for_each(|(offset, record)| self.state.at(offset).apply(record)).map_err(damage)
    }

    /// Refuses changes to a log that they could break: they would become part of a transaction that is not ours,
    /// or are among records of rules that are not known here.
    fn refuse_foreign(&self) -> Result<()> {
        let level = self.state.feature(METADATA_VERSION).unwrap_or(WRITTEN_LEVEL);
        let reason = if self.state.in_transaction() {
            "a Kafka broker was stopped in the middle of a change that it makes in several steps; topics can be \
             read, but not created, altered or deleted until a broker has been started here once and has finished it"
                .to_owned()
        } else if level > NEWEST_LEVEL {
            format!(
                "{METADATA_VERSION} is {level}, but this version knows the levels up to {NEWEST_LEVEL}; the log can \
                 be read (EventLog::open_read_only), but not be written"
            )
        } else {
            return Ok(());
        };
        Err(Error::Unsupported(Box::new(Damage::new(self.log.directory(), 0, reason))))
    }
}
