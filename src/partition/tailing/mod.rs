//! Tailing a partition that another process may be writing: a stratalog, a Kafka broker, or none.
//!
//! Nothing is written, cut or locked here. What counts is found by reading the files, never by mapping them:
//!
//! | found | means |
//! |---|---|
//! | a complete batch at the expected offset after the last one | it belongs to the log |
//! | anything else after the last batch of the last segment | not yet |
//! | the same, but a later segment exists, or it lies below the recovery point | damage |
//! | a file named by the next offset | the last segment is complete |
//! | the first segment is gone | the log starts later now |
//! | the last segment is shorter than what was read of it | it was replaced: everything is checked anew |
//! | the name of a segment means another file, when it is opened | the same: a compaction keeps base offsets, and may keep lengths |
//!
//! What is found is published in the same words as a writer's, so readers notice no difference. [`refresh`] looks
//! further, as often as a caller asks; between two calls nothing is open.
//!
//! [`refresh`]: Tailing::refresh

pub(super) mod live_file;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::format::frame::{MIN_PREFIX, frame_length};
use crate::partition::core::PartitionCore;
use crate::partition::locks::{Lock, Rank};
use crate::partition::recovery::{self, MAX_LISTINGS, PartitionRecovery, RecoveredLog};
use crate::partition::tailing::live_file::{LiveView, Shown};
use crate::partition::transactions::Decided;
use crate::partition::view::{LogView, Numbered};
use crate::partition::{Checkpointed, Ended, PartitionOpening, SegmentList};
use crate::segment::{self, Batches, MAX_OFFSETS, Review, Segment};
use crate::sys::PlainFile;
use crate::sys::disk::kind_of;

/// What the last segment showed.
#[derive(PartialEq, Eq)]
enum Look {
    /// It has grown, or is as it was.
    Seen,
    /// It is complete, and another one follows.
    Rolled,
    /// It is gone, or is not the file it was.
    Lost,
}

/// What a tailing reader knows of the live writer's file.
#[derive(Debug, Default)]
pub(in crate::partition) struct Watching {
    view: Option<Arc<LiveView>>,
    slot: Option<usize>,
    /// Slots before this one are not it.
    searched: usize,
    /// When the files were checked last.
    pub(in crate::partition) looked: Option<Instant>,
}

/// How long a reader believes the live file when it says that the log has not grown, before it checks the log files itself:
/// another program may have damaged the live file.
const BELIEVED: Duration = Duration::from_secs(1);

impl Watching {
    fn shows_nothing_new(&mut self, view: &Arc<LiveView>, log: &PartitionCore) -> bool {
        if self.view.as_ref().is_none_or(|known| !Arc::ptr_eq(known, view)) {
            // From here on the live file shows every append; what came before shows in the log files.
            *self = Self { view: Some(Arc::clone(view)), ..Self::default() };
            return false;
        }
        if self.slot.is_none() {
            let in_use = view.in_use();
            self.slot = view.slot_of(log.topic_id, log.id.partition(), self.searched);
            self.searched = in_use;
        }
        let Some(slot) = self.slot else { return !view.is_full() };
        let known = log.segments();
        let known = known.last().map(|last| Shown { base: last.base(), word: last.end_word() });
        known.is_some() && view.shown(slot) == known
    }

    fn ask(&self, view: &Arc<LiveView>) -> bool {
        let same = self.view.as_ref().is_some_and(|known| Arc::ptr_eq(known, view));
        match self.slot {
            Some(slot) if same => view.raise(Some(slot)),
            _ => return same && !view.is_full(),
        }
        true
    }
}

/// A partition that another process may be appending to. Nothing is written here.
#[derive(Debug)]
pub(crate) struct Tailing {
    core: Arc<PartitionCore>,
    /// Held while the directory is checked: everything that is published here is published under it. `None`: not loaded.
    watching: Lock<Option<Watching>>,
    /// Which transactions are open, once a reader wants to know.
    pub(super) decided: Lock<Option<Decided>>,
}

impl Deref for Tailing {
    type Target = PartitionCore;

    #[inline]
    fn deref(&self) -> &PartitionCore {
        &self.core
    }
}

impl Tailing {
    pub(crate) fn new(opening: PartitionOpening<'_>) -> Arc<Self> {
        Arc::new(Self {
            core: PartitionCore::new(opening),
            watching: Lock::new(Rank::Watching, None),
            decided: Lock::new(Rank::TailedTransactions, None),
        })
    }

    pub(super) fn core(&self) -> &Arc<PartitionCore> {
        &self.core
    }

    /// The view as it is after another look. An error if the partition was closed or deleted.
    pub(crate) fn present(&self) -> Result<Numbered<LogView>> {
        self.refresh()?;
        self.loaded_view()
    }

    /// Takes the first look, unless that was done.
    pub(crate) fn load(&self) -> Result<Option<PartitionRecovery>> {
        let mut watching = self.watching.lock();
        self.refuse_ended()?;
        match *watching {
            None => self.take_first_look(&mut watching).map(Some),
            Some(_) => Ok(None),
        }
    }

    /// Looks what another process has done to the partition since the last look.
    pub(crate) fn refresh(&self) -> Result<()> {
        let mut known = self.watching.lock();
        if self.has_ended() {
            return Ok(());
        }
        match &mut *known {
            None => self.take_first_look(&mut known).map(drop),
            Some(watching) => {
                watching.looked = Some(Instant::now());
                self.look_further()
            }
        }
    }

    /// The same, but where a live writer shows that it has appended nothing that is enough.
    pub(crate) fn refresh_end(&self) -> Result<()> {
        let view = || self.context.watch.as_ref()?.view();
        if let Some(watching) = &mut *self.watching.lock()
            && view().is_some_and(|view| watching.shows_nothing_new(&view, self))
            && watching.looked.is_some_and(|looked| looked.elapsed() < BELIEVED)
        {
            return Ok(());
        }
        self.refresh()
    }

    #[cfg(test)]
    pub(super) fn forget_last_look(&self) {
        if let Some(watching) = &mut *self.watching.lock() {
            watching.looked = None;
        }
    }

    /// Nothing is read any more.
    pub(super) fn end(&self, why: Ended) {
        let known = self.watching.lock();
        self.view.replace_by_last(|view| view.ended_by(why));
        drop(known);
        self.sleepers.wake_all();
        if why == Ended::Deleted {
            self.emit_pinned(self.segments().iter());
        }
    }

    /// Makes the index of a segment anew, in memory, if it turned out to be wrong.
    pub(super) fn rebuild_doubted(&self, segment: &Arc<Segment>) {
        self.renew_by(segment, |review, reason| self.adopt_review(segment, review, reason));
    }

    /// Gives a segment the index that a review of it has made. Of one that is damaged there is none.
    pub(super) fn adopt_review(
        &self,
        segment: &Arc<Segment>,
        mut review: Review,
        reason: &'static str,
    ) -> Result<()> {
        review.finish(segment, &segment.open()?)?;
        let list = self.segments();
        let is_ours = list.with_base(segment.base()).is_some_and(|ours| Arc::ptr_eq(ours, segment));
        if !is_ours || review.times().is_damaged {
            return Ok(());
        }
        let entries = review.into_entries();
        if segment.is_stored_as(&entries) {
            return Ok(());
        }
        segment.adopt(entries)?;
        self.note_adopted();
        self.emit_rebuilt(segment.base(), reason);
        Ok(())
    }

    /// Asks the writer to notify this process when it appends. `false`: as far as is known, it will not.
    pub(crate) fn ask_to_be_woken(&self, view: &Arc<LiveView>) -> bool {
        self.watching.lock().as_ref().is_some_and(|watching| watching.ask(view))
    }

    /// What the checkpoints say by now.
    pub(crate) fn advance_checkpoints(&self, found: &Checkpointed) {
        self.advance_start(found.log_start);
        self.advance_durable(found.recovery_point.unwrap_or(0));
        if let Some(end_offset) = found.cleaned {
            self.record_compacted();
            self.set_cleaned(end_offset);
        }
    }

    /// After reading has failed: whether that is because the files were exchanged under the reader, which should then try
    /// again.
    pub(in crate::partition) fn has_moved_on(&self, failure: &Error) -> bool {
        let may_have = failure.is_file_not_found() || matches!(failure, Error::Corrupt(_));
        if !may_have {
            return false;
        }
        let watching = self.watching.lock();
        watching.is_some() && !self.has_ended() && self.list_anew(&SegmentList::default()).is_ok()
    }

    /// The first look.
    fn take_first_look(&self, watching: &mut Option<Watching>) -> Result<PartitionRecovery> {
        let report = self.list_anew(&SegmentList::default())?;
        self.emit_missing(&report.missing);
        *watching = Some(Watching::default());
        Ok(report)
    }

    /// Runs under the lock of `watching`.
    fn look_further(&self) -> Result<()> {
        let known = self.segments();
        let Some(last) = known.last() else {
            // Until there is a first segment there is nothing but the directory to check.
            return if kind_of(&self.directory)?.is_some() {
                self.list_anew(&known).map(drop)
            } else {
                Ok(())
            };
        };
        let look = self.look_after(last)?;
        let first_is_gone = || match known.first() {
            None => Ok(false),
            Some(first) => Ok::<_, Error>(first.by_name(kind_of)?.is_none()),
        };
        match look {
            Look::Lost => self.list_anew(&SegmentList::default()).map(drop),
            Look::Rolled => self.list_anew(&known).map(drop),
            Look::Seen if first_is_gone()? => self.list_anew(&known).map(drop),
            Look::Seen => Ok(()),
        }
    }

    /// Publishes the complete batches past the end of the last segment.
    fn look_after(&self, last: &Segment) -> Result<Look> {
        let end = last.end();
        let file = match last.open() {
            Ok(file) => file,
            Err(failure) if failure.is_file_not_found() => return Ok(Look::Lost),
            Err(failure) => return Err(failure),
        };
        let length = file.len()?;
        if length < end.position {
            return Ok(Look::Lost);
        }
        if something_follows(&file, length, end.position)? {
            let mut batches = Batches::new(&file, length, end.position, last.next_offset());
            while let Ok((_, frame)) = batches.next()? {
                let relative = (frame.last_offset() + 1).saturating_sub(last.base());
                let Some(relative) = u32::try_from(relative).ok().filter(|r| u64::from(*r) <= MAX_OFFSETS)
                else {
                    break;
                };
                last.follow_to(batches.position, relative, false);
            }
            if last.end() == end {
                // A batch that is being written, or one that is damaged: a later segment would tell.
                let later = self.disk.list(&self.directory)?.into_iter().any(|(name, _)| {
                    segment::base_of(&name, segment::LOG).is_some_and(|base| base > last.base())
                });
                return Ok(if later { Look::Rolled } else { Look::Seen });
            }
        }
        // A segment is complete when the next one exists, which is named by the offset after it.
        let next = self.directory.join(segment::file_name(last.next_offset(), segment::LOG));
        let rolled = last.next_offset() > last.base() && kind_of(&next)?.is_some();
        Ok(if rolled { Look::Rolled } else { Look::Seen })
    }

    /// Lists the directory and publishes what is in it. Segments of `known` that are still the same are kept, with
    /// their maps.
    fn list_anew(&self, known: &SegmentList) -> Result<PartitionRecovery> {
        let mut listings = 0;
        let found = loop {
            listings += 1;
            match recovery::find_along(self, known) {
                // Renamed or removed between the list and the look.
                Err(failure) if failure.is_file_not_found() && listings < MAX_LISTINGS => {}
                found => break found?,
            }
        };
        let RecoveredLog { segments, log_start, report, .. } = found;
        let complete = segments.len().saturating_sub(1);
        let list = SegmentList::of(segments).after_list(&self.segments());
        if self.is_loaded() && list.is_same(&self.segments()) {
            self.advance_start(log_start);
            return Ok(report);
        }
        let grown: Vec<_> = list.iter().take(complete).filter(|kept| !kept.end().sealed).cloned().collect();
        self.replace_view(|view| view.with_segments(list).starting_at(log_start));
        // The list has the next segment before the one before it is sealed.
        for segment in grown {
            let end = segment.end();
            segment.follow_to(end.position, end.relative_next, true);
        }
        Ok(report)
    }
}

/// Whether a batch may follow: a cheap look before a large one. Space taken in advance reads as zeros.
fn something_follows(file: &PlainFile, length: u64, position: u64) -> Result<bool> {
    let mut prefix = [0; MIN_PREFIX];
    file.read_at(&mut prefix, position)?;
    Ok(frame_length(&prefix).is_ok_and(|needs| position + needs <= length))
}
