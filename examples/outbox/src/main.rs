//! The relay of a transactional outbox: rows that a service writes with its own changes, in one transaction of its
//! database, get into the log exactly once, in their order.
//!
//! ```sh
//! cargo run --release -p outbox
//! ```
//!
//! The relay keeps no state of its own. What it has relayed it learns from the log: each record carries its row's number.
//! It writes with `send_batch_at`, so a second relay, or one that was thought dead, gets `Conflict` instead of writing
//! twice; and it reads only what is on disk, so that nothing it relies on can get lost.

use std::time::Duration;

use rusqlite::{Connection, params};
use stratalog::{
    ConsumerConfig, Durability, Error, EventLog, Header, Partition, ProducerConfig, ReadUpTo, Record,
    TopicConfig,
};

const ROWS_AT_ONCE: i64 = 50;

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

/// The number of the last row in the log, and where the log ends.
fn last_relayed(log: &EventLog, ledger: &Partition) -> AnyResult<(i64, u64)> {
    let mut reader = log.consumer_with(ConsumerConfig::new().read_up_to(ReadUpTo::Durable))?;
    reader.assign([ledger])?;
    let mut last = 0;
    loop {
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            return Ok((last, reader.position(ledger)?.offset()));
        }
        for record in &records {
            if let Some(id) = record.header("outbox-id").and_then(|id| id.try_into().ok()) {
                last = i64::from_be_bytes(id);
            }
        }
    }
}

/// Relays what there is, or only so many batches, as if the process died then.
fn relay(log: &EventLog, db: &Connection, batches: usize) -> AnyResult<usize> {
    let ledger = log.ensure_topic("ledger", TopicConfig::new().retention(None))?.partition(0)?;
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Synced))?;
    let (mut last, mut end) = last_relayed(log, &ledger)?;
    let mut relayed = 0;
    for _ in 0..batches {
        let rows = outbox_after(db, last)?;
        let Some(newest) = rows.last() else { break };
        let ids: Vec<_> = rows.iter().map(|row| row.id.to_be_bytes()).collect();
        let headers: Vec<_> = ids.iter().map(|id| [Header::new("outbox-id", id)]).collect();
        let records = rows.iter().zip(&headers);
        let records = records.map(|(row, id)| Record::new(&row.payload).key(&row.account).headers(id));
        end = producer.send_batch_at(&ledger, end, records)?.offsets.end;
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
    println!("first relay, stopped in the middle: {} rows", relay(&log, &db, 3)?);
    log.close()?;

    let log = EventLog::open(dir.path())?;
    let stale = last_relayed(&log, &log.topic("ledger")?.partition(0)?)?;
    println!("second relay, after a restart: {} rows", relay(&log, &db, usize::MAX)?);

    // One that was thought dead wakes up with what it knew.
    let ledger = log.topic("ledger")?.partition(0)?;
    let late = log.producer()?.send_batch_at(&ledger, stale.1, [Record::new("twice")]);
    match late {
        Err(Error::Conflict { expected, actual }) => {
            println!("a late relay is refused: the log ends at {actual}, not at {expected}");
        }
        other => panic!("a row would have been relayed twice: {other:?}"),
    }
    assert_eq!(relay(&log, &db, usize::MAX)?, 0);
    assert_eq!(ledger.offsets()?.log_end, 240, "each row once");
    println!("240 rows in the outbox, {} records in the log", ledger.offsets()?.log_end);
    Ok(())
}
