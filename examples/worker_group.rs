//! A group of workers that grows and shrinks while it works, with one that crashes in the middle of its work.
//!
//! ```sh
//! cargo run --release --example worker_group
//! ```
//!
//! Every job is done at least once: a worker commits a job when it is done, so what the crashed worker had been handed
//! and not committed comes again, to another one. The count at the end shows how many jobs that were.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use stratalog::{Consumer, ConsumerWaker, EventLog, Record, Result, Topic, TopicConfig};

const JOBS: usize = 20_000;
const PARTITIONS: u32 = 12;

/// How often each job was done, and by how many.
struct Counters {
    done: Vec<AtomicUsize>,
    jobs: AtomicUsize,
    moves: AtomicUsize,
    log: Mutex<Vec<String>>,
}

/// A thread that works, and the way to stop it.
struct Worker<'scope> {
    thread: ScopedJoinHandle<'scope, Result<usize>>,
    waker: ConsumerWaker,
    stop: &'scope AtomicBool,
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("stratalog-workers-{}", std::process::id()));
    let log = EventLog::open(&dir)?;
    let jobs = log.create_topic("jobs", TopicConfig::new().partitions(PARTITIONS))?;
    let counters = Counters {
        done: (0..JOBS).map(|_| AtomicUsize::new(0)).collect(),
        jobs: AtomicUsize::new(0),
        moves: AtomicUsize::new(0),
        log: Mutex::default(),
    };
    let stops: Vec<_> = (0..6).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        let hire = |name: usize, crash_after: Option<usize>| -> Result<Worker<'_>> {
            hire(scope, &log, &counters, &stops[name], name, crash_after)
        };
        let mut workers = vec![hire(0, None)?, hire(1, None)?];
        send_jobs(&log, &jobs, 0..JOBS / 4)?;
        workers.extend([hire(2, None)?, hire(3, Some(1500))?, hire(4, None)?, hire(5, None)?]);
        send_jobs(&log, &jobs, JOBS / 4..JOBS / 2)?;
        for leaving in workers.drain(4..) {
            leave(leaving)?;
        }
        send_jobs(&log, &jobs, JOBS / 2..JOBS)?;
        let until = Instant::now() + Duration::from_secs(60);
        while counters.done.iter().any(|done| done.load(Ordering::Relaxed) == 0) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        workers.into_iter().try_for_each(leave)
    })?;
    report(&log, &counters)?;
    log.close()?;
    std::fs::remove_dir_all(dir).expect("the directory can be removed");
    Ok(())
}

fn send_jobs(log: &EventLog, jobs: &Topic, numbers: std::ops::Range<usize>) -> Result<()> {
    let producer = log.producer()?;
    for number in numbers {
        let number = number.to_string();
        producer.send(jobs, Record::new(&number).key(&number))?;
    }
    Ok(())
}

fn hire<'scope>(
    scope: &'scope Scope<'scope, '_>,
    log: &EventLog,
    counters: &'scope Counters,
    stop: &'scope AtomicBool,
    name: usize,
    crash_after: Option<usize>,
) -> Result<Worker<'scope>> {
    let mut consumer = log.consumer("workers")?;
    consumer.subscribe(["jobs"])?;
    let waker = consumer.waker();
    let thread = scope.spawn(move || work(consumer, counters, stop, name, crash_after));
    Ok(Worker { thread, waker, stop })
}

fn leave(worker: Worker<'_>) -> Result<()> {
    worker.stop.store(true, Ordering::Release);
    worker.waker.wake();
    worker.thread.join().expect("a worker panicked").map(drop)
}

fn work(
    mut consumer: Consumer,
    counters: &Counters,
    stop: &AtomicBool,
    name: usize,
    crash_after: Option<usize>,
) -> Result<usize> {
    let mut done = 0;
    while !stop.load(Ordering::Acquire) {
        let records = consumer.poll(Duration::MAX)?;
        if !records.assigned().is_empty() {
            counters.moves.fetch_add(records.assigned().len(), Ordering::Relaxed);
            let line = format!("worker {name} gets {} partitions", records.assigned().len());
            counters.log.lock().expect("no thread panics").push(line);
        }
        for record in &records {
            do_job(record.value().unwrap_or_default(), counters);
            done += 1;
            if crash_after.is_some_and(|jobs| done >= jobs) {
                // As if the thread had died: the consumer is dropped, the last job and the rest are not committed.
                counters.log.lock().expect("no thread panics").push(format!("worker {name} crashes"));
                return Ok(done);
            }
            consumer.commit_to([record.next_position()])?;
        }
    }
    consumer.close()?;
    Ok(done)
}

fn do_job(job: &[u8], counters: &Counters) {
    let number = str::from_utf8(job).ok().and_then(|job| job.parse::<usize>().ok());
    if let Some(done) = number.and_then(|number| counters.done.get(number)) {
        done.fetch_add(1, Ordering::Relaxed);
        counters.jobs.fetch_add(1, Ordering::Relaxed);
    }
}

fn report(log: &EventLog, counters: &Counters) -> Result<()> {
    for line in counters.log.lock().expect("no thread panics").iter() {
        println!("{line}");
    }
    let missing = counters.done.iter().filter(|done| done.load(Ordering::Relaxed) == 0).count();
    let twice = counters.done.iter().filter(|done| done.load(Ordering::Relaxed) > 1).count();
    println!("{JOBS} jobs: {missing} not done, {twice} done again after the crash");
    println!("partitions changed hands {} times", counters.moves.load(Ordering::Relaxed));
    let lag: u64 = log.group("workers")?.lag()?.iter().map(|(_, lag)| lag).sum();
    println!("what is left to do by the committed positions: {lag}");
    assert_eq!((missing, lag), (0, 0));
    Ok(())
}
