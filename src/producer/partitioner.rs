//! Which partition a record goes to.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::Record;
use crate::error::{Error, Result};
use crate::format::murmur2::partition_for_key;

/// Chooses the partition of a record that does not name one.
///
/// Closures `Fn(&str, &Record, NonZeroU32) -> u32` are partitioners too. Called without any lock held. A result that
/// is not below the number of partitions is an error of the `send`.
pub trait Partitioner: Send + Sync + 'static {
    /// The partition for a record of `topic`, below `count`.
    fn partition(&self, topic: &str, record: &Record<'_>, count: NonZeroU32) -> u32;
}

impl<F> Partitioner for F
where
    F: Fn(&str, &Record<'_>, NonZeroU32) -> u32 + Send + Sync + 'static,
{
    fn partition(&self, topic: &str, record: &Record<'_>, count: NonZeroU32) -> u32 {
        self(topic, record, count)
    }
}

/// Bytes of a record without key, value and headers. Counted, or empty records would never leave their partition.
const MIN_RECORD: usize = 7;

/// The partitioner of a producer: Kafka's own unless the user gave one.
pub(super) enum Partitioning {
    Kafka(Sticky),
    Own(Arc<dyn Partitioner>),
}

/// Records without a key stay on one random partition until a batch full of bytes went there.
#[derive(Debug)]
pub(super) struct Sticky {
    /// Random number (32 bits) and bytes sent since it was drawn (32 bits).
    state: AtomicU64,
    batch_bytes: u64,
}

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka(sticky) => sticky.fmt(f),
            Self::Own(_) => f.write_str("a partitioner of the user's"),
        }
    }
}

impl Partitioning {
    #[inline]
    pub(super) fn choose(&self, topic: &str, record: &Record<'_>, count: NonZeroU32) -> Result<u32> {
        let chosen = match (record.wanted_partition(), self) {
            (Some(wanted), _) => wanted,
            (None, Self::Own(own)) => own.partition(topic, record, count),
            (None, Self::Kafka(_)) if count.get() == 1 => 0,
            (None, Self::Kafka(sticky)) => match record.key_bytes() {
                Some(key) => partition_for_key(key, count),
                None => sticky.choose(MIN_RECORD + record.value_bytes().map_or(0, <[u8]>::len)) % count,
            },
        };
        if chosen < count.get() {
            return Ok(chosen);
        }
        if record.wanted_partition().is_none() {
            let reason =
                format!("it chose partition {chosen} of {topic}, which has {count}; it must be below that");
            return Err(Error::invalid("partitioner", reason));
        }
        Err(Error::not_found("partition", format_args!("{topic}-{chosen} (the topic has {count})")))
    }
}

impl Sticky {
    pub(super) fn new(seed: u32, batch_bytes: usize) -> Self {
        let batch_bytes = u64::try_from(batch_bytes).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX) / 2);
        Self { state: AtomicU64::new(u64::from(seed) << 32), batch_bytes }
    }

    fn choose(&self, bytes: usize) -> u32 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(self.batch_bytes);
        let state = self.state.load(Ordering::Relaxed);
        let (random, sent) = (state >> 32, state & u64::from(u32::MAX));
        let next = if sent >= self.batch_bytes { (next_random(random) << 32) | bytes } else { state + bytes };
        // Two threads at once may count one record for both: how long a partition is stuck to is not exact anyway.
        self.state.store(next, Ordering::Relaxed);
        u32::try_from(next >> 32).unwrap_or(0)
    }
}

/// The upper half of one step of a linear congruential generator over 32 bits.
fn next_random(random: u64) -> u64 {
    let mixed = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_value_move_on_too() {
        let partitioning = Partitioning::Kafka(Sticky::new(1, 100));
        let four = NonZeroU32::new(4).unwrap();
        let choose = |_| partitioning.choose("t", &Record::new(""), four).unwrap();
        let chosen: std::collections::BTreeSet<_> = (0..1000).map(choose).collect();
        assert_eq!(chosen.len(), 4, "{chosen:?}");
    }
}
