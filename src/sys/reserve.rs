//! Space that a log keeps for the calls by which a full disk can be left: one plain file in its root.
//!
//! What a thread takes space for decides what it may take:
//!
//! | [`Purpose`] | takes |
//! |---|---|
//! | `Records`, unless it said otherwise | free space, and none while the reserve is not full |
//! | `Positions` | free space, then the upper half of the reserve |
//! | `Freeing` | free space, then all of the reserve |
//!
//! So as long as the reserve is not full, no other write takes space, and what is cut from its file is there for the call
//! that had it cut. It is filled again when that thread is done, with each round of the background, and before records get
//! space. A log that has never had one, because its disk was full all the time, first fills it. Where the file cannot be
//! had for other reasons there is none, and all take what there is.
//!
//! The file is not held open: a program that removes it gets its space, and the next to fill it makes another.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::anchor::Anchors;
use super::disk::kind_of;
use super::platform;
use crate::format::file_names::RESERVE;

/// Bytes of the file. A broker passes over files that it does not know.
const SIZE: u64 = 512 << 10;
/// What positions leave.
const FOR_FREEING: u64 = SIZE / 2;
/// What is cut off at a time.
const STEP: u64 = 32 << 10;
/// What is filled at least at a time: a page.
const MIN_BYTES: u64 = 4096;

/// What a thread takes space for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Records,
    /// Where groups have come to, and the open and the close of a log.
    Positions,
    /// Something that frees space in the end.
    Freeing,
}

thread_local! {
    static PURPOSE: Cell<Purpose> = const { Cell::new(Purpose::Records) };
    /// Whether this thread has cut something off a reserve since it got its purpose.
    static HAS_TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// Where the files of a log get their space. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Space(Option<Arc<Reserve>>);

/// A thread has a purpose as long as this lives.
#[derive(Debug)]
pub(crate) struct Spending {
    space: Space,
    before: (Purpose, bool),
    /// The purpose is this thread's.
    _thread: PhantomData<*const ()>,
}

/// Held by a caller that takes free space.
pub(super) type Entered<'s> = Option<RwLockReadGuard<'s, ()>>;

#[derive(Debug)]
struct Reserve {
    path: PathBuf,
    anchors: Anchors,
    /// Or there is none. Cleared before something is cut off, set when all is there again.
    is_full: AtomicBool,
    /// Shared by those who take free space because the reserve was full.
    taking: RwLock<()>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    size: u64,
    length: u64,
    /// Threads that have cut something off and are not done.
    spenders: usize,
}

impl Space {
    /// The space of the log in `root`, whose lock is held, with the reserve that is there. One is made by
    /// [`fill`](Self::fill), once it is known that the directory is a log's.
    pub(crate) fn with_reserve(root: &Path, anchors: &Anchors) -> Self {
        let reserve = Reserve {
            path: root.join(RESERVE),
            anchors: anchors.clone(),
            is_full: AtomicBool::new(false),
            taking: RwLock::new(()),
            kept: Mutex::new(Kept { size: SIZE, length: 0, spenders: 0 }),
        };
        if matches!(kind_of(&reserve.path), Ok(Some(_))) {
            reserve.fill();
        }
        Self(Some(Arc::new(reserve)))
    }

    /// What this thread takes space for from here on, unless it has a purpose that goes further.
    pub(crate) fn spend(&self, purpose: Purpose) -> Spending {
        let before = (PURPOSE.get(), HAS_TAKEN.get());
        PURPOSE.set(purpose.max(before.0));
        Spending { space: self.clone(), before, _thread: PhantomData }
    }

    /// Fills the reserve, if it is not full and not in use. Returns whether it is full.
    pub(crate) fn fill(&self) -> bool {
        self.is_full() || self.0.as_ref().is_none_or(|reserve| reserve.fill())
    }

    /// To be asked before a file is made or grows, and held until it has.
    pub(super) fn enter(&self) -> io::Result<Entered<'_>> {
        match self {
            Self(Some(reserve)) if PURPOSE.get() == Purpose::Records => reserve.enter().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether nothing of the reserve is in use or missing, so that more may be taken than is needed now.
    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_none_or(|reserve| reserve.is_full.load(Ordering::Acquire))
    }

    /// Does what may need space, again and again as long as the disk is full and this thread may take of the reserve.
    pub(super) fn take<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(full) if is_full(&full) && self.cut() => {}
                outcome => return outcome,
            }
        }
    }

    fn cut(&self) -> bool {
        let floor = match PURPOSE.get() {
            Purpose::Records => return false,
            Purpose::Positions => FOR_FREEING,
            Purpose::Freeing => 0,
        };
        self.0.as_ref().is_some_and(|reserve| reserve.cut(floor, HAS_TAKEN.replace(true)))
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let (purpose, had_taken) = self.before;
        PURPOSE.set(purpose);
        if HAS_TAKEN.get() && !had_taken {
            HAS_TAKEN.set(false);
            if let Space(Some(reserve)) = &self.space {
                reserve.kept.lock().spenders -= 1;
                reserve.fill();
            }
        }
    }
}

impl Reserve {
    fn enter(&self) -> io::Result<RwLockReadGuard<'_, ()>> {
        loop {
            let entered = self.taking.read();
            if self.is_full.load(Ordering::Acquire) {
                return Ok(entered);
            }
            drop(entered);
            if !self.fill() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
    }

    /// Cuts a piece off, down to `floor`. Returns whether there was anything.
    fn cut(&self, floor: u64, is_spender: bool) -> bool {
        self.is_full.store(false, Ordering::Release);
        // Those who were let in before have what they came for.
        drop(self.taking.write());
        let mut kept = self.kept.lock();
        kept.spenders += usize::from(!is_spender);
        if kept.length <= floor {
            return false;
        }
        let length = kept.length.saturating_sub(STEP).max(floor);
        let cut = self.open(false).and_then(|file| {
            file.set_len(length)?;
            // Some file systems have the space only then.
            file.sync_all()
        });
        kept.length = if cut.is_ok() { length } else { floor };
        if kept.length == 0 {
            // Its name takes space as well, and on some file systems there is only so much for names.
            let _ = platform::remove_file(&self.path);
        }
        cut.is_ok()
    }

    /// Fills the missing part as far as the disk has space. Returns whether the reserve is full, or there is none.
    fn fill(&self) -> bool {
        let mut kept = self.kept.lock();
        if kept.spenders > 0 {
            return false;
        }
        let filled = self.fill_up(&mut kept);
        let is_full = match filled {
            Ok(()) => kept.length >= kept.size,
            Err(failure) => !is_full(&failure),
        };
        self.is_full.store(is_full, Ordering::Release);
        is_full
    }

    fn fill_up(&self, kept: &mut Kept) -> io::Result<()> {
        // Not into whatever has the name of the log's directory now.
        self.anchors.check().map_err(|_| io::ErrorKind::NotFound)?;
        kept.size = SIZE.min(platform::file_size_limit() / MIN_BYTES * MIN_BYTES);
        let file = self.open(true)?;
        let there = file.metadata()?.len();
        if there > kept.size {
            file.set_len(kept.size)?;
        }
        let there = there.min(kept.size);
        if kept.length != there {
            // Of this length already. A copy of the file may have it and no space.
            kept.length = match platform::allocate(&file, 0, there) {
                Err(full) if is_full(&full) => file.set_len(0).map(|()| 0)?,
                _ => there,
            };
        }
        let mut step = kept.size - kept.length;
        while kept.length < kept.size {
            let to = (kept.length + step).min(kept.size);
            match occupy(&file, kept.length, to) {
                Ok(()) => {
                    kept.length = to;
                    step = kept.size - to;
                }
                Err(full) if is_full(&full) && step > MIN_BYTES => {
                    step = (step / 2).next_multiple_of(MIN_BYTES);
                }
                Err(failure) => {
                    file.set_len(kept.length)?;
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    fn open(&self, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        platform::refuse_links(options.read(true).write(true).create(create).truncate(false));
        let file = options.open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }
}

/// Sees to it that a part of a file has its space on the disk.
fn occupy(file: &File, from: u64, to: u64) -> io::Result<()> {
    match platform::allocate(file, from, to) {
        Err(failure) if failure.kind() == io::ErrorKind::Unsupported => write_zeros(file, from, to),
        outcome => outcome,
    }
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; 4096];
    let mut position = from;
    while position < to {
        let left = usize::try_from(to - position).unwrap_or(zeros.len());
        let written =
            platform::write_at(file, zeros.get(..left.min(zeros.len())).unwrap_or_default(), position)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        position += written as u64;
    }
    Ok(())
}

/// Whether this is for want of space.
pub(super) fn is_full(failure: &io::Error) -> bool {
    matches!(failure.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
