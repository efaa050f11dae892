//! The coordinator of all transactional ids of an open directory: who has which, and what becomes of their transactions.
//!
//! Locks: that of an id comes before those of `__transaction_state` and of partitions. It is not held while a sync is waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::holds::Holds;
use super::id::{End, Id, resume};
use super::slot::{Decided, Slot, SlotState, outcome_of};
use super::states::{PARTITIONS, TransactionStates, WrittenState};
use crate::catalog::Catalog;
use crate::clock::Moment;
use crate::config::Durability;
use crate::config::topic_name::CONSUMER_OFFSETS;
use crate::error::{AbortCause, Error, Result};
use crate::events::Event;
use crate::format::control::{EndMarker, Outcome};
use crate::group::Coordinator;
use crate::partition::{PartitionContext, PartitionLog};

/// When a marker is tried again that could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Kafka's `transactional.id.expiration.ms`.
const EXPIRATION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The transactional ids of an open directory.
// One type: to the rooms below it is one thing; what an open decides, what a producer does and what is described of ids are in files
// of their own.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(super) catalog: Arc<Catalog>,
    pub(super) groups: Arc<Coordinator>,
    pub(super) states: TransactionStates,
    pub(super) context: PartitionContext,
    slots: Mutex<BTreeMap<Box<str>, Arc<Slot>>>,
    holds: Mutex<Vec<Arc<Holds>>>,
    /// Numbers of producers and of transactions.
    numbers: AtomicU64,
    /// When a check is asked for, in nanoseconds; `u64::MAX` if none is.
    check_at: AtomicU64,
    /// Transactions that the open found are open yet: what would decide them cannot be read, or their ends not be written.
    pub(super) are_some_left: AtomicBool,
    /// After an unclean stop: the highest epoch of each producer that any partition has.
    pub(super) highest_epochs: Mutex<HashMap<i64, i16>>,
}

/// What became of the transactions that were checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checked {
    pub(crate) aborted: usize,
    /// When the next one may have been open for too long, or something is tried again.
    pub(crate) next_due: Option<Moment>,
}

impl Transactions {
    pub(crate) fn new(
        catalog: &Arc<Catalog>,
        groups: &Arc<Coordinator>,
        context: &PartitionContext,
    ) -> Arc<Self> {
        Arc::new(Self {
            catalog: Arc::clone(catalog),
            groups: Arc::clone(groups),
            states: TransactionStates::new(Arc::clone(catalog), context.events.clone(), PARTITIONS),
            context: context.clone(),
            slots: Mutex::default(),
            holds: Mutex::default(),
            numbers: AtomicU64::new(1),
            check_at: AtomicU64::new(u64::MAX),
            are_some_left: AtomicBool::new(false),
            highest_epochs: Mutex::default(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of this name, whether it has ever been used or not.
    pub(super) fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(known) = slots.get(name) {
            return Arc::clone(known);
        }
        let slot = Arc::new(Slot::new(name));
        slots.insert(name.into(), Arc::clone(&slot));
        slot
    }

    fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().values().cloned().collect()
    }

    /// Locks an id whose last transaction is ended everywhere: what is decided is not changed before its markers are
    /// written.
    pub(super) fn settled<'s>(&self, slot: &'s Slot, now: i64) -> Result<MutexGuard<'s, SlotState>> {
        loop {
            let mut state = slot.lock();
            if state.is_closed {
                return Err(Error::Closed);
            }
            if let Some(failure) = &state.unknown {
                return Err(failure.clone());
            }
            let Some(decided) = &state.decided else { return Ok(state) };
            if let Some(written) = decided.after.clone() {
                let transaction = decided.transaction;
                drop(state);
                // Whether it is on disk is for the one who decided it to report.
                let _ = written.await_durable();
                state = slot.lock();
                match &mut state.decided {
                    Some(decided) if decided.transaction == transaction => decided.after = None,
                    _ => continue,
                }
            }
            self.finish(slot, &mut state, now)?;
        }
    }

    /// The state of an id, as it is on disk if it was not used yet.
    pub(super) fn known<'i>(&self, slot: &Slot, state: &'i mut SlotState) -> Result<Option<&'i mut Id>> {
        if state.id.is_none()
            && let Some(stored) = self.states.state_of(&slot.name)?
        {
            let highest = self.highest_epochs.lock().get(&stored.producer_id).copied();
            state.id = Some(resume(stored, highest));
        }
        Ok(state.id.as_mut())
    }

    pub(super) fn write(
        &self,
        slot: &Slot,
        id: &Id,
        durability: Durability,
        now: i64,
    ) -> Result<WrittenState> {
        self.states.write(&slot.name, id.state(), now, durability)
    }

    /// Where decisions are held that are written to this partition.
    pub(super) fn holds_of(&self, shard: &Arc<PartitionLog>) -> Arc<Holds> {
        let mut all = self.holds.lock();
        if let Some(known) = all.iter().find(|holds| holds.is_of(shard)) {
            return Arc::clone(known);
        }
        let new = Holds::of(shard);
        all.push(Arc::clone(&new));
        new
    }

    /// Aborts the open transaction of an id. Without records in the log nothing is written.
    ///
    /// `fences`: not its producer asks for it, and a broker that adopts the log is to refuse that one's client.
    pub(super) fn abort_open(
        &self,
        slot: &Slot,
        state: &mut SlotState,
        fences: bool,
        durability: Durability,
        now: i64,
    ) -> Result<()> {
        let transaction = state.transaction;
        let listed = state.leave_transaction();
        slot.set_open(0);
        let Some(id) = &mut state.id else { return Ok(()) };
        let ended = if fences { id.fence(now) } else { id.prepare(End::Abort, now) };
        debug_assert!(ended.is_ok(), "{ended:?}");
        if listed.is_empty() {
            let forgotten = id.complete(now);
            debug_assert!(forgotten.is_ok(), "{forgotten:?}");
            return Ok(());
        }
        // A broker or an open that finds it open aborts it as well.
        let written = self.states.write(&slot.name, id.state(), now, durability);
        let marker = self.marker(slot, id, End::Abort);
        state.decided = Some(Decided {
            transaction,
            marker,
            left: listed,
            durability,
            after: None,
            hold: None,
            is_reported: false,
        });
        self.finish(slot, state, now).and(written.map(drop))
    }

    pub(super) fn marker(&self, slot: &Slot, id: &Id, end: End) -> EndMarker {
        EndMarker {
            outcome: outcome_of(end),
            producer_id: id.state().producer_id,
            producer_epoch: id.state().epoch,
            coordinator_epoch: self.states.coordinator_epoch_of(&slot.name).map_or(0, u32::cast_signed),
        }
    }

    /// Writes the markers of a transaction that is decided, and the state that says that all are written. What could not be
    /// written stays to be tried again.
    pub(super) fn finish(&self, slot: &Slot, state: &mut SlotState, now: i64) -> Result<()> {
        let Some(decided) = &mut state.decided else { return Ok(()) };
        let mut failed = None;
        for (of, part) in std::mem::take(&mut decided.left) {
            match self.end_in(&part.log, decided, now) {
                Ok(end) => {
                    if let Some(hold) = &mut decided.hold {
                        hold.markers.push((part.log, end));
                    }
                }
                // Deleted: there is nothing that could be waited for.
                Err(Error::NotFound { .. }) => {}
                Err(failure) => {
                    failed.get_or_insert(failure);
                    decided.left.insert(of, part);
                }
            }
        }
        if let Some(failure) = failed {
            if !std::mem::replace(&mut decided.is_reported, true) {
                let (id, failure) = (slot.name.clone(), failure.to_string().into());
                self.context.events.emit(|| Event::MarkersPending { id, failure });
            }
            self.check_by(self.context.pace.now().after(TRY_AGAIN));
            return Err(failure);
        }
        if let Some(hold) = state.decided.take().and_then(|decided| decided.hold) {
            hold.end();
        }
        self.complete(slot, state, now);
        Ok(())
    }

    /// All markers of an id are written.
    pub(super) fn complete(&self, slot: &Slot, state: &mut SlotState, now: i64) {
        let Some(id) = &mut state.id else { return };
        // Two steps where a later transaction is to be aborted after one that counts: see `resume`.
        while id.end().is_some() && id.complete(now).is_ok() {}
        // Without it a broker or the next open writes the markers once more, which changes nothing.
        let _ = self.states.write(&slot.name, id.state(), now, Durability::Buffered);
    }

    /// Whether a transaction of this producer counts, and not all of its markers are written.
    pub(crate) fn is_decided(&self, producer_id: i64) -> bool {
        let is_it = |slot: &Slot| {
            let state = slot.lock();
            state.decided.as_ref().is_some_and(|decided| {
                decided.marker.producer_id == producer_id && decided.marker.outcome == Outcome::Committed
            })
        };
        self.all().iter().any(|slot| is_it(slot))
    }

    /// Whether a transaction of this producer is open or not ended everywhere, in this process.
    pub(crate) fn is_open(&self, producer_id: i64) -> bool {
        let is_it = |slot: &Slot| {
            let state = slot.lock();
            let is_its = state.id.as_ref().is_some_and(|id| id.state().producer_id == producer_id);
            is_its && (state.has_open() || state.decided.is_some())
        };
        self.all().iter().any(|slot| is_it(slot))
    }

    /// The largest producer id of any transactional id.
    pub(crate) fn highest_producer_id(&self) -> Result<Option<i64>> {
        Ok(self.states.ids()?.into_iter().map(|(_, state)| state.producer_id).max())
    }

    /// Writes the marker of a transaction to one of its partitions. Returns the offset after it.
    fn end_in(&self, log: &Arc<PartitionLog>, decided: &Decided, now: i64) -> Result<u64> {
        let (marker, durability) = (decided.marker, decided.durability);
        if log.id().topic() == CONSUMER_OFFSETS {
            return self.groups.offsets().end_transaction(log, marker, now, durability);
        }
        Ok(log.leader()?.end_transaction(marker, durability, now)?.next_offset)
    }

    /// Aborts the open transaction of an id from outside. `false`: there is none.
    pub(crate) fn abort(&self, name: &str, now: i64) -> Result<bool> {
        let slot = self.slot(name);
        let mut state = self.settled(&slot, now)?;
        if !state.has_open() {
            return Ok(false);
        }
        self.end_for(&slot, &mut state, AbortCause::Outside, now).map(|()| true)
    }

    /// Aborts what is open in the place of its producer, which learns of it.
    pub(super) fn end_for(
        &self,
        slot: &Slot,
        state: &mut SlotState,
        cause: AbortCause,
        now: i64,
    ) -> Result<()> {
        state.ended = Some((state.transaction, cause));
        let id = slot.name.clone();
        self.context.events.emit(|| Event::TransactionAborted { id, cause });
        self.abort_open(slot, state, true, Durability::Buffered, now)
    }

    /// Has transactions checked at a moment, unless that is asked for at it or before.
    pub(super) fn check_by(&self, due: Option<Moment>) {
        if let Some(due) = due
            && self.check_at.fetch_min(due.as_nanos(), Ordering::AcqRel) > due.as_nanos()
        {
            self.context.check_transactions(due);
        }
    }

    /// Aborts transactions that have been open for too long at `moment`, and tries again what could not be written.
    pub(crate) fn check(&self, moment: Moment, now: i64) -> Checked {
        self.check_at.store(u64::MAX, Ordering::Release);
        let mut checked = Checked::default();
        for slot in self.all() {
            let mut state = slot.lock();
            let is_overdue = state.deadline.is_some_and(|deadline| deadline <= moment);
            if state.has_open() && is_overdue {
                // What cannot be written is tried again below, with the next check.
                let _ = self.end_for(&slot, &mut state, AbortCause::Timeout, now);
                checked.aborted += 1;
            } else if state.decided.as_ref().is_some_and(|decided| decided.after.is_none()) {
                let _ = self.finish(&slot, &mut state, now);
            }
            let retry = state.decided.as_ref().and_then(|_| moment.after(TRY_AGAIN));
            checked.next_due = [checked.next_due, state.deadline, retry].into_iter().flatten().min();
        }
        self.holds.lock().iter().for_each(|holds| holds.release());
        checked
    }

    /// The check of this moment asks for another one.
    pub(crate) fn check_again(&self, checked: &Checked) {
        self.check_by(checked.next_due);
    }

    /// Forgets ids that were not used for a week and that no producer has.
    pub(crate) fn expire(&self, now: i64) -> Result<usize> {
        let mut expired = 0;
        for (name, stored) in self.states.ids()? {
            if stored.status.is_open() || now.saturating_sub(stored.updated_at) < EXPIRATION_MS {
                continue;
            }
            let mut slots = self.slots.lock();
            if slots.get(&*name).is_some_and(|slot| Arc::strong_count(slot) > 1) {
                continue;
            }
            slots.remove(&*name);
            self.states.remove(&name, now, Durability::Buffered)?;
            expired += 1;
        }
        Ok(expired)
    }

    /// Whether the next open has to decide again what this one has found.
    pub(crate) fn are_some_left(&self) -> bool {
        self.are_some_left.load(Ordering::Relaxed)
    }

    /// Ends all transactions, and begins none any more. `false`: not all markers could be written.
    pub(crate) fn close(&self, now: i64) -> bool {
        let mut is_complete = true;
        for slot in self.all() {
            match self.settled(&slot, now) {
                Ok(mut state) => {
                    if state.has_open() {
                        is_complete &= self.end_for(&slot, &mut state, AbortCause::Closed, now).is_ok();
                    }
                    state.is_closed = true;
                }
                Err(Error::Closed) => {}
                Err(_) => {
                    is_complete = false;
                    slot.lock().is_closed = true;
                }
            }
        }
        is_complete
    }
}
