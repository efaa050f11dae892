//! Holding entries of a time index against the batches.
//!
//! An entry says: up to this offset the largest timestamp is this one. Of an entry that was damaged, or is of another
//! segment or another time, the batch with the offset says otherwise, or one between the entry before and this one
//! does. Looking at these costs as much as finding a time between two entries.

use super::headers::{Headers, Source};
use super::stored_index::TimePair;
use super::{IndexEntries, POSITIONS_DIFFER, SegmentEnd, TIMES_DIFFER};
use crate::error::Result;
use crate::format::index::TimeEntry;
use crate::sys::PlainFile;

/// What the batches say of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Holds,
    Wrong,
    /// A header on the way is invalid: nothing is known of what comes after it.
    Unclear,
}

/// Checks the batches from position `from` on to the one with the entry's offset, which is relative to the base beside
/// it; and, if the entry is to be the last one, on to the end.
pub(super) fn check<S: Source>(
    headers: &mut Headers<'_, S>,
    from: u64,
    base: u64,
    entry: TimeEntry,
    to_end: bool,
) -> Result<Claim> {
    let offset = base + u64::from(entry.relative_offset);
    let (mut position, mut is_borne_out) = (from, false);
    while position < headers.end.position {
        let Some(found) = headers.at(position)? else { return Ok(Claim::Unclear) };
        let Some(offsets) = headers.offsets_of(&found.header) else { return Ok(Claim::Unclear) };
        if found.indexed_timestamp() > entry.timestamp {
            return Ok(Claim::Wrong);
        }
        if !is_borne_out && *offsets.end() >= offset {
            if found.max_timestamp != entry.timestamp {
                return Ok(Claim::Wrong);
            }
            is_borne_out = true;
            if !to_end {
                break;
            }
        }
        position = found.after;
    }
    Ok(if is_borne_out { Claim::Holds } else { Claim::Wrong })
}

/// What is wrong with the last entries of an index that is to be continued, if anything is: what comes later would
/// bear out what was wrong before.
pub(super) fn refute_last(
    file: &PlainFile,
    base: u64,
    end: SegmentEnd,
    entries: &IndexEntries,
) -> Result<Option<&'static str>> {
    let mut headers = Headers::new(file, base, end);
    if let Some(last) = entries.last() {
        let offset = base + u64::from(last.relative_offset);
        if !headers.bear_out(u64::from(last.position), offset, offset)? {
            return Ok(Some(POSITIONS_DIFFER));
        }
    }
    let Some(TimePair { before, entry: last }) = entries.last_times() else { return Ok(Some(TIMES_DIFFER)) };
    let after = before.map_or(0, |before| before.relative_offset.saturating_add(1));
    let start = entries.entry_before(after).filter(|_| before.is_some());
    let from = match start {
        Some(entry) => {
            let (position, last) = (u64::from(entry.position), base + u64::from(entry.relative_offset));
            if headers.bear_out(position, last, base + u64::from(after))? { position } else { 0 }
        }
        None => 0,
    };
    // The walk may begin at the batch of the entry before, which is not above it.
    let claim = check(&mut headers, from, base, last, true)?;
    Ok((claim == Claim::Wrong).then_some(TIMES_DIFFER))
}
