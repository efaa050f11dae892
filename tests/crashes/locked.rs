//! A directory that is held: by this process or another one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{MODES, started, test_path, texts};
use stratalog::{Error, EventLog, Record, Remedy, TopicConfig};

const DIRECTORY: &str = "STRATALOG_LOCKED_DIRECTORY";

fn is_held(path: &Path, by: u32) {
    let error = EventLog::open(path).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.remedy(), Remedy::Retry);
    let Error::Locked { path: named, holder } = error else { panic!("{error:?}") };
    assert_eq!(named, path.canonicalize().unwrap().into());
    if cfg!(target_os = "linux") {
        assert_eq!(holder, Some(by));
        assert!(message.contains(&format!("by process {by}")), "{message}");
    }
    assert!(message.contains(path.to_str().unwrap()) && message.contains("close the log"), "{message}");
}

/// The child: holds the directory until its input ends.
#[test]
fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let log = EventLog::open(path).unwrap();
    let topic = log.ensure_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("theirs")).unwrap();
    println!("\nheld");
    std::io::stdin().lines().count();
    log.close().unwrap();
}

#[test]
fn by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test_path!(child), "--nocapture"]).env(DIRECTORY, dir.path());
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = started(|| child.spawn());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    is_held(dir.path(), child.id());
    is_held(dir.path(), child.id());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let log = EventLog::open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(texts(&log, &log.topic("t").unwrap()), ["theirs"]);
}

/// Removing the lock's file removes the lock with it, but not the second one.
#[test]
fn although_the_lock_was_removed() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let log = mode.open(dir.path());
        let topic = log.create_topic("t", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&topic, Record::new("ours")).unwrap();
        if std::fs::remove_file(dir.path().join(".lock")).is_err() {
            // Where an open file cannot be removed there is nothing to guard against.
            continue;
        }
        // Some systems let it have its name until it is closed.
        let keeps_its_name = dir.path().join(".lock").exists();
        is_held(dir.path(), std::process::id());
        is_held(dir.path(), std::process::id());
        let repair = stratalog::inspect::VerifyOptions::new().repair(true);
        let verified = stratalog::inspect::verify(dir.path(), repair, |_| {});
        assert!(matches!(verified, Err(Error::Locked { .. })), "{verified:?}");
        // The refused attempts have left nothing that would be taken for another writer's.
        assert_eq!(dir.path().join(".lock").exists(), keeps_its_name);
        log.create_topic("u", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&topic, Record::new("ours")).unwrap();
        log.close().unwrap();
        let again = EventLog::open(dir.path()).unwrap();
        assert!(again.recovery().clean);
        assert_eq!(texts(&again, &again.topic("t").unwrap()), ["ours", "ours"]);
        is_held(dir.path(), std::process::id());
    }
}

/// A hard link is another name of the same file, and of its lock.
#[test]
fn through_hard_links_too() {
    let dir = tempfile::tempdir().unwrap();
    let (place, copy) = (dir.path().join("place"), dir.path().join("copy"));
    let log = EventLog::open(&place).unwrap();
    std::fs::create_dir(&copy).unwrap();
    for name in [".lock", "stratalog.live", "meta.properties"] {
        let _ = std::fs::hard_link(place.join(name), copy.join(name));
    }
    assert!(matches!(EventLog::open(&copy), Err(Error::Locked { .. })));
    let _ = std::fs::remove_file(copy.join(".lock"));
    assert!(matches!(EventLog::open(&copy), Err(Error::Locked { .. })));
    log.close().unwrap();
}

/// What a writer that died has left keeps no process out.
#[test]
fn not_by_a_file_that_was_left_over() {
    let dir = tempfile::tempdir().unwrap();
    EventLog::open(dir.path()).unwrap().close().unwrap();
    for content in ["", "something"] {
        std::fs::write(dir.path().join("stratalog.live"), content).unwrap();
        for mode in MODES {
            mode.open(dir.path()).close().unwrap();
            assert!(!dir.path().join("stratalog.live").exists());
            std::fs::write(dir.path().join("stratalog.live"), content).unwrap();
        }
    }
    std::fs::remove_file(dir.path().join("stratalog.live")).unwrap();
    std::fs::create_dir(dir.path().join("stratalog.live")).unwrap();
    EventLog::open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn by_this_process() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    is_held(dir.path(), std::process::id());
    // The refused attempt has not released the first one's lock.
    is_held(dir.path(), std::process::id());
    log.producer().unwrap().send(&topic, Record::new("ours")).unwrap();
    assert_eq!(texts(&log, &topic), ["ours"]);
    log.close().unwrap();
    let again = EventLog::open(dir.path()).unwrap();
    assert!(again.recovery().clean);
    is_held(dir.path(), std::process::id());
}

/// Whatever handle is left keeps the directory; the last one to go closes it in order.
#[test]
fn until_the_last_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let held = || is_held(dir.path(), std::process::id());
    for last in 0..5 {
        let log = EventLog::open(dir.path()).unwrap();
        assert!(last == 0 || log.recovery().clean);
        let topic = log.ensure_topic("t", TopicConfig::new()).unwrap();
        let mut handles: Vec<(usize, Box<dyn std::any::Any>)> = vec![
            (0, Box::new(topic.partition(0).unwrap())),
            (1, Box::new(log.producer().unwrap())),
            (2, Box::new(log.standalone_consumer().unwrap())),
            (3, Box::new(log.producer().unwrap().buffered())),
            (4, Box::new(topic)),
        ];
        drop(log);
        handles.sort_by_key(|(handle, _)| *handle == last);
        while !handles.is_empty() {
            held();
            handles.remove(0);
        }
    }
    assert!(EventLog::open(dir.path()).unwrap().recovery().clean);
}

/// A process being started has copies of all descriptors for a moment. It must not keep the directory.
/// On Windows no process inherits handles.
#[cfg(unix)]
#[test]
fn not_by_processes_that_other_threads_start() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let dir = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().is_ok());
            }
        });
        let lives = (0..100).map(|_| EventLog::open(dir.path()).and_then(|log| log.close()));
        let outcome = lives.collect::<stratalog::Result<()>>();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}
