//! Snapshots that are made while many threads use the log: each is one point of it, and whole or absent whenever the process
//! ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use stratalog::{Error, EventLog, Maintenance, Topic};

use crate::load::{self, COMPACTED, PLAIN};
use crate::oracle::number_in;

/// How a number that is sent says who sent it: see `Load::write`.
const NUMBERS_OF_A_WRITER: u32 = 28;

/// Numbers that a writer sends in one call, at most.
const OF_A_CALL: u64 = 4;

/// By partition, where it begins and ends.
type Bounds = BTreeMap<u32, (u64, u64)>;

/// Makes a snapshot and compares it. What an earlier one has left has its own name before it is removed: a snapshot that is half
/// removed is none. `false`: the log was closed.
pub fn make(log: &EventLog, plain: &Topic, to: &Path) -> Result<bool, String> {
    let failed = |failure: std::io::Error| format!("an old snapshot: {failure}");
    let old = to.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    if to.exists() {
        fs::rename(to, &old).map_err(failed)?;
        fs::remove_dir_all(&old).map_err(failed)?;
    }
    let before = match bounds(plain) {
        Err(Error::Closed) => return Ok(false),
        before => before.map_err(|failure| format!("before a snapshot: {failure}"))?,
    };
    match log.snapshot_to(to) {
        Ok(_) => {}
        Err(Error::Closed) if !to.exists() => return Ok(false),
        Err(failure) => return Err(format!("a snapshot, which is there: {}: {failure}", to.exists())),
    }
    // Only read: a process that is killed with the snapshot open for writing leaves one that is not clean.
    let copied =
        records_of(&EventLog::open_read_only(to).map_err(|failure| format!("a snapshot: {failure}"))?)?;
    let present = match bounds(plain).and_then(|after| Ok((after, records(log)?))) {
        Err(Error::Closed) => return Ok(true),
        present => present.map_err(|failure| format!("after a snapshot: {failure}"))?,
    };
    one_point(&before, &copied, &present).map(|()| true)
}

/// Opens a snapshot that may be there, which must be whole and clean then.
pub fn compare(snapshot: &Path) -> Result<(), String> {
    if !snapshot.exists() {
        return Ok(());
    }
    let failed = |failure: Error| format!("a snapshot: {failure}");
    let log = load::options(2).maintenance(Maintenance::Manual).open(snapshot).map_err(failed)?;
    if !log.recovery().clean {
        return Err("a snapshot is not clean".into());
    }
    records_of(&log)?;
    log.close().map_err(failed)
}

fn bounds(plain: &Topic) -> stratalog::Result<Bounds> {
    let of = |partition: stratalog::Partition| {
        let offsets = partition.offsets()?;
        Ok((partition.id().partition(), (offsets.log_start, offsets.log_end)))
    };
    plain.partitions().into_iter().map(of).collect()
}

/// By partition and offset, the numbers that were sent.
type Numbers = BTreeMap<(u32, u64), u64>;

fn records_of(log: &EventLog) -> Result<(Bounds, Numbers), String> {
    let failed = |failure: Error| format!("a snapshot: {failure}");
    log.topic(COMPACTED).map_err(failed)?;
    let bounds = bounds(&log.topic(PLAIN).map_err(failed)?).map_err(failed)?;
    let numbers = records(log).map_err(failed)?;
    for (partition, (start, end)) in &bounds {
        let count = numbers.range((*partition, 0)..(*partition + 1, 0)).count() as u64;
        if count != end - start {
            return Err(format!(
                "a snapshot has {count} records of {PLAIN}-{partition}, from {start} to {end}"
            ));
        }
    }
    Ok((bounds, numbers))
}

/// Everything in the plain topic, as far as it is still there.
fn records(log: &EventLog) -> stratalog::Result<Numbers> {
    let mut reader = log.standalone_consumer()?;
    reader.assign(log.topic(PLAIN)?.partitions())?;
    let mut found = Numbers::new();
    loop {
        let polled = match reader.poll(Duration::ZERO) {
            Err(Error::OffsetOutOfRange { .. }) => {
                reader.seek_to_beginning()?;
                continue;
            }
            polled => polled?,
        };
        if polled.is_empty() {
            return Ok(found);
        }
        for record in &polled {
            if let Some(number) = record.value().and_then(number_in) {
                found.insert((record.partition(), record.offset()), number);
            }
        }
    }
}

/// A writer sends its numbers in order, those of one call together, and the next ones after these were acknowledged. So a
/// snapshot with one of them has all of earlier calls that are not deleted.
fn one_point(
    before: &Bounds,
    (bounds, copied): &(Bounds, Numbers),
    (after, present): &(Bounds, Numbers),
) -> Result<(), String> {
    for (partition, (_, end)) in bounds {
        let (least, most) = (before[partition].1, after[partition].1);
        if !(least..=most).contains(end) {
            return Err(format!("a snapshot of {PLAIN}-{partition} ends at {end}, not at {least} to {most}"));
        }
    }
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in copied.values() {
        let of_writer = last.entry(number >> NUMBERS_OF_A_WRITER).or_default();
        *of_writer = (*of_writer).max(*number);
    }
    for ((partition, offset), number) in present {
        let (start, end) = bounds[partition];
        let is_before =
            last.get(&(number >> NUMBERS_OF_A_WRITER)).is_some_and(|last| number + OF_A_CALL <= *last);
        if is_before && *offset >= end {
            return Err(format!(
                "a snapshot has not {PLAIN}-{partition}@{offset}, and what was sent after it"
            ));
        }
        if (start..end).contains(offset) && copied.get(&(*partition, *offset)) != Some(number) {
            return Err(format!("a snapshot has another {PLAIN}-{partition}@{offset}"));
        }
    }
    Ok(())
}
