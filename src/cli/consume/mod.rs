//! `consume`: records as lines. Kafka's `kafka-console-consumer`.
//!
//! Without a group the log is opened to read it only, beside whoever writes it, and new records are followed as they come.

mod columns;
mod start;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, IsolationLevel, Position, StartFrom, Topic, TopicPartition,
};

use super::pattern::Pattern;
use super::properties::pair;
use super::{Failure, Outcome, Output, Session, Stop, output, topics};
use columns::Columns;
use start::Start;

const EXAMPLES: &str = "\
Examples:
  stratalog consume --topic orders --from-beginning
  stratalog consume --topic orders --partition 0 --offset 42 --max-messages 10
  stratalog consume --topic orders --property print.key=true --property print.timestamp=true
  stratalog consume --include 'orders|payments' --json | jq .value
  stratalog consume --topic orders --from-beginning --until-end > orders.txt";

/// Print records as lines, and follow what is appended, also by other processes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Consume {
    /// The topic.
    #[arg(long, group = "what")]
    topic: Option<String>,
    /// Several topics: `orders|payments`, `test-.*`. Those that are made later are followed as well.
    #[arg(long, group = "what", value_name = "PATTERN", conflicts_with = "partition")]
    include: Option<String>,
    /// Begin with the first record there is. Without it: with the next one that is appended.
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Read only this partition.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Begin here: `earliest`, `latest`, or an offset.
    #[arg(long, requires = "partition", allow_hyphen_values = true)]
    offset: Option<Start>,
    /// End after this many records.
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<u64>,
    /// End when no record has come for this many milliseconds.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// End at the end of the log, instead of waiting for more.
    #[arg(long, conflicts_with = "timeout_ms")]
    until_end: bool,
    /// Whether records of transactions are printed before these are decided.
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted")]
    isolation_level: Isolation,
    /// Columns and what stands between: print.timestamp, print.partition, print.offset, print.epoch, print.headers,
    /// print.key, print.value (true or false); key.separator, line.separator, headers.separator, null.literal.
    #[arg(long = "property", alias = "formatter-property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// A setting of the consumer by its Kafka name: auto.offset.reset, fetch.max.bytes, isolation.level,
    /// max.poll.records.
    #[arg(long = "consumer-property", alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// Fewer system calls than the default of the library costs nothing here: what is read is printed at once.
const POLL_BYTES: usize = 1 << 20;
/// How often it looks for new topics and partitions while it follows.
const LOOK_AROUND: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Consume, session: &Session) -> Outcome {
    let columns = Columns::of(&options.properties)?;
    let stop = Stop::on_signals()?;
    let log = session.read()?;
    let wanted = Wanted::of(options)?;
    let mut consumer = log.consumer_with(config(options))?;
    consumer.assign(wanted.partitions(&log)?)?;
    start::place(&mut consumer, options.offset, options.from_beginning)?;
    stop.wakes(consumer.waker());
    let printer = Printer {
        columns,
        json: session.json(),
        left: options.max_messages.unwrap_or(u64::MAX),
        printed: 0,
        out: Output::new(),
    };
    let count = follow(options, printer, &mut consumer, (&wanted, &log), &stop)?;
    log.close()?;
    output::remark(format_args!("Processed a total of {count} messages"));
    Ok(())
}

fn config(options: &Consume) -> ConsumerConfig {
    let isolation = match options.isolation_level {
        Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
        Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
    };
    let start = if options.from_beginning { StartFrom::Beginning } else { StartFrom::End };
    let config = ConsumerConfig::new().start_from(start).isolation(isolation).max_poll_bytes(POLL_BYTES);
    options.settings.iter().fold(config, |config, (name, value)| config.set(name, value))
}

/// What is read.
#[derive(Debug)]
enum Wanted {
    Partition(TopicPartition),
    Topics(Pattern),
}

impl Wanted {
    fn of(options: &Consume) -> Outcome<Self> {
        match (&options.topic, &options.include, options.partition) {
            (Some(topic), _, Some(partition)) => Ok(Self::Partition((topic.as_str(), partition).into())),
            (Some(name), ..) => Ok(Self::Topics(Pattern::name(name))),
            (_, pattern, _) => Ok(Self::Topics(Pattern::parse(pattern.as_deref().unwrap_or(".*"))?)),
        }
    }

    /// Whether topics may come and go.
    fn may_change(&self) -> bool {
        matches!(self, Self::Topics(pattern) if !pattern.is_name())
    }

    /// What there is of it now.
    fn partitions(&self, log: &EventLog) -> Outcome<Vec<TopicPartition>> {
        match self {
            Self::Partition(one) => {
                let partition = log.topic(one.topic())?.partition(one.partition())?;
                Ok(vec![partition.into()])
            }
            Self::Topics(pattern) => {
                let topics = topics::chosen(log, pattern, false)?;
                Ok(topics.iter().flat_map(Topic::partitions).map(Into::into).collect())
            }
        }
    }
}

/// Prints records until one of the ends is reached, and says how many.
fn follow(
    options: &Consume,
    mut printer: Printer,
    consumer: &mut Consumer,
    (wanted, log): (&Wanted, &EventLog),
    stop: &Stop,
) -> Outcome<u64> {
    let patience = options.timeout_ms.map(Duration::from_millis);
    let (mut last_record, mut last_look) = (Instant::now(), Instant::now());
    while printer.left > 0 && !stop.is_asked() {
        let wait = match patience {
            _ if options.until_end => Duration::ZERO,
            Some(patience) => patience.saturating_sub(last_record.elapsed()).min(LOOK_AROUND),
            None => LOOK_AROUND,
        };
        let came = match consumer.poll(wait) {
            Ok(records) => printer.print(records.iter())?,
            Err(Error::OffsetOutOfRange { at, valid }) => go_on(consumer, &at, valid.start)?,
            // One of several topics was deleted: the others are read on.
            Err(Error::NotFound { .. }) if wanted.may_change() => {
                consumer.assign(wanted.partitions(log)?)?;
                0
            }
            Err(failure) => {
                printer.out.end()?;
                return Err(explained(failure));
            }
        };
        if came > 0 {
            last_record = Instant::now();
        } else if options.until_end || patience.is_some_and(|patience| last_record.elapsed() >= patience) {
            break;
        }
        if last_look.elapsed() >= LOOK_AROUND {
            last_look = Instant::now();
            take_in(consumer, wanted.partitions(log)?)?;
        }
    }
    printer.out.end()?;
    Ok(printer.printed)
}

/// Reads partitions that are new, from their beginning, and no longer those that are gone.
fn take_in(consumer: &mut Consumer, now: Vec<TopicPartition>) -> Outcome {
    let new: Vec<_> = now.iter().filter(|one| !consumer.assignment().contains(one)).cloned().collect();
    if new.is_empty() && now.len() == consumer.assignment().len() {
        return Ok(());
    }
    consumer.assign(now)?;
    for partition in new {
        // Below the beginning of any log, if retention was quick: then the next poll tells where to go on.
        consumer.seek(Position::new(partition, 0))?;
    }
    Ok(())
}

/// Records that were deleted before they were printed are told of, not skipped in silence.
fn go_on(consumer: &mut Consumer, at: &Position, start: u64) -> Outcome<u64> {
    if at.offset() >= start {
        return Err(Failure::failed(format!("{} ends before offset {}", at.partition(), at.offset())));
    }
    output::warn(format_args!(
        "offsets {} to {} of {} were deleted before they were read",
        at.offset(),
        start - 1,
        at.partition()
    ));
    consumer.seek(Position::new(at.partition(), start))?;
    Ok(0)
}

/// With what to do about damage, where something can be done.
fn explained(failure: Error) -> Failure {
    match &failure {
        Error::Corrupt(damage) => match damage.resume_at() {
            Some(at) => Failure::failed(format!(
                "{failure}; go on behind it with --partition {} --offset {}",
                at.partition().partition(),
                at.offset()
            )),
            None => failure.into(),
        },
        _ => failure.into(),
    }
}

struct Printer {
    columns: Columns,
    json: bool,
    /// How many records may still be printed.
    left: u64,
    printed: u64,
    out: Output,
}

impl Printer {
    /// Prints records as far as they are wanted, and lets whoever reads the output have them at once.
    fn print<'r>(&mut self, records: impl Iterator<Item = stratalog::RecordView<'r>>) -> Outcome<u64> {
        let before = self.printed;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        for record in records.take(wanted) {
            if self.json {
                columns::write_json(&record, &mut self.out)?;
            } else {
                self.columns.write(&record, &mut self.out)?;
            }
            self.printed += 1;
        }
        let printed = self.printed - before;
        self.left -= printed;
        if printed > 0 {
            std::io::Write::flush(&mut self.out)?;
        }
        Ok(printed)
    }
}
