//! The two checksums of Kafka's formats.

use std::sync::OnceLock;

/// The way that this processor is best at. It comes from above: this room knows no processors.
static BEST: OnceLock<fn(&[u8]) -> u32> = OnceLock::new();

/// Has CRC-32C computed in another way, which gives the same.
pub(crate) fn compute_by(way: fn(&[u8]) -> u32) {
    let _ = BEST.set(way);
}

/// CRC-32C (Castagnoli): batches of format 2, producer snapshots.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    #[cfg(test)]
    super::work::count(bytes.len());
    BEST.get().map_or_else(|| crc32c::crc32c(bytes), |way| way(bytes))
}

/// CRC-32 (IEEE): messages of the legacy formats 0 and 1.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
