//! What a transaction has for one partition, until it is written.

use std::ops::Range;
use std::sync::Arc;

use super::{KEEP_BYTES, check_size, timestamp_of};
use crate::catalog::TopicEntry;
use crate::clock::Timestamp;
use crate::config::Compression;
use crate::error::{Error, Result};
use crate::format::batch::BatchBuilder;
use crate::format::batch_producer::BatchProducer;
use crate::format::compression::Encoding;
use crate::format::sealed_batch::SealedBatch;
use crate::partition::{AppendAt, PartitionLog};
use crate::producer::Record;
use crate::transaction::{Begun, TransactionPart};

/// Batches for a partition: full ones, and one that is being filled.
#[derive(Debug)]
pub(super) struct Part {
    entry: Arc<TopicEntry>,
    pub(super) log: Arc<PartitionLog>,
    encoding: Encoding,
    builder: BatchBuilder,
    sealed: Vec<SealedBatch>,
    /// Of the next batch's first record, counted from 0 in this transaction.
    sequence: i32,
    /// Where no record may lie, nor after it, when the first batch is written.
    pub(super) at: Option<u64>,
    /// Records were given to it.
    pub(super) is_begun: bool,
    /// What was written already.
    pub(super) written: Vec<Range<u64>>,
}

/// How batches are filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    pub(super) begun: Begun,
    pub(super) batch_bytes: usize,
    pub(super) compression: Compression,
    pub(super) now: Timestamp,
}

impl Part {
    pub(super) fn new(
        entry: &Arc<TopicEntry>,
        log: &Arc<PartitionLog>,
        compression: Compression,
    ) -> Result<Self> {
        Ok(Self {
            entry: Arc::clone(entry),
            log: Arc::clone(log),
            encoding: entry.rules().encoding(compression)?,
            builder: BatchBuilder::default(),
            sealed: Vec::new(),
            sequence: 0,
            at: None,
            is_begun: false,
            written: Vec::new(),
        })
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let building = if self.builder.is_empty() { 0 } else { self.builder.bytes() };
        building + self.sealed.iter().map(SealedBatch::len).sum::<usize>()
    }

    /// Takes a record. On an error it was not taken.
    pub(super) fn take(&mut self, record: &Record<'_>, filling: &Filling) -> Result<()> {
        let timestamp = timestamp_of(record, filling.now, &self.entry)?.as_millis();
        self.encoding = self.entry.rules().encoding(filling.compression)?;
        let limits = self.log.batch_limits();
        let full = filling.batch_bytes.min(self.encoding.fullest_batch(limits));
        let fields = record.fields();
        if !self.builder.is_empty() && self.builder.push_usual(&fields, timestamp, full) {
            return Ok(());
        }
        let mut measured = self.builder.measure(&fields, timestamp);
        if self.builder.bytes_with(&measured) > full && !self.builder.is_empty() {
            check_size(BatchBuilder::default().bytes_with(&measured), self.encoding, &self.log)?;
            self.seal(filling);
            measured = self.builder.measure(&fields, timestamp);
        }
        check_size(self.builder.bytes_with(&measured), self.encoding, &self.log)?;
        self.builder.push(&fields, measured, timestamp);
        if self.builder.bytes() > limits.written {
            // Compressed it may fit, and only compressing it shows whether it does.
            self.seal(filling);
            if let Some(bytes) =
                self.sealed.last().map(SealedBatch::len).filter(|bytes| *bytes > limits.written)
            {
                self.sealed.pop();
                // It was one record.
                self.sequence = self.sequence.wrapping_sub(1) & i32::MAX;
                return Err(Error::TooLarge { bytes: bytes as u64, limit: limits.written as u64 });
            }
        }
        self.is_begun = true;
        Ok(())
    }

    /// Finishes the batch that is being filled.
    fn seal(&mut self, filling: &Filling) {
        let Begun { producer_id, epoch, .. } = filling.begun;
        let records = self.builder.records();
        self.builder.set_producer(BatchProducer::transactional(producer_id, epoch, self.sequence));
        self.set_append_time(filling.now);
        if let Some(finished) = self.builder.finish_with(self.encoding, self.log.batch_limits()) {
            self.sealed.push(SealedBatch::of(finished));
            self.sequence = sequence_after(self.sequence, records);
        }
        self.builder.clear(KEEP_BYTES);
    }

    fn set_append_time(&mut self, now: Timestamp) {
        let append_time = self.entry.rules().log_append_time().then_some(now.as_millis());
        self.builder.set_append_time(append_time);
    }

    /// The one batch that it is, not sealed yet, to be written as it is: with its time, and without a producer.
    pub(super) fn alone(&mut self, now: Timestamp) -> Option<(&mut BatchBuilder, Encoding)> {
        if !self.sealed.is_empty() || !self.written.is_empty() || self.builder.is_empty() {
            return None;
        }
        self.set_append_time(now);
        Some((&mut self.builder, self.encoding))
    }

    pub(super) fn place(&self) -> AppendAt {
        self.at.filter(|_| self.written.is_empty()).map_or(AppendAt::End, AppendAt::Exactly)
    }

    /// All that it holds, to be written. `None`: nothing.
    pub(super) fn drain(&mut self, filling: &Filling) -> Option<TransactionPart> {
        if !self.builder.is_empty() {
            self.seal(filling);
        }
        if self.sealed.is_empty() {
            return None;
        }
        let (log, place) = (Arc::clone(&self.log), self.place());
        Some(TransactionPart { log, place, batches: std::mem::take(&mut self.sealed), offsets: Vec::new() })
    }
}

/// Sequences count from 0 to 2³¹−1 and begin anew.
fn sequence_after(sequence: i32, records: u32) -> i32 {
    sequence.wrapping_add(records.cast_signed()) & i32::MAX
}
