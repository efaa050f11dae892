//! Taking away what is derived and wrong, so that the next open rebuilds it.
//!
//! | wrong | taken away | because |
//! |---|---|---|
//! | an index | the three indexes of its log file | without the offset index, a broker and this crate make all three anew |
//! | a snapshot of producers | it, and the mark of an orderly close | without the mark the state is made from the batches |
//! | a checkpoint of offsets | it | without it more is checked |
//! | a checkpoint of leader epochs | nothing: it is written anew | the batches show where epochs begin |
//!
//! Where batches are damaged nothing is taken away: what is beside them may help to repair them by hand.

use std::path::Path;

use super::{ProblemKind, Verifier};
use crate::error::Result;
use crate::format::checkpoint::encode_epochs;
use crate::format::file_names::{CLEAN_MARKER, LEADER_EPOCHS};
use crate::segment::{OFFSET_INDEX, PRODUCER_SNAPSHOT, TIME_INDEX, TRANSACTION_INDEX};
use crate::sys::Disk;

impl Verifier<'_, '_> {
    /// Repairs what can be repaired of what was found last. What fails stays a problem.
    pub(super) fn repair_pending(&mut self) {
        let epochs = std::mem::take(&mut self.seen_epochs);
        let Some(disk) = &self.repair else { return };
        if self.pending.iter().any(|problem| problem.kind == ProblemKind::Log) {
            return;
        }
        for problem in &mut self.pending {
            let done = match problem.kind {
                ProblemKind::Derived => take_away(disk, self.dir.root(), &problem.path),
                ProblemKind::Checkpoint if problem.path.ends_with(LEADER_EPOCHS) => {
                    disk.replace(&problem.path, encode_epochs(&epochs).as_bytes())
                }
                ProblemKind::Checkpoint => disk.remove_file(&problem.path).map(drop),
                _ => continue,
            };
            problem.repaired = done.is_ok();
        }
    }
}

fn take_away(disk: &Disk, root: &Path, path: &Path) -> Result<()> {
    // First what makes the next open look: a stop in between costs time, not correctness.
    let is_snapshot = path.extension().is_some_and(|suffix| suffix == PRODUCER_SNAPSHOT);
    let (first, then) = if is_snapshot {
        (root.join(CLEAN_MARKER), vec![path.to_owned()])
    } else {
        let others = [TIME_INDEX, TRANSACTION_INDEX].map(|suffix| path.with_extension(suffix));
        (path.with_extension(OFFSET_INDEX), others.to_vec())
    };
    disk.remove_file(&first)?;
    disk.sync_directory(first.parent().unwrap_or(root))?;
    for path in &then {
        disk.remove_file(path)?;
    }
    disk.sync_directory(path.parent().unwrap_or(root))
}
