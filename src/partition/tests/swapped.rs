//! What an interrupted compaction has left replaces what is there only if it is whole.

use std::collections::BTreeMap;
use std::fs;

use super::fixture::{ANY, Fixture, POSITIONED, append_numbered, assert_numbered, batches_of, read};
use crate::segment::{Batches, FileState};

const RECORDS: u64 = 36;

/// Files of a partition whose first two segments are about to be replaced by one without every third batch.
fn interrupted() -> (Fixture, Vec<u64>, BTreeMap<String, Vec<u8>>) {
    let fixture = Fixture::new(POSITIONED, 1500);
    let log = fixture.open_new();
    for _ in 0..RECORDS {
        append_numbered(&log, 1, 100).unwrap();
    }
    log.sync().unwrap();
    let bases = fixture.bases();
    assert!(bases.len() > 2, "{bases:?}");
    let mut writer = log.begin_cleaned(bases[0]).unwrap();
    for base in &bases[..2] {
        let bytes = fs::read(fixture.log_file(*base)).unwrap();
        for batch in batches_of(&bytes, *base) {
            let last = batch.header.last_offset().cast_unsigned();
            if last % 3 != 1 || last + 1 == bases[2] {
                let frame = &bytes[batch.position..batch.position + batch.bytes];
                assert!(writer.push(frame, last, batch.header.max_timestamp).unwrap());
            }
        }
    }
    let like = fixture.disk.open(&fixture.log_file(bases[0]), false).unwrap();
    writer.settle(&like).unwrap();
    let made = writer.finish(bases[2]).unwrap().unwrap();
    made.segment.set_file_state(FileState::Swap).unwrap();
    drop((made, like));
    log.close().unwrap();
    let files = fixture.files();
    (fixture, bases, files)
}

#[test]
fn an_incomplete_swap_never_replaces_what_is_there() {
    let (fixture, bases, files) = interrupted();
    let name = format!("{:020}.log.swap", bases[0]);
    let whole = &files[&name];
    let mut spoiled: Vec<Vec<u8>> = vec![Vec::new()];
    let mut batches = Vec::new();
    let file = fixture.disk.open(&fixture.directory().join(&name), false).unwrap();
    let mut walk = Batches::new(&file, whole.len() as u64, 0, bases[0]);
    while let Ok((position, _)) = walk.next().unwrap() {
        batches.push(usize::try_from(position).unwrap());
    }
    drop(walk);
    drop(file);
    for position in &batches[1..] {
        spoiled.extend([whole[..*position].to_vec(), whole[..position - 1].to_vec()]);
        let mut flipped = whole.clone();
        flipped[position - 2] ^= 4;
        spoiled.push(flipped);
    }
    spoiled.push(whole[..whole.len() - 1].to_vec());
    for bytes in spoiled {
        for point in [0, RECORDS] {
            fixture.restore(&files);
            fs::write(fixture.directory().join(&name), &bytes).unwrap();
            let follower = fixture.follow_with(false);
            assert_numbered(&follower, 0..RECORDS, 100);
            let log = fixture.open_unclean(point);
            let report = log.load().unwrap();
            assert_numbered(&log, 0..RECORDS, 100);
            assert_eq!(report.unwrap().bytes_truncated, 0);
            log.close().unwrap();
            let after = fixture.files();
            assert!(after.keys().all(|name| !name.ends_with(".swap")), "{:?}", after.keys());
            // What there was of it is kept.
            let kept = after.iter().find(|(name, _)| name.contains(".cut-whole"));
            assert_eq!(kept.map(|(_, bytes)| bytes), Some(&bytes).filter(|bytes| !bytes.is_empty()));
        }
    }
}

#[test]
fn a_complete_swap_replaces_what_it_was_made_of() {
    let (fixture, bases, files) = interrupted();
    fixture.restore(&files);
    let log = fixture.open_unclean(0);
    log.load().unwrap();
    let offsets: Vec<_> = read(&log, 0, ANY).unwrap().into_iter().map(|(offset, _)| offset).collect();
    let is_left = |offset: &u64| *offset >= bases[2] || offset % 3 != 1 || offset + 1 == bases[2];
    assert_eq!(offsets, (0..RECORDS).filter(is_left).collect::<Vec<_>>());
}

#[test]
fn a_swap_replaces_what_is_left_where_some_of_it_is_on_its_way_out() {
    let (fixture, bases, files) = interrupted();
    fixture.restore(&files);
    // The swap had come so far that the second segment was renamed; then the first batch was lost.
    let path = fixture.log_file(bases[1]);
    fs::rename(&path, FileState::Deleted.of(&path)).unwrap();
    let log = fixture.open_unclean(0);
    log.load().unwrap();
    let offsets: Vec<_> = read(&log, 0, ANY).unwrap().into_iter().map(|(offset, _)| offset).collect();
    assert!(offsets.contains(&(bases[2] - 1)) && offsets.contains(&0));
}
