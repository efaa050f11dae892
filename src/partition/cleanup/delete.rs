//! The head of a partition: segments that are deleted, and the removal of their files.
//!
//! Segments leave in four steps, each safe to stop after: the log start rises, in the checkpoint on disk by the caller and
//! then here; the segments leave the list; their files are renamed to `.deleted`; the files go. An open in between removes
//! what lies below the checkpoint. Readers keep the segments that they hold. A reader that comes to an offset below the log
//! start gets `OffsetOutOfRange`, since the start rises before any file is gone.
//!
//! Segments that leave as a whole need not be on disk, as in Kafka. Before the checkpoint is written the names of the segments
//! that stay are made durable, no byte in them: so after a power failure the first segment that stays is there, with
//! whatever of it has survived, and the log never ends below its start. Then the durable end and the recovery point rise to
//! the log start: below it there is nothing to be lost or checked, and nothing is said of what lies above.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::events::Event;
use crate::partition::cleanup::replace::Swap;
use crate::partition::{Appender, Leader, LogView};
use crate::position::Position;
use crate::segment::{self, BatchesEnd, FileState, PRODUCER_SNAPSHOT, Segment, TRANSACTION_INDEX};
use crate::sys::disk;

/// Files that a segment may have. The log last: while it is there, the next open knows of the others.
const SUFFIXES: [&str; 5] =
    [segment::OFFSET_INDEX, segment::TIME_INDEX, TRANSACTION_INDEX, PRODUCER_SNAPSHOT, segment::LOG];

/// Whether a file of this name is one that was deleted: it has been renamed, and is still to be removed.
pub(in crate::partition) fn is_deleted(name: &str) -> bool {
    let is_segments = |name: &str| SUFFIXES.iter().any(|suffix| segment::base_of(name, suffix).is_some());
    disk::is_removed(name)
        || matches!(FileState::split(name), (plain, FileState::Deleted) if is_segments(plain))
}

/// How often it is checked whether files that a snapshot keeps can go.
const KEPT_MS: i64 = 1000;

/// Segments that have left the list and whose files are still there, oldest first.
#[derive(Debug, Default)]
pub(in crate::partition) struct Front {
    pub(super) expiring: VecDeque<PendingDeletion>,
    /// Segments that lay below the log start when the log was opened: their base offsets, and where they end. The log start
    /// is one number in a file without a checksum, so they go no sooner than what retention deletes, and are reported.
    pub(super) below_start: Vec<(u64, u64)>,
    /// Exchanged segments whose files do not have their names yet, oldest first.
    pub(in crate::partition) swaps: VecDeque<Swap>,
    /// Base offsets of cleaned segments that are of no use and could not be removed.
    pub(super) unremoved: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct PendingDeletion {
    pub(in crate::partition) segment: Arc<Segment>,
    /// When to remove the files, by the log's clock.
    pub(in crate::partition) due: i64,
    pub(in crate::partition) renamed: bool,
}

/// What there is to know of a segment when it is decided whether it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) base: u64,
    pub(crate) next_offset: u64,
    pub(crate) bytes: u64,
    pub(crate) sealed: bool,
    /// Largest timestamp of its records, as its index has it; if none has one, the time of the last change of the file.
    pub(crate) newest: i64,
    /// Largest timestamp that is not in the future, where the batches were asked.
    pub(crate) newest_past: Option<i64>,
}

impl SegmentFacts {
    /// Of the segments of a view. `growing`: base offset of the segment that is appended to, and its largest timestamp if its
    /// writer knows one.
    pub(in crate::partition) fn of(view: &LogView, growing: Option<(u64, Option<i64>)>) -> Result<Vec<Self>> {
        let facts = |segment: &Arc<Segment>| {
            let end = segment.end();
            let newest = match growing {
                Some((base, Some(newest))) if base == segment.base() => newest,
                _ => segment.newest()?,
            };
            let next_offset = segment.base() + u64::from(end.relative_next);
            Ok(Self {
                base: segment.base(),
                next_offset,
                bytes: end.position,
                sealed: end.sealed,
                newest,
                newest_past: None,
            })
        };
        view.segments().iter().map(facts).collect()
    }
}

/// Segments that were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dropped {
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
}

impl Leader {
    /// The segments as they are now, oldest first.
    pub(crate) fn facts(self: &Arc<Self>) -> Result<Vec<SegmentFacts>> {
        self.in_view(
            || self.present(),
            |view| {
                // The view came first: a segment that is sealed since is asked by itself.
                let growing = match &*self.writer.appender() {
                    Appender::Active { writer, .. } => {
                        Some((writer.segment().base(), writer.largest_timestamp()))
                    }
                    _ => None,
                };
                SegmentFacts::of(view, growing)
            },
        )
    }

    /// Prepares for a log start at `before`. The caller then writes it to the checkpoint, and then raises the log start. The
    /// records below it are on disk when this returns: else the log could end below its start after a power failure.
    pub(crate) fn prepare_start(self: &Arc<Self>, before: u64) -> Result<()> {
        let bounds = self.bounds()?;
        self.check_place()?;
        self.writer.refuse_failed()?;
        if before > bounds.log_end {
            let at = Box::new(Position::new(self.id(), before));
            return Err(Error::OffsetOutOfRange { at, valid: bounds.log_start..bounds.log_end });
        }
        if before > bounds.durable { self.sync() } else { Ok(()) }
    }

    /// Begins a new segment if the log still ends at `end`, so that all before can go. Returns whether it did.
    pub(crate) fn roll_at(self: &Arc<Self>, end: u64) -> Result<bool> {
        let mut appender = self.writer.appender();
        if matches!(&*appender, Appender::Idle { last: Some(_), next_offset, .. } if *next_offset == end) {
            self.prepare(&mut appender)?;
        }
        match &*appender {
            Appender::Active { writer, .. } if writer.next_offset() == end && writer.position() > 0 => {
                let end = appender.next_offset();
                self.roll(&mut appender, 0, end).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Prepares for a log start where a segment begins: what lies before is to leave the log, and need not be on disk.
    pub(crate) fn prepare_to_leave(self: &Arc<Self>, start: u64) -> Result<()> {
        // What is finished has names that are durable, and so has the segment after it.
        if self.is_finished(start) { Ok(()) } else { self.sync_names() }
    }

    /// Takes the segments that lie below the log start, which must be in the checkpoint, out of the log. Their files go
    /// some time after `now`. A file that cannot be renamed is an error, but the segment is gone; it is tried again.
    pub(crate) fn delete_head_segments(&self, now: i64) -> Result<Dropped> {
        // Dropped after the locks.
        let _kept: Vec<_>;
        // Finishing a segment writes files by its name.
        let _order = self.writer.finishing();
        let mut front = self.cleanup.front.lock();
        if self.has_ended() {
            // The directory may be another's.
            return Ok(Dropped::default());
        }
        self.finish_swaps_of(&mut front, now)?;
        let log_start = self.log_start();
        if self.segments().iter().nth(1).is_some_and(|next| next.base() <= log_start) {
            // The checkpoint of log starts says the same; the one of leader epochs is for when that is lost.
            let _ = self.begin_epochs_at(log_start);
        }
        let mut dropped = self.doom_below_start(&mut front, now);
        let (gone, left) = self.segments().split_head(|next| next.base() <= log_start);
        if let Some(first) = left.first().filter(|_| !gone.is_empty()).map(|first| first.base()) {
            // The list before its last segment changes only under `front`.
            self.replace_view(|view| {
                view.with_segments(view.segments().split_head(|next| next.base() <= first).1)
            });
            self.forget_left(first);
        }
        _kept = gone.iter().filter_map(|segment| segment.leave()).collect();
        let due = now.saturating_add(self.retention().file_delete_delay_ms);
        front.expiring.extend(gone.iter().map(|segment| PendingDeletion {
            segment: Arc::clone(segment),
            due,
            renamed: false,
        }));
        dropped.segments += gone.len();
        dropped.bytes += gone.iter().map(|segment| segment.end().position).sum::<u64>();
        if dropped.segments > 0 {
            let Dropped { segments, bytes } = dropped;
            let partition = || self.id().clone();
            self.context.events.emit(|| Event::SegmentsDeleted {
                partition: partition(),
                segments,
                bytes,
                log_start,
            });
        }
        self.rename_expiring(&mut front)?;
        Ok(dropped)
    }

    /// Has the files of segments that were found below the log start removed.
    fn doom_below_start(&self, front: &mut Front, now: i64) -> Dropped {
        let due = now.saturating_add(self.retention().file_delete_delay_ms);
        let mut dropped = Dropped::default();
        for (base, next) in front.below_start.drain(..) {
            let path = self.directory.join(segment::file_name(base, segment::LOG));
            let bytes = self.disk.open(&path, false).and_then(|file| file.len()).unwrap_or(0);
            let found = Segment::found(
                &self.disk,
                &self.directory,
                base,
                BatchesEnd { position: bytes, next_offset: next },
                true,
            );
            if let Some(segment) = found.map(Arc::new) {
                front.expiring.push_back(PendingDeletion { segment, due, renamed: false });
                dropped.segments += 1;
                dropped.bytes += bytes;
            }
        }
        dropped
    }

    /// Whether segments were found below the log start when the log was opened, and are still to be removed.
    pub(crate) fn has_below_start(&self) -> bool {
        !self.cleanup.front.lock().below_start.is_empty()
    }

    /// Removes files whose time has come. Returns when the next ones are due.
    pub(crate) fn remove_due_files(&self, now: i64) -> Result<Option<i64>> {
        let mut front = self.cleanup.front.lock();
        if self.has_ended() {
            return Ok(None);
        }
        self.rename_expiring(&mut front)?;
        if self.is_kept() {
            // A snapshot may need them yet.
            let later = |expiring: &PendingDeletion| expiring.due.max(now.saturating_add(KEPT_MS));
            return Ok(front.expiring.front().map(later));
        }
        while let Some(next) = front.expiring.front().filter(|expiring| expiring.due <= now) {
            for path in self.files_of(next.segment.base()) {
                self.disk.remove_file(&FileState::Deleted.of(&path))?;
            }
            self.emit_pinned(std::iter::once(&next.segment));
            front.expiring.pop_front();
        }
        Ok(front.expiring.front().map(|expiring| expiring.due))
    }

    fn rename_expiring(&self, front: &mut Front) -> Result<()> {
        for expiring in front.expiring.iter_mut().filter(|expiring| !expiring.renamed) {
            self.doom_snapshot(expiring.segment.base())?;
            expiring.segment.set_file_state(FileState::Deleted)?;
            expiring.renamed = true;
        }
        Ok(())
    }

    fn files_of(&self, base: u64) -> impl Iterator<Item = PathBuf> {
        SUFFIXES.iter().map(move |suffix| self.directory.join(segment::file_name(base, suffix)))
    }
}
