//! One partition: its segments in order, appended to under one lock and read without it.
//!
//! | part | owns |
//! |---|---|
//! | [`view`] | the one value that readers hold, and the words beside it: what is published, and in which order |
//! | [`reader`] | cursors; what is between the bytes of a segment and the records that are returned |
//! | [`writer`] | appends, syncs, finished segments, files made in advance or closed when idle |
//! | [`recovery`] | what is found at an open: recovery, leader epochs, records that are missing |
//! | [`tailing`] | a log that another process writes; `stratalog.live` |
//! | [`cleanup`] | segments that leave or are replaced: retention, deleted records, compaction |
//! | [`transactions`] | producers with ids, and what markers say |
//! | [`point`] | what a partition holds at a point, for a snapshot |
//!
//! Order of an append: bytes, index, end, fence, look for sleepers ([`writer::append`]). Topics, groups and threads are not
//! known here: work for the background goes through [`Chores`].
//!
//! # Locks
//!
//! A thread that waits for one of these holds only such as are before it, of whichever partition. [`locks`] checks it in
//! debug builds.
//!
//! | | lock | held while |
//! |---|---|---|
//! | 1 | `transactions.ends` | a reader of committed records goes through markers |
//! | 2 | `transactions.tailed` | the same of a log that another process writes |
//! | 3 | `cleanup.ages` | batches are asked how old a segment is |
//! | 4 | `writer.appender` | a batch is appended, a segment begins, the partition is loaded, closed or deleted |
//! | 5 | the open files of all partitions ([`Actives`]) | a partition is taken out of the round, or put into it |
//! | 6 | `writer.finishing` | segments are synced and finished, indexes are replaced |
//! | 7 | `cleanup.front` | files are renamed or removed by their names |
//! | 8 | `recovery.epochs` | the checkpoint of leader epochs is rewritten |
//! | 9 | `transactions.producers` | the state of producers is copied, or replaced |
//! | 10 | `writer.preallocation` | the next segment's file is made or taken |
//! | 11 | what waits to be finished | the queue is changed |
//!
//! Only a snapshot holds several of 4 at once, of one snapshot at a time ([`point`]). Under a lock that is not listed (the view's
//! pointer, settings, sleepers, what a segment keeps for itself) none of these is taken.

mod cleanup;
mod context;
mod locks;
mod point;
mod reader;
mod recovery;
mod segments;
mod settings;
mod tailing;
#[cfg(test)]
mod tests;
mod transactions;
mod view;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cleanup::Cleanup;
pub(crate) use cleanup::{Age, Cleanable, LastBatch, SegmentFacts};
pub(crate) use context::{AheadChore, BackgroundSync, Chore, Chores, ScanWatch, SyncBy};
use point::Keeping;
pub(crate) use point::{Bytes, Kept, PartitionPoint, at_one_point};
pub(crate) use reader::cursor::{Cursor, FetchLimits, Fetched};
pub(crate) use reader::fetch::Rest;
pub use recovery::PartitionRecovery;
use recovery::Recovery;
pub(crate) use recovery::aside::is_aside;
pub(crate) use recovery::begun::holds_no_record;
pub(crate) use recovery::epochs::note_epoch;
pub use recovery::missing::MissingRecords;
pub(crate) use recovery::missing::is_always_compacted;
pub(crate) use segments::SegmentList;
use settings::LiveSettings;
pub(crate) use settings::{Flush, LogLimits, PartitionSettings, Retention};
#[cfg(any(fuzzing, test))]
pub(crate) use tailing::live_file::look_at_live;
pub(crate) use tailing::live_file::{LiveWatch, LiveWriter};
use transactions::Transactions;
#[cfg(any(fuzzing, test))]
pub(crate) use transactions::follow_producers;
pub(crate) use transactions::{Aborted, OpenTransaction, ProducerState};
pub(crate) use view::Ended;
use view::{LogView, Numbered, Published};
pub(crate) use writer::backpressure::never_wait_here;
pub(crate) use writer::idle::Actives;
use writer::{Appender, LastSegment, Writer};

use crate::error::{Error, Result};
use crate::format::compression::BatchLimits;
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;
use crate::sys::{Disk, Purpose, Spending};
use crate::wait::Sleepers;

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
    chores: Chores,
    /// Number 0 until it is loaded.
    view: Published<LogView>,
    sleepers: Sleepers,
    writer: Writer,
    transactions: Transactions,
    cleanup: Cleanup,
    recovery: Recovery,
    keeping: Keeping,
}

impl fmt::Debug for PartitionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionLog({})", self.id)
    }
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
        let compacts = settings.compaction.is_some() || checkpointed.cleaned.is_some();
        Arc::new(Self {
            writer: Writer::new(checkpointed.recovery_point.unwrap_or(0), chores.background_sync),
            cleanup: Cleanup::new(checkpointed.cleaned),
            recovery: Recovery::new(id.topic(), checkpointed, compacts),
            transactions: Transactions::default(),
            keeping: Keeping::at(&directory),
            disk: disk.within(&directory),
            directory,
            id: id.of_topic(*topic_id.as_bytes()),
            topic_id,
            settings: LiveSettings::new(settings),
            chores,
            view: Published::new(LogView::new(SegmentList::default(), checkpointed.log_start)),
            sleepers: Sleepers::default(),
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

    /// Offsets as they are now, loading the partition if need be.
    pub(crate) fn bounds(self: &Arc<Self>) -> Result<Bounds> {
        let view = self.present()?;
        // First, so that it is not beyond the end.
        let durable = self.durable_end();
        let (log_start, log_end) = (view.log_start(), view.log_end());
        // After the end: see `Stability`.
        let last_stable = self.transactions.stability().first_unstable().clamp(log_start, log_end);
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
}
