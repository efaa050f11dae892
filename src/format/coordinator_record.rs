//! Keys of the records in `__consumer_offsets`, and the partition of that topic in which a group's records are.
//!
//! A key is the kind of the record and its fields, in the encoding that is not compact. There are many kinds; those of
//! which nothing is known but the number are kept as they are. A record without a value deletes what its key names.

use super::Malformed;
use super::varint::Input;
use super::wire::{push_i16, push_i32, push_str};

/// What a record of `__consumer_offsets` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CoordinatorKey<'a> {
    /// How far a group has come in a partition: [`OffsetCommit`](super::offset_commit::OffsetCommit).
    Offset { group: &'a str, topic: &'a str, partition: u32 },
    /// A group of the classic protocol: [`GroupMetadata`](super::group_metadata::GroupMetadata).
    Group { group: &'a str },
    /// A record of another kind, its fields undecoded.
    Other { kind: i16, fields: &'a [u8] },
}

/// Kinds 0 and 1 are the same; Kafka writes 1.
const OFFSET_BEFORE: i16 = 0;
const OFFSET: i16 = 1;
const GROUP: i16 = 2;
/// Of a group of the protocol that Kafka calls "consumer": its epochs, its members, what they are assigned.
const CONSUMER_GROUP: std::ops::RangeInclusive<i16> = 3..=8;
const CONSUMER_GROUP_MEMBER: i16 = 5;
/// The same: a regular expression that its members subscribe to.
const CONSUMER_GROUP_EXPRESSION: i16 = 16;

impl<'a> CoordinatorKey<'a> {
    pub(crate) fn decode(key: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(key);
        // As fast as commits are decoded, and for the same reason not by the list of fields.
        let decoded = match input.i16()? {
            OFFSET_BEFORE | OFFSET => {
                let (group, topic) = (input.str()?, input.str()?);
                let partition = u32::try_from(input.i32()?)
                    .map_err(|_| Malformed("the partition of a commit is negative"))?;
                Self::Offset { group, topic, partition }
            }
            GROUP => Self::Group { group: input.str()? },
            kind => return Ok(Self::Other { kind, fields: input.take_rest() }),
        };
        input.end()?;
        Ok(decoded)
    }

    /// Appends the key. On an error, a name that is too long, the rest of `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = to.len();
        let outcome = self.push(to);
        if outcome.is_err() {
            to.truncate(start);
        }
        outcome
    }

    fn push(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        match *self {
            Self::Offset { group, topic, partition } => {
                push_i16(OFFSET, to);
                push_str(group, to)?;
                push_str(topic, to)?;
                let partition = i32::try_from(partition)
                    .map_err(|_| Malformed("no topic has a partition with so large a number"))?;
                push_i32(partition, to);
            }
            Self::Group { group } => {
                push_i16(GROUP, to);
                push_str(group, to)?;
            }
            Self::Other { kind, fields } => {
                push_i16(kind, to);
                to.extend_from_slice(fields);
            }
        }
        Ok(())
    }

    /// The group, if this is a record of a group of the "consumer" protocol and says so.
    pub(crate) fn consumer_group(&self) -> Option<&'a str> {
        match *self {
            Self::Other { kind, fields }
                if CONSUMER_GROUP.contains(&kind) || kind == CONSUMER_GROUP_EXPRESSION =>
            {
                Input::new(fields).str().ok()
            }
            _ => None,
        }
    }

    /// Whether this is a record of a member of such a group.
    pub(crate) fn is_consumer_group_member(&self) -> bool {
        matches!(self, Self::Other { kind: CONSUMER_GROUP_MEMBER, .. })
    }
}

/// The partition of a topic of `count` partitions in which the records of a group are.
pub(crate) fn group_partition(group: &str, count: u32) -> u32 {
    let hash = java_hash(group);
    // The smallest number has no counterpart above zero; Kafka takes 0.
    let positive = hash.checked_abs().unwrap_or(0).unsigned_abs();
    positive.checked_rem(count).unwrap_or(0)
}

/// The hash of a string as Java defines it, over its UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{hex, table};

    fn encoded(key: &CoordinatorKey<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn keys_of_the_table_both_ways() {
        let rows = table("coordinator_records");
        let keys = [
            (
                "offset_commit_key",
                CoordinatorKey::Offset { group: "my-group", topic: "orders", partition: 0 },
            ),
            ("group_metadata_key", CoordinatorKey::Group { group: "my-group" }),
        ];
        for (name, key) in keys {
            let bytes = hex(&rows["rows"][name]);
            assert_eq!(CoordinatorKey::decode(&bytes), Ok(key));
            assert_eq!(encoded(&key), bytes);
        }
    }

    #[test]
    fn groups_are_where_kafka_looks_for_them() {
        let rows = table("group_partition");
        let rows = rows["rows"].as_array().unwrap();
        assert!(rows.len() > 10);
        for row in rows {
            let group = row["group"].as_str().unwrap();
            assert_eq!(i64::from(java_hash(group)), row["java_hash"].as_i64().unwrap(), "{group}");
            for count in [1, 7, 50] {
                let expected = row[format!("partition_of_{count}")].as_u64().unwrap();
                assert_eq!(u64::from(group_partition(group, count)), expected, "{group} of {count}");
            }
        }
        assert_eq!(group_partition("g", 0), 0);
    }

    #[test]
    fn the_older_kind_of_offset_is_the_same() {
        let key = CoordinatorKey::Offset { group: "g", topic: "t", partition: 7 };
        let mut bytes = encoded(&key);
        bytes[1] = 0;
        assert_eq!(CoordinatorKey::decode(&bytes), Ok(key));
    }

    #[test]
    fn other_kinds_are_kept() {
        for kind in [3, 8, 16] {
            let bytes = [0, kind, 0, 1, b'g', 0, 1, b'm'];
            let key = CoordinatorKey::decode(&bytes).unwrap();
            assert_eq!(key, CoordinatorKey::Other { kind: kind.into(), fields: &bytes[2..] });
            assert_eq!(key.consumer_group(), Some("g"));
            assert!(!key.is_consumer_group_member());
            assert_eq!(encoded(&key), bytes);
        }
        for (bytes, kind) in [([0, 9, 0, 0], 9), ([0, 15, 0, 0], 15), ([0, 17, 0, 0], 17), ([255; 4], -1)] {
            let key = CoordinatorKey::decode(&bytes).unwrap();
            assert_eq!(key, CoordinatorKey::Other { kind, fields: &bytes[2..] });
            assert_eq!(key.consumer_group(), None);
        }
        assert_eq!(CoordinatorKey::Other { kind: 3, fields: &[0, 9] }.consumer_group(), None);
        assert!(CoordinatorKey::Other { kind: 5, fields: &[] }.is_consumer_group_member());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |bytes: &[u8]| CoordinatorKey::decode(bytes).unwrap_err().0;
        assert_eq!(wrong(&[]), "ends early");
        assert_eq!(wrong(&[0, 2, 0, 1]), "ends early");
        assert_eq!(wrong(&[0, 2, 0, 0, 9]), "bytes are left after the last field");
        let partition = [0, 1, 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(wrong(&partition), "the partition of a commit is negative");

        let mut bytes = vec![7];
        let long = "a".repeat(40_000);
        assert!(CoordinatorKey::Group { group: &long }.encode(&mut bytes).is_err());
        let key = CoordinatorKey::Offset { group: "g", topic: "t", partition: u32::MAX };
        assert!(key.encode(&mut bytes).is_err());
        assert_eq!(bytes, [7]);
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn keys_come_back(group: String, topic: String, partition in 0..=i32::MAX.unsigned_abs()) {
            let keys = [
                CoordinatorKey::Offset { group: &group, topic: &topic, partition },
                CoordinatorKey::Group { group: &group },
            ];
            for key in keys {
                let bytes = encoded(&key);
                prop_assert_eq!(CoordinatorKey::decode(&bytes), Ok(key));
                for cut in 0..bytes.len() {
                    prop_assert!(CoordinatorKey::decode(&bytes[..cut]).is_err());
                }
            }
        }

        #[test]
        fn garbage_is_refused_or_comes_back(bytes: Vec<u8>) {
            if let Ok(key) = CoordinatorKey::decode(&bytes) {
                let _ = key.consumer_group();
                let again = encoded(&key);
                prop_assert_eq!(CoordinatorKey::decode(&again), Ok(key));
            }
        }

        #[test]
        fn partitions_are_among_those_there_are(group: String, count in 1_u32..200) {
            prop_assert!(group_partition(&group, count) < count);
        }
    }
}
