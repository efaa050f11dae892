//! Records of `__transaction_state`, in which the coordinator of a transactional id notes what becomes of its transactions.
//!
//! Versions 0 and 1 are read. Version 0 is written, which every broker with transactions reads.

use std::sync::Arc;

use super::Malformed;
use super::varint::Input;
use super::wire::{push_count, push_i8, push_i16, push_i32, push_i64, push_str};
use crate::position::TopicPartition;

/// What is noted of a transactional id: its producer, and its transaction if one is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionState {
    pub(crate) producer_id: i64,
    /// Of the batches of the transaction, and of its markers. Without one the epoch of the last.
    pub(crate) epoch: i16,
    /// How long a transaction may be open, in milliseconds.
    pub(crate) timeout_ms: i32,
    pub(crate) status: TransactionStatus,
    /// Where the transaction has records. None unless it [is open](TransactionStatus::is_open).
    pub(crate) partitions: Vec<TopicPartition>,
    /// In milliseconds since 1970.
    pub(crate) updated_at: i64,
    /// When the transaction began, or the last one did; `None` before the first of a producer.
    pub(crate) started_at: Option<i64>,
    /// Of the producer from the end of this transaction on, where the epochs of this one are used up. Version 1 only.
    pub(crate) next_producer_id: Option<i64>,
    /// From 2 on the epoch goes up at the end of each transaction, so that the markers have one more than the batches.
    /// Version 1 only.
    pub(crate) client_version: i16,
}

/// What a transactional id is doing, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    /// The producer has begun no transaction.
    Empty,
    Ongoing,
    /// Decided, and markers may be missing.
    PrepareCommit,
    PrepareAbort,
    /// All markers are there.
    CompleteCommit,
    CompleteAbort,
    /// The id has expired. Not in logs.
    Dead,
    /// Another producer has taken the id, and the transaction will be aborted. Not in logs.
    PrepareEpochFence,
}

const KEY_VERSION: i16 = 0;
const WRITTEN: i16 = 0;
const FLEXIBLE: i16 = 1;
const NEWEST: i16 = 1;
const NEXT_PRODUCER_ID_TAG: u32 = 1;
const CLIENT_VERSION_TAG: u32 = 2;
/// What an absent producer id or time is written as.
const NONE: i64 = -1;

/// The transactional id that a record is about. `None`: the record is about something else.
pub(crate) fn transactional_id(key: &[u8]) -> Result<Option<&str>, Malformed> {
    let mut input = Input::new(key);
    if input.i16()? != KEY_VERSION {
        return Ok(None);
    }
    let id = input.str()?;
    input.end()?;
    Ok(Some(id))
}

/// Appends the key of the records about a transactional id. On an error, an id that is too long, nothing is appended.
pub(crate) fn push_key(id: &str, to: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = to.len();
    push_i16(KEY_VERSION, to);
    push_str(id, to).inspect_err(|_| to.truncate(start))
}

/// Refuses a value that [`TransactionState::decode`] refuses, without making anything of it: each state that is written is
/// checked.
pub(crate) fn check(value: &[u8]) -> Result<(), Malformed> {
    read(value, |_, _| ()).map(drop)
}

impl TransactionState {
    /// Reads any known version. A newer one is [`Malformed::NEWER_TRANSACTION`].
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut partitions = Vec::new();
        let mut topic: Option<Arc<str>> = None;
        let state = read(value, |name, partition| {
            let known = topic.take().filter(|known| **known == *name).unwrap_or_else(|| name.into());
            partitions.push(TopicPartition::new(Arc::clone(&known), partition));
            topic = Some(known);
        })?;
        // Brokers do not read those of a producer that has begun none.
        let partitions = if state.status == TransactionStatus::Empty { Vec::new() } else { partitions };
        Ok(Self { partitions, ..state })
    }

    /// Appends the value in version 0, which has neither a next producer id nor the version of a client. On an error, a name
    /// or a number that no topic has, `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = to.len();
        self.push(to).inspect_err(|_| to.truncate(start))
    }

    fn push(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        push_i16(WRITTEN, to);
        push_i64(self.producer_id, to);
        push_i16(self.epoch, to);
        push_i32(self.timeout_ms, to);
        push_i8(self.status.number(), to);
        if self.status == TransactionStatus::Empty {
            // Brokers tell apart no list and an empty one.
            push_i32(-1, to);
        } else {
            push_partitions(&self.partitions, to)?;
        }
        push_i64(self.updated_at, to);
        push_i64(self.started_at.unwrap_or(NONE), to);
        Ok(())
    }
}

impl TransactionStatus {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    fn of(number: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    fn number(self) -> i8 {
        self as i8
    }

    /// Whether a transaction is under way, so that a coordinator has yet to end it.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Ongoing | Self::PrepareCommit | Self::PrepareAbort | Self::PrepareEpochFence)
    }
}

/// Partitions of one topic after another, as they come.
fn push_partitions(partitions: &[TopicPartition], to: &mut Vec<u8>) -> Result<(), Malformed> {
    let topics = || partitions.chunk_by(|one, next| one.topic() == next.topic());
    push_count(topics().count(), to);
    for of_topic in topics() {
        push_str(of_topic.first().map_or("", TopicPartition::topic), to)?;
        push_count(of_topic.len(), to);
        for of in of_topic {
            let partition = i32::try_from(of.partition())
                .map_err(|_| Malformed("no topic has a partition with so large a number"))?;
            push_i32(partition, to);
        }
    }
    Ok(())
}

/// The fields of a value, but for the partitions, each of which `part` gets.
fn read<'a>(value: &'a [u8], part: impl FnMut(&'a str, u32)) -> Result<TransactionState, Malformed> {
    let mut input = Input::new(value);
    let version = input.i16()?;
    if version < 0 {
        return Err(Malformed("a record has a negative version"));
    }
    if version > NEWEST {
        return Err(Malformed::NEWER_TRANSACTION);
    }
    let is_flexible = version >= FLEXIBLE;
    let mut state = TransactionState {
        producer_id: input.i64()?,
        epoch: input.i16()?,
        timeout_ms: input.i32()?,
        status: TransactionStatus::of(input.i8()?).ok_or(Malformed::NEWER_TRANSACTION)?,
        partitions: Vec::new(),
        updated_at: 0,
        started_at: None,
        next_producer_id: None,
        client_version: 0,
    };
    read_partitions(&mut input, is_flexible, part)?;
    state.updated_at = input.i64()?;
    state.started_at = Some(input.i64()?).filter(|at| *at >= 0);
    if is_flexible {
        read_tags(&mut input, &mut state)?;
    }
    input.end()?;
    Ok(state)
}

fn read_partitions<'a>(
    input: &mut Input<'a>,
    is_flexible: bool,
    mut part: impl FnMut(&'a str, u32),
) -> Result<(), Malformed> {
    let count = |input: &mut Input<'a>| {
        if is_flexible { input.nullable_compact_count() } else { input.nullable_count() }
    };
    for _ in 0..count(input)?.unwrap_or(0) {
        let topic = if is_flexible { input.compact_str()? } else { input.str()? };
        for _ in 0..count(input)?.ok_or(Malformed("an array that must be there is null"))? {
            let partition = u32::try_from(input.i32()?)
                .map_err(|_| Malformed("the partition of a transaction is negative"))?;
            part(topic, partition);
        }
        if is_flexible {
            each_tag(input, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

fn read_tags(input: &mut Input<'_>, state: &mut TransactionState) -> Result<(), Malformed> {
    each_tag(input, |tag, field| {
        match tag {
            NEXT_PRODUCER_ID_TAG => state.next_producer_id = Some(field.i64()?).filter(|id| *id >= 0),
            CLIENT_VERSION_TAG => state.client_version = field.i16()?,
            _ => return Ok(()),
        }
        field.end()
    })
}

/// The tagged fields at the end of a struct. Those that are not known are passed over.
fn each_tag<'a>(
    input: &mut Input<'a>,
    mut take: impl FnMut(u32, &mut Input<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    // A lie in the count ends with the bytes: each field takes two at least.
    for _ in 0..input.uvarint()? {
        let tag = input.uvarint()?;
        let size = usize::try_from(input.uvarint()?).map_err(|_| Malformed("ends early"))?;
        take(tag, &mut Input::new(input.take(size)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
