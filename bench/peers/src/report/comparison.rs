//! Who wins, in words.

use super::numbers::times;
use crate::plan::{Kind, Measure, OURS, Workload, kind};
use crate::results::{Results, Spread};

/// Who is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Ours,
    Peer,
    /// Less than one percent lies between them.
    Neither,
}

const LEVEL: f64 = 1.01;

/// A peer beside the better one of ours, by one measure.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    pub(super) measure: &'static str,
    pub(super) peer: &'static str,
    pub(super) first: First,
    /// How many times better the first one is.
    times: f64,
    /// Rounds of the one were as good as rounds of the other.
    do_ranges_overlap: bool,
}

impl Comparison {
    fn of(measure: Measure, peer: &'static str, ours: Spread, theirs: Spread) -> Self {
        let ratio = ours.median / theirs.median;
        let ours_to_theirs = if measure.is_more_better { ratio } else { 1.0 / ratio };
        let first = match ours_to_theirs {
            ratio if ratio >= LEVEL => First::Ours,
            ratio if ratio <= 1.0 / LEVEL => First::Peer,
            _ => First::Neither,
        };
        Self {
            measure: measure.name,
            peer,
            first,
            times: ours_to_theirs.max(1.0 / ours_to_theirs),
            do_ranges_overlap: ours.min <= theirs.max && theirs.min <= ours.max,
        }
    }

    pub(super) fn words(&self) -> String {
        let overlap = if self.do_ranges_overlap { ", ranges overlap" } else { "" };
        let times = times(self.times);
        match self.first {
            First::Ours => format!("{OURS} wins: {times} {}{overlap}", self.peer),
            First::Peer => format!("**{} wins**: {times} {OURS}{overlap}", self.peer),
            First::Neither => format!("level with {}", self.peer),
        }
    }

    /// Where the measure is to be named.
    fn part(&self) -> String {
        let name = self.measure.split(' ').next().unwrap_or_default();
        let overlap = if self.do_ranges_overlap { ", ranges overlap" } else { "" };
        format!("{name} ({}{overlap})", times(self.times))
    }
}

/// The better one of ours by a measure, and its name.
pub(super) fn ours(
    results: &Results,
    workload: Workload,
    measure: Measure,
) -> Option<(&'static str, Spread)> {
    best(results, workload, measure, Kind::Ours)
}

/// The best one of a kind.
pub(super) fn best(
    results: &Results,
    workload: Workload,
    measure: Measure,
    of: Kind,
) -> Option<(&'static str, Spread)> {
    let all = workload.participants().iter().filter(|name| kind(name) == of);
    let all = all.filter_map(|name| Some((*name, results.spread(&workload.name(), name, measure.name)?)));
    let better = |one: &f64, other: &f64| {
        let order = one.total_cmp(other);
        if measure.is_more_better { order } else { order.reverse() }
    };
    all.max_by(|(_, one), (_, other)| better(&one.median, &other.median))
}

/// A peer beside ours, by each measure of a workload.
pub(super) fn compare(results: &Results, workload: Workload, peer: &'static str) -> Vec<Comparison> {
    let measures = workload.measures().iter();
    measures
        .filter_map(|measure| {
            let (_, ours) = ours(results, workload, *measure)?;
            let theirs = results.spread(&workload.name(), peer, measure.name)?;
            Some(Comparison::of(*measure, peer, ours, theirs))
        })
        .collect()
}

/// Of one peer in a workload. Measures are named where there are several.
pub(super) fn words(workload: Workload, comparisons: &[Comparison]) -> String {
    if let ([_], [only]) = (workload.measures(), comparisons) {
        return only.words();
    }
    let peer = comparisons.first().map_or("", |one| one.peer);
    let of = |first: First, who: String| {
        let those = comparisons.iter().filter(|one| one.first == first).map(Comparison::part);
        let those = those.collect::<Vec<_>>().join(", ");
        (!those.is_empty()).then(|| format!("{who} {those}"))
    };
    let all = [
        of(First::Ours, format!("{OURS} wins")),
        of(First::Peer, format!("**{peer} wins**")),
        of(First::Neither, "level:".into()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
