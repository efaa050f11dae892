//! From a log into async tasks: a consumer on a thread of its own, a bounded channel, and a clean end.
//!
//! ```sh
//! cargo run --release --example async_bridge
//! ```
//!
//! A poll waits, so it has no place on an async worker. Here one blocking task polls and hands records to a task that
//! awaits; the channel holds a few polls at most, so a slow task slows the reading down and nothing piles up. Records
//! are owned: their views may live across an await.

use std::time::Duration;

use stratalog::{Consumer, EventLog, Record, Records, TopicConfig, WhyEmpty};
use tokio::sync::mpsc;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Polls until the receiver is gone or `stop` is used.
fn read_ahead(mut consumer: Consumer, to: &mpsc::Sender<Records>) -> stratalog::Result<Consumer> {
    loop {
        let records = consumer.poll(Duration::MAX)?;
        // Other polls without records continue: the first one of a member announces its partitions and brings none yet.
        if records.why_empty() == Some(WhyEmpty::Woken) || to.blocking_send(records).is_err() {
            return Ok(consumer);
        }
    }
}

async fn handle(value: Option<&[u8]>) -> u64 {
    // Whatever waits for a network or a database.
    tokio::task::yield_now().await;
    value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    const COUNT: u64 = 50_000;
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    let numbers = log.create_topic("numbers", TopicConfig::new())?;

    let mut consumer = log.consumer("bridge")?;
    consumer.subscribe(["numbers"])?;
    let stop = consumer.waker();
    let (to, mut from) = mpsc::channel(4);
    let reading = tokio::task::spawn_blocking(move || read_ahead(consumer, &to));

    // A producer writes meanwhile, from another thread.
    let producer = log.producer()?;
    let writing = tokio::task::spawn_blocking(move || -> stratalog::Result<()> {
        let mut producer = producer.buffered();
        for number in 1..=COUNT {
            producer.enqueue(&numbers, Record::new(&number.to_be_bytes()))?;
        }
        producer.flush()
    });

    let (mut sum, mut count, mut polls) = (0, 0, 0);
    while count < COUNT {
        let records = from.recv().await.ok_or("the reader ended early")?;
        for record in &records {
            sum += handle(record.value()).await;
            count += 1;
        }
        polls += 1;
    }
    writing.await??;
    stop.wake();
    let mut consumer = reading.await??;
    // All that was returned was handled.
    consumer.commit()?;
    println!("{count} records in {polls} polls, handled by a task; their sum is {sum}");
    println!("the consumer came back at {:?}", consumer.positions());
    assert_eq!(sum, COUNT * (COUNT + 1) / 2);
    Ok(())
}
