//! Consumer groups: who reads which partition, and how far each group has come.

mod assignor;
mod offsets;

pub(crate) use offsets::{CommittedOffsets, PARTITIONS};
