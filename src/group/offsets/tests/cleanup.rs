use super::*;
use crate::format::group_metadata::GroupMember;

const RETENTION: Duration = Duration::from_secs(60);
const LATER: i64 = NOW + 60_000;

#[test]
fn all_groups_forget_a_topic() {
    let fixture = Fixture::new();
    for n in 0..20 {
        let group = format!("group-{n}");
        for topic in ["gone", "gone2", "kept"] {
            fixture.commit(&group, topic, 0, 5);
            fixture.commit(&group, topic, 3, 5);
        }
    }
    fixture.offsets.forget_topic("gone", NOW).unwrap();
    for fixture in [&fixture, &Fixture::open(Arc::clone(&fixture.dir))] {
        for n in 0..20 {
            let expected = ["gone2-0: 5", "gone2-3: 5", "kept-0: 5", "kept-3: 5"];
            assert_eq!(fixture.all_of(&format!("group-{n}")), expected);
        }
    }
    let shards = fixture.offsets.shards().unwrap().unwrap();
    for shard in &shards.all {
        let bounds = shard.log().bounds().unwrap();
        assert_eq!(bounds.durable, bounds.log_end, "on disk");
    }
}

#[test]
fn commits_beyond_the_end_are_lowered_and_reported() {
    let fixture = Fixture::new();
    let positions = [
        Position::new(("t", 0), 10).with_leader_epoch(3),
        Position::new(("t", 1), 10),
        Position::new(("gone", 0), 10),
    ];
    fixture.offsets.commit("g", &positions, NOW, Durability::Buffered).unwrap();
    fixture.commit("h", "t", 0, 8);
    let ends = |of: &TopicPartition| (of.topic() == "t").then_some(if of.partition() == 0 { 7 } else { 10 });
    assert_eq!(fixture.offsets.clamp(ends, LATER).unwrap(), 2);
    let committed = fixture.offsets.get("g", &("t", 0).into()).unwrap().unwrap();
    assert_eq!((committed.offset, committed.leader_epoch, committed.at), (7, None, LATER));
    let lowered = |group: &str, from| Event::CommitLowered {
        group: group.into(),
        partition: ("t", 0).into(),
        from,
        to: 7,
    };
    let mut reported = fixture.reported();
    reported.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(reported, [lowered("g", 10), lowered("h", 8)]);
    assert_eq!(fixture.offsets.clamp(ends, LATER).unwrap(), 0);
    assert_eq!(fixture.all_of("g"), ["gone-0: 10", "t-0: 7", "t-1: 10"]);
    assert_eq!(fixture.reopened().offset("h", "t", 0), Some(7));
}

#[test]
fn a_lowered_commit_keeps_what_its_committer_wanted_to_remember() {
    let (key, value) = commit("g", "t", 0, 10);
    let mut value = value.unwrap();
    // Version 3: the metadata comes after version, offset and epoch.
    value.splice(14..16, [0, 2, b'h', b'i']);
    let fixture = Fixture::with_log("g", &plain(0, &[(key, Some(value))]));
    assert_eq!(fixture.offsets.clamp(|_| Some(4), NOW).unwrap(), 1);
    let committed = fixture.reopened().offsets.get("g", &("t", 0).into()).unwrap().unwrap();
    assert_eq!((committed.offset, &*committed.metadata), (4, "hi"));
}

fn record(protocol_type: &str, since: Option<i64>, topics: &[&str]) -> GroupMetadata {
    let members = topics.iter().map(|topic| {
        // Version 0: one topic, no user data.
        let mut subscription = vec![0, 0, 0, 0, 0, 1, 0, u8::try_from(topic.len()).unwrap()];
        subscription.extend(topic.as_bytes());
        subscription.extend((-1_i32).to_be_bytes());
        GroupMember { subscription, ..GroupMember::default() }
    });
    GroupMetadata {
        protocol_type: protocol_type.into(),
        state_since: since,
        members: members.collect(),
        ..GroupMetadata::default()
    }
}

/// Topics of which commits are left after expiry, and whether the group's record is.
fn after_expiry(record: Option<GroupMetadata>, now: i64, in_use: &str) -> (Vec<String>, bool) {
    let fixture = Fixture::new();
    fixture.commit("g", "a", 0, 1);
    fixture.commit("g", "b", 0, 1);
    if let Some(record) = record {
        fixture.offsets.write_group("g", &record, NOW).unwrap();
    }
    let before = fixture.all_of("g").len();
    let expired = fixture.offsets.expire(now, RETENTION, |group, topic| {
        assert_eq!(group, "g");
        topic == in_use
    });
    assert_eq!(expired.unwrap(), before - fixture.all_of("g").len());
    let fixture = fixture.reopened();
    let left = fixture.offsets.of_group("g").unwrap().into_iter().map(|(of, _)| of.topic().to_owned());
    (left.collect(), fixture.offsets.group_record("g").unwrap().is_some())
}

#[test]
fn old_commits_expire_by_the_rules_of_brokers() {
    let all = || vec!["a".to_owned(), "b".to_owned()];
    let nothing = Vec::<String>::new;
    assert_eq!(after_expiry(None, LATER - 1, ""), (all(), false));
    assert_eq!(after_expiry(None, LATER, ""), (nothing(), false));
    assert_eq!(after_expiry(None, LATER, "a"), (vec!["a".to_owned()], false));
    // The record that a broker gives a group that only commits.
    assert_eq!(after_expiry(Some(record("", None, &[])), LATER, ""), (nothing(), false));
    assert_eq!(after_expiry(Some(record("", None, &[])), LATER, "b"), (vec!["b".to_owned()], true));

    // Without members: from when the last one left.
    let empty = |since| Some(record("consumer", since, &[]));
    assert_eq!(after_expiry(empty(Some(NOW + 1)), LATER, ""), (all(), true));
    assert_eq!(after_expiry(empty(Some(NOW)), LATER, ""), (nothing(), false));
    assert_eq!(after_expiry(empty(None), LATER - 1, ""), (all(), true));
    assert_eq!(after_expiry(empty(None), LATER, ""), (nothing(), false));

    // With members: what none of them reads.
    let members = |kind, topics: &[&str]| Some(record(kind, Some(NOW), topics));
    assert_eq!(after_expiry(members("consumer", &["c", "a"]), LATER, ""), (vec!["a".to_owned()], true));
    assert_eq!(after_expiry(members("consumer", &["c"]), LATER, ""), (nothing(), true));
    assert_eq!(after_expiry(members("consumer", &["c"]), LATER - 1, ""), (all(), true));
    assert_eq!(after_expiry(members("connect", &["c"]), LATER, ""), (all(), true));
    let mut unreadable = record("consumer", Some(NOW), &["c"]);
    unreadable.members[0].subscription = vec![1];
    assert_eq!(after_expiry(Some(unreadable), LATER, ""), (all(), true));
}

#[test]
fn a_group_that_waits_for_topics_goes_when_it_is_without_members_for_too_long() {
    let is_left = |record: GroupMetadata| {
        let fixture = Fixture::new();
        fixture.offsets.write_group("g", &record, NOW).unwrap();
        fixture.offsets.expire(LATER, RETENTION, |_, _| false).unwrap();
        let group = fixture.reopened().offsets.groups().unwrap();
        group == ["g"]
    };
    assert!(is_left(record("consumer", None, &[]).with_since(0)));
    assert!(is_left(record("consumer", Some(NOW + 1), &[]).with_since(0)));
    assert!(!is_left(record("consumer", Some(NOW), &[]).with_since(0)));
    assert!(!is_left(record("consumer", None, &[])), "one that only a broker has noted");
    assert!(!is_left(record("", None, &[]).with_since(0)), "nor one that only ever committed");
}

#[test]
fn groups_commit_while_it_is_asked_who_is_in_use() {
    let fixture = Fixture::new();
    fixture.commit("g", "a", 0, 1);
    fixture.commit("g", "b", 0, 1);
    let expired = fixture.offsets.expire(LATER, RETENTION, |_, topic| {
        if topic == "a" {
            let position = [Position::new(("a", 0), 2)];
            fixture.offsets.commit("g", &position, LATER, Durability::Buffered).unwrap();
        }
        false
    });
    assert_eq!((expired.unwrap(), fixture.all_of("g")), (1, vec!["a-0: 2".to_owned()]));
}

#[test]
fn a_group_of_the_newer_protocol_keeps_its_commits_while_it_has_members() {
    let member = (vec![0, 5, 0, 1, b'g', 0, 1, b'm'], Some(vec![0, 0]));
    let group = (vec![0, 3, 0, 1, b'g'], Some(vec![0, 0]));
    for (records, expired) in [(vec![group.clone(), member], 0), (vec![group], 1)] {
        let fixture = Fixture::with_log("g", &plain(0, &records));
        fixture.commit("g", "t", 0, 1);
        assert_eq!(fixture.offsets.expire(LATER, RETENTION, |_, _| false).unwrap(), expired);
    }
}

#[test]
fn an_expiry_of_its_own_counts_for_a_commit() {
    let (key, _) = commit("g", "t", 0, 0);
    let mut value = vec![0, 1];
    value.extend(5_i64.to_be_bytes());
    value.extend([0, 0]);
    value.extend(NOW.to_be_bytes());
    value.extend((NOW + 9).to_be_bytes());
    let fixture = Fixture::with_log("g", &plain(0, &[(key, Some(value))]));
    let expire = |now| fixture.offsets.expire(now, RETENTION, |_, _| false).unwrap();
    assert_eq!((expire(NOW + 8), fixture.offset("g", "t", 0)), (0, Some(5)));
    assert_eq!((expire(NOW + 9), fixture.offset("g", "t", 0)), (1, None));
}
