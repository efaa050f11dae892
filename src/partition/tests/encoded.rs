//! A log of compressed batches and legacy messages beside plain ones: everything is read, in whatever pieces, and what
//! cannot be decoded is reported like other damage.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::fixture::{
    ANY, Fixture, MAPPED, Modes, POSITIONED, TestRecord, as_log, batch, numbered, read, records_of,
};
use crate::config::ReadUpTo;
use crate::error::{Damage, Error};
use crate::format::compression::{BatchLimits, DEFAULT_DECOMPRESSED_BYTES, Encoding, compress};
use crate::format::crc::crc32c;
use crate::format::frame::{frame_at, is_legacy};
use crate::format::header::{BatchHeader, CHECKSUMMED, Codec, HEADER_BYTES, LENGTH_OVERHEAD};
use crate::partition::{Cursor, FetchLimits, Leader};

const VISIBLE: ReadUpTo = ReadUpTo::Visible;

fn vector(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)).unwrap()
}

fn codecs() -> impl Iterator<Item = Codec> {
    Codec::ALL.into_iter().filter(|codec| codec.is_built_in())
}

fn level(codec: Codec) -> i32 {
    if codec == Codec::Zstd { 3 } else { -1 }
}

/// What a log holds, batch by batch.
#[derive(Default)]
struct Written {
    file: Vec<u8>,
    next: u64,
    records: Vec<(u64, TestRecord)>,
    /// Where batches begin, and their first offsets.
    starts: Vec<(u64, u64)>,
}

impl Written {
    /// A batch of numbered records.
    fn batch(&mut self, count: u64, codec: Codec) {
        let records: Vec<_> = (self.next..self.next + count).map(|offset| numbered(offset, 40)).collect();
        let mut builder = batch(&records);
        let encoding = Encoding { codec, level: level(codec) };
        let mut finished = builder.finish_with(encoding, BatchLimits::NONE).unwrap();
        let base = i64::try_from(self.next).unwrap();
        self.starts.push((self.file.len() as u64, self.next));
        self.file.extend_from_slice(finished.placed_at(base, 0));
        self.records.extend((self.next..).zip(records));
        self.next += count;
    }

    /// Messages of format 1 from a file with the records of offsets 1000 to 1005 or so, moved here.
    fn legacy(&mut self, path: &str, count: u64) {
        let bytes = vector(path);
        let (mut rest, first) = (&bytes[..], self.next);
        while !rest.is_empty() {
            let frame = frame_at(rest).unwrap();
            let (message, after) = rest.split_at(frame.bytes);
            assert!(is_legacy(message));
            let offset = first + frame.last_offset() - 1000;
            self.starts.push((self.file.len() as u64, self.next));
            self.file.extend_from_slice(&offset.to_be_bytes());
            self.file.extend_from_slice(&message[8..]);
            self.next = offset + 1;
            rest = after;
        }
        assert_eq!(self.next, first + count);
    }

    /// Records of which only the checksum is right.
    fn garbage(&mut self, count: u64, codec: Codec, compressed: &[u8]) {
        let mut frame = batch(&[numbered(0, 1)]).finish().unwrap().placed_at(0, 0)[..HEADER_BYTES].to_vec();
        frame.extend_from_slice(compressed);
        let mut header = BatchHeader::read(frame.first_chunk().unwrap());
        header.base_offset = i64::try_from(self.next).unwrap();
        header.batch_length = i32::try_from(frame.len() - LENGTH_OVERHEAD).unwrap();
        header.attributes = codec.attributes();
        header.record_count = i32::try_from(count).unwrap();
        header.last_offset_delta = header.record_count - 1;
        header.write(frame.first_chunk_mut().unwrap());
        let crc = crc32c(&frame[CHECKSUMMED..]);
        BatchHeader::seal(frame.first_chunk_mut().unwrap(), crc);
        self.starts.push((self.file.len() as u64, self.next));
        self.file.extend_from_slice(&frame);
        self.next += count;
    }

    /// The log on disk. `clean`: as after a close, so that nothing is scanned.
    fn open(&self, modes: Modes, clean: bool) -> (Fixture, Arc<Leader>) {
        let fixture = Fixture::new(modes, 1 << 30);
        fs::create_dir(fixture.directory()).unwrap();
        let metadata = "partition.metadata";
        fs::write(fixture.directory().join(metadata), vector(&format!("logdir/orders-0/{metadata}")))
            .unwrap();
        fs::write(fixture.log_file(0), &self.file).unwrap();
        let log = if clean { fixture.open_clean(self.next) } else { fixture.open_unclean(0) };
        assert_eq!(log.bounds().unwrap().log_end, self.next);
        (fixture, log)
    }
}

/// All kinds of batches, alone and in rows.
fn mixed() -> Written {
    let mut written = Written::default();
    written.batch(3, Codec::None);
    for codec in codecs() {
        written.batch(4, codec);
        written.batch(1, Codec::None);
        written.batch(30, codec);
        written.batch(1, codec);
    }
    written.batch(2, Codec::None);
    written.batch(2, Codec::None);
    written
}

fn limits() -> impl Iterator<Item = FetchLimits> {
    let records = [1, 3, 7, 30, usize::MAX];
    records.into_iter().flat_map(|records| {
        [0, 1, 200, 2000, 1 << 20].into_iter().map(move |bytes| FetchLimits { bytes, records })
    })
}

#[test]
fn batches_of_every_codec_are_read_in_pieces_of_any_size_from_any_offset() {
    let written = mixed();
    for modes in [MAPPED, POSITIONED] {
        for clean in [true, false] {
            let (_fixture, log) = written.open(modes, clean);
            for limits in limits() {
                assert_eq!(read(&log, 0, limits).unwrap(), written.records, "{limits:?}");
            }
            for from in 0..written.next {
                let limits = FetchLimits { bytes: 300, records: 7 };
                let rest = &written.records[usize::try_from(from).unwrap()..];
                assert_eq!(read(&log, from, limits).unwrap(), rest, "{from}");
            }
        }
    }
}

#[test]
fn times_are_found_inside_compressed_batches() {
    let written = mixed();
    let (_fixture, log) = written.open(MAPPED, false);
    for (offset, record) in &written.records {
        assert_eq!(Cursor::offset_for_time(&as_log(&log), record.timestamp, 0).unwrap(), Some(*offset));
        let after = Cursor::offset_for_time(&as_log(&log), record.timestamp, offset + 1).unwrap();
        assert_eq!(after, Some(offset + 1).filter(|next| *next < written.next));
    }
}

#[test]
fn a_poll_holds_as_many_bytes_as_it_may_and_a_batch_at_least() {
    let Some(codec) = codecs().nth(1) else { return };
    let mut written = Written::default();
    for _ in 0..40 {
        written.batch(100, codec);
    }
    let (_fixture, log) = written.open(MAPPED, true);
    let plain = batch(&vec![numbered(0, 40); 100]).bytes();
    let mut cursor = Cursor::new(Arc::clone(&log), 0, VISIBLE);
    let mut next = |bytes| cursor.fetch(FetchLimits { bytes, records: usize::MAX }).unwrap().unwrap();
    for (bytes, batches) in [(0, 1), (plain, 1), (2 * plain + 200, 2), (5 * plain + 500, 5)] {
        let fetched = next(bytes);
        assert_eq!(fetched.records, batches * 100, "{bytes}");
        assert!(fetched.bytes.as_ref().len() <= bytes.max(plain + 100));
    }
}

#[test]
fn a_batch_returned_in_part_is_decoded_once() {
    let Some(codec) = codecs().nth(1) else { return };
    let mut written = Written::default();
    written.batch(3, codec);
    written.batch(50, codec);
    written.batch(3, codec);
    let (_fixture, log) = written.open(MAPPED, true);
    let mut cursor = Cursor::new(log, 0, VISIBLE);
    let fetch = |cursor: &mut Cursor| cursor.fetch(FetchLimits { bytes: 1 << 20, records: 10 }).unwrap();
    let first = fetch(&mut cursor).unwrap();
    let second = fetch(&mut cursor).unwrap();
    let third = fetch(&mut cursor).unwrap();
    // The same buffer: the batch is in the first piece after another.
    let whole = first.bytes.as_ref().as_ptr_range();
    assert!(whole.contains(&second.bytes.as_ref().as_ptr()));
    assert_eq!(second.bytes.as_ref().as_ptr(), third.bytes.as_ref().as_ptr());
    // Another place is decoded anew, and so is this one when it is come back to.
    cursor.seek(54);
    assert_eq!(records_of(&fetch(&mut cursor).unwrap())[0].0, 54);
    cursor.seek(30);
    let again = fetch(&mut cursor).unwrap();
    assert_eq!(records_of(&again)[0].0, 30);
    assert!(!whole.contains(&again.bytes.as_ref().as_ptr()));
}

#[test]
fn messages_of_older_formats_are_read_beside_batches() {
    let mut written = Written::default();
    written.legacy("legacy/kp_v0_none.bin", 4);
    if Codec::Gzip.is_built_in() {
        written.legacy("legacy/gen_v1_gzip_logappend.bin", 4);
    }
    written.batch(2, Codec::None);
    written.legacy("legacy/kp_v1_none.bin", 4);
    if Codec::Lz4.is_built_in() {
        written.legacy("legacy/kp_v1_lz4.bin", 4);
        written.batch(2, Codec::Lz4);
    }
    if Codec::Snappy.is_built_in() {
        written.legacy("legacy/kp_v1_snappy.bin", 4);
    }
    for modes in [MAPPED, POSITIONED] {
        for clean in [true, false] {
            let (_fixture, log) = written.open(modes, clean);
            let all = read(&log, 0, ANY).unwrap();
            let offsets: Vec<_> = all.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, (0..written.next).collect::<Vec<_>>());
            assert_eq!((all[0].1.timestamp, all[0].1.key.as_deref()), (-1, Some(&b"k0"[..])));
            for limits in limits() {
                assert_eq!(read(&log, 0, limits).unwrap(), all, "{limits:?}");
            }
            for from in 0..written.next {
                let rest = &all[usize::try_from(from).unwrap()..];
                assert_eq!(read(&log, from, ANY).unwrap(), rest, "{from}");
            }
            for (_, record) in &all {
                let first = all.iter().find(|(_, other)| other.timestamp >= record.timestamp.max(0));
                let found = Cursor::offset_for_time(&as_log(&log), record.timestamp.max(0), 0).unwrap();
                assert_eq!(found, first.map(|(offset, _)| *offset), "{}", record.timestamp);
            }
        }
    }
}

/// Reads up to the damage in the second of three batches and continues after it.
fn damage_of(written: &Written, count: u64) -> (bool, Box<Damage>) {
    let (_fixture, log) = written.open(MAPPED, false);
    let mut cursor = Cursor::new(Arc::clone(&log), 0, VISIBLE);
    let first = cursor.fetch(ANY).unwrap().unwrap();
    assert_eq!(records_of(&first), written.records[..3]);
    let failure = cursor.fetch(ANY).unwrap_err();
    let (is_corrupt, damage) = match failure {
        Error::Corrupt(damage) => (true, damage),
        Error::Unsupported(damage) => (false, damage),
        failure => panic!("{failure}"),
    };
    assert_eq!((damage.position, 3), written.starts[1]);
    assert_eq!(damage.offset.as_ref().unwrap().offset(), 3);
    // It stays as it is until a seek.
    assert!(cursor.fetch(ANY).is_err());
    let after = damage.resume_at().unwrap().offset();
    assert_eq!(after, 3 + count);
    cursor.seek(after);
    assert_eq!(records_of(&cursor.fetch(ANY).unwrap().unwrap()), written.records[3..]);
    (is_corrupt, damage)
}

#[test]
fn records_that_do_not_decode_are_damage() {
    for codec in codecs().filter(|codec| *codec != Codec::None) {
        let mut written = Written::default();
        written.batch(3, codec);
        written.garbage(2, codec, b"this is not what any codec writes");
        written.batch(3, codec);
        assert!(damage_of(&written, 2).0, "{codec}");
    }
}

#[test]
fn a_batch_that_decodes_to_too_much_is_refused_with_the_limit() {
    let zeros = vec![0; DEFAULT_DECOMPRESSED_BYTES as usize + 1];
    for codec in [Codec::Lz4, Codec::Zstd].into_iter().filter(|codec| codec.is_built_in()) {
        let mut bomb = Vec::new();
        compress(Encoding { codec, level: level(codec) }, &zeros, &mut bomb).unwrap();
        let mut written = Written::default();
        written.batch(3, Codec::None);
        written.garbage(1, codec, &bomb);
        written.batch(3, Codec::None);
        let (is_corrupt, damage) = damage_of(&written, 1);
        assert!(!is_corrupt && damage.reason.contains("67108864 bytes"), "{damage}");
    }
}

#[test]
fn a_codec_that_is_not_built_in_is_named() {
    for codec in Codec::ALL.into_iter().filter(|codec| !codec.is_built_in()) {
        let mut written = Written::default();
        written.batch(3, Codec::None);
        written.garbage(2, codec, b"whatever");
        written.batch(3, Codec::None);
        let (is_corrupt, damage) = damage_of(&written, 2);
        assert!(!is_corrupt && damage.reason.contains(&format!("cargo feature `{codec}`")), "{damage}");
    }
}
