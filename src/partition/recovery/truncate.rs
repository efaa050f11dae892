//! Truncation: the log ends earlier than its files do.
//!
//! Readers keep what they have, in this process and in others: a file in which complete batches follow the new end is not cut
//! but replaced by a shorter one, and stays as it is for those who have it open. Where nothing complete follows no reader has
//! seen a byte, and the next open for writing truncates the file in place. Segments after the new end leave the log. Nothing that
//! may be a record is lost: it is kept beside the log, see [`aside`](super::aside).

use std::path::PathBuf;

use super::check_length;
use crate::error::Result;
use crate::partition::PartitionCore;
use crate::segment::{self, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX};
use crate::sys::PlainFile;

/// Where a log is to end.
#[derive(Debug)]
pub(in crate::partition) struct TruncateTo<'t> {
    /// The last segment, and how many bytes of it are part of the log, if that is not all of it.
    pub(in crate::partition) last: Option<LastFile>,
    /// Base offsets of the segments after it, which leave the log.
    pub(in crate::partition) after: &'t [u64],
}

/// The file in which a log is to end.
#[derive(Debug)]
pub(in crate::partition) struct LastFile {
    pub(in crate::partition) file: PlainFile,
    pub(in crate::partition) length: u64,
    pub(in crate::partition) position: u64,
    /// Complete batches follow the position.
    pub(in crate::partition) holds_more: bool,
}

/// What a truncation took out of the log.
#[derive(Debug, Default)]
pub(in crate::partition) struct Truncated {
    pub(in crate::partition) bytes: u64,
    /// Files in which it is kept.
    pub(in crate::partition) kept: Vec<PathBuf>,
}

impl PartitionCore {
    /// Has the files end where the log is to end. A stop at any point leaves the old end or the new one, or segments after a
    /// gap, which recovery takes out again.
    pub(in crate::partition) fn truncate_to(
        &self,
        TruncateTo { last, after }: TruncateTo<'_>,
    ) -> Result<Truncated> {
        let mut truncated = Truncated::default();
        if let Some(LastFile { file, length, position, holds_more }) = last {
            truncated.bytes += length - position;
            if holds_more {
                truncated.kept.push(self.cut_off(file, position..length)?);
            }
        }
        for base in after {
            let path = self.directory.join(segment::file_name(*base, segment::LOG));
            truncated.bytes += check_length(&path, self.disk.open(&path, false)?.len()?)?;
            truncated.kept.push(self.keep_whole(&path, &path)?);
            for suffix in [OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX] {
                self.disk.remove_file(&path.with_extension(suffix))?;
            }
        }
        Ok(truncated)
    }
}
