//! Over the segments of a partition: finding records in it.

use std::time::Duration;

use stratalog::{Position, ProducerConfig, Record, Timestamp, TopicConfig};

use super::{Log, VALUE_BYTES, value};
use crate::clock::{nanoseconds, ticks};
use crate::results::Figure;
use crate::work::Task;
use crate::{Failure, Result};

const SEGMENTS: [u64; 3] = [1, 100, 1000];
const LOOKUPS: u64 = 2000;
const BATCH_BYTES: usize = 16 << 10;
/// Records are a millisecond apart, so a batch is older than this and the next one begins a segment.
const SEGMENT_AGE: Duration = Duration::from_millis(100);
const BEGIN: i64 = 1_700_000_000_000;

pub(crate) fn run(task: &Task) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for segments in SEGMENTS {
        let directory = tempfile::tempdir_in(&task.directory)?;
        let config = TopicConfig::new().segment_age(SEGMENT_AGE).retention(None);
        let log = Log::new(directory.path().join("log"), config)?;
        let records = fill(&log, segments)?;
        let partition = log.topic.partition(0)?;
        let mut consumer = log.reader()?;
        let mut random = 88_172_645_463_325_252_u64;
        let mut any = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % records
        };

        let begin = ticks();
        for _ in 0..LOOKUPS {
            consumer.seek(Position::new(partition.id(), any()))?;
            if consumer.poll(Duration::from_secs(5))?.is_empty() {
                return Err(Failure::from("a record is missing"));
            }
        }
        figures.push(Figure::at("seek and poll µs", segments, each(begin)));
        let begin = ticks();
        for _ in 0..LOOKUPS {
            let at = any();
            if partition.offset_for_time(Timestamp::from_millis(BEGIN + at as i64))? != Some(at) {
                return Err(Failure::from("another offset is at this time"));
            }
        }
        figures.push(Figure::at("offset_for_time µs", segments, each(begin)));
        drop(consumer);
        log.log.close()?;
    }
    Ok(figures)
}

/// Microseconds of each lookup.
fn each(since: u64) -> f64 {
    nanoseconds(ticks() - since) as f64 / 1e3 / LOOKUPS as f64
}

/// Until there are so many segments. How many records that takes.
fn fill(log: &Log, segments: u64) -> Result<u64> {
    let value = value(VALUE_BYTES);
    let config = ProducerConfig::new().batch_bytes(BATCH_BYTES).linger(Duration::MAX);
    let mut producer = log.log.producer_with(config)?.buffered();
    let partition = log.topic.partition(0)?;
    let mut records = 0_u64;
    while (partition.segments()?.len() as u64) < segments || records < 100 {
        for _ in 0..100 {
            let at = Timestamp::from_millis(BEGIN + records as i64);
            producer.enqueue(&log.topic, Record::new(&value).key(&records.to_be_bytes()).timestamp(at))?;
            records += 1;
        }
        producer.flush()?;
    }
    Ok(records)
}
