//! Recovery at open, and what it reports.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::error::Error;
use crate::partition::{PartitionRecovery, ScanWatch};

/// How far the recovery of a log has come: [`OpenOptions::on_progress`](crate::OpenOptions::on_progress).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Partitions that have been checked.
    pub partitions_done: usize,
    /// Partitions there are.
    pub partitions: usize,
    /// Bytes of log that were read and checked.
    pub bytes_scanned: u64,
}

/// What the user's function for progress is called with, until the log is open.
pub(super) type OnProgress = Box<dyn FnMut(&Progress) + Send>;

/// The callback that gets the progress.
pub(super) struct Watching(Arc<Mutex<(Progress, Option<OnProgress>)>>);

impl Watching {
    pub(super) fn new(on_progress: Option<OnProgress>) -> Self {
        Self(Arc::new(Mutex::new((Progress::default(), on_progress))))
    }

    /// For partitions that are recovered; `None` without a callback.
    pub(super) fn scan_watch(&self) -> Option<ScanWatch> {
        let watching = Self(Arc::clone(&self.0));
        let is_wanted = self.0.lock().1.is_some();
        is_wanted.then(|| {
            ScanWatch(Arc::new(move |bytes| watching.update(|progress| progress.bytes_scanned += bytes)))
        })
    }

    fn begin(&self, partitions: usize) {
        self.update(|progress| progress.partitions = partitions);
    }

    fn partition_done(&self) {
        self.update(|progress| progress.partitions_done += 1);
    }

    /// What is loaded again later is no part of the open.
    fn end(&self) {
        self.0.lock().1 = None;
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        let (progress, on_progress) = &mut *self.0.lock();
        change(progress);
        if let Some(on_progress) = on_progress {
            on_progress(progress);
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}

/// What opening a directory found: [`EventLog::recovery`](crate::EventLog::recovery).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the directory had been closed cleanly. Then nothing was scanned, and partitions are loaded when they are
    /// first used. So are those of a log that is only read, in any case.
    pub clean: bool,
    /// Partitions that were scanned after an unclean stop, and those in which records are missing, as far as the names, lengths
    /// and ends of files show it. What they do not show is found by reading, and by [`verify`](crate::inspect::verify).
    pub partitions: Vec<PartitionRecovery>,
    /// Partitions that could not be recovered, because what is damaged in them was safe before. Every use of them
    /// fails with the same error; nothing in them was touched.
    pub failed: Vec<Error>,
    /// Directories that belong to no topic of the catalog. They are left alone.
    pub unknown_directories: Vec<std::path::PathBuf>,
}

impl RecoveryReport {
    /// Whether everything under the directory may be called clean again once it is closed.
    pub(super) fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// Bytes of log that were read and checked.
    pub fn bytes_scanned(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes_scanned).sum()
    }

    /// Bytes after last complete batches that were cut off.
    pub fn bytes_truncated(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes_truncated).sum()
    }
}

/// What a reader finds out at the open. It recovers nothing.
pub(super) fn of_reader(catalog: &Catalog, clean: bool) -> RecoveryReport {
    let unknown_directories = catalog.unknown_directories().to_vec();
    let mut report = RecoveryReport { clean, unknown_directories, ..RecoveryReport::default() };
    survey(catalog, &mut report);
    report
}

/// Looks for missing records, where that costs little. If there are any, the partition is loaded.
fn survey(catalog: &Catalog, report: &mut RecoveryReport) {
    for partition in catalog.partitions() {
        // A failure to look is reported by the first use of the partition.
        if !matches!(partition.survey(), Ok(true)) {
            continue;
        }
        match partition.load() {
            Ok(Some(found)) if found.is_worth_telling() => report.partitions.push(found),
            Ok(_) => {}
            Err(failure) => report.failed.push(failure),
        }
    }
}

/// After an unclean stop every partition is recovered before anything is served.
pub(super) fn recover(catalog: &Catalog, clean: bool, watching: &Watching) -> RecoveryReport {
    let unknown_directories = catalog.unknown_directories().to_vec();
    let mut report = RecoveryReport { clean, unknown_directories, ..RecoveryReport::default() };
    report.partitions.extend(
        catalog.recovery().filter(|found| found.bytes_truncated > 0 || !found.missing.is_empty()).cloned(),
    );
    if clean {
        survey(catalog, &mut report);
        return report;
    }
    let partitions = catalog.partitions();
    watching.begin(partitions.len());
    for partition in partitions {
        match partition.load() {
            Ok(Some(found)) if found.is_worth_telling() => report.partitions.push(found),
            Ok(_) => {}
            Err(failure) => report.failed.push(failure),
        }
        watching.partition_done();
    }
    watching.end();
    report
}
