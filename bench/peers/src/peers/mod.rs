//! What is measured, one file each.

pub(crate) mod commitlog;
pub(crate) mod crossbeam;
pub(crate) mod disruptor;
pub(crate) mod khata;
pub(crate) mod mrecordlog;
pub(crate) mod okaywal;
pub(crate) mod raft_engine;
pub(crate) mod stratalog;
pub(crate) mod yaque;
