//! The directory that a snapshot is to be: where it may be, where it is made, and how it gets its name.
//!
//! It is made in a directory beside it, whose name says what it is, and is renamed when all of it is on disk. So after any stop
//! the target is absent or complete. What a stop has left is removed by the next snapshot to the same target: a directory of
//! that name is ours if nothing is in it but what is made there, the words that say so first. It is locked meanwhile, so no
//! snapshot takes one that is being made for a leftover.

use std::path::{Path, PathBuf};

use crate::catalog;
use crate::error::{Error, Result};
use crate::format::file_names::{
    LOCK, SNAPSHOT, SNAPSHOT_UNFINISHED, SNAPSHOT_WORDS, UNFINISHED, with_ending,
};
use crate::sys::disk::{self, kind_of, names_in};
use crate::sys::{DirectoryLock, Disk, EntryKind};

/// What is said in the directory in which a snapshot is made.
const WORDS: &str = "A snapshot that stratalog is making, or could not finish. If no process has it open, it can be removed; \
                     the next snapshot to the same directory removes it.\n";

/// A place for a snapshot, which is locked.
#[derive(Debug)]
pub(super) struct Target {
    /// Links in the path of its parent are followed.
    path: PathBuf,
    parent: PathBuf,
    unfinished: PathBuf,
    disk: Disk,
    lock: Option<DirectoryLock>,
}

impl Target {
    /// Takes the place, which must be free and outside of the log at `root`. Makes the empty directory for the snapshot.
    pub(super) fn take(target: &Path, root: &Path, like: &Disk) -> Result<Self> {
        let (parent, path) = resolved(target)?;
        refuse_wrong(&path, &parent, root)?;
        let name = Path::new(path.file_name().unwrap_or_default());
        let unfinished = parent.join(with_ending(name, SNAPSHOT_UNFINISHED));
        let disk = Disk { faults: like.faults.clone(), ..Disk::of(&parent, false, false) };
        let mut taken = Self { path, parent, unfinished, disk, lock: None };
        taken.begin().inspect_err(|_| taken.give_up())?;
        Ok(taken)
    }

    fn begin(&mut self) -> Result<()> {
        let Self { unfinished, disk, .. } = self;
        self.lock = lock_leftover(unfinished)?;
        if self.lock.is_some() {
            clear(unfinished, disk)?;
        } else {
            disk.create_directory(unfinished)?;
            self.lock = Some(DirectoryLock::take(unfinished)?);
        }
        disk.replace(&unfinished.join(SNAPSHOT_WORDS), WORDS.as_bytes())?;
        // Before there is anything else in it, for the words say whose it is.
        disk.sync_directory(unfinished)?;
        disk.create_directory(&unfinished.join(SNAPSHOT))
    }

    /// Where the snapshot is made.
    pub(super) fn directory(&self) -> PathBuf {
        self.unfinished.join(SNAPSHOT)
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Gives the snapshot, all of which is on disk, its name. It has it for good when this returns.
    pub(super) fn finish(mut self) -> Result<PathBuf> {
        self.named().inspect_err(|_| self.give_up())?;
        self.clear_up();
        Ok(self.path)
    }

    fn named(&self) -> Result<()> {
        // Empty, as it was when it was checked, or this fails.
        if kind_of(&self.path)?.is_some() {
            self.disk.remove_empty_directory(&self.path)?;
        }
        let made = self.directory();
        self.disk.rename(&made, &self.path)?;
        self.disk.sync_directory(&self.parent).inspect_err(|_| {
            // It is whole, but perhaps not for good: what fails leaves nothing.
            let _ = self.disk.rename(&self.path, &made);
        })
    }

    /// Removes what was made. What cannot be removed is removed by the next attempt.
    pub(super) fn give_up(&mut self) {
        if self.lock.is_some() {
            let _ = self.disk.remove_directory(&self.directory());
        }
        self.clear_up();
    }

    fn clear_up(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let _ = self.disk.remove_file(&self.unfinished.join(SNAPSHOT_WORDS));
        // Some systems remove a name only once the file is closed. A process that takes the lock in between finds a directory of ours,
        // in which this one removes nothing that is not empty.
        drop(lock);
        let _ = self.disk.remove_file(&self.unfinished.join(LOCK));
        let _ = self.disk.remove_empty_directory(&self.unfinished);
    }
}

/// The parent of a directory and the directory, without links on the way to it.
fn resolved(target: &Path) -> Result<(PathBuf, PathBuf)> {
    let shown = target.display();
    let Some(name) = target.file_name() else {
        return Err(refused(format!(
            "{shown} names no directory that can be made; give the path of a new one"
        )));
    };
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match disk::existing_part(parent) {
        Some((parent, true)) if kind_of(&parent)? == Some(EntryKind::Directory) => {
            let path = parent.join(name);
            Ok((parent, path))
        }
        _ => {
            let parent = parent.display();
            Err(refused(format!("{shown} cannot be made, since {parent} is no directory; make that first")))
        }
    }
}

fn refused(reason: String) -> Error {
    Error::invalid("snapshot", reason)
}

/// Refuses a place where something is, or that is part of a log.
fn refuse_wrong(path: &Path, parent: &Path, root: &Path) -> Result<()> {
    let shown = path.display();
    if path == root {
        return Err(refused(format!("{shown} is the log itself; give a directory outside of it")));
    }
    if path.starts_with(root) {
        let root = root.display();
        return Err(refused(format!("{shown} lies in the log {root}; give a directory outside of it")));
    }
    if root.starts_with(path) {
        let root = root.display();
        return Err(refused(format!("{shown} is where the log {root} lies; give a new or empty directory")));
    }
    if let Some(log) = catalog::log_around(parent)? {
        let log = log.display();
        return Err(refused(format!("{shown} lies in another log, {log}; give a directory outside of it")));
    }
    match kind_of(path)? {
        None => return Ok(()),
        Some(EntryKind::Directory) => {}
        Some(_) => return Err(refused(format!("{shown} is not a directory; give a new or empty one"))),
    }
    if disk::is_mount_point(path)? {
        let reason = format!("{shown} is where another file system is mounted; give a new directory in it");
        return Err(refused(reason));
    }
    match names_in(path)?.first() {
        None => Ok(()),
        Some(name) => {
            let name = Path::new(name).display();
            Err(refused(format!("{shown} is not empty: it holds {name}; give a new or empty directory")))
        }
    }
}

/// Locks what an earlier snapshot to the same place has left; `None` if nothing is there.
fn lock_leftover(unfinished: &Path) -> Result<Option<DirectoryLock>> {
    match kind_of(unfinished)? {
        None => return Ok(None),
        Some(EntryKind::Directory) => {}
        Some(_) => return Err(in_the_way(unfinished, "it is no directory")),
    }
    let names = names_in(unfinished)?;
    let is_made_here = |name: &std::ffi::OsString| {
        let begun = with_ending(Path::new(SNAPSHOT_WORDS), UNFINISHED);
        [SNAPSHOT_WORDS, SNAPSHOT, LOCK].iter().any(|known| name == known) || *name == begun
    };
    if let Some(other) = names.iter().find(|name| !is_made_here(name)) {
        let other = Path::new(other).display();
        return Err(in_the_way(unfinished, &format!("it holds {other}, which no snapshot makes there")));
    }
    let disk = Disk::for_reading(unfinished, false);
    let has_snapshot = names.iter().any(|name| name == SNAPSHOT);
    let words = disk.read_small(&unfinished.join(SNAPSHOT_WORDS), 4096)?;
    if has_snapshot && words.as_deref() != Some(WORDS.as_bytes()) {
        let reason = format!("its {SNAPSHOT_WORDS} does not say that stratalog has made it");
        return Err(in_the_way(unfinished, &reason));
    }
    DirectoryLock::take(unfinished).map(Some)
}

fn in_the_way(path: &Path, reason: &str) -> Error {
    let shown = path.display();
    refused(format!("{shown} is in the way and not what a snapshot has left: {reason}; move it elsewhere"))
}

/// Removes what is in a directory of ours, but for the lock, which is held.
fn clear(unfinished: &Path, disk: &Disk) -> Result<()> {
    disk.remove_directory(&unfinished.join(SNAPSHOT))?;
    disk.remove_file(&unfinished.join(SNAPSHOT_WORDS)).map(drop)
}
