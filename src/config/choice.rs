//! Settings that are a choice among few, and Kafka's words for them.

use std::time::Duration;

/// What an `Ok` from [`Producer::send`](crate::Producer::send) or
/// [`BufferedProducer::flush`](crate::BufferedProducer::flush) guarantees. With each level the records are in the log, visible
/// to consumers, and survive a crash of the process; the levels differ in what survives a power failure.
///
/// ```
/// use stratalog::{Durability, EventLog, ProducerConfig, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let ledger = log.create_topic("ledger", TopicConfig::new())?;
/// let producer = log.producer_with(ProducerConfig::new().durability(Durability::Synced))?;
/// producer.send(&ledger, Record::new("debit 5"))?; // on disk when it returns
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Survives a crash of the process. After a power failure, only what was fsynced survives: the background does it by
    /// [`OpenOptions::background_sync`](crate::OpenOptions::background_sync), after 64 MiB or 5 s by default.
    #[default]
    Buffered,
    /// As `Buffered`, with an fsync that starts within this time of the append, or immediately after an fsync that is already
    /// in progress. Kafka's counterpart is `flush.ms`.
    Interval(Duration),
    /// Survives a power failure: an fsync that covers the records has completed. Callers that wait at the same time share one
    /// fsync (group commit).
    Synced,
}

/// What happens to records that are no longer wanted. Kafka's `cleanup.policy`; the default is
/// [`Delete`](Self::Delete).
///
/// ```
/// use stratalog::{CleanupPolicy, TopicConfig};
/// let config = TopicConfig::new().cleanup(CleanupPolicy::CompactAndDelete);
/// assert!(config.entries().eq([("cleanup.policy", "compact,delete")]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CleanupPolicy {
    /// Old segments are deleted when they exceed the retention time or size: `delete`.
    Delete,
    /// The latest record of each key is kept, earlier ones are removed in the background: `compact`.
    Compact,
    /// Both: the latest record of each key is kept until its segment is too old: `compact,delete`.
    CompactAndDelete,
}

impl CleanupPolicy {
    pub(crate) const fn kafka_word(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactAndDelete => "compact,delete",
        }
    }
}

/// What [`ensure_topic_with`](crate::EventLog::ensure_topic_with) does about a topic that exists and has other settings than
/// the call names. What the call does not name is never compared or altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mismatch {
    /// The call fails with [`TopicMismatch`](crate::Error::TopicMismatch), which lists each of them. Nothing is changed.
    #[default]
    Fail,
    /// The topic stays as it is.
    Keep,
    /// The topic gets what the call names: settings, and more partitions. Their number cannot be lowered.
    Alter,
}

/// How the partitions of a group's topics are assigned to its members. Kafka's `partition.assignment.strategy`.
///
/// With each of them, rebalancing is cooperative: the owner keeps consuming a partition until it releases it, and only
/// partitions that move are interrupted.
///
/// ```
/// use stratalog::{Assignor, ConsumerConfig};
/// let config = ConsumerConfig::new().group("billing").assignor(Assignor::Range);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Assignor {
    /// Each topic by itself: consecutive partitions to the members in order, so that the same numbers of several topics
    /// go to the same member. Kafka: `range`.
    Range,
    /// All partitions of all topics in a circle of the members. Kafka: `roundrobin`.
    RoundRobin,
    /// Balanced over all topics, and members keep what they have as far as that stays balanced. Kafka: `sticky`.
    Sticky,
    /// The same, as Kafka's cooperative protocol has it: `cooperative-sticky`.
    #[default]
    CooperativeSticky,
}

impl Assignor {
    /// All there are.
    pub(crate) const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// Kafka's word for it, which also is in the group's record.
    pub(crate) const fn kafka_word(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

/// How batches are compressed. Kafka's `compression.type`.
///
/// A topic without this setting keeps each batch as its producer made it (Kafka's word `producer`, the default).
///
/// Each codec is a cargo feature of its name, all of them on by default. Without the feature, asking for the codec is
/// [`Error::InvalidInput`](crate::Error::InvalidInput) and reading its batches [`Error::Unsupported`](crate::Error::Unsupported).
///
/// ```
/// use stratalog::{Compression, TopicConfig};
/// let config = TopicConfig::new().compression(Compression::Zstd);
/// assert!(config.entries().eq([("compression.type", "zstd")]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: `uncompressed` for a topic, `none` for a producer.
    None,
    /// DEFLATE in a gzip frame: `gzip`.
    #[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
    Gzip,
    /// Snappy: `snappy`.
    #[cfg_attr(docsrs, doc(cfg(feature = "snappy")))]
    Snappy,
    /// LZ4: `lz4`.
    #[cfg_attr(docsrs, doc(cfg(feature = "lz4")))]
    Lz4,
    /// Zstandard: `zstd`.
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    Zstd,
}

impl Compression {
    /// The value of a topic's `compression.type`.
    pub(crate) const fn topic_word(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            coded => coded.producer_word(),
        }
    }

    /// What a producer's `compression.type` of this value means.
    pub(crate) fn of_producer_word(word: &str) -> Option<Self> {
        let all = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];
        all.into_iter().find(|codec| codec.producer_word() == word)
    }

    /// The value of a producer's `compression.type`.
    pub(crate) const fn producer_word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Whose clock gives a record its timestamp. Kafka's `message.timestamp.type`; the default is
/// [`CreateTime`](Self::CreateTime).
///
/// ```
/// use stratalog::{TimestampType, TopicConfig};
/// let config = TopicConfig::new().timestamp_type(TimestampType::LogAppendTime);
/// assert!(config.entries().eq([("message.timestamp.type", "LogAppendTime")]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampType {
    /// The time the producer gave: `CreateTime`.
    CreateTime,
    /// The time the record was appended, the same for a complete batch: `LogAppendTime`.
    LogAppendTime,
}

impl TimestampType {
    pub(crate) const fn kafka_word(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncompressed_has_two_words() {
        assert_eq!(Compression::None.topic_word(), "uncompressed");
        assert_eq!(Compression::None.producer_word(), "none");
        assert_eq!(Compression::of_producer_word("none"), Some(Compression::None));
        assert_eq!(Compression::of_producer_word("uncompressed"), None);
        for coded in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            assert_eq!(coded.topic_word(), coded.producer_word());
            assert_eq!(Compression::of_producer_word(coded.producer_word()), Some(coded));
        }
    }
}
