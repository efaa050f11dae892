//! Kafka's bytes: pure functions on slices, big-endian throughout. Knows nothing of files, time or threads.
//!
//! Whatever is decoded here may come from a damaged or hostile file: decoders check every length against the
//! bytes at hand before using it, allocate nothing sized by an unchecked length, and return [`Malformed`].

pub(crate) mod batch;
pub(crate) mod crc;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod record;
pub(crate) mod varint;

/// Why bytes do not decode. The rooms above add the file and the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);
