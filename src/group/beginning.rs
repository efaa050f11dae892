//! Since when a group has positions, and where partitions begin that have none yet.
//!
//! With [`StartFrom::End`](crate::StartFrom::End) a partition that was there when the group took its first position begins
//! at its end, and one that was made later at its beginning: all that is in it came later too. When a partition was made
//! is the offset of its record in the metadata log, so the two moments are distinguished whatever the clock says, also after
//! the log was closed, and whether a member ran or not.
//!
//! | what | where it is | from when on |
//! |---|---|---|
//! | since when the group has positions | in its record in `__consumer_offsets`, as [`GroupMetadata::since`] | its first commit |
//! | where a partition begins, with `End` | a commit like any other | before its first record is returned |
//! | the same without `End` | in memory, while the group has members | the same |
//!
//! The first commit of a member that begins at the end is that of its first poll, even if there is nothing to read yet. It
//! is durable: else records could be skipped after a power failure. What members of another program have begun is
//! nowhere: in such a group any partition without a position may be newer, and begins at its beginning.

use std::collections::BTreeMap;

use super::coordinator::{Coordinator, GroupMember};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::group_metadata::GroupMetadata;
use crate::position::{Position, TopicId, TopicPartition};

/// Since when a group has positions: partitions that the metadata log notes at this offset or after it are newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// Its record says so.
    Noted(u64),
    /// It has none. To be noted with the first one.
    Fresh(u64),
    /// It has some, and another program has not noted since when.
    Unknown,
}

/// Where partitions without a committed position begin for the members of a group: where the first owner began.
#[derive(Debug, Default)]
pub(super) struct Starts(BTreeMap<(TopicId, u32), u64>);

impl Since {
    /// Whether a partition that is noted at this offset was there when the group took its first position.
    pub(crate) fn includes(self, made: u64) -> bool {
        match self {
            Self::Noted(since) | Self::Fresh(since) => made < since,
            Self::Unknown => false,
        }
    }

    /// The record of a group with this in it.
    pub(super) fn record_in(self, record: GroupMetadata) -> GroupMetadata {
        match self {
            Self::Noted(since) | Self::Fresh(since) => record.with_since(since),
            Self::Unknown => record,
        }
    }
}

impl Coordinator {
    /// Since when a group has positions.
    pub(crate) fn since(&self, group: &str) -> Result<Since> {
        if let Some(live) = self.registry.get(group) {
            let state = live.state.lock();
            if !state.membership.is_empty() {
                return Ok(state.since);
            }
        }
        self.stored_since(group)
    }

    /// The same of a group without members.
    pub(super) fn stored_since(&self, group: &str) -> Result<Since> {
        // What is made while it is looked for is newer.
        let end = self.catalog().end_of_partitions();
        Ok(self.offsets().since(group)?.unwrap_or(Since::Fresh(end)))
    }

    /// Whether a partition was there when a group took its first position.
    pub(crate) fn was_there(&self, of: &TopicPartition, since: Since) -> Result<bool> {
        let topic = self.catalog().topic_of(of)?;
        let made = topic.made_at(of.partition()).ok_or_else(|| Error::not_found("partition", of))?;
        Ok(since.includes(made))
    }

    /// Commits for a group on behalf of a consumer that is no member, which the group must not have then.
    pub(crate) fn commit_standalone(
        &self,
        group: &str,
        positions: &[Position],
        since: Since,
        now: i64,
        level: Durability,
    ) -> Result<()> {
        let append = || {
            let is_first = self.offsets().since(group)?.is_none();
            let record = is_first.then(|| self.offsets().group_record(group)).transpose()?;
            let record = record.map(|record| since.record_in(without_members(record.unwrap_or_default())));
            self.offsets().append(group, positions, record.as_ref(), now, level)
        };
        self.while_empty(group, append)?.wait()
    }
}

/// What a broker takes over without taking the group for one that has members, or lost them just now.
fn without_members(record: GroupMetadata) -> GroupMetadata {
    GroupMetadata { leader: None, state_since: None, members: Vec::new(), ..record }
}

impl GroupMember {
    /// Where a partition begins that has no committed position: where its first owner has begun, or else at `place`, which is
    /// passed whether the partition was there when the group took its first position.
    pub(crate) fn start(&self, of: &TopicPartition, place: impl FnOnce(bool) -> u64) -> Result<u64> {
        let mut state = self.group.state.lock();
        let was_there = self.coordinator.was_there(of, state.since)?;
        let key = (of.topic_id().unwrap_or_default(), of.partition());
        Ok(*state.starts.0.entry(key).or_insert_with(|| place(was_there)))
    }
}
