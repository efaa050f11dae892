//! A first append that never came to its end: whatever it leaves opens as empty, unless something knows of records.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::fixture::{Fixture, POSITIONED, STRIDE, append_numbered, assert_numbered, batch, numbered};
use crate::config::Durability;
use crate::error::Error;
use crate::format::partition_metadata;
use crate::format::uuid::Uuid;
use crate::partition::{AppendAt, AppendRequest, Checkpointed};
use crate::sys::faults::{Faults, Operation};
use crate::sys::gate::SyncedDirectories;

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
    let begun: [(&str, &[u8]); 3] =
        [(LOG, b"\0\0\0\0\0\0\0\0\0\0\0\x40"), (LOG, &one_byte), ("00000000000000000000.index", &one_byte)];
    let others: [(&str, &[u8]); 5] = [
        ("00000000000000000000.log.deleted", b""),
        ("00000000000000000000.log.cut-whole", b""),
        ("00000000000000000007.snapshot", b""),
        ("00000000000000000007.log", b""),
        (EPOCHS, b"0\n2\n0 0\n1 500\n"),
    ];
    let nothing = None;
    let part = Some(metadata()[..9].to_vec());
    let with = |files: &[(&'static str, &[u8])], id: &Option<Vec<u8>>, clean: bool| {
        files.iter().map(|(name, bytes)| (*name, bytes.to_vec(), id.clone(), clean)).collect::<Vec<_>>()
    };
    let cases = [with(&others, &nothing, false), with(&others, &part, false), with(&begun, &part, false)];
    // The close would have given it one.
    for (name, bytes, id, clean) in cases.into_iter().flatten().chain(with(&begun, &nothing, true)) {
        let mut files: Files = [(LOG.to_owned(), Vec::new()), (name.to_owned(), bytes.clone())].into();
        files.extend(id.map(|id| (METADATA.to_owned(), id)));
        fixture.restore(&files);
        let log = fixture.open(checkpointed(clean, None));
        assert!(matches!(log.load(), Err(Error::Corrupt(_))), "{name}");
        fixture.assert_files(&files);
    }
    // Nor one of another topic.
    let files: Files =
        [(METADATA.to_owned(), partition_metadata::encode(Uuid::METADATA_TOPIC).into_bytes())].into();
    fixture.restore(&files);
    assert!(matches!(fixture.open(checkpointed(false, None)).load(), Err(Error::Corrupt(_))));
    fixture.assert_files(&files);
}

/// After a power failure, of what was never synced any part may be there.
#[test]
fn a_log_that_was_never_synced_is_served_as_far_as_it_is_complete_with_its_id_or_without() {
    for records in [1_u64, 5] {
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        let log = fixture.open_new();
        for _ in 0..records {
            append_numbered(&log, 1, 20).unwrap();
        }
        let killed = fixture.files();
        drop(log);
        assert!(!killed.contains_key(EPOCHS));
        for lost in [None, Some(METADATA)] {
            for (cut, batches) in [(0, 0), (1, 1), (100, 2)] {
                let mut files = killed.clone();
                files.retain(|name, _| Some(&**name) != lost);
                let log = files.get_mut(LOG).unwrap();
                let length = log.iter().rposition(|byte| *byte != 0).unwrap() + 1;
                log.truncate(if cut == 0 { log.len() } else { length.saturating_sub(cut) });
                fixture.restore(&files);
                let left = records.saturating_sub(batches);
                let reader = fixture.follow_with(true);
                assert!(reader.bounds().unwrap().log_end >= left, "{lost:?} {cut}");
                drop(reader);
                fixture.assert_files(&files);
                let log = fixture.open(checkpointed(false, None));
                let end = log.bounds().unwrap().log_end;
                assert!((left..=records).contains(&end), "{lost:?} {cut}: {end}");
                assert_numbered(&log, 0..end, 20);
                assert_is_anyones(&fixture, "recovered");
                append_numbered(&log, 1, 20).unwrap();
                log.close().unwrap();
                fixture.check_closed();
            }
        }
    }
}

#[test]
fn what_the_first_append_leaves_is_on_disk_after_the_first_sync_or_before_the_second_segment() {
    for rolls in [false, true] {
        let fixture = Fixture::new(POSITIONED, 1000);
        let log = fixture.open_new();
        append_numbered(&log, 1, 20).unwrap();
        assert!(!fixture.files().contains_key(EPOCHS));
        if rolls {
            for _ in 0..30 {
                append_numbered(&log, 1, 20).unwrap();
            }
            assert!(log.segments().iter().count() > 1);
        } else {
            log.sync().unwrap();
        }
        assert_eq!(fixture.files()[EPOCHS], ONE_EPOCH);
    }
}

#[test]
fn names_are_on_disk_before_a_record_counts_as_durable() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let synced = Arc::new(SyncedDirectories::default());
    let log = fixture.open_with(&synced.observing(), Checkpointed::default());
    append_numbered(&log, 1, 20).unwrap();
    assert!(synced.take().is_empty(), "a first append waits for no directory");
    assert_eq!(log.durable_end(), 0);
    log.await_durable(1).unwrap();
    let directories = [fixture.directory(), fixture.directory().parent().unwrap().to_owned()];
    assert_eq!(synced.take(), directories);
    // Once is enough.
    append_numbered(&log, 1, 20).unwrap();
    log.sync().unwrap();
    assert!(synced.take().is_empty());
}

#[test]
fn names_are_on_disk_before_a_second_segment_begins() {
    let mut fixture = Fixture::new(POSITIONED, 1000);
    // Nothing but the roll syncs.
    fixture.finish_late();
    let synced = Arc::new(SyncedDirectories::default());
    let log = fixture.open_with(&synced.observing(), Checkpointed::default());
    append_numbered(&log, 1, 800).unwrap();
    assert!(synced.take().is_empty());
    append_numbered(&log, 1, 800).unwrap();
    assert_eq!(log.segments().iter().count(), 2);
    assert_eq!(synced.take(), [fixture.directory(), fixture.directory().parent().unwrap().to_owned()]);
    append_numbered(&log, 1, 800).unwrap();
    assert_eq!(log.segments().iter().count(), 3);
    assert!(synced.take().is_empty(), "once is enough");
}

#[test]
fn an_append_that_is_to_be_synced_is_refused_a_descriptor_before_it_is_written() {
    for rolls in [false, true] {
        for nth in 0..8 {
            let mut fixture = Fixture::new(POSITIONED, 1000);
            fixture.finish_late();
            let faults = Faults::after(Operation::Open, i64::MAX, std::io::ErrorKind::Other, false);
            let log = fixture.open_with(&faults, Checkpointed::default());
            append_numbered(&log, 1, if rolls { 800 } else { 20 }).unwrap();
            faults.arm(nth);
            let mut builder = batch(&[numbered(1, 300)]);
            let mut batch = builder.finish().unwrap();
            let request = AppendRequest::new(&mut batch, AppendAt::End, Durability::Synced);
            let appended = log.append(request).and_then(|appended| log.await_durable(appended.next_offset));
            let end = log.bounds().unwrap().log_end;
            assert_eq!(end, if appended.is_ok() { 2 } else { 1 }, "{rolls} {nth}: {appended:?}");
        }
    }
}

#[test]
fn nothing_is_left_to_do_for_a_deleted_topic() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_numbered(&log, 1, 20).unwrap();
    log.delete();
    fs::rename(fixture.directory(), fixture.directory().with_extension("gone")).unwrap();
    fs::create_dir(fixture.directory()).unwrap();
    log.finish_sealed().unwrap();
    assert_eq!(fixture.files(), Files::new(), "the next topic of the name has the place");
}

#[test]
fn a_topic_writes_its_id_once_and_a_partition_that_cannot_share_the_file_writes_its_own() {
    for shares in [true, false] {
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        let linked = if shares { i64::MAX } else { 0 };
        let faults = Faults::after(Operation::Link, linked, std::io::ErrorKind::Unsupported, true);
        let first = fixture.open_with(&faults, Checkpointed::default());
        append_numbered(&first, 1, 20).unwrap();
        let second = fixture.open_second(&faults);
        append_numbered(&second, 1, 20).unwrap();
        for log in [&first, &second] {
            assert_eq!(fs::read(log.directory().join(METADATA)).unwrap(), metadata());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let names = fs::metadata(first.directory().join(METADATA)).unwrap().nlink();
            assert_eq!(names, if shares { 2 } else { 1 });
        }
        for log in [first, second] {
            log.close().unwrap();
        }
    }
}

#[test]
fn a_log_that_was_begun_after_its_first_offset_still_begins_there() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    log.advance_log_end(500, Durability::Buffered).unwrap();
    drop(log);
    assert!(fs::exists(fixture.log_file(500)).unwrap());
    assert_numbered(&fixture.open(checkpointed(false, None)), 500..500, 20);
}
