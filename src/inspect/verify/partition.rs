//! A partition's directory: which files there are, and what goes from one log file to the next.

use std::path::{Path, PathBuf};

use super::absences::Absences;
use super::segment::SegmentContext;
use super::{FutureSegment, ProblemKind, Verifier};
use crate::catalog::metadata_directory;
use crate::clock::Timestamp;
use crate::format::checkpoint::{EpochStart, parse_epochs};
use crate::format::file_names::{
    BEING_CLEANED, DELETED, LEADER_EPOCHS, METADATA_SNAPSHOT, PARTITION_METADATA, SWAP, UNFINISHED,
};
use crate::format::header::BatchHeader;
use crate::format::partition_metadata;
use crate::format::transaction_index::AbortedTransaction;
use crate::inspect::MAX_SMALL_BYTES;
use crate::partition::{Checkpointed, ProducerState, is_always_compacted, is_aside, lacks_id, record_epoch};
use crate::position::TopicPartition;
use crate::segment::{
    LOG, OFFSET_INDEX, PRODUCER_SNAPSHOT, TIME_INDEX, TRANSACTION_INDEX, base_of, file_name,
};
use crate::sys::EntryKind;

/// What a broker reads only if the name begins with an offset, and dies of otherwise.
const BY_OFFSET: [&str; 5] = [LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, PRODUCER_SNAPSHOT];
/// Ends of names of what is on its way out.
const LEFTOVERS: [&str; 4] = [DELETED, BEING_CLEANED, SWAP, UNFINISHED];

/// What is known of a partition while its log files are gone through in order.
// One type: each segment is compared with what all before it have said.
pub(super) struct LogWalk {
    /// The log file at hand.
    pub(super) path: PathBuf,
    directory: PathBuf,
    /// Offset after the last batch.
    pub(super) expected: u64,
    /// Records below were on disk once.
    pub(super) recovery_point: u64,
    /// Offsets were missing in the log file at hand.
    gaps: bool,
    pub(super) absences: Absences,
    epoch: i32,
    seen: Vec<EpochStart>,
    /// By the checkpoint, if there is one that counts.
    epochs: Option<Vec<EpochStart>>,
    pub(super) producers: ProducerState,
    /// In the log file at hand: by the producers' state, and by the markers alone.
    pub(super) aborted: Vec<AbortedTransaction>,
    pub(super) abort_markers: Vec<(u64, i64)>,
    /// Largest timestamps in the log file at hand: of all records, and of those that are not in the future.
    newest: i64,
    newest_past: Option<i64>,
}

impl LogWalk {
    pub(super) fn begin_segment(&mut self, base: u64) {
        self.absences.begin_segment(&self.path, self.expected..base);
        self.path = self.directory.join(file_name(base, LOG));
        self.gaps = false;
        self.expected = self.expected.max(base);
        self.aborted.clear();
        self.abort_markers.clear();
        (self.newest, self.newest_past) = (-1, None);
    }

    /// Notes the largest timestamp of a batch.
    pub(super) fn record_time(&mut self, timestamp: i64, now: i64) {
        self.newest = self.newest.max(timestamp);
        if (0..=now).contains(&timestamp) {
            self.newest_past = self.newest_past.max(Some(timestamp));
        }
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.gaps
    }

    /// What is wrong with the leader epoch of the next batch.
    pub(super) fn leader_epoch(&mut self, header: &BatchHeader, first: u64) -> Option<String> {
        let epoch = header.leader_epoch;
        self.gaps |= first > self.expected;
        if epoch < -1 {
            return Some(format!("the leader epoch is {epoch}, but −1 is the least"));
        }
        if epoch < 0 {
            return None;
        }
        if epoch < self.epoch {
            return Some(format!("the leader epoch goes back from {} to {epoch}", self.epoch));
        }
        record_epoch(&mut self.seen, header);
        self.epoch = epoch;
        let begun = self.epochs.as_ref()?.iter().rev().find(|known| known.start <= first)?;
        (i64::from(begun.epoch) != i64::from(epoch)).then(|| {
            format!("the batch has leader epoch {epoch}, but by {LEADER_EPOCHS} it is {}", begun.epoch)
        })
    }
}

impl Verifier<'_, '_> {
    /// Everything in a partition's directory.
    pub(super) fn partition(&mut self, directory: &Path, id: &TopicPartition, may_have_been_compacted: bool) {
        self.report.partitions += 1;
        let names = match self.dir.disk().list(directory) {
            Ok(names) => names,
            Err(failure) => return self.failure(ProblemKind::Unreadable, directory.to_owned(), &failure),
        };
        let bases: Vec<u64> = names.iter().filter_map(|(name, _)| base_of(name, LOG)).collect();
        self.names(directory, &names, &bases);
        let known = self.checkpoints.of(id);
        self.partition_metadata(directory, &known);
        let of_compaction = |name: &str| name.ends_with(BEING_CLEANED) || name.ends_with(SWAP);
        let may_have_been_compacted = may_have_been_compacted
            || is_always_compacted(id.topic())
            || known.cleaned.is_some()
            || names.iter().any(|(name, _)| of_compaction(name));
        let mut walk = LogWalk {
            path: directory.to_owned(),
            directory: directory.to_owned(),
            expected: bases.first().copied().unwrap_or(0),
            recovery_point: known.recovery_point.unwrap_or(0),
            gaps: false,
            absences: Absences::new(may_have_been_compacted),
            epoch: -1,
            seen: Vec::new(),
            epochs: self.epochs(directory),
            producers: ProducerState::default(),
            aborted: Vec::new(),
            abort_markers: Vec::new(),
            newest: -1,
            newest_past: None,
        };
        for (at, &base) in bases.iter().enumerate() {
            let place = SegmentContext { base, next_base: bases.get(at + 1).copied() };
            let path = directory.join(file_name(base, LOG));
            if let Err(failure) = self.segment(path.clone(), place, &mut walk) {
                self.failure(ProblemKind::Unreadable, path, &failure);
            }
            if self.report.interrupted {
                return;
            }
            self.future(&walk);
        }
        let first_epoch = walk.epochs.as_ref().and_then(|epochs| epochs.first()).map(|first| first.start);
        if let Some(first) = bases.first() {
            walk.absences.record_start(directory, *first, first_epoch, known.log_start);
        }
        self.missing_records(id, &walk.absences);
        self.end(directory, &bases, &walk, known);
        self.snapshots(directory, &names, walk.expected);
        self.seen_epochs = walk.seen;
    }

    /// Whether the log file at hand is kept only because of a timestamp in the future.
    fn future(&mut self, walk: &LogWalk) {
        let Some(age) = self.retention_ms else { return };
        let is_old = |past: i64| self.now.saturating_sub(past) > age;
        if walk.newest > self.now && walk.newest_past.is_none_or(is_old) {
            let timestamp = Timestamp::from_millis(walk.newest);
            self.report.kept_by_future_timestamp.push(FutureSegment { path: walk.path.clone(), timestamp });
        }
    }

    /// Whether the log reaches as far as the checkpoints say.
    fn end(&mut self, directory: &Path, bases: &[u64], walk: &LogWalk, known: Checkpointed) {
        let end = walk.expected;
        // A broker does not keep the recovery point of its metadata log, so that one of ours would be left.
        let closed_at = known.recovery_point.filter(|_| *directory != metadata_directory(self.dir.root()));
        let log_start = known.log_start;
        let last =
            bases.last().map_or_else(|| directory.to_owned(), |last| directory.join(file_name(*last, LOG)));
        // An empty partition has its log start alone.
        if end < walk.recovery_point && !(bases.is_empty() && walk.recovery_point <= log_start) {
            let reason = format!(
                "the log ends at offset {end}, but records below offset {} were on disk",
                walk.recovery_point
            );
            self.problem(ProblemKind::Log, last, reason);
        } else if self.is_clean() && closed_at.is_some_and(|point| point < end) && !bases.is_empty() {
            let reason =
                format!("the log ends at offset {end}, but it was closed cleanly at {}", walk.recovery_point);
            self.problem(ProblemKind::Log, last, reason);
        } else if !bases.is_empty() && end < log_start {
            let reason = format!("the log starts at offset {log_start} by its checkpoint, but ends at {end}");
            self.problem(ProblemKind::Log, last, reason);
        }
        if self.is_clean()
            && let Some(later) =
                walk.epochs.as_ref().and_then(|all| all.last()).filter(|last| last.start > end)
        {
            let reason =
                format!("epoch {} begins at offset {}, but the log ends at {end}", later.epoch, later.start);
            self.problem(ProblemKind::Checkpoint, directory.join(LEADER_EPOCHS), reason);
        }
    }

    /// Names that a broker cannot load beside, files without the log they belong to, and what is on its way out.
    fn names(&mut self, directory: &Path, names: &[(String, EntryKind)], bases: &[u64]) {
        for (name, kind) in names {
            let path = directory.join(name);
            if LEFTOVERS.iter().any(|end| name.ends_with(end)) || is_aside(name) {
                self.report.leftovers += 1;
                continue;
            }
            let Some(suffix) = BY_OFFSET.into_iter().find(|suffix| is_of(name, suffix)) else { continue };
            match base_of(name, suffix) {
                None => {
                    let reason =
                        "the name does not begin with the 20 digits of an offset; a broker does not load it";
                    self.problem(ProblemKind::Name, path, reason);
                }
                Some(_) if *kind != EntryKind::File => {
                    let reason = "something else is where a file of a segment should be";
                    self.problem(ProblemKind::Name, path, reason);
                }
                Some(base)
                    if suffix != PRODUCER_SNAPSHOT
                        && bases.binary_search(&base).is_err()
                        && self.is_clean() =>
                {
                    self.problem(
                        ProblemKind::Derived,
                        path,
                        "there is no log file that the index belongs to",
                    );
                }
                Some(_) => {}
            }
        }
        for (name, _) in names.iter().filter(|(name, _)| name.ends_with(METADATA_SNAPSHOT)) {
            self.snapshot_of_metadata(&directory.join(name));
        }
    }

    fn partition_metadata(&mut self, directory: &Path, known: &Checkpointed) {
        let path = directory.join(PARTITION_METADATA);
        match self.dir.disk().read_small(&path, MAX_SMALL_BYTES) {
            Ok(Some(bytes)) => {
                if let Err(reason) = partition_metadata::parse(&bytes) {
                    self.problem(ProblemKind::Catalog, path, reason.0);
                }
            }
            // Recovery makes it anew.
            Ok(None)
                if !self.is_clean() && matches!(lacks_id(self.dir.disk(), directory, known), Ok(true)) => {}
            Ok(None) => {
                let reason = "the file is missing, so it is not known which topic the directory belongs to";
                self.problem(ProblemKind::Catalog, path, reason);
            }
            Err(failure) => self.failure(ProblemKind::Catalog, path, &failure),
        }
    }

    /// Where leader epochs begin. `None` if nothing can be held against it: a writer brings the file up to date when an
    /// epoch begins, but not before a batch of it can be read.
    fn epochs(&mut self, directory: &Path) -> Option<Vec<EpochStart>> {
        let path = directory.join(LEADER_EPOCHS);
        match self.dir.disk().read_small(&path, MAX_SMALL_BYTES) {
            Ok(None) => None,
            Ok(Some(bytes)) => match parse_epochs(&bytes) {
                Ok(epochs) => Some(epochs).filter(|epochs| self.is_clean() && !epochs.is_empty()),
                Err(reason) => {
                    self.problem(ProblemKind::Checkpoint, path, reason.0);
                    None
                }
            },
            Err(failure) => {
                self.failure(ProblemKind::Checkpoint, path, &failure);
                None
            }
        }
    }

    /// The snapshots of producers.
    fn snapshots(&mut self, directory: &Path, names: &[(String, EntryKind)], log_end: u64) {
        for (name, _) in names.iter().filter(|(_, kind)| *kind == EntryKind::File) {
            let Some(at) = base_of(name, PRODUCER_SNAPSHOT) else { continue };
            let path = directory.join(name);
            let reason = match crate::inspect::producer_snapshot(&path) {
                Err(failure) => {
                    self.failure(ProblemKind::Derived, path, &failure);
                    continue;
                }
                Ok(entries) => {
                    self.report.index_entries += entries.len() as u64;
                    let is_later = |last: i64| u64::try_from(last).is_ok_and(|last| last >= at);
                    if self.is_clean() && at > log_end {
                        format!("the snapshot is of offset {at}, but the log ends at {log_end}")
                    } else if entries.iter().any(|entry| is_later(entry.last_offset)) {
                        format!("the snapshot is of offset {at}, but speaks of records after it")
                    } else {
                        continue;
                    }
                }
            };
            self.problem(ProblemKind::Derived, path, reason);
        }
    }
}

/// Whether a name ends in `.suffix`.
fn is_of(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|front| front.ends_with('.'))
}
