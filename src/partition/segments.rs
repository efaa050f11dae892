//! The segments of a partition, as readers see them: an immutable list, swapped whole.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::segment::Segment;

/// Segments in the order of their base offsets.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    segments: Vec<Arc<Segment>>,
}

/// The present list. Readers keep what they took; the lock is held for a pointer copy.
#[derive(Debug, Default)]
pub(super) struct Segments {
    present: Mutex<Arc<SegmentList>>,
    /// Goes up with every change of the list, after it. Read by readers to see whether they should look again.
    version: AtomicU64,
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
        let behind = self.segments.partition_point(|segment| segment.base() <= offset);
        self.segments.get(behind.saturating_sub(1))
    }

    /// The segment with exactly this base offset.
    pub(crate) fn with_base(&self, base: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base()).ok()?;
        self.segments.get(at)
    }

    /// The segment after the one with this base offset.
    pub(crate) fn after(&self, base: u64) -> Option<&Arc<Segment>> {
        self.segments.get(self.segments.partition_point(|segment| segment.base() <= base))
    }
}

impl Segments {
    pub(super) fn present(&self) -> Arc<SegmentList> {
        Arc::clone(&self.present.lock())
    }

    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Has everybody look again, though the list is the same.
    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn set(&self, list: SegmentList) {
        *self.present.lock() = Arc::new(list);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Puts a segment behind the last one, or in place of the last one if it has the same base offset.
    pub(super) fn add(&self, segment: &Arc<Segment>) {
        let mut present = self.present.lock();
        let mut segments = present.segments.clone();
        if segments.last().is_some_and(|last| last.base() == segment.base()) {
            segments.pop();
        }
        segments.push(Arc::clone(segment));
        *present = Arc::new(SegmentList { segments });
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether these stand in the list, one behind the other.
    pub(super) fn hold(&self, run: &[Arc<Segment>]) -> bool {
        place_of(&self.present.lock().segments, run).is_some()
    }

    /// Puts segments in the place of others that stand one behind the other.
    pub(super) fn exchange(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        let mut present = self.present.lock();
        let Some(place) = place_of(&present.segments, old) else { return };
        let mut segments = present.segments.clone();
        segments.splice(place, new.iter().cloned());
        *present = Arc::new(SegmentList { segments });
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes segments off the front as long as `goes` says so of one and the next. The last one stays.
    pub(super) fn drop_front(&self, goes: impl Fn(&Segment, &Segment) -> bool) -> Vec<Arc<Segment>> {
        let mut present = self.present.lock();
        let pairs = present.segments.iter().zip(present.segments.iter().skip(1));
        let gone = pairs.take_while(|(segment, next)| goes(segment, next)).count();
        if gone == 0 {
            return Vec::new();
        }
        let mut front = present.segments.clone();
        let segments = front.split_off(gone);
        *present = Arc::new(SegmentList { segments });
        self.version.fetch_add(1, Ordering::Release);
        front
    }
}

/// Where a run of segments stands among others.
fn place_of(segments: &[Arc<Segment>], run: &[Arc<Segment>]) -> Option<Range<usize>> {
    let first = run.first()?;
    let from = segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
    let place = from..from + run.len();
    let is_run = segments.get(place.clone())?.iter().zip(run).all(|(a, b)| Arc::ptr_eq(a, b));
    is_run.then_some(place)
}
