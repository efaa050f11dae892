//! The segments of a partition in the order of their base offsets: an immutable list.

use std::ops::Range;
use std::sync::Arc;

use crate::segment::Segment;

/// Segments in the order of their base offsets.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    segments: Vec<Arc<Segment>>,
}

impl SegmentList {
    pub(crate) fn of(segments: Vec<Arc<Segment>>) -> Self {
        Self { segments }
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
        Self { segments }
    }

    /// The same with segments in the place of a run of others. `None`: it does not hold that run.
    pub(super) fn exchanged(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) -> Option<Self> {
        let place = self.place_of(old)?;
        let mut segments = self.segments.clone();
        segments.splice(place, new.iter().cloned());
        Some(Self { segments })
    }

    /// The head segments for which `leaves` says so of each next one, and the list without them. The last segment
    /// always stays.
    pub(super) fn split_head(&self, leaves: impl Fn(&Segment) -> bool) -> (Vec<Arc<Segment>>, Self) {
        let count = self.segments.iter().skip(1).take_while(|next| leaves(next)).count();
        let mut head = self.segments.clone();
        let segments = head.split_off(count);
        (head, Self { segments })
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
