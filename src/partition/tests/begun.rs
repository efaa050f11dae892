//! A first append that never came to its end: whatever it leaves opens as empty, unless something knows of records.

use std::collections::BTreeMap;
use std::fs;

use super::fixture::{Fixture, POSITIONED, STRIDE, append_numbered, assert_numbered};
use crate::error::Error;
use crate::format::partition_metadata;
use crate::format::uuid::Uuid;
use crate::partition::Checkpointed;
use crate::sys::faults::{Faults, Operation};

type Files = BTreeMap<String, Vec<u8>>;

const LOG: &str = "00000000000000000000.log";
const METADATA: &str = "partition.metadata";
const EPOCHS: &str = "leader-epoch-checkpoint";
const ONE_EPOCH: &[u8] = b"0\n1\n0 0\n";

fn metadata() -> Vec<u8> {
    partition_metadata::encode(Fixture::topic_id()).into_bytes()
}

/// Every state of each file that a first append makes, ours or a broker's: not there, empty, cut, full of zeros, whole.
fn states() -> Vec<Files> {
    let texts = |whole: Vec<u8>| {
        let (part, zeros) = (whole[..whole.len() / 2].to_vec(), vec![0; whole.len()]);
        [None, Some(Vec::new()), Some(part), Some(zeros), Some(whole)]
    };
    let logs = [None, Some(Vec::new()), Some(vec![0; 4096]), Some(vec![0; 300_000])];
    let indexes = [None, Some(Vec::new()), Some(vec![0; 48])];
    let mut states = Vec::new();
    for metadata in texts(metadata()) {
        for epochs in texts(ONE_EPOCH.to_vec()) {
            for log in &logs {
                for index in &indexes {
                    for is_beside in [false, true] {
                        let name =
                            |name: &str| if is_beside { format!("{name}.tmp") } else { name.to_owned() };
                        let files = [
                            (METADATA.to_owned(), metadata.clone()),
                            (name(EPOCHS), epochs.clone()),
                            (LOG.to_owned(), log.clone()),
                            ("next.prepared".to_owned(), log.clone().filter(|_| is_beside)),
                            ("00000000000000000000.index".to_owned(), index.clone()),
                            (name("00000000000000000000.timeindex"), index.clone()),
                        ];
                        let files = files.into_iter().filter_map(|(name, file)| Some((name, file?)));
                        states.push(files.collect());
                    }
                }
            }
        }
    }
    states
}

fn checkpointed(clean: bool, recovery_point: Option<u64>) -> Checkpointed {
    Checkpointed { clean, recovery_point, ..Checkpointed::default() }
}

#[test]
fn a_directory_in_any_state_of_its_first_append_opens_as_empty() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    for (at, files) in states().iter().enumerate().step_by(STRIDE) {
        let names: Vec<_> = files.iter().map(|(name, bytes)| format!("{name}: {}", bytes.len())).collect();
        fixture.restore(files);
        let reader = fixture.follow_with(true);
        assert_eq!(reader.bounds().unwrap().log_end, 0, "read-only: {names:?}");
        drop(reader);
        fixture.assert_files(files);
        let log = fixture.open(checkpointed(at % 2 == 0, None));
        log.load().unwrap_or_else(|failure| panic!("{failure}: {names:?}"));
        assert_is_anyones(&fixture, &format!("{names:?}"));
        assert_numbered(&log, 0..0, 20);
        append_numbered(&log, 2, 20).unwrap_or_else(|failure| panic!("{failure}: {names:?}"));
        if at % 3 == 0 {
            // Nothing was closed.
            drop(log);
            assert_numbered(&fixture.open_unclean(0), 0..2, 20);
            continue;
        }
        log.close().unwrap();
        fixture.check_closed();
        assert_numbered(&fixture.open_clean(2), 0..2, 20);
    }
}

/// A broker renames a directory that does not say which topic it belongs to.
fn assert_is_anyones(fixture: &Fixture, what: &str) {
    if fixture.directory().exists() {
        let id = fs::read(fixture.directory().join(METADATA)).unwrap_or_default();
        assert_eq!(id, metadata(), "{what}");
    }
}

#[test]
fn a_first_append_that_fails_leaves_no_directory_without_an_id() {
    let operations = [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename];
    for operation in operations {
        for after in 0..8 {
            let fixture = Fixture::new(POSITIONED, 1 << 20);
            let faults = Faults::after(operation, after, std::io::ErrorKind::StorageFull, true);
            let log = fixture.open_with(&faults, Checkpointed::default());
            let failed = append_numbered(&log, 1, 20).is_err();
            assert_is_anyones(&fixture, &format!("{operation:?} {after}"));
            faults.heal();
            if failed && append_numbered(&log, 1, 20).is_ok() {
                assert_numbered(&log, 0..1, 20);
            }
        }
    }
}

#[test]
fn where_a_recovery_point_knows_of_records_a_directory_without_them_is_damaged() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    for (at, files) in states().iter().enumerate().step_by(3 * STRIDE) {
        fixture.restore(files);
        let log = fixture.open(checkpointed(at % 2 == 0, Some(1)));
        assert!(matches!(log.load(), Err(Error::Corrupt(_))), "{:?}", files.keys());
        assert!(matches!(append_numbered(&log, 1, 20), Err(Error::Corrupt(_))));
    }
    for known in [
        Checkpointed { log_start: 1, ..Checkpointed::default() },
        Checkpointed { cleaned: Some(1), ..Checkpointed::default() },
    ] {
        fixture.restore(&[(LOG.to_owned(), Vec::new())].into());
        assert!(matches!(fixture.open(known).load(), Err(Error::Corrupt(_))));
    }
}

#[test]
fn a_directory_without_an_id_that_may_hold_records_is_left_as_it_is() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let mut one_byte = vec![0; 100_000];
    one_byte[99_999] = 1;
    let others: [(&str, &[u8]); 8] = [
        (LOG, b"\0\0\0\0\0\0\0\0\0\0\0\x40"),
        (LOG, &one_byte),
        ("00000000000000000000.index", &one_byte),
        ("00000000000000000000.log.deleted", b""),
        ("00000000000000000000.log.cut-whole", b""),
        ("00000000000000000007.snapshot", b""),
        ("00000000000000000007.log", b""),
        (EPOCHS, b"0\n2\n0 0\n1 500\n"),
    ];
    for (name, bytes) in others {
        for id in [None, Some(metadata()[..9].to_vec())] {
            let mut files: Files = [(LOG.to_owned(), Vec::new()), (name.to_owned(), bytes.to_vec())].into();
            files.extend(id.map(|id| (METADATA.to_owned(), id)));
            fixture.restore(&files);
            let log = fixture.open(checkpointed(false, None));
            assert!(matches!(log.load(), Err(Error::Corrupt(_))), "{name}");
            fixture.assert_files(&files);
        }
    }
    // Nor one of another topic.
    let files: Files =
        [(METADATA.to_owned(), partition_metadata::encode(Uuid::METADATA_TOPIC).into_bytes())].into();
    fixture.restore(&files);
    assert!(matches!(fixture.open(checkpointed(false, None)).load(), Err(Error::Corrupt(_))));
    fixture.assert_files(&files);
}

#[test]
fn a_log_that_was_begun_after_its_first_offset_still_begins_there() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    log.advance_log_end(500, crate::config::Durability::Buffered).unwrap();
    drop(log);
    assert!(fs::exists(fixture.log_file(500)).unwrap());
    assert_numbered(&fixture.open(checkpointed(false, None)), 500..500, 20);
}
