//! Which segments a partition does not keep: Kafka's rules, and carrying them out.
//!
//! | rule, in this order | the oldest segment goes when |
//! |---|---|
//! | log start | the next one begins at or below it |
//! | `retention.bytes` | without it there is still as much as that |
//! | `retention.ms` | its newest record is older |
//!
//! Place and size are those of the log files. The index of a segment claims an age, but only the batches decide it. The
//! last two rules count where the cleanup policy holds `delete`. Each rule deletes from the oldest segment on until one
//! stays. If all go, an empty one is begun first. A record from the future keeps its segment, and so all after it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::partition::{Age, AgeQuestion, Leader, PartitionLog, Retention, SegmentFacts};

/// What the retention of some partitions did.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    pub(crate) segments_deleted: usize,
    pub(crate) bytes_deleted: u64,
    /// When something may be due next, by the log's clock. `None`: not before something changes.
    pub(crate) next_due: Option<i64>,
    /// Partitions of which there is more to be found out.
    pub(crate) busy: Vec<Arc<Leader>>,
}

/// How much is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stint {
    /// All that is due.
    Whole,
    /// Of each segment whose batches have to be gone through a slice, which takes milliseconds.
    Slice,
}

/// Deletes what these partitions do not keep at the time `now`, and removes files that were deleted long enough ago.
/// `advance_starts` puts the new log starts on disk and then into effect, before anything is gone.
///
/// A partition that fails is passed over; the first failure is returned beside what was done.
pub(crate) fn retain(
    partitions: &[Arc<Leader>],
    now: i64,
    stint: Stint,
    advance_starts: impl FnOnce(&[(Arc<Leader>, u64)]) -> Result<()>,
) -> (Retained, Result<()>) {
    let mut retained = Retained::default();
    let mut outcome = Ok(());
    let mut advanced = Vec::new();
    for partition in partitions {
        match plan(partition, now, stint) {
            Ok(RetentionPlan { start, is_busy, next_due }) => {
                retained.await_at(next_due);
                retained.busy.extend(is_busy.then(|| Arc::clone(partition)));
                advanced.extend(start.map(|start| (Arc::clone(partition), start)));
            }
            // Deleted meanwhile, or about to be closed; damaged or failed, which every use of it reports.
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
    if !advanced.is_empty()
        && let Err(failure) = advance_starts(&advanced)
    {
        // Nothing is gone; the next time tries again.
        return (retained, outcome.and(Err(failure)));
    }
    for (partition, _) in advanced {
        match partition.delete_head_segments(now) {
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
struct RetentionPlan {
    /// Where it is to start: segments lie below, and this has to be on disk before they go.
    start: Option<u64>,
    /// There is more to be found out.
    is_busy: bool,
    next_due: Option<i64>,
}

/// Finds out where the log is to start so that the segments which are not kept lie below, and makes these ready to go.
fn plan(partition: &Arc<Leader>, now: i64, stint: Stint) -> Result<RetentionPlan> {
    let retention = partition.retention();
    let start = partition.has_below_start().then(|| partition.log_start());
    let mut plan = RetentionPlan { start, is_busy: false, next_due: None };
    if !retention.deletes && !partition.is_loaded() {
        return Ok(plan);
    }
    let mut segments = partition.facts()?;
    let log_start = partition.log_start();
    let mut batches = Batches { partition, now, stint };
    let mut gone = match count_to_delete(&mut segments, log_start, &retention, now, &mut batches)? {
        Counted::All(gone) => gone,
        Counted::SoFar(gone) => {
            plan.is_busy = true;
            gone
        }
    };
    // No reader of committed records has passed an open transaction.
    let stable = partition.bounds()?.last_stable.max(log_start);
    gone = gone.min(segments.partition_point(|segment| segment.next_offset <= stable));
    if gone == segments.len()
        && let Some(last) = segments.last()
        && !partition.roll_at(last.next_offset)?
    {
        // Written to meanwhile.
        gone -= 1;
    }
    if !plan.is_busy {
        plan.next_due = next_due(segments.get(gone..).unwrap_or_default(), &retention, now);
    }
    let Some(last) = gone.checked_sub(1).and_then(|last| segments.get(last)) else { return Ok(plan) };
    let start = segments.get(gone).map_or(last.next_offset, |next| next.base);
    partition.prepare_to_leave(start)?;
    plan.start = Some(start);
    Ok(plan)
}

/// What is asked of the batches of segments.
trait Witness {
    /// Whether the last batches bear out what the index of a segment has as its largest timestamp.
    fn bears_out(&mut self, base: u64) -> Result<bool>;

    /// What all batches say; `None` if there is more of them.
    fn age(&mut self, base: u64, age: i64) -> Result<Option<Age>>;
}

struct Batches<'p> {
    partition: &'p Leader,
    now: i64,
    stint: Stint,
}

impl Witness for Batches<'_> {
    fn bears_out(&mut self, base: u64) -> Result<bool> {
        self.partition.bears_out_age(base)
    }

    fn age(&mut self, base: u64, age: i64) -> Result<Option<Age>> {
        age_by_batches(self.partition, base, age, self.now, self.stint)
    }
}

/// The age of a segment by its batches. Emits an event, once, if only a timestamp in the future keeps the segment.
fn age_by_batches(partition: &Leader, base: u64, age: i64, now: i64, stint: Stint) -> Result<Option<Age>> {
    let whole = stint == Stint::Whole;
    let age_of = |since| partition.age_of(AgeQuestion { base, now, whole, since });
    let known = age_of(i64::MIN)?;
    if known.is_none_or(|known| known.newest <= now) || !partition.is_news_of_future(base) {
        return Ok(known);
    }
    let known = age_now(age_of, age, now)?;
    if let Some(known) = known.filter(|known| known.is_kept_by_future(age, now)) {
        partition.emit_future(base, known.newest);
    }
    Ok(known)
}

/// The same, as of now: what was the future when the segment was gone through may be the past by now, and young.
/// `age_of` returns what was found out since a time.
fn age_now(age_of: impl Fn(i64) -> Result<Option<Age>>, age: i64, now: i64) -> Result<Option<Age>> {
    let known = age_of(i64::MIN)?;
    match known.map(|known| (known, known.newest_past)) {
        Some((known, Some(past))) if is_old(past, age, now) && !is_old(past, age, known.at) => {
            age_of(past.saturating_add(age).saturating_add(1))
        }
        _ => Ok(known),
    }
}

impl Age {
    /// Whether a segment would go were it not for timestamps in the future.
    fn is_kept_by_future(&self, age: i64, now: i64) -> bool {
        self.newest > now && self.newest_past.is_none_or(|past| is_old(past, age, self.at))
    }
}

/// The oldest segment that is not old by its index, if it is kept only because of a timestamp in the future.
pub(crate) fn kept_by_future(partition: &PartitionLog, now: i64) -> Result<Option<SegmentFacts>> {
    let retention = partition.retention();
    let Some(age) = retention.ms.filter(|_| retention.deletes) else { return Ok(None) };
    let segments = partition.facts()?;
    let first = count_by_rules(&segments, partition.log_start(), &retention);
    let kept = segments.into_iter().skip(first).find(|segment| !is_old(segment.newest, age, now));
    let Some(segment) = kept.filter(|segment| segment.newest > now) else { return Ok(None) };
    let base = segment.base;
    let age_of = |since| partition.age_of(AgeQuestion { base, now, whole: true, since });
    let known = age_now(age_of, age, now)?;
    let known = known.filter(|known| known.is_kept_by_future(age, now));
    Ok(known.map(|known| SegmentFacts { newest: known.newest, ..segment }))
}

/// How many segments go.
#[derive(Debug, PartialEq, Eq)]
enum Counted {
    All(usize),
    /// There is more to be found out about the next one.
    SoFar(usize),
}

/// How many segments go, from the oldest on. If it is all of them, a new one is to be begun first.
///
/// Before one goes by its age, and before one stays because of a time in the future, or because of one that reading its
/// batches does not bear out, all its batches are asked. What they say takes the place of what its index says.
fn count_to_delete(
    segments: &mut [SegmentFacts],
    log_start: u64,
    retention: &Retention,
    now: i64,
    batches: &mut impl Witness,
) -> Result<Counted> {
    let mut gone = count_by_rules(segments, log_start, retention);
    let Some(age) = retention.ms.filter(|_| retention.deletes) else { return Ok(Counted::All(gone)) };
    let most = candidates(segments).len();
    for segment in segments.iter_mut().take(most).skip(gone) {
        let is_young = !is_old(segment.newest, age, now) && segment.newest <= now;
        if is_young && batches.bears_out(segment.base)? {
            break;
        }
        let Some(known) = batches.age(segment.base, age)? else { return Ok(Counted::SoFar(gone)) };
        (segment.newest, segment.newest_past) = (known.newest, known.newest_past);
        if !is_old(known.newest, age, now) {
            break;
        }
        gone += 1;
    }
    Ok(Counted::All(gone))
}

fn is_old(newest: i64, age: i64, now: i64) -> bool {
    now.saturating_sub(newest) > age
}

/// The segments that may go: an empty last one is what is left when all go.
fn candidates(segments: &[SegmentFacts]) -> &[SegmentFacts] {
    match segments.split_last() {
        Some((last, rest)) if last.bytes == 0 => rest,
        _ => segments,
    }
}

/// How many segments go by their place and size, from the oldest on.
fn count_by_rules(segments: &[SegmentFacts], log_start: u64, retention: &Retention) -> usize {
    let candidates = candidates(segments);
    let mut gone = segments.iter().skip(1).take_while(|next| next.base <= log_start).count();
    if retention.deletes
        && let Some(kept) = retention.bytes
    {
        let total: u64 = segments.iter().skip(gone).map(|segment| segment.bytes).sum();
        let mut spare = total.saturating_sub(kept);
        // Less than the limit is no reason to look further; as much as the limit lets empty segments go.
        let over = total >= kept;
        while let Some(next) = candidates.get(gone).filter(|next| over && next.bytes <= spare) {
            spare -= next.bytes;
            gone += 1;
        }
    }
    gone
}

/// When the oldest of the segments that stay is too old, or is to be reported.
fn next_due(segments: &[SegmentFacts], retention: &Retention, now: i64) -> Option<i64> {
    let age = retention.ms.filter(|_| retention.deletes)?;
    let oldest = segments.first().filter(|oldest| oldest.bytes > 0)?;
    let due = |newest: i64| newest.checked_add(age)?.checked_add(1);
    let telling = oldest.newest_past.and_then(due).filter(|due| *due > now);
    due(oldest.newest).into_iter().chain(telling).min()
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
            newest_past: None,
        };
        (0..).step_by(10).zip(of).map(facts).collect()
    }

    /// What the batches of segments say, ten offsets each: `None` if that takes longer.
    struct Said<'s> {
        newest: &'s [Option<i64>],
        borne_out: bool,
        asked: Vec<u64>,
    }

    impl Witness for Said<'_> {
        fn bears_out(&mut self, _: u64) -> Result<bool> {
            Ok(self.borne_out)
        }

        fn age(&mut self, base: u64, _: i64) -> Result<Option<Age>> {
            self.asked.push(base);
            let newest = self.newest[usize::try_from(base / 10).unwrap()];
            Ok(newest.map(|newest| Age { newest, newest_past: None, at: 0 }))
        }
    }

    /// How many go if the batches say what the indexes say.
    fn count(of: &[SegmentFacts], log_start: u64, retention: &Retention, now: i64) -> usize {
        let newest: Vec<_> = of.iter().map(|one| Some(one.newest)).collect();
        let mut said = Said { newest: &newest, borne_out: true, asked: Vec::new() };
        match count_to_delete(&mut of.to_vec(), log_start, retention, now, &mut said).unwrap() {
            Counted::All(gone) => gone,
            Counted::SoFar(gone) => panic!("{gone} of more"),
        }
    }

    #[test]
    fn by_age_nothing_goes_that_the_batches_do_not_show_to_be_old() {
        let with = |newest: &[Option<i64>], borne_out, now| {
            let mut segments = segments(&[(1, 0), (1, 10), (1, 20), (1, 500)]);
            let mut said = Said { newest, borne_out, asked: Vec::new() };
            let counted = count_to_delete(&mut segments, 0, &AGE, now, &mut said).unwrap();
            (counted, said.asked)
        };
        let young = [Some(0), Some(450), Some(20), Some(500)];
        assert_eq!(with(&young, true, 480), (Counted::All(1), vec![0, 10]));
        assert_eq!(with(&[Some(0), None, Some(20), None], true, 480), (Counted::SoFar(1), vec![0, 10]));
        let right = [Some(0), Some(10), Some(20), Some(500)];
        assert_eq!(with(&right, true, 480), (Counted::All(3), vec![0, 10, 20, 30]));
        // The batches are not read of what is young by its index too, unless reading its last batch shows otherwise.
        assert_eq!(with(&[None; 4], true, 90), (Counted::All(0), vec![]));
        assert_eq!(with(&right, false, 90), (Counted::All(0), vec![0]));
        assert_eq!(with(&[Some(-50); 4], false, 90).0, Counted::All(4), "their indexes said too much");
        let no_future = [Some(0), Some(10), Some(20), Some(100)];
        assert_eq!(with(&no_future, true, 490).0, Counted::All(4), "a future that is none");
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
            assert_eq!(count(&segments(of), 0, &AGE, now), gone, "{of:?} at {now}");
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
            assert_eq!(count(&segments(of), 0, &SIZE, 0), gone, "{of:?}");
        }
        let none = Retention { bytes: Some(0), ..SIZE };
        assert_eq!(count(&segments(&[(5, 0), (5, 0)]), 0, &none, 0), 2);
        assert_eq!(count(&segments(&[(5, 0), (0, 0)]), 0, &none, 0), 1);
    }

    #[test]
    fn below_the_log_start_segments_go_whatever_the_policy() {
        let three = segments(&[(1, 0), (1, 0), (1, 0)]);
        for (log_start, gone) in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (30, 2)] {
            assert_eq!(count(&three, log_start, &Retention::NEVER, i64::MAX), gone, "{log_start}");
        }
        // The rules continue from one another.
        let both = Retention { bytes: Some(1), ..AGE };
        assert_eq!(count(&three, 10, &both, 50), 2);
        assert_eq!(count(&three, 10, &both, 101), 3);
    }

    #[test]
    fn what_may_be_due_next_is_known() {
        let three = segments(&[(1, 7), (1, 0), (1, 0)]);
        assert_eq!(next_due(&three, &AGE, 0), Some(108));
        assert_eq!(next_due(&three, &SIZE, 0), None);
        let future = [SegmentFacts { newest: 9000, newest_past: Some(50), ..three[0] }];
        assert_eq!(next_due(&future, &AGE, 100), Some(151), "then it is reported");
        assert_eq!(next_due(&future, &AGE, 151), Some(9101));
        assert_eq!(next_due(&segments(&[(0, 0)]), &AGE, 0), None);
        assert_eq!(next_due(&three, &Retention { ms: Some(i64::MAX), ..AGE }, 0), None);
    }
}
