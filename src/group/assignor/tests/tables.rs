//! The sample files: other clients' answers, and the rules applied by hand.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn table() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/tables/assignors.json")).unwrap()
}

fn partition(of: &Value) -> TopicPartition {
    let number = u32::try_from(of[1].as_u64().unwrap()).unwrap();
    (of[0].as_str().unwrap(), number).into()
}

fn partitions(of: &Value) -> Vec<TopicPartition> {
    of.as_array().unwrap().iter().map(partition).collect()
}

fn topics(of: &Value) -> BTreeMap<Arc<str>, u32> {
    let count = |count: &Value| u32::try_from(count.as_u64().unwrap()).unwrap();
    of.as_object().unwrap().iter().map(|(name, value)| (name.as_str().into(), count(value))).collect()
}

/// The lists by member, each in order, which that of the files is not always.
fn by_member(of: &Value) -> BTreeMap<String, Vec<TopicPartition>> {
    let sorted = |value: &Value| {
        let mut list = partitions(value);
        list.sort();
        list
    };
    of.as_object().unwrap().iter().map(|(id, value)| (id.clone(), sorted(value))).collect()
}

fn named(group: &Group, lists: Lists) -> BTreeMap<String, Vec<TopicPartition>> {
    group.members.iter().map(|member| member.id.clone()).zip(lists).collect()
}

#[test]
fn range_and_round_robin_answer_as_other_clients_do() {
    let table = table();
    let cases = table["range_and_roundrobin"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let assignor = of_word(case["assignor"].as_str().unwrap());
        let members = case["subscriptions"].as_object().unwrap().iter().map(|(id, topics)| {
            let topics: Vec<_> = topics.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            Member::new(id, &topics)
        });
        let group = Group { members: members.collect(), topics: topics(&case["partitions"]) };
        assert_eq!(named(&group, group.assign(assignor)), by_member(&case["assignment"]), "{case}");
    }
}

#[test]
fn sticky_follows_the_rules_step_by_step() {
    let table = table();
    let cases = table["sticky_same_subscription"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let topics = topics(&case["partitions"]);
        let names: Vec<_> = topics.keys().map(|name| &**name).collect();
        let members = case["members"].as_array().unwrap().iter().map(|id| {
            let owned = case["owned_before"].get(id.as_str().unwrap()).map(partitions).unwrap_or_default();
            Member { owned, generation: 3, ..Member::new(id.as_str().unwrap(), &names) }
        });
        let group = Group { members: members.collect(), topics: topics.clone() };
        let sticky = by_member(&case["sticky_assignment"]);
        assert_eq!(named(&group, group.assign(Assignor::Sticky)), sticky, "{case}");
        assert_eq!(named(&group, group.target(Assignor::CooperativeSticky)), sticky, "{case}");
        let first_round = group.assign(Assignor::CooperativeSticky);
        assert_eq!(named(&group, first_round.clone()), by_member(&case["cooperative_first_round"]), "{case}");

        let dealt: BTreeSet<_> = first_round.into_iter().flatten().collect();
        let held_back = group.partitions().into_iter().filter(|one| !dealt.contains(one));
        assert!(held_back.eq(partitions(&case["moving_between_members"])), "{case}");
    }
}

#[test]
fn sections_of_the_table_are_all_read() {
    let table = table();
    let sections: Vec<_> = table.as_object().unwrap().keys().collect();
    assert_eq!(sections, ["range_and_roundrobin", "sticky_check", "sticky_same_subscription"]);
}

#[test]
fn a_claim_of_a_later_generation_wins_and_one_shared_in_a_generation_is_void() {
    let both = || Member::new("a", &["t"]);
    let owned = |of: &[u32]| of.iter().map(|&number| ("t", number).into()).collect::<Vec<TopicPartition>>();
    let topics = BTreeMap::from([("t".into(), 4)]);
    let older = Member { generation: 6, owned: owned(&[0, 1]), ..both() };
    let newer = Member { generation: 7, owned: owned(&[1, 2]), id: "b".into(), ..both() };
    let group = Group { members: vec![older.clone(), newer], topics: topics.clone() };
    assert_eq!(group.assign(Assignor::Sticky), [owned(&[0, 3]), owned(&[1, 2])]);

    // 1 is claimed by both in generation 6: neither keeps it, it is assigned anew, and withheld from its new owner.
    let same = Member { generation: 6, owned: owned(&[1, 2]), id: "b".into(), ..both() };
    let group = Group { members: vec![older, same], topics };
    assert_eq!(group.assign(Assignor::Sticky), [owned(&[0, 1]), owned(&[2, 3])]);
    assert_eq!(group.assign(Assignor::CooperativeSticky), [owned(&[0]), owned(&[2, 3])]);
}

#[test]
fn no_members_and_no_partitions_are_assigned_as_well() {
    for assignor in ALL {
        assert_eq!(Group::default().assign(assignor), Lists::new());
        let group =
            Group { members: vec![Member::new("a", &["gone"]), Member::default()], ..Group::default() };
        assert_eq!(group.assign(assignor), vec![Vec::new(); 2]);
        let empty = Group { topics: BTreeMap::from([("gone".into(), 0)]), ..group };
        assert_eq!(empty.assign(assignor), vec![Vec::new(); 2]);
    }
}

fn of_word(word: &str) -> Assignor {
    Assignor::ALL.into_iter().find(|assignor| assignor.kafka_word() == word).unwrap()
}
