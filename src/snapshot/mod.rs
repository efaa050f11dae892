//! Snapshots: another directory that holds what a log holds at one point, made while the log is used.
//!
//! | step | where |
//! |---|---|
//! | what the log holds at one point is written down, all appenders locked for that long | `catalog`, `point` |
//! | the files of each partition are copied or linked, as a close would leave them | `partition`, `point` |
//! | checkpoints, whose directory it is, and the marker of an orderly close | here |
//! | all of it is on disk; then it gets its name | [`target`] |

mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use target::Target;

use crate::catalog::checkpoints::{write_cleaned, write_log_starts, write_recovery_points};
use crate::catalog::log_dir::LogDir;
use crate::catalog::{LogPoint, belongs_to};
use crate::directory::{OpenDirectory, write_clean_marker};
use crate::error::Result;
use crate::partition::Bytes;
use crate::position::TopicPartition;
use crate::sys::Copier;

/// What a snapshot holds, and how it was made: [`EventLog::snapshot_to`](crate::EventLog::snapshot_to).
#[derive(Debug, Clone)]
pub struct Snapshot {
    directory: PathBuf,
    topics: usize,
    ends: Vec<(TopicPartition, u64)>,
    bytes: Bytes,
}

impl Snapshot {
    /// Where it is, without links in the path.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many topics are in it, Kafka's internal ones among them.
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// Its partitions by topic and number, each with the offset after its last record.
    ///
    /// ```
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path().join("data"))?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    /// let snapshot = log.snapshot_to(dir.path().join("copy"))?;
    /// let ends: Vec<_> = snapshot.partitions().map(|(of, end)| (of.to_string(), end)).collect();
    /// assert_eq!(ends, [("orders-0".to_owned(), 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (&TopicPartition, u64)> {
        self.ends.iter().map(|(of, end)| (of, *end))
    }

    /// Bytes of log in files that both directories have under their names (hard links). They take no space of their own.
    pub fn bytes_linked(&self) -> u64 {
        self.bytes.linked
    }

    /// Bytes of log in files whose blocks are those of the original (reflinks), until one of the two is written to. They take
    /// no space of their own.
    pub fn bytes_reflinked(&self) -> u64 {
        self.bytes.shared
    }

    /// Bytes of log that were copied.
    pub fn bytes_copied(&self) -> u64 {
        self.bytes.copied
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes { linked, shared, copied } = self.bytes;
        write!(
            f,
            "{}: {} topics, {} partitions; bytes linked {linked}, reflinked {shared}, copied {copied}",
            self.directory.display(),
            self.topics,
            self.ends.len()
        )
    }
}

/// Makes a directory of what the log holds now.
pub(crate) fn snapshot_to(directory: &Arc<OpenDirectory>, to: &Path) -> Result<Snapshot> {
    directory.check_writable()?;
    // One at a time, and none while the log is closed: from then on its files may be another process's.
    let _one = directory.begin_snapshot()?;
    let mut target = Target::take(to, directory.root(), directory.disk())?;
    let made = fill(directory, &target);
    directory.end_snapshot();
    let made = made.inspect_err(|_| target.give_up())?;
    Ok(Snapshot { directory: target.finish()?, ..made })
}

fn fill(directory: &OpenDirectory, target: &Target) -> Result<Snapshot> {
    let (catalog, root) = (directory.catalog()?, target.directory());
    let point = catalog.at_one_point()?;
    // What is linked now is not checked again after a crash, so it is never written to.
    directory.write_recovery_points();
    let may_continue = || directory.check_open();
    let mut copier = Copier::new(target.disk().clone(), &may_continue);
    let dir = LogDir::new(root, target.disk().clone());
    catalog.copy_identity(dir.root(), &copier)?;
    write_texts(&point, &dir)?;
    let LogPoint { topics, partitions } = point;
    let (mut ends, mut bytes) = (Vec::with_capacity(partitions.len()), Bytes::default());
    for partition in partitions {
        let id = partition.id().clone();
        let more =
            partition.copy_to(&dir.path(id.to_string()), &mut copier, &|name| belongs_to(&id, name))?;
        bytes.linked += more.linked;
        bytes.shared += more.shared;
        bytes.copied += more.copied;
        ends.push((id, partition.log_end()));
    }
    dir.sync()?;
    write_clean_marker(&dir)?;
    // The metadata log is no topic.
    ends.remove(0);
    Ok(Snapshot { directory: dir.root().to_owned(), topics, ends, bytes })
}

/// The checkpoints, as an orderly close writes them.
fn write_texts(point: &LogPoint, dir: &LogDir) -> Result<()> {
    let partitions = || point.partitions.iter();
    write_recovery_points(
        dir,
        partitions().filter_map(|one| Some((one.id().clone(), one.recovery_point()?))),
    )?;
    write_log_starts(dir, partitions().skip(1).map(|one| (one.id().clone(), one.log_start())))?;
    write_cleaned(dir, partitions().filter_map(|one| Some((one.id().clone(), one.cleaned()?))))
}
