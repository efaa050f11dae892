//! A consumer as a member of a group: what it subscribes to, and how its partitions change.
//!
//! The consumer's side of `group/membership.rs`. A change of ownership is returned by the poll that made it, and only by a poll
//! that returns: revoked partitions go with the poll after.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::Consumer;
use super::assigned::{Assigned, Assignment, Trouble};
use super::records::{News, Records};
use crate::config::{ConsumerConfig, StartFrom, UnknownTopics, topic_name};
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::group::{GroupMember, OwnershipChange};
use crate::position::TopicPartition;
use crate::wait::Sleepers;

/// What a consumer has subscribed to, and where it is in its group.
#[derive(Debug)]
pub(super) struct Subscription {
    wanted: TopicSelection,
    member: GroupMember,
    /// The catalog that the wanted topics were looked up in.
    catalog_version: u64,
    /// Partitions that were reported as revoked: they go with the next poll.
    reported: Vec<TopicPartition>,
    /// Partitions that are the consumer's, but could not be begun yet.
    unopened: Vec<TopicPartition>,
    /// Why not, if the last trial failed.
    trouble: Trouble,
    /// What is to be reported with the next records.
    news: News,
    /// Where partitions begin is to be committed, or that the group has begun.
    begins: bool,
}

enum TopicSelection {
    /// Sorted.
    Names(Vec<Arc<str>>),
    Matching(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for TopicSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) => names.fmt(f),
            Self::Matching(_) => f.write_str("a pattern"),
        }
    }
}

impl TopicSelection {
    /// Names of topics, sorted. Runs the user's function, so no lock is held.
    fn topics(&self, directory: &OpenDirectory) -> Result<Vec<Arc<str>>> {
        Ok(match self {
            Self::Names(names) => names.clone(),
            Self::Matching(wanted) => {
                let topics = directory.catalog()?.topics();
                let visible = topics.iter().filter(|topic| !topic.is_internal());
                visible.map(|topic| topic.name()).filter(|name| wanted(name)).cloned().collect()
            }
        })
    }

    /// The same in a poll. A function of the user's that does not return must not keep the member's partitions.
    fn topics_meanwhile_idle(
        &self,
        member: &GroupMember,
        directory: &OpenDirectory,
    ) -> Result<Vec<Arc<str>>> {
        if let Self::Names(names) = self {
            return Ok(names.clone());
        }
        member.end_poll();
        let topics = self.topics(directory)?;
        member.begin_poll();
        Ok(topics)
    }
}

impl Subscription {
    /// Whether reconciling may change something.
    #[inline]
    pub(super) fn has_pending_change(&self, directory: &OpenDirectory) -> bool {
        self.member.has_pending_change() || self.catalog_version != directory.groups().catalog().version()
    }

    pub(super) fn sleepers<'s>(&'s self, directory: &'s OpenDirectory) -> [&'s Sleepers; 2] {
        [self.member.sleepers(), directory.groups().catalog().watchers()]
    }

    /// When to look after other members, at latest.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.member.next_check()
    }

    /// Whether partitions could not be begun, as an earlier poll said.
    pub(super) fn has_trouble(&self) -> bool {
        !self.unopened.is_empty()
    }

    pub(super) fn member(&self) -> &GroupMember {
        &self.member
    }

    /// Has the group check topics that came, went or grew.
    fn refresh_topics(&mut self, directory: &OpenDirectory) -> Result<()> {
        // First the version: what changes in between is seen again.
        let version = directory.groups().catalog().version();
        if version != self.catalog_version {
            let topics = self.wanted.topics_meanwhile_idle(&self.member, directory)?;
            self.member.subscribe(topics);
            self.catalog_version = version;
        }
        Ok(())
    }
}

impl Consumer {
    /// Reads these topics as a member of the consumer's group: each poll says which of their partitions it has.
    ///
    /// The group assigns the partitions to its members by [`ConsumerConfig::assignor`]; each partition is read by one of them.
    /// Topics and partitions that are made later are read when they are there. Subscribing again changes what is read. Kafka's
    /// counterpart has the same name.
    ///
    /// # Errors
    /// `InvalidInput` without a group, without topics, after [`assign`](Self::assign), for what cannot be a topic's name
    /// and if other members use another assignor; `NotFound` for topics that do not exist with
    /// [`UnknownTopics::Refuse`]; `ReadOnly`: members of a group commit. On an error nothing changes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new().partitions(3))?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    ///
    /// let mut consumer = log.consumer("billing")?;
    /// consumer.subscribe(["orders"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!((records.len(), records.assigned().len()), (1, 3));
    /// consumer.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe<S: AsRef<str>>(&mut self, topics: impl IntoIterator<Item = S>) -> Result<()> {
        let names: BTreeSet<Arc<str>> = topics.into_iter().map(|name| Arc::from(name.as_ref())).collect();
        if names.is_empty() {
            return Err(Error::invalid(
                "subscribe",
                "no topic is given; to leave the group call unsubscribe",
            ));
        }
        names.iter().try_for_each(|name| topic_name::check(name))?;
        if self.config.unknown_topics == UnknownTopics::Refuse {
            names.iter().try_for_each(|name| self.directory.topic(name).map(drop))?;
        }
        self.subscribe_to(TopicSelection::Names(names.into_iter().collect()))
    }

    /// The same for all topics whose names `wanted` accepts, now or when they are made. Kafka's internal topics are not
    /// among them. `wanted` is called by polls of this consumer, with no lock held. Kafka's counterpart takes a pattern.
    ///
    /// ```
    /// # use stratalog::EventLog;
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let mut consumer = log.consumer("audit")?;
    /// consumer.subscribe_matching(|topic| topic.starts_with("audit."))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe_matching(
        &mut self,
        wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        self.subscribe_to(TopicSelection::Matching(Box::new(wanted)))
    }

    fn subscribe_to(&mut self, wanted: TopicSelection) -> Result<()> {
        self.directory.check_writable()?;
        if self.subscription.is_none() && !self.assigned.is_empty() {
            let reason = "the consumer was assigned partitions; call unsubscribe first";
            return Err(Error::invalid("subscribe", reason));
        }
        let catalog_version = self.directory.groups().catalog().version();
        let topics = wanted.topics(&self.directory)?;
        if let Some(subscription) = &mut self.subscription {
            subscription.member.subscribe(topics);
            (subscription.wanted, subscription.catalog_version) = (wanted, catalog_version);
            return Ok(());
        }
        let member = join_group(&self.directory, &self.config, topics)?;
        let (reported, unopened, news) = (Vec::new(), Vec::new(), News::default());
        let begins = self.config.start_from == StartFrom::End;
        let trouble = Trouble::default();
        self.subscription =
            Some(Subscription { wanted, member, catalog_version, reported, unopened, trouble, news, begins });
        Ok(())
    }

    /// Ends a subscription, and leaves the group at once, or takes back the assigned partitions. With
    /// [`ConsumerConfig::commit_on_poll`] what the last poll returned is committed first; the errors are those of
    /// [`close`](Self::close), and the subscription has ended in any case. Kafka's counterpart has the same name.
    pub fn unsubscribe(&mut self) -> Result<()> {
        let committed = self.commit_last();
        self.subscription = None;
        self.assigned = Assignment::default();
        self.next = 0;
        committed
    }

    /// Commits what the last poll returned, if polls are to do that.
    pub(super) fn commit_before_poll(&mut self) -> Result<()> {
        match self.commit_processed() {
            // Evicted: others have these partitions, and this poll joins anew.
            Err(Error::FencedGeneration { .. }) => Ok(()),
            // Deleted just now: this poll reports it, and the next one commits the rest.
            Err(Error::NotFound { .. }) if self.subscription.is_some() => Ok(()),
            committed => committed,
        }
    }

    /// Reconciles with the group, if there may be something to do.
    pub(super) fn reconcile(&mut self) -> Result<()> {
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        subscription.refresh_topics(&self.directory)?;
        subscription.member.check_others();
        if subscription.member.has_pending_change() || !subscription.reported.is_empty() {
            let reported = std::mem::take(&mut subscription.reported);
            let held: Vec<_> = self.assigned.names().iter().chain(&subscription.unopened).cloned().collect();
            let change = match subscription.member.reconcile(&held, &reported) {
                Some(change) => change,
                None => self.join_anew(held)?,
            };
            self.apply(change);
        }
        self.begin_claimed()
    }

    /// Joins the group again after it was evicted.
    fn join_anew(&mut self, held: Vec<TopicPartition>) -> Result<OwnershipChange> {
        let Some(subscription) = &mut self.subscription else { return Ok(OwnershipChange::default()) };
        let topics = subscription.wanted.topics(&self.directory)?;
        subscription.member = join_group(&self.directory, &self.config, topics)?;
        subscription.member.begin_poll();
        let change = subscription.member.reconcile(&[], &[]).unwrap_or_default();
        Ok(OwnershipChange { lost: held, ..change })
    }

    /// Takes over a change of ownership.
    ///
    /// What was reported as revoked and stays after all, begins anew as if another had given it back: its worker has
    /// closed what it had open for it, and may have left to the next one what it had not committed.
    fn apply(&mut self, change: OwnershipChange) {
        let Some(subscription) = &mut self.subscription else { return };
        let OwnershipChange { lost, released, kept, claimed, revoked } = change;
        let ends: HashSet<_> = lost.iter().chain(&released).chain(&kept).collect();
        subscription.unopened.retain(|partition| !ends.contains(partition));
        // What the user does not know of is not lost to it.
        let unreported: HashSet<_> = subscription.news.assigned.iter().cloned().collect();
        subscription.news.lost.extend(lost.iter().filter(|gone| !unreported.contains(gone)).cloned());
        subscription.news.assigned.retain(|partition| !ends.contains(partition));
        if !ends.is_empty() {
            self.assigned.retain(|partition| !ends.contains(partition));
            self.next = 0;
        }
        subscription.unopened.extend(kept.iter().chain(&claimed).cloned());
        subscription.news.assigned.extend(kept.into_iter().chain(claimed));
        subscription.news.assigned.sort_unstable();
        let leaving: HashSet<_> = revoked.iter().collect();
        for one in &mut *self.assigned {
            one.leaving = leaving.contains(one.cursor.log().id());
        }
        self.assigned.count();
        subscription.news.revoked = revoked;
    }

    /// Begins partitions that the group gave to this consumer. What fails is tried again with the next poll.
    fn begin_claimed(&mut self) -> Result<()> {
        let opened = self.open_claimed();
        if self.subscription.as_ref().is_some_and(|subscription| subscription.begins) {
            self.commit_begun()?;
            if let Some(subscription) = &mut self.subscription {
                subscription.begins = false;
            }
        }
        opened
    }

    /// Begins all that can be begun. The error is the first failure, if this poll is to give it.
    fn open_claimed(&mut self) -> Result<()> {
        let claimed = match &mut self.subscription {
            Some(subscription) if !subscription.unopened.is_empty() => {
                std::mem::take(&mut subscription.unopened)
            }
            _ => return Ok(()),
        };
        let (mut begun, mut unopened, mut failed) = (Vec::new(), Vec::new(), None);
        for partition in claimed {
            let topic = self.directory.groups().catalog().topic_of(&partition).ok();
            let log = topic.and_then(|topic| topic.partitions().get(partition.partition()).cloned());
            if log.as_ref().is_some_and(|log| self.is_position_pending(log.id())) {
                // The end of the transaction wakes this consumer.
                unopened.push(partition);
                continue;
            }
            match log.map(|log| self.begin(log, None)).transpose() {
                Ok(one) => begun.extend(one),
                // Deleted: a later poll announces it.
                Err(Error::NotFound { .. }) => {}
                Err(failure) => {
                    unopened.push(partition);
                    failed.get_or_insert(failure);
                }
            }
        }
        self.add(begun, unopened);
        let partitions = self.assigned.count_awake();
        match (&mut self.subscription, failed) {
            (Some(Subscription { trouble, unopened, .. }), Some(failure))
                if !trouble.is_known(self.polls) =>
            {
                trouble.was_given(self.polls, partitions + unopened.len());
                Err(failure)
            }
            (Some(Subscription { trouble, .. }), None) => {
                *trouble = Trouble::default();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, mut begun: Vec<Assigned>, unopened: Vec<TopicPartition>) {
        let Some(subscription) = &mut self.subscription else { return };
        subscription.unopened = unopened;
        subscription.begins |= begun.iter().any(|one| one.begins_at.is_some());
        let leaving: HashSet<_> = subscription.news.revoked.iter().chain(&subscription.reported).collect();
        for one in &mut begun {
            one.leaving = leaving.contains(one.cursor.log().id());
        }
        if !begun.is_empty() {
            self.assigned.add(begun);
        }
    }

    /// Adds what has changed to what a poll returns.
    pub(super) fn add_news(&mut self, records: &mut Records) {
        if let Some(subscription) = &mut self.subscription
            && !subscription.news.is_empty()
        {
            let news = std::mem::take(&mut subscription.news);
            subscription.reported.clone_from(&news.revoked);
            records.news = Some(Box::new(news));
        }
    }
}

fn join_group(
    directory: &Arc<OpenDirectory>,
    config: &ConsumerConfig,
    topics: Vec<Arc<str>>,
) -> Result<GroupMember> {
    let Some(group) = &config.group else {
        let reason = "the consumer has no group; name one when it is made";
        return Err(Error::invalid("subscribe", reason));
    };
    directory.groups().join(group, topics, config.assignor, config.max_poll_interval)
}
