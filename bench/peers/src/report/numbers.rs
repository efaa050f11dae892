//! Figures as they are read.

use crate::results::Spread;

/// With three digits that count.
fn digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// In the unit that a measure's name ends with: a time, or so many a second.
pub(super) fn number(measure: &str, value: f64) -> String {
    let nanoseconds = match measure.rsplit_once(' ') {
        Some((_, "ns")) => value,
        Some((_, "µs")) => value * 1e3,
        _ => return rate(value),
    };
    match nanoseconds {
        time if time < 999.5 => format!("{time:.0} ns"),
        time if time < 999_500.0 => format!("{} µs", digits(time / 1e3)),
        time => format!("{} ms", digits(time / 1e6)),
    }
}

pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 999.5 => format!("{}/s", digits(rate)),
        rate if rate < 999_500.0 => format!("{} k/s", digits(rate / 1e3)),
        rate if rate < 999.5e6 => format!("{} M/s", digits(rate / 1e6)),
        rate => format!("{} G/s", digits(rate / 1e9)),
    }
}

/// The median, and both ends where they are others.
pub(super) fn spread(measure: &str, of: Spread) -> String {
    let median = number(measure, of.median);
    let (min, max) = (number(measure, of.min), number(measure, of.max));
    if min == max { median } else { format!("{median} ({min} – {max})") }
}

/// How many times as much.
pub(super) fn times(ratio: f64) -> String {
    format!("{} ×", digits(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        for (measure, value, text) in [
            ("p50 ns", 157.0, "157 ns"),
            ("p99 ns", 9_999.0, "10.0 µs"),
            ("max ns", 18_200_000.0, "18.2 ms"),
            ("open µs", 0.5, "500 ns"),
            ("open µs", 1200.0, "1.20 ms"),
            ("records/s", 12_140_000.0, "12.1 M/s"),
            ("records/s", 890.0, "890/s"),
            ("records/s", 11_600.0, "11.6 k/s"),
            ("bytes/s", 2.5e9, "2.50 G/s"),
        ] {
            assert_eq!(number(measure, value), text);
        }
        let of = |min, max| Spread { median: 2e6, min, max };
        assert_eq!(spread("records/s", of(2e6, 2e6)), "2.00 M/s");
        assert_eq!(spread("records/s", of(1e6, 3e6)), "2.00 M/s (1.00 M/s – 3.00 M/s)");
    }
}
