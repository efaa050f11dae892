use super::*;
use crate::format::group_metadata::GroupMetadata;
use crate::group::offsets::Commit;

const RETENTION: Duration = Duration::from_secs(60);

fn record(protocol_type: &str, since: Option<i64>) -> GroupMetadata {
    GroupMetadata { protocol_type: protocol_type.into(), state_since: since, ..GroupMetadata::default() }
}

fn names(commits: Vec<Commit>) -> Vec<String> {
    commits.into_iter().map(|commit| format!("{} {}", commit.group, commit.partition)).collect()
}

#[test]
fn commits_that_would_be_forgotten_are_written_again_and_no_others() {
    let fixture = Fixture::new();
    let commit = |group: &str, at: i64| {
        let position = Position::new(("t", 0), 5).with_leader_epoch(3);
        fixture.offsets.commit(group, &[position], at, Durability::Buffered).unwrap();
    };
    commit("old", NOW - 60_000);
    commit("young", NOW - 59_999);
    // What counts is when its last member left.
    commit("left-long-ago", NOW);
    fixture.offsets.write_group("left-long-ago", &record("consumer", Some(NOW - 60_000)), NOW).unwrap();
    commit("left-lately", NOW - 90_000);
    fixture.offsets.write_group("left-lately", &record("consumer", Some(NOW)), NOW).unwrap();
    let expiring = |fixture: &Fixture, then| names(fixture.offsets.expiring(then, RETENTION).unwrap());
    assert_eq!(expiring(&fixture, NOW), ["left-long-ago t-0", "old t-0"]);
    let end = fixture.log_end("young");
    fixture.offsets.recommit(NOW, RETENTION, NOW + 7).unwrap();
    assert_eq!(fixture.log_end("young"), end);
    for fixture in [&fixture, &Fixture::open(Arc::clone(&fixture.dir))] {
        let recommitted = fixture.offsets.get("old", &("t", 0).into()).unwrap().unwrap();
        assert_eq!((recommitted.offset, recommitted.leader_epoch, recommitted.at), (5, Some(3), NOW + 7));
        let left = fixture.offsets.group_record("left-long-ago").unwrap().unwrap();
        assert_eq!(left.state_since, Some(NOW + 7));
        assert_eq!(expiring(fixture, NOW), [""; 0]);
        assert_eq!(expiring(fixture, NOW + 60_007).len(), 4);
        // The rules that are applied here are those of expiring.
        assert_eq!(fixture.offsets.expire(NOW + 2, RETENTION, |_, _| false).unwrap(), 1, "the young one");
        assert_eq!(fixture.offset("young", "t", 0), None);
        commit("young", NOW - 59_999);
    }
}

#[test]
fn a_commit_keeps_its_metadata_and_one_with_an_expiry_of_its_own_is_left() {
    let (key, value) = commit("g", "t", 0, 10);
    let mut value = value.unwrap();
    // Version 3: the metadata comes after version, offset and epoch.
    value.splice(14..16, [0, 2, b'h', b'i']);
    let fixture = Fixture::with_log("g", &plain(0, &[(key, Some(value))]));
    fixture.offsets.recommit(NOW + 90_000, RETENTION, NOW).unwrap();
    let recommitted = fixture.offsets.get("g", &("t", 0).into()).unwrap().unwrap();
    assert_eq!((recommitted.offset, &*recommitted.metadata), (10, "hi"));

    let (key, _) = commit("h", "t", 0, 10);
    let mut value = vec![0, 1];
    value.extend(10_i64.to_be_bytes());
    value.extend([0, 0]);
    value.extend(1_i64.to_be_bytes());
    value.extend(2_i64.to_be_bytes());
    let fixture = Fixture::with_log("h", &plain(0, &[(key, Some(value))]));
    assert_eq!(fixture.offset("h", "t", 0), Some(10));
    assert_eq!(fixture.offsets.expiring(NOW, RETENTION).unwrap(), []);
}
