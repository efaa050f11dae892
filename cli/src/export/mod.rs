//! `export`: everything in the directory as lines of JSON, those that `kafka-adopt` prints of what a broker serves. So two
//! directories, or a directory and a broker, can be compared line by line.

pub(super) mod groups;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use sha2::{Digest as _, Sha256};
use stratalog::inspect::{BatchView, InspectedRecord};
use stratalog::{
    Consumer, ConsumerConfig, EventLog, Headers, IsolationLevel, Partition, PartitionOffsets, Position,
    RecordView, TimestampType, Topic, TopicDescription,
};

use crate::lines::{push_digits, push_hex, push_name, push_number, push_text};
use crate::pattern::Pattern;
use crate::progress::Bar;
use crate::salvage::{Damaged, DamagedTopic};
use crate::{Failure, Outcome, Output, Session, Stop, topics};

const EXAMPLES: &str = "\
Examples:
  stratalog export > served.jsonl
  stratalog export --full --dir data | stratalog import --dir copy
  for dir in a b; do stratalog export --dir $dir | grep '\"type\":\"record\"' > $dir.records; done
  diff a.records b.records

Two logs give their topics different ids, so that lines of topics differ also where all records are the same.";

/// Print topics, records and groups as lines of JSON.
///
/// First topics, then records by topic, partition and offset, then groups. Keys and values are in hex, long ones as
/// digests unless they are wanted whole.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    /// Print the records of the topics that Kafka keeps for itself, too.
    #[arg(long)]
    internal: bool,
    /// Only these topics: `orders`, `orders|payments`, `test-.*`. Groups are left out then.
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// Keys and values whole, however long: what `import` needs.
    #[arg(long)]
    full: bool,
    /// Read the files alone, continue after damaged parts, and list these on standard error: topic, offsets, file, bytes, reason.
    /// Ends with 3 if there are any.
    #[arg(long)]
    skip_damage: bool,
}

/// Longer keys and values are printed as digests.
const LONG: usize = 256;
const POLL_BYTES: usize = 1 << 20;

pub(super) fn run(options: &Export, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic.as_deref().unwrap_or(".*"))?;
    let stop = Stop::on_signals()?;
    if options.skip_damage {
        return damaged(options, session, &pattern, &stop);
    }
    let log = session.read()?;
    let mut exporting = Exporting { full: options.full, out: Output::new(), line: Vec::new() };
    let mut chosen = Vec::new();
    for topic in topics::chosen(&log, &pattern, options.topic.is_none())? {
        let described = topic.describe()?;
        let offsets = exporting.topic(&topic, &described)?;
        if options.internal || !described.internal {
            chosen.extend(offsets);
        }
    }
    let total = chosen.iter().map(|(_, offsets)| offsets.high_watermark - offsets.log_start).sum();
    let bar = Bar::count_beside_output("exporting", total);
    let mut done = 0;
    for (partition, offsets) in chosen {
        let printed = exporting.records(&log, &partition, offsets, &mut |more| {
            done += more;
            bar.set(done);
            stop.is_asked()
        });
        if printed.is_err() {
            exporting.out.flush()?;
        }
        printed?;
        if stop.is_asked() {
            exporting.out.end()?;
            return Err(Failure::failed("stopped before everything was printed"));
        }
    }
    if options.topic.is_none() {
        exporting.groups(&log)?;
    }
    exporting.out.end()
}

/// The same of a directory that is damaged.
fn damaged(options: &Export, session: &Session, pattern: &Pattern, stop: &Stop) -> Outcome {
    let mut found = Damaged::open(session, pattern, options.topic.is_none())?;
    let mut exporting = Exporting { full: options.full, out: Output::new(), line: Vec::new() };
    for (name, topic) in &found.topics {
        exporting.damaged_topic(name, topic)?;
    }
    let counts: Vec<_> = found.topics.iter().map(|(name, topic)| (name.clone(), topic.partitions)).collect();
    for (name, number) in
        counts.iter().flat_map(|(name, count)| (0..*count).map(move |number| (name, number)))
    {
        if name.starts_with("__") && !options.internal {
            continue;
        }
        let mut prefix = Vec::new();
        begin_record(name, number, &mut prefix);
        found.batches(name, number, &mut |batch, records, start, is_committed| {
            if stop.is_asked() {
                return Err(Failure::failed("stopped before everything was printed"));
            }
            let wanted = |one: &InspectedRecord<'_>| u64::try_from(one.offset()).is_ok_and(|at| at >= start);
            for record in records.iter().filter(wanted) {
                exporting.record(&prefix, &Line::of(&record, batch, is_committed));
                exporting.put()?;
            }
            Ok(())
        })?;
    }
    if options.topic.is_none() {
        exporting.group_lines(found.groups()?)?;
    }
    exporting.out.end()?;
    found.end()
}

/// What is printed of a record.
struct Line<'r> {
    offset: i64,
    timestamp: i64,
    means: TimestampType,
    leader_epoch: Option<i32>,
    is_committed: bool,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
    headers: Headers<'r>,
}

impl<'r> Line<'r> {
    fn of(record: &InspectedRecord<'r>, batch: &BatchView<'_>, is_committed: bool) -> Self {
        Self {
            offset: record.offset(),
            timestamp: record.timestamp(),
            means: batch.timestamp_type().unwrap_or(TimestampType::CreateTime),
            leader_epoch: Some(batch.leader_epoch()).filter(|epoch| *epoch >= 0),
            is_committed,
            key: record.key(),
            value: record.value(),
            headers: record.headers(),
        }
    }

    fn of_view(record: &'r RecordView<'_>, is_committed: bool) -> Self {
        Self {
            offset: i64::try_from(record.offset()).unwrap_or(i64::MAX),
            timestamp: record.timestamp().as_millis(),
            means: record.timestamp_type(),
            leader_epoch: record.leader_epoch().and_then(|epoch| i32::try_from(epoch).ok()),
            is_committed,
            key: record.key(),
            value: record.value(),
            headers: record.headers(),
        }
    }
}

struct Exporting {
    full: bool,
    out: Output,
    line: Vec<u8>,
}

impl Exporting {
    /// Prints a topic, and reports what there is of its partitions now.
    fn topic(
        &mut self,
        topic: &Topic,
        described: &TopicDescription,
    ) -> Outcome<Vec<(Partition, PartitionOffsets)>> {
        let partitions = topic.partitions();
        let mut found = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let offsets = partition.offsets()?;
            found.push((partition, offsets));
        }
        let line = &mut self.line;
        line.extend(b"{\"type\":\"topic\",\"topic\":");
        push_text(&described.name, line);
        write!(
            line,
            ",\"id\":\"{}\",\"internal\":{},\"partitionCount\":{},\"configs\":{{",
            described.id,
            described.internal,
            found.len()
        )?;
        let mut configs: Vec<_> = described.config.entries().collect();
        configs.sort_unstable();
        for (at, (name, value)) in configs.into_iter().enumerate() {
            line.extend(if at == 0 { &b""[..] } else { b"," });
            push_text(name, line);
            line.push(b':');
            push_text(value, line);
        }
        line.extend(b"},\"partitions\":[");
        let mut first = true;
        for ((_, offsets), partition) in found.iter().zip(&described.partitions) {
            // An empty internal partition is only noise.
            if described.internal && offsets.high_watermark == 0 {
                continue;
            }
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            write!(
                line,
                "{comma}{{\"partition\":{},\"leader\":{},\"isr\":{},\"start\":{},\"lso\":{},\"hw\":{}}}",
                partition.partition,
                partition.leader.unwrap_or(-1),
                partition.isr.len(),
                offsets.log_start,
                offsets.last_stable,
                offsets.high_watermark,
            )?;
        }
        line.extend(b"]}\n");
        self.put()?;
        Ok(found)
    }

    /// Prints the records of a partition. `progressed` is given how many offsets were passed, and says whether to stop.
    fn records(
        &mut self,
        log: &EventLog,
        partition: &Partition,
        offsets: PartitionOffsets,
        progressed: &mut dyn FnMut(u64) -> bool,
    ) -> Outcome {
        let (start, end) = (offsets.log_start, offsets.high_watermark);
        let mut all = reader(log, partition, IsolationLevel::ReadUncommitted, start)?;
        let mut committed = Committed {
            reader: reader(log, partition, IsolationLevel::ReadCommitted, start)?,
            end: offsets.last_stable,
            offsets: VecDeque::new(),
        };
        let mut prefix = Vec::new();
        begin_record(partition.id().topic(), partition.id().partition(), &mut prefix);
        let mut position = start;
        while position < end {
            let records = all.poll(Duration::ZERO)?;
            for record in records.iter().take_while(|record| record.offset() < end) {
                let is_committed = committed.holds(record.offset())?;
                self.record(&prefix, &Line::of_view(&record, is_committed));
                self.put()?;
            }
            let next = all.position(partition)?.offset();
            if progressed(next.min(end) - position) || (records.is_empty() && next == position) {
                break;
            }
            position = next;
        }
        Ok(())
    }

    fn record(&mut self, prefix: &[u8], record: &Line<'_>) {
        let line = &mut self.line;
        line.extend(prefix);
        push_number(record.offset, line);
        line.extend(b",\"timestamp\":");
        push_number(record.timestamp, line);
        line.extend(match record.means {
            TimestampType::LogAppendTime => &b",\"timestampType\":\"LogAppendTime\",\"leaderEpoch\":"[..],
            _ => b",\"timestampType\":\"CreateTime\",\"leaderEpoch\":",
        });
        match record.leader_epoch {
            Some(epoch) => push_number(epoch, line),
            None => line.extend(b"null"),
        }
        line.extend(if record.is_committed {
            &b",\"committed\":true,\"key\":"[..]
        } else {
            b",\"committed\":false,\"key\":"
        });
        push_bytes(record.key, self.full, line);
        line.extend(b",\"value\":");
        push_bytes(record.value, self.full, line);
        line.extend(b",\"headers\":[");
        for (at, header) in record.headers.clone().enumerate() {
            line.extend(if at == 0 { &b"["[..] } else { b",[" });
            push_name(header.name_bytes(), line);
            line.push(b',');
            push_bytes(header.value(), self.full, line);
            line.push(b']');
        }
        line.extend(b"]}\n");
    }

    /// What is known of a topic in a damaged directory.
    fn damaged_topic(&mut self, name: &str, topic: &DamagedTopic) -> Outcome {
        let line = &mut self.line;
        line.extend(b"{\"type\":\"topic\",\"topic\":");
        push_text(name, line);
        line.extend(b",\"id\":");
        match &topic.id {
            Some(id) => push_text(id, line),
            None => line.extend(b"null"),
        }
        let internal = name.starts_with("__");
        write!(line, ",\"internal\":{internal},\"partitionCount\":{},\"configs\":{{", topic.partitions)?;
        for (at, (name, value)) in topic.config.entries().enumerate() {
            line.extend(if at == 0 { &b""[..] } else { b"," });
            push_text(name, line);
            line.push(b':');
            push_text(value, line);
        }
        line.extend(b"},\"partitions\":[]}\n");
        self.put()
    }

    /// Prints the groups and what they have committed.
    fn groups(&mut self, log: &EventLog) -> Outcome {
        self.group_lines(groups::all(log)?)
    }

    fn group_lines(&mut self, groups: BTreeMap<String, groups::Group>) -> Outcome {
        for (name, group) in groups {
            let line = &mut self.line;
            line.extend(b"{\"type\":\"group\",\"group\":");
            push_text(&name, line);
            write!(line, ",\"state\":\"{}\",\"offsets\":[", group.state())?;
            for (at, ((topic, partition), commit)) in group.commits.iter().enumerate() {
                line.extend(if at == 0 { &b"{\"topic\":"[..] } else { b",{\"topic\":" });
                push_text(topic, line);
                write!(line, ",\"partition\":{partition},\"offset\":{},\"leaderEpoch\":", commit.offset)?;
                match commit.leader_epoch {
                    Some(epoch) => push_number(epoch, line),
                    None => line.extend(b"null"),
                }
                line.extend(b",\"metadata\":");
                push_text(&commit.metadata, line);
                line.push(b'}');
            }
            line.extend(b"]}\n");
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Outcome {
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

/// The offsets of what a reader of committed records gets, in step with a reader of all.
struct Committed {
    reader: Consumer,
    /// Every transaction below has ended.
    end: u64,
    offsets: VecDeque<u64>,
}

impl Committed {
    /// Whether the record at this offset is committed. Asked in ascending order.
    fn holds(&mut self, offset: u64) -> Outcome<bool> {
        while offset < self.end {
            while let Some(next) = self.offsets.front() {
                if *next >= offset {
                    return Ok(*next == offset);
                }
                self.offsets.pop_front();
            }
            let before = self.reader.positions();
            let records = self.reader.poll(Duration::ZERO)?;
            self.offsets.extend(records.iter().map(|record| record.offset()));
            if records.is_empty() && self.reader.positions() == before {
                break;
            }
        }
        Ok(false)
    }
}

/// A reader of one partition from its beginning on.
fn reader(log: &EventLog, of: &Partition, isolation: IsolationLevel, start: u64) -> Outcome<Consumer> {
    let config =
        ConsumerConfig::new().isolation(isolation).max_poll_bytes(POLL_BYTES).max_poll_records(usize::MAX);
    let mut reader = log.consumer_with(config)?;
    reader.assign([of])?;
    reader.seek(Position::new(of, start))?;
    Ok(reader)
}

fn begin_record(topic: &str, number: u32, line: &mut Vec<u8>) {
    line.extend(b"{\"type\":\"record\",\"topic\":");
    push_text(topic, line);
    line.extend(b",\"partition\":");
    push_number(number, line);
    line.extend(b",\"offset\":");
}

/// Hex, or for what is long its digest and length.
fn push_bytes(bytes: Option<&[u8]>, full: bool, line: &mut Vec<u8>) {
    match bytes {
        Some(long) if long.len() > LONG && !full => {
            line.extend(b"\"sha256:");
            push_digits(&Sha256::digest(long), line);
            line.push(b'/');
            push_number(long.len() as u64, line);
            line.push(b'"');
        }
        bytes => push_hex(bytes, line),
    }
}
