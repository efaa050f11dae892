use proptest::prelude::*;

use super::*;
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::tests::{hex, records, table, vectors_with_suffix};
use crate::format::wire::{push_compact_count, push_compact_str, push_no_tags, push_nullable_compact_str};

const AT: i64 = 1_700_000_000_000;

fn encoded(group: &GroupMetadata) -> Vec<u8> {
    let mut bytes = Vec::new();
    group.encode(&mut bytes).unwrap();
    bytes
}

fn one_member() -> GroupMetadata {
    let rows = table("coordinator_records");
    let member = GroupMember {
        id: "c-1".into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: hex(&rows["rows"]["subscription_v0"]),
        assignment: hex(&rows["rows"]["assignment_v0"]),
    };
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 1,
        protocol: Some("range".into()),
        leader: Some("c-1".into()),
        state_since: Some(AT),
        members: vec![member],
    }
}

#[test]
fn groups_of_the_table_both_ways() {
    let rows = table("coordinator_records");
    let empty =
        GroupMetadata { generation: 2, protocol: None, leader: None, members: Vec::new(), ..one_member() };
    let groups = [("one_member", one_member()), ("empty", empty)];
    for (name, group) in groups {
        let bytes = hex(&rows["rows"][format!("group_metadata_value_v3_{name}")]);
        assert_eq!(GroupMetadata::decode(&bytes), Ok(Some(group.clone())));
        assert_eq!(encoded(&group), bytes);
    }
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn groups_of_brokers_are_written_as_brokers_do() {
    let mut seen = 0;
    for (path, log) in vectors_with_suffix("broker", ".log") {
        if !path.to_str().unwrap().contains("__consumer_offsets") {
            continue;
        }
        for record in records(&log).into_iter().filter(|record| !record.control) {
            let key = record.key.unwrap();
            let Ok(CoordinatorKey::Group { .. }) = CoordinatorKey::decode(&key) else { continue };
            let Some(value) = record.value else { continue };
            let group = GroupMetadata::decode(&value).unwrap().unwrap();
            assert_eq!(encoded(&group), value);
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn older_versions_lack_fields() {
    for version in 0_i16..=2 {
        let mut bytes = version.to_be_bytes().to_vec();
        push_str("consumer", &mut bytes).unwrap();
        push_i32(1, &mut bytes);
        push_nullable_str(Some("range"), &mut bytes).unwrap();
        push_nullable_str(Some("c-1"), &mut bytes).unwrap();
        if version >= 2 {
            push_i64(AT, &mut bytes);
        }
        push_count(1, &mut bytes);
        let mut group = one_member();
        let member = &mut group.members[0];
        for text in [&member.id, &member.client_id, &member.client_host] {
            push_str(text, &mut bytes).unwrap();
        }
        if version >= 1 {
            push_i32(300_000, &mut bytes);
        } else {
            member.rebalance_timeout_ms = 45_000;
        }
        push_i32(45_000, &mut bytes);
        push_bytes(&member.subscription, &mut bytes);
        push_bytes(&member.assignment, &mut bytes);
        group.state_since = group.state_since.filter(|_| version >= 2);
        assert_eq!(GroupMetadata::decode(&bytes), Ok(Some(group)), "version {version}");
    }
}

#[test]
fn since_when_a_group_has_positions_is_stored_where_brokers_do_not_look() {
    let group = GroupMetadata { generation: 3, ..GroupMetadata::default() };
    assert_eq!(group.since(), None);
    let noted = group.with_since(42);
    assert_eq!((noted.protocol.as_deref(), noted.since()), (Some("stratalog-since-42"), Some(42)));
    assert_eq!(GroupMetadata::decode(&encoded(&noted)), Ok(Some(noted.clone())));
    assert_eq!(noted.with_since(0).since(), Some(0));
    // With members it is the assignor.
    assert_eq!(one_member().with_since(42).since(), None);
    for other in ["range", "stratalog-since-", "stratalog-since--1", "stratalog-since-99999999999999999999"] {
        let group = GroupMetadata { protocol: Some(other.into()), ..GroupMetadata::default() };
        assert_eq!(group.since(), None, "{other}");
    }
}

#[test]
fn version_4_is_compact() {
    let group = one_member();
    let mut bytes = vec![0, 4];
    push_compact_str("consumer", &mut bytes);
    push_i32(1, &mut bytes);
    push_nullable_compact_str(Some("range"), &mut bytes);
    push_nullable_compact_str(Some("c-1"), &mut bytes);
    push_i64(AT, &mut bytes);
    push_compact_count(1, &mut bytes);
    let member = &group.members[0];
    push_compact_str(&member.id, &mut bytes);
    push_nullable_compact_str(None, &mut bytes);
    push_compact_str(&member.client_id, &mut bytes);
    push_compact_str(&member.client_host, &mut bytes);
    push_i32(300_000, &mut bytes);
    push_i32(45_000, &mut bytes);
    for field in [&member.subscription, &member.assignment] {
        push_compact_count(field.len(), &mut bytes);
        bytes.extend(field);
    }
    push_no_tags(&mut bytes);
    push_no_tags(&mut bytes);
    assert_eq!(GroupMetadata::decode(&bytes), Ok(Some(group)));
    bytes.push(0);
    assert!(GroupMetadata::decode(&bytes).is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |bytes: &[u8]| GroupMetadata::decode(bytes).unwrap_err().0;
    let whole = encoded(&one_member());
    for cut in 0..whole.len() {
        wrong(&whole[..cut]);
    }
    assert_eq!(wrong(&[255, 255]), "a record has a negative version");
    assert_eq!(wrong(&[&whole[..], &[0]].concat()), "bytes are left after the last field");
    assert_eq!(GroupMetadata::decode(&[0, 5]), Ok(None));

    let mut group = one_member();
    group.members[0].client_id = "c".repeat(40_000);
    let mut bytes = vec![1];
    assert!(group.encode(&mut bytes).is_err());
    assert_eq!(bytes, [1]);
}

#[test]
#[cfg_attr(miri, ignore = "tries each bit of a batch or record, which takes Miri minutes")]
fn flipped_bits_are_refused_or_read() {
    let whole = encoded(&one_member());
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some(group)) = GroupMetadata::decode(&flipped) {
            assert_eq!(GroupMetadata::decode(&encoded(&group)), Ok(Some(group)));
        }
    }
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn garbage_is_refused_or_read(version in 0_i16..6, mut bytes: Vec<u8>) {
        bytes.splice(0..0, version.to_be_bytes());
        let _ = GroupMetadata::decode(&bytes);
    }
}
