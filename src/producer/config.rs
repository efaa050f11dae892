//! Settings of a producer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::partitioner::Partitioner;
use crate::config::{Compression, Durability};
use crate::error::{Error, Result};
use crate::format::compression::check_built_in;

/// Bytes of a batch that is written when it is full.
const DEFAULT_BATCH_BYTES: usize = 256 << 10;
const DEFAULT_BUFFER_BYTES: usize = 32 << 20;
/// What a transaction keeps before it is written to the log. The appenders of its partitions wait while this is copied.
const DEFAULT_TRANSACTION_BYTES: usize = 1 << 20;
const DEFAULT_LINGER: Duration = Duration::from_millis(5);
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How a [`Producer`](crate::Producer) batches and partitions.
///
/// ```
/// use std::time::Duration;
/// use stratalog::{EventLog, ProducerConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let producer = log.producer_with(ProducerConfig::new().linger(Duration::from_millis(20)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ProducerConfig {
    pub(crate) durability: Durability,
    pub(crate) batch_bytes: usize,
    buffer_bytes: Option<usize>,
    pub(crate) linger: Duration,
    pub(crate) compression: Compression,
    pub(crate) partitioner: Option<Arc<dyn Partitioner>>,
    pub(crate) transaction_timeout: Duration,
    pub(crate) unknown: Option<String>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            batch_bytes: DEFAULT_BATCH_BYTES,
            buffer_bytes: None,
            linger: DEFAULT_LINGER,
            compression: Compression::None,
            partitioner: None,
            transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
            unknown: None,
        }
    }
}

impl ProducerConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `Ok` means beyond being in the log. Default: [`Durability::Buffered`].
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = level;
        self
    }

    /// Bytes at which a batch of enqueued records is written; a larger record goes alone. Default: 262,144.
    /// Also how much goes to one partition before records without a key move on to another. Kafka: `batch.size`.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Bytes of enqueued records a buffered producer holds at most; then it writes them. Default: 32 MiB.
    /// Kafka: `buffer.memory`.
    ///
    /// For a [`TransactionalProducer`](crate::TransactionalProducer) it is what a transaction may take before it is written to the
    /// log, where readers of uncommitted records see it, and those of committed ones wait before it. Default: 1 MiB.
    ///
    /// It must hold a batch of [`batch_bytes`](Self::batch_bytes).
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = Some(bytes);
        self
    }

    /// How long an enqueued record may wait for others before its batch is written without `flush`. Default: 5 ms;
    /// [`Duration::MAX`] waits for `flush` or a full batch. Kafka: `linger.ms`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How batches are compressed, in topics that do not set it themselves with
    /// [`TopicConfig::compression`](crate::TopicConfig::compression). Default: not at all. Kafka: `compression.type`.
    ///
    /// A batch is compressed as a whole, by the thread that sends it and under no lock: large batches compress well, a
    /// record sent alone hardly. A codec needs the cargo feature of its name.
    ///
    /// ```
    /// use stratalog::{Compression, EventLog, ProducerConfig, Record, TopicConfig};
    /// # if !cfg!(feature = "lz4") { return Ok(()) }
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let clicks = log.create_topic("clicks", TopicConfig::new())?.partition(0)?;
    /// let producer = log.producer_with(ProducerConfig::new().compression(Compression::Lz4))?;
    /// producer.send_batch(&clicks, (0..1000).map(|_| Record::new("a page, and once more the same page")))?;
    /// assert!(clicks.size()? < 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compression(mut self, codec: Compression) -> Self {
        self.compression = codec;
        self
    }

    /// Chooses partitions in place of Kafka's own rule, which hashes the key with murmur2 and spreads records without
    /// one. A record that names its partition is not asked about. Kafka: `partitioner.class`.
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// How long a transaction may be open; then it is aborted in the place of its producer, which learns of it by
    /// [`Error::Aborted`]. Default: 60 s. Kafka: `transaction.timeout.ms`.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// Sets one of the above by Kafka's name: `batch.size`, `buffer.memory`, `compression.type` (`none`, `gzip`, `snappy`,
    /// `lz4`, `zstd`), `linger.ms`, `transaction.timeout.ms`. `enable.idempotence` and `max.in.flight.requests.per.connection`
    /// are accepted and change nothing: an append here is made once, or not at all. Names and values are checked when a producer
    /// is made.
    pub fn set(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref().trim();
        let number = value.parse::<u64>();
        match (name, number) {
            ("batch.size", Ok(bytes)) => self.batch_bytes = usize::try_from(bytes).unwrap_or(usize::MAX),
            ("buffer.memory", Ok(bytes)) => {
                self.buffer_bytes = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            ("transaction.timeout.ms", Ok(millis)) => {
                self.transaction_timeout = Duration::from_millis(millis);
            }
            // What they ask for an append here has in any case: it is made once and in order, or not at all.
            ("enable.idempotence", _) if matches!(value, "true" | "false") => {}
            ("max.in.flight.requests.per.connection", Ok(_)) => {}
            ("linger.ms", Ok(millis)) => self.linger = Duration::from_millis(millis),
            ("compression.type", _) => match Compression::of_producer_word(value) {
                Some(codec) => self.compression = codec,
                None => {
                    self.unknown = Some(format!("{name} is none, gzip, snappy, lz4 or zstd, not {value:?}"));
                }
            },
            (
                "batch.size"
                | "buffer.memory"
                | "linger.ms"
                | "transaction.timeout.ms"
                | "max.in.flight.requests.per.connection",
                Err(_),
            ) => {
                self.unknown = Some(format!("{name} takes a whole number, not {value:?}"));
            }
            ("enable.idempotence", _) => {
                self.unknown = Some(format!("{name} is true or false, not {value:?}"));
            }
            _ => {
                let known = "batch.size, buffer.memory, compression.type, enable.idempotence, linger.ms, \
                             max.in.flight.requests.per.connection, transaction.timeout.ms";
                self.unknown = Some(format!("{name:?} is not known; there are {known}"));
            }
        }
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::invalid("producer config", reason));
        if let Some(reason) = &self.unknown {
            return wrong(reason.clone());
        }
        check_built_in(self.compression)?;
        if self.batch_bytes > i32::MAX as usize {
            return wrong(format!(
                "batch.size is {}, but no batch is larger than {} bytes",
                self.batch_bytes,
                i32::MAX
            ));
        }
        if self.enqueued_bytes() < self.batch_bytes {
            return wrong(format!(
                "buffer.memory is {} and must hold one batch of batch.size, {} bytes",
                self.enqueued_bytes(),
                self.batch_bytes
            ));
        }
        Ok(())
    }

    /// The same of a transactional producer.
    pub(crate) fn validate_transactional(&self) -> Result<()> {
        self.validate()?;
        let millis = self.transaction_timeout.as_millis();
        if millis == 0 || i32::try_from(millis).is_err() {
            let reason = format!(
                "transaction.timeout.ms is {millis} and must be from 1 to 2,147,483,647, about 24 days"
            );
            return Err(Error::invalid("producer config", reason));
        }
        Ok(())
    }

    /// Bytes of enqueued records.
    #[inline]
    pub(crate) fn enqueued_bytes(&self) -> usize {
        self.buffer_bytes.unwrap_or(DEFAULT_BUFFER_BYTES)
    }

    /// Bytes of a transaction.
    pub(crate) fn transaction_bytes(&self) -> usize {
        self.buffer_bytes.unwrap_or(DEFAULT_TRANSACTION_BYTES)
    }
}

impl fmt::Debug for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerConfig")
            .field("durability", &self.durability)
            .field("batch_bytes", &self.batch_bytes)
            .field("buffer_bytes", &self.enqueued_bytes())
            .field("linger", &self.linger)
            .field("compression", &self.compression)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("own_partitioner", &self.partitioner.is_some())
            .finish_non_exhaustive()
    }
}
