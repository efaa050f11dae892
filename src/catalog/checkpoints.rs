//! The checkpoint files of a log directory, keyed by topic name and partition.
//!
//! A stale entry would hurt a new topic of the same name, so deleting a topic rewrites all four files first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::log_dir::LogDir;
use crate::error::{Damage, Error, Result};
use crate::events::{Announcer, Event};
use crate::format::Malformed;
use crate::format::checkpoint::{PartitionOffset, encode_offsets, parse_offsets};
use crate::format::file_names::{CHECKPOINTS, CLEANED, LOG_STARTS, RECOVERY_POINTS};
use crate::partition::Checkpointed;
use crate::position::TopicPartition;
use crate::sys::Disk;

/// 100,000 partitions with the longest names.
const MAX_BYTES: u64 = 64 << 20;

/// What the files said when the directory was opened.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    pub(crate) clean: bool,
    recovery_points: BTreeMap<TopicPartition, u64>,
    log_starts: BTreeMap<TopicPartition, u64>,
    cleaned: BTreeMap<TopicPartition, u64>,
    /// Files that are invalid, and why.
    pub(crate) unreadable: Vec<(PathBuf, Box<str>)>,
}

impl Checkpoints {
    /// A file that is invalid counts as empty, as it does for a broker: it is safe to know less. Which they are is reported
    /// by `unreadable`.
    pub(crate) fn read(dir: &LogDir, clean: bool) -> Result<Self> {
        let mut unreadable = Vec::new();
        let mut read = |name| -> Result<BTreeMap<TopicPartition, u64>> {
            let path = dir.path(name);
            let entries = match parsed(dir.disk(), &path)? {
                Ok(entries) => entries,
                // Nothing else holds the log starts, and this one would be written over.
                Err(Unparsed::NoEntries(reason @ Malformed::NEWER_CHECKPOINT)) if name == LOG_STARTS => {
                    return Err(reason.error(Box::new(Damage::new(path, 0, reason.0))));
                }
                Err(reason) => {
                    let reason = match reason {
                        Unparsed::NoEntries(reason) => reason.0.into(),
                        Unparsed::TooLarge(reason) => reason,
                    };
                    unreadable.push((path, reason));
                    Vec::new()
                }
            };
            Ok(entries.into_iter().map(|e| ((e.topic.as_str(), e.partition).into(), e.offset)).collect())
        };
        let (recovery_points, log_starts, cleaned) =
            (read(RECOVERY_POINTS)?, read(LOG_STARTS)?, read(CLEANED)?);
        Ok(Self { clean, recovery_points, log_starts, cleaned, unreadable })
    }

    /// Reports each file that is invalid.
    pub(crate) fn emit_unreadable(&self, events: &Announcer) {
        for (path, reason) in &self.unreadable {
            let (path, reason) = (path.clone(), reason.clone());
            events.emit(|| Event::CheckpointUnreadable { path, reason });
        }
    }

    pub(crate) fn of(&self, partition: &TopicPartition) -> Checkpointed {
        Checkpointed {
            clean: self.clean,
            recovery_point: self.recovery_points.get(partition).copied(),
            log_start: self.log_starts.get(partition).copied().unwrap_or(0),
            cleaned: self.cleaned.get(partition).copied(),
        }
    }
}

/// Why a checkpoint is invalid.
enum Unparsed {
    NoEntries(Malformed),
    TooLarge(Box<str>),
}

/// The entries of a checkpoint, or what is wrong with it.
fn parsed(disk: &Disk, path: &Path) -> Result<std::result::Result<Vec<PartitionOffset>, Unparsed>> {
    match disk.read_small(path, MAX_BYTES) {
        Ok(bytes) => Ok(parse_offsets(&bytes.unwrap_or_default()).map_err(Unparsed::NoEntries)),
        Err(Error::Corrupt(damage)) => Ok(Err(Unparsed::TooLarge(damage.reason))),
        Err(failure) => Err(failure),
    }
}

fn entries(disk: &Disk, path: &Path) -> Result<Vec<PartitionOffset>> {
    Ok(parsed(disk, path)?.unwrap_or_default())
}

/// Rewrites the recovery points. One caller at a time, and none beside [`forget_topic`].
pub(crate) fn write_recovery_points(
    dir: &LogDir,
    points: impl Iterator<Item = (TopicPartition, u64)>,
) -> Result<()> {
    dir.disk().replace(&dir.path(RECOVERY_POINTS), encoded(points).as_bytes())
}

/// Rewrites the log starts, unless the file says the same, and returns when they are on disk. One caller at a
/// time, and none beside [`forget_topic`].
pub(crate) fn write_log_starts(
    dir: &LogDir,
    starts: impl Iterator<Item = (TopicPartition, u64)>,
) -> Result<()> {
    write_if_changed(dir, LOG_STARTS, &encoded(starts.filter(|(_, start)| *start > 0)))
}

/// Rewrites up to where partitions were compacted, as [`write_log_starts`] does.
pub(crate) fn write_cleaned(
    dir: &LogDir,
    cleaned: impl Iterator<Item = (TopicPartition, u64)>,
) -> Result<()> {
    write_if_changed(dir, CLEANED, &encoded(cleaned))
}

fn write_if_changed(dir: &LogDir, name: &str, text: &str) -> Result<()> {
    let path = dir.path(name);
    let before = dir.disk().read_small(&path, MAX_BYTES)?;
    if before.as_deref() == Some(text.as_bytes()) || (before.is_none() && text == encode_offsets(&[])) {
        return Ok(());
    }
    dir.disk().replace(&path, text.as_bytes())?;
    dir.sync()
}

fn encoded(offsets: impl Iterator<Item = (TopicPartition, u64)>) -> String {
    let mut entries: Vec<_> = offsets
        .map(|(of, offset)| PartitionOffset {
            topic: of.topic().to_owned(),
            partition: of.partition(),
            offset,
        })
        .collect();
    entries.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    encode_offsets(&entries)
}

/// Takes a topic out of every checkpoint, before its name can be used again.
pub(crate) fn forget_topic(dir: &LogDir, topic: &str) -> Result<()> {
    retain_entries(dir, |of, _| of != topic)?;
    dir.sync()
}

/// Takes out of every checkpoint what is about other partitions than these. Returns whether there was anything, which is
/// gone for good once the directory is synced.
pub(crate) fn retain_entries(dir: &LogDir, is_kept: impl Fn(&str, u32) -> bool) -> Result<bool> {
    let mut changed = false;
    for name in CHECKPOINTS {
        let path = dir.path(name);
        let mut entries = entries(dir.disk(), &path)?;
        let before = entries.len();
        entries.retain(|entry| is_kept(&entry.topic, entry.partition));
        if entries.len() < before {
            dir.disk().replace(&path, encode_offsets(&entries).as_bytes())?;
            changed = true;
        }
    }
    Ok(changed)
}
