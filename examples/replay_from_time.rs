//! Replay from a point in time: what happened between two moments, without reading the rest.
//!
//! ```sh
//! cargo run --release --example replay_from_time
//! ```

use std::time::{Duration, Instant, SystemTime};

use stratalog::{EventLog, Record, Timestamp, TopicConfig};

const HOUR: i64 = 3_600_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    let config = TopicConfig::new().partitions(3).retention(None);
    let clicks = log.create_topic("clicks", config)?;

    // A day of clicks, four a second, written now.
    let midnight = Timestamp::from(SystemTime::now() - Duration::from_secs(24 * 3600)).as_millis();
    let mut producer = log.producer()?.buffered();
    let count = 24 * 3600 * 4;
    for number in 0..count {
        let at = Timestamp::from_millis(midnight + number * 250);
        let user = format!("user-{}", number % 97);
        let record = Record::new("click").key(&user).timestamp(at);
        producer.enqueue(&clicks, record)?;
    }
    producer.flush()?;
    println!("{count} clicks in {} partitions", clicks.partitions().len());

    // Where does 13:00 begin, and where does it end? Looked up in the time indexes.
    let (from, to) =
        (Timestamp::from_millis(midnight + 13 * HOUR), Timestamp::from_millis(midnight + 14 * HOUR));
    let mut ends = Vec::new();
    for partition in clicks.partitions() {
        let first = partition.offset_for_time(from)?;
        let end = partition.offset_for_time(to)?.unwrap_or(partition.offsets()?.log_end);
        println!("{}: offsets {first:?} to {end}", partition.id());
        ends.push((partition.id().clone(), end));
    }

    let start = Instant::now();
    let mut reader = log.standalone_consumer()?;
    reader.assign(clicks.partitions())?;
    reader.seek_to_time(from)?;
    let mut replayed = 0_i64;
    loop {
        // A partition that has come to its end is not read on.
        for (partition, end) in &ends {
            if reader.position(partition)?.offset() >= *end {
                reader.pause([partition])?;
            }
        }
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            break;
        }
        replayed += i64::try_from(records.iter().filter(|record| record.timestamp() < to).count())?;
    }
    println!("replayed {replayed} clicks of that hour in {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    assert_eq!(replayed, 3600 * 4);
    Ok(())
}
