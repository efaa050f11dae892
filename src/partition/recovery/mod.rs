//! Looking at a partition's directory: what segments there are, where the log ends, and recovery after an unclean stop.
//!
//! After an orderly close only the last segment is checked, after its last index entry. After an unclean stop
//! see [`unclean`](crate::partition::recovery::unclean).

mod along;
pub(super) mod aside;
pub(super) mod begun;
mod closed;
pub(super) mod epochs;
pub(super) mod missing;
pub(super) mod survey;
mod takeover;
mod truncate;
pub(super) mod unclean;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Damage, Error, Result};
use crate::format::checkpoint::EpochStart;
use crate::format::frame::InvalidBatch;
use crate::partition::Checkpointed;
use crate::partition::cleanup::{Swapped, is_deleted};
use crate::partition::recovery::epochs::{begin_at, epochs_of};
use crate::partition::recovery::missing::MissingRecords;
use crate::partition::recovery::survey::in_order;
use crate::partition::transactions::FoundProducers;
use crate::partition::{LastSegment, PartitionCore};
use crate::position::TopicPartition;
use crate::segment::{self, BatchesEnd, FileState, IndexEntries, Segment};
use crate::sys::disk::{kind_of, length_of};
use crate::sys::{EntryKind, PlainFile, Tail};
pub(super) use along::find_along;
use missing::Compacted;
use parking_lot::Mutex;

/// What was known of a partition before its directory was checked, and what is known of records that are missing.
#[derive(Debug)]
pub(super) struct Evidence {
    checkpointed: Checkpointed,
    compacted: Compacted,
    /// What was found missing before the partition was loaded, for the report of that.
    surveyed: Mutex<Vec<MissingRecords>>,
}

impl Evidence {
    pub(super) fn new(topic: &str, checkpointed: Checkpointed, compacts: bool) -> Self {
        Self {
            checkpointed,
            compacted: Compacted::new(topic, compacts, checkpointed.cleaned),
            surveyed: Mutex::default(),
        }
    }

    /// What the checkpoints of the directory said at the open.
    pub(super) fn checkpointed(&self) -> &Checkpointed {
        &self.checkpointed
    }
}

/// What is in a directory.
pub(in crate::partition) type Names = Vec<(String, EntryKind)>;

/// How often at most a tailing reader lists a directory again while files in it are being renamed.
pub(in crate::partition) const MAX_LISTINGS: usize = 8;

/// What opening a directory found in one partition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PartitionRecovery {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of log that were read and checked.
    pub bytes_scanned: u64,
    /// Bytes after the last complete batch that were cut off: a batch that was being written.
    pub bytes_truncated: u64,
    /// Files in which bytes were kept that were cut although complete batches are among them: copies of parts, and whole
    /// segments that were set aside. No file of an earlier incident was written over.
    pub kept: Vec<PathBuf>,
    /// Records that should be there and are not, in ascending order.
    pub missing: Vec<MissingRecords>,
    /// Where the log ends now.
    pub log_end: u64,
}

impl PartitionRecovery {
    /// Whether anything was checked or found that is worth telling.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.bytes_scanned + self.bytes_truncated > 0 || !self.kept.is_empty() || !self.missing.is_empty()
    }
}

/// A loaded partition.
// One type: the takeover publishes all of it at once.
pub(crate) struct RecoveredLog {
    /// Segments that need nothing done to them.
    pub(in crate::partition) segments: Vec<Arc<Segment>>,
    pub(in crate::partition) log_start: u64,
    pub(in crate::partition) last: Option<LastSegment>,
    pub(in crate::partition) next_offset: u64,
    pub(in crate::partition) epoch: u32,
    /// Segments after those that were checked and still have to be synced.
    pub(in crate::partition) tail: Vec<RecoveredSegment>,
    /// Where leader epochs begin by the batches that were checked.
    pub(in crate::partition) epochs: Vec<EpochStart>,
    /// The first of them, which the first append has left to the first sync.
    pub(in crate::partition) unwritten_epoch: Option<EpochStart>,
    /// Segments below the log start: their base offsets, and where they end.
    pub(in crate::partition) below_start: Vec<(u64, u64)>,
    pub(in crate::partition) producers: FoundProducers,
    pub(in crate::partition) report: PartitionRecovery,
}

/// A segment that was checked after an unclean stop.
pub(in crate::partition) struct RecoveredSegment {
    pub(in crate::partition) base: u64,
    pub(in crate::partition) position: u64,
    pub(in crate::partition) next_offset: u64,
    pub(in crate::partition) entries: IndexEntries,
    /// Bytes after this position may not be on disk.
    pub(in crate::partition) unsynced_from: u64,
}

/// What is in a partition's directory, for a leader: whatever a stop has left unfinished is brought to its end.
fn find(log: &PartitionCore) -> Result<RecoveredLog> {
    let loader = Loader::of(log);
    if !loader.is_there()? {
        return loader.missing();
    }
    if log.is_only_begun()? {
        let found = loader.missing()?;
        log.clear_begun()?;
        return Ok(found);
    }
    // First: looking into the directory may change it, if there is more in it.
    let may_be_begun = log.may_be_begun()?;
    match loader.recovered() {
        Err(Error::Corrupt(_)) if may_be_begun && log.is_begun()? => {
            log.clear_begun()?;
            Ok(loader.empty(0))
        }
        Err(Error::Corrupt(_)) if log.lacks_id()? => {
            log.write_id()?;
            loader.recovered()
        }
        found => found,
    }
}

// One type: a step of recovery each, in files of their own, about one partition without readers yet.
pub(in crate::partition) struct Loader<'l> {
    pub(in crate::partition) log: &'l PartitionCore,
    /// For a tailing reader: what another process is about to swap in.
    pub(in crate::partition) swapped: Swapped,
    /// The directory is the topic's although it has no id: see [`begun`].
    pub(in crate::partition) may_lack_id: bool,
}

impl<'l> Loader<'l> {
    fn of(log: &'l PartitionCore) -> Self {
        Self { log, swapped: Swapped::default(), may_lack_id: false }
    }
}

impl Loader<'_> {
    pub(in crate::partition) fn corrupt(
        &self,
        path: impl Into<PathBuf>,
        position: u64,
        reason: impl Into<Box<str>>,
        offset: u64,
    ) -> Error {
        Error::Corrupt(Box::new(Damage::new(path, position, reason).at_offset(&self.log.id, offset)))
    }

    /// No complete batch begins where one must. `why` says how that is known.
    pub(in crate::partition) fn invalid_batch(
        &self,
        path: &Path,
        position: u64,
        why: &str,
        reason: InvalidBatch,
        offset: u64,
    ) -> Error {
        let damage = Damage::new(path, position, format!("{why}{reason}")).at_offset(&self.log.id, offset);
        reason.error(Box::new(damage))
    }

    fn missing(&self) -> Result<RecoveredLog> {
        let (start, point) =
            (self.log.evidence.checkpointed.log_start, self.log.evidence.checkpointed.recovery_point);
        match point {
            Some(point) if point > 0 => {
                let reason = format!("the directory is missing, but records below offset {point} were in it");
                Err(self.corrupt(&self.log.directory, 0, reason, start))
            }
            _ => Ok(self.empty(start)),
        }
    }

    pub(in crate::partition) fn empty(&self, next_offset: u64) -> RecoveredLog {
        RecoveredLog {
            segments: Vec::new(),
            log_start: next_offset,
            last: None,
            next_offset,
            epoch: self.log.settings.all().first_epoch,
            tail: Vec::new(),
            epochs: Vec::new(),
            unwritten_epoch: None,
            below_start: Vec::new(),
            producers: FoundProducers::default(),
            report: self.report(next_offset),
        }
    }

    fn report(&self, log_end: u64) -> PartitionRecovery {
        let partition = self.log.id.clone();
        PartitionRecovery {
            partition,
            bytes_scanned: 0,
            bytes_truncated: 0,
            kept: Vec::new(),
            missing: Vec::new(),
            log_end,
        }
    }

    fn is_there(&self) -> Result<bool> {
        match kind_of(&self.log.directory)? {
            None => Ok(false),
            Some(EntryKind::Directory) => Ok(true),
            Some(_) => {
                let reason = "something else is where the partition's directory should be; it is left alone";
                Err(Error::Unsupported(Box::new(Damage::new(&self.log.directory, 0, reason))))
            }
        }
    }

    /// What is in the directory, and with it the base offsets of the segments.
    fn listed(&self) -> Result<(Names, Vec<u64>)> {
        let names = self.log.disk.list(&self.log.directory)?;
        let bases = self.bases(&names)?;
        Ok((names, bases))
    }

    /// The first list of a directory that belongs to this topic.
    fn first_listed(&self) -> Result<(Names, Vec<u64>)> {
        if !self.may_lack_id {
            self.log.check_topic_id()?;
        }
        self.log.disk.know_partition()?;
        let (names, bases) = self.listed()?;
        if !Swapped::among(&names).is_empty() {
            self.log.record_compacted();
        }
        Ok((names, bases))
    }

    /// What the leader takes over: after an orderly close as it is, else what recovery leaves of it.
    fn recovered(&self) -> Result<RecoveredLog> {
        let (mut names, mut bases) = self.first_listed()?;
        if self.settle_swap(&names, &bases)? {
            (names, bases) = self.listed()?;
        }
        if self.remove_deleted(&names) {
            (names, bases) = self.listed()?;
        }
        let below_start = self.split_below_start(&mut bases);
        let stored = self.log.read_epochs()?;
        let (are_lost, epochs) = (stored.is_none(), stored.unwrap_or_default());
        let Some(&first) = bases.first() else { return self.without_segments(&epochs) };
        let mut missing = self.missing_front(&names, &bases, self.known_start()?)?;
        let mut begun = self.begun(&names, first, &missing);
        begun.below_start = below_start;
        let is_clean = self.log.evidence.checkpointed.clean;
        if is_clean {
            missing.append(&mut self.log.evidence.surveyed.lock());
        } else {
            missing.extend(self.missing_after(&names, &bases)?);
        }
        begun.report.missing = missing;
        let found = if is_clean { self.clean(&bases, begun)? } else { self.unclean(&bases, begun)? };
        let mut found = self.in_bounds(found)?;
        if are_lost {
            let checked = std::mem::take(&mut found.epochs);
            found.epochs = epochs_of(&found.segments)?;
            let last = found.epochs.last().map(|last| last.epoch);
            found.epochs.extend(checked.into_iter().filter(|seen| last.is_none_or(|last| last < seen.epoch)));
        }
        self.settle_epochs(&mut found, epochs)?;
        self.settle_producers(&mut found)?;
        found.report.missing = in_order(found.report.missing);
        Ok(found)
    }

    /// What is known before the segments are looked into, of which the first begins at `first`.
    fn begun(&self, names: &Names, first: u64, missing: &[MissingRecords]) -> RecoveredLog {
        let log_start = self.start_of(first, missing);
        RecoveredLog { producers: FoundProducers::among(names), log_start, ..self.empty(0) }
    }

    /// Refuses a log that ends before it starts.
    fn in_bounds(&self, mut found: RecoveredLog) -> Result<RecoveredLog> {
        if found.log_start > found.next_offset {
            let reason = format!(
                "the log starts at offset {} by log-start-offset-checkpoint, but ends at {}: if no records are missing, \
                 the checkpoint is wrong, and the log can be opened without the line of this partition in it",
                found.log_start, found.next_offset
            );
            return Err(self.corrupt(&self.log.directory, 0, reason, found.next_offset));
        }
        found.report.log_end = found.next_offset;
        Ok(found)
    }

    /// Removes what an earlier process had deleted: files renamed for that. Returns whether any file was removed.
    fn remove_deleted(&self, names: &Names) -> bool {
        let mut found = false;
        for (name, _) in names.iter().filter(|(name, _)| is_deleted(name)) {
            let _ = self.log.disk.remove_file(&self.log.directory.join(name));
            found = true;
        }
        found
    }

    /// Takes the segments that lie below the log start out of `bases`: they are not part of the log. Their files go with what
    /// retention deletes.
    fn split_below_start(&self, bases: &mut Vec<u64>) -> Vec<(u64, u64)> {
        let start = self.log.evidence.checkpointed.log_start;
        let gone = bases.iter().skip(1).take_while(|next| **next <= start).count();
        let ends: Vec<_> = bases.iter().skip(1).take(gone).copied().collect();
        bases.drain(..gone).zip(ends).collect()
    }

    /// A directory that was made, but no record was appended.
    fn without_segments(&self, epochs: &[EpochStart]) -> Result<RecoveredLog> {
        let start = self.log.evidence.checkpointed.log_start;
        if let Some(point) = self.log.evidence.checkpointed.recovery_point.filter(|point| *point > start) {
            let reason = format!("there is no segment, but records below offset {point} were in one");
            return Err(self.corrupt(&self.log.directory, 0, reason, start));
        }
        let mut found = self.empty(start);
        found.epoch = epochs.last().map_or(found.epoch, |last| last.epoch.max(found.epoch));
        Ok(found)
    }

    /// Base offsets of the segments, ascending. Files of other kinds are left alone.
    pub(in crate::partition) fn bases(&self, names: &[(String, EntryKind)]) -> Result<Vec<u64>> {
        let mut bases = Vec::new();
        for (name, kind) in names {
            let path = || self.log.directory.join(name);
            let unsupported = |reason: &str| Error::Unsupported(Box::new(Damage::new(path(), 0, reason)));
            let (plain, file_state) = FileState::split(name);
            let Some(base) = segment::base_of(plain, segment::LOG) else { continue };
            if !matches!(file_state, FileState::Plain | FileState::Swap) {
                continue;
            }
            if *kind != EntryKind::File {
                return Err(unsupported("something else is where a segment should be; it is left alone"));
            }
            if file_state == FileState::Plain {
                bases.push(base);
            }
        }
        Ok(bases)
    }

    fn path_of(&self, base: u64) -> PathBuf {
        let path = self.log.directory.join(segment::file_name(base, segment::LOG));
        if self.swapped.holds(base) { FileState::Swap.of(&path) } else { path }
    }

    pub(in crate::partition) fn open(&self, base: u64) -> Result<(PlainFile, u64)> {
        let file = self.log.disk.open(&self.path_of(base), false)?;
        let length = check_length(file.path(), file.len()?)?;
        Ok((file, length))
    }

    /// The length of a segment. It is not opened: one that cannot be read keeps no reader from what comes after it.
    pub(in crate::partition) fn length_of(&self, base: u64) -> Result<u64> {
        let path = self.path_of(base);
        check_length(&path, length_of(&path)?)
    }

    pub(in crate::partition) fn segment(
        &self,
        base: u64,
        position: u64,
        next: u64,
        sealed: bool,
    ) -> Result<Arc<Segment>> {
        self.found_segment(base, position, next, sealed).map(Arc::new)
    }

    pub(in crate::partition) fn found_segment(
        &self,
        base: u64,
        position: u64,
        next: u64,
        sealed: bool,
    ) -> Result<Segment> {
        let directory = &self.log.directory;
        let found = Segment::found(
            &self.log.disk,
            directory,
            base,
            BatchesEnd { position, next_offset: next },
            sealed,
        );
        let found = found.map(|found| if self.swapped.holds(base) { found.in_swap() } else { found });
        found.ok_or_else(|| {
            let path = directory.join(segment::file_name(base, segment::LOG));
            self.corrupt(
                path,
                position,
                format!("the next segment's offset {next} does not fit this one"),
                next,
            )
        })
    }

    /// The epoch to write with, never a lower one than was seen. The file follows the batches where these were checked,
    /// and is cut where the log was cut.
    fn settle_epochs(&self, found: &mut RecoveredLog, mut epochs: Vec<EpochStart>) -> Result<()> {
        let before = epochs.clone();
        let highest = epochs.last().map(|last| last.epoch);
        epochs.retain(|known| known.start < found.next_offset || known.start == found.log_start);
        for seen in &found.epochs {
            if epochs.last().is_none_or(|last| last.epoch < seen.epoch) {
                epochs.retain(|known| known.start < seen.start);
                epochs.push(*seen);
            }
        }
        begin_at(&mut epochs, found.log_start);
        let known = highest.max(epochs.last().map(|last| last.epoch));
        found.epoch = known.unwrap_or(0).max(self.log.settings.all().first_epoch).max(found.epoch);
        let was_begun = matches!(self.log.stored_epochs()?, Ok(stored) if stored.is_empty())
            && !self.log.evidence.checkpointed.clean;
        if epochs == before {
            Ok(())
        } else if let ([first @ EpochStart { start: 0, .. }], true) = (&epochs[..], was_begun) {
            found.unwritten_epoch = Some(*first);
            Ok(())
        } else {
            self.log.unless_full("a checkpoint", self.log.write_epochs(&epochs)).map(drop)
        }
    }
}

fn check_length(path: &Path, length: u64) -> Result<u64> {
    if length > Tail::MAX_POSITION {
        let reason = "a log file of 2 GiB and more is not a segment that Kafka writes";
        return Err(Error::Unsupported(Box::new(Damage::new(path, length, reason))));
    }
    Ok(length)
}
