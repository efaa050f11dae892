//! Batches that are compressed or older than format 2, made into what readers walk over: batches of format 2 whose
//! records are as they are.

use super::compression::{self, Lz4Header, Unreadable};
use super::frame::is_legacy;
use super::header::{BatchHeader, CHECKSUMMED, CODEC_BITS, HEADER_BYTES, LENGTH_OVERHEAD};
use super::{Malformed, legacy};

/// Whether a batch must go through [`decode`] before its records can be walked over. `frame` is all of one.
#[inline]
pub(crate) fn is_encoded(frame: &[u8]) -> bool {
    // The codec is in the second byte of the attributes.
    is_legacy(frame) || frame.get(CHECKSUMMED + 1).is_some_and(|bits| i16::from(*bits) & CODEC_BITS != 0)
}

/// Appends the batch in `frame`, which is all of one whose checksum matches, in plain: with the same header but for
/// length and codec. The checksum stays that of the compressed bytes. At most `limit` bytes of records are made. On an
/// error `to` is as before.
pub(crate) fn decode(frame: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let start = to.len();
    let outcome = if is_legacy(frame) { legacy::decode(frame, limit, to) } else { batch(frame, limit, to) };
    if outcome.is_err() {
        to.truncate(start);
    }
    outcome
}

fn batch(frame: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let start = to.len();
    let (front, records) =
        frame.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed("the batch is shorter than its header"))?;
    let mut header = BatchHeader::read(front);
    let codec = header.codec()?;
    to.extend_from_slice(front);
    compression::decompress(codec, Lz4Header::Checked, records, limit, to)?;
    header.attributes &= !CODEC_BITS;
    put_header(header, start, to)
}

/// Writes the header of the batch that was made from `start` on, with the length that it has got.
pub(super) fn put_header(mut header: BatchHeader, start: usize, to: &mut [u8]) -> Result<(), Unreadable> {
    const TOO_LONG: Malformed = Malformed("the batch is longer than a batch can be");
    let made = to.get_mut(start..).unwrap_or_default();
    let length = made.len().checked_sub(LENGTH_OVERHEAD).ok_or(TOO_LONG)?;
    header.batch_length = i32::try_from(length).map_err(|_| TOO_LONG)?;
    header.write(made.first_chunk_mut().ok_or(TOO_LONG)?);
    Ok(())
}
