//! One run of the program: the directory it is about, and how a command gets at it.

use std::path::{Path, PathBuf};

use stratalog::{Error, EventLog, Maintenance, OpenOptions};

use super::failure::{Failure, Outcome};
use super::files::{self, Directory};
use super::{output, progress};

/// What holds for every command.
#[derive(Debug)]
pub(super) struct Session {
    dir: Option<PathBuf>,
    json: bool,
    accept_data_loss: bool,
    /// What the records of one batch may take when they are decompressed, if that was said.
    decompressed: Option<u32>,
}

/// The file that makes a directory a log directory, of Kafka's and of ours.
const IDENTITY: &str = "meta.properties";

impl Session {
    pub(super) fn new(
        dir: Option<PathBuf>,
        json: bool,
        accept_data_loss: bool,
        decompressed: Option<u32>,
    ) -> Self {
        Self { dir, json, accept_data_loss, decompressed }
    }

    /// What the records of one batch may take when they are decompressed, if that was said.
    pub(super) fn decompressed(&self) -> Option<u32> {
        self.decompressed
    }

    /// Whether data is to be printed as JSON, one object per line.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// The directory that was named.
    pub(super) fn dir(&self) -> Outcome<&Path> {
        let missing = || Failure::usage("which directory? name it with --dir DIR, or in STRATALOG_DIR");
        self.dir.as_deref().filter(|dir| !dir.as_os_str().is_empty()).ok_or_else(missing)
    }

    /// Opens the log to read it. No other process is in the way, and nothing is changed.
    pub(super) fn read(&self) -> Outcome<EventLog> {
        let dir = self.existing_dir()?;
        Ok(self.options().read_only(true).open(dir)?)
    }

    /// Opens the log to change it: one process at a time can.
    pub(super) fn write(&self) -> Outcome<EventLog> {
        let dir = self.existing_dir()?;
        self.open_to_write(dir)
    }

    /// Opens the log to change it or, while another process holds it, to read it. Then it says who that is.
    pub(super) fn write_or_read(&self) -> Outcome<(EventLog, Option<String>)> {
        match self.options().open(self.existing_dir()?) {
            Err(Error::Locked { holder: Some(process), .. }) => {
                Ok((self.read()?, Some(format!("process {process}"))))
            }
            Err(Error::Locked { .. }) => Ok((self.read()?, Some("another process".to_owned()))),
            opened => Ok((reported(opened?), None)),
        }
    }

    /// Opens the log to change it, and makes one where there is none.
    pub(super) fn make(&self) -> Outcome<EventLog> {
        self.open_to_write(self.dir()?)
    }

    /// Opens a log to bring records from elsewhere into it, and makes one where there is none. Nothing is done in the
    /// background: what is old by its timestamps does not go while more is coming.
    pub(super) fn open_to_fill(&self, dir: &Path) -> Outcome<EventLog> {
        Ok(reported(self.options().maintenance(Maintenance::Manual).open(dir)?))
    }

    fn options(&self) -> OpenOptions {
        let options =
            EventLog::options().on_progress(progress::of_recovery()).accept_data_loss(self.accept_data_loss);
        match self.decompressed {
            Some(bytes) => options.max_decompressed_batch_bytes(bytes),
            None => options,
        }
    }

    fn open_to_write(&self, dir: &Path) -> Outcome<EventLog> {
        Ok(reported(self.options().open(dir)?))
    }

    /// The file that says which node of which cluster the directory belongs to.
    pub(super) fn identity(&self) -> Outcome<PathBuf> {
        Ok(self.existing_dir()?.join(IDENTITY))
    }

    /// The directory, which must be that of a log.
    pub(super) fn existing_dir(&self) -> Outcome<&Path> {
        let dir = self.dir()?;
        let shown = dir.display();
        match files::directory(dir)? {
            Directory::There if files::is_there(&dir.join(IDENTITY))? => Ok(dir),
            Directory::There => Err(Failure::failed(format!(
                "{shown} is no log directory: there is no {IDENTITY} in it; \
                 `stratalog topics --create` makes a log in an empty directory"
            ))),
            Directory::Dangling(target) => Err(Failure::failed(format!(
                "{shown} is a symbolic link to {}, which does not exist",
                target.display()
            ))),
            Directory::Absent => Err(Failure::failed(format!(
                "{shown} does not exist; `stratalog topics --create` makes it with the first topic"
            ))),
        }
    }
}

/// What the open has found out of order is reported.
fn reported(log: EventLog) -> EventLog {
    let found = log.recovery();
    if found.bytes_truncated() > 0 {
        output::print_note(format_args!(
            "the log was not closed cleanly; {} cut off",
            output::counted(
                found.bytes_truncated(),
                "byte after the last complete batches was",
                "bytes after the last complete batches were"
            )
        ));
    }
    for partition in &found.partitions {
        for path in &partition.kept {
            output::warn(format_args!(
                "records may be among what was cut off: it is kept in {}",
                path.display()
            ));
        }
        for missing in &partition.missing {
            let (of, from, to) = (&partition.partition, missing.offsets.start, missing.offsets.end);
            let perhaps = if missing.maybe_compacted { ", unless a compaction took that out" } else { "" };
            let last = to - 1;
            if from == last {
                output::warn(format_args!("{of} lacks the record of offset {from}{perhaps}"));
            } else {
                output::warn(format_args!("{of} lacks the records from offset {from} to {last}{perhaps}"));
            }
        }
    }
    for failure in &found.failed {
        output::warn(failure);
    }
    log
}
