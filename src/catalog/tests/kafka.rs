//! Directories that Kafka has written or served: the catalog is what the broker said it is.

use serde_json::Value;

use super::*;
use crate::format::file_names::METADATA_DIRECTORY;

/// Topic by topic: id, whether it is internal, partitions, settings.
type Served = BTreeMap<String, (Uuid, bool, u64, BTreeMap<String, String>)>;

fn served(topics: impl Iterator<Item = Value>) -> Served {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    topics
        .map(|topic| {
            let settings = topic["configs"].as_object().unwrap();
            let settings = settings.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            let id = text(&topic["id"]).parse().unwrap();
            let internal = topic["internal"].as_bool().unwrap();
            (text(&topic["topic"]), (id, internal, topic["partitionCount"].as_u64().unwrap(), settings))
        })
        .collect()
}

fn read(catalog: &Catalog) -> Served {
    let topics = catalog.topics();
    topics
        .iter()
        .map(|topic| {
            let settings = topic.config().entries().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let count = u64::from(topic.partitions().len());
            assert_eq!(u64::from(topic.config().partition_count()), count);
            (topic.name().to_string(), (topic.id(), topic.is_internal(), count, settings))
        })
        .collect()
}

#[test]
fn a_log_of_ours_is_read_as_a_broker_served_it() {
    let dir = copied("catalog/logdir");
    let catalog = open(dir.path()).unwrap();
    let lines = fs::read_to_string(vector("catalog/served.jsonl")).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(read(&catalog), served(lines.filter(|line| line["type"] == "topic")));
    assert!(catalog.unknown_directories().is_empty());
    // Each directory is found to be that of its topic.
    for partition in catalog.partitions() {
        partition.bounds().unwrap();
    }
}

#[test]
fn logs_of_a_broker_are_read_as_it_served_them_and_added_to() {
    for stopped in ["clean", "killed"] {
        let dir = copied(&format!("broker/{stopped}-4.1/logdir"));
        let catalog = open(dir.path()).unwrap();
        let expected = fs::read(vector(&format!("broker/{stopped}-4.1/expected.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let topics = expected["topics"].as_array().unwrap().clone();
        assert_eq!(read(&catalog), served(topics.into_iter()), "{stopped}");
        // The broker had marked it as deleted.
        assert!(!directories(dir.path()).iter().any(|name| name.starts_with("gone-0.")), "{stopped}");
        assert!(catalog.unknown_directories().is_empty());

        let quorum = fs::read(dir.path().join("__cluster_metadata-0/quorum-state")).unwrap();
        let made = catalog.create(&[("new", TopicConfig::new().partitions(2))], NOW).unwrap();
        catalog.delete("codecs", NOW).unwrap();
        catalog.close().unwrap();
        let before = described(&catalog);
        let catalog = open(dir.path()).unwrap();
        assert_eq!(described(&catalog), before);
        assert_eq!(catalog.topic("new").unwrap().id(), made[0].id());
        assert_eq!(fs::read(dir.path().join("__cluster_metadata-0/quorum-state")).unwrap(), quorum);
    }
}

#[test]
fn leadership_is_not_read_from_the_log() {
    let dir = copied("broker/clean-4.1/logdir");
    let catalog = open(dir.path()).unwrap();
    let description = catalog.topic("codecs").unwrap().describe();
    assert_eq!((description.name.as_str(), description.replication_factor), ("codecs", 1));
    assert!(!description.internal);
    assert_eq!(description.partitions.len(), 3);
    for (number, partition) in (0..).zip(&description.partitions) {
        let expected =
            PartitionDescription { partition: number, leader: Some(1), replicas: vec![1], isr: vec![1] };
        assert_eq!(*partition, expected);
    }
    assert!(catalog.topic("__consumer_offsets").unwrap().describe().internal);
}

#[test]
fn snapshots_that_do_not_meet_the_log_or_are_damaged_are_errors() {
    let dir = copied("broker/killed-4.1/logdir");
    let metadata = dir.path().join(METADATA_DIRECTORY);
    let name = |end: u64| metadata.join(format!("{end:020}-0000000001.checkpoint"));
    fs::copy(name(61), name(1_000_000)).unwrap();
    let text = message(open(dir.path()));
    assert!(text.contains("below offset 1000000, but the log holds 0 to"), "{text}");
    fs::remove_file(name(1_000_000)).unwrap();

    let mut bytes = fs::read(name(61)).unwrap();
    let whole = bytes.len();
    bytes[whole / 2] ^= 1;
    fs::write(name(61), &bytes).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Corrupt(_))));
    bytes[whole / 2] ^= 1;
    fs::write(name(61), &bytes[..whole - 1]).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Corrupt(_))));
    fs::write(name(61), &bytes).unwrap();
    open(dir.path()).unwrap();
}
