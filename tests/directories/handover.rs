//! Handing a log over to a broker: what is done, what is said, and that nothing is done when a broker would not start.
//! That brokers see it likewise is for `tests/kafka/traps.rs`.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::crafted::{self, Producer};
use crate::common::expected::{Expected, aborted_in};
use crate::common::{copy, names, recorded, tree};
use stratalog::{
    Compression, ConsumerConfig, Error, Event, EventLog, HandoverObstacle, HandoverOptions, HandoverReport,
    HandoverWarning, IsolationLevel, KafkaVersion, Maintenance, ManualClock, Position, ProducerConfig,
    Record, Remedy, Timestamp, TopicConfig,
};

fn committed(log: &EventLog, topic: &str) -> Vec<String> {
    let config = ConsumerConfig::new().isolation(IsolationLevel::ReadCommitted);
    let mut reader = log.consumer_with(config).unwrap();
    reader.assign([(topic, 0)]).unwrap();
    let mut found = Vec::new();
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        found.extend(records.iter().map(|record| text(record.value())));
    }
}

/// Three records of which the second is a transaction's that is open, and of which no coordinator knows.
fn left_open(dir: &Path) {
    let log = recorded().open(dir).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for value in ["before", "inside", "after"] {
        producer.send(&topic, Record::new(value)).unwrap();
    }
    log.close().unwrap();
    crafted::of_producer(dir, "t-0", 1, Producer { id: 41, sequence: 0, transactional: true });
}

fn plain() -> HandoverOptions {
    HandoverOptions::new()
}

/// What is listed may be gone when it is checked. That is no failure of the rest.
#[test]
fn a_dry_run_beside_deletions_reports_what_stays() {
    let dir = tempfile::tempdir().unwrap();
    left_open(dir.path());
    let log = recorded().open(dir.path()).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..150 {
                log.create_topic("passing", TopicConfig::new().partitions(3)).unwrap();
                log.delete_topic("passing").unwrap();
            }
            ended.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            let report = log.handover(&plain().dry_run(true)).unwrap();
            assert_eq!((report.aborted.len(), report.obstacles.len()), (0, 0), "{report:?}");
        }
    });
}

/// The events of an open.
fn decided(log: &EventLog) -> Vec<Event> {
    let events = log.events();
    let is_about = |event: &Event| matches!(event, Event::TransactionsDecided { .. });
    std::iter::from_fn(|| events.try_next()).filter(is_about).collect()
}

/// By the open: nothing is left to the handover, which says so.
#[test]
fn a_transaction_that_no_coordinator_knows_is_aborted() {
    let dir = tempfile::tempdir().unwrap();
    left_open(dir.path());
    let log = recorded().open(dir.path()).unwrap();
    assert_eq!(decided(&log), [Event::TransactionsDecided { committed: 0, aborted: 1 }]);
    assert_eq!(committed(&log, "t"), ["before", "after"]);
    let report = log.handover(&plain()).unwrap();
    assert_eq!((report.aborted, report.left_to_the_broker), (vec![], vec![]));
    assert!(matches!(log.producer(), Err(Error::Closed)), "the log is closed");
    assert_eq!(aborted_in(&dir.path().join("t-0")), [[41, 1, 3, 4]]);
    assert!(names(&dir.path().join("t-0")).contains(&"00000000000000000004.snapshot".to_owned()));

    for unclean in [false, true] {
        if unclean {
            crafted::crash(dir.path());
        }
        let log = recorded().open(dir.path()).unwrap();
        assert_eq!(log.recovery().clean, !unclean);
        assert_eq!(decided(&log), []);
        assert_eq!(committed(&log, "t"), ["before", "after"]);
        let offsets = log.topic("t").unwrap().partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.last_stable, offsets.log_end), (4, 4));
        log.close().unwrap();
    }
    assert_eq!(aborted_in(&dir.path().join("t-0")), [[41, 1, 3, 4]], "recovery finds the same");
    let again = recorded().open(dir.path()).unwrap().handover(&plain()).unwrap();
    assert_eq!((again.aborted, again.next_producer_id), (vec![], None));
}

/// What this process has open is aborted by the handover.
#[test]
fn an_open_transaction_of_ours_is_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let small = ProducerConfig::new().batch_bytes(100).buffer_bytes(100);
    let mut producer = log.transactional_producer_with("x", small).unwrap();
    let mut transaction = producer.begin().unwrap();
    for _ in 0..3 {
        transaction.send(&topic, Record::new(&"x".repeat(80))).unwrap();
    }
    let planned = log.handover(&plain().dry_run(true)).unwrap();
    let report = log.handover(&plain()).unwrap();
    assert_eq!(planned.aborted, report.aborted);
    let [aborted] = &report.aborted[..] else { panic!("{report:?}") };
    assert_eq!((aborted.partition.topic(), aborted.producer_id, aborted.first_offset), ("t", 0, 0));
    assert!(report.to_string().contains("aborted: the transaction of producer 0 in t-0 from offset 0 on"));
    assert!(planned.to_string().contains("would be aborted: the transaction of producer 0 in t-0"));
    drop(transaction);
    let log = recorded().open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(committed(&log, "t"), [""; 0]);
}

/// The marker's time begins a new segment, whose index it is noted in.
#[test]
fn a_marker_may_begin_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let open = || {
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        options.open(dir.path()).unwrap()
    };
    let log = open();
    let config = TopicConfig::new().segment_age(Duration::from_secs(60)).retention(None);
    let topic = log.create_topic("t", config).unwrap();
    for value in ["before", "inside"] {
        log.producer().unwrap().send(&topic, Record::new(value)).unwrap();
    }
    log.close().unwrap();
    crafted::of_producer(dir.path(), "t-0", 1, Producer { id: 3, sequence: 0, transactional: true });
    clock.advance(Duration::from_secs(3600));
    let log = open();
    log.handover(&plain()).unwrap();
    let found = names(&dir.path().join("t-0"));
    for name in ["00000000000000000002.log", "00000000000000000002.txnindex", "00000000000000000002.snapshot"]
    {
        assert!(found.contains(&name.to_owned()), "{found:?}");
    }
    assert!(!found.contains(&"00000000000000000000.txnindex".to_owned()));
    let snapshot = |at: &str| fs::read(dir.path().join("t-0").join(format!("{at}.snapshot"))).unwrap();
    // The first offset of the open transaction is the last field: 1 before the marker, none after it.
    let start = |bytes: &[u8]| i64::from_be_bytes(bytes[bytes.len() - 8..].try_into().unwrap());
    assert_eq!(start(&snapshot("00000000000000000002")), 1);
    assert_eq!(start(&snapshot("00000000000000000003")), -1);
    assert_eq!(committed(&open(), "t"), ["before"]);
}

/// Its client is gone with it, and is fenced by the epoch.
#[test]
fn a_transaction_that_a_broker_knows_is_aborted_too() {
    let expected = Expected::of_broker("killed-4.1");
    let dir = expected.copy();
    let log = recorded().open(dir.path()).unwrap();
    assert_eq!(decided(&log), [Event::TransactionsDecided { committed: 0, aborted: 1 }]);
    let ids = log.transactional_ids().unwrap();
    let ended = ids.iter().find(|id| id.producer_id == 1009).unwrap();
    assert_eq!((ended.state, ended.epoch), (stratalog::TransactionState::CompleteAbort, 1));
    let report = log.handover(&plain()).unwrap();
    assert_eq!((report.aborted, report.left_to_the_broker), (vec![], vec![]));
    assert_eq!(report.next_producer_id, None, "the broker has noted its own ids");
    let log = recorded().open(dir.path()).unwrap();
    assert!(log.recovery().clean);
    let config = log.topic("__consumer_offsets").unwrap().config();
    assert!(config.entries().any(|set| set == ("cleanup.policy", "compact")));
    assert!(report.server_properties.contains("\noffsets.topic.num.partitions=5\n"));
    assert!(report.server_properties.contains("\ntransaction.state.log.num.partitions=3\n"));
}

#[test]
fn producer_ids_in_use_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("a")).unwrap();
    log.close().unwrap();
    crafted::of_producer(dir.path(), "t-0", 0, Producer { id: 1234, sequence: 0, transactional: false });
    // The open has reserved them: a lower number later would kill the broker.
    let log = recorded().open(dir.path()).unwrap();
    let _producer = log.transactional_producer("x").unwrap();
    assert_eq!(log.transactional_ids().unwrap()[0].producer_id, 1235);
    assert_eq!(log.handover(&plain()).unwrap().next_producer_id, None);
    let log = recorded().open(dir.path()).unwrap();
    let _producer = log.transactional_producer("y").unwrap();
    assert_eq!(log.transactional_ids().unwrap()[1].producer_id, 2235, "of the next block");
}

#[test]
fn old_offsets_are_committed_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let open = || {
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        options.open(dir.path()).unwrap()
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let log = open();
    let topic = log.create_topic("t", TopicConfig::new().retention(None)).unwrap();
    log.producer().unwrap().send(&topic, Record::new("a")).unwrap();
    log.group("old").unwrap().set_committed([Position::new(("t", 0), 1)]).unwrap();
    clock.advance(day);
    log.group("younger").unwrap().set_committed([Position::new(("t", 0), 0)]).unwrap();
    // In a day the first will be a week old, and not the other one.
    clock.advance(5 * day);
    let recommitted = |report: &HandoverReport| {
        report.recommitted.iter().map(|one| format!("{} {}", one.group, one.partition)).collect::<Vec<_>>()
    };
    assert_eq!(
        recommitted(&log.handover(&plain().offsets_retention(8 * day).dry_run(true)).unwrap()),
        [""; 0]
    );
    let report = log.handover(&plain()).unwrap();
    assert_eq!(recommitted(&report), ["old t-0"]);
    assert!(report.to_string().contains("committed again: the offset of group \"old\" in t-0"));

    let log = open();
    assert_eq!(log.group("old").unwrap().committed().unwrap()[0].offset(), 1);
    assert_eq!(recommitted(&log.handover(&plain()).unwrap()), [""; 0]);
}

fn refused(log: &EventLog, options: &HandoverOptions, words: &[&str]) -> Vec<HandoverObstacle> {
    let failure = log.handover(options).unwrap_err();
    assert_eq!(failure.remedy(), Remedy::FixTheCall);
    for word in words {
        assert!(failure.to_string().contains(word), "{failure}");
    }
    assert!(log.topics().is_ok(), "the log is still open");
    let report = log.handover(&options.clone().dry_run(true)).unwrap();
    assert!(report.to_string().starts_with("obstacle: "), "{report}");
    assert!(report.to_string().contains("\nnot ready for Kafka "), "{report}");
    report.obstacles
}

#[test]
fn settings_that_a_version_refuses_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let config = || TopicConfig::new().set("segment.bytes", "1048576");
    log.create_topic("small", config()).unwrap();
    log.create_topic("fine", TopicConfig::new().segment_bytes(1 << 21)).unwrap();
    log.close().unwrap();
    // As Kafka 3.9 takes it.
    crafted::in_metadata(dir.path(), b"1048576", b"0001000");
    let log = recorded().open(dir.path()).unwrap();
    let words =
        ["Kafka 4.1 would not start on it", "segment.bytes of topic \"small\" is \"0001000\"", "1048576 to"];
    let found = refused(&log, &plain().kafka(KafkaVersion::V4_1), &words);
    assert!(matches!(&found[..], [HandoverObstacle::Setting { topic, .. }] if topic == "small"), "{found:?}");
    let report = log.handover(&plain().kafka(KafkaVersion::V3_9).dry_run(true)).unwrap();
    assert_eq!(report.obstacles, []);
    log.topic("small").unwrap().alter_config(|now| now.segment_bytes(1 << 20)).unwrap();
    assert_eq!(log.handover(&plain()).unwrap().obstacles, []);
}

#[test]
fn what_else_keeps_a_broker_from_starting() {
    let expected = Expected::of_broker("clean-4.1");
    let dir = expected.copy();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let options = plain().kafka(KafkaVersion::V3_9).node_id(2).cluster_id("another");
    let words =
        ["metadata.version is 2", "knows 21 at most", "node.id 1, but the broker will have 2", "lost+found"];
    let found = refused(&log, &options, &words);
    let kinds = found.iter().map(|one| match one {
        HandoverObstacle::MetadataVersion { highest: 21, .. } => "level",
        HandoverObstacle::Identity { name, .. } => name,
        HandoverObstacle::ForeignDirectory(path) => path.file_name().unwrap().to_str().unwrap(),
        other => panic!("{other}"),
    });
    assert!(kinds.eq(["level", "node.id", "cluster.id", "lost+found"]));
    fs::remove_dir(dir.path().join("lost+found")).unwrap();
    log.handover(&plain().node_id(1)).unwrap();
}

#[test]
fn a_partition_that_cannot_be_read_is_an_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    left_open(dir.path());
    let path = dir.path().join("t-0/00000000000000000000.log");
    recorded().open(dir.path()).unwrap().close().unwrap();
    let log = fs::read(&path).unwrap();
    fs::write(&path, &log[..log.len() - 1]).unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let found = refused(&log, &plain(), &["t-0 cannot be read", "does not end in a complete batch"]);
    assert!(matches!(&found[..], [HandoverObstacle::Damaged { .. }]));
}

#[test]
fn old_records_without_a_retention_of_their_own_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let options = EventLog::options().maintenance(Maintenance::Manual);
    let log = options.open(dir.path()).unwrap();
    for name in ["unset", "set", "kept"] {
        let topic = log.create_topic(name, TopicConfig::new().retention(None)).unwrap();
        let old = Timestamp::from_millis(1_600_000_000_000);
        log.producer().unwrap().send(&topic, Record::new("old").timestamp(old)).unwrap();
    }
    log.topic("unset").unwrap().alter_config(|now| now.unset("retention.ms")).unwrap();
    log.topic("set").unwrap().alter_config(|now| now.retention(Duration::from_secs(1))).unwrap();
    log.create_topic("empty", TopicConfig::new())
        .unwrap()
        .alter_config(|now| now.unset("retention.ms"))
        .unwrap();
    let report = log.handover(&plain()).unwrap();
    let expiring = report.warnings.iter().map(|one| match one {
        HandoverWarning::Expires { partition, offsets, retention_ms, by_default, bytes: 1.. } => {
            (partition.topic(), offsets.clone(), *retention_ms, *by_default)
        }
        other => panic!("{other}"),
    });
    assert!(expiring.eq([("set", 0..1, 1000, false), ("unset", 0..1, 604_800_000, true)]));
    assert!(report.server_properties.contains("\nlog.retention.ms=-1\n"));
    let text = report.to_string();
    assert!(text.contains("warning: unset-0: offsets 0 to 1"), "{text}");
    assert!(text.contains("a broker deletes them"), "{text}");
}

/// Also where nothing is old yet: it will be.
#[test]
fn the_properties_keep_what_is_kept_here() {
    let properties = |defaults: TopicConfig| {
        let dir = tempfile::tempdir().unwrap();
        let options = EventLog::options().topic_defaults(defaults).maintenance(Maintenance::Manual);
        options.open(dir.path()).unwrap().handover(&plain()).unwrap().server_properties
    };
    let kept = properties(TopicConfig::new());
    assert!(kept.ends_with("\nlog.retention.ms=-1\nlog.retention.bytes=-1\n"), "{kept}");
    // What is limited here is limited there.
    let limited = properties(TopicConfig::new().retention(Duration::from_secs(60)).retention_bytes(1 << 30));
    assert!(limited.ends_with("\nlog.retention.ms=60000\nlog.retention.bytes=1073741824\n"), "{limited}");
}

#[test]
fn directories_of_no_topic_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    left_open(dir.path());
    copy(&dir.path().join("t-0"), &dir.path().join("t-7"));
    let report = recorded().open(dir.path()).unwrap().handover(&plain()).unwrap();
    let root = dir.path().canonicalize().unwrap();
    assert_eq!(report.warnings, [HandoverWarning::PutAside(root.join("t-7"))]);
    assert!(report.to_string().contains("a broker puts it aside as stray"));
}

#[test]
fn a_dry_run_changes_nothing_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    left_open(dir.path());
    let log = recorded().open(dir.path()).unwrap();
    // Recovered, so that nothing is left to be done but by the handover.
    log.sync().unwrap();
    let before = tree(dir.path());
    let planned = log.handover(&plain().dry_run(true)).unwrap();
    let stable = |tree: &std::collections::BTreeMap<_, (_, Vec<u8>)>| {
        tree.iter()
            .map(|(path, (_, content)): (&std::path::PathBuf, _)| (path.clone(), content.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(stable(&tree(dir.path())), stable(&before));
    assert!(planned.to_string().contains("would be ready for Kafka"));
    let HandoverReport { aborted, next_producer_id, server_properties, .. } = log.handover(&plain()).unwrap();
    assert_eq!((planned.aborted, planned.next_producer_id), (aborted, next_producer_id));
    assert_eq!(planned.server_properties, server_properties);
}

#[test]
fn the_properties_are_those_of_the_directory_and_the_options() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    log.create_topic("t", TopicConfig::new().compression(Compression::None)).unwrap();
    let options = plain().kafka(KafkaVersion::V3_9).listener("::1", 19092).controller("10.0.0.1", 19093);
    let report = log.handover(&options).unwrap();
    let root = dir.path().canonicalize().unwrap().display().to_string();
    // As the JVM reads it, on Windows too.
    let root = root.strip_prefix(r"\\?\").unwrap_or(&root).replace('\\', r"\\");
    for line in [
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        "controller.quorum.voters=1@10.0.0.1:19093".to_owned(),
        "listeners=PLAINTEXT://[::1]:19092,CONTROLLER://10.0.0.1:19093".to_owned(),
        "advertised.listeners=PLAINTEXT://[::1]:19092".to_owned(),
        format!("log.dirs={root}"),
    ] {
        assert!(report.server_properties.lines().any(|one| one == line), "{line}\n{report}");
    }
    assert!(!report.server_properties.contains("share."), "3.9 has none");
}

#[test]
fn only_an_open_log_that_may_be_written_is_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded().open(dir.path()).unwrap();
    let reader = EventLog::open_read_only(dir.path()).unwrap();
    assert!(matches!(reader.handover(&plain()), Err(Error::ReadOnly)));
    log.handover(&plain()).unwrap();
    assert!(matches!(log.handover(&plain()), Err(Error::Closed)));
}
