//! Records of the cluster metadata log, in which a broker keeps its topics and settings, and we the catalog.
//!
//! A record's value is: the frame version 1, the record's key and version, then its fields. Newer versions of a
//! record only append to the fields, so those known here are read from any version. A record that is not known,
//! and there are many, is kept as it is.

use super::Malformed;
use super::schema::{self, Values};
use super::uuid::Uuid;
use super::varint::{Input, push_uvarint};
use super::wire::{
    push_compact_count, push_compact_str, push_i8, push_i16, push_i32, push_i64, push_no_tags,
    push_nullable_compact_str, push_uuid,
};

/// What happened to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataRecord {
    /// A feature such as `metadata.version` has this level from here on.
    FeatureLevel {
        name: String,
        level: i16,
    },
    /// A topic was created.
    Topic {
        name: String,
        id: Uuid,
    },
    /// A partition was added to a topic. The lists of replicas that come and go are not kept.
    Partition {
        partition: u32,
        topic_id: Uuid,
        replicas: Vec<i32>,
        isr: Vec<i32>,
        /// -1: none.
        leader: i32,
        leader_epoch: i32,
        partition_epoch: i32,
        /// The log directory of each replica. Empty in records of version 0.
        directories: Vec<Uuid>,
    },
    /// A setting got a value, or lost it.
    Config {
        /// 2: of a topic, 4: of a broker, or with an empty name of all brokers.
        resource_type: i8,
        resource_name: String,
        name: String,
        value: Option<String>,
    },
    /// A topic was deleted, and its settings with it.
    RemoveTopic {
        topic_id: Uuid,
    },
    /// Producer ids below `next_producer_id` may be in use.
    ProducerIds {
        broker_id: i32,
        broker_epoch: i64,
        next_producer_id: i64,
    },
    /// What follows counts at the end of the transaction.
    BeginTransaction,
    EndTransaction,
    /// What followed the begin does not count.
    AbortTransaction,
    /// Something that a catalog has no use for, its fields undecoded.
    Other {
        api_key: u32,
        version: u32,
        fields: Vec<u8>,
    },
}

/// What a change of a partition says. Each raises the partition's epoch by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionChange {
    pub(crate) partition: u32,
    pub(crate) topic_id: Uuid,
    /// A leader was elected, or there is none any more: the leader epoch rises by one.
    pub(crate) elects: bool,
    pub(crate) replicas: Option<Vec<i32>>,
    /// The log directory of each replica.
    pub(crate) directories: Option<Vec<Uuid>>,
}

const FRAME_VERSION: u32 = 1;

const TOPIC: u32 = 2;
const PARTITION: u32 = 3;
const CONFIG: u32 = 4;
const PARTITION_CHANGE: u32 = 5;
const REMOVE_TOPIC: u32 = 9;
const FEATURE_LEVEL: u32 = 12;
const PRODUCER_IDS: u32 = 15;
const NO_OP: u32 = 20;
const BEGIN_TRANSACTION: u32 = 23;
const END_TRANSACTION: u32 = 24;
const ABORT_TRANSACTION: u32 = 25;

/// The first version of partition records with directories. It is the one written: version 2 adds nothing but
/// tagged fields for a feature that is off.
const PARTITION_WITH_DIRECTORIES: u32 = 1;

/// The kinds whose fields a catalog has a use for.
const DECODED: [u32; 9] = [
    TOPIC,
    PARTITION,
    CONFIG,
    REMOVE_TOPIC,
    FEATURE_LEVEL,
    PRODUCER_IDS,
    BEGIN_TRANSACTION,
    END_TRANSACTION,
    ABORT_TRANSACTION,
];

impl MetadataRecord {
    /// Reads the value of a record of the metadata log.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(value);
        match input.uvarint()? {
            FRAME_VERSION => {}
            0 => return Err(Malformed("a metadata record has the frame version 0")),
            _ => return Err(Malformed::NEWER_METADATA),
        }
        let (api_key, version) = (input.uvarint()?, input.uvarint()?);
        if !DECODED.contains(&api_key) {
            return Ok(Self::Other { api_key, version, fields: input.take_rest().to_vec() });
        }
        let fields = schema::fields_of(api_key, version, &mut input)?;
        let text = |name| fields.the_text(name).map(str::to_owned);
        Ok(match api_key {
            TOPIC => Self::Topic { name: text("name")?, id: fields.the_id("topicId")? },
            PARTITION => partition(&fields)?,
            CONFIG => Self::Config {
                resource_type: fields.the_int("resourceType")?,
                resource_name: text("resourceName")?,
                name: text("name")?,
                value: fields.text("value")?.map(str::to_owned),
            },
            REMOVE_TOPIC => Self::RemoveTopic { topic_id: fields.the_id("topicId")? },
            FEATURE_LEVEL => {
                Self::FeatureLevel { name: text("name")?, level: fields.the_int("featureLevel")? }
            }
            PRODUCER_IDS => Self::ProducerIds {
                broker_id: fields.the_int("brokerId")?,
                broker_epoch: fields.the_int("brokerEpoch")?,
                next_producer_id: fields.the_int("nextProducerId")?,
            },
            BEGIN_TRANSACTION => Self::BeginTransaction,
            END_TRANSACTION => Self::EndTransaction,
            _ => Self::AbortTransaction,
        })
    }

    /// The value of the record, without what [`decode`](Self::decode) leaves out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        push_uvarint(FRAME_VERSION, &mut to);
        let (api_key, version) = self.key_and_version();
        push_uvarint(api_key, &mut to);
        push_uvarint(version, &mut to);
        if let Self::Other { fields, .. } = self {
            to.extend_from_slice(fields);
        } else {
            self.push_fields(&mut to);
            push_no_tags(&mut to);
        }
        to
    }

    /// What is different with a partition from here on, if this is a change of one. Of the kinds of records that are not
    /// decoded it is the only one that is looked into.
    pub(crate) fn partition_change(&self) -> Option<PartitionChange> {
        let Self::Other { api_key: PARTITION_CHANGE, version, fields } = self else { return None };
        let fields = schema::passed_fields_of(PARTITION_CHANGE, *version, fields).ok()?;
        let replicas = fields.list("replicas").ok()?.map(|nodes| nodes.ints().collect::<Result<_, _>>());
        let directories = fields.list("directories").ok()?.map(|ids| ids.ids().collect::<Result<_, _>>());
        Some(PartitionChange {
            partition: fields.the_int("partitionId").ok()?,
            topic_id: fields.the_id("topicId").ok()?,
            elects: fields.get("leader").ok()?.is_some(),
            replicas: replicas.transpose().ok()?,
            directories: directories.transpose().ok()?,
        })
    }

    /// A record that changes nothing. It is in the log.
    pub(crate) fn nothing() -> Self {
        Self::Other { api_key: NO_OP, version: 0, fields: vec![0] }
    }

    fn key_and_version(&self) -> (u32, u32) {
        match self {
            Self::Topic { .. } => (TOPIC, 0),
            Self::Partition { .. } => (PARTITION, PARTITION_WITH_DIRECTORIES),
            Self::Config { .. } => (CONFIG, 0),
            Self::RemoveTopic { .. } => (REMOVE_TOPIC, 0),
            Self::FeatureLevel { .. } => (FEATURE_LEVEL, 0),
            Self::ProducerIds { .. } => (PRODUCER_IDS, 0),
            Self::BeginTransaction => (BEGIN_TRANSACTION, 0),
            Self::EndTransaction => (END_TRANSACTION, 0),
            Self::AbortTransaction => (ABORT_TRANSACTION, 0),
            Self::Other { api_key, version, .. } => (*api_key, *version),
        }
    }

    fn push_fields(&self, to: &mut Vec<u8>) {
        match self {
            Self::FeatureLevel { name, level } => {
                push_compact_str(name, to);
                push_i16(*level, to);
            }
            Self::Topic { name, id } => {
                push_compact_str(name, to);
                push_uuid(*id, to);
            }
            Self::Partition {
                partition,
                topic_id,
                replicas,
                isr,
                leader,
                leader_epoch,
                partition_epoch,
                directories,
            } => {
                to.extend_from_slice(&partition.to_be_bytes());
                push_uuid(*topic_id, to);
                let (removing, adding) = (&[], &[]);
                for nodes in [replicas, isr, removing, adding] as [&[i32]; 4] {
                    push_compact_count(nodes.len(), to);
                    for node in nodes {
                        push_i32(*node, to);
                    }
                }
                push_i32(*leader, to);
                push_i32(*leader_epoch, to);
                push_i32(*partition_epoch, to);
                push_compact_count(directories.len(), to);
                for directory in directories {
                    push_uuid(*directory, to);
                }
            }
            Self::Config { resource_type, resource_name, name, value } => {
                push_i8(*resource_type, to);
                push_compact_str(resource_name, to);
                push_compact_str(name, to);
                push_nullable_compact_str(value.as_deref(), to);
            }
            Self::RemoveTopic { topic_id } => push_uuid(*topic_id, to),
            Self::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                push_i32(*broker_id, to);
                push_i64(*broker_epoch, to);
                push_i64(*next_producer_id, to);
            }
            Self::BeginTransaction | Self::EndTransaction | Self::AbortTransaction | Self::Other { .. } => {}
        }
    }
}

fn partition(fields: &Values<'_>) -> Result<MetadataRecord, Malformed> {
    let nodes = |name| fields.the_list(name)?.ints().collect::<Result<_, _>>();
    let partition = fields.the_int::<i32>("partitionId")?;
    let directories = fields.list("directories")?.map(|ids| ids.ids().collect::<Result<_, _>>());
    Ok(MetadataRecord::Partition {
        partition: u32::try_from(partition)
            .map_err(|_| Malformed("a metadata record has a negative partition number"))?,
        topic_id: fields.the_id("topicId")?,
        replicas: nodes("replicas")?,
        isr: nodes("isr")?,
        leader: fields.the_int("leader")?,
        leader_epoch: fields.the_int("leaderEpoch")?,
        partition_epoch: fields.the_int("partitionEpoch")?,
        directories: directories.transpose()?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = MetadataRecord> {
        let id = || any::<[u8; 16]>().prop_map(Uuid::from_bytes);
        let nodes = || prop::collection::vec(any::<i32>(), 0..4);
        let numbers = any::<(i32, i32, i32)>();
        let directories = prop::collection::vec(id(), 0..4);
        prop_oneof![
            any::<(String, i16)>().prop_map(|(name, level)| MetadataRecord::FeatureLevel { name, level }),
            (any::<String>(), id()).prop_map(|(name, id)| MetadataRecord::Topic { name, id }),
            (0..=i32::MAX.cast_unsigned(), id(), nodes(), nodes(), numbers, directories).prop_map(
                |(
                    partition,
                    topic_id,
                    replicas,
                    isr,
                    (leader, leader_epoch, partition_epoch),
                    directories,
                )| {
                    MetadataRecord::Partition {
                        partition,
                        topic_id,
                        replicas,
                        isr,
                        leader,
                        leader_epoch,
                        partition_epoch,
                        directories,
                    }
                }
            ),
            any::<(i8, String, String, Option<String>)>().prop_map(
                |(resource_type, resource_name, name, value)| {
                    MetadataRecord::Config { resource_type, resource_name, name, value }
                }
            ),
            id().prop_map(|topic_id| MetadataRecord::RemoveTopic { topic_id }),
            any::<(i32, i64, i64)>().prop_map(|(broker_id, broker_epoch, next_producer_id)| {
                MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }
            }),
            Just(MetadataRecord::BeginTransaction),
            Just(MetadataRecord::EndTransaction),
            Just(MetadataRecord::AbortTransaction),
            (26..u32::MAX, any::<u32>(), any::<Vec<u8>>())
                .prop_map(|(api_key, version, fields)| MetadataRecord::Other { api_key, version, fields }),
        ]
    }

    fn partition_one() -> MetadataRecord {
        MetadataRecord::Partition {
            partition: 1,
            topic_id: Uuid::METADATA_TOPIC,
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            directories: vec![Uuid::METADATA_TOPIC],
        }
    }

    #[test]
    fn a_change_of_a_partition_is_looked_into() {
        let (topic, directory) = (Uuid::from_bytes([7; 16]), Uuid::from_bytes([9; 16]));
        let mut fields = 3_i32.to_be_bytes().to_vec();
        fields.extend(topic.as_bytes());
        // The leader, the replicas 4 and 5, then the directories; a field that is not known between them.
        fields.extend([4, 1, 4, 0, 0, 0, 1, 2, 9, 3, 0, 0, 0, 4, 0, 0, 0, 5, 3, 1, 1, 8, 17, 2]);
        fields.extend(directory.as_bytes());
        let change =
            |fields: &[u8]| MetadataRecord::Other { api_key: 5, version: 1, fields: fields.to_vec() };
        let expected = PartitionChange {
            partition: 3,
            topic_id: topic,
            elects: true,
            replicas: Some(vec![4, 5]),
            directories: Some(vec![directory]),
        };
        assert_eq!(change(&fields).partition_change(), Some(expected));
        for end in 0..fields.len() {
            assert_eq!(change(&fields[..end]).partition_change(), None);
        }
        assert_eq!(partition_one().partition_change(), None);
        assert_eq!(MetadataRecord::nothing().encode(), [1, 20, 0, 0]);
    }

    #[test]
    fn partition_of_every_version() {
        let one = partition_one().encode();
        for version in [1, 2] {
            let mut value = one.clone();
            value[2] = version;
            assert_eq!(MetadataRecord::decode(&value), Ok(partition_one()));
            // The leader is being recovered, says a tagged field.
            value.pop();
            value.extend([1, 0, 1, 1]);
            assert_eq!(MetadataRecord::decode(&value), Ok(partition_one()));
        }
        // Version 0 has no directories, here a count of one byte and one id, before its tags.
        let mut value = one[..one.len() - 18].to_vec();
        value[2] = 0;
        value.push(0);
        let MetadataRecord::Partition { directories, replicas, .. } = MetadataRecord::decode(&value).unwrap()
        else {
            panic!("another record");
        };
        assert_eq!((directories, replicas), (vec![], vec![1]));
    }

    #[test]
    fn newer_versions_may_append() {
        let mut value = MetadataRecord::RemoveTopic { topic_id: Uuid::METADATA_TOPIC }.encode();
        value.extend([0xff; 3]);
        let reason = Malformed("a metadata record has bytes after its fields");
        assert_eq!(MetadataRecord::decode(&value), Err(reason));
        value[2] = 1;
        let removed = MetadataRecord::RemoveTopic { topic_id: Uuid::METADATA_TOPIC };
        assert_eq!(MetadataRecord::decode(&value), Ok(removed));
    }

    #[test]
    fn unknown_records_are_kept() {
        let value = [1, 27, 9, 0xff, 0xff];
        let kept = MetadataRecord::Other { api_key: 27, version: 9, fields: vec![0xff, 0xff] };
        assert_eq!(kept.encode(), value);
        assert_eq!(MetadataRecord::decode(&value), Ok(kept));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |value: &[u8]| MetadataRecord::decode(value).unwrap_err().0;
        assert_eq!(wrong(&[]), "ends early");
        assert_eq!(wrong(&[0, 2, 0]), "a metadata record has the frame version 0");
        assert_eq!(wrong(&[2, 2, 0]), Malformed::NEWER_METADATA.0);
        assert_eq!(wrong(&[1, 2, 0, 0]), "a string that must be there is null");
        let mut value = partition_one().encode();
        value[3] = 0xff;
        assert_eq!(wrong(&value), "a metadata record has a negative partition number");
        let mut value = partition_one().encode();
        value[23] = 0x70;
        assert_eq!(wrong(&value), "an array has more elements than bytes are left");
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn records_come_back(record in any_record()) {
            prop_assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn every_cut_is_refused_or_read(record in any_record()) {
            let value = record.encode();
            for cut in 0..value.len() {
                let read = MetadataRecord::decode(value.get(..cut).unwrap());
                let kept = matches!(record, MetadataRecord::Other { .. });
                prop_assert!(read.is_err() || kept);
            }
        }

        #[test]
        fn garbage_is_refused_or_read(key in 0..30_u8, version in 0..4_u8, rest: Vec<u8>) {
            let _ = MetadataRecord::decode(&rest);
            let mut value = vec![1, key, version];
            value.extend(rest);
            let _ = MetadataRecord::decode(&value);
        }
    }
}
