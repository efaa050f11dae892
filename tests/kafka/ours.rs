//! What we say of an open log, in the words of `kafka-adopt`.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use stratalog::{ConsumerConfig, EventLog, IsolationLevel, Partition, RecordView, TimestampType, Topic};

use crate::reference::Served;

/// Values longer than this are given as a digest.
const MAX_HEX: usize = 256;

/// All topics and records.
pub(crate) fn everything(log: &EventLog) -> Served {
    let mut all = Served::default();
    for topic in log.topics().unwrap() {
        let description = describe(&topic);
        if description["internal"] == false {
            all.records.extend(records(log, &topic));
        }
        all.topics.push(description);
    }
    all
}

/// Committed offsets of all groups, none of which has members. What committers want to remember is not shown here.
pub(crate) fn groups(log: &EventLog) -> Vec<Value> {
    let groups = log.groups().unwrap().into_iter().map(|group| {
        let committed = group.committed().unwrap();
        let offsets: Vec<_> = committed
            .iter()
            .map(|position| {
                let of = position.topic_partition();
                json!({
                    "topic": of.topic(), "partition": of.partition(), "offset": position.offset(),
                    "leaderEpoch": position.leader_epoch(),
                })
            })
            .collect();
        json!({ "type": "group", "group": group.name(), "state": "Empty", "offsets": offsets })
    });
    groups.collect()
}

/// What a broker says of groups, without what is not shown here.
pub(crate) fn without_metadata(groups: &[Value]) -> Vec<Value> {
    let mut groups = groups.to_vec();
    for group in &mut groups {
        for offset in group["offsets"].as_array_mut().unwrap() {
            offset.as_object_mut().unwrap().remove("metadata");
        }
    }
    groups
}

fn describe(topic: &Topic) -> Value {
    let description = topic.describe().unwrap();
    let configs: Map<_, _> =
        description.config.entries().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut partitions = Vec::new();
    for (known, handle) in description.partitions.iter().zip(topic.partitions()) {
        let offsets = handle.offsets().unwrap();
        let hw = offsets.high_watermark;
        assert_eq!((known.partition, hw), (handle.id().partition(), offsets.log_end));
        if description.internal && hw == 0 {
            continue;
        }
        partitions.push(json!({
            "partition": known.partition, "leader": known.leader, "isr": known.isr.len(),
            "start": offsets.log_start, "lso": offsets.last_stable, "hw": hw,
        }));
    }
    json!({
        "type": "topic", "topic": description.name, "id": description.id.to_string(), "internal": description.internal,
        "partitionCount": description.partitions.len(), "configs": configs, "partitions": partitions,
    })
}

/// All records of a topic, each with whether it is given to those who want committed ones.
fn records(log: &EventLog, topic: &Topic) -> Vec<Value> {
    let mut records = Vec::new();
    for partition in topic.partitions() {
        let mut committed = BTreeSet::new();
        read(log, &partition, IsolationLevel::ReadCommitted, |record| {
            committed.insert(record.offset());
        });
        read(log, &partition, IsolationLevel::ReadUncommitted, |one| {
            records.push(record(one, committed.contains(&one.offset())));
        });
    }
    records
}

fn read(log: &EventLog, of: &Partition, level: IsolationLevel, mut each: impl FnMut(RecordView<'_>)) {
    let mut consumer = log.consumer_with(ConsumerConfig::new().isolation(level)).unwrap();
    consumer.assign([of]).unwrap();
    loop {
        let polled = consumer.poll(Duration::ZERO).unwrap();
        if polled.is_empty() {
            return;
        }
        polled.iter().for_each(&mut each);
    }
}

fn record(record: RecordView<'_>, committed: bool) -> Value {
    let timestamp_type = match record.timestamp_type() {
        TimestampType::LogAppendTime => "LogAppendTime",
        _ => "CreateTime",
    };
    let headers: Vec<_> =
        record.headers().map(|header| json!([header.name(), bytes(header.value())])).collect();
    json!({
        "type": "record", "topic": record.topic(), "partition": record.partition(), "offset": record.offset(),
        "timestamp": record.timestamp().as_millis(), "timestampType": timestamp_type,
        "leaderEpoch": record.leader_epoch(), "committed": committed,
        "key": bytes(record.key()), "value": bytes(record.value()), "headers": headers,
    })
}

fn bytes(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| {
        if bytes.len() <= MAX_HEX {
            return hex(bytes).into();
        }
        format!("sha256:{}/{}", hex(&Sha256::digest(bytes)), bytes.len()).into()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
