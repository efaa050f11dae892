//! A change whose write or sync failed: whether it took effect is known when the log is opened anew, and not before.
//!
//! Until then no other change is made, because it would come after that one. And the topics that the change was about take
//! no writes: what is acknowledged in a topic that may be deleted may be gone. Other topics continue.

use super::{Catalog, Changes, TopicEntry};
use crate::error::{Error, PoisonCause, Result};
use crate::format::metadata_record::MetadataRecord;

/// A change of which it is not known whether it took effect.
#[derive(Debug)]
pub(super) struct Unsettled {
    cause: PoisonCause,
    /// Topics that it was about.
    names: Vec<String>,
}

impl Catalog {
    /// Makes a change. `about`: what is being done, to which topics. If the outcome is not known, these take no writes
    /// from here on, and no other change is made.
    pub(super) fn change(
        &self,
        changes: &mut Changes,
        records: Vec<MetadataRecord>,
        now: i64,
        what: &str,
        names: &[&str],
    ) -> Result<()> {
        self.refuse_unsettled()?;
        let cause = match changes.write(records, now) {
            Err(Error::Poisoned(cause)) => *cause,
            outcome => return outcome,
        };
        let names_quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        let failure = format!(
            "{what} {}: {}; whether that took effect is known when the log is opened anew",
            names_quoted.join(", "),
            cause.failure
        );
        let cause = cause.in_words(failure);
        let unsettled = Unsettled { cause, names: names.iter().map(ToString::to_string).collect() };
        let unsettled = self.unsettled.get_or_init(|| unsettled);
        for topic in names.iter().filter_map(|name| self.topic(name)) {
            topic.set_unsettled(&unsettled.cause);
        }
        unsettled.refuse()
    }

    /// Refuses any change if one failed half way.
    pub(crate) fn refuse_unsettled(&self) -> Result<()> {
        self.unsettled.get().map_or(Ok(()), Unsettled::refuse)
    }

    /// Refuses what would be written about a topic of which it is not known what became of it.
    pub(crate) fn refuse_unsettled_topic(&self, topic: &str) -> Result<()> {
        match self.unsettled.get() {
            Some(unsettled) if unsettled.names.iter().any(|name| name == topic) => unsettled.refuse(),
            _ => Ok(()),
        }
    }
}

impl Unsettled {
    fn refuse(&self) -> Result<()> {
        Err(Error::Poisoned(Box::new(self.cause.clone())))
    }
}

impl TopicEntry {
    /// A change of this topic failed half way. Set once, under the catalog's lock.
    fn set_unsettled(&self, cause: &PoisonCause) {
        self.unsettled.get_or_init(|| cause.clone());
        for partition in self.partitions().iter() {
            if let Ok(leader) = partition.leader() {
                leader.refuse_writes(cause);
            }
        }
    }

    /// Whether it is not known what became of a change of this topic.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled.get().is_some()
    }

    /// Refuses changes if one failed half way.
    pub(crate) fn refuse_unsettled(&self) -> Result<()> {
        self.unsettled.get().map_or(Ok(()), |cause| Err(Error::Poisoned(Box::new(cause.clone()))))
    }
}
