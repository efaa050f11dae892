//! One partition of `__consumer_offsets`: its log, and what the log adds up to.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `writer` | whoever commits, or reads the log, under its lock | the same |
//! | `folded` | the same, after what it adds up is in the log | whoever asks, who waits for no append |
//!
//! `writer` is taken before `folded` and before the log's own locks. Of a log of our own the sum is made once and kept
//! up by what is written; of one that another process may be writing, the log is read on with every question.

use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use super::fold::{Fold, Skipped};
use crate::config::{Durability, ReadUpTo};
use crate::error::{Damage, Error, Result};
use crate::events::{Announcer, Event};
use crate::format::Malformed;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::group_metadata::GroupMetadata;
use crate::format::offset_commit::OffsetCommit;
use crate::format::record::RecordFields;
use crate::partition::{Cursor, FetchLimits, PartitionLog};
use crate::position::TopicPartition;
use crate::sys::Purpose;

/// What a writer's buffers may keep from one commit to the next.
const KEEP_BYTES: usize = 64 << 10;
const FETCH: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };
/// What a write of several records that is all or nothing may come to. Brokers read batches of any size here.
const MAX_WHOLE_BYTES: usize = 64 << 20;
/// How often the beginning of a log may be gone when it is looked for.
const MAX_BEGINNINGS: usize = 8;

#[derive(Debug)]
pub(super) struct Shard {
    log: Arc<PartitionLog>,
    writer: Mutex<Writer>,
    folded: RwLock<Option<Fold>>,
}

/// What writing needs. Keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Writer {
    batch: BatchBuilder,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Records below are on disk or will be without anybody asking.
    promised: u64,
    /// Whatever was taken back lies below. `None`: below the end of the log.
    taken_back: Option<u64>,
    /// Of a log that another process may be writing: how far it was read.
    cursor: Option<Cursor>,
}

/// One record to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) group: &'c str,
    pub(super) to: To<'c>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum To<'c> {
    Commit(&'c TopicPartition, OffsetCommit<'c>),
    NoCommit(&'c TopicPartition),
    Record(&'c GroupMetadata),
    NoRecord,
    /// Takes back a record of another kind, by its whole key.
    Nothing(&'c [u8]),
}

/// How records are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) now: i64,
    /// The topic wants the time of appending as the time of its records.
    pub(super) append_time: bool,
    pub(super) level: Durability,
    /// All records are written or none: in one batch, however small the topic wants its batches.
    pub(super) whole: bool,
}

impl Shard {
    pub(super) fn new(log: &Arc<PartitionLog>) -> Self {
        Self { log: Arc::clone(log), writer: Mutex::default(), folded: RwLock::default() }
    }

    pub(super) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// What there is now.
    pub(super) fn present(&self, events: &Announcer) -> Result<MappedRwLockReadGuard<'_, Fold>> {
        loop {
            if !self.log.is_followed()
                && let Ok(fold) = RwLockReadGuard::try_map(self.folded.read(), Option::as_ref)
            {
                return Ok(fold);
            }
            self.read_on(&mut self.writer.lock(), events)?;
            if let Ok(fold) = RwLockReadGuard::try_map(self.folded.read(), Option::as_ref) {
                return Ok(fold);
            }
        }
    }

    /// The right to write, with everything known that is there.
    pub(super) fn writer(&self, events: &Announcer) -> Result<MutexGuard<'_, Writer>> {
        if self.log.is_followed() {
            return Err(Error::ReadOnly);
        }
        let mut writer = self.writer.lock();
        if self.folded.read().is_none() {
            self.read_on(&mut writer, events)?;
        }
        Ok(writer)
    }

    /// Reads the log from its start, or on from where it was read to.
    fn read_on(&self, writer: &mut Writer, events: &Announcer) -> Result<()> {
        let follows = self.log.is_followed();
        let mut folded = self.folded.write();
        let (mut cursor, mut fold) = match (writer.cursor.take(), folded.take()) {
            // Another thread was faster.
            (_, known @ Some(_)) if !follows => {
                *folded = known;
                return Ok(());
            }
            (Some(cursor), Some(fold)) => (cursor, fold),
            _ => {
                let start = self.log.bounds()?.log_start;
                let cursor = Cursor::new(Arc::clone(&self.log), start, ReadUpTo::Visible);
                (cursor.with_markers(), Fold::default())
            }
        };
        let outcome = self.log.glance().and_then(|()| self.fold_up(&mut cursor, &mut fold, events));
        if follows {
            writer.cursor = Some(cursor);
            *folded = Some(fold);
        } else if outcome.is_ok() {
            *folded = Some(fold);
        }
        outcome
    }

    /// Brings `fold` to the end of the log.
    fn fold_up(&self, cursor: &mut Cursor, fold: &mut Fold, events: &Announcer) -> Result<()> {
        let mut beginnings = 0;
        loop {
            let failure = match cursor.fetch(FETCH) {
                Ok(None) => return Ok(()),
                Ok(Some(fetched)) => {
                    let mut rest = fetched.bytes.as_ref();
                    while let Some((batch, after)) = Batch::take_checked(rest) {
                        fold.note(&batch, fetched.from, &mut |skipped| self.tell_skipped(skipped, events));
                        rest = after;
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let at = cursor.offset();
            match failure {
                Error::Corrupt(damage) => {
                    let resume = damage.resume_at().map(|position| position.offset());
                    let next = match resume.filter(|next| *next > at) {
                        Some(next) => next,
                        None => self.log.bounds()?.log_end,
                    };
                    if next <= at {
                        return Err(Error::Corrupt(damage));
                    }
                    let (partition, reason) = (self.log.id().clone(), damage.to_string().into());
                    events.tell(|| Event::CommitSkipped { partition, offset: at, reason });
                    cursor.seek(next);
                }
                // The log begins later now, or it is not the one that was read: another process has made it anew.
                Error::OffsetOutOfRange { valid, .. } if beginnings < MAX_BEGINNINGS => {
                    beginnings += 1;
                    if at > valid.end {
                        *fold = Fold::default();
                    }
                    cursor.seek(valid.start);
                }
                other => return Err(other),
            }
        }
    }

    /// Refuses an answer that only a version knows which reads the record at an offset.
    pub(super) fn refuse_newer(&self, at: Option<u64>) -> Result<()> {
        let Some(offset) = at else { return Ok(()) };
        let reason = Malformed::NEWER_COMMIT;
        let damage = Damage::new(self.log.directory(), 0, reason.0).at_offset(self.log.id(), offset);
        Err(reason.error(Box::new(damage)))
    }

    fn tell_skipped(&self, Skipped { offset, reason }: Skipped, events: &Announcer) {
        let (partition, reason) = (self.log.id().clone(), reason.0.into());
        events.tell(|| Event::CommitSkipped { partition, offset, reason });
    }

    /// Writes records, as one batch if they fit one or are to be written whole, and then counts them. Returns the offset after the last one,
    /// `None` if there are none. The caller holds `writer` and no guard of [`present`](Self::present).
    pub(super) fn write<'c>(
        &self,
        writer: &mut Writer,
        changes: impl IntoIterator<Item = Change<'c>>,
        how: How,
    ) -> Result<Option<u64>> {
        let _spending = self.log.spend(Purpose::Positions);
        let limit = if how.whole { MAX_WHOLE_BYTES } else { self.log.max_batch_bytes() as usize };
        writer.batch.clear(KEEP_BYTES);
        let mut end = None;
        for change in changes {
            let has_value = writer.encode(&change)?;
            if !has_value {
                writer.taken_back = None;
            }
            let Writer { batch, key, value, .. } = &*writer;
            let fields = RecordFields { key: Some(key), value: has_value.then_some(value), headers: &[] };
            let measured = batch.measure(&fields, how.now);
            let bytes = batch.bytes_with(&measured);
            if bytes > limit && how.whole {
                return Err(Error::TooLarge { bytes: bytes as u64, limit: limit as u64 });
            }
            if bytes > limit && !batch.is_empty() {
                end = Some(self.append(writer, how)?);
            }
            writer.push(has_value, how.now);
        }
        if !writer.batch.is_empty() {
            end = Some(self.append(writer, how)?);
        }
        Ok(end)
    }

    /// Offset below which everything lies that was taken back, by an earlier call too. A power cut could bring it back
    /// until that is durable.
    pub(super) fn taken_back_until(&self, writer: &mut Writer) -> Result<u64> {
        let until = writer.taken_back.map_or_else(|| Ok(self.log.bounds()?.log_end), Ok)?;
        writer.taken_back = Some(until);
        Ok(until)
    }

    /// Appends the batch, then counts what is in it.
    fn append(&self, writer: &mut Writer, how: How) -> Result<u64> {
        writer.batch.set_append_time(how.append_time.then_some(how.now));
        let records = u64::from(writer.batch.records());
        // It was not empty.
        let Some(mut batch) = writer.batch.finish() else { return Err(Error::Closed) };
        let base = if how.whole {
            self.log.append_whole(&mut batch, how.level)?
        } else {
            self.log.append(&mut batch, None, how.level)?
        };
        let end = base + records;
        if let (Some(fold), Some(batch)) = (&mut *self.folded.write(), batch.as_batch()) {
            // What was just written can be read.
            fold.note(&batch, base, &mut |_| ());
        }
        if !matches!(how.level, Durability::Buffered) {
            writer.promised = end;
        }
        writer.batch.clear(KEEP_BYTES);
        Ok(end)
    }
}

impl Writer {
    /// Offset up to which records are, or will be, on disk without anybody asking again.
    pub(super) fn promised(&self) -> u64 {
        self.promised
    }

    /// Encodes key and value. `false`: the value is null.
    fn encode(&mut self, change: &Change<'_>) -> Result<bool> {
        let Change { group, to } = *change;
        self.key.clear();
        self.value.clear();
        let key = match to {
            To::Commit(of, _) | To::NoCommit(of) => {
                CoordinatorKey::Offset { group, topic: of.topic(), partition: of.partition() }
            }
            To::Record(_) | To::NoRecord => CoordinatorKey::Group { group },
            To::Nothing(whole) => {
                self.key.extend_from_slice(whole);
                return Ok(false);
            }
        };
        key.encode(&mut self.key).map_err(|reason| Error::invalid("group id or topic", reason.0))?;
        match to {
            To::Commit(_, commit) => commit
                .encode(&mut self.value)
                .map_err(|reason| Error::invalid("committed offset", reason.0))
                .map(|()| true),
            To::Record(record) => record
                .encode(&mut self.value)
                .map_err(|reason| Error::invalid("group metadata", reason.0))
                .map(|()| true),
            To::NoCommit(_) | To::NoRecord | To::Nothing(_) => Ok(false),
        }
    }

    /// Adds the record that was encoded last.
    fn push(&mut self, has_value: bool, now: i64) {
        let value = has_value.then_some(&*self.value);
        let fields = RecordFields { key: Some(&self.key), value, headers: &[] };
        let measured = self.batch.measure(&fields, now);
        self.batch.push(&fields, measured, now);
    }
}
