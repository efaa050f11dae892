//! Over the consumers of one partition, each of which reads all of it meanwhile.

use std::thread;

use stratalog::TopicConfig;

use super::{Log, VALUE_BYTES, read, records_of, value};
use crate::Result;
use crate::clock::{seconds, ticks};
use crate::results::Figure;
use crate::work::Task;

const CONSUMERS: [u64; 3] = [1, 4, 16];

pub(crate) fn run(task: &Task) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let value = value(VALUE_BYTES);
    let records = records_of(task, VALUE_BYTES);
    for consumers in CONSUMERS {
        let directory = tempfile::tempdir_in(&task.directory)?;
        let log = Log::new(directory.path().join("log"), TopicConfig::new())?;
        let begin = ticks();
        thread::scope(|scope| {
            let reading: Vec<_> =
                (0..consumers).map(|_| scope.spawn(|| read(&mut log.reader()?, records))).collect();
            log.enqueue(&value, records)?;
            reading.into_iter().try_for_each(|thread| thread.join().expect("a consumer"))
        })?;
        let per_second = records as f64 / seconds(ticks() - begin);
        log.log.close()?;
        figures.push(Figure::at("produced", consumers, per_second));
        figures.push(Figure::at("delivered", consumers, per_second * consumers as f64));
    }
    Ok(figures)
}
