//! Snappy in the framing that the JVM calls xerial: a header, then blocks of at most 32 KiB, each after its length.
//! Streams of that kind may follow one another. What does not begin with the header is one bare block, as librdkafka
//! writes it.

use std::cell::RefCell;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Unreadable;
use crate::format::Malformed;
use crate::format::varint::Input;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, then two versions, both 1.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Where a block's length is due, this begins another header.
const MAGIC_AS_LENGTH: i32 = i32::from_be_bytes([0x82, b'S', b'N', b'A']);
/// Plain bytes per block.
const BLOCK_BYTES: usize = 32 << 10;
/// No element of a block represents more plain bytes per byte than a copy: 64 for 3. Rounded up.
const MAX_EXPANSION: usize = 22;

thread_local! {
    /// An encoder is a table of 32 KiB: each thread keeps one.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

pub(super) fn decompress(from: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    if from.len() < HEADER.len() || !from.starts_with(&MAGIC) {
        return block(from, limit, to);
    }
    let start = to.len();
    let mut input = Input::new(from);
    input.take(HEADER.len())?;
    while !input.is_empty() {
        let length = input.i32()?;
        if length == MAGIC_AS_LENGTH {
            // What is left of the header; versions differ in byte order and mean nothing.
            input.take(HEADER.len() - size_of::<i32>())?;
            continue;
        }
        let length =
            usize::try_from(length).map_err(|_| Malformed("the length of a snappy block is negative"))?;
        let bytes = input.take(length).map_err(|_| Malformed("the snappy stream ends early"))?;
        block(bytes, limit.saturating_sub(to.len() - start), to).map_err(|reason| match reason {
            Unreadable::TooLarge { .. } => Unreadable::TooLarge { limit },
            other => other,
        })?;
    }
    Ok(())
}

fn block(from: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    const DAMAGED: Malformed = Malformed("a snappy block is damaged");
    let length = decompress_len(from).map_err(|_| DAMAGED)?;
    if length > from.len().saturating_mul(MAX_EXPANSION) {
        return Err(DAMAGED.into());
    }
    if length > limit {
        return Err(Unreadable::TooLarge { limit });
    }
    let start = to.len();
    to.resize(start + length, 0);
    let room = to.get_mut(start..).unwrap_or_default();
    Decoder::new().decompress(from, room).map_err(|_| DAMAGED)?;
    Ok(())
}

pub(super) fn compress(from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    ENCODER.with_borrow_mut(|encoder| {
        to.extend_from_slice(&HEADER);
        for block in from.chunks(BLOCK_BYTES) {
            let length_at = to.len();
            let block_at = length_at + size_of::<i32>();
            to.resize(block_at + max_compress_len(block.len()), 0);
            let length = encoder.compress(block, to.get_mut(block_at..)?).ok()?;
            to.truncate(block_at + length);
            let length = i32::try_from(length).ok()?.to_be_bytes();
            to.get_mut(length_at..block_at)?.copy_from_slice(&length);
        }
        Some(())
    })
}
