//! What members of a classic group of consumers tell each other through the coordinator: what they subscribe to, and
//! which partitions they are assigned.
//!
//! Versions 0 to 3 are read, and of newer ones the fields of version 3: newer versions only append. Version 3 is
//! written, in the order in which Java clients write.

use super::Malformed;
use super::varint::Input;
use super::wire::{push_count, push_i16, push_i32, push_nullable_bytes, push_nullable_str, push_str};

/// What a member wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<String>,
    /// For the assignor.
    pub(crate) user_data: Option<Vec<u8>>,
    /// What the member has when it says so. Since version 1.
    pub(crate) owned: Vec<TopicPartitions>,
    /// The generation in which it was given that. Since version 2.
    pub(crate) generation: Option<i32>,
    /// Since version 3.
    pub(crate) rack: Option<String>,
}

/// What a member gets. All versions are the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Assignment {
    pub(crate) partitions: Vec<TopicPartitions>,
    /// From the assignor.
    pub(crate) user_data: Option<Vec<u8>>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<u32>,
}

const NEWEST: i16 = 3;
/// Fewest bytes of a topic with its partitions: two lengths.
const SMALLEST_TOPIC: usize = 2 + 4;

impl Subscription {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (version, mut input) = versioned(bytes)?;
        let mut topics = Vec::new();
        for _ in 0..input.count(2)? {
            topics.push(input.str()?.to_owned());
        }
        let user_data = input.nullable_bytes()?.map(<[u8]>::to_vec);
        let owned = if version >= 1 { topic_partitions(&mut input)? } else { Vec::new() };
        let generation = if version >= 2 { input.i32()? } else { -1 };
        let rack = if version >= 3 { input.nullable_str()?.map(str::to_owned) } else { None };
        end(version, &input)?;
        let generation = Some(generation).filter(|generation| *generation >= 0);
        Ok(Self { topics, user_data, owned, generation, rack })
    }

    /// Appends the bytes. Java clients sort topics, and owned partitions by topic and number; so does this. On an error
    /// `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        whole(to, |to| {
            let mut topics: Vec<_> = self.topics.iter().collect();
            // As Java compares strings. It makes a difference for names outside the basic plane only.
            topics.sort_by(|one, other| one.encode_utf16().cmp(other.encode_utf16()));
            let mut owned = self.owned.clone();
            owned.sort_by(|one, other| one.topic.encode_utf16().cmp(other.topic.encode_utf16()));
            for of in &mut owned {
                of.partitions.sort_unstable();
            }
            push_i16(NEWEST, to);
            push_count(topics.len(), to);
            topics.iter().try_for_each(|topic| push_str(topic, to))?;
            push_nullable_bytes(self.user_data.as_deref(), to);
            push_topic_partitions(&owned, to)?;
            push_i32(self.generation.unwrap_or(-1), to);
            push_nullable_str(self.rack.as_deref(), to)
        })
    }
}

impl Assignment {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        // A member that was assigned nothing at all has no bytes.
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (version, mut input) = versioned(bytes)?;
        let partitions = topic_partitions(&mut input)?;
        let user_data = input.nullable_bytes()?.map(<[u8]>::to_vec);
        end(version, &input)?;
        Ok(Self { partitions, user_data })
    }

    /// Appends the bytes. On an error `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        whole(to, |to| {
            push_i16(NEWEST, to);
            push_topic_partitions(&self.partitions, to)?;
            push_nullable_bytes(self.user_data.as_deref(), to);
            Ok(())
        })
    }
}

fn versioned(bytes: &[u8]) -> Result<(i16, Input<'_>), Malformed> {
    let mut input = Input::new(bytes);
    match input.i16()? {
        ..0 => Err(Malformed("the version of a member's message is negative")),
        version => Ok((version, input)),
    }
}

/// Only newer versions may have more.
fn end(version: i16, input: &Input<'_>) -> Result<(), Malformed> {
    if version > NEWEST { Ok(()) } else { input.end() }
}

fn topic_partitions(input: &mut Input<'_>) -> Result<Vec<TopicPartitions>, Malformed> {
    let mut all = Vec::new();
    for _ in 0..input.count(SMALLEST_TOPIC)? {
        let topic = input.str()?.to_owned();
        let count = input.count(4)?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let partition =
                u32::try_from(input.i32()?).map_err(|_| Malformed("a partition's number is negative"))?;
            partitions.push(partition);
        }
        all.push(TopicPartitions { topic, partitions });
    }
    Ok(all)
}

fn push_topic_partitions(all: &[TopicPartitions], to: &mut Vec<u8>) -> Result<(), Malformed> {
    push_count(all.len(), to);
    for of in all {
        push_str(&of.topic, to)?;
        push_count(of.partitions.len(), to);
        for partition in &of.partitions {
            let partition = i32::try_from(*partition)
                .map_err(|_| Malformed("no topic has a partition with so large a number"))?;
            push_i32(partition, to);
        }
    }
    Ok(())
}

/// Leaves nothing behind of what failed.
fn whole(
    to: &mut Vec<u8>,
    push: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let start = to.len();
    let outcome = push(to);
    if outcome.is_err() {
        to.truncate(start);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::coordinator_record::CoordinatorKey;
    use crate::format::group_metadata::GroupMetadata;
    use crate::format::tests::{hex, records, table, vectors_with_suffix};

    fn of(topic: &str, partitions: &[u32]) -> TopicPartitions {
        TopicPartitions { topic: topic.into(), partitions: partitions.into() }
    }

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["a".into(), "b".into()],
            user_data: Some(vec![1, 2]),
            owned: vec![of("a", &[0, 3]), of("b", &[])],
            generation: Some(7),
            rack: Some("r".into()),
        }
    }

    fn written(subscription: &Subscription) -> Vec<u8> {
        let mut bytes = Vec::new();
        subscription.encode(&mut bytes).unwrap();
        bytes
    }

    fn assigned(assignment: &Assignment) -> Vec<u8> {
        let mut bytes = Vec::new();
        assignment.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn version_0_of_the_table() {
        let rows = table("coordinator_records");
        let plain = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
        assert_eq!(Subscription::decode(&hex(&rows["rows"]["subscription_v0"])), Ok(plain));
        let bytes = hex(&rows["rows"]["assignment_v0"]);
        let assignment = Assignment { partitions: vec![of("orders", &[0, 1])], user_data: None };
        assert_eq!(Assignment::decode(&bytes), Ok(assignment.clone()));
        // But for the version all are the same.
        assert_eq!(assigned(&assignment)[2..], bytes[2..]);
    }

    #[test]
    fn what_java_clients_wrote_is_written_again() {
        let mut seen = 0;
        for (path, log) in vectors_with_suffix("broker", ".log") {
            if !path.to_str().unwrap().contains("__consumer_offsets") {
                continue;
            }
            for record in records(&log).into_iter().filter(|record| !record.control) {
                let key = record.key.unwrap();
                let Ok(CoordinatorKey::Group { .. }) = CoordinatorKey::decode(&key) else { continue };
                let Some(value) = record.value else { continue };
                for member in GroupMetadata::decode(&value).unwrap().unwrap().members {
                    let subscription = Subscription::decode(&member.subscription).unwrap();
                    assert_eq!(written(&subscription), member.subscription);
                    let assignment = Assignment::decode(&member.assignment).unwrap();
                    if !member.assignment.is_empty() {
                        assert_eq!(assigned(&assignment), member.assignment);
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn each_version_adds_a_field() {
        let newest = written(&subscription());
        assert_eq!(Subscription::decode(&newest), Ok(subscription()));
        let shortened = |version: u8, without: usize| {
            let mut bytes = newest[..newest.len() - without].to_vec();
            bytes[1] = version;
            Subscription::decode(&bytes)
        };
        let second = Subscription { rack: None, ..subscription() };
        assert_eq!(shortened(2, 3), Ok(second.clone()));
        let first = Subscription { generation: None, ..second };
        assert_eq!(shortened(1, 7), Ok(first.clone()));
        let owned = 4 + (2 + 1 + 4 + 8) + (2 + 1 + 4);
        assert_eq!(shortened(0, 7 + owned), Ok(Subscription { owned: Vec::new(), ..first }));
        // What a newer one appends is not known; what it has before that is.
        let mut newer = [&newest[..], &[1, 2, 3]].concat();
        assert_eq!(Subscription::decode(&newer), Err(Malformed("bytes are left behind the last field")));
        newer[1] = 4;
        assert_eq!(Subscription::decode(&newer), Ok(subscription()));
    }

    #[test]
    fn java_sorts() {
        let owned = vec![of("b", &[2, 1]), of("a", &[0])];
        let topics = vec!["\u{ff5e}".into(), "\u{1f980}".into(), "b".into(), "a".into()];
        let unsorted = Subscription { topics, owned, ..Subscription::default() };
        let sorted = Subscription::decode(&written(&unsorted)).unwrap();
        assert_eq!(sorted.topics, ["a", "b", "\u{1f980}", "\u{ff5e}"]);
        assert_eq!(sorted.owned, [of("a", &[0]), of("b", &[1, 2])]);
    }

    #[test]
    fn damage_is_refused_or_read() {
        let subscribed = written(&subscription());
        let given = assigned(&Assignment { partitions: subscription().owned, user_data: Some(vec![9]) });
        for cut in 0..subscribed.len() {
            assert!(Subscription::decode(&subscribed[..cut]).is_err());
        }
        for cut in 1..given.len() {
            assert!(Assignment::decode(&given[..cut]).is_err());
        }
        assert_eq!(Assignment::decode(&[]), Ok(Assignment::default()));
        for bit in 0..subscribed.len() * 8 {
            let mut flipped = subscribed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = Subscription::decode(&flipped);
            if let Some(byte) = given.get(bit / 8) {
                let mut flipped = given.clone();
                flipped[bit / 8] = byte ^ 1 << (bit % 8);
                let _ = Assignment::decode(&flipped);
            }
        }
        let long = Subscription { rack: Some("r".repeat(40_000)), ..subscription() };
        let mut bytes = vec![1];
        assert!(long.encode(&mut bytes).is_err());
        let far = Assignment { partitions: vec![of("a", &[u32::MAX])], user_data: None };
        assert!(far.encode(&mut bytes).is_err());
        assert_eq!(bytes, [1]);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(version in 0_i16..5, mut bytes: Vec<u8>) {
            bytes.splice(0..0, version.to_be_bytes());
            let _ = Subscription::decode(&bytes);
            let _ = Assignment::decode(&bytes);
        }
    }
}
