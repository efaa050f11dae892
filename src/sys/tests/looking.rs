//! Paths of which the system does not say what is there.

use std::fs;

use crate::error::Error;
use crate::sys::EntryKind;
use crate::sys::disk::kind_of;

/// A directory that cannot be examined for a moment must not be taken for one that is gone: recovery would call it damaged,
/// a compaction would leave files, and files that were set aside would be written over.
#[test]
fn what_cannot_be_examined_is_not_taken_for_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, round) = (directory.path().join("file"), directory.path().join("round"));
    fs::write(&file, "here").unwrap();
    std::os::unix::fs::symlink(&round, &round).unwrap();
    assert_eq!(kind_of(&file).unwrap(), Some(EntryKind::File));
    assert_eq!(kind_of(&directory.path().join("none")).unwrap(), None);
    assert_eq!(kind_of(&file.join("below")).unwrap(), None);
    assert_eq!(kind_of(&directory.path().join("long".repeat(100))).unwrap(), None);
    let failure = kind_of(&round.join("file")).unwrap_err();
    assert!(matches!(failure, Error::Io(_)) && !failure.is_file_not_found(), "{failure}");
}
