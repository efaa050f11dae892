//! A regular file: read and written at positions, allocated, cut, synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk::Identity;
use super::faults::{Faults, Operation};
use super::platform;
use super::reserve::{Entered, Space};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A regular file, opened without following links.
#[derive(Debug)]
pub(crate) struct PlainFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) faults: Faults,
    pub(super) space: Space,
    /// How long the file may become; 0 if it is only read. What would make it longer fails without a system call, which would not come back.
    pub(super) most: u64,
}

impl PlainFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether a fault is planned for an operation that is done to the file elsewhere.
    pub(super) fn check(&self, operation: Operation) -> io::Result<()> {
        self.faults.check(operation)
    }

    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| Error::io("check", &self.path, e))?.len())
    }

    /// Whether the file has another name, in this directory or elsewhere: what is written to it, a reader of it under
    /// that name gets too.
    pub(crate) fn has_other_names(&self) -> Result<bool> {
        let metadata = self.file.metadata().map_err(|e| Error::io("check", &self.path, e))?;
        Ok(platform::names_of(&self.file, &metadata) > 1)
    }

    /// When the file was last changed, in milliseconds since 1970.
    pub(crate) fn changed_at(&self) -> Result<i64> {
        let changed = self.file.metadata().and_then(|metadata| metadata.modified());
        Ok(Timestamp::from(changed.map_err(|e| Error::io("check", &self.path, e))?).as_millis())
    }

    /// Makes the file count as changed when `other` was.
    pub(crate) fn set_changed_as(&self, other: &Self) -> Result<()> {
        let changed = other.file.metadata().and_then(|metadata| metadata.modified());
        let changed = changed.map_err(|e| Error::io("check", &other.path, e))?;
        self.file.set_modified(changed).map_err(|e| Error::io("set the time of", &self.path, e))
    }

    /// How long the file may become that this process writes.
    pub(super) fn most_bytes(&self) -> u64 {
        self.most
    }

    fn check_length(&self, length: u64) -> io::Result<()> {
        if length > self.most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }

    /// Fills `to` as far as the file goes and reports how many bytes that were.
    pub(crate) fn read_at(&self, to: &mut [u8], position: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < to.len() {
            match platform::read_at(
                &self.file,
                to.get_mut(filled..).unwrap_or_default(),
                position + filled as u64,
            ) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) => return Err(Error::io("read", &self.path, failure)),
            }
        }
        Ok(filled)
    }

    /// Writes all of `bytes`. After an error any part of them may be in the file.
    pub(crate) fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.check_length(position + bytes.len() as u64)?;
        if let Err(failure) = self.faults.check(Operation::Write) {
            // As a disk does that fills up: a part is written.
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            let _ = platform::write_at(&self.file, part, position);
            return Err(failure);
        }
        let mut written = 0;
        while written < bytes.len() {
            let rest = bytes.get(written..).unwrap_or_default();
            match self.space.take(|| platform::write_at(&self.file, rest, position + written as u64)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Reserves space up to `length`, which becomes the file's length if it was shorter. Reads as zeros.
    /// `Unsupported` where the file system cannot.
    pub(crate) fn allocate(&self, from: u64, length: u64) -> io::Result<()> {
        self.check_length(length)?;
        self.faults.check(Operation::Allocate)?;
        self.space.take(|| platform::allocate(&self.file, from, length))
    }

    /// The same for what is not needed yet, and so never of the reserve.
    pub(super) fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        if !self.space.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.check_length(length)?;
        self.faults.check(Operation::Allocate)?;
        platform::allocate(&self.file, from, length)
    }

    /// To be asked before the file grows, and held until it has.
    pub(super) fn enter(&self) -> io::Result<Entered<'_>> {
        self.space.enter()
    }

    pub(crate) fn truncate(&self, length: u64) -> Result<()> {
        let trimmed = self.faults.check(Operation::Truncate).and_then(|()| self.file.set_len(length));
        trimmed.map_err(|e| Error::io_failure("trim", &self.path, e))
    }

    /// Data and length on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.faults.check(Operation::Sync)?;
        platform::sync_file(&self.file)?;
        if let Some(observer) = self.faults.observer() {
            observer.file_synced(&self.file);
        }
        Ok(())
    }

    /// Appends to a file that only grows, such as a text kept for later inspection.
    pub(crate) fn append_all(&self, bytes: &[u8]) -> Result<()> {
        let fits = self.len().map(|length| self.check_length(length + bytes.len() as u64))?;
        let written = fits.and_then(|()| self.faults.check(Operation::Write));
        let written = written.and_then(|()| (&self.file).write_all(bytes));
        written.map_err(|e| Error::io("write", &self.path, e))
    }
}
