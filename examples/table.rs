//! A table of keys and values that lives in a compacted topic: the log keeps the latest value of each key, and a program
//! that starts reads the table back.
//!
//! ```sh
//! cargo run --release --example table
//! ```
//!
//! Compaction is driven by hand here, so that the example shows it at once; as a rule a thread of the log does it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use stratalog::{CleanupPolicy, EventLog, Maintenance, Record, Result, Topic, TopicConfig};

const USERS: usize = 100;
const CHANGES: usize = 50_000;

/// The table: a map in memory whose every change goes into the log first.
struct Table {
    log: EventLog,
    topic: Topic,
    rows: BTreeMap<String, String>,
}

impl Table {
    /// Opens the table, and reads it from the log.
    fn open(dir: &Path) -> Result<Self> {
        let log = EventLog::options().maintenance(Maintenance::Manual).open(dir)?;
        // Small segments, and none grows for long: only finished ones are compacted.
        let config = TopicConfig::new()
            .cleanup(CleanupPolicy::Compact)
            .segment_bytes(1 << 20)
            .set("min.cleanable.dirty.ratio", "0.1")
            .set("delete.retention.ms", "0");
        let topic = log.ensure_topic("users", config)?;
        let mut reader = log.standalone_consumer()?;
        reader.assign(topic.partitions())?;
        let mut rows = BTreeMap::new();
        let mut read = 0;
        loop {
            let records = reader.poll(Duration::ZERO)?;
            if records.is_empty() {
                println!("{} rows, rebuilt from {read} records", rows.len());
                return Ok(Self { log, topic, rows });
            }
            read += records.len();
            for record in &records {
                let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
                match record.value() {
                    Some(value) => rows.insert(key, String::from_utf8_lossy(value).into_owned()),
                    None => rows.remove(&key),
                };
            }
        }
    }

    fn put(&mut self, key: &str, value: String) -> Result<()> {
        self.log.producer()?.send(&self.topic, Record::new(&value).key(key))?;
        self.rows.insert(key.to_owned(), value);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        self.log.producer()?.send(&self.topic, Record::tombstone(key))?;
        self.rows.remove(key);
        Ok(())
    }
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("stratalog-table-{}", std::process::id()));
    let mut table = Table::open(&dir)?;
    for change in 0..CHANGES {
        let user = format!("user-{:03}", change * 7 % USERS);
        if change % 1_000 == 999 {
            table.remove(&user)?;
        } else {
            table.put(&user, format!("logged in {change} times, and some more about this user"))?;
        }
    }
    let partition = table.topic.partition(0)?;
    let before = partition.size()?;
    let report = table.log.run_maintenance()?;
    println!(
        "{} KiB of log before compaction, {} KiB after: {report:?}",
        before >> 10,
        partition.size()? >> 10
    );
    assert!(partition.size()? < before);
    let rows = std::mem::take(&mut table.rows);
    table.log.close()?;

    let again = Table::open(&dir)?;
    assert_eq!(again.rows, rows, "what was in memory is what the log gives back");
    again.log.close()?;
    std::fs::remove_dir_all(dir).expect("the directory can be removed");
    Ok(())
}
