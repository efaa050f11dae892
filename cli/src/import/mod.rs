//! `import`: makes a directory of the lines that `export --full` prints. Offsets, timestamps, headers and settings stay.

mod record;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use stratalog::{
    Error, EventLog, Header, Partition, Position, Producer, Record, RecordCopy, Timestamp, TimestampType,
    Topic, TopicConfig,
};

use crate::copying::{self, BATCH_BYTES};
use crate::lines::from_digits;
use crate::output::counted;
use crate::pattern::Pattern;
use crate::progress::Bar;
use crate::{Failure, Outcome, Output, Session, Stop, files, output};
use record::{Name, RecordLine};

const EXAMPLES: &str = "\
Examples:
  stratalog import --dir copy everything.jsonl
  stratalog export --full --dir data | stratalog import --dir copy
  stratalog import --topic orders everything.jsonl";

/// Write topics, records and groups from lines that `export --full` has printed.
///
/// Topics that are missing are made; in those that exist, records must lie after the ones there are. Records of
/// transactions that were not committed are left out, and so is what Kafka keeps in topics of its own; groups get their
/// committed positions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// The file, standard input without one.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only these topics: `orders`, `orders|payments`, `test-.*`.
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
}

/// No line is longer: a batch of 2 GiB in hex does not fit a memory.
const MAX_LINE: u64 = 1 << 30;

pub(super) fn run(options: &Import, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic.as_deref().unwrap_or(".*"))?;
    let (source, total) = open(options.file.as_deref())?;
    let stop = Stop::on_signals()?;
    let log = session.open_to_fill(session.dir()?)?;
    let bar = Bar::bytes("importing", total);
    let producer = log.producer()?;
    let mut importing = Importing {
        log: &log,
        producer,
        pattern,
        topics: BTreeMap::new(),
        ends: Vec::new(),
        pending: Pending::default(),
        report: Report::default(),
    };
    let done = importing.all(source, &bar, &stop).and_then(|()| importing.finish());
    let report = std::mem::take(&mut importing.report);
    drop(importing);
    bar.end();
    // What is in the log is in order, whatever came after it.
    log.close()?;
    done?;
    if stop.is_asked() {
        let records = counted(report.records, "record", "records");
        return Err(Failure::failed(format!("stopped after {records}")));
    }
    report.print(session)
}

fn open(file: Option<&Path>) -> Outcome<(Box<dyn Read>, Option<u64>)> {
    match file.filter(|path| *path != Path::new("-")) {
        None => Ok((Box::new(io::stdin()), None)),
        Some(path) => {
            let (file, length) = files::open(path)?;
            Ok((Box::new(file), length))
        }
    }
}

/// What was written.
#[derive(Debug, Default)]
struct Report {
    topics: u64,
    records: u64,
    groups: u64,
    uncommitted: u64,
    internal: u64,
    /// Commits with a text of the user's, which has no place in a position.
    metadata: u64,
}

impl Report {
    fn print(&self, session: &Session) -> Outcome {
        let Self { topics, records, groups, uncommitted, internal, metadata } = self;
        let mut out = Output::new();
        if session.json() {
            writeln!(
                out,
                "{{\"topics\":{topics},\"records\":{records},\"groups\":{groups},\"uncommitted\":{uncommitted},\
                 \"internal\":{internal},\"metadata\":{metadata}}}"
            )?;
        } else {
            writeln!(
                out,
                "Imported {} of {}, and the positions of {}.",
                counted(*records, "record", "records"),
                counted(*topics, "topic", "topics"),
                counted(*groups, "group", "groups")
            )?;
        }
        out.end()?;
        if !session.json() && *metadata > 0 {
            output::print_note(format_args!(
                "the texts that came with {} were left out",
                counted(*metadata, "committed position", "committed positions")
            ));
        }
        if !session.json() && *uncommitted > 0 {
            output::print_note(format_args!(
                "{} left out",
                counted(
                    *uncommitted,
                    "record of a transaction that did not count was",
                    "records of transactions that did not count were"
                )
            ));
        }
        if !session.json() && *internal > 0 {
            let records =
                counted(*internal, "record of Kafka's own topics was", "records of Kafka's own topics were");
            output::print_note(format_args!("{records} left out"));
        }
        Ok(())
    }
}

struct Importing<'l> {
    log: &'l EventLog,
    producer: Producer,
    pattern: Pattern,
    /// By name; none for those that are left out.
    topics: BTreeMap<String, Option<Topic>>,
    /// Where partitions are to end.
    ends: Vec<(Partition, u64)>,
    pending: Pending,
    report: Report,
}

impl Importing<'_> {
    fn all(&mut self, source: Box<dyn Read>, bar: &Bar, stop: &Stop) -> Outcome {
        let mut source = BufReader::with_capacity(1 << 20, source);
        let (mut line, mut number, mut done) = (Vec::new(), 0_u64, 0);
        loop {
            line.clear();
            let read = (&mut source).take(MAX_LINE).read_until(b'\n', &mut line);
            let read = read.map_err(|failure| Failure::input("the lines", &failure))?;
            if read == 0 || stop.is_asked() {
                return Ok(());
            }
            (number, done) = (number + 1, done + read as u64);
            bar.set(done);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.any_line(&line).map_err(|failure| at_line(number, failure))?;
        }
    }

    fn any_line(&mut self, line: &[u8]) -> Outcome {
        if let Some(record) = str::from_utf8(line).ok().and_then(record::as_exported) {
            return self.record(&record);
        }
        let parsed = serde_json::from_slice::<Value>(line);
        self.line(&parsed.map_err(|failure| Failure::failed(format!("it is no JSON: {failure}")))?)
    }

    fn line(&mut self, line: &Value) -> Outcome {
        match line.get("type").and_then(Value::as_str) {
            Some("topic") => self.topic(line),
            Some("record") => self.record(&RecordLine::of(line)?),
            Some("group") => self.group(line),
            // What a probe of the broker wrote is no record of the log.
            Some("produced") => Ok(()),
            Some(other) => Err(Failure::failed(format!("lines of type {other:?} are not known"))),
            None => Err(Failure::failed("it has no \"type\"; give lines that `export --full` has printed")),
        }
    }

    fn topic(&mut self, line: &Value) -> Outcome {
        let name = text(line, "topic")?;
        let internal = line.get("internal").and_then(Value::as_bool).unwrap_or(false);
        if internal || !self.pattern.matches(name) {
            self.topics.insert(name.to_owned(), None);
            return Ok(());
        }
        let count = number(line, "partitionCount")?;
        let count = u32::try_from(count).map_err(|_| Failure::failed("partitionCount is too large"))?;
        let mut config = TopicConfig::new().partitions(count);
        for (setting, value) in line.get("configs").and_then(Value::as_object).into_iter().flatten() {
            let value = value
                .as_str()
                .ok_or_else(|| Failure::failed(format!("{setting} has no text as its value")))?;
            config = config.set(setting, value);
        }
        let topic = match self.log.topic(name) {
            Err(Error::NotFound { .. }) => {
                let made = self.log.create_topic(name, config.clone())?;
                copying::take_settings(&made, &config)?;
                made
            }
            known => known?,
        };
        if topic.partitions().len() != count as usize {
            let there = topic.partitions().len();
            return Err(Failure::failed(format!(
                "topic {name:?} exists with {}, not {count}",
                counted(there as u64, "partition", "partitions")
            )));
        }
        self.report.topics += 1;
        for partition in line.get("partitions").and_then(Value::as_array).into_iter().flatten() {
            let of = topic.partition(u32::try_from(number(partition, "partition")?).unwrap_or(u32::MAX))?;
            let (start, end) = (number(partition, "start")?, number(partition, "hw")?);
            if of.offsets()?.log_end == 0 && end > 0 {
                self.producer.advance_log_end(&of, start)?;
            }
            self.ends.push((of, end));
        }
        self.topics.insert(name.to_owned(), Some(topic));
        Ok(())
    }

    fn record(&mut self, line: &RecordLine<'_>) -> Outcome {
        let name = line.topic;
        let Some(known) = self.topics.get(name) else {
            return Err(Failure::failed(format!(
                "there was no line of type \"topic\" for {name:?} before it"
            )));
        };
        let Some(topic) = known else {
            self.report.internal += u64::from(name.starts_with("__"));
            return Ok(());
        };
        if !line.committed {
            self.report.uncommitted += 1;
            return Ok(());
        }
        let partition = u32::try_from(line.partition).unwrap_or(u32::MAX);
        if !self.pending.is_for(name, partition) {
            let to = topic.partition(partition)?;
            self.flush()?;
            self.pending.to = Some(to);
        }
        self.pending.add(line)?;
        self.report.records += 1;
        if self.pending.bytes.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// What a group has committed, in the topics that were imported. Their records come before.
    fn group(&mut self, line: &Value) -> Outcome {
        self.finish()?;
        let mut positions = Vec::new();
        for commit in line.get("offsets").and_then(Value::as_array).into_iter().flatten() {
            let (topic, partition) = (text(commit, "topic")?, number(commit, "partition")?);
            if !self.topics.get(topic).is_some_and(Option::is_some) {
                continue;
            }
            let partition = u32::try_from(partition).unwrap_or(u32::MAX);
            let position = Position::new((topic, partition), number(commit, "offset")?);
            let epoch =
                commit.get("leaderEpoch").and_then(Value::as_u64).and_then(|epoch| u32::try_from(epoch).ok());
            positions.push(match epoch {
                Some(epoch) => position.with_leader_epoch(epoch),
                None => position,
            });
            let metadata = commit.get("metadata").and_then(Value::as_str).unwrap_or_default();
            self.report.metadata += u64::from(!metadata.is_empty());
        }
        if !positions.is_empty() {
            self.log.group(text(line, "group")?)?.set_committed(positions)?;
            self.report.groups += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        self.pending.write(&self.producer)
    }

    /// What is left, and the ends of partitions after their last records.
    fn finish(&mut self) -> Outcome {
        self.flush()?;
        for (partition, end) in &self.ends {
            if partition.offsets()?.log_end < *end {
                self.producer.advance_log_end(partition, *end)?;
            }
        }
        Ok(())
    }
}

/// Records of one partition that are not written yet: their bytes in one piece, and where each part lies there.
#[derive(Default)]
struct Pending {
    to: Option<Partition>,
    bytes: Vec<u8>,
    records: Vec<Parts>,
}

struct Parts {
    offset: u64,
    timestamp: i64,
    appended: bool,
    key: Part,
    value: Part,
    headers: Vec<(Part, Part)>,
}

/// A range of bytes, `None` for null.
type Part = Option<std::ops::Range<usize>>;

impl Pending {
    fn is_for(&self, topic: &str, partition: u32) -> bool {
        self.to.as_ref().is_some_and(|to| to.id().topic() == topic && to.id().partition() == partition)
    }

    fn add(&mut self, line: &RecordLine<'_>) -> Outcome {
        let RecordLine { offset, timestamp, appended, .. } = *line;
        let (key, value) = (self.part(line.key)?, self.part(line.value)?);
        let mut headers = Vec::with_capacity(line.headers.len());
        for (name, value) in &line.headers {
            headers.push((self.name(*name)?, self.part(*value)?));
        }
        self.records.push(Parts { offset, timestamp, appended, key, value, headers });
        Ok(())
    }

    fn name(&mut self, name: Name<'_>) -> Outcome<Part> {
        let start = self.bytes.len();
        match name {
            Name::Text(text) => self.bytes.extend_from_slice(text.as_bytes()),
            Name::Hex(text) => from_digits(text, &mut self.bytes)
                .ok_or_else(|| Failure::failed("the name of a header is not in hex digits"))?,
        }
        Ok(Some(start..self.bytes.len()))
    }

    fn part(&mut self, hex: Option<&str>) -> Outcome<Part> {
        let Some(text) = hex else { return Ok(None) };
        if text.starts_with("sha256:") {
            return Err(Failure::failed(
                "a key or value is only a digest; print the lines with `export --full`",
            ));
        }
        let start = self.bytes.len();
        from_digits(text, &mut self.bytes)
            .ok_or_else(|| Failure::failed("a key or value is not in hex digits"))?;
        Ok(Some(start..self.bytes.len()))
    }

    fn write(&mut self, producer: &Producer) -> Outcome {
        if let Some(to) = &self.to {
            let of = |part: &Part| part.clone().and_then(|range| self.bytes.get(range));
            let headers: Vec<Vec<Header<'_>>> = self
                .records
                .iter()
                .map(|record| {
                    let headers = record.headers.iter();
                    headers
                        .map(|(name, part)| {
                            let name = of(name).unwrap_or_default();
                            of(part).map_or_else(|| Header::null(name), |value| Header::new(name, value))
                        })
                        .collect()
                })
                .collect();
            let copies = self.records.iter().zip(&headers).map(|(parts, headers)| {
                let mut record = Record::of(of(&parts.key), of(&parts.value)).headers(headers);
                if parts.timestamp >= 0 {
                    record = record.timestamp(Timestamp::from_millis(parts.timestamp));
                }
                let means =
                    if parts.appended { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
                RecordCopy::new(parts.offset, record).timestamp_type(means)
            });
            copying::write(producer, to, &copies.collect::<Vec<_>>())?;
        }
        self.bytes.clear();
        self.records.clear();
        Ok(())
    }
}

fn text<'v>(line: &'v Value, name: &str) -> Outcome<&'v str> {
    line.get(name).and_then(Value::as_str).ok_or_else(|| Failure::failed(format!("it has no text {name:?}")))
}

fn number(line: &Value, name: &str) -> Outcome<u64> {
    line.get(name)
        .and_then(Value::as_u64)
        .ok_or_else(|| Failure::failed(format!("it has no number {name:?}")))
}

fn refused(number: u64, why: String) -> Failure {
    Failure::failed(format!("line {number}: {why}"))
}

fn at_line(number: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Failed(why) | Failure::Usage(why) => refused(number, why),
        other @ (Failure::LeftOut(_) | Failure::Locked { .. } | Failure::ClosedPipe) => other,
    }
}

/// Reads a line in both ways, which must not differ.
#[cfg(any(fuzzing, test))]
pub(super) fn read_line(line: &str) {
    let exported = record::as_exported(line);
    let Ok(parsed) = serde_json::from_str::<Value>(line) else { return };
    if let (Some(exported), Ok(parsed)) = (exported, RecordLine::of(&parsed)) {
        assert_eq!(exported, parsed);
    }
}
