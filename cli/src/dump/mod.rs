//! `dump`: what is in files, field by field. Kafka's `kafka-dump-log`.

/// Appends formatted text; writing into memory cannot fail.
macro_rules! put {
    ($to:expr, $($what:tt)*) => {{
        let _ = write!($to, $($what)*);
    }};
}

mod json;
mod text;
mod words;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use stratalog::inspect::{
    BatchView, IndexEntries, LogFile, OffsetIndexEntry, TimeIndexEntry, producer_snapshot, transaction_index,
};

use super::progress::Bar;
use super::{Failure, Outcome, Output, Session, Stop, files, output};
use json::Json;
use text::Text;
use words::Words;

const EXAMPLES: &str = "\
Examples:
  stratalog dump --topic orders --partition 0
  stratalog dump --print-data-log data/orders-0/00000000000000000000.log
  stratalog dump --topic __consumer_offsets --offsets-decoder --json | jq .";

/// Print batches, records, index entries and snapshots as stored in files.
///
/// Files are not compared with each other: that is what `verify` does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that Kafka's tool has")]
pub(super) struct Dump {
    /// The files: .log, .index, .timeindex, .txnindex, .snapshot, .checkpoint. Without any, those of the directory.
    #[arg(value_name = "FILE", conflicts_with_all = ["topic", "partition"])]
    paths: Vec<PathBuf>,
    /// More files, as Kafka's tool takes them.
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with_all = ["topic", "partition"])]
    files: Vec<PathBuf>,
    /// Only the files of this topic.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only the files of this partition.
    #[arg(long, value_name = "NUMBER", requires = "topic")]
    partition: Option<u32>,
    /// Print every record, not only batches.
    #[arg(long)]
    deep_iteration: bool,
    /// Print keys and values, too. Records of Kafka's own topics are put into words.
    #[arg(long)]
    print_data_log: bool,
    /// Of records, print nothing but keys and values.
    #[arg(long)]
    skip_record_metadata: bool,
    /// Print the records as those of `__consumer_offsets`, in words.
    #[arg(long, group = "decoder")]
    offsets_decoder: bool,
    /// Print the records as those of `__transaction_state`, in words.
    #[arg(long, group = "decoder")]
    transaction_log_decoder: bool,
    /// Print the records as those of the metadata log, in words.
    #[arg(long, group = "decoder")]
    cluster_metadata_decoder: bool,
    /// Read no more than this many bytes of each .log file.
    #[arg(long, value_name = "BYTES", default_value_t = u64::MAX, hide_default_value = true)]
    max_bytes: u64,
}

/// What is printed of records.
#[derive(Debug, Clone, Copy)]
struct Detail {
    records: bool,
    facts: bool,
    contents: Option<Words>,
}

impl Dump {
    fn detail(&self, path: &Path) -> Detail {
        let asked = if self.offsets_decoder {
            Some(Words::Groups)
        } else if self.transaction_log_decoder {
            Some(Words::Transactions)
        } else if self.cluster_metadata_decoder {
            Some(Words::Metadata)
        } else {
            None
        };
        let contents = asked.or_else(|| self.print_data_log.then(|| Words::of_file(path)));
        Detail {
            records: self.deep_iteration || contents.is_some(),
            facts: !self.skip_record_metadata,
            contents,
        }
    }

    fn files(&self, session: &Session) -> Outcome<Vec<PathBuf>> {
        if !self.paths.is_empty() || !self.files.is_empty() {
            return Ok([&self.paths[..], &self.files[..]].concat());
        }
        let dir = session.existing_dir()?;
        let Some(topic) = &self.topic else {
            let mut found = files::below(dir)?;
            found.retain(|path| Kind::of(path).is_some());
            return Ok(found);
        };
        let mut found = files::below(dir)?;
        found.retain(|path| Kind::of(path).is_some() && self.is_of(path, topic));
        if found.is_empty() {
            let partition = self.partition.map(|number| format!("-{number}")).unwrap_or_default();
            return Err(Failure::failed(format!(
                "there are no files of {topic}{partition}; the directory of a partition is made with its first record"
            )));
        }
        Ok(found)
    }

    fn is_of(&self, path: &Path, topic: &str) -> bool {
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let parts = name.and_then(|name| name.rsplit_once('-'));
        parts.is_some_and(|(front, number)| {
            front == topic
                && number
                    .parse()
                    .is_ok_and(|number: u32| self.partition.is_none_or(|wanted| wanted == number))
        })
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    /// Of the metadata log.
    Snapshot,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Producers,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()? {
            "log" => Self::Log,
            "checkpoint" => Self::Snapshot,
            "index" => Self::OffsetIndex,
            "timeindex" => Self::TimeIndex,
            "txnindex" => Self::TransactionIndex,
            "snapshot" => Self::Producers,
            _ => return None,
        })
    }
}

/// In which form it is printed.
enum Form {
    Text(Text),
    Json(Json),
}

pub(super) fn run(options: &Dump, session: &Session) -> Outcome {
    let paths = options.files(session)?;
    let stop = Stop::on_signals()?;
    let total = paths.iter().map(|path| files::length(path)).sum();
    let form = if session.json() { Form::Json(Json::default()) } else { Form::Text(Text::default()) };
    let mut dumping = Dumping {
        form,
        out: Output::new(),
        bar: Bar::beside_output("dumping", total),
        done: 0,
        unreadable: 0,
        decompressed: session.decompressed(),
        stop,
    };
    for path in &paths {
        if dumping.stop.is_asked() {
            break;
        }
        let Some(kind) = Kind::of(path) else {
            output::warn(format_args!("{} is no file of a log, and ignored", path.display()));
            continue;
        };
        let dumped = dumping.file(path, kind, options);
        if dumped.is_err() {
            // What was printed comes before the report of what was not.
            dumping.out.flush()?;
        }
        dumped?;
    }
    dumping.out.end()?;
    match dumping.unreadable {
        0 => Ok(()),
        1 => Err(Failure::failed("the records of one batch cannot be read")),
        many => Err(Failure::failed(format!("the records of {many} batches cannot be read"))),
    }
}

struct Dumping {
    form: Form,
    out: Output,
    bar: Bar,
    /// Bytes of the files before this one.
    done: u64,
    /// Batches whose records do not hold together.
    unreadable: u64,
    decompressed: Option<u32>,
    stop: Stop,
}

impl Dumping {
    fn file(&mut self, path: &Path, kind: Kind, options: &Dump) -> Outcome {
        match &mut self.form {
            Form::Text(text) => text.begin(path, kind),
            Form::Json(json) => json.begin(path),
        }
        match kind {
            Kind::Log | Kind::Snapshot => self.batches(path, options.detail(path), options.max_bytes)?,
            Kind::OffsetIndex => self.offset_index(path)?,
            Kind::TimeIndex => self.time_index(path)?,
            Kind::TransactionIndex => {
                for entry in transaction_index(path)? {
                    match &mut self.form {
                        Form::Text(text) => text.transaction(&entry),
                        Form::Json(json) => json.transaction(&entry),
                    }
                    self.put()?;
                }
            }
            Kind::Producers => {
                for entry in producer_snapshot(path)? {
                    match &mut self.form {
                        Form::Text(text) => text.producer(&entry),
                        Form::Json(json) => json.producer(&entry),
                    }
                    self.put()?;
                }
            }
        }
        self.put()?;
        self.done += files::length(path);
        self.bar.set(self.done);
        Ok(())
    }

    fn batches(&mut self, path: &Path, detail: Detail, most: u64) -> Outcome {
        let mut file = LogFile::open(path)?;
        if let Some(bytes) = self.decompressed {
            file = file.max_decompressed_batch_bytes(bytes);
        }
        while file.position() < most
            && !self.stop.is_asked()
            && let Some(batch) = file.next_batch()?
        {
            match &mut self.form {
                Form::Text(text) => text.batch(&batch),
                Form::Json(json) => json.batch(&batch),
            }
            if detail.records {
                self.records(&batch, detail)?;
            }
            self.put()?;
            self.bar.set(self.done + batch.position());
        }
        if file.position() < most && !self.stop.is_asked() && file.bytes_left() > 0 {
            let why = file.why_stopped().unwrap_or_default();
            match &mut self.form {
                Form::Text(text) => text.invalid(file.bytes_left(), path),
                Form::Json(json) => json.invalid(file.position(), file.bytes_left(), &why),
            }
        }
        Ok(())
    }

    fn records(&mut self, batch: &BatchView<'_>, detail: Detail) -> Outcome {
        let records = match batch.records() {
            Ok(records) => records,
            Err(failure) => {
                // What was printed comes before the report of it.
                self.put()?;
                self.out.flush()?;
                output::complain(failure);
                self.unreadable += 1;
                return Ok(());
            }
        };
        for record in records.iter() {
            match &mut self.form {
                Form::Text(text) => text.record(batch, &record, detail),
                Form::Json(json) => json.record(batch, &record, detail),
            }
            self.put_if_long()?;
        }
        Ok(())
    }

    fn offset_index(&mut self, path: &Path) -> Outcome {
        let entries = IndexEntries::<OffsetIndexEntry>::open(path)?;
        let base = stratalog::inspect::base_offset(path);
        let mut first = true;
        for entry in entries {
            let entry = entry?;
            // Zeros after the last entry are preallocated space.
            if Some(entry.offset) == base && !first {
                break;
            }
            first = false;
            match &mut self.form {
                Form::Text(text) => text.offset(&entry),
                Form::Json(json) => json.offset(&entry),
            }
            self.put_if_long()?;
        }
        if let Form::Text(text) = &mut self.form
            && first
        {
            text.empty(path);
        }
        Ok(())
    }

    fn time_index(&mut self, path: &Path) -> Outcome {
        let base = stratalog::inspect::base_offset(path);
        let mut first = true;
        for entry in IndexEntries::<TimeIndexEntry>::open(path)? {
            let entry = entry?;
            if Some(entry.offset) == base && entry.timestamp == 0 && !std::mem::take(&mut first) {
                break;
            }
            first = false;
            match &mut self.form {
                Form::Text(text) => text.time(&entry),
                Form::Json(json) => json.time(&entry),
            }
            self.put_if_long()?;
        }
        Ok(())
    }

    /// Passes on what was put into words so far.
    fn put(&mut self) -> Outcome {
        let line = match &mut self.form {
            Form::Text(text) => &mut text.line,
            Form::Json(json) => &mut json.line,
        };
        self.out.write_all(line)?;
        line.clear();
        Ok(())
    }

    fn put_if_long(&mut self) -> Outcome {
        const LONG: usize = 64 << 10;
        let length = match &self.form {
            Form::Text(text) => text.line.len(),
            Form::Json(json) => json.line.len(),
        };
        if length < LONG { Ok(()) } else { self.put() }
    }
}
