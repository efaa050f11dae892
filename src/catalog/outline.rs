//! What a directory holds, for `inspect`: topics by the metadata log, directories and whose they are.

use std::path::{Path, PathBuf};

use super::checkpoints::Checkpoints;
use super::directories::{self, DirectoryName};
use super::log_dir::LogDir;
use super::metadata_log::MetadataLog;
use super::state::{METADATA_VERSION, State};
use super::{NEWEST_LEVEL, identity};
use crate::error::Result;
use crate::events::Announcer;
use crate::format::file_names::METADATA_DIRECTORY;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;

/// The topics of a directory.
#[derive(Debug)]
pub(crate) struct Outline {
    state: State,
}

/// A directory beside the metadata log's.
#[derive(Debug)]
pub(crate) struct FoundDirectory {
    pub(crate) path: PathBuf,
    /// By its name.
    pub(crate) partition: Option<TopicPartition>,
    /// Put aside by a broker or by a deletion.
    pub(crate) put_aside: bool,
    id: Option<Uuid>,
}

/// Whose a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Topic,
    /// A topic that was deleted, whose directory is about to go.
    Deleted,
    /// The topic of this name has another id.
    OtherId,
    /// No topic has this name or number.
    None,
}

impl Outline {
    /// Reads the metadata log, if there is one. Nothing is changed.
    pub(crate) fn read(dir: &LogDir, checkpoints: &Checkpoints) -> Result<Self> {
        Ok(Self { state: MetadataLog::open(dir, checkpoints, &Announcer::default())?.state })
    }

    /// Why this version may not understand all of it.
    pub(crate) fn too_new(&self) -> Option<String> {
        let level = self.state.feature(METADATA_VERSION).filter(|level| *level > NEWEST_LEVEL)?;
        Some(format!(
            "the directory has metadata.version {level}, of a newer Kafka; {NEWEST_LEVEL} is the newest that is known"
        ))
    }

    pub(crate) fn owner_of(&self, directory: &FoundDirectory) -> Owner {
        if directory.id.is_some_and(|id| self.state.removed().contains(id)) {
            return Owner::Deleted;
        }
        let Some(partition) = &directory.partition else { return Owner::None };
        let Some(owner) = self.state.id_of(partition.topic()) else { return Owner::None };
        if directory.id.is_some_and(|id| id != owner) {
            return Owner::OtherId;
        }
        let known = self
            .state
            .topic(owner)
            .is_some_and(|topic| topic.partitions.contains_key(&partition.partition()));
        if known { Owner::Topic } else { Owner::None }
    }

    /// Whether a topic may have been compacted at some time.
    pub(crate) fn may_have_been_compacted(&self, topic: &str) -> bool {
        self.state.may_have_been_compacted(topic)
    }

    /// How long records of a topic are kept, in milliseconds, if it says so itself and deletes what is older.
    pub(crate) fn retention_ms(&self, topic: &str) -> Option<i64> {
        let setting = |name: &str| self.state.settings_of(topic).find(|(known, _)| *known == name);
        let deletes = setting("cleanup.policy").is_none_or(|(_, policy)| policy.contains("delete"));
        let ms = setting("retention.ms")?.1.parse().ok();
        ms.filter(|ms| deletes && *ms >= 0)
    }

    /// All partitions, by topic and number.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.state.topics().flat_map(|(_, topic)| {
            topic.partitions.keys().map(|number| TopicPartition::from((topic.name.as_str(), *number)))
        })
    }
}

/// The directories of `root` beside the metadata log's, sorted by name.
pub(crate) fn directories_in(dir: &LogDir) -> Result<Vec<FoundDirectory>> {
    let found = directories::survey(dir)?.into_iter();
    Ok(found
        .map(|found| {
            let put_aside = found.place == DirectoryName::PutAside;
            let partition = match found.place {
                DirectoryName::Partition { topic, partition } => Some((topic.as_str(), partition).into()),
                DirectoryName::PutAside | DirectoryName::Foreign => None,
            };
            FoundDirectory { path: found.path, partition, put_aside, id: found.id }
        })
        .collect())
}

/// Whether whose directory it is can be read; `false`: there is no such file.
pub(crate) fn has_identity(dir: &LogDir) -> Result<bool> {
    Ok(identity::read(dir)?.is_some())
}

/// The directory of the metadata log.
pub(crate) fn metadata_directory(root: &Path) -> PathBuf {
    root.join(METADATA_DIRECTORY)
}
