//! Where a log is made: in an empty or absent directory, and nowhere else. A refused open changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::{Error, EventLog, Record, Remedy, TopicConfig};

/// All that is below a directory.
fn all_in(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_in(&path));
        }
        found.insert(path);
    }
    found
}

/// Why no log is made at a path. What there is in `around` stays as it is.
fn refused(around: &Path, path: &Path) -> String {
    let before = all_in(around);
    let refused = EventLog::open(path).unwrap_err();
    assert!(matches!(refused, Error::InvalidInput { what: "directory", .. }), "{refused}");
    assert_eq!(refused.remedy(), Remedy::FixTheCall, "{refused}");
    assert_eq!(all_in(around), before, "{refused}");
    refused.to_string()
}

fn is_made(path: &Path) {
    EventLog::open(path).unwrap().close().unwrap();
    assert!(path.join("meta.properties").is_file());
}

#[test]
fn a_directory_with_something_in_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["notes.txt", "src/main.rs", "photos-2023/1.jpg", "empty/", "00000000000000000000.log", "found+lost/"]
    {
        let (root, path) = (dir.path().join("root"), dir.path().join("root").join(name));
        fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
        if !name.ends_with('/') {
            fs::write(&path, "mine").unwrap();
        }
        let why = refused(dir.path(), &root);
        let first = root.canonicalize().unwrap().join(name.split('/').next().unwrap());
        assert!(why.contains(&format!("it holds {} and no meta.properties", first.display())), "{why}");
        fs::remove_dir_all(&root).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_counts_too() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "mine").unwrap();
    assert!(refused(dir.path(), dir.path()).contains("and no meta.properties"));
}

#[test]
fn an_empty_or_absent_directory_becomes_a_log() {
    let dir = tempfile::tempdir().unwrap();
    is_made(&dir.path().join("absent/and/deep"));
    for names in [&[][..], &["lost+found/"], &[".DS_Store", ".snapshot/", "lost+found/", ".lock"]] {
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        for name in names {
            let path = root.join(name);
            if name.ends_with('/') { fs::create_dir(path) } else { fs::write(path, "") }.unwrap();
        }
        is_made(&root);
        fs::remove_dir_all(&root).unwrap();
    }
}

/// What there is when a process dies before `meta.properties` has its name.
#[test]
fn a_log_that_was_only_begun_is_made_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    for name in [".lock", "stratalog.live", "meta.properties.tmp"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    is_made(dir.path());
}

#[test]
fn no_log_is_made_in_the_directory_of_a_partition() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = EventLog::open(&data).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("kept")).unwrap();
    log.close().unwrap();
    // A directory put aside, and one that was only begun.
    let begun = ["u-0", "t-0.0123456789abcdef0123456789abcdef-delete"];
    for name in begun {
        fs::create_dir(data.join(name)).unwrap();
    }
    for partition in ["t-0", "__cluster_metadata-0"].iter().chain(&begun) {
        for below in ["", "new", "new/and/deep"] {
            let why = refused(dir.path(), &data.join(partition).join(below));
            let expected = data.canonicalize().unwrap().join(partition);
            assert!(
                why.contains(&format!("lies in {}, the directory of a partition", expected.display())),
                "{why}"
            );
        }
    }
    // Also where it was copied to, without the log around it.
    fs::create_dir(dir.path().join("copy")).unwrap();
    fs::copy(data.join("t-0/partition.metadata"), dir.path().join("copy/partition.metadata")).unwrap();
    assert!(refused(dir.path(), &dir.path().join("copy/new")).contains("the directory of a partition"));

    let log = EventLog::open(&data).unwrap();
    assert_eq!(log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap().log_end, 1);
    log.close().unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("gone/away", &link).unwrap();
    for path in [link.clone(), link.join("below"), link.join("below/deep")] {
        let why = refused(dir.path(), &path);
        let expected = format!("{} is a symbolic link to gone/away, which does not exist", link.display());
        assert!(why.contains(&expected), "{why}");
    }
    // One that leads to an empty directory is fine.
    fs::create_dir_all(dir.path().join("gone/away")).unwrap();
    is_made(&link);
}
