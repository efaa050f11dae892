//! Records that keep the offsets and timestamps of another log.

use std::fs;
use std::path::Path;

use crate::common::{self, in_every_mode, read};
use stratalog::inspect::{VerifyOptions, verify};
use stratalog::{
    Compression, Durability, Error, EventLog, Maintenance, ManualClock, OpenOptions, Partition, Producer,
    ProducerConfig, Record, RecordCopy, Timestamp, TimestampType, TopicConfig,
};

/// Opens a log in which nothing happens beside the calls, so that its files can be copied as a crash would leave them.
fn quiet(options: OpenOptions, dir: &Path) -> EventLog {
    options.maintenance(Maintenance::Manual).open(dir).unwrap()
}

fn partition(log: &EventLog, config: TopicConfig) -> Partition {
    log.ensure_topic("orders", config).unwrap().partition(0).unwrap()
}

fn copy(offset: u64) -> RecordCopy<'static> {
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(offset).unwrap());
    RecordCopy::new(offset, Record::new("value").key("key").timestamp(at))
}

fn send(producer: &Producer, to: &Partition, offsets: &[u64]) {
    let sent = producer.send_copies(to, offsets.iter().map(|offset| copy(*offset))).unwrap();
    assert_eq!(sent.offsets, offsets[0]..offsets[offsets.len() - 1] + 1);
}

fn offsets(log: &EventLog, of: &Partition) -> Vec<u64> {
    read(log, [of]).iter().map(|record| record.view().offset()).collect()
}

fn assert_healthy(dir: &Path) {
    verify(dir, VerifyOptions::new(), |problem| panic!("{problem}")).unwrap();
}

const KEPT: [u64; 9] = [40, 41, 45, 46, 50, 70, 71, 99, 1000];

/// Some of the offsets, in batches with gaps before and in them.
fn fill(log: &EventLog) -> Partition {
    let to = partition(log, TopicConfig::new());
    let producer = log.producer().unwrap();
    send(&producer, &to, &KEPT[..3]);
    send(&producer, &to, &KEPT[3..4]);
    send(&producer, &to, &KEPT[4..8]);
    send(&producer, &to, &KEPT[8..]);
    to
}

#[test]
fn offsets_and_timestamps_stay_over_closes_and_crashes() {
    in_every_mode(|mode, dir| {
        let log = quiet(mode.options(), dir);
        let to = fill(&log);
        let mut reader = log.standalone_consumer().unwrap();
        reader.assign([&to]).unwrap();
        assert_eq!(offsets(&log, &to), KEPT);
        let bounds = to.offsets().unwrap();
        assert_eq!((bounds.log_start, bounds.log_end), (40, 1001));
        for (at, expected) in [(0, Some(40)), (43, Some(45)), (100, Some(1000)), (1001, None)] {
            let at = Timestamp::from_millis(1_700_000_000_000 + at);
            assert_eq!(to.offset_for_time(at).unwrap(), expected, "{at:?}");
        }
        // As a crash leaves the files, they are recovered in a copy.
        let crashed = tempfile::tempdir().unwrap();
        common::copy(dir, crashed.path());
        log.close().unwrap();
        assert_healthy(dir);
        for dir in [dir, crashed.path()] {
            let log = mode.open(dir);
            let to = partition(&log, TopicConfig::new());
            assert_eq!(offsets(&log, &to), KEPT);
            let bounds = to.offsets().unwrap();
            assert_eq!((bounds.log_start, bounds.log_end), (40, 1001));
            let sent = log.producer().unwrap().send_batch(&to, [Record::new("new")]).unwrap();
            assert_eq!(sent.offsets, 1001..1002);
            log.close().unwrap();
            assert_healthy(dir);
        }
    });
}

#[test]
fn what_is_skipped_is_left_out() {
    in_every_mode(|mode, dir| {
        let log = quiet(mode.options(), dir);
        let to = partition(&log, TopicConfig::new());
        let producer = log.producer().unwrap();
        producer.advance_log_end(&to, 20).unwrap();
        let bounds = to.offsets().unwrap();
        assert_eq!((bounds.log_start, bounds.log_end), (20, 20));
        producer.advance_log_end(&to, 20).unwrap();
        send(&producer, &to, &[20, 22]);
        producer.advance_log_end(&to, 30).unwrap();
        send(&producer, &to, &[31]);
        // Too far for one segment.
        let far = 31 + (5 << 31);
        let refused = producer.send_copies(&to, [copy(far)]).unwrap_err();
        assert!(refused.to_string().contains("advance the log end first"), "{refused}");
        producer.advance_log_end(&to, far).unwrap();
        send(&producer, &to, &[far]);
        assert_eq!(offsets(&log, &to), [20, 22, 31, far]);
        let after = producer.advance_log_end(&to, far).unwrap_err();
        assert!(matches!(after, Error::Conflict { .. }), "{after}");
        let crashed = tempfile::tempdir().unwrap();
        common::copy(dir, crashed.path());
        log.close().unwrap();
        for dir in [dir, crashed.path()] {
            let log = mode.open(dir);
            let to = partition(&log, TopicConfig::new());
            assert_eq!(offsets(&log, &to), [20, 22, 31, far]);
            let bounds = to.offsets().unwrap();
            assert_eq!((bounds.log_start, bounds.log_end), (20, far + 1));
            log.close().unwrap();
            assert_healthy(dir);
        }
    });
}

#[test]
fn a_partition_that_was_begun_elsewhere_and_got_nothing_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet(EventLog::options(), dir.path());
    log.producer().unwrap().advance_log_end(&partition(&log, TopicConfig::new()), 77).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    common::copy(dir.path(), crashed.path());
    log.close().unwrap();
    for dir in [dir.path(), crashed.path()] {
        let log = EventLog::open(dir).unwrap();
        let bounds = partition(&log, TopicConfig::new()).offsets().unwrap();
        assert_eq!((bounds.log_start, bounds.log_end), (77, 77));
        log.close().unwrap();
        assert_healthy(dir);
    }
}

#[test]
fn a_reader_that_waits_continues_after_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let to = partition(&log, TopicConfig::new());
    let producer = log.producer().unwrap();
    send(&producer, &to, &[0]);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([&to]).unwrap();
    assert_eq!(reader.poll(common::PATIENCE).unwrap().len(), 1);
    producer.advance_log_end(&to, 5).unwrap();
    send(&producer, &to, &[9]);
    let records = reader.poll(common::PATIENCE).unwrap();
    assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [9]);
    assert_eq!(reader.position(&to).unwrap().offset(), 10);
}

#[test]
fn what_a_topic_demands_of_new_records_does_not_apply() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let log = EventLog::options().clock(clock).open(dir.path()).unwrap();
    let config = TopicConfig::new().cleanup(stratalog::CleanupPolicy::Compact);
    let to = partition(&log, config);
    let producer = log.producer().unwrap();
    let far = Timestamp::from_millis(i64::MAX >> 8);
    let copies = [
        RecordCopy::new(3, Record::new("no key").timestamp(far)),
        RecordCopy::new(4, Record::new("no time")),
    ];
    producer.send_copies(&to, copies).unwrap();
    let records = read(&log, [&to]);
    let times: Vec<_> = records.iter().map(|record| record.view().timestamp().as_millis()).collect();
    assert_eq!(times, [i64::MAX >> 8, -1]);
}

#[test]
fn copies_of_what_was_read_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let from = log
        .create_topic("from", TopicConfig::new().timestamp_type(TimestampType::LogAppendTime))
        .unwrap()
        .partition(0)
        .unwrap();
    let config = ProducerConfig::new().compression(if cfg!(feature = "lz4") {
        Compression::Lz4
    } else {
        Compression::None
    });
    let producer = log.producer_with(config.durability(Durability::Synced)).unwrap();
    for value in ["a", "b", "c"] {
        producer
            .send_batch(&from, [Record::new(value).key("k").header("h", "v"), Record::tombstone("k")])
            .unwrap();
    }
    let to = partition(&log, TopicConfig::new());
    for record in &read(&log, [&from]) {
        producer.send_copies(&to, [RecordCopy::from(record.view())]).unwrap();
    }
    let facts = |of: &Partition| -> Vec<String> {
        let records = read(&log, [of]);
        let views = records.iter().map(|record| record.view());
        views
            .map(|view| {
                let headers: Vec<_> = view.headers().collect();
                let time = (view.timestamp(), view.timestamp_type());
                format!("{} {time:?} {:?} {:?} {headers:?}", view.offset(), view.key(), view.value())
            })
            .collect()
    };
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn what_cannot_be_a_batch_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let to = fill(&log);
    let producer = log.producer().unwrap();
    let refused =
        |copies: Vec<RecordCopy<'static>>| producer.send_copies(&to, copies).unwrap_err().to_string();
    assert_eq!(refused(vec![copy(1000)]), "the log ends at offset 1001, not at 1000");
    assert!(refused(vec![copy(1005), copy(1005)]).contains("does not lie after the one before it"));
    assert!(refused(vec![copy(1005), copy(1004)]).contains("does not lie after the one before it"));
    assert!(refused(vec![copy(1005), copy(1005 + (1 << 31))]).contains("lies too far after"));
    assert!(
        refused(vec![RecordCopy::new(1 << 63, Record::new("value"))])
            .contains("larger than an offset can be")
    );
    let appended = copy(1006).timestamp_type(TimestampType::LogAppendTime);
    assert!(refused(vec![copy(1005), appended.clone()]).contains("another kind of timestamp"));
    let later = copy(1007).timestamp_type(TimestampType::LogAppendTime);
    assert!(refused(vec![appended, later]).contains("another kind of timestamp"));
    let elsewhere = RecordCopy::new(1005, Record::new("value").partition(3));
    assert!(refused(vec![elsewhere]).contains("another partition"));
    assert_eq!(producer.send_copies(&to, []).unwrap().offsets, 1001..1001);
    assert_eq!(offsets(&log, &to), KEPT);
    log.close().unwrap();
    assert!(matches!(producer.send_copies(&to, [copy(1005)]), Err(Error::Closed)));
    assert!(matches!(producer.advance_log_end(&to, 2000), Err(Error::Closed)));
}

#[test]
fn gaps_are_inside_of_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet(EventLog::options().max_segment_bytes(1024), dir.path());
    let to = partition(&log, TopicConfig::new());
    let producer = log.producer().unwrap();
    let wanted: Vec<u64> = (0..100).map(|n| 500 + n * 10).collect();
    for offset in &wanted {
        send(&producer, &to, &[*offset]);
    }
    let segments = to.segments().unwrap();
    assert!(segments.len() > 5);
    for (before, after) in segments.iter().zip(&segments[1..]) {
        assert_eq!(before.offsets.end, after.offsets.start);
    }
    // Nothing is taken for lost after a crash, although every segment but the first begins with a gap.
    let crashed = tempfile::tempdir().unwrap();
    common::copy(dir.path(), crashed.path());
    let _ = fs::remove_file(crashed.path().join("recovery-point-offset-checkpoint"));
    let recovered = EventLog::open(crashed.path()).unwrap();
    assert_eq!(recovered.recovery().bytes_truncated(), 0);
    assert_eq!(offsets(&recovered, &partition(&recovered, TopicConfig::new())), wanted);
    recovered.close().unwrap();
    log.close().unwrap();
    assert_healthy(dir.path());
    assert_healthy(crashed.path());
}
