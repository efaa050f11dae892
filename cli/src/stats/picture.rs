//! The live picture: what there is as a table, the course of all records as a chart, and nothing of the screen left over.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};

use super::chart::{chart, highest_shown, whole};
use super::sample::{GroupStats, PartitionContents, Stats, TopicStats};
use crate::output::counted;

/// The least and the most characters that the course of a rate is shown with.
const SPARKS: std::ops::RangeInclusive<usize> = 8..=60;
/// The least rows that the chart takes, its heading among them.
const CHART: usize = 6;

/// All lines of the picture: as many as the terminal is high, and none wider than it is.
pub(super) fn lines(
    stats: &Stats,
    dir: &str,
    interval: Duration,
    height: usize,
    width: usize,
) -> Vec<String> {
    let mut lines = vec![title(dir, interval), totals(stats)];
    let room = height.saturating_sub(lines.len());
    let table = Rows::of(stats, width).fitted(room, if room >= 2 * CHART { CHART } else { 0 });
    let left = room.saturating_sub(table.len());
    lines.extend(table);
    if left >= CHART {
        let dim = Style::new().dim();
        let most = short(whole(highest_shown(&stats.rates, width)));
        let now = short(whole(stats.rates.back().copied().unwrap_or(0.0)));
        lines.push(dim.apply_to(format!("RECORDS/S of all: {now} now, {most} at most")).to_string());
        let course = chart(&stats.rates, interval, left - 1, width);
        lines.extend(course.into_iter().map(|line| Style::new().green().apply_to(line).to_string()));
    }
    lines.truncate(height.max(1));
    lines.into_iter().map(|line| fitted(line, width)).collect()
}

fn title(dir: &str, interval: Duration) -> String {
    format!("{}  every {} s, q ends", Style::new().bold().apply_to(dir), interval.as_secs_f64())
}

fn totals(stats: &Stats) -> String {
    let of = |number: fn(&TopicStats) -> u64| stats.topics.values().map(number).sum::<u64>();
    let rate = stats.topics.values().map(|topic| topic.bytes_per_second).sum::<f64>();
    let partitions = of(|topic| topic.contents.partitions.len() as u64);
    format!(
        "{}, {}, {}, {}, {}/s, unsynced {}",
        counted(stats.topics.len() as u64, "topic", "topics"),
        counted(partitions, "partition", "partitions"),
        counted(of(|topic| topic.contents.records), "record", "records"),
        bytes(of(|topic| topic.contents.bytes)),
        bytes(whole(rate)),
        bytes(of(|topic| topic.contents.unsynced)),
    )
}

/// The lines of the table, by what they are about.
struct Rows {
    heading: String,
    /// Each with its partitions, where there are several.
    topics: Vec<(String, Vec<String>)>,
    groups: Vec<String>,
    group_heading: String,
    kept: Vec<String>,
}

impl Rows {
    fn of(stats: &Stats, width: usize) -> Self {
        let longest = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| name.chars().count()).max().unwrap_or(0)
        };
        let names = longest(&mut stats.topics.keys().chain(stats.groups.keys())).clamp(9, 32);
        let fixed = names + 6 + 8 + 9 + 9 + 10 + 9 + 6;
        let sparks = width.saturating_sub(fixed + 2).clamp(*SPARKS.start(), *SPARKS.end());
        let dim = Style::new().dim();
        let heading = format!(
            "{:<names$} {:>5} {:>7} {:>8} {:>8} {:>9} {:>8} {:>5}  rate",
            "TOPIC", "PARTS", "RECORDS", "SIZE", "UNSYNCED", "RECORDS/S", "BYTES/S", "MAX/S"
        );
        let topics = stats.topics.iter().map(|(name, topic)| {
            let several = topic.contents.partitions.len() > 1;
            let partitions = topic.contents.partitions.iter().filter(|_| several);
            let partitions = partitions.map(|one| dim.apply_to(partition_line(one, names)).to_string());
            (topic_line(name, names, topic, sparks), partitions.collect())
        });
        let groups = stats.groups.iter().map(|(name, group)| group_line(name, names, group, sparks));
        Self {
            heading: dim.apply_to(heading).to_string(),
            topics: topics.collect(),
            groups: groups.collect(),
            group_heading: dim.apply_to(format!("{:<names$} {:>11}  lag", "GROUP", "LAG")).to_string(),
            kept: stats.kept_by_future().collect(),
        }
    }

    /// What fits into so many lines, and leaves a few of them where only partitions have to give way for that.
    fn fitted(mut self, room: usize, spare: usize) -> Vec<String> {
        let mut lines = vec![self.heading];
        if self.topics.is_empty() {
            lines.push(Style::new().dim().apply_to("no topics").to_string());
        }
        // The heading, and the line that says what was left out.
        let room = room.saturating_sub(2);
        self.kept.truncate(usize::from(room > 1));
        let room = room.saturating_sub(self.kept.len());
        // Topics and groups share what there is, half and half when both are many.
        let for_groups = match self.groups.len() {
            0 => 0,
            groups => (groups + 1).min((room / 2).max(room.saturating_sub(self.topics.len()))),
        };
        let for_topics = room - for_groups;
        let mut for_partitions =
            for_topics.saturating_sub(self.topics.len()).saturating_sub(spare.saturating_sub(1));
        let mut hidden = self.topics.len().saturating_sub(for_topics);
        for (topic, partitions) in self.topics.into_iter().take(for_topics) {
            lines.push(topic);
            let shown = partitions.len().min(for_partitions);
            for_partitions -= shown;
            hidden += partitions.len() - shown;
            lines.extend(partitions.into_iter().take(shown));
        }
        hidden += self.groups.len().saturating_sub(for_groups.saturating_sub(1));
        if for_groups > 1 {
            lines.push(self.group_heading);
            lines.extend(self.groups.into_iter().take(for_groups - 1));
        }
        if hidden > 0 {
            lines
                .push(Style::new().dim().apply_to(format!("and {hidden} more; --topic chooses")).to_string());
        }
        lines.extend(self.kept);
        lines
    }
}

fn group_line(name: &str, names: usize, group: &GroupStats, sparks: usize) -> String {
    let course = Style::new().yellow().apply_to(sparkline(&group.lags, sparks));
    format!("{:<names$} {:>11}  {course}", truncate_str(name, names, "…"), short(group.lag))
}

fn topic_line(name: &str, names: usize, topic: &TopicStats, sparks: usize) -> String {
    let contents = &topic.contents;
    let most = topic.rates.iter().skip(topic.rates.len().saturating_sub(sparks)).copied().fold(0.0, f64::max);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{:<names$} {:>5} {:>7} {:>8} {:>8} {:>9} {:>8} {:>5}  {}",
        truncate_str(name, names, "…"),
        contents.partitions.len(),
        short(contents.records),
        bytes(contents.bytes),
        bytes(contents.unsynced),
        rate(topic.records_per_second),
        rate_of_bytes(topic.bytes_per_second),
        rate(most),
        Style::new().green().apply_to(sparkline(&topic.rates, sparks))
    );
    text
}

fn partition_line(one: &PartitionContents, names: usize) -> String {
    let PartitionContents { number, records, bytes: size, unsynced, records_per_second, .. } = one;
    format!(
        "{:<names$} {:>5} {:>7} {:>8} {:>8} {:>9}",
        format!("  {number}"),
        "",
        short(*records),
        bytes(*size),
        bytes(*unsynced),
        rate(*records_per_second)
    )
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

    fn filled(topics: usize, groups: usize) -> Stats {
        let mut stats = Stats::new();
        for n in 0..topics {
            let mut topic = TopicStats::default();
            topic.contents.partitions = vec![PartitionContents::default(); n % 4];
            (0..200).for_each(|value| super::super::sample::push(&mut topic.rates, f64::from(value)));
            stats.topics.insert(format!("topic-{n}-{}", "x".repeat(n)), topic);
        }
        for n in 0..groups {
            stats.groups.insert(format!("group-{n}"), GroupStats::default());
        }
        (0..700).for_each(|value| super::super::sample::push(&mut stats.rates, f64::from(value)));
        stats
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        for (topics, groups) in [(0, 0), (1, 0), (3, 2), (50, 0), (50, 30), (2, 30)] {
            let stats = filled(topics, groups);
            for (height, width) in [(24, 80), (10, 40), (5, 10), (1, 1), (60, 200), (200, 100)] {
                let lines = lines(&stats, "dir", Duration::from_secs(1), height, width);
                let size = format!("{topics} {groups} {height} × {width}");
                assert!(lines.len() <= height, "{size}: {}", lines.len());
                assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{size}");
            }
        }
    }

    #[test]
    fn the_whole_screen_is_used() {
        let stats = filled(3, 2);
        for (height, width) in [(24, 80), (40, 120), (100, 300)] {
            let lines = lines(&stats, "dir", Duration::from_secs(1), height, width);
            assert_eq!(lines.len(), height, "{height} × {width}");
            let text = console::strip_ansi_codes(&lines.join("\n")).into_owned();
            for wanted in [
                "q ends",
                "3 topics, 3 partitions, 0 records",
                "UNSYNCED",
                "topic-2-xx",
                "\n  0 ",
                "group-1",
                "699 ┤",
                "0 ┤",
                " ago ",
                " now",
            ] {
                assert!(text.contains(wanted), "{height} × {width} lacks {wanted:?}:\n{text}");
            }
        }
        // Where there is little room, what holds the records comes first.
        let small = lines(&stats, "dir", Duration::from_secs(1), 9, 60).join("\n");
        assert!(small.contains("topic-2-xx") && !small.contains("┤"), "{small}");
    }
}
