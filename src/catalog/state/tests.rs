use super::*;

const A: Uuid = Uuid::from_bytes([0xaa; 16]);
const B: Uuid = Uuid::from_bytes([0xbb; 16]);

fn topic(name: &str, id: Uuid) -> MetadataRecord {
    MetadataRecord::Topic { name: name.into(), id }
}

fn partition(topic_id: Uuid, partition: u32) -> MetadataRecord {
    MetadataRecord::Partition {
        partition,
        topic_id,
        replicas: vec![1],
        isr: vec![],
        leader: -1,
        leader_epoch: 4,
        partition_epoch: 5,
        directories: vec![],
    }
}

fn config(topic: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.into(),
        name: name.into(),
        value: value.map(Into::into),
    }
}

fn replayed(records: impl IntoIterator<Item = MetadataRecord>) -> State {
    let mut state = State::default();
    records.into_iter().for_each(|record| state.apply(record).unwrap());
    state
}

#[test]
fn settings_may_come_before_their_topic_and_go_with_it() {
    let set = [config("a", "retention.ms", Some("5")), config("a", "segment.ms", Some("6"))];
    let made = [topic("a", A), partition(A, 0), partition(A, 1)];
    let before = replayed(set.clone().into_iter().chain(made.clone()));
    assert_eq!(before, replayed(made.into_iter().chain(set)));
    assert_eq!(before.settings_of("a").collect::<Vec<_>>(), [("retention.ms", "5"), ("segment.ms", "6")]);

    let mut state = before;
    state.apply(config("a", "segment.ms", None)).unwrap();
    assert_eq!(state.settings_of("a").count(), 1);
    state.apply(MetadataRecord::RemoveTopic { topic_id: A }).unwrap();
    state.apply(topic("a", B)).unwrap();
    assert_eq!(state.settings_of("a").count(), 0);
    assert_eq!((state.id_of("a"), state.removed().name_of(A)), (Some(B), Some("a")));
    assert!(state.topic(B).unwrap().partitions.is_empty());
}

#[test]
fn deleted_topics_are_kept_until_they_are_forgotten() {
    let remove = MetadataRecord::RemoveTopic { topic_id: A };
    let mut state = replayed([topic("a", A), remove.clone()]);
    assert!(state.removed().contains(A));
    assert_eq!(state.removed().id_of("a"), Some(A));
    state.apply(topic("a", A)).unwrap();
    assert!(!state.removed().contains(A));
    assert_eq!(state.removed().id_of("a"), None);
    state.apply(remove.clone()).unwrap();

    state.forget_removed();
    let open = state.clone();
    assert!(!open.removed().contains(A));
    // A topic that comes and goes leaves nothing.
    state.apply(topic("b", B)).unwrap();
    state.apply(MetadataRecord::RemoveTopic { topic_id: B }).unwrap();
    assert_eq!(state, open);
}

#[test]
fn removing_the_former_holder_of_a_name_spares_the_present_one() {
    let remove = MetadataRecord::RemoveTopic { topic_id: A };
    let state = replayed([topic("a", A), remove.clone(), topic("a", B), partition(B, 0), remove]);
    assert_eq!(state.id_of("a"), Some(B));
    assert_eq!((state.partition_count(), state.alike("a", true)), (1, Some("a")));
}

#[test]
fn a_topic_that_was_compacted_once_is_known_for_it_until_it_is_removed() {
    let policy = |value| config("a", "cleanup.policy", value);
    let mut state = replayed([topic("a", A), topic("b", B), policy(Some("delete"))]);
    assert!(!state.may_have_been_compacted("a"));
    state.apply(policy(Some("delete, compact"))).unwrap();
    state.apply(policy(None)).unwrap();
    assert!(state.may_have_been_compacted("a") && !state.may_have_been_compacted("b"));
    state.apply(MetadataRecord::RemoveTopic { topic_id: A }).unwrap();
    state.apply(topic("a", A)).unwrap();
    assert!(!state.may_have_been_compacted("a"));
    // A snapshot says nothing of before; what comes to be after it is known from its beginning.
    state.forget_history();
    state.apply(topic("c", Uuid::from_bytes([0xcc; 16]))).unwrap();
    assert!(state.may_have_been_compacted("a") && !state.may_have_been_compacted("c"));
    state
        .apply(MetadataRecord::Config {
            resource_type: BROKER_RESOURCE,
            resource_name: String::new(),
            name: BROKER_CLEANUP_POLICY.into(),
            value: Some("compact".into()),
        })
        .unwrap();
    assert!(state.may_have_been_compacted("c"));
}

#[test]
fn settings_of_brokers_are_not_those_of_topics() {
    let mut record = config("a", "retention.ms", Some("5"));
    if let MetadataRecord::Config { resource_type, .. } = &mut record {
        *resource_type = 4;
    }
    assert_eq!(replayed([topic("a", A), record]).settings_of("a").count(), 0);
}

#[test]
fn a_transaction_counts_at_its_end_or_not_at_all() {
    use MetadataRecord::{AbortTransaction, BeginTransaction, EndTransaction};
    let mut state = replayed([topic("a", A), BeginTransaction, topic("b", B), config("b", "x", Some("y"))]);
    assert!(state.in_transaction());
    assert_eq!(state.id_of("b"), None);
    let mut aborted = state.clone();
    aborted.apply(AbortTransaction).unwrap();
    assert_eq!(aborted, replayed([topic("a", A)]));
    state.apply(EndTransaction).unwrap();
    assert_eq!(state, replayed([topic("a", A), topic("b", B), config("b", "x", Some("y"))]));
    assert!(!state.in_transaction());
}

#[test]
fn partitions_know_where_they_were_made() {
    use MetadataRecord::{BeginTransaction, EndTransaction};
    let mut state = State::default();
    let made = |state: &State, id| -> Vec<u64> {
        state.topic(id).unwrap().partitions.values().map(|partition| partition.made_at).collect()
    };
    let records = [topic("a", A), partition(A, 0), BeginTransaction, partition(A, 1), EndTransaction];
    for (offset, record) in (10..).zip(records) {
        state.at(offset).apply(record).unwrap();
    }
    assert_eq!(made(&state, A), [11, 14], "one counts from the end of its transaction on");
    state.at(20).apply(partition(A, 0)).unwrap();
    assert_eq!(made(&state, A), [11, 14], "it was there already");
    state.at(30).apply(topic("a", B)).unwrap();
    state.at(31).apply(partition(B, 0)).unwrap();
    assert_eq!(made(&state, B), [31]);
}

#[test]
fn names_and_ids_that_no_topic_has_are_refused() {
    for record in
        [topic("../a", A), topic("__cluster_metadata", A), topic("", A), topic("a", Uuid::METADATA_TOPIC)]
    {
        assert!(State::default().apply(record).is_err());
    }
}

#[test]
fn the_last_producer_id_and_level_count() {
    let ids =
        |next_producer_id| MetadataRecord::ProducerIds { broker_id: 1, broker_epoch: -1, next_producer_id };
    let level = |level| MetadataRecord::FeatureLevel { name: METADATA_VERSION.into(), level };
    let other = MetadataRecord::Other { api_key: 27, version: 0, fields: vec![1, 2] };
    let state = replayed([level(21), ids(1000), other, level(25), ids(3000)]);
    assert_eq!((state.feature(METADATA_VERSION), state.next_producer_id()), (Some(25), 3000));
}

#[test]
fn a_topic_without_all_its_partitions_is_noticed() {
    let topic = |name: &str, id| MetadataRecord::Topic { name: name.into(), id };
    let partition = |partition, topic_id| MetadataRecord::Partition {
        partition,
        topic_id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: Vec::new(),
    };
    let check = |records: Vec<MetadataRecord>| {
        let mut state = State::default();
        for record in records {
            state.apply(record).unwrap();
        }
        state.check()
    };
    let id = Uuid::from_bytes([9; 16]);
    assert_eq!(check(vec![topic("a", id), partition(0, id), partition(1, id)]), Ok(()));
    assert!(check(vec![topic("a", id)]).unwrap_err().contains("\"a\" has no partitions"));
    assert!(check(vec![topic("a", id), partition(1, id)]).unwrap_err().contains("lacks one"));
}
