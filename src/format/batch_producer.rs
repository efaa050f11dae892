//! Which producer a batch is of, as its header says.

use super::header::{CONTROL, TRANSACTIONAL};

/// What a header says of the producer with an id that wrote the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchProducer {
    pub(super) id: i64,
    pub(super) epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) attributes: i16,
}

impl BatchProducer {
    /// No producer with an id.
    pub(crate) const NONE: Self = Self { id: -1, epoch: -1, base_sequence: -1, attributes: 0 };

    /// Of records of a transaction, the first of which is the producer's number `base_sequence` in this partition and epoch.
    pub(crate) fn transactional(id: i64, epoch: i16, base_sequence: i32) -> Self {
        Self { id, epoch, base_sequence, attributes: TRANSACTIONAL }
    }

    /// Of the control record that ends a transaction.
    pub(crate) fn marker(id: i64, epoch: i16) -> Self {
        Self { id, epoch, base_sequence: -1, attributes: TRANSACTIONAL | CONTROL }
    }

    #[inline]
    pub(super) fn is_one(&self) -> bool {
        self.id >= 0
    }
}
