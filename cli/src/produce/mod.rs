//! `produce`: lines as records. Kafka's `kafka-console-producer`.

mod ends;
mod input;
mod line;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use memchr::memchr;
use serde_json::json;
use stratalog::{BufferedProducer, Durability, Error, EventLog, Producer, ProducerConfig, Topic};

use super::progress::Bar;
use super::properties::{self, pair};
use super::{Failure, Outcome, Output, Session, Stop, files, output};
use ends::{Ends, Lines};
use input::Input;
use line::Cut;

const EXAMPLES: &str = "\
Examples:
  stratalog produce --topic orders
  echo 'order-17:paid' | stratalog produce --topic orders --property parse.key=true --property key.separator=:
  stratalog produce --topic orders --file orders.txt --compression-codec zstd
  some-program | stratalog produce --topic orders --durability synced";

/// Write each line of standard input or of a file as a record.
///
/// A record is in the log, visible and safe from the death of the process, when the program says that it is: at the end,
/// or with --sync after each line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Produce {
    /// The topic. It must exist.
    #[arg(long)]
    topic: String,
    /// The file to read; standard input without it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The partition that all records go to. Without it the key decides, or they are spread.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// How lines are cut: parse.key, parse.headers, ignore.error (true or false); key.separator, headers.delimiter,
    /// headers.separator (a regular expression), headers.key.separator, null.marker.
    #[arg(long = "property", alias = "reader-property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// A setting of the producer by its Kafka name: acks, batch.size, buffer.memory, compression.type, linger.ms.
    #[arg(
        long = "producer-property",
        alias = "command-property",
        value_name = "NAME=VALUE",
        value_parser = pair
    )]
    settings: Vec<(String, String)>,
    /// How batches are compressed.
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<Codec>,
    /// Kafka's acks: 0, 1 or all. With one copy all of them mean the same here; see --durability.
    #[arg(long, alias = "request-required-acks", value_name = "ACKS", allow_hyphen_values = true)]
    acks: Option<Acks>,
    /// What a written record is safe from: `buffered` from the death of the process, `synced` from power loss as well, a
    /// number of milliseconds from power loss that much later.
    #[arg(long, value_name = "LEVEL", default_value = "buffered", value_parser = durability)]
    durability: Durability,
    /// Write each line by itself, before the next is read.
    #[arg(long)]
    sync: bool,
    /// Take input that is no text: cut it at each line feed and nowhere else, whatever is between.
    #[arg(long)]
    binary: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Acks {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

pub(super) fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "buffered" => Ok(Durability::Buffered),
        "synced" => Ok(Durability::Synced),
        _ => match text.strip_suffix("ms").unwrap_or(text).parse() {
            Ok(millis) => Ok(Durability::Interval(Duration::from_millis(millis))),
            Err(_) => Err("give buffered, synced, or a number of milliseconds".to_owned()),
        },
    }
}

/// Longer lines are not kept in memory to find out that no topic takes them.
const MAX_LINE: usize = 128 << 20;
/// What a look at the first lines finds: a text holds no byte 0.
const TEXT_CHECK_BYTES: usize = 64 << 10;

pub(super) fn run(options: &Produce, session: &Session) -> Outcome {
    let cut = Cut::of(&options.properties)?;
    let config = config(options)?;
    let (input, length) = open_input(options.file.as_deref())?;
    let is_typed = matches!(input, Source::Terminal);
    let log = session.write()?;
    let stop = Stop::on_signals()?;
    let topic = log.topic(&options.topic)?;
    if let Some(number) = options.partition {
        topic.partition(number)?;
    }
    let producer = log.producer_with(config)?;
    let mut writer = Writer {
        topic,
        // What is read at once is flushed at once: see `pump`.
        buffered: producer.buffered(),
        one_by_one: options.sync.then_some(producer),
        partition: options.partition,
        cut,
        cutting: Lines::new(if options.binary { Ends::Binary } else { Ends::Text }),
        lines: 0,
        dropped: 0,
        bytes: 0,
    };
    let begun = Instant::now();
    let bar = Bar::bytes("producing", length);
    let outcome = pump(&mut writer, input, &bar, &stop);
    bar.end();
    let outcome = outcome.map_err(|failure| writer.explain(failure));
    let closed = close(writer, &log);
    let (lines, bytes) = outcome?;
    closed?;
    // The time that typing took says nothing.
    if !is_typed || session.json() {
        report(session, lines, bytes, begun.elapsed())?;
    }
    if stop.is_asked() && options.file.is_some() {
        let written = output::counted(lines, "line is", "lines are");
        return Err(Failure::failed(format!("stopped; the first {written} in the log")));
    }
    Ok(())
}

fn config(options: &Produce) -> Outcome<ProducerConfig> {
    let mut config = with_settings(ProducerConfig::new().durability(options.durability), &options.settings)?;
    if let Some(codec) = options.compression_codec.and_then(|codec| codec.to_possible_value()) {
        config = config.set("compression.type", codec.get_name());
    }
    Ok(config)
}

/// With settings by their Kafka names. Those that are not valid are found when a producer is made.
pub(super) fn with_settings(
    mut config: ProducerConfig,
    settings: &[(String, String)],
) -> Outcome<ProducerConfig> {
    for (name, value) in settings {
        if name == "acks" {
            Acks::from_str(value, false)
                .map_err(|_| Failure::usage(format!("acks is 0, 1 or all, not {value:?}")))?;
        } else if properties::is_for_a_connection(name) {
            properties::no_effect(name);
        } else {
            config = config.set(name, value);
        }
    }
    Ok(config)
}

/// Where lines come from.
enum Source {
    File(Box<dyn io::Read + Send>, String),
    StandardInput,
    /// A person types: each line is written at once.
    Terminal,
}

fn open_input(file: Option<&Path>) -> Outcome<(Source, Option<u64>)> {
    match file {
        Some(path) => {
            let (file, length) = files::open(path)?;
            Ok((Source::File(Box::new(file), path.display().to_string()), length))
        }
        None if io::stdin().is_terminal() => Ok((Source::Terminal, None)),
        None => Ok((Source::StandardInput, None)),
    }
}

/// Writes all lines, and says how many lines and bytes there were.
fn pump(writer: &mut Writer, source: Source, bar: &Bar, stop: &Stop) -> Outcome<(u64, u64)> {
    let prompt = matches!(source, Source::Terminal);
    let ends = writer.cutting.ends();
    let mut input = match source {
        Source::File(file, name) => Input::start(file, name, ends, MAX_LINE)?,
        Source::StandardInput | Source::Terminal => {
            Input::start(io::stdin(), "standard input".to_owned(), ends, MAX_LINE)?
        }
    };
    let mut first = true;
    loop {
        if prompt {
            ask_for_a_line()?;
        }
        let Some(block) = input.next(stop)? else { break };
        if std::mem::take(&mut first) && ends == Ends::Text {
            check_text(block.lines())?;
        }
        writer.write_block(block.lines())?;
        if prompt {
            writer.flush()?;
        }
        input.reuse(block);
        if !prompt {
            bar.set(writer.bytes);
        }
    }
    writer.flush()?;
    Ok((writer.lines, writer.bytes))
}

fn ask_for_a_line() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b">")?;
    out.flush()
}

fn check_text(block: &[u8]) -> Outcome {
    match memchr(0, block.get(..TEXT_CHECK_BYTES).unwrap_or(block)) {
        None => Ok(()),
        Some(at) => Err(Failure::failed(format!(
            "the input is no text: byte {at} is 0; with --binary it is cut at each line feed all the same"
        ))),
    }
}

fn close(writer: Writer, log: &EventLog) -> Outcome {
    drop(writer);
    Ok(log.close()?)
}

fn report(session: &Session, lines: u64, bytes: u64, time: Duration) -> Outcome {
    let seconds = time.as_secs_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
    let (per_second, rate) = (lines as f64 / seconds, bytes as f64 / seconds);
    if session.json() {
        let sum = json!({ "records": lines, "bytes": bytes, "seconds": seconds, "bytesPerSecond": rate });
        return Output::new().whole(format!("{sum}\n").as_bytes());
    }
    output::remark(format_args!(
        "{}, {} in {seconds:.3} s: {per_second:.0} records/s, {:.1} MB/s",
        output::counted(lines, "record", "records"),
        output::counted(bytes, "byte", "bytes"),
        rate / 1e6
    ));
    Ok(())
}

/// Lines on their way into the log.
struct Writer {
    topic: Topic,
    buffered: BufferedProducer,
    /// For --sync.
    one_by_one: Option<Producer>,
    partition: Option<u32>,
    cut: Cut,
    cutting: Lines,
    /// Lines that were taken.
    lines: u64,
    /// Of these, lines that turned out not to be writable.
    dropped: u64,
    bytes: u64,
}

impl Writer {
    fn write_block(&mut self, block: &[u8]) -> Outcome {
        let mut rest = block;
        while let Some((line, more)) = self.cutting.next(rest) {
            rest = more;
            self.write_line(line)?;
        }
        self.bytes += block.len() as u64;
        Ok(())
    }

    #[inline]
    fn write_line(&mut self, line: &[u8]) -> Outcome {
        let record = match self.cut.record(line) {
            Ok(record) => record,
            Err(reason) => return Err(Failure::failed(format!("line {}: {reason}", self.lines + 1))),
        };
        let record = match self.partition {
            Some(number) => record.partition(number),
            None => record,
        };
        let sent = match &self.one_by_one {
            Some(producer) => producer.send(&self.topic, record).map(drop),
            None => self.buffered.enqueue(&self.topic, record),
        };
        sent.map_err(|failure| {
            if is_about_the_record(&failure) {
                Failure::failed(format!("line {}: {failure}", self.lines + 1))
            } else {
                failure.into()
            }
        })?;
        self.lines += 1;
        Ok(())
    }

    /// Each line is a record, so a record's number is that of its line.
    fn flush(&mut self) -> Outcome {
        self.buffered.flush().map_err(|failure| match failure {
            Error::RecordsDropped(dropped) => {
                self.dropped += dropped.records;
                Failure::failed(format!("line {}: {}", dropped.first, dropped.failure))
            }
            failure => failure.into(),
        })
    }

    /// A failure, and what it means for the lines so far: how many of them are in the log.
    fn explain(&mut self, failure: Failure) -> Failure {
        // What can still be written is; what cannot is counted and dropped, so that the end does not try again.
        let rest = self.buffered.flush();
        if let Err(Error::RecordsDropped(more)) = &rest {
            self.dropped += more.records;
        }
        let lost = self.buffered.discard() as u64 + self.dropped;
        let in_log = self.lines - lost;
        let sum = match rest {
            Err(Error::Poisoned(_)) => {
                let lines = output::counted(self.lines, "line", "lines");
                format!("at least {in_log} of {lines} are in the log")
            }
            _ if lost == 0 => {
                format!(
                    "the {} in the log",
                    output::counted(in_log, "line before it is", "lines before it are")
                )
            }
            _ => {
                let read = output::counted(self.lines, "line that was read is", "lines that were read are");
                format!("{in_log} of the {read} in the log")
            }
        };
        match failure {
            Failure::Failed(text) => Failure::Failed(format!("{text}; {sum}")),
            other => other,
        }
    }
}

/// Whether a record itself is what was refused. Other lines may be what a failure is about: those that wait to be written.
fn is_about_the_record(failure: &Error) -> bool {
    match failure {
        Error::TooLarge { .. } => true,
        Error::InvalidInput { what, .. } => what.starts_with("record") || *what == "partitioner",
        _ => false,
    }
}

/// Cuts a line in several ways.
#[cfg(any(fuzzing, test))]
pub(super) fn read_line(line: &[u8]) {
    let on = |name: &str| (name.to_owned(), "true".to_owned());
    let with = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for properties in [
        vec![],
        vec![on("parse.key"), on("parse.headers")],
        vec![on("parse.key"), on("parse.headers"), on("ignore.error"), with("null.marker", "N")],
        vec![on("parse.headers"), with("headers.separator", "[,;]*"), with("headers.delimiter", "|")],
    ] {
        let cut = Cut::of(&properties);
        assert!(cut.is_ok(), "{properties:?} are in order");
        let _ = cut.map(|cut| cut.record(line).map(drop));
    }
}
