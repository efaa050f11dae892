//! Topics that exist: other settings, more partitions.

use std::io;
use std::thread;

use super::*;
use crate::sys::faults::{Faults, Operation};

type SettingsChange = fn(TopicConfig) -> TopicConfig;

fn set(topic: &TopicEntry) -> Vec<(String, String)> {
    topic.config().entries().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn settings_of(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Batches in the metadata log.
fn batches(root: &Path) -> usize {
    let mut rest = &fs::read(root.join("__cluster_metadata-0/00000000000000000000.log")).unwrap()[..];
    std::iter::from_fn(|| {
        let (_, after) = crate::format::batch::Batch::take_checked(rest)?;
        rest = after;
        Some(())
    })
    .count()
}

#[test]
fn a_change_is_one_batch_and_counts_at_once_and_after_a_reopen() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    let before = batches(dir.path());
    let change = |now: TopicConfig| {
        now.set("segment.ms", "5").set("cleanup.policy", "compact").set("max.message.bytes", "100")
    };
    catalog.alter(&topic, change, NOW).unwrap();
    assert_eq!(batches(dir.path()), before + 1);
    let expected = settings_of(&[
        ("cleanup.policy", "compact"),
        ("max.message.bytes", "100"),
        ("retention.ms", "-1"),
        ("segment.ms", "5"),
    ]);
    assert_eq!(set(&topic), expected);
    assert!(topic.rules().compacts());
    assert_eq!(topic.partitions()[0].max_batch_bytes(), 100);

    catalog.alter(&topic, |now| now.unset("cleanup.policy").unset("retention.ms"), NOW).unwrap();
    assert!(!topic.rules().compacts());
    // What is the same as before is not written.
    catalog.alter(&topic, |now| now.set("segment.ms", "5"), NOW).unwrap();
    assert_eq!(batches(dir.path()), before + 2);
    catalog.close().unwrap();
    let reopened = open(dir.path()).unwrap().topic("a").unwrap();
    assert_eq!(set(&reopened), settings_of(&[("max.message.bytes", "100"), ("segment.ms", "5")]));
    assert_eq!(reopened.partitions()[0].max_batch_bytes(), 100);
}

#[test]
fn refused_changes_change_nothing() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    let before = (set(&topic), batches(dir.path()));
    let changes: [(SettingsChange, &str); 4] = [
        (|now| now.segment_bytes(1000), "segment.bytes is \"1000\""),
        (|now| now.partitions(2), "use Topic::add_partitions"),
        (|now| now.set("colour", "red"), "is not a setting of topics"),
        (|_| TopicConfig::new().partitions(5), "use Topic::add_partitions"),
    ];
    for (change, reason) in changes {
        let text = message(catalog.alter(&topic, change, NOW));
        assert!(text.contains(reason), "{text}");
    }
    for (total, reason) in [
        (0, "\"a\" has 1 and cannot get 0; there can only be more"),
        (1, "\"a\" has 1 and cannot get 1"),
        (100_001, "100001 were asked for, but a topic has 1 to 100000"),
    ] {
        let text = message(catalog.add_partitions(&topic, total, NOW));
        assert!(text.contains(reason), "{text}");
    }
    let offsets = catalog.ensure_internal("__consumer_offsets", &TopicConfig::new(), NOW).unwrap();
    let text = message(catalog.add_partitions(&offsets, 2, NOW));
    assert!(text.contains("is Kafka's own topic"), "{text}");
    assert_eq!((set(&topic), batches(dir.path())), (before.0, before.1 + 1));

    fs::create_dir(dir.path().join("a-1")).unwrap();
    fs::write(dir.path().join("a-1/00000000000000000000.log"), "a record").unwrap();
    let text = message(catalog.add_partitions(&topic, 2, NOW));
    assert!(text.contains("a-1 is in the way"), "{text}");
    assert_eq!(topic.partitions().len(), 1);

    catalog.delete("a", NOW).unwrap();
    assert!(matches!(catalog.alter(&topic, |now| now.retention(None), NOW), Err(Error::NotFound { .. })));
    assert!(matches!(catalog.add_partitions(&topic, 9, NOW), Err(Error::NotFound { .. })));
}

#[test]
fn the_function_may_use_the_catalog_but_not_alter_the_topic() {
    let (_dir, catalog) = fresh(&["a", "b"]);
    let (a, b) = (catalog.topic("a").unwrap(), catalog.topic("b").unwrap());
    let mut inner = None;
    let change = |now: TopicConfig| {
        catalog.create(&[("c", TopicConfig::new())], NOW).unwrap();
        catalog.alter(&b, |now| now.set("segment.ms", "6"), NOW).unwrap();
        catalog.add_partitions(&a, 2, NOW).unwrap();
        inner = Some(message(catalog.alter(&a, |now| now.set("segment.ms", "7"), NOW)));
        now.set("flush.ms", "8")
    };
    catalog.alter(&a, change, NOW).unwrap();
    assert!(inner.unwrap().contains("is being altered by the function"));
    assert_eq!(set(&a), settings_of(&[("flush.ms", "8"), ("retention.ms", "-1")]));
    assert_eq!((a.partitions().len(), a.config().partition_count()), (2, 2));
    assert_eq!(b.settings().segment_ms, 6);
    // A panic in there leaves the topic as it was.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        catalog.alter(&a, |_| panic!("on purpose"), NOW)
    }));
    assert!(panicked.is_err());
    catalog.alter(&a, |now| now.unset("flush.ms"), NOW).unwrap();
}

#[test]
fn changes_of_many_threads_do_not_undo_each_other() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    let up = |now: TopicConfig| {
        let next = now.settings().segment_ms + 1;
        now.set("segment.ms", next.to_string())
    };
    catalog.alter(&topic, |now| now.set("segment.ms", "1000"), NOW).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| catalog.alter(&topic, up, NOW).unwrap()));
        }
        scope.spawn(|| (2..6).for_each(|total| catalog.add_partitions(&topic, total, NOW).unwrap()));
    });
    assert_eq!((topic.settings().segment_ms, topic.partitions().len()), (1020, 5));
    catalog.close().unwrap();
    let reopened = open(dir.path()).unwrap().topic("a").unwrap();
    assert_eq!((reopened.settings().segment_ms, reopened.partitions().len()), (1020, 5));
}

#[test]
fn settings_of_a_brokers_making_stay() {
    let (_dir, catalog) = fresh(&["a"]);
    let made = [("remote.storage.enable", "false"), ("segment.bytes", "14")];
    let records = made.map(|(name, value)| MetadataRecord::Config {
        resource_type: state::TOPIC_RESOURCE,
        resource_name: "a".into(),
        name: name.into(),
        value: Some(value.into()),
    });
    catalog.changes.lock().write(records.into(), NOW).unwrap();
    let root = catalog.dir.root().to_owned();
    catalog.close().unwrap();
    drop(catalog);
    let catalog = open(&root).unwrap();
    let topic = catalog.topic("a").unwrap();
    catalog.alter(&topic, |now| now.set("flush.ms", "7").unset("retention.ms"), NOW).unwrap();
    let expected = [("flush.ms", "7"), made[0], made[1]];
    assert_eq!(set(&topic), settings_of(&expected));
    catalog.close().unwrap();
    assert_eq!(set(&open(&root).unwrap().topic("a").unwrap()), settings_of(&expected));
}

#[test]
fn partitions_that_were_added_keep_their_records() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    catalog.alter(&topic, |now| now.set("max.message.bytes", "2000"), NOW).unwrap();
    catalog.add_partitions(&topic, 4, NOW).unwrap();
    assert_eq!((topic.partitions().len(), catalog.partitions().len()), (4, 4));
    assert_eq!(topic.describe().partitions.len(), 4);
    assert_eq!(topic.partitions()[3].max_batch_bytes(), 2000);
    fill(&topic);
    let before = described(&catalog);
    catalog.partitions().iter().for_each(|partition| partition.close().unwrap());
    catalog.write_recovery_points().unwrap();
    catalog.close().unwrap();
    let catalog = open(dir.path()).unwrap();
    assert_eq!(described(&catalog), before);
    let ends =
        catalog.partitions().iter().map(|partition| partition.bounds().unwrap().log_end).collect::<Vec<_>>();
    assert_eq!(ends, [1; 4]);
    delete(&catalog, "a");
    assert_eq!(directories(dir.path()), NO_TOPICS);
}

#[test]
fn a_change_whose_sync_fails_has_no_effect_and_no_other_is_taken() {
    type Change = fn(&Catalog, &Arc<TopicEntry>) -> Result<()>;
    let changes: [Change; 3] = [
        |catalog, topic| catalog.alter(topic, |now| now.set("segment.ms", "5"), NOW),
        |catalog, topic| catalog.add_partitions(topic, 2, NOW),
        |catalog, topic| {
            let asked = TopicConfig::new().partitions(2).set("segment.ms", "5");
            catalog.ensure(topic.name(), &asked, Mismatch::Alter, NOW).map(drop)
        },
    ];
    for change in changes {
        let (dir, catalog) = fresh(&["a"]);
        catalog.close().unwrap();
        let mut disk = Disk::of(dir.path(), true, true);
        let struck = (0..).find_map(|successes| {
            disk.faults = Faults::after(Operation::Sync, successes, io::ErrorKind::Other, false);
            let catalog = open_on(dir.path(), &disk).ok()?;
            let topic = catalog.topic("a").unwrap();
            let before = described(&catalog);
            change(&catalog, &topic).unwrap_err();
            assert_eq!(described(&catalog), before);
            Some(change(&catalog, &topic).unwrap_err())
        });
        assert!(matches!(struck, Some(Error::Poisoned(_))), "{struck:?}");
    }
}

#[test]
fn defaults_of_the_log_are_written_down_with_new_topics() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::of(dir.path(), true, true);
    let open = |defaults: TopicConfig| {
        let options = CatalogOptions {
            topic_defaults: defaults,
            limits: LogLimits { segment_bytes: 5000, ..LogLimits::default() },
            ..CatalogOptions::default()
        };
        open_with(dir.path(), &disk, false, options)
    };
    let catalog = open(TopicConfig::new().partitions(3).retention(None).set("segment.ms", "5")).unwrap();
    let given = TopicConfig::new().set("segment.ms", "6");
    let made = catalog.create(&[("a", given), ("b", TopicConfig::new().partitions(1))], NOW).unwrap();
    let expected = |millis| settings_of(&[("retention.ms", "-1"), ("segment.ms", millis)]);
    assert_eq!((set(&made[0]), made[0].partitions().len()), (expected("6"), 3));
    assert_eq!((set(&made[1]), made[1].partitions().len()), (expected("5"), 1));
    assert_eq!(made[0].partitions()[0].max_batch_bytes(), 5000);
    let offsets = TopicConfig::new().set("compression.type", "producer");
    let offsets = catalog.ensure_internal("__consumer_offsets", &offsets, NOW).unwrap();
    assert_eq!(set(&offsets), settings_of(&[("compression.type", "producer")]), "Kafka's own stay Kafka's");
    catalog.close().unwrap();
    let catalog = open(TopicConfig::new().set("segment.ms", "7")).unwrap();
    assert_eq!(set(&catalog.topic("a").unwrap()), expected("6"));
    catalog.close().unwrap();
    let text = message(open(TopicConfig::new().segment_bytes(5)));
    assert!(text.contains("segment.bytes is \"5\""), "{text}");
}
