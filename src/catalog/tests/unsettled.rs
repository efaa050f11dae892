//! Changes that fail half way, and what earlier topics leave.

use std::io;
use std::time::Duration;

use super::*;
use crate::partition::{AppendAt, AppendRequest};
use crate::sys::faults::{Faults, Operation};
use crate::sys::gate::SyncedDirectories;

type Change = fn(&Catalog) -> Result<()>;

const DELETED: Change = |catalog| catalog.delete("a", NOW).map(drop);

/// Every way to change something, to the topic "a" or to nothing but the log.
const CHANGES: [(&str, Change); 7] = [
    ("delete", DELETED),
    ("alter", |catalog| catalog.alter(&catalog.topic("a").unwrap(), |now| now.set("segment.ms", "7"), NOW)),
    ("add partitions", |catalog| catalog.add_partitions(&catalog.topic("a").unwrap(), 4, NOW)),
    ("create", |catalog| catalog.create(&[("new", TopicConfig::new())], NOW).map(drop)),
    ("ensure", |catalog| catalog.ensure("new", &TopicConfig::new(), Mismatch::Fail, NOW).map(drop)),
    ("reserve ids", |catalog| catalog.reserve_producer_ids(9, NOW).map(drop)),
    ("allocate an id", |catalog| catalog.allocate_producer_id(NOW).map(drop)),
];

fn append(topic: &TopicEntry, partition: usize, level: Durability) -> Result<u64> {
    let mut builder = BatchBuilder::default();
    let fields = RecordFields { key: None, value: Some(b"v"), headers: &[] };
    builder.push(&fields, builder.measure(&fields, NOW), NOW);
    let mut batch = builder.finish().unwrap();
    let request = AppendRequest::new(&mut batch, AppendAt::End, level);
    Ok(topic.partitions()[partition].leader()?.append(request)?.base_offset)
}

fn is_unknown<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
}

#[test]
fn after_a_change_of_unknown_outcome_its_topic_takes_no_writes_and_others_do() {
    for (change, make) in CHANGES {
        for operation in [Operation::Sync, Operation::Write] {
            for is_loaded in [false, true] {
                let (dir, first) = fresh(&["b"]);
                first.create(&[("a", TopicConfig::new().partitions(2))], NOW).unwrap();
                first.topics().iter().for_each(|topic| fill(topic));
                first.partitions().iter().for_each(|partition| partition.close().unwrap());
                first.close().unwrap();
                fs::write(dir.path().join(".kafka_cleanshutdown"), "").unwrap();
                let points = "0\n3\na 0 1\na 1 1\nb 0 1\n";
                fs::write(dir.path().join("recovery-point-offset-checkpoint"), points).unwrap();
                let before = described(&open(dir.path()).unwrap());

                let mut disk = Disk::of(dir.path(), true, true);
                disk.faults = Faults::after(operation, i64::MAX, io::ErrorKind::Other, false);
                let catalog = open_on(dir.path(), &disk).unwrap();
                fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
                let (a, b) = (catalog.topic("a").unwrap(), catalog.topic("b").unwrap());
                if is_loaded {
                    append(&a, 0, Durability::Buffered).unwrap();
                }
                disk.faults.arm(0);
                let failure = make(&catalog).unwrap_err();
                assert!(matches!(failure, Error::Poisoned(_)), "{change} {operation:?}: {failure:?}");
                assert!(failure.to_string().contains("whether that took effect"), "{failure}");

                let concerns_a = ["delete", "alter", "add partitions"].contains(&change);
                for level in [Durability::Buffered, Durability::Synced] {
                    for partition in 0..2 {
                        let sent = append(&a, partition, level);
                        assert_eq!(matches!(sent, Err(Error::Poisoned(_))), concerns_a, "{change}: {sent:?}");
                    }
                    append(&b, 0, level).unwrap();
                }
                assert_eq!(catalog.refuse_unsettled_topic("a").is_err(), concerns_a);
                assert_eq!(a.partitions()[0].leader().unwrap().prepare_start(1).is_err(), concerns_a);
                catalog.refuse_unsettled_topic("b").unwrap();
                b.partitions()[0].leader().unwrap().prepare_start(1).unwrap();
                // What was there can be read.
                assert!(a.partitions()[0].bounds().unwrap().log_end >= 1);
                assert_eq!(a.partitions()[1].segments().iter().count(), 1);
                // And nothing else is changed before the log is opened anew.
                for (_, again) in CHANGES {
                    is_unknown(again(&catalog));
                }
                is_unknown(catalog.ensure("new", &TopicConfig::new(), Mismatch::Fail, NOW));
                is_unknown(catalog.create(&[("other", TopicConfig::new())], NOW));
                if concerns_a {
                    is_unknown(catalog.ensure("a", &TopicConfig::new(), Mismatch::Fail, NOW));
                    is_unknown(catalog.alter(&a, |same| same, NOW));
                }
                let is_looked_after = |topic: &TopicEntry| {
                    let looked_after = catalog.settled_partitions();
                    looked_after.iter().any(|log| Arc::ptr_eq(log, topic.partitions()[0].leader().unwrap()))
                };
                assert_eq!((is_looked_after(&a), is_looked_after(&b)), (!concerns_a, true));
                drop(catalog);

                // As before or as wanted.
                let catalog = open(dir.path()).unwrap();
                let found = described(&catalog);
                if found == before {
                    make(&catalog).unwrap();
                    catalog.finish_deletions().unwrap();
                }
                let wanted = described(&catalog);
                assert_eq!(wanted.contains_key("a"), change != "delete");
                assert_eq!(wanted.contains_key("new"), ["create", "ensure"].contains(&change));
                let b = catalog.topic("b").unwrap();
                assert_eq!(b.partitions()[0].bounds().unwrap().log_end, 3);
            }
        }
    }
}

#[test]
fn what_was_acknowledged_before_a_change_of_unknown_outcome_is_on_disk() {
    let (dir, catalog) = fresh(&["a"]);
    drop(catalog);
    let mut disk = Disk::of(dir.path(), true, true);
    disk.faults = Faults::after(Operation::Sync, i64::MAX, io::ErrorKind::Other, false);
    let catalog = open_on(dir.path(), &disk).unwrap();
    let a = catalog.topic("a").unwrap();
    append(&a, 0, Durability::Buffered).unwrap();
    a.partitions()[0].leader().unwrap().await_durable(1).unwrap();
    append(&a, 0, Durability::Interval(Duration::from_secs(1))).unwrap();
    disk.faults.arm(0);
    is_unknown(DELETED(&catalog));
    assert_eq!(a.partitions()[0].durable_end(), 2);
    a.partitions()[0].leader().unwrap().await_durable(2).unwrap();
}

#[test]
fn a_change_that_finds_the_disk_full_has_changed_nothing() {
    for (change, make) in CHANGES {
        let (dir, catalog) = fresh(&["a"]);
        catalog.close().unwrap();
        let mut disk = Disk::of(dir.path(), true, true);
        disk.faults = Faults::after(Operation::Write, i64::MAX, io::ErrorKind::StorageFull, false);
        let catalog = open_on(dir.path(), &disk).unwrap();
        let before = described(&catalog);
        disk.faults.arm(0);
        let outcome = make(&catalog);
        assert!(matches!(outcome, Err(Error::StorageFull { .. })), "{change}: {outcome:?}");
        assert_eq!(described(&catalog), before);
        assert_eq!(described(&open(dir.path()).unwrap()), before);
        append(&catalog.topic("a").unwrap(), 0, Durability::Synced).unwrap();
        make(&catalog).unwrap();
    }
}

/// A directory that was only begun has no id yet, so nothing but its place says whose it was.
#[test]
fn a_directory_that_a_deleted_topic_had_only_begun_is_not_in_the_way() {
    let begun: [&[(&str, &[u8])]; 5] = [
        &[],
        &[("partition.metadata.tmp", b"vers")],
        &[("partition.metadata", b"")],
        &[("00000000000000000000.log", &[0; 5000]), ("partition.metadata", &[0; 43])],
        &[("00000000000000000000.log", b""), ("leader-epoch-checkpoint", b"0\n")],
    ];
    let put = |root: &Path, name: &str, files: &[(&str, &[u8])]| {
        fs::create_dir(root.join(name)).unwrap();
        for (file, bytes) in files {
            fs::write(root.join(name).join(file), bytes).unwrap();
        }
    };
    for files in begun {
        let (dir, catalog) = fresh(&["a"]);
        catalog.delete("a", NOW).unwrap();
        drop(catalog);
        for name in ["a-0", "a-1", "z-0"] {
            put(dir.path(), name, files);
        }
        // At the open, where the log knows of a topic that was there, and before the name is used in any case.
        let catalog = open(dir.path()).unwrap();
        assert_eq!(directories(dir.path()), ["z-0"], "{files:?}");
        put(dir.path(), "a-1", files);
        catalog.create(&[("a", TopicConfig::new()), ("z", TopicConfig::new())], NOW).unwrap();
        catalog.add_partitions(&catalog.topic("a").unwrap(), 2, NOW).unwrap();
        catalog.topics().iter().for_each(|topic| fill(topic));
        assert!(catalog.partitions().iter().all(|partition| partition.bounds().unwrap().log_end == 1));
    }

    // What may hold records is left where it is.
    let (dir, catalog) = fresh(&["a"]);
    catalog.delete("a", NOW).unwrap();
    drop(catalog);
    put(dir.path(), "a-0", &[("00000000000000000000.log", b"\x01")]);
    let catalog = open(dir.path()).unwrap();
    assert_eq!(catalog.unknown_directories().len(), 1);
    assert!(message(catalog.create(&[("a", TopicConfig::new())], NOW)).contains("is in the way"));
    assert_eq!(directories(dir.path()), ["a-0"]);
}

#[test]
fn checkpoints_of_partitions_that_are_gone_do_not_outlive_an_open() {
    let (dir, catalog) = fresh(&["a", "b"]);
    fill(&catalog.topic("b").unwrap());
    // A broker that was killed had removed the directory, and not come to its checkpoints.
    catalog.delete("a", NOW).unwrap();
    drop(catalog);
    let files = ["recovery-point", "log-start", "replication", "cleaner"];
    let path = |name: &str| dir.path().join(format!("{name}-offset-checkpoint"));
    for name in files {
        fs::write(path(name), "0\n4\n__cluster_metadata 0 1\na 0 5\nb 0 1\nb 7 9\n").unwrap();
    }
    fs::write(path("log-start"), "0\n1\na 0 5\n").unwrap();
    let catalog = open(dir.path()).unwrap();
    for name in files {
        let expected = if name == "log-start" { "0\n0\n" } else { "0\n2\n__cluster_metadata 0 1\nb 0 1\n" };
        assert_eq!(fs::read_to_string(path(name)).unwrap(), expected, "{name}");
    }
    catalog.create(&[("a", TopicConfig::new())], NOW).unwrap();
    fill(&catalog.topic("a").unwrap());
    drop(catalog);
    let catalog = open(dir.path()).unwrap();
    let bounds = catalog.topic("a").unwrap().partitions()[0].bounds().unwrap();
    assert_eq!((bounds.log_start, bounds.log_end), (0, 1));
}

#[test]
fn what_cannot_be_finished_at_the_open_is_finished_before_the_name_is_used() {
    for operation in [Operation::Rename, Operation::Create, Operation::Sync, Operation::Write] {
        for n in 0..8 {
            let (dir, catalog) = fresh(&["b"]);
            catalog.create(&[("a", TopicConfig::new())], NOW).unwrap();
            catalog.topics().iter().for_each(|topic| fill(topic));
            let points = "0\n3\n__cluster_metadata 0 1\na 0 1\nb 0 1\n";
            fs::write(dir.path().join("recovery-point-offset-checkpoint"), points).unwrap();
            catalog.delete("a", NOW).unwrap();
            drop(catalog);
            let mut disk = Disk::of(dir.path(), true, true);
            disk.faults = Faults::after(operation, n, io::ErrorKind::Other, true);
            // The metadata log itself must be read.
            let Ok(catalog) = open_on(dir.path(), &disk) else { continue };
            assert_eq!(names(&catalog), ["b"]);
            let wanted = [("a", TopicConfig::new())];
            if disk.faults.have_struck() {
                catalog.create(&wanted, NOW).unwrap_err();
                assert_eq!(catalog.topics().len(), 1);
            }
            disk.faults.heal();
            if catalog.refuse_unsettled().is_err() {
                continue;
            }
            catalog.create(&wanted, NOW).unwrap();
            let checkpoint = fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
            assert!(!checkpoint.contains("\na 0"), "{operation:?} {n}: {checkpoint:?}");
            let a = catalog.topic("a").unwrap();
            assert_eq!(a.partitions()[0].bounds().unwrap().log_end, 0);
            fill(&a);
        }
    }
}

#[test]
fn names_of_a_first_append_are_on_disk_before_its_topic_is_deleted() {
    let (dir, first) = fresh(&[]);
    first.close().unwrap();
    let synced = Arc::new(SyncedDirectories::default());
    let mut disk = Disk::of(dir.path(), true, true);
    disk.faults = synced.observing();
    let catalog = open_on(dir.path(), &disk).unwrap();
    catalog.create(&[("a", TopicConfig::new().partitions(2))], NOW).unwrap();
    append(&catalog.topic("a").unwrap(), 1, Durability::Buffered).unwrap();
    synced.take();
    catalog.delete("a", NOW).unwrap();
    let partition = dir.path().join("a-1");
    assert_eq!(synced.take().first(), Some(&partition), "before anything else");
}
