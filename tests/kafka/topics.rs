//! Topics with a bit of everything, written through the public API.

use std::thread;
use std::time::{Duration, SystemTime};

use crate::common::Dice;
use stratalog::{
    CleanupPolicy, Compression, EventLog, Header, ProducerConfig, Record, Timestamp, TimestampType, Topic,
    TopicConfig,
};

const MIB: u32 = 1 << 20;

/// Each with whether this build has it.
const CODECS: [(Compression, bool); 4] = [
    (Compression::Gzip, cfg!(feature = "gzip")),
    (Compression::Snappy, cfg!(feature = "snappy")),
    (Compression::Lz4, cfg!(feature = "lz4")),
    (Compression::Zstd, cfg!(feature = "zstd")),
];

/// Makes all topics and writes to most of them.
pub(crate) fn write(log: &EventLog) {
    let small_segments = TopicConfig::new().segment_bytes(MIB).retention(None);
    let made = log
        .create_topics([
            ("orders", small_segments.clone().partitions(3)),
            ("singles", TopicConfig::new().partitions(2)),
            ("shapes", TopicConfig::new().max_batch_bytes(4 * MIB)),
            ("expiring", TopicConfig::new().set("segment.ms", "86400000")),
            ("state", small_segments.cleanup(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.1")),
            ("empty", TopicConfig::new().partitions(2)),
            ("again", TopicConfig::new().partitions(5)),
        ])
        .unwrap();
    let [orders, singles, shapes, expiring, state, _, again] = &made[..] else { panic!("seven topics") };

    thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || write_orders(log, orders, thread));
        }
        scope.spawn(|| write_singles(log, singles));
    });
    write_shapes(log, shapes);
    write_state(log, state);
    for (codec, _) in CODECS.into_iter().filter(|(_, built_in)| *built_in) {
        write_compressed(log, codec);
    }
    for value in ["one", "two", "three"] {
        log.producer().unwrap().send(expiring, Record::new(value)).unwrap();
    }

    write_times(log);
    write_altered(log);
    let old = log.producer().unwrap();
    for number in 0..50_u32 {
        old.send(again, Record::new("of the topic before").key(&number.to_be_bytes())).unwrap();
    }
    log.delete_topic("again").unwrap();
    let again = log.create_topic("again", TopicConfig::new().partitions(2)).unwrap();
    log.producer().unwrap().send(&again, Record::new("of the topic after").partition(1)).unwrap();
}

/// Timestamps that rise on the whole, but not from record to record; several segments, batches of one and of many.
fn write_times(log: &EventLog) {
    let config = TopicConfig::new().partitions(2).segment_age(Duration::from_secs(20_000)).retention(None);
    let topic = log.create_topic("times", config).unwrap();
    let coding = ProducerConfig::new().compression(Compression::None);
    let producer = log.producer_with(coding).unwrap();
    let mut dice = Dice(7);
    for partition in topic.partitions() {
        for round in 0..300_u64 {
            let mut at =
                || Timestamp::from_millis(i64::try_from(first_time(round) + dice.below(3_000_000)).unwrap());
            let records = (0..=round % 4).map(|_| Record::new("at some time").timestamp(at()));
            producer.send_batch(&partition, records).unwrap();
        }
    }
}

/// The earliest time of records of a round.
pub(crate) fn first_time(round: u64) -> u64 {
    1_700_000_000_000 + round * 500_000
}

/// A topic that was changed while it was used, and that does not begin at its beginning.
fn write_altered(log: &EventLog) {
    let config = TopicConfig::new().segment_age(Duration::from_secs(60)).set("flush.ms", "7");
    let topic = log.create_topic("altered", config).unwrap();
    let producer = log.producer().unwrap();
    let send = |value: &str, minutes_ago: i64| {
        let at = Timestamp::from(SystemTime::now()).as_millis() - minutes_ago * 60_000;
        producer.send(&topic, Record::new(value).timestamp(Timestamp::from_millis(at)).partition(0)).unwrap();
    };
    ["a", "b", "c", "d"].into_iter().zip([9, 9, 5, 5]).for_each(|(value, minutes)| send(value, minutes));
    topic
        .alter_config(|now| {
            now.timestamp_type(TimestampType::LogAppendTime).unset("flush.ms").retention(None)
        })
        .unwrap();
    topic.add_partitions(3).unwrap();
    send("whose time does not count", 100);
    producer.send(&topic, Record::new("in a new partition").partition(2)).unwrap();
    let first = topic.partition(0).unwrap();
    assert_eq!(first.segments().unwrap().len(), 3);
    // Inside the second segment: the first goes, a record of the second is hidden.
    assert_eq!(first.delete_records(3).unwrap(), 3);
}

/// Continues in a directory that a broker has had.
pub(crate) fn write_more(log: &EventLog) {
    let orders = log.topic("orders").unwrap();
    write_orders(log, &orders, 9);
    write_singles(log, &log.topic("singles").unwrap());
    write_shapes(log, &log.topic("shapes").unwrap());
    write_state(log, &log.topic("state").unwrap());
    let altered = log.topic("altered").unwrap();
    altered.add_partitions(4).unwrap();
    altered.alter_config(|now| now.segment_age(Duration::from_secs(1))).unwrap();
    log.producer().unwrap().send(&altered, Record::new("after the broker").partition(3)).unwrap();
    altered.partition(0).unwrap().delete_records(4).unwrap();
    let empty = log.topic("empty").unwrap();
    log.producer().unwrap().send(&empty, Record::new("not any more").partition(1)).unwrap();
    let new = log.create_topic("new", TopicConfig::new().partitions(2)).unwrap();
    log.producer().unwrap().send(&new, Record::new("made after the broker").key("k")).unwrap();
    log.delete_topic("expiring").unwrap();
}

/// Keyed records in batches, enough for several segments in each partition.
fn write_orders(log: &EventLog, orders: &Topic, thread: u64) {
    let config = ProducerConfig::new().batch_bytes(16 << 10).linger(Duration::from_millis(1));
    let mut producer = log.producer_with(config).unwrap().buffered();
    for number in 0..12_000_u64 {
        let key = (thread << 32 | number).to_be_bytes();
        let value = key.repeat(8 + usize::try_from(number % 25).unwrap());
        producer.enqueue(orders, Record::new(&value).key(&key)).unwrap();
    }
    producer.flush().unwrap();
}

/// A batch for every record, with and without a key.
fn write_singles(log: &EventLog, singles: &Topic) {
    let producer = log.producer().unwrap();
    for number in 0..3_000_u32 {
        let value = format!("single {number}");
        let record = Record::new(&value);
        let key = number.to_le_bytes();
        let record = if number % 3 == 0 { record } else { record.key(&key) };
        producer.send(singles, record).unwrap();
    }
}

/// Everything a record can look like.
fn write_shapes(log: &EventLog, shapes: &Topic) {
    let producer = log.producer().unwrap();
    let partition = shapes.partition(0).unwrap();
    let at = Timestamp::from_millis;
    let headers = [
        Header::new("trace", &[0_u8, 255]),
        Header::new("trace", "twice"),
        Header::new("leer", ""),
        Header::null("null"),
        Header::new("größe", "naïve ☃"),
    ];
    let many: Vec<_> = (0..100).map(|_| Header::new("many", "headers")).collect();
    let batch = [
        Record::new("").key(""),
        Record::new("value without key"),
        Record::tombstone("key without value"),
        Record::new("headers").key("k").headers(&headers),
        Record::tombstone("tombstone with headers").headers(&many),
        Record::new("epoch").timestamp(at(0)),
        Record::new("later").timestamp(at(1_700_000_000_123)),
        Record::new("earlier than the one before").timestamp(at(1_600_000_000_000)),
    ];
    producer.send_batch(&partition, batch.clone()).unwrap();
    for record in batch {
        producer.send(shapes, record).unwrap();
    }
    let filler = vec![b'x'; 3_000_000];
    for length in [63, 64, 255, 256, 257, 8_191, 8_192, 100_000, filler.len()] {
        producer.send(shapes, Record::new(&filler[..length]).key(&length.to_be_bytes())).unwrap();
    }
    let end = partition.offsets().unwrap().log_end;
    producer.send_batch_at(&partition, end, (0..300).map(|_| Record::new("one of many"))).unwrap();
    producer.send_batch(&partition, []).unwrap();
}

/// A topic that compresses, and one that keeps what its producer compressed: records that compress well, hardly, and
/// over the borders of a codec's blocks.
fn write_compressed(log: &EventLog, codec: Compression) {
    let name = format!("{codec:?}").to_lowercase();
    let topic = log.create_topic(&name, TopicConfig::new().compression(codec)).unwrap();
    let kept = log.create_topic(&format!("{name}-kept"), TopicConfig::new()).unwrap();
    let plain = log.producer().unwrap();
    let coding = log.producer_with(ProducerConfig::new().compression(codec)).unwrap();
    let noise: Vec<_> = (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (producer, topic) in [(plain, topic), (coding, kept)] {
        producer.send(&topic, Record::new("alone").key("k")).unwrap();
        producer.send(&topic, Record::new(&noise)).unwrap();
        let partition = topic.partition(0).unwrap();
        let text = "as said before ".repeat(20);
        producer.send_batch(&partition, (0..900).map(|_| Record::new(&text).header("h", "v"))).unwrap();
        producer.send_batch(&partition, noise.chunks(1000).map(Record::new)).unwrap();
    }
}

/// Keys that are written again and again, and deleted.
fn write_state(log: &EventLog, state: &Topic) {
    let partition = state.partition(0).unwrap();
    let producer = log.producer().unwrap();
    let (keys, value) = ([b"red", b"blu", b"gre"], [7; 200]);
    for _ in 0..100 {
        let puts = keys.iter().cycle().take(90).map(|key| Record::new(&value).key(*key));
        producer.send_batch(&partition, puts).unwrap();
        producer.send(state, Record::tombstone(keys[1])).unwrap();
    }
}
