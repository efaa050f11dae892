//! Where the batches of a log file end, without going through all of them: by the last entry of the offset index, which leads
//! near to the end. The entry is not believed but followed.

use super::{Batches, stored_index};
use crate::error::Result;
use crate::sys::{Disk, PlainFile};

/// The first `length` bytes of a log file, and the base offset of its segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogBytes {
    pub(crate) base: u64,
    pub(crate) length: u64,
}

/// Where the batches of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchesEnd {
    pub(crate) position: u64,
    /// Offset after the last batch.
    pub(crate) next_offset: u64,
}

/// The offset after the last batch of a log file, if all of its batches are complete and its indexes lead to none past
/// them; else `None`.
pub(crate) fn whole_to_the_end(disk: &Disk, file: &PlainFile, bytes: LogBytes) -> Result<Option<u64>> {
    let mut batches = Batches::new(file, bytes.length, 0, bytes.base);
    while batches.next()?.is_ok() {}
    let is_whole = batches.position == bytes.length && !knows_more(disk, file, bytes, batches.expected)?;
    Ok(Some(batches.expected).filter(|_| is_whole))
}

/// Whether the indexes of a log file, which ends before offset `next`, have entries for batches past its end.
pub(crate) fn knows_more(disk: &Disk, file: &PlainFile, bytes: LogBytes, next: u64) -> Result<bool> {
    let LogBytes { base, length } = bytes;
    let by_offset = stored_index::last_position(disk, file.path())?.is_some_and(|last| last >= length);
    let by_time = stored_index::last_timed(disk, file.path())?;
    Ok(by_offset || by_time.is_some_and(|last| base + u64::from(last) >= next))
}

/// Where the batches of a log file end. `most` limits the bytes that are scanned where the index does not help and
/// gives no reason for doubt; `None` if that is not enough.
pub(crate) fn end_of_batches(
    disk: &Disk,
    file: &PlainFile,
    bytes: LogBytes,
    most: u64,
) -> Result<Option<BatchesEnd>> {
    let LogBytes { base, length } = bytes;
    let walk = |from| -> Result<BatchesEnd> {
        let mut batches = Batches::new(file, length, from, base);
        while batches.next()?.is_ok() {}
        Ok(BatchesEnd { position: batches.position, next_offset: batches.expected })
    };
    let from = stored_index::last_position(disk, file.path())?;
    match from {
        Some(from) if from < length => {
            let end = walk(from)?;
            // Else the index is wrong, or there is damage after where it leads.
            if end.position == length {
                return Ok(Some(end));
            }
        }
        None if length > most => return Ok(None),
        // The index knows of more than there is, or of nothing.
        _ => {}
    }
    walk(0).map(Some)
}
