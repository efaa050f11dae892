//! `benchmarks.md`.

use std::fmt::Write;

use super::chart::Chart;
use super::comparison::{Comparison, First, best, compare, ours, words};
use super::numbers::{spread, times};
use super::{FOLDER, curves};
use crate::plan::{EMPTY_LOOP, KEEPS_ALL_IN_MEMORY, Kind, Measure, Workload, kind, stored_bytes};
use crate::results::{Outcome, Results, Spread};

pub(super) fn page(results: &Results, charts: &[(String, Chart)]) -> String {
    let mut text = head(results);
    text.push_str(&summary(results));
    for workload in Workload::ALL.into_iter().filter(|workload| has_run(results, *workload)) {
        let _ = write!(text, "\n## {}\n\n", workload.title());
        if workload.measures().is_empty() {
            text.push_str(&curves::table(results, workload));
        } else {
            text.push_str(&table(results, workload));
        }
        let of_workload = charts.iter().filter(|(name, _)| *name == workload.name());
        for (name, _) in of_workload {
            let _ = write!(text, "\n![{}]({FOLDER}/{name}.svg)\n", workload.title());
        }
    }
    text
}

fn has_run(results: &Results, workload: Workload) -> bool {
    let name = workload.name();
    results.pieces.iter().any(|piece| piece.workload == name)
}

fn head(results: &Results) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         `bench/peers/run` wrote this page. [All figures]({FOLDER}/results.json), and \
         [what is measured and what is unfair](../bench/peers/README.md).\n\n\
         Each piece is a process of its own with an empty directory. Participants take turns, in {} rounds; figures are medians \
         (with the least and the most). A piece takes at most {} seconds and {} MiB of values. All Rust programs have cargo's \
         default release profile. What is read is checked, and stratalog's checksums are on. *Limits* are what the machine \
         itself does, measured in turn with the others; those in bytes are given in records as stratalog stores them. \
         *Interrupted* is the share of its time that an empty loop lost just before the piece.\n\n| | |\n|---|---|\n",
        results.rounds, results.seconds, results.mib
    );
    for (name, value) in &results.machine {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

/// The best of each kind in each workload, and everything in which a peer wins.
fn summary(results: &Results) -> String {
    let mut text = "\n## In short\n\n| | stratalog | best that stores records | best in memory | |\n|---|---|---|---|---|\n".to_owned();
    let mut counts = [0, 0, 0];
    let mut lost = Vec::new();
    for workload in Workload::ALL {
        for measure in workload.measures() {
            text.push_str(&summary_row(results, workload, *measure).unwrap_or_default());
        }
        let is_peer = |name: &&&str| matches!(kind(name), Kind::Stores | Kind::InMemory);
        for peer in workload.participants().iter().filter(is_peer) {
            let mut comparisons = compare(results, workload, peer);
            for (count, first) in counts.iter_mut().zip([First::Ours, First::Peer, First::Neither]) {
                *count += comparisons.iter().filter(|one| one.first == first).count();
            }
            comparisons.retain(|one| one.first == First::Peer);
            if !comparisons.is_empty() {
                lost.push(format!("* {}: {}\n", workload.title(), words(workload, &comparisons)));
            }
        }
    }
    let [ours, theirs, level] = counts;
    let _ = writeln!(
        text,
        "\nEach peer compared by each measure: stratalog wins {ours} times, a peer {theirs} times, and {level} times they are \
         level, within one percent. Where a peer wins:\n\n{}",
        if lost.is_empty() { "nowhere\n".to_owned() } else { lost.concat() }
    );
    text
}

/// A workload, with the measure where it has several.
fn named(workload: Workload, measure: &str) -> String {
    let title = workload.title();
    if workload.measures().len() == 1 {
        return title;
    }
    format!("{title}, {}", measure.split(' ').next().unwrap_or_default())
}

fn summary_row(results: &Results, workload: Workload, measure: Measure) -> Option<String> {
    let (_, ours) = ours(results, workload, measure)?;
    let (mut cells, mut in_words) = (String::new(), Vec::new());
    for of in [Kind::Stores, Kind::InMemory] {
        let Some((peer, theirs)) = best(results, workload, measure, of) else {
            cells.push_str(" – |");
            continue;
        };
        let _ = write!(cells, " {peer}: {} |", spread(measure.name, theirs));
        let of_measure =
            compare(results, workload, peer).into_iter().filter(|one| one.measure == measure.name);
        in_words.extend(of_measure.map(|one| Comparison::words(&one)));
    }
    let title = named(workload, measure.name);
    Some(format!("| {title} | {} |{cells} {} |\n", spread(measure.name, ours), in_words.join("; ")))
}

fn table(results: &Results, workload: Workload) -> String {
    let has_limit = limit_of(results, workload, Kind::Ours).is_some();
    let names = workload.measures().iter().map(|measure| measure.name.split(' ').next().unwrap_or_default());
    let mut columns: Vec<_> = ["", "records are"].into_iter().chain(names).collect();
    columns.extend(has_limit.then_some("of the limit"));
    columns.extend(["interrupted", "who wins"]);
    let mut text = format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for participant in workload.participants() {
        if results.pieces(&workload.name(), participant).next().is_none() {
            continue;
        }
        let mut cells = vec![(*participant).to_owned(), kept(participant).to_owned()];
        let spreads = workload
            .measures()
            .iter()
            .map(|measure| (measure, spread_of(results, workload, participant, *measure)));
        cells.extend(
            spreads.map(|(measure, of)| of.map_or_else(|| "–".into(), |of| spread(measure.name, of))),
        );
        if has_limit {
            cells.push(share_of_limit(results, workload, participant).unwrap_or_default());
        }
        cells.push(interrupted(results, workload, participant));
        cells.push(in_words(results, workload, participant));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn kept(participant: &str) -> &'static str {
    match kind(participant) {
        Kind::Stores if participant == KEEPS_ALL_IN_MEMORY => "stored, and read from memory",
        Kind::Ours | Kind::Stores => "stored",
        Kind::InMemory => "in memory",
        Kind::Limit => "",
    }
}

/// Of a limit in bytes, in records.
fn spread_of(results: &Results, workload: Workload, participant: &str, measure: Measure) -> Option<Spread> {
    let name = workload.name();
    let of_bytes = || {
        let bytes = results.spread(&name, participant, "bytes/s")?;
        let records = |bytes: f64| bytes / stored_bytes(workload.value_bytes()) as f64;
        Some(Spread { median: records(bytes.median), min: records(bytes.min), max: records(bytes.max) })
    };
    results.spread(&name, participant, measure.name).or_else(of_bytes)
}

/// Records a second that the machine allows: the first limit of a workload is for those that store them, the last for others.
fn limit_of(results: &Results, workload: Workload, of: Kind) -> Option<f64> {
    let mut limits =
        workload.participants().iter().filter(|name| kind(name) == Kind::Limit && **name != EMPTY_LOOP);
    let limit = if of == Kind::InMemory { limits.next_back() } else { limits.next() }?;
    Some(spread_of(results, workload, limit, *workload.measures().first()?)?.median)
}

fn share_of_limit(results: &Results, workload: Workload, participant: &str) -> Option<String> {
    let kind = kind(participant);
    if kind == Kind::Limit {
        return None;
    }
    let rate = spread_of(results, workload, participant, *workload.measures().first()?)?.median;
    let share = rate / limit_of(results, workload, kind)?;
    Some(if share < 2.0 { format!("{:.0} %", share * 100.0) } else { times(share) })
}

fn interrupted(results: &Results, workload: Workload, participant: &str) -> String {
    let name = workload.name();
    let shares = results.pieces(&name, participant).map(|piece| piece.interrupted).collect();
    Spread::of(shares).map_or_else(String::new, |of| format!("{:.1} %", of.median * 100.0))
}

fn in_words(results: &Results, workload: Workload, participant: &'static str) -> String {
    let name = workload.name();
    for piece in results.pieces(&name, participant) {
        match &piece.outcome {
            Outcome::Figures(_) => {}
            Outcome::Skipped(why) => return format!("SKIPPED: {}", in_a_cell(why)),
            Outcome::Failed(why) => return format!("FAILED in round {}: {}", piece.round, in_a_cell(why)),
        }
    }
    match kind(participant) {
        Kind::Stores | Kind::InMemory => words(workload, &compare(results, workload, participant)),
        Kind::Ours | Kind::Limit => String::new(),
    }
}

fn in_a_cell(text: &str) -> String {
    text.replace('|', "/").replace('\n', " ")
}
