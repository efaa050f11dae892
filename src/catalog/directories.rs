//! The directories beside the metadata log: which topic each belongs to, and how those of a deleted topic go.
//!
//! A directory belongs to the topic whose id is in its `partition.metadata`, whatever its name says. What
//! belongs to no topic is left alone: it may be a topic's only copy. Removing takes three steps, each durable before
//! the next, so that it can be finished at any later open: out of the name's way, out of the checkpoints, away.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoints::forget_topic;
use super::log_dir::LogDir;
use crate::config::topic_name;
use crate::error::{Error, Result};
use crate::format::file_names::{
    DELETED_DIRECTORY, FUTURE_DIRECTORY, METADATA_DIRECTORY, PARTITION_METADATA, REMOTE_LOG_CACHE,
    STRAY_DIRECTORY,
};
use crate::format::partition_metadata;
use crate::format::uuid::Uuid;
use crate::partition::Leader;
use crate::segment;
use crate::sys::disk::kind_of;
use crate::sys::{Disk, EntryKind, random_bytes};

/// What Kafka appends to the name of a directory that it has put aside, after a dot and 32 hex digits.
const PUT_ASIDE: [&str; 3] = [DELETED_DIRECTORY, FUTURE_DIRECTORY, STRAY_DIRECTORY];
/// The longest name that file systems allow.
const MAX_NAME: usize = 255;
/// Far more than `partition.metadata` ever holds.
const MAX_BYTES: u64 = 1 << 20;

/// A directory other than that of the metadata log.
#[derive(Debug)]
pub(super) struct FoundDirectory {
    pub(super) path: PathBuf,
    pub(super) place: DirectoryName,
    /// The topic's id, if there is one to be read.
    pub(super) id: Option<Uuid>,
}

/// What a directory is by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DirectoryName {
    Partition { topic: String, partition: u32 },
    PutAside,
    Foreign,
}

/// The directories in `root`, sorted by name, without those that play no part here.
pub(super) fn survey(dir: &LogDir) -> Result<Vec<FoundDirectory>> {
    let names = dir.disk().list(dir.root())?.into_iter().filter(|(_, kind)| *kind == EntryKind::Directory);
    let names = names.filter(|(name, _)| name != METADATA_DIRECTORY && name != REMOTE_LOG_CACHE);
    Ok(names
        .map(|(name, _)| {
            let (path, place) = (dir.path(&name), parse_name(&name));
            // A foreign directory may well be closed to us.
            let id = if place == DirectoryName::Foreign { None } else { id_of(&path, dir.disk()) };
            FoundDirectory { path, place, id }
        })
        .collect())
}

/// The directories in `root` whose names are no partition's.
pub(crate) fn foreign(dir: &LogDir) -> Result<Vec<PathBuf>> {
    let found = survey(dir)?.into_iter().filter(|found| found.place == DirectoryName::Foreign);
    Ok(found.map(|found| found.path).collect())
}

impl FoundDirectory {
    /// Whether a partition was kept here, as far as can be seen.
    pub(super) fn contains_log(&self, disk: &Disk) -> bool {
        self.place != DirectoryName::Foreign
            && (self.id.is_some()
                || disk.list(&self.path).is_ok_and(|names| {
                    names.iter().any(|(name, _)| segment::base_of(name, segment::LOG).is_some())
                }))
    }
}

/// Whether a directory has a name that a partition's may have.
pub(super) fn is_name_of_partition(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| parse_name(name) != DirectoryName::Foreign)
}

fn parse_name(name: &str) -> DirectoryName {
    let aside = PUT_ASIDE.iter().find_map(|suffix| name.strip_suffix(suffix));
    if let Some((_, digits)) = aside.and_then(|rest| rest.rsplit_once('.'))
        && digits.len() == 32
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return DirectoryName::PutAside;
    }
    let parts = name.rsplit_once('-').filter(|(topic, _)| topic_name::check(topic).is_ok());
    let number = |digits: &str| digits.parse().ok().filter(|number: &u32| number.to_string() == digits);
    match parts.and_then(|(topic, digits)| Some((topic, number(digits)?))) {
        Some((topic, partition)) => DirectoryName::Partition { topic: topic.to_owned(), partition },
        None => DirectoryName::Foreign,
    }
}

fn id_of(directory: &Path, disk: &Disk) -> Option<Uuid> {
    stored_id(directory, disk).ok().flatten()
}

/// The id in a directory; `None` if there is none that is valid. An error is no answer: nothing may be removed for it.
pub(super) fn stored_id(directory: &Path, disk: &Disk) -> Result<Option<Uuid>> {
    let bytes = disk.read_small(&directory.join(PARTITION_METADATA), MAX_BYTES)?;
    Ok(bytes.and_then(|bytes| partition_metadata::parse(&bytes).ok()))
}

/// A deleted topic whose directories have to go.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) id: Uuid,
    /// The name that checkpoints must not know any more.
    pub(super) forget: Option<String>,
    pub(super) directories: Vec<PathBuf>,
    /// The partitions that were open in them.
    pub(super) logs: BTreeMap<PathBuf, Arc<Leader>>,
}

impl Removal {
    /// Does all that the topic's name has to wait for, then removes what it can. What could not be removed is
    /// returned; the next open tries again. What a snapshot needs yet is `kept`.
    pub(super) fn carry_out(
        &self,
        dir: &LogDir,
        kept: &mut Vec<(PathBuf, Arc<Leader>)>,
    ) -> Result<Vec<PathBuf>> {
        let mut aside = Vec::new();
        for directory in &self.directories {
            let put_aside = || self.put_aside(directory, dir.disk());
            let log = self.logs.get(directory);
            let moved = log.map_or_else(put_aside, |log| log.leave_place(put_aside))?;
            match (moved, log.filter(|log| log.is_kept())) {
                (Some(moved), Some(log)) => kept.push((moved, Arc::clone(log))),
                (moved, _) => aside.extend(moved),
            }
        }
        dir.sync()?;
        if let Some(name) = &self.forget {
            let _writing = dir.lock_checkpoints();
            forget_topic(dir, name)?;
        }
        aside.retain(|directory| remove(directory, dir.disk()).is_err());
        Ok(aside)
    }

    /// Moves a directory out of the name's way; `None` if there is no directory of this topic.
    fn put_aside(&self, directory: &Path, disk: &Disk) -> Result<Option<PathBuf>> {
        if kind_of(directory)? != Some(EntryKind::Directory) {
            return Ok(None);
        }
        // Without an id it was only begun; with another one it is not this topic's.
        let foreign = stored_id(directory, disk)?.is_some_and(|id| id != self.id);
        let Some(name) = directory.file_name().and_then(|name| name.to_str()).filter(|_| !foreign) else {
            return Ok(None);
        };
        if parse_name(name) == DirectoryName::PutAside {
            return Ok(Some(directory.to_owned()));
        }
        let to = directory.with_file_name(name_put_aside(name, Uuid::from_bytes(random_bytes()?)));
        match disk.rename(directory, &to) {
            Ok(()) => Ok(Some(to)),
            Err(_) if !disk.moves_open_directories => empty(directory, &to, disk).map(|()| Some(to)),
            Err(failure) => Err(failure),
        }
    }
}

/// Moves a directory file by file, which systems allow that do not move a directory with open files in it.
fn empty(directory: &Path, to: &Path, disk: &Disk) -> Result<()> {
    disk.create_directory(to)?;
    // At any stop each of the two says whose it is, or is empty.
    let metadata = directory.join(PARTITION_METADATA);
    if let Some(bytes) = disk.read_small(&metadata, MAX_BYTES)? {
        disk.replace(&to.join(PARTITION_METADATA), &bytes)?;
    }
    for (name, _) in disk.list(directory)?.into_iter().filter(|(name, _)| name != PARTITION_METADATA) {
        disk.rename(&directory.join(&name), &to.join(&name))?;
    }
    disk.sync_directory(to)?;
    if kind_of(&metadata)?.is_some() {
        disk.rename(&metadata, &to.join(format!("{PARTITION_METADATA}{DELETED_DIRECTORY}")))?;
    }
    disk.remove_directory(directory)
}

/// `<topic>-<partition>.<id>-delete`, the topic cut so that the whole is not too long for a file system.
fn name_put_aside(name: &str, id: Uuid) -> String {
    let (topic, partition) = name.rsplit_once('-').unwrap_or((name, "0"));
    let end = format!("-{partition}.{:032x}{DELETED_DIRECTORY}", u128::from_be_bytes(*id.as_bytes()));
    // Valid names are ASCII, so any byte is a place to cut.
    let topic = topic.get(..topic.len().min(MAX_NAME.saturating_sub(end.len()))).unwrap_or_default();
    format!("{topic}{end}")
}

/// Removes a directory, the file last that says whose it is: what is left after a stop is still known.
pub(super) fn remove(directory: &Path, disk: &Disk) -> Result<()> {
    for (name, kind) in disk.list(directory)? {
        let path = directory.join(&name);
        match kind {
            _ if name == PARTITION_METADATA => {}
            EntryKind::Directory => disk.remove_directory(&path)?,
            EntryKind::File | EntryKind::Other => {
                disk.remove_file(&path)?;
            }
        }
    }
    // Some systems keep the names of removed files until the last reader has closed them.
    if let Some((held, _)) = disk.list(directory)?.iter().find(|(name, _)| name != PARTITION_METADATA) {
        let busy = io::ErrorKind::ResourceBusy.into();
        return Err(Error::io("remove", &directory.join(held), busy));
    }
    disk.remove_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_places() {
        let of = |topic: &str, partition| DirectoryName::Partition { topic: topic.into(), partition };
        for (name, place) in [
            ("orders-0", of("orders", 0)),
            ("a-1-12", of("a-1", 12)),
            ("gone-0.39ce652fb24d44738eb8c765a7b54b42-delete", DirectoryName::PutAside),
            ("gone-0.39ce652fb24d44738eb8c765a7b54b42-stray", DirectoryName::PutAside),
            ("gone-0.39ce652fb24d44738eb8c765a7b54b42-future", DirectoryName::PutAside),
            ("gone-0.39ce-delete", DirectoryName::Foreign),
            ("lost+found", DirectoryName::Foreign),
            ("orders", DirectoryName::Foreign),
            ("orders-", DirectoryName::Foreign),
            ("orders-01", DirectoryName::Foreign),
            ("orders-+1", DirectoryName::Foreign),
            ("-1", DirectoryName::Foreign),
            ("a b-0", DirectoryName::Foreign),
        ] {
            assert_eq!(parse_name(name), place, "{name}");
        }
    }

    #[test]
    fn names_put_aside_are_never_too_long() {
        let id = Uuid::from_bytes([0xab; 16]);
        for length in [1, 200, topic_name::MAX_LEN] {
            for partition in ["0", "99999"] {
                let name = name_put_aside(&format!("{}-{partition}", "t".repeat(length)), id);
                assert!(name.len() <= MAX_NAME);
                assert!(name.ends_with(&format!("-{partition}.{}-delete", "ab".repeat(16))), "{name}");
                assert_eq!(parse_name(&name), DirectoryName::PutAside);
            }
        }
    }
}
