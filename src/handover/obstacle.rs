//! What keeps a broker from starting on a directory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::options::HandoverOptions;
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::position::TopicPartition;

/// Something that keeps a broker from starting on a directory: a broker that finds it stops at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoverObstacle {
    /// A topic has a setting that this Kafka takes for invalid.
    Setting {
        /// The topic.
        topic: String,
        /// The setting's name.
        name: String,
        /// What it is set to.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// A sub-directory is no partition's. Files do no harm.
    ForeignDirectory(PathBuf),
    /// A newer Kafka was active here.
    MetadataVersion {
        /// The directory's `metadata.version`.
        level: i16,
        /// The highest that this Kafka knows.
        highest: i16,
    },
    /// `meta.properties` says otherwise than the broker's configuration.
    Identity {
        /// `node.id` or `cluster.id`.
        name: &'static str,
        /// What the directory says.
        directory: String,
        /// What the broker will be configured with.
        broker: String,
    },
    /// A partition cannot be read here, and not there either.
    Damaged {
        /// The partition.
        partition: TopicPartition,
        /// What is wrong with it.
        failure: String,
    },
}

impl fmt::Display for HandoverObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { topic, name, value, wanted } => {
                write!(f, "{name} of topic {topic:?} is {value:?}; set {wanted}, or unset it")
            }
            Self::ForeignDirectory(path) => {
                write!(f, "{} is no partition; move it out of the log directory", path.display())
            }
            Self::MetadataVersion { level, highest } => {
                write!(
                    f,
                    "the metadata.version is {level}, but this Kafka knows {highest} at most; take a newer one"
                )
            }
            Self::Identity { name, directory, broker } => {
                write!(
                    f,
                    "meta.properties has the {name} {directory}, but the broker will have {broker}; \
                     configure the broker with {directory}"
                )
            }
            Self::Damaged { partition, failure } => {
                write!(f, "{partition} cannot be read: {failure}; repair it or delete the topic")
            }
        }
    }
}

pub(super) fn find(
    directory: &Arc<OpenDirectory>,
    options: &HandoverOptions,
) -> Result<Vec<HandoverObstacle>> {
    let catalog = directory.catalog()?;
    let mut found = Vec::new();
    let (level, highest) = (catalog.metadata_level(), options.kafka.highest_metadata_level());
    if level > highest {
        found.push(HandoverObstacle::MetadataVersion { level, highest });
    }
    let identity = catalog.identity();
    let mut differs = |name, directory: &str, broker: Option<String>| {
        let broker = broker.filter(|broker| broker != directory);
        found.extend(broker.map(|broker| HandoverObstacle::Identity {
            name,
            directory: directory.to_owned(),
            broker,
        }));
    };
    differs("node.id", &identity.node_id.to_string(), options.node_id.map(|id| id.to_string()));
    differs("cluster.id", &identity.cluster_id, options.cluster_id.clone());
    found.extend(directory.foreign_directories()?.into_iter().map(HandoverObstacle::ForeignDirectory));
    for topic in catalog.topics() {
        let config = topic.config();
        found.extend(config.refused_by(options.kafka).into_iter().map(|(name, value, wanted)| {
            HandoverObstacle::Setting {
                topic: topic.name().to_string(),
                name: name.to_owned(),
                value: value.to_owned(),
                wanted,
            }
        }));
        for partition in topic.partitions().iter() {
            match super::unless_deleted(partition.load()) {
                Ok(_) => {}
                Err(failure @ (Error::Corrupt(_) | Error::Unsupported(_))) => {
                    let (partition, failure) = (partition.id().clone(), failure.to_string());
                    found.push(HandoverObstacle::Damaged { partition, failure });
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(found)
}
