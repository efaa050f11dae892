//! A producer that collects records into batches.
//!
//! The batches belong to the owner and, for those that have waited long enough, to the preallocation thread: one lock, which
//! no other thread ever takes. What becomes of a batch, [`pending`](super::pending) says.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Producer;
use super::pending::{Pending, Target, Terms};
use super::record::Record;
use super::stamp::Stamp;
use crate::background::Lingering;
use crate::catalog::TopicEntry;
use crate::clock::{LogClock, Moment, Timestamp};
use crate::config::Durability;
use crate::directory::Topic;
use crate::error::{Error, Result};
use crate::events::Event;

/// Collects records into batches and writes each when it is full, when it has lingered, or at
/// [`flush`](Self::flush).
///
/// For one thread, which gets every error of its records. A record counts as written when `flush` has returned `Ok`;
/// records that are only enqueued die with the process. Dropping flushes; close with `flush` to see errors. Records that are
/// still enqueued when the log is closed are lost: [`Event::RecordsDropped`](crate::Event::RecordsDropped) says how many.
///
/// ```
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let clicks = log.create_topic("clicks", TopicConfig::new())?;
/// let mut producer = log.producer()?.buffered();
/// for n in 0..1000u32 {
///     producer.enqueue(&clicks, Record::new(&n.to_be_bytes()))?;
/// }
/// producer.flush()?;
/// assert_eq!(clicks.partition(0)?.offsets()?.log_end, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BufferedProducer {
    producer: Producer,
    shared: Arc<Shared>,
}

impl fmt::Debug for BufferedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// What the owner shares with the preallocation thread.
#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    /// For the preallocation thread, which must not keep the directory.
    clock: LogClock,
    durability: Durability,
}

impl BufferedProducer {
    pub(super) fn new(producer: Producer) -> Self {
        let (durability, linger) = (producer.config.durability, producer.config.linger);
        let linger = Some(linger).filter(|_| producer.directory.has_threads());
        let stamp = Stamp::new(linger, producer.directory.clock());
        let pending = Pending::new(&producer.config, stamp, producer.directory.announcer());
        let (clock, pending) = (producer.directory.clock().clone(), Mutex::new(pending));
        let shared = Arc::new(Shared { pending, clock, durability });
        let weak = Arc::downgrade(&shared);
        producer.directory.producers().register(weak);
        Self { producer, shared }
    }

    /// Takes a record into its partition's batch, writing that batch first if it is full. On an error the record was
    /// not taken, and no other was lost.
    ///
    /// A record that [`send`](Producer::send) would refuse as too large is refused here. One that is small enough for its
    /// topic only when it is compressed is written by this call: nothing else shows whether it is.
    #[inline]
    pub fn enqueue(&mut self, topic: &Topic, record: Record<'_>) -> Result<()> {
        let producer = &self.producer;
        producer.check_topic(topic)?;
        record.check(topic.entry().rules().compacts())?;
        let (partition, log) = producer.choose(topic, &record)?;
        if log.has_ended() {
            log.refuse_ended()?;
        }
        let to = Target { entry: topic.entry(), partition, log };
        let pending = &mut *self.shared.pending.lock();
        if pending.log_has_closed {
            return Err(Error::Closed);
        }
        if record.wanted_timestamp().is_none() {
            let now = pending.stamp.take(producer.directory.clock()).as_millis();
            if pending.take_usual(to, &record.fields(), now, producer.config.enqueued_bytes()) {
                return Ok(());
            }
        }
        self.take(pending, to, &record)
    }

    /// As [`enqueue`](Self::enqueue), whatever the record and the state of its batch.
    #[inline(never)]
    fn take(&self, pending: &mut Pending, to: Target<'_>, record: &Record<'_>) -> Result<()> {
        let producer = &self.producer;
        if pending.bytes() > producer.config.enqueued_bytes() {
            pending.write_where(producer.terms(), false, |_| true)?;
        }
        let timestamp = pending.timestamp_of(record, to.entry, producer.directory.clock())?.as_millis();
        let began = pending.take(to, &record.fields(), timestamp, producer)?;
        if let Some(due) = began.filter(|_| !pending.registered) {
            let shared = Arc::downgrade(&self.shared);
            // Without the thread the log is being closed, and a flush will say so.
            pending.registered = producer.directory.producers().write_after((due, shared));
        }
        if pending.bytes() > producer.config.enqueued_bytes() {
            // This record was taken; if something cannot be written, the next call says so.
            let _ = pending.write_where(producer.terms(), false, |_| true);
        }
        Ok(())
    }

    /// Writes all batches; with [`Durability::Synced`] returns when all that was enqueued is on disk. On an error
    /// those that could not be written stay pending; the others are in the log.
    ///
    /// A batch that has become too large for its topic, because the topic's settings changed, is written in parts.
    ///
    /// # Errors
    /// [`RecordsDropped`](crate::Error::RecordsDropped) names a record that cannot be written even alone any more, and
    /// `NotFound` a topic that was deleted. Those records are dropped, by this call or before it while they lingered; each
    /// loss is an error of one flush, and an [`Event::RecordsDropped`](crate::Event::RecordsDropped) when it happens. The
    /// next flush continues with what is left.
    pub fn flush(&mut self) -> Result<()> {
        self.producer.directory.check_process()?;
        let terms = self.producer.terms();
        let (written, lost, unsynced) = {
            let pending = &mut *self.shared.pending.lock();
            let written = pending.write_where(terms, false, |_| true);
            (written, pending.take_losses(), pending.take_unsynced())
        };
        // Every partition is brought as far as it goes; the first failure is reported. A loss comes before failures that the
        // next flush meets again.
        let outcome = lost.map_or(written, Err);
        unsynced.into_iter().fold(outcome, |outcome, (log, end)| {
            outcome.and(log.leader().and_then(|leader| leader.await_durable(end)))
        })
    }

    /// Records that are enqueued and not in the log yet.
    pub fn pending(&self) -> usize {
        if self.producer.directory.check_process().is_err() {
            // They are the parent's.
            return 0;
        }
        self.shared.pending.lock().records()
    }

    /// Drops the records that are not in the log yet and reports how many they were.
    pub fn discard(&mut self) -> usize {
        if self.producer.directory.check_process().is_err() {
            return 0;
        }
        self.shared.pending.lock().discard()
    }
}

impl Drop for BufferedProducer {
    fn drop(&mut self) {
        // A panic of a clock of the user's must not leave a drop.
        let flush = |producer: &mut Self| catch_unwind(AssertUnwindSafe(|| producer.flush()));
        let mut flushed = flush(self);
        let records = self.pending();
        if records > 0 && matches!(flushed, Ok(Err(Error::RecordsDropped(_) | Error::NotFound { .. }))) {
            // That was about others, and is reported already.
            flushed = flush(self);
        }
        let failure = match flushed {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => "a panic in the log's clock kept them from being written".to_owned(),
        };
        if records > 0 {
            self.producer.directory.emit(|| Event::RecordsDropped { records, failure: failure.into() });
        }
    }
}

impl Producer {
    pub(super) fn terms(&self) -> Terms {
        Terms { level: self.config.durability, now: self.directory.now() }
    }
}

impl Shared {
    fn terms(&self) -> Terms {
        Terms { level: self.durability, now: self.clock.now() }
    }
}

impl Lingering for Shared {
    fn write_overdue(&self, now: Moment) -> Option<Moment> {
        /// A batch that could not be written is tried again, but not all the time.
        const MIN_RETRY: Duration = Duration::from_millis(10);
        let pending = &mut *self.pending.lock();
        let failed = pending.write_where(self.terms(), true, |batch| batch.is_due(now)).is_err();
        let next = pending.next_due();
        pending.registered = next.is_some();
        let soonest = if failed { now.after(MIN_RETRY) } else { None };
        next.map(|next| soonest.map_or(next, |soonest| next.max(soonest)))
    }

    fn log_has_closed(&self) {
        self.pending.lock().report_closed();
    }
}

impl Pending {
    /// The record's own time, which its topic must take, or the time now.
    #[inline]
    fn timestamp_of(
        &mut self,
        record: &Record<'_>,
        topic: &TopicEntry,
        clock: &LogClock,
    ) -> Result<Timestamp> {
        let now = self.stamp.take(clock);
        match record.wanted_timestamp() {
            None => Ok(now),
            Some(at) if topic.rules().takes_timestamp(at, now) => Ok(at),
            // By the clock itself: what was read before may be a little old.
            Some(at) => topic.rules().check_timestamp(at, clock.now(), topic.name()).map(|()| at),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    use crate::catalog::TopicEntry;
    use crate::clock::{ManualClock, Timestamp};
    use crate::config::{Durability, TopicConfig};
    use crate::directory::Maintenance;
    use crate::event_log::EventLog;
    use crate::producer::{ProducerConfig, Record};

    fn open() -> (tempfile::TempDir, EventLog, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.open(dir.path()).unwrap();
        (dir, log, clock)
    }

    #[test]
    fn producers_keep_nothing_of_deleted_topics() {
        let (_dir, log, clock) = open();
        let lives = log.create_topic("lives", TopicConfig::new()).unwrap();
        let producer = log.producer().unwrap();
        for durability in [Durability::Buffered, Durability::Synced] {
            let config = ProducerConfig::new().linger(Duration::from_secs(1)).durability(durability);
            let mut buffered = log.producer_with(config).unwrap().buffered();
            let mut entries: Vec<Weak<TopicEntry>> = Vec::new();
            for n in 0..40 {
                let name = format!("t{n}");
                let topic = log.create_topic(&name, TopicConfig::new().partitions(2)).unwrap();
                producer.send(&topic, Record::new("x")).unwrap();
                buffered.enqueue(&topic, Record::new("x")).unwrap();
                buffered.enqueue(&lives, Record::new("x")).unwrap();
                match n % 3 {
                    0 => buffered.flush().unwrap(),
                    // Its time has come, without a flush.
                    1 => {
                        clock.advance(Duration::from_secs(2));
                        log.run_maintenance().unwrap();
                    }
                    // Dropped with its topic.
                    _ => {}
                }
                log.delete_topic(&name).unwrap();
                entries.push(Arc::downgrade(topic.entry()));
                // What lingers, with topics that are gone, is looked through by each write.
                assert!(buffered.shared.pending.lock().topics() <= 4, "{n}");
                if n % 3 == 2 {
                    buffered.flush().unwrap_err();
                    buffered.flush().unwrap();
                    assert_eq!(buffered.shared.pending.lock().topics(), 1);
                }
            }
            buffered.flush().unwrap();
            assert_eq!(buffered.shared.pending.lock().topics(), 1);
            // Their files go after a delay.
            clock.advance(Duration::from_secs(3600));
            log.run_maintenance().unwrap();
            let kept = entries.iter().filter(|entry| entry.strong_count() > 0).count();
            assert_eq!(kept, 0, "of {}", entries.len());
        }
    }

    #[test]
    fn topics_that_are_only_ever_enqueued_to_are_forgotten_too() {
        let (_dir, log, _clock) = open();
        // Each record is a batch of its own, written when the next one comes.
        let config = ProducerConfig::new().linger(Duration::MAX).batch_bytes(1);
        let mut buffered = log.producer_with(config).unwrap().buffered();
        let mut most = 0;
        for n in 0..100 {
            let name = format!("t{n}");
            let topic = log.create_topic(&name, TopicConfig::new()).unwrap();
            buffered.enqueue(&topic, Record::new("x")).unwrap();
            buffered.discard();
            log.delete_topic(&name).unwrap();
            most = most.max(buffered.shared.pending.lock().topics());
        }
        assert!(most <= 17, "{most}");
    }
}
