//! The tasks, each done when it is due. A new one is a variant of [`Task`], its rank, and an arm of [`Tasks::do_task`].
//!
//! Within a round those of lesser rank are done first: retention of what has rolled → sealed segments → transactions → syncs → retention →
//! committed positions, transactional ids → idle files → compaction → idle producers → checkpoints. A call by hand looks for everything that could be due, and
//! does all of it. The thread wakes when something may be due, and does long tasks in slices, so that what is due meanwhile does not wait.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::report::{MaintenanceReport, Round};
use super::retention::{Retained, Stint, retain};
use super::schedule::{Due, Schedule};
use super::{Background, Subject};
use crate::clock::Moment;
use crate::compaction::{Compaction, Step, Summary};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::partition::{Leader, MaintenanceRequest, OpenFiles, SyncBy};
use crate::sys::Purpose;

/// How long after a recovery point has moved its checkpoint is written, at the latest.
const CHECKPOINT_DELAY: Duration = Duration::from_secs(60);
/// When retention is first checked after an open, at the latest. Kafka's `log.initial.task.delay.ms`.
const FIRST_RETENTION: Duration = Duration::from_secs(30);
/// How long it may take, unless the options say otherwise, to notice what is due that no roll and no deadline announces.
/// Kafka's `log.retention.check.interval.ms`.
pub(crate) const RETENTION_INTERVAL: Duration = Duration::from_secs(300);
/// The least time between two checks by the thread that no roll asks for, unless the interval is shorter.
const RETENTION_PAUSE: Duration = Duration::from_secs(1);
/// When a search for what is to be compacted is tried again that has failed.
const COMPACTION_RETRY: Duration = Duration::from_secs(300);

/// How often the thread looks whether there is space again for what was taken of the reserve.
const RESERVE_PAUSE: Duration = Duration::from_secs(10);
/// How often it looks for committed positions that are too old. Kafka's `offsets.retention.check.interval.ms`.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);
/// The least time between two searches for what is to be compacted. Kafka's `log.cleaner.backoff.ms`.
const COMPACTION_PAUSE: Duration = Duration::from_secs(15);

/// How often it looks for transactional ids that were not used for long. Kafka's
/// `transaction.remove.expired.transaction.cleanup.interval.ms`.
const ID_EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);

/// How long sealed segments that retention by size is going to take are left unfinished, at least; twice as long at most.
const SEALED_WAIT: Duration = Duration::from_secs(60);

/// How often it looks for producers that were idle. Kafka's `producer.id.expiration.check.interval.ms`.
const PRODUCER_INTERVAL: Duration = Duration::from_secs(600);

/// How long after its last sync a partition that is not appended to gives up its descriptor and map.
const CLOSE_IDLE_AFTER: Duration = Duration::from_secs(60);

/// Something to be done at a deadline.
#[derive(Debug)]
pub(super) enum Task {
    /// Fills the space that is kept for a full disk.
    FillReserve,
    /// Deletes what the partitions do not keep in which a segment has begun.
    RetainRolled,
    /// Brings sealed segments to their final form.
    FinishSealed(Arc<Leader>),
    /// The same of segments that end at or before an offset and that retention was to take instead.
    FinishWaiting(Weak<Leader>, u64),
    Sync(SyncBy),
    /// Aborts transactions that were open for too long, and writes markers that could not be written.
    CheckTransactions,
    /// Continues through the batches of segments whose age is not known yet.
    RetainFurther,
    Retain,
    /// Forgets committed positions that are too old.
    ExpireOffsets,
    /// Forgets transactional ids that were not used for long.
    ExpireIds,
    /// Closes the file of a partition, if it was not appended to since it was synced.
    CloseIdle(Weak<Leader>),
    /// Closes files that are idle, of more partitions than may have theirs open.
    CloseSurplus(Arc<OpenFiles>),
    FindDirty,
    Compact,
    /// Forgets producers that were idle for a day.
    ForgetProducers,
    WriteCheckpoints,
}

impl Task {
    /// Its place in a round.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::FillReserve => 0,
            Self::RetainRolled => 1,
            Self::FinishSealed(_) => 2,
            Self::FinishWaiting(..) => 3,
            Self::CheckTransactions => 4,
            Self::Sync(_) => 5,
            Self::RetainFurther => 6,
            Self::Retain => 7,
            Self::ExpireOffsets => 8,
            Self::ExpireIds => 9,
            Self::CloseIdle(_) => 10,
            Self::CloseSurplus(_) => 11,
            Self::FindDirty => 12,
            Self::Compact => 13,
            Self::ForgetProducers => 14,
            Self::WriteCheckpoints => 15,
        }
    }

    /// Whether there is one of it, however often it is asked for.
    pub(super) fn is_single(&self) -> bool {
        !matches!(
            self,
            Self::FinishSealed(_)
                | Self::FinishWaiting(..)
                | Self::Sync(_)
                | Self::CloseIdle(_)
                | Self::CloseSurplus(_)
        )
    }
}

/// The deadlines, and what tasks know from one round to the next.
#[derive(Debug)]
pub(super) struct Tasks {
    schedule: Schedule,
    /// Partitions in which a segment has begun since retention last checked them.
    rolled: Vec<Arc<Leader>>,
    /// Partitions whose oldest segments are being checked.
    ageing: Vec<Weak<Leader>>,
    /// How long it may take to notice what is due.
    retention_interval: Duration,
    compaction: Compaction,
}

impl Tasks {
    pub(super) fn new(now: Moment, subject: &Subject) -> Self {
        let mut schedule = Schedule::default();
        let retention_interval = subject.retention_check_interval;
        schedule.add(now.after(FIRST_RETENTION.min(retention_interval)), Task::Retain);
        schedule.add(now.after(COMPACTION_PAUSE), Task::FindDirty);
        if subject.offsets_retention.is_some() {
            schedule.add(now.after(EXPIRY_INTERVAL), Task::ExpireOffsets);
        }
        schedule.add(now.after(ID_EXPIRY_INTERVAL), Task::ExpireIds);
        schedule.add(now.after(PRODUCER_INTERVAL), Task::ForgetProducers);
        let compaction = Compaction::new(subject.compaction_memory);
        Self { schedule, rolled: Vec::new(), ageing: Vec::new(), retention_interval, compaction }
    }

    /// When a task is due next.
    pub(super) fn next(&mut self) -> Option<Moment> {
        self.schedule.next()
    }

    #[cfg(test)]
    pub(super) fn retention_due(&self) -> Option<Moment> {
        self.schedule.due(&Task::Retain)
    }

    #[cfg(test)]
    pub(super) fn make_everything_due(&mut self, now: Moment) {
        self.schedule.hasten(now);
        for task in [Task::Retain, Task::ExpireOffsets, Task::FindDirty, Task::WriteCheckpoints] {
            self.schedule.add(now, task);
        }
    }

    pub(super) fn end(&mut self) {
        self.compaction.end();
    }

    /// A round: does what was asked for and what is due.
    pub(super) fn run(
        &mut self,
        asked: impl Iterator<Item = MaintenanceRequest>,
        of: &Background,
    ) -> Result<MaintenanceReport> {
        let now = of.pace.now();
        self.schedule.add(now, Task::FillReserve);
        for request in asked {
            self.take(request, now);
        }
        if of.pace.is_manual() {
            self.schedule.add(now, Task::Retain);
            self.schedule.add(now, Task::FindDirty);
            self.schedule.add(now, Task::CheckTransactions);
            self.schedule.add(now, Task::ExpireIds);
            if self.schedule.holds(&Task::ExpireOffsets) {
                self.schedule.add(now, Task::ExpireOffsets);
            }
        }
        let mut round = InRound { of, now, done: Round::default() };
        let mut due = Due::default();
        self.schedule.take_due(now, 0, &mut due);
        while let Some(task) = due.take_first() {
            let rank = task.rank();
            self.do_task(task, &mut round);
            self.schedule.take_due(now, rank + 1, &mut due);
        }
        round.done.end()
    }

    /// A request becomes a task.
    fn take(&mut self, request: MaintenanceRequest, now: Moment) {
        match request {
            MaintenanceRequest::FinishSealed(partition) => {
                self.schedule.add(now, Task::RetainRolled);
                self.rolled.push(Arc::clone(&partition));
                self.schedule.add(now, Task::FinishSealed(partition));
            }
            MaintenanceRequest::Sync(sync) => self.schedule.add(sync.due, Task::Sync(sync)),
            MaintenanceRequest::Retain => self.schedule_soon(now),
            MaintenanceRequest::CheckTransactions(due) => self.schedule.add(due, Task::CheckTransactions),
            MaintenanceRequest::CloseSurplus(open_files) => {
                self.schedule.add(now, Task::CloseSurplus(open_files));
            }
        }
    }

    /// There may be something to delete or to compact before long.
    fn schedule_soon(&mut self, now: Moment) {
        self.schedule.add(now.after(self.retention_interval), Task::Retain);
        self.schedule.add(now.after(COMPACTION_PAUSE), Task::FindDirty);
    }

    fn do_task(&mut self, task: Task, round: &mut InRound<'_>) {
        match task {
            Task::FillReserve => {
                if !round.of.subject.catalog.fill_reserve() {
                    self.schedule.add(round.now.after(RESERVE_PAUSE), Task::FillReserve);
                }
            }
            Task::RetainRolled => self.retain_rolled(round),
            Task::FinishSealed(partition) => self.finish_sealed(&partition, round),
            Task::FinishWaiting(partition, end) => {
                let Some(partition) = partition.upgrade() else { return };
                self.finish(&partition, || partition.finish_awaited(end), round);
                self.let_sealed_wait(&partition, round);
            }
            Task::Sync(sync) => self.sync(&sync, round),
            Task::RetainFurther => {
                let ageing = std::mem::take(&mut self.ageing);
                let ageing: Vec<_> = ageing.iter().filter_map(Weak::upgrade).collect();
                match round.time() {
                    Some(now) => self.retain(&ageing, now, round),
                    None => self.schedule.add(round.now.after(self.retention_interval), Task::Retain),
                }
            }
            Task::Retain => self.retain_all(round),
            Task::CheckTransactions => check_transactions(round),
            Task::ExpireOffsets => self.expire_offsets(round),
            Task::ExpireIds => self.expire_ids(round),
            Task::ForgetProducers => self.forget_producers(round),
            Task::CloseIdle(partition) => {
                let Some(partition) = partition.upgrade() else { return };
                let close = || partition.close_unless_used();
                let attempts = &round.of.attempts;
                let closed = attempts.unless_panicked(
                    "closing the file of an idle partition",
                    Some(&partition),
                    close,
                );
                round.done.report.idle_partitions_closed += usize::from(closed == Some(true));
            }
            Task::CloseSurplus(open_files) => {
                let close = || open_files.close_surplus();
                round.of.attempts.unless_panicked("closing the files of idle partitions", None, close);
            }
            Task::FindDirty if self.compaction.is_busy() => {
                // After the cleaner run that is under way.
                self.schedule.add(round.now, Task::FindDirty);
            }
            Task::FindDirty => self.find_dirty(round),
            Task::Compact => {
                while let Some(partition) = self.compaction.present() {
                    self.compact(&partition, round);
                    if !round.of.pace.is_manual() {
                        break;
                    }
                }
                if self.compaction.is_busy() {
                    self.schedule.add(round.now, Task::Compact);
                }
            }
            Task::WriteCheckpoints => {
                let write = || round.of.subject.catalog.write_checkpoints();
                let written = round.of.attempts.attempt("writing a checkpoint", None, write);
                round.done.report.checkpoints_written = round.done.record(written).is_some();
            }
        }
    }

    fn finish_sealed(&mut self, partition: &Arc<Leader>, round: &mut InRound<'_>) {
        if !round.of.pace.is_manual() && partition.lets_sealed_wait() {
            self.let_sealed_wait(partition, round);
            // The recovery point may have moved with what retention took.
            self.schedule.add(round.now.after(CHECKPOINT_DELAY), Task::WriteCheckpoints);
            return self.schedule_soon(round.now);
        }
        self.finish(partition, || partition.finish_sealed(), round);
    }

    /// Has sealed segments finished if they are still there after a while.
    fn let_sealed_wait(&mut self, partition: &Arc<Leader>, round: &InRound<'_>) {
        if let Some(end) = partition.await_sealed() {
            let task = Task::FinishWaiting(Arc::downgrade(partition), end);
            self.schedule.add(round.now.after(SEALED_WAIT), task);
        }
    }

    fn finish(
        &mut self,
        partition: &Arc<Leader>,
        finish: impl FnOnce() -> Result<usize>,
        round: &mut InRound<'_>,
    ) {
        let finished = round.of.attempts.attempt("finishing a segment", Some(partition), finish);
        if let Some(segments) = round.done.record(finished) {
            round.done.report.segments_finished += segments;
            // A roll is reported at once.
            self.schedule.add(round.now, Task::WriteCheckpoints);
        }
        self.schedule_soon(round.now);
    }

    fn sync(&mut self, sync: &SyncBy, round: &mut InRound<'_>) {
        let partition = &sync.partition;
        let synced = round.of.attempts.attempt("a sync", Some(partition), || partition.sync_as_asked(sync));
        if round.done.record(synced) == Some(true) {
            partition.forget_use();
            let idle = Task::CloseIdle(Arc::downgrade(partition));
            self.schedule.add(round.now.after(CLOSE_IDLE_AFTER), idle);
            round.done.report.partitions_synced += 1;
            self.schedule.add(round.now.after(CHECKPOINT_DELAY), Task::WriteCheckpoints);
        }
    }

    /// Before sealed segments are synced: those that go now need not be.
    fn retain_rolled(&mut self, round: &mut InRound<'_>) {
        let mut rolled = std::mem::take(&mut self.rolled);
        // In an order that is the same each time.
        rolled.sort_by(|a, b| a.id().cmp(b.id()));
        rolled.dedup_by(|a, b| Arc::ptr_eq(a, b));
        rolled.retain(|partition| partition.retention().has_limit());
        let rolled = round.of.subject.catalog.settled_of(rolled);
        if rolled.is_empty() {
            return;
        }
        match round.time() {
            Some(now) => self.retain(&rolled, now, round),
            None => self.schedule.add(round.now.after(self.retention_interval), Task::Retain),
        }
    }

    fn retain_all(&mut self, round: &mut InRound<'_>) {
        let Some(now) = round.time() else {
            return self.schedule.add(round.now.after(self.retention_interval), Task::Retain);
        };
        let Subject { catalog, deletions, .. } = &round.of.subject;
        let _spending = catalog.spend(Purpose::Freeing);
        let finish = || deletions.finish(now);
        let finished = round.of.attempts.attempt("finishing the deletion of a topic", None, finish);
        if round.done.record(finished).is_none() {
            self.schedule.add(round.now.after(self.retention_interval), Task::Retain);
        }
        // All that it did not get to is checked again.
        self.ageing.clear();
        self.retain(&catalog.settled_partitions(), now, round);
    }

    fn retain(&mut self, partitions: &[Arc<Leader>], now: i64, round: &mut InRound<'_>) {
        let catalog = &round.of.subject.catalog;
        let _spending = catalog.spend(Purpose::Freeing);
        let stint = if round.of.pace.is_manual() { Stint::Whole } else { Stint::Slice };
        let mut done = Retained::default();
        let retain = || {
            let (retained, outcome) =
                retain(partitions, now, stint, |raised| catalog.advance_log_starts(raised));
            done = retained;
            outcome
        };
        let outcome = round.of.attempts.attempt("deleting old segments", None, retain);
        round.done.report.segments_deleted += done.segments_deleted;
        round.done.report.bytes_deleted += done.bytes_deleted;
        self.ageing.extend(done.busy.iter().map(Arc::downgrade));
        if !self.ageing.is_empty() {
            self.schedule.add(round.now, Task::RetainFurther);
        }
        if round.done.record(outcome).is_none() {
            self.schedule.add(round.now.after(self.retention_interval), Task::Retain);
        }
        if let Some(due) = done.next_due {
            let pause = RETENTION_PAUSE.min(self.retention_interval);
            self.schedule.add(round.now.after(wait(now, due).max(pause)), Task::Retain);
        }
    }

    fn expire_offsets(&mut self, round: &mut InRound<'_>) {
        let Subject { groups, offsets_retention, .. } = &round.of.subject;
        let Some(retention) = *offsets_retention else { return };
        self.schedule.add(round.now.after(EXPIRY_INTERVAL), Task::ExpireOffsets);
        let Some(now) = round.time() else { return };
        let expire = || groups.expire_committed(now, retention);
        let expired = round.of.attempts.attempt("forgetting committed positions", None, expire);
        round.done.report.offsets_expired += round.done.record(expired).unwrap_or(0);
    }

    fn forget_producers(&mut self, round: &mut InRound<'_>) {
        self.schedule.add(round.now.after(PRODUCER_INTERVAL), Task::ForgetProducers);
        let Some(now) = round.time() else { return };
        for partition in round.of.subject.catalog.settled_partitions() {
            partition.forget_idle_producers(now);
        }
    }

    fn expire_ids(&mut self, round: &mut InRound<'_>) {
        self.schedule.add(round.now.after(ID_EXPIRY_INTERVAL), Task::ExpireIds);
        let Some(now) = round.time() else { return };
        let expire = || round.of.subject.transactions.expire(now);
        let expired = round.of.attempts.attempt("forgetting transactional ids", None, expire);
        round.done.report.transactional_ids_expired += round.done.record(expired).unwrap_or(0);
    }

    fn find_dirty(&mut self, round: &mut InRound<'_>) {
        const TASK: &str = "looking for what is to be compacted";
        let Some(now) = round.time() else {
            return self.schedule.add(round.now.after(COMPACTION_RETRY), Task::FindDirty);
        };
        let Background { attempts, subject, .. } = round.of;
        let look = || self.compaction.look(&subject.catalog.settled_partitions(), now);
        let Some(look) = attempts.unless_panicked(TASK, None, look) else { return };
        if let Some(failure) = look.failure {
            let reported = attempts.attempt::<()>(TASK, None, || Err(failure));
            round.done.record(reported);
            self.schedule.add(round.now.after(COMPACTION_RETRY), Task::FindDirty);
        }
        if let Some(due) = look.next_due {
            self.schedule.add(round.now.after(wait(now, due).max(COMPACTION_PAUSE)), Task::FindDirty);
        }
        if self.compaction.is_busy() {
            self.schedule.add(round.now, Task::Compact);
        }
    }

    /// A slice of a cleaner run over this partition.
    fn compact(&mut self, partition: &Arc<Leader>, round: &mut InRound<'_>) {
        let Some(now) = round.time() else {
            // The cleaner run is begun anew when the time can be known.
            self.compaction.end();
            return self.schedule.add(round.now.after(COMPACTION_RETRY), Task::FindDirty);
        };
        let attempts = &round.of.attempts;
        let step = || self.compaction.step(partition, now);
        match attempts.unless_panicked("compaction", Some(partition), step) {
            Some(Ok(Step::More)) => return,
            Some(Ok(Step::Done(summary))) => compacted(partition, summary, round),
            Some(Err(failure @ (Error::Corrupt(_) | Error::Unsupported(_)))) => {
                partition.refuse_compaction();
                let (partition, reason) = (partition.id(), failure.to_string().into());
                attempts.report(|| Event::CompactionRefused { partition: partition.clone(), reason });
            }
            Some(Err(failure)) => {
                // It had what it needed to fail; the directory is as it was.
                round.done.record(attempts.attempt::<()>("compaction", Some(partition), || Err(failure)));
                self.schedule.add(round.now.after(COMPACTION_RETRY), Task::FindDirty);
            }
            None | Some(Ok(Step::Gone)) => {}
        }
        if !self.compaction.is_busy() {
            self.schedule.add(round.now.after(COMPACTION_PAUSE), Task::FindDirty);
        }
    }
}

/// A round under way.
struct InRound<'b> {
    of: &'b Background,
    /// When it began.
    now: Moment,
    done: Round,
}

impl InRound<'_> {
    /// The time by which records are old.
    fn time(&mut self) -> Option<i64> {
        self.done.record(self.of.attempts.now(self.of.subject.clock.as_deref()))
    }
}

/// Ends transactions that were open for too long, whatever the clock does: the time is only that of their markers.
fn check_transactions(round: &mut InRound<'_>) {
    let now = round.time().unwrap_or(0);
    let Background { attempts, subject, .. } = round.of;
    let check = || subject.transactions.check(round.now, now);
    let Some(checked) = attempts.unless_panicked("ending transactions", None, check) else { return };
    round.done.report.transactions_aborted += checked.aborted;
    subject.transactions.check_again(&checked);
}

/// How long until a time by the log's clock.
fn wait(now: i64, due: i64) -> Duration {
    Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0))
}

/// What is left of the partition is on disk. Only now the checkpoint may say so.
fn compacted(partition: &Arc<Leader>, summary: Summary, round: &mut InRound<'_>) {
    partition.set_cleaned(summary.end);
    let Background { attempts, subject, .. } = round.of;
    let written = attempts.attempt("writing a checkpoint", None, || subject.catalog.write_cleaned());
    round.done.record(written);
    let report = &mut round.done.report;
    report.partitions_compacted += 1;
    report.bytes_before_compaction += summary.bytes_before;
    report.bytes_after_compaction += summary.bytes_after;
    let Summary { end, segments_before, segments_after, bytes_before, bytes_after } = summary;
    attempts.report(|| Event::PartitionCompacted {
        partition: partition.id().clone(),
        end,
        segments_before,
        segments_after,
        bytes_before,
        bytes_after,
    });
}
