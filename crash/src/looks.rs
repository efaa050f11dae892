//! Calls that change nothing that is seen.

use std::time::Duration;

use stratalog::{ConsumerConfig, Error, EventLog, HandoverOptions, Partition, ReadUpTo, Record, Timestamp};

use crate::operations::Target;
use crate::oracle::{Sort, trace};
use crate::session::{Look, Outcome, Session, options};

impl Session {
    pub fn look(&mut self, log: &EventLog, of: &Target, what: Look) -> Outcome {
        trace(format!("check {what:?}"));
        let at = Timestamp::from_millis(1_700_000_000_500);
        let answer = match what {
            Look::Describe => of.topic.describe().and_then(|_| log.topics()).map(drop),
            Look::Groups => log.groups().and_then(|groups| {
                groups.iter().try_for_each(|group| match group.describe().and_then(|_| group.lag()) {
                    // Nothing is left of it, or what it has committed was of a topic that is gone.
                    Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(failure) => Err(failure),
                })
            }),
            Look::Time => of.partition.offset_for_time(at).and_then(|_| {
                let mut reader = log.standalone_consumer()?;
                reader.assign([&of.partition])?;
                reader.seek_to_time(at)?;
                reader.poll(Duration::ZERO).map(drop)
            }),
            Look::Sizes => of.partition.segments().and_then(|_| {
                of.partition.size()?;
                of.partition.kept_by_future_timestamp().map(drop)
            }),
            Look::Metrics => {
                while log.events().try_next().is_some() {}
                log.metrics();
                Ok(())
            }
            Look::DryRun => log.handover(&HandoverOptions::new().dry_run(true)).map(drop),
            Look::SecondReader => {
                options(self.mode, &self.clock).read_only(true).open(&self.root).and_then(|log| {
                    let partition = log.topic(of.topic.name())?.partition(of.index)?;
                    read_all(&log, &partition, ReadUpTo::Visible)?;
                    log.close()
                })
            }
            Look::Enqueue => log.producer().and_then(|producer| {
                let mut buffered = producer.buffered();
                let record = Record::of((of.sort == Sort::Compacted).then_some(&[0; 4][..]), Some(&[0; 9]));
                let enqueued = buffered.enqueue(&of.topic, record.partition(of.index));
                buffered.discard();
                enqueued
            }),
            Look::Durable => read_all(log, &of.partition, ReadUpTo::Durable),
        };
        self.outcome(answer, |()| ())
    }

    /// Reads all, as a consumer would, with calls that may fail.
    pub fn read(&mut self, log: &EventLog, of: &Target) -> Outcome {
        trace(format!("read {}", of.partition.id()));
        let answer = read_all(log, &of.partition, ReadUpTo::Visible);
        self.outcome(answer, |()| ())
    }
}

fn read_all(log: &EventLog, partition: &Partition, up_to: ReadUpTo) -> stratalog::Result<()> {
    let mut reader = log.consumer_with(ConsumerConfig::new().read_up_to(up_to))?;
    reader.assign([partition])?;
    while !reader.poll(Duration::ZERO)?.is_empty() {}
    Ok(())
}
