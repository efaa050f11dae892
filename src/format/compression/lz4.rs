//! LZ4 frames as the JVM client writes them: independent blocks of 64 KiB, no checksums but the header's, no content
//! size. Read is what the frame format (version 1) allows, as far as Kafka's clients write it: any block size, checksums
//! of blocks, a content size and a content checksum, which the batch's own checksum makes superfluous, and blocks that
//! refer to the one before, though the JVM's reader refuses those. What follows the end mark is not checked.

use std::cell::RefCell;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::{Lz4Header, Unreadable};
use crate::format::Malformed;
use crate::format::varint::Input;

/// Magic, flags, block size, checksum of these two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, INDEPENDENT_BLOCKS | VERSION, 0x40, 0x82];
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Plain bytes per block.
const BLOCK_BYTES: usize = 64 << 10;
const END_MARK: [u8; 4] = [0; 4];

const VERSION: u8 = 0x40;
const VERSION_BITS: u8 = 0xc0;
const INDEPENDENT_BLOCKS: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED_FLAG: u8 = 0x02;
const DICTIONARY: u8 = 0x01;
/// All of the second byte but the size code.
const RESERVED_SIZE_BITS: u8 = 0x8f;
/// In the length of a block: its bytes are plain.
const STORED: u32 = 1 << 31;

/// How far back a block may refer.
const REACH: usize = 64 << 10;
/// A byte of a block represents at most 255 plain bytes; the last literals come on top.
const MAX_EXPANSION: usize = 256;

thread_local! {
    /// A table of 8 KiB: each thread keeps one.
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::large());
}

/// What the header says of the blocks.
struct Frame {
    independent: bool,
    block_checksums: bool,
    content_checksum: bool,
    block_bytes: usize,
}

pub(super) fn decompress(
    from: &[u8],
    header: Lz4Header,
    limit: usize,
    to: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let mut input = Input::new(from);
    let frame = frame(&mut input, header)?;
    let start = to.len();
    loop {
        let length = u32::from_le_bytes(input.array().map_err(|_| EARLY)?);
        if length == 0 {
            break;
        }
        let bytes = usize::try_from(length & !STORED).unwrap_or(usize::MAX);
        if bytes > frame.block_bytes {
            return Err(Malformed("an lz4 block is larger than its frame allows").into());
        }
        let block = input.take(bytes).map_err(|_| EARLY)?;
        if frame.block_checksums {
            let checksum = u32::from_le_bytes(input.array().map_err(|_| EARLY)?);
            if XxHash32::oneshot(0, block) != checksum {
                return Err(Malformed("the checksum of an lz4 block does not match").into());
            }
        }
        if length & STORED == 0 {
            frame.decompress(block, start, to)?;
        } else {
            to.extend_from_slice(block);
        }
        if to.len() - start > limit {
            return Err(Unreadable::TooLarge { limit });
        }
    }
    if frame.content_checksum {
        input.take(4).map_err(|_| EARLY)?;
    }
    Ok(())
}

const EARLY: Malformed = Malformed("the lz4 frame ends early");

fn frame(input: &mut Input<'_>, header: Lz4Header) -> Result<Frame, Malformed> {
    if input.array::<4>().map_err(|_| EARLY)? != MAGIC {
        return Err(Malformed("the records do not begin with an lz4 frame"));
    }
    let descriptor = *input;
    let [flags, size] = input.array().map_err(|_| EARLY)?;
    let has = |flag: u8| flags & flag != 0;
    if flags & VERSION_BITS != VERSION || has(RESERVED_FLAG) || size & RESERVED_SIZE_BITS != 0 {
        return Err(Malformed("the lz4 frame is of an unknown version"));
    }
    if has(DICTIONARY) {
        return Err(Malformed("the lz4 frame needs a dictionary"));
    }
    let block_bytes = match size >> 4 {
        code @ 4..=7 => 1 << (2 * code + 8),
        _ => return Err(Malformed("the lz4 frame has an unknown block size")),
    };
    if has(CONTENT_SIZE) {
        input.take(8).map_err(|_| EARLY)?;
    }
    let described = descriptor.remaining() - input.remaining();
    let described = descriptor.rest().get(..described).unwrap_or_default();
    let [checksum] = input.array().map_err(|_| EARLY)?;
    if header == Lz4Header::Checked && XxHash32::oneshot(0, described).to_le_bytes()[1] != checksum {
        return Err(Malformed("the header checksum of the lz4 frame does not match"));
    }
    Ok(Frame {
        independent: has(INDEPENDENT_BLOCKS),
        block_checksums: has(BLOCK_CHECKSUMS),
        content_checksum: has(CONTENT_CHECKSUM),
        block_bytes,
    })
}

impl Frame {
    /// Appends what a block decompresses to. The frame's output begins at `start`.
    fn decompress(&self, block: &[u8], start: usize, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let at = to.len();
        let most = block.len().saturating_mul(MAX_EXPANSION).min(self.block_bytes);
        to.resize(at + most, 0);
        let (before, room) = to.split_at_mut(at);
        let length = if self.independent || at == start {
            decompress_into(block, room)
        } else {
            let reach = before.get(start.max(at.saturating_sub(REACH))..).unwrap_or_default();
            decompress_into_with_dict(block, room, reach)
        };
        to.truncate(at + length.map_err(|_| Malformed("an lz4 block is damaged"))?);
        Ok(())
    }
}

pub(super) fn compress(from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    TABLE.with_borrow_mut(|table| {
        to.extend_from_slice(&HEADER);
        for block in from.chunks(BLOCK_BYTES) {
            let length_at = to.len();
            let block_at = length_at + size_of::<u32>();
            to.resize(block_at + get_maximum_output_size(block.len()), 0);
            let compressed = compress_into_with_table(block, to.get_mut(block_at..)?, table).ok()?;
            to.truncate(block_at + compressed);
            let mut length = u32::try_from(compressed).ok()?;
            if compressed >= block.len() {
                to.truncate(block_at);
                to.extend_from_slice(block);
                length = u32::try_from(block.len()).ok()? | STORED;
            }
            to.get_mut(length_at..block_at)?.copy_from_slice(&length.to_le_bytes());
        }
        to.extend_from_slice(&END_MARK);
        Some(())
    })
}
