//! Replay of a compressed log, page cache hot, against what the codec's own library takes for the same bytes on one
//! thread. In both the unit is plain bytes.
//!
//! `STRATALOG_BROKER_LOG=DIR` takes what a broker wrote, as `tests/kafka/kafka-large DIR 2048 lz4 zstd` makes it.

mod support;

use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use stratalog::{Compression, EventLog, ProducerConfig, Record, TopicConfig};

use support::{is_smoke_run, read, touch_memory};

/// Bytes of a batch's header, which are not compressed.
const HEADER_BYTES: usize = 61;

/// Appends what a batch's records decompress to, by the library alone.
type Decompress = fn(&[u8], &mut Vec<u8>);

fn main() {
    touch_memory();
    let mut criterion = Criterion::default().configure_from_args();
    let records = if is_smoke_run() { 1000 } else { 500_000 };
    let codecs: [(&str, Compression, Decompress); 4] = [
        ("gzip", Compression::Gzip, |frame, to| {
            let mut stream = flate2::Decompress::new_gzip(15);
            stream.decompress_vec(frame, to, flate2::FlushDecompress::Finish).expect("gzip");
        }),
        ("snappy", Compression::Snappy, |frame, to| {
            let (mut at, mut rest) = (0, &frame[16..]);
            to.resize(to.capacity(), 0);
            while !rest.is_empty() {
                let length = u32::from_be_bytes(rest[..4].try_into().expect("a length")) as usize;
                at += snap::raw::Decoder::new()
                    .decompress(&rest[4..4 + length], &mut to[at..])
                    .expect("snappy");
                rest = &rest[4 + length..];
            }
            to.truncate(at);
        }),
        ("lz4", Compression::Lz4, |frame, to| {
            let (mut at, mut rest) = (0, &frame[7..]);
            to.resize(to.capacity(), 0);
            loop {
                let length = u32::from_le_bytes(rest[..4].try_into().expect("a length"));
                let bytes = (length & 0x7fff_ffff) as usize;
                if bytes == 0 {
                    break;
                }
                let block = &rest[4..4 + bytes];
                // The highest bit: stored as it is.
                at += if length >> 31 == 1 {
                    to[at..at + bytes].copy_from_slice(block);
                    bytes
                } else {
                    lz4_flex::block::decompress_into(block, &mut to[at..]).expect("lz4")
                };
                rest = &rest[4 + bytes..];
            }
            to.truncate(at);
        }),
        ("zstd", Compression::Zstd, |frame, to| {
            zstd_safe::decompress(to, frame).expect("zstd");
        }),
    ];
    let broker = std::env::var_os("STRATALOG_BROKER_LOG").map(PathBuf::from);
    for (name, codec, decompress) in codecs {
        let made = tempfile::tempdir().expect("a temporary directory");
        let topic = if broker.is_some() { format!("bench-{name}") } else { "bench".to_owned() };
        let dir = broker.as_deref().unwrap_or(made.path());
        if broker.is_none() {
            fill(dir, codec, records);
        }
        if !dir.join(format!("{topic}-0")).exists() {
            continue;
        }
        let frames = frames(&dir.join(format!("{topic}-0")));
        let plain = plain_bytes(&frames, decompress);
        let records = ends(dir, &topic);
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(if broker.is_some() { 10 } else { 20 })
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Bytes(plain));
        group.bench_function("library", |bencher| {
            let mut to = Vec::with_capacity(1 << 20);
            bencher.iter(|| {
                for frame in &frames {
                    to.clear();
                    decompress(frame, &mut to);
                    std::hint::black_box(&to);
                }
            });
        });
        group.bench_function("replay", |bencher| {
            let log = EventLog::open(dir).expect("the log");
            let reader = || {
                let mut reader = log.standalone_consumer().expect("a consumer");
                reader.assign([(topic.as_str(), 0)]).expect("assign");
                reader
            };
            bencher.iter_batched(reader, |mut reader| read(&mut reader, records), BatchSize::PerIteration);
        });
        group.finish();
    }
    criterion.final_summary();
}

/// Records of a topic with one partition.
fn ends(dir: &Path, topic: &str) -> u64 {
    let log = EventLog::open_read_only(dir).expect("the log");
    let partition = log.topic(topic).and_then(|topic| topic.partition(0)).expect("a partition");
    partition.offsets().expect("offsets").log_end
}

fn plain_bytes(frames: &[Vec<u8>], decompress: Decompress) -> u64 {
    let mut to = Vec::with_capacity(1 << 20);
    let plain = frames.iter().map(|frame| {
        to.clear();
        decompress(frame, &mut to);
        to.len() as u64
    });
    plain.sum()
}

/// Writes small JSON records.
fn fill(dir: &Path, codec: Compression, records: u64) {
    let log = EventLog::open(dir).expect("a new log");
    let topic = log.create_topic("bench", TopicConfig::new()).expect("a new topic");
    let mut producer =
        log.producer_with(ProducerConfig::new().compression(codec)).expect("a producer").buffered();
    let mut state = 88_172_645_463_325_252_u64;
    for number in 0..records {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (customer, amount) = (state % 20_000, (state >> 20) % 100_000);
        let place = ["paid", "open", "sent", "returned"][(state >> 40) as usize % 4];
        let value = format!(
            "{{\"order\":{number},\"customer\":\"c-{customer:05}\",\"state\":\"{place}\",\"amount\":{amount}}}"
        );
        producer.enqueue(&topic, Record::new(&value)).expect("enqueue");
    }
    producer.flush().expect("flush");
    log.close().expect("close");
}

/// The compressed records of every batch of a partition.
fn frames(partition: &Path) -> Vec<Vec<u8>> {
    let entries =
        std::fs::read_dir(partition).expect("the partition").map(|entry| entry.expect("a file").path());
    let mut logs: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort_unstable();
    let mut frames = Vec::new();
    for log in logs {
        let file = std::fs::read(log).expect("the log file");
        let mut rest = &file[..];
        while rest.len() > HEADER_BYTES {
            let length = u32::from_be_bytes(rest[8..12].try_into().expect("a length")) as usize + 12;
            frames.push(rest[HEADER_BYTES..length].to_vec());
            rest = &rest[length..];
        }
    }
    frames
}
