//! The batches of a buffered producer that are not written yet.
//!
//! | a batch | what becomes of it |
//! |---|---|
//! | is written | its records are in the log, in the order in which they were enqueued |
//! | is too large for its topic as it is now | it is written in parts; a record that is too large alone is dropped |
//! | is of a topic that was deleted | its records are dropped |
//! | cannot be written for now, or until the log is opened anew | it stays as it is |
//!
//! What is dropped is an event at once, and an error of the next flush.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use super::stamp::Stamp;
use super::topics::Topics;
use super::{KEEP_BYTES, Producer, ProducerConfig, check_size, write_batch};
use crate::catalog::TopicEntry;
use crate::clock::{Moment, Timestamp};
use crate::config::{Compression, Durability};
use crate::error::{DroppedRecords, Error, Result};
use crate::events::{Announcer, Event};
use crate::format::batch::BatchBuilder;
use crate::format::compression::Encoding;
use crate::format::record::RecordFields;
use crate::partition::PartitionLog;

/// How batches are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) level: Durability,
    /// The time of appending.
    pub(super) now: Timestamp,
}

/// Batches by topic and partition.
#[derive(Debug)]
pub(super) struct Pending {
    topics: Topics,
    /// In all batches.
    held: BufferedSize,
    pub(super) stamp: Stamp,
    /// Whether the preallocation thread will write these.
    pub(super) registered: bool,
    /// No more is taken.
    pub(super) log_has_closed: bool,
    /// Records that were taken since the producer was made.
    taken: u64,
    /// The producer's own setting.
    compression: Compression,
    losses: Losses,
}

#[derive(Debug, Clone, Copy, Default)]
struct BufferedSize {
    bytes: usize,
    records: usize,
}

impl BufferedSize {
    /// A batch that held so much holds something else now.
    #[inline]
    fn change(&mut self, before: Self, after: Self) {
        self.bytes = self.bytes + after.bytes - before.bytes;
        self.records = self.records + after.records - before.records;
    }
}

#[derive(Debug, Default)]
pub(super) struct PendingBatch {
    builder: BatchBuilder,
    /// Which of the records that were taken the first of these is, and how much later each is than that one.
    first: u64,
    later: Vec<u32>,
    room: Room,
    /// When to write it if nothing else does.
    due: Option<Moment>,
    /// The end of what was written and has to be on disk before a flush returns.
    unsynced: Option<u64>,
    /// The failure of its lingering that was reported last.
    reported: Option<Discriminant<Error>>,
}

/// Bytes to which a batch may grow, under settings as they were when the last record was taken with a look at them.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    full: usize,
    under: Conditions,
}

/// The settings that decide about it, each of which may change at any time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    encoding: u64,
    max_batch_bytes: u32,
}

impl Conditions {
    #[inline(always)]
    fn now(entry: &TopicEntry, log: &PartitionLog) -> Self {
        Self { encoding: entry.rules().encoding_word(), max_batch_bytes: log.max_batch_bytes() }
    }
}

/// Records that were dropped.
#[derive(Debug)]
struct Losses {
    events: Announcer,
    /// What the next flush says of them.
    unreported: Option<Error>,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) entry: &'t Arc<TopicEntry>,
    pub(super) partition: u32,
    pub(super) log: &'t Arc<PartitionLog>,
}

impl Pending {
    pub(super) fn new(config: &ProducerConfig, stamp: Stamp, events: Announcer) -> Self {
        let compression = config.compression;
        let losses = Losses { events, unreported: None };
        Self {
            topics: Topics::default(),
            held: BufferedSize::default(),
            stamp,
            registered: false,
            log_has_closed: false,
            taken: 0,
            compression,
            losses,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.held.bytes
    }

    pub(super) fn records(&self) -> usize {
        self.held.records
    }

    #[cfg(test)]
    pub(super) fn topics(&self) -> usize {
        self.topics.count()
    }

    /// Takes a record as nearly all are: a usual one, into a batch that was begun and has room for it, under settings that are what
    /// they were then. `false`: nothing was taken, and [`take`](Self::take) finds out about it.
    #[inline(always)]
    pub(super) fn take_usual(
        &mut self,
        Target { entry, partition, log }: Target<'_>,
        record: &RecordFields<'_>,
        timestamp: i64,
        buffer_bytes: usize,
    ) -> bool {
        let Some(batch) = self.topics.latest_batch(entry, partition) else { return false };
        if batch.builder.is_empty() || batch.room.under != Conditions::now(entry, log) {
            return false;
        }
        let before = batch.builder.bytes();
        let left = buffer_bytes.saturating_sub(self.held.bytes);
        if !batch.builder.push_usual(record, timestamp, batch.room.full.min(before.saturating_add(left))) {
            return false;
        }
        self.held.bytes += batch.builder.bytes() - before;
        self.held.records += 1;
        batch.later.push(u32::try_from(self.taken - batch.first).unwrap_or(u32::MAX));
        self.taken += 1;
        true
    }

    /// Takes a record into its partition's batch, which is written first if it is full. `Some`: the batch has begun with
    /// this record, and is to be written then if nothing else does it before. On an error the record was not taken.
    #[inline]
    pub(super) fn take(
        &mut self,
        Target { entry, partition, log }: Target<'_>,
        record: &RecordFields<'_>,
        timestamp: i64,
        producer: &Producer,
    ) -> Result<Option<Moment>> {
        let under = Conditions::now(entry, log);
        let encoding = entry.rules().encoding(self.compression)?;
        let limits = log.batch_limits();
        let full = producer.config.batch_bytes.min(encoding.fullest_batch(limits));
        let batch = self.topics.batch_of(entry, partition);
        let mut measured = batch.builder.measure(record, timestamp);
        if batch.builder.bytes_with(&measured) > full && !batch.builder.is_empty() {
            let before = batch.held();
            let written = batch.write(entry, log, encoding, producer.terms(), &mut self.losses);
            self.held.change(before, batch.held());
            self.stamp.forget();
            written?;
            measured = batch.builder.measure(record, timestamp);
        }
        check_size(batch.builder.bytes_with(&measured), encoding, log)?;
        let before = batch.held();
        batch.builder.push(record, measured, timestamp);
        batch.room = Room { full, under };
        if batch.builder.bytes() > limits.written {
            // Compressed it may fit, and only writing it shows whether it does.
            let outcome = batch.put(entry, log, encoding, producer.terms());
            batch.forget_records();
            self.taken += u64::from(outcome.is_ok());
            return outcome.map(|()| None);
        }
        if before.records == 0 {
            batch.first = self.taken;
            batch.due = producer.directory.moment().after(producer.config.linger);
        }
        batch.later.push(u32::try_from(self.taken - batch.first).unwrap_or(u32::MAX));
        self.taken += 1;
        self.held.change(before, batch.held());
        Ok(batch.due.filter(|_| before.records == 0))
    }

    /// Writes the batches that are wanted, each as far as it goes; the first failure is returned. `lingering`: no caller is
    /// there to return it to.
    pub(super) fn write_where(
        &mut self,
        terms: Terms,
        lingering: bool,
        wanted: impl Fn(&PendingBatch) -> bool,
    ) -> Result<()> {
        let mut outcome = Ok(());
        self.stamp.forget();
        let Self { topics, held, losses, compression, .. } = self;
        for topic in &mut topics.all {
            let logs = topic.entry.partitions().iter();
            for (batch, log) in topic.batches.iter_mut().zip(logs) {
                if batch.builder.is_empty() || !wanted(batch) {
                    continue;
                }
                let before = batch.held();
                let encoding = topic.entry.rules().encoding(*compression);
                let written = encoding
                    .and_then(|encoding| batch.write(&topic.entry, log, encoding, terms, losses))
                    .inspect_err(|failure| batch.failed(failure, log, lingering.then_some(&losses.events)));
                held.change(before, batch.held());
                outcome = outcome.and(written);
            }
        }
        topics.forget_deleted();
        outcome
    }

    /// When the next batch has lingered long enough.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.topics.all.iter().flat_map(|topic| &topic.batches).filter_map(|batch| batch.due).min()
    }

    /// What was dropped since this was asked last.
    pub(super) fn take_losses(&mut self) -> Option<Error> {
        self.losses.unreported.take()
    }

    /// What was written and is to be synced before a flush returns.
    pub(super) fn take_unsynced(&mut self) -> Vec<(Arc<PartitionLog>, u64)> {
        let topics = self.topics.all.iter_mut();
        let batches = topics.flat_map(|topic| topic.batches.iter_mut().zip(topic.entry.partitions().iter()));
        let unsynced = batches.filter_map(|(batch, log)| Some((Arc::clone(log), batch.unsynced.take()?)));
        let unsynced = unsynced.collect();
        self.topics.forget_deleted();
        unsynced
    }

    /// Takes nothing more, and reports what can never be written.
    pub(super) fn report_closed(&mut self) {
        self.log_has_closed = true;
        let records = self.records();
        if records > 0 {
            self.losses
                .events
                .emit(|| Event::RecordsDropped { records, failure: Error::Closed.to_string().into() });
        }
    }

    /// Forgets all records and reports how many they were.
    pub(super) fn discard(&mut self) -> usize {
        for batch in self.topics.all.iter_mut().flat_map(|topic| &mut topic.batches) {
            *batch = PendingBatch { unsynced: batch.unsynced, ..PendingBatch::default() };
        }
        self.stamp.forget();
        std::mem::take(&mut self.held).records
    }
}

impl PendingBatch {
    /// Nothing is to be done for it.
    pub(super) fn is_idle(&self) -> bool {
        self.builder.is_empty() && self.unsynced.is_none()
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    #[inline]
    fn held(&self) -> BufferedSize {
        let bytes = if self.builder.is_empty() { 0 } else { self.builder.bytes() };
        BufferedSize { bytes, records: self.builder.records() as usize }
    }

    fn forget_records(&mut self) {
        self.builder.clear(KEEP_BYTES);
        self.later.clear();
        self.due = None;
        self.reported = None;
    }

    /// Brings the batch into the log. `Ok`: nothing of it is pending any more, but some may be lost.
    fn write(
        &mut self,
        topic: &TopicEntry,
        log: &Arc<PartitionLog>,
        encoding: Encoding,
        terms: Terms,
        losses: &mut Losses,
    ) -> Result<()> {
        let outcome = match self.put(topic, log, encoding, terms) {
            Err(Error::TooLarge { .. }) => self.write_in_parts(topic, log, encoding, terms, losses),
            outcome => outcome,
        };
        match outcome {
            Err(gone @ Error::NotFound { .. }) => losses.record(self.later.len(), gone),
            outcome => outcome?,
        }
        self.forget_records();
        Ok(())
    }

    /// In the log, but no sync is waited for: a lingering batch is written by a thread that must not.
    fn put(
        &mut self,
        topic: &TopicEntry,
        log: &Arc<PartitionLog>,
        encoding: Encoding,
        terms: Terms,
    ) -> Result<()> {
        let append_time = topic.rules().log_append_time().then(|| terms.now.as_millis());
        self.builder.set_append_time(append_time);
        let offsets = write_batch(&mut self.builder, log, None, encoding, terms.level)?;
        if matches!(terms.level, Durability::Synced) {
            self.unsynced = Some(offsets.end);
        }
        Ok(())
    }

    /// Brings a batch that is too large into the log in as few parts as a few trials show. Where it cannot continue, what is
    /// left is the batch.
    #[cold]
    fn write_in_parts(
        &mut self,
        topic: &TopicEntry,
        log: &Arc<PartitionLog>,
        encoding: Encoding,
        terms: Terms,
        losses: &mut Losses,
    ) -> Result<()> {
        let whole = std::mem::take(&mut self.builder);
        let places = whole.places();
        let (mut done, mut most, mut dropped) = (0, places.len().div_ceil(2), Vec::new());
        let fill = |builder: &mut BatchBuilder, from: usize, most: usize| {
            builder.clear(KEEP_BYTES);
            places.iter().skip(from).take(most).for_each(|placed| builder.push_record_of(&whole, placed));
        };
        let outcome = loop {
            fill(&mut self.builder, done, most);
            let count = self.builder.records() as usize;
            if count == 0 {
                break Ok(());
            }
            match self.put(topic, log, encoding, terms) {
                Ok(()) => {
                    done += count;
                    most = count.saturating_mul(2);
                }
                Err(Error::TooLarge { .. }) if count > 1 => most = count.div_ceil(2),
                Err(failure @ Error::TooLarge { .. }) => {
                    dropped.push((self.number_of(done), failure));
                    done += 1;
                    most = 1;
                }
                Err(failure) => break Err(failure),
            }
        };
        fill(&mut self.builder, done, places.len());
        let records = dropped.len();
        if let Some((first, failure)) = dropped.into_iter().next() {
            let dropped =
                DroppedRecords { partition: log.id().clone(), first, records: records as u64, failure };
            losses.record(records, Error::RecordsDropped(Box::new(dropped)));
        }
        self.later.drain(..done.min(self.later.len()));
        outcome
    }

    /// Which of the records that were taken, counted from 1, one in this batch is.
    fn number_of(&self, at: usize) -> u64 {
        self.first + u64::from(self.later.get(at).copied().unwrap_or_default()) + 1
    }

    /// Notes that the batch stays. `listeners`: no caller gets the error now.
    fn failed(&mut self, failure: &Error, log: &PartitionLog, listeners: Option<&Announcer>) {
        if matches!(failure, Error::Poisoned(_) | Error::Closed) {
            // Trying again by itself is of no use: the owner gets the error from the next flush.
            self.due = None;
        }
        let Some(events) = listeners else { return };
        let failing = Some(discriminant(failure));
        if std::mem::replace(&mut self.reported, failing) != failing {
            let (partition, records) = (log.id().clone(), self.later.len());
            events.emit(|| Event::BatchNotWritten {
                partition,
                records,
                failure: failure.to_string().into(),
            });
        }
    }
}

impl Losses {
    /// Reports records that were dropped. The next flush says which was the first, and how many were for the same reason.
    fn record(&mut self, records: usize, failure: Error) {
        self.events.emit(|| Event::RecordsDropped { records, failure: failure.to_string().into() });
        match (&mut self.unreported, failure) {
            (Some(Error::RecordsDropped(before)), Error::RecordsDropped(more)) => {
                before.records += more.records;
            }
            (Some(_), _) => {}
            (unreported @ None, failure) => *unreported = Some(failure),
        }
    }
}
