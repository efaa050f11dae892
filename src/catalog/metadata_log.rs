//! The metadata log on disk: `__cluster_metadata-0`, a partition like any other, and the snapshots beside it.
//!
//! | what | how |
//! |---|---|
//! | a change | one batch, on disk before [`append`](MetadataLog::append) returns; never split, so it is atomic |
//! | the file | of exact length at any time, outside retention and compaction, never rewritten |
//! | reading | the newest `OFFSET-EPOCH.checkpoint`, then the records of the log from OFFSET on |
//!
//! The log is recovered as a whole at every open, as a broker does: a batch that is not complete at the end was never
//! promised to anybody. Used under the catalog's lock.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoints::Checkpoints;
use super::log_dir::LogDir;
use super::state::State;
use crate::config::topic_name::CLUSTER_METADATA;
use crate::config::{Durability, ReadUpTo};
use crate::error::{Damage, Error, PoisonCause, Result};
use crate::events::Announcer;
use crate::format::Malformed;
use crate::format::batch::{Batch, BatchBuilder, MAX_BATCH_BYTES};
use crate::format::compression::DEFAULT_DECOMPRESSED_BYTES;
use crate::format::control::{self, ControlRecord};
use crate::format::file_names::{METADATA_SNAPSHOT, QUORUM_STATE};
use crate::format::frame::{FrameKind, valid_batch_at};
use crate::format::metadata_record::MetadataRecord;
use crate::format::raw_record::RawRecord;
use crate::format::record::RecordFields;
use crate::format::uuid::Uuid;
use crate::partition::{
    AppendAt, AppendRequest, Checkpointed, Cursor, FetchLimits, Flush, PartitionContext, PartitionLog,
    PartitionOpening, PartitionRecovery, PartitionSettings, Retention,
};
use crate::position::TopicPartition;
use crate::sys::{Disk, EntryKind};

const SETTINGS: PartitionSettings = PartitionSettings {
    segment_bytes: 1 << 30,
    max_batch_bytes: i32::MAX.unsigned_abs(),
    max_decompressed_bytes: DEFAULT_DECOMPRESSED_BYTES,
    index_interval_bytes: 4096,
    first_epoch: 1,
    segment_ms: i64::MAX,
    segment_jitter_ms: 0,
    flush: Flush::NEVER,
    retention: Retention::NEVER,
    compaction: None,
};
const LIMITS: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };
/// A snapshot holds what is left of the log; this is far more than any cluster has.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;
/// What a batch of ordinary changes needs; the buffer is not kept larger.
const KEPT_BUFFER_BYTES: usize = 64 << 10;

/// The one writer of the metadata log.
#[derive(Debug)]
pub(super) struct MetadataLog {
    log: Arc<PartitionLog>,
    builder: BatchBuilder,
    /// For a log that tails another process: offset after the last record that was read.
    read_to: u64,
}

/// An opened metadata log and what is in it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) log: MetadataLog,
    pub(super) state: State,
    /// Nothing was ever written, not even by the program that formatted the directory.
    pub(super) is_new: bool,
    pub(super) recovery: Option<PartitionRecovery>,
}

/// A snapshot in the directory of the log: all records below an offset, those left out that no longer matter.
struct Snapshot {
    path: PathBuf,
    end: u64,
}

impl MetadataLog {
    /// Recovers and reads the metadata log of a directory. Makes nothing that is not there.
    /// Always recovered like after an unclean stop. Every change was synced before it was acknowledged, so what lies
    /// below the recovery point is damage if it does not hold together, and is never cut.
    pub(super) fn open(dir: &LogDir, checkpoints: &Checkpoints, events: &Announcer) -> Result<Read> {
        let checkpointed = Checkpointed { clean: false, ..checkpoints.of(&(CLUSTER_METADATA, 0).into()) };
        let (id, topic_id, disk) =
            (TopicPartition::from((CLUSTER_METADATA, 0)), Uuid::METADATA_TOPIC, dir.disk().exact());
        let context = PartitionContext { events: events.clone(), ..PartitionContext::default() };
        let opening = PartitionOpening {
            id,
            topic_id,
            root: dir.root(),
            disk: &disk,
            settings: SETTINGS,
            checkpointed,
            context,
        };
        let log = PartitionLog::open(opening);
        let recovery = log.load()?;
        if let Ok(leader) = log.leader() {
            // What is acted upon must not be gone after a power failure; a stopped process may have left it unsynced.
            leader.sync()?;
        }
        let (state, read_to) = read_all(&log, &disk)?;
        let is_new = read_to == 0 && state == State::default();
        state.check().map_err(|reason| Error::Corrupt(Box::new(Damage::new(log.directory(), 0, reason))))?;
        let log = Self { log, builder: BatchBuilder::default(), read_to };
        Ok(Read { log, state, is_new, recovery })
    }

    /// What another process has written since the open or the last call, replayed into `state`; `None`: nothing.
    pub(super) fn read_on(&mut self, disk: &Disk, state: &State) -> Result<Option<State>> {
        let bounds = self.log.bounds()?;
        if bounds.log_end == self.read_to {
            return Ok(None);
        }
        let (state, read_to) = if (bounds.log_start..bounds.log_end).contains(&self.read_to) {
            let mut state = state.clone();
            let read_to = read(&self.log, self.read_to, &mut state)?;
            (state, read_to)
        } else {
            // A snapshot has taken the place of records that were not read yet.
            read_all(&self.log, disk)?
        };
        self.read_to = read_to;
        Ok(Some(state))
    }

    /// Whether this is the partition in which the log is.
    pub(super) fn is_partition(topic: &str, partition: u32) -> bool {
        (topic, partition) == (CLUSTER_METADATA, 0)
    }

    /// The partition, for the code that copies it.
    pub(super) fn partition(&self) -> Arc<PartitionLog> {
        Arc::clone(&self.log)
    }

    /// Which partition this is, and up to where it is on disk.
    pub(super) fn recovery_point(&self) -> Option<(TopicPartition, u64)> {
        Some((self.log.id().clone(), self.log.recovery_point()?))
    }

    /// Appends one change, and returns the offset of its first record when it is on disk. After an error it is not
    /// in the log, unless the error is [`Error::Poisoned`]: then that is known at the next open, and nothing can be appended
    /// before.
    pub(super) fn append(&mut self, records: &[MetadataRecord], now: i64) -> Result<u64> {
        // A topic in a directory that has gone elsewhere is no topic here.
        self.log.check_place()?;
        self.builder.clear(KEPT_BUFFER_BYTES);
        for record in records {
            let value = record.encode();
            let fields = RecordFields { key: None, value: Some(&value), headers: &[] };
            // One timestamp for all: a broker refuses metadata records with a delta.
            let measured = self.builder.measure(&fields, now);
            let bytes = self.builder.bytes_with(&measured);
            if bytes > MAX_BATCH_BYTES {
                return Err(Error::TooLarge { bytes: bytes as u64, limit: MAX_BATCH_BYTES as u64 });
            }
            self.builder.push(&fields, measured, now);
        }
        let Some(mut batch) = self.builder.finish() else { return Ok(self.log.bounds()?.log_end) };
        let request = AppendRequest::new(&mut batch, AppendAt::End, Durability::Synced);
        let base = self.log.leader()?.append(request)?.base_offset;
        let leader = self.log.leader()?;
        if let Err(failure) = leader.sync() {
            // The change is in the log and not acted upon: whatever was refused, nothing may follow it.
            leader.refuse_writes(&PoisonCause::new(self.log.id().clone(), &failure));
            return leader.sync().and(Err(failure));
        }
        Ok(base)
    }

    /// The leader epoch of the next change.
    pub(super) fn epoch(&self) -> u32 {
        self.log.leader().map_or(0, |leader| leader.leader_epoch())
    }

    /// Changes from here on are of this leader epoch.
    pub(super) fn bump_epoch(&self, to: u32) -> Result<()> {
        self.log.leader()?.bump_leader_epoch(to)
    }

    /// Where the log is, for messages about it.
    pub(super) fn directory(&self) -> &Path {
        self.log.directory()
    }

    pub(super) fn close(&self) -> Result<()> {
        self.log.close()
    }
}

/// Whether a file beside the segments is part of the log: a snapshot, and what a broker notes of the quorum.
pub(super) fn belongs_to_log(name: &str) -> bool {
    snapshot_name(name).is_some() || name == QUORUM_STATE
}

/// The newest snapshot and what follows it; with the offset after the last record.
fn read_all(log: &Arc<PartitionLog>, disk: &Disk) -> Result<(State, u64)> {
    let mut state = State::default();
    let bounds = log.bounds()?;
    let snapshot = newest_snapshot(disk, log.directory())?;
    let end = snapshot.as_ref().map_or(0, |snapshot| snapshot.end);
    if end < bounds.log_start || end > bounds.log_end {
        let reason = format!(
            "the snapshots cover the records below offset {end}, but the log holds {} to {}",
            bounds.log_start, bounds.log_end
        );
        return Err(Error::Corrupt(Box::new(Damage::new(log.directory(), 0, reason))));
    }
    if let Some(snapshot) = &snapshot {
        snapshot.read(disk, &mut state)?;
        state.forget_history();
    }
    let read_to = read(log, end, &mut state)?;
    Ok((state, read_to))
}

/// Replays the records of the log from an offset on, and reports where they end.
fn read(log: &Arc<PartitionLog>, from: u64, state: &mut State) -> Result<u64> {
    let mut cursor = Cursor::new(Arc::clone(log), from, ReadUpTo::Visible);
    while let Some(fetched) = cursor.fetch(LIMITS)? {
        let mut rest = fetched.bytes.as_ref();
        while let Some((batch, after)) = Batch::take_checked(rest) {
            rest = after;
            replay(&batch, fetched.from..fetched.end_offset, None, state).map_err(|(offset, reason)| {
                let damage = Damage::new(log.directory(), 0, reason.to_string());
                reason.error(Box::new(damage.at_offset(log.id(), offset)))
            })?;
        }
    }
    Ok(cursor.offset())
}

/// Replays the records of a batch whose offsets are meant, as ones that are at `place` if they are somewhere else. An
/// error comes with the offset of its record.
fn replay(
    batch: &Batch<'_>,
    meant: Range<u64>,
    place: Option<u64>,
    state: &mut State,
) -> std::result::Result<(), (u64, Malformed)> {
    state.set_epoch(batch.header.leader_epoch);
    if batch.header.is_control() {
        replay_control(batch, state);
        return Ok(());
    }
    let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
    let mut records = batch.records();
    for _ in 0..batch.header.record_count {
        let record = RawRecord::take(&mut records).map_err(|reason| (base, reason))?;
        let offset = base + u64::from(record.offset_delta.unsigned_abs());
        if meant.contains(&offset) {
            let value = record.value.ok_or((offset, Malformed("a metadata record has no value")))?;
            let decoded = MetadataRecord::decode(value).map_err(|reason| (offset, reason))?;
            state.at(place.unwrap_or(offset)).apply(decoded).map_err(|reason| (offset, reason))?;
        }
    }
    Ok(())
}

/// Of what the quorum writes for itself only its members matter.
fn replay_control(batch: &Batch<'_>, state: &mut State) {
    let mut records = batch.records();
    for _ in 0..batch.header.record_count {
        let Ok(record) = RawRecord::take(&mut records) else { return };
        if let Ok(ControlRecord::KRaftVoters) = ControlRecord::decode(record.key, record.value)
            && let Some(Ok(voters)) = record.value.map(control::voters)
        {
            state.set_voters(voters);
        }
    }
}

/// The snapshot that covers most, and of those the latest.
fn newest_snapshot(disk: &Disk, directory: &Path) -> Result<Option<Snapshot>> {
    if crate::sys::disk::kind_of(directory)? != Some(EntryKind::Directory) {
        return Ok(None);
    }
    let names = disk.list(directory)?;
    let newest = names.iter().filter_map(|(name, _)| Some((snapshot_name(name)?, name))).max();
    Ok(newest.map(|((end, _), name)| Snapshot { path: directory.join(name), end }))
}

/// Offset and epoch of a name `OFFSET-EPOCH.checkpoint`, with exactly 20 and 10 digits.
pub(super) fn snapshot_name(name: &str) -> Option<(u64, u32)> {
    let (offset, epoch) = name.strip_suffix(METADATA_SNAPSHOT)?.split_once('-')?;
    let all_digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits(offset, 20) && all_digits(epoch, 10) {
        Some((offset.parse().ok()?, epoch.parse().ok()?))
    } else {
        None
    }
}

impl Snapshot {
    /// Replays all of the snapshot. It was renamed into place when it was complete, so all of it must be valid.
    fn read(&self, disk: &Disk, state: &mut State) -> Result<()> {
        let file = disk.read_small(&self.path, MAX_SNAPSHOT_BYTES)?.unwrap_or_default();
        let (mut position, mut expected) = (0, 0);
        while let Some(rest) = file.get(position..).filter(|rest| !rest.is_empty()) {
            let damage = |reason: String| Box::new(Damage::new(&self.path, position as u64, reason));
            let frame =
                valid_batch_at(rest, expected).map_err(|reason| reason.error(damage(reason.to_string())))?;
            let whole = rest.get(..frame.bytes).filter(|_| matches!(frame.kind, FrameKind::Batch(_)));
            let Some(batch) = whole.and_then(Batch::of_frame) else {
                return Err(Error::Corrupt(damage("a snapshot holds batches of format 2 only".into())));
            };
            if !batch.header.is_control() {
                batch.check_records().map_err(|reason| Error::Corrupt(damage(reason.to_string())))?;
            }
            // Its records have offsets of its own.
            replay(&batch, 0..u64::MAX, Some(self.end.saturating_sub(1)), state)
                .map_err(|(_, reason)| reason.error(damage(reason.to_string())))?;
            position += frame.bytes;
            expected = frame.last_offset() + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_have_names_of_twenty_and_ten_digits() {
        assert_eq!(snapshot_name("00000000000000000061-0000000001.checkpoint"), Some((61, 1)));
        for other in [
            "leader-epoch-checkpoint",
            "00000000000000000061-0000000001.checkpoint.part123",
            "00000000000000000061-0000000001.checkpoint.deleted",
            "61-1.checkpoint",
            "0000000000000000006x-0000000001.checkpoint",
            "99999999999999999999-0000000001.checkpoint",
        ] {
            assert_eq!(snapshot_name(other), None, "{other}");
        }
    }
}
