//! Entries of the two indexes of a segment. Both files are bare arrays of entries, rebuilt rather than checksummed.

/// Bytes of an offset index entry and of a time index entry.
pub(crate) const OFFSET_ENTRY: usize = 8;
pub(crate) const TIME_ENTRY: usize = 12;

/// The batch that starts at `position` ends with the offset base + `relative_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

impl OffsetEntry {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "chunks of a mapped file come as references")]
    pub(crate) fn decode(bytes: &[u8; OFFSET_ENTRY]) -> Self {
        let [o0, o1, o2, o3, p0, p1, p2, p3] = *bytes;
        Self {
            relative_offset: u32::from_be_bytes([o0, o1, o2, o3]),
            position: u32::from_be_bytes([p0, p1, p2, p3]),
        }
    }

    /// Whether this entry may follow the one before it.
    pub(crate) fn follows(self, before: Self) -> bool {
        before.relative_offset < self.relative_offset && before.position < self.position
    }

    pub(crate) fn encode(self) -> [u8; OFFSET_ENTRY] {
        ((u64::from(self.relative_offset) << 32) | u64::from(self.position)).to_be_bytes()
    }
}

/// Every record with a timestamp above `timestamp` comes after the offset base + `relative_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: u32,
}

impl TimeEntry {
    pub(crate) fn decode(bytes: &[u8; TIME_ENTRY]) -> Self {
        let [t0, t1, t2, t3, t4, t5, t6, t7, a, b, c, d] = *bytes;
        Self {
            timestamp: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            relative_offset: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// Whether this entry may follow the one before it.
    pub(crate) fn follows(self, before: Self) -> bool {
        before.timestamp < self.timestamp && before.relative_offset <= self.relative_offset
    }

    pub(crate) fn encode(self) -> [u8; TIME_ENTRY] {
        let mut bytes = [0; TIME_ENTRY];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes
    }
}
