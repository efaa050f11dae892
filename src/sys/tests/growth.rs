//! loom runs every interleaving of the writer of a growing file with the preallocation thread and the thread that seals the
//! file: the shipped code, over real files, which each run makes anew. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --lib log_writer::model::`.

use loom::thread;
use tempfile::TempDir;

use super::*;
use crate::sys::faults::{Faults, Operation};

const CAPACITY: u64 = 1 << 20;

fn made(faults: Faults) -> (TempDir, LogWriter) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk { faults, ..Disk::of(dir.path(), true, true) };
    let writer = LogWriter::create(&disk, &dir.path().join("log"), CAPACITY, 0).unwrap();
    (dir, writer)
}

fn append(writer: &mut LogWriter, byte: u8) {
    // loom tries only orders of what touches the same word: here the one by which allocations fail.
    writer.file().check(Operation::Allocate).unwrap();
    writer.put(&[byte; 100], false).unwrap();
    writer.publish(100, 0);
}

/// What is published is in the file, and nothing but zeros after it.
fn check(writer: &LogWriter, bytes: &[u8]) {
    let end = writer.tail().load().position;
    assert_eq!(end, bytes.len() as u64 * 100);
    writer.growth().check_whole(end).unwrap();
    let mut found = vec![0; usize::try_from(writer.file().len().unwrap()).unwrap()];
    let read = writer.file().read_at(&mut found, 0).unwrap();
    assert_eq!(read, found.len());
    let expected: Vec<u8> = bytes.iter().flat_map(|byte| [*byte; 100]).collect();
    let (published, after) = found.split_at(expected.len());
    assert!(published == expected, "published bytes are not in the file");
    assert!(after.iter().all(|byte| *byte == 0), "something is after the published end");
}

#[test]
fn what_is_stored_while_pages_are_made_ready_is_in_the_file() {
    loom::model(|| {
        // No allocation fails. Each is a step of the model, between which and the next the writer may come; a store through the
        // map before it would end the process by SIGBUS.
        let faults = Faults::after(Operation::Allocate, i64::MAX, io::ErrorKind::Other, false);
        let (_dir, mut writer) = made(faults);
        let growth = Arc::clone(writer.growth());
        let ahead = thread::spawn(move || growth.preallocate_now(0));
        append(&mut writer, 1);
        append(&mut writer, 2);
        ahead.join().unwrap();
        check(&writer, &[1, 2]);
    });
}

#[test]
fn a_write_that_is_taken_back_beside_the_thread_ahead_leaves_nothing() {
    loom::model(|| {
        // The disk is full in the second write, which goes by system call as the first does.
        let faults = Faults::after(Operation::Write, 1, io::ErrorKind::StorageFull, false);
        let (_dir, mut writer) = made(faults);
        let growth = Arc::clone(writer.growth());
        let ahead = thread::spawn(move || growth.preallocate_now(0));
        writer.put(&[1; 100], true).unwrap();
        writer.publish(100, 0);
        let failed = writer.put(&[2; 100], true).unwrap_err();
        assert!(matches!(failed, PutFailure::NothingWritten(_)), "{failed:?}");
        append(&mut writer, 3);
        ahead.join().unwrap();
        append(&mut writer, 4);
        check(&writer, &[1, 3, 4]);
    });
}

#[test]
fn a_sealed_file_keeps_its_length_whatever_comes_late() {
    loom::model(|| {
        let (_dir, mut writer) = made(Faults::default());
        append(&mut writer, 1);
        let growth = Arc::clone(writer.growth());
        let ahead = thread::spawn(move || growth.preallocate_now(100));
        writer.growth().seal(100).unwrap();
        ahead.join().unwrap();
        assert_eq!(writer.file().len().unwrap(), 100);
        check(&writer, &[1]);
    });
}
