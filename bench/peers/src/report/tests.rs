//! The report of results that are planted.

use std::collections::BTreeMap;

use super::comparison::{compare, words};
use super::{chart, json, page, write};
use crate::plan::Workload;
use crate::results::{Figure, Outcome, Piece, Results, Spread};

fn piece(workload: Workload, participant: &str, round: u32, outcome: Outcome) -> Piece {
    let (workload, participant) = (workload.name(), participant.to_owned());
    Piece { workload, participant, round, interrupted: 0.25, outcome }
}

/// Each figure in as many rounds as it has values.
fn planted(workload: Workload, all: &[(&str, &str, &[f64])]) -> Results {
    let pieces = all.iter().flat_map(|(participant, name, values)| {
        (1..).zip(*values).map(move |(round, value)| {
            let figures = Outcome::Figures(vec![Figure::new(name, *value)]);
            piece(workload, participant, round, figures)
        })
    });
    Results { rounds: 3, seconds: 0.8, mib: 1024, pieces: pieces.collect(), machine: BTreeMap::new() }
}

fn appended() -> Results {
    planted(
        Workload::Append(100),
        &[
            ("stratalog enqueue", "records/s", &[8e6, 9e6, 10e6]),
            ("stratalog send_batch", "records/s", &[11e6, 12e6, 13e6]),
            ("commitlog", "records/s", &[15e6, 24e6, 25e6]),
            ("yaque", "records/s", &[12.5e6, 6e6, 5e6]),
            ("khata-rs", "records/s", &[12e6]),
            ("limit: pwrite", "bytes/s", &[118.0 * 20e6]),
        ],
    )
}

#[test]
fn a_peer_that_wins_is_named_and_so_is_one_that_loses() {
    let results = appended();
    let of = |peer| words(Workload::Append(100), &compare(&results, Workload::Append(100), peer));
    // Beside the better one of ours.
    assert_eq!(of("commitlog"), "**commitlog wins**: 2.00 × stratalog");
    assert_eq!(of("yaque"), "stratalog wins: 2.00 × yaque, ranges overlap");
    assert_eq!(of("khata-rs"), "level with khata-rs");
}

#[test]
fn less_is_better_for_times_and_each_measure_has_its_winner() {
    let mut results = planted(
        Workload::Send,
        &[
            ("stratalog", "p50 ns", &[100.0]),
            ("khata-rs", "p50 ns", &[50.0]),
            ("stratalog", "p99 ns", &[300.0]),
        ],
    );
    results.pieces.extend(planted(Workload::Send, &[("khata-rs", "p99 ns", &[900.0])]).pieces);
    let found = words(Workload::Send, &compare(&results, Workload::Send, "khata-rs"));
    assert_eq!(found, "stratalog wins p99 (3.00 ×); **khata-rs wins** p50 (2.00 ×)");
    // Also where that is all that there is to say.
    let short = "* Append one by one, 100 bytes: latency of a call: **khata-rs wins** p50 (2.00 ×)";
    assert!(page::page(&results, &[]).contains(short));
    // The best of several is the one with the least.
    results.pieces.extend(planted(Workload::Send, &[("yaque", "p50 ns", &[80.0])]).pieces);
    assert!(
        page::page(&results, &[])
            .contains("| 100 ns | khata-rs: 50 ns | – | **khata-rs wins**: 2.00 × stratalog |")
    );
}

#[test]
fn the_page_has_every_participant_with_its_limit_and_says_where_peers_win() {
    let mut results = appended();
    let workload = Workload::Append(100);
    results.pieces.push(piece(workload, "mrecordlog", 1, Outcome::Failed("the disk | is full".into())));
    results.pieces.push(piece(workload, "Chronicle Queue", 1, Outcome::Skipped("java is not there".into())));
    let text = page::page(&results, &[]);
    for row in [
        "| stratalog send_batch | stored | 12.0 M/s (11.0 M/s – 13.0 M/s) | 60 % | 25.0 % |  |",
        "| khata-rs | stored | 12.0 M/s | 60 % | 25.0 % | level with khata-rs |",
        "| mrecordlog | stored, and read from memory | – |  | 25.0 % | FAILED in round 1: the disk / is full |",
        "| Chronicle Queue | stored | – |  | 25.0 % | SKIPPED: java is not there |",
        "| limit: pwrite |  | 20.0 M/s |  | 25.0 % |  |",
        "stratalog wins 1 times, a peer 1 times, and 1 times they are level",
        "* Append in batches, 100 bytes: **commitlog wins**: 2.00 × stratalog",
        "| – | **commitlog wins**: 2.00 × stratalog |",
    ] {
        assert!(text.contains(row), "{row} is not in\n{text}");
    }
    let without = planted(workload, &[("stratalog enqueue", "records/s", &[1e6])]);
    assert!(page::page(&without, &[]).contains("Where a peer wins:\n\nnowhere"));
}

#[test]
fn all_that_is_measured_is_written_and_can_be_read_again() {
    let mut results = appended();
    results.pieces.extend(planted(Workload::Send, &[("stratalog", "p50 ns", &[100.0])]).pieces);
    for (at, value) in [(1, 9.0), (100, 20.0)] {
        let figures = vec![Figure::at("seek and poll µs", at, value)];
        results.pieces.push(piece(Workload::Segments, "stratalog", 1, Outcome::Figures(figures)));
    }
    let out = tempfile::tempdir().unwrap();
    write(&results, out.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap();
    let text = read("benchmarks.md");
    assert!(text.contains("| 100 | 20.0 µs | – |"), "{text}");
    for link in text.split("](benchmarks/").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(!read(&format!("benchmarks/{link}")).is_empty());
    }
    assert!(text.contains("](benchmarks/send.svg)") && text.contains("](benchmarks/segments.svg)"));
    assert!(!text.contains("latency.svg"), "of nothing there is no picture");
    let again: Results = serde_json::from_str(&read("benchmarks/results.json")).unwrap();
    assert_eq!(json(&again).unwrap(), json(&results).unwrap());
    assert_eq!(again.pieces.len(), results.pieces.len());
}

#[test]
fn a_chart_has_its_points_where_they_belong() {
    let at = |value| Spread { median: value, min: value, max: value };
    let line = |name: &str, values: [f64; 2]| chart::Series {
        name: name.into(),
        points: vec![(0.0, at(values[0])), (1.0, at(values[1]))],
    };
    let svg = chart::Chart {
        title: "a < b".into(),
        x: "from left to right".into(),
        ticks: vec![(0.0, "p50".into()), (1.0, "max".into())],
        y: |value| format!("{value}"),
        series: vec![line("first", [10.0, 1000.0]), line("second", [100.0, 100.0])],
    }
    .svg();
    // From the bottom to nearly the top; on a scale of powers 100 is in the middle of 10 and 1000.
    let lines: Vec<_> = svg.lines().filter_map(|line| line.strip_prefix("<polyline points=\"")).collect();
    let heights = |line: &str| -> Vec<f64> {
        let points = line.split('"').next().unwrap().split(' ');
        points.map(|point| point.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (rising, level) = (heights(lines[0]), heights(lines[1]));
    assert!(rising[0] > rising[1] && (level[0] - level[1]).abs() < 0.1, "{svg}");
    assert!((f64::midpoint(rising[0], rising[1]) - level[0]).abs() < 0.2, "{svg}");
    assert!(svg.contains("a &lt; b") && svg.contains(">second<") && svg.contains(">p50<"));
    assert_eq!(svg.matches('<').count(), svg.matches('>').count());
}
