//! Kafka's bytes: pure functions on slices, big-endian throughout. Knows nothing of files, time or threads.
//!
//! Whatever is decoded here may come from a damaged or hostile file: decoders check every length against the
//! bytes at hand before using it, allocate nothing sized by an unchecked length, and return [`Malformed`].

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::unwrap_used))]

pub(crate) mod batch;
pub(crate) mod batch_producer;
pub(crate) mod checkpoint;
pub(crate) mod compression;
pub(crate) mod consumer_protocol;
pub(crate) mod control;
pub(crate) mod coordinator_record;
pub(crate) mod crc;
pub(crate) mod decode;
pub(crate) mod file_names;
pub(crate) mod frame;
pub(crate) mod group_metadata;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod legacy;
pub(crate) mod metadata_record;
pub(crate) mod murmur2;
pub(crate) mod offset_commit;
pub(crate) mod partition_metadata;
pub(crate) mod producer_snapshot;
pub(crate) mod properties;
pub(crate) mod quorum_state;
pub(crate) mod raw_record;
pub(crate) mod record;
pub(crate) mod rewrite;
pub(crate) mod schema;
pub(crate) mod sealed_batch;
pub(crate) mod transaction_ends;
pub(crate) mod transaction_index;
pub(crate) mod transaction_state;
mod usual_record;
pub(crate) mod uuid;
pub(crate) mod varint;
pub(crate) mod wire;
#[cfg(test)]
pub(crate) mod work;

#[cfg(test)]
mod tests;

use crate::error::{Damage, Error};

/// Why bytes do not decode. The rooms above add the file and the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Malformed {
    /// What only a later version reads, of the formats that say their version. A reader that finds one of these changes
    /// nothing.
    pub(crate) const NEWER_BATCH: Self =
        Self("the batch has a format above 2, which only a newer version reads; 0, 1 and 2 are known");
    pub(crate) const NEWER_CODEC: Self =
        Self("the batch has a codec above 4, which only a newer version reads; 0 to 4 are known");
    pub(crate) const NEWER_PROPERTIES: Self =
        Self("meta.properties has a version above 1, which only a newer version reads; 1 is known");
    pub(crate) const NEWER_CHECKPOINT: Self =
        Self("a checkpoint has a version above 0, which only a newer version reads; 0 is known");
    pub(crate) const NEWER_METADATA: Self =
        Self("a metadata record has a frame version above 1, which only a newer version reads; 1 is known");
    pub(crate) const NEWER_COMMIT: Self = Self(
        "the record of a group has a version that only a newer version reads; 4 is the newest that is known",
    );

    pub(crate) const NEWER_TRANSACTION: Self = Self(
        "the state of a transactional id has a version or a status that only a newer version reads; version 1 is the \
         newest that is known",
    );

    /// What the reader that found it reports.
    pub(crate) fn error(self, damage: Box<Damage>) -> Error {
        let newer = [
            Self::NEWER_PROPERTIES,
            Self::NEWER_CHECKPOINT,
            Self::NEWER_METADATA,
            Self::NEWER_COMMIT,
            Self::NEWER_TRANSACTION,
        ];
        if newer.contains(&self) { Error::Unsupported(damage) } else { Error::Corrupt(damage) }
    }
}
