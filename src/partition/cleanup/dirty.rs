//! What compaction asks of a partition: how much of it is worth going through, what it must know of transactions, and
//! files to write to. It reads segments by itself, and puts others in their place through [`swap`](crate::partition::cleanup::replace).
//!
//! Only segments that nothing will change any more are shown: sealed, in their final form on disk, and without
//! records of transactions that are open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::format::frame::max_timestamp_of;
use crate::format::header::HEADER_BYTES;
use crate::partition::settings::Compaction;
use crate::partition::{Leader, SegmentList};
use crate::segment::{CleanedWriter, Segment, remove_cleaned};
use crate::sys;

/// How often a partition that a snapshot keeps as it is is checked again.
const KEPT_MS: i64 = 1000;

/// The part of a partition that can be gone through.
#[derive(Debug)]
pub(crate) struct Cleanable {
    /// From the first of the log on, at least one.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// From here on nothing was gone through before.
    pub(crate) first_dirty: u64,
    pub(crate) settings: Compaction,
    clean_bytes: u64,
    dirty_bytes: u64,
    /// Something has waited for too long.
    is_overdue: bool,
}

/// What was found out about a partition.
#[derive(Debug, Default)]
pub(crate) struct CompactionPlan {
    /// What is worth going through now.
    pub(crate) cleanable: Option<Cleanable>,
    /// When something may be that is not now, by the log's clock. `None`: not before a segment is sealed.
    pub(crate) next_due: Option<i64>,
}

/// The last batch of records of a producer with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastBatch {
    /// Below 0 if there is none, and the producer is known by a marker only.
    pub(crate) last_offset: i64,
    pub(crate) epoch: i16,
}

impl Cleanable {
    /// The part of the bytes that was not gone through before.
    pub(crate) fn dirty_ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio is compared with one of two digits")]
        let [dirty, clean] = [self.dirty_bytes as f64, self.clean_bytes as f64];
        if self.dirty_bytes == 0 { 0.0 } else { dirty / (dirty + clean) }
    }

    fn is_worth_while(&self) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.dirty_ratio() > self.settings.min_dirty_ratio)
    }

    /// Whether records have waited for so long that their share does not matter.
    pub(crate) fn is_overdue(&self) -> bool {
        self.is_overdue
    }

    /// From one of the segments on.
    pub(crate) fn segments_left(&self, from: usize) -> &[Arc<Segment>] {
        self.segments.get(from..).unwrap_or_default()
    }

    /// After the last offset that can be gone through.
    pub(crate) fn end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.next_offset())
    }
}

impl Leader {
    /// Compaction came upon something that it cannot process. It is not tried again before the segments change.
    pub(crate) fn refuse_compaction(&self) {
        self.cleanup.refused.store(self.view.number(), Ordering::Relaxed);
    }

    /// What is worth going through at the time `now`.
    pub(crate) fn plan_compaction(self: &Arc<Self>, now: i64) -> Result<CompactionPlan> {
        let Some(settings) = self.settings.all().compaction else { return Ok(CompactionPlan::default()) };
        let bounds = self.bounds()?;
        self.finish_swaps(now)?;
        if self.is_kept() {
            return Ok(CompactionPlan { cleanable: None, next_due: Some(now.saturating_add(KEPT_MS)) });
        }
        if self.cleanup.refused.load(Ordering::Relaxed) == self.view.number() {
            return Ok(CompactionPlan::default());
        }
        let stable = self.reading.stability().first_unstable().min(self.reading.unsettled_from());
        let limit = self.finished_end().min(bounds.durable).min(stable).min(self.held_from());
        let list = self.segments();
        let mut segments = finished_below(&list, limit);
        let first_dirty = self.cleaned().unwrap_or(0).max(bounds.log_start);
        // A checkpoint past the end of the log was of another log.
        let first_dirty = if first_dirty > bounds.log_end { bounds.log_start } else { first_dirty };
        let dirty = segments.partition_point(|segment| segment.next_offset() <= first_dirty);
        let mut next_due = None;
        let mut await_at = |due: Option<i64>| next_due = next_due.into_iter().chain(due).min();
        if settings.min_lag_ms > 0 {
            for (at, segment) in segments.iter().enumerate().skip(dirty) {
                let due = segment.newest()?.saturating_add(settings.min_lag_ms);
                if due > now {
                    await_at(Some(due));
                    segments.truncate(at);
                    break;
                }
            }
        }
        let mut is_overdue = false;
        if settings.max_lag_ms < i64::MAX {
            for segment in segments.iter().skip(dirty) {
                let first = first_timestamp(segment)?;
                let due = first.saturating_add(settings.max_lag_ms).saturating_add(1);
                is_overdue |= first > 0 && due <= now;
                await_at(Some(due).filter(|due| first > 0 && *due > now));
            }
        }
        let bytes = |segment: &Arc<Segment>| segment.end().position;
        let clean_bytes = segments.iter().take(dirty).map(bytes).sum();
        let dirty_bytes = segments.iter().skip(dirty).map(bytes).sum();
        let found = Cleanable { segments, first_dirty, settings, clean_bytes, dirty_bytes, is_overdue };
        Ok(CompactionPlan { cleanable: Some(found).filter(Cleanable::is_worth_while), next_due })
    }

    /// Whether these segments, one after the other, are part of the log.
    pub(crate) fn has_segments(&self, run: &[Arc<Segment>]) -> bool {
        run.is_empty() || self.segments().contains_run(run)
    }

    /// The last batch of each producer with an id.
    pub(crate) fn last_batches(&self) -> BTreeMap<i64, LastBatch> {
        self.producers.last_batches()
    }

    /// Largest number of bytes that segments put together may have.
    pub(crate) fn max_segment_bytes(&self) -> u64 {
        u64::from(self.settings.segment_bytes()).min(sys::file_size_limit())
    }

    /// Begins a segment that does not count yet.
    pub(crate) fn begin_cleaned(&self, base: u64) -> Result<CleanedWriter> {
        self.by_name(|| {
            let interval = self.settings.all().index_interval_bytes;
            CleanedWriter::create(&self.disk, &self.directory, base, interval)
        })
    }

    /// Removes what was begun and is of no use. What cannot be removed now is nothing that counts either.
    pub(crate) fn discard_cleaned(&self, base: u64) {
        let _ = self.by_name(|| remove_cleaned(&self.disk, &self.directory, base));
    }

    /// Does what makes, renames or removes files, unless the directory may be another's by now.
    pub(crate) fn by_name<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _names = self.cleanup.front.lock();
        if self.has_ended() { Err(Error::Closed) } else { work() }
    }
}

/// The segments from the first on that end at or below an offset and are not written to.
fn finished_below(list: &SegmentList, limit: u64) -> Vec<Arc<Segment>> {
    let after = list.iter().skip(1);
    let pairs = list.iter().zip(after);
    let finished = pairs.take_while(|(segment, next)| segment.end().sealed && next.base() <= limit);
    finished.map(|(segment, _)| Arc::clone(segment)).collect()
}

/// Largest timestamp of the batch that a segment begins with; −1 if it has none.
fn first_timestamp(segment: &Segment) -> Result<i64> {
    let mut header = [0; HEADER_BYTES];
    let file = segment.open()?;
    let read = file.read_at(&mut header, 0)?;
    Ok(if read == header.len() { max_timestamp_of(&header) } else { -1 })
}
