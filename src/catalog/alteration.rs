//! Changes to topics that exist: settings and more partitions.

use std::ops::Range;
use std::sync::Arc;

use super::creation;
use super::entry::TopicEntry;
use super::state::TOPIC_RESOURCE;
use super::{Catalog, Changes};
use crate::config::TopicConfig;
use crate::error::{Error, Result};
use crate::format::metadata_record::MetadataRecord;
use crate::sys::Purpose;

impl Catalog {
    /// Replaces a topic's settings by what `change` makes of them. In the log, on disk, and in effect when this
    /// returns. `change` runs without a lock of the catalog, but no two at once for one topic.
    pub(crate) fn alter(
        &self,
        topic: &Arc<TopicEntry>,
        change: impl FnOnce(TopicConfig) -> TopicConfig,
        now: i64,
    ) -> Result<()> {
        let altered = topic.alone(|| {
            let before = topic.config();
            let after = change(before.clone());
            after.validate_change(&before)?;
            creation::check_supported(&after)?;
            // A shorter retention is a way to leave a full disk.
            let _spending = self.spend(Purpose::Freeing);
            let mut changes = self.changes.lock();
            check_present(topic)?;
            let records = differences(topic.name(), &before, &after);
            if records.is_empty() {
                return Ok(());
            }
            self.change(&mut changes, records, now, "altering", &[topic.name()])?;
            self.emit_without_effect(topic.name(), &after.without(&before));
            // Partitions may have been added meanwhile; they are not part of the change.
            topic.set_config(after.partitions(topic.partitions().len()));
            self.context.retain();
            Ok(())
        });
        altered.unwrap_or_else(|| {
            let reason = format!("{} is being altered by the function that calls this", topic.name());
            Err(Error::invalid("alter_config", reason))
        })
    }

    /// Adds partitions to a topic until it has `total`. In the log, on disk, when this returns.
    pub(crate) fn add_partitions(&self, topic: &Arc<TopicEntry>, total: u32, now: i64) -> Result<()> {
        let mut changes = self.changes.lock();
        check_present(topic)?;
        let present = topic.partitions().len();
        check_total(&changes, topic, present, total)?;
        let records = self.more_partitions(&mut changes, topic, present..total)?;
        self.change(&mut changes, records, now, "adding partitions to", &[topic.name()])?;
        self.take_partitions(&changes, topic);
        Ok(())
    }

    /// The records that add partitions, if nothing is in their way.
    pub(super) fn more_partitions(
        &self,
        changes: &mut Changes,
        topic: &TopicEntry,
        new: Range<u32>,
    ) -> Result<Vec<MetadataRecord>> {
        self.make_way(changes, topic.name(), new.clone())?;
        Ok(new.map(|number| creation::partition(number, topic.id(), &self.identity)).collect())
    }

    /// Takes over partitions that are in the log.
    pub(super) fn take_partitions(&self, changes: &Changes, topic: &TopicEntry) {
        if let Some(state) = changes.state.topic(topic.id()) {
            topic.add_partitions(state, &self.around());
            self.notify_watchers();
        }
    }
}

/// The caller holds the lock of `changes`.
pub(super) fn check_present(topic: &TopicEntry) -> Result<()> {
    if topic.is_deleted() {
        return Err(Error::not_found("topic", topic.name()));
    }
    topic.refuse_unsettled()
}

pub(super) fn check_total(changes: &Changes, topic: &TopicEntry, present: u32, total: u32) -> Result<()> {
    let wrong = |reason: String| Err(Error::invalid("partitions", reason));
    let name = topic.name();
    if topic.is_internal() {
        return wrong(format!(
            "{name:?} is Kafka's own topic, whose number of partitions places what is in it"
        ));
    }
    if total <= present {
        return wrong(format!("{name:?} has {present} and cannot get {total}; there can only be more"));
    }
    if topic.copies() != 1 {
        return wrong(format!(
            "each of {name:?} has {} copies in a cluster; only a broker adds more",
            topic.copies()
        ));
    }
    topic.config().partitions(total).validate_partitions()?;
    creation::check_total(changes.state.partition_count().saturating_add((total - present) as usize))
}

/// The records that lead from one configuration to another, sorted by name.
pub(super) fn differences(topic: &str, before: &TopicConfig, after: &TopicConfig) -> Vec<MetadataRecord> {
    let record = |name: &str, value: Option<&str>| MetadataRecord::Config {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let set = after.entries().filter(|(name, value)| before.entry(name) != Some(value));
    let unset = before.entries().filter(|(name, _)| after.entry(name).is_none());
    let set = set.map(|(name, value)| record(name, Some(value)));
    set.chain(unset.map(|(name, _)| record(name, None))).collect()
}
