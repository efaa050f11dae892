//! A place in a partition to read on from.
//!
//! A cursor is an offset. Segment, map and byte position are kept beside it while they last, and found again by the
//! offset when they do not. Nothing here waits and no lock of a writer is taken.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{IsolationLevel, ReadUpTo};
use crate::error::{Damage, Error, Result};
use crate::format::frame::{frame_length, valid_batch_at};
use crate::format::header::HEADER_BYTES;
use crate::partition::PartitionLog;
use crate::partition::reader::decompress::{DecodedBatch, first_offset, take_decoded};
use crate::partition::reader::fetch::{Problem, Rest, Taken, Within, batch_end, count_from, take};
use crate::partition::recovery::survey::words;
use crate::partition::transactions::{Aborted, Front};
use crate::partition::view::{LogView, Numbered, Readable};
use crate::position::Position;
use crate::segment::{self, SegmentEnd, SegmentView};
use crate::sys::{Confirmed, Tail};

/// Reads one partition in order.
#[derive(Debug)]
pub(crate) struct Cursor {
    log: PartitionLog,
    offset: u64,
    level: ReadUpTo,
    /// The view that was used last. `None`: none yet for this offset.
    view: Option<Numbered<LogView>>,
    at: Option<CursorPosition>,
    /// Batches of control records are wanted as well.
    markers: bool,
    committed: Option<Committed>,
    /// The batch at the place, if it was returned in part.
    held: Option<DecodedBatch>,
}

/// Only committed records are wanted.
#[derive(Debug, Default)]
struct Committed {
    /// The aborted transactions of the segment that the cursor is in, as far as they are known.
    aborted: Aborted,
    /// The version of what is known of aborted transactions that they were looked up by, or one before.
    version: u64,
}

/// Where the batch with the cursor's offset begins, or will begin.
#[derive(Debug)]
struct CursorPosition {
    view: SegmentView,
    /// The segment's, held here so that it is loaded without a detour: many cursors are asked whether there is anything.
    tail: Arc<Tail>,
    position: u64,
    /// The batch there begins at this offset or after it.
    expected: u64,
}

impl CursorPosition {
    #[inline]
    fn end(&self) -> SegmentEnd {
        SegmentEnd::of(self.tail.load())
    }
}

/// Complete batches, checked, from one segment. Those that were compressed there are not so here.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Confirmed,
    /// Records below and from these offsets on are not meant.
    pub(crate) from: u64,
    pub(crate) end_offset: u64,
    pub(crate) records: usize,
    /// Where in the first batch the records that are meant begin. `None`: not known, so not before its beginning.
    pub(crate) first: Option<Rest>,
}

/// How much one fetch may bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
}

impl Cursor {
    pub(crate) fn new(log: impl Into<PartitionLog>, offset: u64, level: ReadUpTo) -> Self {
        let log = log.into();
        Self { log, offset, level, view: None, at: None, markers: false, committed: None, held: None }
    }

    /// Returns control batches too, each as one record: for those who keep the ends of transactions in mind
    /// themselves.
    pub(crate) fn with_markers(mut self) -> Self {
        self.markers = true;
        self
    }

    pub(crate) fn isolated(mut self, level: IsolationLevel) -> Self {
        self.committed = (level == IsolationLevel::ReadCommitted).then(Committed::default);
        self.at = None;
        self
    }

    /// Learns of transactions that another process has ended, if they matter here.
    pub(crate) fn refresh_transactions(&self) -> Result<()> {
        if self.committed.is_some() { self.log.refresh_transactions() } else { Ok(()) }
    }

    pub(crate) fn log(&self) -> &PartitionLog {
        &self.log
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn seek(&mut self, offset: u64) {
        if offset != self.offset {
            self.offset = offset;
            self.at = None;
            self.held = None;
            self.view = None;
        }
    }

    /// Whether a fetch may find something: two loads if the cursor is at the end of a growing segment.
    #[inline]
    pub(crate) fn may_have_data(&self) -> bool {
        let is_ahead = |place: &CursorPosition| {
            let end = place.end();
            (end.position > place.position || end.sealed)
                && self.offset < self.bound(self.log.reading.stability().first_unstable())
        };
        self.at.as_ref().is_some_and(is_ahead) || self.is_view_replaced()
    }

    /// Records from this offset on are not shown yet.
    #[inline]
    fn bound(&self, first_unstable: u64) -> u64 {
        let durable = match self.level {
            ReadUpTo::Visible => u64::MAX,
            ReadUpTo::Durable => self.log.durable_end(),
        };
        match (&self.committed, self.level) {
            (None, _) => durable,
            (Some(_), ReadUpTo::Visible) => first_unstable,
            // After the first unstable offset, which rises later.
            (Some(_), ReadUpTo::Durable) => {
                durable.min(first_unstable).min(self.log.reading.unsettled_from())
            }
        }
    }

    /// Whether there is another view than the one that was used last. One load.
    #[inline]
    fn is_view_replaced(&self) -> bool {
        self.view.as_ref().map_or(0, Numbered::number) != self.log.view.number()
    }

    /// The next batches, at least one if there is one, or `None` at the end of the log.
    pub(crate) fn fetch(&mut self, limits: FetchLimits) -> Result<Option<Fetched>> {
        let mut was_listed_anew = false;
        loop {
            let failure = match self.fetch_in_view(limits) {
                Err(failure) => failure,
                fetched => return fetched,
            };
            // A view does not keep files: they are opened by name when a segment is entered. A failure says nothing of the log if
            // the view was replaced meanwhile, or, where another process writes, was out of date without our knowledge.
            if !self.is_view_replaced() {
                if was_listed_anew || !self.log.has_moved_on(&failure) {
                    if self.at.is_none() {
                        // Asked again, it is looked for again.
                        self.view = None;
                    }
                    return Err(failure);
                }
                was_listed_anew = true;
            }
            self.at = None;
        }
    }

    fn fetch_in_view(&mut self, limits: FetchLimits) -> Result<Option<Fetched>> {
        loop {
            self.renew_view()?;
            if self.at.is_none() && !self.find_place()? {
                return Ok(None);
            }
            let Some(place) = &self.at else { return Ok(None) };
            let Readable { end, first_unstable, aborted_version } =
                self.log.reading.stability().readable(&place.tail);
            let (end, bound) = (SegmentEnd::of(end), self.bound(first_unstable));
            if self.offset >= bound {
                return Ok(None);
            }
            if place.position >= end.position {
                if self.leave_segment(end)? {
                    continue;
                }
                return Ok(None);
            }
            self.renew_aborted(aborted_version);
            if let Some(fetched) = self.fetch_here(end, bound, limits)? {
                return Ok(Some(fetched));
            }
        }
    }

    /// Takes the present view if there is a newer one than the one that is held, and sees whether the offset is in it:
    /// records that were deleted are not skipped in silence.
    fn renew_view(&mut self) -> Result<()> {
        if self.is_view_replaced() {
            self.view = Some(self.log.view.present());
        }
        let Some(view) = &self.view else { return Ok(()) };
        if view.ended().is_some() {
            return Err(self.log.end_error());
        }
        if self.at.is_some() && self.offset < view.log_start() { Err(self.out_of_range()) } else { Ok(()) }
    }

    /// Forgets how transactions end if more is known by now.
    fn renew_aborted(&mut self, version: u64) {
        if let Some(committed) = self.committed.as_mut().filter(|committed| committed.version != version) {
            *committed = Committed { aborted: Aborted::default(), version };
        }
    }

    #[cold]
    fn out_of_range(&self) -> Error {
        let valid = self.view.as_ref().map_or(0..0, |view| view.log_start()..view.log_end());
        Error::OffsetOutOfRange { at: Box::new(Position::new(self.log.id(), self.offset)), valid }
    }

    /// Finds the segment and the position for the offset. `false`: the log has no segment.
    fn find_place(&mut self) -> Result<bool> {
        // It is of a segment that may have been replaced.
        self.held = None;
        let view = self.log.present()?;
        self.view = Some(view.clone());
        if !(view.log_start()..=view.log_end()).contains(&self.offset) {
            return Err(self.out_of_range());
        }
        let list = view.segments();
        if let Some(first) = list.first().filter(|first| self.offset < first.base()) {
            return Err(self.refuse_lost_front(view.log_start(), first.base()));
        }
        let Some(segment) = list.holding(self.offset) else { return Ok(false) };
        let view = segment.view_for_lookup()?;
        let position = view.position_of(self.offset)?;
        self.log.rebuild_doubted(segment);
        let tail = Arc::clone(segment.tail());
        self.enter(CursorPosition { view, tail, position, expected: segment.base() })?;
        Ok(true)
    }

    fn enter(&mut self, place: CursorPosition) -> Result<()> {
        if let Some(committed) = &mut self.committed {
            // Looked up when a batch of a transaction is come to.
            committed.aborted = Aborted::default();
            self.log.prove_open()?;
        }
        self.at = Some(place);
        Ok(())
    }

    /// Leaves a segment that was read to its end. `false`: there is nothing after it yet.
    fn leave_segment(&mut self, end: SegmentEnd) -> Result<bool> {
        let (Some(view), Some(place)) = (&self.view, &self.at) else { return Ok(false) };
        let (segment, seen_to) = (place.view.segment(), place.expected);
        if !view.segments().contains(segment) {
            // What comes next may be part of a segment that begins before this one: it is found by the offset.
            self.offset = self.offset.max(seen_to);
            self.at = None;
            return Ok(true);
        }
        let list = Arc::clone(view.segments());
        let Some(next) = list.after(segment.base()).filter(|_| end.sealed) else {
            // A segment is sealed after the view with the next one is published.
            return Ok(self.is_view_replaced());
        };
        self.offset = self.offset.max(seen_to);
        if seen_to < next.base() {
            self.refuse_loss(place, next.base())?;
        }
        let view = next.view()?;
        self.offset = self.offset.max(next.base());
        let tail = Arc::clone(next.tail());
        self.enter(CursorPosition { view, tail, position: 0, expected: next.base() })?;
        Ok(true)
    }

    /// The batches that were seen of a segment end before the next one begins. That is all right where a compaction may have
    /// been, and where the rest of the segment was not checked.
    #[cold]
    fn refuse_loss(&self, place: &CursorPosition, next: u64) -> Result<()> {
        let segment = place.view.segment();
        let Some(lost) = self.log.lost_after(segment, next)? else { return Ok(()) };
        let reason =
            format!("{}: this segment ends before them, and the next one begins after", words(&lost));
        Err(self.loss(segment.path(), segment.end().position, &lost, reason))
    }

    /// The log begins at offsets of which there is no segment.
    #[cold]
    fn refuse_lost_front(&self, log_start: u64, first: u64) -> Error {
        let lost = log_start..first;
        let path = self.log.directory().join(segment::file_name(lost.start, segment::LOG));
        let reason = format!("{}: the log begins there, but the first segment at {first}", words(&lost));
        self.loss(path, 0, &lost, reason)
    }

    fn loss(&self, path: PathBuf, position: u64, lost: &Range<u64>, reason: String) -> Error {
        let at = self.offset.max(lost.start);
        let mut damage = Damage::new(path, position, reason).at_offset(self.log.id(), at);
        damage.resume_at = Some(Position::new(self.log.id(), lost.end));
        Error::Corrupt(Box::new(damage))
    }

    /// Takes batches at the present place. `None`: there was nothing for users among them; the cursor went past.
    fn fetch_here(&mut self, end: SegmentEnd, bound: u64, limits: FetchLimits) -> Result<Option<Fetched>> {
        let offset = self.offset;
        let Some(place) = &mut self.at else { return Ok(None) };
        let (position, left) = (place.position, end.position - place.position);
        let (base, most) = (place.view.segment().base(), limits.records.max(1));
        if let Some(held) = self.held.take().filter(|held| held.is_at(base, position) && held.serves(most)) {
            return Ok(self.fetch_held(held, most));
        }
        let wanted = (limits.bytes as u64).max(HEADER_BYTES as u64);
        let mut window = place.view.read(position..position + left.min(wanted))?;
        if let Ok(needs) = frame_length(window.as_ref())
            && needs > window.as_ref().len() as u64
            && needs <= left
        {
            window = place.view.read(position..position + needs)?;
        }
        let next_offset = place.view.segment().base() + u64::from(end.relative_next);
        let offsets = offset..next_offset;
        if let Some(Committed { aborted, .. }) = &mut self.committed {
            match aborted.front(window.as_ref(), place.expected..next_offset, bound) {
                Front::Shown(bytes) => window = window.truncated(bytes),
                Front::Hidden { bytes, next_offset } => {
                    place.position += bytes as u64;
                    place.expected = next_offset;
                    self.offset = offset.max(next_offset);
                    return Ok(None);
                }
                Front::Unknown => {
                    *aborted = self.log.aborted_in(place.view.segment(), offset)?;
                    return Ok(None);
                }
            }
        }
        let (markers, decompressed) = (self.markers, self.log.max_decompressed_bytes());
        let within = Within { expected: place.expected, offsets, bound, markers, decompressed };
        let taken = take(window.as_ref(), &within, most);
        if taken.bytes == 0 && taken.is_encoded {
            return self.fetch_encoded(window.as_ref(), &within, limits);
        }
        if taken.bytes == 0
            && let Some(problem) = &taken.problem
        {
            return Err(self.damage(problem, window.as_ref()));
        }
        if let (Some(split_at), Some(rest)) = (taken.split_at, taken.rest) {
            let frame = position + split_at as u64..position + taken.bytes as u64;
            self.held = Some(DecodedBatch::new(window.part(split_at..taken.bytes), base, frame, rest));
        }
        Ok(self.deliver(&taken, None, || window.truncated(taken.bytes)))
    }

    /// Moves past what was taken, and returns it if there is anything for users in it.
    fn deliver(
        &mut self,
        taken: &Taken,
        first: Option<Rest>,
        bytes: impl FnOnce() -> Confirmed,
    ) -> Option<Fetched> {
        let place = self.at.as_mut()?;
        place.position += taken.split_at.unwrap_or(taken.bytes) as u64;
        place.expected = taken.expected;
        let from = self.offset;
        self.offset = from.max(taken.next_offset);
        (taken.records > 0).then(|| Fetched {
            bytes: bytes(),
            from,
            end_offset: self.offset,
            records: taken.records,
            first,
        })
    }

    /// As [`fetch_here`](Self::fetch_here), where the first batch in the window must be decoded.
    fn fetch_encoded(
        &mut self,
        window: &[u8],
        within: &Within,
        limits: FetchLimits,
    ) -> Result<Option<Fetched>> {
        let Some(place) = &self.at else { return Ok(None) };
        let (base, position) = (place.view.segment().base(), place.position);
        let (taken, made) = take_decoded(window, within, limits);
        if taken.bytes == 0
            && let Some(problem) = &taken.problem
        {
            return Err(self.damage(problem, window));
        }
        let made = Bytes::from(made);
        if let (Some(split_at), Some(rest)) = (taken.split_at, taken.rest) {
            let frame = position + split_at as u64..position + taken.bytes as u64;
            self.held = DecodedBatch::last_of(&made, base, frame, rest);
        }
        Ok(self.deliver(&taken, None, || Confirmed::copied(made)))
    }

    /// Returns more of a batch that was returned in part before.
    fn fetch_held(&mut self, held: DecodedBatch, most: usize) -> Option<Fetched> {
        let (batch, first) = (held.batch()?, held.rest());
        let counted = count_from(&batch, first, self.offset, most);
        let after = batch_end(&batch) + 1;
        let mut taken = Taken::none(self.offset, after);
        taken.bytes = held.frame_bytes();
        (taken.records, taken.next_offset) = (counted.records, after);
        let bytes = held.confirmed();
        if let Some((next, rest)) = counted.left {
            (taken.split_at, taken.next_offset) = (Some(0), next);
            taken.expected = self.at.as_ref()?.expected;
            self.held = Some(held.with_rest(rest));
        }
        self.deliver(&taken, Some(first), || bytes)
    }

    fn damage(&self, problem: &Problem, window: &[u8]) -> Error {
        let Some(place) = &self.at else { return Error::Closed };
        let segment = place.view.segment();
        let damage = |reason: String| {
            let mut damage =
                Damage::new(segment.path(), place.position, reason).at_offset(self.log.id(), self.offset);
            damage.resume_at = self.resume_at(window).map(|offset| Position::new(self.log.id(), offset));
            Box::new(damage)
        };
        problem.error(damage)
    }

    /// The first offset after unreadable bytes from which reading can continue.
    fn resume_at(&self, window: &[u8]) -> Option<u64> {
        let place = self.at.as_ref()?;
        let segment = place.view.segment();
        let (position, end) = (place.position, segment.end());
        let next = self.offset + 1;
        let readable = |at: u64| -> Option<u64> {
            let bytes = place.view.batch_at(at).ok()??;
            valid_batch_at(bytes.as_ref(), next).ok()?;
            first_offset(bytes.as_ref(), self.log.max_decompressed_bytes())
        };
        // The damage may have left the length alone; else the index knows where a later batch begins.
        let after = frame_length(window).ok().map(|length| position + length);
        if after == Some(end.position) {
            return Some(segment.next_offset());
        }
        let after = after.filter(|after| *after < end.position);
        after
            .and_then(readable)
            .or_else(|| segment.positions_after(position).into_iter().find_map(readable))
            .or_else(|| Some(segment.next_offset()).filter(|next| *next > self.offset))
    }
}
