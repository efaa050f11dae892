//! Looking up offsets and times in a directory that Kafka wrote, with its indexes and without.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::fixture::{ANY, Fixture, MAPPED, Modes, POSITIONED, append_numbered, as_log, records_of};
use crate::config::ReadUpTo;
use crate::error::Error;
use crate::partition::{Cursor, Fetched, Leader};
use crate::segment::base_of;

fn vectors() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors"))
}

/// A copy of the sample partition; its 300 records lie in segments that begin at 0, 100 and 200.
fn sample(modes: Modes, with_indexes: bool) -> Fixture {
    let fixture = Fixture::new(modes, 20_000);
    fs::create_dir(fixture.directory()).unwrap();
    for entry in fs::read_dir(vectors().join("logdir/orders-0")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if with_indexes || !name.ends_with("index") {
            fs::copy(entry.path(), fixture.directory().join(name)).unwrap();
        }
    }
    fixture
}

fn expected(list: &str) -> Vec<Value> {
    let manifest: Value =
        serde_json::from_slice(&fs::read(vectors().join("manifest.json")).unwrap()).unwrap();
    manifest["sample_log_dir_lookups"][list].as_array().unwrap().clone()
}

/// The first record of a fetch. What this build cannot decompress must at least begin where it should.
fn check_first(log: &Arc<Leader>, offset: u64, position: u64, check: impl FnOnce(&Fetched)) {
    match Cursor::new(Arc::clone(log), offset, ReadUpTo::Visible).fetch(ANY) {
        Ok(fetched) => {
            let fetched = fetched.unwrap();
            assert_eq!(records_of(&fetched)[0].0, offset);
            check(&fetched);
        }
        Err(Error::Unsupported(damage)) => {
            assert_eq!((damage.position, damage.offset.unwrap().offset()), (position, offset));
        }
        Err(failure) => panic!("{failure}"),
    }
}

fn check_offsets(log: &Arc<Leader>) {
    log.bounds().unwrap();
    for row in expected("orders-0_offset") {
        let field = |name: &str| row[name].as_u64().unwrap();
        let list = log.segments();
        let segment = list.holding(field("offset")).unwrap();
        assert_eq!(segment.base(), field("segment"), "{row}");
        assert_eq!(
            segment.view().unwrap().position_of(field("offset")).unwrap(),
            field("batch_position"),
            "{row}"
        );
        check_first(log, field("offset"), field("batch_position"), |fetched| {
            assert_eq!(fetched.bytes.as_ref()[..8], field("batch_base_offset").to_be_bytes(), "{row}");
        });
    }
}

fn check_times(log: &Arc<Leader>) {
    for row in expected("orders-0_time") {
        let expected = row["first_offset_with_timestamp_at_or_after"].as_u64();
        match Cursor::offset_for_time(&as_log(log), row["timestamp"].as_i64().unwrap(), 0) {
            Ok(found) => assert_eq!(found, expected, "{row}"),
            // The right batch, but compressed.
            Err(Error::Unsupported(damage)) => {
                let list = log.segments();
                let view = list.holding(expected.unwrap()).unwrap().view().unwrap();
                assert_eq!(damage.position, view.position_of(expected.unwrap()).unwrap(), "{row}");
            }
            Err(failure) => panic!("{failure}"),
        }
    }
}

#[test]
fn offsets_and_times_are_found_as_kafka_finds_them() {
    for modes in [MAPPED, POSITIONED] {
        for with_indexes in [true, false] {
            for clean in [true, false] {
                let fixture = sample(modes, with_indexes);
                let log = if clean { fixture.open_clean(300) } else { fixture.open_unclean(200) };
                assert_eq!(log.bounds().unwrap().log_end, 300);
                check_offsets(&log);
                check_times(&log);
                // And when a writer has taken over the last segment, and when its index was written.
                append_numbered(&log, 1, 9000).unwrap();
                check_offsets(&log);
                check_times_of_first(&log);
                log.close().unwrap();
                let log = fixture.open_clean(301);
                check_offsets(&log);
                check_times_of_first(&log);
            }
        }
    }
}

/// As [`check_times`], with a record of the year 1970 at the end.
fn check_times_of_first(log: &Arc<Leader>) {
    check_times(log);
    assert_eq!(Cursor::offset_for_time(&as_log(log), 1_700_000_295_005, 0).unwrap(), None);
    assert_eq!(Cursor::offset_for_time(&as_log(log), 1, 300).unwrap(), Some(300));
}

#[test]
fn an_index_that_disagrees_with_its_log_leads_nowhere_wrong() {
    for modes in [MAPPED, POSITIONED] {
        for shift in [1, 61, 2000, 100_000] {
            let fixture = sample(modes, true);
            for (name, bytes) in fixture.files() {
                if base_of(&name, "index").is_some() {
                    let mut wrong = bytes;
                    for entry in wrong.as_chunks_mut::<8>().0 {
                        let position = u64::from_be_bytes(*entry) + shift;
                        *entry = position.to_be_bytes();
                    }
                    fs::write(fixture.directory().join(name), wrong).unwrap();
                }
            }
            let log = fixture.open_clean(300);
            check_offsets(&log);
            check_times(&log);
            append_numbered(&log, 1, 9000).unwrap();
            check_offsets(&log);
            check_times_of_first(&log);
        }
    }
}

#[test]
fn indexes_of_any_length_leave_the_log_readable() {
    for suffix in ["index", "timeindex"] {
        for length in [0, 1, 7, 8, 11, 12, 13, 24, 36] {
            let fixture = sample(POSITIONED, true);
            for base in [0_u64, 100, 200] {
                let path = fixture.directory().join(format!("{base:020}.{suffix}"));
                let mut bytes = fs::read(&path).unwrap();
                bytes.resize(length, 0);
                fs::write(&path, bytes).unwrap();
            }
            let log = fixture.open_clean(300);
            check_offsets(&log);
            append_numbered(&log, 1, 100).unwrap();
            log.close().unwrap();
            check_offsets(&fixture.open_clean(301));
        }
    }
}
