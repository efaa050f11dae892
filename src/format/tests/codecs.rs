//! Frames under `tests/vectors/codec`, what is written here, and what a hostile writer could make of either.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rows::Row;
use super::{manifest, sealed, vector};
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::compression::{BatchLimits, Encoding, Lz4Header, Unreadable, compress, decompress};
use crate::format::decode::decode;
use crate::format::frame::valid_batch_at;
use crate::format::header::{Codec, HEADER_BYTES};
use crate::format::record::RecordFields;

const ENOUGH: usize = 1 << 20;
/// Bytes that do not compress: few where each takes long.
const NOISE: usize = if cfg!(miri) { 600 } else { 20_000 };

fn codecs() -> impl Iterator<Item = Codec> {
    Codec::ALL.into_iter().filter(|codec| *codec != Codec::None && codec.is_built_in())
}

fn levels(codec: Codec) -> &'static [i32] {
    match codec {
        Codec::Gzip => &[-1, 1, 9],
        Codec::Zstd => &[3, -131_072, -1, 0, 22],
        _ => &[0],
    }
}

fn packed(codec: Codec, level: i32, plain: &[u8]) -> Vec<u8> {
    let mut frame = b"before".to_vec();
    compress(Encoding { codec, level }, plain, &mut frame).unwrap();
    frame.split_off(6)
}

fn unpack(codec: Codec, frame: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
    let mut plain = b"before".to_vec();
    decompress(codec, Lz4Header::Checked, frame, limit, &mut plain)?;
    Ok(plain.split_off(6))
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn frames_of_other_writers_are_read() {
    let mut read = 0;
    for entry in manifest("codec_frames") {
        let file = entry["file"].as_str().unwrap();
        let codec = Codec::ALL.into_iter().find(|codec| entry["codec"] == codec.name()).unwrap();
        if !codec.is_built_in() {
            continue;
        }
        let outcome = unpack(codec, &vector(file), ENOUGH);
        // Linked lz4 blocks need not be read, but are.
        if entry["expected"] == "reject" {
            assert!(matches!(outcome, Err(Unreadable::Malformed(_))), "{file}: {outcome:?}");
        } else {
            assert!(outcome == Ok(vector(entry["plain_file"].as_str().unwrap())), "{file}");
        }
        read += 1;
    }
    assert!(read >= codecs().count() * 5, "{read}");
}

#[test]
#[cfg_attr(miri, ignore = "compresses many kilobytes, which takes Miri minutes")]
fn frames_look_like_those_of_the_jvm_client() {
    let large = vector("codec/plain_large.bin");
    for codec in codecs() {
        let frame = packed(codec, levels(codec)[0], &large);
        match codec {
            Codec::Gzip => assert!(frame.starts_with(&[0x1f, 0x8b, 8, 0])),
            Codec::Snappy => {
                assert!(frame.starts_with(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"));
                // Three blocks: 32 KiB, 32 KiB and the rest.
                let mut lengths = Vec::new();
                let mut rest = &frame[16..];
                while !rest.is_empty() {
                    let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
                    lengths.push(snappy_length(&rest[4..]));
                    rest = &rest[4 + length..];
                }
                assert_eq!(lengths, [32 << 10, 32 << 10, large.len() - (64 << 10)]);
            }
            Codec::Lz4 => {
                assert!(frame.starts_with(&vector("codec/lz4_jvm_like_large.bin")[..7]));
                assert!(frame.ends_with(&[0; 4]));
            }
            Codec::Zstd => {
                // No content size, no checksum, no dictionary, a window instead of a single segment.
                let frame = packed(codec, 3, &large);
                assert!(frame.starts_with(&[0x28, 0xb5, 0x2f, 0xfd, 0]));
            }
            Codec::None => unreachable!(),
        }
    }
}

/// The plain length with which a snappy block begins.
fn snappy_length(block: &[u8]) -> usize {
    let bytes = block.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    block[..bytes].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f))
}

#[test]
fn what_does_not_compress_comes_back() {
    for codec in codecs() {
        let lengths = [0, 1, 15, 16, 17, 32 << 10, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300_000];
        for length in lengths.into_iter().filter(|length| !cfg!(miri) || *length < NOISE) {
            let plain = noise(length);
            for level in levels(codec) {
                let frame = packed(codec, *level, &plain);
                assert!(frame.len() < length + length / 6 + 100, "{codec}: {} for {length}", frame.len());
                assert!(unpack(codec, &frame, length) == Ok(plain.clone()), "{codec} {length}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "writes megabytes, which takes Miri minutes")]
fn a_bomb_is_refused_at_the_limit_and_read_below_it() {
    const BOMB: usize = 2 << 20;
    let zeros = vec![0; BOMB];
    for codec in codecs() {
        let frame = packed(codec, levels(codec)[0], &zeros);
        assert!(frame.len() < BOMB / 15);
        for limit in [0, 1, 4095, 1 << 20, BOMB - 1] {
            assert_eq!(unpack(codec, &frame, limit), Err(Unreadable::TooLarge { limit }), "{codec}");
        }
        assert!(unpack(codec, &frame, BOMB) == Ok(zeros.clone()), "{codec}");
        let text = Unreadable::TooLarge { limit: 67_108_864 }.to_string();
        assert!(text.contains("67108864 bytes"), "{text}");
    }
}

#[test]
fn sizes_that_a_frame_declares_are_not_believed() {
    if Codec::Snappy.is_built_in() {
        // 1 GiB in five bytes of length and one of data.
        let lie = [0x80, 0x80, 0x80, 0x80, 0x04, 0];
        assert!(matches!(unpack(Codec::Snappy, &lie, usize::MAX), Err(Unreadable::Malformed(_))));
    }
    if Codec::Zstd.is_built_in() {
        // A content size of 2⁴⁰ before an empty last block, then a window of 2⁴¹ bytes.
        let content = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
        assert!(unpack(Codec::Zstd, &content, ENOUGH).is_err());
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0];
        let refused = unpack(Codec::Zstd, &window, ENOUGH).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the zstd frame has a window of more than 134217728 bytes, the largest that is read"
        );
        // And the next frame is read as if nothing had been.
        assert_eq!(unpack(Codec::Zstd, &packed(Codec::Zstd, 3, b"fine"), 4), Ok(b"fine".to_vec()));
    }
    if Codec::Lz4.is_built_in() {
        let mut frame = packed(Codec::Lz4, 0, b"twelve bytes");
        frame[7..11].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
        assert!(matches!(unpack(Codec::Lz4, &frame, ENOUGH), Err(Unreadable::Malformed(_))));
    }
}

#[test]
fn every_cut_of_a_frame_is_refused() {
    let plain = vector("codec/plain_small.bin");
    for codec in codecs() {
        let frame = packed(codec, levels(codec)[0], &plain);
        for cut in 0..frame.len() {
            let outcome = unpack(codec, &frame[..cut], ENOUGH);
            // Snappy streams end anywhere between two blocks.
            if codec == Codec::Snappy && cut == 16 {
                assert_eq!(outcome, Ok(Vec::new()));
                continue;
            }
            assert!(matches!(outcome, Err(Unreadable::Malformed(_))), "{codec} at {cut}: {outcome:?}");
        }
    }
}

#[test]
fn lz4_headers_are_checked_where_they_are_right() {
    if !Codec::Lz4.is_built_in() {
        return;
    }
    let frame = vector("codec/lz4_kp_small.bin");
    let plain = vector("codec/plain_small.bin");
    // The checksum lies after the flags, the block size and eight bytes of content size.
    let mut wrong = frame.clone();
    wrong[14] ^= 1;
    assert!(matches!(unpack(Codec::Lz4, &wrong, ENOUGH), Err(Unreadable::Malformed(_))));
    let mut read = Vec::new();
    decompress(Codec::Lz4, Lz4Header::Unchecked, &wrong, ENOUGH, &mut read).unwrap();
    assert_eq!(read, plain);
    for (at, bits) in [(0, 1), (4, 0x80), (4, 2), (4, 1), (5, 0x80), (5, 1), (5, 0x40)] {
        let mut wrong = frame.clone();
        wrong[at] ^= bits;
        let outcome = decompress(Codec::Lz4, Lz4Header::Unchecked, &wrong, ENOUGH, &mut Vec::new());
        assert!(outcome.is_err(), "byte {at}, bits {bits:#x}");
    }
    let mut wrong = vector("codec/lz4_block_checksum.bin");
    let last = wrong.len() - 5;
    wrong[last] ^= 1;
    assert!(unpack(Codec::Lz4, &wrong, ENOUGH).is_err());
}

/// A batch of equal records, compressed as `encoding` says.
fn batch_of(records: usize, value: &[u8], encoding: Encoding, limit: usize) -> (Vec<u8>, Vec<u8>) {
    let mut builder = BatchBuilder::default();
    for _ in 0..records {
        let fields = RecordFields { key: None, value: Some(value), headers: &[] };
        let measured = builder.measure(&fields, 5);
        builder.push(&fields, measured, 5);
    }
    let limits = BatchLimits { written: limit, ..BatchLimits::NONE };
    let finished = builder.finish_with(encoding, limits).unwrap().placed_at(7, 3).to_vec();
    (finished, builder.finish().unwrap().placed_at(7, 3).to_vec())
}

#[test]
fn batches_are_compressed_unless_only_the_plain_one_has_its_place() {
    for codec in codecs() {
        let encoding = Encoding { codec, level: levels(codec)[0] };
        let (compressed, plain) = batch_of(100, b"the same value again", encoding, usize::MAX);
        assert!(compressed.len() < plain.len() / 3, "{codec}");
        assert!(valid_batch_at(&compressed, 7).is_ok());
        assert_eq!(Batch::of_frame(&compressed).unwrap().header.codec(), Ok(codec));
        let mut made = Vec::new();
        decode(&compressed, ENOUGH, &mut made).unwrap();
        assert_eq!(made[HEADER_BYTES..], plain[HEADER_BYTES..]);

        // Compressing makes this one larger.
        let (compressed, plain) = batch_of(1, &noise(NOISE), encoding, usize::MAX);
        assert!(compressed.len() > plain.len());
        assert_eq!(Batch::of_frame(&compressed).unwrap().header.codec(), Ok(codec));
        assert_eq!(batch_of(1, &noise(NOISE), encoding, compressed.len()).0, compressed);
        assert_eq!(batch_of(1, &noise(NOISE), encoding, compressed.len() - 1).0, plain);
        assert_eq!(batch_of(1, &noise(NOISE), encoding, plain.len() - 1).0, compressed);
    }
}

#[test]
fn records_of_a_codec_that_is_not_built_in_name_the_feature() {
    for codec in Codec::ALL {
        let reason = Unreadable::NotBuiltIn(codec).to_string();
        assert!(reason.ends_with(&format!("enable the cargo feature `{codec}`")), "{reason}");
        let outcome = decompress(codec, Lz4Header::Checked, &[], ENOUGH, &mut Vec::new());
        assert_eq!(outcome == Err(Unreadable::NotBuiltIn(codec)), !codec.is_built_in());
    }
}

/// Pieces that repeat, so that there is something to compress, and pieces that do not.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (vec(any::<u8>(), 1..30), 1_usize..400).prop_map(|(piece, times)| piece.repeat(times)),
        vec(any::<u8>(), 0..3000),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(24), ..ProptestConfig::default() })]

    #[test]
    fn what_was_compressed_comes_back(plain in plain()) {
        for codec in codecs() {
            let frame = packed(codec, levels(codec)[0], &plain);
            prop_assert!(unpack(codec, &frame, plain.len()) == Ok(plain.clone()), "{}", codec);
            // Frames back to back, where the codec has that.
            if codec != Codec::Lz4 {
                let twice = unpack(codec, &frame.repeat(2), 2 * plain.len());
                prop_assert!(twice == Ok(plain.repeat(2)), "{}", codec);
            }
        }
    }

    /// Never a panic, never more than the limit, whatever the bytes.
    #[test]
    fn damaged_frames_are_refused_or_bounded(
        plain in plain(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in codecs() {
            let mut frame = packed(codec, levels(codec)[0], &plain);
            for (at, byte) in &damage {
                let at = at.index(frame.len());
                frame[at] = *byte;
            }
            frame.truncate(cut.index(frame.len()) + 1);
            if let Ok(found) = unpack(codec, &frame, 100_000) {
                prop_assert!(found.len() <= 100_000);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_bounded(bytes in vec(any::<u8>(), 0..300), attributes in 0_i16..5) {
        for codec in codecs() {
            if let Ok(found) = unpack(codec, &bytes, 1000) {
                prop_assert!(found.len() <= 1000);
            }
        }
        // The same as the records of a batch.
        let mut frame = vector("batches/kp_basic.bin")[..HEADER_BYTES].to_vec();
        frame[21..23].copy_from_slice(&attributes.to_be_bytes());
        frame.extend_from_slice(&bytes);
        let mut made = vec![1; 3];
        if decode(&sealed(frame), 1000, &mut made).is_err() {
            prop_assert_eq!(made, [1; 3]);
            return Ok(());
        }
        let (batch, after) = Batch::take_checked(&made[3..]).unwrap();
        prop_assert!(after.is_empty());
        if batch.check_records().is_ok() {
            Row::read(&batch);
        }
    }
}
