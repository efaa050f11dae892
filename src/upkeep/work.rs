//! What is done beside the writers, in a fixed order, whether a thread or the user's call drives it.
//!
//! | side | order | waits for the disk |
//! |---|---|---|
//! | ahead | lingering batches → space in front of writers | never |
//! | upkeep | sealed segments → syncs → retention → compaction → checkpoints | all the time |
//!
//! Each side has one lock, held while it works: a call by hand beside a running thread waits for it.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::compaction::{Compaction, Step, Summary};
use super::report::{MaintenanceReport, Round};
use super::retention::{Retained, Stint, retain};
use crate::clock::{Clock, Moment, Pace, Timestamp, time_of};
use crate::error::{Error, Result};
use crate::events::{Announcer, Event};
use crate::partition::{AheadChore, BackgroundSync, Chore, Chores, PartitionLog, SyncBy};
use crate::sys::Spending;

/// How long a recovery point may be newer than the file that tells of it.
const CHECKPOINT_DELAY: Duration = Duration::from_secs(60);
/// When retention is first looked at after an open, and how long it may take to notice what is due. Kafka's
/// `log.initial.task.delay.ms` and `log.retention.check.interval.ms`.
const FIRST_RETENTION: Duration = Duration::from_secs(30);
const RETENTION_INTERVAL: Duration = Duration::from_secs(300);
/// The least time between two looks of a thread.
const RETENTION_PAUSE: Duration = Duration::from_secs(1);

/// How often a thread looks whether there is space again for what was taken of the reserve.
const RESERVE_PAUSE: Duration = Duration::from_secs(10);
/// How often a thread looks for committed positions that are too old. Kafka's `offsets.retention.check.interval.ms`.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);
/// The least time between two looks for what is to be compacted. Kafka's `log.cleaner.backoff.ms`.
const COMPACTION_PAUSE: Duration = Duration::from_secs(15);

/// How long after its last sync a partition that nobody appends to gives up its descriptor and map.
const REST_AFTER: Duration = Duration::from_secs(60);

/// How soon lingering records are looked after again after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Records that wait in memory for more to come, until a moment.
pub(crate) trait Lingering: Send + Sync + std::fmt::Debug {
    /// Writes out what has waited long enough; returns when to look again, if anything still waits.
    fn write_overdue(&self, now: Moment) -> Option<Moment>;

    /// The log is closed. What still waits can never be written, and nothing more comes: an event says what is lost.
    fn log_has_closed(&self);
}

/// Asks *ahead* to look after lingering records at a moment.
pub(crate) type Linger = (Moment, Weak<dyn Lingering>);

/// What a log directory holds, as far as it is looked after here.
pub(crate) trait Holdings: Send + Sync + std::fmt::Debug {
    /// Writes all checkpoint files.
    fn write_checkpoints(&self) -> Result<()>;

    /// Has partitions start at these offsets: in the checkpoint of log starts, on the medium, then in the log. After an
    /// error they start where they did.
    fn raise_log_starts(&self, raised: &[(Arc<PartitionLog>, u64)]) -> Result<()>;

    /// Writes the checkpoint of how far partitions were compacted and returns when it is on the medium.
    fn write_cleaned(&self) -> Result<()>;

    /// What the thread writes as long as the result lives frees space in the end.
    fn spend_for_freeing(&self) -> Option<Spending> {
        None
    }

    /// Fills the space that is kept for a full disk, if some of it is missing. Tells whether all of it is there.
    fn fill_reserve(&self) -> bool {
        true
    }

    /// All partitions there are.
    fn partitions(&self) -> Vec<Arc<PartitionLog>>;

    /// Does what is left to be done of deletions of topics.
    fn finish_deletions(&self, _now: i64) -> Result<()> {
        Ok(())
    }

    /// Whether committed positions are forgotten some day.
    fn forgets_offsets(&self) -> bool {
        false
    }

    /// Forgets committed positions that are too old at the time `now`, and tells how many.
    fn expire_offsets(&self, _now: i64) -> Result<usize> {
        Ok(0)
    }
}

/// The ways to give work, made before there is anything to look after.
#[derive(Debug)]
pub(crate) struct Inboxes {
    pub(crate) chores: Chores,
    pub(crate) linger: Sender<Linger>,
    grow: Receiver<AheadChore>,
    lingering: Receiver<Linger>,
    upkeep: Receiver<Chore>,
}

/// Everything that is done in the background of one open log.
#[derive(Debug)]
pub(crate) struct Work {
    pub(super) grow: Receiver<AheadChore>,
    pub(super) lingering: Receiver<Linger>,
    pub(super) upkeep: Receiver<Chore>,
    pub(super) pace: Pace,
    events: Announcer,
    /// By which records are old. None: the system's.
    clock: Option<Arc<dyn Clock>>,
    holdings: Arc<dyn Holdings>,
    /// Lingering records that are looked after.
    waiting: Mutex<Vec<Linger>>,
    agenda: Mutex<Agenda>,
    /// Written under both locks.
    has_ended: AtomicBool,
}

/// What upkeep is to do, and when.
#[derive(Debug)]
struct Agenda {
    syncs: BinaryHeap<Reverse<Due>>,
    checkpoint: Option<Moment>,
    /// While a part of the reserve is missing.
    reserve: Option<Moment>,
    /// Partitions that rest from these moments on, if nobody has appended to them by then; in order.
    rests: VecDeque<(Moment, Weak<PartitionLog>)>,
    retention: Option<Moment>,
    /// Partitions whose oldest segments are being looked at.
    ageing: Vec<Weak<PartitionLog>>,
    /// `None`: committed positions are kept.
    expiry: Option<Moment>,
    /// When to look next for what is to be compacted, if nothing is known to be.
    compaction_look: Option<Moment>,
    compaction: Compaction,
}

/// A sync that was asked for, ordered by its moment.
#[derive(Debug)]
struct Due(SyncBy);

impl Inboxes {
    pub(crate) fn new(pace: Pace, background_sync: BackgroundSync) -> Self {
        let ((ahead, grow), (linger, lingering), (send_upkeep, upkeep)) =
            (unbounded(), unbounded(), unbounded());
        let (ahead, send_upkeep) = (Some(ahead), Some(send_upkeep));
        let chores = Chores { ahead, upkeep: send_upkeep, pace, background_sync, ..Chores::default() };
        Self { chores, linger, grow, lingering, upkeep }
    }

    /// Goes to work on what is there.
    /// `compaction_memory`: bytes that the map of keys may take.
    pub(crate) fn work_on(
        self,
        holdings: Arc<dyn Holdings>,
        clock: Option<Arc<dyn Clock>>,
        compaction_memory: usize,
    ) -> Work {
        let pace = self.chores.pace;
        let expires = holdings.forgets_offsets();
        let agenda = Agenda {
            syncs: BinaryHeap::new(),
            checkpoint: None,
            reserve: None,
            rests: VecDeque::new(),
            retention: pace.now().after(FIRST_RETENTION),
            ageing: Vec::new(),
            expiry: expires.then(|| pace.now().after(EXPIRY_INTERVAL)).flatten(),
            compaction_look: pace.now().after(COMPACTION_PAUSE),
            compaction: Compaction::new(compaction_memory),
        };
        Work {
            clock,
            grow: self.grow,
            lingering: self.lingering,
            upkeep: self.upkeep,
            pace,
            events: self.chores.events,
            holdings,
            waiting: Mutex::default(),
            agenda: Mutex::new(agenda),
            has_ended: AtomicBool::new(false),
        }
    }
}

impl Work {
    /// Everything that is due.
    pub(crate) fn run(&self) -> Result<MaintenanceReport> {
        self.run_ahead();
        self.run_upkeep()
    }

    /// Waits for what is being done and lets nothing be done any more: the directory may be somebody else's next.
    pub(crate) fn end(&self) {
        let (_waiting, mut agenda) = (self.waiting.lock(), self.agenda.lock());
        agenda.compaction.end();
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Writes lingering batches whose time has come, and works ahead of writers. Returns when to come again.
    pub(super) fn run_ahead(&self) -> Option<Moment> {
        let mut waiting = self.waiting.lock();
        if self.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        waiting.extend(self.lingering.try_iter());
        if !waiting.is_empty() {
            let now = self.pace.now();
            waiting.retain_mut(|(moment, records)| {
                if *moment > now {
                    return true;
                }
                let next = records.upgrade().and_then(|records| {
                    let written = || records.write_overdue(now);
                    let next = self.unless_panicked("writing lingering records", None, written);
                    next.unwrap_or_else(|| now.after(AFTER_PANIC))
                });
                next.is_some_and(|next| {
                    *moment = next;
                    true
                })
            });
        }
        for chore in self.grow.try_iter() {
            match chore {
                AheadChore::Grow { growth, tail } => growth.work_ahead(tail.load().position),
                AheadChore::PrepareSegment(partition) => {
                    let _ = self.attempt("preparing a segment", None, || partition.prepare_segment());
                }
            }
        }
        waiting.iter().map(|(moment, _)| *moment).min()
    }

    #[cfg(test)]
    pub(super) fn make_everything_due(&self) {
        let now = Some(self.pace.now());
        let agenda = &mut *self.agenda.lock();
        (agenda.retention, agenda.expiry, agenda.compaction_look, agenda.checkpoint) = (now, now, now, now);
    }

    /// Finishes sealed segments and does the syncs and checkpoints whose time has come.
    pub(super) fn run_upkeep(&self) -> Result<MaintenanceReport> {
        let mut agenda = self.agenda.lock();
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        let is_reserved = self.holdings.fill_reserve();
        agenda.reserve = if is_reserved { None } else { self.pace.now().after(RESERVE_PAUSE) };
        let mut round = Round::default();
        for chore in self.upkeep.try_iter() {
            match chore {
                Chore::FinishSealed(partition) => self.finish_sealed(&partition, &mut agenda, &mut round),
                Chore::Sync(sync) => agenda.syncs.push(Reverse(Due(sync))),
                Chore::Retain => {
                    self.retain_within(RETENTION_INTERVAL, &mut agenda);
                    self.look_for_dirt_within(COMPACTION_PAUSE, &mut agenda);
                }
            }
        }
        self.sync_due(&mut agenda, &mut round);
        self.retain_due(&mut agenda, &mut round);
        self.expire_due(&mut agenda, &mut round);
        self.rest_due(&mut agenda, &mut round);
        self.compact_due(&mut agenda, &mut round);
        if agenda.checkpoint.is_some_and(|due| due <= self.pace.now()) {
            agenda.checkpoint = None;
            let written = self.attempt("writing a checkpoint", None, || self.holdings.write_checkpoints());
            round.report.checkpoints_written = round.note(written).is_some();
        }
        round.end()
    }

    /// When upkeep has something to do next, if nothing new comes.
    pub(super) fn next_upkeep(&self) -> Option<Moment> {
        let agenda = self.agenda.lock();
        if agenda.compaction.is_busy() || !agenda.ageing.is_empty() {
            return Some(self.pace.now());
        }
        let sync = agenda.syncs.peek().map(|Reverse(Due(sync))| sync.due);
        let rest = agenda.rests.front().map(|(due, _)| *due);
        sync.into_iter()
            .chain(agenda.checkpoint)
            .chain(agenda.reserve)
            .chain(agenda.retention)
            .chain(agenda.expiry)
            .chain(agenda.compaction_look)
            .chain(rest)
            .min()
    }

    fn finish_sealed(&self, partition: &Arc<PartitionLog>, agenda: &mut Agenda, round: &mut Round) {
        let finish = || partition.finish_sealed();
        let finished = self.attempt("finishing a segment", Some(partition), finish);
        if let Some(segments) = round.note(finished) {
            round.report.segments_finished += segments;
            // A roll is told of at once.
            agenda.checkpoint = Some(self.pace.now());
        }
        self.retain_within(RETENTION_INTERVAL, agenda);
        self.look_for_dirt_within(COMPACTION_PAUSE, agenda);
    }

    /// By hand whatever is due is done; a thread comes when something may be, but not all the time, and does a slice.
    fn retain_due(&self, agenda: &mut Agenda, round: &mut Round) {
        let by_hand = self.pace.is_by_hand();
        let is_due = by_hand || agenda.retention.is_some_and(|retention| retention <= self.pace.now());
        if !is_due && agenda.ageing.is_empty() {
            return;
        }
        let _spending = self.holdings.spend_for_freeing();
        let ageing = std::mem::take(&mut agenda.ageing);
        let stint = if by_hand { Stint::Whole } else { Stint::Slice };
        let Some(now) = round.note(self.now()) else {
            agenda.retention = None;
            return self.retain_within(RETENTION_INTERVAL, agenda);
        };
        let finish = || self.holdings.finish_deletions(now);
        let finished = round.note(self.attempt("finishing the deletion of a topic", None, finish));
        let mut done = Retained::default();
        let retain = || {
            let partitions = if is_due {
                self.holdings.partitions()
            } else {
                ageing.iter().filter_map(Weak::upgrade).collect()
            };
            let (retained, outcome) =
                retain(&partitions, now, stint, |raised| self.holdings.raise_log_starts(raised));
            done = retained;
            outcome
        };
        let outcome = self.attempt("deleting old segments", None, retain);
        round.report.segments_deleted += done.segments_deleted;
        round.report.bytes_deleted += done.bytes_deleted;
        agenda.ageing = done.busy.iter().map(Arc::downgrade).collect();
        if is_due {
            agenda.retention = None;
        }
        if round.note(outcome).is_none() || finished.is_none() {
            self.retain_within(RETENTION_INTERVAL, agenda);
        }
        if let Some(due) = done.next_due {
            let wait = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
            self.retain_within(Duration::from_millis(wait).max(RETENTION_PAUSE), agenda);
        }
    }

    fn expire_due(&self, agenda: &mut Agenda, round: &mut Round) {
        let now = self.pace.now();
        if agenda.expiry.is_none_or(|due| due > now && !self.pace.is_by_hand()) {
            return;
        }
        agenda.expiry = now.after(EXPIRY_INTERVAL);
        let Some(time) = round.note(self.now()) else { return };
        let expire = || self.holdings.expire_offsets(time);
        let expired = self.attempt("forgetting committed positions", None, expire);
        round.report.offsets_expired += round.note(expired).unwrap_or(0);
    }

    /// The time by which records are old. A clock of the user's that panics is reported, and what needs the time is done
    /// later; what does not need it goes on.
    fn now(&self) -> Result<i64> {
        let asked = || time_of(self.clock.as_deref()).map(Timestamp::as_millis);
        self.attempt("asking the log's clock", None, || asked().ok_or_else(clock_panicked))
    }

    /// By hand all that is worth compacting is compacted. A thread does a slice and comes again, so that what is due
    /// meanwhile does not wait for long.
    fn compact_due(&self, agenda: &mut Agenda, round: &mut Round) {
        let by_hand = self.pace.is_by_hand();
        let is_due = agenda.compaction_look.is_some_and(|look| look <= self.pace.now());
        if !agenda.compaction.is_busy() && (by_hand || is_due) {
            self.look_for_dirt(agenda, round);
        }
        while let Some(partition) = agenda.compaction.present() {
            self.compact(&partition, agenda, round);
            if !by_hand {
                return;
            }
        }
    }

    fn look_for_dirt(&self, agenda: &mut Agenda, round: &mut Round) {
        agenda.compaction_look = None;
        let Some(now) = round.note(self.now()) else {
            return self.look_for_dirt_within(RETENTION_INTERVAL, agenda);
        };
        let look = || agenda.compaction.look(&self.holdings.partitions(), now);
        let Some(look) = self.unless_panicked("looking for what is to be compacted", None, look) else {
            return;
        };
        if let Some(failure) = look.failure {
            let told = self.attempt::<()>("looking for what is to be compacted", None, || Err(failure));
            round.note(told);
            self.look_for_dirt_within(RETENTION_INTERVAL, agenda);
        }
        if let Some(due) = look.next_due {
            let wait = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
            self.look_for_dirt_within(Duration::from_millis(wait).max(COMPACTION_PAUSE), agenda);
        }
    }

    fn look_for_dirt_within(&self, delay: Duration, agenda: &mut Agenda) {
        let due = self.pace.now().after(delay);
        agenda.compaction_look = agenda.compaction_look.into_iter().chain(due).min();
    }

    /// A slice of a pass over this partition.
    fn compact(&self, partition: &Arc<PartitionLog>, agenda: &mut Agenda, round: &mut Round) {
        let Some(now) = round.note(self.now()) else {
            // The pass is begun anew when the time can be known.
            agenda.compaction.end();
            return self.look_for_dirt_within(RETENTION_INTERVAL, agenda);
        };
        let step = || agenda.compaction.step(partition, now);
        match self.unless_panicked("compaction", Some(partition), step) {
            Some(Ok(Step::More)) => return,
            Some(Ok(Step::Done(summary))) => self.compacted(partition, summary, round),
            Some(Err(failure @ (Error::Corrupt(_) | Error::Unsupported(_)))) => {
                partition.refuse_compaction();
                let (partition, reason) = (partition.id(), failure.to_string().into());
                self.events.tell(|| Event::CompactionRefused { partition: partition.clone(), reason });
            }
            Some(Err(failure)) => {
                // It had what it needed to fail; the directory is as it was.
                round.note(self.attempt::<()>("compaction", Some(partition), || Err(failure)));
                self.look_for_dirt_within(RETENTION_INTERVAL, agenda);
            }
            None | Some(Ok(Step::Gone)) => {}
        }
        if !agenda.compaction.is_busy() {
            self.look_for_dirt_within(COMPACTION_PAUSE, agenda);
        }
    }

    /// What is left is on the medium; only now the checkpoint may say so.
    fn compacted(&self, partition: &Arc<PartitionLog>, summary: Summary, round: &mut Round) {
        partition.set_cleaned(summary.upto);
        round.note(self.attempt("writing a checkpoint", None, || self.holdings.write_cleaned()));
        round.report.partitions_compacted += 1;
        round.report.bytes_before_compaction += summary.bytes_before;
        round.report.bytes_after_compaction += summary.bytes_after;
        let Summary { upto, segments_before, segments_after, bytes_before, bytes_after } = summary;
        self.events.tell(|| Event::PartitionCompacted {
            partition: partition.id().clone(),
            upto,
            segments_before,
            segments_after,
            bytes_before,
            bytes_after,
        });
    }

    fn retain_within(&self, delay: Duration, agenda: &mut Agenda) {
        let due = self.pace.now().after(delay);
        agenda.retention = agenda.retention.into_iter().chain(due).min();
    }

    fn sync_due(&self, agenda: &mut Agenda, round: &mut Round) {
        let now = self.pace.now();
        while agenda.syncs.peek().is_some_and(|Reverse(Due(sync))| sync.due <= now) {
            let Some(Reverse(Due(sync))) = agenda.syncs.pop() else { return };
            let partition = &sync.partition;
            let synced = self.attempt("a sync", Some(partition), || partition.sync_as_asked(&sync));
            if round.note(synced) == Some(true) {
                partition.forget_use();
                agenda.rests.extend(now.after(REST_AFTER).map(|due| (due, Arc::downgrade(partition))));
                round.report.partitions_synced += 1;
                if agenda.checkpoint.is_none() {
                    agenda.checkpoint = now.after(CHECKPOINT_DELAY);
                }
            }
        }
    }

    fn rest_due(&self, agenda: &mut Agenda, round: &mut Round) {
        let now = self.pace.now();
        while agenda.rests.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, partition)) = agenda.rests.pop_front() else { return };
            let Some(partition) = partition.upgrade() else { continue };
            let rest = || partition.rest_unless_used();
            let rested = self.unless_panicked("bringing a partition to rest", Some(&partition), rest);
            round.report.partitions_rested += usize::from(rested == Some(true));
        }
    }

    /// Does `work`; a failure is told to those who listen and returned.
    fn attempt<T>(
        &self,
        task: &'static str,
        partition: Option<&PartitionLog>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let outcome = self.unless_panicked(task, partition, work).unwrap_or(Err(Error::Closed));
        if let Err(failure) = &outcome {
            self.events.tell(|| Event::MaintenanceFailed { task, failure: failure.to_string().into() });
        }
        outcome
    }

    /// A panic ends what was being done, and the partition it was done to, but not the thread.
    fn unless_panicked<T>(
        &self,
        task: &'static str,
        partition: Option<&PartitionLog>,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(value) => Some(value),
            Err(panic) => {
                if let Some(partition) = partition {
                    partition.poison_after_panic(task);
                }
                self.events.tell(|| Event::MaintenanceFailed { task, failure: words_of(&*panic).into() });
                None
            }
        }
    }

    /// A round of a thread. A panic that nothing in it has caught is reported, and does not end the thread.
    pub(super) fn survive<T>(&self, task: &'static str, round: impl FnOnce() -> T) -> Option<T> {
        self.unless_panicked(task, None, round)
    }
}

fn clock_panicked() -> Error {
    Error::invalid("clock", "the clock that the log was opened with panicked; it must not")
}

/// What a panic says of itself.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s));
    words.map_or_else(|| "panicked".to_owned(), |words| format!("panicked: {words}"))
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0.due == other.0.due
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.due.cmp(&other.0.due)
    }
}
