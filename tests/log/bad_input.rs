//! Bad calls: a clear error that names the thing and what would be right, and nothing is lost.

use std::path::Path;
use std::time::Duration;

use crate::common::{self, Mode, at, end, in_every_mode, names, texts};
use stratalog::{
    ConsumerConfig, Error, EventLog, ManualClock, Mismatch, Position, ProducerConfig, Record, Remedy, Result,
    Timestamp, Topic, TopicConfig,
};

/// The error of a call, which must be of this kind and whose message must hold these words.
fn refused<T: std::fmt::Debug>(outcome: Result<T>, remedy: Remedy, words: &[&str]) -> Error {
    let error = outcome.expect_err("the call should fail");
    let message = error.to_string();
    assert_eq!(error.remedy(), remedy, "{message}");
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    error
}

macro_rules! refused {
    ($outcome:expr, $variant:pat, $($word:expr),+) => {
        let error = refused($outcome, Remedy::FixTheCall, &[$($word),+]);
        assert!(matches!(error, $variant), "{error:?}");
    };
}

/// A log with a topic of two partitions and one record, which nothing in the suite may change.
fn unharmed(test: impl Fn(&EventLog, &Topic)) {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
        let producer = log.producer().unwrap();
        producer.send(&topic, Record::new("first").partition(0)).unwrap();
        test(&log, &topic);
        producer.send(&topic, Record::new("last").partition(0)).unwrap();
        assert_eq!(texts(&log, &topic), ["first", "last"]);
        assert_eq!(log.topics().unwrap().len(), 1);
        log.close().unwrap();
        let log = mode.open(dir);
        assert!(log.recovery().clean);
        assert_eq!(texts(&log, &log.topic("orders").unwrap()), ["first", "last"]);
    });
}

#[test]
fn topics_that_are_not_there_or_there_already() {
    unharmed(|log, topic| {
        refused!(log.topic("order"), Error::NotFound { .. }, "topic", "order", "does not exist");
        refused!(log.delete_topic("order"), Error::NotFound { .. }, "topic", "order", "does not exist");
        let again = log.create_topic("orders", TopicConfig::new());
        refused!(again, Error::AlreadyExists { .. }, "orders", "exists already");
        let both = log.create_topics([("new", TopicConfig::new()), ("orders", TopicConfig::new())]);
        refused!(both, Error::AlreadyExists { .. }, "orders");
        refused!(log.topic("new"), Error::NotFound { .. }, "new");
        assert_eq!(log.create_topics([]).unwrap().len(), 0);
        let other = log.ensure_topic("orders", TopicConfig::new().partitions(9));
        refused!(other, Error::TopicMismatch(_), "orders", "partitions is 2, not 9");
        let fewer = log.ensure_topic_with("orders", TopicConfig::new().partitions(1), Mismatch::Alter);
        refused!(fewer, Error::InvalidInput { .. }, "has 2 and cannot get 1");
        let same = log.ensure_topic_with("orders", TopicConfig::new().partitions(9), Mismatch::Keep).unwrap();
        assert_eq!((same.id(), same.partitions().len()), (topic.id(), 2));
    });
}

#[test]
fn names_that_no_topic_can_have() {
    unharmed(|log, _| {
        let long = "x".repeat(250);
        for (name, reason) in [
            ("", "1 to 249"),
            (".", "directory"),
            ("..", "directory"),
            ("a/b", "'/'"),
            ("../orders", "'/'"),
            ("a b", "' '"),
            ("größe", "'ö'"),
            ("a\0", "valid are a-z"),
            (&long, "at most 249"),
            ("__cluster_metadata", "reserved"),
            ("__consumer_offsets", "reserved"),
        ] {
            for outcome in
                [log.create_topic(name, TopicConfig::new()), log.ensure_topic(name, TopicConfig::new())]
            {
                refused!(outcome, Error::InvalidInput { what: "topic name", .. }, "topic name", reason);
            }
        }
        let made = log.create_topics([("a.b", TopicConfig::new()), ("c", TopicConfig::new())]).unwrap();
        refused!(log.create_topic("a_b", TopicConfig::new()), Error::InvalidInput { .. }, "a_b", "a.b");
        let twice = log.create_topics([("d", TopicConfig::new()), ("d", TopicConfig::new())]);
        refused!(twice, Error::InvalidInput { .. }, "\"d\"", "twice");
        for topic in made {
            log.delete_topic(topic.name()).unwrap();
        }
    });
}

#[test]
fn counts_of_partitions_and_copies_that_cannot_be() {
    unharmed(|log, topic| {
        let make = |config| log.create_topic("new", config);
        refused!(
            make(TopicConfig::new().partitions(0)),
            Error::InvalidInput { .. },
            "partitions",
            "0",
            "1 to"
        );
        let many = TopicConfig::new().partitions(100_001);
        refused!(make(many), Error::InvalidInput { .. }, "partitions", "100001", "100000");
        let together = TopicConfig::new().partitions(99_999);
        refused!(make(together), Error::InvalidInput { .. }, "partitions", "100001", "100000");
        let copies = TopicConfig::new().replication_factor(3);
        refused!(make(copies), Error::InvalidInput { .. }, "replication factor", "3", "must be 1");
        refused!(topic.partition(2), Error::NotFound { .. }, "partition", "orders-2");
        refused!(topic.partition(u32::MAX), Error::NotFound { .. }, "orders-4294967295");
        let sent = log.producer().unwrap().send(topic, Record::new("x").partition(2));
        refused!(sent, Error::NotFound { .. }, "partition", "orders-2", "has 2");
        let mut buffered = log.producer().unwrap().buffered();
        let taken = buffered.enqueue(topic, Record::new("x").partition(7));
        refused!(taken, Error::NotFound { .. }, "partition", "orders-7", "has 2");
        assert_eq!(buffered.pending(), 0);
        refused!(
            log.standalone_consumer().unwrap().assign([("orders", 2)]),
            Error::NotFound { .. },
            "orders-2"
        );
        refused!(log.standalone_consumer().unwrap().assign([("order", 0)]), Error::NotFound { .. }, "order");
    });
}

#[test]
fn settings_that_make_no_sense() {
    unharmed(|log, _| {
        let topic = |name: &str, value: &str| log.create_topic("t", TopicConfig::new().set(name, value));
        refused!(topic("retention.msec", "5"), Error::InvalidInput { .. }, "retention.msec");
        refused!(topic("retention.ms", "soon"), Error::InvalidInput { .. }, "retention.ms", "soon");
        refused!(topic("segment.bytes", "1000"), Error::InvalidInput { .. }, "segment.bytes", "1000");
        refused!(topic("cleanup.policy", "shred"), Error::InvalidInput { .. }, "cleanup.policy", "shred");
        let producer = |config| log.producer_with(config);
        let set = |name: &str, value: &str| producer(ProducerConfig::new().set(name, value));
        refused!(
            set("linger", "5"),
            Error::InvalidInput { .. },
            "producer config",
            "\"linger\"",
            "linger.ms"
        );
        refused!(set("linger.ms", "-1"), Error::InvalidInput { .. }, "linger.ms", "-1", "whole number");
        let small = ProducerConfig::new().batch_bytes(1000).buffer_bytes(999);
        refused!(producer(small), Error::InvalidInput { .. }, "buffer.memory", "999", "1000");
        let huge = ProducerConfig::new().batch_bytes(1 << 31).buffer_bytes(1 << 32);
        refused!(producer(huge), Error::InvalidInput { .. }, "batch.size", "2147483648", "2147483647");
        let consumer = |name: &str, value: &str| log.consumer_with(ConsumerConfig::new().set(name, value));
        refused!(consumer("max.polls", "5"), Error::InvalidInput { .. }, "consumer config", "max.polls");
        refused!(
            consumer("max.poll.records", "0"),
            Error::InvalidInput { .. },
            "max.poll.records",
            "0",
            "one"
        );
        refused!(consumer("auto.offset.reset", "none"), Error::InvalidInput { .. }, "none", "earliest");
    });
}

/// Every way to write, refused with nothing written, in the topic's second partition.
fn every_way_refuses(log: &EventLog, topic: &Topic, bad: &Record<'_>, check: impl Fn(Result<()>)) {
    let producer = log.producer().unwrap();
    let bad = bad.clone().partition(1);
    let good = Record::new("good");
    let to = topic.partition(1).unwrap();
    check(producer.send(topic, bad.clone()).map(drop));
    check(producer.send_batch(&to, [good.clone(), good.clone(), bad.clone()]).map(drop));
    check(producer.send_batch_at(&to, 0, [bad.clone(), good]).map(drop));
    let mut buffered = producer.buffered();
    check(buffered.enqueue(topic, bad));
    assert_eq!(buffered.pending(), 0);
    assert_eq!(end(topic, 1), 0);
}

#[test]
fn records_that_no_topic_takes() {
    unharmed(|log, topic| {
        for millis in [-1, i64::MIN] {
            let bad = Record::new("x").timestamp(Timestamp::from_millis(millis));
            every_way_refuses(log, topic, &bad, |outcome| {
                refused!(outcome, Error::InvalidInput { .. }, "timestamp", "1970");
            });
        }
        let elsewhere = [Record::new("x"), Record::new("y").partition(0)];
        let sent = log.producer().unwrap().send_batch(&topic.partition(1).unwrap(), elsewhere);
        refused!(sent, Error::InvalidInput { .. }, "partition", "orders-1");
        let huge = vec![0; 2 << 20];
        every_way_refuses(log, topic, &Record::new(&huge), |outcome| {
            refused!(
                outcome,
                Error::TooLarge { bytes: 2_097_153.., limit: 1_048_588 },
                "1048588",
                "max.message.bytes"
            );
        });
    });
}

#[test]
fn a_compacted_topic_wants_keys() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let config = TopicConfig::new().partitions(2).set("cleanup.policy", "compact");
    let topic = log.create_topic("latest", config).unwrap();
    every_way_refuses(&log, &topic, &Record::new("x"), |outcome| {
        refused!(outcome, Error::InvalidInput { .. }, "no key", "compacted");
    });
    log.producer().unwrap().send(&topic, Record::tombstone("k").partition(1)).unwrap();
    assert_eq!(end(&topic, 1), 1);
}

#[test]
fn the_largest_record_fits_and_one_byte_more_does_not() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new().max_batch_bytes(5000)).unwrap();
        let to = topic.partition(0).unwrap();
        let producer = log.producer().unwrap();
        // Header, length, attributes, two deltas, no key, value length, no headers.
        let fits = vec![7; 5000 - (61 + 2 + 1 + 1 + 1 + 1 + 2 + 1)];
        let mut too_large = fits.clone();
        too_large.push(7);
        producer.send(&topic, Record::new(&fits)).unwrap();
        assert_eq!(to.size().unwrap(), 5000);
        let mut buffered = producer.buffered();
        for outcome in [
            producer.send(&topic, Record::new(&too_large)).map(drop),
            producer.send_batch(&to, [Record::new(&too_large)]).map(drop),
            producer.send_batch(&to, [Record::new(&fits), Record::new("")]).map(drop),
            buffered.enqueue(&topic, Record::new(&too_large)),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::TooLarge { bytes: 5001.., limit: 5000 }), "{error:?}");
            assert!(error.to_string().contains("the limit is 5000"), "{error}");
        }
        // Where records gather, one that fits alone goes alone.
        buffered.enqueue(&topic, Record::new("small")).unwrap();
        buffered.enqueue(&topic, Record::new(&fits)).unwrap();
        buffered.enqueue(&topic, Record::new("small")).unwrap();
        buffered.flush().unwrap();
        assert_eq!(end(&topic, 0), 4);
        assert!(
            common::read(&log, topic.partitions())
                .iter()
                .all(|r| r.value().unwrap() == &fits[..] || r.value().unwrap() == "small")
        );
    });
}

#[test]
fn a_clock_before_1970_writes_no_time_before_1970() {
    let dir = tempfile::tempdir().unwrap();
    let log =
        EventLog::options().clock(ManualClock::new(Timestamp::from_millis(-5000))).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    let mut buffered = producer.buffered();
    let _ = producer.send(&topic, Record::new("x"));
    let _ = producer.send_batch(&topic.partition(0).unwrap(), [Record::new("x")]);
    let _ = buffered.enqueue(&topic, Record::new("x"));
    buffered.flush().unwrap();
    for record in common::read(&log, topic.partitions()) {
        assert!(record.view().timestamp() >= Timestamp::from_millis(0), "{record:?}");
    }
}

#[test]
fn positions_outside_the_log() {
    unharmed(|log, topic| {
        let mut reader = log.standalone_consumer().unwrap();
        reader.assign(topic.partitions()).unwrap();
        for offset in [2, 100, u64::from(u32::MAX) + 5, u64::MAX] {
            reader.seek(at(topic, 0, offset)).unwrap();
            for _ in 0..2 {
                // With two partitions every second poll says it.
                let mut polls = (0..2).map(|_| reader.poll(Duration::ZERO));
                let polled = polls.find(Result::is_err).expect("one of two polls fails");
                let error =
                    refused(polled, Remedy::FixTheCall, &[&format!("offset {offset}"), "orders-0", "0 to 1"]);
                let Error::OffsetOutOfRange { at, valid } = error else { panic!("{error:?}") };
                assert_eq!(
                    (at.offset(), at.topic_partition().to_string(), valid),
                    (offset, "orders-0".into(), 0..1)
                );
            }
            assert_eq!(reader.position(("orders", 0)).unwrap().offset(), offset);
            assert_eq!(reader.lag(("orders", 0)).unwrap(), 0);
        }
        // The end itself is where the next record will be.
        reader.seek(at(topic, 0, 1)).unwrap();
        assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
        reader.seek(at(topic, 0, 0)).unwrap();
        assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);
    });
}

#[test]
fn partitions_that_are_not_assigned() {
    unharmed(|log, topic| {
        let mut reader = log.standalone_consumer().unwrap();
        refused!(reader.poll(Duration::ZERO), Error::InvalidInput { .. }, "poll", "assign");
        refused!(reader.poll(Duration::MAX), Error::InvalidInput { .. }, "poll", "assign");
        reader.assign([("orders", 0)]).unwrap();
        let not = ["orders-1", "not assigned", "assign first"];
        let invalid = |outcome: Result<()>| {
            let error = refused(outcome, Remedy::FixTheCall, &not);
            assert!(matches!(error, Error::InvalidInput { .. }));
        };
        invalid(reader.seek(at(topic, 1, 0)));
        invalid(reader.pause([("orders", 0), ("orders", 1)]));
        invalid(reader.resume([("orders", 1)]));
        invalid(reader.position(("orders", 1)).map(drop));
        invalid(reader.lag(("orders", 1)).map(drop));
        refused!(reader.seek(Position::new(("order", 0), 0)), Error::InvalidInput { .. }, "order-0");
        // Nothing was paused, and a failed assign changes nothing.
        refused!(reader.assign([("orders", 1), ("order", 0)]), Error::NotFound { .. }, "order");
        assert_eq!(reader.assignment(), [("orders", 0).into()]);
        assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);
        reader.assign([("orders", 0); 0]).unwrap();
        refused!(reader.poll(Duration::ZERO), Error::InvalidInput { .. }, "poll", "assign");
    });
}

#[test]
fn topics_and_partitions_of_another_log() {
    unharmed(|log, topic| {
        let dir = tempfile::tempdir().unwrap();
        let other = EventLog::open(dir.path()).unwrap();
        let theirs = other.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
        let (producer, to) = (log.producer().unwrap(), theirs.partition(0).unwrap());
        refused!(producer.send(&theirs, Record::new("x")), Error::InvalidInput { .. }, "orders", "another");
        refused!(
            producer.send_batch(&to, [Record::new("x")]),
            Error::InvalidInput { .. },
            "orders",
            "another"
        );
        let at_end = producer.send_batch_at(&to, 0, [Record::new("x")]);
        refused!(at_end, Error::InvalidInput { .. }, "orders", "another");
        let mut buffered = producer.buffered();
        let taken = buffered.enqueue(&theirs, Record::new("x"));
        refused!(taken, Error::InvalidInput { .. }, "orders", "another");
        assert_eq!((end(&theirs, 0), end(topic, 0)), (0, 1));
    });
}

fn opening_says(path: &Path, remedy: Remedy, words: &[&str]) -> Error {
    refused(EventLog::open(path), remedy, words)
}

#[test]
fn places_that_are_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "text").unwrap();
    let name = file.to_str().unwrap();
    let error = opening_says(&file, Remedy::FixTheCall, &[name, "is not a directory", "kept in one"]);
    assert!(matches!(error, Error::InvalidInput { .. }));
    // Root may read everything, so that "not readable" cannot be had by permissions: a file on the way is as good.
    let error = opening_says(&file.join("data"), Remedy::Inspect, &["cannot ", " directory ", name]);
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    let missing = dir.path().join("missing");
    let error = EventLog::options().create_if_missing(false).open(&missing);
    let error = refused(error, Remedy::Inspect, &["cannot open directory", missing.to_str().unwrap()]);
    assert!(matches!(&error, Error::Io(failure) if failure.source.kind() == std::io::ErrorKind::NotFound));
    assert!(!missing.exists());
    assert_eq!(std::fs::read(&file).unwrap(), b"text");
    EventLog::open(missing.join("a/b")).unwrap().close().unwrap();
}

#[test]
fn directories_of_another_program() {
    let dir = tempfile::tempdir().unwrap();
    let photos = dir.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("cat.jpg"), "meow").unwrap();
    let words =
        [dir.path().to_str().unwrap(), "not a log directory", "photos", "meta.properties", "new directory"];
    let error = opening_says(dir.path(), Remedy::FixTheCall, &words);
    assert!(matches!(error, Error::InvalidInput { .. }));
    assert_eq!(names(dir.path()).iter().filter(|name| *name != ".lock").count(), 1);
    assert_eq!(std::fs::read(photos.join("cat.jpg")).unwrap(), b"meow");
}

#[test]
fn foreign_files_are_left_alone() {
    in_every_mode(|mode, dir| {
        let foreign = [
            (dir.join("readme.txt"), "top"),
            (dir.join("stratalog.state"), "private"),
            (dir.join("t-0/notes"), "inside"),
            (dir.join("t-0/00000000000000000000.log.bak"), "copy"),
            (dir.join("t-0/sub/file"), "deep"),
            (dir.join("strange/file"), "unknown"),
        ];
        let write = |at: usize| {
            std::fs::create_dir_all(foreign[at].0.parent().unwrap()).unwrap();
            std::fs::write(&foreign[at].0, foreign[at].1).unwrap();
        };
        mode.open(dir).close().unwrap();
        (0..2).for_each(write);
        for life in 0..4 {
            let log = mode.open(dir);
            let strange = dir.canonicalize().unwrap().join("strange");
            let unknown = if life < 2 { vec![] } else { vec![strange] };
            assert_eq!(log.recovery().unknown_directories, unknown);
            let topic = log.ensure_topic("t", TopicConfig::new()).unwrap();
            log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
            assert_eq!(texts(&log, &topic).len(), life + 1);
            log.close().unwrap();
            if life == 1 {
                (2..foreign.len()).for_each(write);
            }
            let present = if life == 0 { 2 } else { foreign.len() };
            for (path, content) in &foreign[..present] {
                assert_eq!(std::fs::read_to_string(path).unwrap(), *content, "{}", path.display());
            }
        }
    });
}

/// A closed log with one record in `t-0`; returns the path of its segment.
fn closed_log(mode: Mode, dir: &Path) -> std::path::PathBuf {
    let log = mode.open(dir);
    let topics = [("t", TopicConfig::new()), ("other", TopicConfig::new())];
    let topics = log.create_topics(topics).unwrap();
    for topic in &topics {
        log.producer().unwrap().send(topic, Record::new("first")).unwrap();
    }
    log.close().unwrap();
    dir.join("t-0/00000000000000000000.log")
}

/// The damaged topic says so, the other one works, nothing is touched, and once it is put right all is there.
fn odd_segment(
    mode: Mode,
    dir: &Path,
    clean: bool,
    words: &[&str],
    put: impl Fn(&Path),
    put_right: impl Fn(&Path),
) {
    let segment = closed_log(mode, dir);
    let name = segment.canonicalize().unwrap().to_str().unwrap().to_owned();
    let aside = dir.join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    put(&segment);
    if !clean {
        std::fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    }
    let log = mode.open(dir);
    assert_eq!(log.recovery().failed.len(), usize::from(!clean));
    let (topic, other) = (log.topic("t").unwrap(), log.topic("other").unwrap());
    let producer = log.producer().unwrap();
    let says = |outcome: Result<()>| {
        let error = refused(outcome, Remedy::Inspect, words);
        assert!(error.to_string().contains(&name), "{error}");
        assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
    };
    let mut reader = log.standalone_consumer().unwrap();
    says(producer.send(&topic, Record::new("x")).map(drop));
    says(reader.assign([("t", 0)]));
    says(topic.partition(0).unwrap().offsets().map(drop));
    producer.send(&other, Record::new("second")).unwrap();
    assert_eq!(texts(&log, &other), ["first", "second"]);
    let _ = log.close();
    drop(log);
    put_right(&segment);
    std::fs::rename(&aside, &segment).unwrap();
    let log = mode.open(dir);
    assert_eq!(texts(&log, &log.topic("t").unwrap()), ["first"]);
    assert_eq!(texts(&log, &log.topic("other").unwrap()), ["first", "second"]);
    log.producer().unwrap().send(&log.topic("t").unwrap(), Record::new("second")).unwrap();
    log.close().unwrap();
}

#[test]
fn a_folder_where_a_segment_should_be() {
    for clean in [true, false] {
        in_every_mode(|mode, dir| {
            let words = ["where a segment should be", "left alone"];
            let put = |at: &Path| {
                std::fs::create_dir(at).unwrap();
                std::fs::write(at.join("inside"), "foreign").unwrap();
            };
            odd_segment(mode, dir, clean, &words, put, |at| {
                assert_eq!(std::fs::read(at.join("inside")).unwrap(), b"foreign");
                std::fs::remove_dir_all(at).unwrap();
            });
        });
    }
}

/// Only on Unix can anybody make links.
#[cfg(unix)]
#[test]
fn a_link_where_a_segment_should_be() {
    for clean in [true, false] {
        in_every_mode(|mode, dir| {
            let words = ["where a segment should be", "left alone"];
            let put = |at: &Path| std::os::unix::fs::symlink("../aside", at).unwrap();
            odd_segment(mode, dir, clean, &words, put, |at| {
                assert_eq!(std::fs::read_link(at).unwrap(), Path::new("../aside"));
                std::fs::remove_file(at).unwrap();
            });
        });
    }
}
