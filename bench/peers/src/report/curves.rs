//! Tables and pictures of the library alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Chart, Series};
use super::numbers::{number, rate, spread};
use crate::plan::{OURS, Workload};
use crate::results::{Results, Spread};

/// What a curve goes over, and its lines.
struct Curve {
    workload: Workload,
    over: &'static str,
    lines: &'static [&'static str],
    /// Of values, beside records: where the size of a record is what it goes over.
    is_in_bytes: bool,
}

const CURVES: [Curve; 4] = [
    Curve {
        workload: Workload::Sizes,
        over: "bytes of a value",
        lines: &["send", "enqueue", "replay"],
        is_in_bytes: true,
    },
    Curve {
        workload: Workload::Partitions,
        over: "partitions",
        lines: &["send", "enqueue", "replay"],
        is_in_bytes: false,
    },
    Curve {
        workload: Workload::Consumers,
        over: "consumers",
        lines: &["produced", "delivered"],
        is_in_bytes: false,
    },
    Curve {
        workload: Workload::Segments,
        over: "segments",
        lines: &["seek and poll µs", "offset_for_time µs"],
        is_in_bytes: false,
    },
];

pub(super) fn charts(results: &Results) -> Vec<(String, Chart)> {
    CURVES.iter().map(|curve| (curve.workload.name(), curve.chart(results))).collect()
}

pub(super) fn table(results: &Results, workload: Workload) -> String {
    CURVES
        .iter()
        .find(|curve| curve.workload == workload)
        .map_or_else(String::new, |curve| curve.table(results))
}

impl Curve {
    fn points(&self, results: &Results, line: &str) -> Vec<(u64, Spread)> {
        let points = results.curve(&self.workload.name(), OURS, line);
        points.into_iter().filter_map(|(at, of)| Some((at?, of))).collect()
    }

    fn table(&self, results: &Results) -> String {
        let mut text = format!(
            "| {} | {} |\n|{}\n",
            self.over,
            self.lines.join(" | "),
            "---|".repeat(1 + self.lines.len())
        );
        let lines: Vec<_> = self.lines.iter().map(|line| (*line, self.points(results, line))).collect();
        let places: BTreeSet<u64> = lines.iter().flat_map(|(_, points)| points).map(|(at, _)| *at).collect();
        for place in places {
            let cells = lines.iter().map(|(line, points)| {
                let point = points.iter().find(|(at, _)| *at == place);
                point.map_or_else(|| "–".into(), |(at, of)| self.cell(line, *at, *of))
            });
            let _ = writeln!(text, "| {place} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        text
    }

    fn cell(&self, line: &str, at: u64, of: Spread) -> String {
        let text = spread(line, of);
        if self.is_in_bytes { format!("{text}; {}", bytes(of.median * at as f64)) } else { text }
    }

    fn chart(&self, results: &Results) -> Chart {
        let place = |at: u64| (at as f64).log10();
        let mut ticks = BTreeSet::new();
        let series = self.lines.iter().map(|line| {
            let points = self.points(results, line).into_iter().map(|(at, of)| {
                ticks.insert(at);
                let times = if self.is_in_bytes { at as f64 } else { 1.0 };
                let of = Spread { median: of.median * times, min: of.min * times, max: of.max * times };
                (place(at), of)
            });
            let points = points.collect();
            Series { name: line.trim_end_matches(" µs").to_owned(), points }
        });
        let series = series.collect();
        let y = match self.lines[0] {
            line if line.ends_with(" µs") => |value| number("of µs", value),
            _ if self.is_in_bytes => bytes,
            _ => rate,
        };
        let ticks = ticks.into_iter().map(|at| (place(at), at.to_string())).collect();
        Chart { title: self.workload.title(), x: self.over.to_owned(), ticks, y, series }
    }
}

fn bytes(per_second: f64) -> String {
    let text = rate(per_second);
    let text = text.strip_suffix("/s").unwrap_or(&text);
    format!(
        "{}B/s",
        if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text} ") } else { text.to_owned() }
    )
}
