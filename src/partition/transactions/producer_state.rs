//! The producers that write with ids, and their transactions, as the batches of a partition report them.
//!
//! Pure bookkeeping: code that goes through batches in order records each here, and so does the appender of its own.

use std::collections::BTreeMap;

use crate::format::Malformed;
use crate::format::control::ControlRecord;
use crate::format::header::BatchHeader;
use crate::format::producer_snapshot::{self, ProducerEntry};
use crate::format::transaction_index::AbortedTransaction;
use crate::partition::LastBatch;

/// As a broker's `producer.id.expiration.ms`, which is the same for all topics.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

/// A transaction with records in a partition that no marker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) first_offset: u64,
    pub(crate) producer_id: i64,
}

/// What is known after the batches that were noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    entries: BTreeMap<i64, ProducerEntry>,
    /// Transactions that are open: first offset and producer.
    open: BTreeMap<u64, i64>,
}

impl ProducerState {
    /// The state that a snapshot file holds. A transaction that no marker could end would keep readers of what is committed from
    /// all that follows, so a snapshot with one is refused.
    pub(in crate::partition) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut state = Self::default();
        for entry in producer_snapshot::decode(bytes)? {
            if let Ok(start) = u64::try_from(entry.transaction_start)
                && state.open.insert(start, entry.producer_id).is_some()
            {
                return Err(Malformed("two transactions of a producer snapshot begin at one offset"));
            }
            if state.entries.insert(entry.producer_id, entry).is_some() {
                return Err(Malformed("a producer snapshot has an entry twice"));
            }
        }
        Ok(state)
    }

    pub(in crate::partition) fn encode(&self) -> Vec<u8> {
        producer_snapshot::encode(self.entries.values())
    }

    /// Whether it knows of no producer.
    pub(in crate::partition) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it speaks of no record at or after an offset.
    pub(super) fn is_before(&self, offset: u64) -> bool {
        let is_below = |at: i64| u64::try_from(at).map_or(true, |at| at < offset);
        self.entries.values().all(|entry| is_below(entry.last_offset) && is_below(entry.transaction_start))
    }

    pub(in crate::partition) fn last_batches(&self) -> BTreeMap<i64, LastBatch> {
        let last = |entry: &ProducerEntry| LastBatch { last_offset: entry.last_offset, epoch: entry.epoch };
        self.entries.iter().map(|(id, entry)| (*id, last(entry))).collect()
    }

    /// First offset of the oldest transaction that is open.
    pub(crate) fn first_open(&self) -> Option<u64> {
        self.open.keys().next().copied()
    }

    /// The transactions that are open, oldest first.
    pub(in crate::partition) fn open(&self) -> impl Iterator<Item = OpenTransaction> {
        self.open.iter().map(|(first_offset, producer_id)| OpenTransaction {
            first_offset: *first_offset,
            producer_id: *producer_id,
        })
    }

    /// Where the open transaction of a producer begins.
    pub(super) fn open_of(&self, producer_id: i64) -> Option<u64> {
        let entry = self.entries.get(&producer_id)?;
        u64::try_from(entry.transaction_start).ok()
    }

    /// Epoch of a producer and of the coordinator that wrote for it last; −1: none did.
    pub(in crate::partition) fn epochs_of(&self, producer_id: i64) -> Option<(i16, i32)> {
        self.entries.get(&producer_id).map(|entry| (entry.epoch, entry.coordinator_epoch))
    }

    /// The largest producer id.
    pub(super) fn highest_id(&self) -> Option<i64> {
        self.entries.keys().next_back().copied()
    }

    /// Forgets producers whose last batch is a day old at the time `now`, unless a transaction of theirs is open.
    pub(super) fn forget_idle(&mut self, now: i64) {
        self.entries.retain(|_, entry| !is_idle(entry, now));
    }

    pub(super) fn has_idle(&self, now: i64) -> bool {
        self.entries.values().any(|entry| is_idle(entry, now))
    }

    /// Notes the next batch. Returns the transaction that it aborts, if it does and the transaction had records here.
    pub(crate) fn note(
        &mut self,
        header: &BatchHeader,
        control: Option<ControlRecord>,
    ) -> Option<AbortedTransaction> {
        if header.producer_id < 0 {
            return None;
        }
        match control {
            Some(ControlRecord::Abort { coordinator_epoch }) => {
                let first_offset = self.end_transaction(header, coordinator_epoch)?;
                let last_offset = u64::try_from(header.base_offset).ok()?;
                let last_stable = self.first_open().unwrap_or(last_offset.saturating_add(1));
                let producer_id = header.producer_id;
                Some(AbortedTransaction { producer_id, first_offset, last_offset, last_stable })
            }
            Some(ControlRecord::Commit { coordinator_epoch }) => {
                self.end_transaction(header, coordinator_epoch);
                None
            }
            None if !header.is_control() => {
                self.note_records(header);
                None
            }
            // Nothing of a producer's, or a marker that was taken out by a compaction.
            _ => None,
        }
    }

    fn entry(&mut self, header: &BatchHeader) -> &mut ProducerEntry {
        let id = header.producer_id;
        let entry = self.entries.entry(id).or_insert_with(|| ProducerEntry::new(id));
        if entry.epoch != header.producer_epoch {
            // Sequences of another epoch say nothing any more.
            let ProducerEntry { last_sequence, last_offset, offset_delta, .. } = ProducerEntry::new(id);
            *entry = ProducerEntry { last_sequence, last_offset, offset_delta, ..*entry };
            entry.epoch = header.producer_epoch;
        }
        entry.timestamp = header.max_timestamp;
        entry
    }

    fn note_records(&mut self, header: &BatchHeader) {
        let entry = self.entry(header);
        entry.last_sequence = last_sequence(header);
        entry.last_offset = header.last_offset();
        entry.offset_delta = header.last_offset_delta;
        if header.is_transactional()
            && entry.transaction_start < 0
            && let Ok(start) = u64::try_from(header.base_offset)
        {
            entry.transaction_start = header.base_offset;
            self.open.insert(start, header.producer_id);
        }
    }

    /// Returns where the transaction began, if it had records here.
    fn end_transaction(&mut self, header: &BatchHeader, coordinator_epoch: i32) -> Option<u64> {
        let entry = self.entry(header);
        entry.coordinator_epoch = coordinator_epoch;
        let start = u64::try_from(std::mem::replace(&mut entry.transaction_start, -1)).ok()?;
        self.open.remove(&start);
        Some(start)
    }
}

fn is_idle(entry: &ProducerEntry, now: i64) -> bool {
    entry.transaction_start < 0 && now.saturating_sub(entry.timestamp) >= PRODUCER_EXPIRATION_MS
}

/// The producers of a snapshot, if it is one, followed through a row of batches.
#[cfg(any(fuzzing, test))]
pub(crate) fn follow_producers(snapshot: &[u8], mut batches: &[u8]) {
    use crate::format::frame::{FrameKind, frame_at};
    let mut state = ProducerState::decode(snapshot).unwrap_or_default();
    while let Ok(frame) = frame_at(batches) {
        let (bytes, rest) = batches.split_at(frame.bytes);
        // In a log a batch comes after all that is known before it.
        if let FrameKind::Batch(header) = frame.kind
            && u64::try_from(header.base_offset).is_ok_and(|base| state.is_before(base))
        {
            state.note(&header, ControlRecord::of_batch(bytes));
        }
        batches = rest;
    }
    assert!(state.open().count() <= state.entries.len());
    assert!(state.first_open().is_none_or(|first| !state.is_before(first)));
    let again = ProducerState::decode(&state.encode()).expect("our own snapshot");
    assert_eq!(again.entries, state.entries);
}

/// Sequences count from 0 to 2³¹−1 and begin anew.
fn last_sequence(header: &BatchHeader) -> i32 {
    match header.base_sequence {
        ..0 => -1,
        base => base.wrapping_add(header.last_offset_delta) & i32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::format::frame::{FrameKind, valid_batch_at};
    use crate::format::transaction_index;
    use crate::segment::{self, base_of};

    #[test]
    fn a_snapshot_with_a_transaction_that_could_not_end_is_refused() {
        let entry = |producer_id, transaction_start| ProducerEntry {
            transaction_start,
            ..ProducerEntry::new(producer_id)
        };
        for (entries, accepted) in [
            (vec![entry(1, 5), entry(2, 6), entry(3, -1)], true),
            (vec![entry(1, 5), entry(1, 6)], false),
            (vec![entry(1, 5), entry(1, -1)], false),
            (vec![entry(1, -1), entry(1, -1)], false),
            (vec![entry(1, 5), entry(2, 5)], false),
        ] {
            let state = ProducerState::decode(&producer_snapshot::encode(entries.iter()));
            assert_eq!(state.is_ok(), accepted, "{entries:?}: {state:?}");
        }
    }

    /// The log files of a partition of the vectors, in order, and what their batches say when noted in order.
    fn replayed(partition: &Path, mut at_each: impl FnMut(u64, &ProducerState)) -> Vec<AbortedTransaction> {
        let names = fs::read_dir(partition).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut bases: Vec<_> = names.filter_map(|name| base_of(&name, segment::LOG)).collect();
        bases.sort_unstable();
        let (mut state, mut aborted) = (ProducerState::default(), Vec::new());
        for base in bases {
            let file = fs::read(partition.join(segment::file_name(base, segment::LOG))).unwrap();
            let (mut rest, mut expected) = (&file[..], base);
            while let Ok(frame) = valid_batch_at(rest, expected) {
                let FrameKind::Batch(header) = frame.kind else { panic!("legacy") };
                at_each(u64::try_from(header.base_offset).unwrap(), &state);
                aborted.extend(state.note(&header, ControlRecord::of_batch(&rest[..frame.bytes])));
                (rest, expected) = (&rest[frame.bytes..], frame.last_offset() + 1);
            }
            at_each(expected, &state);
        }
        aborted
    }

    fn vectors(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
    }

    #[test]
    fn transactions_are_what_a_broker_saw() {
        for partition in ["clean-4.1/logdir/tx-0", "clean-4.1/logdir/tx-1", "killed-4.1/logdir/tx-0"] {
            let partition = vectors("broker").join(partition);
            let mut open = None;
            let aborted = replayed(&partition, |_, state| open = state.first_open());
            let killed = partition.to_str().unwrap().contains("killed");
            assert_eq!(open, killed.then_some(59));
            let names = fs::read_dir(&partition).unwrap().map(|e| e.unwrap().path());
            let index = names.filter(|path| path.extension().is_some_and(|end| end == "txnindex"));
            let bytes: Vec<_> = index.flat_map(|path| fs::read(path).unwrap()).collect();
            assert_eq!(transaction_index::encode(&aborted), bytes, "{}", partition.display());
        }
    }

    /// A broker leaves out producers that were idle for a day; all others must be what it noted.
    #[test]
    fn snapshots_are_what_a_broker_wrote() {
        let mut compared = 0;
        for folder in ["clean-4.1", "killed-4.1"] {
            for entry in fs::read_dir(vectors("broker").join(folder).join("logdir")).unwrap() {
                let partition = entry.unwrap().path();
                // Compactions have taken out what the snapshots speak of; the deleted one has only its last segment.
                let name = partition.file_name().unwrap().to_str().unwrap().to_owned();
                if !partition.is_dir() || name.contains("less") || name.starts_with("compacted") {
                    continue;
                }
                replayed(&partition, |offset, state| {
                    let path = partition.join(segment::file_name(offset, segment::PRODUCER_SNAPSHOT));
                    let Ok(bytes) = fs::read(&path) else { return };
                    let theirs = ProducerState::decode(&bytes).unwrap();
                    for (id, entry) in &theirs.entries {
                        assert_eq!(state.entries.get(id), Some(entry), "{}", path.display());
                        compared += 1;
                    }
                    assert_eq!(theirs.open, state.open, "{}", path.display());
                });
            }
        }
        assert!(compared > 60, "{compared}");
    }

    #[test]
    fn snapshots_come_back() {
        replayed(&vectors("broker/killed-4.1/logdir/tx-0"), |_, state| {
            assert_eq!(ProducerState::decode(&state.encode()).as_ref(), Ok(state));
        });
    }

    #[test]
    fn sequences_begin_anew_after_the_largest() {
        let header = |base_sequence, last_offset_delta| BatchHeader {
            last_offset_delta,
            base_sequence,
            ..BatchHeader::read(&[0; 61])
        };
        assert_eq!(last_sequence(&header(i32::MAX - 1, 1)), i32::MAX);
        assert_eq!(last_sequence(&header(i32::MAX, 1)), 0);
        assert_eq!(last_sequence(&header(i32::MAX - 1, 4)), 2);
        assert_eq!(last_sequence(&header(-1, 4)), -1);
    }
}
