//! One log file: its batches, and the indexes beside it.

use std::path::PathBuf;

use super::indexes::{Indexes, Passed};
use super::partition::LogWalk;
use super::{ProblemKind, Verifier};
use crate::error::Result;
use crate::format::compression::Unreadable;
use crate::format::control::ControlRecord;
use crate::format::frame::{Frame, valid_batch_at};
use crate::inspect::batch::BatchView;
use crate::inspect::log_file::LogFile;
use crate::partition::SegmentEnd;
use crate::segment::{Batches, TRANSACTION_INDEX, relative_in_segment};
use crate::sys::Tail;

/// Where a log file is in its partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentContext {
    pub(super) base: u64,
    /// Where the next one begins, if there is one.
    pub(super) next_base: Option<u64>,
}

/// What a batch came to.
enum Step {
    Whole,
    /// No complete batch begins at this position.
    Broken {
        position: u64,
        reason: String,
    },
    End,
}

impl Verifier<'_, '_> {
    /// Goes through a log file, its indexes beside it. What is known of the partition so far is in `walk`.
    pub(super) fn segment(&mut self, path: PathBuf, place: SegmentContext, walk: &mut LogWalk) -> Result<()> {
        let mut file = LogFile::open(&path)?.max_decompressed_batch_bytes(self.decompressed);
        self.report.segments += 1;
        if file.bytes() > Tail::MAX_POSITION {
            let reason = "a log file of 2 GiB and more is none that Kafka writes";
            self.problem(ProblemKind::Log, path.clone(), reason);
        }
        if walk.expected > place.base {
            let reason =
                format!("the segment begins before offset {}, where the one before it ends", walk.expected);
            self.problem(ProblemKind::Log, path.clone(), reason);
        }
        let mut indexes = match Indexes::open(&path, !self.is_clean()) {
            Ok(indexes) => Some(indexes),
            Err(failure) => {
                self.failure(ProblemKind::Derived, path.clone(), &failure);
                None
            }
        };
        walk.begin_segment(place.base);
        let mut damaged = false;
        loop {
            let counted = file.position();
            let step = self.step(&mut file, place, walk, indexes.as_mut())?;
            if self.advance(file.position().saturating_sub(counted)).is_break() {
                return Ok(());
            }
            match step {
                Step::Whole => {}
                Step::End => break,
                Step::Broken { position, reason } => {
                    let Some(next) = self.after_damage(&mut file, position, place, walk)? else {
                        damaged |= self.tail(&mut file, position, &reason, place, walk);
                        break;
                    };
                    if next != position {
                        let reason = format!("{reason}; complete batches follow at byte {next}");
                        self.problem_at(
                            ProblemKind::Log,
                            path.clone(),
                            position,
                            Some(walk.expected),
                            reason,
                        );
                        damaged = true;
                        walk.absences.record_damage();
                    }
                    file.reread(next)?;
                }
            }
        }
        let has_index = indexes.as_ref().is_some_and(Indexes::has_offsets);
        if let Some(indexes) = indexes {
            self.report.index_entries += indexes.entries();
            let finished = self.is_clean();
            let wrong = if damaged { indexes.abandon() } else { indexes.finish(file.position(), finished) };
            for wrong in wrong {
                self.problem_at(ProblemKind::Derived, wrong.path, wrong.position, None, wrong.reason);
            }
        }
        self.transactions(&path.with_extension(TRANSACTION_INDEX), place, walk, has_index && !damaged);
        Ok(())
    }

    /// Checks the next batch.
    fn step(
        &mut self,
        file: &mut LogFile,
        place: SegmentContext,
        walk: &mut LogWalk,
        indexes: Option<&mut Indexes>,
    ) -> Result<Step> {
        let position = file.position();
        let Some(batch) = file.next_batch()? else {
            return Ok(match file.why_stopped() {
                Some(reason) => Step::Broken { position, reason },
                None => Step::End,
            });
        };
        let frame = match valid_batch_at(batch.frame(), walk.expected) {
            Ok(frame) => frame,
            Err(reason) => return Ok(Step::Broken { position, reason: reason.to_string() }),
        };
        self.report.batches += 1;
        self.batch(&batch, &frame, place, walk, indexes)?;
        walk.expected = frame.last_offset() + 1;
        Ok(Step::Whole)
    }

    /// A batch whose checksum is right.
    fn batch(
        &mut self,
        batch: &BatchView<'_>,
        frame: &Frame,
        place: SegmentContext,
        walk: &mut LogWalk,
        indexes: Option<&mut Indexes>,
    ) -> Result<()> {
        walk.absences.record(frame, walk.expected);
        let (position, last) = (batch.position(), frame.last_offset());
        let mut first = frame.known_first_offset();
        let mut wrong: Vec<String> = Vec::new();
        match batch.decoded() {
            Ok(records) => {
                self.report.records += records.len() as u64;
                first = u64::try_from(records.first_offset()).unwrap_or(first);
                if first < walk.expected {
                    wrong.push("the offset is not the expected one".to_owned());
                }
            }
            Err(Unreadable::Malformed(reason)) => wrong.push(reason.to_string()),
            Err(Unreadable::NotBuiltIn(_)) => self.report.unchecked_batches += 1,
            Err(refused @ (Unreadable::TooLarge { .. } | Unreadable::Window { .. })) => {
                let (kind, path) = (ProblemKind::Unreadable, walk.path.clone());
                self.problem_at(kind, path, position, Some(first), refused.to_string());
            }
        }
        if batch.has_linked_blocks() {
            wrong.push(
                "the records are an lz4 frame with linked blocks, which Kafka does not read".to_owned(),
            );
        }
        wrong.extend(relative_in_segment(place.base, last).err().map(|reason| reason.to_string()));
        if place.next_base.is_some_and(|next| last >= next) {
            wrong.push("the next segment begins inside this batch or before it".to_owned());
        }
        if let Some(header) = batch.header() {
            wrong.extend(walk.leader_epoch(header, first));
            let control = ControlRecord::of_batch(batch.frame());
            if let Some(ControlRecord::Abort { .. }) = control {
                walk.abort_markers.push((first, header.producer_id));
            }
            walk.aborted.extend(walk.producers.note(header, control));
        }
        for reason in wrong {
            self.problem_at(ProblemKind::Log, walk.path.clone(), position, Some(first), reason);
        }
        walk.record_time(frame.indexed_timestamp(), self.now);
        if let Some(indexes) = indexes {
            let (max_timestamp, indexed_timestamp) = (frame.max_timestamp(), frame.indexed_timestamp());
            indexes.pass(Passed {
                position,
                first_offset: first,
                last_offset: last,
                max_timestamp,
                indexed_timestamp,
            })?;
        }
        Ok(())
    }

    /// Where the next complete batch begins, at or after a position at which none was found; `None`: nowhere.
    fn after_damage(
        &self,
        file: &mut LogFile,
        position: u64,
        place: SegmentContext,
        walk: &LogWalk,
    ) -> Result<Option<u64>> {
        if !self.is_clean() && place.next_base.is_none() {
            // A writer may just have been at work there.
            file.reread(position)?;
            if let Some(batch) = file.next_batch()?
                && valid_batch_at(batch.frame(), walk.expected).is_ok()
            {
                return Ok(Some(position));
            }
        }
        let mut batches = Batches::new(file.plain(), file.bytes(), position, walk.expected);
        Ok(batches.valid_batch_follows()?.then_some(batches.position))
    }

    /// The end of a log file that does not hold a complete batch. Whether that is a problem.
    fn tail(
        &mut self,
        file: &mut LogFile,
        position: u64,
        reason: &str,
        place: SegmentContext,
        walk: &LogWalk,
    ) -> bool {
        let bytes = file.bytes().saturating_sub(position);
        let batches = Batches::new(file.plain(), file.bytes(), position, walk.expected);
        let zero = batches.rest_is_zero().unwrap_or(false);
        // Known to have been on disk, or followed by segments that recovery would take out of the log: then it is not what was just
        // being written.
        let end = SegmentEnd { next_offset: walk.expected, is_complete: false, next_base: place.next_base };
        let is_lost = end.is_damaged(walk.recovery_point) || end.ends_log(zero);
        if !self.is_clean() && !is_lost {
            self.report.tail_bytes += bytes;
            return false;
        }
        let reason = if zero {
            format!("{bytes} bytes of zeros follow the last batch, as an interrupted process leaves them")
        } else {
            format!("{reason}, and no complete batch follows in {bytes} bytes")
        };
        self.problem_at(ProblemKind::Log, walk.path.clone(), position, Some(walk.expected), reason);
        true
    }

    /// The index of aborted transactions, against the markers in the log file.
    fn transactions(
        &mut self,
        path: &std::path::Path,
        place: SegmentContext,
        walk: &mut LogWalk,
        complete: bool,
    ) {
        let entries = match crate::inspect::transaction_index(path) {
            Ok(entries) => entries,
            Err(failure) if failure.is_file_not_found() => Vec::new(),
            Err(failure) => return self.failure(ProblemKind::Derived, path.to_owned(), &failure),
        };
        self.report.index_entries += entries.len() as u64;
        for (at, entry) in entries.iter().enumerate() {
            let position = at as u64 * crate::format::transaction_index::ABORTED_ENTRY as u64;
            let known = (entry.last_offset, entry.producer_id);
            let after = place.next_base.unwrap_or(walk.expected);
            // A compaction may have taken the marker out.
            let missing = !walk.has_gaps() && !walk.abort_markers.contains(&known);
            if entry.last_offset >= after || missing {
                let reason = format!(
                    "an entry names offset {}, where no transaction of producer {} was aborted",
                    entry.last_offset, entry.producer_id
                );
                return self.problem_at(ProblemKind::Derived, path.to_owned(), position, None, reason);
            }
        }
        if !complete || !self.is_clean() {
            return;
        }
        let lost = |aborted: &&crate::format::transaction_index::AbortedTransaction| {
            !entries.iter().any(|entry| entry.last_offset == aborted.last_offset)
        };
        if let Some(lost) = walk.aborted.iter().find(lost) {
            let reason = format!(
                "the transaction that was aborted at offset {} is missing: its records would be read as committed",
                lost.last_offset
            );
            self.problem(ProblemKind::Derived, path.to_owned(), reason);
        }
    }
}
