//! A worker that consumes for as long as the program wants it to, and stops at once on request.
//!
//! ```sh
//! cargo run --example wake_and_stop
//! ```
//!
//! The worker sleeps in `poll` without a timeout. The thread that stops it sets a flag and uses the consumer's waker: the wait
//! ends with no records, and the worker sees the flag. A wake is remembered, so it does not matter which comes first,
//! the wake or the next poll.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Consumer, EventLog, Record, Result, Topic, TopicConfig};

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("stratalog-wake-{}", std::process::id()));
    let log = EventLog::open(&dir)?;
    let jobs = log.create_topic("jobs", TopicConfig::new().partitions(2))?;
    let mut consumer = log.standalone_consumer()?;
    consumer.assign(jobs.partitions())?;

    let stop = AtomicBool::new(false);
    let waker = consumer.waker();
    let done = thread::scope(|scope| {
        let worker = scope.spawn(|| work(consumer, &stop));

        let sent = send_jobs(&log, &jobs);

        let asked = Instant::now();
        stop.store(true, Ordering::Release);
        waker.wake();
        let done = worker.join().expect("the worker panicked")?;
        println!("stopped {:?} after it was asked to", asked.elapsed());
        sent.map(|()| done)
    })?;
    println!("{done} jobs done");
    log.close()?;
    std::fs::remove_dir_all(dir).expect("the directory can be removed");
    Ok(())
}

fn send_jobs(log: &EventLog, jobs: &Topic) -> Result<()> {
    let producer = log.producer()?;
    for job in ["clean", "scrub", "polish"] {
        producer.send(jobs, Record::new(job).key(job))?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Does what there is to do until the stop flag is set.
fn work(mut consumer: Consumer, stop: &AtomicBool) -> Result<usize> {
    let mut done = 0;
    while !stop.load(Ordering::Acquire) {
        for record in &consumer.poll(Duration::MAX)? {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            done += 1;
        }
    }
    Ok(done)
}
