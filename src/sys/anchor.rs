//! Whether a name still means the directory that was opened: before something is made, renamed or removed by path.
//!
//! A path is a name. A directory that is moved away, or deleted, leaves its name to whatever is made there next, which
//! may be another log. The log's own files stay its own, for they are held by descriptors; but what is done by path would
//! be done to the other one. So each such operation asks first, with one system call per anchor. Appends make nothing and
//! ask nothing.
//!
//! The check and the operation are two steps. They catch a directory that was moved at any time before, not one that is
//! moved in between.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::platform;
use crate::error::{Error, Result};

/// What distinguishes a directory or file from another one of the same name. The time is there because numbers are given away
/// again; not every file system knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    device: u64,
    file: u64,
    made: Option<SystemTime>,
}

/// Names that must mean what they meant: the root of a log, its lock, the directory of a partition. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchors {
    root: Option<Arc<Root>>,
    partition: Option<Arc<Anchor>>,
}

#[derive(Debug)]
struct Root {
    directory: Anchor,
    /// No other process locks the root while this is the lock's file. A lock file that is missing locks no process out, and
    /// the next one makes another.
    lock: Anchor,
    /// Held, so that the system gives its number to no other directory. None where directories cannot be opened.
    _held: Option<File>,
}

#[derive(Debug)]
struct Anchor {
    path: PathBuf,
    /// Set once, when what is there was made or found. Empty: nothing is compared.
    known: OnceLock<Number>,
}

impl Anchors {
    /// The root of a log that is open for writing, and the file of its lock.
    pub(super) fn of_root(root: &Path, lock: &Path) -> Result<Self> {
        let (directory, lock) = (Anchor::at(root), Anchor::at(lock));
        directory.drop_here()?;
        lock.drop_here()?;
        Ok(Self {
            root: Some(Arc::new(Root { directory, lock, _held: File::open(root).ok() })),
            partition: None,
        })
    }

    /// The same, and a partition's directory once it is known.
    pub(super) fn with_partition(&self, directory: &Path) -> Self {
        Self { root: self.root.clone(), partition: Some(Arc::new(Anchor::at(directory))) }
    }

    /// From here on the partition's directory is the one that is there now.
    pub(super) fn know_partition(&self) -> Result<()> {
        self.partition.as_ref().map_or(Ok(()), |partition| partition.drop_here())
    }

    /// Refuses if one of the names means something else by now, or nothing.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(root) = &self.root {
            root.directory.check(Missing::IsElsewhere)?;
            root.lock.check(Missing::IsFine)?;
        }
        self.partition.as_ref().map_or(Ok(()), |partition| partition.check(Missing::IsElsewhere))
    }
}

/// What it means that there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsElsewhere,
    IsFine,
}

impl Anchor {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), known: OnceLock::new() }
    }

    fn drop_here(&self) -> Result<()> {
        let look = || number_at(&self.path).map_err(|e| Error::io("check", &self.path, e));
        // Some file systems, of other machines mostly, give another number each time.
        if let Some(number) = look()?
            && look()? == Some(number)
        {
            self.known.get_or_init(|| number);
        }
        Ok(())
    }

    fn check(&self, missing: Missing) -> Result<()> {
        let Some(known) = self.known.get() else { return Ok(()) };
        let is_it = match number_at(&self.path) {
            Ok(number) => number == Some(*known),
            Err(failure) if is_missing(&failure) => missing == Missing::IsFine,
            Err(failure) => return Err(Error::io("check", &self.path, failure)),
        };
        if is_it { Ok(()) } else { Err(Error::Replaced { path: self.path.as_path().into() }) }
    }
}

fn is_missing(failure: &io::Error) -> bool {
    matches!(failure.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `None`: the file system has no numbers.
fn number_at(path: &Path) -> io::Result<Option<Number>> {
    let metadata = fs::symlink_metadata(path)?;
    let place = platform::device_and_number_at(path, &metadata);
    let made = platform::KEEPS_CREATION_TIMES.then(|| metadata.created().ok()).flatten();
    Ok(place.map(|(device, file)| Number { device, file, made }))
}
