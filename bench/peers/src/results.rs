//! What a run leaves: every figure of every piece, and the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// By what they are: processor, kernel, date and the like.
    pub(crate) machine: BTreeMap<String, String>,
    pub(crate) rounds: u32,
    /// Most seconds of a piece, without what comes before and after it.
    pub(crate) seconds: f64,
    /// Most MiB of values of a piece that stores them.
    pub(crate) mib: u64,
    pub(crate) pieces: Vec<Piece>,
}

/// One participant in one workload, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) workload: String,
    pub(crate) participant: String,
    pub(crate) round: u32,
    /// The share of an empty loop's time, just before, in steps that were interrupted.
    pub(crate) interrupted: f64,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Figures(Vec<Figure>),
    /// It could not be run here, and why.
    Skipped(String),
    /// It did not end, or what it gave back was wrong.
    Failed(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// At how much of what a curve goes over: bytes, partitions, consumers, segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    pub(crate) value: f64,
}

impl Figure {
    pub(crate) fn new(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), at: None, value }
    }

    pub(crate) fn at(name: &str, at: u64, value: f64) -> Self {
        Self { at: Some(at), ..Self::new(name, value) }
    }
}

/// Over the rounds of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

impl Results {
    /// Of a participant in a workload, by the name of the figure.
    pub(crate) fn spread(&self, workload: &str, participant: &str, figure: &str) -> Option<Spread> {
        self.curve(workload, participant, figure).get(&None).copied()
    }

    /// The same for each place of a curve.
    pub(crate) fn curve(
        &self,
        workload: &str,
        participant: &str,
        figure: &str,
    ) -> BTreeMap<Option<u64>, Spread> {
        let mut values: BTreeMap<Option<u64>, Vec<f64>> = BTreeMap::new();
        for piece in self.pieces(workload, participant) {
            let Outcome::Figures(figures) = &piece.outcome else { continue };
            for found in figures.iter().filter(|found| found.name == figure) {
                values.entry(found.at).or_default().push(found.value);
            }
        }
        values.into_iter().filter_map(|(at, values)| Some((at, Spread::of(values)?))).collect()
    }

    pub(crate) fn pieces<'a>(
        &'a self,
        workload: &'a str,
        participant: &'a str,
    ) -> impl Iterator<Item = &'a Piece> {
        self.pieces.iter().filter(move |piece| piece.workload == workload && piece.participant == participant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_both_ends() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 7.0]), Some(Spread { median: 3.0, min: 1.0, max: 7.0 }));
        assert_eq!(Spread::of(vec![4.0, 2.0]), Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
    }
}
