//! Consumer groups as the records of `__consumer_offsets` have them: the last one of each key counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use stratalog::inspect::{CoordinatorTopic, decode_coordinator_record};
use stratalog::{ConsumerConfig, Error, EventLog, IsolationLevel};

use crate::Outcome;

const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// What was committed, by topic and partition.
    pub(crate) commits: BTreeMap<(String, i64), Commit>,
    /// There is a record of the group itself, with so many members in it.
    classic: Option<usize>,
    /// The same for groups of the newer protocol, whose members have records of their own.
    has_epoch: bool,
    members: BTreeSet<String>,
}

/// What a group has committed for a partition.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) offset: i64,
    pub(super) leader_epoch: Option<i64>,
    pub(super) metadata: String,
    /// The topic's id, if the commit names it.
    topic_id: Option<String>,
}

impl Group {
    /// Kafka's word.
    pub(super) fn state(&self) -> &'static str {
        if self.members.is_empty() && self.classic.unwrap_or(0) == 0 { "Empty" } else { "Stable" }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.classic.is_some() || self.has_epoch || !self.commits.is_empty()
    }
}

/// All groups, by name.
pub(super) fn all(log: &EventLog) -> Outcome<BTreeMap<String, Group>> {
    let topic = match log.topic(OFFSETS_TOPIC) {
        Ok(topic) => topic,
        Err(Error::NotFound { .. }) => return Ok(BTreeMap::new()),
        Err(failure) => return Err(failure.into()),
    };
    let mut groups = BTreeMap::new();
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted).max_poll_records(usize::MAX);
    let mut reader = log.consumer_with(config)?;
    reader.assign(topic.partitions())?;
    reader.seek_to_beginning()?;
    loop {
        let before = reader.positions();
        let records = reader.poll(Duration::ZERO)?;
        for record in &records {
            take(record.key(), record.value(), &mut groups);
        }
        if records.is_empty() && reader.positions() == before {
            break;
        }
    }
    let ids: BTreeMap<String, String> =
        log.topics()?.iter().map(|topic| (topic.name().to_owned(), topic.id().to_string())).collect();
    for group in groups.values_mut() {
        // A commit that names a topic which is gone, or has another id by now, does not count.
        group.commits.retain(|(topic, _), commit| {
            commit.topic_id.is_none() || commit.topic_id.as_ref() == ids.get(topic)
        });
    }
    groups.retain(|_, group: &mut Group| group.is_there());
    Ok(groups)
}

/// Takes the next record. Those of other kinds say nothing that is wanted here.
pub(crate) fn take(key: Option<&[u8]>, value: Option<&[u8]>, groups: &mut BTreeMap<String, Group>) {
    let words = key.map(|key| decode_coordinator_record(CoordinatorTopic::ConsumerOffsets, key, value));
    let Some(Ok(Some((key, value)))) = words else { return };
    let parsed = |words: &str| serde_json::from_str::<Value>(words).ok();
    let Some(key) = parsed(&key) else { return };
    let value = value.as_deref().and_then(parsed);
    let data = value.as_ref().map(|value| &value["data"]);
    let name = |field: &str| key["data"][field].as_str().map(str::to_owned);
    let Some(name_of_group) = name("group").or_else(|| name("groupId")) else { return };
    let group = groups.entry(name_of_group).or_default();
    match key["type"].as_str() {
        Some("0" | "1") => {
            let (Some(topic), Some(partition)) = (name("topic"), key["data"]["partition"].as_i64()) else {
                return;
            };
            match data.and_then(commit) {
                Some(commit) => group.commits.insert((topic, partition), commit),
                None => group.commits.remove(&(topic, partition)),
            };
        }
        Some("2") => group.classic = data.map(|data| data["members"].as_array().map_or(0, Vec::len)),
        Some("3") => group.has_epoch = data.is_some(),
        Some("5") => {
            let Some(member) = name("memberId") else { return };
            if data.is_some() {
                group.members.insert(member);
            } else {
                group.members.remove(&member);
            }
        }
        _ => {}
    }
}

fn commit(data: &Value) -> Option<Commit> {
    Some(Commit {
        offset: data["offset"].as_i64()?,
        leader_epoch: data["leaderEpoch"].as_i64().filter(|epoch| *epoch >= 0),
        metadata: data["metadata"].as_str()?.to_owned(),
        topic_id: data["topicId"].as_str().map(str::to_owned),
    })
}
