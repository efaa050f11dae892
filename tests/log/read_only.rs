//! A log opened to read it only: everything is there, nothing changes, and what others append appears.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::common::{self, Dice, copy, end, in_every_mode, read, text, texts, tree, until};
use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, IsolationLevel, ReadMode, Record, Records, Remedy, StartFrom,
    TopicConfig, WaitStrategy,
};

fn polled(reader: &mut Consumer) -> Vec<String> {
    let records: Records = reader.poll(Duration::ZERO).unwrap();
    records.into_iter().map(|record| text(&record)).collect()
}

fn small() -> TopicConfig {
    TopicConfig::new().segment_bytes(1 << 20)
}

#[test]
fn closed_log_is_read_and_stays_as_it_is() {
    in_every_mode(|mode, path| {
        let log = mode.open(path);
        let topic = log.create_topic("t", small().partitions(2)).unwrap();
        log.create_topic("untouched", TopicConfig::new()).unwrap();
        let producer = log.producer().unwrap();
        let value = vec![b'x'; 100_000];
        for _ in 0..50 {
            producer.send(&topic, Record::new(&value)).unwrap();
        }
        let expected = read(&log, topic.partitions());
        log.close().unwrap();

        let before = tree(path);
        let log = mode.options().read_only(true).open(path).unwrap();
        assert!(log.recovery().clean);
        let topic = log.topic("t").unwrap();
        let found = read(&log, topic.partitions());
        assert_eq!(found.len(), 50);
        let of = |records: &[stratalog::OwnedRecord]| -> Vec<_> {
            let mut of: Vec<_> = records.iter().map(|r| (r.view().partition(), r.view().offset())).collect();
            of.sort_unstable();
            of
        };
        assert_eq!(of(&found), of(&expected));
        assert!(texts(&log, &log.topic("untouched").unwrap()).is_empty());
        assert_eq!(log.topics().unwrap().len(), 2);

        let refused = [
            log.create_topic("u", TopicConfig::new()).map(drop),
            log.ensure_topic("u", TopicConfig::new()).map(drop),
            log.delete_topic("t"),
            log.producer().map(drop),
            log.sync(),
            log.run_maintenance().map(drop),
            topic.alter_config(|config| config),
            topic.add_partitions(5),
            topic.partition(0).unwrap().delete_records(1).map(drop),
            topic.partition(0).unwrap().sync(),
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::ReadOnly), "{error:?}");
            assert_eq!(error.remedy(), Remedy::FixTheCall);
        }
        let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
        let mut committed = log.consumer_with(config).unwrap();
        committed.assign(topic.partitions()).unwrap();
        assert!(!committed.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(log.ensure_topic("t", TopicConfig::new()).unwrap().id(), topic.id());
        log.close().unwrap();
        assert!(matches!(log.topics(), Err(Error::Closed)));
        assert_eq!(tree(path), before);
    });
}

/// Whether a broker stopped in order or was killed: its directories are read as they are, to the same ends that it would
/// have found itself, and without a trace.
#[test]
fn directories_of_brokers_stay_as_they_are() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for name in ["broker/clean-4.1", "broker/killed-4.1"] {
        let path = vectors.join(name);
        let before = tree(&path.join("logdir"));
        let log = EventLog::open_read_only(path.join("logdir")).unwrap();
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("expected.json")).unwrap()).unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let mut partitions = 0;
        for topic in expected["topics"].as_array().unwrap() {
            let seen = log.topic(topic["topic"].as_str().unwrap()).unwrap();
            assert_eq!(seen.id().to_string(), topic["id"].as_str().unwrap());
            for partition in topic["partitions"].as_array().unwrap() {
                let of = seen.partition(u32::try_from(number(&partition["partition"])).unwrap()).unwrap();
                let offsets = of.offsets().unwrap();
                let found = (offsets.log_start, offsets.log_end);
                assert_eq!(found, (number(&partition["start"]), number(&partition["hw"])), "{}", of.id());
                let mut reader = log.standalone_consumer().unwrap();
                reader.assign([&of]).unwrap();
                // What this version does not read it says so, and changes nothing either.
                while reader.poll(Duration::ZERO).is_ok_and(|records| !records.is_empty()) {}
                partitions += 1;
            }
        }
        assert!(partitions > 15);
        assert_eq!(tree(&path.join("logdir")), before);
    }
    let path = vectors.join("catalog/logdir");
    let before = tree(&path);
    assert!(!EventLog::open_read_only(&path).unwrap().topics().unwrap().is_empty());
    assert_eq!(tree(&path), before);
}

#[test]
fn nothing_is_made_where_no_log_is() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(EventLog::open_read_only(&missing), Err(Error::Io(_))));
    assert!(!missing.exists());
    let error = EventLog::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(error, Error::NotFound { what: "log", .. }), "{error:?}");
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(name), "{error}");
    std::fs::create_dir(dir.path().join("t-0")).unwrap();
    std::fs::write(dir.path().join("t-0").join("00000000000000000000.log"), b"").unwrap();
    assert!(matches!(EventLog::open_read_only(dir.path()), Err(Error::Corrupt(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_writer_does_appears() {
    in_every_mode(|mode, path| {
        let log = mode.open(path);
        let other = mode.options().read_only(true).open(path).unwrap();
        assert!(matches!(other.topic("t"), Err(Error::NotFound { .. })));
        let topic = log.create_topic("t", small()).unwrap();
        let seen = other.topic("t").unwrap();
        assert_eq!((seen.id(), end(&seen, 0)), (topic.id(), 0));
        let mut reader = other.standalone_consumer().unwrap();
        reader.assign(seen.partitions()).unwrap();
        assert!(polled(&mut reader).is_empty());

        // Over several segments, and now and then a record at a time.
        let producer = log.producer().unwrap();
        let (mut dice, mut sent) = (Dice(7), Vec::new());
        let mut received = Vec::new();
        for number in 0..300 {
            let length = usize::try_from(dice.below(40_000)).unwrap();
            let value = format!("{number}:{}", "y".repeat(length));
            producer.send(&topic, Record::new(&value)).unwrap();
            sent.push(value);
            if dice.below(3) == 0 {
                assert_eq!(end(&seen, 0), number + 1);
                while received.len() < sent.len() {
                    let more = polled(&mut reader);
                    assert!(!more.is_empty(), "{} of {}", received.len(), sent.len());
                    received.extend(more);
                }
            }
        }
        while received.len() < sent.len() {
            received.extend(polled(&mut reader));
        }
        assert_eq!(received, sent);
        assert!(polled(&mut reader).is_empty());
        assert_eq!(reader.lag(("t", 0)).unwrap(), 0);
        reader.seek_to_beginning().unwrap();
        assert_eq!(polled(&mut reader)[0], sent[0]);

        // The writer goes and comes again, while the reader stays.
        reader.seek_to_end().unwrap();
        log.close().unwrap();
        assert!(polled(&mut reader).is_empty());
        let offsets = seen.partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_end, offsets.durable), (300, 300));
        let log = mode.open(path);
        let topic = log.topic("t").unwrap();
        log.producer().unwrap().send(&topic, Record::new("after")).unwrap();
        assert_eq!(polled(&mut reader), ["after"]);

        // Deleted, and rebuilt under the same name.
        log.delete_topic("t").unwrap();
        until("reported that the topic is gone", || match reader.poll(Duration::ZERO) {
            Ok(records) => {
                assert!(records.is_empty());
                false
            }
            Err(error) => {
                assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
                true
            }
        });
        assert!(matches!(other.topic("t"), Err(Error::NotFound { .. })));
        let again = log.create_topic("t", TopicConfig::new()).unwrap();
        log.producer().unwrap().send(&again, Record::new("anew")).unwrap();
        let seen_again = other.topic("t").unwrap();
        assert_eq!(seen_again.id(), again.id());
        assert_eq!(texts(&other, &seen_again), ["anew"]);
        assert!(matches!(seen.partition(0).unwrap().offsets(), Err(Error::NotFound { .. })));
    });
}

/// Opened in the middle of a writer's life: with the space it took in advance, sealed segments that are not finished,
/// and no index of the active one.
#[test]
fn log_of_a_live_writer_is_read_from_its_beginning() {
    in_every_mode(|mode, path| {
        let log = mode.open(path);
        let topic = log.create_topic("t", small()).unwrap();
        let producer = log.producer().unwrap();
        for number in 0..400 {
            producer.send(&topic, Record::new(&format!("{number}:{}", "z".repeat(9_000)))).unwrap();
            if number % 40 == 0 {
                let other = mode.options().read_only(true).open(path).unwrap();
                assert!(!other.recovery().clean);
                let seen = other.topic("t").unwrap();
                assert_eq!(end(&seen, 0), number + 1);
                assert_eq!(texts(&other, &seen).len() as u64, number + 1);
                let found = seen.partition(0).unwrap().offset_for_time(stratalog::Timestamp::from_millis(0));
                assert_eq!(found.unwrap(), Some(0));
            }
        }
    });
}

/// A batch counts once its last byte is there, and whatever is in its place before is no error.
#[test]
fn torn_batch_counts_when_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, growing) = (dir.path().join("whole"), dir.path().join("growing"));
    let log = EventLog::open(&whole).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    let mut ends = Vec::new();
    for number in 0..5 {
        producer.send(&topic, Record::new(&format!("value {number}"))).unwrap();
        ends.push(usize::try_from(topic.partition(0).unwrap().size().unwrap()).unwrap());
    }
    log.close().unwrap();
    copy(&whole, &growing);
    for file in ["recovery-point-offset-checkpoint", ".kafka_cleanshutdown"] {
        std::fs::remove_file(growing.join(file)).unwrap();
    }
    let path = growing.join("t-0").join("00000000000000000000.log");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), ends[4]);
    for zeros in [0, 4096] {
        let prefix = |length: usize| [&bytes[..length], &vec![0; zeros]].concat();
        std::fs::write(&path, prefix(0)).unwrap();
        for mode in [ReadMode::Auto, ReadMode::Copy] {
            let log = EventLog::options().read_only(true).read_mode(mode).open(&growing).unwrap();
            let mut reader = log.standalone_consumer().unwrap();
            reader.assign([("t", 0)]).unwrap();
            let mut received = 0;
            for length in 1..=bytes.len() {
                // In place, as a writer does: what was there stays.
                let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.write_all(&bytes[..length]).unwrap();
                file.set_len((length + zeros) as u64).unwrap();
                drop(file);
                let before = received;
                received += polled(&mut reader).len();
                // Zeros at the end of a batch are there already where space was taken in advance.
                let present =
                    |end: usize| end <= length || zeros > 0 && bytes[length..end].iter().all(|b| *b == 0);
                let whole = ends.iter().filter(|end| present(**end)).count();
                assert_eq!(received, whole, "{length} bytes, {before} before");
            }
            std::fs::write(&path, prefix(0)).unwrap();
        }
    }
}

#[test]
fn damage_inside_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", small()).unwrap();
    let producer = log.producer().unwrap();
    for _ in 0..12 {
        producer.send(&topic, Record::new(&vec![b'v'; 200_000])).unwrap();
    }
    log.close().unwrap();
    std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    let segment = dir.path().join("t-0").join("00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[500_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let log = EventLog::open_read_only(dir.path()).unwrap();
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    let mut received = 0;
    let damage = loop {
        match reader.poll(Duration::ZERO) {
            Ok(records) => received += records.len(),
            Err(Error::Corrupt(damage)) => break damage,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!((received, damage.path), (2, segment.canonicalize().unwrap()));
    reader.seek(damage.offset.map(|at| stratalog::Position::new(at.topic_partition(), 3)).unwrap()).unwrap();
    assert!(!reader.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn waiting_ends_with_a_record_a_waker_and_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for wait in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let other = EventLog::open_read_only(dir.path()).unwrap();
        let config = ConsumerConfig::new().wait(wait).start_from(StartFrom::End);
        let mut reader = other.consumer_with(config).unwrap();
        reader.assign([("t", 0)]).unwrap();
        assert!(reader.poll(Duration::from_millis(5)).unwrap().is_empty());
        for _ in 0..20 {
            std::thread::scope(|scope| {
                scope.spawn(|| producer.send(&topic, Record::new("wake up")).unwrap());
                assert_eq!(reader.poll(common::PATIENCE).unwrap().len(), 1);
            });
        }
        let waker = reader.waker();
        std::thread::scope(|scope| {
            scope.spawn(move || waker.wake());
            assert!(reader.poll(common::PATIENCE).unwrap().is_empty());
        });
        std::thread::scope(|scope| {
            scope.spawn(|| other.close().unwrap());
            assert!(matches!(reader.poll(common::PATIENCE), Err(Error::Closed)));
        });
    }
}
