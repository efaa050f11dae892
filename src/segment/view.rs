//! A segment opened for reading: through its map, or by copies of what its file holds.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Owner, Segment};
use crate::error::{Damage, Error, Result};
use crate::format::frame::frame_length;
use crate::format::header::HEADER_BYTES;
use crate::sys::{Confirmed, Mapping, PlainFile};

impl Segment {
    /// Opens the segment for reading.
    pub(crate) fn view(self: &Arc<Self>) -> Result<SegmentView> {
        self.viewed(false)
    }

    /// The same for a lookup. The next one may well be in the same segment, so the map is kept.
    pub(crate) fn view_for_lookup(self: &Arc<Self>) -> Result<SegmentView> {
        self.viewed(true)
    }

    fn viewed(self: &Arc<Self>, keeps: bool) -> Result<SegmentView> {
        let (source, warmed) = (self.source(keeps)?, AtomicU64::new(0));
        Ok(SegmentView { segment: Arc::clone(self), source, grown: OnceLock::new(), warmed })
    }

    fn source(&self, keeps: bool) -> Result<Source> {
        // Dropped after the lock.
        let _gives_way;
        let mut opened = self.opened.lock();
        if let Some(mapping) = opened.mapping.upgrade() {
            return Ok(Source::Mapped(mapping));
        }
        let file = self.open()?;
        let end = self.end();
        refuse_cut(&file, end.position)?;
        if self.disk.map_reads
            && (end.sealed || self.owner != Owner::Writer)
            && end.position > 0
            && let Some(new) = Mapping::of_sealed(&file, &self.tail, &self.disk.budget)
        {
            opened.mapping = Arc::downgrade(&new);
            _gives_way = keeps.then(|| self.keep(&new, &opened));
            return Ok(Source::Mapped(new));
        }
        Ok(Source::File(file))
    }
}

fn refuse_cut(file: &PlainFile, end: u64) -> Result<()> {
    if file.len()? >= end {
        return Ok(());
    }
    let damage = Damage::new(file.path(), end, "the file was cut while the log was open");
    Err(Error::Corrupt(Box::new(damage)))
}

/// A segment opened for reading. Keeps the map or the descriptor it reads through.
#[derive(Debug)]
pub(crate) struct SegmentView {
    segment: Arc<Segment>,
    source: Source,
    /// The file, once a segment that another process writes has grown past the end of the map.
    grown: OnceLock<PlainFile>,
    /// What was last brought into memory for this reader: from and to, 32 bits each, which positions fit.
    warmed: AtomicU64,
}

#[derive(Debug)]
enum Source {
    Mapped(Arc<Mapping>),
    File(PlainFile),
}

impl SegmentView {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The bytes of `range`, which must lie below the segment's end.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Confirmed> {
        let path = &self.segment.path;
        match &self.source {
            Source::Mapped(mapping) if range.end > mapping.len() && self.segment.is_anothers() => {
                if let Some(file) = self.grown.get() {
                    return self.copied(file, range);
                }
                let opened = self.segment.open()?;
                self.copied(self.grown.get_or_init(|| opened), range)
            }
            Source::Mapped(mapping) => {
                let before = self.warmed.load(Ordering::Relaxed);
                let mut warmed = before >> 32..before & u64::from(u32::MAX);
                let confirmed = mapping.confirmed(range.clone(), path, &mut warmed);
                self.warmed.store(warmed.start << 32 | warmed.end, Ordering::Relaxed);
                let confirmed = confirmed.map_err(|failure| self.cause_of(failure))?;
                confirmed.ok_or_else(|| self.after_end(range))
            }
            Source::File(file) => self.copied(file, range),
        }
    }

    /// What cannot be brought in may not be there.
    #[cold]
    fn cause_of(&self, failure: Error) -> Error {
        let end = self.segment.end().position;
        let whole = self.segment.open().and_then(|file| refuse_cut(&file, end));
        whole.err().filter(|cut| matches!(cut, Error::Corrupt(_))).unwrap_or(failure)
    }

    fn copied(&self, file: &PlainFile, range: Range<u64>) -> Result<Confirmed> {
        if range.end > self.segment.end().position {
            return Err(self.after_end(range));
        }
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        #[cfg(test)]
        crate::format::work::count(length);
        let mut bytes = vec![0; length];
        let read = file.read_at(&mut bytes, range.start)?;
        if read < length {
            return Err(self.after_end(range));
        }
        Ok(Confirmed::copied(bytes))
    }

    fn after_end(&self, range: Range<u64>) -> Error {
        let reason = format!("the file ends before byte {}, but the log reaches that far", range.end);
        Error::Corrupt(Box::new(Damage::new(&self.segment.path, range.start, reason)))
    }

    /// The bytes of the batch at `position`, as many as its length field says; `None` if that is invalid.
    pub(crate) fn batch_at(&self, position: u64) -> Result<Option<Confirmed>> {
        let end = self.segment.end().position;
        let header = self.read(position..end.min(position + HEADER_BYTES as u64))?;
        match frame_length(header.as_ref()) {
            Ok(length) if length <= end - position => self.read(position..position + length).map(Some),
            _ => Ok(None),
        }
    }
}
