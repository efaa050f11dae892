//! The name of a log's directory, in the directory above it: a power cut that takes it back takes the whole log.

use std::path::PathBuf;

use super::*;
use crate::error::Error;
use crate::sys::faults::Operation;
use crate::sys::gate::SyncedDirectories;

fn synced_by_an_open(root: &Path) -> Vec<PathBuf> {
    let synced = Arc::new(SyncedDirectories::default());
    let mut options = options();
    options.faults = synced.observing();
    options.open(root).unwrap().close().unwrap();
    synced.take()
}

#[test]
fn each_directory_that_is_made_is_durable_under_its_name() {
    let dir = memory();
    let path = dir.path().canonicalize().unwrap();
    let synced = synced_by_an_open(&path.join("a/b/log"));
    assert_eq!(synced[..3], [path.clone(), path.join("a"), path.join("a/b")]);
    // Once is enough.
    let synced = synced_by_an_open(&path.join("a/b/log"));
    assert!(synced.iter().all(|directory| directory.starts_with(path.join("a/b/log"))), "{synced:?}");
}

#[test]
fn a_directory_that_was_there_is_durable_under_its_name_before_it_is_a_log() {
    let dir = memory();
    let path = dir.path().canonicalize().unwrap();
    fs::create_dir(path.join("log")).unwrap();
    let synced = synced_by_an_open(&path.join("log"));
    assert_eq!(synced.iter().filter(|directory| **directory == path).count(), 1, "{synced:?}");
}

#[test]
fn a_name_that_could_not_be_synced_is_made_and_synced_by_the_next_open() {
    for (made, unnamed) in [(0, "a"), (1, "a/log")] {
        let dir = memory();
        let path = dir.path().canonicalize().unwrap();
        let mut failing = options();
        failing.faults = Faults::after(Operation::Sync, made, ErrorKind::Other, false);
        let refused = failing.open(path.join("a/log")).unwrap_err();
        assert!(matches!(refused, Error::Io(_)), "{refused:?}");
        assert!(!path.join(unnamed).exists());
        let synced = synced_by_an_open(&path.join("a/log"));
        assert!(synced.contains(&path.join("a")), "{synced:?}");
    }
}
