//! What is written of a run: `benchmarks.md`, and beside it the pictures and all results.

mod chart;
mod comparison;
mod curves;
mod numbers;
mod page;
mod percentiles;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::Result;
use crate::results::Results;

/// Of pictures and results, below `out`.
const FOLDER: &str = "benchmarks";

pub(crate) fn write(results: &Results, out: &Path) -> Result<()> {
    let folder = out.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("results.json"), json(results)?)?;
    let charts = charts(results);
    for (name, chart) in &charts {
        fs::write(folder.join(format!("{name}.svg")), chart.svg())?;
    }
    let page = out.join("benchmarks.md");
    fs::write(&page, page::page(results, &charts))?;
    eprintln!("written: {}", page.display());
    Ok(())
}

/// A line for each piece, so that two runs can be compared by lines.
fn json(results: &Results) -> Result<Vec<u8>> {
    let head = Results { pieces: Vec::new(), ..results.clone() };
    let head = serde_json::to_string_pretty(&head)?;
    let mut text = head.strip_suffix("[]\n}").expect("pieces are last").as_bytes().to_vec();
    let pieces = results.pieces.iter().map(serde_json::to_string).collect::<serde_json::Result<Vec<_>>>()?;
    write!(text, "[\n    {}\n  ]\n}}\n", pieces.join(",\n    "))?;
    Ok(text)
}

/// By their names. None without figures.
fn charts(results: &Results) -> Vec<(String, chart::Chart)> {
    let all = percentiles::charts(results).into_iter().chain(curves::charts(results));
    all.filter(|(_, chart)| chart.has_points()).collect()
}

#[cfg(test)]
mod tests;
