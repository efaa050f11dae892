//! Exactly once from topic to topic: payment requests become entries of a ledger and receipts, by two workers that fail.
//!
//! ```sh
//! cargo run --release --example payments
//! ```
//!
//! What a worker writes and its positions in the requests are one transaction: both count, or neither. With `send` and
//! `commit` instead, a worker that dies between the two pays its last requests again, and one that commits first never
//! pays them. The transactional id says which worker it is: one that is started again takes the id of the dead one, and
//! if that was only slow, it can commit nothing any more. Who reads uncommitted records sees what the failed ones had
//! written too.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use stratalog::{
    ConsumerConfig, EventLog, IsolationLevel, OwnedRecord, Processed, ProducerConfig, Record, Records,
    TopicConfig, Transaction,
};

const REQUESTS: usize = 2_000;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How far the workers are, all together.
#[derive(Default)]
struct Progress {
    batches: AtomicUsize,
    done: AtomicUsize,
}

fn main() -> Result<(), AnyError> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    let requests = log.create_topic("requests", TopicConfig::new().partitions(4))?;
    log.create_topic("ledger", TopicConfig::new().partitions(2))?;
    log.create_topic("receipts", TopicConfig::new().partitions(2))?;
    let (producer, mut requested) = (log.producer()?, 0);
    for number in 0..REQUESTS {
        let (account, amount) = (["anna", "boris", "chen", "dora", "emil"][number % 5], number % 97);
        producer.send(&requests, Record::new(&format!("{number} {amount}")).key(account))?;
        requested += amount;
    }

    let progress = Progress::default();
    let restarts: usize = thread::scope(|scope| {
        let ids = ["payments-0", "payments-1"];
        let workers = ids.map(|id| scope.spawn(|| keep_running(&log, id, &progress)));
        workers.into_iter().map(|worker| worker.join().expect("a worker could not be kept running")).sum()
    });
    assert_eq!(restarts, 2);

    let ledger = read(&log, "ledger", IsolationLevel::ReadCommitted)?;
    let receipts = read(&log, "receipts", IsolationLevel::ReadCommitted)?;
    let paid =
        ledger.iter().map(|entry| text(entry.view().value())?.parse::<usize>().map_err(AnyError::from));
    let paid = paid.sum::<Result<usize, _>>()?;
    assert_eq!((ledger.len(), paid), (REQUESTS, requested), "each request is paid once");
    let numbers: BTreeSet<_> = receipts.iter().map(|receipt| receipt.key().cloned()).collect();
    assert_eq!((receipts.len(), numbers.len()), (REQUESTS, REQUESTS), "each request has one receipt");
    println!("requested: {requested}, paid: {paid}; {REQUESTS} requests, {} receipts", receipts.len());

    let all = read(&log, "ledger", IsolationLevel::ReadUncommitted)?;
    assert!(all.len() > REQUESTS, "what the failed workers had written is in the log");
    println!("a reader of uncommitted records would count {} payments too many", all.len() - REQUESTS);
    Ok(())
}

/// Starts a worker, and starts it again when it fails or panics. Returns how often that was.
fn keep_running(log: &EventLog, id: &str, progress: &Progress) -> usize {
    for restarts in 0..10 {
        match thread::scope(|scope| scope.spawn(|| work(log, id, progress)).join()) {
            Ok(Ok(())) => return restarts,
            Ok(Err(failure)) => println!("{id} failed ({failure}) and is started again"),
            Err(_) => println!("{id} panicked and is started again"),
        }
    }
    panic!("{id} fails again and again");
}

fn work(log: &EventLog, id: &str, progress: &Progress) -> Result<(), AnyError> {
    let config = ConsumerConfig::new().group("payments").isolation(IsolationLevel::ReadCommitted);
    let mut consumer = log.consumer_with(config.max_poll_records(100))?;
    consumer.subscribe(["requests"])?;
    // So little is kept in memory that the log has a part of a batch when the worker fails in the middle of it.
    let small = ProducerConfig::new().batch_bytes(512).buffer_bytes(512);
    let mut producer = log.transactional_producer_with(id, small)?;
    while progress.done.load(Ordering::Relaxed) < REQUESTS {
        let processed =
            producer.process(&mut consumer, Duration::from_millis(10), |records, transaction| {
                pay(log, records, transaction, progress.batches.fetch_add(1, Ordering::Relaxed))
            })?;
        if let Processed::Committed(requests) = processed {
            progress.done.fetch_add(requests, Ordering::Relaxed);
        }
    }
    consumer.close()?;
    Ok(())
}

/// Pays a batch of requests. Two of the batches, whichever worker has them, end in the middle.
fn pay(
    log: &EventLog,
    requests: &Records,
    transaction: &mut Transaction<'_>,
    batch: usize,
) -> Result<(), AnyError> {
    let (ledger, receipts) = (log.topic("ledger")?, log.topic("receipts")?);
    for (at, request) in requests.iter().enumerate() {
        let account = request.key().ok_or("a request without an account")?;
        let (number, amount) = text(request.value())?.split_once(' ').ok_or("a request without an amount")?;
        transaction.send(&ledger, Record::new(amount).key(account))?;
        match batch {
            3 if at == requests.len() / 2 => panic!("a bug, on purpose"),
            7 if at == requests.len() / 2 => return Err("the bank does not answer".into()),
            _ => transaction.send(&receipts, Record::new("paid").key(number))?,
        }
    }
    Ok(())
}

fn read(log: &EventLog, topic: &str, isolation: IsolationLevel) -> Result<Vec<OwnedRecord>, AnyError> {
    let mut reader = log.consumer_with(ConsumerConfig::new().isolation(isolation))?;
    reader.assign(log.topic(topic)?.partitions())?;
    let mut read = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            return Ok(read);
        }
        read.extend(records.iter().map(|record| record.share()));
    }
}

fn text(bytes: Option<&[u8]>) -> Result<&str, AnyError> {
    Ok(str::from_utf8(bytes.ok_or("a record without a value")?)?)
}
