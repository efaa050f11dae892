//! Compaction: of all records with the same key only the last one stays. Kafka's log cleaner, with Kafka's settings.
//!
//! | file | what |
//! |---|---|
//! | [`run`] | going through one partition |
//! | [`deciding`] | what batches say of transactions and of times, before anything goes |
//! | [`decisions`] | which records go |
//! | [`key_map`] | the last offset of each key, in bounded memory |
//! | [`markers`] | transactions and producers |
//!
//! The dirtiest partition comes first. One run runs at a time, in slices between which everything else that is due is
//! done. A partition that cannot be cleaned, because something in it is damaged or cannot be read here, is left alone
//! and reported.

mod deciding;
mod decisions;
mod key_map;
mod markers;
mod run;

use std::sync::{Arc, Weak};

use run::CleanerRun;
pub(crate) use run::Step;
pub(crate) use run::Summary;

use crate::error::{Error, Result};
use crate::partition::Leader;

/// Bytes that the map of keys may take unless something else is said.
pub(crate) const DEFAULT_MEMORY: usize = 16 << 20;

/// Which partitions are to be gone through, and the run that is under way.
#[derive(Debug)]
pub(crate) struct Compaction {
    memory: usize,
    run: Option<CleanerRun>,
    /// The next one is the last.
    waiting: Vec<Weak<Leader>>,
}

/// What a check of all partitions has found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// When something may be due next, by the log's clock.
    pub(crate) next_due: Option<i64>,
    pub(crate) failure: Option<Error>,
}

impl Compaction {
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory, run: None, waiting: Vec::new() }
    }

    /// Whether there is anything to continue with.
    pub(crate) fn is_busy(&self) -> bool {
        self.run.is_some() || !self.waiting.is_empty()
    }

    /// Ends the run that is under way.
    pub(crate) fn end(&mut self) {
        (self.run, self.waiting) = (None, Vec::new());
    }

    /// Looks which partitions are worth going through, in place of what was known.
    pub(crate) fn look(&mut self, partitions: &[Arc<Leader>], now: i64) -> Look {
        let (mut look, mut found) = (Look::default(), Vec::new());
        for partition in partitions.iter().filter(|partition| partition.is_compacted()) {
            match partition.plan_compaction(now) {
                Ok(decided) => {
                    look.next_due = look.next_due.into_iter().chain(decided.next_due).min();
                    let dirty = decided.cleanable.map(|found| (found.is_overdue(), found.dirty_ratio()));
                    found.extend(dirty.map(|dirty| (dirty, Arc::downgrade(partition))));
                }
                Err(failure) if is_reported_elsewhere(&failure) => {}
                Err(failure) => drop(look.failure.get_or_insert(failure)),
            }
        }
        found.sort_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        self.waiting = found.into_iter().map(|(_, partition)| partition).collect();
        look
    }

    /// The partition that is gone through, or is next.
    pub(crate) fn present(&mut self) -> Option<Arc<Leader>> {
        if let Some(run) = &self.run {
            return Some(Arc::clone(run.log()));
        }
        while let Some(next) = self.waiting.last() {
            if let Some(partition) = next.upgrade() {
                return Some(partition);
            }
            self.waiting.pop();
        }
        None
    }

    /// Does a slice of the run over the [`present`](Self::present) partition, and begins the run if need be.
    pub(crate) fn step(&mut self, partition: &Arc<Leader>, now: i64) -> Result<Step> {
        let mut run = if let Some(run) = self.run.take() {
            run
        } else {
            self.waiting.pop();
            let Some(plan) = partition.plan_compaction(now)?.cleanable else { return Ok(Step::Gone) };
            CleanerRun::new(partition, plan, self.memory, now)?
        };
        let step = run.step()?;
        match step {
            Step::More => self.run = Some(run),
            // What did not fit into the map is for the next run.
            Step::Done(_) => self.waiting.push(Arc::downgrade(partition)),
            Step::Gone => {}
        }
        Ok(step)
    }
}

/// Deleted meanwhile, or about to be closed; damaged or failed, which every use of it reports.
fn is_reported_elsewhere(failure: &Error) -> bool {
    matches!(
        failure,
        Error::NotFound { .. }
            | Error::Closed
            | Error::Corrupt(_)
            | Error::Unsupported(_)
            | Error::Poisoned(_)
    )
}
