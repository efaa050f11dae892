//! Making a log ready for a Kafka broker, and saying what was done.
//!
//! A directory of ours is one that a broker takes over as it is. What is done here is what only shows later: a transaction that
//! never ends, producer ids that are assigned twice, committed offsets that a broker would expire, settings that it refuses to
//! start with.
//!
//! | file | what |
//! |---|---|
//! | [`options`] | which broker, and where it listens |
//! | [`obstacle`] | what keeps it from starting |
//! | [`warning`] | what it would do that may surprise |
//! | [`transactions`] | which transactions are open |
//! | [`properties`] | what to start it with |
//! | [`report`] | what was done |

mod obstacle;
mod options;
mod properties;
mod report;
mod transactions;
mod warning;

use std::sync::Arc;

pub use obstacle::HandoverObstacle;
pub use options::HandoverOptions;
pub use report::{HandoverReport, OngoingTransaction, RecommittedOffset};
pub use warning::HandoverWarning;

use crate::catalog::Catalog;
use crate::directory::OpenDirectory;
use crate::error::{Error, Result};
use crate::partition::Leader;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Does all of it and closes the log; or, if something keeps a broker from starting, nothing.
pub(crate) fn hand_over(directory: &Arc<OpenDirectory>, options: &HandoverOptions) -> Result<HandoverReport> {
    directory.check_writable()?;
    let catalog = directory.catalog()?;
    // Nothing is begun that could not be ended.
    catalog.refuse_unsettled()?;
    let obstacles = obstacle::find(directory, options)?;
    if !obstacles.is_empty() && !options.dry_run {
        let all: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
        let reason = format!("Kafka {} would not start on it: {}", options.kafka, all.join("; "));
        return Err(Error::invalid("handover", reason));
    }
    let now = directory.now().as_millis();
    let found = transactions::find(directory)?;
    let next_producer_id = found.highest_producer_id.map_or(0, |highest| highest.saturating_add(1));
    let raises = next_producer_id > catalog.next_producer_id();
    let warnings = warning::find(directory, now)?;
    let offsets = directory.groups().offsets();
    let (soon, retention) = (now.saturating_add(DAY_MS), options.offsets_retention);
    let report = HandoverReport {
        kafka: options.kafka,
        dry_run: options.dry_run,
        server_properties: properties::of(directory, options)?,
        aborted: found.ours,
        left_to_the_broker: found.left,
        next_producer_id: raises.then_some(next_producer_id),
        recommitted: offsets.expiring(soon, retention)?.into_iter().map(RecommittedOffset::of).collect(),
        obstacles,
        warnings,
    };
    if options.dry_run {
        return Ok(report);
    }
    catalog.reserve_producer_ids(next_producer_id, now)?;
    offsets.recommit(soon, retention, now)?;
    directory.close()?;
    Ok(report)
}

/// The partitions that can be read. Those that cannot are obstacles.
fn readable(catalog: &Catalog) -> Result<Vec<Arc<Leader>>> {
    let mut found = Vec::new();
    for partition in catalog.partitions() {
        match unless_deleted(partition.load()) {
            Ok(Some(_)) => found.extend(partition.leader().ok().cloned()),
            Ok(None) | Err(Error::Corrupt(_) | Error::Unsupported(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

/// What a partition answers; `None` if its topic was deleted since the partitions were listed.
fn unless_deleted<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::NotFound { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}
