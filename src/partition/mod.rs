//! One partition: its segments in order, appended to under one lock and read without it.
//!
//! A [`Leader`] appends to it, a [`Tailing`] reader reads what another process appends. Which of the two it is is decided when
//! the directory is opened, by the [right](crate::sys::Right) to write to it, and a [`PartitionLog`] holds either. What they
//! have in common, and all that a cursor needs, is a [`PartitionCore`].
//!
//! | part | owns |
//! |---|---|
//! | [`mod@core`] | where the partition is, its settings, what is published, what is known of missing records |
//! | [`leader`], [`tailing`] | the two roles |
//! | [`view`] | the one value that readers hold, and the words beside it: what is published, and in which order |
//! | [`reader`] | cursors; what is between the bytes of a segment and the records that are returned |
//! | [`writer`] | appends, syncs, finished segments, files made in advance or closed when idle |
//! | [`recovery`] | what is found at an open: recovery, leader epochs, records that are missing |
//! | [`cleanup`] | segments that leave or are replaced: retention, deleted records, compaction |
//! | [`transactions`] | producers with ids, and what markers say |
//! | [`point`] | what a partition holds at a point, for a snapshot |
//!
//! Order of an append: bytes, index, end, fence, look for sleepers ([`writer::append`]). Topics, groups and threads are not
//! known here: work for the background goes through [`PartitionContext`].
//!
//! # Locks
//!
//! A thread that waits for one of these holds only such as are before it, of whichever partition. [`locks`] checks it in
//! debug builds.
//!
//! | | lock | held while |
//! |---|---|---|
//! | 1 | `PartitionCore::reading` (ends of transactions) | a reader of committed records goes through markers |
//! | 2 | `Tailing::decided` | the same of a log that another process writes |
//! | 3 | `PartitionCore::ages` | batches are asked how old a segment is |
//! | 4 | `Tailing::watching` | a tailing reader checks the directory and publishes what it finds |
//! | 5 | `writer.appender` | a batch is appended, a segment begins, the partition is loaded, closed or deleted |
//! | 6 | the open files of all partitions ([`OpenFiles`]) | a partition is taken out of the round, or put into it |
//! | 7 | `writer.finishing` | segments are synced and finished, indexes are replaced |
//! | 8 | `cleanup.front` | files are renamed or removed by their names |
//! | 9 | `Leader::epochs` | the checkpoint of leader epochs is rewritten |
//! | 10 | `Leader::producers` | the state of producers is copied, or replaced |
//! | 11 | `writer.preallocation` | the next segment's file is made or taken |
//! | 12 | what waits to be finished | the queue is changed |
//!
//! A snapshot ([`point`]) and an append to several partitions ([`writer::together`]) hold several of 5 at once, waiting for them in
//! the order of the partitions. The other
//! locks have no rank, for they are leaves: under none of them a listed one is taken.
//!
//! | lock without rank | held for |
//! |---|---|
//! | the pointer of the view | a copy of it, or making the next view from segments that are there |
//! | all settings; missing records found by a survey, and those already reported | a copy, or one change |
//! | `Keeping::place`, where a partition's directory is | one file that a snapshot opens or links by name (read), the move of the directory when its topic is deleted (write); a segment's `file_state` is taken under it |
//! | `LiveWriter::taking`, `LiveWatch::watched` | a slot is taken; the file of the present writer is found |
//! | what lookups by time know of a list of segments | one lookup in memory, or making the next list |
//! | what a segment guards ([`segment`](crate::segment)), the maps that a log keeps | one lookup, one rename; nothing is unmapped under it |
//! | sleepers, watches and turns | registering, waking; marks are set under those of the place |

mod cleanup;
mod context;
mod core;
mod leader;
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

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::core::PartitionCore;
pub(crate) use cleanup::{Age, AgeQuestion, Cleanable, LastBatch, SegmentFacts};
pub(crate) use context::{
    BackgroundSync, MaintenanceRequest, PartitionContext, PreallocationRequest, ScanWatch, SyncBy,
};
pub(crate) use leader::Leader;
pub(crate) use point::{Bytes, Kept, PartitionPoint, at_one_point};
pub(crate) use reader::cursor::{Cursor, FetchLimits, Fetched};
pub(crate) use reader::fetch::Rest;
pub use recovery::PartitionRecovery;
pub(crate) use recovery::aside::is_aside;
pub(crate) use recovery::begun::{holds_no_record, lacks_id};
pub(crate) use recovery::epochs::record_epoch;
pub use recovery::missing::MissingRecords;
pub(crate) use recovery::missing::is_always_compacted;
pub(crate) use recovery::unclean::SegmentEnd;
pub(crate) use segments::SegmentList;
pub(crate) use settings::{Flush, LogLimits, PartitionSettings, Retention};
pub(crate) use tailing::Tailing;
#[cfg(any(fuzzing, test))]
pub(crate) use tailing::live_file::look_at_live;
pub(crate) use tailing::live_file::{LiveView, LiveWatch, LiveWriter};
#[cfg(any(fuzzing, test))]
pub(crate) use transactions::follow_producers;
pub(crate) use transactions::{Aborted, OpenTransaction, ProducerState};
pub(crate) use view::Ended;
use view::{LogView, Numbered};
pub(crate) use writer::append::{AppendAt, AppendRequest, Appended};
pub(crate) use writer::backpressure::never_wait_here;
use writer::counters::Counted;
pub(crate) use writer::idle::OpenFiles;
pub(crate) use writer::together::{AppendPart, append_together};
use writer::{Appender, LastSegment};

use crate::error::{Error, Result};
use crate::format::uuid::Uuid;
use crate::position::TopicPartition;
use crate::segment::Segment;
use crate::sys::{Disk, Right};

/// What the directory's checkpoints say of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checkpointed {
    /// The directory was closed cleanly: nothing needs to be scanned.
    pub(crate) clean: bool,
    pub(crate) recovery_point: Option<u64>,
    pub(crate) log_start: u64,
    /// Below it a compaction has gone through the log.
    pub(crate) cleaned: Option<u64>,
}

/// What a partition is opened with.
#[derive(Debug)]
pub(crate) struct PartitionOpening<'o> {
    pub(crate) id: TopicPartition,
    pub(crate) topic_id: Uuid,
    /// The directory of all partitions.
    pub(crate) root: &'o Path,
    pub(crate) disk: &'o Disk,
    pub(crate) settings: PartitionSettings,
    pub(crate) checkpointed: Checkpointed,
    pub(crate) context: PartitionContext,
}

/// A partition of a log directory, as the rooms above it know it: what both roles have in common, by [`Deref`], and the role.
/// What only a leader does is asked of [`leader`](Self::leader), which refuses where another process appends.
#[derive(Debug, Clone)]
pub(crate) struct PartitionLog {
    core: Arc<PartitionCore>,
    role: Role,
}

/// Who appends to a partition. Decided when the directory is opened, for good.
#[derive(Debug, Clone)]
enum Role {
    /// This process.
    Leader(Arc<Leader>),
    /// Another process, if one does. Nothing is written here.
    Tailing(Arc<Tailing>),
}

/// A partition's offsets, read consistently.
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

impl Deref for PartitionLog {
    type Target = PartitionCore;

    #[inline]
    fn deref(&self) -> &PartitionCore {
        &self.core
    }
}

impl From<Arc<Leader>> for PartitionLog {
    fn from(leader: Arc<Leader>) -> Self {
        Self { core: Arc::clone(leader.core()), role: Role::Leader(leader) }
    }
}

impl From<Arc<Tailing>> for PartitionLog {
    fn from(tailing: Arc<Tailing>) -> Self {
        Self { core: Arc::clone(tailing.core()), role: Role::Tailing(tailing) }
    }
}

impl From<Arc<Self>> for PartitionLog {
    fn from(log: Arc<Self>) -> Self {
        Arc::unwrap_or_clone(log)
    }
}

impl PartitionLog {
    /// This process leads if the disk may be written to. If it may not, it tails what another process writes.
    pub(crate) fn open(opening: PartitionOpening<'_>) -> Arc<Self> {
        Arc::new(match opening.disk.right {
            Right::ReadWrite => Leader::new(opening).into(),
            Right::ReadOnly => Tailing::new(opening).into(),
        })
    }

    /// Who appends, if this process does.
    #[inline]
    pub(crate) fn leader(&self) -> Result<&Arc<Leader>> {
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Tailing(_) => Err(Error::ReadOnly),
        }
    }

    /// The partition as another process writes it, if one does.
    pub(crate) fn tailing(&self) -> Option<&Arc<Tailing>> {
        match &self.role {
            Role::Leader(_) => None,
            Role::Tailing(tailing) => Some(tailing),
        }
    }

    /// Whether both are the same opening of the same partition.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// Goes by other settings from now on.
    pub(crate) fn set_settings(&self, settings: PartitionSettings) {
        match &self.role {
            Role::Leader(leader) => leader.set_settings(settings),
            Role::Tailing(tailing) => tailing.take_settings(settings),
        }
    }

    /// Checks the directory, unless that was done. A leader recovers it if it was not closed cleanly. Returns what was found,
    /// the first time.
    pub(crate) fn load(&self) -> Result<Option<PartitionRecovery>> {
        match &self.role {
            Role::Leader(leader) => leader.load(),
            Role::Tailing(tailing) => tailing.load(),
        }
    }

    /// Looks what another process has done to the partition since the last look, unless a live writer shows that it has
    /// appended nothing.
    pub(crate) fn refresh_end(&self) -> Result<()> {
        self.tailing().map_or(Ok(()), |tailing| tailing.refresh_end())
    }

    /// Asks the process that appends to notify this one when it does. `false`: as far as is known, it will not.
    pub(crate) fn ask_to_be_woken(&self, view: &Arc<LiveView>) -> bool {
        self.tailing().is_some_and(|tailing| tailing.ask_to_be_woken(view))
    }

    /// Looks for missing records before the partition is loaded, which then reports them. Returns whether loading has
    /// something to report: missing records, or why it fails.
    pub(crate) fn survey(&self) -> Result<bool> {
        match &self.role {
            Role::Leader(leader) => leader.survey(),
            Role::Tailing(tailing) => tailing.survey(),
        }
    }

    /// The view as it is now, loading the partition if need be. An error if it was closed or deleted.
    pub(crate) fn present(&self) -> Result<Numbered<LogView>> {
        match &self.role {
            Role::Leader(leader) => leader.present(),
            Role::Tailing(tailing) => tailing.present(),
        }
    }

    /// Offsets as they are now, loading the partition if need be.
    pub(crate) fn bounds(&self) -> Result<Bounds> {
        Ok(self.bounds_of(&*self.present()?))
    }

    /// Does something with the files of the present view, again as long as views are replaced meanwhile.
    pub(crate) fn in_present_view<T>(&self, work: impl FnMut(&LogView) -> Result<T>) -> Result<T> {
        self.in_view(|| self.present(), work)
    }

    /// The segments as they are now, oldest first.
    pub(crate) fn facts(&self) -> Result<Vec<SegmentFacts>> {
        match &self.role {
            Role::Leader(leader) => leader.facts(),
            Role::Tailing(tailing) => self.in_view(|| tailing.present(), |view| SegmentFacts::of(view, None)),
        }
    }

    /// The age of a segment by its batches; `None` if there is more of it to go through, which the next call does.
    pub(crate) fn age_of(&self, asked: AgeQuestion) -> Result<Option<Age>> {
        match &self.role {
            Role::Leader(leader) => leader.age_of(asked),
            Role::Tailing(tailing) => tailing.age_of(asked),
        }
    }

    pub(crate) fn counted(&self) -> Counted {
        match &self.role {
            Role::Leader(leader) => leader.counted(),
            Role::Tailing(tailing) => Counted::of(tailing),
        }
    }

    /// Whether a file of it is open to be appended to.
    pub(crate) fn is_in_use(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => matches!(&*leader.writer.appender(), Appender::Active { .. }),
            Role::Tailing(_) => false,
        }
    }

    /// Ends the partition for good. After an error, which every later call gets too, it must be recovered at the next open.
    pub(crate) fn close(&self) -> Result<()> {
        match &self.role {
            Role::Leader(leader) => leader.close(),
            Role::Tailing(tailing) => {
                tailing.end(Ended::Closed);
                Ok(())
            }
        }
    }

    /// Ends the partition because its topic is deleted: nothing is written any more, readers keep what they hold.
    pub(crate) fn delete(&self) {
        match &self.role {
            Role::Leader(leader) => leader.delete(),
            Role::Tailing(tailing) => tailing.end(Ended::Deleted),
        }
    }

    /// Learns of transactions that another process has ended, and makes sure of those that are open.
    pub(crate) fn refresh_transactions(&self) -> Result<()> {
        match &self.role {
            Role::Leader(leader) => leader.prove_open(),
            Role::Tailing(tailing) => tailing.refresh_transactions(),
        }
    }

    /// The same, as far as a reader that enters a segment needs it.
    fn prove_open(&self) -> Result<()> {
        match &self.role {
            Role::Leader(leader) => leader.prove_open(),
            Role::Tailing(_) => Ok(()),
        }
    }

    /// The aborted transactions with records in `segment` from `from` on.
    fn aborted_in(&self, segment: &Segment, from: u64) -> Result<Aborted> {
        let (found, is_unresolved) = self.core.aborted_in(segment, from)?;
        if is_unresolved {
            // By what is known otherwise it is decided, but no marker says so.
            let reason = "it lacks a transaction that is open";
            match &self.role {
                Role::Leader(leader) => leader.decide_anew(reason)?,
                Role::Tailing(tailing) => tailing.decide_anew(reason)?,
            }
        }
        Ok(found)
    }

    /// Makes the index of a segment anew if it turned out to be wrong.
    fn rebuild_doubted(&self, segment: &Arc<Segment>) {
        match &self.role {
            Role::Leader(leader) => leader.rebuild_doubted(segment),
            Role::Tailing(tailing) => tailing.rebuild_doubted(segment),
        }
    }

    /// After reading has failed: whether that is because another process has exchanged the files, and the reader should try
    /// again.
    fn has_moved_on(&self, failure: &Error) -> bool {
        self.tailing().is_some_and(|tailing| tailing.has_moved_on(failure))
    }
}
