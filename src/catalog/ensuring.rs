//! Topics that are to be there, with what a program names of their settings.

use std::sync::Arc;

use super::Catalog;
use super::alteration::{check_present, check_total, differences};
use super::creation::{self, For};
use super::entry::TopicEntry;
use crate::config::{Mismatch, TopicConfig};
use crate::error::{Error, Result, TopicMismatch};

impl Catalog {
    /// The topic of this name, made if there is none. `mismatch` says what to do about one that exists and differs in what
    /// `config` names.
    pub(crate) fn ensure(
        &self,
        name: &str,
        config: &TopicConfig,
        mismatch: Mismatch,
        now: i64,
    ) -> Result<Arc<TopicEntry>> {
        let (topic, is_new) = self.find_or_make(For::Users, name, config, now)?;
        if !is_new && mismatch != Mismatch::Keep {
            config.validate_asked(&topic.config())?;
            match mismatch {
                Mismatch::Alter => self.bring_to(&topic, config, now)?,
                Mismatch::Fail | Mismatch::Keep => refuse_other(&topic, config)?,
            }
        }
        Ok(topic)
    }

    /// A topic that Kafka keeps for itself, made if it is not there.
    pub(crate) fn ensure_internal(
        &self,
        name: &str,
        config: &TopicConfig,
        now: i64,
    ) -> Result<Arc<TopicEntry>> {
        self.find_or_make(For::Ourselves, name, config, now).map(|(topic, _)| topic)
    }

    /// The topic, and whether this call has made it.
    fn find_or_make(
        &self,
        who: For,
        name: &str,
        config: &TopicConfig,
        now: i64,
    ) -> Result<(Arc<TopicEntry>, bool)> {
        let known = || self.topic(name).map(|topic| topic.refuse_unsettled().map(|()| topic)).transpose();
        if let Some(topic) = known()? {
            return Ok((topic, false));
        }
        let mut changes = self.changes.lock();
        // Another thread may have been faster.
        if let Some(topic) = known()? {
            return Ok((topic, false));
        }
        let made = self.add(&mut changes, &[(name, config.clone())], who, now)?;
        // As many are made as were wanted.
        made.into_iter().next().map(|topic| (topic, true)).ok_or_else(|| Error::not_found("topic", name))
    }

    /// Gives a topic the settings and partitions that are asked for, in one change or none.
    fn bring_to(&self, topic: &Arc<TopicEntry>, asked: &TopicConfig, now: i64) -> Result<()> {
        let brought = topic.alone(|| {
            let mut changes = self.changes.lock();
            check_present(topic)?;
            let before = topic.config();
            let after = before.clone().brought_to(asked);
            after.validate_change(&before)?;
            creation::check_supported(&after)?;
            let mut records = differences(topic.name(), &before, &after);
            let present = topic.partitions().len();
            let total = asked.asked_partitions().unwrap_or(present);
            if total != present {
                check_total(&changes, topic, present, total)?;
                records.extend(self.more_partitions(&mut changes, topic, present..total)?);
            }
            if records.is_empty() {
                return Ok(());
            }
            self.refuse_read_only()?;
            self.change(&mut changes, records, now, "altering", &[topic.name()])?;
            self.emit_without_effect(topic.name(), &after.without(&before));
            topic.set_config(after);
            self.take_partitions(&changes, topic);
            self.context.retain();
            Ok(())
        });
        brought.unwrap_or_else(|| {
            let reason = format!("{} is being altered by the function that calls this", topic.name());
            Err(Error::invalid("ensure_topic_with", reason))
        })
    }
}

/// Refuses a topic that differs in what is asked for.
fn refuse_other(topic: &TopicEntry, asked: &TopicConfig) -> Result<()> {
    let settings = topic.differing(asked);
    if settings.is_empty() {
        return Ok(());
    }
    let topic = topic.name().as_ref().into();
    Err(Error::TopicMismatch(Box::new(TopicMismatch { topic, settings })))
}
