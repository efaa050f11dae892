//! What a leader and a tailing reader have in common: where the partition is, what of it is published, and what is known of
//! records that are missing. Cursors read it, and neither role asks here which one it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cleanup::Ages;
use super::context::PartitionContext;
use super::recovery::Evidence;
use super::settings::{LiveSettings, PartitionSettings, Retention};
use super::transactions::Reading;
use super::view::{Ended, LogView, Numbered, Published};
use super::{Bounds, PartitionOpening, SegmentList};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::compression::BatchLimits;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;
use crate::segment::{self, OFFSET_INDEX, Review, Segment, TIME_INDEX, TIMES_DIFFER};
use crate::sys::{Disk, Purpose, Spending};
use crate::wait::Sleepers;

/// The part of a partition that does not depend on who appends to it.
///
/// One type: most of its methods are one line each, of what both roles and the rooms above ask, and those that
/// read files of the directory are in the files of [`recovery`](super::recovery) and [`transactions`](super::transactions).
pub(crate) struct PartitionCore {
    pub(super) id: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) directory: PathBuf,
    pub(super) disk: Disk,
    pub(super) settings: LiveSettings,
    pub(super) context: PartitionContext,
    /// Number 0 until the partition is loaded.
    pub(super) view: Published<LogView>,
    pub(super) sleepers: Sleepers,
    pub(super) marks: Marks,
    /// What readers of committed records go by.
    pub(super) reading: Reading,
    pub(super) evidence: Evidence,
    pub(super) ages: Ages,
}

/// How much of a partition is on disk. Both only ever go up once the partition is loaded.
#[derive(Debug)]
pub(super) struct Marks {
    /// Every record below is on disk, and every directory entry it needs, or it has left the log.
    pub(super) durable_end: AtomicU64,
    /// The same, and indexes are in their final form.
    pub(super) recovery_point: AtomicU64,
    /// What lies from here on has to be found at the next open, though it is on disk: no checkpoint and no compaction passes it.
    held_from: AtomicU64,
}

impl Marks {
    fn new(recovery_point: u64) -> Self {
        let [durable_end, recovery_point, held_from] =
            [recovery_point, recovery_point, u64::MAX].map(AtomicU64::new);
        Self { durable_end, recovery_point, held_from }
    }

    /// What loading found. `next_offset`: where the log ends. After an unclean stop what lies past the recovery point was
    /// checked, but is not certain to be on disk.
    pub(super) fn loaded(&self, next_offset: u64, clean: bool) {
        for mark in [&self.durable_end, &self.recovery_point] {
            if clean {
                mark.store(next_offset, Ordering::Release);
            } else {
                mark.fetch_min(next_offset, Ordering::AcqRel);
            }
        }
    }

    #[inline]
    pub(super) fn reaches(&self, offset: u64) -> bool {
        self.durable_end.load(Ordering::Acquire) >= offset
    }

    pub(super) fn advance_recovery_point(&self, to: u64) {
        self.recovery_point.fetch_max(to, Ordering::AcqRel);
    }
}

impl fmt::Debug for PartitionCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionCore({})", self.id)
    }
}

impl PartitionCore {
    pub(super) fn new(opening: PartitionOpening<'_>) -> Arc<Self> {
        let PartitionOpening { id, topic_id, root, disk, settings, checkpointed, context } = opening;
        let directory = root.join(id.to_string());
        let compacts = settings.compaction.is_some() || checkpointed.cleaned.is_some();
        Arc::new(Self {
            marks: Marks::new(checkpointed.recovery_point.unwrap_or(0)),
            evidence: Evidence::new(id.topic(), checkpointed, compacts),
            reading: Reading::default(),
            ages: Ages::default(),
            disk: disk.within(&directory),
            directory,
            id: id.of_topic(*topic_id.as_bytes()),
            topic_id,
            settings: LiveSettings::new(settings),
            context,
            view: Published::new(LogView::new(SegmentList::default(), checkpointed.log_start)),
            sleepers: Sleepers::default(),
        })
    }

    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    /// The id of its topic.
    pub(crate) fn topic_id(&self) -> [u8; 16] {
        *self.topic_id.as_bytes()
    }

    /// The recovery point that the open has found: what lies past it was gone through.
    pub(crate) fn recovery_point_at_open(&self) -> u64 {
        self.evidence.checkpointed().recovery_point.unwrap_or(0)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What this thread writes from here on is for, as long as what it returns lives.
    pub(crate) fn spend(&self, purpose: Purpose) -> Spending {
        self.disk.spend(purpose)
    }

    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.sleepers
    }

    /// Largest batch this partition takes.
    #[inline]
    pub(crate) fn max_batch_bytes(&self) -> u32 {
        self.settings.max_batch_bytes()
    }

    /// What the records of one batch may take when they are decompressed.
    #[inline]
    pub(crate) fn max_decompressed_bytes(&self) -> usize {
        self.settings.max_decompressed_bytes()
    }

    /// How large a batch may be that this partition takes.
    #[inline]
    pub(crate) fn batch_limits(&self) -> BatchLimits {
        BatchLimits { written: self.max_batch_bytes() as usize, decompressed: self.max_decompressed_bytes() }
    }

    /// Leader epoch of the first record, as the catalog has it.
    pub(crate) fn first_epoch(&self) -> u32 {
        self.settings.all().first_epoch
    }

    pub(crate) fn retention(&self) -> Retention {
        self.settings.all().retention
    }

    pub(crate) fn is_compacted(&self) -> bool {
        self.settings.all().compaction.is_some()
    }

    pub(crate) fn log_start(&self) -> u64 {
        self.view.present().log_start()
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.view.number() > 0
    }

    pub(crate) fn segments(&self) -> Arc<SegmentList> {
        Arc::clone(self.view.present().segments())
    }

    /// Everything below is on disk.
    #[inline]
    pub(crate) fn durable_end(&self) -> u64 {
        self.marks.durable_end.load(Ordering::Acquire)
    }

    /// What the checkpoint of recovery points is to say; `None` if there is nothing on disk to speak of.
    pub(crate) fn recovery_point(&self) -> Option<u64> {
        let point = self.marks.recovery_point.load(Ordering::Relaxed).min(self.held_from());
        (point > 0 || self.evidence.checkpointed().recovery_point.is_some()).then_some(point)
    }

    /// From this offset on nothing is compacted, and the next open goes through the batches; `u64::MAX` for none.
    pub(crate) fn hold_from(&self, offset: u64) {
        self.marks.held_from.store(offset, Ordering::Release);
    }

    pub(super) fn held_from(&self) -> u64 {
        self.marks.held_from.load(Ordering::Acquire)
    }

    /// Goes by other settings from now on.
    pub(super) fn take_settings(&self, settings: PartitionSettings) {
        if settings.compaction.is_some() {
            self.record_compacted();
        }
        self.settings.set(settings);
    }

    /// Replaces the view. Those that watch or wait see the new one.
    pub(super) fn replace_view(&self, next: impl FnOnce(&LogView) -> LogView) {
        self.view.replace(next);
        self.sleepers.wake_all();
    }

    /// Raises the log start; it never goes back.
    pub(crate) fn advance_start(&self, to: u64) {
        if self.log_start() >= to || self.view.replace_first(|view| view.starting_at(to)) {
            return;
        }
        self.replace_view(|view| view.starting_at(to));
    }

    /// Raises the durable end. Readers that read only what is durable wait for it as others wait for records.
    pub(super) fn advance_durable(&self, end: u64) {
        if self.marks.durable_end.fetch_max(end, Ordering::AcqRel) < end {
            self.reading.settle(end);
            self.sleepers.wake_all();
        }
    }

    /// Why nothing is read any more, if that is so.
    pub(crate) fn refuse_ended(&self) -> Result<()> {
        if self.has_ended() { Err(self.end_error()) } else { Ok(()) }
    }

    /// Whether it was closed or deleted. One load.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.view.is_last()
    }

    /// What a call gets of a partition that was closed or deleted.
    pub(super) fn end_error(&self) -> Error {
        match self.view.present().ended() {
            Some(Ended::Deleted) => self.deleted(),
            Some(Ended::Closed) | None => Error::Closed,
        }
    }

    pub(super) fn deleted(&self) -> Error {
        Error::not_found("topic", self.id.topic())
    }

    /// The present view of a partition that is loaded. An error if it was closed or deleted.
    pub(super) fn loaded_view(&self) -> Result<Numbered<LogView>> {
        let view = self.view.present();
        if view.ended().is_some() { Err(self.end_error()) } else { Ok(view) }
    }

    /// The offsets of a view, as they are now.
    pub(super) fn bounds_of(&self, view: &LogView) -> Bounds {
        // First, so that it is not beyond the end.
        let durable = self.durable_end();
        let (log_start, log_end) = (view.log_start(), view.log_end());
        // After the end: see `Stability`.
        let last_stable = self.reading.stability().first_unstable().clamp(log_start, log_end);
        Bounds { log_start, durable: durable.clamp(log_start, log_end), last_stable, log_end }
    }

    /// Does something with the files of the view that `present` finds, again as long as views are replaced meanwhile. Files
    /// are opened by name: those of a segment that has left the log since may be gone, which says nothing of the log. Of a
    /// view that is still the present one a failure counts.
    pub(super) fn in_view<T>(
        &self,
        present: impl Fn() -> Result<Numbered<LogView>>,
        mut work: impl FnMut(&LogView) -> Result<T>,
    ) -> Result<T> {
        loop {
            let view = present()?;
            match work(&view) {
                Err(_) if self.view.number() != view.number() => {}
                done => return done,
            }
        }
    }

    /// Refuses if the log is not where it was opened. A sync goes by descriptors and would not notice.
    pub(crate) fn check_place(&self) -> Result<()> {
        // The place of a deleted one may well be another's.
        let is_deleted = || self.view.present().ended() == Some(Ended::Deleted);
        self.disk.check_place().map_err(|failure| if is_deleted() { self.deleted() } else { failure })
    }

    /// Whether another directory has its place, or none, whether the topic is deleted or not. `false`: it is there, or
    /// cannot be checked now.
    pub(crate) fn has_lost_its_place(&self) -> bool {
        matches!(self.disk.check_place(), Err(Error::Replaced { .. }))
    }

    /// What is derived from the log and cannot be written for want of space is left out, which is reported: no log needs it
    /// to be opened or read. Returns whether it was written.
    pub(super) fn unless_full(&self, what: &'static str, written: Result<()>) -> Result<bool> {
        match written {
            Err(full @ Error::StorageFull { .. }) => {
                self.emit_failed(what, &full);
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    pub(super) fn emit_failed(&self, task: &'static str, failure: &Error) {
        let failure = failure.to_string().into();
        self.context.events.emit(|| Event::MaintenanceFailed { task, failure });
    }

    /// Makes the index of a segment anew if it turned out to be wrong, and has `adopt` take it over. A failure is reported, not
    /// returned: the reader that found it has its answer from the batches.
    pub(super) fn renew_by(
        &self,
        segment: &Arc<Segment>,
        adopt: impl FnOnce(Review, &'static str) -> Result<()>,
    ) {
        let Some(reason) = segment.take_doubt() else { return };
        let renew = || {
            let mut review = Review::new(segment, self.settings.all().index_interval_bytes, i64::MAX);
            review.finish(segment, &segment.open()?)?;
            adopt(review, reason)
        };
        match renew() {
            Ok(()) | Err(Error::Closed | Error::NotFound { .. }) => {}
            Err(failure) => self.emit_failed("making an index anew", &failure),
        }
    }

    pub(super) fn emit_rebuilt(&self, base: u64, reason: &'static str) {
        let suffix = if reason == TIMES_DIFFER { TIME_INDEX } else { OFFSET_INDEX };
        self.context.events.emit(|| Event::IndexRebuilt {
            partition: self.id.clone(),
            path: self.directory.join(segment::file_name(base, suffix)),
            reason: reason.into(),
        });
    }

    /// Nothing is kept of a partition that is closed or deleted. To be called under no lock.
    pub(super) fn give_up_kept(&self) {
        self.segments().iter().for_each(|segment| drop(segment.leave()));
    }

    /// Reports those segments whose files were just deleted and that readers keep on the device.
    pub(super) fn emit_pinned<'s>(&self, deleted: impl Iterator<Item = &'s Arc<Segment>>) {
        for segment in deleted {
            let bytes = segment.pinned();
            if bytes > 0 {
                let (partition, base_offset) = (self.id.clone(), segment.base());
                self.context.events.emit(|| Event::SegmentPinned { partition, base_offset, bytes });
            }
        }
    }
}
