//! One process writes a log, another one reads it as it grows: no server between them.
//!
//! Run without arguments; the program starts itself once more as the writer.
//!
//! ```text
//! cargo run --release --example tail_other_process
//! ```

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use stratalog::{EventLog, Record, TopicConfig};

const ORDERS: u64 = 20;

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> AnyResult<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("write"), Some(directory)) => write(Path::new(&directory)),
        _ => read_along(),
    }
}

/// The other process: an order every few milliseconds.
fn write(directory: &Path) -> AnyResult<()> {
    let log = EventLog::open(directory)?;
    let orders = log.ensure_topic("orders", TopicConfig::new())?;
    let producer = log.producer()?;
    for number in 0..ORDERS {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let value = format!("{}", now.as_nanos());
        producer.send(&orders, Record::new(&value).key(&format!("order-{number}")))?;
        std::thread::sleep(Duration::from_millis(25));
    }
    log.close()?;
    Ok(())
}

fn read_along() -> AnyResult<()> {
    let directory = tempfile::tempdir()?;
    // The first process makes the topic; here it is the reader's own process, before it starts the writer.
    let log = EventLog::open(directory.path())?;
    log.create_topic("orders", TopicConfig::new())?;
    log.close()?;

    let mut writer = Command::new(std::env::current_exe()?).arg("write").arg(directory.path()).spawn()?;
    let log = EventLog::open_read_only(directory.path())?;
    let mut reader = log.standalone_consumer()?;
    reader.assign(log.topic("orders")?.partitions())?;
    println!("process {} reads what process {} writes", std::process::id(), writer.id());

    let (mut received, begun) = (0, Instant::now());
    while received < ORDERS {
        for record in &reader.poll(Duration::from_secs(1))? {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
            let sent: u128 = std::str::from_utf8(record.value().unwrap_or_default())?.parse()?;
            println!(
                "{:>8} at offset {:>2}, {:>5} µs after it was sent",
                String::from_utf8_lossy(record.key().unwrap_or_default()),
                record.offset(),
                now.as_nanos().saturating_sub(sent) / 1000,
            );
            received += 1;
        }
        if begun.elapsed() > Duration::from_secs(20) {
            return Err("the writer is silent".into());
        }
    }
    let ended = writer.wait()?;
    println!(
        "{received} orders, the writer ended with {ended}, and nothing in the log was touched by reading it"
    );
    Ok(())
}
