//! Compressed topics through the public face: by the producer's wish and the topic's, sent in every way, read back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use stratalog::{
    Compression, ConsumerConfig, Error, EventLog, ProducerConfig, Record, Remedy, Timestamp, Topic,
    TopicConfig,
};

use crate::common::{self, at, in_every_mode, read, text};

const CODECS: [(Compression, bool, &str); 4] = [
    (Compression::Gzip, cfg!(feature = "gzip"), "gzip"),
    (Compression::Snappy, cfg!(feature = "snappy"), "snappy"),
    (Compression::Lz4, cfg!(feature = "lz4"), "lz4"),
    (Compression::Zstd, cfg!(feature = "zstd"), "zstd"),
];

fn built_in() -> impl Iterator<Item = (Compression, &'static str)> {
    CODECS.into_iter().filter(|(_, built_in, _)| *built_in).map(|(codec, _, name)| (codec, name))
}

fn value(number: u64) -> String {
    format!("{{\"number\":{number},\"state\":\"as before\",\"note\":\"as in every other one of them\"}}")
}

/// The codec bits of every batch in a partition's first segment.
fn codecs_in(directory: &Path) -> Vec<u8> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    files.sort();
    let file: Vec<_> = files.into_iter().flat_map(|path| fs::read(path).unwrap()).collect();
    let (mut rest, mut found) = (&file[..], Vec::new());
    while rest.len() > 61 && rest[16] == 2 {
        found.push(rest[22] & 7);
        let length = u32::from_be_bytes(rest[8..12].try_into().unwrap());
        rest = &rest[12 + length as usize..];
    }
    found
}

fn number_of(name: &str) -> u8 {
    let names = ["none", "gzip", "snappy", "lz4", "zstd"];
    u8::try_from(names.iter().position(|known| *known == name).unwrap()).unwrap()
}

/// Sends records alone, in a batch and through a buffer: 1, 500 and 500 of them.
fn send(log: &EventLog, topic: &Topic, config: ProducerConfig) {
    let producer = log.producer_with(config).unwrap();
    let stamp = |number| Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap());
    let partition = topic.partition(0).unwrap();
    producer.send(topic, Record::new(&value(0)).timestamp(stamp(0))).unwrap();
    let values: Vec<_> = (1..501).map(value).collect();
    let batch = (1..501).zip(&values).map(|(number, value)| Record::new(value).timestamp(stamp(number)));
    assert_eq!(producer.send_batch(&partition, batch).unwrap().offsets, 1..501);
    let mut buffered = producer.buffered();
    for number in 501..1001 {
        buffered.enqueue(topic, Record::new(&value(number)).timestamp(stamp(number))).unwrap();
    }
    buffered.flush().unwrap();
}

#[test]
fn producers_compress_and_consumers_notice_nothing() {
    in_every_mode(|mode, path| {
        let log = mode.open(path);
        for (codec, name) in built_in() {
            let topic = log.create_topic(name, TopicConfig::new()).unwrap();
            send(&log, &topic, ProducerConfig::new().compression(codec));
            let by_name = ProducerConfig::new().set("compression.type", name);
            log.producer_with(by_name).unwrap().send(&topic, Record::new(&value(1001))).unwrap();
        }
        log.close().unwrap();
        let log = mode.open(path);
        for (_, name) in built_in() {
            let topic = log.topic(name).unwrap();
            let records = read(&log, topic.partitions());
            assert_eq!(records.len(), 1002);
            for (number, record) in (0..).zip(&records) {
                assert_eq!((record.view().offset(), text(record)), (number, value(number)));
            }
            let found = codecs_in(&path.join(format!("{name}-0")));
            assert!(found.len() >= 4 && found.iter().all(|codec| *codec == number_of(name)), "{found:?}");
            let plain: usize = (0..1002).map(|number| value(number).len()).sum();
            assert!(topic.partition(0).unwrap().size().unwrap() < plain as u64 / 3, "{name}");

            // A time inside a batch.
            let partition = topic.partition(0).unwrap();
            let at = |millis| partition.offset_for_time(Timestamp::from_millis(millis)).unwrap();
            assert_eq!(at(1_700_000_000_333), Some(333));
            assert_eq!(at(0), Some(0));
        }
    });
}

#[test]
fn the_topics_codec_counts() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for (codec, name) in built_in() {
        let wanted = TopicConfig::new()
            .compression(codec)
            .set("compression.gzip.level", "9")
            .set("compression.zstd.level", "-5")
            .set("compression.lz4.level", "17");
        let coded = log.create_topic(name, wanted).unwrap();
        send(&log, &coded, ProducerConfig::new());
        let kept = format!("{name}-kept");
        let kept_topic =
            log.create_topic(&kept, TopicConfig::new().set("compression.type", "producer")).unwrap();
        send(&log, &kept_topic, ProducerConfig::new().compression(codec));
        let plain = format!("{name}-plain");
        let plain_topic =
            log.create_topic(&plain, TopicConfig::new().compression(Compression::None)).unwrap();
        send(&log, &plain_topic, ProducerConfig::new().compression(codec));
        log.sync().unwrap();
        for (topic, expected) in [(name, number_of(name)), (&kept, number_of(name)), (&plain, 0)] {
            let found = codecs_in(&dir.path().join(format!("{topic}-0")));
            assert!(found.len() >= 3 && found.iter().all(|codec| *codec == expected), "{topic}: {found:?}");
            let values: Vec<_> = read(&log, [(topic, 0)]).iter().map(text).collect();
            assert!(values.into_iter().eq((0..1001).map(value)), "{topic}");
        }
    }
}

#[test]
fn polls_split_compressed_batches_and_keep_what_they_return() {
    let Some((codec, _)) = built_in().last() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().compression(codec)).unwrap();
    send(&log, &topic, ProducerConfig::new());
    let mut reader = log.consumer_with(ConsumerConfig::new().max_poll_records(7)).unwrap();
    reader.assign(topic.partitions()).unwrap();
    let (mut polled, mut shared) = (Vec::new(), Vec::new());
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            break;
        }
        assert!(records.len() <= 7);
        shared.extend(records.iter().map(|record| record.share()));
        polled.push(records);
    }
    reader.seek(at(&topic, 0, 123)).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 123);
    reader.seek_to_time(Timestamp::from_millis(1_700_000_000_777)).unwrap();
    assert_eq!(reader.position(topic.partition(0).unwrap()).unwrap().offset(), 777);
    drop((reader, log));
    // What was polled and shared lives on.
    let values = polled.iter().flatten().map(|record| record.value().unwrap().to_vec());
    assert!(values.eq((0..1001).map(|number| value(number).into_bytes())));
    assert!(shared.iter().map(text).eq((0..1001).map(value)));
}

#[test]
fn limits_count_what_is_written() {
    let Some((codec, _)) = built_in().next() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().max_batch_bytes(10_000)).unwrap();
    let partition = topic.partition(0).unwrap();
    let plain = log.producer().unwrap();
    let coding = log.producer_with(ProducerConfig::new().compression(codec)).unwrap();
    let large = vec![b'x'; 100_000];
    assert!(matches!(plain.send(&topic, Record::new(&large)), Err(Error::TooLarge { limit: 10_000, .. })));
    assert_eq!(coding.send(&topic, Record::new(&large)).unwrap().offset, 0);
    assert_eq!(
        coding.send_batch(&partition, [Record::new(&large), Record::new(&large)]).unwrap().offsets,
        1..3
    );
    let mut buffered = coding.buffered();
    buffered.enqueue(&topic, Record::new(&large)).unwrap();
    buffered.flush().unwrap();

    // What does not compress: refused when it is too large, and as it is when only that has its place.
    let mut dice = common::Dice(7);
    let noise: Vec<_> = (0..10_100).map(|_| dice.below(256).to_le_bytes()[0]).collect();
    let refused = coding.send(&topic, Record::new(&noise)).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes: 10_001.., limit: 10_000 }), "{refused}");
    assert!(matches!(buffered.enqueue(&topic, Record::new(&noise)), Err(Error::TooLarge { .. })));
    buffered.flush().unwrap();
    assert_eq!((buffered.pending(), buffered.discard()), (0, 0));
    coding.send(&topic, Record::new(&noise[..9_920])).unwrap();
    let lengths: Vec<_> =
        read(&log, [&partition]).iter().map(|record| record.value().unwrap().len()).collect();
    assert_eq!(lengths, [100_000, 100_000, 100_000, 100_000, 9_920]);
    // More than is read of one batch is not written either.
    let endless = vec![0; 65 << 20];
    let refused = coding.send(&topic, Record::new(&endless)).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: 67_108_864, .. }), "{refused}");
}

#[test]
fn a_codec_that_is_not_built_in_is_refused_by_its_feature() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for (codec, built_in, name) in CODECS {
        let made = log.producer_with(ProducerConfig::new().compression(codec)).map(drop);
        let created = log.create_topic(name, TopicConfig::new().compression(codec)).map(drop);
        for outcome in [made, created] {
            match outcome {
                Ok(()) => assert!(built_in),
                Err(failure) => {
                    assert!(!built_in);
                    assert_eq!(failure.remedy(), Remedy::FixTheCall);
                    let text = failure.to_string();
                    assert!(text.contains(&format!("enable the cargo feature `{name}`")), "{text}");
                }
            }
        }
    }
    let wrong = log.producer_with(ProducerConfig::new().set("compression.type", "uncompressed")).unwrap_err();
    assert!(wrong.to_string().contains("none, gzip, snappy, lz4 or zstd"), "{wrong}");
}
