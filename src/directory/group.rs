//! Handles to groups.

use std::fmt;
use std::sync::Arc;

use super::OpenDirectory;
use crate::error::Result;
use crate::group::GroupDescription;
use crate::position::{Position, TopicPartition};

/// A consumer group of an open log, seen from outside. Cheap to clone, shared by any number of threads.
///
/// A group is there as long as it has members or committed positions, or has begun to read at
/// [the end](crate::StartFrom::End): it need not be created.
/// [`EventLog::consumer`](crate::EventLog::consumer) makes members.
///
/// ```
/// # use std::time::Duration;
/// # use stratalog::{EventLog, Position, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new())?;
/// log.producer()?.send_batch(&orders.partition(0)?, ["a", "b"].map(|value| Record::new(value)))?;
///
/// let billing = log.group("billing")?;
/// billing.set_committed([Position::new(("orders", 0), 1)])?; // it begins with "b"
/// assert_eq!(billing.lag()?, [(("orders", 0).into(), 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Group {
    directory: Arc<OpenDirectory>,
    name: Arc<str>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) fn new(directory: Arc<OpenDirectory>, name: &str) -> Self {
        Self { directory, name: name.into() }
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group as it is now: members, their partitions, committed positions and lag. `NotFound` if there is nothing of
    /// this group. Kafka's counterpart is `describeConsumerGroups`.
    pub fn describe(&self) -> Result<GroupDescription> {
        self.directory.check_open()?;
        self.directory.refresh()?;
        self.directory.groups().describe(&self.name)
    }

    /// The committed positions, by topic and partition. Kafka's counterpart is `listConsumerGroupOffsets`.
    pub fn committed(&self) -> Result<Vec<Position>> {
        self.directory.check_open()?;
        self.directory.refresh()?;
        let committed = self.directory.groups().offsets().of_group(&self.name)?;
        Ok(committed.into_iter().map(|(of, committed)| committed.position(of)).collect())
    }

    /// How many offsets lie between each committed position and the end of its partition. Records that were deleted do
    /// not count, in contrast to Kafka's own tool.
    pub fn lag(&self) -> Result<Vec<(TopicPartition, u64)>> {
        let partitions = self.describe()?.partitions;
        Ok(partitions.into_iter().filter_map(|one| Some((one.partition, one.lag?))).collect())
    }

    /// Sets committed positions, all or none, so that the group continues there. Kafka's counterparts are
    /// `alterConsumerGroupOffsets` and `kafka-consumer-groups --reset-offsets`.
    ///
    /// # Errors
    /// `GroupNotEmpty` while it has members, `NotFound` for a partition that does not exist or came out of a topic that was
    /// deleted, `OffsetOutOfRange` past its end, `ReadOnly`.
    pub fn set_committed(&self, to: impl IntoIterator<Item = Position>) -> Result<()> {
        self.directory.check_writable()?;
        let to: Vec<_> = to.into_iter().collect();
        self.directory.groups().set_committed(&self.name, &to, self.directory.now().as_millis())
    }

    /// Forgets the committed positions of these partitions. Kafka's counterpart is `deleteConsumerGroupOffsets`.
    ///
    /// # Errors
    /// `GroupNotEmpty` while it has members, `NotFound` for a partition that came out of a topic that was deleted
    /// since, `ReadOnly`. Then nothing is forgotten.
    pub fn remove_committed<P: Into<TopicPartition>>(&self, of: impl IntoIterator<Item = P>) -> Result<()> {
        self.directory.check_writable()?;
        let of: Vec<_> = of.into_iter().map(Into::into).collect();
        self.directory.groups().remove_committed(&self.name, &of, self.directory.now().as_millis())
    }

    /// Forgets the group. Kafka's counterpart is `deleteConsumerGroups`.
    ///
    /// # Errors
    /// `GroupNotEmpty` while it has members, `NotFound` if there is nothing of it, `ReadOnly`.
    pub fn delete(&self) -> Result<()> {
        self.directory.check_writable()?;
        self.directory.groups().delete(&self.name, self.directory.now().as_millis())
    }
}
