//! What can be read of a partition whose files are damaged, and what cannot.
//!
//! Batches are looked for one after the other, whatever lies between them: where one is not complete, reading continues with the
//! next one that is, has an offset that can follow, and lies before the next segment. A length that leads to such a batch is
//! followed first, since values may hold bytes that look like batches. Indexes are not needed.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use super::batch::BatchView;
use crate::error::Result;
use crate::format::checkpoint::parse_epochs;
use crate::format::compression::DEFAULT_DECOMPRESSED_BYTES;
use crate::format::file_names::LEADER_EPOCHS;
use crate::format::frame::{Frame, MIN_PREFIX, frame_length};
use crate::segment::{self, Batches, LOG};
use crate::sys::{Disk, EntryKind, PlainFile};

const MISSING: &str = "no batch of these offsets is there, unless a compaction has taken them out";
const MISPLACED: &str = "the offset does not fit between those of the batches around it";

/// What comes next in a partition that may be damaged.
#[derive(Debug)]
#[non_exhaustive]
pub enum Salvaged<'s> {
    /// A complete batch, whose records can be read.
    Batch(BatchView<'s>),
    /// Something that cannot be read.
    LeftOut(LeftOut),
}

/// A part of a partition that cannot be read, or is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The first offset that may be in it.
    pub first: u64,
    /// The offset after the last one that may be in it; `None` if nothing follows that shows it.
    pub end: Option<u64>,
    /// The file; that of the next segment where a segment is missing.
    pub path: PathBuf,
    /// The bytes in it. Empty where they are missing.
    pub bytes: Range<u64>,
    /// What is wrong.
    pub reason: Box<str>,
}

/// Goes through the directory of a partition and returns every batch that can be read, in the order of offsets, and what
/// lies between them that cannot. `on_next` says whether to continue.
///
/// Nothing is changed, no lock is taken, and the log need not be one that opens: the segments alone are read. All of their
/// batches are returned, those before the log start and those that Kafka writes for itself among them. Offsets that are
/// missing inside a segment, between complete batches, are those of a compaction and not reported. Needs memory for one batch and
/// what it decompresses to. Kafka has no counterpart: a broker cuts what follows damage, or stops.
///
/// ```
/// use std::ops::ControlFlow;
/// use stratalog::inspect::{Salvaged, salvage};
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new())?;
/// for value in ["one", "two", "three"] {
///     log.producer()?.send(&orders, Record::new(value))?;
/// }
/// log.close()?;
/// let path = dir.path().join("orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&path)?;
/// let middle = bytes.len() / 2;
/// bytes[middle] ^= 1;
/// std::fs::write(&path, bytes)?;
///
/// let (mut read, mut left_out) = (Vec::new(), Vec::new());
/// salvage(dir.path().join("orders-0"), |next| {
///     match next {
///         Salvaged::Batch(batch) => read.extend(batch.base_offset()),
///         Salvaged::LeftOut(range) => left_out.push((range.first, range.end)),
///         _ => {}
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((read, left_out), (vec![0, 2], vec![(1, Some(2))]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `Io` if the directory cannot be listed. What cannot be read of a file is left out.
pub fn salvage(
    directory: impl AsRef<Path>,
    mut on_next: impl FnMut(Salvaged<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let directory = directory.as_ref();
    let disk = Disk::for_reading(directory, false);
    let names = disk.list(directory)?;
    let files = names.iter().filter(|(_, kind)| *kind != EntryKind::Directory);
    let mut bases: Vec<u64> = files.filter_map(|(name, _)| segment::base_of(name, LOG)).collect();
    bases.sort_unstable();
    let mut expected = known_start(&disk, directory);
    let mut next_bases = bases.iter().skip(1);
    for &base in &bases {
        let limit = next_bases.next().copied();
        let path = directory.join(segment::file_name(base, LOG));
        if let Some(first) = expected.filter(|expected| *expected < base) {
            let gap =
                LeftOut { first, end: Some(base), path: path.clone(), bytes: 0..0, reason: MISSING.into() };
            if on_next(Salvaged::LeftOut(gap)).is_break() {
                return Ok(());
            }
        }
        let opened = disk.open(&path, false).and_then(|file| file.len().map(|length| (file, length)));
        let read = match opened {
            Ok((file, length)) => {
                let batches = Batches::new(&file, length, 0, base);
                Reading { file: &file, length, limit, batches }.all(&mut on_next)
            }
            Err(failure) => {
                let reason = failure.to_string().into();
                let left_out = LeftOut { first: base, end: limit, path, bytes: 0..0, reason };
                on_next(Salvaged::LeftOut(left_out)).map_continue(|()| limit.unwrap_or(base))
            }
        };
        match read {
            ControlFlow::Continue(end) => expected = Some(end),
            ControlFlow::Break(()) => return Ok(()),
        }
    }
    Ok(())
}

/// Where the log starts by its first leader epoch.
fn known_start(disk: &Disk, directory: &Path) -> Option<u64> {
    let bytes = disk.read_small(&directory.join(LEADER_EPOCHS), super::MAX_SMALL_BYTES).ok()??;
    parse_epochs(&bytes).ok()?.first().map(|first| first.start)
}

/// One segment that is read.
struct Reading<'r> {
    file: &'r PlainFile,
    length: u64,
    /// Where the next segment begins.
    limit: Option<u64>,
    batches: Batches<'r>,
}

impl Reading<'_> {
    /// Returns all of it, and reports the offset after it.
    fn all(mut self, on_next: &mut dyn FnMut(Salvaged<'_>) -> ControlFlow<()>) -> ControlFlow<(), u64> {
        while self.batches.position < self.length {
            let (position, expected) = (self.batches.position, self.batches.expected);
            let reason = match self.take() {
                Ok(Looked::Batch(at, frame)) => {
                    let (first, after) = (frame.known_first_offset(), self.batches.position);
                    let limit = DEFAULT_DECOMPRESSED_BYTES as usize;
                    let view = BatchView::of(self.file.path(), self.batches.passed(at), at, limit);
                    let readable = view.as_ref().map(|view| view.records().map(drop));
                    match (view, readable) {
                        (Some(view), Some(Ok(()))) => on_next(Salvaged::Batch(view))?,
                        (_, unreadable) => {
                            let reason = unreadable.and_then(std::result::Result::err);
                            let reason = reason.map_or_else(|| MISPLACED.into(), |e| e.to_string());
                            self.leave_out(first..frame.last_offset() + 1, at..after, reason, on_next)?;
                        }
                    }
                    continue;
                }
                Ok(Looked::Nothing) => break,
                Ok(Looked::Damage(reason)) => reason,
                Err(failure) => {
                    return self.leave_out_rest(position, expected, failure.to_string(), on_next);
                }
            };
            match self.find(position, expected) {
                Ok(Some(first)) => {
                    let bytes = position..self.batches.position;
                    self.leave_out(expected..first, bytes, reason, on_next)?;
                    self.batches.expected = first;
                }
                Ok(None) => return self.leave_out_rest(position, expected, reason, on_next),
                Err(failure) => {
                    let reason = format!("{reason}; {failure}");
                    return self.leave_out_rest(position, expected, reason, on_next);
                }
            }
        }
        ControlFlow::Continue(self.batches.expected)
    }

    /// The batch here, if it is one that can be here.
    fn take(&mut self) -> Result<Looked> {
        let (position, expected) = (self.batches.position, self.batches.expected);
        match self.batches.next()? {
            Ok((at, frame)) if self.fits(at, &frame, expected)? => Ok(Looked::Batch(at, frame)),
            Ok(_) => {
                self.go(position, expected);
                Ok(Looked::Damage(MISPLACED.into()))
            }
            // Preallocated space.
            Err(_) if self.batches.rest_is_zero()? => Ok(Looked::Nothing),
            Err(stop) => Ok(Looked::Damage(stop.reason.to_string())),
        }
    }

    fn go(&mut self, position: u64, expected: u64) {
        (self.batches.position, self.batches.expected) = (position, expected);
    }

    /// Whether a complete batch, which was passed just now, has an offset that can be right. The checksum does not cover it, so a
    /// gap before it counts only if the batch after it does not show that there is none.
    fn fits(&mut self, at: u64, frame: &Frame, expected: u64) -> Result<bool> {
        let (first, end) = (frame.known_first_offset(), frame.last_offset() + 1);
        if self.limit.is_some_and(|limit| end > limit) {
            return Ok(false);
        }
        if first <= expected {
            return Ok(true);
        }
        self.batches.expected = expected;
        let after = self.batches.next()?.ok().map(|(_, frame)| frame.known_first_offset());
        // The bytes of the batch are wanted.
        self.go(at, expected);
        let _ = self.batches.next()?;
        Ok(after.is_none_or(|after| after >= end))
    }

    /// Goes to the next batch that fits, and reports its first offset.
    fn find(&mut self, damaged: u64, expected: u64) -> Result<Option<u64>> {
        let mut prefix = [0; MIN_PREFIX];
        self.file.read_at(&mut prefix, damaged)?;
        if let Some(claimed) = frame_length(&prefix).ok().map(|length| damaged.saturating_add(length))
            && claimed < self.length
            && let Some(first) = self.is_at(claimed, expected)?
        {
            return Ok(Some(first));
        }
        self.go(damaged, expected);
        while self.batches.valid_batch_follows()? {
            let at = self.batches.position;
            if let Some(first) = self.is_at(at, expected)? {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// Goes to a position, and reports the first offset of the batch there if one is that fits.
    fn is_at(&mut self, position: u64, expected: u64) -> Result<Option<u64>> {
        self.go(position, expected);
        let found = match self.batches.next()? {
            Ok((at, frame)) => self.fits(at, &frame, expected)?.then(|| frame.known_first_offset()),
            Err(_) => None,
        };
        self.go(position, expected);
        Ok(found)
    }

    fn leave_out(
        &self,
        offsets: Range<u64>,
        bytes: Range<u64>,
        reason: impl Into<Box<str>>,
        on_next: &mut dyn FnMut(Salvaged<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (path, reason) = (self.file.path().to_owned(), reason.into());
        on_next(Salvaged::LeftOut(LeftOut {
            first: offsets.start,
            end: Some(offsets.end),
            path,
            bytes,
            reason,
        }))
    }

    /// Nothing more can be read of the segment.
    fn leave_out_rest(
        &self,
        position: u64,
        expected: u64,
        reason: String,
        on_next: &mut dyn FnMut(Salvaged<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<(), u64> {
        let (path, bytes) = (self.file.path().to_owned(), position..self.length);
        let left_out = LeftOut { first: expected, end: self.limit, path, bytes, reason: reason.into() };
        on_next(Salvaged::LeftOut(left_out))?;
        ControlFlow::Continue(self.limit.unwrap_or(expected))
    }
}

/// What is at a position.
enum Looked {
    Batch(u64, Frame),
    Nothing,
    Damage(String),
}
