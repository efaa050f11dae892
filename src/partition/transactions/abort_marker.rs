//! Ending transactions that no coordinator will ever end: markers of our own, when a log is handed to a broker.
//!
//! Readers that wait before such a transaction pass it: its end is published after the marker.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::batch::{BatchBuilder, FinishedBatch};
use crate::format::control::{ControlRecord, abort_marker};
use crate::format::transaction_index;
use crate::partition::transactions::producer_state::ProducerState;
use crate::partition::{Appender, Leader, OpenTransaction};
use crate::segment::{Segment, TRANSACTION_INDEX};
use crate::sys::PutFailure;

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

    /// Appends the marker that aborts an open transaction, and notes that in the index of its segment.
    pub(crate) fn abort(self: &Arc<Self>, open: OpenTransaction, now: i64) -> Result<()> {
        let epochs = self.producers.known.lock().state.epochs_of(open.producer_id);
        // The coordinator's epoch must not go back, and is 0 for a coordinator that has just begun.
        let (epoch, coordinator_epoch) = epochs.map_or((0, 0), |(epoch, of)| (epoch, of.max(0)));
        let mut builder = BatchBuilder::default();
        let marker = abort_marker(&mut builder, open.producer_id, epoch, coordinator_epoch, now);
        let Some(mut marker) = marker else { return Ok(()) };
        let mut appender = self.writer.appender();
        if !matches!(&*appender, Appender::Active { .. }) {
            self.prepare(&mut appender)?;
        }
        let base_offset = appender.next_offset();
        self.make_room(&mut appender, &marker, base_offset)?;
        // The snapshots of sealed segments must not know of what comes now.
        self.finish_at_roll(&mut appender, true)?;
        let Appender::Active { writer, epoch } = &mut *appender else { return Err(Error::Closed) };
        let segment = Arc::clone(writer.segment());
        // First, so that what can be refused is refused before there is a marker.
        let noted = self.write_abort(&segment, &mut marker, base_offset, *epoch, coordinator_epoch)?;
        match writer.append(&mut marker, base_offset, *epoch, true) {
            Ok(_) => {}
            Err(PutFailure::NothingWritten(failure)) => return Err(failure),
            Err(PutFailure::Unknown(failure)) => return Err(self.poison(&mut appender, &failure)),
        }
        // Before a sync can cover the marker, or recovery would not check it any more: the lock is still held.
        if let Some(beside) = &noted.index
            && let Err(failure) = self.disk.rename(beside, &segment.path().with_extension(TRANSACTION_INDEX))
        {
            return Err(self.poison(&mut appender, &failure));
        }
        let first_open = noted.state.first_open();
        {
            let mut producers = self.producers.known.lock();
            (producers.state, producers.end_offset) = (noted.state, segment.next_offset());
        }
        self.reading.stability.publish(first_open);
        self.writer.publish_live(&segment);
        drop(appender);
        self.sleepers.wake_all();
        Ok(())
    }

    /// What will be known once the marker is in the log, with the index of its segment written beside the present one.
    fn write_abort(
        &self,
        segment: &Segment,
        marker: &mut FinishedBatch<'_>,
        base_offset: u64,
        epoch: u32,
        coordinator_epoch: i32,
    ) -> Result<Noted> {
        let offset = i64::try_from(base_offset).unwrap_or(i64::MAX);
        marker.placed_at(offset, epoch.cast_signed());
        let mut noted = Noted { state: self.producers.known.lock().state.clone(), index: None };
        let Some(header) = marker.header() else { return Ok(noted) };
        if let Some(aborted) = noted.state.note(&header, Some(ControlRecord::Abort { coordinator_epoch })) {
            let mut entries = self.index_of(segment)?;
            if entries.iter().all(|known| known.last_offset < aborted.last_offset) {
                entries.push(aborted);
            }
            let path = segment.path().with_extension(TRANSACTION_INDEX);
            noted.index = Some(self.disk.write_beside(&path, &transaction_index::encode(&entries))?);
        }
        Ok(noted)
    }
}

/// What a marker changes.
struct Noted {
    state: ProducerState,
    /// The file that is to become the index of aborted transactions.
    index: Option<PathBuf>,
}
