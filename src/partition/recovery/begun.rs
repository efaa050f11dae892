//! The directory of a partition whose first append never came to its end, or was never synced.
//!
//! The first append makes the directory, `partition.metadata` and the log file, and leaves it to the first sync to have their
//! names on disk: see [`beginning`](crate::partition::writer::beginning). A broker makes `leader-epoch-checkpoint` and index
//! files too. Until that sync a stop leaves any of these files or none, and a power failure leaves them empty, cut or full of
//! zeros.
//!
//! | found | it is |
//! |---|---|
//! | nothing else, and no byte of a record | as good as none |
//! | the same with records, and `partition.metadata` | a log that was never synced: what is complete of it is served |
//! | the same, and no `partition.metadata` | the same: it is made anew |
//! | the same, and a `partition.metadata` that says nothing, or of another topic | damage |
//!
//! A checkpoint that knows of records in the partition says otherwise: then what is missing was there.

use std::path::Path;

use crate::error::Result;
use crate::format::checkpoint::parse_epochs;
use crate::format::file_names::{LEADER_EPOCHS, PARTITION_METADATA, PREPARED, UNFINISHED};
use crate::format::partition_metadata;
use crate::format::uuid::Uuid;
use crate::partition::{Checkpointed, PartitionCore};
use crate::segment::{self, LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX};
use crate::sys::disk::kind_of;
use crate::sys::{Disk, EntryKind};

/// Far more than either text ever holds.
const MAX_BYTES: u64 = 1 << 20;
/// What is read at a time of a file that should hold zeros.
const STEP: usize = 64 << 10;

/// Whether a directory holds nothing but what a first append makes before it writes a record, in any state.
pub(crate) fn holds_no_record(disk: &Disk, directory: &Path) -> Result<bool> {
    match look_for_records(disk, directory) {
        // Another process is at work in it.
        Err(failure) if failure.is_file_not_found() => Ok(false),
        found => found.map(|found| !found),
    }
}

/// Whether no file is there but those that a first append makes, whatever is in them.
fn has_no_other_names(names: &[(String, EntryKind)]) -> bool {
    let suffixes = [LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX];
    let is_made = |name: &str| match plain(name) {
        PARTITION_METADATA | LEADER_EPOCHS | PREPARED => true,
        plain => suffixes.iter().any(|suffix| segment::base_of(plain, suffix).is_some()),
    };
    let is_log = |name: &str| segment::base_of(plain(name), LOG).is_some();
    names.iter().all(|(name, kind)| *kind == EntryKind::File && is_made(name))
        && names.iter().filter(|(name, _)| is_log(name)).count() <= 1
}

/// A file that takes the place of another one is written beside it.
fn plain(name: &str) -> &str {
    name.strip_suffix(UNFINISHED).unwrap_or(name)
}

/// Whether there is a byte of a record, or something that a first append does not make.
fn look_for_records(disk: &Disk, directory: &Path) -> Result<bool> {
    let names = disk.list(directory)?;
    if !has_no_other_names(&names) {
        return Ok(true);
    }
    for (name, _) in names {
        let path = directory.join(&name);
        let is_fine = match plain(&name) {
            PARTITION_METADATA => true,
            // The epoch of the first append is one; others began where records were.
            LEADER_EPOCHS => epochs_in(disk, &path)? <= 1,
            _ => is_zero(disk, &path)?,
        };
        if !is_fine {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many epochs the file lists. One that is invalid lists none.
fn epochs_in(disk: &Disk, path: &Path) -> Result<usize> {
    let bytes = disk.read_small(path, MAX_BYTES)?.unwrap_or_default();
    Ok(parse_epochs(&bytes).map_or(0, |epochs| epochs.len()))
}

fn is_zero(disk: &Disk, path: &Path) -> Result<bool> {
    let (file, mut position) = (disk.open(path, false)?, 0);
    let mut buffer = vec![0; STEP];
    loop {
        let read = file.read_at(&mut buffer, position)?;
        if buffer.iter().take(read).any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < buffer.len() {
            return Ok(true);
        }
        position += read as u64;
    }
}

/// Whether a directory may be one of a first append that never came to its end, or was never synced: by its names, and by what
/// the checkpoints know.
fn may_be_begun(disk: &Disk, directory: &Path, known: &Checkpointed) -> Result<bool> {
    let had_records = [known.recovery_point, known.cleaned, Some(known.log_start)];
    if had_records.into_iter().flatten().any(|offset| offset > 0) {
        return Ok(false);
    }
    Ok(has_no_other_names(&disk.list(directory)?))
}

/// Whether the id is missing that the first append gives the directory, of one that was begun and not closed: the names that it
/// made were not synced. The directory is the topic's, because nothing was in its place when the topic was created.
pub(crate) fn lacks_id(disk: &Disk, directory: &Path, known: &Checkpointed) -> Result<bool> {
    Ok(!known.clean
        && kind_of(&directory.join(PARTITION_METADATA))?.is_none()
        && may_be_begun(disk, directory, known)?
        && epochs_in(disk, &directory.join(LEADER_EPOCHS))? <= 1)
}

impl PartitionCore {
    pub(super) fn may_be_begun(&self) -> Result<bool> {
        may_be_begun(&self.disk, &self.directory, &self.evidence.checkpointed)
    }

    pub(super) fn lacks_id(&self) -> Result<bool> {
        lacks_id(&self.disk, &self.directory, &self.evidence.checkpointed)
    }

    /// Whether it is one, by what is in its files.
    pub(super) fn is_begun(&self) -> Result<bool> {
        let is_anothers = self.stored_id()?.is_some_and(|id| id != self.topic_id);
        Ok(!is_anothers && holds_no_record(&self.disk, &self.directory)?)
    }

    /// Removes what is in a directory that was only begun, but for the id that ties it to its topic, and without one the
    /// directory too: a broker would take it for one of no topic. The next append makes all of it anew.
    pub(in crate::partition) fn clear_begun(&self) -> Result<()> {
        let has_id = self.stored_id()?.is_some();
        for (name, _) in self.disk.list(&self.directory)? {
            if !(has_id && name == PARTITION_METADATA) {
                self.disk.remove_file(&self.directory.join(name))?;
            }
        }
        if has_id { Ok(()) } else { self.disk.remove_empty_directory(&self.directory) }
    }

    /// The topic id in the directory. `None`: there is none that can be read.
    pub(in crate::partition) fn stored_id(&self) -> Result<Option<Uuid>> {
        let bytes = self.disk.read_small(&self.metadata_file(), MAX_BYTES)?;
        Ok(bytes.and_then(|bytes| partition_metadata::parse(&bytes).ok()))
    }
}
