//! The course of a value over time, with its axes.

use std::collections::VecDeque;
use std::time::Duration;

use super::picture::short;

/// The width of the labels on the left, and of the axis next to them.
const LABEL: usize = 7;
const AXIS: usize = 2;

/// A chart of so many rows and columns: the newest value on the right, as high as the highest that is shown. The last row is
/// the axis of time.
pub(super) fn chart(values: &VecDeque<f64>, interval: Duration, rows: usize, columns: usize) -> Vec<String> {
    let (bars, width) = (rows.saturating_sub(1), columns.saturating_sub(LABEL + AXIS));
    let shown: Vec<f64> = values.iter().skip(values.len().saturating_sub(width)).copied().collect();
    let highest = highest(&shown);
    let mut lines = Vec::with_capacity(rows);
    for row in (0..bars).rev() {
        let label = match row {
            0 => "0".to_owned(),
            _ if highest <= 0.0 => String::new(),
            _ if row + 1 == bars => short(whole(highest)),
            _ if bars >= 5 && row == bars / 2 => short(whole(highest * share(2 * row + 1, 2 * bars))),
            _ => String::new(),
        };
        let tick = if label.is_empty() { '│' } else { '┤' };
        let mut line = format!("{label:>LABEL$} {tick}{}", " ".repeat(width - shown.len()));
        line.extend(shown.iter().map(|value| cell(*value, highest, row, bars)));
        lines.push(line);
    }
    if rows > 0 {
        lines.push(format!("{:>LABEL$} └{}", "", axis(interval, width)));
    }
    lines
}

/// The most of what is shown in so many columns.
pub(super) fn highest_shown(values: &VecDeque<f64>, columns: usize) -> f64 {
    let width = columns.saturating_sub(LABEL + AXIS);
    let shown: Vec<f64> = values.iter().skip(values.len().saturating_sub(width)).copied().collect();
    highest(&shown)
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The part of a bar that lies in a row, row 0 being the lowest.
fn cell(value: f64, highest: f64, row: usize, rows: usize) -> char {
    const PARTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if highest <= 0.0 {
        return ' ';
    }
    // Something is never shown as nothing.
    let eighths = (value / highest * share(rows * 8, 1)).ceil();
    let above = whole(eighths).saturating_sub(row as u64 * 8).min(8);
    usize::try_from(above).ok().and_then(|at| PARTS.get(at)).copied().unwrap_or(' ')
}

/// From when to when.
fn axis(interval: Duration, width: usize) -> String {
    let span = interval.as_secs_f64() * share(width, 1);
    let (from, to) = (format!(" {} ago ", time(span)), " now");
    let line = width.saturating_sub(from.chars().count() + to.len());
    if line == 0 { "─".repeat(width) } else { format!("{from}{}{to}", "─".repeat(line)) }
}

/// A span in the unit that fits.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 100.0 => format!("{seconds:.0} s"),
        _ if seconds < 6_000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows and columns of a terminal are few")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is shown is not negative, and saturates"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_maximum_its_zero_and_its_time() {
        let values: VecDeque<f64> = [0.0, 1.0, 400.0, 800.0].into();
        let lines = chart(&values, Duration::from_secs(2), 5, 40);
        assert_eq!(
            lines,
            [
                "    800 ┤                              █",
                "        │                              █",
                "        │                             ██",
                "      0 ┤                            ▁██",
                "        └ 62 s ago ───────────────── now",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() == 40), "{lines:#?}");
    }

    #[test]
    fn what_is_no_room_for_is_left_out() {
        let values: VecDeque<f64> = (0..500).map(f64::from).collect();
        for rows in 0..12 {
            for columns in 0..60 {
                let lines = chart(&values, Duration::from_millis(100), rows, columns);
                assert_eq!(lines.len(), rows);
                let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= columns.max(LABEL + AXIS), "{rows} {columns}: {lines:#?}");
            }
        }
        let nothing = chart(&VecDeque::new(), Duration::from_secs(1), 3, 20);
        assert_eq!(nothing[..2], ["        │           ", "      0 ┤           "]);
    }
}
