//! Which commits are too old, by the rules that brokers have for `offsets.retention.minutes`.
//!
//! | group | its commits expire |
//! |---|---|
//! | that only ever committed | a retention after the commit |
//! | of the classic protocol, without members | a retention after it lost the last one |
//! | of consumers of that protocol, with members | a retention after the commit, where no member subscribes to the topic |
//! | of the "consumer" protocol, without members | a retention after the commit |
//! | any other | never |
//!
//! A commit with an expiry of its own goes by that in place of the retention.

use std::collections::BTreeSet;

use super::cleanup::CommitChange;
use super::replay::{Group, Stored};
use crate::format::consumer_protocol::subscribed_topics;
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::group_metadata::GroupMetadata;
use crate::position::TopicPartition;

/// Protocol type of groups of consumers.
const CONSUMERS: &str = "consumer";

/// The time, and how long commits are kept, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    pub(super) now: i64,
    pub(super) retention: i64,
}

impl Expiry {
    /// What is to go of a group. `is_kept`: commits that stay whatever their age.
    pub(super) fn due(self, group: &Group, is_kept: impl Fn(&TopicPartition) -> bool) -> Vec<CommitChange> {
        let Some(rule) = Rule::of(group) else { return Vec::new() };
        let is_due = |(of, stored): &(&TopicPartition, &Stored)| {
            rule.since(of, stored).is_some_and(|since| self.is_past(since, stored.expires_at)) && !is_kept(of)
        };
        let due = group.offsets.iter().filter(is_due).map(|(of, _)| CommitChange::NoCommit(of.clone()));
        let mut due: Vec<_> = due.collect();
        let ends = group.record.is_some() && rule.ends(self) && !group.waits_for_topics();
        if ends && due.len() == group.offsets.len() {
            due.push(CommitChange::NoRecord);
        }
        due
    }

    fn is_past(self, since: i64, expires_at: Option<i64>) -> bool {
        match expires_at {
            Some(at) => self.now >= at,
            None => self.now.saturating_sub(since) >= self.retention,
        }
    }
}

/// From when on the retention of a group's commits counts.
enum Rule {
    FromCommit,
    /// From when the group lost its last member, if its record says so.
    Empty {
        since: Option<i64>,
    },
    /// From the commit, but for these topics.
    Unless(BTreeSet<String>),
}

impl Rule {
    /// `None`: nothing of the group expires.
    fn of(group: &Group) -> Option<Self> {
        let has_member =
            |key: &[u8]| CoordinatorKey::decode(key).is_ok_and(|key| key.is_consumer_group_member());
        if group.others.iter().any(|key| has_member(key)) {
            return None;
        }
        match &group.record {
            None => Some(Self::FromCommit),
            // The record is removed with the commits.
            Some(_) if group.only_commits() => Some(Self::FromCommit),
            Some(record) if record.members.is_empty() => Some(Self::Empty { since: record.state_since }),
            Some(record) if record.protocol_type == CONSUMERS => subscribed(record).map(Self::Unless),
            Some(_) => None,
        }
    }

    /// Whether the group's record goes with the last of its commits.
    fn ends(&self, expiry: Expiry) -> bool {
        match self {
            Self::FromCommit => true,
            Self::Empty { since } => since.is_none_or(|since| expiry.is_past(since, None)),
            Self::Unless(_) => false,
        }
    }

    fn since(&self, of: &TopicPartition, stored: &Stored) -> Option<i64> {
        match self {
            Self::FromCommit => Some(stored.committed_at),
            Self::Empty { since } => Some(since.unwrap_or(stored.committed_at)),
            Self::Unless(topics) => (!topics.contains(of.topic())).then_some(stored.committed_at),
        }
    }
}

/// Topics that members subscribe to. `None`: what one of them wants cannot be read.
fn subscribed(record: &GroupMetadata) -> Option<BTreeSet<String>> {
    let mut topics = BTreeSet::new();
    for member in &record.members {
        let subscribed = subscribed_topics(&member.subscription).ok()?;
        topics.extend(subscribed.into_iter().map(str::to_owned));
    }
    Some(topics)
}
