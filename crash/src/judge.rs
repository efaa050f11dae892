//! Compares a log with the oracle, and gives the oracle of what was found: from there on that must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stratalog::{Error, EventLog, Position, Topic, TopicPartition};

use crate::oracle::{Commits, Oracle, Partition, Sent, Sort, Stage, number_in};

/// What has happened to the log before it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Close,
    /// The process has died: what was acknowledged is there.
    Kill,
    /// The power was cut: what was durable is there.
    Power,
    /// The same, and the log was opened to be read.
    PowerReader,
}

impl After {
    fn is_power(self) -> bool {
        matches!(self, Self::Power | Self::PowerReader)
    }
}

type Verdict<T> = Result<T, String>;

macro_rules! wrong {
    ($($text:tt)*) => { return Err(format!($($text)*)) };
}

pub fn judge(log: &EventLog, oracle: &Oracle, after: After) -> Verdict<Oracle> {
    let failed: Vec<String> = log.recovery().failed.iter().map(ToString::to_string).collect();
    if !failed.is_empty() {
        wrong!("recovery failed: {failed:?}");
    }
    let mut found = oracle.clone();
    found.reopened();
    topics(log, oracle, &mut found, after)?;
    for (number, topic) in found.topics.iter_mut().enumerate().filter(|(_, topic)| topic.stage == Stage::Live)
    {
        for partition in 0..topic.partitions.len() {
            let expected = &oracle.topics[number].partitions[partition];
            let at = TopicPartition::from((topic.name.as_str(), partition as u32));
            topic.partitions[partition] = partition_of(log, &at, topic.sort, expected, after)?;
        }
    }
    commits(log, oracle, &mut found, after)?;
    Ok(found)
}

fn topics(log: &EventLog, oracle: &Oracle, found: &mut Oracle, after: After) -> Verdict<()> {
    let there = log.topics().map_err(|failure| format!("topics: {failure}"))?;
    let there: BTreeMap<String, Topic> =
        there.into_iter().map(|topic| (topic.id().to_string(), topic)).collect();
    let known: BTreeSet<&String> = oracle.topics.iter().filter_map(|topic| topic.id.as_ref()).collect();
    let mut expected = BTreeSet::new();
    for (topic, found) in oracle.topics.iter().zip(&mut found.topics) {
        // Before its creation is acknowledged its id is unknown.
        let is_new = |id: &String, name: &str| !known.contains(id) && name == topic.name;
        let present = match &topic.id {
            Some(id) => there.get(id),
            None if topic.stage == Stage::Gone => None,
            None => there.iter().find(|(id, topic)| is_new(id, topic.name())).map(|(_, topic)| topic),
        };
        let Some(present) = present else {
            if topic.stage == Stage::Live {
                wrong!("topic {} {:?} is lost ({after:?})", topic.name, topic.id);
            }
            found.stage = Stage::Gone;
            continue;
        };
        if topic.stage == Stage::Gone {
            wrong!("topic {} {:?} is back ({after:?})", topic.name, topic.id);
        }
        expected.insert(present.id().to_string());
        found.id = Some(present.id().to_string());
        found.stage = Stage::Live;
        let (count, most) = (present.partitions().len(), topic.partitions.len());
        if !(topic.partitions_acked..=most).contains(&count) {
            wrong!("topic {} has {count} partitions, not {} to {most}", topic.name, topic.partitions_acked);
        }
        found.partitions.truncate(count);
        found.partitions_acked = count;
    }
    let is_ours =
        |topic: &Topic| topic.name() == "__consumer_offsets" || expected.contains(&topic.id().to_string());
    match there.values().find(|topic| !is_ours(topic)) {
        Some(extra) => {
            wrong!("topic {} {} was not asked for", extra.name(), extra.id())
        }
        None => Ok(()),
    }
}

fn partition_of(
    log: &EventLog,
    at: &TopicPartition,
    sort: Sort,
    expected: &Partition,
    after: After,
) -> Verdict<Partition> {
    let partition = log.topic(at.topic()).and_then(|topic| topic.partition(at.partition()));
    let offsets =
        partition.and_then(|partition| partition.offsets()).map_err(|failure| format!("{at}: {failure}"))?;
    let (start, end) = (offsets.log_start, offsets.log_end);
    let least = if after.is_power() { expected.durable } else { expected.acked };
    let most = if expected.open_ended { usize::MAX } else { expected.values.len() };
    if end < least as u64 || end > most as u64 {
        wrong!("{at} ends at {end}: {least} must be there, and {most} were sent ({after:?})");
    }
    let starts = expected.start_least..=expected.start_most.max(expected.start_least);
    if !starts.contains(&start) {
        wrong!("{at} begins at {start}, and should at one of {starts:?} ({after:?})");
    }
    let (read, end) = match records(log, at, sort, start, end, expected)? {
        // A reader repairs nothing: it reads what was durable, and then gets an error that names what is missing.
        (read, Some(stop)) if after == After::PowerReader && stop >= least as u64 => (read, stop),
        (_, Some(stop)) => {
            wrong!("{at}: records are missing from {stop} on, of {start} to {end} ({after:?})")
        }
        (read, None) => (read, end),
    };
    let offsets: Vec<u64> = read.keys().copied().collect();
    let mut values = expected.values.clone();
    if sort == Sort::Compacted {
        let lost = last_values(at, start..end, expected, &read, after)?;
        let recovered = log.recovery().partitions.iter().find(|found| found.partition == *at);
        // A reader loads partitions when they are used, and reports then.
        if let (Some((offset, _)), false) = (lost.first(), after == After::PowerReader) {
            let is_reported = |offset: u64| {
                let mut missing = recovered.iter().flat_map(|found| &found.missing);
                missing.any(|missing| missing.offsets.contains(&offset))
            };
            if !is_reported(*offset) {
                wrong!("{at}: {lost:?} are lost, in front of the end, and recovery() does not report it");
            }
        }
        for (offset, _) in lost {
            values[offset as usize] = None;
        }
    } else if offsets != (start..end).collect::<Vec<_>>() {
        let hole = offsets.iter().zip(start..).find(|(offset, wanted)| **offset != *wanted);
        wrong!(
            "{at}: {} records are read of {start} to {end}; the first that is missing: {hole:?}",
            read.len()
        );
    }
    values.resize(end as usize, None);
    for (offset, sent) in read {
        values[offset as usize] = Some(sent);
    }
    Ok(Partition {
        values,
        acked: end as usize,
        durable: expected.durable.min(end as usize),
        start_least: start,
        start_most: if expected.open_ended { expected.start_most.max(start) } else { start },
        open_ended: expected.open_ended,
        poisoned: false,
    })
}

/// Reads everything, each record of which must be one that was sent there. With it comes where reading was stopped because
/// records are missing.
fn records(
    log: &EventLog,
    at: &TopicPartition,
    sort: Sort,
    start: u64,
    end: u64,
    expected: &Partition,
) -> Verdict<(BTreeMap<u64, Sent>, Option<u64>)> {
    let mut reader = log.reader().map_err(|failure| format!("{at}: reader: {failure}"))?;
    reader.assign([at.clone()]).map_err(|failure| format!("{at}: assign: {failure}"))?;
    let mut read = BTreeMap::new();
    loop {
        let polled = match reader.poll(Duration::ZERO) {
            Ok(polled) if polled.is_empty() => return Ok((read, None)),
            Ok(polled) => polled,
            Err(Error::Corrupt(damage)) if damage.resume_at().is_some() && damage.offset.is_some() => {
                return Ok((read, damage.offset.as_ref().map(Position::offset)));
            }
            Err(failure) => wrong!("{at}: poll after {:?}: {failure}", read.keys().next_back()),
        };
        for record in &polled {
            let offset = record.offset();
            if offset < start || offset >= end || read.keys().next_back().is_some_and(|last| *last >= offset)
            {
                wrong!("{at}@{offset} is read after {:?}, of {start} to {end}", read.keys().next_back());
            }
            let number = match record.value().map(number_in) {
                None => None,
                Some(Some(number)) => Some(number),
                Some(None) => wrong!("{at}@{offset} holds bytes that were never sent"),
            };
            let key = match (sort, record.key().map(<[u8; 4]>::try_from)) {
                (Sort::Compacted, Some(Ok(key))) => u32::from_be_bytes(key),
                (Sort::Compacted, other) => wrong!("{at}@{offset} has the key {other:?}"),
                _ => 0,
            };
            let length = record.value().map_or(0, <[u8]>::len);
            if let Some(Some(sent)) = expected.values.get(offset as usize) {
                let same_key = sort != Sort::Compacted || sent.key == key;
                if sent.number != number || !same_key || sent.value().map_or(0, |value| value.len()) != length
                {
                    wrong!("{at}@{offset} is {number:?} with key {key}, not {sent:?}");
                }
            }
            read.insert(offset, Sent { key, number, length });
        }
    }
}

/// Of a compacted partition the last record of each key must be there, or a later one of the key; a tombstone need not be.
/// After a power cut that holds for what was durable: a partition that may have been compacted is not cut where a segment
/// has lost its end. What is lost in this way is given back.
fn last_values(
    at: &TopicPartition,
    range: std::ops::Range<u64>,
    expected: &Partition,
    read: &BTreeMap<u64, Sent>,
    after: After,
) -> Verdict<Vec<(u64, Sent)>> {
    let durable = if after.is_power() { expected.durable as u64 } else { range.end };
    let mut last: BTreeMap<u32, (u64, Sent)> = BTreeMap::new();
    let mut last_read: BTreeMap<u32, u64> = BTreeMap::new();
    let sent = expected.values.iter().zip(0..).filter_map(|(sent, offset)| Some((offset, (*sent)?)));
    let mut lost = Vec::new();
    for (offset, sent) in read {
        last_read.insert(sent.key, *offset);
    }
    for (offset, sent) in sent.filter(|(offset, _)| range.contains(offset)) {
        let later = last_read.get(&sent.key).is_some_and(|read| *read >= offset);
        if offset < durable {
            last.insert(sent.key, (offset, sent));
        } else if !later && sent.number.is_some() {
            lost.push((offset, sent));
        }
    }
    for (key, (offset, sent)) in last {
        let later = last_read.get(&key).is_some_and(|read| *read >= offset);
        if sent.number.is_some() && !later {
            wrong!(
                "{at}: the last value of key {key}, {sent:?} at {offset}, is lost; {} are there",
                read.len()
            );
        }
    }
    Ok(lost)
}

fn commits(log: &EventLog, oracle: &Oracle, found: &mut Oracle, after: After) -> Verdict<()> {
    let groups: BTreeSet<&String> = oracle.commits.keys().map(|(group, _, _)| group).collect();
    let mut committed = BTreeMap::new();
    for group in groups {
        let positions = log.group(group).and_then(|group| group.committed());
        for position in positions.map_err(|failure| format!("what {group} has committed: {failure}"))? {
            let at = position.partition();
            // Of a topic that is gone: harmless, unless a later one gets it.
            let Some(topic) = found.named(at.topic()) else { continue };
            committed.insert((group.clone(), topic, at.partition()), position.offset());
        }
    }
    for (place @ (group, topic, partition), offset) in &committed {
        let topic = &found.topics[*topic];
        if !oracle.commits.contains_key(place) {
            wrong!("{group} has committed {offset} of {}-{partition}, and never did", topic.name);
        }
        let end =
            topic.partitions.get(*partition as usize).map_or(0, |partition| partition.values.len() as u64);
        // An open for writing lowers it.
        if *offset > end && after != After::PowerReader {
            wrong!("{group} has committed {offset} of {}-{partition}, which ends at {end}", topic.name);
        }
    }
    for (place, commits) in &oracle.commits {
        let (group, number, partition) = place;
        let topic = &found.topics[*number];
        if topic.stage != Stage::Live {
            found.commits.remove(place);
            continue;
        }
        let Some(there) = topic.partitions.get(*partition as usize) else { continue };
        let at = format!("{}-{partition}", topic.name);
        let next = next_commits(commits, committed.get(place).copied(), there.values.len() as u64, after);
        found
            .commits
            .insert(place.clone(), next.map_err(|reason| format!("{group}, {at}: {reason} ({after:?})"))?);
    }
    Ok(())
}

fn next_commits(commits: &Commits, committed: Option<u64>, end: u64, after: After) -> Verdict<Commits> {
    let sure = if after.is_power() { commits.durable } else { commits.acked };
    // After a power cut an open for writing lowers a position above the log end to it.
    let history = &commits.history[sure.saturating_sub(1)..];
    let raw = history.iter().filter(|_| after == After::PowerReader).copied();
    let possible: Vec<u64> = history.iter().map(|offset| *offset.min(&end)).chain(raw).collect();
    match committed {
        None if sure > 0 => wrong!("the commit of {} is lost", commits.history[sure - 1]),
        Some(offset) if !possible.contains(&offset) => {
            wrong!("{offset} is committed, not one of {possible:?}")
        }
        _ => {}
    }
    // Everything between what is durable and what is found may still be what a power cut leaves.
    let Some(offset) = committed else { return Ok(Commits::default()) };
    let last = commits.history.iter().rposition(|committed| *committed.min(&end) == offset).unwrap_or(0);
    let history: Vec<u64> = match after {
        After::Power | After::PowerReader => vec![offset],
        _ => {
            commits.history[commits.durable.saturating_sub(1)..=last].iter().map(|it| *it.min(&end)).collect()
        }
    };
    let durable = commits.durable.min(1);
    Ok(Commits { acked: history.len(), durable, history })
}
