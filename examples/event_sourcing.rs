//! Event sourcing: accounts whose state is a fold over their events, changed by two threads at once.
//!
//! ```sh
//! cargo run --release --example event_sourcing
//! ```
//!
//! A decision is made on the state as of some offset and written with `send_batch_at`: if anybody wrote in between, the
//! log refuses with `Conflict`, the state is brought up to date, and the decision is made again. No lock, no lost update.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use stratalog::{Consumer, Error, EventLog, Partition, Producer, Record, RecordView, TopicConfig};

/// What has happened. Its text is what the log holds.
#[derive(Debug)]
enum Happened {
    Deposited(u64),
    Withdrawn(u64),
}

impl Happened {
    fn to_text(&self) -> String {
        match self {
            Self::Deposited(amount) => format!("deposited {amount}"),
            Self::Withdrawn(amount) => format!("withdrawn {amount}"),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (what, amount) = str::from_utf8(text).ok()?.split_once(' ')?;
        let amount = amount.parse().ok()?;
        match what {
            "deposited" => Some(Self::Deposited(amount)),
            "withdrawn" => Some(Self::Withdrawn(amount)),
            _ => None,
        }
    }
}

/// All accounts as of an offset.
struct Accounts {
    balances: BTreeMap<String, u64>,
    reader: Consumer,
    partition: Partition,
}

impl Accounts {
    fn new(log: &EventLog, partition: &Partition) -> stratalog::Result<Self> {
        let mut reader = log.standalone_consumer()?;
        reader.assign([partition])?;
        Ok(Self { balances: BTreeMap::new(), reader, partition: partition.clone() })
    }

    /// Takes in what has happened since. Returns the offset that the state is as of.
    fn catch_up(&mut self) -> stratalog::Result<u64> {
        loop {
            let records = self.reader.poll(Duration::ZERO)?;
            if records.is_empty() {
                return Ok(self.reader.position(&self.partition)?.offset());
            }
            records.iter().for_each(|record| self.apply(record));
        }
    }

    fn apply(&mut self, record: RecordView<'_>) {
        let Some(account) = record.key().map(|key| String::from_utf8_lossy(key).into_owned()) else { return };
        let balance = self.balances.entry(account).or_default();
        match record.value().and_then(Happened::parse) {
            Some(Happened::Deposited(amount)) => *balance += amount,
            Some(Happened::Withdrawn(amount)) => *balance -= amount,
            None => {}
        }
    }
}

/// Moves money if there is enough: both sides in one batch. Returns how often it had to decide anew.
fn transfer(
    accounts: &mut Accounts,
    producer: &Producer,
    from: &str,
    to: &str,
    amount: u64,
) -> stratalog::Result<(bool, u32)> {
    for conflicts in 0.. {
        let as_of = accounts.catch_up()?;
        if accounts.balances.get(from).copied().unwrap_or(0) < amount {
            return Ok((false, conflicts));
        }
        let (out, back) = (Happened::Withdrawn(amount).to_text(), Happened::Deposited(amount).to_text());
        let events = [Record::new(&out).key(from), Record::new(&back).key(to)];
        match producer.send_batch_at(&accounts.partition, as_of, events) {
            Ok(_) => return Ok((true, conflicts)),
            Err(Error::Conflict { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    unreachable!("it decides until it could write or must not")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    let topic = log.ensure_topic("accounts", TopicConfig::new().retention(None))?;
    let partition = topic.partition(0)?;
    let producer = log.producer()?;
    producer.send(&topic, Record::new("deposited 1000").key("anna"))?;
    producer.send(&topic, Record::new("deposited 1000").key("boris"))?;

    // Two threads move money to and fro, each with a state of its own.
    thread::scope(|scope| {
        let transfers = [("anna", "boris", 7), ("boris", "anna", 5)].map(|(from, to, amount)| {
            let (log, partition, producer) = (&log, &partition, &producer);
            scope.spawn(move || -> stratalog::Result<()> {
                let mut accounts = Accounts::new(log, partition)?;
                let (mut done, mut anew) = (0, 0);
                for _ in 0..2000 {
                    let (moved, conflicts) = transfer(&mut accounts, producer, from, to, amount)?;
                    done += u32::from(moved);
                    anew += conflicts;
                }
                println!("{from} -> {to}: {done} transfers of {amount}, {anew} repeated after a conflict");
                Ok(())
            })
        });
        transfers.into_iter().try_for_each(|thread| thread.join().expect("a transfer panicked"))
    })?;
    log.close()?;

    // Tomorrow: the state is rebuilt from the first event on.
    let log = EventLog::open(dir.path())?;
    let partition = log.topic("accounts")?.partition(0)?;
    let mut accounts = Accounts::new(&log, &partition)?;
    let events = accounts.catch_up()?;
    println!("rebuilt from {events} events: {:?}", accounts.balances);
    assert_eq!(accounts.balances.values().sum::<u64>(), 2000, "no money was made or lost");
    Ok(())
}
