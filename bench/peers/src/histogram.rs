//! Latencies by the million: 64 buckets for each power of two, so a percentile is right to 1.6 %.

use crate::results::Figure;

const SHIFT: usize = 6;
const BUCKETS: usize = 1 << SHIFT;

#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS * (65 - SHIFT)], count: 0, max: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The value that `share` of all are not above, or 0 of none.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut passed = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            passed += count;
            if passed >= wanted {
                return middle(at).min(self.max);
            }
        }
        self.max
    }

    /// The sum of the values above a limit.
    pub(crate) fn time_above(&self, limit: u64) -> f64 {
        let above = self.buckets.iter().enumerate().filter(|(at, _)| middle(*at) > limit);
        above.map(|(at, count)| *count as f64 * middle(at) as f64).sum()
    }

    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut figures: Vec<_> = [("p50 ns", 0.5), ("p99 ns", 0.99), ("p99.9 ns", 0.999)]
            .map(|(name, share)| Figure::new(name, self.percentile(share) as f64))
            .into();
        figures.push(Figure::new("max ns", self.max as f64));
        figures
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < BUCKETS as u64 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros() as usize;
    let within = (value >> (power - SHIFT)) as usize & (BUCKETS - 1);
    (power - SHIFT + 1) * BUCKETS + within
}

fn middle(bucket: usize) -> u64 {
    if bucket < BUCKETS {
        return bucket as u64;
    }
    let power = bucket / BUCKETS + SHIFT - 1;
    let width = 1_u64 << (power - SHIFT);
    (1 << power) + (bucket % BUCKETS) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_bucket() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(0.5), 0);
        for value in 1..=100_000 {
            histogram.add(value);
        }
        for share in [0.01, 0.5, 0.99, 0.999] {
            let (found, right) = (histogram.percentile(share) as f64, 100_000.0 * share);
            assert!((found / right - 1.0).abs() < 0.016, "{share}: {found}");
        }
        assert_eq!(histogram.max, 100_000);
        let above = histogram.time_above(50_000) / (75_000.0 * 50_000.0);
        assert!((above - 1.0).abs() < 0.02, "{above}");
        histogram.add(u64::MAX);
        assert_eq!(histogram.max, u64::MAX);
    }
}
