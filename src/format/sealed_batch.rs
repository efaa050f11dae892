//! Finished batches that are kept, to be appended later.

use super::batch::FinishedBatch;

/// A batch that was finished, with its bytes.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    bytes: Vec<u8>,
    records: u32,
    offsets: u32,
    max_timestamp: i64,
    is_of_producer: bool,
}

impl SealedBatch {
    /// Takes the batch out of its builder, which has to be cleared before it is used again.
    pub(crate) fn of(finished: FinishedBatch<'_>) -> Self {
        let FinishedBatch { bytes, records, offsets, max_timestamp, is_of_producer } = finished;
        Self { bytes: std::mem::take(bytes), records, offsets, max_timestamp, is_of_producer }
    }

    pub(crate) fn finished(&mut self) -> FinishedBatch<'_> {
        let Self { bytes, records, offsets, max_timestamp, is_of_producer } = self;
        FinishedBatch {
            bytes,
            records: *records,
            offsets: *offsets,
            max_timestamp: *max_timestamp,
            is_of_producer: *is_of_producer,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn offsets(&self) -> u32 {
        self.offsets
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }
}
