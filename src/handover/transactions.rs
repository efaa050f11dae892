//! Which transactions are open.
//!
//! What a log had open when it was opened was ended then. So those that are open are of producers of this process, which the close
//! aborts; or nothing can be known of them, since what would decide them cannot be read: a broker ends those that it knows.

use super::report::OngoingTransaction;
use super::unless_deleted;
use crate::catalog::Catalog;
use crate::directory::OpenDirectory;
use crate::error::Result;
use crate::partition::OpenTransaction;

/// What there is of transactions and producers in a log.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions {
    /// Of producers of this process.
    pub(super) ours: Vec<OngoingTransaction>,
    pub(super) left: Vec<OngoingTransaction>,
    pub(super) highest_producer_id: Option<i64>,
}

pub(super) fn find(directory: &OpenDirectory) -> Result<OpenTransactions> {
    let catalog: &Catalog = directory.catalog()?;
    let transactions = directory.transactions();
    let mut found = OpenTransactions {
        highest_producer_id: transactions.highest_producer_id()?,
        ..OpenTransactions::default()
    };
    for log in super::readable(catalog)? {
        let answers = log.highest_producer_id().and_then(|highest| Ok((highest, log.open_transactions()?)));
        let Some((highest, open)) = unless_deleted(answers)? else { continue };
        found.highest_producer_id = found.highest_producer_id.max(highest);
        for OpenTransaction { producer_id, first_offset } in open {
            let transaction = OngoingTransaction { partition: log.id().clone(), producer_id, first_offset };
            if transactions.is_open(producer_id) {
                found.ours.push(transaction);
            } else {
                found.left.push(transaction);
            }
        }
    }
    Ok(found)
}
