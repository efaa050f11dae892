//! Replay of a compressed log, page cache hot, against what the codec's own library takes for the same bytes on one
//! thread. In both the unit is plain bytes.

mod support;

use std::path::Path;

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
                at += lz4_flex::block::decompress_into(&rest[4..4 + bytes], &mut to[at..]).expect("lz4");
                rest = &rest[4 + bytes..];
            }
            to.truncate(at);
        }),
        ("zstd", Compression::Zstd, |frame, to| {
            zstd_safe::decompress(to, frame).expect("zstd");
        }),
    ];
    for (name, codec, decompress) in codecs {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let plain = fill(dir.path(), codec, records);
        let frames = frames(&dir.path().join("bench-0"));
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20).sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(plain));
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
            let log = EventLog::open(dir.path()).expect("the log");
            let reader = || {
                let mut reader = log.reader().expect("a consumer");
                reader.assign([("bench", 0)]).expect("assign");
                reader
            };
            bencher.iter_batched(reader, |mut reader| read(&mut reader, records), BatchSize::PerIteration);
        });
        group.finish();
    }
    criterion.final_summary();
}

/// Writes small JSON records; returns their bytes when they are not compressed, about.
fn fill(dir: &Path, codec: Compression, records: u64) -> u64 {
    let log = EventLog::open(dir).expect("a new log");
    let topic = log.create_topic("bench", TopicConfig::new()).expect("a new topic");
    let mut producer =
        log.producer_with(ProducerConfig::new().compression(codec)).expect("a producer").buffered();
    let (mut state, mut plain) = (88_172_645_463_325_252_u64, 0);
    for number in 0..records {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (customer, amount) = (state % 20_000, (state >> 20) % 100_000);
        let place = ["paid", "open", "sent", "returned"][(state >> 40) as usize % 4];
        let value = format!(
            "{{\"order\":{number},\"customer\":\"c-{customer:05}\",\"state\":\"{place}\",\"amount\":{amount}}}"
        );
        plain += value.len() as u64 + 9;
        producer.enqueue(&topic, Record::new(&value)).expect("enqueue");
    }
    producer.flush().expect("flush");
    log.close().expect("close");
    plain
}

/// The compressed records of every batch of a partition.
fn frames(partition: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(partition.join("00000000000000000000.log")).expect("the log file");
    let (mut rest, mut frames) = (&file[..], Vec::new());
    while rest.len() > HEADER_BYTES {
        let length = u32::from_be_bytes(rest[8..12].try_into().expect("a length")) as usize + 12;
        frames.push(rest[HEADER_BYTES..length].to_vec());
        rest = &rest[length..];
    }
    frames
}
