//! Which of the open transactions a coordinator will end.
//!
//! A broker ends those that its `__transaction_state` lists, when their time has passed. All others are unknown to it, and a
//! reader that wants committed records would wait before them for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::report::OngoingTransaction;
use super::unless_deleted;
use crate::catalog::Catalog;
use crate::config::ReadUpTo;
use crate::config::topic_name::TRANSACTION_STATE;
use crate::error::Result;
use crate::format::batch::Batch;
use crate::format::raw_record::RawRecord;
use crate::format::transaction_state::{self, Coordinated};
use crate::partition::{Cursor, FetchLimits, Leader, OpenTransaction};

const LIMITS: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };

/// What there is of transactions and producers in a log.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions {
    pub(super) hanging: Vec<Hanging>,
    pub(super) left_to_broker: Vec<OngoingTransaction>,
    pub(super) highest_producer_id: Option<i64>,
}

/// A transaction that no coordinator will end.
#[derive(Debug)]
pub(super) struct Hanging {
    pub(super) log: Arc<Leader>,
    pub(super) open: OpenTransaction,
    pub(super) transaction: OngoingTransaction,
}

pub(super) fn find(catalog: &Catalog) -> Result<OpenTransactions> {
    let partitions = super::readable(catalog)?;
    let states = states(&partitions)?;
    let coordinated: BTreeSet<_> =
        states.values().filter(|state| state.is_open).map(|state| state.producer_id).collect();
    let highest_producer_id = states.values().map(|state| state.producer_id).max();
    let mut found = OpenTransactions { highest_producer_id, ..OpenTransactions::default() };
    for log in partitions {
        let answers = log.highest_producer_id().and_then(|highest| Ok((highest, log.open_transactions()?)));
        let Some((highest, transactions)) = unless_deleted(answers)? else { continue };
        found.highest_producer_id = found.highest_producer_id.max(highest);
        for open in transactions {
            let OpenTransaction { producer_id, first_offset } = open;
            let transaction = OngoingTransaction { partition: log.id().clone(), producer_id, first_offset };
            if coordinated.contains(&producer_id) {
                found.left_to_broker.push(transaction);
            } else {
                found.hanging.push(Hanging { log: Arc::clone(&log), open, transaction });
            }
        }
    }
    Ok(found)
}

/// What the coordinators of a broker have noted last, by transactional id. What is invalid to us is theirs alone.
fn states(partitions: &[Arc<Leader>]) -> Result<BTreeMap<String, Coordinated>> {
    let mut states = BTreeMap::new();
    for log in partitions.iter().filter(|log| log.id().topic() == TRANSACTION_STATE) {
        unless_deleted(read_states(log, &mut states))?;
    }
    Ok(states)
}

fn read_states(log: &Arc<Leader>, states: &mut BTreeMap<String, Coordinated>) -> Result<()> {
    let start = log.bounds()?.log_start;
    let mut cursor = Cursor::new(Arc::clone(log), start, ReadUpTo::Visible);
    while let Some(fetched) = cursor.fetch(LIMITS)? {
        let mut rest = fetched.bytes.as_ref();
        while let Some((batch, after)) = Batch::take_checked(rest) {
            rest = after;
            add_states(&batch, states);
        }
    }
    Ok(())
}

fn add_states(batch: &Batch<'_>, states: &mut BTreeMap<String, Coordinated>) {
    if batch.header.is_control() {
        return;
    }
    let mut records = batch.records();
    for _ in 0..batch.header.record_count {
        let Ok(record) = RawRecord::take(&mut records) else { return };
        let Some(Ok(Some(id))) = record.key.map(transaction_state::transactional_id) else { continue };
        match record.value.map(transaction_state::coordinated) {
            Some(Ok(state)) => {
                states.insert(id.to_owned(), state);
            }
            Some(Err(_)) => {}
            None => {
                states.remove(id);
            }
        }
    }
}
