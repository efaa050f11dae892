//! Topics that a program wants to be there, with settings of its own.

use std::sync::Barrier;

use super::*;
use crate::error::TopicMismatch;

fn differing(outcome: Result<Arc<TopicEntry>>) -> Vec<[String; 3]> {
    let Err(Error::TopicMismatch(mismatch)) = outcome else { panic!("{outcome:?}") };
    let TopicMismatch { settings, .. } = *mismatch;
    let texts = |one: crate::error::SettingMismatch| [one.setting, one.wanted, one.found];
    settings.into_iter().map(|one| texts(one).map(|text| text.to_string())).collect()
}

/// Everything there is, as the log on the disk has it.
fn metadata(root: &Path) -> Vec<u8> {
    fs::read(root.join("__cluster_metadata-0/00000000000000000000.log")).unwrap()
}

fn asked() -> TopicConfig {
    TopicConfig::new().partitions(3).set("retention.ms", "60000").set("segment.ms", "604800000")
}

#[test]
fn what_differs_is_listed_and_nothing_is_written() {
    let (dir, catalog) = fresh(&["a"]);
    let before = metadata(dir.path());
    let fail = |config: &TopicConfig| catalog.ensure("a", config, Mismatch::Fail, NOW);
    for same in [TopicConfig::new(), TopicConfig::new().partitions(1).retention(None).retention_bytes(None)] {
        fail(&same).unwrap();
    }
    let expected = [["partitions", "3", "1"], ["retention.ms", "60000", "-1"]];
    assert_eq!(differing(fail(&asked())), expected, "segment.ms is the default");
    let text = message(fail(&asked()));
    let words =
        "topic \"a\" exists with other settings: partitions is 1, not 3; retention.ms is -1, not 60000 (";
    assert!(text.starts_with(words), "{text}");
    for mismatch in [Mismatch::Fail, Mismatch::Alter] {
        let text = message(catalog.ensure("a", &TopicConfig::new().set("colour", "red"), mismatch, NOW));
        assert!(text.contains("\"colour\" is not a setting of topics"), "{text}");
    }
    assert_eq!(metadata(dir.path()), before);
}

#[test]
fn defaults_of_the_log_are_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::of(dir.path(), true, true);
    let options = CatalogOptions {
        topic_defaults: TopicConfig::new().partitions(5).set("segment.ms", "7"),
        ..CatalogOptions::default()
    };
    open(dir.path()).unwrap().create(&[("a", TopicConfig::new())], NOW).unwrap();
    let catalog = open_with(dir.path(), &disk, false, options).unwrap();
    for name in ["a", "b", "b"] {
        catalog.ensure(name, &TopicConfig::new(), Mismatch::Fail, NOW).unwrap();
    }
    assert_eq!(catalog.topic("b").unwrap().partitions().len(), 5);
}

#[test]
fn what_is_asked_for_is_brought_about_in_one_batch() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    catalog.alter(&topic, |now| now.set("flush.ms", "5"), NOW).unwrap();
    fill(&topic);
    let before = metadata(dir.path());
    let altered = catalog.ensure("a", &asked(), Mismatch::Alter, NOW).unwrap();
    assert!(Arc::ptr_eq(&altered, &topic));
    let expected = asked().set("flush.ms", "5");
    assert_eq!(altered.config(), expected);
    assert_eq!(altered.partitions().len(), 3);
    assert_eq!(altered.settings().retention_ms, Some(60_000));
    fill(&altered);
    let after = metadata(dir.path());
    let length = 12 + u32::from_be_bytes(after[before.len()..][8..12].try_into().unwrap()) as usize;
    assert_eq!(after.len(), before.len() + length, "one batch");
    // It is there now, and only compared.
    for mismatch in [Mismatch::Alter, Mismatch::Fail] {
        catalog.ensure("a", &asked(), mismatch, NOW).unwrap();
    }
    assert_eq!(metadata(dir.path()), after);
    catalog.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().topic("a").unwrap().config(), expected);
}

#[test]
fn what_cannot_be_brought_about_changes_nothing() {
    let (dir, catalog) = fresh(&["a"]);
    let topic = catalog.topic("a").unwrap();
    catalog.add_partitions(&topic, 3, NOW).unwrap();
    fs::create_dir(dir.path().join("a-3")).unwrap();
    fs::write(dir.path().join("a-3/00000000000000000000.log"), "a record").unwrap();
    let (before, config) = (metadata(dir.path()), topic.config());
    let new = TopicConfig::new;
    for (asked, reason) in [
        (new().partitions(2).set("flush.ms", "5"), "has 3 and cannot get 2; there can only be more"),
        (new().partitions(4).set("flush.ms", "5"), "a-3 is in the way"),
        (new().set("flush.ms", "5").set("segment.bytes", "5"), "segment.bytes is \"5\""),
        (new().set("min.compaction.lag.ms", "6").set("max.compaction.lag.ms", "5"), "must not exceed"),
    ] {
        let text = message(catalog.ensure("a", &asked, Mismatch::Alter, NOW));
        assert!(text.contains(reason), "{text}");
        assert_eq!((metadata(dir.path()), topic.config()), (before.clone(), config.clone()));
    }
    let nested = catalog.alter(
        &topic,
        |now| {
            let text = message(catalog.ensure("a", &new().set("flush.ms", "5"), Mismatch::Alter, NOW));
            assert!(text.contains("is being altered by the function that calls this"), "{text}");
            catalog.ensure("a", &new(), Mismatch::Fail, NOW).unwrap();
            now
        },
        NOW,
    );
    nested.unwrap();
    assert_eq!(topic.config(), config);
}

#[test]
fn of_two_threads_one_makes_the_topic_and_the_other_finds_what_it_asked_for_or_fails() {
    for mismatch in [Mismatch::Fail, Mismatch::Keep, Mismatch::Alter] {
        for round in 0..20 {
            let (_dir, catalog) = fresh(&[]);
            let start = Barrier::new(2);
            let ensure = |partitions: u32| {
                start.wait();
                catalog.ensure("a", &TopicConfig::new().partitions(partitions), mismatch, NOW)
            };
            let (one, two) = std::thread::scope(|scope| {
                let other = scope.spawn(|| ensure(2));
                (ensure(1), other.join().unwrap())
            });
            let count = catalog.topic("a").unwrap().partitions().len();
            match mismatch {
                // The one that came first has what it asked for.
                Mismatch::Fail => {
                    let (late, asked) = if count == 1 { (two, "2") } else { (one, "1") };
                    assert_eq!(
                        differing(late),
                        [["partitions".to_owned(), asked.to_owned(), count.to_string()]]
                    );
                }
                Mismatch::Keep => assert_eq!(one.unwrap().id(), two.unwrap().id(), "round {round}"),
                Mismatch::Alter => {
                    assert_eq!((two.unwrap().partitions().len(), count), (2, 2));
                    // One was not to be had where two were made first.
                    if let Err(failure) = one {
                        assert!(failure.to_string().contains("cannot get 1"), "{failure}");
                    }
                }
            }
        }
    }
}
