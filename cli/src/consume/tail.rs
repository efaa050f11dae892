//! From poll to poll, until one of the ends is reached.

use std::time::{Duration, Instant};

use stratalog::{Consumer, Error, EventLog, Position, Records, TopicPartition};

use super::{Consume, Printer, REFRESH_INTERVAL, Selection};
use crate::progress::Bar;
use crate::{Failure, Outcome, Stop, output};

/// At most so much is read again after a crash.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long a member waits at the end of the log to find out that it is the end.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

pub(super) struct Tail<'o> {
    pub(super) options: &'o Consume,
    pub(super) consumer: Consumer,
    /// Whether it reads as a member of a group.
    pub(super) is_member: bool,
    /// Whether a member commits the positions of what is printed.
    pub(super) commits: bool,
    pub(super) wanted: Selection,
    pub(super) log: EventLog,
    pub(super) stop: Stop,
}

impl Tail<'_> {
    /// Prints until it is done, and says how many records were printed. What was printed is committed, also when the
    /// printing failed after it.
    pub(super) fn run(mut self, mut printer: Printer) -> Outcome<u64> {
        let mut delivered = Vec::new();
        let outcome = self.tail(&mut printer, &mut delivered);
        if self.is_member {
            // Where nothing was printed, the place where reading begins is remembered too.
            let reached = if outcome.is_ok() { self.consumer.positions() } else { delivered };
            let committed = self.commit(reached);
            outcome.and(committed)?;
        } else {
            outcome?;
        }
        self.consumer.close()?;
        Ok(printer.printed())
    }

    fn tail(&mut self, printer: &mut Printer, delivered: &mut Vec<Position>) -> Outcome {
        let patience = self.options.timeout_ms.map(Duration::from_millis);
        let bar = self.bar();
        let (mut last_record, mut last_look, mut last_commit) =
            (Instant::now(), Instant::now(), Instant::now());
        while !printer.is_done() && !self.stop.is_asked() {
            let wait = match patience {
                _ if self.options.until_end => {
                    if self.is_member {
                        LOOK_AGAIN
                    } else {
                        Duration::ZERO
                    }
                }
                Some(patience) => patience.saturating_sub(last_record.elapsed()).min(REFRESH_INTERVAL),
                None => REFRESH_INTERVAL,
            };
            let came = match self.consumer.poll(wait) {
                Ok(records) => self.print(&records, printer, delivered)?,
                Err(failure) => self.recover(failure)?,
            };
            if came > 0 {
                last_record = Instant::now();
                if let Some(bar) = &bar {
                    bar.set(printer.printed());
                }
            } else if patience.is_some_and(|patience| last_record.elapsed() >= patience)
                || self.is_at_end()?
            {
                break;
            }
            if self.is_member && last_commit.elapsed() >= COMMIT_EVERY {
                last_commit = Instant::now();
                self.commit(std::mem::take(delivered))?;
            }
            if last_look.elapsed() >= REFRESH_INTERVAL {
                last_look = Instant::now();
                self.refresh()?;
            }
        }
        Ok(())
    }

    /// Of what there is to read, where it is known how much that is and the records do not show it themselves.
    fn bar(&self) -> Option<Bar> {
        let is_hidden = console::Term::stdout().is_term() || !self.options.until_end;
        let lag = |of: &TopicPartition| self.consumer.lag(of).unwrap_or(0);
        let total = self.consumer.assignment().iter().map(lag).sum();
        (!is_hidden && total > 0).then(|| Bar::count("reading", Some(total)))
    }

    /// Commits positions, but for those in partitions that are no longer this member's: their topic was deleted.
    fn commit(&mut self, mut positions: Vec<Position>) -> Outcome {
        if !self.commits {
            return Ok(());
        }
        positions.retain(|position| self.consumer.assignment().contains(position.topic_partition()));
        Ok(self.consumer.commit_to(positions)?)
    }

    fn print(
        &mut self,
        records: &Records,
        printer: &mut Printer,
        delivered: &mut Vec<Position>,
    ) -> Outcome<u64> {
        let count = printer.print(records)?;
        if self.is_member && count > 0 {
            self.give_back(records, count)?;
            *delivered = self.consumer.positions();
        }
        Ok(count as u64)
    }

    /// What was returned but not printed is not processed.
    fn give_back(&mut self, records: &Records, printed: usize) -> Outcome {
        let mut seen: Vec<TopicPartition> = Vec::new();
        for record in records.iter().skip(printed) {
            let of: TopicPartition = (record.topic(), record.partition()).into();
            if !seen.contains(&of) {
                self.consumer.seek(Position::new(&of, record.offset()))?;
                seen.push(of);
            }
        }
        Ok(())
    }

    /// Whether it is to end at the end, and this is it. A member may get other results before it is.
    fn is_at_end(&self) -> Outcome<bool> {
        if !self.options.until_end {
            return Ok(false);
        }
        for partition in self.consumer.assignment().iter().filter(|_| self.is_member) {
            if self.consumer.lag(partition)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is no reason to end: continues after it.
    fn recover(&mut self, failure: Error) -> Outcome<u64> {
        match failure {
            Error::OffsetOutOfRange { at, valid } if at.offset() < valid.start => {
                // Records that were deleted before they were printed are reported, not skipped in silence.
                let (from, last, of) = (at.offset(), valid.start - 1, at.topic_partition());
                if from == last {
                    output::warn(format_args!("offset {from} of {of} was deleted before it was read"));
                } else {
                    output::warn(format_args!(
                        "offsets {from} to {last} of {of} were deleted before they were read"
                    ));
                }
                self.consumer.seek(Position::new(of, valid.start))?;
            }
            // One of several topics was deleted: the others are read on.
            Error::NotFound { .. } if self.wanted.may_change() && !self.is_member => {
                self.consumer.assign(self.wanted.partitions(&self.log)?)?;
            }
            failure => return Err(explained(failure)),
        }
        Ok(0)
    }

    /// Reads partitions that are new, from their beginning, and no longer those that are gone. A member's group does that
    /// by itself; but when all is gone, there is nothing to wait for.
    fn refresh(&mut self) -> Outcome {
        let now = self.wanted.partitions(&self.log)?;
        let assigned = self.consumer.assignment();
        let new: Vec<_> = now.iter().filter(|one| !assigned.contains(one)).cloned().collect();
        if self.is_member || (new.is_empty() && now.len() == assigned.len()) {
            return Ok(());
        }
        self.consumer.assign(now)?;
        for partition in new {
            // Below the beginning of any log, if retention was quick: then the next poll reports where to continue.
            self.consumer.seek(Position::new(partition, 0))?;
        }
        Ok(())
    }
}

/// With what to do about damage, where something can be done.
fn explained(failure: Error) -> Failure {
    let Error::Corrupt(damage) = &failure else { return failure.into() };
    match damage.resume_at() {
        None => failure.into(),
        Some(at) => Failure::failed(format!(
            "{failure}; to continue after it use --partition {} --offset {}",
            at.topic_partition().partition(),
            at.offset()
        )),
    }
}
