//! Which of many partitions a poll asks: those that may have something, in turn.
//!
//! A partition that has nothing is watched ([`Ready`]) and asked again when it is marked, so a poll costs nothing for those that
//! are idle. Every assigned partition waits for its turn, is watched, is among those that fail, or is not to be read now; whatever
//! makes it one of the first kind again gives it a turn: a mark, a seek, a resumption, a change of what is assigned.

#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::assigned::Assigned;
use super::{Consumer, Records, Served};
use crate::error::Result;
use crate::partition::FetchLimits;
use crate::wait::Ready;

/// As many are asked one by one: that costs less than the marks.
const FEW: usize = 32;

/// The turns of one assignment. Another has others, so that old marks mean nothing in it.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) ready: Arc<Ready>,
    waiting: VecDeque<usize>,
    places: Vec<PartitionTurn>,
    /// Those of which an earlier poll said that they fail.
    failing: Vec<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PartitionTurn {
    waits: bool,
    is_watched: bool,
    fails: bool,
}

impl Turns {
    /// All have their turn, in order. `None`: they are few, or another process appends to them, which sets no marks.
    pub(super) fn of(partitions: &[Assigned]) -> Option<Self> {
        let is_ours = |one: &Assigned| one.cursor.log().tailing().is_none();
        if partitions.len() <= FEW || !partitions.iter().all(is_ours) {
            return None;
        }
        let places = vec![PartitionTurn { waits: true, ..PartitionTurn::default() }; partitions.len()];
        let waiting = (0..partitions.len()).collect();
        Some(Self { ready: Arc::default(), waiting, places, failing: Vec::new() })
    }

    /// Gives a partition a turn after the others.
    pub(super) fn add(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && !place.waits
        {
            place.waits = true;
            self.waiting.push_back(at);
        }
    }

    /// Gives it the next turn: it has not had all of its last one, or is to say once more that it fails.
    fn put_back(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && !place.waits
        {
            place.waits = true;
            self.waiting.push_front(at);
        }
    }

    /// Gives a turn to all that were marked, and to those that fail and are to say so again. Returns how many have one.
    fn gather(&mut self, is_known: impl Fn(usize) -> bool) -> usize {
        for at in self.ready.take() {
            if let Some(place) = self.places.get_mut(at) {
                place.is_watched = false;
            }
            self.add(at);
        }
        for at in self.take_failing() {
            if is_known(at) { self.fails(at) } else { self.put_back(at) }
        }
        self.waiting.len()
    }

    fn fails(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && !place.fails
        {
            place.fails = true;
            self.failing.push(at);
        }
    }

    pub(super) fn failing(&self) -> &[usize] {
        &self.failing
    }

    /// Takes those that fail out, to be settled again.
    fn take_failing(&mut self) -> Vec<usize> {
        let failing = std::mem::take(&mut self.failing);
        for at in &failing {
            if let Some(place) = self.places.get_mut(*at) {
                place.fails = false;
            }
        }
        failing
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<usize> {
        let at = self.waiting.pop_front()?;
        if let Some(place) = self.places.get_mut(at) {
            place.waits = false;
        }
        Some(at)
    }

    /// After a partition was asked: it has another turn if there is more, and is watched if there is not.
    fn settle(&mut self, at: usize, one: &Assigned) {
        if one.trouble.is_given() {
            self.fails(at);
        } else if one.cursor.may_have_data() {
            self.add(at);
        } else if let Some(place) = self.places.get_mut(at)
            && !place.is_watched
        {
            place.is_watched = true;
            if one.cursor.log().sleepers().watch(&self.ready, at, || one.cursor.may_have_data()) {
                self.add(at);
            }
        }
    }

    /// Whether any may have something.
    pub(super) fn are_there(&self) -> bool {
        !self.waiting.is_empty() || self.ready.has_marks()
    }

    /// Watches nothing any more.
    pub(super) fn end(&self, partitions: &[Assigned]) {
        for (one, place) in partitions.iter().zip(&self.places) {
            if place.is_watched {
                one.cursor.log().sleepers().forget(&self.ready);
            }
        }
    }
}

impl Consumer {
    /// What there is now in those that may have something, in turn, as [`fetch`](Self::fetch) has it.
    pub(super) fn fetch_in_turn(&mut self, limits: &mut FetchLimits, records: &mut Records) -> Result<()> {
        let polls = self.polls;
        let gather =
            |(turns, all): (&mut Turns, &[Assigned])| turns.gather(|at| all[at].trouble.is_known(polls));
        for _ in 0..self.assigned.taking_turns().map_or(0, gather) {
            let Some(at) = self.assigned.turns.as_mut().and_then(Turns::next) else { return Ok(()) };
            let one = &self.assigned[at];
            if !one.is_awake() {
                continue;
            }
            let served =
                if one.trouble.is_known(polls) { Ok(Served::Whole) } else { self.serve(at, limits, records) };
            let Some((turns, all)) = self.assigned.taking_turns() else { return Ok(()) };
            if matches!(served, Ok(Served::Later)) {
                turns.put_back(at);
            } else {
                turns.settle(at, &all[at]);
            }
            if served? != Served::Whole {
                return Ok(());
            }
        }
        let failing = match &mut self.assigned.turns {
            Some(turns) if records.is_empty() => turns.take_failing(),
            _ => return Ok(()),
        };
        for at in failing {
            if records.is_empty() && self.assigned[at].is_awake() {
                self.serve(at, limits, records)?;
            }
            if let Some((turns, all)) = self.assigned.taking_turns() {
                turns.settle(at, &all[at]);
            }
        }
        Ok(())
    }
}
