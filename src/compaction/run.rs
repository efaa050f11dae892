//! One run over a partition: it collects the last offset of each key in the dirty part, then writes everything anew
//! without the records that these supersede.
//!
//! Reads and writes go by system calls in large steps, no lock is held meanwhile, and a run is done in slices: between
//! two of them its thread has other things to do, and the partition may end or lose segments.

use std::ops::Range;
use std::sync::Arc;

use super::deciding::{Decided, Deciding};
use super::decisions::{Decisions, Seen, Tombstones, Whole};
use super::markers::{Marker, Markers, Producers, UnlistedAbort};
use crate::error::{Damage, Error, Result};
use crate::format::compression::Unreadable;
use crate::format::control::ControlRecord;
use crate::format::frame::{Frame, FrameKind};
use crate::format::header::BatchHeader;
use crate::format::raw_record::RawRecord;
use crate::format::rewrite::{Horizon, Keep, Left, Rewriter, each_record, header_only};
use crate::partition::{Cleanable, Leader};
use crate::segment::{Batches, CleanedSegment, CleanedWriter, Segment, TIMES_DIFFER};

/// Bytes of log that are gone through at a time: a few milliseconds.
const SLICE: u64 = 4 << 20;
/// Offsets of a segment stay within this distance of its base.
const MAX_SPAN: u64 = i32::MAX.unsigned_abs() as u64;

/// A run that has begun.
// One type: what is left of a run between two of its slices.
#[derive(Debug)]
pub(crate) struct CleanerRun {
    log: Arc<Leader>,
    plan: Cleanable,
    now: i64,
    /// Bytes that the map of keys may take.
    memory: usize,
    decisions: Decisions,
    records: Vec<Seen>,
    markers: Markers,
    producers: Producers,
    rewriter: Rewriter,
    plain: Vec<u8>,
    /// What segments are read into.
    window: Vec<u8>,
    at: BatchPosition,
    /// A tombstone was found that no run has seen, in the part that is clean by the checkpoint.
    is_clean_part_dirty: bool,
    stage: Stage,
    summary: Summary,
}

/// Where the next batch begins.
#[derive(Debug, Default)]
struct BatchPosition {
    segment: usize,
    position: u64,
    expected: u64,
}

#[derive(Debug)]
enum Stage {
    Deciding(Box<Deciding>),
    Mapping,
    Cleaning(Box<Group>),
    Done,
}

/// Segments that become one, or more if they grow.
#[derive(Debug)]
struct Group {
    segments: Range<usize>,
    output: Option<CleanedWriter>,
    made: Vec<CleanedSegment>,
    /// Bytes that a segment made of these may have.
    max_bytes: u64,
    /// The batch that was taken out last, if none was kept since; and whether it had records.
    dropped: Option<(BatchHeader, bool)>,
    /// Whether anything is not as it was.
    changed: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) end: u64,
    pub(crate) segments_before: usize,
    pub(crate) segments_after: usize,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// What came of a slice.
#[derive(Debug)]
pub(crate) enum Step {
    More,
    Done(Summary),
    /// The partition has ended, or segments were deleted under the run.
    Gone,
}

/// A batch as it goes into a segment.
struct Piece<'p> {
    bytes: &'p [u8],
    base_offset: u64,
    last_offset: u64,
    timestamp: i64,
}

impl CleanerRun {
    /// Begins a run at the time `now`, whose map of keys takes `memory` bytes at most.
    pub(super) fn new(log: &Arc<Leader>, plan: Cleanable, memory: usize, now: i64) -> Result<Self> {
        let decisions = Decisions::new(memory, plan.first_dirty, plan.end())?;
        let producers = Producers::new(log.last_batches());
        let young_from = match plan.settings.min_lag_ms {
            1.. => now.saturating_sub(plan.settings.min_lag_ms).saturating_add(1),
            _ => i64::MAX,
        };
        let deciding = Deciding::new(log, young_from, plan.first_dirty);
        Ok(Self {
            log: Arc::clone(log),
            plan,
            now,
            memory,
            decisions,
            records: Vec::new(),
            markers: Markers::default(),
            producers,
            rewriter: Rewriter::new(log.max_decompressed_bytes()),
            plain: Vec::new(),
            window: Vec::new(),
            at: BatchPosition::default(),
            is_clean_part_dirty: false,
            stage: Stage::Deciding(Box::new(deciding)),
            summary: Summary::default(),
        })
    }

    pub(super) fn log(&self) -> &Arc<Leader> {
        &self.log
    }

    /// Does a slice. After an error, and after the end, there is nothing more to do.
    pub(super) fn step(&mut self) -> Result<Step> {
        let outcome = match &mut self.stage {
            Stage::Deciding(deciding) => match deciding.step(&self.log) {
                Ok(None) => Ok(Step::More),
                Ok(Some(decided)) => self.decide(decided),
                Err(failure) => Err(failure),
            },
            Stage::Mapping => self.map_slice(),
            Stage::Cleaning(_) => self.clean_slice(),
            Stage::Done => Ok(Step::Done(self.summary)),
        };
        match outcome {
            Err(_)
                if self.log.has_ended()
                    || !self.log.has_segments(self.plan.segments_left(self.at.segment)) =>
            {
                Ok(Step::Gone)
            }
            outcome => outcome,
        }
    }

    /// Begins with what the batches allow.
    fn decide(&mut self, decided: Decided) -> Result<Step> {
        let Decided { aborted, state, end, young } = decided;
        let first_open = state.first_open();
        self.log.correct_open(state, end)?;
        let limit = first_open.into_iter().chain(young).min().unwrap_or(u64::MAX);
        let allowed = self.plan.segments.partition_point(|segment| segment.next_offset() <= limit);
        if let Some(young) = young.and_then(|base| self.plan.segments.iter().find(|one| one.base() == base)) {
            // Its index said otherwise.
            young.doubt(TIMES_DIFFER);
            self.log.rebuild_doubted(young);
        }
        if allowed < self.plan.segments.len() {
            self.plan.segments.truncate(allowed);
            if self.plan.end() <= self.plan.first_dirty {
                return Ok(Step::Gone);
            }
            self.decisions = Decisions::new(self.memory, self.plan.first_dirty, self.plan.end())?;
        }
        self.markers = Markers::new(aborted);
        let first_dirty = self.plan.first_dirty;
        let first = self.plan.segments.partition_point(|segment| segment.next_offset() <= first_dirty);
        self.stage = Stage::Mapping;
        self.go_to(first);
        Ok(Step::More)
    }

    fn go_to(&mut self, segment: usize) {
        let expected = self.plan.segments.get(segment).map_or(0, |segment| segment.base());
        self.at = BatchPosition { segment, position: 0, expected };
    }

    /// Goes through some batches of the present segment. `false`: `each` has ended it.
    fn slice(
        &mut self,
        mut each: impl FnMut(&mut Self, &Segment, u64, &Frame, &[u8]) -> Result<bool>,
    ) -> Result<bool> {
        let Some(segment) = self.plan.segments.get(self.at.segment).cloned() else { return Ok(true) };
        let (file, end) = (segment.open()?, segment.end().position);
        let from = self.at.position;
        let mut batches =
            Batches::new(&file, end, from, self.at.expected).reusing(std::mem::take(&mut self.window));
        while batches.position < end && batches.position - from < SLICE {
            let expected = batches.expected;
            let (position, frame) = match batches.next()? {
                Ok(found) => found,
                Err(stop) => return Err(self.damage(&segment, batches.position, expected, stop.reason)),
            };
            if frame.last_offset() >= segment.next_offset() {
                let reason = "the offset lies past the segment's end";
                return Err(self.damage(&segment, position, expected, reason));
            }
            self.at.expected = expected;
            if !each(self, &segment, position, &frame, batches.passed(position))? {
                return Ok(false);
            }
        }
        (self.at.position, self.at.expected) = (batches.position, batches.expected);
        self.window = batches.into_buffer();
        if self.at.position >= end {
            self.go_to(self.at.segment + 1);
        }
        Ok(true)
    }

    fn map_slice(&mut self) -> Result<Step> {
        let progressed = self.slice(Self::add_keys)?;
        if !progressed || self.at.segment >= self.plan.segments.len() {
            self.decisions.flush();
            self.markers.begin_again();
            self.begin_group(0);
        }
        Ok(Step::More)
    }

    /// Notes the records of a batch. `false`: there is no room for more.
    fn add_keys(&mut self, segment: &Segment, position: u64, frame: &Frame, bytes: &[u8]) -> Result<bool> {
        if let FrameKind::Batch(header) = &frame.kind {
            if header.is_control() {
                let marker = self.markers.marker(header, ControlRecord::of_batch(bytes));
                return marker
                    .map(|_| true)
                    .map_err(|unlisted| self.unlisted_abort(segment, position, unlisted));
            }
            if !self.markers.counts(header) {
                return Ok(true);
            }
        }
        if frame.last_offset() < self.plan.first_dirty {
            return Ok(true);
        }
        let tombstones = match &frame.kind {
            FrameKind::Batch(header) if is_past(header, self.now) => Tombstones::Go,
            FrameKind::Batch(header) if header.has_delete_horizon() => Tombstones::Stay,
            _ => Tombstones::GetTime,
        };
        let (decisions, expected) = (&mut self.decisions, self.at.expected);
        let (mut has_room, mut is_before) = (true, false);
        let limit = self.log.max_decompressed_bytes();
        let went = each_record(bytes, limit, &mut self.plain, |offset, record| {
            // Only decoding shows where a wrapper of legacy messages begins.
            is_before |= offset < expected;
            has_room = decisions.add(offset, record, tombstones);
        });
        went.map_err(|reason| self.unreadable(segment, position, reason))?;
        if is_before {
            return Err(self.damage(segment, position, expected, "the offset is not the expected one"));
        }
        Ok(has_room)
    }

    /// Takes together what fits into one segment, from this segment on.
    fn begin_group(&mut self, first: usize) {
        let covered = self.plan.segments.partition_point(|segment| segment.base() < self.decisions.end());
        let limit = self.log.max_segment_bytes();
        let (mut bytes, mut largest, mut end) = (0, 0, first);
        let base = self.plan.segments.get(first).map_or(0, |segment| segment.base());
        for segment in self.plan.segments.iter().take(covered).skip(first) {
            let more = segment.end().position;
            let fits = bytes + more <= limit && segment.next_offset().saturating_sub(base) <= MAX_SPAN;
            if end > first && !fits {
                break;
            }
            (bytes, largest, end) = (bytes + more, largest.max(more), end + 1);
        }
        self.go_to(first);
        if end == first {
            // What no run has gone through is for the next one, all of it.
            let first = self.plan.segments.first().filter(|_| self.is_clean_part_dirty);
            self.summary.end = first.map_or(self.decisions.end(), |first| first.base());
            self.stage = Stage::Done;
            return;
        }
        self.stage = Stage::Cleaning(Box::new(Group {
            segments: first..end,
            output: None,
            made: Vec::new(),
            max_bytes: limit.max(largest),
            dropped: None,
            changed: end - first > 1,
        }));
    }

    fn clean_slice(&mut self) -> Result<Step> {
        self.slice(|run, segment, position, frame, bytes| {
            run.clean(segment, position, frame, bytes).map(|()| true)
        })?;
        match &self.stage {
            Stage::Cleaning(group) if self.at.segment >= group.segments.end => self.end_group(),
            _ => Ok(Step::More),
        }
    }

    /// Writes what is to be kept of a batch.
    fn clean(&mut self, segment: &Segment, position: u64, frame: &Frame, bytes: &[u8]) -> Result<()> {
        let whole = Piece {
            bytes,
            base_offset: frame.known_first_offset(),
            last_offset: frame.last_offset(),
            timestamp: frame.indexed_timestamp(),
        };
        let is_clean_part = self.is_clean_part(whole.last_offset);
        let mut aborted = None;
        let left = match &frame.kind {
            FrameKind::Batch(header) if header.is_control() && header.record_count > 0 => {
                match self.markers.marker(header, ControlRecord::of_batch(bytes)) {
                    Err(unlisted) => return Err(self.unlisted_abort(segment, position, unlisted)),
                    Ok(Marker::Other) => Ok(Left::All),
                    Ok(Marker::Needed(transaction)) => {
                        aborted = transaction;
                        Ok(Left::All)
                    }
                    Ok(Marker::Empty) if is_past(header, self.now) => Ok(Left::Nothing(*header)),
                    Ok(Marker::Empty) => {
                        let horizon = Horizon { at: self.horizon(), always: true };
                        self.rewriter.filter(bytes, horizon, Everything)
                    }
                }
            }
            FrameKind::Batch(header) if header.is_control() => Ok(Left::Nothing(*header)),
            FrameKind::Batch(header) if !self.markers.counts(header) => Ok(Left::Nothing(*header)),
            kind => {
                let header = match kind {
                    FrameKind::Batch(header) => Some(header),
                    FrameKind::Legacy { .. } => None,
                };
                match header.and_then(|header| Some((header, self.decisions.of_batch(header)?))) {
                    Some((_, Whole::Stays)) => Ok(Left::All),
                    Some((header, Whole::Goes)) => Ok(Left::Nothing(*header)),
                    None => {
                        let horizon = Horizon { at: self.horizon(), always: false };
                        let keeps_tombstones = header.is_none_or(|header| !is_past(header, self.now));
                        let decide = self.decisions.decide(keeps_tombstones, &mut self.records);
                        self.rewriter.filter(bytes, horizon, decide)
                    }
                }
            }
        };
        let left = match left {
            Ok(Left::Batch { header, .. }) if is_clean_part && is_news_of_tombstones(frame, &header) => {
                self.is_clean_part_dirty = true;
                Ok(Left::All)
            }
            left => left,
        };
        let Stage::Cleaning(group) = &mut self.stage else { return Ok(()) };
        let left = match left {
            Ok(left) => left,
            Err(reason) => return Err(self.unreadable(segment, position, reason)),
        };
        let (producers, end) = (&self.producers, self.decisions.end());
        let is_needed = |header: &BatchHeader| producers.need(header) || whole.last_offset + 1 == end;
        group.put(&self.log, &self.plan, &whole, left, is_needed)?;
        if let (Some(transaction), Some(output)) = (aborted, &mut group.output) {
            output.push_aborted(transaction);
        }
        Ok(())
    }

    /// Whether runs have gone through what ends at this offset, by the checkpoint. None goes through what lies below the log
    /// start.
    fn is_clean_part(&self, last_offset: u64) -> bool {
        (self.log.log_start()..self.plan.first_dirty).contains(&last_offset)
    }

    /// From when on a tombstone that is found now may go.
    fn horizon(&self) -> i64 {
        self.now.saturating_add(self.plan.settings.delete_retention_ms)
    }

    /// Puts what was made of the group in its place, and continues with the next.
    fn end_group(&mut self) -> Result<Step> {
        let Stage::Cleaning(group) = &mut self.stage else { return Ok(Step::More) };
        if let Some((header, had_records)) = group.dropped.take() {
            // The last batch stays: by it the offsets that a segment reaches over are known.
            group.changed |= had_records;
            group.push_header(&self.log, &header, &self.plan)?;
        }
        let range = group.segments.clone();
        let old = self.plan.segments.get(range.clone()).unwrap_or_default();
        let before: u64 = old.iter().map(|segment| segment.end().position).sum();
        let mut after = (old.len(), before);
        let is_made = group.output.is_some();
        if is_made && group.changed {
            group.finish_output(&self.log, &self.plan, None)?;
            let made = std::mem::take(&mut group.made);
            let bytes = made.iter().map(|one| one.segment.end().position).sum();
            after = (made.len(), bytes);
            if !self.log.replace(old, made, self.now)? {
                return Ok(Step::Gone);
            }
        } else {
            group.discard(&self.log);
        }
        self.summary.segments_before += old.len();
        self.summary.bytes_before += before;
        self.summary.segments_after += after.0;
        self.summary.bytes_after += after.1;
        self.begin_group(range.end);
        Ok(Step::More)
    }

    fn damage(&self, segment: &Segment, position: u64, offset: u64, reason: impl ToString) -> Error {
        let damage = Damage::new(segment.path(), position, reason.to_string());
        Error::Corrupt(Box::new(damage.at_offset(self.log.id(), offset)))
    }

    fn unreadable(&self, segment: &Segment, position: u64, reason: Unreadable) -> Error {
        match reason {
            Unreadable::Malformed(reason) => self.damage(segment, position, self.at.expected, reason),
            refused => {
                let damage = Damage::new(segment.path(), position, refused.to_string());
                Error::Unsupported(Box::new(damage.at_offset(self.log.id(), self.at.expected)))
            }
        }
    }

    fn unlisted_abort(&self, segment: &Segment, position: u64, _: UnlistedAbort) -> Error {
        let reason = "a transaction was aborted, but no index lists its records";
        self.damage(segment, position, self.at.expected, reason)
    }
}

impl Drop for CleanerRun {
    fn drop(&mut self) {
        if let Stage::Cleaning(group) = &mut self.stage {
            group.discard(&self.log);
        }
    }
}

impl Group {
    /// Writes what is left of a batch. Of one without records the header alone stays, where that `is_needed`.
    fn put(
        &mut self,
        log: &Leader,
        plan: &Cleanable,
        whole: &Piece<'_>,
        left: Left<'_>,
        is_needed: impl FnOnce(&BatchHeader) -> bool,
    ) -> Result<()> {
        match left {
            Left::All => self.push(log, whole, plan),
            Left::Batch { bytes, header } => {
                self.changed = true;
                self.push(log, &Piece::of(bytes, &header), plan)
            }
            Left::Nothing(header) => {
                let had_records = whole.bytes.len() > header_only(&header).len();
                if is_needed(&header) {
                    self.changed |= had_records;
                    return self.push_header(log, &header, plan);
                }
                self.changed |= self.dropped.replace((header, had_records)).is_some();
                Ok(())
            }
        }
    }

    fn push(&mut self, log: &Leader, piece: &Piece<'_>, plan: &Cleanable) -> Result<()> {
        let more = piece.bytes.len() as u64;
        if self.output.as_ref().is_some_and(|output| output.bytes() + more > self.max_bytes) {
            self.finish_output(log, plan, Some(piece.base_offset))?;
        }
        if self.output.is_none() {
            let first = plan.segments.get(self.segments.start).map_or(0, |first| first.base());
            let base = if self.made.is_empty() { first } else { piece.base_offset };
            self.output = Some(log.begin_cleaned(base)?);
        }
        self.changed |= self.dropped.take().is_some();
        let Some(output) = &mut self.output else { return Ok(()) };
        if output.push(piece.bytes, piece.last_offset, piece.timestamp)? {
            return Ok(());
        }
        Err(Error::invalid("compaction", "the offsets of a segment are too far apart"))
    }

    fn push_header(&mut self, log: &Leader, header: &BatchHeader, plan: &Cleanable) -> Result<()> {
        self.push(log, &Piece::of(&header_only(header), &BatchHeader { record_count: 0, ..*header }), plan)
    }

    /// Brings the segment that is being written to its end, which is that of the group or where the next one begins.
    fn finish_output(&mut self, log: &Leader, plan: &Cleanable, next: Option<u64>) -> Result<()> {
        let Some(mut output) = self.output.take() else { return Ok(()) };
        let Some(last) = plan.segments.get(self.segments.end - 1) else { return Ok(()) };
        let base = output.base();
        let next = next.unwrap_or_else(|| last.next_offset());
        let finished = output
            .settle(&last.open()?)
            .and_then(|()| log.by_name(|| output.finish(next)))
            .inspect_err(|_| log.discard_cleaned(base))?;
        self.made.extend(finished);
        Ok(())
    }

    /// Removes what was written.
    fn discard(&mut self, log: &Leader) {
        let written = self.output.take().map(|output| output.base());
        let made: Vec<_> = self.made.drain(..).map(|one| one.segment.base()).collect();
        made.into_iter().chain(written).for_each(|base| log.discard_cleaned(base));
    }
}

impl<'p> Piece<'p> {
    fn of(bytes: &'p [u8], header: &BatchHeader) -> Self {
        Self {
            bytes,
            base_offset: u64::try_from(header.base_offset).unwrap_or(0),
            last_offset: u64::try_from(header.last_offset()).unwrap_or(0),
            timestamp: if header.record_count == 0 { -1 } else { header.max_timestamp },
        }
    }
}

/// Whether a batch has a time from which on its tombstones may go, and it has come.
fn is_past(header: &BatchHeader, now: i64) -> bool {
    header.has_delete_horizon() && header.base_timestamp <= now
}

/// Whether a batch of records is about to be given the time from which on its tombstones may go. Each run gives it, so that
/// one without may have older records of the same keys before it. In the part that is clean by the checkpoint these would
/// stay when the tombstone goes.
fn is_news_of_tombstones(frame: &Frame, left: &BatchHeader) -> bool {
    let had_time = match &frame.kind {
        FrameKind::Batch(header) => header.has_delete_horizon() || header.is_control(),
        FrameKind::Legacy { .. } => false,
    };
    !had_time && left.has_delete_horizon()
}

/// No record goes.
struct Everything;

impl Keep for Everything {
    fn see(&mut self, _: u64, _: &RawRecord<'_>) {}

    fn keeps(&mut self, _: usize) -> bool {
        true
    }
}
