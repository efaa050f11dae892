//! What happens in the background of a log, sent to listeners.
//!
//! Each listener has a bounded queue of its own. The thread that emits an event never waits: what does not fit is counted, and
//! the listener learns how much it missed. Without listeners, emitting costs one load.
//!
//! There is no listener while a log is being opened. What happens then is kept, as much as a queue holds, for the first
//! listener.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::error::AbortCause;
use crate::position::TopicPartition;

/// Events one listener may leave waiting.
const QUEUE: usize = 1024;

/// Something that happened in the background of a log: [`EventLog::events`](crate::EventLog::events).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A partition has begun a new segment.
    SegmentRolled {
        /// The partition.
        partition: TopicPartition,
        /// The new segment's first offset.
        base_offset: u64,
    },
    /// Appends to a partition wait for an fsync, because the device is slower than they are: twice as many bytes are unsynced
    /// as [`OpenOptions::background_sync`](crate::OpenOptions::background_sync) allows. Reported each time that an append has
    /// to wait while no other one waits.
    AppendsStalled {
        /// The partition.
        partition: TopicPartition,
        /// Bytes that are not fsynced.
        unsynced: u64,
    },
    /// Old segments of a partition were deleted: by retention, or because their records were.
    SegmentsDeleted {
        /// The partition.
        partition: TopicPartition,
        /// How many.
        segments: usize,
        /// The bytes of records in them.
        bytes: u64,
        /// Where the partition begins now.
        log_start: u64,
    },
    /// A compaction run over a partition has ended.
    PartitionCompacted {
        /// The partition.
        partition: TopicPartition,
        /// All records below this offset were compacted.
        end: u64,
        /// The number of segments before.
        segments_before: usize,
        /// The number of segments that replaced them.
        segments_after: usize,
        /// The bytes of the segments before.
        bytes_before: u64,
        /// The bytes of the segments that replaced them.
        bytes_after: u64,
    },
    /// A partition is not compacted, because something in it is damaged, or cannot be read or understood here. Nothing in it
    /// was changed by that. It is tried again when its segments have changed.
    CompactionRefused {
        /// The partition.
        partition: TopicPartition,
        /// The reason, in words.
        reason: Box<str>,
    },
    /// A segment was deleted while a caller holds records of it: its bytes leave the device when they are dropped.
    SegmentPinned {
        /// The partition.
        partition: TopicPartition,
        /// The segment's first offset.
        base_offset: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// A write or fsync failed: the partition refuses appends until the log is reopened.
    PartitionPoisoned {
        /// The partition.
        partition: TopicPartition,
        /// The failure, in words.
        failure: Box<str>,
    },
    /// A topic was created or altered with a setting that has no effect here. It is recorded for a broker that takes the
    /// directory over.
    SettingWithoutEffect {
        /// The topic's name.
        topic: Box<str>,
        /// The setting's Kafka name.
        setting: &'static str,
        /// Why it changes nothing.
        reason: &'static str,
    },
    /// Records that a buffered producer had taken are lost: their topic was deleted, they have become too large for it, the
    /// log was closed before they were written, or the producer was dropped and could not write what it still held.
    RecordsDropped {
        /// How many records are lost.
        records: usize,
        /// The failure, in words.
        failure: Box<str>,
    },
    /// A batch of a buffered producer has lingered and could not be written. Its records stay pending, and unless the
    /// partition takes none any more they are tried again until they are written or discarded. Reported once for each
    /// failure, not for each trial.
    BatchNotWritten {
        /// The partition.
        partition: TopicPartition,
        /// The records in the batch.
        records: usize,
        /// The failure, in words.
        failure: Box<str>,
    },
    /// Something that is done again later did not succeed: a checkpoint, an index, the removal of a file, what follows from
    /// the deletion of a topic, whatever needs the time while the log's clock panics.
    MaintenanceFailed {
        /// What was attempted.
        task: &'static str,
        /// The failure, in words.
        failure: Box<str>,
    },
    /// Bytes that were cut off a partition were kept in a file of their own, since records may be among them: those after
    /// a hole, a whole segment after a cut, or a segment of a compaction that is not complete.
    TruncatedBytesKept {
        /// The partition.
        partition: TopicPartition,
        /// The file they are in.
        path: PathBuf,
    },
    /// A partition lacks the records of these offsets.
    RecordsMissing {
        /// The partition.
        partition: TopicPartition,
        /// The offsets.
        offsets: Range<u64>,
        /// The partition was compacted, or may have been, so they are lost only if no compaction took them out; readers pass
        /// over them. `false`: they are lost, and reading stops there with `Corrupt`.
        maybe_compacted: bool,
    },
    /// An index or a snapshot of producers did not agree with the batches it was made from. The call that used it was answered
    /// from the batches; the file was rebuilt from them.
    IndexRebuilt {
        /// The partition.
        partition: TopicPartition,
        /// The file that was wrong.
        path: PathBuf,
        /// What was wrong.
        reason: Box<str>,
    },
    /// A checkpoint could not be read: it counts as missing. `docs/durability.md` says what that means for each.
    CheckpointUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// Retention by age keeps a segment, and all that come after it, only because of a record with a timestamp in the
    /// future. Reported once for each such segment.
    KeptByFutureTimestamp {
        /// The partition.
        partition: TopicPartition,
        /// The segment's first offset.
        base_offset: u64,
        /// The largest timestamp of its records.
        timestamp: Timestamp,
    },
    /// A member of a group did not poll within its [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval), and
    /// its partitions go to others.
    MemberEvicted {
        /// The group's name.
        group: Box<str>,
        /// The member's id.
        member: Box<str>,
    },
    /// Partitions have waited ten seconds for this member to poll: to be released to others, or to be read by it, also if
    /// it has subscribed and never polled. The polls of other members notice it.
    MemberNotPolling {
        /// The group's name.
        group: Box<str>,
        /// The member's id.
        member: Box<str>,
    },
    /// A record of `__consumer_offsets` was damaged and is left out: the group continues at its commit before it.
    CommitSkipped {
        /// The partition of `__consumer_offsets`.
        partition: TopicPartition,
        /// The record's offset there, or the first of more than one.
        offset: u64,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// A record of `__transaction_state` was damaged, or has a version that is not known: of its transactional id nothing is known
    /// until that is removed, and where the id cannot be read either, what is known of others may be out of date.
    TransactionStateSkipped {
        /// The partition of `__transaction_state`.
        partition: TopicPartition,
        /// The record's offset there, or the first of more than one.
        offset: u64,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// After an unclean stop, a committed offset was past the end of its partition: it was lowered to the end, where the group
    /// continues.
    CommitLowered {
        /// The group.
        group: Box<str>,
        /// The partition.
        partition: TopicPartition,
        /// What was committed.
        from: u64,
        /// The partition's end, which is committed now.
        to: u64,
    },
    /// A transaction was aborted that its producer did not abort itself.
    TransactionAborted {
        /// The transactional id.
        id: Box<str>,
        /// Why.
        cause: AbortCause,
    },
    /// When the log was opened there were transactions that no producer could end any more: those that were decided got their
    /// markers, the others were aborted.
    TransactionsDecided {
        /// Transactions of which at least one partition got the marker that commits them.
        committed: usize,
        /// Transactions that were aborted.
        aborted: usize,
    },
    /// When the log was opened a transaction was open, and what would decide it cannot be read. Readers of committed records wait
    /// before it.
    TransactionUndecided {
        /// The partition.
        partition: TopicPartition,
        /// Where it begins there.
        first_offset: u64,
    },
    /// A transaction counts of which a part was lost: its records were not fsynced when the power failed, and its producer had not
    /// asked for that. What is left of it is there.
    TransactionTorn {
        /// The transactional id.
        id: Box<str>,
        /// A partition in which records of it are missing.
        partition: TopicPartition,
        /// The log end offset of the partition.
        log_end: u64,
        /// Where the transaction's records had ended there.
        expected_end: u64,
    },
    /// A transaction is decided, and a partition could not get its marker. Readers of committed records wait before it. It is tried
    /// again, at the next open at the latest.
    MarkersPending {
        /// The transactional id.
        id: Box<str>,
        /// The failure, in words.
        failure: Box<str>,
    },
    /// So many events were not reported because this listener did not take the ones before.
    Missed(u64),
}

/// What happens in the background of a log, from the call of [`EventLog::events`](crate::EventLog::events) on. The first
/// listener of a log also gets the events of its opening.
///
/// Keeps the log neither open nor waiting: up to 1,024 events are held, then [`Event::Missed`] counts. As an iterator
/// it waits for the next event and ends when the log is closed.
///
/// ```
/// use stratalog::EventLog;
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let events = log.events();
/// assert_eq!(events.try_next(), None);
/// log.close()?;
/// assert_eq!(events.into_iter().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Events {
    queue: Receiver<Event>,
    missed: Arc<AtomicU64>,
}

/// The emitting side. Cloned into the modules where things happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcer(Arc<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    /// As many as `present` has, and one more while events are kept: for a look without the lock.
    count: AtomicUsize,
    ended: AtomicBool,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    listeners: Vec<Listener>,
    /// What happened while the log was opened, for the first listener.
    kept: Vec<Event>,
    /// What did not fit there.
    not_kept: u64,
    keeps: bool,
}

impl Present {
    fn count(&self) -> usize {
        self.listeners.len() + usize::from(self.keeps)
    }
}

#[derive(Debug)]
struct Listener {
    queue: Sender<Event>,
    missed: Arc<AtomicU64>,
}

impl Announcer {
    /// A new listener.
    pub(crate) fn listen(&self) -> Events {
        let (queue, events) = bounded(QUEUE);
        let mut present = self.0.present.lock();
        let missed = Arc::new(AtomicU64::new(std::mem::take(&mut present.not_kept)));
        for event in std::mem::take(&mut present.kept) {
            // As many were kept as fit.
            let _ = queue.try_send(event);
        }
        // After the end the queue is left without a sender: the listener sees its end at once.
        if !self.0.ended.load(Ordering::Relaxed) {
            present.listeners.push(Listener { queue, missed: Arc::clone(&missed) });
            present.keeps = false;
            self.0.count.store(present.count(), Ordering::Relaxed);
        }
        Events { queue: events, missed }
    }

    /// Sends an event to every listener.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let event = event();
        let mut present = self.0.present.lock();
        if present.keeps {
            if present.kept.len() < QUEUE {
                present.kept.push(event.clone());
            } else {
                present.not_kept += 1;
            }
        }
        present.listeners.retain(|listener| match listener.queue.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                listener.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        self.0.count.store(present.count(), Ordering::Relaxed);
    }

    /// From here on what is reported is kept for the first listener as well, until [`opened`](Self::opened).
    pub(crate) fn begin_opening(&self) {
        let mut present = self.0.present.lock();
        present.keeps = true;
        self.0.count.store(present.count(), Ordering::Relaxed);
    }

    /// The log is open: those who want events listen.
    pub(crate) fn opened(&self) {
        let mut present = self.0.present.lock();
        present.keeps = false;
        self.0.count.store(present.count(), Ordering::Relaxed);
    }

    /// Nothing more will be reported.
    pub(crate) fn end(&self) {
        let mut present = self.0.present.lock();
        self.0.ended.store(true, Ordering::Relaxed);
        present.listeners.clear();
        present.keeps = false;
        self.0.count.store(0, Ordering::Relaxed);
    }
}

impl Events {
    /// The next event, if one has happened.
    pub fn try_next(&self) -> Option<Event> {
        match self.queue.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.take_missed(),
        }
    }

    /// The next event, waiting up to `timeout` for it. `None` at once when the log is closed.
    pub fn next_timeout(&self, timeout: Duration) -> Option<Event> {
        if let Some(event) = self.try_next() {
            return Some(event);
        }
        let received = match Instant::now().checked_add(timeout) {
            Some(deadline) => self.queue.recv_deadline(deadline),
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        received.ok().or_else(|| self.take_missed())
    }

    /// What was missed comes after what was kept: it happened later.
    fn take_missed(&self) -> Option<Event> {
        match self.missed.swap(0, Ordering::Relaxed) {
            0 => None,
            missed => Some(Event::Missed(missed)),
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.next_timeout(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Announcer, Event, QUEUE};

    fn event(bytes: usize) -> Event {
        Event::RecordsDropped { records: bytes, failure: "full".into() }
    }

    #[test]
    fn a_slow_listener_learns_how_much_it_missed() {
        let announcer = Announcer::default();
        let events = announcer.listen();
        for n in 0..QUEUE + 3 {
            announcer.emit(|| event(n));
        }
        let kept: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(kept.len(), QUEUE + 1);
        assert_eq!(kept.last(), Some(&Event::Missed(3)));
        announcer.emit(|| event(7));
        assert_eq!(events.try_next(), Some(event(7)));
    }

    #[test]
    fn the_first_listener_gets_what_opening_had_to_tell() {
        let announcer = Announcer::default();
        announcer.begin_opening();
        for n in 0..QUEUE + 2 {
            announcer.emit(|| event(n));
        }
        announcer.opened();
        announcer.emit(|| unreachable!("no listener yet"));
        let (first, second) = (announcer.listen(), announcer.listen());
        let reported: Vec<_> = std::iter::from_fn(|| first.try_next()).collect();
        assert_eq!(
            (reported.len(), reported.first(), reported.last()),
            (QUEUE + 1, Some(&event(0)), Some(&Event::Missed(2)))
        );
        assert_eq!(second.try_next(), None);
    }

    #[test]
    fn listeners_come_and_continue_their_own() {
        let announcer = Announcer::default();
        announcer.emit(|| unreachable!("no listener"));
        let (first, second) = (announcer.listen(), announcer.listen());
        announcer.emit(|| event(1));
        drop(first);
        announcer.emit(|| event(2));
        announcer.end();
        announcer.emit(|| unreachable!("no listener any more"));
        assert_eq!(second.collect::<Vec<_>>(), [event(1), event(2)]);
        assert_eq!(announcer.listen().count(), 0);
    }
}
