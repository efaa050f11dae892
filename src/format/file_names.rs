//! What the files and directories of a log directory are called. Every name is spelled here and nowhere else.
//!
//! Names without a dot at the start are complete, or are the suffix after the dot of a segment's file; those with a dot at the start
//! end a name.

use std::path::{Path, PathBuf};

/// The identity of a log directory.
pub(crate) const IDENTITY: &str = "meta.properties";
/// Says that the directory was closed cleanly.
pub(crate) const CLEAN_MARKER: &str = ".kafka_cleanshutdown";
/// Locked by the process that has the directory open for writing.
pub(crate) const LOCK: &str = ".lock";
/// What a broker was formatted with.
pub(crate) const BOOTSTRAP: &str = "bootstrap.checkpoint";

pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";
/// All files that hold an offset per partition.
pub(crate) const CHECKPOINTS: [&str; 4] = [RECOVERY_POINTS, LOG_STARTS, HIGH_WATERMARKS, CLEANED];

/// What the names of files begin with that only this crate makes.
pub(crate) const OURS: &str = "stratalog.";
/// The page that readers in other processes share. A writer of ours holds a lock on it too.
pub(crate) const LIVE: &str = "stratalog.live";
/// Space that is kept for a full disk.
pub(crate) const RESERVE: &str = "stratalog.reserve";

/// The directory of the metadata log.
pub(crate) const METADATA_DIRECTORY: &str = "__cluster_metadata-0";
/// Beside the metadata log: who voted for whom.
pub(crate) const QUORUM_STATE: &str = "quorum-state";
/// A directory of a broker with tiered storage.
pub(crate) const REMOTE_LOG_CACHE: &str = "remote-log-index-cache";
/// What a file system keeps in its root.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// Ends the name of a partition's directory that is being deleted.
pub(crate) const DELETED_DIRECTORY: &str = "-delete";
/// Ends the name of one that a broker moves to another log directory.
pub(crate) const FUTURE_DIRECTORY: &str = "-future";
/// Ends the name of one that a broker has found and does not own.
pub(crate) const STRAY_DIRECTORY: &str = "-stray";

/// The topic's id, in the directory of a partition.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// Where each leader epoch begins.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// The preallocated file of the next segment.
pub(crate) const PREPARED: &str = "next.prepared";

/// Files of one segment share its base offset as their name.
pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TRANSACTION_INDEX: &str = "txnindex";
/// The state of producers as of the offset in its name, which is most often that of a segment.
pub(crate) const PRODUCER_SNAPSHOT: &str = "snapshot";
/// Ends the name of a snapshot of the metadata log.
pub(crate) const METADATA_SNAPSHOT: &str = ".checkpoint";

/// Ends the name of a file that is not complete.
pub(crate) const UNFINISHED: &str = ".tmp";
/// Ends the name of a file that compaction writes.
pub(crate) const BEING_CLEANED: &str = ".cleaned";
/// Ends the name of a complete file that replaces others.
pub(crate) const SWAP: &str = ".swap";
/// Ends the name of a file that is to be removed.
pub(crate) const DELETED: &str = ".deleted";
/// Part of the name of a file with what was cut off a log file.
pub(crate) const CUT_AT: &str = ".cut-at-";
/// Part of the name of a log file that was set aside as a whole.
pub(crate) const CUT_WHOLE: &str = ".cut-whole";

/// Ends the name of the directory in which a snapshot is made.
pub(crate) const SNAPSHOT_UNFINISHED: &str = ".stratalog-snapshot-unfinished";
/// In that directory: words for a person who finds it.
pub(crate) const SNAPSHOT_WORDS: &str = "README";
/// In that directory: the snapshot.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// The path with `ending` after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Where a file is written before it takes the name `path`.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    with_ending(path, UNFINISHED)
}

/// `NNNNNNNNNNNNNNNNNNNN.log` and its like.
pub(crate) fn segment_file(base: u64, suffix: &str) -> String {
    format!("{base:020}.{suffix}")
}

/// The name of a snapshot of the metadata log.
#[cfg(any(fuzzing, test))]
pub(crate) fn metadata_snapshot(end: u64, epoch: u32) -> String {
    format!("{end:020}-{epoch:010}{METADATA_SNAPSHOT}")
}
