//! A condition over several partitions: transfers between accounts, each account with a partition of its own, by four
//! threads at once.
//!
//! ```sh
//! cargo run --release --example transfer
//! ```
//!
//! A transfer is decided on two balances and written to two partitions, in one transaction and only if neither account
//! has changed since: `Transaction::send_batch_at`. If one has, nothing is written, the error is `Conflict`, and it is
//! decided again. With two `send`s, a thread that ends between them takes money and gives it to no account. Without the
//! condition, two threads that see the same 100 both take 80 of it. With both accounts in one partition no transaction is
//! needed: see the example `event_sourcing`.

use std::thread;
use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, IsolationLevel, Partition, Record, Result, Topic, TopicConfig,
    TransactionalProducer,
};

const ACCOUNTS: usize = 4;
const THREADS: usize = 4;
const OPENING: i64 = 100;
const TRANSFERS: usize = 500;

/// An account as of an offset: a fold over its partition.
struct Account {
    partition: Partition,
    reader: Consumer,
    balance: i64,
    lowest: i64,
    events: usize,
}

impl Account {
    fn new(log: &EventLog, partition: Partition) -> Result<Self> {
        let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
        let mut reader = log.consumer_with(config)?;
        reader.assign([&partition])?;
        Ok(Self { partition, reader, balance: 0, lowest: 0, events: 0 })
    }

    fn all(log: &EventLog, accounts: &Topic) -> Result<Vec<Self>> {
        accounts.partitions().into_iter().map(|partition| Self::new(log, partition)).collect()
    }

    /// Takes in what has been committed since. Returns the offset that the balance is as of.
    fn catch_up(&mut self) -> Result<u64> {
        loop {
            let records = self.reader.poll(Duration::ZERO)?;
            if records.is_empty() {
                return Ok(self.reader.position(&self.partition)?.offset());
            }
            for record in &records {
                let text = record.value().and_then(|value| str::from_utf8(value).ok());
                let change: Option<i64> = text.and_then(|change| change.parse().ok());
                self.balance += change.expect("an account has amounts");
                self.lowest = self.lowest.min(self.balance);
                self.events += 1;
            }
        }
    }
}

/// What became of a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transferred {
    Done,
    TooPoor,
    Conflict,
}

/// Decides on what is committed, and writes if that is still so.
fn transfer(
    producer: &mut TransactionalProducer,
    accounts: &mut [Account],
    (from, to): (usize, usize),
    amount: i64,
) -> Result<Transferred> {
    let (from_at, to_at) = (accounts[from].catch_up()?, accounts[to].catch_up()?);
    if accounts[from].balance < amount {
        return Ok(Transferred::TooPoor);
    }
    let (debit, credit) = ((-amount).to_string(), amount.to_string());
    let mut transaction = producer.begin()?;
    let written = transaction
        .send_batch_at(&accounts[from].partition, from_at, [Record::new(&debit)])
        .and_then(|()| transaction.send_batch_at(&accounts[to].partition, to_at, [Record::new(&credit)]))
        .and_then(|()| transaction.commit());
    match written {
        Ok(_) => Ok(Transferred::Done),
        Err(Error::Conflict { .. }) => Ok(Transferred::Conflict),
        Err(failure) => Err(failure),
    }
}

/// Moves money around. Returns how many transfers were made, and how many had to be decided again.
fn move_around(log: &EventLog, topic: &Topic, thread: usize) -> Result<(usize, usize)> {
    let mut accounts = Account::all(log, topic)?;
    let mut producer = log.transactional_producer(&format!("transfers-{thread}"))?;
    let (mut done, mut again) = (0, 0);
    for number in 0..TRANSFERS {
        let from = (number + thread) % ACCOUNTS;
        let to = (from + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = [80, 15, 5][number % 3];
        let transferred = loop {
            match transfer(&mut producer, &mut accounts, (from, to), amount)? {
                Transferred::Conflict => {
                    again += 1;
                    // The other transfer may be under way still: not committed, so not in the balance yet.
                    thread::yield_now();
                }
                transferred => break transferred,
            }
        };
        done += usize::from(transferred == Transferred::Done);
        if number % 50 == 0 {
            // As if the thread had ended in the middle: a transaction that is dropped does not count.
            let mut transaction = producer.begin()?;
            transaction.send_batch(&accounts[from].partition, [Record::new("-1000000")])?;
        }
    }
    Ok((done, again))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    let topic = log.create_topic("accounts", TopicConfig::new().partitions(4).retention(None))?;
    for partition in topic.partitions() {
        log.producer()?.send_batch(&partition, [Record::new(&OPENING.to_string())])?;
    }
    let counts = thread::scope(|scope| {
        let (log, topic) = (&log, &topic);
        let threads: Vec<_> =
            (0..THREADS).map(|number| scope.spawn(move || move_around(log, topic, number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Result<Vec<_>>>()
    })?;
    let (done, again) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("{done} transfers, decided again after a conflict: {again}");
    log.close()?;

    // Tomorrow, from the first event on.
    let log = EventLog::open(dir.path())?;
    let mut accounts = Account::all(&log, &log.topic("accounts")?)?;
    for account in &mut accounts {
        account.catch_up()?;
    }
    let balances: Vec<_> = accounts.iter().map(|account| account.balance).collect();
    println!("balances: {balances:?}");
    assert_eq!(balances.iter().sum::<i64>(), OPENING * 4, "no money was made or lost");
    assert_eq!(accounts.iter().map(|account| account.events).sum::<usize>(), ACCOUNTS + 2 * done);
    assert!(accounts.iter().all(|account| account.lowest >= 0), "no account spent what was not there");
    Ok(())
}
