//! One topic, two groups: a queue and publish/subscribe side by side.
//!
//! ```sh
//! cargo run --release --example queue_and_publish
//! ```
//!
//! The group "billing" is a queue: its two consumers share the orders. The group "audit" has one consumer, which gets all
//! of them as well. Neither notices the other.

use std::thread;
use std::time::Duration;

use stratalog::{Consumer, EventLog, Record, Result, TopicConfig, WhyEmpty};

const ORDERS: usize = 1_000;

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("stratalog-groups-{}", std::process::id()));
    let log = EventLog::open(&dir)?;
    let orders = log.create_topic("orders", TopicConfig::new().partitions(4))?;
    let members: Vec<_> =
        ["billing", "billing", "audit"].map(|group| join(&log, group)).into_iter().collect::<Result<_>>()?;

    let producer = log.producer()?;
    for number in 0..ORDERS {
        producer.send(&orders, Record::new(&format!("order {number}")).key(&number.to_string()))?;
    }
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = members.into_iter().map(|member| scope.spawn(|| read_all(member))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no reader panics")).collect::<Result<Vec<_>>>()
    })?;
    println!("billing: {} and {} orders, together {}", counts[0], counts[1], counts[0] + counts[1]);
    println!("audit: {} orders", counts[2]);
    assert_eq!((counts[0] + counts[1], counts[2]), (ORDERS, ORDERS));
    for group in log.groups()? {
        let lag: u64 = group.lag()?.iter().map(|(_, lag)| lag).sum();
        println!("{} has {lag} orders left to read", group.name());
    }
    log.close()?;
    std::fs::remove_dir_all(dir).expect("the directory can be removed");
    Ok(())
}

/// A member of a group, once it has its share of the partitions.
fn join(log: &EventLog, group: &str) -> Result<Consumer> {
    let mut consumer = log.consumer(group)?;
    consumer.subscribe(["orders"])?;
    Ok(consumer)
}

/// Reads until nothing comes any more.
fn read_all(mut consumer: Consumer) -> Result<usize> {
    let mut read = 0;
    loop {
        let records = consumer.poll(Duration::from_millis(300))?;
        if records.why_empty() == Some(WhyEmpty::TimedOut) {
            consumer.close()?;
            return Ok(read);
        }
        read += records.len();
        consumer.commit()?;
    }
}
