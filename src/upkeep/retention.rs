//! Which segments a partition does not keep: Kafka's rules, and carrying them out.
//!
//! | rule, in this order | the oldest segment goes when |
//! |---|---|
//! | log start | the next one begins at or below it |
//! | `retention.bytes` | without it there is still as much as that |
//! | `retention.ms` | its newest record is older |
//!
//! The last two count where the cleanup policy holds `delete`. Each goes on until a segment stays. If all go, an empty
//! one is begun first. A record from the future keeps its segment, and so all behind it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::partition::{PartitionLog, Retention, SegmentFacts};

/// What the retention of some partitions did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retained {
    pub(crate) segments_deleted: usize,
    pub(crate) bytes_deleted: u64,
    /// When something may be due next, by the log's clock. `None`: not before something changes.
    pub(crate) next_due: Option<i64>,
}

/// Deletes what these partitions do not keep at the time `now`, and removes files that were deleted long enough ago.
/// `write_starts` puts the log starts on the medium, before anything is gone.
///
/// A partition that fails is passed over; the first failure is returned beside what was done.
pub(crate) fn retain(
    partitions: &[Arc<PartitionLog>],
    now: i64,
    write_starts: impl FnOnce() -> Result<()>,
) -> (Retained, Result<()>) {
    let mut retained = Retained::default();
    let mut outcome = Ok(());
    let mut risen = Vec::new();
    for partition in partitions {
        match raise_start(partition, now) {
            Ok(Judged { rises, next_due }) => {
                retained.await_at(next_due);
                risen.extend(rises.then_some(partition));
            }
            // Deleted meanwhile, or about to be closed; damaged or failed, which every use of it tells.
            Err(
                Error::NotFound { .. }
                | Error::Closed
                | Error::Corrupt(_)
                | Error::Unsupported(_)
                | Error::Poisoned(_),
            ) => {}
            Err(failure) => outcome = outcome.and(Err(failure)),
        }
    }
    if !risen.is_empty()
        && let Err(failure) = write_starts()
    {
        // Nothing is gone; the next time tries again.
        return (retained, outcome.and(Err(failure)));
    }
    for partition in risen {
        match partition.drop_front(now) {
            Ok(dropped) => {
                retained.segments_deleted += dropped.segments;
                retained.bytes_deleted += dropped.bytes;
            }
            Err(failure) => outcome = outcome.and(Err(failure)),
        }
    }
    for partition in partitions {
        match partition.remove_due_files(now) {
            Ok(next_due) => retained.await_at(next_due),
            Err(failure) => outcome = outcome.and(Err(failure)),
        }
    }
    (retained, outcome)
}

impl Retained {
    fn await_at(&mut self, due: Option<i64>) {
        self.next_due = self.next_due.into_iter().chain(due).min();
    }
}

/// What was found out about a partition.
struct Judged {
    /// Segments lie below the log start.
    rises: bool,
    next_due: Option<i64>,
}

/// Raises the log start over the segments that are not kept.
fn raise_start(partition: &Arc<PartitionLog>, now: i64) -> Result<Judged> {
    let retention = partition.retention();
    if !retention.deletes && !partition.is_loaded() {
        return Ok(Judged { rises: false, next_due: None });
    }
    let segments = partition.facts()?;
    let mut gone = count_to_delete(&segments, partition.log_start(), &retention, now);
    if gone == segments.len()
        && let Some(last) = segments.last()
        && !partition.roll_at(last.next_offset)?
    {
        // Written to meanwhile.
        gone -= 1;
    }
    let next_due = next_due(segments.get(gone..).unwrap_or_default(), &retention);
    let Some(last) = gone.checked_sub(1).and_then(|last| segments.get(last)) else {
        return Ok(Judged { rises: false, next_due });
    };
    let start = segments.get(gone).map_or(last.next_offset, |next| next.base);
    if !partition.finish_before(start)? {
        return Ok(Judged { rises: false, next_due });
    }
    partition.raise_start(start);
    Ok(Judged { rises: true, next_due })
}

/// How many segments go, from the oldest on. If it is all of them, a new one is to be begun first.
fn count_to_delete(segments: &[SegmentFacts], log_start: u64, retention: &Retention, now: i64) -> usize {
    // An empty last segment is what is left when all go.
    let candidates = match segments.split_last() {
        Some((last, rest)) if last.bytes == 0 => rest,
        _ => segments,
    };
    let below = segments.iter().skip(1).take_while(|next| next.base <= log_start).count();
    if !retention.deletes {
        return below;
    }
    let mut gone = below;
    if let Some(kept) = retention.bytes {
        let total: u64 = segments.iter().skip(gone).map(|segment| segment.bytes).sum();
        let mut spare = total.saturating_sub(kept);
        // Less than the limit is no reason to look further; as much as the limit lets empty segments go.
        let over = total >= kept;
        while let Some(next) = candidates.get(gone).filter(|next| over && next.bytes <= spare) {
            spare -= next.bytes;
            gone += 1;
        }
    }
    if let Some(age) = retention.ms {
        let old = |segment: &&SegmentFacts| now.saturating_sub(segment.newest) > age;
        gone += candidates.iter().skip(gone).take_while(old).count();
    }
    gone
}

/// When the oldest of the segments that stay is too old.
fn next_due(segments: &[SegmentFacts], retention: &Retention) -> Option<i64> {
    let age = retention.ms.filter(|_| retention.deletes)?;
    let oldest = segments.first().filter(|oldest| oldest.bytes > 0)?;
    oldest.newest.checked_add(age)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Retention = Retention { deletes: true, bytes: None, ms: Some(100), file_delete_delay_ms: 0 };
    const SIZE: Retention = Retention { deletes: true, bytes: Some(100), ms: None, file_delete_delay_ms: 0 };

    /// Segments of ten records each, with these sizes and newest timestamps.
    fn segments(of: &[(u64, i64)]) -> Vec<SegmentFacts> {
        let facts = |(base, (bytes, newest)): (u64, &(u64, i64))| SegmentFacts {
            base,
            next_offset: base + if *bytes > 0 { 10 } else { 0 },
            bytes: *bytes,
            sealed: true,
            newest: *newest,
        };
        (0..).step_by(10).zip(of).map(facts).collect()
    }

    #[test]
    fn by_age_the_oldest_go_up_to_the_first_that_is_young_enough() {
        for (of, now, gone) in [
            (&[(1, 0), (1, 50), (1, 60)][..], 100, 0),
            (&[(1, 0), (1, 50), (1, 60)], 101, 1),
            (&[(1, 0), (1, 50), (1, 60)], 155, 2),
            (&[(1, 0), (1, 50), (1, 60)], 1000, 3),
            (&[(1, 0), (1, 5000), (1, 60)], 1000, 1),
            (&[(1, 0), (0, 0)], 1000, 1),
            (&[(0, 0)], 1000, 0),
            (&[], 1000, 0),
            (&[(1, i64::MAX), (1, 0)], 1000, 0),
        ] {
            assert_eq!(count_to_delete(&segments(of), 0, &AGE, now), gone, "{of:?} at {now}");
        }
    }

    #[test]
    fn by_size_nothing_goes_below_the_limit() {
        for (of, gone) in [
            (&[(60, 0), (40, 0)][..], 0),
            (&[(60, 0), (41, 0), (59, 0)], 1),
            (&[(60, 0), (41, 0), (58, 0)], 0),
            (&[(60, 0), (60, 0), (60, 0), (60, 0)], 2),
            (&[(99, 0)], 0),
            (&[(100, 0)], 0),
            (&[(5000, 0)], 0),
            (&[(5000, 0), (100, 0)], 1),
        ] {
            assert_eq!(count_to_delete(&segments(of), 0, &SIZE, 0), gone, "{of:?}");
        }
        let none = Retention { bytes: Some(0), ..SIZE };
        assert_eq!(count_to_delete(&segments(&[(5, 0), (5, 0)]), 0, &none, 0), 2);
        assert_eq!(count_to_delete(&segments(&[(5, 0), (0, 0)]), 0, &none, 0), 1);
    }

    #[test]
    fn below_the_log_start_segments_go_whatever_the_policy() {
        let three = segments(&[(1, 0), (1, 0), (1, 0)]);
        for (log_start, gone) in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (30, 2)] {
            assert_eq!(count_to_delete(&three, log_start, &Retention::NEVER, i64::MAX), gone, "{log_start}");
        }
        // The rules go on from one another.
        let both = Retention { bytes: Some(1), ..AGE };
        assert_eq!(count_to_delete(&three, 10, &both, 50), 2);
        assert_eq!(count_to_delete(&three, 10, &both, 101), 3);
    }

    #[test]
    fn what_may_be_due_next_is_known() {
        let three = segments(&[(1, 7), (1, 0), (1, 0)]);
        assert_eq!(next_due(&three, &AGE), Some(108));
        assert_eq!(next_due(&three, &SIZE), None);
        assert_eq!(next_due(&segments(&[(0, 0)]), &AGE), None);
        assert_eq!(next_due(&three, &Retention { ms: Some(i64::MAX), ..AGE }), None);
    }
}
