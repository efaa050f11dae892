//! Producers that write records in any partitions so that all of them count, or none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::transaction::{Gathered, Transaction};
use super::{Producer, ProducerConfig};
use crate::consumer::{Consumer, Records};
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::position::TopicPartition;
use crate::transaction::Ownership;

/// The longest transactional id that fits into Kafka's records.
const MAX_ID: usize = i16::MAX as usize;

/// Writes transactions: records in any partitions, which count all together or not at all. One transaction at a time; more
/// threads take more ids.
///
/// [`EventLog::transactional_producer`](crate::EventLog::transactional_producer) makes one for a transactional id, which names it
/// across restarts: give each thread of a program an id that stays the same, `payments-0`, `payments-1`. A producer that takes an id
/// which another one has fences that one: what it has open is aborted, and its next call says
/// [`ProducerFenced`](Error::ProducerFenced). So two instances of a program never both count. Kafka's counterpart is a producer with
/// `transactional.id`.
///
/// ```
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let debits = log.create_topic("debits", TopicConfig::new())?;
/// let credits = log.create_topic("credits", TopicConfig::new())?;
///
/// let mut producer = log.transactional_producer("transfers-0")?;
/// let mut transaction = producer.begin()?;
/// transaction.send(&debits, Record::new("5").key("alice"))?;
/// transaction.send(&credits, Record::new("5").key("bob"))?;
/// transaction.commit()?; // both count from here on, or, on an error, neither
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What survives
///
/// A transaction is all there or not there at all for readers of committed records in this and other processes, after the death of
/// the process, and after a broker has taken the directory over. Not at one instant: a reader of one partition may see it before a
/// reader of another one does. With [`Durability::Synced`](crate::Durability::Synced) the same holds after power loss, and a
/// transaction whose commit returned is there. Below that, power loss may keep a part of a transaction, which the next open reports
/// as [`Event::TransactionTorn`](crate::Event::TransactionTorn).
pub struct TransactionalProducer {
    pub(super) producer: Producer,
    pub(super) ownership: Ownership,
    /// The transaction that is open, if one is.
    pub(super) gathered: Option<Gathered>,
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    pub(crate) fn new(directory: &Arc<OpenDirectory>, id: &str, config: ProducerConfig) -> Result<Self> {
        directory.check_writable()?;
        config.validate_transactional()?;
        check_id(id)?;
        let (timeout, now) = (config.transaction_timeout, directory.now().as_millis());
        let producer = Producer::new(directory, config)?;
        let ownership = directory.transactions().take(id, timeout, now)?;
        Ok(Self { producer, ownership, gathered: None })
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        self.ownership.name()
    }

    /// Begins a transaction. There is one at a time: it borrows the producer. Nothing is written yet.
    ///
    /// # Errors
    /// [`ProducerFenced`](Error::ProducerFenced) if another producer has taken the id; `StorageFull`, `Io` or `Poisoned` if the
    /// markers of the transaction before could not all be written: nothing of that is lost, and this call tries again; `Closed`.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.producer.directory.check_open()?;
        self.gathered = None;
        let begun = self.ownership.begin(self.producer.directory.now().as_millis())?;
        self.gathered = Some(Gathered::new(begun));
        Ok(Transaction::of(self))
    }
}

/// What became of a round of [`TransactionalProducer::process`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Processed {
    /// No records came.
    Nothing,
    /// So many records were processed: what was made of them and the positions after them are committed.
    Committed(usize),
    /// A partition was given to another member meanwhile. Nothing counts of what the work has written; what it did elsewhere was
    /// done. The records of partitions that are still the consumer's come again.
    Fenced,
}

impl TransactionalProducer {
    /// Polls, has `work` process the records and write what comes of them, and commits that together with the positions after them:
    /// each record is processed exactly once, as far as records of this log tell.
    ///
    /// If `work` fails or panics, or the commit does, nothing counts, and the next poll returns the same records. The consumer must
    /// read committed records, and must not commit by itself. `work` is no async code, and the commit waits for a sync with
    /// [`Durability::Synced`](crate::Durability::Synced). Below that level, power loss may keep a later transaction and not an earlier
    /// one, so exactly once through power loss is that level on every producer of the chain.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stratalog::{ConsumerConfig, Error, EventLog, IsolationLevel, Processed, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let requests = log.create_topic("requests", TopicConfig::new())?;
    /// let payments = log.create_topic("payments", TopicConfig::new())?;
    /// log.producer()?.send(&requests, Record::new("5").key("alice"))?;
    ///
    /// let config = ConsumerConfig::new().group("payments").isolation(IsolationLevel::ReadCommitted);
    /// let mut consumer = log.consumer_with(config)?;
    /// consumer.subscribe(["requests"])?;
    /// let mut producer = log.transactional_producer("payments-0")?;
    /// let processed = producer.process(&mut consumer, Duration::from_secs(1), |records, transaction| {
    ///     for request in records {
    ///         transaction.send(&payments, Record::from(request))?;
    ///     }
    ///     Ok::<_, Error>(())
    /// })?;
    /// # let _ = processed;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What `work` returns; those of [`Consumer::poll`], [`begin`](Self::begin) and [`Transaction::commit`]. After
    /// [`Poisoned`](Error::Poisoned) it is not known whether it was committed, and the consumer stays where it is: open the log anew.
    pub fn process<E: From<Error>>(
        &mut self,
        consumer: &mut Consumer,
        timeout: Duration,
        work: impl FnOnce(&Records, &mut Transaction<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Processed, E> {
        consumer.check_transactional(&self.producer.directory)?;
        let records = consumer.poll(timeout)?;
        if records.is_empty() {
            return Ok(Processed::Nothing);
        }
        let mut rewind = Rewind { to: records.starts(), consumer };
        let mut transaction = self.begin()?;
        work(&records, &mut transaction)?;
        transaction.commit_consumed(rewind.consumer)?;
        match transaction.commit() {
            Ok(_) => {
                rewind.to.clear();
                Ok(Processed::Committed(records.len()))
            }
            Err(Error::FencedGeneration { .. }) => Ok(Processed::Fenced),
            Err(failure) => {
                if matches!(failure, Error::Poisoned(_)) {
                    rewind.to.clear();
                }
                Err(failure.into())
            }
        }
    }
}

/// Takes a consumer back to where a poll began, also if a panic unwinds.
struct Rewind<'c> {
    to: Vec<(TopicPartition, u64)>,
    consumer: &'c mut Consumer,
}

impl Drop for Rewind<'_> {
    fn drop(&mut self) {
        self.consumer.rewind(&self.to);
    }
}

/// Refuses what cannot be a transactional id.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let reason = match id.len() {
        0 => "is empty; give the producer an id that stays the same across restarts".into(),
        length if length > MAX_ID => {
            format!("has {length} bytes; at most {MAX_ID} fit into Kafka's records")
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("transactional id", reason))
}
