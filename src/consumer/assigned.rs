//! The partitions that a consumer reads, and where it is in each.

use std::collections::HashMap;

use super::turns::Turns;
use crate::error::Result;
use crate::partition::Cursor;
use crate::position::{Position, TopicPartition};

/// Partitions in the order in which they were assigned.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: Vec<Assigned>,
    /// Their names, in the same order, and the place of each.
    names: Vec<TopicPartition>,
    places: HashMap<TopicPartition, usize>,
    /// `None`: each poll asks all.
    pub(super) turns: Option<Turns>,
    awake: usize,
    paused: usize,
}

impl Drop for Assignment {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns {
            turns.end(&self.partitions);
        }
    }
}

/// A partition this consumer reads.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) cursor: Cursor,
    pub(super) paused: bool,
    /// The consumer has to release it.
    pub(super) leaving: bool,
    /// What was committed last by this consumer, or found committed.
    pub(super) committed: Option<u64>,
    /// Where this consumer began in it.
    pub(super) began: u64,
    /// The number of the claim by which it is the member's. 0: it is no member's.
    pub(super) claim: u64,
    /// Where it begins, if that is to be committed before anything is returned.
    pub(super) begins_at: Option<u64>,
    pub(super) trouble: Trouble,
}

/// Since when a partition cannot be read, and when that is an error of a poll.
///
/// The first poll that meets the failure gives it. Of the polls that follow only every n-th does, where n partitions are
/// read, so that the others are read in full; the polls between do without the partition, unless it can be read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Polls before this one, counted from the consumer's first, do not give the failure. 0: there is none.
    silent_before: u64,
}

impl Trouble {
    /// The poll of this number has given the failure.
    pub(super) fn was_given(&mut self, poll: u64, partitions: usize) {
        self.silent_before = poll + partitions.max(1) as u64;
    }

    /// Whether a poll has given the failure of one that has not been read since.
    pub(super) fn is_given(self) -> bool {
        self != Self::default()
    }

    /// Whether an earlier poll has given the failure so shortly before that the poll of this number does not.
    pub(super) fn is_known(self, poll: u64) -> bool {
        poll < self.silent_before
    }
}

impl Assignment {
    pub(super) fn of(partitions: Vec<Assigned>) -> Self {
        let names: Vec<_> = partitions.iter().map(|one| one.cursor.log().id().clone()).collect();
        let places = names.iter().cloned().zip(0..).collect();
        let turns = Turns::of(&partitions);
        let mut assigned = Self { partitions, names, places, turns, awake: 0, paused: 0 };
        assigned.count();
        assigned
    }

    /// Counts anew which are to be read, and gives all of them a turn: for when it has changed.
    pub(super) fn count(&mut self) {
        self.awake = self.partitions.iter().filter(|one| one.is_awake()).count();
        self.paused = self.partitions.iter().filter(|one| one.paused).count();
        if let Some(turns) = &mut self.turns {
            (0..self.partitions.len()).for_each(|at| turns.add(at));
        }
    }

    pub(super) fn pause(&mut self, at: usize, paused: bool) {
        let Some(one) = self.partitions.get_mut(at).filter(|one| one.paused != paused) else { return };
        one.paused = paused;
        let awake = usize::from(!one.leaving);
        if paused {
            (self.paused, self.awake) = (self.paused + 1, self.awake - awake);
        } else {
            (self.paused, self.awake) = (self.paused - 1, self.awake + awake);
        }
        self.give_turn(at);
    }

    pub(super) fn seek(&mut self, at: usize, offset: u64) {
        if let Some(one) = self.partitions.get_mut(at) {
            one.seek(offset);
        }
        self.give_turn(at);
    }

    fn give_turn(&mut self, at: usize) {
        if let Some(turns) = &mut self.turns {
            turns.add(at);
        }
    }

    /// The turns, and the partitions that have them.
    pub(super) fn taking_turns(&mut self) -> Option<(&mut Turns, &[Assigned])> {
        Some((self.turns.as_mut()?, &self.partitions))
    }

    pub(super) fn has_paused(&self) -> bool {
        self.paused > 0
    }

    /// Takes some in, and has all in the order of their names.
    pub(super) fn add(&mut self, more: Vec<Assigned>) {
        let mut partitions = self.take();
        partitions.extend(more);
        partitions.sort_by(|a, b| a.cursor.log().id().cmp(b.cursor.log().id()));
        *self = Self::of(partitions);
    }

    fn take(&mut self) -> Vec<Assigned> {
        if let Some(turns) = self.turns.take() {
            turns.end(&self.partitions);
        }
        std::mem::take(&mut self.partitions)
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&TopicPartition) -> bool) {
        let mut partitions = self.take();
        partitions.retain(|one| stays(one.cursor.log().id()));
        *self = Self::of(partitions);
    }

    pub(super) fn names(&self) -> &[TopicPartition] {
        &self.names
    }

    /// The place of a partition: one lookup, however many there are.
    pub(super) fn place_of(&self, partition: &TopicPartition) -> Option<usize> {
        let at = *self.places.get(partition)?;
        partition.may_be(self.names.get(at)?).then_some(at)
    }

    /// How many are to be read now.
    pub(super) fn count_awake(&self) -> usize {
        self.awake
    }
}

impl std::ops::Deref for Assignment {
    type Target = [Assigned];

    fn deref(&self) -> &[Assigned] {
        &self.partitions
    }
}

impl std::ops::DerefMut for Assignment {
    fn deref_mut(&mut self) -> &mut [Assigned] {
        &mut self.partitions
    }
}

impl Assigned {
    pub(super) fn is_awake(&self) -> bool {
        !self.paused && !self.leaving
    }

    pub(super) fn position(&self, offset: u64) -> Position {
        Position::new(self.cursor.log().id(), offset)
    }

    pub(super) fn seek(&mut self, offset: u64) {
        self.cursor.seek(offset);
        self.trouble = Trouble::default();
    }

    /// Where it begins is committed.
    pub(super) fn has_begun(&mut self) {
        self.committed = self.begins_at.take().or(self.committed);
    }

    /// Whether its position is another one than was committed last.
    pub(super) fn has_moved(&self) -> bool {
        self.committed != Some(self.cursor.offset())
    }

    /// Whether its topic was deleted.
    pub(super) fn is_gone(&self) -> bool {
        self.cursor.log().has_ended()
    }

    /// Looks for more of what another process writes, where everything known was read.
    pub(super) fn refresh_end(&self) -> Result<()> {
        if !self.cursor.may_have_data() {
            self.cursor.log().refresh_end()?;
        }
        self.cursor.refresh_transactions()
    }
}
