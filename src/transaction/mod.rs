//! Transactions: which transactional ids there are, which producer each has, and what becomes of its transactions.
//!
//! | file | what |
//! |---|---|
//! | [`id`] | one transactional id: which state follows which, and with which epoch; a pure value |
//! | [`states`] | the states of all ids, kept in `__transaction_state` |
#![cfg_attr(not(test), expect(dead_code, reason = "used by the transactional producer"))]
#![expect(unused_imports, reason = "used by the transactional producer")]

mod id;
mod states;

pub(crate) use id::{End, Id, Refused, resume};
pub(crate) use states::{
    PARTITIONS as STATE_PARTITIONS, ShardDamage, TransactionStates, UnreadableState, WrittenState,
};
