//! What the variants of [`Error`] hold.

use std::path::PathBuf;
use std::sync::Arc;
use std::{error, fmt, io};

use super::Error;
use crate::position::{Position, TopicPartition};

/// Why a transaction was aborted that its producer did not abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortCause {
    /// It was open for longer than [`ProducerConfig::transaction_timeout`](crate::ProducerConfig::transaction_timeout).
    Timeout,
    /// [`EventLog::abort_transaction`](crate::EventLog::abort_transaction), or the same by the program.
    Outside,
    /// Another producer took the transactional id.
    Fenced,
    /// A part of it could not be written, as an earlier call has said.
    Failed,
    /// The log was closed.
    Closed,
}

impl fmt::Display for AbortCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "it was open for longer than its producer's transaction_timeout",
            Self::Outside => "it was asked for from outside",
            Self::Fenced => "another producer took the transactional id",
            Self::Failed => "a part of it could not be written",
            Self::Closed => "the log was closed",
        })
    }
}

/// A topic that exists with other settings than [`ensure_topic`](crate::EventLog::ensure_topic) was called with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicMismatch {
    /// The topic's name.
    pub topic: Box<str>,
    /// Each setting that the call named and that has another value, sorted by name but for the partitions, which come
    /// first.
    pub settings: Vec<SettingMismatch>,
}

/// A setting of a topic that has another value than a call named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingMismatch {
    /// The setting's Kafka name, or `partitions`.
    pub setting: Box<str>,
    /// The value that the call named.
    pub wanted: Box<str>,
    /// The value in effect: the one that the topic records, or else the default.
    pub found: Box<str>,
}

impl fmt::Display for TopicMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {:?} exists with other settings: ", self.topic)?;
        for (n, one) in self.settings.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{} is {}, not {}", one.setting, one.found, one.wanted)?;
        }
        f.write_str(" (EventLog::ensure_topic_with can keep or alter them)")
    }
}

/// Records that a [`BufferedProducer`](crate::BufferedProducer) had taken and could not write.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DroppedRecords {
    /// The partition of the first of them.
    pub partition: TopicPartition,
    /// The number of the first of them among all records that `enqueue` took; the producer's first record is 1.
    pub first: u64,
    /// How many were dropped since a flush last reported any.
    pub records: u64,
    /// Why the first was dropped: [`Error::TooLarge`] with the size of a batch of it alone.
    pub failure: Error,
}

impl fmt::Display for DroppedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, first, records, failure } = self;
        match records {
            1 => write!(f, "record {first} of those enqueued, for {partition}, was dropped: {failure}"),
            _ => write!(
                f,
                "{records} of the records enqueued were dropped, record {first}, for {partition}, first: {failure}"
            ),
        }
    }
}

impl error::Error for DroppedRecords {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.failure)
    }
}

/// Bytes in a file that are damaged, or not understood: which file, where, and what is wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The byte position in the file.
    pub position: u64,
    /// What is wrong there.
    pub reason: Box<str>,
    /// The partition and the first offset that cannot be read, if the file belongs to one.
    pub offset: Option<Position>,
    pub(crate) resume_at: Option<Position>,
}

impl Damage {
    pub(crate) fn new(path: impl Into<PathBuf>, position: u64, reason: impl Into<Box<str>>) -> Self {
        Self { path: path.into(), position, reason: reason.into(), offset: None, resume_at: None }
    }

    pub(crate) fn at_offset(mut self, of: &TopicPartition, offset: u64) -> Self {
        self.offset = Some(Position::new(of, offset));
        self
    }

    /// Where reading can continue after the damage: give it to [`Consumer::seek`](crate::Consumer::seek).
    /// `None` when nothing readable follows.
    pub fn resume_at(&self) -> Option<Position> {
        self.resume_at.clone()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.path.display(), self.position, self.reason)?;
        if let Some(at) = &self.offset {
            write!(f, " (offset {} of {})", at.offset(), at.topic_partition())?;
        }
        Ok(())
    }
}

/// An operation that the operating system refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IoFailure {
    /// What was attempted, as in "cannot open".
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's own error.
    pub source: Arc<io::Error>,
}

impl fmt::Display for IoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.source)
    }
}

impl error::Error for IoFailure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// A file for which there was no space: on the device, in the quota, or by the limit of files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StorageFailure {
    /// The file that could not grow.
    pub path: PathBuf,
    /// The system's own error.
    pub source: Arc<io::Error>,
}

impl fmt::Display for StorageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "no space left for {path} on the disk, in the quota, or by the limit of files (ulimit -f)")
    }
}

impl error::Error for StorageFailure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// The failure after which a partition refuses appends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoisonCause {
    /// The partition.
    pub partition: TopicPartition,
    /// The failure, in words.
    pub failure: Box<str>,
    source: Option<Arc<Error>>,
}

impl PoisonCause {
    pub(crate) fn new(partition: TopicPartition, failure: &Error) -> Self {
        Self { partition, failure: failure.to_string().into(), source: Some(Arc::new(failure.clone())) }
    }

    /// The same cause for another partition.
    pub(crate) fn of_partition(&self, partition: TopicPartition) -> Self {
        Self { partition, ..self.clone() }
    }

    /// The same cause, said in other words.
    pub(crate) fn in_words(self, failure: String) -> Self {
        Self { failure: failure.into(), ..self }
    }
}

impl fmt::Display for PoisonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} takes no more records until the log is opened anew, because an earlier write failed: {}",
            self.partition, self.failure
        )
    }
}

impl error::Error for PoisonCause {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|failure| failure as &(dyn error::Error + 'static))
    }
}
