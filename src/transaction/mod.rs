//! Transactions: which transactional ids there are, which producer each has, and what becomes of its transactions.
//!
//! | file | what |
//! |---|---|
//! | [`coordinator`] | the ids of an open directory; ending what a producer does not end itself |
//! | [`ownership`] | a producer that has an id: begin, commit, abort |
//! | [`describe`] | ids as users see them |
//! | [`slot`] | one id in this process: who has it, and how far its transaction is |
//! | [`holds`] | decisions that the next open must find |
//! | [`opening`] | what an open decides that finds transactions of producers that are gone |
//! | [`id`] | which state follows which, and with which epoch; a pure value |
//! | [`states`] | the states of all ids, kept in `__transaction_state` |

mod coordinator;
mod describe;
mod holds;
mod id;
mod opening;
mod ownership;
mod slot;
mod states;

pub(crate) use coordinator::Transactions;
pub use describe::{TransactionState, TransactionalId};
pub(crate) use ownership::{Begun, Ownership, TransactionPart};
