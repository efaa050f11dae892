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
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each setting with its default, some valid and some invalid values.
    const TABLE: [(&str, &str, &[&str], &[&str]); 26] = [
        ("cleanup.policy", "delete", &["compact", "delete,compact", ""], &["Delete", "delete;compact"]),
        (
            "compression.type",
            "producer",
            &["uncompressed", "gzip", "snappy", "lz4", "zstd"],
            &["none", "ZSTD", ""],
        ),
        ("compression.gzip.level", "-1", &["1", "9"], &["-2", "0", "10"]),
        ("compression.lz4.level", "9", &["1", "17"], &["0", "18"]),
        ("compression.zstd.level", "3", &["-131072", "0", "22"], &["-131073", "23"]),
        ("delete.retention.ms", "86400000", &["0", MAX_LONG], &["-1", PAST_LONG]),
        ("file.delete.delay.ms", "60000", &["0", MAX_LONG], &["-1", PAST_LONG]),
        ("flush.messages", MAX_LONG, &["1"], &["0", PAST_LONG]),
        ("flush.ms", MAX_LONG, &["0"], &["-1", PAST_LONG]),
        ("index.interval.bytes", "4096", &["0", "2147483647"], &["-1", "2147483648"]),
        ("max.compaction.lag.ms", MAX_LONG, &["1"], &["0", PAST_LONG]),
        ("max.message.bytes", "1048588", &["0", "2147483647"], &["-1", "2147483648", "1 MiB"]),
        ("message.timestamp.type", "CreateTime", &["LogAppendTime"], &["createtime", "NoTimestampType"]),
        ("message.timestamp.before.max.ms", MAX_LONG, &["0"], &["-1", PAST_LONG]),
        ("message.timestamp.after.max.ms", "3600000", &["0", MAX_LONG], &["-1", PAST_LONG]),
        ("min.cleanable.dirty.ratio", "0.5", &["0", "1", "1.0", "1e-1"], &["-0.1", "1.1", "NaN", "half"]),
        ("min.compaction.lag.ms", "0", &["1", MAX_LONG], &["-1", PAST_LONG]),
        ("min.insync.replicas", "1", &["2"], &["0", "2147483648"]),
        ("preallocate", "false", &["true", "FALSE"], &["1", "yes", ""]),
        ("retention.bytes", "-1", &["-5", "0", MAX_LONG], &[PAST_LONG, "1GB"]),
        ("retention.ms", "-1", &["604800000", "0", MAX_LONG], &["-2", PAST_LONG, "7d", ""]),
        ("segment.bytes", "1073741824", &["1048576", "2147483647"], &["1048575", "2147483648", "-1"]),
        ("segment.index.bytes", "10485760", &["4", "2147483647"], &["3", "2147483648"]),
        ("segment.jitter.ms", "0", &["1", MAX_LONG], &["-1", PAST_LONG]),
        ("segment.ms", "604800000", &["1", MAX_LONG], &["0", PAST_LONG]),
        ("unclean.leader.election.enable", "false", &["true"], &["maybe"]),
    ];
    const MAX_LONG: &str = "9223372036854775807";
    const PAST_LONG: &str = "9223372036854775808";

    #[test]
    fn each_setting_takes_what_is_valid_and_says_what_is_not() {
        for (name, default, valid, invalid) in TABLE {
            for value in valid.iter().chain([&default]) {
                TopicConfig::new().set(name, *value).validate().unwrap_or_else(|e| panic!("{e}"));
            }
            for value in invalid {
                let config = TopicConfig::new().set(name, *value);
                let text = config.validate().unwrap_err().to_string();
                assert!(text.contains(&format!("{name} is {value:?}; give ")), "{text}");
                assert_eq!(config.settings(), TopicConfig::new().settings(), "{name}={value} is passed over");
            }
        }
    }

    #[test]
    fn the_default_of_each_setting_is_the_one_that_is_documented() {
        let unset = TopicConfig::new().settings();
        for (name, default, ..) in TABLE {
            assert_eq!(TopicConfig::new().set(name, default).settings(), unset, "{name}");
        }
    }

    #[test]
    fn defaults_are_written_as_kafka_writes_them() {
        let mut documented: Vec<_> = TABLE.iter().map(|(name, default, ..)| (*name, *default)).collect();
        documented.sort_unstable();
        assert!(TopicConfig::defaults().entries().eq(documented));
        TopicConfig::defaults().validate().unwrap();
    }

    #[test]
    fn the_table_names_each_setting_once() {
        let known: BTreeSet<_> = ALL.iter().map(|setting| setting.name()).collect();
        let tested: BTreeSet<_> = TABLE.iter().map(|(name, ..)| *name).collect();
        assert_eq!(known, tested);
        assert_eq!(known.len(), ALL.len());
    }

    #[test]
    fn a_topic_that_does_not_say_keeps_what_the_log_says_and_by_default_everything() {
        let silent = TopicConfig::new();
        let kept = |log: &TopicConfig, topic: &TopicConfig| {
            let settings = DefaultRetention::of(log).complete(topic);
            (settings.retention_ms, settings.retention_bytes)
        };
        assert_eq!(kept(&silent, &silent), (None, None));
        let log = TopicConfig::new().set("retention.ms", "5").set("retention.bytes", "6");
        assert_eq!(kept(&log, &silent), (Some(5), Some(6)));
        assert_eq!(kept(&log, &TopicConfig::new().set("retention.ms", "-1")), (None, Some(6)));
        assert_eq!(kept(&log, &TopicConfig::new().set("retention.bytes", "-1")), (Some(5), None));
        assert_eq!(kept(&log, &TopicConfig::new().set("retention.ms", "soon")), (Some(5), Some(6)));
        assert_eq!(DefaultRetention::default(), DefaultRetention::of(&silent));
    }

    #[test]
    fn values_are_compared_as_kafka_reads_them() {
        for (name, one, other, same) in [
            ("retention.ms", "60000", " 060000", true),
            ("retention.ms", "60000", "60001", false),
            ("retention.bytes", "-1", "0", false),
            ("preallocate", "true", "TRUE", true),
            ("compression.type", "lz4", "LZ4", false),
            ("cleanup.policy", "compact,delete", "delete, compact", true),
            ("cleanup.policy", "compact,delete", "delete", false),
            ("min.cleanable.dirty.ratio", "0.5", "5e-1", true),
            ("retention.ms", "soon", "later", false),
            ("unheard.of", "a", "a", true),
            ("unheard.of", "1", "01", false),
        ] {
            assert_eq!(is_same(name, one, other), same, "{name}: {one:?} and {other:?}");
        }
    }

    #[test]
    fn errors_name_unit_and_range() {
        for (name, value, reason) in [
            (
                "retention.ms",
                "7d",
                "milliseconds, a whole number (-1 for no limit): -1 to 9223372036854775807",
            ),
            ("segment.bytes", "65536", "bytes, a whole number: 1048576 to 2147483647"),
            ("min.cleanable.dirty.ratio", "2", "a fraction: 0 to 1"),
            ("compression.gzip.level", "0", "a compression level, a whole number: -1 or 1 to 9"),
            ("preallocate", "1", "one of true, false"),
            ("cleanup.policy", "purge", "none or more, each once, separated by commas, of delete, compact"),
        ] {
            let text = TopicConfig::new().set(name, value).validate().unwrap_err().to_string();
            assert_eq!(text, format!("topic configuration: {name} is {value:?}; give {reason}"));
        }
    }

    #[test]
    fn settings_hold_what_was_set() {
        let with = |name: &str, value: &str| TopicConfig::new().set(name, value).settings();
        assert!(with("cleanup.policy", "compact,delete").deletes);
        assert!(with("cleanup.policy", "compact,delete").compacts);
        assert!(!with("cleanup.policy", "compact").deletes);
        assert!(!with("cleanup.policy", "").deletes);
        assert_eq!(with("compression.type", "uncompressed").compression, Some(Compression::None));
        assert_eq!(with("compression.gzip.level", "4").gzip_level, 4);
        assert_eq!(with("compression.lz4.level", "4").lz4_level, 4);
        assert_eq!(with("compression.zstd.level", "-4").zstd_level, -4);
        assert_eq!(with("delete.retention.ms", "5").delete_retention_ms, 5);
        assert_eq!(with("file.delete.delay.ms", "5").file_delete_delay_ms, 5);
        assert_eq!(with("flush.messages", "5").flush_messages, 5);
        assert_eq!(with("flush.ms", "5").flush_ms, 5);
        assert_eq!(with("index.interval.bytes", "5").index_interval_bytes, 5);
        assert_eq!(with("max.compaction.lag.ms", "5").max_compaction_lag_ms, 5);
        assert_eq!(with("max.message.bytes", "5").max_message_bytes, 5);
        assert_eq!(
            with("message.timestamp.type", "LogAppendTime").timestamp_type,
            TimestampType::LogAppendTime
        );
        assert_eq!(with("message.timestamp.before.max.ms", "5").timestamp_before_max_ms, 5);
        assert_eq!(with("message.timestamp.after.max.ms", "5").timestamp_after_max_ms, 5);
        assert!((with("min.cleanable.dirty.ratio", "0.25").min_cleanable_dirty_ratio - 0.25).abs() < 1e-9);
        assert_eq!(with("min.compaction.lag.ms", "5").min_compaction_lag_ms, 5);
        assert!(with("preallocate", "True").preallocate);
        assert_eq!(with("retention.bytes", "5").retention_bytes, Some(5));
        assert_eq!(with("retention.bytes", "-5").retention_bytes, None);
        assert_eq!(with("retention.ms", "0").retention_ms, Some(0));
        assert_eq!(with("retention.ms", "-1").retention_ms, None);
        assert_eq!(with("segment.bytes", "2000000").segment_bytes, 2_000_000);
        assert_eq!(with("segment.index.bytes", "5").segment_index_bytes, 5);
        assert_eq!(with("segment.jitter.ms", "5").segment_jitter_ms, 5);
        assert_eq!(with("segment.ms", "5").segment_ms, 5);
    }

    #[test]
    fn the_nearest_name_is_suggested_if_there_is_one() {
        for (name, meant) in [
            ("retention.sm", Some("retention.ms")),
            ("retention_ms", Some("retention.ms")),
            ("log.segment.bytes", Some("segment.bytes")),
            ("max.mesage.bytes", Some("max.message.bytes")),
            ("Cleanup.Policy", Some("cleanup.policy")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name), meant, "{name}");
        }
        assert_eq!(nearest(&"retention.ms".repeat(1000)), None);
    }

    #[test]
    fn edits_count_changed_added_and_removed_characters() {
        for (from, to, count) in
            [("abc", "abc", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("abc", "xabc", 1)]
        {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }
}
