//! Settings of a consumer.

use std::time::Duration;

use super::{Assignor, Durability};
use crate::error::{Error, Result};

/// Half of a core's second-level cache, so that records are still in the cache when they are read after the check.
const DEFAULT_POLL_BYTES: usize = 256 << 10;
/// Kafka's.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// Where a consumer begins in a partition that it was assigned without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartFrom {
    /// At the first record there is. Kafka: `earliest`.
    #[default]
    Beginning,
    /// After the last record there is: only what comes later. Kafka: `latest`.
    ///
    /// In a group this is for partitions that were there when the group took its first position. A partition that was made
    /// later is read from its beginning, as all that is in it came later too: whether topics are subscribed to by name or
    /// by a function, whether a member ran when it was made or not, and where a topic was deleted and made again. Kafka
    /// skips what such partitions hold when a consumer finds them (KAFKA-12478).
    ///
    /// A group takes its first position with the first poll of a member, even if there is nothing to read yet. Where a
    /// partition begins is committed, durably, before the first of its records is returned: the member that reads it next for
    /// the group begins there or further on. In a group that another program has begun, a broker's client for one, any
    /// partition without a committed position may have been made later, and is read from its beginning.
    End,
}

/// Which records a consumer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadUpTo {
    /// Everything that is in the log.
    #[default]
    Visible,
    /// Only what is fsynced, so that the effects of a record never outlive the record. A waiting poll wakes when an fsync has
    /// completed: have producers sync, or set [`OpenOptions::background_sync`](crate::OpenOptions::background_sync).
    Durable,
}

/// What becomes of records that were written in transactions. Kafka: `isolation.level`.
///
/// They are those of a [`TransactionalProducer`](crate::TransactionalProducer), and of a broker's clients in a directory that a
/// broker has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// All records are returned. Kafka: `read_uncommitted`.
    #[default]
    ReadUncommitted,
    /// Records of aborted transactions are left out, and nothing is read from the first record of a still open transaction on,
    /// the [last stable offset](crate::PartitionOffsets::last_stable). Kafka: `read_committed`.
    ReadCommitted,
}

/// How `poll` waits for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Keeps a core busy: the shortest way from send to poll.
    Spin,
    /// Spins for some microseconds, then sleeps.
    #[default]
    SpinThenPark,
    /// Sleeps at once.
    Park,
}

/// A value that was read from a text, or what is wrong with the text.
type Checked<T> = std::result::Result<T, String>;

/// What [`Consumer::subscribe`](crate::Consumer::subscribe) does about topics that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownTopics {
    /// They are read once they are created.
    #[default]
    Wait,
    /// `NotFound`.
    Refuse,
}

/// How a [`Consumer`](crate::Consumer) reads.
///
/// ```
/// use stratalog::{ConsumerConfig, EventLog, StartFrom};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let reader = log.consumer_with(ConsumerConfig::new().start_from(StartFrom::End).max_poll_records(500))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// One type: a field and a method for each setting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ConsumerConfig {
    pub(crate) start_from: StartFrom,
    pub(crate) read_up_to: ReadUpTo,
    pub(crate) isolation: IsolationLevel,
    pub(crate) wait: WaitStrategy,
    pub(crate) max_poll_bytes: usize,
    pub(crate) max_poll_records: usize,
    pub(crate) start_paused: bool,
    pub(crate) group: Option<String>,
    pub(crate) assignor: Assignor,
    pub(crate) commit_on_poll: bool,
    pub(crate) commit_durability: Durability,
    pub(crate) unknown_topics: UnknownTopics,
    pub(crate) max_poll_interval: Option<Duration>,
    pub(crate) unknown: Option<String>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            start_from: StartFrom::default(),
            read_up_to: ReadUpTo::default(),
            isolation: IsolationLevel::default(),
            wait: WaitStrategy::default(),
            max_poll_bytes: DEFAULT_POLL_BYTES,
            max_poll_records: usize::MAX,
            start_paused: false,
            group: None,
            assignor: Assignor::default(),
            commit_on_poll: false,
            commit_durability: Durability::default(),
            unknown_topics: UnknownTopics::default(),
            max_poll_interval: Some(DEFAULT_POLL_INTERVAL),
            unknown: None,
        }
    }
}

impl ConsumerConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to begin in a partition without a position. Default: [`StartFrom::Beginning`], so that a program that
    /// sends and then reads sees its records. Kafka: `auto.offset.reset`.
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.start_from = start;
        self
    }

    /// Which records are shown. Default: [`ReadUpTo::Visible`].
    pub fn read_up_to(mut self, what: ReadUpTo) -> Self {
        self.read_up_to = what;
        self
    }

    /// Whether records of transactions are read before the transactions have ended. Default: [`IsolationLevel::ReadUncommitted`],
    /// as in Kafka. With `ReadCommitted` the end, the lag and [`StartFrom::End`] mean the last stable offset.
    /// Kafka: `isolation.level`.
    ///
    /// ```
    /// use stratalog::{ConsumerConfig, EventLog, IsolationLevel};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let reader = log.consumer_with(ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = level;
        self
    }

    /// How `poll` waits. Default: [`WaitStrategy::SpinThenPark`].
    pub fn wait(mut self, strategy: WaitStrategy) -> Self {
        self.wait = strategy;
        self
    }

    /// Bytes of batches one `poll` returns at most, about; one batch is returned even if it is larger. Compressed ones
    /// count as what they decompress to, which is never more than
    /// [`OpenOptions::max_decompressed_batch_bytes`](crate::OpenOptions::max_decompressed_batch_bytes). Default: 262,144.
    /// Kafka: `fetch.max.bytes`.
    pub fn max_poll_bytes(mut self, bytes: usize) -> Self {
        self.max_poll_bytes = bytes;
        self
    }

    /// Records one `poll` returns at most. Default: no limit but the bytes. Kafka: `max.poll.records`.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.max_poll_records = records;
        self
    }

    /// Whether partitions are paused when they are assigned, until `resume`. Default: `false`.
    pub fn start_paused(mut self, paused: bool) -> Self {
        self.start_paused = paused;
        self
    }

    /// The group that the consumer belongs to, whose committed offsets it reads and writes. Needed for
    /// [`subscribe`](crate::Consumer::subscribe) and [`commit`](crate::Consumer::commit). Kafka: `group.id`.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// How partitions are assigned among the members of the group, who must agree. Default:
    /// [`Assignor::CooperativeSticky`]. Kafka: `partition.assignment.strategy`.
    pub fn assignor(mut self, assignor: Assignor) -> Self {
        self.assignor = assignor;
        self
    }

    /// Whether each `poll` first commits what the one before returned, and `close` what the last one did. At least once:
    /// records that were being processed when the program died are delivered again. Default: `false`. Kafka:
    /// `enable.auto.commit`.
    pub fn commit_on_poll(mut self, commit: bool) -> Self {
        self.commit_on_poll = commit;
        self
    }

    /// The durability of a commit that returned `Ok`, as for records that are sent. Default: [`Durability::Buffered`]. If a
    /// power failure loses a commit, records are delivered again. Kafka: the broker decides it.
    pub fn commit_durability(mut self, level: Durability) -> Self {
        self.commit_durability = level;
        self
    }

    /// What subscribing does about topics that do not exist. Default: [`UnknownTopics::Wait`], as in Kafka.
    pub fn unknown_topics(mut self, what: UnknownTopics) -> Self {
        self.unknown_topics = what;
        self
    }

    /// A member of a group that does not poll for this long is evicted: others get its partitions, its commits are refused, and
    /// it joins anew at its next poll. That holds from [`subscribe`](crate::Consumer::subscribe) on, however its last poll
    /// ended. The polls of other members notice it, so a member that is alone keeps its partitions until another has joined or
    /// the group's positions are set or removed. `None`: members are never evicted. Default: 5 minutes. Kafka:
    /// `max.poll.interval.ms`, with the same default.
    pub fn max_poll_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.max_poll_interval = interval.into();
        self
    }

    /// Sets one of the above by Kafka's name: `auto.offset.reset` (`earliest`, `latest`), `enable.auto.commit` (`true`,
    /// `false`), `fetch.max.bytes`, `group.id`, `isolation.level` (`read_uncommitted`, `read_committed`),
    /// `max.poll.interval.ms`, `max.poll.records`, `partition.assignment.strategy` (`range`, `roundrobin`, `sticky`,
    /// `cooperative-sticky`). Names and values are checked when a consumer is made.
    pub fn set(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref().trim();
        if let Err(reason) = self.set_by_name(name, value) {
            self.unknown = Some(reason);
        }
        self
    }

    fn set_by_name(&mut self, name: &str, value: &str) -> Checked<()> {
        fn one_of<T: Copy>(name: &str, value: &str, words: &[(&str, T)]) -> Checked<T> {
            words.iter().find(|(word, _)| *word == value).map(|(_, meant)| *meant).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("{name} is {}, not {value:?}", words.join(" or "))
            })
        }
        fn whole<T: std::str::FromStr>(name: &str, value: &str) -> Checked<T> {
            value.parse().map_err(|_| format!("{name} takes a whole number, not {value:?}"))
        }
        match name {
            "auto.offset.reset" => {
                let words = [("earliest", StartFrom::Beginning), ("latest", StartFrom::End)];
                self.start_from = one_of(name, value, &words)?;
            }
            "enable.auto.commit" => {
                self.commit_on_poll = one_of(name, value, &[("true", true), ("false", false)])?;
            }
            "isolation.level" => {
                let (all, committed) = (IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted);
                self.isolation =
                    one_of(name, value, &[("read_uncommitted", all), ("read_committed", committed)])?;
            }
            "partition.assignment.strategy" => {
                let words = Assignor::ALL.map(|assignor| (assignor.kafka_word(), assignor));
                self.assignor = one_of(name, value, &words)?;
            }
            "group.id" => self.group = Some(value.to_owned()),
            "fetch.max.bytes" => self.max_poll_bytes = whole(name, value)?,
            "max.poll.records" => self.max_poll_records = whole(name, value)?,
            "max.poll.interval.ms" => {
                self.max_poll_interval = Some(Duration::from_millis(whole(name, value)?));
            }
            _ => {
                return Err(format!(
                    "{name:?} is not known; there are auto.offset.reset, enable.auto.commit, fetch.max.bytes, \
                     group.id, isolation.level, max.poll.interval.ms, max.poll.records, \
                     partition.assignment.strategy"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::invalid("consumer config", reason));
        match self {
            Self { unknown: Some(reason), .. } => wrong(reason.clone()),
            Self { max_poll_records: 0, .. } => {
                wrong("max.poll.records is 0, but a poll must be able to return one".into())
            }
            Self { commit_on_poll: true, group: None, .. } => {
                wrong("polls are to commit, but there is no group to commit for; name one".into())
            }
            Self { max_poll_interval: Some(interval), .. } if interval.is_zero() => {
                wrong("max.poll.interval.ms is 0, so that every member would be evicted at once".into())
            }
            _ => Ok(()),
        }
    }
}
