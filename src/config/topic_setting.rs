//! The settings of a topic: Kafka's names, defaults and limits, in one table, and their values in effect. One default is
//! not Kafka's: records are kept, where a broker deletes them after seven days.

use super::choice::{Compression, TimestampType};
use super::setting::{Number, Setting, Word, WordList};
use super::topic::TopicConfig;

/// A topic's settings in effect: what was set and is valid, and the default for everything else.
///
/// Read once when a topic is opened or altered, so that appending does not parse texts.
// One type: a field for each setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TopicSettings {
    /// Whether segments past their retention are deleted. Neither this nor `compacts`: everything is kept.
    pub(crate) deletes: bool,
    pub(crate) compacts: bool,
    /// `None` keeps each batch as its producer made it.
    pub(crate) compression: Option<Compression>,
    pub(crate) gzip_level: i32,
    pub(crate) lz4_level: i32,
    pub(crate) zstd_level: i32,
    pub(crate) delete_retention_ms: i64,
    pub(crate) file_delete_delay_ms: i64,
    pub(crate) flush_messages: i64,
    pub(crate) flush_ms: i64,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) max_message_bytes: u32,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) min_cleanable_dirty_ratio: f64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) preallocate: bool,
    /// `None` is no limit.
    pub(crate) retention_bytes: Option<u64>,
    /// `None` is no limit.
    pub(crate) retention_ms: Option<i64>,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_index_bytes: u32,
    pub(crate) segment_jitter_ms: i64,
    pub(crate) segment_ms: i64,
}

impl TopicSettings {
    pub(crate) fn of(config: &TopicConfig) -> Self {
        macro_rules! value {
            ($setting:expr) => {
                config.entry($setting.name).and_then(|text| $setting.read(text)).unwrap_or($setting.default)
            };
        }
        let [deletes, compacts] = value!(CLEANUP_POLICY);
        Self {
            deletes,
            compacts,
            compression: value!(COMPRESSION_TYPE),
            gzip_level: value!(GZIP_LEVEL),
            lz4_level: value!(LZ4_LEVEL),
            zstd_level: value!(ZSTD_LEVEL),
            delete_retention_ms: value!(DELETE_RETENTION_MS),
            file_delete_delay_ms: value!(FILE_DELETE_DELAY_MS),
            flush_messages: value!(FLUSH_MESSAGES),
            flush_ms: value!(FLUSH_MS),
            index_interval_bytes: value!(INDEX_INTERVAL_BYTES),
            max_compaction_lag_ms: value!(MAX_COMPACTION_LAG_MS),
            max_message_bytes: value!(MAX_MESSAGE_BYTES),
            timestamp_type: value!(TIMESTAMP_TYPE),
            timestamp_before_max_ms: value!(TIMESTAMP_BEFORE_MAX_MS),
            timestamp_after_max_ms: value!(TIMESTAMP_AFTER_MAX_MS),
            min_cleanable_dirty_ratio: value!(MIN_CLEANABLE_DIRTY_RATIO),
            min_compaction_lag_ms: value!(MIN_COMPACTION_LAG_MS),
            preallocate: value!(PREALLOCATE),
            retention_bytes: u64::try_from(value!(RETENTION_BYTES)).ok(),
            retention_ms: Some(value!(RETENTION_MS)).filter(|ms| *ms >= 0),
            segment_bytes: value!(SEGMENT_BYTES),
            segment_index_bytes: value!(SEGMENT_INDEX_BYTES),
            segment_jitter_ms: value!(SEGMENT_JITTER_MS),
            segment_ms: value!(SEGMENT_MS),
        }
    }
}

/// The retention of topics that record none, in an open log: everything is kept, unless the options of the open say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DefaultRetention {
    /// `None` is no limit.
    pub(crate) ms: Option<i64>,
    /// `None` is no limit.
    pub(crate) bytes: Option<u64>,
}

impl DefaultRetention {
    /// What topics keep by these defaults of a log.
    pub(crate) fn of(defaults: &TopicConfig) -> Self {
        let TopicSettings { retention_ms: ms, retention_bytes: bytes, .. } = TopicSettings::of(defaults);
        Self { ms, bytes }
    }

    /// As Kafka writes `retention.ms`.
    pub(crate) fn ms_text(self) -> String {
        self.ms.unwrap_or(-1).to_string()
    }

    /// As Kafka writes `retention.bytes`.
    pub(crate) fn bytes_text(self) -> String {
        self.bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string())
    }

    /// The value that a setting has by these defaults, if it is one of theirs.
    fn text_of(self, name: &str) -> Option<String> {
        match name {
            _ if name == RETENTION_MS.name => Some(self.ms_text()),
            _ if name == RETENTION_BYTES.name => Some(self.bytes_text()),
            _ => None,
        }
    }

    /// The settings in effect of a topic in that log.
    pub(super) fn complete(self, config: &TopicConfig) -> TopicSettings {
        let mut settings = TopicSettings::of(config);
        if config.entry(RETENTION_MS.name).and_then(|text| RETENTION_MS.read(text)).is_none() {
            settings.retention_ms = self.ms;
        }
        if config.entry(RETENTION_BYTES.name).and_then(|text| RETENTION_BYTES.read(text)).is_none() {
            settings.retention_bytes = self.bytes;
        }
        settings
    }
}

/// The value in effect of a setting as a text: what is set, or else the default. Empty for a name that is not known.
pub(super) fn in_effect(config: &TopicConfig, name: &str, retention: DefaultRetention) -> String {
    let default = || retention.text_of(name).or_else(|| find(name).map(Setting::default_text));
    config.entry(name).map(str::to_owned).or_else(default).unwrap_or_default()
}

/// Whether two texts are the same value of a setting. Those of a setting that is not known are compared as they are.
pub(super) fn is_same(name: &str, one: &str, other: &str) -> bool {
    one == other || find(name).is_some_and(|setting| setting.is_same(one, other))
}

/// The setting of this Kafka name.
pub(super) fn find(name: &str) -> Option<&'static dyn Setting> {
    ALL.into_iter().find(|setting| setting.name() == name)
}

/// Every setting with its default, as Kafka writes it.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, String)> {
    ALL.into_iter().map(|setting| (setting.name(), setting.default_text()))
}

/// The known name that was probably meant, if one is near enough.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // Also keeps the search short when a name is absurdly long.
    const MAX_LEN: usize = 80;
    if name.len() > MAX_LEN {
        return None;
    }
    let (distance, nearest) = ALL.into_iter().map(|known| (edits(name, known.name()), known.name())).min()?;
    (distance * 2 <= name.len()).then_some(nearest)
}

const ANY_MS: &str = "milliseconds, a whole number";
const ANY_BYTES: &str = "bytes, a whole number";
const LEVEL: &str = "a compression level, a whole number";
/// The largest `int` of Java, which is what most sizes are to a broker.
const MAX_INT: u32 = i32::MAX.unsigned_abs();
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const fn millis(
    name: &'static str,
    default: i64,
    valid: &'static [std::ops::RangeInclusive<i64>],
) -> Number<i64> {
    Number { name, default, valid, unit: ANY_MS }
}

const fn switch(name: &'static str) -> Word<bool> {
    Word { name, default: false, words: &[("true", true), ("false", false)], any_case: true }
}

static ALL: [&dyn Setting; 26] = [
    &CLEANUP_POLICY,
    &COMPRESSION_TYPE,
    &GZIP_LEVEL,
    &LZ4_LEVEL,
    &ZSTD_LEVEL,
    &DELETE_RETENTION_MS,
    &FILE_DELETE_DELAY_MS,
    &FLUSH_MESSAGES,
    &FLUSH_MS,
    &INDEX_INTERVAL_BYTES,
    &MAX_COMPACTION_LAG_MS,
    &MAX_MESSAGE_BYTES,
    &TIMESTAMP_TYPE,
    &TIMESTAMP_BEFORE_MAX_MS,
    &TIMESTAMP_AFTER_MAX_MS,
    &MIN_CLEANABLE_DIRTY_RATIO,
    &MIN_COMPACTION_LAG_MS,
    &MIN_INSYNC_REPLICAS,
    &PREALLOCATE,
    &RETENTION_BYTES,
    &RETENTION_MS,
    &SEGMENT_BYTES,
    &SEGMENT_INDEX_BYTES,
    &SEGMENT_JITTER_MS,
    &SEGMENT_MS,
    &UNCLEAN_LEADER_ELECTION,
];

pub(super) static CLEANUP_POLICY: WordList<2> =
    WordList { name: "cleanup.policy", default: [true, false], words: ["delete", "compact"] };
pub(super) static COMPRESSION_TYPE: Word<Option<Compression>> = Word {
    name: "compression.type",
    default: None,
    words: &[
        ("producer", None),
        (Compression::None.topic_word(), Some(Compression::None)),
        (Compression::Gzip.topic_word(), Some(Compression::Gzip)),
        (Compression::Snappy.topic_word(), Some(Compression::Snappy)),
        (Compression::Lz4.topic_word(), Some(Compression::Lz4)),
        (Compression::Zstd.topic_word(), Some(Compression::Zstd)),
    ],
    any_case: false,
};
static GZIP_LEVEL: Number<i32> =
    Number { name: "compression.gzip.level", default: -1, valid: &[-1..=-1, 1..=9], unit: LEVEL };
static LZ4_LEVEL: Number<i32> =
    Number { name: "compression.lz4.level", default: 9, valid: &[1..=17], unit: LEVEL };
static ZSTD_LEVEL: Number<i32> =
    Number { name: "compression.zstd.level", default: 3, valid: &[-131_072..=22], unit: LEVEL };
static DELETE_RETENTION_MS: Number<i64> = millis("delete.retention.ms", DAY_MS, &[0..=i64::MAX]);
static FILE_DELETE_DELAY_MS: Number<i64> = millis("file.delete.delay.ms", 60_000, &[0..=i64::MAX]);
static FLUSH_MESSAGES: Number<i64> = Number {
    name: "flush.messages",
    default: i64::MAX,
    valid: &[1..=i64::MAX],
    unit: "records, a whole number",
};
static FLUSH_MS: Number<i64> = millis("flush.ms", i64::MAX, &[0..=i64::MAX]);
static INDEX_INTERVAL_BYTES: Number<u32> =
    Number { name: "index.interval.bytes", default: 4096, valid: &[0..=MAX_INT], unit: ANY_BYTES };
pub(super) static MAX_COMPACTION_LAG_MS: Number<i64> =
    millis("max.compaction.lag.ms", i64::MAX, &[1..=i64::MAX]);
pub(super) static MAX_MESSAGE_BYTES: Number<u32> =
    Number { name: "max.message.bytes", default: 1_048_588, valid: &[0..=MAX_INT], unit: ANY_BYTES };
pub(super) static TIMESTAMP_TYPE: Word<TimestampType> = Word {
    name: "message.timestamp.type",
    default: TimestampType::CreateTime,
    words: &[
        (TimestampType::CreateTime.kafka_word(), TimestampType::CreateTime),
        (TimestampType::LogAppendTime.kafka_word(), TimestampType::LogAppendTime),
    ],
    any_case: false,
};
static TIMESTAMP_BEFORE_MAX_MS: Number<i64> =
    millis("message.timestamp.before.max.ms", i64::MAX, &[0..=i64::MAX]);
static TIMESTAMP_AFTER_MAX_MS: Number<i64> =
    millis("message.timestamp.after.max.ms", 60 * 60 * 1000, &[0..=i64::MAX]);
static MIN_CLEANABLE_DIRTY_RATIO: Number<f64> =
    Number { name: "min.cleanable.dirty.ratio", default: 0.5, valid: &[0.0..=1.0], unit: "a fraction" };
pub(super) static MIN_COMPACTION_LAG_MS: Number<i64> = millis("min.compaction.lag.ms", 0, &[0..=i64::MAX]);
static MIN_INSYNC_REPLICAS: Number<u32> = Number {
    name: "min.insync.replicas",
    default: 1,
    valid: &[1..=MAX_INT],
    unit: "replicas, a whole number",
};
static PREALLOCATE: Word<bool> = switch("preallocate");
pub(super) static RETENTION_BYTES: Number<i64> = Number {
    name: "retention.bytes",
    default: -1,
    valid: &[i64::MIN..=i64::MAX],
    unit: "bytes, a whole number (below 0 for no limit)",
};
pub(super) static RETENTION_MS: Number<i64> = Number {
    name: "retention.ms",
    // A broker's is seven days. Here records are kept unless a limit was asked for.
    default: -1,
    valid: &[-1..=i64::MAX],
    unit: "milliseconds, a whole number (-1 for no limit)",
};
pub(super) static SEGMENT_BYTES: Number<u32> = Number {
    name: "segment.bytes",
    default: 1 << 30,
    // Kafka 3 takes less, but a Kafka 4 broker that finds less in the metadata does not start.
    valid: &[MIN_SEGMENT_BYTES..=MAX_INT],
    unit: ANY_BYTES,
};
pub(super) const MIN_SEGMENT_BYTES: u32 = 1 << 20;
static SEGMENT_INDEX_BYTES: Number<u32> =
    Number { name: "segment.index.bytes", default: 10 << 20, valid: &[4..=MAX_INT], unit: ANY_BYTES };
static SEGMENT_JITTER_MS: Number<i64> = millis("segment.jitter.ms", 0, &[0..=i64::MAX]);
pub(super) static SEGMENT_MS: Number<i64> = millis("segment.ms", 7 * DAY_MS, &[1..=i64::MAX]);
static UNCLEAN_LEADER_ELECTION: Word<bool> = switch("unclean.leader.election.enable");

/// How many characters to change, add or remove to get from `from` to `to`.
fn edits(from: &str, to: &str) -> usize {
    // One row of the usual table: cell j holds the distance of the part of `from` read so far to the first j of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(cell) = row.first_mut() {
            *cell = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
