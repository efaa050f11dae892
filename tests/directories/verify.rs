//! Verifying directories: nothing is found in healthy ones, and each kind of damage in damaged ones.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::common::{self, copy};
use serde_json::Value;
use stratalog::inspect::{Problem, ProblemKind, VerifyOptions, VerifyReport, verify};
use stratalog::{Error, EventLog, Maintenance, Record, TopicConfig};

fn vectors(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}

fn problems(dir: &Path, options: VerifyOptions<'_>) -> (Vec<Problem>, VerifyReport) {
    let mut found = Vec::new();
    let report = verify(dir, options, |problem| found.push(problem.clone())).unwrap();
    assert_eq!(report.problems, found.len() as u64);
    (found, report)
}

/// The one problem there is.
fn only_problem(dir: &Path) -> Problem {
    let (mut found, _) = problems(dir, VerifyOptions::new());
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

type Damaging = fn(&mut Vec<u8>);

const SEGMENT: u32 = 64 << 10;

/// A directory of ours with indexes worth the name, closed cleanly.
fn healthy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(SEGMENT);
    let log = options.open(dir.path()).unwrap();
    let orders = log.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let producer = log.producer().unwrap();
    let value = [7; 900];
    for second in 0..200 {
        let at = stratalog::Timestamp::from_millis(1_700_000_000_000 + second * 1000);
        producer.send_batch(&orders, [Record::new(&value).timestamp(at)]).unwrap();
    }
    log.close().unwrap();
    assert_eq!(problems(dir.path(), VerifyOptions::new()).0, []);
    dir
}

fn file(dir: &Path, suffix: &str) -> PathBuf {
    dir.join("orders-0").join(format!("00000000000000000000.{suffix}"))
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_found_in_what_brokers_wrote() {
    for (name, clean) in [
        ("broker/clean-4.1/logdir", true),
        ("broker/killed-4.1/logdir", false),
        ("catalog/logdir", true),
        ("logdir", true),
    ] {
        let (found, report) = problems(&vectors(name), VerifyOptions::new());
        assert_eq!(found, [], "{name}");
        assert_eq!(report.clean, clean, "{name}");
        assert!(report.batches > 10 && report.records > 10, "{name}: {report:?}");
        assert_eq!(report.tail_bytes > 0, !clean, "{name}: {report:?}");
    }
}

/// Files that hold nothing wrong; the others hold one kind of damage each.
const NOT_DAMAGED: [&str; 2] = ["base_three_batches.bin", "empty_file.bin"];

#[test]
fn each_kind_of_damage_is_found() {
    let manifest: Value = serde_json::from_slice(&fs::read(vectors("manifest.json")).unwrap()).unwrap();
    let mut planted = 0;
    for corrupt in manifest["corrupt"].as_array().unwrap() {
        let file = corrupt["file"].as_str().unwrap();
        let name = file.strip_prefix("corrupt/").unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&vectors("broker/clean-4.1/logdir"), dir.path());
        let log = dir.path().join("empty-0/00000000000000000000.log");
        fs::copy(vectors(file), &log).unwrap();
        // The indexes of an empty log are empty, which is not wrong beside a few batches but for the last timestamp.
        fs::remove_file(log.with_extension("index")).unwrap();
        fs::remove_file(log.with_extension("timeindex")).unwrap();
        fs::remove_file(log.with_file_name("leader-epoch-checkpoint")).unwrap();
        // It says that the partition is empty.
        fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
        let codec_missing = ["gzip", "lz4"].into_iter().any(|codec| {
            name.starts_with(codec)
                && !(cfg!(feature = "gzip") && codec == "gzip" || cfg!(feature = "lz4") && codec == "lz4")
        });
        if NOT_DAMAGED.contains(&name) || codec_missing {
            assert_eq!(problems(dir.path(), VerifyOptions::new()).0, [], "{name}");
            continue;
        }
        let (found, _) = problems(dir.path(), VerifyOptions::new());
        assert!(!found.is_empty(), "{name}");
        for problem in found {
            assert_eq!(
                (problem.kind, &problem.path),
                (ProblemKind::Log, &fs::canonicalize(&log).unwrap()),
                "{name}"
            );
            assert!(problem.position.is_some(), "{name}: {problem}");
        }
        planted += 1;
    }
    assert!(planted >= 28, "{planted}");
}

#[test]
fn damage_in_the_middle_does_not_hide_what_follows() {
    let dir = healthy();
    let (_, before) = problems(dir.path(), VerifyOptions::new());
    let log = file(dir.path(), "log");
    change(&log, |bytes| {
        bytes[1500] ^= 1;
        bytes[40_000] ^= 1;
    });
    let (found, report) = problems(dir.path(), VerifyOptions::new());
    let at: Vec<_> = found.iter().map(|problem| (problem.kind, problem.offset)).collect();
    assert_eq!(at, [(ProblemKind::Log, Some(1)), (ProblemKind::Log, Some(41))], "{found:#?}");
    assert_eq!(report.records, before.records - 2);
}

#[test]
fn indexes_are_held_against_the_log() {
    let cases: [(&str, &str, Damaging); 7] = [
        ("index", "where no batch begins", |bytes| bytes[7] ^= 1),
        ("index", "whose last offset is", |bytes| bytes[3] ^= 1),
        ("index", "do not ascend", |bytes| bytes.extend([0; 8])),
        ("index", "an entry has 8", |bytes| bytes.push(0)),
        ("timeindex", "the largest is", |bytes| bytes[7] ^= 1),
        ("timeindex", "do not ascend", |bytes| bytes.extend([0; 12])),
        ("timeindex", "is not its last entry", |bytes| bytes.truncate(bytes.len() - 12)),
    ];
    for (suffix, reason, damage) in cases {
        let dir = healthy();
        change(&file(dir.path(), suffix), damage);
        let problem = only_problem(dir.path());
        assert_eq!(problem.kind, ProblemKind::Derived);
        assert_eq!(problem.path, fs::canonicalize(file(dir.path(), suffix)).unwrap());
        assert!(problem.reason.contains(reason), "{problem}");

        let (found, report) = problems(dir.path(), VerifyOptions::new().repair(true));
        assert!(found[0].repaired && report.repaired == 1, "{found:?}");
        assert!(!file(dir.path(), "index").exists());
        assert_eq!(problems(dir.path(), VerifyOptions::new()).0, [], "what is missing is rebuilt");
        EventLog::open(dir.path()).unwrap().close().unwrap();
        assert_eq!(problems(dir.path(), VerifyOptions::new()).0, []);
    }
}

#[test]
fn what_brokers_keep_beside_the_log_is_checked() {
    let cases: [(&str, ProblemKind, Damaging); 8] = [
        ("tx-0/00000000000000000023.snapshot", ProblemKind::Derived, |bytes| bytes[12] ^= 1),
        ("__consumer_offsets-4/00000000000000000000.txnindex", ProblemKind::Derived, |bytes| bytes[25] ^= 8),
        ("__consumer_offsets-4/00000000000000000000.txnindex", ProblemKind::Derived, |bytes| {
            bytes.truncate(34);
        }),
        ("recovery-point-offset-checkpoint", ProblemKind::Checkpoint, |bytes| bytes[2] = b'x'),
        ("codecs-0/leader-epoch-checkpoint", ProblemKind::Checkpoint, |bytes| bytes[0] = b'9'),
        ("codecs-0/partition.metadata", ProblemKind::Catalog, |bytes| bytes.truncate(10)),
        ("codecs-0/partition.metadata", ProblemKind::Catalog, |bytes| bytes[25] ^= 1),
        ("meta.properties", ProblemKind::Catalog, |bytes| bytes.clear()),
    ];
    for (name, kind, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        copy(&vectors("broker/clean-4.1/logdir"), dir.path());
        change(&dir.path().join(name), damage);
        let (found, _) = problems(dir.path(), VerifyOptions::new());
        assert!(found.iter().all(|problem| problem.kind == kind) && !found.is_empty(), "{name}: {found:#?}");
        if matches!(kind, ProblemKind::Derived | ProblemKind::Checkpoint) {
            let (found, _) = problems(dir.path(), VerifyOptions::new().repair(true));
            assert!(found.iter().all(|problem| problem.repaired), "{name}: {found:#?}");
            assert_eq!(problems(dir.path(), VerifyOptions::new()).0, [], "{name}");
        }
    }
}

#[test]
fn directories_and_names_that_should_not_be_there() {
    let dir = healthy();
    let root = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir(root.join("lost+found")).unwrap();
    fs::create_dir(root.join("absent-0")).unwrap();
    fs::write(root.join("orders-0/12.log"), "").unwrap();
    fs::write(root.join("orders-0/00000000000000009999.index"), "").unwrap();
    let (found, _) = problems(&root, VerifyOptions::new());
    let found: BTreeSet<_> =
        found.into_iter().map(|problem| (problem.path, format!("{:?}", problem.kind))).collect();
    let expected = [
        ("lost+found", "Name"),
        ("absent-0", "Catalog"),
        ("absent-0/partition.metadata", "Catalog"),
        ("orders-0/00000000000000009999.index", "Derived"),
        ("orders-0/12.log", "Name"),
    ];
    let expected = expected.map(|(name, kind)| (root.join(name), kind.to_owned()));
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn a_directory_that_is_gone_is_missed() {
    let dir = healthy();
    fs::remove_dir_all(dir.path().join("orders-0")).unwrap();
    let problem = only_problem(dir.path());
    assert_eq!(problem.kind, ProblemKind::Catalog);
    assert!(problem.reason.contains("records below offset 200"), "{problem}");
}

/// After a power failure the names that a first append made may be missing, as long as none of its records was synced.
#[test]
fn what_a_partition_that_was_never_synced_lacks_is_no_problem_unless_something_knows_of_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path().join("log")).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("value")).unwrap();
    let cut = dir.path().join("cut");
    copy(&dir.path().join("log"), &cut);
    log.close().unwrap();

    fs::remove_file(cut.join("t-0/partition.metadata")).unwrap();
    assert_eq!(problems(&cut, VerifyOptions::new()).0, []);
    fs::write(cut.join("recovery-point-offset-checkpoint"), "0\n1\nt 0 1\n").unwrap();
    assert_eq!(only_problem(&cut).kind, ProblemKind::Catalog);
    fs::write(cut.join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();

    let log = EventLog::options().maintenance(Maintenance::Manual).open(&cut).unwrap();
    assert_eq!(common::texts(&log, &log.topic("t").unwrap()), ["value"]);
    log.close().unwrap();
    assert_eq!(problems(&cut, VerifyOptions::new()).0, []);
    fs::remove_file(cut.join("t-0/partition.metadata")).unwrap();
    assert_eq!(only_problem(&cut).kind, ProblemKind::Catalog, "closed cleanly");
}

#[test]
fn a_torn_tail_is_no_problem_but_what_was_on_disk_is() {
    let dir = healthy();
    let log = {
        let mut names: Vec<_> =
            fs::read_dir(dir.path().join("orders-0")).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|suffix| suffix == "log"));
        names.sort();
        names.pop().unwrap()
    };
    change(&log, |bytes| bytes.extend([0; 5000]));
    assert_eq!(only_problem(dir.path()).kind, ProblemKind::Log, "closed cleanly");
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let (found, report) = problems(dir.path(), VerifyOptions::new());
    assert_eq!((found, report.tail_bytes), (vec![], 5000));
    change(&log, |bytes| bytes.truncate(bytes.len() - 5100));
    let (found, _) = problems(dir.path(), VerifyOptions::new());
    assert!(found.iter().any(|problem| problem.reason.contains("on disk")), "{found:#?}");
}

#[test]
fn a_log_that_is_written_meanwhile_is_read_but_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let orders = log.create_topic("orders", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for _ in 0..100 {
        producer.send(&orders, Record::new("value")).unwrap();
    }
    let (found, report) = problems(dir.path(), VerifyOptions::new());
    assert_eq!(found, []);
    assert!(!report.clean && report.records > 100);
    let refused = verify(dir.path(), VerifyOptions::new().repair(true), |_| ()).unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    log.close().unwrap();
}

#[test]
fn what_cannot_be_verified_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = verify(dir.path().join("missing"), VerifyOptions::new(), |_| ()).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(verify(&file, VerifyOptions::new(), |_| ()), Err(Error::InvalidInput { .. })));
    fs::remove_file(&file).unwrap();
    assert_eq!(problems(dir.path(), VerifyOptions::new()).0, [], "a fresh place for a log");
}

#[test]
fn work_ends_when_it_is_reported_to() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let orders = log.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let value = vec![1; 900_000];
    for _ in 0..16 {
        log.producer().unwrap().send_batch(&orders, [Record::new(&value)]).unwrap();
    }
    log.close().unwrap();
    let mut reported = Vec::new();
    let options = VerifyOptions::new().on_progress(|done, total| {
        reported.push((done, total));
        ControlFlow::Break(())
    });
    let report = verify(dir.path(), options, |_| ()).unwrap();
    assert!(report.interrupted && report.batches < 16);
    assert_eq!(reported.len(), 1);
    assert!(reported[0].0 >= 4 << 20 && reported[0].0 < reported[0].1);
}

#[test]
fn a_directory_of_a_newer_kafka_is_reported() {
    let dir = healthy();
    let log = dir.path().join("__cluster_metadata-0/00000000000000000000.log");
    change(&log, |bytes| {
        // The level of metadata.version is after its name, in the first batch.
        let name = b"metadata.version";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        bytes[at..at + 2].copy_from_slice(&99_i16.to_be_bytes());
        let length = usize::try_from(u32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
        let crc = crc32c::crc32c(&bytes[21..12 + length]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    });
    let problem = only_problem(dir.path());
    assert!(problem.reason.contains("metadata.version 99, of a newer Kafka"), "{problem}");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_segment_is_not_followed() {
    let dir = healthy();
    let log = file(dir.path(), "log");
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&log, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
    let (found, _) = problems(dir.path(), VerifyOptions::new());
    assert!(found.iter().any(|problem| problem.kind == ProblemKind::Name), "{found:#?}");
    assert!(found.iter().all(|problem| problem.kind != ProblemKind::Derived), "{found:#?}");
}

#[test]
fn where_batches_are_damaged_nothing_is_taken_away() {
    let dir = healthy();
    change(&file(dir.path(), "log"), |bytes| bytes[1500] ^= 1);
    change(&file(dir.path(), "index"), |bytes| bytes[3] ^= 1);
    let (found, report) = problems(dir.path(), VerifyOptions::new().repair(true));
    assert!(found.iter().all(|problem| !problem.repaired) && report.repaired == 0, "{found:#?}");
    assert!(file(dir.path(), "index").exists());
}

/// Also where the checksum does not look: offset, length, epoch and format are before it.
#[test]
fn no_changed_bit_of_a_header_goes_unnoticed() {
    let dir = healthy();
    let mut logs: Vec<_> = common::names(&dir.path().join("orders-0"));
    logs.retain(|name| name.ends_with(".log"));
    let last = dir.path().join("orders-0").join(logs.into_iter().max().unwrap());
    let bytes = fs::read(&last).unwrap();
    let batch = 970;
    for start in [0, bytes.len() - batch] {
        for at in 0..61 {
            let mut changed = bytes.clone();
            changed[start + at] ^= 1 << (at % 8);
            fs::write(&last, &changed).unwrap();
            let (found, _) = problems(dir.path(), VerifyOptions::new());
            assert!(
                found.iter().any(|problem| problem.path.ends_with(last.file_name().unwrap())),
                "byte {at} of {start}"
            );
        }
    }
    fs::write(&last, &bytes).unwrap();
    assert_eq!(problems(dir.path(), VerifyOptions::new()).0, []);
}
