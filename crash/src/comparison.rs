//! Compares what is served with the oracle, and gives the oracle of what was found: from there on that must be there.

use std::collections::{BTreeMap, BTreeSet};

use stratalog::EventLog;

use crate::oracle::{Commits, Oracle, Partition, Sent, Sort, Stage};
use crate::served::{Served, Shown};

/// What has happened to the directory before it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Close,
    /// The process has died: what was acknowledged is there.
    Kill,
    /// The power was cut: what was durable is there.
    Power,
    /// The same, and the log was opened to be read.
    PowerReader,
    /// The same, and a broker was started on what is left.
    PowerBroker,
}

impl After {
    fn is_power(self) -> bool {
        matches!(self, Self::Power | Self::PowerReader | Self::PowerBroker)
    }

    /// Whether the open makes positions fit the log, and `recovery` says at once what is missing.
    fn is_ours_to_write(self) -> bool {
        !matches!(self, Self::PowerReader | Self::PowerBroker)
    }
}

type Comparison<T> = Result<T, String>;

macro_rules! wrong {
    ($($text:tt)*) => { return Err(format!($($text)*)) };
}

pub fn compare(log: &EventLog, oracle: &Oracle, after: After) -> Comparison<Oracle> {
    let failed: Vec<String> = log.recovery().failed.iter().map(ToString::to_string).collect();
    if !failed.is_empty() {
        wrong!("recovery failed: {failed:?}");
    }
    compare_served(&Served::of(log, oracle)?, oracle, after)
}

pub fn compare_served(served: &Served, oracle: &Oracle, after: After) -> Comparison<Oracle> {
    let mut found = oracle.clone();
    found.reopened();
    topics(served, oracle, &mut found, after)?;
    for (number, topic) in found.topics.iter_mut().enumerate().filter(|(_, topic)| topic.stage == Stage::Live)
    {
        for partition in 0..topic.partitions.len() {
            let expected = &oracle.topics[number].partitions[partition];
            let at = format!("{}-{partition}", topic.name);
            let shown = served.partitions.get(&(topic.name.clone(), partition as u32));
            let shown = shown.ok_or_else(|| format!("{at} is not served"))?;
            topic.partitions[partition] = partition_of(shown, &at, topic.sort, expected, after)?;
        }
    }
    commits(served, oracle, &mut found, after)?;
    Ok(found)
}

fn topics(served: &Served, oracle: &Oracle, found: &mut Oracle, after: After) -> Comparison<()> {
    let there = &served.topics;
    let known: BTreeSet<&String> = oracle.topics.iter().filter_map(|topic| topic.id.as_ref()).collect();
    let mut expected = BTreeSet::new();
    for (topic, found) in oracle.topics.iter().zip(&mut found.topics) {
        // Before its creation is acknowledged its id is unknown.
        let is_new = |id: &String, name: &str| !known.contains(id) && name == topic.name;
        let present = match &topic.id {
            Some(id) => there.get_key_value(id),
            None if topic.stage == Stage::Gone => None,
            None => there.iter().find(|(id, (name, _))| is_new(id, name)),
        };
        let Some((id, (_, count))) = present else {
            if topic.stage == Stage::Live {
                wrong!("topic {} {:?} is lost ({after:?})", topic.name, topic.id);
            }
            found.stage = Stage::Gone;
            continue;
        };
        if topic.stage == Stage::Gone {
            wrong!("topic {} {:?} is back ({after:?})", topic.name, topic.id);
        }
        expected.insert(id);
        found.id = Some(id.clone());
        found.stage = Stage::Live;
        let most = topic.partitions.len();
        if !(topic.partitions_acked..=most).contains(count) {
            wrong!("topic {} has {count} partitions, not {} to {most}", topic.name, topic.partitions_acked);
        }
        found.partitions.truncate(*count);
        found.partitions_acked = *count;
    }
    match there.iter().find(|(id, _)| !expected.contains(id)) {
        Some((id, (name, _))) => wrong!("topic {name} {id} was not asked for"),
        None => Ok(()),
    }
}

fn partition_of(
    shown: &Shown,
    at: &str,
    sort: Sort,
    expected: &Partition,
    after: After,
) -> Comparison<Partition> {
    let (start, end) = (shown.start, shown.end);
    let least = if after.is_power() { expected.durable } else { expected.acked };
    let most = if expected.open_ended { usize::MAX } else { expected.values.len() };
    if end < least as u64 || end > most as u64 {
        wrong!("{at} ends at {end}: {least} must be there, and {most} were sent ({after:?})");
    }
    let starts = expected.start_least..=expected.start_most.max(expected.start_least);
    if !starts.contains(&start) {
        wrong!("{at} begins at {start}, and should at one of {starts:?} ({after:?})");
    }
    let read = records(shown, at, sort, expected)?;
    let end = match shown.stop {
        // A reader repairs nothing: it reads what was durable, and then gets an error that names what is missing.
        Some(stop) if after == After::PowerReader && stop >= least as u64 => stop,
        Some(stop) => wrong!("{at}: records are missing from {stop} on, of {start} to {end} ({after:?})"),
        None => end,
    };
    let offsets: Vec<u64> = read.keys().copied().collect();
    let mut values = expected.values.clone();
    if sort == Sort::Compacted {
        let lost = last_values(at, start..end, expected, &read, after)?;
        // A reader loads partitions when they are used, and reports then.
        let is_reported = |offset: &u64| shown.missing.iter().any(|missing| missing.contains(offset));
        if after.is_ours_to_write() && lost.first().is_some_and(|(offset, _)| !is_reported(offset)) {
            wrong!("{at}: {lost:?} are lost, before the end, and recovery() does not report it");
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

/// Each record must be one that was sent there.
fn records(shown: &Shown, at: &str, sort: Sort, expected: &Partition) -> Comparison<BTreeMap<u64, Sent>> {
    let mut read = BTreeMap::new();
    for (offset, seen) in &shown.records {
        if (sort == Sort::Compacted) != seen.key.is_some() {
            wrong!("{at}@{offset} has the key {:?}", seen.key);
        }
        let found = seen.sent();
        if let Some(Some(sent)) = expected.values.get(*offset as usize) {
            let same_key = sort != Sort::Compacted || sent.key == found.key;
            let length = sent.value().map_or(0, |value| value.len());
            if sent.number != found.number || !same_key || length != found.length {
                wrong!("{at}@{offset} is {found:?}, not {sent:?}");
            }
        }
        read.insert(*offset, found);
    }
    Ok(read)
}

/// Of a compacted partition the last record of each key must be there, or a later one of the key; a tombstone need not be.
/// After a power cut that holds for what was durable: a partition that may have been compacted is not cut where a segment
/// has lost its end. What is lost in this way is given back.
fn last_values(
    at: &str,
    range: std::ops::Range<u64>,
    expected: &Partition,
    read: &BTreeMap<u64, Sent>,
    after: After,
) -> Comparison<Vec<(u64, Sent)>> {
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

fn commits(served: &Served, oracle: &Oracle, found: &mut Oracle, after: After) -> Comparison<()> {
    let mut committed = BTreeMap::new();
    for ((group, topic, partition), offset) in &served.commits {
        // Of a topic that is gone: harmless, unless a later one gets it.
        let Some(topic) = found.named(topic) else { continue };
        committed.insert((group.clone(), topic, *partition), *offset);
    }
    for (place @ (group, topic, partition), offset) in &committed {
        let topic = &found.topics[*topic];
        if !oracle.commits.contains_key(place) {
            wrong!("{group} has committed {offset} of {}-{partition}, and never did", topic.name);
        }
        let end =
            topic.partitions.get(*partition as usize).map_or(0, |partition| partition.values.len() as u64);
        // An open for writing lowers it.
        if *offset > end && after.is_ours_to_write() {
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

fn next_commits(commits: &Commits, committed: Option<u64>, end: u64, after: After) -> Comparison<Commits> {
    let sure = if after.is_power() { commits.durable } else { commits.acked };
    // After a power cut an open for writing lowers a position above the log end to it.
    let lowered = |position: &Option<u64>| position.map(|offset| offset.min(end));
    let history = &commits.history[sure.saturating_sub(1)..];
    let mut possible: Vec<Option<u64>> = history.iter().map(lowered).collect();
    possible.extend(history.iter().filter(|_| !after.is_ours_to_write()).copied());
    possible.extend((sure == 0).then_some(None));
    if !possible.contains(&committed) {
        wrong!("{committed:?} is committed, not one of {possible:?}");
    }
    // Everything between what is durable and what is found may still be what a power cut leaves.
    let Some(last) = commits.history.iter().rposition(|position| lowered(position) == committed) else {
        // Above the end, as a reader or a broker shows it; or nothing.
        let history: Vec<_> = committed.map(Some).into_iter().collect();
        return Ok(Commits { acked: history.len(), durable: commits.durable.min(history.len()), history });
    };
    let history: Vec<_> = match after {
        _ if after.is_power() => vec![committed],
        _ => commits.history[commits.durable.saturating_sub(1)..=last].iter().map(lowered).collect(),
    };
    let durable = commits.durable.min(1);
    Ok(Commits { acked: history.len(), durable, history })
}
