//! One error type for everything, grouped by what the caller can do about it.

mod details;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use crate::position::Position;

pub use self::details::{
    AbortCause, Damage, DroppedRecords, IoFailure, PoisonCause, SettingMismatch, StorageFailure,
    TopicMismatch,
};

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. [`Error::remedy`] names the group: what the caller can do.
///
/// The text of an error names its cause, too. [`source`](std::error::Error::source) gives the cause as a value: the
/// [`io::Error`] of [`Io`](Self::Io) and [`StorageFull`](Self::StorageFull), the failed write or sync of
/// [`Poisoned`](Self::Poisoned), the reason of [`RecordsDropped`](Self::RecordsDropped). The other variants have none: what
/// they say was found by stratalog itself.
///
/// ```
/// use std::error::Error as _;
/// use std::io;
/// use stratalog::EventLog;
/// # let dir = tempfile::tempdir()?;
/// # let file = dir.path().join("file");
/// # std::fs::write(&file, "")?;
///
/// let failure = EventLog::open(file.join("log")).unwrap_err();
/// let cause = failure.source().and_then(|cause| cause.downcast_ref::<io::Error>());
/// assert!(cause.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value given by the caller or found in a configuration is invalid. Nothing was written.
    #[error("{what}: {reason}")]
    InvalidInput {
        /// What was given: a topic name, a setting, a record.
        what: &'static str,
        /// What was wrong and what would be right.
        reason: Box<str>,
    },
    /// There is no such topic or partition. Nothing was written.
    #[error("{what} {name:?} does not exist")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: Box<str>,
    },
    /// A topic of this name exists already. Nothing was written.
    #[error("topic {name:?} exists already")]
    AlreadyExists {
        /// The topic's name.
        name: Box<str>,
    },
    /// The topic exists, with other settings than the call named. Nothing was written.
    #[error("{0}")]
    TopicMismatch(Box<TopicMismatch>),
    /// The log was opened to read it only. Nothing was written.
    #[error("the log was opened read-only; open it with EventLog::open to change it")]
    ReadOnly,
    /// A record or batch is larger than the topic takes. Nothing was written.
    ///
    /// What counts is the batch as it is written, compressed or not. A batch that is too large before it is compressed is not
    /// compressed at all if it is also larger than what a compressed batch may decompress to:
    /// [`OpenOptions::max_decompressed_batch_bytes`](crate::OpenOptions::max_decompressed_batch_bytes).
    #[error(
        "{bytes} bytes in one batch, but the limit is {limit} (max.message.bytes of the topic, segment.bytes; before \
         compression max_decompressed_batch_bytes)"
    )]
    TooLarge {
        /// The size of the batch that would be needed, header included.
        bytes: u64,
        /// The limit it exceeds.
        limit: u64,
    },
    /// Records that a buffered producer had taken can never be written and were dropped: the largest batch that their
    /// topic takes has become smaller since. None of them is in the log; what was enqueued beside them is not affected.
    #[error(transparent)]
    RecordsDropped(Box<DroppedRecords>),
    /// The position is outside the log. Data lost to retention is never skipped silently: seek to continue.
    #[error("offset {} of {} is outside the log, which holds {} to {}", at.offset(), at.topic_partition(), valid.start, valid.end)]
    OffsetOutOfRange {
        /// The position that was asked for.
        at: Box<Position>,
        /// Log start offset and log end offset.
        valid: Range<u64>,
    },
    /// Another log, here or in another process, or a Kafka broker holds the directory.
    #[error("{} is in use{}: close the log that holds it, or wait", path.display(), Holder(*holder))]
    Locked {
        /// The directory.
        path: Box<Path>,
        /// The process that holds it, if the system reports it.
        holder: Option<u32>,
    },
    /// The log's directory, its lock, or the directory of a partition is not what it was when it was opened: it was moved,
    /// deleted, or replaced by another one. Nothing was made, renamed or removed in what has its name now. Records that
    /// were acknowledged are where the directory is now. Close the log and open it there.
    #[error(
        "{} is not what it was when the log was opened: it was moved, deleted or replaced, and nothing was written to \
         what is there now; close the log and open it where it is",
        path.display()
    )]
    Replaced {
        /// The name that means something else now, or nothing.
        path: Box<Path>,
    },
    /// The directory is that of one node of a cluster: its partitions have replicas on other nodes, or other nodes vote on its
    /// metadata. Records written to this directory alone, or those on the other nodes, are lost when the cluster runs again.
    /// Nothing was written. Read it with
    /// [`EventLog::open_read_only`](crate::EventLog::open_read_only), or write to it all the same with
    /// [`OpenOptions::accept_data_loss`](crate::OpenOptions::accept_data_loss).
    #[error(
        "{} is the directory of node {node}, and a part of its data is also that of {}: what is written to it alone they \
         do not get, and it or what they have is lost when brokers run on all of them again; read it \
         (EventLog::open_read_only), or accept the loss (OpenOptions::accept_data_loss)",
        path.display(), Nodes(others)
    )]
    PartOfCluster {
        /// The directory.
        path: Box<Path>,
        /// Its node, by `meta.properties`.
        node: i32,
        /// The other nodes, ascending.
        others: Box<[i32]>,
    },
    /// No space is left on the device or in the quota, or the file would become longer than this process may write
    /// (`ulimit -f`). Nothing was written; reading continues, and appending works again when there is space.
    #[error(transparent)]
    StorageFull(Box<StorageFailure>),
    /// The group has members. Committed offsets are theirs to change: stop its consumers, or wait. Nothing was written.
    #[error("group {group:?} has members; stop its consumers first")]
    GroupNotEmpty {
        /// The group's name.
        group: Box<str>,
    },
    /// The log does not end where the caller said: another producer appended. Nothing was written.
    #[error("the log ends at offset {actual}, not at {expected}")]
    Conflict {
        /// The log end offset the caller expected.
        expected: u64,
        /// The log end offset there is.
        actual: u64,
    },
    /// This consumer no longer owns a partition: it was revoked, or the consumer was evicted from its group because it did not
    /// poll in time. Nothing was committed. Poll again: the consumer is a member then, with the partitions
    /// that its group gives it.
    #[error(
        "a partition is no longer this consumer's in group {group:?}, so nothing was committed; poll again"
    )]
    FencedGeneration {
        /// The group's name.
        group: Box<str>,
    },
    /// Another producer has taken the transactional id, and this one's transaction was aborted. Nothing of it counts, and this
    /// producer writes nothing any more: make one anew, if the other is to be fenced in turn.
    #[error("another producer has the transactional id {id:?} now; make the producer anew to fence that one")]
    ProducerFenced {
        /// The transactional id.
        id: Box<str>,
    },
    /// The transaction was aborted, and not by its producer. Nothing of it counts. The producer can begin another one.
    #[error(
        "the transaction of {id:?} was aborted: {cause}; nothing of it counts, and another one can be begun"
    )]
    Aborted {
        /// The transactional id.
        id: Box<str>,
        /// Why.
        cause: AbortCause,
    },
    /// A write or fsync failed, in this call or an earlier one. The partition refuses appends until the log is reopened. What the
    /// failed call wrote may or may not be there then; later calls wrote nothing.
    ///
    /// The same holds for a change of topics: no topic can be created, changed or deleted until the log is reopened, and the
    /// topics of the failed change take no records and no commits. Others do.
    #[error(transparent)]
    Poisoned(Box<PoisonCause>),
    /// This process is a child, made by `fork`, of the one that opened the log. The log is the parent's: nothing was
    /// written, and dropping the handles here does nothing. Open the log anew, once the parent has closed it; or open it
    /// to read it.
    #[error(
        "the log was opened by the process of which this one is a fork, and is that one's alone; open it anew here, or \
         read-only while the other has it"
    )]
    Forked,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A file holds bytes that cannot be what was written.
    #[error("{0}")]
    Corrupt(Box<Damage>),
    /// A file holds something that this version does not read or write: a newer format, a codec whose cargo feature is off, a
    /// batch that decompresses to more than the limit.
    #[error("{0}")]
    Unsupported(Box<Damage>),
    /// The operating system refused an operation: no descriptor was free, a permission was missing, a name was taken. Nothing
    /// of what the call was to write can be read, unless the call's own documentation says otherwise. Nothing else has
    /// changed: the same call can succeed once the reason is gone. A failed write or sync of
    /// records is [`Poisoned`](Self::Poisoned).
    #[error(transparent)]
    Io(Box<IoFailure>),
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// The call was wrong. Nothing was written; after [`Error::RecordsDropped`], none of those records was.
    FixTheCall,
    /// The same call may succeed later; nothing was written.
    Retry,
    /// Poll again, which joins the group anew if need be; nothing was written.
    Rejoin,
    /// Make the producer anew; nothing of its transaction counts.
    Renew,
    /// Open the log anew; the outcome of the failed write is known only then.
    Reopen,
    /// A file, a device or a permission needs attention.
    Inspect,
}

impl Error {
    /// What the caller can do about it.
    ///
    /// ```
    /// use stratalog::{EventLog, Remedy};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// assert_eq!(log.topic("orders").unwrap_err().remedy(), Remedy::FixTheCall);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::InvalidInput { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::TopicMismatch(_)
            | Self::ReadOnly
            | Self::PartOfCluster { .. }
            | Self::TooLarge { .. }
            | Self::RecordsDropped(_)
            | Self::OffsetOutOfRange { .. } => Remedy::FixTheCall,
            Self::Locked { .. }
            | Self::StorageFull(_)
            | Self::GroupNotEmpty { .. }
            | Self::Conflict { .. }
            | Self::Aborted { .. } => Remedy::Retry,
            Self::ProducerFenced { .. } => Remedy::Renew,
            Self::FencedGeneration { .. } => Remedy::Rejoin,
            Self::Poisoned(_) | Self::Replaced { .. } | Self::Forked | Self::Closed => Remedy::Reopen,
            Self::Corrupt(_) | Self::Unsupported(_) | Self::Io(_) => Remedy::Inspect,
        }
    }

    pub(crate) fn invalid(what: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self::InvalidInput { what, reason: reason.into() }
    }

    pub(crate) fn not_found(what: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound { what, name: name.to_string().into() }
    }

    /// Whether this says that a file or directory is not there.
    pub(crate) fn is_file_not_found(&self) -> bool {
        matches!(self, Self::Io(failure) if failure.source.kind() == io::ErrorKind::NotFound)
    }

    /// An error of the operating system while doing `action` to `path`; a full disk gets its own variant.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::StorageFull(Box::new(StorageFailure { path: path.into(), source: Arc::new(source) }))
            }
            _ => Self::io_failure(action, path, source),
        }
    }

    /// The same where a full disk is no other failure: something may have been written.
    pub(crate) fn io_failure(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io(Box::new(IoFailure { action, path: path.into(), source: Arc::new(source) }))
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(f, " by process {process}"),
            None => Ok(()),
        }
    }
}

struct Nodes<'n>(&'n [i32]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "node " } else { "the nodes " })?;
        for (at, node) in self.0.iter().enumerate() {
            write!(f, "{}{node}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<Error>() <= 40);
