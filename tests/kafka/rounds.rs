//! Directories that brokers wrote, there and back three times: we read what the broker serves, write to it, and the
//! broker takes it back.
//!
//! `STRATALOG_KAFKA=full` goes all three rounds with each kind of directory.

use std::path::Path;
use std::time::Duration;

use crate::ours;
use crate::reference::{
    self, Adoption, Served, assert_equal, check, fill, in_full, kafka_is_not_asked, version,
};
use stratalog::{
    Compression, EventLog, HandoverOptions, KafkaVersion, Maintenance, Position, ProducerConfig, Record,
    TopicConfig,
};

#[test]
fn a_directory_of_a_static_quorum_that_was_stopped_in_order() {
    rounds(&[]);
}

#[test]
fn a_directory_of_a_dynamic_quorum_that_was_killed() {
    let options: &[&str] = if version().starts_with("3.") { &["--kill"] } else { &["--dynamic", "--kill"] };
    rounds(options);
}

/// Nothing is compacted or deleted between what is read and what is handed over.
fn open(path: &Path) -> EventLog {
    EventLog::options().maintenance(Maintenance::Manual).open(path).unwrap()
}

fn rounds(options: &[&str]) {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().join("broker");
    fill(&path, options);
    // What real consumers get from a broker on a copy: for a directory that was killed, after the broker's recovery.
    let mut served = Adoption::new().quiet().of(&path);
    for round in 1..=if in_full() { 3 } else { 1 } {
        if round == 1 {
            // Before an open to write, which ends the transactions that it finds open.
            let log = EventLog::open_read_only(&path).unwrap();
            let before = ours::everything(&log);
            served.assert_same(&before);
            assert!(before.records.iter().any(|record| record["leaderEpoch"].as_u64() > Some(1)));
            assert!(before.records.iter().any(|record| record["committed"] == false));
            the_cleaner_has_left_gaps_between_segments(&path);
            assert_equal(&ours::without_metadata(&served.groups), &ours::groups(&log));
        }
        let log = open(&path);
        let clean = round > 1 || !options.contains(&"--kill");
        assert_eq!(log.recovery().clean, clean, "{:?}", log.recovery());
        if round > 1 {
            holds_what_was_produced(&ours::everything(&log), &served);
        }
        write(&log, round);
        log.run_maintenance().unwrap();
        let expected = ours::everything(&log);
        assert!(expected.records.iter().any(|record| record["key"] == "6f757273"));
        let groups = ours::groups(&log);
        let properties = hand_over(&log, &path, options.contains(&"--dynamic"));
        check(&path);

        let back = dir.path().join(format!("back-{round}"));
        served = Adoption::new().properties(&properties).keep(&back).of(&path);
        served.assert_same(&expected);
        assert_equal(&ours::without_metadata(&served.groups), &groups);
        path = back;
    }
    let log = open(&path);
    assert!(log.recovery().clean);
    holds_what_was_produced(&ours::everything(&log), &served);
}

/// Else the rounds do not show that such gaps are read as the broker reads them: what is left of one segment at least is
/// dense and ends before the next one begins, or there is nothing left.
fn the_cleaner_has_left_gaps_between_segments(dir: &Path) {
    let names = std::fs::read_dir(dir.join("superseded-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut bases: Vec<u64> =
        names.filter_map(|name| name.strip_suffix(".log").map(|base| base.parse().unwrap())).collect();
    bases.sort_unstable();
    let ends = bases.iter().map(|base| {
        let bytes = std::fs::read(dir.join(format!("superseded-0/{base:020}.log"))).unwrap();
        let (mut at, mut end) = (0, *base);
        while let Some(header) = bytes.get(at..at + 61) {
            let number = |range: std::ops::Range<usize>| {
                header[range].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            };
            end = number(0..8) + number(23..27) + 1;
            at += 12 + usize::try_from(number(8..12)).unwrap();
        }
        end
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.iter().zip(bases.iter().skip(1)).any(|(end, next)| end < next), "{bases:?} {ends:?}");
}

/// Everything that the broker served, and after it what was produced to it then.
fn holds_what_was_produced(now: &Served, served: &Served) {
    let produced = now.records.iter().filter(|record| {
        let same = |one: &serde_json::Value| {
            ["topic", "partition", "offset"].iter().all(|field| one[*field] == record[*field])
        };
        served.produced.iter().any(same)
    });
    assert_eq!(produced.count(), served.produced.len());
    let before = served.records.iter().all(|theirs| {
        now.records
            .binary_search_by(|ours| order(ours).cmp(&order(theirs)))
            .is_ok_and(|at| &now.records[at] == theirs)
    });
    assert!(before, "the broker's directory holds other records than it served");
    assert_eq!(now.records.len(), served.records.len() + served.produced.len());
}

fn order(record: &serde_json::Value) -> (&str, u64, u64) {
    let number = |field: &str| record[field].as_u64().unwrap();
    (record["topic"].as_str().unwrap(), number("partition"), number("offset"))
}

/// Records to every topic, with every codec; topics made, grown, deleted and cut at the start.
fn write(log: &EventLog, round: u32) {
    let codecs =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (topic, codec) in log.topics().unwrap().iter().zip(codecs.into_iter().cycle()) {
        if topic.name().starts_with("__") {
            continue;
        }
        let producer = log.producer_with(ProducerConfig::new().compression(codec)).unwrap();
        for partition in topic.partitions() {
            let values: Vec<_> = (0..20).map(|n| format!("ours in round {round}: {n}")).collect();
            let records = values.iter().map(|value| Record::new(value).key("ours").header("round", "h"));
            producer.send_batch(&partition, records).unwrap();
        }
    }
    let name = format!("ours-{round}");
    let made = log.create_topic(&name, TopicConfig::new().partitions(2).retention(None)).unwrap();
    log.producer().unwrap().send(&made, Record::new("in a topic of ours").key("k")).unwrap();
    if round > 1 {
        log.delete_topic(&format!("ours-{}", round - 1)).unwrap();
    }
    // A group of theirs is moved on, one of ours begins, and one of ours reads as a consumer.
    let end = Position::new(("read", 0), 9 + u64::from(round));
    log.group("g-classic").unwrap().set_committed([end.clone().with_leader_epoch(0)]).unwrap();
    log.group(&format!("by-hand-{round}")).unwrap().set_committed([end]).unwrap();
    let mut member = log.consumer("ours").unwrap();
    member.subscribe(["read"]).unwrap();
    assert!(!member.poll(Duration::from_secs(5)).unwrap().is_empty());
    member.commit().unwrap();
    member.close().unwrap();
    let empty = log.topic("empty").unwrap();
    empty.add_partitions(3 + round).unwrap();
    empty.alter_config(|now| now.set("flush.ms", (1000 + round).to_string())).unwrap();
    let trimmed = log.topic("trimmed").unwrap().partition(0).unwrap();
    let start = trimmed.offsets().unwrap().log_start;
    assert_eq!(trimmed.delete_records(start + 3).unwrap(), start + 3);
}

/// Hands the log over, and leaves what it says the broker is to be started with beside the directory.
fn hand_over(log: &EventLog, path: &Path, is_dynamic: bool) -> std::path::PathBuf {
    let kafka: KafkaVersion = version().parse().unwrap();
    let [client, controller] = reference::free_ports();
    let options = HandoverOptions::new().kafka(kafka);
    let options = options.listener("127.0.0.1", client).controller("127.0.0.1", controller);
    let report = log.handover(&options).unwrap();
    assert_eq!(report.aborted, [], "the open has ended what a broker's clients had open");
    let quorum = if is_dynamic { "controller.quorum.bootstrap.servers" } else { "controller.quorum.voters" };
    assert!(report.server_properties.contains(quorum), "{report}");
    let file = path.with_extension("properties");
    std::fs::write(&file, &report.server_properties).unwrap();
    file
}
