//! Batches of producers with ids, as this process appends them: what is known of producers follows the log, and readers of
//! committed records learn in the order of [`view`](crate::partition::view) where a transaction begins and how it ends.
//!
//! All of it happens under the lock of the appender, so that a segment which begins knows the state before it.

use std::sync::Arc;

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::batch::{BatchBuilder, FinishedBatch};
use crate::format::control::{ControlRecord, EndMarker, marker};
use crate::format::header::BatchHeader;
use crate::partition::{AppendAt, AppendRequest, Appended, Leader, OpenTransaction};

impl Leader {
    /// Transactions with records here that are neither committed nor aborted, oldest first.
    pub(crate) fn open_transactions(self: &Arc<Self>) -> Result<Vec<OpenTransaction>> {
        self.load()?;
        Ok(self.producers.known.lock().state.open().collect())
    }

    /// The largest producer id that a broker will remember of this partition.
    pub(crate) fn highest_producer_id(self: &Arc<Self>) -> Result<Option<i64>> {
        self.load()?;
        Ok(self.producers.known.lock().state.highest_id())
    }

    /// Epoch of a producer that is known, and of the coordinator that wrote for it last; −1: none did.
    pub(crate) fn epochs_of(&self, producer_id: i64) -> Option<(i16, i32)> {
        self.producers.known.lock().state.epochs_of(producer_id)
    }

    /// Appends the marker that ends a transaction. With [`Durability::Synced`] the records and the decision are on disk: so the
    /// transaction counts for readers of what is durable, and for a compaction, whatever becomes of the marker.
    pub(crate) fn end_transaction(
        self: &Arc<Self>,
        end: EndMarker,
        durability: Durability,
        now: i64,
    ) -> Result<Appended> {
        let mut builder = BatchBuilder::default();
        // It has a record.
        let Some(mut batch) = marker(&mut builder, end, now) else { return Err(Error::Closed) };
        let place = AppendAt::End;
        self.append(AppendRequest { batch: &mut batch, place, durability, indivisible: true })
    }

    /// Forgets producers that have been idle for a day, as a broker does: they are in no later snapshot.
    pub(crate) fn forget_idle_producers(&self, now: i64) {
        let mut known = self.producers.known.lock();
        if known.state.has_idle(now) {
            Arc::make_mut(&mut known.state).forget_idle(now);
        }
    }

    /// Before a batch of a producer goes into the log at this offset: from here on no reader of committed records passes the
    /// beginning of its transaction. Under `appender`.
    pub(in crate::partition) fn announce(&self, batch: &FinishedBatch<'_>, base_offset: u64) {
        let begins = |header: BatchHeader| header.is_transactional() && !header.is_control();
        if batch.header().is_some_and(begins) && self.producers.known.lock().state.first_open().is_none() {
            self.reading.stability.publish(Some(base_offset));
        }
    }

    /// The batch that was announced did not get into the log.
    pub(in crate::partition) fn retract(&self) {
        let first_open = self.producers.known.lock().state.first_open();
        self.reading.stability.publish(first_open);
    }

    /// Notes a batch of a producer that is in the log, with the place that it got. `is_settled`: if it is a marker, what it says is
    /// known after a power cut without it. Under `appender`.
    pub(in crate::partition) fn note_appended(&self, batch: &FinishedBatch<'_>, is_settled: bool) {
        let Some(batch) = batch.as_batch() else { return };
        let (header, control) = (batch.header, ControlRecord::in_batch(&batch));
        let Ok(base_offset) = u64::try_from(header.base_offset) else { return };
        let first_open = {
            let mut known = self.producers.known.lock();
            if let Some(ControlRecord::Commit { .. }) = control
                && !is_settled
                && let Some(first_offset) = known.state.open_of(header.producer_id)
            {
                self.reading.unsettled.add(first_offset, base_offset);
            }
            let aborted = Arc::make_mut(&mut known.state).note(&header, control);
            known.unindexed.extend(aborted);
            known.end_offset = u64::try_from(header.last_offset()).map_or(base_offset, |last| last + 1);
            if control.is_some() {
                let end = known.end_offset;
                match &mut known.last_markers {
                    last if last.end == base_offset => last.end = end,
                    last => *last = base_offset..end,
                }
            }
            known.state.first_open()
        };
        if control.is_some() {
            self.reading.stability.publish(first_open);
        }
    }

    /// Whether no record lies at or after `offset` in a log that ends at `log_end`: only the ends of transactions do. Under
    /// `appender`.
    #[cold]
    pub(in crate::partition) fn has_only_markers(&self, offset: u64, log_end: u64) -> Result<bool> {
        if offset >= log_end {
            return Ok(offset == log_end);
        }
        let (markers, loaded_end) = {
            let known = self.producers.known.lock();
            (known.last_markers.clone(), known.loaded_end)
        };
        let known_from = if markers.end == log_end { markers.start } else { log_end };
        // What was appended since the log was loaded, and is no marker, has records.
        if known_from <= offset || known_from > loaded_end {
            return Ok(known_from <= offset);
        }
        for segment in self.segments().iter() {
            if self.has_records(segment, offset..known_from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
