use proptest::prelude::*;

use super::*;

#[test]
fn builders_store_what_kafka_writes() {
    let new = TopicConfig::new;
    for (config, name, value) in [
        (new().cleanup(CleanupPolicy::Delete), "cleanup.policy", "delete"),
        (new().cleanup(CleanupPolicy::Compact), "cleanup.policy", "compact"),
        (new().cleanup(CleanupPolicy::CompactAndDelete), "cleanup.policy", "compact,delete"),
        (new().retention(None), "retention.ms", "-1"),
        (new().retention(Duration::ZERO), "retention.ms", "0"),
        (new().retention(Duration::from_micros(1)), "retention.ms", "1"),
        (new().retention(Duration::from_micros(1001)), "retention.ms", "2"),
        (new().retention(Duration::from_secs(60)), "retention.ms", "60000"),
        (new().retention(Duration::MAX), "retention.ms", "9223372036854775807"),
        (new().retention_bytes(None), "retention.bytes", "-1"),
        (new().retention_bytes(0), "retention.bytes", "0"),
        (new().retention_bytes(u64::MAX), "retention.bytes", "9223372036854775807"),
        (new().segment_bytes(1 << 20), "segment.bytes", "1048576"),
        (new().segment_age(Duration::from_nanos(1)), "segment.ms", "1"),
        (new().segment_age(Duration::MAX), "segment.ms", "9223372036854775807"),
        (new().max_batch_bytes(5), "max.message.bytes", "5"),
        (new().compression(Compression::None), "compression.type", "uncompressed"),
        (new().compression(Compression::Lz4), "compression.type", "lz4"),
        (new().timestamp_type(TimestampType::CreateTime), "message.timestamp.type", "CreateTime"),
        (new().timestamp_type(TimestampType::LogAppendTime), "message.timestamp.type", "LogAppendTime"),
        (new().set("cleanup.policy", "delete,compact"), "cleanup.policy", "delete,compact"),
    ] {
        assert!(config.entries().eq([(name, value)]), "{config:?}, not {name}={value}");
        config.validate().unwrap();
    }
}

#[test]
fn what_a_broker_would_refuse_is_refused() {
    let new = TopicConfig::new;
    for (config, reason) in [
        (new().partitions(0), "partitions: 0 were asked for, but a topic has 1 to 100000"),
        (new().partitions(100_001), "partitions: 100001 were asked for, but a topic has 1 to 100000"),
        (new().replication_factor(3), "replication factor: is 3, but must be 1: one process keeps the log"),
        (new().replication_factor(0), "is 0, but must be 1"),
        (new().segment_bytes((1 << 20) - 1), "segment.bytes is \"1048575\""),
        (new().segment_bytes(1 << 31), "segment.bytes is \"2147483648\""),
        (new().max_batch_bytes(u32::MAX), "max.message.bytes is \"4294967295\""),
        (new().segment_age(Duration::ZERO), "segment.ms is \"0\""),
        (new().set("retention.hours", "1"), "\"retention.hours\" is not a setting of topics; did you mean"),
        (new().set("colour", "red"), "\"colour\" is not a setting of topics; valid are Kafka's own names"),
        (new().set("", ""), "\"\" is not a setting"),
        (new().set("Retention.ms", "1"), "did you mean retention.ms?"),
        (
            new().set("min.compaction.lag.ms", "6").set("max.compaction.lag.ms", "5"),
            "min.compaction.lag.ms is 6 milliseconds, but must not exceed max.compaction.lag.ms, which is 5",
        ),
        (new().set("segment.ms", "0".repeat(32_767) + "1"), "segment.ms is \"0000"),
    ] {
        let text = config.validate().unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
        assert!(text.len() < 300, "{text}");
    }
}

#[test]
fn edges_that_are_valid() {
    let new = TopicConfig::new;
    for config in [
        new(),
        TopicConfig::default(),
        new().partitions(100_000).replication_factor(1),
        new().set("min.compaction.lag.ms", "5").set("max.compaction.lag.ms", "5"),
        new().segment_bytes(i32::MAX.unsigned_abs()),
        new().set("segment.ms", "0".repeat(32_766) + "1"),
    ] {
        config.validate().unwrap();
    }
}

#[test]
fn what_keeps_a_broker_from_starting_depends_on_its_version() {
    let config = TopicConfig::from_entries(
        1,
        [("segment.bytes", "1000"), ("retention.ms", "soon"), ("not.known", "x"), ("flush.ms", "5")],
    );
    let names = |version| {
        let refused = config.refused_by(version);
        refused.into_iter().map(|(name, ..)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(KafkaVersion::V3_9), ["retention.ms"]);
    assert_eq!(names(KafkaVersion::V4_1), ["retention.ms", "segment.bytes"]);
    let tiny = TopicConfig::from_entries(1, [("segment.bytes", "13")]);
    assert_eq!(tiny.refused_by(KafkaVersion::V3_9)[0].2, "bytes, at least 14");
    let lags = TopicConfig::from_entries(1, [("min.compaction.lag.ms", "6"), ("max.compaction.lag.ms", "5")]);
    assert_eq!(
        lags.refused_by(KafkaVersion::V4_4),
        [("min.compaction.lag.ms", "6", "no more than max.compaction.lag.ms".to_owned())]
    );
}

#[test]
fn the_last_value_counts_and_entries_are_sorted() {
    let config = TopicConfig::new().set("segment.ms", "1").set("flush.ms", "2").set("segment.ms", "3");
    assert!(config.entries().eq([("flush.ms", "2"), ("segment.ms", "3")]));
    assert_eq!(config.entries().size_hint(), (2, Some(2)));
    assert_eq!(config.entry("flush.ms"), Some("2"));
    assert_eq!(config.entry("retention.ms"), None);
}

#[test]
fn entries_from_a_broker_are_kept_and_passed_over_when_strange() {
    let entries = [("remote.storage.enable", "false"), ("segment.bytes", "14"), ("segment.ms", "5")];
    let config = TopicConfig::from_entries(3, entries);
    assert!(config.entries().eq(entries));
    assert_eq!(config.partition_count(), 3);
    assert_eq!(config.settings().segment_bytes, 1 << 30);
    assert_eq!(config.settings().segment_ms, 5);
}

#[test]
fn defaults_fill_what_is_not_set() {
    let defaults = TopicConfig::new().partitions(3).set("segment.ms", "5").set("flush.ms", "6");
    let config = TopicConfig::new().set("segment.ms", "7").or(&defaults);
    assert_eq!(config, TopicConfig::new().partitions(3).set("segment.ms", "7").set("flush.ms", "6"));
    assert_eq!(TopicConfig::new().partitions(1).or(&defaults).partition_count(), 1);
    assert_eq!(TopicConfig::new().or(&TopicConfig::new()), TopicConfig::new().partitions(1));
}

#[test]
fn a_change_keeps_what_a_broker_made_and_checks_the_rest() {
    let new = TopicConfig::new;
    let before = TopicConfig::from_entries(2, [("remote.storage.enable", "x"), ("segment.bytes", "14")])
        .replication_factor(3);
    for after in [
        before.clone(),
        before.clone().set("segment.ms", "5"),
        before.clone().set("segment.bytes", "1048576"),
        before.clone().unset("remote.storage.enable").unset("segment.bytes").unset("never.set"),
    ] {
        after.validate_change(&before).unwrap();
    }
    for (after, reason) in [
        (before.clone().partitions(3), "there are 2, and 3 were asked for; use Topic::add_partitions"),
        (before.clone().replication_factor(1), "replication factor: is 3 and cannot be altered"),
        (
            before.clone().set("remote.storage.enable", "y"),
            "\"remote.storage.enable\" is not a setting of topics",
        ),
        (before.clone().set("segment.bytes", "15"), "segment.bytes is \"15\""),
        (new(), "there are 2, and 1 were asked for"),
        (
            before.clone().set("max.compaction.lag.ms", "5").set("min.compaction.lag.ms", "6"),
            "must not exceed",
        ),
    ] {
        let text = after.validate_change(&before).unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z.]{0,100}",
        proptest::sample::select(vec!["retention.ms", "cleanup.policy", "preallocate", "segment.bytes"])
            .prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn any_text_is_stored_and_checked_without_panic(name in name(), value in any::<String>()) {
        let config = TopicConfig::new().set(&name, &*value);
        prop_assert!(config.entries().eq([(name.as_str(), value.as_str())]));
        let _ = (config.validate(), config.settings());
    }

    #[test]
    fn any_number_is_checked_without_panic(number in any::<i128>(), duration in any::<Duration>()) {
        for name in ["retention.ms", "segment.bytes", "min.cleanable.dirty.ratio", "min.compaction.lag.ms"] {
            let _ = TopicConfig::new().set(name, number.to_string()).validate();
        }
        TopicConfig::new().retention(duration).validate().unwrap();
    }
}
