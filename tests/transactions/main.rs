//! Transactions: what readers see of them, who ends them, and what an open makes of those it finds.

mod ended;
mod opened;
mod positions;
mod writing;

use std::fs;
use std::path::Path;
use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, EventLog, IsolationLevel, Maintenance, ManualClock, OpenOptions, Timestamp,
    Topic,
};

/// A log without background threads and with a manual clock.
pub(crate) fn options() -> (OpenOptions, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    (EventLog::options().maintenance(Maintenance::Manual).clock(clock.clone()), clock)
}

pub(crate) fn open(path: &Path) -> EventLog {
    options().0.open(path).unwrap()
}

/// The values in all partitions of a topic, in order, as a reader of this isolation gets them.
pub(crate) fn values(log: &EventLog, topic: &Topic, isolation: IsolationLevel) -> Vec<String> {
    let mut reader = log.consumer_with(ConsumerConfig::new().isolation(isolation)).unwrap();
    reader.assign(topic.partitions()).unwrap();
    let mut found = rest_of(&mut reader);
    found.sort();
    found
}

pub(crate) fn rest_of(reader: &mut Consumer) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        let value =
            |record: stratalog::RecordView<'_>| String::from_utf8(record.value().unwrap().to_vec()).unwrap();
        found.extend((&records).into_iter().map(value));
    }
}

pub(crate) fn committed(log: &EventLog, topic: &str) -> Vec<String> {
    values(log, &log.topic(topic).unwrap(), IsolationLevel::ReadCommitted)
}

pub(crate) fn all(log: &EventLog, topic: &str) -> Vec<String> {
    values(log, &log.topic(topic).unwrap(), IsolationLevel::ReadUncommitted)
}

/// The directory as the death of the process leaves it: as far as it was written, and nothing closed.
pub(crate) fn killed(path: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            killed(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).unwrap();
        }
    }
}
