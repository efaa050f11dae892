//! The metadata logs under `tests/vectors`, written by brokers and by another implementation of the catalog,
//! give the topics, ids, partition counts and settings that were served from them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Record, records, vector};
use crate::format::metadata_record::MetadataRecord;
use crate::format::uuid::Uuid;

/// The resource type of a topic's settings.
const TOPIC: i8 = 2;

#[derive(Default)]
struct Catalog {
    topics: BTreeMap<String, Uuid>,
    partitions: BTreeMap<Uuid, u32>,
    configs: BTreeMap<String, BTreeMap<String, String>>,
}

impl Catalog {
    fn of(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut catalog = Self::default();
        for value in values {
            catalog.apply(MetadataRecord::decode(&value).unwrap());
        }
        catalog
    }

    fn apply(&mut self, record: MetadataRecord) {
        match record {
            MetadataRecord::Topic { name, id } => {
                self.topics.insert(name, id);
            }
            MetadataRecord::Partition { topic_id, .. } => *self.partitions.entry(topic_id).or_default() += 1,
            MetadataRecord::Config { resource_type: TOPIC, resource_name, name, value } => {
                let configs = self.configs.entry(resource_name).or_default();
                match value {
                    Some(value) => configs.insert(name, value),
                    None => configs.remove(&name),
                };
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                let removed = self.topics.iter().find(|(_, id)| **id == topic_id);
                let name = removed.unwrap().0.clone();
                self.topics.remove(&name);
                self.configs.remove(&name);
            }
            _ => {}
        }
    }

    fn topic(&self, name: &str) -> Value {
        let id = self.topics[name];
        let configs = self.configs.get(name).cloned().unwrap_or_default();
        json!([name, id.to_string(), self.partitions[&id], configs])
    }

    fn assert_serves(&self, served: &[Value]) {
        assert!(!served.is_empty());
        for topic in served {
            let expected = json!([topic["topic"], topic["id"], topic["partitionCount"], topic["configs"]]);
            assert_eq!(self.topic(topic["topic"].as_str().unwrap()), expected);
        }
        assert_eq!(self.topics.len(), served.len());
    }
}

fn values(records: Vec<Record>) -> impl Iterator<Item = Vec<u8>> {
    records.into_iter().filter(|record| !record.control).map(|record| record.value.unwrap())
}

#[test]
fn catalog_is_read_and_written_byte_for_byte() {
    let log = vector("catalog/logdir/__cluster_metadata-0/00000000000000000000.log");
    let served = String::from_utf8(vector("catalog/served.jsonl")).unwrap();
    let lines = served.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let topics: Vec<_> = lines.filter(|line| line["type"] == "topic").collect();
    Catalog::of(values(records(&log))).assert_serves(&topics);

    for value in values(records(&log)) {
        let record = MetadataRecord::decode(&value).unwrap();
        assert!(!matches!(record, MetadataRecord::Other { .. }), "{record:?}");
        assert_eq!(record.encode(), value, "{record:?}");
    }
}

#[test]
fn broker_after_a_clean_stop() {
    let log = vector("broker/clean-4.1/logdir/__cluster_metadata-0/00000000000000000000.log");
    let catalog = Catalog::of(values(records(&log)));
    catalog.assert_serves(expected("clean-4.1").as_array().unwrap());
}

#[test]
fn broker_that_was_killed() {
    let folder = "broker/killed-4.1/logdir/__cluster_metadata-0";
    let log = records(&vector(&format!("{folder}/00000000000000000000.log")));
    let snapshot = records(&vector(&format!("{folder}/00000000000000000061-0000000001.checkpoint")));

    let whole = Catalog::of(values(log.clone()));
    whole.assert_serves(expected("killed-4.1").as_array().unwrap());
    let after = log.into_iter().filter(|record| record.offset >= 61).collect();
    let with_snapshot = Catalog::of(values(snapshot).chain(values(after)));
    with_snapshot.assert_serves(expected("killed-4.1").as_array().unwrap());
}

#[test]
fn bootstrap_file_comes_back_byte_for_byte() {
    let bootstrap = records(&vector("batches/gen_kraft_bootstrap.bin"));
    let level = MetadataRecord::FeatureLevel { name: "metadata.version".into(), level: 21 };
    let first = values(bootstrap.clone()).next().unwrap();
    assert_eq!(MetadataRecord::decode(&first), Ok(level));

    for value in values(bootstrap.clone()) {
        assert_eq!(MetadataRecord::decode(&value).unwrap().encode(), value);
    }
    let orders = Catalog::of(values(bootstrap)).topic("orders");
    assert_eq!(orders, json!(["orders", "ayn8QMpHQGezHQDdAQZi2g", 2, {}]));
}

#[test]
fn records_that_are_not_known_come_back_byte_for_byte() {
    let log = vector("broker/clean-4.1/logdir/__cluster_metadata-0/00000000000000000000.log");
    let mut others = 0;
    for value in values(records(&log)) {
        let record = MetadataRecord::decode(&value).unwrap();
        if matches!(record, MetadataRecord::Other { .. }) {
            assert_eq!(record.encode(), value);
            others += 1;
        }
    }
    assert!(others > 50, "{others}");
}

fn expected(broker: &str) -> Value {
    let expected: Value = serde_json::from_slice(&vector(&format!("broker/{broker}/expected.json"))).unwrap();
    expected["topics"].clone()
}
