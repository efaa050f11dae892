//! A log that is damaged while it is open: everything readable is read, nothing is skipped in silence.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::fixture::{
    ANY, At, Fixture, MAPPED, Modes, POSITIONED, STRIDE, append_numbered, batches_of, numbered, records_of,
};
use crate::config::ReadUpTo;
use crate::error::{Damage, Error};
use crate::format::header::HEADER_BYTES;
use crate::partition::{Cursor, FetchLimits, Leader};

const BYTES: usize = 30;
const END: u64 = 90;

/// Three segments with batches of three records; the last one still grows.
fn three_segments(modes: Modes) -> (Fixture, Arc<Leader>) {
    let fixture = Fixture::new(modes, 2200);
    let log = fixture.open_new();
    for _ in 0..END / 3 {
        append_numbered(&log, 3, BYTES).unwrap();
    }
    assert_eq!(fixture.bases().len(), 3);
    (fixture, log)
}

fn flip(file: &Path, position: usize, bit: u8) {
    let mut file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(position as u64)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(position as u64)).unwrap();
    file.write_all(&[byte[0] ^ 1 << bit]).unwrap();
}

/// Reads on as far as it goes; every record must be the right one and follow the one before.
fn read_on(cursor: &mut Cursor, limits: FetchLimits) -> Result<(), Box<Damage>> {
    loop {
        let from = cursor.offset();
        match cursor.fetch(limits) {
            Ok(None) => return Ok(()),
            Ok(Some(fetched)) => {
                let records = records_of(&fetched);
                let right: Vec<_> =
                    (from..cursor.offset()).map(|offset| (offset, numbered(offset, BYTES))).collect();
                assert_eq!(records, right);
            }
            // A flipped magic may be one that comes later.
            Err(Error::Corrupt(damage) | Error::Unsupported(damage)) => return Err(damage),
            Err(failure) => panic!("{failure}"),
        }
    }
}

/// Reads the log with a damaged batch; `length_is_right`: the way after it can be found from the batch itself.
fn check_damaged(log: &Arc<Leader>, batch: &At, length_is_right: bool, limits: FetchLimits) {
    let (first, next) =
        (batch.header.base_offset.unsigned_abs(), batch.header.last_offset().unsigned_abs() + 1);
    let mut cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
    let damage = read_on(&mut cursor, limits).expect_err("damage is not passed over");
    assert_eq!(
        (damage.position, damage.offset.as_ref().unwrap().offset()),
        (batch.position as u64, first),
        "{damage}"
    );
    assert_eq!(cursor.offset(), first, "everything before it was read");
    let resume = damage.resume_at().expect("the log continues after it").offset();
    // An index entry comes at least every fourth batch here.
    assert!(if length_is_right { resume == next } else { (next..=next + 12).contains(&resume) }, "{resume}");
    cursor.seek(resume);
    read_on(&mut cursor, limits).unwrap_or_else(|damage| panic!("nothing else is damaged: {damage}"));
    assert_eq!(cursor.offset(), END);
    for offset in (next..END).step_by(4) {
        let mut cursor = Cursor::new(Arc::clone(log), offset, ReadUpTo::Visible);
        match read_on(&mut cursor, limits) {
            Ok(()) => assert_eq!(cursor.offset(), END),
            Err(damage) => {
                assert!(!length_is_right && offset < resume, "{offset}: {damage}");
                assert_eq!(damage.position, batch.position as u64, "{offset}: {damage}");
            }
        }
    }
}

/// Damages one batch in each segment, one bit of each of these bytes after the other.
fn each_flip(
    bytes: &(impl Iterator<Item = usize> + Clone),
    check: impl Fn(&Arc<Leader>, &At, usize, FetchLimits),
) {
    for modes in [MAPPED, POSITIONED] {
        let (fixture, log) = three_segments(modes);
        for (number, base) in fixture.bases().into_iter().enumerate() {
            let path = fixture.log_file(base);
            let end = log.segments().holding(base).unwrap().end().position;
            let file = std::fs::read(&path).unwrap();
            let batches = batches_of(&file[..usize::try_from(end).unwrap()], base);
            for batch in [batches[0], batches[batches.len() / 2], batches[batches.len() - 1]] {
                for byte in bytes.clone().step_by(STRIDE) {
                    let bit = u8::try_from((byte + number) % 8).unwrap();
                    flip(&path, batch.position + byte, bit);
                    let limits = if byte % 2 == 0 { ANY } else { FetchLimits { bytes: 200, records: 2 } };
                    check(&log, &batch, byte, limits);
                    flip(&path, batch.position + byte, bit);
                }
            }
        }
    }
}

#[test]
fn a_damaged_batch_is_reported_and_stepped_over() {
    each_flip(&(16..HEADER_BYTES).chain([70, 100, 150]), |log, batch, _, limits| {
        check_damaged(log, batch, true, limits);
    });
}

#[test]
fn a_damaged_length_is_reported_and_the_index_leads_past_it() {
    each_flip(&(8..12), |log, batch, _, limits| check_damaged(log, batch, false, limits));
}

#[test]
fn an_impossible_offset_is_reported_and_stepped_over() {
    // A smaller change of the offset gives another offset of the segment, which nothing can detect.
    each_flip(&(0..7), |log, batch, _, limits| check_damaged(log, batch, true, limits));
}

#[test]
fn nothing_panics_or_hangs_whatever_is_flipped() {
    each_flip(&(7..8).chain(12..16), |log, _, _, limits| {
        let mut cursor = Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible);
        while cursor.offset() < END {
            let before = cursor.offset();
            match cursor.fetch(limits) {
                Ok(fetched) => drop(records_of(&fetched.expect("the end was not reached"))),
                Err(Error::Corrupt(damage)) => cursor.seek(damage.resume_at().unwrap().offset()),
                Err(failure) => panic!("{failure}"),
            }
            assert!(cursor.offset() > before);
        }
    });
}

#[test]
fn a_file_truncated_by_another_program_is_damage() {
    for modes in [MAPPED, POSITIONED] {
        let (fixture, log) = three_segments(modes);
        let path = fixture.log_file(0);
        let cut = OpenOptions::new().write(true).open(&path).unwrap();
        cut.set_len(700).unwrap();
        // A new reader, none of whose pages were touched before.
        let failure = Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible).fetch(ANY).unwrap_err();
        assert!(matches!(&failure, Error::Corrupt(damage) if damage.path == path), "{failure}");
        assert_eq!(log.bounds().unwrap().log_end, END);
        append_numbered(&log, 1, BYTES).unwrap();
    }
}
