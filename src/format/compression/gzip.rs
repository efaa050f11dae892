//! gzip: members of RFC 1952 back to back; one is written.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Growing, Unreadable};
use crate::format::Malformed;

/// The largest window of DEFLATE, 32 KiB, which is the one that all writers use.
const WINDOW_BITS: u8 = 15;

thread_local! {
    /// A compressor is 256 KiB of tables: each thread keeps the one that it used last.
    static COMPRESSOR: RefCell<Option<(i32, Compress)>> = const { RefCell::new(None) };
}

pub(super) fn decompress(mut from: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let mut output = Growing::new(to, limit);
    loop {
        from = member(from, &mut output)?;
        if from.is_empty() {
            return output.finish();
        }
    }
}

/// Decompresses one member and returns what follows it.
fn member<'a>(mut from: &'a [u8], output: &mut Growing<'_>) -> Result<&'a [u8], Unreadable> {
    let mut stream = Decompress::new_gzip(WINDOW_BITS);
    loop {
        let room = output.with_room(from.len())?;
        let before = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress_vec(from, room, FlushDecompress::None)
            .map_err(|_| Malformed("the gzip stream is damaged"))?;
        let taken = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
        from = from.get(taken..).unwrap_or_default();
        let makes_no_progress = taken == 0 && stream.total_out() == before.1;
        match status {
            Status::StreamEnd => return Ok(from),
            Status::Ok | Status::BufError if makes_no_progress => {
                return Err(Malformed("the gzip stream ends early").into());
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

pub(super) fn compress(from: &[u8], level: i32, to: &mut Vec<u8>) -> Option<()> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let stream = match kept {
            Some((known, stream)) if *known == level => {
                stream.reset();
                stream
            }
            _ => {
                let level_or_default =
                    u32::try_from(level).map_or_else(|_| Compression::default(), Compression::new);
                &mut kept.insert((level, Compress::new_gzip(level_or_default, WINDOW_BITS))).1
            }
        };
        loop {
            let taken = usize::try_from(stream.total_in()).ok()?;
            let left = from.get(taken..)?;
            to.reserve((left.len() / 2).max(1024));
            match stream.compress_vec(left, to, FlushCompress::Finish).ok()? {
                Status::StreamEnd => return Some(()),
                Status::Ok | Status::BufError => {}
            }
        }
    })
}
