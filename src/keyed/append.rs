//! Records of several keys, appended as one batch where that is possible, then applied to the state.

use super::{KeyedLog, Replay};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::batch::{BatchBuilder, FinishedBatch};
use crate::format::batch_producer::BatchProducer;
use crate::format::control::{EndMarker, marker};
use crate::format::record::{Header, RecordFields};
use crate::partition::{AppendAt, AppendRequest, Appended, Cursor};
use crate::sys::Purpose;

/// What the buffers of a writer may keep from one append to the next.
const KEEP_BYTES: usize = 64 << 10;
/// The largest batch that is written so that all of it counts or nothing. Brokers read batches of any size here.
const MAX_ATOMIC_BYTES: usize = 64 << 20;

/// A record to be written: a key, and its value or a tombstone.
pub(crate) trait Entry {
    /// Appends key and value to the buffers, which are empty. `false`: a tombstone, and `value` is not used.
    fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<bool>;

    /// A header of the record.
    fn header(&self) -> Option<Header<'_>> {
        None
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteOptions {
    /// Their time, in milliseconds since 1970.
    pub(crate) now: i64,
    /// The topic takes the time of the append in place of the time of each record.
    pub(crate) append_time: bool,
    pub(crate) durability: Durability,
    /// All records are written or none: in one batch, whatever the topic's limit.
    pub(crate) atomic: bool,
    /// Of which producer's transaction they are. Then they are one batch.
    pub(crate) producer: BatchProducer,
}

/// What appending needs. Keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    batch: BatchBuilder,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Records below are durable, or a sync that covers them has been asked for.
    sync_requested: u64,
    /// All tombstones are below. `None`: below the end of the log.
    tombstones_end: Option<u64>,
    /// In a log that another process may write: how far it has been replayed.
    pub(super) cursor: Option<Cursor>,
}

impl<S: Replay> KeyedLog<S> {
    /// Appends records, as one batch if they fit one or are `atomic`, and applies them to the state. Returns the end offset of the
    /// last batch, `None` without records. The caller holds `writer`, and no guard of [`state`](Self::state).
    pub(crate) fn write<E: Entry>(
        &self,
        writer: &mut Writer,
        entries: impl IntoIterator<Item = E>,
        options: WriteOptions,
    ) -> Result<Option<u64>> {
        let _spending = self.log.spend(Purpose::Positions);
        let limit = if options.atomic { MAX_ATOMIC_BYTES } else { self.log.max_batch_bytes() as usize };
        writer.batch.clear(KEEP_BYTES);
        let mut end = None;
        for entry in entries {
            writer.key.clear();
            writer.value.clear();
            let has_value = entry.encode(&mut writer.key, &mut writer.value)?;
            if !has_value {
                writer.tombstones_end = None;
            }
            let Writer { batch, key, value, .. } = &*writer;
            let (header, value) = (entry.header(), has_value.then_some(&**value));
            let fields = RecordFields { key: Some(key), value, headers: header.as_slice() };
            let measured = batch.measure(&fields, options.now);
            let bytes = batch.bytes_with(&measured);
            if bytes > limit && options.atomic {
                return Err(Error::TooLarge { bytes: bytes as u64, limit: limit as u64 });
            }
            if bytes > limit && !batch.is_empty() {
                end = Some(self.append(writer, options)?);
            }
            writer.push(has_value, header, options.now);
        }
        if !writer.batch.is_empty() {
            end = Some(self.append(writer, options)?);
        }
        Ok(end)
    }

    /// An offset above all tombstones, those of earlier calls too. Until they are durable a power cut could bring back what they
    /// remove.
    pub(crate) fn tombstones_end(&self, writer: &mut Writer) -> Result<u64> {
        let end = writer.tombstones_end.map_or_else(|| Ok(self.log.bounds()?.log_end), Ok)?;
        writer.tombstones_end = Some(end);
        Ok(end)
    }

    fn append(&self, writer: &mut Writer, options: WriteOptions) -> Result<u64> {
        writer.batch.set_append_time(options.append_time.then_some(options.now));
        writer.batch.set_producer(options.producer);
        // It was not empty.
        let Some(batch) = writer.batch.finish() else { return Err(Error::Closed) };
        let end = self.append_finished(batch, options)?;
        if !matches!(options.durability, Durability::Buffered) {
            writer.sync_requested = end;
        }
        writer.batch.clear(KEEP_BYTES);
        Ok(end)
    }

    /// Ends the transaction of a producer here. Returns the offset after the marker. The caller holds `writer`.
    pub(crate) fn end_transaction(
        &self,
        writer: &mut Writer,
        end: EndMarker,
        options: WriteOptions,
    ) -> Result<u64> {
        let _spending = self.log.spend(Purpose::Positions);
        // It has a record.
        let Some(batch) = marker(&mut writer.batch, end, options.now) else { return Err(Error::Closed) };
        let end = self.append_finished(batch, options);
        writer.batch.clear(KEEP_BYTES);
        end
    }

    fn append_finished(&self, mut batch: FinishedBatch<'_>, options: WriteOptions) -> Result<u64> {
        let (durability, indivisible) = (options.durability, options.atomic);
        let request = AppendRequest { batch: &mut batch, place: AppendAt::End, durability, indivisible };
        let Appended { base_offset: base, next_offset: end } = self.log.leader()?.append(request)?;
        if let (Some(state), Some(batch)) = (&mut *self.state.write(), batch.as_batch()) {
            // What was encoded here can be decoded.
            state.apply(&batch, base, &mut |_| ());
        }
        Ok(end)
    }
}

impl Writer {
    /// Records below this offset are durable, or a sync that covers them has been asked for.
    pub(crate) fn sync_requested(&self) -> u64 {
        self.sync_requested
    }

    /// Adds the record that was encoded last.
    fn push(&mut self, has_value: bool, header: Option<Header<'_>>, now: i64) {
        let value = has_value.then_some(&*self.value);
        let fields = RecordFields { key: Some(&self.key), value, headers: header.as_slice() };
        let measured = self.batch.measure(&fields, now);
        self.batch.push(&fields, measured, now);
    }
}
