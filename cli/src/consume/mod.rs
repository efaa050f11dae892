//! `consume`: records as lines. Kafka's `kafka-console-consumer`.
//!
//! Without a group the log is opened to read it only, beside the process that writes it, and new records are read as they come.

mod columns;
mod deserializer;
mod print;
mod settings;
mod start;
mod tail;

use std::time::Duration;

use clap::{Args, ValueEnum};
use stratalog::{Consumer, EventLog, Topic, TopicPartition};

use super::pattern::Pattern;
use super::properties::pair;
use super::{Outcome, Session, Stop, output, topics};
use columns::Columns;
use deserializer::Deserializer;
use print::{Layout, Printer};
use settings::{Limit, Settings};
use start::Start;
use tail::Tail;

const EXAMPLES: &str = "\
Examples:
  stratalog consume --topic orders --from-beginning
  stratalog consume --topic orders --partition 0 --offset 42 --max-messages 10
  stratalog consume --topic orders --group billing
  stratalog consume --topic orders --property print.key=true --property print.timestamp=true
  stratalog consume --include 'orders|payments' --json | jq .value
  stratalog consume --topic orders --from-beginning --until-end > orders.txt";

/// Print records as lines, and keep printing what is appended, also by other processes.
// One type: an option each, as clap wants them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Consume {
    /// The topic.
    #[arg(long, group = "what")]
    topic: Option<String>,
    /// Several topics: `orders,payments`, or a regular expression such as `test-.*`. Topics that are created later are
    /// read as well. Internal topics only if they are named.
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
    /// End after this many records; -1 is no limit.
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "-1",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    max_messages: Limit,
    /// End when no record has come for this many milliseconds.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// End at the end of the log, instead of waiting for more.
    #[arg(long, conflicts_with = "timeout_ms")]
    until_end: bool,
    /// Read as a member of this group: continue where it has left off, and commit what is printed. While another process
    /// holds the directory, the group is not joined and nothing is committed.
    #[arg(long, value_name = "NAME", conflicts_with = "partition")]
    group: Option<String>,
    /// Whether records of transactions are printed before the transactions have ended.
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted")]
    isolation_level: Isolation,
    /// Columns and what is between: print.timestamp, print.partition, print.offset, print.epoch, print.headers,
    /// print.key, print.value (true or false); key.separator, line.separator, headers.separator, null.literal.
    #[arg(long = "property", alias = "formatter-property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// How keys are printed: the name of one of Kafka's deserializers of text, bytes and numbers.
    #[arg(long, value_name = "CLASS")]
    key_deserializer: Option<Deserializer>,
    /// How values are printed.
    #[arg(long, value_name = "CLASS")]
    value_deserializer: Option<Deserializer>,
    /// How records are printed: the name of Kafka's `DefaultMessageFormatter`, `LoggingMessageFormatter` (which prints the same)
    /// or `NoOpMessageFormatter` (which prints nothing).
    #[arg(long, value_name = "CLASS", value_parser = formatter)]
    formatter: Option<Formatter>,
    /// A setting of the consumer by its Kafka name: auto.offset.reset, enable.auto.commit, fetch.max.bytes, group.id,
    /// isolation.level, max.poll.records.
    #[arg(long = "consumer-property", alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// Whether records are printed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Formatter {
    Default,
    NoOp,
}

fn formatter(class: &str) -> Result<Formatter, String> {
    match class.rsplit(['.', '$']).next() {
        Some("DefaultMessageFormatter" | "LoggingMessageFormatter") => Ok(Formatter::Default),
        Some("NoOpMessageFormatter") => Ok(Formatter::NoOp),
        _ => Err("there is no Java here to load it; known are Kafka's DefaultMessageFormatter, \
                  LoggingMessageFormatter and NoOpMessageFormatter; --json prints all of a record, and `dump` what is in \
                  internal topics"
            .to_owned()),
    }
}

/// Larger than the library's default: it saves system calls and costs nothing here, since what is read is printed at once.
const POLL_BYTES: usize = 1 << 20;
/// How often it looks for new topics and partitions while it waits for records.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Consume, session: &Session) -> Outcome {
    let columns =
        Columns::of(&options.properties)?.deserialize(options.key_deserializer, options.value_deserializer);
    let Settings { config, group, commits } = Settings::of(options)?;
    let (log, is_member) = open(group.as_deref(), session)?;
    let stop = Stop::on_signals()?;
    let wanted = Selection::of(options)?;
    let partitions = wanted.partitions(&log)?;
    let mut consumer = log.consumer_with(config)?;
    if is_member {
        wanted.subscribe(&mut consumer)?;
    } else {
        consumer.assign(partitions)?;
    }
    if group.is_none() {
        start::place(&mut consumer, options.offset, options.from_beginning)?;
    }
    stop.wakes(consumer.waker());
    let layout = match options.formatter {
        Some(Formatter::NoOp) => Layout::Nothing,
        _ if session.json() => Layout::Json,
        _ => Layout::Columns(columns),
    };
    let printer = Printer::new(layout, options.max_messages.0);
    let tail = Tail { options, consumer, is_member, commits, wanted, log: log.clone(), stop };
    let count = tail.run(printer)?;
    log.close()?;
    output::remark(format_args!("Processed a total of {count} messages"));
    Ok(())
}

/// Opens the log, to write only where offsets are to be committed; says whether they can be.
fn open(group: Option<&str>, session: &Session) -> Outcome<(EventLog, bool)> {
    let Some(group) = group else { return Ok((session.read()?, false)) };
    match session.write_or_read()? {
        (log, None) => Ok((log, true)),
        (log, Some(holder)) => {
            output::warn(format_args!(
                "{holder} holds the directory: group {group} is not joined and nothing is committed; reading begins \
                 where the group has left off"
            ));
            Ok((log, false))
        }
    }
}

/// What is read.
#[derive(Debug)]
enum Selection {
    Partition(TopicPartition),
    Topics(Pattern),
}

impl Selection {
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

    /// Has the consumer's group see to it.
    fn subscribe(&self, consumer: &mut Consumer) -> Outcome {
        match self {
            Self::Partition(one) => consumer.subscribe([one.topic()])?,
            Self::Topics(pattern) if pattern.is_name() => consumer.subscribe([pattern.text()])?,
            Self::Topics(pattern) => {
                let pattern = pattern.clone();
                consumer.subscribe_matching(move |topic| includes(&pattern, topic))?;
            }
        }
        Ok(())
    }

    /// What there is of it now.
    fn partitions(&self, log: &EventLog) -> Outcome<Vec<TopicPartition>> {
        match self {
            Self::Partition(one) => {
                let partition = log.topic(one.topic())?.partition(one.partition())?;
                Ok(vec![partition.into()])
            }
            Self::Topics(pattern) => {
                let mut topics = topics::chosen(log, pattern, false)?;
                topics.retain(|topic| includes(pattern, topic.name()));
                Ok(topics.iter().flat_map(Topic::partitions).map(Into::into).collect())
            }
        }
    }
}

/// Whether a topic is read: as with Kafka's consumer, an expression does not include internal topics.
fn includes(pattern: &Pattern, topic: &str) -> bool {
    pattern.is_named(topic) || (pattern.matches(topic) && !topic.starts_with("__"))
}

/// Reads a text as `--offset`, `--max-messages` and the names of deserializers are read.
#[cfg(any(fuzzing, test))]
pub(super) fn read_text(text: &str) {
    let _ = (text.parse::<Start>(), text.parse::<Limit>());
    let _ = text.parse::<Deserializer>();
}
