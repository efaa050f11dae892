//! Records and bytes in a second, and how long opening takes.
#![expect(clippy::cast_precision_loss, reason = "figures for people: three digits matter")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use stratalog::{EventLog, Record};

use crate::support::{STORED_BYTES, Scratch, read};
use crate::{machine, spread};

const GIB: u64 = 1 << 30;
const RUNS: usize = 3;

pub(crate) fn print() {
    println!("{:<44}{:>8}{:>8}{:>8}", "throughput", "median", "min", "max");
    pipe();
    row("  crossbeam-channel, which stores nothing", "M records/s", (0..RUNS).map(|_| channel()));
    append();
    replay("100-byte values", 100);
    replay("1 KiB values", 1024);
}

/// One producer thread to one consumer thread over 2 GiB, and what that takes of memory and disk.
fn pipe() {
    let records = 2 * GIB / STORED_BYTES;
    let (mut rates, mut stored, mut growth) = (Vec::new(), 0, [0.0; 2]);
    for _ in 0..RUNS {
        let scratch = Scratch::new();
        let before = machine::resident();
        let start = Instant::now();
        thread::scope(|scope| {
            let mut consumer = scratch.reader();
            scope.spawn(move || black_box(read(&mut consumer, records)));
            scratch.fill(records, 100);
        });
        rates.push(records as f64 / 1e6 / start.elapsed().as_secs_f64());
        let after = machine::resident();
        growth = [after[0] - before[0], after[1] - before[1]];
        stored = scratch.topic.partition(0).expect("partition 0").size().expect("a size");
    }
    row("pipe, 100-byte values, 8-byte keys, 2 GiB", "M records/s", rates.into_iter());
    let each = stored as f64 / records as f64;
    println!("  stored: {each:.1} bytes a record, {:.1} beyond key and value", each - 108.0);
    println!("  memory: {:.0} MiB of its own, {:.0} MiB of mapped files", growth[0], growth[1]);
}

/// The same records through a channel, in millions a second.
fn channel() -> f64 {
    let records = 3_000_000_u64;
    let (sender, receiver) = crossbeam_channel::bounded::<([u8; 8], [u8; 100])>(4096);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            black_box(receiver.iter().map(|(key, value)| u64::from(key[7] ^ value[0])).sum::<u64>())
        });
        for number in 0..records {
            sender.send((number.to_be_bytes(), [7; 100])).expect("the receiver is there");
        }
        drop(sender);
    });
    records as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn append() {
    let records = GIB / 1024;
    let megabytes = (records * 1032) as f64 / 1e6;
    let rates = (0..RUNS).map(|_| {
        let scratch = Scratch::new();
        let start = Instant::now();
        scratch.fill(records, 1024);
        megabytes / start.elapsed().as_secs_f64()
    });
    row("append, 1 KiB values, batched", "MB/s", rates);
    row("  write(2) of as much, 256 KiB at once", "MB/s", (0..RUNS).map(|_| plain_write()));
}

fn plain_write() -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create_new(dir.path().join("plain")).expect("a new file");
    let piece = vec![7; 256 << 10];
    let start = Instant::now();
    for _ in 0..GIB / (256 << 10) {
        file.write_all(&piece).expect("write");
    }
    GIB as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Reads a closed log of 1 GiB from its beginning, which is in the page cache.
fn replay(what: &str, value_bytes: usize) {
    let mut scratch = Scratch::new();
    let records = GIB / (value_bytes as u64 + 17);
    scratch.fill(records, value_bytes);
    scratch.log.close().expect("close");
    scratch.log = EventLog::open(scratch.dir.path()).expect("open");
    scratch.topic = scratch.log.topic("bench").expect("the topic");
    let megabytes = scratch.topic.partition(0).expect("partition 0").size().expect("a size") as f64 / 1e6;
    let seconds: Vec<_> = (0..RUNS)
        .map(|_| {
            let mut consumer = scratch.reader();
            let start = Instant::now();
            black_box(read(&mut consumer, records));
            start.elapsed().as_secs_f64()
        })
        .collect();
    row(&format!("replay, {what}, 1 GiB"), "M records/s", seconds.iter().map(|s| records as f64 / 1e6 / s));
    row("", "MB/s", seconds.iter().map(|seconds| megabytes / seconds));

    let mut bytes = Vec::new();
    for path in log_files(scratch.dir.path()) {
        bytes.extend(fs::read(path).expect("a log file"));
    }
    let sums = (0..RUNS).map(|_| {
        let start = Instant::now();
        let sum = bytes.chunks_exact(8).fold(0, |sum: u64, eight| {
            sum.wrapping_add(u64::from_le_bytes(eight.try_into().expect("eight bytes")))
        });
        black_box(sum);
        megabytes / start.elapsed().as_secs_f64()
    });
    row("  summing the same bytes in memory", "MB/s", sums);
}

fn log_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("bench-0")).expect("the partition's directory");
    let files = files.map(|file| file.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect()
}

pub(crate) fn print_open() {
    println!("{:<44}{:>8}{:>8}{:>8}", "open", "median", "min", "max");
    let one = Scratch::new();
    one.fill(2 * GIB / STORED_BYTES, 100);
    one.log.close().expect("close");
    row("clean, 1 partition of 2 GiB", "ms", (0..10).map(|_| open(one.dir.path())));
    drop(one);

    let many = Scratch::with_partitions(1000);
    let producer = many.log.producer().expect("a producer");
    for partition in 0..1000 {
        producer.send(&many.topic, Record::new("something").partition(partition)).expect("send");
    }
    many.log.close().expect("close");
    row("clean, 1,000 partitions", "ms", (0..10).map(|_| open(many.dir.path())));
    drop((producer, many));

    let tail = Scratch::new();
    tail.fill((64 << 20) / STORED_BYTES, 100);
    tail.log.close().expect("close");
    let unclean = (0..10).map(|_| {
        for file in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"] {
            fs::remove_file(tail.dir.path().join(file)).expect("a file of a closed log");
        }
        open(tail.dir.path())
    });
    row("after a stop without close, 64 MiB to check", "ms", unclean);
}

/// Milliseconds until a log is open.
fn open(dir: &Path) -> f64 {
    let start = Instant::now();
    let log = EventLog::open(dir).expect("open");
    let time = start.elapsed();
    log.close().expect("close");
    time.as_secs_f64() * 1e3
}

fn row(what: &str, unit: &str, figures: impl Iterator<Item = f64>) {
    let [median, least, most] = spread(figures.collect());
    let digits = usize::from(median < 100.0);
    println!("{what:<44}{median:>8.digits$}{least:>8.digits$}{most:>8.digits$}  {unit}");
}
