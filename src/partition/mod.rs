//! One partition: its segments in order, appended to under one lock and read without it.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `appender` | whoever appends, under its lock | the same |
//! | `segments` | the appender at a roll, loading | readers, by copying a pointer |
//! | a segment's end | the appender, one release store per append | readers, one acquire load |
//! | `sleepers` | readers that wait | the appender, after publishing |
//!
//! Order of an append: bytes, index, end, fence, look for sleepers. At a roll the list gets the new segment before
//! the old one is sealed. Topics, groups and threads are not known here: work for the background goes through
//! [`Chores`].

mod abort;
mod aborted;
mod chores;
mod compaction;
mod counters;
mod cursor;
mod decided;
mod decoding;
mod durability;
mod epochs;
mod follow;
mod front;
mod live;
mod load;
mod prepared;
mod producers;
mod resting;
mod segments;
mod settings;
mod snapshots;
mod swap;
#[cfg(test)]
mod tests;
mod unclean;
mod window;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

pub(crate) use aborted::Aborted;
pub(crate) use chores::{AheadChore, BackgroundSync, Chore, Chores, ScanWatch, SyncBy};
use compaction::Cleaned;
pub(crate) use compaction::{Cleanable, LastBatch};
use counters::Counters;
pub(crate) use cursor::{Cursor, FetchLimits, Fetched};
use decided::Decided;
use durability::Durable;
use front::Front;
pub(crate) use front::SegmentFacts;
use live::LiveSlot;
pub(crate) use live::{LiveWatch, LiveWriter};
use load::Found;
pub use load::PartitionRecovery;
use prepared::Prepared;
pub(crate) use producers::OpenTransaction;
pub(crate) use segments::SegmentList;
use segments::Segments;
use settings::LiveSettings;
pub(crate) use settings::{PartitionSettings, Retention};
use snapshots::Producers;

use crate::config::Durability;
use crate::error::{Error, PoisonCause, Result};
use crate::events::Event;
use crate::format::batch::FinishedBatch;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;
use crate::segment::{IndexEntries, MAX_OFFSET, MOST_OFFSETS, Segment, SegmentWriter, Unsealed};
use crate::sys::{Disk, PutFailure};
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
#[derive(Debug)]
pub(crate) struct PartitionLog {
    id: TopicPartition,
    topic_id: Uuid,
    directory: PathBuf,
    disk: Disk,
    settings: LiveSettings,
    checkpointed: Checkpointed,
    chores: Chores,
    segments: Segments,
    sleepers: Sleepers,
    log_start: AtomicU64,
    /// Set by loading. Whoever keeps snapshots holds `finishing`; readers look at it when they enter a segment.
    producers: Mutex<Producers>,
    /// First offset of the oldest transaction that is open, or `u64::MAX`. Set by loading.
    first_open: AtomicU64,
    /// Of a followed log, once somebody wants to know.
    decided: Mutex<Option<Decided>>,
    /// Held while segments leave. No other lock is taken under it.
    front: Mutex<Front>,
    /// How far compaction has come.
    cleaned: Cleaned,
    durable: Durable,
    prepared: Prepared,
    counters: Counters,
    /// Appended to since somebody looked whether it was left alone.
    used: AtomicBool,
    /// Where readers in other processes look. `None` inside: they are not told.
    live: OnceLock<Option<LiveSlot>>,
    /// Set once; readers look at it when they find nothing.
    ended: AtomicBool,
    appender: Mutex<Appender>,
    /// Held while segments are synced and finished, so that they are in order and each failure is seen by all. Taken
    /// after `appender`, or without it.
    finishing: Mutex<()>,
    /// The failure that ended appending, for those who do not look at `appender`.
    failure: OnceLock<PoisonCause>,
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
    Poisoned(PoisonCause),
    /// Removed from the catalog.
    Deleted,
    Closed,
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
        Arc::new(Self {
            directory: root.join(id.to_string()),
            id,
            topic_id,
            disk: disk.clone(),
            settings: LiveSettings::new(settings),
            checkpointed,
            chores,
            segments: Segments::default(),
            sleepers: Sleepers::default(),
            log_start: AtomicU64::new(checkpointed.log_start),
            producers: Mutex::default(),
            first_open: AtomicU64::new(u64::MAX),
            decided: Mutex::default(),
            front: Mutex::default(),
            cleaned: Cleaned::new(checkpointed.cleaned),
            durable: Durable::new(checkpointed.recovery_point.unwrap_or(0)),
            prepared: Prepared::default(),
            counters: Counters::default(),
            used: AtomicBool::new(false),
            live: OnceLock::new(),
            ended: AtomicBool::new(false),
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

    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.sleepers
    }

    /// Largest batch this partition takes.
    #[inline]
    pub(crate) fn max_batch_bytes(&self) -> u32 {
        self.settings.max_batch_bytes()
    }

    /// Leader epoch of the first record, as the catalog has it.
    pub(crate) fn first_epoch(&self) -> u32 {
        self.settings.all().first_epoch
    }

    /// Goes by other settings from now on.
    pub(crate) fn set_settings(&self, settings: PartitionSettings) {
        self.settings.set(settings);
    }

    /// Looks at the directory, and recovers it if it was not closed in order. Cheap when that is done.
    pub(crate) fn load(self: &Arc<Self>) -> Result<Option<PartitionRecovery>> {
        let mut appender = self.appender.lock();
        match &*appender {
            Appender::Unloaded => self.load_into(&mut appender).map(Some),
            Appender::Deleted => Err(self.deleted()),
            Appender::Closed => Err(Error::Closed),
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
        let state = match recovered {
            None => Appender::Idle { next_offset, epoch, last },
            Some(writer) => {
                self.begin_epoch(epoch, next_offset)?;
                self.expect_roll_at(self.settings.segment_bytes());
                self.show(&writer);
                // Entries and names may be as little on the medium as the records are.
                self.disk.sync_directory(&self.directory)?;
                self.chores.actives.admit(self);
                Appender::Active { writer, epoch }
            }
        };
        self.set_producers(producers, next_offset);
        self.log_start.store(log_start, Ordering::Relaxed);
        let clean = self.checkpointed.clean || matches!(state, Appender::Idle { .. });
        self.durable.loaded(next_offset, clean, sealed);
        self.segments.set(SegmentList::of(segments));
        *appender = state;
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
                oldest.seal_and_sync()?;
                oldest.write_indexes(&self.disk)?;
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
        SegmentWriter::reopen(&self.disk, &self.directory, at, capacity, interval, entries)
    }

    /// Offsets as they are now, loading the partition if need be.
    pub(crate) fn bounds(self: &Arc<Self>) -> Result<Bounds> {
        self.refresh()?;
        if self.segments.version() == 0 {
            self.load()?;
        }
        if self.ended.load(Ordering::Acquire) {
            self.refuse_ended()?;
        }
        // First, so that it is not beyond the end.
        let durable = self.durable_end();
        let log_end = self.segments.present().last().map(|segment| segment.next_offset());
        let log_start = self.log_start.load(Ordering::Acquire);
        let log_end = log_end.unwrap_or(log_start).max(log_start);
        let (durable, last_stable) =
            (durable.clamp(log_start, log_end), self.first_open().clamp(log_start, log_end));
        Ok(Bounds { log_start, durable, last_stable, log_end })
    }

    /// Why nothing is read any more, if that is so.
    pub(crate) fn refuse_ended(&self) -> Result<()> {
        match &*self.appender.lock() {
            Appender::Deleted => Err(self.deleted()),
            Appender::Closed => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn segments(&self) -> Arc<SegmentList> {
        self.segments.present()
    }

    fn deleted(&self) -> Error {
        Error::not_found("topic", self.id.topic())
    }

    /// Appends one finished batch and returns its base offset. `at`: the log end offset the caller insists on.
    #[inline]
    ///
    /// What `level` promises beyond that is asked for here, but for [`Durability::Synced`]: the caller goes on to
    /// [`await_durable`](Self::await_durable).
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: &mut FinishedBatch<'_>,
        at: Option<u64>,
        level: Durability,
    ) -> Result<u64> {
        let bytes = batch.len();
        if bytes as u64 > u64::from(self.max_batch_bytes()) {
            return Err(Error::TooLarge { bytes: bytes as u64, limit: u64::from(self.max_batch_bytes()) });
        }
        let mut appender = self.appender.lock();
        if !matches!(&*appender, Appender::Active { .. }) {
            self.prepare(&mut appender)?;
        }
        let next_offset = appender.next_offset();
        if let Some(expected) = at
            && expected != next_offset
        {
            return Err(Error::Conflict { expected, actual: next_offset });
        }
        self.make_room(&mut appender, batch)?;
        let Appender::Active { writer, epoch } = &mut *appender else { return Err(Error::Closed) };
        // A store through the map would make the sync that follows write far more than the batch.
        let positioned = matches!(level, Durability::Synced);
        let taken = match writer.append(batch, *epoch, positioned) {
            Ok(taken) => taken,
            Err(PutFailure::NothingWritten(failure)) => return Err(failure),
            Err(PutFailure::Unknown(failure)) => return Err(self.poison(&mut appender, &failure)),
        };
        if taken.wants_growth {
            let (growth, tail) = writer.growth();
            self.chores.grow_ahead(growth, tail);
        }
        let live = self.live.get().and_then(Option::as_ref);
        if let Some(live) = live {
            live.publish(writer.segment().end_word());
        }
        self.counters.appended(batch.records(), bytes);
        self.used.store(true, Ordering::Relaxed);
        let position = writer.position();
        let long = position >= self.durable.sync_from.load(Ordering::Relaxed);
        self.ask_for_next(position);
        drop(appender);
        self.sleepers.wake_all();
        if let Some(live) = live {
            live.wake();
        }
        self.ask_for_sync(level);
        if long {
            self.sync_long_tail();
        }
        Ok(taken.base_offset)
    }

    /// Sees to it that the last segment takes the batch.
    #[inline]
    fn make_room(self: &Arc<Self>, appender: &mut Appender, batch: &FinishedBatch<'_>) -> Result<()> {
        let (bytes, limit) = (batch.len(), self.settings.segment_bytes());
        match &*appender {
            Appender::Active { writer, .. }
                if writer.has_room(bytes, batch.records(), limit)
                    && !writer.is_too_old_for(batch.max_timestamp(), self.settings.segment_ms()) =>
            {
                Ok(())
            }
            _ => self.roll(appender, bytes),
        }
    }

    /// Brings the appender to a state in which a batch can be taken, short of making a segment.
    #[cold]
    fn prepare(self: &Arc<Self>, appender: &mut Appender) -> Result<()> {
        if matches!(appender, Appender::Unloaded) {
            self.load_into(appender)?;
        }
        match appender {
            Appender::Unloaded | Appender::Active { .. } | Appender::Idle { last: None, .. } => Ok(()),
            Appender::Following(_) => Err(Error::ReadOnly),
            Appender::Poisoned(cause) => Err(Error::Poisoned(Box::new(cause.clone()))),
            Appender::Deleted => Err(self.deleted()),
            Appender::Closed => Err(Error::Closed),
            Appender::Idle { next_offset, epoch, last: Some(last) } => {
                let (epoch, at) = (*epoch, (last.base, last.position, *next_offset));
                self.begin_epoch(epoch, at.2)?;
                let writer = self.reopen(at, None)?;
                self.segments.add(writer.segment());
                self.expect_sync_from(writer.position());
                self.expect_roll_at(self.settings.segment_bytes());
                self.show(&writer);
                *appender = Appender::Active { writer: Box::new(writer), epoch };
                self.chores.actives.admit(self);
                Ok(())
            }
        }
    }

    /// Tells readers in other processes which segment grows now.
    fn show(&self, writer: &SegmentWriter) {
        let take = || self.chores.live.as_ref()?.take(self.topic_id, self.id.partition());
        if let Some(live) = self.live.get_or_init(take) {
            live.begin(writer.segment().base(), writer.segment().end_word());
        }
    }

    /// Begins a new segment at the log end, for a batch of so many bytes. The list gets it before the old one is
    /// sealed.
    #[cold]
    fn roll(self: &Arc<Self>, appender: &mut Appender, bytes: usize) -> Result<()> {
        let settings = self.settings.all();
        // Segments may have become smaller since the batch was found small enough.
        let capacity = settings.segment_bytes.max(u32::try_from(bytes).unwrap_or(0));
        let interval = settings.index_interval_bytes;
        let next_offset = appender.next_offset();
        if next_offset > MAX_OFFSET - MOST_OFFSETS {
            return Err(Error::invalid("offset", format!("{} has used up its offsets", self.id)));
        }
        let epoch = match appender {
            Appender::Active { writer, .. } if writer.position() == 0 => {
                return self.widen(appender, capacity);
            }
            Appender::Active { epoch, .. } => *epoch,
            Appender::Idle { epoch, .. } => {
                self.make_directory()?;
                self.begin_epoch(*epoch, next_offset)?;
                *epoch
            }
            _ => return Ok(()),
        };
        let first = matches!(appender, Appender::Idle { .. });
        let mut writer = self.begin_segment(next_offset, (capacity, interval))?;
        writer.set_jitter(settings.draw_jitter()?);
        if first {
            self.sync_new_directory().map_err(|failure| self.poison(appender, &failure))?;
            self.chores.retain();
        }
        self.segments.add(writer.segment());
        self.expect_sync_from(0);
        self.expect_roll_at(capacity);
        self.show(&writer);
        let before = std::mem::replace(appender, Appender::Active { writer: Box::new(writer), epoch });
        if first {
            self.chores.actives.admit(self);
        }
        if let Appender::Active { writer, .. } = before {
            let partition = || self.id.clone();
            self.chores
                .events
                .tell(|| Event::SegmentRolled { partition: partition(), base_offset: next_offset });
            let too_many = self.queue_sealed(writer.seal());
            if !self.chores.finish_sealed(self) || too_many {
                // Nobody else does it, or not as fast as segments fill up.
                self.finish_at_roll(appender, too_many)?;
            }
        }
        Ok(())
    }

    /// The writer of a new segment. A prepared file that cannot be used is none.
    fn begin_segment(&self, base: u64, limits: (u32, u32)) -> Result<SegmentWriter> {
        let create = |prepared| SegmentWriter::create(&self.disk, &self.directory, base, limits, prepared);
        self.with_prepared(|prepared| match prepared {
            Some(file) => create(Some(file)).or_else(|_| create(None)),
            None => create(None),
        })
    }

    /// Makes room in a segment without records that was begun when segments were to be smaller. There is none behind it
    /// to roll to: it would have the same name.
    fn widen(&self, appender: &mut Appender, capacity: u32) -> Result<()> {
        if let Appender::Active { writer, .. } = appender {
            writer.growth().0.seal(0)?;
            let base = writer.segment().base();
            let interval = self.settings.all().index_interval_bytes;
            let (at, entries) = ((base, 0, base), Some(IndexEntries::default()));
            let wider = SegmentWriter::reopen(&self.disk, &self.directory, at, capacity, interval, entries)?;
            self.segments.add(wider.segment());
            self.show(&wider);
            **writer = wider;
        }
        Ok(())
    }

    /// Ends appending, and waits for syncs that are under way: with the lock that it returns none is.
    fn end_with_order(&self, state: Appender) -> (Appender, MutexGuard<'_, ()>) {
        let mut appender = self.appender.lock();
        let before = std::mem::replace(&mut *appender, state);
        // Before anybody can see the end: whoever waits for what is durable waits for the close then.
        let order = self.finishing.lock();
        drop(appender);
        self.ended.store(true, Ordering::Release);
        // For readers, who look at the list alone.
        self.segments.touch();
        self.sleepers.wake_all();
        // Files are renamed and removed by name: from here on none is.
        drop(self.front.lock());
        (before, order)
    }
}

impl Appender {
    fn next_offset(&self) -> u64 {
        match self {
            Self::Active { writer, .. } => writer.next_offset(),
            Self::Idle { next_offset, .. } => *next_offset,
            _ => 0,
        }
    }
}
