//! The partitions that a consumer reads, and where it is in each.

use std::collections::HashMap;

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

    /// Whether an earlier poll has given the failure so shortly before that the poll of this number does not.
    pub(super) fn is_known(self, poll: u64) -> bool {
        poll < self.silent_before
    }
}

impl Assignment {
    pub(super) fn of(partitions: Vec<Assigned>) -> Self {
        let names: Vec<_> = partitions.iter().map(|one| one.cursor.log().id().clone()).collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { partitions, names, places }
    }

    /// Takes some in, and has all in the order of their names.
    pub(super) fn add(&mut self, more: Vec<Assigned>) {
        let mut partitions = std::mem::take(self).partitions;
        partitions.extend(more);
        partitions.sort_by(|a, b| a.cursor.log().id().cmp(b.cursor.log().id()));
        *self = Self::of(partitions);
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&TopicPartition) -> bool) {
        let mut partitions = std::mem::take(self).partitions;
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
        self.partitions.iter().filter(|one| one.is_awake()).count()
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
