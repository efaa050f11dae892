//! A thread that produces, a thread that consumes.
//!
//! ```sh
//! cargo run --example threads
//! ```

use std::thread;
use std::time::Duration;

use stratalog::{EventLog, Record, Result, TopicConfig};

const ORDERS: usize = 5;

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("stratalog-threads-{}", std::process::id()));
    let log = EventLog::open(&dir)?;
    let orders = log.create_topic("orders", TopicConfig::new())?;
    let producer = log.producer()?;
    let mut consumer = log.standalone_consumer()?;
    consumer.assign(orders.partitions())?;

    thread::scope(|scope| {
        let produce = scope.spawn(|| {
            for number in 1..=ORDERS {
                let sent = producer.send(&orders, Record::new(&format!("order {number}")))?;
                println!("sent      offset {}", sent.offset);
            }
            Result::Ok(())
        });
        let consume = scope.spawn(move || {
            let mut received = 0;
            while received < ORDERS {
                for record in &consumer.poll(Duration::MAX)? {
                    let value = String::from_utf8_lossy(record.value().unwrap_or_default());
                    println!("received  offset {}: {value}", record.offset());
                    received += 1;
                }
            }
            Result::Ok(())
        });
        produce.join().expect("the producer panicked")?;
        consume.join().expect("the consumer panicked")
    })?;
    log.close()?;
    std::fs::remove_dir_all(dir).expect("the directory can be removed");
    Ok(())
}
