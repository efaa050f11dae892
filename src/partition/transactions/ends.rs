//! What the markers in a log say of transactions, for readers that want committed records only.
//!
//! A transaction is decided by the next marker of its producer after its records, and by nothing else. The indexes of aborted
//! transactions are kept for brokers, and asked only about what lies after damage. Snapshots of producers say which
//! transactions are open: they are held against the batches before a reader goes by them.
//!
//! Markers are looked for when a reader comes to the first batch of a transaction, from there on and no further than it
//! takes to decide what the reader may see. A log without transactions costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::format::control::ControlRecord;
use crate::format::header::BatchHeader;
use crate::format::transaction_index::AbortedTransaction;
use crate::partition::transactions::aborted::Aborted;
use crate::partition::transactions::producer_state::ProducerState;
use crate::partition::transactions::snapshots::{FoundProducers, Passing};
use crate::partition::transactions::tailed::Decided;
use crate::partition::{Leader, PartitionCore, Tailing};
use crate::segment::Segment;

/// With more aborted transactions than this, those before the reader's offset are forgotten: markers are looked for anew
/// from there on.
const MAX_ABORTED: usize = 1 << 16;

/// What is wrong with a snapshot that does not agree with the batches.
const OTHERS_ARE_OPEN: &str = "other transactions are open than it says";

/// How transactions end, by the batches from one offset to another.
#[derive(Debug)]
pub(super) struct Ends {
    from: u64,
    end_offset: u64,
    /// Of transactions that have not ended: producer, and the first offset that was found.
    open: BTreeMap<i64, u64>,
    aborted: Vec<AbortedTransaction>,
    /// Where batches were last found to be damaged.
    damaged_at: Option<u64>,
}

impl Ends {
    fn from(offset: u64) -> Self {
        Self {
            from: offset,
            end_offset: offset,
            open: BTreeMap::new(),
            aborted: Vec::new(),
            damaged_at: None,
        }
    }

    /// Whether they cover the batches of `segment` from this offset on, or can be extended to do so.
    fn are_of(&self, segment: &Segment, from: u64) -> bool {
        let is_damaged = self.damaged_at.is_some_and(|at| (segment.base()..from).contains(&at));
        (self.from..=self.end_offset).contains(&from) && !is_damaged && self.aborted.len() <= MAX_ABORTED
    }

    /// Notes the next batch.
    fn note(&mut self, header: &BatchHeader, control: Option<ControlRecord>) {
        let (producer_id, Ok(offset)) = (header.producer_id, u64::try_from(header.base_offset)) else {
            return;
        };
        match control {
            Some(ControlRecord::Abort { .. }) => {
                if let Some(first_offset) = self.open.remove(&producer_id) {
                    let ended =
                        AbortedTransaction { producer_id, first_offset, last_offset: offset, last_stable: 0 };
                    self.aborted.push(ended);
                }
            }
            Some(ControlRecord::Commit { .. }) => drop(self.open.remove(&producer_id)),
            None if header.is_transactional() && !header.is_control() => {
                self.open.entry(producer_id).or_insert(offset);
            }
            _ => {}
        }
    }

    /// The batches from `at` to before `end_offset` are damaged: what their index says of them is all there is. A transaction
    /// that it does not list counts as committed, as for a broker.
    fn skip_damage(&mut self, at: u64, end_offset: u64, index: Vec<AbortedTransaction>) {
        for mut ended in index.into_iter().filter(|one| (at..end_offset).contains(&one.last_offset)) {
            let first = self.open.remove(&ended.producer_id);
            ended.first_offset = first.map_or(ended.first_offset, |first| first.min(ended.first_offset));
            self.aborted.push(ended);
        }
        self.open.clear();
        self.damaged_at = Some(at);
    }

    /// First offset of the oldest transaction that has not ended.
    fn first_open(&self) -> Option<u64> {
        self.open.values().min().copied()
    }
}

impl PartitionCore {
    /// The aborted transactions with records in `segment` from `from` on, and whether there is one that no marker ends although
    /// it should be stable by what is published.
    pub(in crate::partition) fn aborted_in(&self, segment: &Segment, from: u64) -> Result<(Aborted, bool)> {
        let mut known = self.reading.ends.lock();
        // In this order: a transaction that is decided by the offset has its marker in this list, below the ends that are asked
        // for after it.
        let next = segment.next_offset();
        let first_unstable = self.reading.stability.first_unstable();
        let list = self.segments();
        let log_end = list.last().map_or(0, |last| last.next_offset());
        let usable = known.take().filter(|ends| ends.are_of(segment, from) && ends.end_offset <= log_end);
        let mut ends = usable.unwrap_or_else(|| Ends::from(from));
        // What begins past the first unstable offset is not shown, whether it has ended or not.
        let shown = next.min(first_unstable);
        let is_unresolved = |ends: &Ends| ends.first_open().is_some_and(|first| first < shown);
        for one in list.iter().filter(|one| one.next_offset() > from) {
            if ends.end_offset >= next && !is_unresolved(&ends) {
                break;
            }
            self.note_ends(one, &mut ends)?;
        }
        let unresolved = is_unresolved(&ends);
        let aborted = ends.aborted.iter().filter(|one| one.last_offset >= from && one.first_offset < next);
        let found = Aborted::of(aborted.copied().collect()).known_below(ends.end_offset.min(next));
        *known = Some(ends);
        Ok((found, unresolved))
    }

    fn note_ends(&self, segment: &Segment, ends: &mut Ends) -> Result<()> {
        let (from, end_offset) = (ends.end_offset, segment.next_offset());
        if end_offset <= from {
            return Ok(());
        }
        let mut note = |header: &BatchHeader, control| ends.note(header, control);
        // Of a damaged header another transaction could be made.
        let damaged = self.pass_batches(segment, from..end_offset, Passing::Checked, &mut note)?;
        if let Some(at) = damaged {
            ends.skip_damage(at, end_offset, self.index_of(segment)?);
        }
        ends.end_offset = end_offset;
        Ok(())
    }

    /// Whether the batches after the snapshot before the one of offset `snapshot` lead to the same open transactions at
    /// `end_offset`. Where neither knows of a producer, that is believed: a log without transactions is not gone through.
    pub(super) fn bears_out(
        &self,
        names: &FoundProducers,
        snapshot: Option<u64>,
        claimed: &ProducerState,
        end_offset: u64,
    ) -> Result<bool> {
        let start = self.log_start();
        let before = names.newest_snapshot_of(self, start, snapshot.unwrap_or(0).saturating_sub(1))?;
        let (from, mut state) = before.unwrap_or_else(|| (start, ProducerState::default()));
        if snapshot.is_some() && claimed.is_empty() && state.is_empty() {
            return Ok(true);
        }
        for segment in self.segments().iter() {
            if self.replay(segment, from..end_offset, &mut state, &mut |_| ())?.is_some() {
                // Damage: the batches prove nothing.
                return Ok(true);
            }
        }
        Ok(state.open().eq(claimed.open()))
    }

    /// The state of producers by all batches, and where the log ends by them. `None`: some batches are damaged.
    fn state_by_batches(&self) -> Result<Option<(ProducerState, u64)>> {
        let list = self.segments();
        let end = list.last().map_or(0, |last| last.next_offset());
        let mut state = ProducerState::default();
        for segment in list.iter() {
            let mut note = |header: &BatchHeader, control| _ = state.note(header, control);
            if self.pass_batches(segment, 0..end, Passing::Checked, &mut note)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some((state, end)))
    }
}

impl Leader {
    /// Holds the transactions that are open by the newest snapshot against the batches after the one before it, once.
    pub(in crate::partition) fn prove_open(&self) -> Result<()> {
        if self.producers.are_proven.load(Ordering::Acquire) {
            return Ok(());
        }
        let (claimed, snapshot, end_offset) = {
            let producers = self.producers.known.lock();
            (Arc::clone(&producers.state), producers.loaded, producers.end_offset)
        };
        if end_offset == 0 {
            return Ok(());
        }
        let names = FoundProducers::among(&self.disk.list(&self.directory)?);
        if !self.bears_out(&names, snapshot, &claimed, end_offset)? {
            self.decide_anew(OTHERS_ARE_OPEN)?;
        }
        self.producers.are_proven.store(true, Ordering::Release);
        Ok(())
    }

    /// All batches below `end` were gone through, and these transactions are open by them.
    pub(crate) fn correct_open(&self, found: ProducerState, end: u64) -> Result<()> {
        let is_known = {
            let known = self.producers.known.lock();
            known.end_offset <= end && known.state.open().eq(found.open())
        };
        if is_known || self.agrees(&found, end)? {
            return Ok(());
        }
        self.emit_snapshot(self.producers.known.lock().loaded.unwrap_or(0), OTHERS_ARE_OPEN);
        self.adopt_producers(found, end)
    }

    /// Whether the batches from `end` on lead from what was found there to what is known. What cannot be read proves nothing.
    fn agrees(&self, found: &ProducerState, end: u64) -> Result<bool> {
        let mut state = found.clone();
        let appender = self.writer.appender();
        let log_end = appender.next_offset();
        for segment in self.segments().iter() {
            if self.replay(segment, end..log_end, &mut state, &mut |_| ())?.is_some() {
                return Ok(true);
            }
        }
        let agrees = state.open().eq(self.producers.known.lock().state.open());
        drop(appender);
        Ok(agrees)
    }

    /// Finds out by all batches which transactions are open. Where some are damaged, what was known stays.
    pub(in crate::partition) fn decide_anew(&self, reason: &'static str) -> Result<()> {
        let Some((state, end)) = self.state_by_batches()? else { return Ok(()) };
        let at = self.producers.known.lock().loaded.unwrap_or(0);
        self.emit_snapshot(at, reason);
        self.adopt_producers(state, end)
    }
}

impl Tailing {
    /// The same where another process appends.
    pub(in crate::partition) fn decide_anew(&self, reason: &'static str) -> Result<()> {
        let Some((state, end)) = self.state_by_batches()? else { return Ok(()) };
        self.emit_snapshot(0, reason);
        let first_open = state.first_open().unwrap_or(end);
        *self.decided.lock() = Some(Decided { state, end_offset: end });
        self.reading.stability.publish_anew(Some(first_open));
        Ok(())
    }
}
