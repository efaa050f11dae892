//! The log at one point, for a snapshot: which topics there are then, and what their partitions hold.

use super::metadata_log::{MetadataLog, belongs_to_log};
use super::{Catalog, identity};
use crate::error::{Error, Result};
use crate::format::file_names::IDENTITY;
use crate::partition::{Kept, PartitionPoint, at_one_point};
use crate::position::TopicPartition;
use crate::sys::Copier;

/// What the log holds at one point.
#[derive(Debug)]
pub(crate) struct LogPoint {
    /// How many topics there are.
    pub(crate) topics: usize,
    /// The metadata log, then the partitions of all topics.
    pub(crate) partitions: Vec<PartitionPoint>,
}

impl Catalog {
    /// What the log holds now. A record that was sent after another one was acknowledged is not in it without the other,
    /// whatever partitions they are of; no position that a group has committed is beyond the end of its partition; and a
    /// topic is in it with all changes that were acknowledged, or not at all.
    pub(crate) fn at_one_point(&self) -> Result<LogPoint> {
        self.refuse_unsettled()?;
        for partition in self.partitions() {
            match partition.load() {
                // Deleted since the list was made.
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        let changes = self.changes.lock();
        self.refuse_unsettled()?;
        let topics = self.snapshot();
        let partitions = topics.values().flat_map(|topic| topic.partitions().iter()).cloned();
        let logs = [changes.log.partition()].into_iter().chain(partitions);
        let logs = logs.filter_map(|log| log.leader().ok().cloned());
        let partitions = at_one_point(logs.map(Kept::new).collect());
        Ok(LogPoint { topics: topics.len(), partitions })
    }

    /// Copies what says whose directory it is: a copy that takes the place of the original is the same log of the same node.
    pub(crate) fn copy_identity(&self, to: &std::path::Path, copier: &Copier<'_>) -> Result<()> {
        let bytes = copier.disk().read_small(&self.dir.path(IDENTITY), identity::MAX_BYTES)?;
        let missing = || {
            let path = self.dir.path(IDENTITY);
            Error::io("open", &path, std::io::ErrorKind::NotFound.into())
        };
        copier.write(&to.join(IDENTITY), &bytes.ok_or_else(missing)?)
    }
}

/// Whether a file in the directory of a partition belongs to it beside its segments and what every partition has.
pub(crate) fn belongs_to(partition: &TopicPartition, name: &str) -> bool {
    MetadataLog::is_partition(partition.topic(), partition.partition()) && belongs_to_log(name)
}
