//! Over the partitions that records go to in turn.

use stratalog::TopicConfig;

use super::{Log, VALUE_BYTES, records_of, replay, value};
use crate::Result;
use crate::results::Figure;
use crate::work::Task;

const PARTITIONS: [u32; 3] = [1, 16, 256];

pub(crate) fn run(task: &Task) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let value = value(VALUE_BYTES);
    let records = records_of(task, VALUE_BYTES);
    for partitions in PARTITIONS {
        let mut add = |way, per_second| figures.push(Figure::at(way, partitions.into(), per_second));
        let directory = tempfile::tempdir_in(&task.directory)?;
        let log = Log::new(directory.path().join("log"), TopicConfig::new().partitions(partitions))?;
        // The first record to a partition makes its files.
        log.send(&value, partitions.into())?;
        add("send", log.send(&value, records / 2)?);
        add("enqueue", log.enqueue(&value, records)?);
        add("replay", replay(&mut log.reader()?, records + records / 2 + u64::from(partitions))?);
        log.log.close()?;
    }
    Ok(figures)
}
