//! The live table: drawn over itself, as wide as the terminal.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};

use super::sample::{GroupStats, Stats, TopicStats};

/// The least and the most characters that the course of a rate is shown with.
const SPARKS: std::ops::RangeInclusive<usize> = 8..=60;

/// All lines of the picture, none wider than the terminal, and no more than it is high.
pub(super) fn lines(
    stats: &Stats,
    dir: &str,
    interval: Duration,
    (height, width): (usize, usize),
) -> Vec<String> {
    let (bold, dim) = (Style::new().bold(), Style::new().dim());
    let longest =
        |names: &mut dyn Iterator<Item = &String>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let names = longest(&mut stats.topics.keys().chain(stats.groups.keys())).clamp(5, 32);
    let fixed = names + 1 + 6 + 12 + 10 + 12 + 11;
    let sparks = width.saturating_sub(fixed + 2).clamp(*SPARKS.start(), *SPARKS.end());
    let mut lines = vec![
        format!("{}  every {} s, Ctrl-C ends", bold.apply_to(dir), interval.as_secs_f64()),
        dim.apply_to(format!(
            "{:<names$} {:>5} {:>11} {:>9} {:>11} {:>10}  rate",
            "TOPIC", "PARTS", "RECORDS", "SIZE", "RECORDS/S", "BYTES/S"
        ))
        .to_string(),
    ];
    let mut room = height.saturating_sub(lines.len() + 2).max(1);
    // One line tells of one of them, where there is room for it.
    let kept = stats.kept_by_future().next().filter(|_| room > 1);
    room -= usize::from(kept.is_some());
    let groups: Vec<String> =
        stats.groups.iter().map(|(name, group)| group_line(name, names, group, sparks)).collect();
    // Topics and groups share what there is, half and half when both are many.
    let for_groups = if groups.is_empty() {
        0
    } else {
        (groups.len() + 1).min((room / 2).max(room.saturating_sub(stats.topics.len())))
    };
    room -= for_groups;
    for (name, topic) in stats.topics.iter().take(room) {
        lines.push(line(name, names, topic, sparks));
    }
    if for_groups > 1 {
        let heading = format!("{:<names$} {:>11}  lag", "GROUP", "LAG");
        lines.push(dim.apply_to(heading).to_string());
        lines.extend(groups.iter().take(for_groups - 1).cloned());
    }
    let hidden =
        stats.topics.len().saturating_sub(room) + groups.len().saturating_sub(for_groups.saturating_sub(1));
    if hidden > 0 {
        lines.push(dim.apply_to(format!("and {hidden} more; --topic chooses")).to_string());
    } else if stats.topics.is_empty() {
        lines.push(dim.apply_to("no topics").to_string());
    }
    lines.extend(kept);
    lines.into_iter().map(|line| fitted(line, width)).collect()
}

fn group_line(name: &str, names: usize, group: &GroupStats, sparks: usize) -> String {
    let course = Style::new().yellow().apply_to(sparkline(&group.lags, sparks));
    format!("{:<names$} {:>11}  {course}", truncate_str(name, names, "…"), short(group.lag))
}

fn line(name: &str, names: usize, topic: &TopicStats, sparks: usize) -> String {
    let held = &topic.held;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{:<names$} {:>5} {:>11} {:>9} {:>11} {:>10}  {}",
        truncate_str(name, names, "…"),
        held.partitions,
        short(held.end.saturating_sub(held.start)),
        bytes(held.bytes),
        rate(topic.records_per_second),
        rate_of_bytes(topic.bytes_per_second),
        Style::new().green().apply_to(sparkline(&topic.rates, sparks))
    );
    text
}

fn fitted(line: String, width: usize) -> String {
    if measure_text_width(&line) <= width { line } else { truncate_str(&line, width, "…").into_owned() }
}

/// The last so many values as a row of bars, as high as the highest of them.
pub(super) fn sparkline(values: &VecDeque<f64>, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = values.iter().skip(values.len().saturating_sub(width));
    let highest = shown.clone().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of eight bars")]
        let at = if highest > 0.0 { (value / highest * 7.0).ceil() as usize } else { 0 };
        BARS.get(at).copied().unwrap_or('█')
    };
    shown.map(bar).collect()
}

/// A count with three digits or so: `1.23M`.
pub(super) fn short(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    scaled(count, &["k", "M", "G", "T", "P", "E"], 1000.0)
}

pub(super) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    scaled(count, &[" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"], 1024.0)
}

fn rate(per_second: f64) -> String {
    short(whole(per_second))
}

fn rate_of_bytes(per_second: f64) -> String {
    bytes(whole(per_second))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are not negative, and saturate"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn scaled(count: u64, units: &[&str], step: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut value = count as f64;
    let mut unit = "";
    for next in units {
        if value < step * 0.9995 {
            break;
        }
        value /= step;
        unit = next;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (count, text) in [
            (0, "0"),
            (9_999, "9999"),
            (12_345, "12.3k"),
            (1_234_567, "1.23M"),
            (999_999, "1.00M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(count), text);
        }
        for (count, text) in [(0, "0 B"), (1_536, "1.50 KiB"), (1 << 30, "1.00 GiB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn sparks_are_as_high_as_the_highest() {
        let values: VecDeque<f64> = [0.0, 1.0, 4.0, 8.0].into();
        assert_eq!(sparkline(&values, 10), "▁▂▅█");
        assert_eq!(sparkline(&values, 2), "▅█");
        assert_eq!(sparkline(&[0.0, 0.0].into(), 10), "▁▁");
        assert_eq!(sparkline(&VecDeque::new(), 10), "");
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        let mut stats = Stats::new();
        for n in 0..50 {
            let mut topic = TopicStats::default();
            (0..200).for_each(|value| super::super::sample::keep(&mut topic.rates, f64::from(value)));
            stats.topics.insert(format!("topic-{n}-{}", "x".repeat(n)), topic);
        }
        for size in [(24, 80), (10, 40), (5, 10), (60, 200), (200, 100)] {
            for n in 0..30 {
                stats.groups.insert(format!("group-{n}"), GroupStats::default());
            }
            let lines = lines(&stats, "dir", Duration::from_secs(1), size);
            assert!(lines.len() < size.0.max(6), "{size:?}: {}", lines.len());
            assert!(lines.iter().all(|line| measure_text_width(line) <= size.1), "{size:?}");
        }
    }
}
