//! The files of a closed directory are those of Kafka: which there are, their names, and what is in them.

use std::path::Path;

use crate::common::{self, MODES, Mode, end, names};
use stratalog::{Record, Timestamp, TopicConfig};

/// One file is ours, and a broker passes it over: the space that is kept for a full disk.
const TOP: [&str; 8] = [
    ".kafka_cleanshutdown",
    ".lock",
    "__cluster_metadata-0",
    "meta.properties",
    "orders-0",
    "orders-2",
    "recovery-point-offset-checkpoint",
    "stratalog.reserve",
];

/// Three partitions, the second without records and the first with several segments; ends of the log by partition.
fn closed(mode: Mode, dir: &Path) -> [u64; 3] {
    let log = mode.open(dir);
    let config = TopicConfig::new().partitions(3).segment_bytes(1 << 20);
    let orders = log.create_topic("orders", config).unwrap();
    log.create_topic("empty", TopicConfig::new().partitions(5)).unwrap();
    assert!(!names(dir).contains(&".kafka_cleanshutdown".to_owned()));
    assert!(!names(dir).iter().any(|name| name.starts_with("orders-")), "made before the first record");
    let producer = log.producer().unwrap();
    let value = vec![b'x'; 3000];
    for number in 0..900 {
        let time = Timestamp::from_millis(1_700_000_000_000 + number);
        producer.send(&orders, Record::new(&value).partition(0).timestamp(time)).unwrap();
    }
    producer.send(&orders, Record::new("one").partition(2)).unwrap();
    let ends = [0, 1, 2].map(|partition| end(&orders, partition));
    let mut directories = names(dir);
    directories.retain(|name| dir.join(name).is_dir());
    assert_eq!(directories, ["__cluster_metadata-0", "orders-0", "orders-2"]);
    log.close().unwrap();
    ends
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Positions and last offsets of the batches of a log file, which must hold nothing else.
fn batches(file: &[u8]) -> Vec<(usize, u64)> {
    let (mut found, mut position) = (Vec::new(), 0);
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    while position < file.len() {
        assert_eq!(file[position + 16], 2, "magic");
        found.push((position, number(position, 8) + number(position + 23, 4)));
        position += 12 + usize::try_from(number(position + 8, 4)).unwrap();
    }
    assert_eq!(position, file.len(), "the file ends inside a batch, or in something else");
    found
}

fn check_partition(directory: &Path, id: &str, end: u64) {
    let names = names(directory);
    let bases: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".log")).collect();
    let mut wanted: Vec<_> = bases
        .iter()
        .flat_map(|base| ["index", "log", "timeindex"].map(|kind| format!("{base}.{kind}")))
        .collect();
    // The state of producers, of which there are none, where a segment or the log ends.
    let last = format!("{end:020}");
    wanted.extend(bases.iter().skip(1).chain([&&*last]).map(|at| format!("{at}.snapshot")));
    wanted.extend(["leader-epoch-checkpoint", "partition.metadata"].map(str::to_owned));
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    assert_eq!(text(&directory.join("partition.metadata")), format!("version: 0\ntopic_id: {id}"));
    assert_eq!(text(&directory.join("leader-epoch-checkpoint")), "0\n1\n0 0\n");

    let mut next = 0;
    for base in &bases {
        assert_eq!(**base, format!("{next:020}"), "segments follow one another");
        let base: u64 = base.parse().unwrap();
        let file = |kind: &str| std::fs::read(directory.join(format!("{base:020}.{kind}"))).unwrap();
        let log = file("log");
        assert!(log.len() <= 1 << 20);
        let batches = batches(&log);
        next = batches.last().unwrap().1 + 1;
        let (index, times) = (file("index"), file("timeindex"));
        assert_eq!((index.len() % 8, times.len() % 12), (0, 0));
        assert!(log.len() < 10_000 || index.len() >= 8 * (log.len() / 20_000), "{} entries", index.len() / 8);
        let field = |bytes: &[u8]| u64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
        let entries: Vec<_> = index.chunks(8).map(|e| (field(&e[4..]), base + field(&e[..4]))).collect();
        assert!(entries.is_sorted_by(|a, b| a < b) && entries.iter().all(|entry| entry.0 > 0));
        for (position, offset) in entries {
            assert!(batches.contains(&(usize::try_from(position).unwrap(), offset)), "{position} {offset}");
        }
        assert!(!times.is_empty(), "the largest time is always there");
        for entry in times.chunks(12) {
            let millis = i64::from_be_bytes(entry[..8].try_into().unwrap());
            let offset = base + field(&entry[8..]);
            assert!(batches.iter().any(|batch| batch.1 == offset));
            if end > 1 {
                assert_eq!(millis, 1_700_000_000_000 + i64::try_from(offset).unwrap());
            }
        }
        let last = times.chunks(12).next_back().unwrap();
        assert_eq!(base + field(&last[8..]), next - 1, "the last entry has the largest time");
    }
    assert_eq!(next, end);
}

#[test]
fn a_closed_directory_is_as_kafka_leaves_one() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let ends = closed(mode, path);
        assert_eq!(ends, [900, 0, 1]);
        assert_eq!(names(path), TOP);
        assert_eq!(text(&path.join(".lock")), "");
        assert_eq!(text(&path.join(".kafka_cleanshutdown")), r#"{"version":0,"brokerEpoch":-1}"#);

        let properties = text(&path.join("meta.properties"));
        let mut lines: Vec<_> = properties.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        let keys: Vec<_> = lines.iter().map(|line| line.split_once('=').unwrap().0).collect();
        assert_eq!(keys, ["cluster.id", "directory.id", "node.id", "version"]);
        assert_eq!((lines[2], lines[3]), ("node.id=1", "version=1"));
        assert!(
            properties.ends_with('\n')
                && lines[..2].iter().all(|line| line.rsplit('=').next().unwrap().len() == 22)
        );

        let metadata = path.join("__cluster_metadata-0");
        let end =
            batches(&std::fs::read(metadata.join("00000000000000000000.log")).unwrap()).last().unwrap().1 + 1;
        let points = format!("0\n3\n__cluster_metadata 0 {end}\norders 0 900\norders 2 1\n");
        assert_eq!(text(&path.join("recovery-point-offset-checkpoint")), points);

        let log = mode.open(path);
        assert!(log.recovery().clean);
        assert_eq!(log.recovery().bytes_scanned(), 0);
        assert!(!path.join(".kafka_cleanshutdown").exists(), "an open log is not clean");
        let id = log.topic("orders").unwrap().id().to_string();
        assert_eq!(id.len(), 22);
        log.close().unwrap();
        assert_eq!(names(path), TOP);
        check_partition(&path.join("orders-0"), &id, 900);
        check_partition(&path.join("orders-2"), &id, 1);
    }
}

/// Opening and closing without writing changes nothing.
#[test]
fn a_look_leaves_every_byte_as_it_was() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        closed(mode, dir.path());
        let image = |of: &Path| -> Vec<_> {
            names(of).into_iter().map(|name| (name.clone(), std::fs::read(of.join(name)).ok())).collect()
        };
        let all =
            || ["", "orders-0", "orders-2", "__cluster_metadata-0"].map(|name| image(&dir.path().join(name)));
        let before = all();
        let log = mode.open(dir.path());
        assert_eq!(common::read(&log, log.topic("orders").unwrap().partitions()).len(), 901);
        log.close().unwrap();
        assert!(all() == before);
    }
}
