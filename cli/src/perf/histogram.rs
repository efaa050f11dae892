//! How long something took, many times over: percentiles, and a picture.
//!
//! Counts lie in buckets whose width is a 32nd of their value, so a percentile is right within about 3 %, and recording
//! is a shift and an addition.

use std::fmt::Write as _;
use std::time::Duration;

/// Bits of a value that are kept below its highest one.
const PRECISION: u32 = 5;
const PER_OCTAVE: usize = 1 << PRECISION;
const BUCKETS: usize = (64 - PRECISION as usize + 1) * PER_OCTAVE;

/// Spans of time, counted.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    nanos: u128,
    most: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, nanos: 0, most: 0 }
    }

    #[inline]
    pub(super) fn record(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.count += 1;
        self.nanos += u128::from(nanos);
        self.most = self.most.max(nanos);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn most(&self) -> Duration {
        Duration::from_nanos(self.most)
    }

    /// In milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    pub(super) fn average_ms(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.nanos as f64 / self.count as f64 / 1e6 }
    }

    /// The span that this part of all does not exceed, 0.5 for the median.
    pub(super) fn percentile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a count is a count"
        )]
        let wanted = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_end(at).min(self.most));
            }
        }
        self.most()
    }

    /// A line for each doubling of time that holds any, with a bar as long as its share.
    pub(super) fn picture(&self) -> String {
        const BAR: usize = 40;
        let mut octaves: Vec<(u64, u64)> = Vec::new();
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let end = upper_end(at).checked_next_power_of_two().unwrap_or(u64::MAX);
            match octaves.last_mut() {
                Some((last, sum)) if *last == end => *sum += count,
                _ => octaves.push((end, *count)),
            }
        }
        let tallest = octaves.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let mut text = String::new();
        for (end, count) in octaves {
            let eighths =
                usize::try_from(u128::from(count) * (BAR as u128 * 8) / u128::from(tallest)).unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  up to {:>9} {:<BAR$} {count}",
                shown(Duration::from_nanos(end)),
                bar(eighths.max(1))
            );
        }
        text
    }
}

/// A bar of so many eighths of a character.
fn bar(eighths: usize) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let mut text = "█".repeat(eighths / 8);
    text.extend(PARTS.get(eighths % 8).filter(|part| **part != ' '));
    text
}

/// With three digits or so, and the unit that fits.
pub(super) fn shown(span: Duration) -> String {
    let nanos = span.as_nanos();
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (span.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => (span.as_secs_f64() * 1e3, "ms"),
        _ => (span.as_secs_f64(), "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let octave = (nanos | 1).ilog2().saturating_sub(PRECISION);
    // Below 2^PRECISION each value has a bucket of its own; from there on each octave has 2^PRECISION.
    // Shifted that far, it is less than twice that.
    usize::try_from(nanos >> octave).unwrap_or(usize::MAX) + octave as usize * PER_OCTAVE
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    let top = (bucket - octave * PER_OCTAVE) as u64 + 1;
    top.checked_shl(u32::try_from(octave).unwrap_or(u32::MAX)).map_or(u64::MAX, |end| end.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for shift in 0..64 {
            for nanos in [
                1_u64 << shift,
                (1 << shift) | (1 << shift >> 1),
                (1_u64 << shift).wrapping_mul(2).wrapping_sub(1),
            ] {
                let at = bucket(nanos);
                assert!(at >= last && at < BUCKETS, "{nanos}");
                let end = upper_end(at);
                assert!(end >= nanos && end - nanos <= nanos / 16, "{nanos} in a bucket up to {end}");
                last = at;
            }
        }
    }

    #[test]
    fn percentiles_of_what_is_known() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(0.5), Duration::ZERO);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (part, micros) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.percentile(part).as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.04, "{part}: {found}");
        }
        assert_eq!(histogram.most(), Duration::from_millis(1));
        assert!((histogram.average_ms() - 0.5005).abs() < 1e-9);
    }

    #[test]
    fn the_picture_shows_each_octave() {
        let mut histogram = Histogram::new();
        for _ in 0..100 {
            histogram.record(Duration::from_nanos(100));
        }
        histogram.record(Duration::from_millis(3));
        let lines = [
            "  up to    128 ns ████████████████████████████████████████ 100",
            "  up to   4.19 ms ▍                                        1",
        ];
        assert_eq!(histogram.picture().lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn spans_are_shown_with_the_unit_that_fits() {
        for (nanos, text) in [
            (7, "7 ns"),
            (1_500, "1.50 µs"),
            (15_000, "15.0 µs"),
            (150_000, "150 µs"),
            (2_000_000, "2.00 ms"),
            (3_000_000_000, "3.00 s"),
        ] {
            assert_eq!(shown(Duration::from_nanos(nanos)), text);
        }
    }
}
