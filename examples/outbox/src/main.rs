//! The relay of a transactional outbox: rows that a service writes with its own changes, in one transaction of its
//! database, get into the log exactly once, in their order.
//!
//! ```sh
//! cargo run --release -p outbox
//! ```
//!
//! The events of some rows and the number of the last of these rows, in a topic of its own, are one transaction. A relay
//! that starts again reads that one number. If it were kept elsewhere, in a file or in the database, a relay that dies
//! between the two would relay rows twice, or leave them out. A second relay takes the transactional id, so one that was
//! thought dead gets `ProducerFenced` instead of writing twice. The number is read only after the id was taken: from then
//! on no other relay moves it. With `Durability::Synced` what a transaction relies on is on disk when its commit returns.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, params};
use stratalog::{
    CleanupPolicy, ConsumerConfig, Durability, Error, EventLog, IsolationLevel, ProducerConfig, Record,
    Topic, TopicConfig,
};

const ROWS_AT_ONCE: i64 = 50;
const RELAY: &str = "outbox-relay";

type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

struct Row {
    id: i64,
    account: String,
    payload: String,
}

/// The service: books something and leaves a row, both or neither.
fn place_order(db: &mut Connection, account: &str, item: &str) -> AnyResult<()> {
    let transaction = db.transaction()?;
    transaction.execute("INSERT INTO orders (account, item) VALUES (?1, ?2)", params![account, item])?;
    transaction.execute(
        "INSERT INTO outbox (account, payload) VALUES (?1, ?2)",
        params![account, format!("{account} ordered {item}")],
    )?;
    transaction.commit()?;
    Ok(())
}

fn outbox_after(db: &Connection, last: i64) -> AnyResult<Vec<Row>> {
    let sql = "SELECT id, account, payload FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut rows = db.prepare(sql)?;
    let rows = rows.query_map(params![last, ROWS_AT_ONCE], |row| {
        Ok(Row { id: row.get(0)?, account: row.get(1)?, payload: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The values of a topic's records that count.
fn committed(log: &EventLog, topic: &Topic) -> AnyResult<Vec<Vec<u8>>> {
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(config)?;
    reader.assign(topic.partitions())?;
    let mut values = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            return Ok(values);
        }
        values.extend(records.iter().filter_map(|record| record.value().map(<[u8]>::to_vec)));
    }
}

/// Relays what there is. With `dies_at`, it ends in the middle of that batch, as if the process died there.
fn relay(log: &EventLog, db: &Connection, dies_at: Option<usize>) -> AnyResult<usize> {
    let ledger = log.ensure_topic("ledger", TopicConfig::new().partitions(3).retention(None))?;
    // Only the last number counts: compaction deletes the ones before.
    let progress = log.ensure_topic("outbox-progress", TopicConfig::new().cleanup(CleanupPolicy::Compact))?;
    let config = ProducerConfig::new().durability(Durability::Synced);
    let mut producer = log.transactional_producer_with(RELAY, config)?;
    let mut last = match committed(log, &progress)?.pop() {
        Some(number) => i64::from_be_bytes(number.as_slice().try_into()?),
        None => 0,
    };
    let mut relayed = 0;
    for batch in 0.. {
        let rows = outbox_after(db, last)?;
        let Some(newest) = rows.last() else { break };
        let mut transaction = producer.begin()?;
        for row in &rows {
            transaction.send(&ledger, Record::new(&row.payload).key(&row.account))?;
        }
        if dies_at == Some(batch) {
            break;
        }
        transaction.send(&progress, Record::new(&newest.id.to_be_bytes()).key(RELAY))?;
        transaction.commit()?;
        last = newest.id;
        relayed += rows.len();
    }
    Ok(relayed)
}

fn main() -> AnyResult<()> {
    let mut db = Connection::open_in_memory()?;
    db.execute_batch(
        "CREATE TABLE orders (account TEXT NOT NULL, item TEXT NOT NULL);
         CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, payload TEXT NOT NULL);",
    )?;
    for number in 0..240 {
        place_order(&mut db, ["anna", "boris", "chen"][number % 3], &format!("item {number}"))?;
    }

    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    println!("first relay, dies in the middle: {} rows", relay(&log, &db, Some(3))?);
    log.close()?;

    let log = EventLog::open(dir.path())?;
    let ledger = log.topic("ledger")?;
    // One that is thought dead, in the middle of a transaction.
    let mut late = log.transactional_producer(RELAY)?;
    let mut transaction = late.begin()?;
    transaction.send(&ledger, Record::new("twice").key("anna"))?;
    println!("second relay, after a restart: {} rows", relay(&log, &db, None)?);
    match transaction.commit() {
        Err(Error::ProducerFenced { id }) => println!("a late relay is refused: another one has {id}"),
        other => panic!("a row would have been relayed twice: {other:?}"),
    }
    assert_eq!(relay(&log, &db, None)?, 0);

    let relayed = committed(&log, &ledger)?;
    let distinct: BTreeSet<_> = relayed.iter().collect();
    assert_eq!((relayed.len(), distinct.len()), (240, 240), "each row once");
    println!("240 rows in the outbox, {} records in the log", relayed.len());
    Ok(())
}
