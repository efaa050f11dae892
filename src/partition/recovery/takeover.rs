//! Loading a partition: what was found in its directory becomes what readers see and what the appender continues.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::partition::recovery::{self, PartitionRecovery, RecoveredLog, RecoveredSegment};
use crate::partition::writer::finish::Unfinished;
use crate::partition::{Appender, Leader, SegmentList};
use crate::segment::{BatchesEnd, FinishFailure, Segment, SegmentWriter, UnfinishedSegment};

/// Recovered segments that wait for the background, each with a descriptor.
const MAX_RECOVERED: usize = 64;

impl Leader {
    /// Checks the directory, and recovers it if it was not closed cleanly. Cheap when that is done.
    pub(crate) fn load(self: &Arc<Self>) -> Result<Option<PartitionRecovery>> {
        let mut appender = self.writer.appender();
        match &*appender {
            Appender::Unloaded => self.load_into(&mut appender).map(Some),
            Appender::Ended => Err(self.end_error()),
            _ => Ok(None),
        }
    }

    /// Changes nothing here unless all of it succeeds: the next attempt begins anew.
    pub(in crate::partition) fn load_into(
        self: &Arc<Self>,
        appender: &mut Appender,
    ) -> Result<PartitionRecovery> {
        if !self.evidence.checkpointed.clean {
            self.remove_prepared();
        }
        let RecoveredLog {
            mut segments,
            log_start,
            last,
            next_offset,
            epoch,
            tail,
            unwritten_epoch,
            below_start,
            producers,
            report,
            ..
        } = recovery::find(self)?;
        let mut sealed = VecDeque::new();
        let recovered = self.reopen_recovered(tail, &mut segments, &mut sealed)?;
        if let Some(first) = unwritten_epoch {
            self.leave_to_first_sync(first);
        }
        let mut directory = None;
        let state = match recovered {
            None => Appender::Idle { next_offset, epoch, last },
            Some(writer) => {
                let opened = self.disk.open_directory(&self.directory)?;
                self.unless_full("a checkpoint", self.begin_epoch(epoch, next_offset))?;
                self.writer.expect_roll_at(self.settings.segment_bytes(), writer.position());
                self.show(&writer);
                // Entries and names may be as little on disk as the records are.
                opened.sync()?;
                directory = Some(opened);
                self.enter_open_files();
                Appender::Active { writer, epoch }
            }
        };
        self.emit_missing(&report.missing);
        self.cleanup.found_below_start(below_start);
        let clean = self.evidence.checkpointed.clean || matches!(state, Appender::Idle { .. });
        self.marks.loaded(next_offset, clean);
        self.set_producers(producers, next_offset);
        self.writer.durable().loaded(Unfinished::of(sealed, directory));
        self.replace_view(|view| view.with_segments(SegmentList::of(segments)).starting_at(log_start));
        *appender = if self.writer.has_failed() { Appender::Poisoned } else { state };
        if !clean {
            // Readers get the records at once; they are on disk soon.
            self.sync_long_tail();
        }
        Ok(report)
    }

    /// Takes recovered segments over for writing, so that they are trimmed, indexed and synced like any other. Returns
    /// the writer of the last one.
    fn reopen_recovered(
        &self,
        tail: Vec<RecoveredSegment>,
        segments: &mut Vec<Arc<Segment>>,
        sealed: &mut VecDeque<Arc<UnfinishedSegment>>,
    ) -> Result<Option<Box<SegmentWriter>>> {
        let mut last: Option<SegmentWriter> = None;
        for recovered in tail {
            if let Some(before) = last.take() {
                sealed.push_back(Arc::new(before.seal()));
            }
            if sealed.len() > MAX_RECOVERED
                && let Some(oldest) = sealed.pop_front()
            {
                oldest.trim_and_sync().map_err(FinishFailure::into_error)?;
                self.unless_full("the index of a segment", oldest.write_indexes(&self.disk))?;
            }
            let found = BatchesEnd { position: recovered.position, next_offset: recovered.next_offset };
            let mut writer = self.reopen(recovered.base, found, Some(recovered.entries))?;
            writer.rewrite_from(recovered.unsynced_from);
            segments.push(Arc::clone(writer.segment()));
            last = Some(writer);
        }
        Ok(last.map(Box::new))
    }
}
