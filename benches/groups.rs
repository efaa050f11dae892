//! What groups cost: commits, polls of a member with many partitions, members that come and go, and the load of what
//! was committed.

mod support;

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use stratalog::{Consumer, EventLog, Position, Producer, Record, Topic};

use support::{Scratch, is_smoke_run};

const RECORDS: usize = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("groups");
    group.throughput(Throughput::Elements(1));
    group.bench_function("commit_to, buffered", |bencher| {
        let (scratch, mut consumer) = member(1);
        let of = scratch.topic.partition(0).expect("a partition");
        let mut offset = 0;
        bencher.iter(|| {
            offset = (offset + 1) % RECORDS as u64;
            consumer.commit_to([Position::new(&of, offset)]).expect("commit");
        });
    });
    group.bench_function("send, for comparison", |bencher| {
        let (scratch, _consumer) = member(1);
        let producer = scratch.log.producer().expect("a producer");
        bencher.iter(|| send(&producer, &scratch.topic, 0));
    });
    for partitions in [1, 64] {
        group.bench_function(format!("poll one record/{partitions} partitions"), |bencher| {
            let (scratch, mut consumer) = member(partitions);
            while !consumer.poll(Duration::ZERO).expect("poll").is_empty() {}
            let producer = scratch.log.producer().expect("a producer");
            bencher.iter_batched(
                || send(&producer, &scratch.topic, partitions / 2),
                |()| assert_eq!(consumer.poll(Duration::ZERO).expect("poll").len(), 1),
                BatchSize::PerIteration,
            );
        });
    }
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("rebalance after a join/8 members, 64 partitions", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| rebalance(8, 64)).sum());
    });
    group.bench_function("join, settle, leave, settle/64 members, 256 partitions", |bencher| {
        bencher.iter_custom(|rounds| come_and_go(rounds, 64, 256));
    });
    group.throughput(Throughput::Elements(u64::from(committed_offsets())));
    group.bench_function(format!("load/{} committed offsets", committed_offsets()), |bencher| {
        bencher.iter_custom(load);
    });
    group.finish();
    criterion.final_summary();
}

fn committed_offsets() -> u32 {
    if is_smoke_run() { 1_000 } else { 100_000 }
}

fn send(producer: &Producer, topic: &Topic, partition: u32) {
    producer.send(topic, Record::new(&[7; 100]).partition(partition)).expect("send");
}

/// A lone member of a group, with all partitions of a topic that holds some records.
fn member(partitions: u32) -> (Scratch, Consumer) {
    let scratch = Scratch::with_partitions(partitions);
    let producer = scratch.log.producer().expect("a producer");
    for partition in scratch.topic.partitions() {
        let records = (0..RECORDS).map(|_| Record::new(&[7; 100]));
        producer.send_batch(&partition, records).expect("send");
    }
    let consumer = join(&scratch.log, scratch.topic.name());
    let mut members = [consumer];
    wait_until_stable(&mut members);
    let [consumer] = members;
    (scratch, consumer)
}

fn join(log: &EventLog, topic: &str) -> Consumer {
    let mut consumer = log.consumer("g").expect("a consumer");
    consumer.subscribe([topic]).expect("subscribe");
    consumer
}

/// Everybody polls until the group is stable.
fn wait_until_stable(members: &mut [Consumer]) {
    let mut quiet = 0;
    while quiet < 2 {
        quiet += 1;
        for member in &mut *members {
            let records = member.poll(Duration::ZERO).expect("poll");
            if !records.assigned().is_empty() || !records.revoked().is_empty() {
                quiet = 0;
            }
        }
    }
}

/// From the join of the last member until everybody has what it is to have.
fn rebalance(members: usize, partitions: u32) -> Duration {
    let scratch = Scratch::with_partitions(partitions);
    let mut all: Vec<_> = (1..members).map(|_| join(&scratch.log, scratch.topic.name())).collect();
    wait_until_stable(&mut all);
    let start = Instant::now();
    all.push(join(&scratch.log, scratch.topic.name()));
    wait_until_stable(&mut all);
    let took = start.elapsed();
    assert!(all.iter().all(|member| member.assignment().len() == partitions as usize / members));
    took
}

fn come_and_go(rounds: u64, members: usize, partitions: u32) -> Duration {
    let scratch = Scratch::with_partitions(partitions);
    let mut all: Vec<_> = (1..members).map(|_| join(&scratch.log, scratch.topic.name())).collect();
    wait_until_stable(&mut all);
    let start = Instant::now();
    for _ in 0..rounds {
        all.push(join(&scratch.log, scratch.topic.name()));
        wait_until_stable(&mut all);
        drop(all.pop());
        wait_until_stable(&mut all);
    }
    start.elapsed()
}

/// Opens a log and asks for many committed positions, of ten groups.
fn load(rounds: u64) -> Duration {
    let count = committed_offsets();
    let scratch = Scratch::with_partitions(1);
    let wide = stratalog::TopicConfig::new().partitions(count / 10);
    let wide = scratch.log.create_topic("wide", wide).expect("a topic");
    for group in 0..10 {
        let group = scratch.log.group(&format!("group-{group}")).expect("a group");
        for chunk in wide.partitions().chunks(1_000) {
            let positions = chunk.iter().map(|partition| Position::new(partition, 0));
            group.set_committed(positions).expect("commit");
        }
    }
    scratch.log.close().expect("close");
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let log = EventLog::open(scratch.dir.path()).expect("open");
        let start = Instant::now();
        let found: usize = (0..10)
            .map(|group| {
                log.group(&format!("group-{group}")).expect("a group").committed().expect("read").len()
            })
            .sum();
        took += start.elapsed();
        assert_eq!(found, count as usize);
    }
    took
}
