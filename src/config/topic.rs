//! What a topic is created with: its number of partitions and its Kafka settings.

use std::collections::{BTreeMap, btree_map};
use std::time::Duration;

use super::choice::{CleanupPolicy, Compression, TimestampType};
use super::kafka_version::KafkaVersion;
use super::setting::quoted;
use super::topic_setting::{self as table, DefaultRetention, TopicSettings};
use crate::error::{Error, Result};

/// How a topic is set up: partitions, retention, segment sizes, compaction.
///
/// Every setting is stored under Kafka's name and in Kafka's spelling, so a broker that takes over the directory
/// applies the same ones. The methods here cover what most topics need; [`set`](Self::set) takes any setting by its
/// Kafka name. What is not set has Kafka's default, with one exception: records are kept, while a broker deletes them
/// after seven days.
///
/// None of the methods fails: the configuration is checked as a whole when a topic is created or altered with it.
///
/// Kafka's counterpart is `NewTopic`, and the `--partitions` and `--config` options of `kafka-topics`.
///
/// ```
/// use std::time::Duration;
/// use stratalog::{CleanupPolicy, TopicConfig};
///
/// let config = TopicConfig::new()
///     .partitions(6)
///     .cleanup(CleanupPolicy::Compact)
///     .retention(None)
///     .segment_age(Duration::from_secs(3600))
///     .set("min.cleanable.dirty.ratio", "0.1");
///
/// let set: Vec<_> = config.entries().collect();
/// assert_eq!(set, [
///     ("cleanup.policy", "compact"),
///     ("min.cleanable.dirty.ratio", "0.1"),
///     ("retention.ms", "-1"),
///     ("segment.ms", "3600000"),
/// ]);
/// ```
// One type: a method for each setting.
#[derive(Debug, Clone, Eq)]
#[must_use = "a configuration has no effect until a topic is created or altered with it"]
pub struct TopicConfig {
    /// 1 unless set.
    pub(super) partitions: Option<u32>,
    pub(super) replication_factor: u16,
    /// What was set explicitly, as Kafka writes it. Unchecked.
    entries: BTreeMap<String, String>,
}

/// The most partitions of one topic: their numbers have at most five digits, see [`super::topic_name`].
const MAX_PARTITIONS: u32 = 100_000;

/// The longest value, in bytes, that fits a metadata record.
const MAX_VALUE_LEN: usize = i16::MAX.unsigned_abs() as usize;

impl TopicConfig {
    /// One partition, and the defaults for everything else.
    pub fn new() -> Self {
        Self { partitions: None, replication_factor: 1, entries: BTreeMap::new() }
    }

    /// Every setting by its Kafka name, each with its default: what holds where neither a topic nor
    /// [`topic_defaults`](crate::OpenOptions::topic_defaults) sets anything else. They are Kafka's own but for
    /// `retention.ms`, which is -1 here.
    ///
    /// For inspection only; do not create topics with it. Such a topic would record all of these settings, and a broker's own
    /// defaults would have no effect on it.
    ///
    /// ```
    /// use stratalog::TopicConfig;
    /// let defaults = TopicConfig::defaults();
    /// assert!(defaults.entries().any(|setting| setting == ("segment.bytes", "1073741824")));
    /// assert!(defaults.entries().any(|setting| setting == ("retention.ms", "-1")));
    /// ```
    pub fn defaults() -> Self {
        table::defaults().fold(Self::new(), |config, (name, value)| config.set(name, value))
    }

    /// The number of partitions, 1 to 100,000. Default 1. Kafka's `--partitions`.
    ///
    /// Records of one key stay in order within their partition; as many consumers of a group as there are partitions
    /// can share the work.
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// The number of copies. Default 1, and only 1 is valid, since one process keeps the log. Kafka's
    /// `--replication-factor`.
    pub fn replication_factor(mut self, copies: u16) -> Self {
        self.replication_factor = copies;
        self
    }

    /// Whether old records are deleted, or compacted by key. Default [`CleanupPolicy::Delete`]. Kafka's
    /// `cleanup.policy`.
    pub fn cleanup(self, policy: CleanupPolicy) -> Self {
        self.set(table::CLEANUP_POLICY.name, policy.kafka_word())
    }

    /// How long records are kept at least; `None` keeps them for ever. Default `None`, which a new topic records, so that
    /// a broker keeps them too: its own default is 7 days. Kafka's `retention.ms`.
    ///
    /// Fractions of a millisecond count as a whole one. A segment is deleted when its newest record is older.
    pub fn retention(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(table::RETENTION_MS.name, time.into().map_or(-1, whole_millis).to_string())
    }

    /// How many bytes each partition keeps at least; `None` is no limit. Default `None`. Kafka's `retention.bytes`.
    pub fn retention_bytes(self, bytes: impl Into<Option<u64>>) -> Self {
        let bytes = bytes.into().map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        self.set(table::RETENTION_BYTES.name, bytes.to_string())
    }

    /// The size in bytes at which a new segment is begun, 1 MiB to 2 GiB - 1. Default 1 GiB. Kafka's
    /// `segment.bytes`.
    ///
    /// Whole segments are deleted, so smaller ones follow the retention more closely.
    pub fn segment_bytes(self, bytes: u32) -> Self {
        self.set(table::SEGMENT_BYTES.name, bytes.to_string())
    }

    /// The age at which a new segment is begun even if there is room, at least 1 ms. Default 7 days. Kafka's
    /// `segment.ms`.
    ///
    /// Fractions of a millisecond count as a whole one.
    pub fn segment_age(self, age: Duration) -> Self {
        self.set(table::SEGMENT_MS.name, whole_millis(age).to_string())
    }

    /// The largest batch in bytes, compressed and with its header, at most 2 GiB - 1. Default 1,048,588 (1 MiB and
    /// 12 bytes). Kafka's `max.message.bytes`.
    pub fn max_batch_bytes(self, bytes: u32) -> Self {
        self.set(table::MAX_MESSAGE_BYTES.name, bytes.to_string())
    }

    /// How batches are compressed in the log, whatever the producer sent. By default they stay as the producer made
    /// them. Kafka's `compression.type`.
    ///
    /// Nothing is compressed twice: producers here ask the topic first. The levels of gzip and zstd are
    /// `compression.gzip.level` and `compression.zstd.level`; lz4 is always the fast compressor, whatever
    /// `compression.lz4.level` says. A codec needs the cargo feature of its name.
    pub fn compression(self, codec: Compression) -> Self {
        self.set(table::COMPRESSION_TYPE.name, codec.topic_word())
    }

    /// Whether timestamps are the producer's or the time of appending. Default [`TimestampType::CreateTime`].
    /// Kafka's `message.timestamp.type`.
    pub fn timestamp_type(self, timestamps: TimestampType) -> Self {
        self.set(table::TIMESTAMP_TYPE.name, timestamps.kafka_word())
    }

    /// Sets any topic setting by its Kafka name, with the value as Kafka writes it; the last value given for a name
    /// counts. Kafka's `--config name=value`.
    ///
    /// ```
    /// use stratalog::TopicConfig;
    /// let config = TopicConfig::new().set("retention.ms", "60000").set("cleanup.policy", "compact,delete");
    /// assert_eq!(config.entries().count(), 2);
    /// ```
    pub fn set(mut self, kafka_name: &str, value: impl Into<String>) -> Self {
        self.entries.insert(kafka_name.to_owned(), value.into());
        self
    }

    /// Takes back what was set for a Kafka name: the default counts again. A name that is not set is fine.
    ///
    /// When a topic is altered a setting that is taken back is removed from the catalog, as by Kafka's
    /// `kafka-configs --delete-config`.
    ///
    /// ```
    /// use stratalog::TopicConfig;
    /// let config = TopicConfig::new().set("retention.ms", "60000").unset("retention.ms");
    /// assert_eq!(config, TopicConfig::new());
    /// ```
    pub fn unset(mut self, kafka_name: &str) -> Self {
        self.entries.remove(kafka_name);
        self
    }

    /// What was set explicitly: Kafka names and values, sorted by name.
    pub fn entries(&self) -> ConfigEntries<'_> {
        ConfigEntries(self.entries.iter())
    }

    /// A topic as a metadata log describes it. Entries that are unknown or invalid here are kept as they are, since
    /// a broker wrote them; [`settings`](Self::settings) passes over them.
    pub(crate) fn from_entries<N, V>(partitions: u32, entries: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        let entries = entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { partitions: Some(partitions), entries, ..Self::new() }
    }

    /// The value set for this Kafka name, if one was.
    pub(crate) fn entry(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    pub(crate) fn partition_count(&self) -> u32 {
        self.partitions.unwrap_or(1)
    }

    /// What is set here, and where nothing is, what `defaults` set.
    pub(crate) fn or(mut self, defaults: &Self) -> Self {
        self.partitions = self.partitions.or(defaults.partitions);
        for (name, value) in &defaults.entries {
            self.entries.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The values in effect, with the default for what is not set or not valid.
    pub(crate) fn settings(&self) -> TopicSettings {
        TopicSettings::of(self)
    }

    /// The same in a log that has a retention of its own for topics that record none.
    pub(crate) fn settings_with(&self, retention: DefaultRetention) -> TopicSettings {
        retention.complete(self)
    }

    /// Checks everything as a Kafka 4 broker would; what passes can be written to the metadata log.
    pub(crate) fn validate(&self) -> Result<()> {
        self.validate_partitions()?;
        if self.replication_factor != 1 {
            return Err(Error::invalid(
                "replication factor",
                format!("is {}, but must be 1: one process keeps the log", self.replication_factor),
            ));
        }
        self.entries().try_for_each(|(name, value)| check_entry(name, value))?;
        self.check_together()
    }

    /// Checks the number of partitions alone.
    pub(crate) fn validate_partitions(&self) -> Result<()> {
        let count = self.partition_count();
        if (1..=MAX_PARTITIONS).contains(&count) {
            return Ok(());
        }
        Err(Error::invalid(
            "partitions",
            format!("{count} were asked for, but a topic has 1 to {MAX_PARTITIONS}"),
        ))
    }

    /// Checks what a topic that exists is to become. What stays as it is may be of a broker's making and unknown here.
    pub(crate) fn validate_change(&self, before: &Self) -> Result<()> {
        let (count, present) = (self.partition_count(), before.partition_count());
        if count != present {
            let reason =
                format!("there are {present}, and {count} were asked for; use Topic::add_partitions");
            return Err(Error::invalid("partitions", reason));
        }
        if self.replication_factor != before.replication_factor {
            let reason = format!("is {} and cannot be altered", before.replication_factor);
            return Err(Error::invalid("replication factor", reason));
        }
        let mut changed = self.entries().filter(|(name, value)| before.entry(name) != Some(value));
        changed.try_for_each(|(name, value)| check_entry(name, value))?;
        self.check_together()
    }

    /// Settings that would keep a broker of this version from starting, each with what would be right. Settings that are
    /// not known here are left to the broker, which passes over what it does not know itself.
    pub(crate) fn refused_by(&self, version: KafkaVersion) -> Vec<(&str, &str, String)> {
        let is_small = |name: &str, value: &str| {
            name == table::SEGMENT_BYTES.name
                && value.trim().parse().is_ok_and(|bytes: u32| bytes < table::MIN_SEGMENT_BYTES)
        };
        let refused = self.entries().filter_map(|(name, value)| {
            let setting = table::find(name)?;
            let least = version.least_segment_bytes();
            let wanted = if is_small(name, value) && least < table::MIN_SEGMENT_BYTES {
                let refused = value.trim().parse().is_ok_and(|bytes: u32| bytes < least);
                refused.then(|| format!("bytes, at least {least}"))
            } else {
                (!setting.accepts(value)).then(|| setting.wanted())
            };
            Some((name, value, wanted?))
        });
        let mut refused: Vec<_> = refused.collect();
        if let Err(Error::InvalidInput { .. }) = self.check_together() {
            let name = table::MIN_COMPACTION_LAG_MS.name;
            let limit = table::MAX_COMPACTION_LAG_MS.name;
            refused.push((name, self.entry(name).unwrap_or_default(), format!("no more than {limit}")));
        }
        refused
    }

    /// What one setting demands of another.
    fn check_together(&self) -> Result<()> {
        let settings = self.settings();
        if settings.min_compaction_lag_ms > settings.max_compaction_lag_ms {
            return Err(invalid(format!(
                "{} is {} milliseconds, but must not exceed {}, which is {}",
                table::MIN_COMPACTION_LAG_MS.name,
                settings.min_compaction_lag_ms,
                table::MAX_COMPACTION_LAG_MS.name,
                settings.max_compaction_lag_ms
            )));
        }
        Ok(())
    }
}

impl PartialEq for TopicConfig {
    /// One partition by default is as good as one that was asked for.
    fn eq(&self, other: &Self) -> bool {
        self.partition_count() == other.partition_count()
            && self.replication_factor == other.replication_factor
            && self.entries == other.entries
    }
}

impl Default for TopicConfig {
    /// The same as [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

/// What a [`TopicConfig`] sets explicitly: pairs of Kafka name and value, sorted by name.
///
/// ```
/// use stratalog::TopicConfig;
/// let config = TopicConfig::new().retention_bytes(1 << 30);
/// assert_eq!(config.entries().next(), Some(("retention.bytes", "1073741824")));
/// ```
#[derive(Debug, Clone)]
pub struct ConfigEntries<'a>(btree_map::Iter<'a, String, String>);

impl<'a> Iterator for ConfigEntries<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

pub(super) fn check_entry(name: &str, value: &str) -> Result<()> {
    let Some(setting) = table::find(name) else {
        let hint = match table::nearest(name) {
            Some(known) => format!("; did you mean {known}?"),
            None => String::from("; valid are Kafka's own names, such as retention.ms"),
        };
        return Err(invalid(format!("{} is not a setting of topics{hint}", quoted(name))));
    };
    if value.len() > MAX_VALUE_LEN || !setting.accepts(value) {
        return Err(invalid(format!("{name} is {}; give {}", quoted(value), setting.wanted())));
    }
    Ok(())
}

fn invalid(reason: String) -> Error {
    Error::invalid("topic configuration", reason)
}

/// Rounds up, so that a short time never becomes none at all.
fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
