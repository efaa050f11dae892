use serde_json::{Value, json};

use super::*;

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn of_broker(name: &str) -> (Fixture, Value) {
    let dir = tempfile::tempdir().unwrap();
    copy(&vector(&format!("broker/{name}/logdir")), dir.path());
    let expected = fs::read(vector(&format!("broker/{name}/expected.json"))).unwrap();
    (Fixture::open(Arc::new(dir)), serde_json::from_slice(&expected).unwrap())
}

/// All groups as `expected.json` has them.
fn described(fixture: &Fixture) -> Value {
    let groups = fixture.offsets.groups().unwrap().into_iter().map(|group| {
        let offsets = fixture.offsets.of_group(&group).unwrap().into_iter().map(|(of, committed)| {
            json!({
                "topic": of.topic(),
                "partition": of.partition(),
                "offset": committed.offset,
                "leaderEpoch": committed.leader_epoch,
                "metadata": committed.metadata,
            })
        });
        json!({ "group": group, "state": "Empty", "offsets": offsets.collect::<Vec<_>>() })
    });
    groups.collect()
}

#[test]
fn groups_of_brokers_are_where_they_were() {
    for name in ["clean-4.1", "killed-4.1"] {
        let (fixture, expected) = of_broker(name);
        assert_eq!(described(&fixture), expected["groups"], "{name}");
        assert_eq!(fixture.reported(), [], "{name}");
        // With the broker's five partitions they continue.
        fixture.commit("g-simple", "codecs", 1, 99);
        fixture.commit("ours", "codecs", 0, 1);
        let before = described(&fixture);
        let fixture = fixture.reopened();
        assert_eq!(described(&fixture), before, "{name}");
        assert_eq!(fixture.offset("g-simple", "codecs", 1), Some(99));
        assert_eq!(fixture.all_of("ours"), ["codecs-0: 1"]);
        assert_eq!(fixture.reported(), []);
    }
}

#[test]
fn records_of_broker_groups_are_read() {
    let (fixture, _) = of_broker("clean-4.1");
    let record = fixture.offsets.group_record("g-classic").unwrap().unwrap();
    assert_eq!((&*record.protocol_type, &record.members[..]), ("consumer", &[][..]));
    assert!(record.generation > 0 && record.state_since.is_some());
    // Of the newer protocol: it is there, and that is all.
    assert_eq!(fixture.offsets.group_record("g-new").unwrap(), None);

    for group in fixture.offsets.groups().unwrap() {
        fixture.offsets.delete_group(&group, NOW).unwrap();
    }
    assert_eq!(described(&fixture), json!([]));
    assert_eq!(described(&fixture.reopened()), json!([]));
}

#[test]
fn the_sample_partition_is_read() {
    let log = fs::read(vector("logdir/__consumer_offsets-12/00000000000000000000.log")).unwrap();
    let fixture = Fixture::with_log("my-group", &log);
    assert!(fixture.directory_of("my-group").ends_with("__consumer_offsets-12"));
    assert_eq!(fixture.offsets.groups().unwrap(), ["my-group"]);
    let record = fixture.offsets.group_record("my-group").unwrap().unwrap();
    assert_eq!((record.generation, record.members.len()), (2, 0));
    // The last commit is about a topic that is not there, of that name.
    assert_eq!(fixture.all_of("my-group"), [""; 0]);

    // Two batches before, it was about whichever topic has the name.
    let fixture = Fixture::with_log("my-group", &log[..12 + 196 + 12 + 104]);
    assert_eq!(fixture.all_of("my-group"), ["orders-0: 42"]);
    let record = fixture.offsets.group_record("my-group").unwrap().unwrap();
    assert_eq!((record.generation, &*record.members[0].id), (1, "c-1"));
    assert_eq!(fixture.reported(), []);
}
