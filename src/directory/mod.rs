//! One open directory: its lock, catalog, background threads and clock, from open to close.
//!
//! The order of both ends is what makes a directory safe to find after a crash:
//!
//! * open: lock → read the clean marker, remove it, sync → checkpoints → catalog → recover partitions
//! * close: refuse appends → finish segments, sync → checkpoints → marker, if all of that went well → sync → unlock
//!
//! Handles hold an [`OpenDirectory`]; the last one to go closes it. The threads hold the catalog alone.

mod closing;
mod group;
mod metrics;
mod opening;
mod options;
mod producers;
mod recovery;
mod tailing;
#[cfg(test)]
mod tests;
mod topic;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

pub use group::Group;
pub use metrics::Metrics;
use opening::{Claimed, Presence};
pub use options::{Maintenance, OpenOptions, ReadMode, WriteMode};
pub(crate) use producers::BufferedProducers;
use recovery::Watching;
pub use recovery::{Progress, RecoveryReport};
pub use topic::{Partition, PartitionOffsets, SegmentInfo, Topic};

use crate::background::{Background, Channels, MaintenanceReport, Subject, Threads};
use crate::catalog::checkpoints::Checkpoints;
use crate::catalog::log_dir::LogDir;
use crate::catalog::{self, Catalog};
use crate::clock::{Clock, LogClock, Moment, Pace, SystemClock, Timestamp};
use crate::config::{Mismatch, TopicConfig};
use crate::error::{Error, Result};
use crate::events::{Announcer, Event, Events};
use crate::format::crc::compute_by;
use crate::format::file_names::CLEAN_MARKER;
use crate::group::{CommittedOffsets, Coordinator, Deletions};
use crate::partition::Leader;
use crate::position::TopicPartition;
use crate::sys::{Birth, DirectoryLock, Disk, Purpose, Spending, checksum, wall_clock};
use crate::transaction::Transactions;
use crate::wait::Sleepers;

/// What a broker writes; only that the file is there matters.
const MARKER_TEXT: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;
/// The same over a directory in which transactions may be open.
const MARKER_OF_COPY: &[u8] = br#"{"version":0,"brokerEpoch":-2}"#;

/// An open directory.
// One type: open and close are an order over all of these, and each handle asks for some of them.
pub(crate) struct OpenDirectory {
    dir: LogDir,
    /// Opened by this process, or by one of which this is a child.
    birth: Birth,
    clock: LogClock,
    /// By which deadlines of background work go.
    pace: Pace,
    catalog: Arc<Catalog>,
    groups: Arc<Coordinator>,
    deletions: Arc<Deletions>,
    transactions: Arc<Transactions>,
    recovery: RecoveryReport,
    producers: BufferedProducers,
    events: Announcer,
    /// Set first by closing: nothing new begins after it.
    closing: AtomicBool,
    /// Those who wait for the close alone. Woken after `closing` is set.
    idlers: Sleepers,
    /// Taken by the close; never there in a directory that is only read.
    running: Mutex<Option<Running>>,
    tailing: tailing::Tailing,
    /// Held while a snapshot is made, and by the close.
    snapshots: Mutex<()>,
}

impl fmt::Debug for OpenDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenDirectory").field(&self.dir.root()).finish()
    }
}

/// What only a directory open for writing has.
#[derive(Debug)]
struct Running {
    background: Arc<Background>,
    /// None: the user drives the work.
    threads: Option<Threads>,
    presence: Presence,
    _lock: DirectoryLock,
}

impl OpenDirectory {
    pub(crate) fn open(path: &Path, options: OpenOptions) -> Result<Arc<Self>> {
        if let Some(way) = checksum::best() {
            compute_by(way);
        }
        if options.read_only {
            return Self::open_read_only(path, options);
        }
        options.validate()?;
        let birth = Birth::now();
        let claimed = Claimed::claim(path, &options)?;
        let closed_by_us = claimed.was_closed_by_us();
        let Claimed { dir, clean, .. } = &claimed;
        let _spending = dir.disk().spend(Purpose::Positions);
        let manual = options.maintenance == Maintenance::Manual;
        let pace = options.pace();
        let mut channels = Channels::new(pace.clone(), options.background_sync);
        channels.context.events.begin_opening();
        let checkpoints = Checkpoints::read(dir, *clean)?;
        checkpoints.emit_unreadable(&channels.context.events);
        let presence = Presence::begin(dir)?;
        channels.context.live = presence.live().cloned();
        let watching = Watching::new(options.on_progress);
        channels.context.scan_watch = watching.scan_watch();
        let now = options.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now()).as_millis();
        let catalog = Catalog::open(dir, &checkpoints, &channels.context, options.catalog, now)
            .and_then(|catalog| catalog.refuse_newer().map(|()| catalog));
        let catalog = match catalog {
            Ok(catalog) => Arc::new(catalog),
            Err(failure) => {
                // In a directory that is not a log's they have no business.
                presence.end(dir.disk());
                claimed.restore_marker();
                return Err(failure);
            }
        };
        let Claimed { dir, lock, clean, .. } = claimed;
        dir.disk().space.fill();
        let recovery = recovery::recover(&catalog, clean, &watching);
        let (linger, events) = (channels.linger.clone(), channels.context.events.clone());
        let offsets = CommittedOffsets::new(Arc::clone(&catalog), events.clone(), options.offsets_partitions);
        let (reported, clock) = (events.clone(), options.clock.clone());
        let groups = Coordinator::new(Arc::clone(&catalog), offsets, reported, pace.clone(), clock);
        let transactions = Transactions::new(&catalog, &groups, &channels.context);
        if !closed_by_us {
            transactions.decide_at_open(now);
        }
        if !clean {
            groups.clamp_committed(now)?;
        }
        let deletions = Arc::new(Deletions::new(&catalog, &groups, events.clone(), clean));
        deletions.finish_if_possible(now);
        events.opened();
        let background = Arc::new(channels.work_on(Subject {
            catalog: Arc::clone(&catalog),
            groups: Arc::clone(&groups),
            deletions: Arc::clone(&deletions),
            transactions: Arc::clone(&transactions),
            offsets_retention: options.offsets_retention,
            retention_check_interval: options.retention_check_interval,
            clock: options.clock.clone(),
            compaction_memory: options.compaction_memory,
        }));
        let threads = if manual { None } else { Some(Threads::start(&background)?) };
        Ok(Arc::new(Self {
            dir,
            birth,
            clock: LogClock::new(options.clock, wall_clock::source()),
            pace,
            catalog,
            groups,
            deletions,
            transactions,
            recovery,
            producers: BufferedProducers::new(linger),
            events,
            closing: AtomicBool::new(false),
            idlers: Sleepers::default(),
            running: Mutex::new(Some(Running { background, threads, presence, _lock: lock })),
            snapshots: Mutex::default(),
            tailing: tailing::Tailing::default(),
        }))
    }

    /// The catalog, while the directory is open.
    pub(crate) fn catalog(&self) -> Result<&Catalog> {
        self.check_open()?;
        Ok(&self.catalog)
    }

    /// The time now, also while a panic of the user's clock unwinds.
    pub(crate) fn now_unless_panicked(&self) -> Timestamp {
        self.clock.now_unless_panicked()
    }

    /// The transactional ids.
    pub(crate) fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    /// The groups and what they have committed.
    pub(crate) fn groups(&self) -> &Arc<Coordinator> {
        &self.groups
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_process()?;
        if self.is_closing() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Refuses in a child of the process that opened the log. Asked before any lock is taken: a thread that there is no
    /// more may have had it when the child was made.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.birth.is_of_this_process() { Ok(()) } else { Err(Error::Forked) }
    }

    /// Whether the directory is open, and for writing.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.is_read_only() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Where to wait if there is nothing to wait for but the close.
    pub(crate) fn idlers(&self) -> &Sleepers {
        &self.idlers
    }

    /// The time for records that come without.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> &LogClock {
        &self.clock
    }

    /// Whether what is due is done by itself.
    pub(crate) fn has_threads(&self) -> bool {
        !self.pace.is_manual()
    }

    /// The time by which deadlines of background work go.
    pub(crate) fn moment(&self) -> Moment {
        self.pace.now()
    }

    pub(crate) fn listen(&self) -> Events {
        if self.check_process().is_err() {
            // Nothing happens here: a queue that has ended.
            return Announcer::default().listen();
        }
        self.events.listen()
    }

    pub(crate) fn announcer(&self) -> Announcer {
        self.events.clone()
    }

    /// Something failed that the caller was not promised, and that is done again.
    pub(crate) fn emit_failed(&self, task: &'static str, failure: &Error) {
        self.events.emit(|| Event::MaintenanceFailed { task, failure: failure.to_string().into() });
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        self.events.emit(event);
    }

    /// Everything that is due in the background, done here and now.
    pub(crate) fn run_maintenance(&self) -> Result<MaintenanceReport> {
        self.check_writable()?;
        let background = match &*self.running.lock() {
            Some(running) => Arc::clone(&running.background),
            None => return Err(Error::Closed),
        };
        background.run()
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        self.dir.root()
    }

    /// Sub-directories that are no partition's by their names, as they are now. A broker dies of one.
    pub(crate) fn foreign_directories(&self) -> Result<Vec<PathBuf>> {
        catalog::foreign_directories(&self.dir)
    }

    pub(crate) fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// Producers that may hold records in memory.
    pub(crate) fn producers(&self) -> &BufferedProducers {
        &self.producers
    }

    pub(crate) fn topic(self: &Arc<Self>, name: &str) -> Result<Topic> {
        let catalog = self.catalog()?;
        self.refresh()?;
        let entry = catalog.topic(name).ok_or_else(|| Error::not_found("topic", name))?;
        Ok(Topic::new(Arc::clone(self), entry))
    }

    /// The topic of a partition.
    pub(crate) fn topic_of(self: &Arc<Self>, of: &TopicPartition) -> Result<Topic> {
        let catalog = self.catalog()?;
        self.refresh()?;
        Ok(Topic::new(Arc::clone(self), catalog.topic_of(of)?))
    }

    /// Makes topics, all or none.
    pub(crate) fn create_topics(self: &Arc<Self>, wanted: &[(&str, TopicConfig)]) -> Result<Vec<Topic>> {
        self.check_writable()?;
        let made = self.deletions.create(wanted, self.now().as_millis())?;
        Ok(made.into_iter().map(|entry| Topic::new(Arc::clone(self), entry)).collect())
    }

    /// The topic of this name, made if there is none.
    pub(crate) fn ensure_topic(
        self: &Arc<Self>,
        name: &str,
        config: &TopicConfig,
        mismatch: Mismatch,
    ) -> Result<Topic> {
        self.check_open()?;
        self.refresh()?;
        let now = self.now().as_millis();
        Ok(Topic::new(Arc::clone(self), self.deletions.ensure(name, config, mismatch, now)?))
    }

    /// Deletes a topic, and what groups have committed in it.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        self.deletions.delete(name, self.now().as_millis())
    }

    /// Everything appended before the call on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check_writable()?;
        let mut outcome = Ok(());
        for partition in self.catalog()?.partitions() {
            match partition.leader()?.sync() {
                // Deleted since the list was made: nothing of it is to be kept.
                Ok(()) | Err(Error::NotFound { .. }) => {}
                // One that fails is no reason to leave out the others.
                Err(failure) => outcome = outcome.and(Err(failure)),
            }
        }
        // Once it is closed the directory may be another process's.
        let running = self.running.lock();
        if running.is_none() {
            return Err(Error::Closed);
        }
        // What was appended is on disk. That less has to be checked after a crash was not promised.
        let noted = self.catalog.write_recovery_points().and_then(|()| self.dir.sync());
        match noted {
            // The records are where the directory is now, and that was not what was asked for.
            Err(displaced @ Error::Replaced { .. }) => outcome.and(Err(displaced)),
            Err(failure) => {
                self.emit_failed("writing a checkpoint", &failure);
                outcome
            }
            Ok(()) => outcome,
        }
    }

    /// Waits for another snapshot, and for the close with [`Closed`](Error::Closed).
    pub(crate) fn begin_snapshot(&self) -> Result<MutexGuard<'_, ()>> {
        let one = self.snapshots.lock();
        self.check_writable()?;
        Ok(one)
    }

    /// Has done what waited for the end of a snapshot.
    pub(crate) fn end_snapshot(&self) {
        if let Err(failure) = self.catalog.finish_deletions() {
            self.emit_failed("removing what a snapshot has kept", &failure);
        }
        self.schedule_retention();
    }

    /// Writes down how far the log is on disk. If that cannot be done, more has to be checked after a crash.
    pub(crate) fn write_recovery_points(&self) {
        let noted = self.catalog.write_recovery_points().and_then(|()| self.dir.sync());
        if let Err(failure) = noted {
            self.emit_failed("writing a checkpoint", &failure);
        }
    }

    pub(crate) fn disk(&self) -> &Disk {
        self.dir.disk()
    }

    /// As long as the returned guard lives, what this thread writes counts as freeing space in the end.
    pub(crate) fn spend_for_freeing(&self) -> Spending {
        self.dir.disk().spend(Purpose::Freeing)
    }

    /// Has files removed that were deleted.
    pub(crate) fn schedule_retention(&self) {
        self.catalog.schedule_retention();
    }

    /// Has a partition start at an offset, on disk.
    pub(crate) fn advance_log_start(&self, partition: &Arc<Leader>, to: u64) -> Result<()> {
        // Once it is closed the directory may be another process's.
        let running = self.running.lock();
        if running.is_none() {
            return Err(Error::Closed);
        }
        self.catalog.advance_log_starts(&[(Arc::clone(partition), to)])
    }

    /// Idempotent; a second call waits for the first and gets `Ok`.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_process()?;
        self.closing.store(true, Ordering::Release);
        self.idlers.wake_all();
        // A snapshot ends at its next step; it reads files that may be another process's from here on.
        drop(self.snapshots.lock());
        let mut running = self.running.lock();
        if self.is_read_only() {
            self.catalog.partitions().into_iter().try_for_each(|partition| partition.close())?;
        }
        self.tailing.wake();
        let Some(Running { background, threads, presence, _lock: lock }) = running.take() else {
            self.events.end();
            return Ok(());
        };
        let with_threads = threads.is_some();
        if let Some(threads) = threads {
            threads.stop();
        }
        background.end();
        let _spending = self.dir.disk().spend(Purpose::Positions);
        // While what was committed can still be taken back.
        // A clock of the user's that panics must not keep the rest from being done.
        let now = self.clock.now_unless_panicked().as_millis();
        let mut outcome = self.deletions.finish(now);
        let are_ended = self.transactions.close(now);
        outcome = outcome.and(closing::close_all(self.dir.disk(), &self.catalog.partitions(), with_threads));
        outcome = outcome.and(self.catalog.close());
        outcome = outcome.and(self.catalog.write_log_starts());
        outcome = outcome.and(self.catalog.write_cleaned());
        outcome = outcome.and(self.catalog.write_recovery_points());
        if outcome.is_ok() && self.recovery.is_complete() && are_ended {
            let settled = self.dir.sync();
            let text = if self.transactions.are_some_left() { MARKER_OF_COPY } else { MARKER_TEXT };
            outcome = settled.and_then(|()| write_marker(&self.dir, text));
        }
        presence.end(self.dir.disk());
        drop(lock);
        self.producers.report_closed();
        self.events.end();
        outcome
    }
}

/// Says that everything in a copy is exact and on disk. Transactions may be open in it.
pub(crate) fn write_clean_marker(dir: &LogDir) -> Result<()> {
    write_marker(dir, MARKER_OF_COPY)
}

fn write_marker(dir: &LogDir, text: &[u8]) -> Result<()> {
    dir.disk().replace(&dir.path(CLEAN_MARKER), text)?;
    dir.sync()
}

impl OpenDirectory {
    /// Forgets, in a child, what belongs to the parent: threads that there are none of here, locks, and channels whose
    /// ends would wake those threads.
    fn leave_to_the_parent(&mut self) {
        std::mem::forget(self.running.get_mut().take());
        // One more that hold them than there ever will be: the last one to go drops nothing.
        std::mem::forget((Arc::clone(&self.catalog), Arc::clone(&self.groups), self.events.clone()));
        std::mem::forget(Arc::clone(&self.transactions));
        self.producers.forget();
        self.tailing.forget();
    }
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            return self.leave_to_the_parent();
        }
        // There is no caller to report to; an unclean directory is recovered at the next open.
        let _ = self.close();
    }
}
