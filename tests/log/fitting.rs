//! What fits: records and batches that their topic takes, or takes no more, and what becomes of those beside them.

use std::error::Error as _;
use std::fs;
use std::time::Duration;

use crate::common::{Dice, end, read, text, texts};
use stratalog::{
    BufferedProducer, Compression, Error, Event, EventLog, Maintenance, ManualClock, ProducerConfig, Record,
    RecordCopy, Remedy, Timestamp, Topic, TopicConfig,
};

const CODECS: [(Compression, bool); 5] = [
    (Compression::None, true),
    (Compression::Gzip, cfg!(feature = "gzip")),
    (Compression::Snappy, cfg!(feature = "snappy")),
    (Compression::Lz4, cfg!(feature = "lz4")),
    (Compression::Zstd, cfg!(feature = "zstd")),
];

fn codecs() -> impl Iterator<Item = Compression> {
    CODECS.into_iter().filter(|(_, built_in)| *built_in).map(|(codec, _)| codec)
}

/// Writes only when it is asked to or full.
fn patient(codec: Compression) -> ProducerConfig {
    ProducerConfig::new().linger(Duration::MAX).compression(codec)
}

fn buffered(log: &EventLog, codec: Compression) -> BufferedProducer {
    log.producer_with(patient(codec)).unwrap().buffered()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut dice = Dice(7);
    (0..bytes).map(|_| dice.below(256).to_le_bytes()[0]).collect()
}

fn lower(topic: &Topic, bytes: u32) {
    topic.alter_config(|config| config.max_batch_bytes(bytes)).unwrap();
}

fn dropped(events: &stratalog::Events) -> Vec<usize> {
    let events = std::iter::from_fn(|| events.try_next());
    events
        .filter_map(|event| match event {
            Event::RecordsDropped { records, .. } => Some(records),
            _ => None,
        })
        .collect()
}

#[test]
fn enqueue_refuses_as_too_large_what_send_refuses_and_nothing_beside_it() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        let config = || TopicConfig::new().max_batch_bytes(10_000);
        let (sent, topic) =
            (log.create_topic("sent", config()).unwrap(), log.create_topic("t", config()).unwrap());
        let producer = log.producer_with(patient(codec)).unwrap();
        let mut buffered = producer.buffered();
        let mut wanted = Vec::new();
        let values = (9_900..10_100).step_by(7).map(noise).chain([vec![b'x'; 100_000], vec![b'x'; 9_000]]);
        for (number, value) in values.enumerate() {
            let record = || Record::new(&value);
            let expected = producer.send(&sent, record());
            let taken = buffered.enqueue(&topic, record());
            match (&expected, &taken) {
                (Ok(_), Ok(())) => wanted.push(value.clone()),
                (Err(expected), Err(refused)) => {
                    assert_eq!(expected.to_string(), refused.to_string(), "{codec:?}");
                    assert!(matches!(refused, Error::TooLarge { limit: 10_000, .. }), "{refused}");
                }
                other => panic!("{codec:?}, value {number}: {other:?}"),
            }
            let small = number.to_string().into_bytes();
            buffered.enqueue(&topic, Record::new(&small)).unwrap();
            wanted.push(small);
            if number % 3 == 0 {
                buffered.flush().unwrap();
            }
        }
        buffered.flush().unwrap();
        assert_eq!(buffered.pending(), 0);
        let found: Vec<_> =
            read(&log, topic.partitions()).iter().map(|record| record.value().unwrap().to_vec()).collect();
        assert!(found == wanted, "{codec:?}: {} of {} records", found.len(), wanted.len());
        // Some of the noise and the small text; of the large one it depends.
        assert!((6..12).contains(&end(&sent, 0)), "{codec:?}: {}", end(&sent, 0));
    }
}

#[test]
fn a_pending_batch_that_has_become_too_large_is_written_in_parts() {
    for codec in codecs() {
        for (lowered, coded) in [(1000, None), (200, None), (300, Some(Compression::None))] {
            let dir = tempfile::tempdir().unwrap();
            let log = EventLog::open(dir.path()).unwrap();
            let topic = log.create_topic("t", TopicConfig::new().compression(codec)).unwrap();
            let mut producer = buffered(&log, Compression::None);
            let text_of =
                |number: usize| format!("{number:04} {}", &"what every record holds "[..number % 20]);
            for number in 0..300 {
                let record = Record::new("").key("k").header("number", "");
                let value = text_of(number);
                producer.enqueue(&topic, record.clone()).unwrap();
                producer.enqueue(&topic, Record::new(&value).timestamp(at(number))).unwrap();
            }
            topic
                .alter_config(|config| {
                    let config = config.max_batch_bytes(lowered);
                    match coded {
                        Some(codec) => config.compression(codec),
                        None => config,
                    }
                })
                .unwrap();
            producer.flush().unwrap();
            assert_eq!((producer.pending(), end(&topic, 0)), (0, 600));
            let records = read(&log, topic.partitions());
            for (number, pair) in records.chunks(2).enumerate() {
                let [first, second] = pair else { panic!() };
                assert_eq!(first.view().key(), Some(&b"k"[..]));
                assert_eq!(first.view().headers().count(), 1);
                assert_eq!((text(second), second.view().timestamp()), (text_of(number), at(number)));
            }
            // As few parts as are needed, about.
            let batches = sizes(dir.path(), "t-0");
            assert!(batches.iter().all(|bytes| *bytes <= u64::from(lowered)), "{batches:?}");
            let largest = batches.iter().max().copied().unwrap();
            assert!(largest > u64::from(lowered) / 3, "{codec:?} {lowered}: {largest}");
        }
    }
}

fn at(number: usize) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap())
}

/// Bytes of the batches in the first segment of a partition.
fn sizes(root: &std::path::Path, partition: &str) -> Vec<u64> {
    let path = root.join(partition).join("00000000000000000000.log");
    let mut file = stratalog::inspect::LogFile::open(path).unwrap();
    let mut found = Vec::new();
    while let Some(batch) = file.next_batch().unwrap() {
        found.push(batch.bytes());
    }
    found
}

#[test]
fn a_pending_record_that_no_longer_fits_is_named_and_dropped_alone() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        let events = log.events();
        let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        let mut producer = buffered(&log, codec);
        let large = noise(5_000);
        for number in 0..30_u32 {
            let value = number.to_string().into_bytes();
            let value = if [7, 18, 19].contains(&number) { &large } else { &value };
            producer.enqueue(&topic, Record::new(value).partition(number % 2)).unwrap();
        }
        lower(&topic, 1_000);
        let failure = producer.flush().unwrap_err();
        assert_eq!(failure.remedy(), Remedy::FixTheCall);
        let Error::RecordsDropped(named) = &failure else { panic!("{failure:?}") };
        // Partition 0 is written first; the nineteenth record that was enqueued is its first large one.
        assert_eq!((named.partition.partition(), named.first, named.records), (0, 19, 3));
        assert!(matches!(named.failure, Error::TooLarge { bytes: 5_000.., limit: 1_000 }), "{failure}");
        assert!(failure.to_string().contains("record 19, for t-0"), "{failure}");
        let cause = failure.source().and_then(|cause| cause.downcast_ref());
        assert!(matches!(cause, Some(Error::TooLarge { bytes: 5_000.., limit: 1_000 })), "{cause:?}");
        assert_eq!(dropped(&events), [1, 2]);
        assert_eq!(producer.pending(), 0);
        producer.flush().unwrap();
        producer.enqueue(&topic, Record::new("after").partition(1)).unwrap();
        producer.flush().unwrap();
        for partition in 0..2 {
            let numbers =
                (0..30_u32).filter(|number| number % 2 == partition && ![7, 18, 19].contains(number));
            let mut wanted: Vec<_> = numbers.map(|number| number.to_string()).collect();
            wanted.extend((partition == 1).then(|| "after".to_owned()));
            assert_eq!(read(&log, [("t", partition)]).iter().map(text).collect::<Vec<_>>(), wanted);
        }
    }
}

/// What is full is written by the next `enqueue`, which is about another record.
#[test]
fn no_record_is_refused_for_the_size_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let config = patient(Compression::None).batch_bytes(6_000).buffer_bytes(6_000);
    let mut producer = log.producer_with(config).unwrap().buffered();
    producer.enqueue(&topic, Record::new(&[b'x'; 5_000])).unwrap();
    lower(&topic, 1_000);
    for number in 0..100 {
        producer.enqueue(&topic, Record::new(&number.to_string())).unwrap();
    }
    let failure = producer.flush().unwrap_err();
    assert!(matches!(&failure, Error::RecordsDropped(named) if named.first == 1), "{failure}");
    producer.flush().unwrap();
    assert_eq!(texts(&log, &topic), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn records_of_a_deleted_topic_are_dropped_once() {
    for lingers in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(1_000));
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.open(dir.path()).unwrap();
        let events = log.events();
        let (gone, stays) = (
            log.create_topic("gone", TopicConfig::new()).unwrap(),
            log.create_topic("stays", TopicConfig::new()).unwrap(),
        );
        let config = ProducerConfig::new().linger(Duration::from_millis(5));
        let mut producer = log.producer_with(config).unwrap().buffered();
        for _ in 0..3 {
            producer.enqueue(&gone, Record::new("late")).unwrap();
            producer.enqueue(&stays, Record::new("kept")).unwrap();
        }
        log.delete_topic("gone").unwrap();
        let again = log.create_topic("gone", TopicConfig::new()).unwrap();
        if lingers {
            clock.advance(Duration::from_millis(6));
            log.run_maintenance().unwrap();
            assert_eq!((dropped(&events), producer.pending()), (vec![3], 0));
        }
        let failure = producer.flush().unwrap_err();
        assert!(matches!(failure, Error::NotFound { .. }), "{failure:?}");
        assert_eq!(dropped(&events), if lingers { vec![] } else { vec![3] });
        producer.flush().unwrap();
        let refused = producer.enqueue(&gone, Record::new("too late")).unwrap_err();
        assert!(matches!(refused, Error::NotFound { .. }), "{refused:?}");
        producer.flush().unwrap();
        assert_eq!((end(&stays, 0), end(&again, 0)), (3, 0));
    }
}

#[test]
fn a_lingering_batch_that_cannot_be_written_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_000));
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let events = log.events();
    let config = ProducerConfig::new().linger(Duration::from_millis(5));
    let mut producer = log.producer_with(config).unwrap().buffered();
    // Where the directory of the partition is to be.
    fs::write(dir.path().join("t-0"), "in the way").unwrap();
    producer.enqueue(&topic, Record::new("x").partition(0)).unwrap();
    producer.enqueue(&topic, Record::new("x").partition(1)).unwrap();
    let mut reported = Vec::new();
    for _ in 0..3 {
        clock.advance(Duration::from_millis(20));
        log.run_maintenance().unwrap();
        reported.extend(std::iter::from_fn(|| events.try_next()));
    }
    reported.retain(|event| matches!(event, Event::BatchNotWritten { .. }));
    let [Event::BatchNotWritten { partition, records: 1, failure }] = &reported[..] else {
        panic!("{reported:?}")
    };
    assert_eq!((partition, failure.contains("t-0")), (&("t", 0).into(), true), "{failure}");
    assert_eq!((producer.pending(), end(&topic, 1)), (1, 1));
    fs::remove_file(dir.path().join("t-0")).unwrap();
    clock.advance(Duration::from_millis(20));
    log.run_maintenance().unwrap();
    assert_eq!((producer.pending(), end(&topic, 0)), (0, 1));
    producer.flush().unwrap();
}

/// Five ways to write a value.
const WAYS: [&str; 5] = ["send", "send_batch", "send_batch_at", "enqueue", "send_copies"];

fn write(
    way: &str,
    log: &EventLog,
    topic: &Topic,
    codec: Compression,
    value: &[u8],
) -> stratalog::Result<()> {
    let producer = log.producer_with(patient(codec))?;
    let partition = topic.partition(0)?;
    let log_end = partition.offsets()?.log_end;
    match way {
        "send" => producer.send(topic, Record::new(value)).map(drop),
        "send_batch" => producer.send_batch(&partition, [Record::new(value)]).map(drop),
        "send_batch_at" => producer.send_batch_at(&partition, log_end, [Record::new(value)]).map(drop),
        "send_copies" => {
            producer.send_copies(&partition, [RecordCopy::new(log_end, Record::new(value))]).map(drop)
        }
        _ => {
            let mut buffered = producer.buffered();
            buffered.enqueue(topic, Record::new(value))?;
            buffered.flush()
        }
    }
}

#[test]
fn whatever_is_acknowledged_is_read_with_the_same_settings() {
    const LIMIT: u32 = 100_000;
    let sizes = [LIMIT as usize / 2, LIMIT as usize - 100, LIMIT as usize + 1, 3 * LIMIT as usize];
    for codec in codecs() {
        for max in [LIMIT / 10, LIMIT, 2 * LIMIT, 10 * LIMIT] {
            let dir = tempfile::tempdir().unwrap();
            let options = || EventLog::options().max_decompressed_batch_bytes(LIMIT);
            let log = options().open(dir.path()).unwrap();
            let topic = log.create_topic("t", TopicConfig::new().max_batch_bytes(max)).unwrap();
            let mut wanted = Vec::new();
            for (way, bytes) in WAYS.iter().flat_map(|way| sizes.map(|bytes| (way, bytes))) {
                match write(way, &log, &topic, codec, &vec![b'x'; bytes]) {
                    Ok(()) => wanted.push(bytes),
                    Err(Error::TooLarge { bytes: needed, limit }) => {
                        let fits = bytes + 100 < max as usize
                            || (codec != Compression::None && bytes + 100 < LIMIT as usize);
                        assert!(needed > limit && !fits, "{way} {codec:?} {bytes} of {max}");
                    }
                    Err(other) => panic!("{way} {codec:?} {bytes} of {max}: {other}"),
                }
            }
            let lengths = |log: &EventLog| -> Vec<usize> {
                read(log, [("t", 0)]).iter().map(|record| record.value().unwrap().len()).collect()
            };
            assert_eq!(lengths(&log), wanted, "{codec:?} {max}");
            log.close().unwrap();
            assert_eq!(lengths(&options().open(dir.path()).unwrap()), wanted, "{codec:?} {max}");
        }
    }
}

#[test]
fn a_batch_that_is_too_large_to_be_compressed_is_written_as_it_is() {
    let Some(codec) = codecs().nth(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().max_batch_bytes(100 << 20)).unwrap();
    let value = vec![0; 65 << 20];
    write("send", &log, &topic, codec, &value).unwrap();
    assert!(sizes(dir.path(), "t-0") > vec![65 << 20]);
    assert_eq!(read(&log, [("t", 0)]).len(), 1);
}

#[test]
fn larger_batches_of_others_are_read_by_an_option_and_named_without_it() {
    let Some(codec) = codecs().nth(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let with = |bytes| EventLog::options().max_decompressed_batch_bytes(bytes);
    let log = with(1 << 20).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    write("send", &log, &topic, codec, &vec![b'x'; 500_000]).unwrap();
    write("send", &log, &topic, codec, b"after it").unwrap();
    log.close().unwrap();
    for read_only in [false, true] {
        let log = with(100_000).read_only(read_only).open(dir.path()).unwrap();
        let mut reader = log.standalone_consumer().unwrap();
        reader.assign([("t", 0)]).unwrap();
        let failure = reader.poll(Duration::ZERO).unwrap_err();
        let Error::Unsupported(damage) = &failure else { panic!("{failure:?}") };
        assert!(
            damage.reason.contains("100000 bytes") && damage.reason.contains("max_decompressed_batch_bytes")
        );
        reader.seek(damage.resume_at().unwrap()).unwrap();
        assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1);
        drop((reader, log));
        assert_eq!(read(&with(500_100).read_only(read_only).open(dir.path()).unwrap(), [("t", 0)]).len(), 2);
    }
    let verified = |bytes| {
        let options = stratalog::inspect::VerifyOptions::new().max_decompressed_batch_bytes(bytes);
        let mut problems = Vec::new();
        let report =
            stratalog::inspect::verify(dir.path(), options, |problem| problems.push(problem.to_string()))
                .unwrap();
        assert_eq!((report.problems, report.unchecked_batches), (problems.len() as u64, 0));
        problems
    };
    let problems = verified(100_000);
    assert!(
        problems.len() == 1 && problems[0].contains("decompress to more than 100000 bytes"),
        "{problems:?}"
    );
    assert_eq!(verified(500_100), [""; 0]);
}

/// Where a compaction keeps a tombstone, the records of its batch get other timestamps to count from, and grow.
#[test]
fn a_compaction_leaves_nothing_that_is_not_read_with_the_same_settings() {
    for codec in codecs().skip(1) {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(at(0));
        let options = EventLog::options()
            .clock(clock.clone())
            .maintenance(Maintenance::Manual)
            .max_segment_bytes(20_000)
            .max_decompressed_batch_bytes(4_000);
        let log = options.open(dir.path()).unwrap();
        let config = TopicConfig::new().cleanup(stratalog::CleanupPolicy::Compact);
        let topic = log.create_topic("t", config.set("min.cleanable.dirty.ratio", "0")).unwrap();
        let partition = topic.partition(0).unwrap();
        let producer = log.producer_with(patient(codec)).unwrap();
        let keys: Vec<_> = (0..98).map(|number| format!("key {number:02}")).collect();
        let value = [b'v'; 25];
        let records = keys.iter().map(|key| Record::new(&value).key(key));
        producer.send_batch(&partition, records.chain([Record::tombstone("gone")])).unwrap();
        assert!(sizes(dir.path(), "t-0")[0] < 2_000, "{codec:?}: it is compressed");
        let plain = log.producer().unwrap();
        for _ in 0..3 {
            plain.send(&topic, Record::new(&noise(15_000)).key("roll")).unwrap();
        }
        assert_eq!(log.run_maintenance().unwrap().partitions_compacted, 1);
        assert!(sizes(dir.path(), "t-0")[0] > 4_000, "{codec:?}: it has grown");
        let found = read(&log, topic.partitions());
        assert_eq!(
            found.iter().filter(|record| record.view().value() == Some(&value)).count(),
            98,
            "{codec:?}"
        );
    }
}

#[test]
fn a_batch_that_was_begun_goes_by_settings_as_they_are_now() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().max_decompressed_batch_bytes(1000).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let mut producer = buffered(&log, Compression::None);
    let value = [b'v'; 400];
    for pending in 1..=3 {
        producer.enqueue(&topic, Record::new(&value)).unwrap();
        assert_eq!(producer.pending(), pending);
    }
    lower(&topic, 2000);
    // As any topic refuses it, and not taken to be dropped later.
    let refused = producer.enqueue(&topic, Record::new(&[b'x'; 3000])).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: 2000, .. }), "{refused}");
    producer.flush().unwrap();
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_end, 3);
    if !cfg!(feature = "lz4") {
        return;
    }
    for _ in 0..3 {
        producer.enqueue(&topic, Record::new(&value)).unwrap();
    }
    // More than a thousand bytes are not read again if they are compressed: the batch is written before it grows further.
    topic.alter_config(|config| config.compression(Compression::Lz4)).unwrap();
    producer.enqueue(&topic, Record::new(&value)).unwrap();
    assert_eq!(producer.pending(), 1);
    producer.flush().unwrap();
    assert_eq!(topic.partition(0).unwrap().offsets().unwrap().log_end, 7);
}
