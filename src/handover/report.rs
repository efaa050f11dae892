//! What a handover did.

use std::fmt;

use super::obstacle::HandoverObstacle;
use super::warning::HandoverWarning;
use crate::config::KafkaVersion;
use crate::group::Commit;
use crate::position::TopicPartition;

/// A transaction with records in a partition that was neither committed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OngoingTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// The producer.
    pub producer_id: i64,
    /// Where the transaction begins: records from here on were held back from those who read committed ones only.
    pub first_offset: u64,
}

/// A committed offset that a broker would have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecommittedOffset {
    /// The group.
    pub group: Box<str>,
    /// The partition.
    pub partition: TopicPartition,
}

impl RecommittedOffset {
    pub(super) fn of(Commit { group, partition }: Commit) -> Self {
        Self { group, partition }
    }
}

/// What a handover did, or with [`dry_run`](crate::HandoverOptions::dry_run) would do: [`EventLog::handover`](crate::EventLog::handover).
///
/// Its text is for people, one statement per line, with the `server.properties` at the end unless there are obstacles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoverReport {
    /// The Kafka that the directory was made ready for.
    pub kafka: KafkaVersion,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Transactions that no coordinator would have ended, and that were aborted.
    pub aborted: Vec<OngoingTransaction>,
    /// Transactions that a broker knows of and ends when their time has passed.
    pub left_to_the_broker: Vec<OngoingTransaction>,
    /// The producer id from which the broker continues, if that had to be recorded for it.
    pub next_producer_id: Option<i64>,
    /// Committed offsets that were written again, by group and partition.
    pub recommitted: Vec<RecommittedOffset>,
    /// What keeps the broker from starting. Empty, unless nothing was changed.
    pub obstacles: Vec<HandoverObstacle>,
    /// What the broker would do that may surprise.
    pub warnings: Vec<HandoverWarning>,
    /// What to start the broker with: the text of a file `server.properties`.
    pub server_properties: String,
}

impl fmt::Display for HandoverReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would be " } else { "" };
        for one in &self.obstacles {
            writeln!(f, "obstacle: {one}")?;
        }
        for OngoingTransaction { partition, producer_id, first_offset } in &self.aborted {
            writeln!(
                f,
                "{would}aborted: the transaction of producer {producer_id} in {partition} from offset {first_offset} on, \
                 of which no coordinator knows"
            )?;
        }
        for OngoingTransaction { partition, producer_id, first_offset } in &self.left_to_the_broker {
            writeln!(
                f,
                "left to the broker: the transaction of producer {producer_id} in {partition} from offset {first_offset} on"
            )?;
        }
        if let Some(next) = self.next_producer_id {
            writeln!(f, "{would}reserved: producer ids below {next}")?;
        }
        for RecommittedOffset { group, partition } in &self.recommitted {
            writeln!(f, "{would}committed again: the offset of group {group:?} in {partition}")?;
        }
        for one in &self.warnings {
            writeln!(f, "warning: {one}")?;
        }
        if !self.obstacles.is_empty() {
            return writeln!(f, "not ready for Kafka {}", self.kafka);
        }
        writeln!(f, "{would}ready for Kafka {}; start it with", self.kafka)?;
        writeln!(f)?;
        f.write_str(&self.server_properties)
    }
}
