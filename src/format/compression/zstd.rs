//! Zstandard: frames back to back; one is written, without content size and checksum, as the JVM client's.

use std::cell::RefCell;

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{Growing, Unreadable};
use crate::format::Malformed;

/// Windows of up to 128 MiB are read, as by the JVM client; that is what the highest level writes.
const MAX_WINDOW_LOG: u32 = 27;
/// How the library says that a window is larger: its errors are numbers, negated.
const WINDOW_TOO_LARGE: usize = 0_usize.wrapping_sub(16);

thread_local! {
    /// A context is some hundred kilobytes: each thread keeps one for each direction.
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn decompress(from: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(DCtx::try_create().ok_or(Malformed("no memory is left for zstd"))?),
        };
        // Whatever the last frame was, nothing of it matters for this one.
        let _ = context.reset(ResetDirective::SessionOnly);
        let _ = context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG));
        let outcome = frames(context, from, limit, to);
        if outcome.is_err() {
            // It may hold a window as large as a hostile frame asked for.
            *kept = None;
        }
        outcome
    })
}

fn frames(context: &mut DCtx<'_>, from: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<(), Unreadable> {
    let mut output = Growing::new(to, limit);
    let mut input = InBuffer::around(from);
    loop {
        let room = output.with_room(from.len() - input.pos())?;
        let before = (input.pos(), room.len());
        let filled = room.len();
        let mut out = OutBuffer::around_pos(room, filled);
        let wanted = context.decompress_stream(&mut out, &mut input).map_err(|code| match code {
            WINDOW_TOO_LARGE => Unreadable::Window { limit: 1 << MAX_WINDOW_LOG },
            _ => Malformed("the zstd frame is damaged").into(),
        })?;
        let makes_no_progress = before == (input.pos(), out.pos());
        let is_full = out.pos() == out.capacity();
        if wanted == 0 && input.pos() == from.len() {
            return output.finish();
        }
        if makes_no_progress && !is_full {
            return Err(Malformed("the zstd frame ends early").into());
        }
    }
}

pub(super) fn compress(from: &[u8], level: i32, to: &mut Vec<u8>) -> Option<()> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(CCtx::try_create()?),
        };
        context.reset(ResetDirective::SessionAndParameters).ok()?;
        context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        context.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
        context.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
        to.reserve(zstd_safe::compress_bound(from.len()));
        let at = to.len();
        let mut output = OutBuffer::around_pos(to, at);
        let mut input = InBuffer::around(from);
        loop {
            let left = context
                .compress_stream2(&mut output, &mut input, zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end)
                .ok()?;
            if left == 0 {
                return Some(());
            }
            if output.pos() == output.capacity() {
                return None;
            }
        }
    })
}
