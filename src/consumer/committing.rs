//! How a consumer commits its positions for its group.

use std::collections::BTreeMap;

use super::assigned::Assigned;
use super::{Consumer, readable_end};
use crate::config::{Durability, ReadUpTo};
use crate::error::{Error, Result};
use crate::group::{Since, refuse_beyond_end};
use crate::position::{Position, TopicPartition};

impl Consumer {
    /// Commits the present positions of all partitions that this consumer reads: everything that polls have returned.
    ///
    /// A consumer that reads these partitions for the group later begins there. May be called inside the loop over the records of
    /// a poll, but then counts the records of the poll that were not handled yet as processed: see
    /// [`commit_to`](Self::commit_to). What did not change since the last commit is not written again. A partition is
    /// never released by a commit. Of a topic that was deleted nothing is remembered. Kafka's counterpart is `commitSync`.
    ///
    /// `Ok` means: remembered, safe from the death of the process, and from power loss as
    /// [`ConsumerConfig::commit_durability`](crate::ConsumerConfig::commit_durability) says. It is in `__consumer_offsets`,
    /// where a broker finds it. With [`ReadUpTo::Durable`] no position past the durable end is committed: it is lowered to that
    /// end.
    ///
    /// # Errors
    /// `InvalidInput` without a group; `FencedGeneration` if the consumer was evicted from its group; `GroupNotEmpty` if
    /// it was assigned partitions while its group has members; `OffsetOutOfRange` if the consumer was sent past the end
    /// of a partition; `NotFound` if the topic of one was deleted and another has its name; `ReadOnly`, `Closed`,
    /// `StorageFull`, `Io`, `Poisoned`. Only after the last two something may have been committed.
    pub fn commit(&mut self) -> Result<()> {
        self.group_to_commit_for()?;
        self.assigned.iter().try_for_each(|one| self.refuse_made_anew(one))?;
        self.commit_present()
    }

    /// Commits the present positions that were not committed yet. Of topics that were deleted nothing is to be remembered.
    fn commit_present(&mut self) -> Result<()> {
        let positions = self.positions_to_commit().collect::<Result<Vec<_>>>()?;
        self.commit_positions(positions)
    }

    pub(super) fn positions_to_commit(&self) -> impl Iterator<Item = Result<(usize, Position)>> {
        let moved = self.assigned.iter().enumerate().filter(|(_, one)| one.has_moved() && !one.is_gone());
        moved.map(|(at, _)| Ok((at, self.within_bounds(at, self.position_at(at))?)))
    }

    /// Refuses a partition whose topic was deleted, if another topic has the name.
    pub(super) fn refuse_made_anew(&self, one: &Assigned) -> Result<()> {
        let (of, catalog) = (one.cursor.log().id(), self.directory.groups().catalog());
        if one.is_gone() && catalog.topic(of.topic()).is_some() { catalog.refuse_other(of) } else { Ok(()) }
    }

    /// Commits these positions, all or none. Of several for one partition the last one counts.
    ///
    /// [`RecordView::next_position`](crate::RecordView::next_position) of a record is the position that says it was
    /// processed, and all before it. With [`ReadUpTo::Durable`] positions are lowered as by [`commit`](Self::commit).
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and: `FencedGeneration` for a partition that the group has not given to this
    /// consumer, `InvalidInput` for one that was not assigned, `OffsetOutOfRange` past the end of the partition. Then
    /// nothing is committed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// # let orders = log.create_topic("orders", TopicConfig::new())?;
    /// # log.producer()?.send_batch(&orders.partition(0)?, ["a", "b"].map(|value| Record::new(value)))?;
    /// let mut consumer = log.consumer("billing")?;
    /// consumer.subscribe(["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     println!("{:?}", record.value());
    ///     consumer.commit_to([record.next_position()])?;
    /// }
    /// assert_eq!(consumer.committed(("orders", 0))?.map(|at| at.offset()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit_to(&mut self, to: impl IntoIterator<Item = Position>) -> Result<()> {
        self.directory.check_process()?;
        let positions = self.checked_positions(to)?;
        self.commit_positions(positions)
    }

    /// The positions that these are, with the places of their partitions.
    pub(super) fn checked_positions(
        &self,
        to: impl IntoIterator<Item = Position>,
    ) -> Result<Vec<(usize, Position)>> {
        let mut positions = BTreeMap::new();
        for position in to {
            let at = match self.find(position.topic_partition()) {
                Ok(at) => at,
                Err(gone @ Error::NotFound { .. }) => return Err(gone),
                Err(failure) => return Err(self.not_ours().unwrap_or(failure)),
            };
            let name = self.assigned.names()[at].clone();
            positions.insert(at, self.within_bounds(at, position.in_partition(name))?);
        }
        Ok(positions.into_iter().collect())
    }

    fn not_ours(&self) -> Option<Error> {
        let group = self.config.group.as_deref().filter(|_| self.subscription.is_some())?;
        Some(Error::FencedGeneration { group: group.into() })
    }

    fn within_bounds(&self, at: usize, position: Position) -> Result<Position> {
        let bounds = refuse_beyond_end(self.assigned[at].cursor.log(), &position)?;
        match self.config.read_up_to {
            ReadUpTo::Durable if position.offset() > bounds.durable => {
                Ok(position.at_offset(readable_end(bounds, &self.config)))
            }
            _ => Ok(position),
        }
    }

    /// Commits what the last poll returned, if polls are to do that.
    ///
    /// A partition of which a position cannot be committed, since the consumer was sent outside of it or it cannot be read,
    /// has returned nothing there and does not keep the others from being committed: its own fetch gives the failure.
    pub(super) fn commit_processed(&mut self) -> Result<()> {
        if !self.config.commit_on_poll || self.assigned.is_empty() {
            return Ok(());
        }
        self.group_to_commit_for()?;
        let positions = self.positions_to_commit().filter_map(Result::ok).collect();
        self.commit_positions(positions)
    }

    /// The same before the consumer forgets its positions: no poll will say that some could not be committed.
    pub(super) fn commit_last(&mut self) -> Result<()> {
        self.commit_processed()?;
        if !self.config.commit_on_poll {
            return Ok(());
        }
        self.positions_to_commit().try_for_each(|position| position.map(drop))?;
        let mut moved = self.assigned.iter().filter(|one| one.has_moved());
        moved.try_for_each(|one| self.refuse_made_anew(one))
    }

    /// Commits where partitions begin that were given to this member, if that is to be remembered, and that the group has
    /// begun: so that the next owner begins there too.
    pub(super) fn commit_begun(&mut self) -> Result<()> {
        let Some(subscription) = &self.subscription else { return Ok(()) };
        let begun = |one: &Assigned| Some(one.position(one.begins_at.filter(|_| !one.is_gone())?));
        let now = self.directory.now().as_millis();
        loop {
            let positions: Vec<_> = self.assigned.iter().filter_map(begun).collect();
            let committed = subscription.member().commit(&positions, now, Durability::Synced);
            // If topics were deleted meanwhile, the others have begun all the same.
            if committed.is_ok() || self.assigned.iter().filter_map(begun).count() == positions.len() {
                committed?;
                break;
            }
        }
        self.assigned.iter_mut().for_each(Assigned::has_begun);
        Ok(())
    }

    /// The same of partitions that are to be assigned. While the group has members it is theirs to remember; a log that is
    /// only read remembers nothing.
    pub(super) fn commit_assigned(&self, assigned: &mut [Assigned], since: Since) -> Result<()> {
        let Some(group) = self.config.group.as_deref().filter(|_| !self.directory.is_read_only()) else {
            return Ok(());
        };
        let begun = assigned.iter().filter_map(|one| Some(one.position(one.begins_at?)));
        let begun: Vec<_> = begun.collect();
        if begun.is_empty() {
            return Ok(());
        }
        let now = self.directory.now().as_millis();
        match self.directory.groups().commit_standalone(group, &begun, since, now, Durability::Synced) {
            Err(Error::GroupNotEmpty { .. }) => return Ok(()),
            committed => committed?,
        }
        assigned.iter_mut().for_each(Assigned::has_begun);
        Ok(())
    }

    fn group_to_commit_for(&self) -> Result<&str> {
        self.directory.check_writable()?;
        self.config.group.as_deref().ok_or_else(|| {
            let reason = "the consumer has no group to commit for; name one when it is made";
            Error::invalid("commit", reason)
        })
    }

    fn commit_positions(&mut self, positions: Vec<(usize, Position)>) -> Result<()> {
        let group = self.group_to_commit_for()?;
        if positions.is_empty() {
            return Ok(());
        }
        let (places, positions): (Vec<_>, Vec<_>) = positions.into_iter().unzip();
        let now = self.directory.now().as_millis();
        let level = self.config.commit_durability;
        if let Some(subscription) = &self.subscription {
            subscription.member().commit(&positions, now, level)?;
        } else {
            let groups = self.directory.groups();
            let since = self.since.map_or_else(|| groups.since(group), Ok)?;
            groups.commit_standalone(group, &positions, since, now, level)?;
        }
        for (at, position) in places.into_iter().zip(&positions) {
            self.assigned[at].committed = Some(position.offset());
            self.assigned[at].begins_at = None;
        }
        Ok(())
    }

    /// The position that was committed last for the consumer's group in this partition, also by others; `None` if there is
    /// none. Kafka's counterpart has the same name.
    ///
    /// # Errors
    /// `InvalidInput` without a group, `NotFound` for a partition that came out of a topic that was deleted since.
    pub fn committed(&self, of: impl Into<TopicPartition>) -> Result<Option<Position>> {
        self.directory.check_open()?;
        let Some(group) = &self.config.group else {
            let reason = "the consumer has no group; name one when it is made";
            return Err(Error::invalid("committed", reason));
        };
        let of = of.into();
        if of.topic_id().is_some() {
            self.directory.topic_of(&of)?;
        }
        let of = self.directory.groups().catalog().present(&of);
        let found = self.directory.groups().offsets().get(group, &of)?;
        Ok(found.map(|committed| committed.position(of)))
    }
}
