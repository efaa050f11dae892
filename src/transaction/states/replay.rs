//! What the records of one partition of `__transaction_state` add up to: the last state of each id.
//!
//! States are kept as bytes, which were checked: each that is written is replayed, few are asked for. Pure: the code that reads
//! the log, or has just appended to it, adds each batch.

use std::collections::BTreeMap;

use crate::format::Malformed;
use crate::format::batch::Batch;
use crate::format::raw_record::RawRecord;
use crate::format::transaction_state::{TransactionState, check, transactional_id};
use crate::keyed::{Replay, Skipped};

/// What is kept for the state of an id, whether or not it takes as much: few partitions are in a transaction.
const KEPT_BYTES: usize = 256;

/// The ids of one partition.
#[derive(Debug, Default)]
pub(super) struct ReplayedStates {
    ids: BTreeMap<Box<str>, Noted>,
    /// Where the last record is that does not say which id it is about.
    left_out: Option<u64>,
}

/// What was noted last of an id.
#[derive(Debug)]
struct Noted {
    value: Vec<u8>,
    /// Where the record is in `__transaction_state`.
    written: u64,
    /// Why the value cannot be read, if it cannot.
    unreadable: Option<Malformed>,
}

impl Replay for ReplayedStates {
    fn apply(&mut self, batch: &Batch<'_>, from: u64, skipped: &mut dyn FnMut(Skipped)) {
        if batch.header.is_control() {
            return;
        }
        let mut records = batch.records();
        let base = u64::try_from(batch.header.base_offset).unwrap_or(0);
        for _ in 0..batch.header.record_count {
            let Ok(record) = RawRecord::take(&mut records) else { return };
            let offset = base.saturating_add(u64::from(record.offset_delta.unsigned_abs()));
            if offset >= from
                && let Err(reason) = self.replay_record(record.key, record.value, offset)
            {
                skipped(Skipped { offset, reason: reason.0.into() });
            }
        }
    }

    fn leave_out(&mut self, from: u64) {
        self.left_out = self.left_out.max(Some(from));
    }
}

impl ReplayedStates {
    /// All ids whose state can be read, sorted, each with its state.
    pub(super) fn states(&self) -> impl Iterator<Item = (&str, TransactionState)> {
        self.ids.iter().filter_map(|(id, noted)| Some((&**id, noted.state()?)))
    }

    pub(super) fn state(&self, id: &str) -> Option<TransactionState> {
        self.ids.get(id).and_then(Noted::state)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    /// All ids whose state cannot be read: where it is, and why.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&str, u64, Malformed)> {
        self.ids.iter().filter_map(|(id, noted)| Some((&**id, noted.written, noted.unreadable?)))
    }

    /// Where the state of an id is, and why it cannot be read.
    pub(super) fn why_unreadable(&self, id: &str) -> Option<(u64, Malformed)> {
        let noted = self.ids.get(id)?;
        Some((noted.written, noted.unreadable?))
    }

    /// Where the last record is that may be about any id.
    pub(super) fn left_out(&self) -> Option<u64> {
        self.left_out
    }

    /// Whether no such record comes after what is known of an id.
    pub(super) fn is_certain(&self, id: &str) -> bool {
        let written = self.ids.get(id).map(|noted| noted.written);
        self.left_out.is_none() || written > self.left_out
    }

    fn replay_record(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        written: u64,
    ) -> Result<(), Malformed> {
        let key =
            key.ok_or(Malformed("a record of a transactional id has no key")).and_then(transactional_id);
        let id = match key {
            Ok(Some(id)) => id,
            // Of another kind, about which nothing is known here.
            Ok(None) => return Ok(()),
            Err(reason) => {
                self.leave_out(written);
                return Err(reason);
            }
        };
        let Some(value) = value else {
            self.ids.remove(id);
            return Ok(());
        };
        let unreadable = check(value).err();
        // Nothing is allocated for an id that is known.
        if let Some(noted) = self.ids.get_mut(id) {
            noted.value.clear();
            noted.value.extend_from_slice(value);
            noted.value.shrink_to(KEPT_BYTES);
            (noted.written, noted.unreadable) = (written, unreadable);
        } else {
            self.ids.insert(id.into(), Noted { value: value.to_vec(), written, unreadable });
        }
        unreadable.map_or(Ok(()), Err)
    }
}

impl Noted {
    fn state(&self) -> Option<TransactionState> {
        if self.unreadable.is_some() { None } else { TransactionState::decode(&self.value).ok() }
    }
}

#[cfg(test)]
mod tests;
