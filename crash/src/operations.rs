//! What each operation asks of the log, and what its answer means to the oracle.

use std::time::Duration;

use stratalog::{Durability, Error, EventLog, Partition, Record, RecordCopy, Topic};

use crate::faults;
use crate::oracle::{Sent, Sort, Stage, oracle, trace};
use crate::session::{Operation, Outcome, Planned, Session, Way};

/// A partition that an operation is about.
pub struct Target {
    pub topic: Topic,
    pub partition: Partition,
    pub number: usize,
    pub index: u32,
    pub sort: Sort,
}

impl Session {
    pub fn change(&mut self, log: &EventLog, operation: &Operation) -> Outcome {
        match operation {
            Operation::Create { name, sort, partitions } => self.create(log, name, *sort, *partitions),
            Operation::Send { to, level, way, records } => match self.target(log, &to.0, to.1) {
                Ok(target) => self.send(log, &target, *level, *way, records),
                Err(outcome) => outcome,
            },
            Operation::Sync(name, index) => match self.target(log, name, *index) {
                Ok(target) => self.sync(&target),
                Err(outcome) => outcome,
            },
            Operation::SyncAll => {
                trace("sync all".into());
                self.outcome(log.sync(), |()| {
                    oracle(|oracle| {
                        for partition in oracle.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                            partition.durable = partition.acked;
                        }
                    })
                })
            }
            Operation::Maintain(millis) => self.maintain(log, *millis),
            Operation::DeleteRecords(name, index, share) => match self.target(log, name, *index) {
                Ok(target) => self.delete_records(&target, *share),
                Err(outcome) => outcome,
            },
            Operation::Delete(name) => self.delete(log, name),
            Operation::AddPartition(name) => match self.target(log, name, 0) {
                Ok(target) => self.add_partition(&target),
                Err(outcome) => outcome,
            },
            Operation::Alter(name, bytes) => match self.target(log, name, 0) {
                Ok(target) => {
                    trace(format!("alter {name}"));
                    let answer = target.topic.alter_config(|config| config.segment_bytes(*bytes));
                    self.altered(&target, answer, || ())
                }
                Err(outcome) => outcome,
            },
            Operation::Commit { group, of, share, level } => match self.target(log, &of.0, of.1) {
                Ok(target) => self.commit(log, &target, group, *share, *level),
                Err(outcome) => outcome,
            },
            Operation::Member(name) => match self.target(log, name, 0) {
                Ok(target) => self.member(log, &target),
                Err(outcome) => outcome,
            },
            Operation::Look(name, index, what) => match self.target(log, name, *index) {
                Ok(target) => self.look(log, &target, *what),
                Err(outcome) => outcome,
            },
            Operation::Forget { group, of, all } => match self.target(log, &of.0, of.1) {
                Ok(target) => self.forget(log, &target, group, *all),
                Err(outcome) => outcome,
            },
            Operation::Read(name, index) => match self.target(log, name, *index) {
                Ok(target) => self.read(log, &target),
                Err(outcome) => outcome,
            },
            Operation::Snapshot => self.snapshot(log),
            Operation::Close | Operation::Kill => Outcome::Skipped,
        }
    }

    pub fn outcome<T>(&mut self, answer: stratalog::Result<T>, done: impl FnOnce(T)) -> Outcome {
        match answer {
            Ok(answer) => {
                done(answer);
                Outcome::Done
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// The same for a change of a topic that is there before and after. If the outcome is unknown it takes no records.
    pub fn altered(&mut self, of: &Target, answer: stratalog::Result<()>, done: impl FnOnce()) -> Outcome {
        let was_poisoned = oracle(|oracle| oracle.catalog_poisoned);
        match answer {
            Ok(()) => {
                if was_poisoned {
                    self.violation(
                        "topics are changed although an earlier change has an unknown outcome".into(),
                    );
                }
                done();
                Outcome::Done
            }
            Err(failure) => {
                if matches!(failure, Error::Poisoned(_)) && !was_poisoned {
                    oracle(|oracle| {
                        oracle.catalog_poisoned = true;
                        let partitions = &mut oracle.topics[of.number].partitions;
                        partitions.iter_mut().for_each(|partition| partition.poisoned = true);
                    });
                }
                Outcome::Failed(failure)
            }
        }
    }

    pub fn target(&mut self, log: &EventLog, name: &str, index: u32) -> Result<Target, Outcome> {
        let number = oracle(|oracle| oracle.named(name)).ok_or(Outcome::Skipped)?;
        let (stage, sort, count) = oracle(|oracle| {
            let topic = &oracle.topics[number];
            (topic.stage, topic.sort, topic.partitions_acked)
        });
        if index as usize >= count {
            return Err(Outcome::Skipped);
        }
        match log.topic(name).and_then(|topic| Ok((topic.partition(index)?, topic))) {
            Ok((partition, topic)) => Ok(Target { topic, partition, number, index, sort }),
            // Whether it is there is unknown.
            Err(Error::NotFound { .. }) if stage != Stage::Live => Err(Outcome::Skipped),
            Err(failure) => Err(Outcome::Failed(failure)),
        }
    }

    fn send(
        &mut self,
        log: &EventLog,
        to: &Target,
        level: Durability,
        way: Way,
        planned: &[Planned],
    ) -> Outcome {
        // A call of its own for each: the answer of one says nothing of another.
        let planned = if way == Way::Single { &planned[..1] } else { planned };
        let (records, base, is_refused) = oracle(|oracle| {
            let mut records = Vec::new();
            for planned in planned {
                oracle.next_number += 1;
                let number = (!planned.tombstone || to.sort != Sort::Compacted).then_some(oracle.next_number);
                records.push(Sent { key: planned.key, number, length: planned.length.max(8) });
            }
            let line = format!("send {} {level:?} {way:?} x{}", to.partition.id(), records.len());
            let is_unknown = oracle.topics[to.number].stage == Stage::Unknown;
            let partition = oracle.partition(to.number, to.index);
            let (base, is_refused) = (partition.acked, partition.poisoned || is_unknown);
            if !is_refused {
                partition.values.truncate(base);
                partition.values.extend(records.iter().copied().map(Some));
            }
            oracle.trace.push(format!("{line} at {base}"));
            (records, base, is_refused)
        });
        let bodies: Vec<_> = records.iter().map(|sent| (sent.key.to_be_bytes(), sent.value())).collect();
        let records = bodies.iter().map(|(key, value)| {
            Record::of((to.sort == Sort::Compacted).then_some(&key[..]), value.as_deref()).partition(to.index)
        });
        let answer = send_by(log, to, level, way, records);
        match answer {
            Ok(_) if is_refused => {
                self.violation(format!("{} takes records although it should not", to.partition.id()));
                Outcome::Done
            }
            Ok(offset) => {
                if offset != base as u64 {
                    self.violation(format!("{} gave offset {offset}, not {base}", to.partition.id()));
                }
                oracle(|oracle| {
                    let partition = oracle.partition(to.number, to.index);
                    partition.acked = base + planned.len();
                    if level == Durability::Synced {
                        partition.durable = partition.acked;
                    }
                });
                self.look_at_marks(to);
                Outcome::Done
            }
            Err(failure) => {
                self.send_failed(to, base, way, &failure, is_refused);
                Outcome::Failed(failure)
            }
        }
    }

    fn send_failed(&mut self, to: &Target, base: usize, way: Way, failure: &Error, was_refused: bool) {
        let is_poisoned = matches!(failure, Error::Poisoned(_));
        let end = faults::spared(|| to.partition.offsets()).map(|offsets| offsets.log_end as usize);
        let mut wrong = None;
        let may_be_there = way == Way::Buffered || self.may_not_read;
        oracle(|oracle| {
            let partition = oracle.partition(to.number, to.index);
            partition.poisoned |= is_poisoned;
            match end {
                // From a buffer that fills several batches the first ones may have been written.
                Ok(end) if !is_poisoned && may_be_there && end <= partition.values.len() => {
                    partition.acked = partition.acked.max(end);
                    partition.values.truncate(partition.acked);
                }
                Ok(end) if !is_poisoned && end != base => wrong = Some(end),
                // Nothing new was written down, and what is unknown since an earlier failure still is.
                _ if was_refused => {}
                _ if !is_poisoned => partition.values.truncate(base.max(partition.acked)),
                // It may all be there at the next open, or nothing.
                _ => {}
            }
        });
        if let Some(end) = wrong {
            self.violation(format!("{}: {failure}; but it ends at {end}, not {base}", to.partition.id()));
        }
    }

    fn sync(&mut self, of: &Target) -> Outcome {
        trace(format!("sync {}", of.partition.id()));
        let acked = oracle(|oracle| oracle.partition(of.number, of.index).acked);
        match of.partition.sync() {
            Ok(()) => oracle(|oracle| {
                let partition = oracle.partition(of.number, of.index);
                partition.durable = partition.durable.max(acked);
                Outcome::Done
            }),
            Err(failure) => {
                oracle(|oracle| {
                    oracle.partition(of.number, of.index).poisoned |= matches!(failure, Error::Poisoned(_));
                });
                Outcome::Failed(failure)
            }
        }
    }

    fn maintain(&mut self, log: &EventLog, millis: u64) -> Outcome {
        oracle(|oracle| {
            oracle.trace.push(format!("maintain +{millis}"));
            for topic in oracle.topics.iter_mut().filter(|topic| topic.sort == Sort::Retained) {
                for partition in &mut topic.partitions {
                    partition.start_most = partition.start_most.max(partition.acked as u64);
                }
            }
        });
        self.clock.advance(Duration::from_millis(millis));
        let answer = log.run_maintenance();
        for number in oracle(|oracle| oracle.in_stage(Stage::Live)) {
            let (name, count) = oracle(|oracle| {
                let topic = &oracle.topics[number];
                (topic.name.clone(), topic.partitions_acked)
            });
            for index in 0..count as u32 {
                if let Ok(target) = faults::spared(|| self.target(log, &name, index)) {
                    self.look_at_marks(&target);
                }
            }
        }
        self.outcome(answer, |_| ())
    }

    /// What the log calls durable must survive.
    pub fn look_at_marks(&mut self, of: &Target) {
        if let Ok(offsets) = faults::spared(|| of.partition.offsets()) {
            oracle(|oracle| {
                let partition = oracle.partition(of.number, of.index);
                let durable = (offsets.durable as usize).min(partition.values.len());
                partition.durable = partition.durable.max(durable);
            });
        }
    }

    fn delete_records(&mut self, of: &Target, share: u64) -> Outcome {
        let before = oracle(|oracle| {
            let partition = oracle.partition(of.number, of.index);
            let (start, end) = (partition.start_least, partition.acked as u64);
            let before = start + end.saturating_sub(start) * share / 1000;
            partition.start_most = partition.start_most.max(before);
            oracle.trace.push(format!("delete records of {} before {before}", of.partition.id()));
            before
        });
        if of.sort == Sort::Compacted {
            return Outcome::Skipped;
        }
        self.outcome(of.partition.delete_records(before), |start| {
            oracle(|oracle| {
                let partition = oracle.partition(of.number, of.index);
                partition.start_least = partition.start_least.max(before);
                partition.start_most = partition.start_most.max(start);
            })
        })
    }

    fn delete(&mut self, log: &EventLog, name: &str) -> Outcome {
        let Some(number) = oracle(|oracle| oracle.named(name)) else { return Outcome::Skipped };
        let before = oracle(|oracle| {
            oracle.trace.push(format!("delete topic {name}"));
            std::mem::replace(&mut oracle.topics[number].stage, Stage::Deleting)
        });
        match log.delete_topic(name) {
            Ok(()) => oracle(|oracle| {
                oracle.topics[number].stage = Stage::Gone;
                Outcome::Done
            }),
            Err(failure) => {
                Self::change_failed(&failure, number, before);
                match failure {
                    Error::NotFound { .. } if before == Stage::Unknown => Outcome::Skipped,
                    failure => Outcome::Failed(failure),
                }
            }
        }
    }

    fn add_partition(&mut self, to: &Target) -> Outcome {
        let count = oracle(|oracle| {
            let topic = &mut oracle.topics[to.number];
            oracle.trace.push(format!("add a partition to {}", topic.name));
            if topic.partitions.len() == topic.partitions_acked {
                topic.partitions.push(crate::oracle::Partition::default());
            }
            topic.partitions_acked
        });
        let answer = to.topic.add_partitions(count as u32 + 1);
        // The new partition may be there at the next open.
        if answer.as_ref().is_err_and(|failure| !matches!(failure, Error::Poisoned(_))) {
            oracle(|oracle| oracle.topics[to.number].partitions.truncate(count));
        }
        self.altered(to, answer, || oracle(|oracle| oracle.topics[to.number].partitions_acked = count + 1))
    }
}

/// Sends, and gives the first offset.
fn send_by<'a>(
    log: &EventLog,
    to: &Target,
    level: Durability,
    way: Way,
    records: impl Iterator<Item = Record<'a>>,
) -> stratalog::Result<u64> {
    let producer = log.producer()?.with_durability(level);
    match way {
        Way::Batch => Ok(producer.send_batch(&to.partition, records)?.offsets.start),
        Way::At => {
            let end = to.partition.offsets()?.log_end;
            Ok(producer.send_batch_at(&to.partition, end, records)?.offsets.start)
        }
        Way::Copies => {
            let end = to.partition.offsets()?.log_end;
            let copies = records.zip(end..).map(|(record, offset)| RecordCopy::new(offset, record));
            Ok(producer.send_copies(&to.partition, copies)?.offsets.start)
        }
        Way::Single => {
            let sent = records.map(|record| producer.send(&to.topic, record));
            sent.map(|sent| sent.map(|sent| sent.offset)).last().unwrap_or(Ok(0))
        }
        Way::Buffered => {
            let before = to.partition.offsets()?.log_end;
            let mut buffered = producer.buffered();
            let enqueued = records.into_iter().try_for_each(|record| buffered.enqueue(&to.topic, record));
            let flushed = buffered.flush();
            buffered.discard();
            enqueued.and(flushed).map(|()| before)
        }
    }
}
