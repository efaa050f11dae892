//! Directories that real brokers wrote: what is served from them is what the broker served.

use crate::common::{self, expected::Expected};
use crate::common::{MODES, at, recorded};
use stratalog::{ConsumerConfig, EventLog, IsolationLevel, StartFrom};

fn built_in_codecs() -> usize {
    let features =
        [cfg!(feature = "gzip"), cfg!(feature = "snappy"), cfg!(feature = "lz4"), cfg!(feature = "zstd")];
    features.into_iter().filter(|built_in| *built_in).count()
}

/// Opened, closed and opened again, and recovered again.
fn check_over_and_over(expected: &Expected, is_clean: bool) {
    for mode in MODES {
        let dir = expected.copy();
        let log = mode.of(recorded()).open(dir.path()).unwrap();
        assert_eq!(log.recovery().clean, is_clean);
        // Without the codecs of Kafka's batches some records cannot be compared.
        let unread = expected.check(&log);
        let all_codecs = built_in_codecs() == 4;
        assert!(unread == 0 || !all_codecs, "{unread} records cannot be read");
        expected.check_aborted(dir.path());
        log.close().unwrap();
        let log = mode.of(recorded()).open(dir.path()).unwrap();
        assert!(log.recovery().clean);
        assert_eq!(expected.check(&log), unread);
        expected.check_aborted(dir.path());
        log.close().unwrap();
        // A crash before anything else happened: all of it is checked again.
        std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
        let log = mode.of(recorded()).open(dir.path()).unwrap();
        assert!(!log.recovery().clean);
        assert_eq!(log.recovery().bytes_truncated(), 0);
        assert_eq!(expected.check(&log), unread);
        expected.check_aborted(dir.path());
    }
}

/// Opened to be read only: nothing is recovered and nothing changes.
#[test]
fn a_reader_is_served_the_same_and_changes_nothing() {
    for (name, is_clean) in [("clean-4.1", true), ("killed-4.1", false)] {
        let expected = Expected::of_broker(name);
        let dir = expected.copy();
        let before = common::tree(dir.path());
        let log = EventLog::open_read_only(dir.path()).unwrap();
        assert_eq!(log.recovery().clean, is_clean);
        let unread = expected.check(&log);
        assert!(unread == 0 || built_in_codecs() < 4, "{unread} records cannot be read");
        log.close().unwrap();
        assert!(common::tree(dir.path()) == before, "{name} was changed");
    }
}

#[test]
fn after_a_clean_stop_all_is_there() {
    check_over_and_over(&Expected::of_broker("clean-4.1"), true);
}

#[test]
fn after_a_kill_all_is_there_that_a_broker_recovers() {
    check_over_and_over(&Expected::of_broker("killed-4.1").decided(), false);
}

/// Without index files and snapshots.
#[test]
fn a_directory_of_bare_logs_is_complete() {
    check_over_and_over(&Expected::of_catalog(), true);
}

/// A transaction is open from offset 59 on; committed records lie after it.
#[test]
fn an_open_transaction_holds_back_those_who_want_committed_records() {
    // An open to write would abort it.
    let log = EventLog::open_read_only(Expected::of_broker("killed-4.1").directory).unwrap();
    let topic = log.topic("tx").unwrap();
    let committed = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(committed.clone().start_from(StartFrom::End)).unwrap();
    reader.assign([("tx", 0)]).unwrap();
    assert_eq!(reader.position(("tx", 0)).unwrap().offset(), 59);

    for (offset, lag) in [(59, 0), (40, 19), (62, 0), (67, 0)] {
        reader.seek(at(&topic, 0, offset)).unwrap();
        assert_eq!(reader.lag(("tx", 0)).unwrap(), lag);
        if offset >= 59 {
            assert!(reader.poll(std::time::Duration::from_millis(1)).unwrap().is_empty());
            assert_eq!(reader.position(("tx", 0)).unwrap().offset(), offset);
        }
    }
    reader.seek_to_end().unwrap();
    assert_eq!(reader.position(("tx", 0)).unwrap().offset(), 59);
    reader.seek_to_time(stratalog::Timestamp::from_millis(i64::MAX)).unwrap();
    assert_eq!(reader.position(("tx", 0)).unwrap().offset(), 59);
    reader.seek(at(&topic, 0, 68)).unwrap();
    assert!(reader.poll(std::time::Duration::ZERO).is_err(), "outside the log");

    let mut all = log.consumer_with(ConsumerConfig::new().start_from(StartFrom::End)).unwrap();
    all.assign([("tx", 0)]).unwrap();
    assert_eq!(all.position(("tx", 0)).unwrap().offset(), 67);
    all.seek(at(&topic, 0, 59)).unwrap();
    assert_eq!(
        all.poll(std::time::Duration::ZERO).unwrap().len(),
        6,
        "two markers among them are not returned"
    );
    assert_eq!(all.lag(("tx", 0)).unwrap(), 0);
}
