//! The two checksums of Kafka's formats.

/// CRC-32C (Castagnoli): batches of format 2, producer snapshots.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    #[cfg(test)]
    super::work::count(bytes.len());
    crc32c::crc32c(bytes)
}

/// CRC-32 (IEEE): messages of the legacy formats 0 and 1.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
