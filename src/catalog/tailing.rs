//! The catalog of a directory that is only read, while another process may be changing it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::checkpoints::Checkpoints;
use super::deletion::Unfinished;
use super::entry::Surroundings;
use super::log_dir::LogDir;
use super::metadata_log::{self, MetadataLog};
use super::state::State;
use super::{Catalog, CatalogOptions, Changes, TopicEntry, directories, identity, opening};
use crate::config::DefaultRetention;
use crate::error::{Damage, Error, Result};
use crate::format::file_names::IDENTITY;
use crate::partition::PartitionContext;
use crate::wait::Sleepers;

impl Catalog {
    /// Reads the catalog of a directory and leaves everything as it is. `NotFound` where no log is yet: a process that makes one
    /// may be about to finish.
    pub(crate) fn open_read_only(
        dir: &LogDir,
        checkpoints: &Checkpoints,
        context: &PartitionContext,
        options: CatalogOptions,
    ) -> Result<Self> {
        let found = directories::survey(dir)?;
        let not_yet = || Error::not_found("log", dir.root().display());
        let Some(identity) = identity::read(dir)? else {
            opening::refuse_without_identity(dir, &found)?;
            return Err(not_yet());
        };
        let metadata_log::Read { log, state, is_new, recovery } =
            MetadataLog::open(dir, checkpoints, &context.events)?;
        if is_new {
            opening::refuse_lost_topics(dir, &found)?;
            return Err(not_yet());
        }
        opening::refuse_parts(&state, &identity, dir.root(), &found)?;
        let unknown = opening::leftovers(&state, found, dir.disk())?.unknown;
        let catalog = Self {
            dir: dir.clone(),
            context: context.clone(),
            names: dir.disk().name_rules(&dir.path(IDENTITY)),
            identity,
            options,
            unknown,
            recovery,
            present: RwLock::default(),
            version: AtomicU64::new(0),
            watchers: Sleepers::default(),
            unsettled: OnceLock::new(),
            changes: Mutex::new(Changes {
                log,
                state: State::default(),
                unfinished: Unfinished::default(),
                producer_ids: 0..0,
            }),
        };
        catalog.take_over(&mut catalog.changes.lock(), state, checkpoints);
        Ok(catalog)
    }

    /// Looks for what another process has changed. In a log that this process writes there is nothing to find.
    pub(crate) fn refresh(&self) -> Result<()> {
        if !self.dir.disk().is_read_only() {
            return Ok(());
        }
        let mut changes = self.changes.lock();
        let Changes { log, state, .. } = &mut *changes;
        let Some(state) = log.read_on(self.dir.disk(), state)? else { return Ok(()) };
        let damage = |reason| Error::Corrupt(Box::new(Damage::new(log.directory(), 0, reason)));
        state.check().map_err(damage)?;
        let checkpoints = Checkpoints::read(&self.dir, false)?;
        self.take_over(&mut changes, state, &checkpoints);
        Ok(())
    }

    /// Takes over where partitions start and what of them is on disk, as the checkpoints have it now.
    pub(crate) fn advance_checkpoints(&self) -> Result<()> {
        let checkpoints = Checkpoints::read(&self.dir, false)?;
        for partition in self.partitions() {
            if let Some(tailing) = partition.tailing() {
                tailing.advance_checkpoints(&checkpoints.of(partition.id()));
            }
        }
        Ok(())
    }

    /// Replaces what readers see. Topics that did not change keep their handles, and partitions that were there stay
    /// the same for those who read them.
    fn take_over(&self, changes: &mut Changes, mut state: State, checkpoints: &Checkpoints) {
        state.forget_removed();
        let before = self.snapshot();
        let (dir, context, node) = (&self.dir, &self.context, self.identity.node_id);
        let retention = DefaultRetention::default();
        let limits = self.options.limits;
        let around = Surroundings { dir, context, node, limits, retention };
        let entry = |(id, topic): (_, &super::state::TopicState)| {
            let known = before.get(topic.name.as_str()).filter(|known| known.id() == id);
            let same = known.filter(|_| {
                changes.state.topic(id) == Some(topic)
                    && changes.state.settings_of(&topic.name).eq(state.settings_of(&topic.name))
                    && changes.state.may_have_been_compacted(&topic.name)
                        == state.may_have_been_compacted(&topic.name)
            });
            let entry = same.cloned().unwrap_or_else(|| {
                let set = state.settings_of(&topic.name);
                let compacted = state.may_have_been_compacted(&topic.name);
                let entry = TopicEntry::new(id, topic, set, compacted, &around, |of| checkpoints.of(of));
                Arc::new(match known {
                    Some(known) => entry.with_partitions_of(known),
                    None => entry,
                })
            });
            (Arc::clone(entry.name()), entry)
        };
        let topics: super::Topics = state.topics().map(entry).collect();
        *self.present.write() = Arc::new(topics);
        self.notify_watchers();
        for gone in before.values().filter(|known| state.topic(known.id()).is_none()) {
            gone.set_deleted();
        }
        changes.state = state;
    }
}
