//! The segments of a partition in the order of their base offsets: an immutable list, and what lookups by time have found out
//! about its segments.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::reader::latest::{Latest, UNKNOWN};
use crate::segment::Segment;

/// Segments in the order of their base offsets.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    segments: Vec<Arc<Segment>>,
    latest: Mutex<Latest>,
}

impl SegmentList {
    pub(crate) fn of(segments: Vec<Arc<Segment>>) -> Self {
        Self { segments, latest: Mutex::default() }
    }

    /// The same with what is known of its segments by the list before.
    pub(super) fn after_list(self, before: &Self) -> Self {
        let latest = before.latest.lock();
        if !latest.bounds().is_empty() {
            let mut known = before.segments.iter().zip(latest.bounds()).peekable();
            let bound_of = |segment: &Arc<Segment>| {
                // What is found at once is the common case: most segments are in both.
                while let Some((other, bound)) = known.peek() {
                    if Arc::ptr_eq(other, segment) {
                        let bound = **bound;
                        known.next();
                        return bound;
                    }
                    if other.base() >= segment.base() {
                        break;
                    }
                    known.next();
                }
                UNKNOWN
            };
            let bounds = self.segments.iter().map(bound_of).collect();
            *self.latest.lock() = Latest::of(bounds, latest.version);
        }
        drop(latest);
        self
    }

    /// The number of the first segment that holds offsets from `offset` on.
    pub(super) fn first_from(&self, offset: u64) -> usize {
        self.segments.partition_point(|segment| segment.next_offset() <= offset)
    }

    /// The first segment from number `from` on of which it is not known that all of its records are before `at`, and its
    /// number. `version`: of the indexes, as it was before this lookup.
    pub(super) fn first_reaching(
        &self,
        from: usize,
        at: i64,
        version: u64,
    ) -> Option<(usize, &Arc<Segment>)> {
        let mut latest = self.latest.lock();
        if latest.bounds().is_empty() || latest.version != version {
            let bounds = self.segments.iter().map(|segment| segment.latest().unwrap_or(UNKNOWN)).collect();
            *latest = Latest::of(bounds, version);
        }
        loop {
            let number = latest.first_reaching(from, at)?;
            let segment = self.segments.get(number)?;
            let is_unknown = latest.bounds().get(number) == Some(&UNKNOWN);
            let Some(known) = segment.latest().filter(|_| is_unknown) else { return Some((number, segment)) };
            // It was sealed since.
            latest.set(number, known);
            if known >= at {
                return Some((number, segment));
            }
        }
    }

    /// A lookup has gone through all of a segment, to which nothing is added, and has found no record at `at` or later.
    pub(super) fn note_before(&self, number: usize, at: i64, version: u64) {
        let mut latest = self.latest.lock();
        if latest.version == version
            && let Some(known) = latest.bounds().get(number).copied()
        {
            latest.set(number, known.min(at.saturating_sub(1)));
        }
    }

    /// Whether both hold the very same segments.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.iter().zip(other.iter()).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.segments.iter()
    }

    pub(crate) fn first(&self) -> Option<&Arc<Segment>> {
        self.segments.first()
    }

    pub(super) fn as_slice(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(crate) fn last(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// The segment that holds `offset`, or would if the offset is not taken yet.
    pub(crate) fn holding(&self, offset: u64) -> Option<&Arc<Segment>> {
        let after = self.segments.partition_point(|segment| segment.base() <= offset);
        self.segments.get(after.saturating_sub(1))
    }

    /// The segment with exactly this base offset.
    pub(crate) fn with_base(&self, base: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base()).ok()?;
        self.segments.get(at)
    }

    /// Whether it holds this very segment, not another one with the same base offset.
    pub(super) fn contains(&self, segment: &Arc<Segment>) -> bool {
        self.with_base(segment.base()).is_some_and(|ours| Arc::ptr_eq(ours, segment))
    }

    /// The segment after the one with this base offset.
    pub(crate) fn after(&self, base: u64) -> Option<&Arc<Segment>> {
        self.segments.get(self.segments.partition_point(|segment| segment.base() <= base))
    }

    /// The same with a segment after the last one, or in place of the last one if it has the same base offset.
    pub(super) fn with(&self, segment: &Arc<Segment>) -> Self {
        let mut segments = self.segments.clone();
        segments.pop_if(|last| last.base() == segment.base());
        segments.push(Arc::clone(segment));
        Self::of(segments).after_list(self)
    }

    /// The same with segments in the place of a run of others. `None`: it does not hold that run.
    pub(super) fn exchanged(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) -> Option<Self> {
        let place = self.place_of(old)?;
        let mut segments = self.segments.clone();
        segments.splice(place, new.iter().cloned());
        Some(Self::of(segments).after_list(self))
    }

    /// The head segments for which `leaves` says so of each next one, and the list without them. The last segment
    /// always stays.
    pub(super) fn split_head(&self, leaves: impl Fn(&Segment) -> bool) -> (Vec<Arc<Segment>>, Self) {
        let count = self.segments.iter().skip(1).take_while(|next| leaves(next)).count();
        let mut head = self.segments.clone();
        let segments = head.split_off(count);
        (head, Self::of(segments).after_list(self))
    }

    /// Whether it holds a run of segments, one after the other.
    pub(super) fn contains_run(&self, run: &[Arc<Segment>]) -> bool {
        self.place_of(run).is_some()
    }

    fn place_of(&self, run: &[Arc<Segment>]) -> Option<Range<usize>> {
        let first = run.first()?;
        let from = self.segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
        let place = from..from + run.len();
        let is_run = self.segments.get(place.clone())?.iter().zip(run).all(|(a, b)| Arc::ptr_eq(a, b));
        is_run.then_some(place)
    }
}
