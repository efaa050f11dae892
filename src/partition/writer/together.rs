//! Batches for several partitions, appended at one point: while the locks of all their appenders are held.
//!
//! So of two such appends one comes first in all partitions that they share, and whether each partition ends where it should is
//! found out before anything is written. Nothing waits for the disk meanwhile: segments begin before, each partition by itself. A
//! partition that has no room any more once all are held is let go with the others and gets it anew.
//!
//! Appenders are waited for in the order of their partitions, here and for a snapshot, so that two threads never wait for each
//! other.

use std::ops::Range;
use std::sync::Arc;

use super::append::{AppendAt, Put};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::sealed_batch::SealedBatch;
use crate::partition::locks::Guard;
use crate::partition::{Appender, Leader};

/// How often room is made anew before the partitions are appended to one after the other.
const ATTEMPTS: usize = 8;

/// Batches for one of the partitions.
#[derive(Debug)]
pub(crate) struct AppendPart<'p> {
    pub(crate) log: &'p Arc<Leader>,
    pub(crate) place: AppendAt,
    pub(crate) batches: &'p mut [SealedBatch],
    /// Where they are, once they are.
    pub(crate) offsets: Vec<Range<u64>>,
}

impl AppendPart<'_> {
    fn bytes(&self) -> usize {
        self.batches.iter().map(SealedBatch::len).sum()
    }

    fn count(&self) -> u32 {
        self.batches.iter().map(SealedBatch::offsets).sum()
    }
}

/// Appends to partitions that are in order and each there once. On an error as many of the first parts have `offsets` as were
/// appended to; after a [`Conflict`](Error::Conflict) none has, unless there was no room for all at once.
pub(crate) fn append_together(parts: &mut [AppendPart<'_>], durability: Durability) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut were_idle = Vec::with_capacity(parts.len());
        for part in parts.iter() {
            were_idle.push(part.log.make_ready(part, durability)?);
        }
        let Some(puts) = append_held(parts, durability)? else { continue };
        for ((part, was_idle), put) in parts.iter().zip(were_idle).zip(puts) {
            part.log.follow_up(put, was_idle, durability)?;
        }
        return Ok(());
    }
    one_by_one(parts, durability)
}

/// `None`: a partition has no room any more, and nothing was written.
fn append_held<'p>(parts: &mut [AppendPart<'p>], durability: Durability) -> Result<Option<Vec<Put<'p>>>> {
    let mut held: Vec<_> = parts.iter().map(|part| part.log.writer.appender_beside_others()).collect();
    if !held.iter().zip(parts.iter()).all(|(appender, part)| part.log.is_ready(appender, part)) {
        return Ok(None);
    }
    for (appender, part) in held.iter().zip(parts.iter()) {
        part.log.base_for(appender, part.place, part.count())?;
    }
    let mut puts = Vec::with_capacity(parts.len());
    for (appender, part) in held.iter_mut().zip(parts) {
        puts.extend(part.put(appender, durability)?);
    }
    Ok(Some(puts))
}

fn one_by_one(parts: &mut [AppendPart<'_>], durability: Durability) -> Result<()> {
    for part in parts {
        let mut place = part.place;
        for batch in part.batches.iter_mut() {
            let request = super::append::AppendRequest {
                batch: &mut batch.finished(),
                place: std::mem::replace(&mut place, AppendAt::End),
                durability,
                indivisible: false,
            };
            let appended = part.log.append(request)?;
            part.offsets.push(appended.base_offset..appended.next_offset);
        }
    }
    Ok(())
}

impl<'p> AppendPart<'p> {
    fn put(&mut self, appender: &mut Guard<'_, Appender>, durability: Durability) -> Result<Option<Put<'p>>> {
        let log = self.log;
        let mut last = None;
        for batch in self.batches.iter_mut() {
            let base_offset = appender.next_offset();
            let put = log.put(appender, &mut batch.finished(), base_offset, durability)?;
            self.offsets.push(base_offset..put.end());
            last = Some(put);
        }
        Ok(last)
    }
}

impl Leader {
    /// Brings a partition to a state in which the batches can be put into its segment without more ado. Returns whether its file
    /// was not open.
    fn make_ready(self: &Arc<Self>, part: &AppendPart<'_>, durability: Durability) -> Result<bool> {
        for batch in part.batches.iter() {
            let (bytes, limit) = (batch.len() as u64, u64::from(self.max_batch_bytes()));
            if bytes > limit {
                return Err(Error::TooLarge { bytes, limit });
            }
        }
        let mut appender = self.writer.appender();
        let was_idle = !matches!(&*appender, Appender::Active { .. });
        if was_idle {
            self.prepare(&mut appender)?;
        }
        let base_offset = self.base_for(&appender, part.place, part.count())?;
        if !self.is_ready(&appender, part) {
            self.roll(&mut appender, part.bytes(), base_offset)?;
        }
        if matches!(durability, Durability::Synced) {
            self.prepare_first_sync()?;
        }
        Ok(was_idle)
    }

    fn is_ready(&self, appender: &Appender, part: &AppendPart<'_>) -> bool {
        let Appender::Active { writer, .. } = appender else { return false };
        let newest = part.batches.iter().map(SealedBatch::max_timestamp).max().unwrap_or(-1);
        writer.has_room(part.bytes(), writer.next_offset(), part.count(), self.settings.segment_bytes())
            && !writer.is_too_old_for(newest, self.settings.segment_ms())
    }
}
