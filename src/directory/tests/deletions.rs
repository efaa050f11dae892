//! Deleting a topic while something fails: nothing of a topic that stays goes, and nothing of one that is gone stays.

use super::*;
use crate::error::Error;

fn of_t(content: &Content) -> Vec<u64> {
    content.committed.values().filter_map(|of| of.get("t-0").copied()).collect()
}

/// Closes the directory's log as a killed process does, and opens what is left.
fn killed_and_opened(scene: &Scene) -> (TempDir, EventLog) {
    let copy = memory();
    copy_directory(scene.dir.path(), copy.path());
    let log = options().open(copy.path()).unwrap();
    (copy, log)
}

/// A later topic of the name begins with nothing.
fn begins_anew(log: &EventLog, what: &str) {
    let t = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let content = Content::of(log);
    assert_eq!(content.topics["t"].1, [(0, Vec::new()), (0, Vec::new())], "{what}");
    assert_eq!(of_t(&content), [0; 0], "{what}");
    assert_eq!(content.committed["g"]["u-0"], 1, "{what}");
    let mut member = log.consumer("g").unwrap();
    member.subscribe(["t"]).unwrap();
    log.producer().unwrap().send(&t, Record::new("new").partition(0)).unwrap();
    assert_eq!(member.poll(Duration::ZERO).unwrap().len(), 1, "{what}");
}

#[test]
fn stopped_at_any_operation_a_deletion_is_whole_or_has_not_begun() {
    let closed = closed();
    let (mut gone, mut stays) = (0, 0);
    for operation in OPERATIONS {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            for n in (0..).step_by(STRIDE) {
                // From then on everything fails, as if the process had stopped there.
                let scene = Scene::of(&closed, operation, error, true);
                scene.faults.arm(n);
                let deleted = scene.log.delete_topic("t");
                let what = format!("{operation:?} {n} {error:?}: {deleted:?}");
                let (_copy, log) = killed_and_opened(&scene);
                let content = Content::of(&log);
                if content.topics.contains_key("t") {
                    assert!(deleted.is_err(), "{what}");
                    assert_eq!(of_t(&content), [2, 1], "{what}");
                    assert_eq!(content.topics["t"].1[0].1.len(), 3, "{what}");
                    stays += 1;
                } else {
                    assert!(matches!(deleted, Ok(()) | Err(Error::Poisoned(_))), "{what}");
                    assert_eq!(of_t(&content), [0; 0], "{what}");
                    begins_anew(&log, &what);
                    gone += 1;
                }
                if !scene.faults.have_struck() {
                    deleted.unwrap();
                    break;
                }
            }
        }
    }
    assert!(gone > 0 && stays > 0, "{gone} {stays}");
}

#[test]
fn what_follows_from_a_deletion_is_done_by_maintenance_the_close_or_the_next_open() {
    let closed = closed();
    let mut unfinished = 0;
    for operation in OPERATIONS {
        for n in (0..).step_by(STRIDE) {
            for by in ["maintenance", "close", "open", "create"] {
                let scene = Scene::of(&closed, operation, ErrorKind::StorageFull, true);
                let events = scene.log.events();
                scene.faults.arm(n);
                let deleted = scene.log.delete_topic("t");
                let struck = scene.faults.have_struck();
                let reported = std::iter::from_fn(|| events.try_next());
                let reported =
                    reported.filter(|event| matches!(event, Event::MaintenanceFailed { .. })).count();
                scene.faults.heal();
                if deleted.is_err() || reported == 0 {
                    if !struck {
                        break;
                    }
                    continue;
                }
                // What groups have committed is out of reach then until the log is opened anew.
                let commits = scene.log.group("new").unwrap().set_committed([Position::new(("u", 0), 0)]);
                if commits.is_err() && by != "open" {
                    assert!(matches!(commits, Err(Error::Poisoned(_))), "{commits:?}");
                    continue;
                }
                unfinished += 1;
                let what = format!("{operation:?} {n} {by}");
                assert!(matches!(scene.log.topic("t"), Err(Error::NotFound { .. })), "{what}");
                match by {
                    "maintenance" => drop(scene.log.run_maintenance().unwrap()),
                    "close" => scene.log.close().unwrap(),
                    "create" => {
                        begins_anew(&scene.log, &what);
                        continue;
                    }
                    _ => {}
                }
                if by != "open" {
                    let left: Vec<_> = bytes(scene.dir.path()).into_keys().collect();
                    assert!(!left.iter().any(|name| name.starts_with("t-0/")), "{what}: {left:?}");
                }
                if by == "maintenance" {
                    assert_eq!(of_t(&scene.content()), [0; 0], "{what}");
                }
                let (_copy, log) = killed_and_opened(&scene);
                assert_eq!(of_t(&Content::of(&log)), [0; 0], "{what}");
                begins_anew(&log, &what);
            }
            let scene = Scene::of(&closed, operation, ErrorKind::StorageFull, true);
            scene.faults.arm(n);
            let _ = scene.log.delete_topic("t");
            if !scene.faults.have_struck() {
                break;
            }
        }
    }
    assert!(unfinished > 0);
}

#[test]
fn a_topic_of_the_name_is_not_made_before_the_earlier_one_is_gone_altogether() {
    let closed = closed();
    let mut refused = 0;
    for operation in OPERATIONS {
        for n in 0..12 {
            let scene = Scene::of(&closed, operation, ErrorKind::StorageFull, true);
            scene.faults.arm(n);
            if scene.log.delete_topic("t").is_err() {
                continue;
            }
            match scene.log.ensure_topic("t", TopicConfig::new()) {
                Ok(_) => {
                    assert_eq!(of_t(&scene.content()), [0; 0], "{operation:?} {n}");
                }
                Err(failure) => {
                    let is_reported =
                        matches!(failure, Error::StorageFull { .. } | Error::Io(_) | Error::Poisoned(_));
                    assert!(is_reported, "{failure:?}");
                    refused += 1;
                }
            }
            let (_copy, log) = killed_and_opened(&scene);
            assert_eq!(of_t(&Content::of(&log)), [0; 0], "{operation:?} {n}");
        }
    }
    assert!(refused > 0);
}

/// Opened, stopped again while it finishes the deletion, and so on.
#[test]
fn opens_that_are_stopped_while_they_finish_a_deletion_get_there_in_the_end() {
    let closed = closed();
    let scene = Scene::of(&closed, Operation::Write, ErrorKind::Other, true);
    // The record is written and synced, and nothing else happens.
    scene.topic("t").directory().catalog.delete("t", 1_700_000_000_000).unwrap();
    let stopped = memory();
    copy_directory(scene.dir.path(), stopped.path());
    for operation in OPERATIONS {
        let dir = memory();
        copy_directory(stopped.path(), dir.path());
        for n in (0..).step_by(STRIDE) {
            let faults = Faults::after(operation, n, ErrorKind::Other, true);
            let mut options = options();
            options.faults = faults.clone();
            let opened = options.open(dir.path());
            let left = memory();
            copy_directory(dir.path(), left.path());
            let log = super::options().open(left.path()).unwrap();
            assert_eq!(of_t(&Content::of(&log)), [0; 0], "{operation:?} {n}");
            begins_anew(&log, &format!("{operation:?} {n}"));
            drop(opened);
            if !faults.have_struck() {
                break;
            }
        }
    }
}

/// The instance of the report: one failed sync of the metadata log.
#[test]
fn after_a_deletion_of_unknown_outcome_the_topic_takes_nothing_and_others_do() {
    let closed = closed();
    let scene = Scene::of(&closed, Operation::Sync, ErrorKind::Other, false);
    let (t, u) = (scene.topic("t"), scene.topic("u"));
    let mut consumer = scene.log.consumer("g").unwrap();
    consumer.assign(t.partitions().iter().chain(&u.partitions())).unwrap();
    let before = scene.content();
    scene.faults.arm(0);
    let is_unknown = |outcome: Result<()>| {
        assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
    };
    is_unknown(scene.log.delete_topic("t"));
    for level in [Durability::Buffered, Durability::Interval(Duration::ZERO), Durability::Synced] {
        let producer = scene.producer(level);
        is_unknown(producer.send(&t, Record::new("lost").partition(0)).map(drop));
        is_unknown(producer.send_batch(&t.partition(1).unwrap(), [Record::new("lost")]).map(drop));
        let mut buffered = producer.buffered();
        buffered.enqueue(&t, Record::new("lost")).unwrap();
        is_unknown(buffered.flush());
        buffered.discard();
    }
    is_unknown(consumer.commit_to([Position::new(("t", 0), 3)]));
    is_unknown(scene.log.group("h").unwrap().set_committed([Position::new(("t", 0), 0)]));
    is_unknown(scene.log.group("h").unwrap().remove_committed([("t", 0)]));
    is_unknown(t.partition(0).unwrap().delete_records(1).map(drop));
    is_unknown(t.alter_config(|now| now.set("segment.ms", "77")));
    is_unknown(t.add_partitions(5));
    is_unknown(scene.log.delete_topic("t"));
    is_unknown(scene.log.ensure_topic("t", TopicConfig::new()).map(drop));
    is_unknown(scene.log.create_topic("t", TopicConfig::new()).map(drop));
    is_unknown(scene.log.handover(&crate::handover::HandoverOptions::new()).map(drop));
    assert_eq!(scene.content(), before);

    scene.producer(Durability::Synced).send(&u, Record::new("u two")).unwrap();
    consumer.commit_to([Position::new(("u", 0), 2)]).unwrap();
    u.partition(0).unwrap().delete_records(1).unwrap();
    drop((t, u, consumer));
    let after = scene.if_reopened();
    assert_eq!(after.topics["u"].1, [(1, vec!["u two".to_owned()])]);
    assert_eq!(after.committed["g"]["u-0"], 2);
    if after.topics.contains_key("t") {
        assert_eq!((&after.topics["t"], of_t(&after)), (&before.topics["t"], of_t(&before)));
    } else {
        assert_eq!(of_t(&after), [0; 0]);
    }
}
