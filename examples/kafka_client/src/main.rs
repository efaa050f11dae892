//! The way out at run time: an application that works on a directory with stratalog, and is then pointed at the broker
//! that took the directory over.
//!
//!     kafka_client fill data                                  write 1,000 orders
//!     kafka_client work data 400                              bill 400 of them, as group "billing"
//!     kafka_client handover data 4.1 9092 9093 > server.properties
//!     kafka-server-start.sh server.properties
//!     kafka_client work 127.0.0.1:9092 600                    bill the rest: the group continues at its committed offsets
//!
//! `run` does all of this with a Kafka that it fetches.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use stratalog::{Consumer, EventLog, HandoverOptions, OwnedRecord, OwnedRecordIter, Record, TopicConfig};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const ORDERS: u64 = 1_000;
/// A broker may still be starting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where orders come from. All that the application knows of Kafka.
trait Orders {
    /// The amount of the next order, if one comes before long.
    fn next(&mut self) -> Result<Option<u64>>;
    /// What was returned so far is done.
    fn commit(&mut self) -> Result<()>;
}

/// A directory, in this process.
struct Embedded {
    consumer: Consumer,
    fetched: Option<OwnedRecordIter>,
    done: Vec<OwnedRecord>,
}

impl Orders for Embedded {
    fn next(&mut self) -> Result<Option<u64>> {
        loop {
            if let Some(order) = self.fetched.as_mut().and_then(Iterator::next) {
                let amount = amount(order.value().map(|value| &value[..]))?;
                self.done.push(order);
                return Ok(Some(amount));
            }
            let records = self.consumer.poll(Duration::from_secs(1))?;
            if records.is_empty() {
                return Ok(None);
            }
            self.fetched = Some(records.into_iter());
        }
    }

    fn commit(&mut self) -> Result<()> {
        let done = self.done.drain(..).map(|order| order.view().next_position());
        Ok(self.consumer.commit_to(done)?)
    }
}

/// A broker, over the network.
struct Remote(BaseConsumer);

impl Orders for Remote {
    fn next(&mut self) -> Result<Option<u64>> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match self.0.poll(Duration::from_secs(1)) {
                Some(Ok(order)) => return Ok(Some(amount(order.payload())?)),
                // The client tries again by itself.
                Some(Err(failure)) => eprintln!("{failure}"),
                None => {}
            }
        }
        Ok(None)
    }

    fn commit(&mut self) -> Result<()> {
        Ok(self.0.commit_consumer_state(CommitMode::Sync)?)
    }
}

fn amount(value: Option<&[u8]>) -> Result<u64> {
    Ok(std::str::from_utf8(value.ok_or("an order without an amount")?)?.parse()?)
}

/// The application: the same for both.
fn bill(orders: &mut dyn Orders, most: u64) -> Result<()> {
    let (mut count, mut total) = (0_u64, 0);
    while count < most {
        let Some(amount) = orders.next()? else { break };
        count += 1;
        total += amount;
    }
    orders.commit()?;
    println!("billed {count} orders, {total} in all");
    Ok(())
}

fn work(place: &str, most: u64) -> Result<()> {
    if Path::new(place).is_dir() {
        let log = EventLog::open(place)?;
        let mut consumer = log.consumer(GROUP)?;
        consumer.subscribe([TOPIC])?;
        bill(&mut Embedded { consumer, fetched: None, done: Vec::new() }, most)?;
        return Ok(log.close()?);
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", place).set("group.id", GROUP);
    // As with stratalog: what the group has not begun to read it reads from its beginning.
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[TOPIC])?;
    bill(&mut Remote(consumer), most)
}

fn fill(dir: &str) -> Result<()> {
    let log = EventLog::open(dir)?;
    let topic = log.ensure_topic(TOPIC, TopicConfig::new().partitions(3).retention(None))?;
    let producer = log.producer()?;
    for number in 1..=ORDERS {
        producer.send(&topic, Record::new(&number.to_string()).key(&number.to_be_bytes()))?;
    }
    Ok(log.close()?)
}

fn hand_over(dir: &str, kafka: &str, port: &str, controller: &str) -> Result<()> {
    let options = HandoverOptions::new()
        .kafka(kafka.parse()?)
        .listener("127.0.0.1", port.parse()?)
        .controller("127.0.0.1", controller.parse()?);
    let report = EventLog::open(dir)?.handover(&options)?;
    print!("{}", report.server_properties);
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", dir] => fill(dir),
        ["work", place, most] => work(place, most.parse()?),
        ["handover", dir, kafka, port, controller] => hand_over(dir, kafka, port, controller),
        _ => Err("usage: kafka_client fill DIR | work DIR-OR-BROKER MAX | handover DIR KAFKA PORT PORT".into()),
    }
}
