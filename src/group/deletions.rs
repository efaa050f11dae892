//! Topics that come and go, together with what groups have committed in them.
//!
//! A deletion is its record in the metadata log. What follows from it (the directories leave, the checkpoints and the
//! groups forget the topic) is done at once. What fails of it is an event and no error, for the topic is gone; the background
//! does it again, so does the close, and the next open finds out by itself what is left. The name is no other topic's
//! before all of it is done.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Coordinator;
use crate::catalog::{Catalog, TopicEntry};
use crate::config::{Mismatch, TopicConfig};
use crate::error::{Error, Result};
use crate::events::{Announcer, Event};
use crate::sys::Purpose;

#[derive(Debug)]
pub(crate) struct Deletions {
    catalog: Arc<Catalog>,
    groups: Arc<Coordinator>,
    events: Announcer,
    /// Held while topics are made or deleted. Before all locks of the catalog and of groups.
    unforgotten: Mutex<Unforgotten>,
}

/// Groups may have commits of partitions that are not there.
type Unforgotten = bool;

impl Deletions {
    /// `clean`: the directory was closed cleanly, so nothing is left to be done of what groups have committed.
    pub(crate) fn new(
        catalog: &Arc<Catalog>,
        groups: &Arc<Coordinator>,
        events: Announcer,
        clean: bool,
    ) -> Self {
        let (catalog, groups) = (Arc::clone(catalog), Arc::clone(groups));
        Self { catalog, groups, events, unforgotten: Mutex::new(!clean) }
    }

    /// Makes topics, all or none.
    pub(crate) fn create(&self, wanted: &[(&str, TopicConfig)], now: i64) -> Result<Vec<Arc<TopicEntry>>> {
        let mut unforgotten = self.unforgotten.lock();
        self.catalog.check_new(wanted)?;
        let names = wanted.iter().map(|(name, _)| *name);
        self.make_way(names, &mut unforgotten, now)?;
        self.catalog.create(wanted, now)
    }

    /// The topic of this name, made if there is none.
    pub(crate) fn ensure(
        &self,
        name: &str,
        config: &TopicConfig,
        mismatch: Mismatch,
        now: i64,
    ) -> Result<Arc<TopicEntry>> {
        if self.catalog.topic(name).is_none() {
            let mut unforgotten = self.unforgotten.lock();
            // Another thread may have been faster.
            if self.catalog.topic(name).is_none() {
                self.catalog.check_new(&[(name, config.clone())])?;
                self.make_way([name], &mut unforgotten, now)?;
                return self.catalog.ensure(name, config, mismatch, now);
            }
        }
        self.catalog.ensure(name, config, mismatch, now)
    }

    /// Sees to it that no group begins in topics of these names where it has stopped in earlier ones.
    fn make_way<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        unforgotten: &mut Unforgotten,
        now: i64,
    ) -> Result<()> {
        let offsets = self.groups.offsets();
        if *unforgotten {
            offsets.forget_absent(now)?;
            *unforgotten = false;
        }
        // A broker may have left some, too.
        names.into_iter().try_for_each(|name| offsets.forget_topic(name, now))
    }

    pub(crate) fn delete(&self, name: &str, now: i64) -> Result<()> {
        let _spending = self.catalog.spend(Purpose::Freeing);
        let mut unforgotten = self.unforgotten.lock();
        self.catalog.delete(name, now)?;
        let finished = self.catalog.finish_deletions();
        let forgotten = self.groups.offsets().forget_topic(name, now);
        *unforgotten |= forgotten.is_err();
        for failure in [finished.err(), forgotten.err()].into_iter().flatten() {
            self.emit_failed(&failure);
            self.catalog.schedule_retention();
        }
        Ok(())
    }

    /// Does what is left to be done of deletions. An error is the first of what went wrong; it is done again later.
    pub(crate) fn finish(&self, now: i64) -> Result<()> {
        let _spending = self.catalog.spend(Purpose::Freeing);
        let mut unforgotten = self.unforgotten.lock();
        let finished = self.catalog.finish_deletions();
        if *unforgotten {
            finished.and(self.groups.offsets().forget_absent(now))?;
            *unforgotten = false;
            return Ok(());
        }
        finished
    }

    /// The same at the open, where a full disk is no reason not to open.
    pub(crate) fn finish_if_possible(&self, now: i64) {
        if let Err(failure) = self.finish(now) {
            self.emit_failed(&failure);
            self.catalog.schedule_retention();
        }
    }

    fn emit_failed(&self, failure: &Error) {
        let failure = failure.to_string().into();
        self.events.emit(|| Event::MaintenanceFailed { task: "finishing the deletion of a topic", failure });
    }
}
