//! What one `send` costs its caller, and when another thread has the record.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{ConsumerConfig, Producer, Record, Topic, WaitStrategy};

use crate::support::Scratch;

/// Single sends of about 1 GiB.
const SENDS: u64 = 6_000_000;
/// Records a second for the way from thread to thread, and how many.
const RATE: u32 = 100_000;
const PASSED: u64 = 300_000;

pub(crate) fn print() {
    let heading = format!("latency in ns, {} of them for the timer", timer_cost());
    println!("{heading:<44}{:>10}{:>10}{:>10}{:>12}", "p50", "p99", "p99.9", "max");

    let scratch = Scratch::new();
    let producer = scratch.log.producer().expect("a producer");
    row("send, 100 bytes, 1 thread", sends(&producer, &scratch.topic, SENDS));

    let scratch = Scratch::new();
    let producer = scratch.log.producer().expect("a producer");
    let times = thread::scope(|scope| {
        let other = scope.spawn(|| sends(&producer, &scratch.topic, SENDS / 2));
        let mut times = sends(&producer, &scratch.topic, SENDS / 2);
        times.extend(other.join().expect("the other thread"));
        times
    });
    row("send, 100 bytes, 2 threads, one partition", times);

    row("send to poll, 100,000/s, spinning consumer", through_log());
    row("  crossbeam-channel, spinning", through_channel());
}

/// The time of each of so many sends, in nanoseconds.
fn sends(producer: &Producer, topic: &Topic, count: u64) -> Vec<u64> {
    let value = [7; 100];
    let mut times = Vec::new();
    for number in 0..count {
        let key = number.to_be_bytes();
        let record = Record::new(&value).key(&key);
        let start = Instant::now();
        producer.send(topic, record).expect("send");
        times.push(nanos(start.elapsed()));
    }
    times
}

fn through_log() -> Vec<u64> {
    let scratch = Scratch::new();
    let producer = scratch.log.producer().expect("a producer");
    let spinning = ConsumerConfig::new().wait(WaitStrategy::Spin);
    let mut consumer = scratch.log.consumer_with(spinning).expect("a consumer");
    consumer.assign(scratch.topic.partitions()).expect("assign");
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut times = Vec::new();
            while (times.len() as u64) < PASSED {
                let polled = consumer.poll(Duration::from_secs(10)).expect("poll");
                let now = nanos(start.elapsed());
                assert!(!polled.is_empty(), "record {} did not come", times.len());
                times.extend(polled.iter().map(|record| {
                    let sent = record.key().and_then(|key| key.try_into().ok()).expect("a time");
                    now - u64::from_be_bytes(sent)
                }));
            }
            times
        });
        at_rate(|| {
            let sent = nanos(start.elapsed()).to_be_bytes();
            producer.send(&scratch.topic, Record::new(&[7; 100]).key(&sent)).expect("send");
        });
        receiver.join().expect("the receiver")
    })
}

fn through_channel() -> Vec<u64> {
    let (sender, receiver) = crossbeam_channel::bounded::<(u64, [u8; 100])>(4096);
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut times = Vec::new();
            while (times.len() as u64) < PASSED {
                match receiver.try_recv() {
                    Ok((sent, _)) => times.push(nanos(start.elapsed()) - sent),
                    Err(_) => spin_loop(),
                }
            }
            times
        });
        at_rate(|| sender.send((nanos(start.elapsed()), [7; 100])).expect("the receiver is there"));
        receiver.join().expect("the receiver")
    })
}

/// Does something [`PASSED`] times at [`RATE`].
fn at_rate(mut act: impl FnMut()) {
    let interval = Duration::from_secs(1) / RATE;
    let mut due = Instant::now();
    for _ in 0..PASSED {
        while Instant::now() < due {
            spin_loop();
        }
        due += interval;
        act();
    }
}

/// What reading the time costs, in nanoseconds.
fn timer_cost() -> u64 {
    let times = 1_000_000_u32;
    let start = Instant::now();
    for _ in 0..times {
        std::hint::black_box(Instant::now());
    }
    nanos(start.elapsed() / times)
}

fn row(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let within = |of_thousand: usize| times[(times.len() * of_thousand / 1000).min(times.len() - 1)];
    let [half, most, nearly_all, all] = [500, 990, 999, 1000].map(within);
    println!("{what:<44}{half:>10}{most:>10}{nearly_all:>10}{all:>12}");
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
