use super::*;
use crate::format::transaction_state::TransactionStatus::{CompleteCommit, Empty};

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

fn of_broker(name: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    copy(&vector(&format!("broker/{name}/logdir")), dir.path());
    Fixture::open(Arc::new(dir))
}

#[test]
fn ids_of_brokers_are_read_and_written_to() {
    const CLEAN: [&str; 2] = ["13 CompleteCommit", "13 CompleteAbort"];
    const KILLED: [&str; 4] = [CLEAN[0], CLEAN[1], "2 CompleteAbort", "0 Ongoing"];
    for (name, expected) in [("clean-4.1", &CLEAN[..]), ("killed-4.1", &KILLED)] {
        let fixture = of_broker(name);
        let before = fixture.ids();
        let states: Vec<_> = before.iter().map(|text| text.split_once(": ").unwrap().1).collect();
        assert_eq!(states, expected, "{name}");
        assert_eq!(fixture.skipped(), []);
        for (id, known) in fixture.states.ids().unwrap() {
            assert_eq!(fixture.states.state_of(&id).unwrap(), Some(known));
            assert!(fixture.states.is_certain(&id).unwrap());
            // The broker was started more than once; each start is an epoch.
            assert!(fixture.states.coordinator_epoch_of(&id).unwrap() >= 2, "{name} {id}");
        }
        // With the broker's three partitions they continue, in its place of each id.
        let id = fixture.states.ids().unwrap()[0].0.clone();
        let written = fixture.written(&id, 30_000, CompleteCommit);
        assert_eq!(written.log().id().partition(), group_partition(&id, 3));
        fixture.write("of ours", 0, Empty);
        let after = fixture.ids();
        assert_eq!(after.len(), before.len() + 1);
        let epoch = fixture.states.coordinator_epoch_of(&id).unwrap();
        assert_eq!(written.log().leader().unwrap().leader_epoch(), epoch);
        drop(written);
        let fixture = fixture.reopened();
        assert_eq!(fixture.states.coordinator_epoch_of(&id).unwrap(), epoch);
        assert_eq!(fixture.ids(), after);
        assert_eq!(fixture.states.state_of(&id).unwrap(), Some(state(30_000, CompleteCommit)));
    }
}
