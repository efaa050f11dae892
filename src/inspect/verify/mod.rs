//! Going through a whole directory: is everything as it should be?
//!
//! | file | what |
//! |---|---|
//! | [`partition`] | the files of a partition and how they fit together |
//! | [`segment`] | the batches of a log file, with its indexes beside them |
//! | [`absences`] | offsets that no segment has |
//! | [`indexes`] | entries of indexes, held against the batches as these come |
//! | [`repair`] | taking away what is derived and wrong |

mod absences;
mod indexes;
mod partition;
mod repair;
mod segment;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::MAX_SMALL_BYTES;
use super::log_file::LogFile;
use crate::catalog::checkpoints::Checkpoints;
use crate::catalog::log_dir::LogDir;
use crate::catalog::{self, Outline, Owner};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::topic_name::CLUSTER_METADATA;
use crate::error::{Error, Result};
use crate::format::checkpoint::{EpochStart, parse_offsets};
use crate::format::compression::DEFAULT_DECOMPRESSED_BYTES;
use crate::format::file_names::{BOOTSTRAP, CHECKPOINTS, CLEAN_MARKER, IDENTITY};
use crate::format::frame::valid_batch_at;
use crate::position::TopicPartition;
use crate::sys::disk::{kind_of, names_in};
use crate::sys::root::open_root;
use crate::sys::{DirectoryLock, Disk, EntryKind};

/// Further problems of one file are counted, not reported.
const MAX_PROBLEMS_OF_A_FILE: usize = 100;

/// Something in a directory that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub position: Option<u64>,
    /// The offset at which reading meets it, if it is in a log.
    pub offset: Option<u64>,
    /// What it concerns.
    pub kind: ProblemKind,
    /// What is wrong.
    pub reason: String,
    /// Whether [`VerifyOptions::repair`] has dealt with it.
    pub repaired: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        if self.repaired { f.write_str("; repaired") } else { Ok(()) }
    }
}

/// What a [`Problem`] concerns, and so what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Records: a batch that is damaged, or is where it cannot.
    Log,
    /// Records that should be there and are not, or may be missing: the partition was compacted, or may have been, but no
    /// compaction has gone through their offsets.
    Missing,
    /// An index or a snapshot of producers. It is made from the records, and can be made again.
    Derived,
    /// A checkpoint. Without it more is checked when the directory is opened.
    Checkpoint,
    /// What the directory is, which topics there are, and which directory is whose.
    Catalog,
    /// A name that no file or directory should have there.
    Name,
    /// Something that cannot be checked, or read with the limits that were given.
    Unreadable,
}

/// How [`verify`] goes about it.
///
/// ```
/// use stratalog::inspect::VerifyOptions;
/// let options = VerifyOptions::new().topics(["orders"]).repair(true);
/// ```
#[must_use]
pub struct VerifyOptions<'o> {
    topics: Option<Vec<String>>,
    repair: bool,
    decompressed: u32,
    on_progress: Option<Box<Progress<'o>>>,
}

type Progress<'o> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'o;

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("topics", &self.topics)
            .field("repair", &self.repair)
            .field("max_decompressed_batch_bytes", &self.decompressed)
            .finish_non_exhaustive()
    }
}

impl Default for VerifyOptions<'_> {
    fn default() -> Self {
        Self { topics: None, repair: false, decompressed: DEFAULT_DECOMPRESSED_BYTES, on_progress: None }
    }
}

impl<'o> VerifyOptions<'o> {
    /// Everything is checked, nothing is changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that the records of one batch may take when they are decompressed, as
    /// [`OpenOptions::max_decompressed_batch_bytes`](crate::OpenOptions::max_decompressed_batch_bytes). A batch that takes
    /// more is a [`Problem`]: opened with the same limit the log does not give its records either. Default: 64 MiB.
    pub fn max_decompressed_batch_bytes(mut self, bytes: u32) -> Self {
        self.decompressed = bytes;
        self
    }

    /// Checks the partitions of these topics only, and what belongs to no topic.
    pub fn topics<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.topics = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Takes away what is derived from the records and wrong: indexes, snapshots of producers, checkpoints. They are made
    /// again when the directory is opened, by this crate or by a broker. Records are never touched. Needs the directory's
    /// lock. Default: `false`.
    pub fn repair(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }

    /// Is called now and then with the bytes of log that were checked and those there are. `Break` ends the work, and
    /// the report says so.
    pub fn on_progress(mut self, tell: impl FnMut(u64, u64) -> ControlFlow<()> + 'o) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }
}

/// What [`verify`] has checked.
// One type: a field for each number of the report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Whether the directory was closed cleanly. If it was not, batches at the ends may be torn, which is no problem:
    /// the next open cuts them off.
    pub clean: bool,
    /// Partitions, that of the metadata log among them.
    pub partitions: u64,
    /// Log files.
    pub segments: u64,
    /// Batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Entries of indexes.
    pub index_entries: u64,
    /// Bytes of log files.
    pub bytes: u64,
    /// Batches whose records could not be checked, because their codec is not built in.
    pub unchecked_batches: u64,
    /// Bytes at the ends of logs that hold no complete batch, in a directory that was not closed cleanly: preallocated space,
    /// and what was being written.
    pub tail_bytes: u64,
    /// Files and directories that wait to be removed, which is no problem.
    pub leftovers: u64,
    /// Problems found.
    pub problems: u64,
    /// Of these, the repaired.
    pub repaired: u64,
    /// Whether the work was ended before everything was checked.
    pub interrupted: bool,
    /// Segments that retention by age keeps, with all that come after them, only because of a record with a timestamp in
    /// the future. That is no problem of the files. Only topics count that have a `retention.ms` of their own.
    pub kept_by_future_timestamp: Vec<FutureSegment>,
}

/// A segment that is old but for a record with a timestamp in the future: [`VerifyReport::kept_by_future_timestamp`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FutureSegment {
    /// The log file.
    pub path: PathBuf,
    /// The largest timestamp in it.
    pub timestamp: Timestamp,
}

/// Goes through a log directory and passes to `on_problem` what is not as it should be: checksums, lengths, offsets and records
/// of every batch; indexes, snapshots and checkpoints against them; directories against the metadata log; names.
///
/// Works beside a writer, whose latest records may then not be checked. Kafka has no counterpart for a directory; of its
/// tools `kafka-dump-log` does a part of it file by file.
///
/// # Errors
/// `Io` if the directory does not exist or cannot be listed, `InvalidInput` if the path is none, `Locked` if it is to be
/// repaired and another process holds it. What is found in the directory is no error.
///
/// ```
/// use stratalog::inspect::{VerifyOptions, verify};
/// use stratalog::{EventLog, Record, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path())?;
/// let orders = log.create_topic("orders", TopicConfig::new())?;
/// log.producer()?.send(&orders, Record::new("paid"))?;
/// log.close()?;
///
/// let report = verify(dir.path(), VerifyOptions::new(), |problem| eprintln!("{problem}"))?;
/// assert_eq!((report.problems, report.partitions), (0, 2)); // with that of the metadata log
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(
    path: impl AsRef<Path>,
    options: VerifyOptions<'_>,
    mut on_problem: impl FnMut(&Problem),
) -> Result<VerifyReport> {
    let root = open_root(path.as_ref())?;
    let lock = if options.repair { Some(DirectoryLock::take(&root)?) } else { None };
    let dir = LogDir::new(root.clone(), Disk::for_reading(&root, false));
    // Before anything else is read: a writer that comes later takes it away first.
    let clean = kind_of(&dir.path(CLEAN_MARKER))?.is_some();
    let checkpoints = Checkpoints::read(&dir, clean)?;
    let repair = lock.as_ref().map(|lock| Disk::of(&root, false, false).anchored(&root, lock));
    let mut verifier = Verifier {
        repair: repair.transpose()?,
        dir,
        checkpoints,
        topics: options.topics,
        decompressed: options.decompressed,
        on_progress: options.on_progress,
        on_problem: &mut on_problem,
        pending: Vec::new(),
        seen_epochs: Vec::new(),
        retention_ms: None,
        now: SystemClock.now().as_millis(),
        report: VerifyReport { clean, ..VerifyReport::default() },
        total: 0,
        reported: 0,
    };
    verifier.directory()?;
    Ok(verifier.report)
}

/// Bytes of log between two reports of progress.
const PROGRESS_STEP: u64 = 4 << 20;

/// One pass over a directory.
// One type: a file of the directory may need what any other says. Its methods are in a file for each kind of file.
struct Verifier<'v, 'o> {
    dir: LogDir,
    /// The ways to change something, if that is wanted and the lock is held.
    repair: Option<Disk>,
    checkpoints: Checkpoints,
    topics: Option<Vec<String>>,
    /// What the records of one batch may take when they are decompressed.
    decompressed: u32,
    on_progress: Option<Box<Progress<'o>>>,
    on_problem: &'v mut dyn FnMut(&Problem),
    /// Found in the partition at hand, and not reported yet: some may be repaired.
    pending: Vec<Problem>,
    /// Where leader epochs begin in the partition at hand, by its batches.
    seen_epochs: Vec<EpochStart>,
    /// How long records of the partition at hand are kept, if time is a limit.
    retention_ms: Option<i64>,
    now: i64,
    report: VerifyReport,
    total: u64,
    /// Bytes of log that had been checked when progress was last reported.
    reported: u64,
}

impl Verifier<'_, '_> {
    fn is_clean(&self) -> bool {
        self.report.clean
    }

    fn directory(&mut self) -> Result<()> {
        let found = catalog::directories_in(&self.dir)?;
        let metadata = catalog::metadata_directory(self.dir.root());
        let has_metadata = kind_of(&metadata)? == Some(EntryKind::Directory);
        let wanted: Vec<_> = found.iter().filter(|one| self.is_wanted(one.partition.as_ref())).collect();
        let logs = wanted.iter().filter(|one| one.partition.is_some()).map(|one| &one.path);
        self.total = logs.chain(has_metadata.then_some(&metadata)).map(|path| self.bytes_of_logs(path)).sum();
        self.top_level_files(&found, has_metadata);
        self.names_that_are_no_text()?;
        let outline = self.metadata(&metadata, has_metadata);
        for directory in wanted {
            if self.report.interrupted {
                return Ok(());
            }
            self.owner(directory, outline.as_ref());
            if let Some(partition) = &directory.partition {
                self.retention_ms =
                    outline.as_ref().and_then(|outline| outline.retention_ms(partition.topic()));
                let compacted =
                    outline.as_ref().is_none_or(|outline| outline.may_have_been_compacted(partition.topic()));
                self.partition(&directory.path, partition, compacted);
            }
            self.finish();
        }
        if let Some(outline) = &outline {
            self.missing_directories(outline);
        }
        self.offset_checkpoints();
        self.finish();
        Ok(())
    }

    fn is_wanted(&self, partition: Option<&TopicPartition>) -> bool {
        match (&self.topics, partition) {
            (Some(topics), Some(partition)) => topics.iter().any(|topic| topic == partition.topic()),
            _ => true,
        }
    }

    /// Directories that nothing here and no broker takes for a partition's.
    fn names_that_are_no_text(&mut self) -> Result<()> {
        for name in names_in(self.dir.root())?.into_iter().filter(|name| name.to_str().is_none()) {
            let path = self.dir.path(name);
            if kind_of(&path)? == Some(EntryKind::Directory) {
                let reason = "the name of the directory is not UTF-8; a broker does not start beside it";
                self.problem(ProblemKind::Name, path, reason);
            }
        }
        self.finish();
        Ok(())
    }

    /// `meta.properties` and what only a broker reads.
    fn top_level_files(&mut self, found: &[catalog::FoundDirectory], has_metadata: bool) {
        let path = self.dir.path(IDENTITY);
        match catalog::has_identity(&self.dir) {
            Ok(true) => {}
            Ok(false) if found.is_empty() && !has_metadata => {}
            Ok(false) => {
                let reason = "the file is missing; without it the topic of this directory is not known";
                self.problem(ProblemKind::Catalog, path, reason);
            }
            Err(failure) => self.failure(ProblemKind::Catalog, path, &failure),
        }
        let bootstrap = self.dir.path(BOOTSTRAP);
        match kind_of(&bootstrap) {
            Ok(None) => {}
            Ok(Some(_)) => self.snapshot_of_metadata(&bootstrap),
            Err(failure) => self.failure(ProblemKind::Catalog, bootstrap, &failure),
        }
        self.finish();
    }

    /// The metadata log, and what it says. `None` if there is none or it cannot be read.
    fn metadata(&mut self, directory: &Path, exists: bool) -> Option<Outline> {
        if !exists {
            if matches!(kind_of(directory), Ok(Some(_))) {
                let reason = "a link or a file is where the directory of the metadata log should be; it was not checked";
                self.problem(ProblemKind::Unreadable, directory.to_owned(), reason);
                self.finish();
            }
            return None;
        }
        self.partition(directory, &TopicPartition::from((CLUSTER_METADATA, 0)), false);
        let before = self.pending.len();
        self.finish();
        match Outline::read(&self.dir, &self.checkpoints) {
            Ok(outline) => {
                if let Some(reason) = outline.too_new() {
                    self.problem(ProblemKind::Catalog, directory.to_owned(), reason);
                    self.finish();
                }
                Some(outline)
            }
            Err(failure) => {
                // Damage to its batches was reported already.
                if before == 0 {
                    self.failure(ProblemKind::Catalog, directory.to_owned(), &failure);
                    self.finish();
                }
                None
            }
        }
    }

    fn owner(&mut self, directory: &catalog::FoundDirectory, outline: Option<&Outline>) {
        let path = directory.path.clone();
        if directory.put_aside {
            self.report.leftovers += 1;
            return;
        }
        let Some(partition) = &directory.partition else {
            let reason = "the directory is none of a partition; a broker does not start beside it";
            return self.problem(ProblemKind::Name, path, reason);
        };
        let Some(outline) = outline else { return };
        let reason = match outline.owner_of(directory) {
            Owner::Topic => return,
            Owner::Deleted => {
                self.report.leftovers += 1;
                return;
            }
            Owner::OtherId => {
                format!("it belongs to another topic than the {:?} there is now", partition.topic())
            }
            Owner::None => format!("the metadata log knows no partition {partition}"),
        };
        self.problem(ProblemKind::Catalog, path, reason);
    }

    /// Partitions whose directory is not there although records were in it.
    fn missing_directories(&mut self, outline: &Outline) {
        for partition in outline.partitions() {
            if !self.is_wanted(Some(&partition)) {
                continue;
            }
            let path = self.dir.path(partition.to_string());
            let there = match kind_of(&path) {
                Ok(there) => there,
                Err(failure) => {
                    self.failure(ProblemKind::Unreadable, path, &failure);
                    continue;
                }
            };
            if there.is_some_and(|kind| kind != EntryKind::Directory) {
                let reason =
                    "a link or a file is where the directory of a partition should be; it was not checked";
                self.problem(ProblemKind::Unreadable, path, reason);
                continue;
            }
            let known = self.checkpoints.of(&partition);
            if let Some(point) = known.recovery_point.filter(|point| *point > known.log_start)
                && there.is_none()
            {
                let reason = format!("the directory is missing, but records below offset {point} were in it");
                self.problem(ProblemKind::Catalog, path, reason);
            }
        }
        self.finish();
    }

    /// The checkpoints of the directory, one by one.
    fn offset_checkpoints(&mut self) {
        for name in CHECKPOINTS {
            let path = self.dir.path(name);
            match self.dir.disk().read_small(&path, MAX_SMALL_BYTES) {
                Ok(bytes) => {
                    if let Some(reason) = bytes.and_then(|bytes| parse_offsets(&bytes).err()) {
                        self.problem(ProblemKind::Checkpoint, path, reason.0);
                    }
                }
                Err(failure) => self.failure(ProblemKind::Checkpoint, path, &failure),
            }
        }
    }

    /// A snapshot of the metadata log, or what a formatter wrote: all of it must be whole.
    fn snapshot_of_metadata(&mut self, path: &Path) {
        let mut file = match LogFile::open(path) {
            Ok(file) => file,
            Err(failure) => return self.failure(ProblemKind::Unreadable, path.to_owned(), &failure),
        };
        let mut expected = 0;
        loop {
            let position = file.position();
            let reason = match file.next_batch() {
                Ok(Some(batch)) => match valid_batch_at(batch.frame(), expected) {
                    Ok(frame) => {
                        expected = frame.last_offset() + 1;
                        batch.decoded().err().map(|reason| reason.to_string())
                    }
                    Err(reason) => Some(reason.to_string()),
                },
                Ok(None) => match file.why_stopped() {
                    Some(reason) => Some(reason),
                    None => return,
                },
                Err(failure) => return self.failure(ProblemKind::Unreadable, path.to_owned(), &failure),
            };
            if let Some(reason) = reason {
                return self.problem_at(ProblemKind::Catalog, path.to_owned(), position, None, reason);
            }
        }
    }

    fn bytes_of_logs(&self, directory: &Path) -> u64 {
        let names = self.dir.disk().list(directory).unwrap_or_default();
        let logs =
            names.iter().filter(|(name, _)| crate::segment::base_of(name, crate::segment::LOG).is_some());
        logs.filter_map(|(name, _)| self.dir.disk().open(&directory.join(name), false).ok()?.len().ok()).sum()
    }

    fn problem(&mut self, kind: ProblemKind, path: PathBuf, reason: impl Into<String>) {
        let reason = reason.into();
        self.pending.push(Problem { path, position: None, offset: None, kind, reason, repaired: false });
    }

    fn problem_at(
        &mut self,
        kind: ProblemKind,
        path: PathBuf,
        position: u64,
        offset: Option<u64>,
        reason: impl Into<String>,
    ) {
        let reported = self.pending.iter().filter(|problem| problem.path == path).count();
        let (position, offset, reason) = match reported {
            0..MAX_PROBLEMS_OF_A_FILE => (Some(position), offset, reason.into()),
            MAX_PROBLEMS_OF_A_FILE => (None, None, "further problems of this file are not listed".to_owned()),
            _ => return,
        };
        self.pending.push(Problem { path, position, offset, kind, reason, repaired: false });
    }

    /// A failure to check something, reported as a problem.
    fn failure(&mut self, kind: ProblemKind, path: PathBuf, failure: &Error) {
        match failure {
            Error::Corrupt(damage) | Error::Unsupported(damage) => {
                let offset = damage.offset.as_ref().map(crate::position::Position::offset);
                let (path, position, reason) =
                    (damage.path.clone(), damage.position, damage.reason.to_string());
                self.problem_at(kind, path, position, offset, reason);
            }
            // It was there when the directory was listed; another process is at work here.
            failure if failure.is_file_not_found() && !self.is_clean() => {}
            failure => self.problem(ProblemKind::Unreadable, path, failure.to_string()),
        }
    }

    /// Counts bytes of log, and reports how far the work has come. `Break`: it is to end.
    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self.report.bytes += bytes;
        if self.report.bytes - self.reported < PROGRESS_STEP {
            return ControlFlow::Continue(());
        }
        self.reported = self.report.bytes;
        let total = self.total.max(self.reported);
        let flow =
            self.on_progress.as_mut().map_or(ControlFlow::Continue(()), |tell| tell(self.reported, total));
        self.report.interrupted |= flow.is_break();
        flow
    }

    /// Repairs what can be, and reports everything that was found in the partition at hand.
    fn finish(&mut self) {
        self.repair_pending();
        for problem in std::mem::take(&mut self.pending) {
            self.report.problems += 1;
            self.report.repaired += u64::from(problem.repaired);
            (self.on_problem)(&problem);
        }
    }
}
