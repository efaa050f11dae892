//! What goes wrong when a broker is given a directory just like that, and does not after a handover.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::crafted::{self, Producer};
use crate::common::{self, copy};
use crate::reference::{self, Adoption, Served, is_left_out_but_for, kafka_is_not_asked, version};
use serde_json::Value;
use stratalog::{
    EventLog, HandoverOptions, HandoverWarning, KafkaVersion, Maintenance, ManualClock, Position, Record,
    Timestamp, TopicConfig,
};

/// Retention and expiry begin at once. All else is as a broker comes.
const IMPATIENT: &str = "log.initial.task.delay.ms=200;log.retention.check.interval.ms=300;\
                         offsets.retention.check.interval.ms=300";

fn open(dir: &Path) -> EventLog {
    EventLog::open(dir).unwrap()
}

fn options() -> HandoverOptions {
    let [client, controller] = reference::free_ports();
    let kafka: KafkaVersion = version().parse().unwrap();
    let options = HandoverOptions::new().kafka(kafka);
    options.listener("127.0.0.1", client).controller("127.0.0.1", controller)
}

/// Two groups that have not committed for a month: one of no members ever, and one whose last member left then.
fn commit_long_ago(dir: &Path) {
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    let clock = ManualClock::new(Timestamp::from(SystemTime::now() - month));
    let log = EventLog::options().maintenance(Maintenance::Manual).clock(clock).open(dir).unwrap();
    let topic = log.create_topic("read", TopicConfig::new().retention(None)).unwrap();
    for value in ["one", "two", "three"] {
        log.producer().unwrap().send(&topic, Record::new(value)).unwrap();
    }
    log.group("by-hand").unwrap().set_committed([Position::new(("read", 0), 2)]).unwrap();
    let mut member = log.consumer("by-member").unwrap();
    member.subscribe(["read"]).unwrap();
    while member.poll(Duration::from_secs(5)).unwrap().is_empty() {}
    member.commit().unwrap();
    member.close().unwrap();
    log.close().unwrap();
}

fn groups(log: &EventLog) -> Vec<String> {
    log.groups().unwrap().iter().map(|group| group.name().to_owned()).collect()
}

/// A directory in which all traps are set that a broker starts on.
fn set_traps(dir: &Path) {
    commit_long_ago(dir);
    let log = open(dir);
    let producer = log.producer().unwrap();
    for name in ["ids", "open", "old", "made-here"] {
        let topic = log.create_topic(name, TopicConfig::new()).unwrap();
        let old = Timestamp::from_millis(1_600_000_000_000);
        for value in ["one", "two", "three"] {
            let record = Record::new(value);
            let is_old = ["old", "made-here"].contains(&name);
            producer.send(&topic, if is_old { record.timestamp(old) } else { record }).unwrap();
        }
    }
    log.topic("old").unwrap().alter_config(|now| now.unset("retention.ms")).unwrap();
    log.close().unwrap();
    // The first that a broker returns.
    crafted::of_producer(dir, "ids-0", 2, Producer { id: 0, sequence: 0, transactional: false });
    crafted::of_producer(dir, "open-0", 1, Producer { id: 5, sequence: 0, transactional: true });
}

fn partition<'s>(served: &'s Served, topic: &str) -> &'s Value {
    &served.topics.iter().find(|one| one["topic"] == topic).unwrap()["partitions"][0]
}

fn produced(served: &Served, topic: &str) -> u64 {
    let one = served.produced.iter().find(|one| one["topic"] == topic).unwrap();
    one["offset"].as_u64().unwrap()
}

fn committed(served: &Served, topic: &str) -> Vec<bool> {
    let of = served.records.iter().filter(|record| record["topic"] == topic);
    of.map(|record| record["committed"].as_bool().unwrap()).collect()
}

#[test]
fn what_shows_only_later() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, kept) = (dir.path().join("log"), dir.path().join("kept"));
    set_traps(&path);

    let adoption = Adoption::new().stock().extra(IMPATIENT).gone("by-hand").gone("by-member");
    let served = adoption.keep(&kept).of(&path);
    // Acknowledged as the record at 2, which is another one: the new record is lost.
    assert_eq!(produced(&served, "ids"), 2);
    let log = open(&kept);
    let last = common::texts(&log, &log.topic("ids").unwrap());
    assert_eq!(last, ["one", "two", "three"]);
    // The transaction never ends, and no reader of committed records gets past it.
    assert_eq!(partition(&served, "open")["lso"], 1);
    assert_eq!(committed(&served, "open"), [true, false, false]);
    // Gone, because the topic does not say that they are to be kept.
    let old = log.topic("old").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!(old.log_start, 3, "{old:?}");
    // As old, and kept: the topic records it.
    let kept_here = log.topic("made-here").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!(kept_here.log_start, 0, "{kept_here:?}");
    // Expired, because there was no commit for a week.
    let left = groups(&log);
    assert!(left.iter().all(|name| log.group(name).unwrap().committed().unwrap().is_empty()), "{left:?}");
    // Kafka 3 leaves the record of a group that never had members.
    assert!(left.is_empty() || version().starts_with("3.") && left == ["by-hand"], "{left:?}");
    drop(log);

    let report = open(&path).handover(&options()).unwrap();
    // The open has ended the transaction, and reserved the ids.
    assert_eq!((report.aborted.len(), report.next_producer_id), (0, None), "{report}");
    let recommitted = report.recommitted.iter().map(|one| (&*one.group, one.partition.topic()));
    assert!(recommitted.eq([("by-hand", "read"), ("by-member", "read")]), "{report}");
    assert!(matches!(&report.warnings[..], [HandoverWarning::Expires { by_default: true, .. }]), "{report}");
    reference::check(&path);
    let properties = dir.path().join("server.properties");
    fs::write(&properties, &report.server_properties).unwrap();
    fs::remove_dir_all(&kept).unwrap();

    let adoption = Adoption::new().stock().properties(&properties).extra(IMPATIENT);
    let served = adoption.keep(&kept).of(&path);
    assert_eq!(produced(&served, "ids"), 3);
    assert_eq!(partition(&served, "open")["lso"], 4);
    assert_eq!(committed(&served, "open"), [true, false, true]);
    let log = open(&kept);
    assert_eq!(common::texts(&log, &log.topic("ids").unwrap()), ["one", "two", "three", "probe"]);
    let old = log.topic("old").unwrap().partition(0).unwrap().offsets().unwrap();
    assert_eq!(old.log_start, 0, "{old:?}");
    assert_eq!(groups(&log), ["by-hand", "by-member"]);
    assert_eq!(log.group("by-hand").unwrap().committed().unwrap()[0].offset(), 2);
}

#[test]
fn what_a_broker_does_not_start_with() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (plain, path) = (dir.path().join("plain"), dir.path().join("log"));
    let log = open(&plain);
    let topic = log.create_topic("small", TopicConfig::new().set("segment.bytes", "1048576")).unwrap();
    log.producer().unwrap().send(&topic, Record::new("kept")).unwrap();
    log.close().unwrap();

    copy(&plain, &path);
    fs::create_dir(path.join("lost+found")).unwrap();
    let said = Adoption::new().fails(&path);
    assert!(said.contains("lost+found"), "{said}");
    fs::remove_dir(path.join("lost+found")).unwrap();

    // A directory of no topic, though a topic's by its name.
    copy(&path.join("small-0"), &path.join("small-7"));
    let said = Adoption::new().fails(&path);
    assert!(said.contains("put aside because the metadata does not know it: ./small-7."), "{said}");
    assert!(matches!(
        &open(&path).handover(&options()).unwrap().warnings[..],
        [HandoverWarning::PutAside(aside)] if aside.ends_with("small-7")
    ));
    fs::remove_dir_all(path.join("small-7")).unwrap();

    if !version().starts_with("3.") {
        crafted::in_metadata(&path, b"1048576", b"0001000");
        let said = Adoption::new().fails(&path);
        assert!(said.contains("segment.bytes"), "{said}");
    }
    let log = open(&path);
    match log.handover(&options()) {
        Ok(_) => assert!(version().starts_with("3.")),
        Err(refused) => {
            assert!(refused.to_string().contains("segment.bytes of topic \"small\""), "{refused}");
            log.topic("small").unwrap().alter_config(|now| now.unset("segment.bytes")).unwrap();
            log.handover(&options()).unwrap();
        }
    }
    let served = Adoption::new().of(&path);
    assert_eq!(served.records.len(), 1);
}

/// What a broker has in two directories is not in one of them.
#[test]
fn one_of_two_directories_of_a_broker() {
    if is_left_out_but_for(&["full"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    reference::fill(&first, &["--beside", second.to_str().unwrap()]);
    let said = EventLog::open(&first).unwrap_err().to_string();
    assert!(said.contains("lies in another log directory of this broker"), "{said}");
    let said = EventLog::open(&second).unwrap_err().to_string();
    assert!(said.contains("several log directories"), "{said}");
}
