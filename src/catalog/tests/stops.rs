//! Stopped at any point: what was promised is there, what was begun is finished or gone.

use std::io;

use super::*;
use crate::format::file_names::METADATA_DIRECTORY;
use crate::sys::faults::{Faults, Operation};

const LOG: &str = "__cluster_metadata-0/00000000000000000000.log";

#[test]
fn a_log_cut_anywhere_holds_a_prefix_of_the_changes() {
    let (dir, catalog) = fresh(&[]);
    let log = dir.path().join(LOG);
    let mut changes = vec![(fs::metadata(&log).unwrap().len(), described(&catalog))];
    let mut note = |catalog: &Catalog| changes.push((fs::metadata(&log).unwrap().len(), described(catalog)));
    catalog.create(&[("a", TopicConfig::new())], NOW).unwrap();
    note(&catalog);
    catalog.create(&[("b", TopicConfig::new()), ("c", TopicConfig::new().partitions(2))], NOW).unwrap();
    note(&catalog);
    let b = catalog.topic("b").unwrap();
    catalog.alter(&b, |now| now.set("segment.ms", "5").unset("retention.ms"), NOW).unwrap();
    note(&catalog);
    catalog.add_partitions(&b, 3, NOW).unwrap();
    note(&catalog);
    catalog.delete("a", NOW).unwrap();
    note(&catalog);
    let whole = fs::read(&log).unwrap();
    drop(catalog);

    for cut in (0..=whole.len()).step_by(STRIDE) {
        fs::remove_dir_all(dir.path().join(METADATA_DIRECTORY)).unwrap();
        fs::create_dir(dir.path().join(METADATA_DIRECTORY)).unwrap();
        let metadata = format!("version: 0\ntopic_id: {}", Uuid::METADATA_TOPIC);
        fs::write(log.with_file_name("partition.metadata"), metadata).unwrap();
        fs::write(&log, &whole[..cut]).unwrap();
        let catalog = open(dir.path()).unwrap();
        let done = changes.iter().rev().find(|(end, _)| *end <= cut as u64);
        let expected = done.map_or_else(BTreeMap::new, |(_, topics)| topics.clone());
        assert_eq!(described(&catalog), expected, "cut at {cut}");
        catalog.create(&[("z", TopicConfig::new())], NOW).unwrap();
        catalog.close().unwrap();
        assert_eq!(open(dir.path()).unwrap().topics().len(), expected.len() + 1, "cut at {cut}");
    }
}

#[test]
fn a_first_open_interrupted_anywhere_can_be_repeated() {
    for successes in 0.. {
        for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename] {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = Disk::of(dir.path(), true, true);
            disk.faults = Faults::after(operation, successes, io::ErrorKind::Other, true);
            let interrupted = open_on(dir.path(), &disk).is_err();
            if operation == Operation::Sync && !interrupted {
                return;
            }
            let catalog = open(dir.path()).unwrap_or_else(|e| panic!("{operation:?} {successes}: {e}"));
            catalog.create(&[("a", TopicConfig::new())], NOW).unwrap();
            assert_eq!(names(&open(dir.path()).unwrap()), ["a"]);
        }
    }
}

#[test]
fn a_change_whose_sync_fails_is_not_seen_and_no_other_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    for successes in 0..20 {
        let mut disk = Disk::of(dir.path(), true, true);
        disk.faults = Faults::after(Operation::Sync, successes, io::ErrorKind::Other, false);
        let Ok(catalog) = open_on(dir.path(), &disk) else { continue };
        match catalog.create(&[("a", TopicConfig::new())], NOW) {
            Err(Error::Poisoned(_)) => {
                assert!(catalog.topics().is_empty());
                let again = catalog.create(&[("b", TopicConfig::new())], NOW);
                assert!(matches!(again, Err(Error::Poisoned(_))));
                // Either is right: the outcome of a failed sync is not known.
                let names = names(&open(dir.path()).unwrap());
                assert!(names.is_empty() || names == ["a"]);
                return;
            }
            other => panic!("{successes}: {other:?}"),
        }
    }
    panic!("no sync failed");
}

/// A log in which a topic of two partitions and another were written to and closed.
fn two_topics() -> (TempDir, Catalog) {
    let (dir, catalog) = fresh(&["b"]);
    catalog.create(&[("a", TopicConfig::new().partitions(2))], NOW).unwrap();
    for topic in catalog.topics() {
        fill(&topic);
        topic.partitions().iter().for_each(|partition| partition.close().unwrap());
    }
    fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n2\na 0 1\nb 0 1\n").unwrap();
    (dir, catalog)
}

#[test]
fn a_deletion_that_was_only_recorded_is_finished_at_open() {
    let (dir, catalog) = two_topics();
    let topic_id = catalog.topic("a").unwrap().id();
    catalog.changes.lock().write(vec![MetadataRecord::RemoveTopic { topic_id }], NOW).unwrap();
    // One directory was already out of the way, and half removed.
    let aside = dir.path().join(format!("a-1.{}-delete", "0f".repeat(16)));
    fs::rename(dir.path().join("a-1"), &aside).unwrap();
    fs::remove_file(aside.join("00000000000000000000.log")).unwrap();
    drop(catalog);

    let catalog = open(dir.path()).unwrap();
    assert_eq!((names(&catalog), directories(dir.path())), (vec!["b".to_owned()], vec!["b-0".to_owned()]));
    assert!(catalog.unknown_directories().is_empty());
    let checkpoint = fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nb 0 1\n");
    let again = ensure(&catalog, "a", TopicConfig::new()).unwrap();
    assert_eq!(again.partitions()[0].bounds().unwrap().log_end, 0);
}

#[test]
fn the_checkpoints_of_a_deleted_topic_do_not_mislead_its_successor() {
    // As after a broker that was killed: the name is used again, the old directory is still there.
    let (dir, catalog) = two_topics();
    let topic_id = catalog.topic("a").unwrap().id();
    let (_, made) = creation::records("a", &TopicConfig::new(), For::Users, catalog.identity()).unwrap();
    let mut records = vec![MetadataRecord::RemoveTopic { topic_id }];
    records.extend(made);
    catalog.changes.lock().write(records, NOW).unwrap();
    drop(catalog);

    let catalog = open(dir.path()).unwrap();
    assert_eq!(directories(dir.path()), ["b-0"]);
    let successor = catalog.topic("a").unwrap();
    assert_ne!(successor.id(), topic_id);
    assert_eq!(successor.partitions()[0].bounds().unwrap().log_end, 0);
}

#[test]
fn a_deletion_that_could_not_move_its_directories_is_finished_before_the_name_is_used() {
    let (dir, first) = two_topics();
    first.close().unwrap();
    let mut disk = Disk::of(dir.path(), true, true);
    disk.moves_open_directories = true;
    disk.faults = Faults::after(Operation::Rename, 1, io::ErrorKind::PermissionDenied, true);
    let catalog = open_on(dir.path(), &disk).unwrap();
    catalog.delete("a", NOW).unwrap();
    assert!(matches!(catalog.finish_deletions(), Err(Error::Io(_))));
    assert_eq!(names(&catalog), ["b"]);
    assert!(matches!(catalog.create(&[("a", TopicConfig::new())], NOW), Err(Error::Io(_))));
    disk.faults.heal();
    catalog.create(&[("a", TopicConfig::new().partitions(2))], NOW).unwrap();
    for partition in catalog.topic("a").unwrap().partitions().iter() {
        assert_eq!(partition.bounds().unwrap().log_end, 0);
    }
    // What had been moved before is removed by the next open.
    assert_eq!(directories(dir.path()).len(), 2);
    drop(open(dir.path()).unwrap());
    assert_eq!(directories(dir.path()), ["b-0"]);
}

/// Where readers keep directories in their place, the files in them are moved one by one.
#[test]
fn directories_that_cannot_be_moved_are_emptied() {
    let (dir, first) = two_topics();
    first.close().unwrap();
    let mut disk = Disk::of(dir.path(), true, true);
    disk.moves_open_directories = false;
    disk.faults = Faults::after(Operation::Rename, 0, io::ErrorKind::PermissionDenied, false);
    let catalog = open_on(dir.path(), &disk).unwrap();
    let before = catalog.topic("a").unwrap();
    delete(&catalog, "a");
    assert!(disk.faults.have_struck());
    assert_eq!(directories(dir.path()), ["b-0"]);
    let after = ensure(&catalog, "a", TopicConfig::new()).unwrap();
    assert_ne!(before.id(), after.id());
    fill(&after);
    assert_eq!(after.partitions()[0].bounds().unwrap().log_end, 1);
}

/// Readers have files open, by the strictest rules that Windows has for that: see `sys::held_names`.
#[cfg(target_os = "linux")]
#[test]
fn the_name_of_a_deleted_topic_is_free_while_its_files_are_open() {
    let (dir, first) = two_topics();
    first.close().unwrap();
    let mut disk = Disk::of(dir.path(), false, false);
    (disk.moves_open_directories, disk.keeps_removed_names) = (false, true);
    disk.faults = Faults::default().with_held_names();
    let catalog = open_on(dir.path(), &disk).unwrap();
    let mut open = Vec::new();
    for partition in ["a-0", "a-1"] {
        for entry in fs::read_dir(dir.path().join(partition)).unwrap() {
            open.push(fs::File::open(entry.unwrap().path()).unwrap());
        }
    }
    for _ in 0..2 {
        let before = catalog.topic("a").unwrap();
        delete(&catalog, "a");
        assert_eq!(names(&catalog), ["b"]);
        let mut directories = directories(dir.path());
        directories.retain(|name| !name.ends_with("-delete"));
        assert_eq!(directories, ["b-0"]);
        let wanted = TopicConfig::new().partitions(2);
        let after = catalog.create(&[("a", wanted)], NOW).unwrap().remove(0);
        assert_ne!(before.id(), after.id());
        fill(&after);
        assert_eq!(after.partitions()[0].bounds().unwrap().log_end, 1);
    }
    catalog.close().unwrap();
    drop(catalog);
    // What could not be removed is not in the way, and goes once it can.
    let left = |dir: &Path| fs::read_dir(dir).unwrap().filter(|e| is_put_aside(e.as_ref().unwrap())).count();
    let catalog = open_on(dir.path(), &disk).unwrap();
    assert!(catalog.unknown_directories().is_empty());
    assert!(left(dir.path()) > 0, "nothing was held");
    drop((catalog, open));
    drop(open_on(dir.path(), &disk).unwrap());
    assert_eq!(left(dir.path()), 0);
}

#[cfg(target_os = "linux")]
fn is_put_aside(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().unwrap().ends_with("-delete")
}

#[test]
fn a_partition_directory_that_was_only_begun_is_taken_over() {
    let (dir, catalog) = fresh(&["a"]);
    drop(catalog);
    fs::create_dir(dir.path().join("a-0")).unwrap();
    fs::write(dir.path().join("a-0/partition.metadata.tmp"), "vers").unwrap();
    let catalog = open(dir.path()).unwrap();
    assert!(catalog.unknown_directories().is_empty());
    let topic = catalog.topic("a").unwrap();
    fill(&topic);
    assert_eq!(topic.partitions()[0].bounds().unwrap().log_end, 1);
}
