//! Pictures of latencies.

use super::chart::{Chart, Series};
use super::numbers::number;
use crate::plan::Workload;
use crate::results::Results;

pub(super) fn charts(results: &Results) -> Vec<(String, Chart)> {
    [Workload::Send, Workload::Latency].map(|workload| (workload.name(), chart(results, workload))).into()
}

fn chart(results: &Results, workload: Workload) -> Chart {
    let places = || (0_u32..).map(f64::from).zip(workload.measures());
    let name = workload.name();
    let series = workload.participants().iter().map(|participant| {
        let points = places()
            .filter_map(|(at, measure)| Some((at, results.spread(&name, participant, measure.name)?)))
            .collect();
        Series { name: (*participant).to_owned(), points }
    });
    Chart {
        title: workload.title(),
        x: "percentile".into(),
        ticks: places().map(|(at, measure)| (at, measure.name.replace(" ns", ""))).collect(),
        y: |nanoseconds| number("of ns", nanoseconds),
        series: series.filter(|series| !series.points.is_empty()).collect(),
    }
}
