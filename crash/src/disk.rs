//! What has reached the disk, and what a power cut may leave of the rest.
//!
//! The disk is what the law of POSIX allows and no more: a sync of a file makes the content durable that the file had when
//! the sync *began*; a sync of a directory does the same for its names. Until then a file is any mixture by sectors of the
//! contents that it has had since, and a directory is as after any number of the changes since, or after any choice of them.
//! A rename is one change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::interpose::unseen;
use crate::left::{Change, Content, Directory, Id, Kept, Left, Names};
use crate::random::Random;
use crate::tree::{Tree, content};

/// Contents of one file that are kept between two of its syncs.
const MAX_VERSIONS: usize = 6;

/// How many of the points are taken, and how many states at each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Density {
    /// So many points of a thousand, some states of each.
    PerMille(u64),
    /// All points, and of each directory every prefix.
    All,
}

/// What a disk may say and not do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lie {
    FileSyncs,
    DirectorySyncs,
}

type OnState = Box<dyn FnMut(&'static str, Left, Tree) + Send>;

pub struct Disk {
    root: PathBuf,
    density: Density,
    /// To try the instrument itself.
    pub lie: Option<Lie>,
    random: Random,
    on_state: OnState,
    ids: HashMap<u64, Id>,
    next_id: Id,
    directories: BTreeMap<Id, Directory>,
    contents: BTreeMap<Id, Content>,
    pub points: u64,
    /// Changes of names that no call here has made: something passes the interposed names by.
    pub unexplained: Vec<String>,
}

static RECORDING: AtomicBool = AtomicBool::new(false);
static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with(act: impl FnOnce(&mut Disk)) {
    if let Some(disk) = disk().as_mut() {
        act(disk);
    }
}

pub fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

/// Records from here on, in place of what was recorded before, which is given back.
pub fn record(next: Option<Disk>) -> Option<Disk> {
    unseen(|| {
        let mut disk = disk();
        RECORDING.store(next.is_some(), Ordering::SeqCst);
        std::mem::replace(&mut *disk, next)
    })
}

/// Whatever `act` does with the recording, it is the same again afterwards.
pub fn pause<T>(act: impl FnOnce() -> T) -> T {
    let recording = record(None);
    let outcome = act();
    record(recording);
    outcome
}

/// Whether the descriptor is one that the recording itself has open.
pub fn holds(descriptor: RawFd) -> bool {
    let mut is_held = false;
    with(|disk| is_held = disk.contents.values().any(|held| held.file.as_raw_fd() == descriptor));
    is_held
}

pub fn names_changed(what: &'static str, paths: Vec<PathBuf>) {
    with(|disk| {
        if paths.iter().any(|path| path.starts_with(&disk.root)) {
            disk.look(Some(&paths));
            disk.take_point(what);
        }
    });
}

pub fn before_write(descriptor: RawFd) {
    with(|disk| {
        if let Some(id) = disk.id_of(descriptor) {
            disk.keep_version(id);
        }
    });
}

pub fn point(what: &'static str) {
    with(|disk| disk.take_point(what));
}

/// A state as it is now, however many are taken.
pub fn take_last_point() {
    unseen(|| {
        with(|disk| {
            let before = disk.density;
            if matches!(before, Density::PerMille(_)) {
                disk.density = Density::PerMille(1000);
            }
            disk.take_point("end");
            disk.density = before;
        });
    });
}

/// Whether what happens to this path is recorded.
pub fn covers(path: &Path) -> bool {
    let mut covers = false;
    unseen(|| with(|disk| covers = path.starts_with(&disk.root)));
    covers
}

/// From here on so many points are taken.
pub fn set_density(density: Density) -> Density {
    let mut before = density;
    unseen(|| with(|disk| before = std::mem::replace(&mut disk.density, density)));
    before
}

/// No power is cut while `act` runs.
pub fn without_points<T>(act: impl FnOnce() -> T) -> T {
    let before = set_density(Density::PerMille(0));
    let outcome = act();
    set_density(before);
    outcome
}

/// What a power cut leaves at least, now.
pub fn least() -> Option<Tree> {
    let mut tree = None;
    unseen(|| with(|disk| tree = Some(disk.after_cut(Left::Least, None))));
    tree
}

pub fn sync_begins(descriptor: RawFd) {
    with(|disk| {
        let Some(id) = disk.id_of(descriptor) else { return };
        disk.look(None);
        disk.take_point("before a sync");
        if let Some(held) = disk.contents.get_mut(&id) {
            held.begun = Some(content(&held.file));
        }
    });
}

pub fn sync_ends(descriptor: RawFd, synced: bool) {
    with(|disk| {
        let Some(id) = disk.id_of(descriptor) else { return };
        let lie = if disk.directories.contains_key(&id) { Lie::DirectorySyncs } else { Lie::FileSyncs };
        if synced && disk.lie != Some(lie) {
            if let Some(held) = disk.contents.get_mut(&id) {
                held.settled = held.begun.take().unwrap_or_default();
                held.versions.clear();
            } else if let Some(directory) = disk.directories.get_mut(&id) {
                directory.settled = directory.now.clone();
                directory.changes.clear();
                disk.forget_unnamed();
            }
        }
        disk.take_point("after a sync");
    });
}

fn metadata(descriptor: RawFd) -> Option<fs::Metadata> {
    // SAFETY: the descriptor is the caller's, who has it open during the call; it is not closed here.
    let file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    file.metadata().ok()
}

pub fn is_directory(descriptor: RawFd) -> bool {
    unseen(|| metadata(descriptor).is_some_and(|metadata| metadata.is_dir()))
}

impl Disk {
    /// All that is at `root` now is on the disk.
    pub fn of(root: &Path, seed: u64, density: Density, on_state: OnState) -> Self {
        unseen(|| {
            let mut disk = Self {
                root: root.into(),
                density,
                lie: None,
                random: Random::new(seed),
                on_state,
                ids: HashMap::new(),
                next_id: 0,
                directories: BTreeMap::new(),
                contents: BTreeMap::new(),
                points: 0,
                unexplained: Vec::new(),
            };
            disk.look(None);
            disk.unexplained.clear();
            for directory in disk.directories.values_mut() {
                directory.settled = directory.now.clone();
                directory.changes.clear();
            }
            for held in disk.contents.values_mut() {
                held.settled = content(&held.file);
            }
            disk
        })
    }

    fn id_of(&self, descriptor: RawFd) -> Option<Id> {
        self.ids.get(&metadata(descriptor)?.ino()).copied()
    }

    /// Finds what has changed in names. With `paths`, these alone may have.
    fn look(&mut self, paths: Option<&[PathBuf]>) {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(metadata) = fs::metadata(&folder) else { continue };
            let id = self.number(metadata.ino());
            let now = self.names_in(&folder);
            let below = now.iter().filter(|(_, (_, is_directory))| *is_directory);
            folders.extend(below.map(|(name, _)| folder.join(name)));
            let fresh = || Directory { settled: Names::new(), changes: Vec::new(), now: Names::new() };
            let directory = self.directories.entry(id).or_insert_with(fresh);
            let names: BTreeSet<String> = directory.now.keys().chain(now.keys()).cloned().collect();
            let differ = names.into_iter().filter(|name| directory.now.get(name) != now.get(name));
            let change: Change = differ.map(|name| (name.clone(), now.get(&name).copied())).collect();
            for name in change.keys().map(|name| folder.join(name)) {
                if paths.is_none_or(|paths| !paths.contains(&name)) {
                    self.unexplained.push(format!("{} was changed by another way", name.display()));
                }
            }
            if !change.is_empty() {
                directory.changes.push(change);
                directory.now = now;
            }
        }
    }

    fn number(&mut self, inode: u64) -> Id {
        let id = *self.ids.entry(inode).or_insert(self.next_id);
        self.next_id = self.next_id.max(id + 1);
        id
    }

    fn names_in(&mut self, folder: &Path) -> Names {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut names = Names::new();
        for entry in entries {
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            let id = self.number(metadata.ino());
            if !metadata.is_dir() && !self.contents.contains_key(&id) {
                // Held open, the file keeps its number for as long as it may come back.
                let Ok(file) = File::open(entry.path()) else { continue };
                self.contents.insert(id, Content { file, settled: vec![], versions: vec![], begun: None });
            }
            names.insert(entry.file_name().to_string_lossy().into_owned(), (id, metadata.is_dir()));
        }
        names
    }

    fn keep_version(&mut self, id: Id) {
        let Some(held) = self.contents.get_mut(&id) else { return };
        let now = content(&held.file);
        if held.versions.last().unwrap_or(&held.settled) != &now {
            if held.versions.len() == MAX_VERSIONS {
                held.versions.remove(self.random.index(MAX_VERSIONS));
            }
            held.versions.push(now);
        }
    }

    /// What no directory names any more, and no power cut can bring back.
    fn forget_unnamed(&mut self) {
        // The root.
        let mut named = BTreeSet::from([0]);
        for directory in self.directories.values() {
            named.extend(directory.settled.values().chain(directory.now.values()).map(|(id, _)| *id));
            let changed = directory.changes.iter().flat_map(BTreeMap::values).flatten();
            named.extend(changed.map(|(id, _)| *id));
        }
        self.contents.retain(|id, _| named.contains(id));
        self.directories.retain(|id, _| named.contains(id));
        // Their numbers are free for other files.
        self.ids.retain(|_, id| named.contains(id));
    }

    fn take_point(&mut self, what: &'static str) {
        self.points += 1;
        let choices: Vec<(Left, Option<(Id, usize)>)> = match self.density {
            Density::PerMille(rate) if self.random.below(1000) >= rate => return,
            Density::PerMille(_) => [Left::Least, Left::Most, Left::Prefix, Left::Prefix, Left::Choice]
                .map(|left| (left, None))
                .into(),
            Density::All => self.every_prefix(),
        };
        // Stores through maps are no calls: what they have done is checked here.
        for id in self.contents.keys().copied().collect::<Vec<_>>() {
            self.keep_version(id);
        }
        for (left, prefix) in choices {
            let tree = self.after_cut(left, prefix);
            (self.on_state)(what, left, tree);
        }
    }

    fn every_prefix(&self) -> Vec<(Left, Option<(Id, usize)>)> {
        let mut all = vec![
            (Left::Least, None),
            (Left::Most, None),
            (Left::Prefix, None),
            (Left::Prefix, None),
            (Left::Choice, None),
            (Left::Choice, None),
        ];
        for (id, directory) in &self.directories {
            for length in 1..directory.changes.len() {
                all.extend([Left::Least, Left::Most].map(|left| (left, Some((*id, length)))));
            }
        }
        all
    }

    /// The tree after a cut now. `prefix`: that directory as after its first so many changes, whatever the others are.
    fn after_cut(&mut self, left: Left, prefix: Option<(Id, usize)>) -> Tree {
        let mut tree = Tree::default();
        let mut folders = vec![(String::new(), 0)];
        let mut made: HashMap<Id, Vec<u8>> = HashMap::new();
        while let Some((folder, id)) = folders.pop() {
            let Some(directory) = self.directories.get(&id) else { continue };
            let count = directory.changes.len();
            let kept = match (left, prefix) {
                (_, Some((own, length))) if own == id => Kept::First(length),
                (Left::Least, _) => Kept::First(0),
                (Left::Most, _) => Kept::First(count),
                (Left::Prefix, _) => Kept::First(self.random.index(count + 1)),
                (Left::Choice, _) => Kept::Chosen((0..count).map(|_| self.random.one_in(2)).collect()),
            };
            for (name, (id, is_directory)) in directory.after(&kept) {
                let name = format!("{folder}{name}");
                if is_directory {
                    folders.push((format!("{name}/"), id));
                    tree.directories.insert(name);
                    continue;
                }
                let bytes = match made.get(&id) {
                    Some(bytes) => bytes.clone(),
                    None => self
                        .contents
                        .get(&id)
                        .map(|held| held.after_cut(left, &mut self.random))
                        .unwrap_or_default(),
                };
                made.insert(id, bytes.clone());
                tree.files.insert(name, bytes);
            }
        }
        tree
    }
}
