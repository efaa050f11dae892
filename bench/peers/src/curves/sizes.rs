//! Over the bytes of a value.

use stratalog::TopicConfig;

use super::{Log, records_of, replay, value};
use crate::Result;
use crate::results::Figure;
use crate::work::Task;

const SIZES: [usize; 9] = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000];

pub(crate) fn run(task: &Task) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for bytes in SIZES {
        let value = value(bytes);
        let records = records_of(task, bytes);
        let mut add = |way, per_second| figures.push(Figure::at(way, bytes as u64, per_second));

        let directory = tempfile::tempdir_in(&task.directory)?;
        let log = Log::new(directory.path().join("batched"), TopicConfig::new())?;
        add("enqueue", log.enqueue(&value, records)?);
        add("replay", replay(&mut log.reader()?, records)?);
        log.log.close()?;
        let log = Log::new(directory.path().join("single"), TopicConfig::new())?;
        add("send", log.send(&value, records / 2)?);
        log.log.close()?;
    }
    Ok(figures)
}
