//! The partitions of a topic: a list that only grows, read without a lock.
//!
//! Bucket k has room for 2ᵏ partitions and never moves, so the reference to a partition stays valid.
//! Writer: the catalog, under its lock. A partition is in its place before the count includes it.

use std::fmt;
use std::ops::Index;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::partition::PartitionLog;

/// Enough for 131,071 partitions; a log has at most 100,000.
const BUCKETS: usize = 17;

type Bucket = OnceLock<Box<[OnceLock<Arc<PartitionLog>>]>>;

/// Partitions, each at the place of its number.
#[derive(Default)]
pub(crate) struct Partitions {
    buckets: [Bucket; BUCKETS],
    count: AtomicU32,
}

impl Partitions {
    pub(super) fn of(partitions: impl Iterator<Item = Arc<PartitionLog>>) -> Self {
        let new = Self::default();
        new.extend(partitions);
        new
    }

    /// Adds partitions after those that are there. One caller at a time.
    pub(super) fn extend(&self, more: impl Iterator<Item = Arc<PartitionLog>>) {
        let mut count = self.count.load(Ordering::Relaxed);
        for partition in more {
            let (bucket, at) = place(count);
            let Some(bucket) = self.buckets.get(bucket) else { break };
            let places = bucket.get_or_init(|| (0..capacity(count)).map(|_| OnceLock::new()).collect());
            let Some(place) = places.get(at) else { break };
            place.get_or_init(|| partition);
            count += 1;
        }
        self.count.store(count, Ordering::Release);
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<PartitionLog>> {
        let (bucket, at) = place(number);
        self.buckets.get(bucket)?.get()?.get(at)?.get()
    }

    /// Those there are now.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PartitionLog>> {
        (0..self.len()).map_while(|number| self.get(number))
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Index<usize> for Partitions {
    type Output = Arc<PartitionLog>;

    /// # Panics
    /// If there is no such partition: for numbers that were compared with the count.
    fn index(&self, number: usize) -> &Self::Output {
        let found = u32::try_from(number).ok().and_then(|number| self.get(number));
        found.expect("a partition below the count")
    }
}

/// Bucket and place in it of a partition.
#[inline]
fn place(number: u32) -> (usize, usize) {
    let bucket = number.saturating_add(1).ilog2();
    (bucket as usize, (number.saturating_add(1) - (1 << bucket)) as usize)
}

/// Places of the bucket that a partition is in.
fn capacity(number: u32) -> usize {
    1 << number.saturating_add(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_bucket_after_bucket() {
        assert_eq!(
            (0..8).map(place).collect::<Vec<_>>(),
            [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0)]
        );
        assert!(place(99_999).0 < BUCKETS);
        assert_eq!(place(u32::MAX), (31, (1 << 31) - 1));
    }
}
