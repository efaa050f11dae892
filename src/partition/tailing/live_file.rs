//! `stratalog.live`: how a writer shows readers in other processes where partitions end, and wakes them.
//!
//! A volatile file beside the log. No format holds data in it: deleting it loses nothing, a broker ignores it, and
//! without it readers poll the log files.
//!
//! | part | who writes | what |
//! |---|---|---|
//! | header | writer | magic and layout, slots in all, slots in use |
//! | slot | writer | topic id, partition, base of the active segment, its published word |
//! | pages of their own | all | the futex; per slot, and one for the header, whether a reader waits; whether all is over |
//!
//! Writer and sleeper follow the protocol of [`wait`](crate::wait) with a flag instead of a count, which the writer
//! clears: a reader that was killed costs one call.
//!
//! | writer | sleeper |
//! |---|---|
//! | publish in the slot | set the flags, load the futex |
//! | full fence | full fence |
//! | check the flag; clear it and notify if it is set | check the slots again; wait at the futex if nothing is new |
//!
//! loom checks both protocols, this one and the order of the words of a slot, by the shipped code: `tests/live_file.rs`.
//!
//! A slot is a hint. Where it differs from what a reader knows, the reader goes and checks the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Result;
use crate::format::file_names::LIVE;
use crate::format::uuid::Uuid;
use crate::sys::Disk;
use crate::sys::futex::{notify, wait_at};
use crate::sys::shared::{PAGE, SharedWords};
use crate::sys::sync::{AtomicU32, AtomicU64, fence};

#[cfg(all(test, loom))]
#[path = "tests/live_file.rs"]
mod model;

/// The layout is part of it: another layout, another magic.
const MAGIC: u64 = u64::from_le_bytes(*b"strata.1");
/// Words of the header, in bytes.
const SLOTS_IN_ALL: usize = 8;
const SLOTS_IN_USE: usize = 16;
const HEADER: usize = 64;
/// Words of a slot.
const SLOT: usize = 64;
const ID: usize = 0;
const PARTITION: usize = 16;
const BASE: usize = 24;
const WORD: usize = 32;
/// Words of the common part: the futex at its beginning, then
const HEADER_FLAG: usize = 4;
const OVER: usize = 8;
const FLAGS: usize = 16;
/// No segment: between two.
const NOTHING: u64 = u64::MAX;
const MIN_SLOTS: usize = 500;
const MAX_SLOTS: usize = 200_000;
/// How often readers check that the live file they have is still the writer's.
const BETWEEN_CHECKS: Duration = Duration::from_millis(100);

/// Where the common part begins, and the length of the whole.
fn shape(slots: usize) -> (usize, usize) {
    let common_from = (HEADER + slots * SLOT).next_multiple_of(PAGE);
    (common_from, common_from + (FLAGS + slots * 4).next_multiple_of(PAGE))
}

/// The words of a live file, of whichever process.
#[derive(Debug)]
struct SharedPage {
    words: SharedWords,
    slots: usize,
    common_from: usize,
}

impl SharedPage {
    fn word(&self, slot: usize, field: usize) -> Option<&AtomicU64> {
        if slot < self.slots { self.words.word(HEADER + slot * SLOT + field) } else { None }
    }

    fn futex(&self) -> Option<&AtomicU32> {
        self.words.common(self.common_from)
    }

    /// Whether a reader waits for news of a slot; `None`: of slots that come into use.
    fn flag(&self, slot: Option<usize>) -> Option<&AtomicU32> {
        let at = slot.map_or(HEADER_FLAG, |slot| FLAGS + slot * 4);
        self.words.common(self.common_from + at)
    }

    fn in_use(&self) -> usize {
        let used = self.words.word(SLOTS_IN_USE).map_or(0, |word| word.load(Ordering::Acquire));
        usize::try_from(used).unwrap_or(0).min(self.slots)
    }

    fn notify(&self) {
        if let Some(futex) = self.futex() {
            notify(futex);
        }
    }

    /// Nothing more comes from here.
    fn end(&self) {
        if let Some(over) = self.words.common(self.common_from + OVER) {
            over.store(1, Ordering::Release);
        }
        self.notify();
    }

    fn is_over(&self) -> bool {
        self.words.common(self.common_from + OVER).is_some_and(|over| over.load(Ordering::Acquire) != 0)
    }
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct LiveWriter {
    page: SharedPage,
    path: PathBuf,
    /// Held while a slot comes into use.
    taking: Mutex<()>,
}

/// The slot of one partition that is written.
#[derive(Debug)]
pub(crate) struct LiveSlot {
    live: Arc<LiveWriter>,
    slot: usize,
}

impl LiveWriter {
    /// Makes the file of a directory, which this process holds. `None` where there can be none.
    pub(crate) fn make(disk: &Disk, root: &Path, partitions: usize) -> Result<Option<Arc<Self>>> {
        if !disk.maps() {
            return Ok(None);
        }
        let slots = partitions.saturating_mul(2).clamp(MIN_SLOTS, MAX_SLOTS);
        let (common_from, length) = shape(slots);
        let path = root.join(LIVE);
        // The file that an earlier writer has left, which no process holds any more.
        let before = open(&path, false);
        let made = SharedWords::make(disk, &path, length, common_from, |words| {
            for (at, value) in [(SLOTS_IN_ALL, slots as u64), (0, MAGIC)] {
                if let Some(word) = words.word(at) {
                    word.store(value, Ordering::Release);
                }
            }
        })?;
        // A reader that waits at the file of a writer that died is to find this one.
        if let Some(before) = before {
            before.end();
        }
        let page = made.map(|words| SharedPage { words, slots, common_from });
        Ok(page.map(|page| Arc::new(Self { page, path, taking: Mutex::default() })))
    }

    /// A slot for a partition that begins to be written. `None`: all are taken.
    pub(in crate::partition) fn take(self: &Arc<Self>, id: Uuid, partition: u32) -> Option<LiveSlot> {
        let _taking = self.taking.lock();
        let slot = self.page.in_use();
        let (high, low) = halves(id);
        let fields = [(ID, high), (ID + 8, low), (PARTITION, u64::from(partition)), (WORD, NOTHING)];
        for (field, value) in fields {
            self.page.word(slot, field)?.store(value, Ordering::Relaxed);
        }
        self.page.words.word(SLOTS_IN_USE)?.store(slot as u64 + 1, Ordering::Release);
        Some(LiveSlot { live: Arc::clone(self), slot })
    }

    fn wake(&self, slot: Option<usize>) {
        if let Some(flag) = self.page.flag(slot)
            && flag.load(Ordering::Relaxed) != 0
        {
            flag.store(0, Ordering::Relaxed);
            self.page.notify();
        }
    }

    /// The writer ends: readers look by themselves from here on.
    pub(crate) fn end(&self, disk: &Disk) {
        // One that is left over has no meaning: no process holds it.
        let _ = disk.remove_file(&self.path);
        self.page.end();
        self.page.words.release();
    }
}

impl LiveSlot {
    /// Another segment is appended to. Under the partition's lock.
    pub(in crate::partition) fn begin(&self, base: u64, word: u64) {
        let page = &self.live.page;
        let (Some(base_word), Some(end_word)) = (page.word(self.slot, BASE), page.word(self.slot, WORD))
        else {
            return;
        };
        // A reader that finds the same base before and after the word has a word of that base.
        end_word.store(NOTHING, Ordering::Release);
        base_word.store(base, Ordering::Release);
        end_word.store(word, Ordering::Release);
        fence(Ordering::SeqCst);
        self.wake();
        self.live.wake(None);
    }

    /// The segment's published word, after it was published here. Under the partition's lock.
    #[inline]
    pub(in crate::partition) fn publish(&self, word: u64) {
        if let Some(end) = self.live.page.word(self.slot, WORD) {
            end.store(word, Ordering::Release);
        }
    }

    /// Wakes who waits for this partition. The caller makes a full fence between [`publish`](Self::publish) and this.
    #[inline]
    pub(in crate::partition) fn wake(&self) {
        self.live.wake(Some(self.slot));
    }
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::partition) struct Shown {
    pub(in crate::partition) base: u64,
    pub(in crate::partition) word: u64,
}

/// The readers' side of a directory: the present writer's file, if there is one.
#[derive(Debug)]
pub(crate) struct LiveWatch {
    path: PathBuf,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    view: Option<Arc<LiveView>>,
    checked: Option<Instant>,
}

/// One writer's file, as a reader has it.
#[derive(Debug)]
pub(crate) struct LiveView {
    page: SharedPage,
}

impl LiveWatch {
    pub(crate) fn new(root: &Path) -> Self {
        Self { path: root.join(LIVE), watched: Mutex::default() }
    }

    /// The file of a writer that lives, or lived a moment ago.
    pub(crate) fn view(&self) -> Option<Arc<LiveView>> {
        let mut watched = self.watched.lock();
        let is_over = watched.view.as_ref().is_some_and(|view| view.page.is_over());
        if !is_over && watched.checked.is_some_and(|at| at.elapsed() < BETWEEN_CHECKS) {
            return watched.view.clone();
        }
        watched.checked = Some(Instant::now());
        let stale = watched.view.take_if(|view| {
            let words = &view.page.words;
            is_over || !words.is_held() || !words.is_at(&self.path)
        });
        if let Some(stale) = stale {
            // Others may be waiting there.
            stale.page.notify();
        }
        if watched.view.is_none() {
            watched.view = open(&self.path, true).map(|page| Arc::new(LiveView { page }));
        }
        watched.view.clone()
    }

    /// Wakes every reader that waits at this file, so that it looks whether it was meant.
    pub(crate) fn notify(&self) {
        if let Some(view) = &self.watched.lock().view {
            view.page.notify();
        }
    }
}

/// The file at `path`, if it is one that this version understands and, if it is to be `held`, a writer has.
fn open(path: &Path, held: bool) -> Option<SharedPage> {
    let mut found = None;
    let words = SharedWords::open(path, held, |head| {
        let (words, _) = head.as_chunks();
        let word = |at: usize| words.get(at / 8).map(|word| u64::from_le_bytes(*word));
        let slots = usize::try_from(word(SLOTS_IN_ALL)?).ok().filter(|slots| *slots <= MAX_SLOTS)?;
        let (common_from, length) = shape(slots);
        found = Some((slots, common_from));
        Some((common_from, length)).filter(|_| word(0) == Some(MAGIC))
    })?;
    let (slots, common_from) = found?;
    Some(SharedPage { words, slots, common_from })
}

impl LiveView {
    /// The slot of a partition, if it was written to since the writer began. Looked for from slot `from` on.
    pub(super) fn slot_of(&self, id: Uuid, partition: u32, from: usize) -> Option<usize> {
        let (high, low) = halves(id);
        let wanted = [(ID, high), (ID + 8, low), (PARTITION, u64::from(partition))];
        let is_it = |slot: usize| {
            wanted.iter().all(|(field, value)| {
                self.page.word(slot, *field).is_some_and(|word| word.load(Ordering::Relaxed) == *value)
            })
        };
        (from..self.in_use()).find(|slot| is_it(*slot))
    }

    pub(super) fn in_use(&self) -> usize {
        self.page.in_use()
    }

    /// Whether partitions may be written that have no slot.
    pub(in crate::partition) fn is_full(&self) -> bool {
        self.page.in_use() == self.page.slots
    }

    /// What a slot says now; `None` in the moment between two segments.
    pub(in crate::partition) fn shown(&self, slot: usize) -> Option<Shown> {
        let base_word = self.page.word(slot, BASE)?;
        let base = base_word.load(Ordering::Acquire);
        let word = self.page.word(slot, WORD)?.load(Ordering::Acquire);
        (word != NOTHING && base_word.load(Ordering::Acquire) == base).then_some(Shown { base, word })
    }

    /// Asks to be woken by slots that come into use.
    pub(crate) fn ask_for_new_slots(&self) {
        self.raise(None);
    }

    /// Asks to be woken by news of a slot, or of slots that come into use.
    pub(in crate::partition) fn raise(&self, slot: Option<usize>) {
        if let Some(flag) = self.page.flag(slot) {
            flag.store(1, Ordering::Relaxed);
        }
    }

    /// Begins to wait: the value of the futex. After it come the flags, a full fence and another look. `None`: no process can
    /// wake this process.
    pub(crate) fn seen(&self) -> Option<u32> {
        Some(self.page.futex()?.load(Ordering::SeqCst))
    }

    /// Waits until the futex is notified again, at most for `timeout` and never so long that the end of the writer would go
    /// unnoticed.
    pub(crate) fn wait(&self, seen: u32, timeout: Duration) {
        if let Some(futex) = self.page.futex() {
            wait_at(futex, seen, timeout.min(BETWEEN_CHECKS));
        }
    }
}

/// Checks every slot of a file that no process holds, as a reader does.
#[cfg(any(fuzzing, test))]
pub(crate) fn look_at_live(path: &Path) {
    let Some(view) = open(path, false).map(|page| LiveView { page }) else { return };
    let in_use = view.in_use();
    assert!(in_use <= view.page.slots && view.is_full() == (in_use == view.page.slots));
    for slot in 0..in_use + 2 {
        assert!(view.shown(slot).is_none() || slot < view.page.slots);
        let bytes = [(); 2].map(|()| slot as u64).map(u64::to_be_bytes).concat();
        let id = Uuid::from_bytes(bytes.try_into().unwrap_or_default());
        assert!(view.slot_of(id, 0, slot).is_none_or(|found| found >= slot && found < in_use));
        view.raise(Some(slot));
    }
    view.ask_for_new_slots();
    if let Some(seen) = view.seen() {
        view.wait(seen, Duration::ZERO);
    }
}

fn halves(id: Uuid) -> (u64, u64) {
    let bytes = u128::from_be_bytes(*id.as_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = ((bytes >> 64) as u64, bytes as u64);
    halves
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const A: Uuid = Uuid::from_bytes([0xaa; 16]);
    const B: Uuid = Uuid::from_bytes([0xbb; 16]);

    /// `None` where processes cannot share memory: there is no such file then, and readers look by themselves.
    fn made() -> Option<(tempfile::TempDir, Arc<LiveWriter>)> {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path(), true, true);
        let live = LiveWriter::make(&disk, dir.path(), 3).unwrap();
        assert!(live.is_some() || !disk.map_reads || !cfg!(target_pointer_width = "64"));
        live.map(|live| (dir, live))
    }

    #[test]
    fn readers_see_what_the_writer_shows() {
        let Some((dir, live)) = made() else { return };
        let watch = LiveWatch::new(dir.path());
        let view = watch.view().unwrap();
        assert_eq!((view.in_use(), view.slot_of(A, 0, 0)), (0, None));
        let (first, second) = (live.take(A, 0).unwrap(), live.take(B, 7).unwrap());
        first.begin(100, 1);
        assert_eq!(
            (view.slot_of(A, 0, 0), view.slot_of(B, 7, 0), view.slot_of(B, 6, 0)),
            (Some(0), Some(1), None)
        );
        assert_eq!((view.shown(0), view.shown(1)), (Some(Shown { base: 100, word: 1 }), None));
        first.publish(2);
        second.begin(5, 6);
        assert_eq!(view.shown(0), Some(Shown { base: 100, word: 2 }));
        assert_eq!(view.shown(1), Some(Shown { base: 5, word: 6 }));
        assert_eq!((view.shown(usize::MAX / SLOT), view.shown(MIN_SLOTS)), (None, None));
        while live.take(A, 1).is_some() {}
        assert!(view.is_full());
    }

    #[test]
    fn only_who_asks_is_woken() {
        let Some((dir, live)) = made() else { return };
        let view = LiveWatch::new(dir.path()).view().unwrap();
        let (first, second) = (live.take(A, 0).unwrap(), live.take(A, 1).unwrap());
        let seen = view.seen().unwrap();
        first.wake();
        assert_eq!(view.seen(), Some(seen));
        view.raise(Some(0));
        second.wake();
        assert_eq!(view.seen(), Some(seen));
        first.wake();
        assert_ne!(view.seen(), Some(seen));
        // The flag is lowered: once is enough.
        let seen = view.seen().unwrap();
        first.wake();
        assert_eq!(view.seen(), Some(seen));
        view.ask_for_new_slots();
        live.take(A, 2).unwrap().begin(0, 0);
        assert_ne!(view.seen(), Some(seen));
        // The futex was notified since: no wait.
        view.wait(seen, Duration::MAX);
    }

    #[test]
    fn file_of_a_writer_that_ended_or_died_is_not_believed() {
        let Some((dir, live)) = made() else { return };
        let watch = LiveWatch::new(dir.path());
        let view = watch.view().unwrap();
        let disk = Disk::of(dir.path(), true, true);
        let next = LiveWriter::make(&disk, dir.path(), 3).unwrap().unwrap();
        let other = watch.view().unwrap();
        assert!(!Arc::ptr_eq(&view, &other));
        drop(live);
        next.end(&disk);
        assert!(watch.view().is_none());
        assert!(!dir.path().join(LIVE).exists());
        let left = LiveWriter::make(&disk, dir.path(), 3).unwrap().unwrap();
        drop(left);
        assert!(dir.path().join(LIVE).exists());
        assert!(LiveWatch::new(dir.path()).view().is_none());
    }

    #[test]
    fn anything_else_of_that_name_is_left_alone() {
        let Some((dir, _live)) = made() else { return };
        let path = dir.path().join(LIVE);
        let whole = fs::read(&path).unwrap();
        let changed = |at: usize, bytes: &[u8]| {
            let mut changed = whole.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            changed
        };
        let images = [
            Vec::new(),
            whole[..HEADER - 1].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], &[0]].concat(),
            vec![0xff; whole.len()],
            changed(0, b"strata.2"),
            changed(SLOTS_IN_ALL, &u64::MAX.to_le_bytes()),
            changed(SLOTS_IN_ALL, &0_u64.to_le_bytes()),
        ];
        for image in images {
            fs::remove_file(&path).unwrap();
            fs::write(&path, image).unwrap();
            assert!(open(&path, false).is_none());
        }
        // A count that cannot be is bounded by the slots there are.
        fs::remove_file(&path).unwrap();
        fs::write(&path, changed(SLOTS_IN_USE, &u64::MAX.to_le_bytes())).unwrap();
        let view = LiveView { page: open(&path, false).unwrap() };
        assert_eq!((view.in_use(), view.slot_of(A, 0, 0)), (MIN_SLOTS, None));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(open(&path, false).is_none());
    }
}
