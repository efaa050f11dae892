//! What each of Kafka's topic settings does here: it changes what a partition or a record goes by, or a topic that is given
//! it says that it does not, or it is refused.

use super::*;
use crate::catalog::rules::RecordRules;
use crate::partition::PartitionSettings;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// With a value other than the default.
    Works(&'static str),
    /// The same.
    NoEffect(&'static str),
    Refused,
}
use Class::{NoEffect, Refused, Works};

/// All topic settings of Kafka 4.1 and 4.4: `LogConfig.configNames()`.
const KAFKA: [(&str, Class); 38] = [
    ("cleanup.policy", Works("delete")),
    ("compression.gzip.level", Works("1")),
    ("compression.lz4.level", NoEffect("1")),
    ("compression.type", Works("lz4")),
    ("compression.zstd.level", Works("1")),
    ("delete.retention.ms", Works("1")),
    ("errors.deadletterqueue.group.enable", Refused),
    ("file.delete.delay.ms", Works("1")),
    ("flush.messages", Works("1")),
    ("flush.ms", Works("1")),
    ("follower.replication.throttled.replicas", Refused),
    ("index.interval.bytes", Works("1")),
    ("internal.segment.bytes", Refused),
    ("leader.replication.throttled.replicas", Refused),
    ("local.retention.bytes", Refused),
    ("local.retention.ms", Refused),
    ("max.compaction.lag.ms", Works("1")),
    ("max.decompressed.message.bytes", Refused),
    ("max.message.bytes", Works("1")),
    ("message.timestamp.after.max.ms", Works("1")),
    ("message.timestamp.before.max.ms", Works("1")),
    ("message.timestamp.type", Works("LogAppendTime")),
    ("min.cleanable.dirty.ratio", Works("0.1")),
    ("min.compaction.lag.ms", Works("1")),
    ("min.insync.replicas", NoEffect("2")),
    ("preallocate", NoEffect("true")),
    ("remote.copy.lag.bytes", Refused),
    ("remote.copy.lag.ms", Refused),
    ("remote.log.copy.disable", Refused),
    ("remote.log.delete.on.disable", Refused),
    ("remote.storage.enable", Refused),
    ("retention.bytes", Works("1")),
    ("retention.ms", Works("1")),
    ("segment.bytes", Works("1048576")),
    ("segment.index.bytes", NoEffect("1000")),
    ("segment.jitter.ms", Works("1")),
    ("segment.ms", Works("1")),
    ("unclean.leader.election.enable", NoEffect("true")),
];

/// All that a topic goes by. Settings of compaction count only where there is any.
fn gone_by(config: TopicConfig) -> String {
    let config = config.or(&TopicConfig::new().set("cleanup.policy", "compact,delete"));
    let settings = config.settings();
    let limits = LogLimits { segment_bytes: u32::MAX, ..LogLimits::default() };
    format!("{:?} {:?}", PartitionSettings::of(&settings, limits, 0), RecordRules::of(&settings))
}

#[test]
fn each_topic_setting_of_kafka_works_or_says_that_it_does_not_or_is_refused() {
    if !cfg!(feature = "lz4") {
        eprintln!("skipped: compression.type needs a codec");
        return;
    }
    let taken: Vec<_> = KAFKA.iter().filter(|(_, class)| *class != Refused).map(|(name, _)| *name).collect();
    assert!(TopicConfig::defaults().entries().map(|(name, _)| name).eq(taken));
    let (_dir, catalog) = fresh(&["t"]);
    let events = catalog.context.events.listen();
    for (at, (name, class)) in KAFKA.into_iter().enumerate() {
        let new = format!("new-{at}");
        let reported = |value: &str| {
            let config = TopicConfig::new().set(name, value);
            catalog.create(&[(new.as_str(), config.clone())], NOW).unwrap();
            catalog.alter(&catalog.topic("t").unwrap(), |_| config.clone(), NOW).unwrap();
            let ensured =
                config.set(name, TopicConfig::defaults().entries().find(|(of, _)| *of == name).unwrap().1);
            catalog.ensure(&new, &ensured, Mismatch::Alter, NOW).unwrap();
            let reported = std::iter::from_fn(|| events.try_next()).filter_map(|event| match event {
                Event::SettingWithoutEffect { topic, setting, .. } => {
                    assert_eq!(setting, name);
                    Some(topic.into_string())
                }
                _ => None,
            });
            reported.collect::<Vec<_>>()
        };
        let changes = |value| gone_by(TopicConfig::new()) != gone_by(TopicConfig::new().set(name, value));
        match class {
            Works(value) => assert!(changes(value) && reported(value).is_empty(), "{name} has no effect"),
            NoEffect(value) => {
                assert!(!changes(value), "{name} has an effect");
                assert_eq!(reported(value), [new.as_str(), "t", new.as_str()], "{name}");
            }
            Refused => {
                let refused = TopicConfig::new().set(name, "1").validate().unwrap_err().to_string();
                assert!(refused.contains("is not a setting of topics"), "{refused}");
            }
        }
    }
}

#[test]
fn the_page_about_kafka_says_what_each_topic_setting_does() {
    let page = include_str!("../../../docs/kafka.md");
    for (name, class) in KAFKA {
        let word = match class {
            Works(_) => "works",
            NoEffect(_) => "no effect",
            Refused => "refused",
        };
        let row = format!("| `{name}` | {word} |");
        assert!(page.lines().any(|line| line.starts_with(&row)), "no row {row}");
        if matches!(class, NoEffect(_)) {
            let config = TopicConfig::new().set(name, "1");
            let reason = config.without_effect().next().unwrap().1;
            assert!(page.lines().any(|line| line == format!("{row} {reason} |")), "{name}: {reason}");
        }
    }
    let rows = page.lines().filter(|line| {
        ["works", "no effect", "refused"].iter().any(|word| line.contains(&format!("` | {word} |")))
    });
    assert_eq!(rows.count(), KAFKA.len());
}
