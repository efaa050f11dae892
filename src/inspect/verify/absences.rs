//! Offsets of a partition that no segment has, and what its batches say of compactions, while its log files are gone
//! through in order.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Problem, ProblemKind, Verifier};
use crate::catalog::checkpoints::Checkpoints;
use crate::format::frame::Frame;
use crate::position::TopicPartition;
use crate::segment::{LOG, file_name, is_dense};

/// What is found so far.
pub(super) struct Absences {
    /// With the file that ends before them, or should have them.
    missing: Vec<(PathBuf, Range<u64>)>,
    /// By what is known of the partition, or by its batches.
    may_have_been_compacted: bool,
    /// The next batch was found after damage.
    follows_damage: bool,
    /// A compaction has gone through the segment at hand, and through all before this offset.
    cleaned: bool,
    cleaned_to: u64,
}

impl Absences {
    pub(super) fn new(may_have_been_compacted: bool) -> Self {
        Self {
            missing: Vec::new(),
            may_have_been_compacted,
            follows_damage: false,
            cleaned: false,
            cleaned_to: 0,
        }
    }

    /// A segment begins at the end of `between`, at whose start the file before has ended.
    pub(super) fn begin_segment(&mut self, before: &Path, between: Range<u64>) {
        if std::mem::take(&mut self.cleaned) {
            // Whole segments are gone through.
            self.cleaned_to = between.end;
        }
        if !between.is_empty() {
            self.missing.push((before.to_owned(), between));
        }
    }

    /// What comes next follows damage, which is reported by itself.
    pub(super) fn record_damage(&mut self) {
        self.follows_damage = true;
    }

    /// Notes what a batch, before which offset `expected` was due, says of a compaction.
    pub(super) fn record(&mut self, frame: &Frame, expected: u64) {
        let is_compacted = !std::mem::take(&mut self.follows_damage) && !is_dense(frame, expected);
        self.may_have_been_compacted |= is_compacted;
        self.cleaned |= is_compacted;
    }

    /// Segments may be missing before the first, by where the first leader epoch begins and by the log start.
    pub(super) fn record_start(&mut self, directory: &Path, first: u64, epoch: Option<u64>, log_start: u64) {
        // A checkpoint has no line for a log that starts at offset 0.
        let start = epoch.max(Some(log_start).filter(|start| *start > 0));
        if let Some(start) = start.filter(|start| *start < first) {
            self.missing.insert(0, (directory.join(file_name(start, LOG)), start..first));
        }
    }
}

impl Verifier<'_, '_> {
    /// Reports records that are missing, but not where a compaction has gone through, by its checkpoint or because offsets
    /// are missing inside the segment before the gap or in a later one.
    pub(super) fn missing_records(&mut self, id: &TopicPartition, absences: &Absences) {
        if absences.missing.is_empty() {
            return;
        }
        // A writer may have compacted meanwhile.
        let checkpoints = Checkpoints::read(&self.dir, self.is_clean()).ok();
        let cleaned = checkpoints.and_then(|now| now.of(id).cleaned).unwrap_or(0).max(absences.cleaned_to);
        for (path, Range { start, end }) in &absences.missing {
            let compacted = absences.may_have_been_compacted;
            let start = if compacted { cleaned.max(*start) } else { *start };
            if start >= *end {
                continue;
            }
            let reason = format!("the records from offset {start} to {} are missing", end - 1);
            let reason = if compacted {
                format!("{reason}, unless a compaction took them out; no checkpoint reports one")
            } else {
                format!("{reason}: no segment has them")
            };
            let (path, kind) = (path.clone(), ProblemKind::Missing);
            let offset = Some(start);
            self.pending.push(Problem { path, position: None, offset, kind, reason, repaired: false });
        }
    }
}
