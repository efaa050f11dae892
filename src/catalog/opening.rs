//! Deciding what a directory is when it is opened: a log, a fresh place for one, or something to keep out of.
//!
//! | `meta.properties` | metadata log | what else | is |
//! |---|---|---|---|
//! | no | no | nothing, `lost+found`, names with a dot in front | fresh: both are made |
//! | no | no | nothing, but it lies in a directory of a partition | another log's: refused |
//! | no | no | anything else without a log in it | not for a log: refused |
//! | no | any | a log | a log that lost `meta.properties`: refused |
//! | yes | empty | files, or sub-directories without a log | fresh, or stopped while it was made |
//! | yes | empty | `bootstrap.checkpoint` | formatted for a broker that never ran: refused |
//! | yes | empty | a log | a log that lost its metadata log: refused |
//! | yes | yes | anything | a log |
//!
//! Nothing is ever guessed from the names of directories: a wrong guess would give records to another topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::directories::{self, DirectoryName, FoundDirectory, Removal};
use super::log_dir::LogDir;
use super::state::State;
use crate::error::{Damage, Error, Result};
use crate::format::file_names::{
    BOOTSTRAP, IDENTITY, LOST_AND_FOUND, METADATA_DIRECTORY, OURS, PARTITION_METADATA, unfinished,
};
use crate::format::properties::MetaProperties;
use crate::format::uuid::Uuid;
use crate::partition::holds_no_record;
use crate::sys::disk::{self, kind_of, names_in};
use crate::sys::{Disk, EntryKind};

/// Refuses a place where there is no log and none can be made. Asked before anything is made there, also the directory and
/// its lock.
pub(crate) fn refuse_occupied(path: &Path) -> Result<()> {
    if kind_of(&path.join(IDENTITY))?.is_some() {
        return Ok(());
    }
    let Some((nearest, is_whole)) = disk::existing_part(path) else { return Ok(()) };
    let mut around = None;
    for part in nearest.ancestors() {
        if is_of_partition(part)? {
            around = Some(part);
            break;
        }
    }
    if let Some(partition) = around {
        let (path, partition) = (path.display(), partition.display());
        let reason = format!(
            "{path} lies in {partition}, the directory of a partition; give a directory outside of it"
        );
        return Err(Error::invalid("directory", reason));
    }
    if is_whole && kind_of(&nearest)? == Some(EntryKind::Directory) {
        let disk = Disk::of(&nearest, false, false);
        let dir = LogDir::new(nearest, disk);
        refuse_without_identity(&dir, &directories::survey(&dir)?)?;
    }
    Ok(())
}

/// The log, or the directory of a partition of one, that a directory is or lies in.
pub(crate) fn log_around(directory: &Path) -> Result<Option<PathBuf>> {
    for part in directory.ancestors() {
        if kind_of(&part.join(IDENTITY))?.is_some() || is_of_partition(part)? {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}

/// Whether a directory is that of a partition, of any log.
fn is_of_partition(directory: &Path) -> Result<bool> {
    let has = |directory: &Path, file| Ok::<_, Error>(kind_of(&directory.join(file))?.is_some());
    if has(directory, PARTITION_METADATA)? {
        return Ok(true);
    }
    let Some(log) = directory.parent().filter(|_| directories::is_name_of_partition(directory)) else {
        return Ok(false);
    };
    has(log, IDENTITY)
}

/// Refuses a directory without `meta.properties` that is not a fresh one.
pub(super) fn refuse_without_identity(dir: &LogDir, found: &[FoundDirectory]) -> Result<()> {
    let metadata_log = dir.path(METADATA_DIRECTORY);
    let log = found.iter().find(|found| found.contains_log(dir.disk())).map(|found| &found.path);
    if let Some(log) = log.or(kind_of(&metadata_log)?.map(|_| &metadata_log)) {
        let reason = format!(
            "the file is missing, but {} holds a log; put the file back, or take the log from a copy",
            log.display()
        );
        return Err(Error::Corrupt(Box::new(Damage::new(dir.path(IDENTITY), 0, reason))));
    }
    let other = names_in(dir.root())?.into_iter().find(|name| !may_be_in_fresh(&name.to_string_lossy()));
    // Another process may have made a log here since the identity was looked for.
    let has_identity = kind_of(&dir.path(IDENTITY))?.is_some();
    if let Some(other) = other.filter(|_| !has_identity) {
        return Err(Error::invalid(
            "directory",
            format!(
                "{} is not a log directory, since it holds {} and no {}; give an empty or new directory",
                dir.root().display(),
                dir.path(other).display(),
                IDENTITY
            ),
        ));
    }
    Ok(())
}

/// What file systems and others put beside a log without being asked, and what is made before `meta.properties`.
fn may_be_in_fresh(name: &str) -> bool {
    let is_identity_begun = || unfinished(Path::new(IDENTITY)) == Path::new(name);
    name.starts_with('.') || name == LOST_AND_FOUND || name.starts_with(OURS) || is_identity_begun()
}

/// Refuses an empty metadata log in a directory that must have had another.
pub(super) fn refuse_lost_topics(dir: &LogDir, found: &[FoundDirectory]) -> Result<()> {
    let elsewhere = "A broker with several log directories has it in one of them; the others cannot be opened by \
                     themselves";
    let log = found.iter().find(|found| found.contains_log(dir.disk()));
    let bootstrap = dir.path(BOOTSTRAP);
    if kind_of(&bootstrap)?.is_some() {
        let mut reason = "the directory was formatted for a Kafka broker that has not run on it yet; \
                          only a broker reads this file, so start one here once, or give an empty directory"
            .to_owned();
        if let Some(log) = log {
            reason = format!(
                "{reason}. But {} holds a log: is the metadata log missing? {elsewhere}",
                log.path.display()
            );
        }
        return Err(Error::Unsupported(Box::new(Damage::new(bootstrap, 0, reason))));
    }
    let Some(log) = log else { return Ok(()) };
    let reason = format!(
        "the metadata log is missing or empty, but {} holds a log; without it names, ids and settings of the topics \
         are not known. Put it back from a copy. {elsewhere}",
        log.path.display()
    );
    Err(Error::Corrupt(Box::new(Damage::new(dir.path(METADATA_DIRECTORY), 0, reason))))
}

/// Refuses a directory in which partitions are missing because they lie in another one of the same broker, or whose
/// partitions are all another node's. What is here would be taken for all there is.
pub(super) fn refuse_parts(
    state: &State,
    identity: &MetaProperties,
    root: &Path,
    found: &[FoundDirectory],
) -> Result<()> {
    let here: BTreeSet<(Uuid, u32)> = found.iter().filter_map(|found| whose(state, found)).collect();
    let node = identity.node_id;
    let (mut ours, mut foreign) = (false, None);
    for (id, topic) in state.topics() {
        for (number, partition) in &topic.partitions {
            let is_here = here.contains(&(id, *number));
            let Some(at) = partition.replicas.iter().position(|replica| *replica == node) else {
                foreign = foreign.or(is_here.then_some((topic, *number, partition)));
                continue;
            };
            ours = true;
            let directory = partition.directories.get(at).filter(|directory| !directory.is_reserved());
            if let (Some(theirs), Some(own)) = (directory, identity.directory_id)
                && *theirs != own
                && !is_here
            {
                let reason = format!(
                    "{}-{number} lies in another log directory of this broker, whose directory.id is {theirs}; \
                     a log is in one directory. Have the broker move all partitions into this one \
                     (kafka-reassign-partitions), or move them by hand while it is stopped",
                    topic.name
                );
                return Err(Error::Unsupported(Box::new(Damage::new(root.join(IDENTITY), 0, reason))));
            }
        }
    }
    let Some((topic, number, partition)) = foreign.filter(|_| !ours) else { return Ok(()) };
    let reason = format!(
        "node.id is {node}, but all partitions here are those of other nodes ({}-{number} of {:?}); put the right \
         node.id back",
        topic.name, partition.replicas
    );
    Err(Error::Corrupt(Box::new(Damage::new(root.join(IDENTITY), 0, reason))))
}

/// Which partition of which topic lies in a directory.
fn whose(state: &State, found: &FoundDirectory) -> Option<(Uuid, u32)> {
    let DirectoryName::Partition { topic, partition } = &found.place else { return None };
    let owner = state.id_of(topic)?;
    belongs(state, &found.place, found.id).then_some((owner, *partition))
}

/// What is to be done about the directories that belong to no topic.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pub(super) removals: Vec<Removal>,
    /// Topics that have the name of a deleted one whose directories still had that name: what the checkpoints
    /// say of them is not theirs.
    pub(super) misled: BTreeSet<String>,
    /// Left alone.
    pub(super) unknown: Vec<PathBuf>,
}

/// Separates directories of topics from those of deleted topics and from others.
pub(super) fn leftovers(state: &State, found: Vec<FoundDirectory>, disk: &Disk) -> Result<Leftovers> {
    let mut leftovers = Leftovers::default();
    let mut removals: BTreeMap<Uuid, Removal> = BTreeMap::new();
    for FoundDirectory { path, place, id } in found {
        let removed = match id {
            Some(id) => Some(id).filter(|id| state.removed().contains(*id)),
            None if belongs(state, &place, id) => None,
            None => begun_by(state, &place, &path, disk)?,
        };
        if let Some(id) = removed {
            let removal = removals.entry(id).or_insert_with(|| {
                // A topic that has the name by now has lines of its own in the checkpoints.
                let forget =
                    state.removed().name_of(id).filter(|name| state.id_of(name).is_none()).map(str::to_owned);
                Removal { id, forget, directories: Vec::new(), logs: BTreeMap::new() }
            });
            removal.directories.push(path);
            if let DirectoryName::Partition { topic, .. } = place {
                if state.id_of(&topic).is_some() {
                    leftovers.misled.insert(topic.clone());
                }
                removal.forget = Some(topic);
            }
        } else if !belongs(state, &place, id) {
            leftovers.unknown.push(path);
        }
    }
    leftovers.removals = removals.into_values().collect();
    Ok(leftovers)
}

/// The deleted topic that had made a directory and not come as far as to give it an id.
fn begun_by(state: &State, place: &DirectoryName, path: &Path, disk: &Disk) -> Result<Option<Uuid>> {
    let DirectoryName::Partition { topic, .. } = place else { return Ok(None) };
    match state.removed().id_of(topic) {
        Some(id) if holds_no_record(disk, path)? => Ok(Some(id)),
        _ => Ok(None),
    }
}

/// Whether a directory is where a topic has one, and no other topic's. One without an id was only begun, or is
/// damaged, and the partition says so when it is used.
fn belongs(state: &State, place: &DirectoryName, id: Option<Uuid>) -> bool {
    let DirectoryName::Partition { topic, partition } = place else { return false };
    let Some(owner) = state.id_of(topic) else { return false };
    id.is_none_or(|id| id == owner)
        && state.topic(owner).is_some_and(|topic| topic.partitions.contains_key(partition))
}
