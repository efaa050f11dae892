//! The age of segments by their batches, and indexes that turn out to disagree with these.
//!
//! An index is made from the batches and carries no checksum, so it decides nothing here. It says where to look, and what
//! is found there must be what it says: else the answer comes from the batches, and the index is rebuilt. Before a
//! segment goes because it is old, all its headers are read; a slice at a time, without a lock that an append or a read
//! would wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::events::Event;
use crate::partition::locks::{Lock, Rank};
use crate::partition::{Appender, Leader, PartitionCore, Tailing};
use crate::segment::{Review, Segment, TIMES_DIFFER};

/// What is known of the oldest segments that retention asked about.
#[derive(Debug)]
pub(in crate::partition) struct Ages {
    known: Lock<Known>,
    /// Goes up when a segment has got an index that was made from its batches, in place of one that was wrong.
    index_version: AtomicU64,
}

impl Default for Ages {
    fn default() -> Self {
        Self { known: Lock::new(Rank::Ages, Known::default()), index_version: AtomicU64::new(0) }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// A review that is under way.
    review: Option<(Arc<Segment>, Review)>,
    checked: Option<CheckedAge>,
    /// Base offset of the segment that was last reported because of a timestamp in the future.
    reported: Option<u64>,
}

#[derive(Debug)]
struct CheckedAge {
    segment: Weak<Segment>,
    /// Where the segment ended when it was gone through.
    position: u64,
    age: Age,
}

/// How old a segment is by its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// Largest timestamp of its records. Without any, when the file was last changed; that too if it is later and part of
    /// the segment cannot be read.
    pub(crate) newest: i64,
    /// Largest timestamp that was not in the future when the segment was gone through.
    pub(crate) newest_past: Option<i64>,
    /// When it was gone through, by the log's clock.
    pub(crate) at: i64,
}

/// What is asked about the age of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgeQuestion {
    pub(crate) base: u64,
    pub(crate) now: i64,
    /// All of the segment is gone through at once.
    pub(crate) whole: bool,
    /// What was found out before this time is not enough.
    pub(crate) since: i64,
}

impl PartitionCore {
    /// The age of a segment by its batches; `None` if there is more of it to go through, which the next call does. `claimed` is
    /// what its index has as the largest timestamp; one that is wrong is replaced by `adopt`.
    pub(in crate::partition) fn age_by_batches(
        &self,
        AgeQuestion { base, now, whole, since }: AgeQuestion,
        claimed: impl FnOnce(&Arc<Segment>) -> Result<Option<i64>>,
        adopt: impl FnOnce(&Arc<Segment>, Review) -> Result<()>,
    ) -> Result<Option<Age>> {
        let segments = self.segments();
        let Some(segment) = segments.with_base(base) else {
            // Gone meanwhile: nothing is to be done about it.
            return Ok(Some(Age { newest: i64::MAX, newest_past: None, at: now }));
        };
        let known = &mut *self.ages.known.lock();
        if let Some(checked) = &known.checked
            && checked.is_of(segment)
            && checked.age.at >= since
        {
            return Ok(Some(checked.age));
        }
        let begun = known.review.take();
        let begun = begun.filter(|(of, review)| Arc::ptr_eq(of, segment) && review.began_at() >= since);
        let mut review = match begun {
            Some((_, review)) => review,
            None => Review::new(segment, self.index_interval(), now),
        };
        let file = segment.open()?;
        while !review.step(segment, &file)? {
            if !whole {
                known.review = Some((Arc::clone(segment), review));
                return Ok(None);
            }
        }
        let times = review.times();
        let newest = match times.largest {
            Some(largest) if !times.is_damaged => largest,
            largest => file.changed_at()?.max(largest.unwrap_or(i64::MIN)),
        };
        let age = Age { newest, newest_past: times.largest_past, at: review.began_at() };
        known.checked =
            Some(CheckedAge { segment: Arc::downgrade(segment), position: review.position(), age });
        if !review.agrees_with(claimed(segment)?) {
            adopt(segment, review)?;
        }
        Ok(Some(age))
    }

    /// What lookups know by indexes holds as long as this is the same.
    pub(in crate::partition) fn index_version(&self) -> u64 {
        self.ages.index_version.load(Ordering::Acquire)
    }

    pub(in crate::partition) fn note_adopted(&self) {
        self.ages.index_version.fetch_add(1, Ordering::AcqRel);
    }

    fn index_interval(&self) -> u32 {
        self.settings.all().index_interval_bytes
    }
}

impl Tailing {
    /// The age of a segment by its batches.
    pub(in crate::partition) fn age_of(&self, asked: AgeQuestion) -> Result<Option<Age>> {
        let adopt = |segment: &Arc<Segment>, review| self.adopt_review(segment, review, TIMES_DIFFER);
        self.age_by_batches(asked, |segment| segment.claimed_largest(), adopt)
    }
}

impl Leader {
    /// The age of a segment by its batches; `None` if there is more of it to go through, which the next call does.
    pub(crate) fn age_of(&self, asked: AgeQuestion) -> Result<Option<Age>> {
        let adopt = |segment: &Arc<Segment>, review| self.adopt_review(segment, review, TIMES_DIFFER);
        self.age_by_batches(asked, |segment| self.claimed_largest(segment), adopt)
    }

    /// Whether reading its last batches bears out what the index of a segment has as its largest timestamp.
    pub(crate) fn bears_out_age(&self, base: u64) -> Result<bool> {
        match self.segments().with_base(base) {
            Some(segment) => segment.view()?.bears_out_largest(),
            None => Ok(true),
        }
    }

    /// What the index of a segment has as its largest timestamp.
    fn claimed_largest(&self, segment: &Arc<Segment>) -> Result<Option<i64>> {
        match &*self.writer.appender() {
            Appender::Active { writer, .. } if Arc::ptr_eq(writer.segment(), segment) => {
                Ok(writer.largest_timestamp())
            }
            _ => segment.claimed_largest(),
        }
    }

    /// Makes the index of a segment anew if it turned out to be wrong. A failure is reported, not returned: the caller that
    /// came upon it has its answer from the batches.
    pub(crate) fn rebuild_doubted(&self, segment: &Arc<Segment>) {
        self.renew_by(segment, |review, reason| self.adopt_review(segment, review, reason));
    }

    /// Gives a segment the index that a review of it has made. Of one that is damaged there is none.
    fn adopt_review(&self, segment: &Arc<Segment>, mut review: Review, reason: &'static str) -> Result<()> {
        if let Appender::Active { writer, .. } = &mut *self.writer.appender()
            && Arc::ptr_eq(writer.segment(), segment)
        {
            // What was appended since: little.
            review.finish(segment, &segment.open()?)?;
            if !review.times().is_damaged {
                writer.adopt(review.into_entries(), self.index_interval());
                self.emit_rebuilt(segment.base(), reason);
            }
            return Ok(());
        }
        // Finishing a segment writes the same files.
        let _order = self.writer.finishing();
        let is_ours =
            self.segments().with_base(segment.base()).is_some_and(|ours| Arc::ptr_eq(ours, segment));
        review.finish(segment, &segment.open()?)?;
        if !is_ours || review.times().is_damaged {
            return Ok(());
        }
        let entries = review.into_entries();
        if segment.is_stored_as(&entries) {
            return Ok(());
        }
        self.by_name(|| segment.adopt(entries))?;
        self.note_adopted();
        self.emit_rebuilt(segment.base(), reason);
        Ok(())
    }

    /// Whether it is still to be reported that this segment is kept only because of a timestamp in the future.
    pub(crate) fn is_news_of_future(&self, base: u64) -> bool {
        self.ages.known.lock().reported != Some(base)
    }

    /// Reports it.
    pub(crate) fn emit_future(&self, base: u64, timestamp: i64) {
        self.ages.known.lock().reported = Some(base);
        self.context.events.emit(|| Event::KeptByFutureTimestamp {
            partition: self.id.clone(),
            base_offset: base,
            timestamp: Timestamp::from_millis(timestamp),
        });
    }
}

impl CheckedAge {
    fn is_of(&self, segment: &Arc<Segment>) -> bool {
        std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment)) && self.position == segment.end().position
    }
}
