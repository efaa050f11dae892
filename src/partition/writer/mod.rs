//! Writing: appends, syncs, segments on their way to their final form, and files made in advance or closed when idle.
//!
//! One [`Writer`] a partition. Its two locks keep two orders: that of appends, and that of syncs and finished segments. What
//! is decided under both is seen by all: see [`Leader::end_with_order`].

pub(super) mod append;
pub(super) mod backpressure;
pub(super) mod beginning;
pub(super) mod counters;
pub(super) mod finish;
pub(super) mod fsync;
mod gaps;
pub(super) mod idle;
mod preallocate;
pub(super) mod together;
mod unsettled;

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::locks::{Guard, Lock, Rank};
use super::tailing::live_file::LiveSlot;
use super::{BackgroundSync, Ended, Leader, PartitionSettings};
use crate::error::{PoisonCause, Result};
use crate::segment::{BatchesEnd, IndexEntries, SegmentWriter};
use counters::Counters;
use fsync::Durable;
use preallocate::Preallocation;

/// Who appends to a partition, and how much of it is durable.
#[derive(Debug)]
pub(super) struct Writer {
    appender: Lock<Appender>,
    /// Held while segments are synced and finished, so that they are in order and each failure is seen by all.
    finishing: Lock<()>,
    /// The failure that ended appending.
    failure: OnceLock<PoisonCause>,
    durable: Durable,
    preallocation: Preallocation,
    counters: Counters,
    /// Appended to since it was last checked whether the partition is idle.
    used: AtomicBool,
    /// Where readers in other processes look. `None` inside: nothing is shown to them.
    live: OnceLock<Option<LiveSlot>>,
}

#[derive(Debug)]
pub(super) enum Appender {
    /// The directory was not checked yet.
    Unloaded,
    /// Loaded; nothing appended since. The last segment, if there is one, is as it was found.
    Idle {
        next_offset: u64,
        epoch: u32,
        last: Option<LastSegment>,
    },
    Active {
        writer: Box<SegmentWriter>,
        epoch: u32,
    },
    /// The failure that did it is the writer's.
    Poisoned,
    /// Closed or deleted, as the view says.
    Ended,
}

/// Where the last segment of a loaded partition ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastSegment {
    pub(super) base: u64,
    pub(super) position: u64,
}

impl Appender {
    pub(super) fn next_offset(&self) -> u64 {
        match self {
            Self::Active { writer, .. } => writer.next_offset(),
            Self::Idle { next_offset, .. } => *next_offset,
            _ => 0,
        }
    }
}

impl Writer {
    pub(super) fn new(background_sync: BackgroundSync) -> Self {
        Self {
            appender: Lock::new(Rank::Appender, Appender::Unloaded),
            finishing: Lock::new(Rank::Finishing, ()),
            failure: OnceLock::new(),
            durable: Durable::new(background_sync),
            preallocation: Preallocation::default(),
            counters: Counters::default(),
            used: AtomicBool::new(false),
            live: OnceLock::new(),
        }
    }

    /// While this is held nothing is appended.
    #[inline]
    pub(super) fn appender(&self) -> Guard<'_, Appender> {
        self.appender.lock()
    }

    /// The same of one of several partitions whose appenders are held at once.
    pub(super) fn appender_beside_others(&self) -> Guard<'_, Appender> {
        self.appender.lock_beside_others()
    }

    /// The same unless it takes longer than this.
    pub(super) fn appender_within(&self, patience: Duration) -> Option<Guard<'_, Appender>> {
        self.appender.try_lock_for(patience)
    }

    /// While this is held nothing is synced or finished.
    pub(super) fn finishing(&self) -> Guard<'_, ()> {
        self.finishing.lock()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub(super) fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Where readers in other processes look, if they can.
    pub(super) fn live_slot(&self) -> Option<&LiveSlot> {
        self.live.get().and_then(Option::as_ref)
    }
}

impl Leader {
    /// The writer of a segment that is there: its base offset, where it ends, and the log end offset.
    pub(super) fn reopen(
        &self,
        base: u64,
        found: BatchesEnd,
        entries: Option<IndexEntries>,
    ) -> Result<SegmentWriter> {
        let PartitionSettings { segment_bytes: capacity, index_interval_bytes: interval, .. } =
            self.settings.all();
        let writer =
            SegmentWriter::reopen(&self.disk, &self.directory, base, found, capacity, interval, entries)?;
        if let Some(wrong) = writer.segment().take_doubt() {
            self.emit_rebuilt(base, wrong);
        }
        Ok(writer)
    }

    /// Shows readers in other processes which segment grows now.
    pub(super) fn show(&self, writer: &SegmentWriter) {
        let take = || self.context.live.as_ref()?.take(self.topic_id, self.id.partition());
        if let Some(live) = self.writer.live.get_or_init(take) {
            live.begin(writer.segment().base(), writer.segment().end_word());
        }
    }

    /// Ends appending, and waits for syncs that are under way: with the lock that it returns none is.
    fn end_with_order(&self, why: Ended) -> (Appender, Guard<'_, ()>) {
        let mut appender = self.writer.appender();
        // Before the end can be seen: whatever waits for what is durable waits for the close then.
        let order = self.writer.finishing();
        let before = std::mem::replace(&mut *appender, Appender::Ended);
        self.view.replace_by_last(|view| view.ended_by(why));
        drop(appender);
        self.sleepers.wake_all();
        // Files are renamed and removed by name: from here on none is.
        self.cleanup.await_names();
        self.writer.preallocation.stop();
        (before, order)
    }
}
