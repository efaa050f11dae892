//! What is on disk about producers and transactions: snapshots of their state, indexes of aborted transactions.
//!
//! Kept as a broker keeps them. A snapshot is written where a segment begins and where the log is closed, also when there
//! are no producers with ids; `NNN.snapshot` is the state before offset NNN. Loading takes the newest one that holds
//! together and goes through the batches after it. All of it can be made from the batches again, and is whenever batches
//! are checked after an unclean stop.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::events::Event;
use crate::format::header::BatchHeader;
use crate::format::transaction_index::{self, AbortedTransaction};
use crate::partition::recovery::{Loader, RecoveredLog};
use crate::partition::transactions::producer_state::ProducerState;
use crate::partition::{Appender, Leader, PartitionCore};
use crate::segment::{
    self, Batches, LogBytes, Note, OFFSET_INDEX, PRODUCER_SNAPSHOT, Segment, TRANSACTION_INDEX,
};
use crate::sys::{EntryKind, PlainFile};

/// How a batch is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// By its header, as long as that is valid.
    Skipped,
    /// Only if it is whole, checksum included.
    Checked,
}

/// More than a broker keeps: its oldest are dropped after a day.
const MAX_SNAPSHOT_BYTES: u64 = 256 << 20;

/// What a loaded partition knows of producers. Follows the log under the lock of the appender.
#[derive(Debug, Default)]
pub(in crate::partition) struct KnownProducers {
    /// Shared with the segments that end at it and have no snapshot yet.
    pub(in crate::partition) state: Arc<ProducerState>,
    /// Up to where batches were found, or after the last one of a producer since.
    pub(in crate::partition) end_offset: u64,
    /// Offset of the newest snapshot; without one, the log start.
    snapshot: u64,
    /// Offset of the snapshot that it was loaded from, if there was one.
    pub(in crate::partition) loaded: Option<u64>,
    /// Where the log ended when it was loaded.
    pub(super) loaded_end: u64,
    /// The last markers that were appended since, without a record between them.
    pub(super) last_markers: Range<u64>,
    /// Aborted by markers since, and not in an index on disk yet; in the order of the markers.
    pub(super) unindexed: Vec<AbortedTransaction>,
}

/// The files of the directory that are about producers, by their names, and what was found out by them.
#[derive(Debug, Default)]
pub(in crate::partition) struct FoundProducers {
    /// Offsets in the names of snapshots, ascending.
    snapshots: Vec<u64>,
    /// Base offsets in the names of transaction indexes and of offset indexes.
    indexed: BTreeSet<u64>,
    offset_indexed: Vec<u64>,
    pub(in crate::partition) state: ProducerState,
    /// The snapshot that was loaded, or the log start, and the offset that the state was then brought to.
    loaded: Range<u64>,
    /// Whether there was such a snapshot.
    had_snapshot: bool,
    /// What a snapshot of that offset is to hold, if there is none.
    unsaved: Option<Vec<u8>>,
    /// The newest snapshot that is right; without one, the log start.
    newest: u64,
}

impl FoundProducers {
    pub(in crate::partition) fn among(names: &[(String, EntryKind)]) -> Self {
        let mut found = Self::default();
        for (name, _) in names.iter().filter(|(_, kind)| *kind == EntryKind::File) {
            let offset = |suffix| segment::base_of(name, suffix);
            found.snapshots.extend(offset(PRODUCER_SNAPSHOT));
            found.indexed.extend(offset(TRANSACTION_INDEX));
            found.offset_indexed.extend(offset(OFFSET_INDEX));
        }
        found
    }

    /// The newest snapshot above `start` that does not go past `end_offset` and holds together.
    pub(super) fn newest_snapshot_of(
        &self,
        log: &PartitionCore,
        start: u64,
        end_offset: u64,
    ) -> Result<Option<(u64, ProducerState)>> {
        log.newest_snapshot(&self.snapshots, start, end_offset)
    }

    /// A segment without an offset index has lost its other indexes too, for a broker.
    pub(super) fn is_indexed(&self, segment: &Segment) -> bool {
        self.offset_indexed.binary_search(&segment.base()).is_ok() || segment.end().position == 0
    }
}

impl Loader<'_> {
    /// The state of producers at the end of a log that was closed cleanly. Without any snapshot there are none, as a
    /// broker takes it: a program that writes with producer ids leaves one, or no offset indexes.
    pub(in crate::partition) fn producers_of_closed(&self, found: &mut RecoveredLog) -> Result<()> {
        found.producers.newest = found.log_start;
        let producers = &found.producers;
        if producers.snapshots.is_empty() && found.segments.iter().all(|one| producers.is_indexed(one)) {
            return Ok(());
        }
        let end_offset = found.next_offset;
        self.load_producers(found, end_offset)
    }

    /// The state of producers before offset `end_offset`: by the newest snapshot, and by the batches after it, which lie in
    /// the segments found so far.
    pub(in crate::partition) fn load_producers(
        &self,
        found: &mut RecoveredLog,
        end_offset: u64,
    ) -> Result<()> {
        let (log, start) = (self.log, found.log_start);
        let producers = &mut found.producers;
        let snapshot = log.newest_snapshot(&producers.snapshots, start, end_offset)?;
        let from = snapshot.as_ref().map_or(start, |(at, _)| *at);
        (producers.newest, producers.loaded) = (from, from..end_offset);
        producers.had_snapshot = snapshot.is_some();
        producers.state = snapshot.map(|(_, state)| state).unwrap_or_default();
        for segment in after(&found.segments, from) {
            // Readers come to damage themselves; what is after it in the segment is not known.
            log.replay(segment, from..end_offset, &mut producers.state, &mut |_| ())?;
        }
        producers.unsaved = (from < end_offset).then(|| producers.state.encode());
        Ok(())
    }

    /// After the batches of a segment were checked: the transactions that its markers aborted, and the state of producers
    /// where the next segment begins.
    pub(in crate::partition) fn settle_recovered(
        &self,
        found: &mut FoundProducers,
        base: u64,
        aborted: &[AbortedTransaction],
        next_base: Option<u64>,
    ) -> Result<()> {
        self.settle_transaction_index(found, base, aborted)?;
        if let Some(next) = next_base {
            let bytes = found.state.encode();
            if self.log.read_snapshot(next)?.as_ref() != Some(&bytes) {
                let written = self.log.disk.replace(&self.log.snapshot_path(next), &bytes);
                if !self.log.unless_full("a snapshot of producers", written)? {
                    return Ok(());
                }
            }
            found.newest = next;
        }
        Ok(())
    }

    fn settle_transaction_index(
        &self,
        found: &mut FoundProducers,
        base: u64,
        aborted: &[AbortedTransaction],
    ) -> Result<()> {
        let path = self.log.directory.join(segment::file_name(base, TRANSACTION_INDEX));
        if aborted.is_empty() {
            if found.indexed.remove(&base) {
                self.log.disk.remove_file(&path)?;
            }
            return Ok(());
        }
        let bytes = transaction_index::encode(aborted);
        found.indexed.insert(base);
        match self.log.disk.read_small(&path, bytes.len() as u64) {
            Ok(Some(known)) if known == bytes => Ok(()),
            _ => {
                let written = self.log.disk.replace(&path, &bytes);
                self.log.unless_full("an index of transactions", written).map(drop)
            }
        }
    }

    /// Brings the files to what a broker would leave: no snapshot outside the log, of those that belong to no segment only
    /// the newest, and an index of transactions for each segment that lost its other indexes.
    pub(in crate::partition) fn settle_producers(&self, found: &mut RecoveredLog) -> Result<()> {
        let mut known = None;
        for segment in &found.segments {
            if found.producers.is_indexed(segment) {
                continue;
            }
            let snapshots = &found.producers.snapshots;
            let aborted = self.log.aborted_by_scan(&found.segments, segment, snapshots, &mut known)?;
            self.settle_transaction_index(&mut found.producers, segment.base(), &aborted)?;
        }
        let FoundProducers { snapshots, loaded, unsaved, newest, .. } = &mut found.producers;
        if let Some(bytes) = unsaved.take() {
            let written = self.log.disk.replace(&self.log.snapshot_path(loaded.end), &bytes);
            if self.log.unless_full("a snapshot of producers", written)? {
                *newest = loaded.end.max(*newest);
            }
        }
        let recovered = found.tail.iter().map(|segment| segment.base);
        let bases: BTreeSet<_> = found.segments.iter().map(|one| one.base()).chain(recovered).collect();
        let last_base = bases.last().copied().unwrap_or(0);
        // Those above the newest one speak of a lost end; those that were passed over do not hold together.
        let is_kept = |at: &u64| {
            (found.log_start + 1..=*newest).contains(at)
                && (*at <= loaded.start || *at >= loaded.end)
                && (bases.contains(at) || (at == newest && *at > last_base))
        };
        for at in snapshots.iter().filter(|at| !is_kept(at)) {
            self.log.disk.remove_file(&self.log.snapshot_path(*at))?;
        }
        Ok(())
    }
}

/// The segments with offsets from `from` on, and those after them.
fn after(segments: &[Arc<Segment>], from: u64) -> &[Arc<Segment>] {
    let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
    segments.get(first..).unwrap_or_default()
}

impl PartitionCore {
    fn snapshot_path(&self, at: u64) -> PathBuf {
        self.directory.join(segment::file_name(at, PRODUCER_SNAPSHOT))
    }

    fn read_snapshot(&self, at: u64) -> Result<Option<Vec<u8>>> {
        self.disk.read_small(&self.snapshot_path(at), MAX_SNAPSHOT_BYTES)
    }

    /// The newest snapshot, which is of the offset `at`, was wrong.
    pub(super) fn emit_snapshot(&self, at: u64, reason: &'static str) {
        self.context.events.emit(|| Event::IndexRebuilt {
            partition: self.id.clone(),
            path: self.snapshot_path(at),
            reason: reason.into(),
        });
    }

    /// The newest snapshot above `start` that does not go past `end_offset` and holds together.
    fn newest_snapshot(
        &self,
        offsets: &[u64],
        start: u64,
        end_offset: u64,
    ) -> Result<Option<(u64, ProducerState)>> {
        for at in offsets.iter().rev().filter(|at| **at > start && **at <= end_offset) {
            let bytes = self.read_snapshot(*at)?;
            let state = bytes.and_then(|bytes| ProducerState::decode(&bytes).ok());
            // What speaks of records after its offset is the snapshot of another one.
            if let Some(state) = state.filter(|state| state.is_before(*at)) {
                return Ok(Some((*at, state)));
            }
        }
        Ok(None)
    }

    /// Notes the batches of a segment in a range of offsets. `Some`: the way ended before, at this
    /// offset.
    pub(super) fn replay(
        &self,
        segment: &Segment,
        range: Range<u64>,
        state: &mut ProducerState,
        aborted: &mut dyn FnMut(AbortedTransaction),
    ) -> Result<Option<u64>> {
        self.pass_batches(segment, range, Passing::Skipped, &mut |header, control| {
            if let Some(transaction) = state.note(header, control) {
                aborted(transaction);
            }
        })
    }

    /// Reports the batches of a segment in a range of offsets. `Some`: the way ended before, at this offset.
    pub(super) fn pass_batches(
        &self,
        segment: &Segment,
        Range { start: from, end: end_offset }: Range<u64>,
        passing: Passing,
        note: Note<'_>,
    ) -> Result<Option<u64>> {
        if segment.base() >= end_offset || segment.next_offset() <= from {
            return Ok(None);
        }
        let (file, length) = (segment.open()?, segment.end().position);
        let mut batches = self.batches_before(segment, &file, length, from)?;
        while batches.position < length && batches.expected < end_offset {
            let expected = batches.expected;
            let mut note = |header: &BatchHeader, control| {
                if u64::try_from(header.last_offset()).is_ok_and(|last| last >= from) {
                    note(header, control);
                }
            };
            let ended = match passing {
                Passing::Skipped => batches.pass(&mut note)?,
                Passing::Checked => batches.pass_whole(&mut note)?,
            };
            if ended.is_some() || batches.expected > segment.next_offset() {
                return Ok(Some(expected.max(from)));
            }
        }
        Ok(None)
    }

    /// The batches of a segment from the one on that its index has before an offset.
    fn batches_before<'f>(
        &self,
        segment: &Segment,
        file: &'f PlainFile,
        length: u64,
        offset: u64,
    ) -> Result<Batches<'f>> {
        let relative = u32::try_from(offset.saturating_sub(segment.base())).unwrap_or(0);
        let bytes = LogBytes { base: segment.base(), length };
        let position = segment::start_before(&self.disk, file, bytes, relative)?.unwrap_or_else(|wrong| {
            segment.doubt(wrong);
            0
        });
        Ok(Batches::new(file, length, position, segment.base()))
    }

    /// Whether a segment has anything but control records at these offsets: records, or what cannot be read.
    pub(super) fn has_records(&self, segment: &Segment, offsets: Range<u64>) -> Result<bool> {
        if segment.base() >= offsets.end || segment.next_offset() <= offsets.start {
            return Ok(false);
        }
        let (file, length) = (segment.open()?, segment.end().position);
        let mut batches = self.batches_before(segment, &file, length, offsets.start)?;
        while batches.position < length && batches.expected < offsets.end {
            let mut has_none = false;
            let mut note = |header: &BatchHeader, _| {
                has_none = header.is_control() || header.record_count == 0;
            };
            let is_invalid = batches.pass(&mut note)?.is_some();
            if is_invalid || (batches.expected > offsets.start && !has_none) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The transactions that were aborted by markers in `segment`, as its batches tell. Begins at one of the snapshots, or
    /// at the state `known` before an offset, which is then that after the segment.
    fn aborted_by_scan(
        &self,
        segments: &[Arc<Segment>],
        segment: &Segment,
        snapshots: &[u64],
        known: &mut Option<(u64, ProducerState)>,
    ) -> Result<Vec<AbortedTransaction>> {
        let end_offset = segment.base();
        let snapshot = self.newest_snapshot(snapshots, 0, end_offset)?;
        let nearest = snapshot.into_iter().chain(known.take()).max_by_key(|(at, _)| *at);
        let (from, mut state) = nearest.unwrap_or_default();
        for before in after(segments, from) {
            self.replay(before, from..end_offset, &mut state, &mut |_| ())?;
        }
        let mut aborted = Vec::new();
        self.replay(segment, end_offset..u64::MAX, &mut state, &mut |transaction| aborted.push(transaction))?;
        *known = Some((segment.next_offset(), state));
        Ok(aborted)
    }

    /// As [`aborted_by_scan`](Self::aborted_by_scan), for a reader.
    pub(super) fn scan_for_aborted(&self, segment: &Segment) -> Result<Vec<AbortedTransaction>> {
        let names = FoundProducers::among(&self.disk.list(&self.directory)?);
        self.aborted_by_scan(self.segments().as_slice(), segment, &names.snapshots, &mut None)
    }
}

impl Leader {
    /// Takes over what loading found out.
    pub(in crate::partition) fn set_producers(&self, found: FoundProducers, end_offset: u64) {
        let first_open = found.state.first_open();
        if let Some(last) =
            end_offset.checked_sub(1).filter(|_| !found.state.is_empty() && self.durable_end() < end_offset)
        {
            // Any of the markers found past what is on disk may be lost yet.
            self.reading.unsettled.add(self.log_start(), last);
        }
        let loaded = found.had_snapshot.then_some(found.loaded.start);
        *self.producers.known.lock() = KnownProducers {
            state: Arc::new(found.state),
            end_offset,
            snapshot: found.newest,
            loaded,
            loaded_end: end_offset,
            ..KnownProducers::default()
        };
        self.reading.stability.publish(first_open);
    }

    /// Replaces the state of producers by the one by all batches below `end_offset` and what was appended since, and writes that
    /// to a snapshot where the log ends or, while it is appended to, where its segment will end.
    pub(super) fn adopt_producers(&self, mut state: ProducerState, end_offset: u64) -> Result<()> {
        let appender = self.writer.appender();
        let end = appender.next_offset().max(end_offset);
        for segment in after(self.segments().as_slice(), end_offset) {
            if self.replay(segment, end_offset..end, &mut state, &mut |_| ())?.is_some() {
                // Damage: what was known stays.
                return Ok(());
            }
        }
        let _order = self.writer.finishing();
        let first_open = state.first_open();
        let bytes = state.encode();
        {
            let mut producers = self.producers.known.lock();
            producers.end_offset = producers.end_offset.max(end);
            (producers.state, producers.snapshot) = (Arc::new(state), self.log_start());
        }
        self.writer.forget_sealed_producers();
        self.reading.stability.publish_anew(first_open);
        let is_active = matches!(&*appender, Appender::Active { .. });
        drop(appender);
        self.sleepers.wake_all();
        if is_active {
            return Ok(());
        }
        self.by_name(|| self.disk.replace(&self.snapshot_path(end), &bytes))?;
        self.producers.known.lock().snapshot = end;
        Ok(())
    }

    /// Writes the snapshot for the log up to `at`, where a segment or the log ends. Runs under `finishing`.
    pub(in crate::partition) fn keep_snapshot(&self, at: u64, state: &ProducerState) -> Result<()> {
        if at <= self.producers.known.lock().snapshot {
            return Ok(());
        }
        self.disk.replace(&self.snapshot_path(at), &state.encode())?;
        self.producers.known.lock().snapshot = at;
        Ok(())
    }

    /// Enters the transactions that were aborted by markers below `end` into the indexes on disk. Recovery takes the indexes of
    /// what lies below the recovery point as they are, so this comes before the point passes a marker. Runs under `finishing`.
    pub(in crate::partition) fn index_aborted(&self, end: u64) -> Result<()> {
        let unindexed: Vec<_> = {
            let known = self.producers.known.lock();
            known.unindexed.iter().take_while(|aborted| aborted.last_offset < end).copied().collect()
        };
        if unindexed.is_empty() {
            return Ok(());
        }
        let segments = self.segments();
        for of_one in unindexed.chunk_by(|one, next| {
            let base =
                |of: &AbortedTransaction| segments.holding(of.last_offset).map(|segment| segment.base());
            base(one) == base(next)
        }) {
            let Some(last) = of_one.last() else { continue };
            // One that has left the log needs no index.
            let Some(segment) = segments.holding(last.last_offset) else { continue };
            let mut entries = self.index_of(segment)?;
            let known_to = entries.last().map_or(0, |entry| entry.last_offset + 1);
            entries.extend(of_one.iter().filter(|aborted| aborted.last_offset >= known_to));
            let bytes = transaction_index::encode(&entries);
            segment.by_name(|log| self.disk.replace(&segment::beside(log, TRANSACTION_INDEX), &bytes))?;
        }
        self.disk.sync_directory(&self.directory)?;
        self.producers.known.lock().unindexed.drain(..unindexed.len());
        Ok(())
    }
}
