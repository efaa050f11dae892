use super::*;
use crate::config::ReadUpTo;
use crate::format::batch::Batch;
use crate::format::raw_record::RawRecord;
use crate::partition::{Cursor, FetchLimits};

type Raw = (Vec<u8>, Option<Vec<u8>>);

/// Batches of records in the partition of a group.
fn batches(fixture: &Fixture, group: &str) -> Vec<Vec<Raw>> {
    let shards = fixture.offsets.shards().unwrap().unwrap();
    let mut cursor = Cursor::new(Arc::clone(shards.of(group).unwrap().log()), 0, ReadUpTo::Visible);
    let mut batches = Vec::new();
    while let Some(fetched) = cursor.fetch(FetchLimits { bytes: 1 << 20, records: usize::MAX }).unwrap() {
        let mut rest = fetched.bytes.as_ref();
        while let Some((batch, after)) = Batch::take_checked(rest) {
            let mut input = batch.records();
            let records = (0..batch.header.record_count).map(|_| {
                let record = RawRecord::take(&mut input).unwrap();
                assert_eq!(batch.timestamp_of(&record), NOW);
                (record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec))
            });
            batches.push(records.collect());
            rest = after;
        }
    }
    batches
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

#[test]
fn nothing_is_made_before_something_is_committed() {
    let fixture = Fixture::new();
    assert_eq!(fixture.offset("g", "orders", 0), None);
    assert_eq!(fixture.all_of("g"), [""; 0]);
    assert_eq!(fixture.offsets.groups().unwrap(), [""; 0]);
    assert_eq!(fixture.offsets.group_record("g").unwrap(), None);
    fixture.offsets.remove("g", &[("orders", 0).into()], NOW).unwrap();
    fixture.offsets.delete_group("g", NOW).unwrap();
    fixture.offsets.forget_topic("orders", NOW).unwrap();
    assert_eq!(fixture.offsets.clamp(|_| Some(0), NOW).unwrap(), 0);
    assert_eq!(fixture.offsets.expire(NOW, Duration::ZERO, |_, _| false).unwrap(), 0);
    fixture.offsets.commit("g", &[], NOW, Durability::Buffered).unwrap();
    assert!(fixture.catalog.topic(TOPIC).is_none());

    fixture.commit("my-group", "orders", 0, 42);
    let topic = fixture.catalog.topic(TOPIC).unwrap().describe();
    assert_eq!((topic.partitions.len(), topic.internal), (50, true));
    let settings: Vec<_> = topic.config.entries().collect();
    for set in [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "4194304")]
    {
        assert!(settings.contains(&set), "{set:?} in {settings:?}");
    }
    let entries = fs::read_dir(fixture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let made = entries.filter(|name| name.to_str().unwrap().starts_with(TOPIC));
    assert_eq!(made.collect::<Vec<_>>(), ["__consumer_offsets-12"]);
}

#[test]
fn a_commit_is_the_record_that_kafka_writes() {
    let table = fs::read(vector("tables/coordinator_records.json")).unwrap();
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let fixture = Fixture::new();
    let position = Position::new(("orders", 0), 42).with_leader_epoch(0);
    fixture.offsets.commit("my-group", &[position], NOW, Durability::Buffered).unwrap();
    fixture.offsets.remove("my-group", &[("orders", 0).into(), ("orders", 1).into()], NOW).unwrap();
    let group = GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 2,
        state_since: Some(NOW),
        ..GroupMetadata::default()
    };
    fixture.offsets.write_group("my-group", &group, NOW).unwrap();
    fixture.offsets.write_group("my-group", &group, NOW).unwrap();
    assert_eq!(fixture.offsets.group_record("my-group").unwrap(), Some(group));
    fixture.offsets.delete_group("my-group", NOW).unwrap();
    assert_eq!(fixture.offsets.group_record("my-group").unwrap(), None);

    let written = batches(&fixture, "my-group");
    let texts: Vec<Vec<_>> = written
        .iter()
        .map(|batch| batch.iter().map(|(key, value)| (hex(key), value.as_deref().map(hex))).collect())
        .collect();
    let row = |name: &str| table["rows"][name].as_str().unwrap().to_owned();
    let (offset_key, group_key) = (row("offset_commit_key"), row("group_metadata_key"));
    let expected = [
        vec![(offset_key.clone(), Some(row("offset_commit_value_v3")))],
        vec![(offset_key, None)],
        vec![(group_key.clone(), Some(row("group_metadata_value_v3_empty")))],
        vec![(group_key, None)],
    ];
    assert_eq!(texts, expected);
}

#[test]
fn one_call_is_one_batch_and_what_changes_nothing_is_not_written() {
    let fixture = Fixture::new();
    let commit = |offsets: &[u64], level| {
        let positions =
            (0..).zip(offsets).map(|(partition, offset)| Position::new(("t", partition), *offset));
        fixture.offsets.commit("g", &positions.collect::<Vec<_>>(), NOW, level).unwrap();
        batches(&fixture, "g").iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(commit(&[1, 2, 3], Durability::Buffered), [3]);
    assert_eq!(commit(&[1, 2, 3], Durability::Buffered), [3]);
    assert_eq!(commit(&[1, 5, 3], Durability::Buffered), [3, 1]);
    // It was not promised that the others will be on disk.
    let interval = Durability::Interval(Duration::from_secs(1));
    assert_eq!(commit(&[1, 5, 3], interval), [3, 1, 3]);
    assert_eq!(commit(&[1, 5, 3], interval), [3, 1, 3]);
    assert_eq!(commit(&[1, 5, 3], Durability::Synced), [3, 1, 3]);
    let shards = fixture.offsets.shards().unwrap().unwrap();
    assert_eq!(
        shards.of("g").unwrap().log().bounds().unwrap().durable,
        7,
        "what is there was synced all the same"
    );
    assert_eq!(fixture.all_of("g"), ["t-0: 1", "t-1: 5", "t-2: 3"]);
    // The last one of two for the same partition counts.
    let twice = [Position::new(("t", 0), 8), Position::new(("t", 0), 9)];
    fixture.offsets.commit("g", &twice, NOW, Durability::Buffered).unwrap();
    assert_eq!(fixture.offset("g", "t", 0), Some(9));
}

#[test]
fn an_epoch_is_kept_and_one_that_is_not_given_changes_nothing() {
    let fixture = Fixture::new();
    let at = Position::new(("t", 0), 5);
    let commit = |position: &Position| {
        fixture.offsets.commit("g", std::slice::from_ref(position), NOW, Durability::Buffered).unwrap();
        let committed = fixture.offsets.get("g", position.topic_partition()).unwrap().unwrap();
        (committed.leader_epoch, fixture.log_end("g"))
    };
    assert_eq!(commit(&at.clone().with_leader_epoch(3)), (Some(3), 1));
    assert_eq!(commit(&at), (Some(3), 1));
    assert_eq!(commit(&at.with_leader_epoch(4)), (Some(4), 2));
}

#[test]
fn what_cannot_be_written_is_refused_whole() {
    let fixture = Fixture::new();
    let good = Position::new(("t", 0), 1);
    let refused = |group: &str, bad: &Position| {
        let positions = [good.clone(), bad.clone()];
        let failure = fixture.offsets.commit(group, &positions, NOW, Durability::Buffered).unwrap_err();
        assert!(matches!(failure, Error::InvalidInput { .. }), "{failure}");
        failure.to_string()
    };
    assert!(refused("g", &Position::new(("t", 0), 1 << 63)).contains("9223372036854775808 is above"));
    assert!(refused("g", &good.clone().with_leader_epoch(1 << 31)).contains("leader epoch"));
    assert!(refused("g", &Position::new(("t", u32::MAX), 1)).contains("partition number"));
    let long = "g".repeat(32_768);
    assert!(refused(&long, &good).contains("32768 bytes, but Kafka takes at most 32,767"));
    assert!(refused("g", &Position::new((&*long, 0), 1)).contains("topic name: it has 32768 bytes"));
    assert!(fixture.offsets.write_group(&long, &GroupMetadata::default(), NOW).is_err());
    assert!(fixture.catalog.topic(TOPIC).is_none());
    assert_eq!(fixture.offsets.groups().unwrap(), [""; 0]);
    fixture
        .offsets
        .commit("g", &[Position::new(("t", 0), (1 << 63) - 1)], NOW, Durability::Buffered)
        .unwrap();
    assert_eq!(fixture.offset("g", "t", 0), Some((1 << 63) - 1));
}

#[test]
fn however_many_positions_are_committed_they_are_one_batch_and_only_what_is_done_again_is_several() {
    let fixture = Fixture::new();
    let many: Vec<_> = (0..30_000).map(|n| Position::new(("a-topic-with-a-long-name", n), 7)).collect();
    fixture.offsets.commit("g", &many, NOW, Durability::Buffered).unwrap();
    assert_eq!(batches(&fixture, "g").iter().map(Vec::len).collect::<Vec<_>>(), [many.len()]);
    assert_eq!(fixture.all_of("g").len(), many.len());
    let fixture = fixture.reopened();
    assert_eq!(fixture.all_of("g").len(), many.len());
    fixture.offsets.forget_topic("a-topic-with-a-long-name", NOW).unwrap();
    let written = batches(&fixture, "g");
    assert!(written.len() > 2, "{}", written.len());
    assert_eq!(written.iter().skip(1).map(Vec::len).sum::<usize>(), many.len());
    assert_eq!(fixture.reopened().all_of("g"), [""; 0]);
}

#[test]
fn groups_of_the_newer_protocol_are_there_by_name_and_go_as_a_broker_lets_them_go() {
    let kinds = [3_u8, 4, 5, 6, 7, 8, 16];
    let key = |kind: u8, group: u8| vec![0, kind, 0, 1, group, 0, 1, b'm'];
    let mut records: Vec<Raw> = kinds.iter().map(|kind| (key(*kind, b'g'), Some(vec![0, 0]))).collect();
    // Share groups and whatever comes later are none of ours.
    records.extend([11, 18].map(|kind| (key(kind, b'h'), Some(vec![0, 0]))));
    let fixture = Fixture::with_log("g", &plain(0, &records));
    assert_eq!(fixture.offsets.groups().unwrap(), ["g"]);
    fixture.commit("g", "t", 0, 1);
    fixture.offsets.delete_group("g", NOW).unwrap();
    assert_eq!(fixture.offsets.groups().unwrap(), [""; 0]);
    let written = batches(&fixture, "g").pop().unwrap();
    assert!(written.iter().all(|(_, value)| value.is_none()));
    let written: Vec<_> = written.iter().map(|(key, _)| key[1]).collect();
    assert_eq!(written, [1, 16, 8, 7, 6, 5, 4, 3]);
    assert_eq!(fixture.reported(), []);
}

#[test]
fn a_commit_about_a_topic_that_is_gone_does_not_count() {
    let value = |id: Uuid| {
        let mut value = vec![0, 4];
        value.extend(42_i64.to_be_bytes());
        value.extend([255; 4]);
        value.push(1);
        value.extend(NOW.to_be_bytes());
        value.extend([1, 0, 16]);
        value.extend(id.as_bytes());
        value
    };
    for is_present in [true, false] {
        let fixture = Fixture::new();
        let topic = fixture.catalog.create(&[("t", TopicConfig::new())], NOW).unwrap().remove(0);
        let id = if is_present { topic.id() } else { Uuid::from_bytes([7; 16]) };
        let (key, _) = commit("g", "t", 0, 0);
        fixture.put_log("g", &plain(0, &[(key, Some(value(id)))]));
        assert_eq!(fixture.offset("g", "t", 0), is_present.then_some(42));
        assert_eq!(fixture.all_of("g").len(), usize::from(is_present));
        assert_eq!(fixture.offsets.groups().unwrap().len(), usize::from(is_present));
        assert_eq!(fixture.offsets.clamp(|_| Some(41), NOW).unwrap(), usize::from(is_present));
        // Where another topic was meant, the same offset of this one is news.
        fixture.commit("g", "t", 0, 42);
        assert_eq!(fixture.offset("g", "t", 0), Some(42));
        fixture.catalog.delete("t", NOW).unwrap();
        assert_eq!(fixture.offset("g", "t", 0), Some(42), "ours is about the name");
    }
}
