//! Consumers: partitions in, records out.
//!
//! A consumer holds one cursor per partition and serves them in turn. It takes no lock of a writer and never waits
//! for one; while it sleeps it is registered with every partition it reads. It learns which partitions these are once
//! ([`Consumer::assign`]), or its group decides from poll to poll ([`subscription`]).

mod assigned;
mod committing;
mod in_transaction;
mod records;
mod subscription;
mod tailing;
#[cfg(all(test, not(loom)))]
mod tests;
mod turns;
mod view;
mod waiting;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assigned::{Assigned, Assignment, Trouble};
pub use records::{OwnedRecordIter, PartitionIter, PartitionRecords, RecordIter, Records, WhyEmpty};
use subscription::Subscription;
pub use view::{Headers, OwnedRecord, RecordView};
pub use waiting::ConsumerWaker;
use waiting::{Waited, Wake};

use crate::clock::Timestamp;
use crate::config::{ConsumerConfig, IsolationLevel, ReadUpTo, StartFrom};
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::group::{Since, check_name};
use crate::partition::{Bounds, Cursor, FetchLimits, PartitionLog};
use crate::position::{Position, TopicPartition};

/// Reads records from partitions. One thread at a time uses it, through `&mut`.
///
/// It reads the partitions that it is given by [`assign`](Self::assign), or those that its group gives it after
/// [`subscribe`](Self::subscribe). Dropping a consumer leaves the group and commits nothing; what it has returned stays
/// valid.
///
/// ```
/// use std::time::Duration;
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new().partitions(3))?;
/// log.producer()?.send(&orders, Record::new("paid").key("order-17"))?;
///
/// let mut reader = log.standalone_consumer()?;
/// reader.assign(orders.partitions())?;
/// for record in &reader.poll(Duration::from_secs(1))? {
///     println!("{}-{}@{}", record.topic(), record.partition(), record.offset());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// One type: to its user it is one thing. Positions, polling, waiting, groups and commits are in files of their own.
pub struct Consumer {
    directory: Arc<OpenDirectory>,
    config: ConsumerConfig,
    assigned: Assignment,
    /// Which partition is served first next time.
    next: usize,
    /// Polls so far.
    polls: u64,
    wake: Wake,
    /// Its membership in a group. `None`: the partitions are those that it was assigned.
    subscription: Option<Subscription>,
    /// Since when its group has positions, as far as that was known when it was assigned partitions.
    since: Option<Since>,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.config.group)
            .field("assignment", &self.assigned.names())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    pub(crate) fn new(directory: &Arc<OpenDirectory>, config: ConsumerConfig) -> Result<Self> {
        directory.check_open()?;
        config.validate()?;
        if let Some(group) = &config.group {
            check_name(group)?;
        }
        Ok(Self {
            directory: Arc::clone(directory),
            config,
            assigned: Assignment::default(),
            next: 0,
            polls: 0,
            wake: Wake::default(),
            subscription: None,
            since: None,
        })
    }

    /// Reads these partitions from now on, and no others. A partition that was assigned before keeps its position;
    /// the others begin at the position that was committed for the consumer's group, if it has one, or else at
    /// [`ConsumerConfig::start_from`]. On an error nothing changes.
    ///
    /// The consumer does not become a member of the group: the caller sees to it that no other consumer reads the same partitions.
    pub fn assign<P: Into<TopicPartition>>(&mut self, to: impl IntoIterator<Item = P>) -> Result<()> {
        self.directory.check_process()?;
        if self.subscription.is_some() {
            let reason = "the consumer is subscribed, so its group assigns partitions; unsubscribe first";
            return Err(Error::invalid("assign", reason));
        }
        // Before partitions are looked up: what is made in between is newer.
        let groups = self.directory.groups();
        let since = self.config.group.as_ref().map(|group| groups.since(group)).transpose()?;
        let (mut assigned, mut known) = (Vec::new(), HashSet::new());
        for partition in to {
            let partition = partition.into();
            if !known.contains(&partition) {
                assigned.push(self.assigned_to(&partition, since)?);
                known.insert(partition);
            }
        }
        if let Some(since) = since {
            self.commit_assigned(&mut assigned, since)?;
        }
        self.since = since;
        self.assigned = Assignment::of(assigned);
        self.next = 0;
        Ok(())
    }

    fn assigned_to(&self, partition: &TopicPartition, since: Option<Since>) -> Result<Assigned> {
        let topic = self.directory.topic_of(partition)?;
        let log = Arc::clone(topic.partition(partition.partition())?.log());
        let before = self.assigned.place_of(partition).map(|at| &self.assigned[at]);
        let before = before.filter(|known| known.cursor.log().is_same(&log));
        let Some(known) = before else { return self.begin(log, since) };
        self.know_transactions(&log)?;
        let cursor = self.cursor(log, known.cursor.offset());
        let Assigned { paused, committed, begins_at, began, claim, .. } = *known;
        let (leaving, trouble) = (false, Trouble::default());
        Ok(Assigned { cursor, paused, leaving, committed, began, claim, begins_at, trouble })
    }

    /// Begins to read a partition: where its group has left off, or else where the configuration says.
    fn begin(&self, log: Arc<PartitionLog>, since: Option<Since>) -> Result<Assigned> {
        self.know_transactions(&log)?;
        let bounds = log.bounds()?;
        let committed = match &self.config.group {
            Some(group) => self.directory.groups().offsets().get(group, log.id())?.map(|found| found.offset),
            None => None,
        };
        let offset = committed.map_or_else(|| self.start(log.id(), bounds, since), Ok)?;
        let is_kept = self.config.group.is_some() && self.config.start_from == StartFrom::End;
        let begins_at = (committed.is_none() && is_kept).then_some(offset);
        let cursor = self.cursor(log, offset);
        let (paused, leaving, trouble) = (self.config.start_paused, false, Trouble::default());
        let claim = self.subscription.as_ref().map_or(0, |of| of.member().claim_of(cursor.log().id()));
        Ok(Assigned { cursor, paused, leaving, committed, began: offset, claim, begins_at, trouble })
    }

    /// Where a partition begins of which nothing is committed.
    fn start(&self, of: &TopicPartition, bounds: Bounds, since: Option<Since>) -> Result<u64> {
        let place = |was_there| match self.config.start_from {
            StartFrom::End if was_there => readable_end(bounds, &self.config),
            _ => bounds.log_start,
        };
        let start = match (&self.subscription, since) {
            (Some(subscription), _) => subscription.member().start(of, place)?,
            (None, Some(since)) => place(self.directory.groups().was_there(of, since)?),
            (None, None) => place(true),
        };
        // Where another member began there may be nothing left.
        Ok(start.max(bounds.log_start))
    }

    fn know_transactions(&self, log: &Arc<PartitionLog>) -> Result<()> {
        if self.config.isolation == IsolationLevel::ReadCommitted {
            log.bounds()?;
            log.refresh_transactions()?;
        }
        Ok(())
    }

    fn cursor(&self, log: Arc<PartitionLog>, offset: u64) -> Cursor {
        Cursor::new(log, offset, self.config.read_up_to).isolated(self.config.isolation)
    }

    /// The partitions this consumer reads.
    pub fn assignment(&self) -> &[TopicPartition] {
        self.assigned.names()
    }

    /// The next records, waiting up to `timeout` for the first. If there are none, [`Records::why_empty`] gives the reason.
    ///
    /// Every record is checked before it is returned, and damage is never skipped silently: the records before it come first,
    /// then a poll returns the error, whose [`resume_at`](crate::Damage::resume_at) can be given to
    /// [`seek`](Self::seek). As long as a partition cannot be read, every n-th poll gives its error, where n partitions are
    /// read: the polls between bring what there is in the others, and wait for it.
    ///
    /// Of a subscribed consumer each poll also takes part in the work of its group: what earlier polls returned counts
    /// as processed, partitions that [`Records::revoked`] announced are released, and new ones begin. A poll that has a
    /// change to announce does not wait. A consumer that was evicted joins anew.
    ///
    /// # Errors
    /// `InvalidInput` while the consumer is neither assigned partitions nor subscribed, `OffsetOutOfRange` when the
    /// position lies outside the log, `NotFound` once an assigned topic is deleted, `Closed` after the log was closed,
    /// `Corrupt` and `Unsupported` for what cannot be read, `Io`. Where commits are made by the poll, also what
    /// [`commit`](Self::commit) gives.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        self.directory.check_open()?;
        if self.assigned.is_empty() && self.subscription.is_none() {
            let reason = "the consumer has nothing to read; call subscribe or assign first";
            return Err(Error::invalid("poll", reason));
        }
        let polling = Polling::begin(self);
        polling.0.commit_before_poll()?;
        polling.0.poll_until(timeout)
    }

    fn poll_until(&mut self, timeout: Duration) -> Result<Records> {
        let records = self.reconcile_and_fetch()?;
        if records.is_worth_returning() {
            return Ok(records);
        }
        if timeout.is_zero() {
            return Ok(self.nothing(WhyEmpty::CaughtUp));
        }
        // Beyond what the clock can show means without end.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            match self.wait(deadline) {
                Waited::Woken => return Ok(Records::without_any(WhyEmpty::Woken)),
                Waited::TooLong => return Ok(self.nothing(WhyEmpty::TimedOut)),
                Waited::News => {}
            }
            self.directory.check_open()?;
            let records = self.reconcile_and_fetch()?;
            if records.is_worth_returning() {
                return Ok(records);
            }
        }
    }

    /// No records, for this reason unless there is one that waiting does not change.
    fn nothing(&self, why: WhyEmpty) -> Records {
        let is_paused = self.assigned.has_paused() && self.assigned.count_awake() == 0;
        Records::without_any(match why {
            _ if self.has_trouble() => WhyEmpty::Failing,
            _ if is_paused => WhyEmpty::Paused,
            why => why,
        })
    }

    /// Whether something is not read because it fails, as an earlier poll said.
    fn has_trouble(&self) -> bool {
        let is_known = |one: &Assigned| one.is_awake() && one.trouble.is_known(self.polls);
        let fails = match &self.assigned.turns {
            Some(turns) => turns.failing().iter().any(|at| is_known(&self.assigned[*at])),
            None => self.assigned.iter().any(is_known),
        };
        fails || self.subscription.as_ref().is_some_and(Subscription::has_trouble)
    }

    fn reconcile_and_fetch(&mut self) -> Result<Records> {
        self.reconcile()?;
        let mut records = self.fetch()?;
        self.add_news(&mut records);
        Ok(records)
    }

    /// What there is now: each partition in turn, until the limits are reached. Those that an earlier poll said to fail come
    /// last, if nothing else has anything.
    fn fetch(&mut self) -> Result<Records> {
        self.refresh()?;
        let mut records = Records::default();
        let mut limits =
            FetchLimits { bytes: self.config.max_poll_bytes, records: self.config.max_poll_records };
        if self.assigned.turns.is_some() {
            self.fetch_in_turn(&mut limits, &mut records)?;
            return Ok(records);
        }
        let (start, count) = (self.next, self.assigned.len());
        let mut fail = false;
        for at in (start..count).chain(0..start) {
            let one = &mut self.assigned[at];
            if one.is_awake() && one.trouble.is_known(self.polls) {
                fail = true;
            } else if self.serve(at, &mut limits, &mut records)? != Served::Whole {
                return Ok(records);
            }
        }
        if fail && records.is_empty() {
            for at in (start..count).chain(0..start) {
                let one = &self.assigned[at];
                if one.trouble.is_known(self.polls)
                    && self.serve(at, &mut limits, &mut records)? != Served::Whole
                {
                    break;
                }
            }
        }
        Ok(records)
    }

    /// Adds what there is in one partition. An error is one that this poll is to give.
    fn serve(&mut self, at: usize, limits: &mut FetchLimits, records: &mut Records) -> Result<Served> {
        let tails = self.directory.is_read_only();
        let one = &mut self.assigned[at];
        if !one.is_awake() {
            return Ok(Served::Whole);
        }
        let looked = if tails { one.refresh_end() } else { Ok(()) };
        let cursor = &mut one.cursor;
        let fetched =
            looked.and_then(|()| if cursor.may_have_data() { cursor.fetch(*limits) } else { Ok(None) });
        let failure = match fetched {
            Ok(fetched) => {
                one.trouble = Trouble::default();
                if let Some(fetched) = fetched {
                    limits.bytes = limits.bytes.saturating_sub(fetched.bytes.as_ref().len());
                    limits.records = limits.records.saturating_sub(fetched.records);
                    records.push(one.cursor.log().id().clone(), fetched);
                    self.next = (at + 1) % self.assigned.len();
                }
                let is_full = limits.bytes == 0 || limits.records == 0;
                return Ok(if is_full { Served::Full } else { Served::Whole });
            }
            Err(failure) => failure,
        };
        // Deleted: the member's next poll announces it.
        let is_announced = matches!(failure, Error::NotFound { .. }) && self.subscription.is_some();
        if is_announced || one.trouble.is_known(self.polls) {
            return Ok(Served::Whole);
        }
        if !records.is_empty() {
            // What was read before is returned; the next poll begins here and meets the failure again.
            self.next = at;
            return Ok(Served::Later);
        }
        self.next = (at + 1) % self.assigned.len();
        let awake = self.assigned.count_awake();
        let one = &mut self.assigned[at];
        one.trouble.was_given(self.polls, awake);
        Err(cause_of(&self.directory, &one.cursor, failure))
    }

    /// The position in a partition: the offset of the next record to be returned.
    pub fn position(&self, of: impl Into<TopicPartition>) -> Result<Position> {
        let at = self.find(&of.into())?;
        Ok(self.position_at(at))
    }

    /// All positions, in the order of [`assignment`](Self::assignment).
    pub fn positions(&self) -> Vec<Position> {
        (0..self.assigned.len()).map(|at| self.position_at(at)).collect()
    }

    fn position_at(&self, at: usize) -> Position {
        let one = &self.assigned[at];
        one.position(one.cursor.offset())
    }

    /// Continues at another offset of an assigned partition. The next poll returns an error if the offset is outside the log.
    pub fn seek(&mut self, to: Position) -> Result<()> {
        let at = self.find(to.topic_partition())?;
        self.assigned.seek(at, to.offset());
        Ok(())
    }

    /// Seeks to the log start offset of every assigned partition.
    pub fn seek_to_beginning(&mut self) -> Result<()> {
        self.seek_all(|_, cursor| Ok(cursor.log().bounds()?.log_start))
    }

    /// Seeks past the last record that this consumer may read, in every assigned partition.
    pub fn seek_to_end(&mut self) -> Result<()> {
        self.seek_all(|config, cursor| Ok(readable_end(cursor.log().bounds()?, config)))
    }

    /// Seeks to the first record with a timestamp of `at` or later, in every assigned partition; to the end where there is none.
    pub fn seek_to_time(&mut self, at: Timestamp) -> Result<()> {
        let directory = Arc::clone(&self.directory);
        self.seek_all(|config, cursor| {
            let bounds = cursor.log().bounds()?;
            let found = Cursor::offset_for_time(cursor.log(), at.as_millis(), bounds.log_start);
            let found = found.map_err(|failure| cause_of(&directory, cursor, failure))?;
            let end = readable_end(bounds, config);
            Ok(found.map_or(end, |found| found.min(end)))
        })
    }

    /// Seeks back to what the group has committed, in every assigned partition; where nothing is committed, to where this consumer
    /// began in it. For a loop that commits by a [`Transaction`](crate::Transaction), after one that was not committed: what it was
    /// about is returned again. Kafka's clients leave that to the program.
    ///
    /// # Errors
    /// `InvalidInput` without a group; what reading the committed positions gives. Then no position has changed.
    pub fn seek_to_committed(&mut self) -> Result<()> {
        self.directory.check_process()?;
        let Some(group) = &self.config.group else {
            let reason = "the consumer has no group; name one when it is made";
            return Err(Error::invalid("seek_to_committed", reason));
        };
        let offsets = self.directory.groups().offsets();
        let committed = |one: &Assigned| {
            let found = offsets.get(group, one.cursor.log().id())?;
            Ok(found.map_or(one.began, |found| found.offset))
        };
        let committed = self.assigned.iter().map(committed).collect::<Result<Vec<_>>>()?;
        for (one, offset) in self.assigned.iter_mut().zip(committed) {
            one.seek(offset);
        }
        Ok(())
    }

    /// Back to these offsets, in the partitions that are still this consumer's.
    pub(crate) fn rewind(&mut self, to: &[(TopicPartition, u64)]) {
        for (of, offset) in to {
            if let Some(at) = self.assigned.place_of(of) {
                self.assigned[at].seek(*offset);
            }
        }
    }

    /// All partitions or, on an error, none.
    fn seek_all(&mut self, to: impl Fn(&ConsumerConfig, &Cursor) -> Result<u64>) -> Result<()> {
        self.directory.check_process()?;
        let offsets =
            self.assigned.iter().map(|one| to(&self.config, &one.cursor)).collect::<Result<Vec<_>>>()?;
        for (at, offset) in offsets.into_iter().enumerate() {
            self.assigned.seek(at, offset);
        }
        Ok(())
    }

    /// The offsets between the position and the end of what this consumer may read. Deleted records, below the log start, do
    /// not count.
    pub fn lag(&self, of: impl Into<TopicPartition>) -> Result<u64> {
        self.directory.check_process()?;
        let cursor = &self.assigned[self.find(&of.into())?].cursor;
        let bounds = cursor.log().bounds()?;
        Ok(bounds.lag(cursor.offset(), readable_end(bounds, &self.config)))
    }

    /// Returns no records of these partitions until they are resumed. Positions stay. On an error nothing changes.
    pub fn pause<P: Into<TopicPartition>>(&mut self, of: impl IntoIterator<Item = P>) -> Result<()> {
        self.set_paused(of.into_iter().map(Into::into), true)
    }

    /// Returns records of these partitions again. On an error nothing changes.
    pub fn resume<P: Into<TopicPartition>>(&mut self, of: impl IntoIterator<Item = P>) -> Result<()> {
        self.set_paused(of.into_iter().map(Into::into), false)
    }

    fn set_paused(&mut self, of: impl Iterator<Item = TopicPartition>, paused: bool) -> Result<()> {
        let found = of.map(|partition| self.find(&partition)).collect::<Result<Vec<_>>>()?;
        for at in found {
            self.assigned.pause(at, paused);
        }
        Ok(())
    }

    fn find(&self, partition: &TopicPartition) -> Result<usize> {
        self.assigned.place_of(partition).ok_or_else(|| {
            if let Err(gone) = self.directory.groups().catalog().refuse_other(partition) {
                return gone;
            }
            let reason = match self.subscription {
                None => "is not assigned to this consumer; call assign first",
                Some(_) => "is not this consumer's now: its group gave it to another member, or to none yet",
            };
            Error::invalid("partition", format!("{partition} {reason}"))
        })
    }

    /// A way for other threads to end this consumer's wait.
    pub fn waker(&self) -> ConsumerWaker {
        self.wake.waker(self.directory.watch())
    }

    /// Ends the consumer and leaves its group. With [`ConsumerConfig::commit_on_poll`] what the last poll returned is
    /// committed first; dropping a consumer does not do that.
    ///
    /// # Errors
    /// As [`commit`](Self::commit). With `NotFound` and `OffsetOutOfRange`, what was returned of other partitions is committed.
    pub fn close(mut self) -> Result<()> {
        self.commit_last()
    }
}

/// What became of a partition whose turn it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    /// All there is was added, or as much as a fetch brings.
    Whole,
    /// Nothing more is to be added.
    Full,
    /// It fails, which is for the next poll to meet: this one has records.
    Later,
}

/// A poll. However it ends, with an error or a panic in code of the user's too, the member has to poll again in time.
struct Polling<'c>(&'c mut Consumer);

impl<'c> Polling<'c> {
    fn begin(consumer: &'c mut Consumer) -> Self {
        if let Some(subscription) = &consumer.subscription {
            subscription.member().begin_poll();
        }
        consumer.polls += 1;
        Self(consumer)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        // Of the membership that it has by now.
        if let Some(subscription) = &self.0.subscription {
            subscription.member().end_poll();
        }
    }
}

/// Where what a consumer is shown ends.
fn readable_end(bounds: Bounds, config: &ConsumerConfig) -> u64 {
    let end = match config.read_up_to {
        ReadUpTo::Visible => bounds.log_end,
        ReadUpTo::Durable => bounds.durable,
    };
    match config.isolation {
        IsolationLevel::ReadUncommitted => end,
        IsolationLevel::ReadCommitted => end.min(bounds.last_stable),
    }
}

/// A failure may come of a topic that was just deleted, as when its file is missing: then that is the error.
fn cause_of(directory: &OpenDirectory, cursor: &Cursor, failure: Error) -> Error {
    match directory.refresh() {
        Ok(()) => cursor.log().refuse_ended().err().unwrap_or(failure),
        Err(_) => failure,
    }
}
