//! Copies of files, by the cheapest way that there is: blocks that both files share until one is written to, a second
//! name for the same file, or the bytes.
//!
//! A second name is only for a file that is not written to any more. Code that is to write to a file that has two names takes
//! a copy for itself first ([`take_for_itself`](Disk::take_for_itself)), so the other name stays what it was.

use std::io;
use std::path::Path;

use super::disk::Disk;
use super::faults::Operation;
use super::plain_file::PlainFile;
use super::platform;
use crate::error::{Damage, Error, Result};
use crate::format::file_names;

/// Bytes that are copied at a time.
const STEP: usize = 1 << 20;
/// Bytes after which what was copied is synced: the sync at the end must not hold up others for long.
const SYNC_STEP: u64 = 64 << 20;

/// How a file was copied without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Both have the same blocks until one of them is written to.
    Shared,
    /// It is the same file.
    Linked,
}

/// What came of a file that was to be taken.
#[derive(Debug)]
pub(crate) enum Taken {
    Done(Copied),
    /// Its bytes have to be copied.
    Opened(PlainFile),
}

/// Copies files into one place. What the file system refused once is not tried again.
pub(crate) struct Copier<'c> {
    disk: Disk,
    shares: bool,
    links: bool,
    /// Asked before each step: an error ends the copying.
    may_continue: &'c dyn Fn() -> Result<()>,
    buffer: Vec<u8>,
}

impl<'c> Copier<'c> {
    /// `disk` is that of the place.
    pub(crate) fn new(disk: Disk, may_continue: &'c dyn Fn() -> Result<()>) -> Self {
        Self { disk, shares: true, links: true, may_continue, buffer: Vec::new() }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Copies a file of `length` bytes, which is not written to any more and is on disk, without going through
    /// its bytes. Where that is not possible it is opened instead. `name` must stay what it is until this returns. The copy is on the
    /// disk once its directory is synced.
    pub(crate) fn take(&mut self, name: &Path, length: u64, to: &Path) -> Result<Taken> {
        (self.may_continue)()?;
        let from = self.disk.open(name, false)?;
        if from.len()? != length {
            return Ok(Taken::Opened(from));
        }
        if self.shares {
            self.shares = self.share(&from, to)?;
            if self.shares {
                return Ok(Taken::Done(Copied::Shared));
            }
        }
        if self.links {
            match self.disk.link(name, to) {
                Ok(()) => return Ok(Taken::Done(Copied::Linked)),
                Err(failure) if is_no_way(&failure) => self.links = false,
                // This file has as many names as the file system allows.
                Err(failure) if failure.kind() == io::ErrorKind::TooManyLinks => {}
                Err(failure) => return Err(Error::io("link", from.path(), failure)),
            }
        }
        Ok(Taken::Opened(from))
    }

    /// `false`: that is no way here.
    fn share(&self, from: &PlainFile, to: &Path) -> Result<bool> {
        let file = self.disk.create(to)?;
        let shared =
            from.check(Operation::Share).and_then(|()| platform::share_blocks(&from.file, &file.file));
        let shared = match shared {
            Err(failure) if is_no_way(&failure) => Ok(false),
            shared => shared
                .map_err(|e| Error::io("copy", from.path(), e))
                .and_then(|()| file.set_changed_as(from))
                .and_then(|()| file.sync().map_err(|e| Error::io("write", to, e)))
                .map(|()| true),
        };
        if !matches!(shared, Ok(true)) {
            drop(file);
            self.disk.remove_file(to)?;
        }
        shared
    }

    /// Copies the first `length` bytes of a file, which may be written to after them. They are on disk when this
    /// returns.
    pub(crate) fn copy(&mut self, from: &PlainFile, length: u64, to: &Path) -> Result<()> {
        let copy = self.disk.create(to)?;
        copy_front(from, length, &copy, &mut self.buffer, self.may_continue)
    }

    /// A new file with these bytes, on disk.
    pub(crate) fn write(&self, to: &Path, bytes: &[u8]) -> Result<()> {
        let file = self.disk.create(to)?;
        file.write_at(bytes, 0).and_then(|()| file.sync()).map_err(|e| Error::io("write", to, e))
    }
}

/// Whether the system says that the file system, or the two of them, cannot; not that something has failed.
fn is_no_way(failure: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, InvalidInput, PermissionDenied, Unsupported};
    /// What an `ioctl` that a file system does not know is answered with.
    const NOT_A_TERMINAL: i32 = 25;
    matches!(failure.kind(), CrossesDevices | InvalidInput | PermissionDenied | Unsupported)
        || (cfg!(unix) && failure.raw_os_error() == Some(NOT_A_TERMINAL))
}

/// Copies the first `length` bytes of a file and syncs them.
fn copy_front(
    from: &PlainFile,
    length: u64,
    to: &PlainFile,
    buffer: &mut Vec<u8>,
    may_continue: &dyn Fn() -> Result<()>,
) -> Result<()> {
    buffer.resize(STEP, 0);
    let (mut position, mut synced) = (0, 0);
    let failed = |failure| Error::io("write", to.path(), failure);
    while position < length {
        may_continue()?;
        let left = usize::try_from(length - position).unwrap_or(STEP).min(STEP);
        let part = buffer.get_mut(..left).unwrap_or_default();
        let read = from.read_at(part, position)?;
        if read < left {
            let reason = format!("the file ends before byte {length}, but the log reaches that far");
            return Err(Error::Corrupt(Box::new(Damage::new(from.path(), position + read as u64, reason))));
        }
        to.write_at(part, position).map_err(failed)?;
        position += read as u64;
        if position - synced >= SYNC_STEP {
            to.sync().map_err(failed)?;
            synced = position;
        }
    }
    to.set_changed_as(from)?;
    to.sync().map_err(failed)
}

impl Disk {
    /// Puts a copy of the first `length` bytes of a file in its place, and returns the copy, open for writing. The name is
    /// that of the copy for good when this returns.
    pub(super) fn take_for_itself(&self, file: PlainFile, length: u64) -> Result<PlainFile> {
        let path = file.path.clone();
        let beside = file_names::unfinished(&path);
        self.remove_file(&beside)?;
        let copy = self.create(&beside)?;
        copy_front(&file, length, &copy, &mut Vec::new(), &|| Ok(()))?;
        // Not every system replaces a file that is open.
        drop((file, copy));
        self.rename(&beside, &path)?;
        if let Some(directory) = path.parent() {
            self.sync_directory(directory)?;
        }
        self.open(&path, true)
    }
}
