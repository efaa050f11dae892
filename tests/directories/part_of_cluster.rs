//! One directory of several, as that of a node of a stopped cluster: it is not written to alone without an option that says so,
//! and who has is given epochs that no other node can have used.

use std::fs;
use std::path::Path;

use crate::common::expected::Expected;
use crate::common::{crafted, read, recorded, texts, tree};
use stratalog::inspect::LogFile;
use stratalog::{Error, EventLog, Record, Remedy, Topic, TopicConfig};

/// Makes a log of two topics and closes it. Of one, both partitions have a record.
fn made(root: &Path) {
    let log = EventLog::open(root).unwrap();
    let shared = log.create_topic("shared", TopicConfig::new().partitions(2)).unwrap();
    log.create_topic("own", TopicConfig::new()).unwrap();
    for partition in [0, 1] {
        log.producer().unwrap().send(&shared, Record::new("theirs too").partition(partition)).unwrap();
    }
    log.close().unwrap();
}

/// A change of partition 0 that gives it copies, as a cluster notes it when partitions are moved.
fn with_replicas(root: &Path, topic: &Topic, replicas: &[i32]) {
    let mut change = vec![1, 5, 0];
    change.extend(0_i32.to_be_bytes());
    change.extend(topic.id().as_bytes());
    // Of one field, the replicas.
    let length = u8::try_from(1 + 4 * replicas.len()).unwrap();
    change.extend([1, 2, length, u8::try_from(replicas.len() + 1).unwrap()]);
    change.extend(replicas.iter().flat_map(|node| node.to_be_bytes()));
    crafted::append(root, "__cluster_metadata-0", None, Some(&change));
}

fn shared(root: &Path, replicas: &[i32]) {
    made(root);
    let topic = EventLog::open_read_only(root).unwrap().topic("shared").unwrap();
    with_replicas(root, &topic, replicas);
}

fn quorum(root: &Path, epoch: u32, voters: &[i32]) {
    let voters: Vec<_> = voters.iter().map(|voter| format!("{{\"voterId\":{voter}}}")).collect();
    let text = format!(
        "{{\"clusterId\":\"\",\"leaderId\":-1,\"leaderEpoch\":{epoch},\"votedId\":-1,\"appliedOffset\":0,\
         \"currentVoters\":[{}],\"data_version\":0}}",
        voters.join(",")
    );
    fs::write(root.join("__cluster_metadata-0").join("quorum-state"), text).unwrap();
}

/// Opening is refused, and the directory stays as it is, as clean as before.
fn assert_refused(root: &Path, others: &[i32]) {
    let content = || {
        // The lock's file appears and stays; the metadata log is recovered at every open, as a broker does.
        let files = tree(root).into_iter().filter(|(path, _)| {
            !path.ends_with(".lock") && !path.starts_with(root.join("__cluster_metadata-0"))
        });
        files.map(|(path, (_, content))| (path, content)).collect::<Vec<_>>()
    };
    let (before, log) = (content(), fs::read(metadata(root)).unwrap());
    let failure = EventLog::open(root).unwrap_err();
    assert_eq!(failure.remedy(), Remedy::FixTheCall);
    let text = failure.to_string();
    let Error::PartOfCluster { path, node: 1, others: named } = failure else { panic!("{text}") };
    assert_eq!((&*path, &*named), (&*root.canonicalize().unwrap(), others));
    for word in ["node 1", &others[0].to_string(), "open_read_only", "accept_data_loss"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(content() == before && fs::read(metadata(root)).unwrap() == log, "something was changed");
}

fn metadata(root: &Path) -> std::path::PathBuf {
    root.join("__cluster_metadata-0").join("00000000000000000000.log")
}

/// Leader epochs of a log file's batches.
fn epochs(path: &Path) -> Vec<i32> {
    let mut file = LogFile::open(path).unwrap();
    let mut epochs = Vec::new();
    while let Some(batch) = file.next_batch().unwrap() {
        epochs.push(batch.leader_epoch());
    }
    epochs
}

fn accepting(root: &Path) -> EventLog {
    EventLog::options().accept_data_loss(true).open(root).unwrap()
}

#[test]
fn a_directory_with_copies_of_other_nodes_is_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[3, 1, 2]);
    assert_refused(dir.path(), &[2, 3]);
    assert_refused(dir.path(), &[2, 3]);
    let log = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(texts(&log, &log.topic("shared").unwrap()), ["theirs too", "theirs too"]);
}

#[test]
fn a_directory_in_which_only_others_have_a_partition_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[7]);
    assert_refused(dir.path(), &[7]);
}

#[test]
fn a_directory_whose_metadata_others_vote_about_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    quorum(dir.path(), 3, &[1]);
    EventLog::open(dir.path()).unwrap().close().unwrap();
    quorum(dir.path(), 3, &[1, 2, 3000]);
    assert_refused(dir.path(), &[2, 3000]);
    EventLog::open_read_only(dir.path()).unwrap();
    accepting(dir.path()).close().unwrap();
}

#[test]
fn directories_of_brokers_that_are_alone_are_written() {
    for name in ["clean-4.1", "killed-4.1"] {
        let dir = Expected::of_broker(name).copy();
        recorded().open(dir.path()).unwrap().close().unwrap();
    }
}

/// The epochs rise before anything else is written, and everything that is written has them.
#[test]
fn what_is_written_alone_has_epochs_that_no_other_node_has_used() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[1, 2, 3]);
    quorum(dir.path(), 41, &[1, 2, 3]);
    let before = epochs(&metadata(dir.path()));
    let log = accepting(dir.path());
    let claimed = epochs(&metadata(dir.path()));
    assert_eq!(claimed[..before.len()], before);
    assert_eq!(claimed[before.len()..], [1_000_041], "one batch, before the open returns");

    log.create_topic("mine", TopicConfig::new()).unwrap();
    let (shared, own) = (log.topic("shared").unwrap(), log.topic("own").unwrap());
    for topic in [&shared, &own] {
        log.producer().unwrap().send(topic, Record::new("alone").partition(0)).unwrap();
    }
    log.producer().unwrap().send(&shared, Record::new("alone").partition(1)).unwrap();
    let described = shared.describe().unwrap();
    assert_eq!((described.partitions[0].leader, &described.partitions[0].isr[..]), (Some(1), &[1][..]));
    log.close().unwrap();

    assert_eq!(epochs(&metadata(dir.path()))[before.len()..], [1_000_041, 1_000_041]);
    let of = |partition: &str| epochs(&dir.path().join(partition).join("00000000000000000000.log"));
    assert_eq!(of("shared-0"), [0, 1_000_000]);
    assert_eq!((of("shared-1"), of("own-0")), (vec![0, 0], vec![0]), "no other node has these");
    let noted = fs::read_to_string(dir.path().join("shared-0").join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(noted, "0\n2\n0 0\n1000000 1\n");
    let log = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(texts(&log, &log.topic("shared").unwrap()).len(), 4);
}

/// A directory stays one of several. Who continues alone continues in the same epochs, until a broker has run here.
#[test]
fn loss_is_accepted_anew_at_each_open() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[1, 2, 3]);
    quorum(dir.path(), 41, &[1, 2, 3]);
    accepting(dir.path()).close().unwrap();
    assert_refused(dir.path(), &[2, 3]);
    let log = accepting(dir.path());
    let topic = log.topic("shared").unwrap();
    log.producer().unwrap().send(&topic, Record::new("alone").partition(0)).unwrap();
    log.close().unwrap();
    assert_eq!(*epochs(&metadata(dir.path())).last().unwrap(), 1_000_041);

    quorum(dir.path(), 1_000_043, &[1, 2, 3]);
    let log = accepting(dir.path());
    let topic = log.topic("shared").unwrap();
    log.producer().unwrap().send(&topic, Record::new("alone again").partition(0)).unwrap();
    let records = read(&log, [("shared", 0)]);
    let epochs_of_records: Vec<_> = records.iter().map(|record| record.view().leader_epoch()).collect();
    assert_eq!(epochs_of_records, [Some(0), Some(1_000_000), Some(2_000_000)]);
    log.close().unwrap();
    assert_eq!(*epochs(&metadata(dir.path())).last().unwrap(), 2_000_043);
}

/// Killed right after the raise, and with what was raised not on disk.
#[test]
fn after_a_crash_the_epochs_are_raised_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[1, 2]);
    quorum(dir.path(), 5, &[1, 2]);
    let length = fs::metadata(metadata(dir.path())).unwrap().len();
    accepting(dir.path()).close().unwrap();
    let whole = fs::read(metadata(dir.path())).unwrap();
    for end in [length, length + 1, whole.len() as u64 - 1, whole.len() as u64] {
        fs::write(metadata(dir.path()), &whole[..usize::try_from(end).unwrap()]).unwrap();
        crafted::crash(dir.path());
        let log = accepting(dir.path());
        let topic = log.topic("shared").unwrap();
        log.producer().unwrap().send(&topic, Record::new("alone").partition(0)).unwrap();
        log.close().unwrap();
        let epoch = *epochs(&metadata(dir.path())).last().unwrap();
        assert!(epoch >= 1_000_005, "cut at {end}: {epoch}");
        let of_shared = epochs(&dir.path().join("shared-0").join("00000000000000000000.log"));
        assert!(*of_shared.last().unwrap() >= 1_000_000, "cut at {end}: {of_shared:?}");
    }
}

#[test]
fn epochs_that_cannot_be_raised_are_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    shared(dir.path(), &[1, 2]);
    quorum(dir.path(), 2_147_000_000, &[1, 2]);
    let before = fs::read(metadata(dir.path())).unwrap();
    let failure = EventLog::options().accept_data_loss(true).open(dir.path()).unwrap_err();
    assert!(failure.to_string().contains("cannot be raised"), "{failure}");
    assert_eq!(fs::read(metadata(dir.path())).unwrap(), before);
}
