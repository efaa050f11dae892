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
        ("retention.ms", "7d", "milliseconds, a whole number (-1 for no limit): -1 to 9223372036854775807"),
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
    assert_eq!(with("message.timestamp.type", "LogAppendTime").timestamp_type, TimestampType::LogAppendTime);
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
