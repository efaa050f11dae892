//! A reader of a directory that others write, from its own view of it: it sees each record once, in order, as it was sent,
//! while writers come, are killed, recover and close.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stratalog::{Consumer, Error, EventLog, Position, Records};

use crate::load::PLAIN;
use crate::oracle::number_in;

/// After so long a reader that sees nothing new never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads until `stop`. With `polls` the directory is opened anew after so many. Gives how many records were read.
pub fn tail(root: &Path, polls: u64, stop: &AtomicBool) -> Result<u64, String> {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        // Before the first writer there is no log, or no topic in it.
        let Ok(log) = EventLog::open_read_only(root) else {
            std::thread::yield_now();
            continue;
        };
        let Ok(topic) = log.topic(PLAIN) else { continue };
        let failed = |failure: Error| format!("a reader: {failure}");
        let mut reader = log.standalone_consumer().map_err(failed)?;
        reader.assign(topic.partitions()).map_err(failed)?;
        let mut last = BTreeMap::new();
        for _ in 0..polls {
            match reader.poll(Duration::from_millis(1)) {
                Ok(records) => count += checked(&records, &mut last)?,
                Err(Error::OffsetOutOfRange { at, valid }) => {
                    begin_again(&mut reader, &at, valid, &mut last).map_err(failed)?;
                }
                Err(failure) => return Err(failed(failure)),
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        if polls == u64::MAX {
            count += to_the_end(root, &mut reader, &mut last)?;
        }
    }
    Ok(count)
}

/// The last writer is dead: what it has left is read to the end, by the reader that was there all the time.
fn to_the_end(root: &Path, reader: &mut Consumer, last: &mut BTreeMap<u32, u64>) -> Result<u64, String> {
    let failed = |failure: Error| format!("a reader at the end: {failure}");
    let now = EventLog::open_read_only(root).map_err(failed)?;
    let (mut count, until) = (0, Instant::now() + PATIENCE);
    for partition in now.topic(PLAIN).map_err(failed)?.partitions() {
        let end = partition.offsets().map_err(failed)?.log_end;
        while reader.position(partition.id()).map_err(failed)?.offset() < end {
            match reader.poll(Duration::from_millis(20)) {
                Ok(records) => count += checked(&records, last)?,
                Err(Error::OffsetOutOfRange { at, valid }) => {
                    begin_again(reader, &at, valid, last).map_err(failed)?;
                }
                Err(failure) => return Err(failed(failure)),
            }
            if Instant::now() > until {
                let position = reader.position(partition.id()).map_err(failed)?.offset();
                return Err(format!(
                    "a reader sees {} up to {position}, and it ends at {end}",
                    partition.id()
                ));
            }
        }
    }
    Ok(count)
}

fn checked(records: &Records, last: &mut BTreeMap<u32, u64>) -> Result<u64, String> {
    let mut count = 0;
    for record in records {
        let (partition, offset) = (record.partition(), record.offset());
        if record.value().and_then(number_in).is_none() {
            return Err(format!("a reader: {partition}@{offset} was not sent"));
        }
        if let Some(before) = last.insert(partition, offset).filter(|before| before + 1 != offset) {
            return Err(format!("a reader: {partition}@{offset} comes after {before}"));
        }
        count += 1;
    }
    Ok(count)
}

/// Records that were deleted before a reader give an error, and are never skipped.
fn begin_again(
    reader: &mut Consumer,
    at: &Position,
    valid: std::ops::Range<u64>,
    last: &mut BTreeMap<u32, u64>,
) -> stratalog::Result<()> {
    last.remove(&at.topic_partition().partition());
    reader.seek(Position::new(at.topic_partition(), valid.start))
}
