//! What it costs to be safe from power loss, and what a log costs that does nothing.

use std::fs::OpenOptions;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Durability, EventLog, Producer, ProducerConfig, Record, Topic};

use crate::machine;
use crate::spread;
use crate::support::Scratch;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const THREADS: usize = 16;
const IDLE: Duration = Duration::from_secs(10);
const IDLE_PARTITIONS: u32 = 1000;

pub(crate) fn print() {
    println!("{:<52}{:>10}{:>10}{:>10}", "synced, appends a second", "median", "min", "max");
    let mut figures = [const { Vec::new() }; 3];
    // Side by side, round by round: the device's own pace changes from minute to minute.
    for _ in 0..ROUNDS {
        figures[0].push(device());
        figures[1].push(synced(1));
        figures[2].push(synced(THREADS));
    }
    let [of_device, of_one, of_many] = figures.map(spread);
    row("write of 178 bytes and fdatasync, no log", of_device);
    row("send with Durability::Synced, 1 thread", of_one);
    row("send with Durability::Synced, 16 threads", of_many);
    println!("16 threads to 1: {:.1} times", of_many[0] / of_one[0]);
    idle();
}

fn row(what: &str, [median, min, max]: [f64; 3]) {
    println!("{what:<52}{median:>10.0}{min:>10.0}{max:>10.0}");
}

/// Appends a second that a file takes, each of them synced.
fn device() -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).expect("a new file");
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND {
        file.write_all(&[7; 178]).expect("write");
        file.sync_data().expect("sync");
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn synced(threads: usize) -> f64 {
    let scratch = Scratch::new();
    let config = ProducerConfig::new().durability(Durability::Synced);
    let producer = scratch.log.producer_with(config).expect("a producer");
    let start = Instant::now();
    let sent: u32 = thread::scope(|scope| {
        let senders: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| sends(&producer, &scratch.topic, start))).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).sum()
    });
    f64::from(sent) / start.elapsed().as_secs_f64()
}

fn sends(producer: &Producer, topic: &Topic, start: Instant) -> u32 {
    let mut count = 0;
    while start.elapsed() < ROUND {
        producer.send(topic, Record::new(&[7; 100]).key(&[1; 8])).expect("send");
        count += 1;
    }
    count
}

/// What an idle log does, and what its partitions take.
fn idle() {
    let scratch = Scratch::with_partitions(IDLE_PARTITIONS);
    let producer = scratch.log.producer().expect("a producer");
    for partition in 0..IDLE_PARTITIONS {
        producer.send(&scratch.topic, Record::new("one").partition(partition)).expect("send");
    }
    drop(producer);
    let Scratch { log, topic, dir } = scratch;
    drop(topic);
    log.close().expect("close");
    drop(log);
    let [before, _] = machine::resident();
    let log = EventLog::open(dir.path()).expect("open");
    let mut reader = log.standalone_consumer().expect("a consumer");
    reader.assign(log.topic("bench").expect("the topic").partitions()).expect("assign");
    while !reader.poll(Duration::ZERO).expect("poll").is_empty() {}
    drop(reader);
    let taken = (machine::resident()[0] - before) * 1024.0 / f64::from(IDLE_PARTITIONS);
    let woken = machine::wake_ups("stratalog");
    thread::sleep(IDLE);
    println!(
        "idle, {IDLE_PARTITIONS} partitions that were all read once: {} wake-ups in {} s, {taken:.1} KiB a partition",
        machine::wake_ups("stratalog") - woken,
        IDLE.as_secs(),
    );
}
