//! New topics: what is refused, and the records that make them.

use std::collections::BTreeSet;

use super::identity::random_id;
use super::state::{State, TOPIC_RESOURCE, likeness};
use crate::config::{DefaultRetention, TopicConfig, topic_name};
use crate::error::{Error, Result};
use crate::format::compression::check_built_in;
use crate::format::metadata_record::MetadataRecord;
use crate::format::properties::MetaProperties;
use crate::format::uuid::Uuid;
use crate::sys::NameRules;

/// The most partitions of all topics together.
const MAX_PARTITIONS: usize = 100_000;
/// A broker applies its own default to a topic without this setting: it deletes after seven days what is kept here.
const RETENTION_MS: &str = "retention.ms";

/// Who asks for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Users,
    /// This crate itself, which keeps the offsets of groups in a topic of Kafka's own.
    Ourselves,
}

/// Checks that all of these topics can be made beside those that exist.
pub(super) fn check(state: &State, wanted: &[(&str, TopicConfig)], who: For, rules: NameRules) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut partitions = state.partition_count();
    for (name, config) in wanted {
        check_name(state, name, who, rules)?;
        if !names.insert(likeness(name, rules.fold_case)) {
            return Err(Error::invalid(
                "topic name",
                format!("{name:?} is wanted twice, or together with one that is too much like it"),
            ));
        }
        config.validate()?;
        check_supported(config)?;
        partitions = partitions.saturating_add(config.partition_count() as usize);
    }
    check_total(partitions)
}

/// Checks the number of partitions of all topics together.
pub(super) fn check_total(partitions: usize) -> Result<()> {
    if partitions > MAX_PARTITIONS {
        return Err(Error::invalid(
            "partitions",
            format!("there would be {partitions} in all topics together; a log has at most {MAX_PARTITIONS}"),
        ));
    }
    Ok(())
}

fn check_name(state: &State, name: &str, who: For, rules: NameRules) -> Result<()> {
    match who {
        For::Users => topic_name::check_new(name)?,
        For::Ourselves => topic_name::check(name)?,
    }
    if rules.devices {
        topic_name::refuse_device(name)?;
    }
    if state.id_of(name).is_some() {
        return Err(Error::AlreadyExists { name: name.into() });
    }
    let (existing, why) = match (state.alike(name, false), state.alike(name, rules.fold_case)) {
        (Some(existing), _) => (existing, "Kafka does not tell '.' from '_'"),
        (None, Some(existing)) => (existing, "this directory does not tell upper from lower case"),
        (None, None) => return Ok(()),
    };
    Err(Error::invalid("topic name", format!("{name:?} is too much like {existing:?}, which exists; {why}")))
}

/// What Kafka takes but this build does not do must not be promised.
pub(super) fn check_supported(config: &TopicConfig) -> Result<()> {
    config.settings().compression.map_or(Ok(()), check_built_in)
}

/// The record that makes one partition.
pub(super) fn partition(partition: u32, topic_id: Uuid, of: &MetaProperties) -> MetadataRecord {
    MetadataRecord::Partition {
        partition,
        topic_id,
        replicas: vec![of.node_id],
        isr: vec![of.node_id],
        leader: of.node_id,
        leader_epoch: 0,
        partition_epoch: 0,
        // A broker that finds no directory.id makes one up, and then reports where a partition lies by itself.
        directories: vec![of.directory_id.unwrap_or(Uuid::METADATA_TOPIC)],
    }
}

/// The records that make one topic, and its new id.
pub(super) fn records(
    name: &str,
    config: &TopicConfig,
    who: For,
    of: &MetaProperties,
) -> Result<(Uuid, Vec<MetadataRecord>)> {
    let id = random_id()?;
    let mut records = vec![MetadataRecord::Topic { name: name.to_owned(), id }];
    records.extend((0..config.partition_count()).map(|number| partition(number, id, of)));
    let setting = |(key, value): (&str, &str)| MetadataRecord::Config {
        resource_type: TOPIC_RESOURCE,
        resource_name: name.to_owned(),
        name: key.to_owned(),
        value: Some(value.to_owned()),
    };
    // Kafka's own topics are made as Kafka makes them.
    if who == For::Users && config.entry(RETENTION_MS).is_none() {
        let default = DefaultRetention::default().ms_text();
        records.push(setting((RETENTION_MS, &default)));
    }
    records.extend(config.entries().map(setting));
    Ok((id, records))
}
