//! One partition: its segments in order, appended to under one lock and read without it.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `appender` | whoever appends, under its lock | the same |
//! | `view` | the appender at a roll, retention, compaction, loading | readers, by copying a pointer when its number has changed ([`view`]) |
//! | a segment's end | the appender, one release store per append | readers, one acquire load |
//! | `sleepers` | readers that wait | the appender, after publishing |
//!
//! Order of an append: bytes, index, end, fence, look for sleepers ([`appending`]). Topics, groups and threads are not
//! known here: work for the background goes through [`Chores`].

mod abort;
mod aborted;
mod ages;
mod appending;
mod aside;
mod begun;
mod chores;
mod compaction;
mod counters;
mod cursor;
mod decided;
mod decisions;
mod decoding;
mod durability;
mod epochs;
mod finishing;
mod follow;
mod front;
mod gaps;
mod holding;
mod live;
mod load;
mod missing;
mod point;
mod prepared;
mod producers;
mod resting;
mod segments;
mod settings;
mod snapshots;
mod survey;
mod swap;
#[cfg(test)]
mod tests;
mod unclean;
mod unsettled;
mod view;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

pub(crate) use aborted::Aborted;
pub(crate) use ages::Age;
use ages::Ages;
pub(crate) use aside::is_aside;
pub(crate) use begun::holds_no_record;
pub(crate) use chores::{AheadChore, BackgroundSync, Chore, Chores, ScanWatch, SyncBy};
use compaction::Cleaned;
pub(crate) use compaction::{Cleanable, LastBatch};
use counters::Counters;
pub(crate) use cursor::{Cursor, FetchLimits, Fetched};
use decided::Decided;
use decisions::Decisions;
use durability::Durable;
use finishing::Unfinished;
use front::Front;
pub(crate) use front::SegmentFacts;
pub(crate) use holding::never_wait_here;
use live::LiveSlot;
#[cfg(any(fuzzing, test))]
pub(crate) use live::look_at_live;
pub(crate) use live::{LiveWatch, LiveWriter};
use load::Found;
pub use load::PartitionRecovery;
use missing::Compacted;
pub use missing::MissingRecords;
pub(crate) use missing::is_always_compacted;
use point::Keeping;
pub(crate) use point::{Bytes, Kept, PartitionPoint, at_one_point};
use prepared::Prepared;
#[cfg(any(fuzzing, test))]
pub(crate) use producers::follow_producers;
pub(crate) use producers::{OpenTransaction, ProducerState};
pub(crate) use resting::Actives;
pub(crate) use segments::SegmentList;
use settings::LiveSettings;
pub(crate) use settings::{Flush, LogLimits, PartitionSettings, Retention};
use snapshots::Producers;
pub(crate) use view::Ended;
use view::{LogView, Numbered, Published, Stability};
pub(crate) use window::Rest;

use crate::error::{Error, PoisonCause, Result};
use crate::format::compression::BatchLimits;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;
use crate::segment::{FinishFailure, IndexEntries, Segment, SegmentWriter, Unsealed};
use crate::sys::{Disk, Purpose, Spending};
use crate::wait::Sleepers;
use follow::Watching;

/// Recovered segments that wait for the background, each with a descriptor.
const MOST_RECOVERED: usize = 64;

/// What the directory's checkpoints say of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checkpointed {
    /// The directory was closed in order: nothing needs to be scanned.
    pub(crate) clean: bool,
    pub(crate) recovery_point: Option<u64>,
    pub(crate) log_start: u64,
    /// Below it a compaction has gone through the log.
    pub(crate) cleaned: Option<u64>,
}

/// A partition of a log directory. Its directory is made at the first append.
pub(crate) struct PartitionLog {
    id: TopicPartition,
    topic_id: Uuid,
    directory: PathBuf,
    disk: Disk,
    settings: LiveSettings,
    checkpointed: Checkpointed,
    chores: Chores,
    /// Number 0 until it is loaded.
    view: Published<LogView>,
    stability: Stability,
    sleepers: Sleepers,
    /// Set by loading. Whoever keeps snapshots holds `finishing`; readers look at it when they enter a segment.
    producers: Mutex<Producers>,
    /// Of a followed log, once somebody wants to know.
    decided: Mutex<Option<Decided>>,
    /// Taken before any other lock, by readers of committed records.
    decisions: Decisions,
    /// Held while segments leave. No other lock is taken under it.
    front: Mutex<Front>,
    /// Taken before `appender` and `finishing`, by those who delete what is old.
    ages: Ages,
    /// Held while the checkpoint of leader epochs is brought up to date.
    epochs: Mutex<()>,
    /// How far compaction has come.
    cleaned: Cleaned,
    compacted: Compacted,
    /// What was found missing before the partition was loaded, for the report of that.
    surveyed: Mutex<Vec<MissingRecords>>,
    keeping: Keeping,
    durable: Durable,
    prepared: Prepared,
    counters: Counters,
    /// Appended to since somebody looked whether it was left alone.
    used: AtomicBool,
    /// Where readers in other processes look. `None` inside: they are not told.
    live: OnceLock<Option<LiveSlot>>,
    appender: Mutex<Appender>,
    /// Held while segments are synced and finished, so that they are in order and each failure is seen by all. Taken
    /// after `appender`, or without it.
    finishing: Mutex<()>,
    /// The failure that ended appending, for those who do not look at `appender`.
    failure: OnceLock<PoisonCause>,
}

impl fmt::Debug for PartitionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionLog({})", self.id)
    }
}

#[derive(Debug)]
enum Appender {
    /// The directory was not looked at yet.
    Unloaded,
    /// Looked at; nothing appended since. The last segment, if there is one, is as it was found.
    Idle {
        next_offset: u64,
        epoch: u32,
        last: Option<LastSegment>,
    },
    Active {
        writer: Box<SegmentWriter>,
        epoch: u32,
    },
    /// Another process appends, if anybody does.
    Following(Watching),
    /// The failure that did it is in `failure`.
    Poisoned,
    /// Closed or deleted, as the view says.
    Ended,
}

/// Where the last segment of a loaded partition stands.
#[derive(Debug, Clone, Copy)]
struct LastSegment {
    base: u64,
    position: u64,
}

/// One consistent look at a partition's offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) log_start: u64,
    pub(crate) durable: u64,
    /// Every transaction with records below is decided.
    pub(crate) last_stable: u64,
    pub(crate) log_end: u64,
}

impl Bounds {
    /// Offsets from a position to `end`. Those that were deleted do not count.
    pub(crate) fn lag(&self, position: u64, end: u64) -> u64 {
        end.saturating_sub(position.max(self.log_start))
    }
}

impl PartitionLog {
    pub(crate) fn new(
        id: TopicPartition,
        topic_id: Uuid,
        root: &Path,
        disk: &Disk,
        settings: PartitionSettings,
        checkpointed: Checkpointed,
        chores: Chores,
    ) -> Arc<Self> {
        let directory = root.join(id.to_string());
        let durable = Durable::new(checkpointed.recovery_point.unwrap_or(0), chores.background_sync);
        let compacts = settings.compaction.is_some() || checkpointed.cleaned.is_some();
        Arc::new(Self {
            compacted: Compacted::new(id.topic(), compacts),
            surveyed: Mutex::default(),
            keeping: Keeping::at(&directory),
            disk: disk.within(&directory),
            directory,
            id: id.of_topic(*topic_id.as_bytes()),
            topic_id,
            settings: LiveSettings::new(settings),
            checkpointed,
            chores,
            view: Published::new(LogView::new(SegmentList::default(), checkpointed.log_start)),
            stability: Stability::default(),
            sleepers: Sleepers::default(),
            producers: Mutex::default(),
            decided: Mutex::default(),
            decisions: Decisions::default(),
            front: Mutex::default(),
            ages: Ages::default(),
            epochs: Mutex::default(),
            cleaned: Cleaned::new(checkpointed.cleaned),
            durable,
            prepared: Prepared::default(),
            counters: Counters::default(),
            used: AtomicBool::new(false),
            live: OnceLock::new(),
            appender: Mutex::new(Appender::Unloaded),
            finishing: Mutex::default(),
            failure: OnceLock::new(),
        })
    }

    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
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

    /// Goes by other settings from now on.
    pub(crate) fn set_settings(self: &Arc<Self>, settings: PartitionSettings) {
        if settings.compaction.is_some() {
            self.note_compacted();
        }
        self.settings.set(settings);
        self.ask_for_flush();
    }

    /// Looks at the directory, and recovers it if it was not closed in order. Cheap when that is done.
    pub(crate) fn load(self: &Arc<Self>) -> Result<Option<PartitionRecovery>> {
        let mut appender = self.appender.lock();
        match &*appender {
            Appender::Unloaded => self.load_into(&mut appender).map(Some),
            Appender::Ended => Err(self.end_error()),
            _ => Ok(None),
        }
    }

    /// Changes nothing here unless all of it succeeds: the next attempt begins anew.
    fn load_into(self: &Arc<Self>, appender: &mut Appender) -> Result<PartitionRecovery> {
        if self.disk.read_only {
            return self.follow_from_here(appender);
        }
        if !self.checkpointed.clean {
            self.remove_prepared();
        }
        let Found { mut segments, log_start, last, next_offset, epoch, tail, producers, report, .. } =
            load::find(self, &SegmentList::default())?;
        let mut sealed = VecDeque::new();
        let recovered = self.reopen_recovered(tail, &mut segments, &mut sealed)?;
        let mut directory = None;
        let state = match recovered {
            None => Appender::Idle { next_offset, epoch, last },
            Some(writer) => {
                let opened = self.disk.open_directory(&self.directory)?;
                self.unless_full("a checkpoint", self.begin_epoch(epoch, next_offset))?;
                self.expect_roll_at(self.settings.segment_bytes());
                self.show(&writer);
                // Entries and names may be as little on the medium as the records are.
                opened.sync()?;
                directory = Some(opened);
                self.enter_actives();
                Appender::Active { writer, epoch }
            }
        };
        self.tell_missing(&report.missing);
        self.set_producers(producers, next_offset);
        let clean = self.checkpointed.clean || matches!(state, Appender::Idle { .. });
        self.durable.loaded(next_offset, clean, Unfinished::of(sealed, directory));
        self.view.replace(|view| view.with_segments(SegmentList::of(segments)).starting_at(log_start));
        *appender = if self.failure.get().is_some() { Appender::Poisoned } else { state };
        if !clean {
            // Served at once; on the medium soon.
            self.sync_long_tail();
        }
        Ok(report)
    }

    /// Takes recovered segments over for writing, so that they are trimmed, indexed and synced like any other. Returns
    /// the writer of the last one.
    fn reopen_recovered(
        &self,
        tail: Vec<load::RecoveredSegment>,
        segments: &mut Vec<Arc<Segment>>,
        sealed: &mut VecDeque<Arc<Unsealed>>,
    ) -> Result<Option<Box<SegmentWriter>>> {
        let mut last: Option<SegmentWriter> = None;
        for recovered in tail {
            if let Some(before) = last.take() {
                sealed.push_back(Arc::new(before.seal()));
            }
            if sealed.len() > MOST_RECOVERED
                && let Some(oldest) = sealed.pop_front()
            {
                oldest.seal_and_sync().map_err(FinishFailure::into_error)?;
                self.unless_full("the index of a segment", oldest.write_indexes(&self.disk))?;
            }
            let at = (recovered.base, recovered.position, recovered.next_offset);
            let mut writer = self.reopen(at, Some(recovered.entries))?;
            writer.rewrite_from(recovered.unsynced_from);
            segments.push(Arc::clone(writer.segment()));
            last = Some(writer);
        }
        Ok(last.map(Box::new))
    }

    fn reopen(&self, at: (u64, u64, u64), entries: Option<IndexEntries>) -> Result<SegmentWriter> {
        let PartitionSettings { segment_bytes: capacity, index_interval_bytes: interval, .. } =
            self.settings.all();
        let writer = SegmentWriter::reopen(&self.disk, &self.directory, at, capacity, interval, entries)?;
        if let Some(wrong) = writer.segment().take_doubt() {
            self.tell_rebuilt(at.0, wrong);
        }
        Ok(writer)
    }

    /// Offsets as they are now, loading the partition if need be.
    pub(crate) fn bounds(self: &Arc<Self>) -> Result<Bounds> {
        let view = self.present()?;
        // First, so that it is not beyond the end.
        let durable = self.durable_end();
        let (log_start, log_end) = (view.log_start(), view.log_end());
        // After the end: see `Stability`.
        let last_stable = self.stability.first_unstable().clamp(log_start, log_end);
        Ok(Bounds { log_start, durable: durable.clamp(log_start, log_end), last_stable, log_end })
    }

    /// The view as it is now, loading the partition if need be. An error if it was closed or deleted.
    pub(crate) fn present(self: &Arc<Self>) -> Result<Numbered<LogView>> {
        self.refresh()?;
        if !self.is_loaded() {
            self.load()?;
        }
        let view = self.view.present();
        if view.ended().is_some() { Err(self.end_error()) } else { Ok(view) }
    }

    /// Does something with the files of the present view, again as long as views are replaced meanwhile. Files are opened by
    /// name: those of a segment that has left the log since may be gone, which says nothing of the log. Of a view that is
    /// still the present one a failure counts.
    pub(crate) fn in_present_view<T>(
        self: &Arc<Self>,
        mut work: impl FnMut(&LogView) -> Result<T>,
    ) -> Result<T> {
        loop {
            let view = self.present()?;
            match work(&view) {
                Err(_) if self.view.number() != view.number() => {}
                done => return done,
            }
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
    fn end_error(&self) -> Error {
        match self.view.present().ended() {
            Some(Ended::Deleted) => self.deleted(),
            Some(Ended::Closed) | None => Error::Closed,
        }
    }

    pub(crate) fn segments(&self) -> Arc<SegmentList> {
        Arc::clone(self.view.present().segments())
    }

    fn deleted(&self) -> Error {
        Error::not_found("topic", self.id.topic())
    }

    /// Tells readers in other processes which segment grows now.
    fn show(&self, writer: &SegmentWriter) {
        let take = || self.chores.live.as_ref()?.take(self.topic_id, self.id.partition());
        if let Some(live) = self.live.get_or_init(take) {
            live.begin(writer.segment().base(), writer.segment().end_word());
        }
    }

    /// Ends appending, and waits for syncs that are under way: with the lock that it returns none is.
    fn end_with_order(&self, why: Ended) -> (Appender, MutexGuard<'_, ()>) {
        let mut appender = self.appender.lock();
        // Before anybody can see the end: whoever waits for what is durable waits for the close then.
        let order = self.finishing.lock();
        let before = std::mem::replace(&mut *appender, Appender::Ended);
        self.view.replace_by_last(|view| view.ended_by(why));
        drop(appender);
        self.sleepers.wake_all();
        // Files are renamed and removed by name: from here on none is.
        drop(self.front.lock());
        (before, order)
    }
}
