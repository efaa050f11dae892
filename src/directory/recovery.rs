//! Recovery at open, and what it tells.

use crate::catalog::Catalog;
use crate::error::Error;
use crate::partition::PartitionRecovery;

/// What opening a directory found: [`EventLog::recovery`](crate::EventLog::recovery).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the directory had been closed in order. Then nothing was scanned, and partitions are looked at when
    /// they are first used. So are those of a log that is only read, in any case.
    pub clean: bool,
    /// Partitions that were scanned after an unclean stop.
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

    /// Bytes behind last whole batches that were cut off.
    pub fn bytes_cut(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes_cut).sum()
    }
}

/// What a reader finds out at the open. It recovers nothing, so there is little to tell.
pub(super) fn of_reader(catalog: &Catalog, clean: bool) -> RecoveryReport {
    let unknown_directories = catalog.unknown_directories().to_vec();
    RecoveryReport { clean, unknown_directories, ..RecoveryReport::default() }
}

/// After an unclean stop every partition is recovered before anything is served.
pub(super) fn recover(catalog: &Catalog, clean: bool) -> RecoveryReport {
    let unknown_directories = catalog.unknown_directories().to_vec();
    let mut report = RecoveryReport { clean, unknown_directories, ..RecoveryReport::default() };
    report.partitions.extend(catalog.recovery().filter(|found| found.bytes_cut > 0).cloned());
    if clean {
        return report;
    }
    for partition in catalog.partitions() {
        match partition.load() {
            Ok(Some(found)) if found.bytes_scanned + found.bytes_cut > 0 => report.partitions.push(found),
            Ok(_) => {}
            Err(failure) => report.failed.push(failure),
        }
    }
    report
}
