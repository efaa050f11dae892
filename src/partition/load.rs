//! Looking at a partition's directory: what segments there are, where the log ends, and recovery after an unclean stop.
//!
//! After an orderly close only the last segment is looked at, behind its last index entry. After an unclean stop
//! everything behind the recovery point is checked batch by batch, by reading, never by mapping. A tail that does not
//! hold together is cut; damage below the recovery point is an error and nothing is touched.

use std::path::PathBuf;
use std::sync::Arc;

use super::{LastSegment, PartitionLog};
use crate::error::{Damage, Error, Result};
use crate::format::checkpoint::EpochStart;
use crate::format::frame::NotWhole;
use crate::position::TopicPartition;
use crate::segment::{self, Batches, IndexEntries, Segment, check_batches};
use crate::sys::disk::kind_of;
use crate::sys::{EntryKind, PlainFile, Tail};

/// What opening a directory found in one partition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PartitionRecovery {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of log that were read and checked.
    pub bytes_scanned: u64,
    /// Bytes behind the last whole batch that were cut off: a batch that was being written.
    pub bytes_cut: u64,
    /// Bytes that were cut although whole batches follow in them: a copy was kept in this file.
    pub kept: Option<PathBuf>,
    /// Where the log ends now.
    pub log_end: u64,
}

/// A loaded partition.
pub(crate) struct Found {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) log_start: u64,
    pub(super) last: Option<LastSegment>,
    pub(super) next_offset: u64,
    pub(super) epoch: u32,
    /// Segments that were checked and still have to be synced, the last of the list among them.
    pub(super) tail: Vec<RecoveredSegment>,
    pub(super) report: PartitionRecovery,
}

/// A segment that was checked after an unclean stop.
pub(super) struct RecoveredSegment {
    pub(super) base: u64,
    pub(super) position: u64,
    pub(super) next_offset: u64,
    pub(super) entries: IndexEntries,
    /// Bytes behind this position may not be on the medium.
    pub(super) unsynced_from: u64,
}

pub(super) fn find(log: &PartitionLog) -> Result<Found> {
    let loader = Loader { log };
    match kind_of(&log.directory) {
        None => loader.missing(),
        Some(EntryKind::Directory) => loader.found(),
        Some(_) => {
            let reason = "something else stands where the partition's directory should be; it is left alone";
            Err(Error::Unsupported(Box::new(Damage::new(&log.directory, 0, reason))))
        }
    }
}

struct Loader<'l> {
    log: &'l PartitionLog,
}

impl Loader<'_> {
    fn corrupt(
        &self,
        path: impl Into<PathBuf>,
        position: u64,
        reason: impl Into<Box<str>>,
        offset: u64,
    ) -> Error {
        Error::Corrupt(Box::new(Damage::new(path, position, reason).at_offset(&self.log.id, offset)))
    }

    fn missing(&self) -> Result<Found> {
        let (start, point) = (self.log.checkpointed.log_start, self.log.checkpointed.recovery_point);
        match point {
            Some(point) if point > 0 => {
                let reason = format!("the directory is missing, but records below offset {point} were in it");
                Err(self.corrupt(&self.log.directory, 0, reason, start))
            }
            _ => Ok(self.empty(start, self.log.settings.first_epoch)),
        }
    }

    fn empty(&self, next_offset: u64, epoch: u32) -> Found {
        Found {
            segments: Vec::new(),
            log_start: next_offset,
            last: None,
            next_offset,
            epoch,
            tail: Vec::new(),
            report: self.report(next_offset),
        }
    }

    fn report(&self, log_end: u64) -> PartitionRecovery {
        let partition = self.log.id.clone();
        PartitionRecovery { partition, bytes_scanned: 0, bytes_cut: 0, kept: None, log_end }
    }

    fn found(&self) -> Result<Found> {
        if self.log.is_only_begun()? {
            return self.missing();
        }
        self.log.check_topic_id()?;
        let bases = self.bases()?;
        let epochs = self.log.read_epochs()?;
        let Some(&first) = bases.first() else {
            let epoch = epochs.last().map_or(self.log.settings.first_epoch, |last| last.epoch);
            return Ok(self.empty(self.log.checkpointed.log_start, epoch));
        };
        let mut found = if self.log.checkpointed.clean { self.clean(&bases)? } else { self.unclean(&bases)? };
        found.log_start = self.log.checkpointed.log_start.max(first);
        if found.log_start > found.next_offset {
            let reason = format!(
                "the log starts at offset {} by its checkpoint, but ends at {}",
                found.log_start, found.next_offset
            );
            return Err(self.corrupt(&self.log.directory, 0, reason, found.next_offset));
        }
        self.settle_epochs(&mut found, epochs)?;
        found.report.log_end = found.next_offset;
        Ok(found)
    }

    /// Base offsets of the segments, ascending. Files of other kinds are left alone.
    fn bases(&self) -> Result<Vec<u64>> {
        let mut bases = Vec::new();
        for (name, kind) in self.log.disk.list(&self.log.directory)? {
            let path = || self.log.directory.join(&name);
            let unsupported = |reason: &str| Error::Unsupported(Box::new(Damage::new(path(), 0, reason)));
            if name.ends_with(".swap") {
                return Err(unsupported(
                    "a compaction was interrupted while it replaced segments; let a broker finish it",
                ));
            }
            let Some(base) = segment::base_of(&name, segment::LOG) else { continue };
            if kind != EntryKind::File {
                return Err(unsupported("something else stands where a segment should be; it is left alone"));
            }
            bases.push(base);
        }
        Ok(bases)
    }

    fn open(&self, base: u64) -> Result<(PlainFile, u64)> {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        let file = self.log.disk.open(&path, false)?;
        let length = file.len()?;
        if length > Tail::MAX_POSITION {
            let reason = "a log file of 2 GiB and more is not a segment that Kafka writes";
            return Err(Error::Unsupported(Box::new(Damage::new(&path, length, reason))));
        }
        Ok((file, length))
    }

    fn segment(&self, base: u64, position: u64, next: u64, sealed: bool) -> Result<Arc<Segment>> {
        let directory = &self.log.directory;
        Segment::found(&self.log.disk, directory, base, (position, next), sealed).map(Arc::new).ok_or_else(
            || {
                let path = directory.join(segment::file_name(base, segment::LOG));
                self.corrupt(
                    path,
                    position,
                    format!("the next segment's offset {next} does not fit this one"),
                    next,
                )
            },
        )
    }

    /// After an orderly close: lengths are exact, every segment but the last ends where the next begins.
    fn clean(&self, bases: &[u64]) -> Result<Found> {
        let mut segments = Vec::with_capacity(bases.len());
        for (base, next) in bases.iter().zip(bases.iter().skip(1)) {
            let (_, length) = self.open(*base)?;
            segments.push(self.segment(*base, length, *next, true)?);
        }
        let last_base = *bases.last().unwrap_or(&0);
        let (file, length) = self.open(last_base)?;
        let next_offset = self.end_of_closed(&file, last_base, length)?;
        segments.push(self.segment(last_base, length, next_offset, false)?);
        Ok(Found {
            segments,
            log_start: 0,
            last: Some(LastSegment { base: last_base, position: length }),
            next_offset,
            epoch: 0,
            tail: Vec::new(),
            report: self.report(next_offset),
        })
    }

    /// Offset behind the last record of a file that was closed in order.
    fn end_of_closed(&self, file: &PlainFile, base: u64, length: u64) -> Result<u64> {
        let indexed =
            segment::stored_entries(&self.log.disk, file.path(), length)?.and_then(|entries| entries.last());
        let from = indexed.map_or(0, |entry| u64::from(entry.position));
        let mut batches = Batches::new(file, length, from, base);
        let (next_offset, position, reason) = loop {
            match batches.next()? {
                Ok(_) => {}
                Err(stop) => break (batches.expected, batches.position, stop.reason),
            }
        };
        match self.log.checkpointed.recovery_point {
            _ if position < length => {
                let reason =
                    format!("the log was closed in order, but does not end in a whole batch: {reason}");
                Err(self.corrupt(file.path(), position, reason, next_offset))
            }
            Some(point) if point > next_offset => {
                let reason = format!("the log was closed at offset {point}, but the file ends before it");
                Err(self.corrupt(file.path(), position, reason, next_offset))
            }
            _ => Ok(next_offset),
        }
    }

    /// After an unclean stop: check what lies behind the recovery point, cut what does not hold together.
    fn unclean(&self, bases: &[u64]) -> Result<Found> {
        let point = self.log.checkpointed.recovery_point.unwrap_or(0);
        let mut found = self.empty(0, self.log.settings.first_epoch);
        let mut cut = false;
        for (at, &base) in bases.iter().enumerate() {
            let next_base = bases.get(at + 1).copied();
            if cut {
                // Nothing may follow a cut: offsets would be missing in between.
                self.set_aside(base, &mut found.report)?;
                continue;
            }
            if let Some(next) = next_base.filter(|next| *next <= point) {
                let (_, length) = self.open(base)?;
                found.segments.push(self.segment(base, length, next, true)?);
                continue;
            }
            let recovered = self.recover(base, point, &mut found, &mut cut)?;
            if next_base.is_some_and(|next| next < recovered.next_offset) {
                let path = self.log.directory.join(segment::file_name(base, segment::LOG));
                return Err(self.corrupt(
                    path,
                    recovered.position,
                    "the next segment begins inside this one",
                    base,
                ));
            }
            let end = if cut { recovered.next_offset } else { next_base.unwrap_or(recovered.next_offset) };
            found.segments.push(self.segment(base, recovered.position, end, true)?);
            found.next_offset = end;
            found.last = Some(LastSegment { base, position: recovered.position });
            found.tail.push(recovered);
        }
        Ok(found)
    }

    /// Checks one segment and tells how far it is whole.
    fn recover(&self, base: u64, point: u64, found: &mut Found, cut: &mut bool) -> Result<RecoveredSegment> {
        let (file, length) = self.open(base)?;
        let mut batches = Batches::new(&file, length, 0, base);
        let mut entries = IndexEntries::default();
        self.skip_durable(&mut batches, &file, point, base, &mut entries)?;
        let unsynced_from = batches.position;
        let interval = self.log.settings.index_interval_bytes;
        let mut epoch = None;
        let checked = check_batches(&mut batches, base, entries, interval, |frame| {
            epoch = u32::try_from(frame.leader_epoch()).ok().max(epoch);
        })?;
        found.epoch = found.epoch.max(epoch.unwrap_or(0));
        found.report.bytes_scanned += checked.position - unsynced_from;
        if checked.next_offset < point && checked.position < length {
            let reason =
                format!("records below offset {point} were on the medium, but: {}", checked.stop.reason);
            return Err(self.corrupt(file.path(), checked.position, reason, checked.next_offset));
        }
        if checked.next_offset < point {
            let reason = format!("records below offset {point} were on the medium, but the file ends before");
            return Err(self.corrupt(file.path(), checked.position, reason, checked.next_offset));
        }
        if checked.position < length && !batches.rest_is_zero()? {
            *cut = true;
            found.report.bytes_cut += length - checked.position;
            if checked.stop.reason != NotWhole::End && batches.whole_batch_follows()? {
                found.report.kept = Some(self.keep(&file, checked.position, length)?);
            }
        }
        // Space allocated ahead is no cut, but in the middle of the log it means that what followed is not certain.
        Ok(RecoveredSegment {
            base,
            position: checked.position,
            next_offset: checked.next_offset,
            entries: checked.entries,
            unsynced_from,
        })
    }

    /// Passes over what is known to be on the medium, by headers alone: only the index is made anew for it.
    fn skip_durable(
        &self,
        batches: &mut Batches<'_>,
        file: &PlainFile,
        point: u64,
        base: u64,
        entries: &mut IndexEntries,
    ) -> Result<()> {
        let mut pace = segment::IndexPace::new(self.log.settings.index_interval_bytes, entries);
        while batches.expected < point {
            let (position, expected) = (batches.position, batches.expected);
            let Some((position, header, length)) = batches.skip()? else {
                // A legacy message, or damage: the full check that follows tells which.
                batches.position = position;
                batches.expected = expected;
                break;
            };
            let Ok(relative) = u32::try_from(batches.expected - 1 - base) else {
                return Err(self.corrupt(
                    file.path(),
                    position,
                    "the offset is too far from the segment's base",
                    base,
                ));
            };
            if batches.expected > point {
                batches.position = position;
                batches.expected = expected;
                break;
            }
            if pace.is_due() {
                pace.enter(relative, position, entries);
            }
            pace.note(length, relative, header.max_timestamp);
        }
        entries.add_time(pace.largest());
        Ok(())
    }

    /// Copies bytes that are about to be cut, although records may be among them, to a file of their own.
    fn keep(&self, file: &PlainFile, from: u64, to: u64) -> Result<PathBuf> {
        let mut name = file.path().as_os_str().to_owned();
        name.push(format!(".cut-at-{from}"));
        let path = PathBuf::from(name);
        self.log.disk.remove_file(&path)?;
        let kept = self.log.disk.create(&path)?;
        let mut buffer = vec![0; 1 << 20];
        let mut position = from;
        while position < to {
            let read = file.read_at(&mut buffer, position)?;
            if read == 0 {
                break;
            }
            kept.append_all(buffer.get(..read).unwrap_or_default())?;
            position += read as u64;
        }
        kept.sync().map_err(|e| Error::io("sync", &path, e))?;
        Ok(path)
    }

    /// Takes a segment behind a cut out of the log, as a broker does, but keeps its records for inspection.
    fn set_aside(&self, base: u64, report: &mut PartitionRecovery) -> Result<()> {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        let (_, length) = self.open(base)?;
        report.bytes_cut += length;
        let mut aside = path.clone().into_os_string();
        aside.push(".cut-whole");
        self.log.disk.rename(&path, &PathBuf::from(&aside))?;
        self.log.disk.remove_file(&path.with_extension(segment::OFFSET_INDEX))?;
        self.log.disk.remove_file(&path.with_extension(segment::TIME_INDEX))?;
        report.kept = Some(PathBuf::from(aside));
        Ok(())
    }

    /// The epoch to write with, never a lower one than was seen; the file is cut where the log was cut.
    fn settle_epochs(&self, found: &mut Found, mut epochs: Vec<EpochStart>) -> Result<()> {
        let known = epochs.last().map_or(self.log.settings.first_epoch, |last| last.epoch);
        found.epoch = found.epoch.max(known);
        let before = epochs.len();
        epochs.retain(|known| known.start < found.next_offset || known.start == found.log_start);
        if epochs.len() < before {
            self.log.write_epochs(&epochs)?;
        }
        Ok(())
    }
}
