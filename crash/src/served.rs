//! What is served of a directory, by a log of this process or by a broker: topics, records, committed positions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use stratalog::{Error, EventLog, Position, TopicPartition};

use crate::oracle::{Oracle, Sent, number_in};

#[derive(Debug, Default)]
pub struct Served {
    /// By id: name, and how many partitions. Kafka's own topics are left out.
    pub topics: BTreeMap<String, (String, usize)>,
    pub partitions: BTreeMap<(String, u32), Shown>,
    /// By group, topic and partition.
    pub commits: BTreeMap<(String, String, u32), u64>,
}

#[derive(Debug, Default)]
pub struct Shown {
    pub start: u64,
    pub end: u64,
    pub records: BTreeMap<u64, Seen>,
    /// Where reading was stopped because records are missing.
    pub stop: Option<u64>,
    /// Offsets of which recovery says that they are missing.
    pub missing: Vec<Range<u64>>,
}

/// A record as it is read. `number: None` is a tombstone.
#[derive(Debug)]
pub struct Seen {
    pub key: Option<u32>,
    pub number: Option<u64>,
    pub length: usize,
}

impl Seen {
    pub fn of(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, String> {
        let number = value.map(|value| number_in(value).ok_or("bytes that were never sent")).transpose()?;
        let key =
            key.map(|key| <[u8; 4]>::try_from(key).map_err(|_| format!("the key {key:?}"))).transpose()?;
        Ok(Self { key: key.map(u32::from_be_bytes), number, length: value.map_or(0, <[u8]>::len) })
    }

    pub fn sent(&self) -> Sent {
        Sent { key: self.key.unwrap_or(0), number: self.number, length: self.length }
    }
}

impl Shown {
    /// Takes a record, which must come after the others and lie in the log.
    pub fn take(&mut self, offset: u64, seen: Seen) -> Result<(), String> {
        let last = self.records.keys().next_back();
        if offset < self.start || offset >= self.end || last.is_some_and(|last| *last >= offset) {
            return Err(format!("{offset} is read after {last:?}, of {} to {}", self.start, self.end));
        }
        self.records.insert(offset, seen);
        Ok(())
    }
}

impl Served {
    pub fn of(log: &EventLog, oracle: &Oracle) -> Result<Self, String> {
        let mut served = Self::default();
        for topic in log.topics().map_err(|failure| format!("topics: {failure}"))? {
            if topic.name() == "__consumer_offsets" {
                continue;
            }
            let partitions = topic.partitions();
            served.topics.insert(topic.id().to_string(), (topic.name().to_owned(), partitions.len()));
            for partition in partitions {
                let at = partition.id();
                let offsets = partition.offsets().map_err(|failure| format!("{at}: {failure}"))?;
                let mut shown = Shown { start: offsets.log_start, end: offsets.log_end, ..Shown::default() };
                read(log, at, &mut shown).map_err(|reason| format!("{at}: {reason}"))?;
                let recovered = log.recovery().partitions.iter().filter(|found| found.partition == *at);
                shown.missing = recovered
                    .flat_map(|found| &found.missing)
                    .map(|missing| missing.offsets.clone())
                    .collect();
                served.partitions.insert((at.topic().to_owned(), at.partition()), shown);
            }
        }
        let groups: BTreeSet<&String> = oracle.commits.keys().map(|(group, _, _)| group).collect();
        for group in groups {
            let positions = log.group(group).and_then(|group| group.committed());
            for position in positions.map_err(|failure| format!("what {group} has committed: {failure}"))? {
                let at = position.topic_partition();
                let place = (group.clone(), at.topic().to_owned(), at.partition());
                served.commits.insert(place, position.offset());
            }
        }
        Ok(served)
    }
}

fn read(log: &EventLog, at: &TopicPartition, shown: &mut Shown) -> Result<(), String> {
    let mut reader = log.standalone_consumer().map_err(|failure| format!("reader: {failure}"))?;
    reader.assign([at.clone()]).map_err(|failure| format!("assign: {failure}"))?;
    loop {
        let polled = match reader.poll(Duration::ZERO) {
            Ok(polled) if polled.is_empty() => return Ok(()),
            Ok(polled) => polled,
            Err(Error::Corrupt(damage)) if damage.resume_at().is_some() && damage.offset.is_some() => {
                shown.stop = damage.offset.as_ref().map(Position::offset);
                return Ok(());
            }
            Err(failure) => {
                return Err(format!("poll after {:?}: {failure}", shown.records.keys().next_back()));
            }
        };
        for record in &polled {
            let offset = record.offset();
            let seen = Seen::of(record.key(), record.value());
            shown.take(offset, seen.map_err(|reason| format!("{offset} holds {reason}"))?)?;
        }
    }
}
