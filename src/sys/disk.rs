//! Files and directories. Links are not followed, only regular files and real directories are opened, new files
//! are made exclusively, and every failure names what was attempted and the path.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::anchor::Anchors;
use super::faults::{Faults, NameKeeper, Operation};
use super::kept::KeptMaps;
use super::lock::DirectoryLock;
use super::mapping::MapBudget;
use super::plain_file::PlainFile;
use super::platform;
use super::reserve::{Purpose, Space, Spending};
use crate::error::{Damage, Error, Result};
use crate::format::file_names::{self, DELETED};

/// How this log reaches the disk: which ways are open to it. Cloned into every room that touches files.
// One type: a method for each call to the system, so that each can be made to fail and counted.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that a system can do or not, by itself")]
pub(crate) struct Disk {
    pub(crate) map_writes: bool,
    pub(crate) map_reads: bool,
    /// Whether growing files take space in steps; without, they always end at their last written byte.
    pub(crate) allocates: bool,
    pub(crate) right: Right,
    /// Whether a directory can be renamed while files in it are open.
    pub(crate) moves_open_directories: bool,
    /// Whether a file that is removed while it is open keeps its name until it is closed.
    pub(crate) keeps_removed_names: bool,
    pub(crate) faults: Faults,
    pub(crate) budget: Arc<MapBudget>,
    pub(crate) kept: Arc<KeptMaps>,
    /// Directories that must be those that were opened, whenever something is made, renamed or removed.
    pub(crate) anchors: Anchors,
    /// Where files get their space.
    pub(crate) space: Space,
}

/// What may be done to the files of a log. Decided when it is opened, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// This process holds the lock of the directory.
    ReadWrite,
    /// Another process may hold it: every operation that would change something is refused.
    ReadOnly,
}

/// Which names are names of the same file, or of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameRules {
    /// Names that differ in case only are the same.
    pub(crate) fold_case: bool,
    /// Some names mean devices.
    pub(crate) devices: bool,
}

/// What a directory entry is, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EntryKind {
    File,
    Directory,
    /// Links, sockets, devices.
    Other,
}

/// What distinguishes a file from another one that has taken its name, whatever is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    number: u64,
    /// Numbers are given away again. `None` where the time says nothing of the file.
    made: Option<SystemTime>,
}

impl Identity {
    fn of(file: &File, metadata: &fs::Metadata) -> Self {
        let number = platform::file_number(file, metadata);
        let says_something = platform::KEEPS_CREATION_TIMES || number == 0;
        Self { number, made: says_something.then(|| metadata.created().ok()).flatten() }
    }
}

impl Disk {
    /// The ways that are safe on the file system of `directory`.
    pub(crate) fn of(directory: &Path, map_writes: bool, map_reads: bool) -> Self {
        let safe = platform::safe_ways_on(directory);
        Self {
            map_writes: map_writes && safe.map_writes,
            map_reads: map_reads && safe.map_reads,
            allocates: true,
            right: Right::ReadWrite,
            moves_open_directories: platform::MOVES_OPEN_DIRECTORIES,
            keeps_removed_names: platform::KEEPS_REMOVED_NAMES,
            faults: Faults::default(),
            budget: Arc::default(),
            kept: Arc::default(),
            anchors: Anchors::default(),
            space: Space::default(),
        }
    }

    /// The same disk for a log whose root and lock are what they are now: nothing is made, renamed or removed by path once
    /// one of these paths means another directory or file.
    pub(crate) fn anchored(self, root: &Path, lock: &DirectoryLock) -> Result<Self> {
        Ok(Self { anchors: Anchors::of_root(root, lock.path())?, ..self })
    }

    /// The same disk with a reserve in the root, for the calls by which a full disk can be left.
    pub(crate) fn with_reserve(self, root: &Path) -> Self {
        Self { space: Space::with_reserve(root, &self.anchors), ..self }
    }

    /// What the files that this thread makes or writes from here on are for, as long as what it returns lives.
    pub(crate) fn spend(&self, purpose: Purpose) -> Spending {
        self.space.spend(purpose)
    }

    /// The same disk for what is in the directory of a partition, once [`know_partition`](Self::know_partition) was called.
    pub(crate) fn within(&self, directory: &Path) -> Self {
        Self { anchors: self.anchors.with_partition(directory), ..self.clone() }
    }

    /// The partition's directory is there, and is its own.
    pub(crate) fn know_partition(&self) -> Result<()> {
        self.anchors.know_partition()
    }

    /// The ways to read a directory that another process may be writing.
    pub(crate) fn for_reading(directory: &Path, map_reads: bool) -> Self {
        Self { right: Right::ReadOnly, ..Self::of(directory, false, map_reads) }
    }

    /// Refuses if the directories are not where they were. For what is done by descriptors, which would not notice.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.anchors.check()
    }

    /// Whether another process has the right to change the directory, and this one has not.
    pub(crate) fn is_read_only(&self) -> bool {
        self.right == Right::ReadOnly
    }

    /// Refuses to change the directory where only another process may.
    pub(crate) fn refuse_read_only(&self) -> Result<()> {
        match self.right {
            Right::ReadWrite => Ok(()),
            Right::ReadOnly => Err(Error::ReadOnly),
        }
    }

    /// Asked before anything is made, renamed or removed.
    pub(super) fn check_writable(&self) -> Result<()> {
        self.refuse_read_only()?;
        self.anchors.check()
    }

    /// Whether anything may be mapped. Without, no signal comes of what happens to a file.
    pub(crate) fn maps(&self) -> bool {
        self.map_writes || self.map_reads
    }

    /// The same disk for files that must have their exact length at any time and are small.
    pub(crate) fn exact(&self) -> Self {
        Self { map_writes: false, map_reads: false, allocates: false, ..self.clone() }
    }

    /// What names mean beside `existing`, a file with letters in its name. Asked of the directory itself: on some
    /// systems each directory has its own rules.
    #[expect(clippy::unused_self, reason = "operations are asked of the disk")]
    pub(crate) fn name_rules(&self, existing: &Path) -> NameRules {
        let name = existing.file_name().unwrap_or_default();
        let upper = existing.with_file_name(name.to_ascii_uppercase());
        NameRules { fold_case: matches!(kind_of(&upper), Ok(Some(_))), devices: platform::HAS_DEVICE_NAMES }
    }

    pub(crate) fn open(&self, path: &Path, writable: bool) -> Result<PlainFile> {
        if writable {
            self.check_writable()?;
        }
        self.faults.check(Operation::Open).map_err(|e| Error::io("open", path, e))?;
        let most = if writable { platform::file_size_limit() } else { 0 };
        self.opened(path, OpenOptions::new().read(true).write(writable), most, false)
    }

    /// Makes a file that must not be there yet.
    pub(crate) fn create(&self, path: &Path) -> Result<PlainFile> {
        self.check_writable()?;
        let _entered = self.space.enter().map_err(|e| Error::io("create", path, e))?;
        self.faults.check(Operation::Create).map_err(|e| Error::io("create", path, e))?;
        let most = platform::file_size_limit();
        self.opened(path, OpenOptions::new().read(true).write(true).create_new(true), most, true)
    }

    fn opened(&self, path: &Path, options: &mut OpenOptions, most: u64, is_new: bool) -> Result<PlainFile> {
        platform::refuse_links(options);
        let allowed = self.faults.names().map_or(Ok(()), |names| names.before_open(path));
        let file = match allowed.and_then(|()| self.space.take(|| options.open(path))) {
            Ok(file) => file,
            // What the system says of a link, a socket or a directory differs; the caller wants to know what it is.
            Err(failure) => {
                return Err(match kind_of(path) {
                    Ok(Some(EntryKind::Directory)) => not_a_file(path, "a directory"),
                    Ok(Some(EntryKind::Other)) => not_a_file(path, "a link or a special file"),
                    _ => Error::io("open", path, failure),
                });
            }
        };
        let metadata = file.metadata().map_err(|e| {
            if is_new {
                // Or it would be in the way of the next attempt.
                let _ = self.remove_name(path);
            }
            Error::io("check", path, e)
        })?;
        if metadata.is_file() {
            let identity = Identity::of(&file, &metadata);
            let (faults, space) = (self.faults.clone(), self.space.clone());
            Ok(PlainFile { file, path: path.to_owned(), identity, faults, space, most })
        } else {
            Err(not_a_file(path, if metadata.is_dir() { "a directory" } else { "a special file" }))
        }
    }

    /// All of a file that may not exist and should be small.
    pub(crate) fn read_small(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match self.open(path, false) {
            Ok(file) => file,
            Err(failure) if failure.is_file_not_found() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut bytes = Vec::new();
        (&file.file).take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
        if bytes.len() as u64 > limit {
            let damage = Damage::new(path, limit, format!("the file should hold no more than {limit} bytes"));
            return Err(Error::Corrupt(Box::new(damage)));
        }
        Ok(Some(bytes))
    }

    /// Writes a whole file beside, syncs it and renames it over `path`: the old or the new content, never a mix.
    /// The directory entry itself is durable after [`sync_directory`](Self::sync_directory).
    pub(crate) fn replace(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.rename(&self.write_beside(path, content)?, path)
    }

    /// The first half of [`replace`](Self::replace). Returns the path of what is to be renamed to `path`.
    pub(crate) fn write_beside(&self, path: &Path, content: &[u8]) -> Result<PathBuf> {
        let beside = file_names::unfinished(path);
        self.remove_file(&beside)?;
        let file = self.create(&beside)?;
        file.write_at(content, 0).and_then(|()| file.sync()).map_err(|e| Error::io("write", &beside, e))?;
        Ok(beside)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.check_writable()?;
        let renamed = self.faults.check(Operation::Rename).and_then(|()| self.move_name(from, to));
        renamed.map_err(|e| Error::io("rename", from, e))?;
        if let Some(observer) = self.faults.observer() {
            observer.renamed(to);
        }
        Ok(())
    }

    /// A second name for a file, which must not be taken. There are systems and files that have no more than one.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.check(Operation::Link)?;
        self.space.take(|| fs::hard_link(from, to))
    }

    /// Gives an open file its name, which must not be taken.
    pub(crate) fn rename_new(&self, file: PlainFile, to: &Path) -> Result<PlainFile> {
        if kind_of(to)?.is_some() {
            return Err(Error::io("create", to, io::ErrorKind::AlreadyExists.into()));
        }
        self.rename(&file.path, to)?;
        Ok(PlainFile { path: to.to_owned(), ..file })
    }

    /// Removes a file; one that is not there is fine. Returns whether it was there.
    pub(crate) fn remove_file(&self, path: &Path) -> Result<bool> {
        self.check_writable()?;
        match self.faults.check(Operation::Remove).and_then(|()| self.removed(path)) {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(failure) => Err(Error::io("remove", path, failure)),
        }
    }

    /// Frees the name of a file at once, also where the system keeps it as long as the file is open: a file that is to be
    /// removed gets a name there that nothing else wants.
    fn removed(&self, path: &Path) -> io::Result<()> {
        if !self.keeps_removed_names || matches!(kind_of(path), Ok(None | Some(EntryKind::Directory))) {
            return self.remove_name(path);
        }
        let mut gone = path.as_os_str().to_owned();
        gone.push(name_of_removed());
        let gone = PathBuf::from(gone);
        self.move_name(path, &gone)?;
        // The name is free. What is left of the file now is removed by the next open.
        let _ = self.remove_name(&gone);
        Ok(())
    }

    fn remove_name(&self, path: &Path) -> io::Result<()> {
        let removed_for_now = self.faults.names().map_or(Ok(false), |names| names.before_remove(path))?;
        if removed_for_now { Ok(()) } else { self.space.take(|| platform::remove_file(path)) }
    }

    fn move_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.names().map_or(Ok(()), |names| names.before_rename(from, to))?;
        self.space.take(|| platform::rename(from, to))
    }

    pub(crate) fn remove_directory(&self, path: &Path) -> Result<()> {
        self.check_writable()?;
        if let Some(names) = self.faults.names() {
            remove_by_rules(path, names).map_err(|e| Error::io("remove", path, e))?;
        }
        match self.space.take(|| fs::remove_dir_all(path)) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path, failure))
            }
            _ => Ok(()),
        }
    }

    /// Removes a directory in which nothing is.
    pub(crate) fn remove_empty_directory(&self, path: &Path) -> Result<()> {
        self.check_writable()?;
        let removed = self.faults.check(Operation::Remove).and_then(|()| fs::remove_dir(path));
        removed.map_err(|e| Error::io("remove", path, e))
    }

    /// Makes a directory, whose parent must exist. One that is there is fine.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<()> {
        self.check_writable()?;
        let _entered = self.space.enter().map_err(|e| Error::io("create directory", path, e))?;
        let made = self.faults.check(Operation::Create);
        let made = made.and_then(|()| self.space.take(|| fs::create_dir(path)));
        match made {
            Err(failure) if failure.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::io("create directory", path, failure))
            }
            _ if kind_of(path)? == Some(EntryKind::Directory) => Ok(()),
            _ => Err(not_a_directory(path)),
        }
    }

    /// Names and kinds of what is in a directory, sorted. Names that are not UTF-8 are not ours and left out.
    pub(crate) fn list(&self, directory: &Path) -> Result<Vec<(String, EntryKind)>> {
        let failed = |e| Error::io("list", directory, e);
        self.faults.check(Operation::Open).map_err(failed)?;
        if let Some(names) = self.faults.names() {
            names.before_list(directory);
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, entry_kind(kind)));
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }
}

/// The ending that a file gets when it is removed while it may still be open. No two files get the same, whatever process
/// removes them. Kafka removes files with this ending too.
fn name_of_removed() -> String {
    static REMOVED: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), REMOVED.fetch_add(1, Ordering::Relaxed));
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_micros());
    format!(".{time}-{process}-{number}{DELETED}")
}

/// Whether this is the name of a file that was removed while it was open.
pub(crate) fn is_removed(name: &str) -> bool {
    let parts = name.strip_suffix(DELETED).and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(_, mark)| {
        mark.split('-').count() == 3 && mark.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    })
}

/// What is at `path`, links not followed; `None` if nothing is. What cannot be checked may be there: that is an error.
pub(crate) fn kind_of(path: &Path) -> Result<Option<EntryKind>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(entry_kind(metadata.file_type()))),
        // No file can have a name that the file system does not take.
        Err(failure) => match failure.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                Ok(None)
            }
            _ => Err(Error::io("check", path, failure)),
        },
    }
}

/// The length of the file at `path`, which need not be one that can be opened.
pub(crate) fn length_of(path: &Path) -> Result<u64> {
    Ok(fs::symlink_metadata(path).map_err(|e| Error::io("check", path, e))?.len())
}

/// What changes whenever a small file is replaced by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    number: u64,
}

/// The stamp of a file; `None` if there is none.
pub(crate) fn stamp_of(path: &Path) -> Option<Stamp> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let (length, modified) = (metadata.len(), metadata.modified().ok());
    Some(Stamp { length, modified, number: platform::file_number_at(path, &metadata) })
}

/// The longest part of a path that exists, without links in it, and whether that is all of the path.
pub(crate) fn existing_part(path: &Path) -> Option<(PathBuf, bool)> {
    let here = Path::new(".");
    let of = |part: &Path| fs::canonicalize(if part.as_os_str().is_empty() { here } else { part });
    path.ancestors().find_map(|part| Some((of(part).ok()?, part == path)))
}

/// Whether another file system begins at a directory.
pub(crate) fn is_mount_point(path: &Path) -> Result<bool> {
    let device = |path: &Path| {
        let metadata = fs::symlink_metadata(path).map_err(|e| Error::io("check", path, e))?;
        Ok(platform::device_and_number_at(path, &metadata).map(|(device, _)| device))
    };
    let Some(parent) = path.parent() else { return Ok(true) };
    Ok(device(path)? != device(parent)?)
}

/// The names of all that is in a directory, sorted, also those that are not UTF-8.
pub(crate) fn names_in(directory: &Path) -> Result<Vec<OsString>> {
    let failed = |e| Error::io("list", directory, e);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
    let mut names = names.map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}

/// Removes a directory and all in it, or fails where a name has to stay.
fn remove_by_rules(directory: &Path, names: &dyn NameKeeper) -> io::Result<()> {
    names.before_list(directory);
    let entries = match fs::read_dir(directory) {
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut stays = false;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_by_rules(&entry.path(), names)?;
        } else {
            stays |= names.before_remove(&entry.path())?;
        }
    }
    if stays { Err(io::ErrorKind::DirectoryNotEmpty.into()) } else { Ok(()) }
}

fn entry_kind(kind: fs::FileType) -> EntryKind {
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}

fn not_a_file(path: &Path, what: &str) -> Error {
    let reason = format!("{what} is where a regular file should be; it is left alone");
    Error::Unsupported(Box::new(Damage::new(path, 0, reason)))
}

pub(super) fn not_a_directory(path: &Path) -> Error {
    Error::invalid("directory", format!("{} is not a directory; a log is kept in one", path.display()))
}
