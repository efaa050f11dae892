//! What a broker would do with a directory that may surprise.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::directory::OpenDirectory;
use crate::error::Result;
use crate::partition::SegmentFacts;
use crate::position::TopicPartition;

/// Something that a broker does soon after it has started on a directory, and that its owner may not expect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoverWarning {
    /// Records are older than a broker keeps them: it deletes them half a minute after its start.
    Expires {
        /// The partition.
        partition: TopicPartition,
        /// Offsets of the records that go.
        offsets: Range<u64>,
        /// Bytes of the segments that go.
        bytes: u64,
        /// How long the topic's records are kept, in milliseconds.
        retention_ms: i64,
        /// Whether that is Kafka's default, because the topic does not say. The `server.properties` of the report have the
        /// default of this log, with which nothing goes; a broker with other properties deletes the records.
        by_default: bool,
    },
    /// A directory belongs to no topic of the catalog. A broker renames it to `…-stray` and serves nothing of it.
    PutAside(PathBuf),
}

impl fmt::Display for HandoverWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expires { partition, offsets, bytes, retention_ms, by_default } => {
                let (whose, which) = if *by_default {
                    (
                        "Kafka's default for topics that do not say",
                        "a broker without the log.retention.ms of these properties",
                    )
                } else {
                    ("set", "a broker")
                };
                write!(
                    f,
                    "{partition}: offsets {} to {} ({bytes} bytes) are older than retention.ms, {retention_ms} \
                     ({whose}); {which} deletes them",
                    offsets.start, offsets.end
                )
            }
            Self::PutAside(path) => {
                write!(f, "{} belongs to no topic; a broker puts it aside as stray", path.display())
            }
        }
    }
}

const RETENTION_MS: &str = "retention.ms";
/// How long a broker keeps the records of a topic that does not say, unless its properties do: seven days.
const KAFKAS_DEFAULT_MS: i64 = 7 * super::DAY_MS;

pub(super) fn find(directory: &Arc<OpenDirectory>, now: i64) -> Result<Vec<HandoverWarning>> {
    let catalog = directory.catalog()?;
    let foreign = directory.foreign_directories()?;
    let unknown = catalog.unknown_directories().iter().filter(|path| !foreign.contains(path));
    let mut found: Vec<_> = unknown.cloned().map(HandoverWarning::PutAside).collect();
    for partition in super::readable(catalog)? {
        let retention = partition.retention();
        if !retention.deletes {
            continue;
        }
        let topic = catalog.topic(partition.id().topic());
        let says = topic.is_some_and(|topic| topic.config().entry(RETENTION_MS).is_some());
        let by_default = !says && retention.ms.is_none();
        let kept = if by_default { Some(KAFKAS_DEFAULT_MS) } else { retention.ms };
        let Some(retention_ms) = kept else { continue };
        let Some(segments) = super::unless_deleted(partition.facts())? else { continue };
        let old = |segment: &&SegmentFacts| now.saturating_sub(segment.newest) > retention_ms;
        let bytes = segments.iter().take_while(old).map(|segment| segment.bytes).sum();
        let Some(last) = segments.iter().take_while(old).last() else { continue };
        let offsets = partition.log_start()..last.next_offset;
        if bytes > 0 && !offsets.is_empty() {
            let partition = partition.id().clone();
            found.push(HandoverWarning::Expires { partition, offsets, bytes, retention_ms, by_default });
        }
    }
    Ok(found)
}
