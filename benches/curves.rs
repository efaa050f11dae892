//! What must not grow faster than what there is: a batch read record by record, many partitions assigned or claimed, and
//! topics that come and go under one producer. Each at several sizes: time per element stays the same, or nearly.

mod support;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use stratalog::{ConsumerConfig, EventLog, ProducerConfig, Record, TopicConfig};

use support::{Scratch, is_smoke_run};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    batch_record_by_record(&mut criterion);
    many_partitions(&mut criterion);
    topics_that_go(&mut criterion);
    criterion.final_summary();
}

/// Ten times fewer where everything is only to be run once.
fn sizes(all: [u32; 3]) -> [u32; 3] {
    if is_smoke_run() { all.map(|size| size / 20) } else { all }
}

fn batch_record_by_record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one batch, one record a poll");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for records in sizes([400, 4_000, 40_000]) {
        let scratch = Scratch::new();
        // So small that all are one batch below the default of `max.message.bytes`.
        let batch = (0..records).map(|_| Record::new(&[7; 16]));
        let partition = scratch.topic.partition(0).expect("a partition");
        scratch.log.producer().expect("a producer").send_batch(&partition, batch).expect("send");
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter(|| {
                let config = ConsumerConfig::new().max_poll_records(1);
                let mut reader = scratch.log.consumer_with(config).expect("a consumer");
                reader.assign(scratch.topic.partitions()).expect("assign");
                for _ in 0..records {
                    assert_eq!(reader.poll(Duration::ZERO).expect("poll").iter().count(), 1);
                }
            });
        });
    }
    group.finish();
}

fn many_partitions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("partitions");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for partitions in sizes([100, 1_000, 10_000]) {
        let scratch = Scratch::with_partitions(partitions);
        group.throughput(Throughput::Elements(u64::from(partitions)));
        group.bench_function(BenchmarkId::new("assign", partitions), |bencher| {
            let all = scratch.topic.partitions();
            let mut reader = scratch.log.standalone_consumer().expect("a consumer");
            bencher.iter(|| reader.assign(&all).expect("assign"));
        });
        group.bench_function(BenchmarkId::new("subscribe and first poll", partitions), |bencher| {
            bencher.iter(|| {
                let mut member = scratch.log.consumer("g").expect("a consumer");
                member.subscribe([scratch.topic.name()]).expect("subscribe");
                let records = member.poll(Duration::ZERO).expect("poll");
                assert_eq!(records.assigned().len(), partitions as usize);
            });
        });
    }
    group.finish();
}

/// What a record costs after so many topics have come, got a record and gone.
fn topics_that_go(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("enqueue and flush after deleted topics");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for gone in sizes([20, 200, 2_000]) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EventLog::open(dir.path()).expect("a new log");
        let config = ProducerConfig::new().linger(Duration::MAX);
        let mut producer = log.producer_with(config).expect("a producer").buffered();
        for n in 0..gone {
            let name = format!("t{n}");
            let topic = log.create_topic(&name, TopicConfig::new()).expect("a topic");
            producer.enqueue(&topic, Record::new("x")).expect("enqueue");
            producer.flush().expect("flush");
            log.delete_topic(&name).expect("delete");
        }
        let stays = log.create_topic("stays", TopicConfig::new()).expect("a topic");
        group.bench_function(BenchmarkId::from_parameter(gone), |bencher| {
            bencher.iter_custom(|rounds| {
                let start = Instant::now();
                for _ in 0..rounds {
                    producer.enqueue(&stays, Record::new("x")).expect("enqueue");
                    producer.flush().expect("flush");
                }
                start.elapsed()
            });
        });
    }
    group.finish();
}
