//! What an error says was caused by something else gives the cause as a value.

use std::error::Error as _;
use std::io;

use super::*;
use crate::config::TopicConfig;
use crate::error::Error;

/// The failing call's error, and the causes below it.
fn chain(failure: &Error) -> Vec<&(dyn std::error::Error + 'static)> {
    std::iter::successors(failure.source(), |&cause| cause.source()).collect()
}

/// A log on a disk where from now on `operation` fails with `kind`, with a topic that has a record or is to get its first.
fn failing(dir: &Path, operation: Operation, kind: ErrorKind, begun: bool) -> (EventLog, Topic) {
    let mut options = options();
    options.faults = Faults::after(operation, i64::MAX, kind, true);
    let faults = options.faults.clone();
    let log = options.open(dir).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    if begun {
        log.producer().unwrap().send(&topic, Record::new("before")).unwrap();
    }
    faults.arm(0);
    (log, topic)
}

#[test]
fn a_refused_operation_gives_the_error_of_the_system() {
    let dir = memory();
    let (log, topic) = failing(dir.path(), Operation::Create, ErrorKind::PermissionDenied, false);
    let failure = log.producer().unwrap().send(&topic, Record::new("first")).unwrap_err();
    assert!(matches!(failure, Error::Io(_)), "{failure:?}");
    let [cause] = chain(&failure)[..] else { panic!("{failure:?}") };
    assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_full_disk_gives_the_error_of_the_system() {
    let dir = memory();
    let (log, topic) = failing(dir.path(), Operation::Create, ErrorKind::QuotaExceeded, false);
    let failure = log.producer().unwrap().send(&topic, Record::new("first")).unwrap_err();
    assert!(matches!(failure, Error::StorageFull(_)), "{failure:?}");
    let [cause] = chain(&failure)[..] else { panic!("{failure:?}") };
    assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::QuotaExceeded);
}

#[test]
fn a_poisoned_partition_gives_the_call_that_failed() {
    let dir = memory();
    let (log, topic) = failing(dir.path(), Operation::Sync, ErrorKind::Other, true);
    let first = log.sync().unwrap_err();
    let later = log.producer().unwrap().send(&topic, Record::new("after")).unwrap_err();
    for failure in [first, later] {
        assert!(matches!(failure, Error::Poisoned(_)), "{failure:?}");
        let [refused, cause] = chain(&failure)[..] else { panic!("{failure:?}") };
        assert!(matches!(refused.downcast_ref(), Some(Error::Io(_))), "{refused:?}");
        assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::Other);
    }
}

/// The topics that a failed change was about refuse writes because of the metadata log's failure.
#[test]
fn a_change_of_topics_that_failed_gives_the_call_that_failed() {
    let dir = memory();
    let (log, topic) = failing(dir.path(), Operation::Sync, ErrorKind::Other, true);
    let change = log.delete_topic("t").unwrap_err();
    let write = log.producer().unwrap().send(&topic, Record::new("after")).unwrap_err();
    for failure in [change, write] {
        assert!(matches!(failure, Error::Poisoned(_)), "{failure:?}");
        let [refused, cause] = chain(&failure)[..] else { panic!("{failure:?}") };
        assert!(matches!(refused.downcast_ref(), Some(Error::Io(_))), "{refused:?}");
        assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::Other);
    }
}

/// All others are found by stratalog itself.
#[test]
fn what_has_no_cause_says_so() {
    let dir = memory();
    let log = options().open(dir.path()).unwrap();
    assert!(log.topic("nothing").unwrap_err().source().is_none());
    assert!(log.create_topic("not a name", TopicConfig::new()).unwrap_err().source().is_none());
}
